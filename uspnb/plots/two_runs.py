"""Two runs of one series over one another: forecasts, whose error is smaller, alarms, weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import DomainError
from .drawing import (
    alarm_marks,
    hover_line,
    hover_rows,
    hv,
    level_line,
    line,
    panel,
    stacked,
    thin_band,
    thin_lines,
    with_ends,
    with_unit,
    yes_or_no,
)
from .panels import value_range, weights_data, weights_plot
from .style import OBSERVED, check_theme, label, one_series, time_label, unit_of

FIRST, SECOND = "#2f86c8", "#e69f00"
NAMES = ("a", "b")
TWO = ("prediction", "lower", "upper", "alarm")


def two_runs_data(a: xr.Dataset, b: xr.Dataset, names: tuple[str, str] = NAMES, asset: Any = None) -> pd.DataFrame:
    """One row per tick that both runs hold: time, observation, the forecasts, ends and alarms of both, the difference.

    `error_difference` is the sum, so far, of |error of a| - |error of b| [input units] over the ticks for which both
    had a forecast: where it falls, a is the better one.

    Raises:
        DomainError: the runs have no tick in common, or another observation at the same time.
    """
    first, second = (_columns(one_series(ds, asset)) for ds in (a, b))
    frame = first.merge(second, on="time", suffixes=("_a", "_b"))
    if frame.empty:
        raise DomainError(f"the runs {names[0]!r} and {names[1]!r} have no tick in common; open two runs of one series")
    if not np.array_equal(frame["observation_a"], frame["observation_b"], equal_nan=True):
        raise DomainError(
            f"the runs {names[0]!r} and {names[1]!r} observed different values at the same times; "
            "open two runs of one series"
        )
    frame = frame.rename(columns={"observation_a": "observation"}).drop(columns="observation_b")
    with np.errstate(over="ignore", invalid="ignore"):
        observed = frame["observation"].to_numpy()
        errors = [np.abs(observed - frame[f"prediction_{run}"].to_numpy()) for run in NAMES]
        difference = errors[0] - errors[1]
    frame["error_difference"] = np.cumsum(np.where(np.isfinite(difference), difference, 0.0))
    frame.attrs = {
        "names": tuple(names),
        "ylabel": label(a["observation"], "value"),
        "unit": unit_of(a["observation"]),
        "xlabel": time_label(a),
    }
    return frame


def _columns(ds: xr.Dataset) -> pd.DataFrame:
    frame = pd.DataFrame({name: ds[name].values for name in ("time", "observation", *TWO)})
    frame["alarm"] = frame["alarm"].astype(bool)
    return frame.drop_duplicates("time", keep="last")


def two_forecasts_plot(data: pd.DataFrame, theme: str = "light", last: bool = True, height: int = 300) -> hv.Overlay:
    """The observation with both forecasts and intervals, from `two_runs_data`."""
    value = hv.Dimension("value", label=data.attrs["ylabel"])
    parts: list[Any] = []
    for run, name, colour in zip(NAMES, data.attrs["names"], (FIRST, SECOND), strict=True):
        band = thin_band(data, f"lower_{run}", f"upper_{run}").dropna()
        ends = (band["time"], band[f"lower_{run}"], band[f"upper_{run}"])
        area = hv.Area(ends, "time", [value, f"upper_{run}"], label=f"interval of {name}")
        parts.append(area.opts(color=colour, alpha=0.22, line_alpha=0, backend="bokeh"))
    lines = thin_lines(data, ["observation", "prediction_a", "prediction_b"])
    first, second = data.attrs["names"]
    shown = (("observation", "observation", OBSERVED), ("prediction_a", first, FIRST), ("prediction_b", second, SECOND))
    for column, name, colour in shown:
        parts.append(line(lines["time"], lines[column], value, name, colour))
    parts.append(_tooltips(data, value))
    look = {"ylabel": data.attrs["ylabel"]}
    return panel(parts, theme, "Forecasts of both runs", height, last, data.attrs["xlabel"], **look)


def _tooltips(data: pd.DataFrame, value: hv.Dimension) -> hv.Curve:
    rows = hover_rows(len(data), (data["alarm_a"] | data["alarm_b"]).to_numpy())
    at, unit = data.iloc[rows], data.attrs["unit"]
    texts = {"observation": with_unit(at["observation"], unit)}
    for run, name in zip(NAMES, data.attrs["names"], strict=True):
        texts[f"forecast of {name}"] = with_unit(at[f"prediction_{run}"], unit)
        texts[f"interval of {name}"] = with_ends(at[f"lower_{run}"], at[f"upper_{run}"], unit)
        texts[f"alarm of {name}"] = yes_or_no(at[f"alarm_{run}"])
    return hover_line(data, rows, at["observation"].to_numpy(), texts, value)


def error_difference_plot(data: pd.DataFrame, theme: str = "light", last: bool = True, height: int = 170) -> hv.Overlay:
    """The sum so far of the difference of the absolute errors, from `two_runs_data`; where it falls, a is better."""
    first, second = data.attrs["names"]
    title, unit = f"|error of {first}| - |error of {second}|, summed", data.attrs["unit"]
    parts = _sum_of_differences(data, "error_difference", unit, f"falls where {first} is better")
    look = {"ylabel": f"sum [{unit}]" if unit else "sum"}
    return panel(parts, theme, title, height, last, data.attrs["xlabel"], **look)


def _sum_of_differences(data: pd.DataFrame, column: str, unit: str, meaning: str) -> list[Any]:
    """The sum so far of a difference of losses, and the level at which both runs are equal."""
    total = hv.Dimension("difference", label="sum of differences")
    lines = thin_lines(data, [column])
    rows = hover_rows(len(data), np.zeros(len(data), bool))
    sums = data[column].to_numpy()[rows]
    return [
        level_line(data, 0.0, total, "equal"),
        line(lines["time"], lines[column], total, meaning, FIRST),
        hover_line(data, rows, sums, {"so far": with_unit(sums, unit)}, total),
    ]


def two_alarms_plot(data: pd.DataFrame, theme: str = "light", last: bool = True, height: int = 130) -> hv.Overlay:
    """The alarms of both runs, one lane each, from `two_runs_data`."""
    lane = hv.Dimension("lane", label="run")
    ends = data["time"].iloc[[0, -1]]
    parts: list[Any] = []
    for run, name, colour, at in zip(NAMES, data.attrs["names"], (FIRST, SECOND), (1.0, 0.0), strict=True):
        parts.append(line(ends, [at, at], lane, "", OBSERVED, 0.8))
        alarms = data.loc[data[f"alarm_{run}"], "time"].to_numpy()
        parts.append(alarm_marks(alarms, np.full(len(alarms), at), lane, f"alarm of {name}", colour))
    rows = hover_rows(len(data), (data["alarm_a"] | data["alarm_b"]).to_numpy())
    texts = {
        f"alarm of {name}": yes_or_no(data[f"alarm_{run}"].to_numpy()[rows])
        for run, name in zip(NAMES, data.attrs["names"], strict=True)
    }
    parts.append(hover_line(data, rows, np.full(len(rows), 0.5), texts, lane))
    # the legend names the lanes: a long name beside the axis would push this panel out of line with the others
    look = {"ylabel": "", "yticks": [(1.0, ""), (0.0, "")], "ylim": (-0.5, 1.5)}
    return panel(parts, theme, "Alarms of both runs", height, last, data.attrs["xlabel"], **look)


def compare_runs(
    a: xr.Dataset, b: xr.Dataset, names: tuple[str, str] = NAMES, theme: str = "light", asset: Any = None
) -> hv.Layout:
    """Forecasts, errors, alarms and weights of two runs of one series on one time axis.

    Args:
        a, b: results of `backtest` or `history`; the ticks that both hold are compared.
        names: what the runs are called in the figure.
        theme: "light" or "dark".
        asset: which asset of several, by its label; the first where it is left out.

    Raises:
        DomainError: an unknown theme or asset, no tick in common, or different observations.
    """
    check_theme(theme)
    if len(names) != 2 or names[0] == names[1]:
        raise DomainError(f"names = {names!r} must be two different names, one for each run")
    data = two_runs_data(a, b, (str(names[0]), str(names[1])), asset)
    figures = [
        two_forecasts_plot(data, theme, last=False),
        error_difference_plot(data, theme, last=False),
        two_alarms_plot(data, theme, last=False),
    ]
    for ds, name, last in ((a, names[0], False), (b, names[1], True)):
        shares = weights_data(ds, asset)
        shares = shares[shares["time"].isin(data["time"])]
        shares.attrs = {"xlabel": data.attrs["xlabel"]}
        figures.append(weights_plot(shares, theme, last, title=f"Weights of {name}"))
    return stacked(figures)


TUNED_NAMES = ("tuned", "default")


def best_against_default_data(best: xr.Dataset, default: xr.Dataset, asset: Any = None) -> pd.DataFrame:
    """One row per common tick: time, observation, forecasts and interval ends of both, the squared error's difference.

    The columns are those of `two_runs_data` with the tuned run as a, and `squared_difference`: the sum, so far, of
    (y - forecast of tuned)^2 - (y - forecast of default)^2 [input units^2]; where it falls, tuning pays.

    Raises:
        DomainError: the runs have no tick in common, or other observations at the same time.
    """
    frame = two_runs_data(best, default, TUNED_NAMES, asset)
    observed = frame["observation"].to_numpy(dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = [(observed - frame[f"prediction_{run}"].to_numpy(dtype=np.float64)) ** 2 for run in "ab"]
        difference = squares[0] - squares[1]
        frame["squared_difference"] = np.cumsum(np.where(np.isfinite(difference), difference, 0.0))
    return frame


def squared_difference_plot(
    data: pd.DataFrame, theme: str = "light", last: bool = True, height: int = 190
) -> hv.Overlay:
    """The sum so far of the difference of the squared errors, from `best_against_default_data`."""
    unit = f"({data.attrs['unit']})^2" if data.attrs["unit"] else ""
    title = "Squared error of tuned - squared error of default, summed"
    parts = _sum_of_differences(data, "squared_difference", unit, "falls where the tuned settings are better")
    look = {"ylabel": f"sum of differences [{unit}]" if unit else "sum of differences"}
    return panel(parts, theme, title, height, last, data.attrs["xlabel"], **look)


def best_against_default(
    ds_best: xr.Dataset, ds_default: xr.Dataset, theme: str = "light", asset: Any = None
) -> hv.Layout:
    """The observation with both forecasts and intervals and, below, the summed difference of their squared errors.

    Args:
        ds_best: a result of `backtest` with the tuned configuration.
        ds_default: a result of `backtest` of the same series with the default one.
        theme: "light" or "dark".
        asset: which asset of several, by its label; the first where it is left out.

    Raises:
        DomainError: an unknown theme or asset, no tick in common, or different observations.
    """
    check_theme(theme)
    data = best_against_default_data(ds_best, ds_default, asset)
    forecasts: Any = two_forecasts_plot(data, theme, last=False)
    shown = value_range(data, ("lower_a", "lower_b"), ("upper_a", "upper_b"))
    figures = [
        forecasts.opts(ylim=shown, title="Forecasts of the tuned and the default settings", backend="bokeh"),
        squared_difference_plot(data, theme),
    ]
    return stacked(figures)
