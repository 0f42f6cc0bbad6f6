"""Observation, forecast and its interval, with alarms and where the changes that they signal began."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..model.kernels.registry import kernel_colour
from ..runtime.words import moment, number
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
    thin_means,
    with_ends,
    with_unit,
    yes_or_no,
)
from .fans import fan_bands, newest_fan
from .style import (
    ALARM,
    CHART_COLOURS,
    FORECAST,
    OBSERVED,
    ONSET,
    check_theme,
    label,
    one_series,
    season_text,
    spans,
    time_label,
    unit_of,
)


def forecast_data(ds: xr.Dataset, asset: Any = None) -> pd.DataFrame:
    """One row per tick: time, observation, prediction, lower, upper, alarm, onset_time, imputed, anomaly.

    Labels are in `attrs`.
    """
    ds = one_series(ds, asset)
    names = ("observation", "prediction", "lower", "upper", "alarm", "onset_time")
    frame = pd.DataFrame({"time": ds["time"].values} | {name: ds[name].values for name in names})
    frame["alarm"] = frame["alarm"].astype(bool)
    for name in ("imputed", "anomaly"):  # runs of before there were such do not say so
        frame[name] = ds[name].values.astype(bool) if name in ds else False
    frame.attrs = {
        "ylabel": label(ds["observation"], "value"),
        "xlabel": time_label(ds),
        "unit": unit_of(ds["observation"]),
        "level": float(ds.attrs.get("confidence_level", np.nan)),
        "season": season_text(ds, worth=False),
    }
    return frame


def forecast_plot(
    data: pd.DataFrame,
    theme: str = "light",
    last: bool = True,
    height: int = 300,
    ahead: pd.DataFrame | None = None,
) -> hv.Overlay:
    """The figure of `forecast_data`, and of `fan_data` after it; long series keep the extremes of each bin."""
    value = hv.Dimension("value", label=data.attrs["ylabel"])
    band = thin_band(data, "lower", "upper").dropna()
    lines = thin_lines(data, ["observation", "prediction"])
    interval = f"{data.attrs['level']:.0%} interval" if np.isfinite(data.attrs["level"]) else "interval"
    alarms = data[data["alarm"] & np.isfinite(data["observation"])]
    imputed = data[data["imputed"] & np.isfinite(data["prediction"])]
    odd = data[data["anomaly"] & np.isfinite(data["observation"])]
    began = data.loc[data["alarm"], "onset_time"].dropna().drop_duplicates()
    at_onset = data.drop_duplicates("time").set_index("time")["observation"].ffill().reindex(began).dropna()
    parts = [
        *_fan_parts(ahead, value),
        hv.Area((band["time"], band["lower"], band["upper"]), "time", [value, "upper"], label=interval).opts(
            color=FORECAST, alpha=0.25, line_alpha=0, backend="bokeh"
        ),
        line(lines["time"], lines["observation"], value, "observation", OBSERVED, 1.5),
        line(lines["time"], lines["prediction"], value, "forecast", FORECAST, 1.2),
        hv.Points((at_onset.index.to_numpy(), at_onset.to_numpy()), ["time", value], label="change began").opts(
            marker="diamond", size=9, fill_alpha=0, line_width=1.6, color=ONSET, backend="bokeh"
        ),
        hv.Points((imputed["time"], imputed["prediction"]), ["time", value], label="imputed").opts(
            marker="circle", size=5, fill_alpha=0, line_width=1.2, color=FORECAST, backend="bokeh"
        ),
        hv.Points((odd["time"], odd["observation"]), ["time", value], label="anomaly").opts(
            marker="square", size=8, fill_alpha=0, line_width=1.6, color=ALARM, backend="bokeh"
        ),
        alarm_marks(alarms["time"], alarms["observation"], value),
        _tooltips(data, value, interval),
    ]
    parts = [part for part in parts if len(part)]  # the legend names no mark that is not there
    look = {"ylabel": data.attrs["ylabel"], "ylim": _room_for(ahead, *value_range(data))}
    title = f"Forecast, season: {data.attrs['season']}" if data.attrs.get("season") else "Forecast"
    return panel(parts, theme, title, height, last, data.attrs["xlabel"], **look)


def _fan_parts(fan: pd.DataFrame | None, value: hv.Dimension) -> list[Any]:
    if fan is None:
        return []
    ahead = fan[fan["prediction"].notna()]
    name = f"next {int(ahead['ahead'].iloc[-1])} ticks"
    middle = line(ahead["time"], ahead["prediction"], value, name, FORECAST, 1.2, show_legend=False)
    return [*fan_bands(ahead, fan.attrs["levels"], value, name), middle]


def _room_for(fan: pd.DataFrame | None, low: float | None, high: float | None) -> tuple[float | None, float | None]:
    """A range that holds a fan too, its ends as far as half of the height beyond."""
    if fan is None or low is None or high is None:
        return low, high
    most = 0.5 * (high - low)
    ends = fan.filter(regex="^(prediction|lower_|upper_)").to_numpy()
    ends = np.clip(ends[np.isfinite(ends)], low - most, high + most)
    return min(low, float(ends.min())), max(high, float(ends.max()))


def _tooltips(data: pd.DataFrame, value: hv.Dimension, interval: str) -> hv.Curve:
    rows = hover_rows(len(data), data["alarm"].to_numpy())
    at, unit = data.iloc[rows], data.attrs["unit"]
    began = zip(at["alarm"], at["onset_time"], strict=True)
    texts = {
        "observation": with_unit(at["observation"], unit),
        "forecast": with_unit(at["prediction"], unit),
        interval: with_ends(at["lower"], at["upper"], unit),
        "alarm": [(f"yes, change began {moment(t)}" if pd.notna(t) else "yes") if flag else "no" for flag, t in began],
    }
    if data["imputed"].any():
        texts["imputed"] = yes_or_no(at["imputed"])
    height = np.where(np.isfinite(at["observation"]), at["observation"], at["prediction"])
    return hover_line(data, rows, height, texts, value)


def value_range(
    data: pd.DataFrame, lower: tuple[str, ...] = ("lower",), upper: tuple[str, ...] = ("upper",)
) -> tuple[float | None, float | None]:
    """What the value axis shows at first: every observation, and the interval but for the widest 4 % of its ends.

    The first intervals of a run are wide because little is known; they would press everything else flat.
    """
    shares = [("observation", 0.0), ("observation", 1.0), *((n, 0.04) for n in lower), *((n, 0.96) for n in upper)]
    columns = ((data[name].to_numpy(), share) for name, share in shares)
    ends = [float(np.quantile(v[np.isfinite(v)], share)) for v, share in columns if np.isfinite(v).any()]
    if not ends or not np.isfinite(max(ends) - min(ends)):
        return None, None
    margin = 0.05 * (max(ends) - min(ends)) or 1.0
    return min(ends) - margin, max(ends) + margin


def weights_data(ds: xr.Dataset, asset: Any = None) -> pd.DataFrame:
    """One row per tick: time and one column of weights per kernel."""
    ds = one_series(ds, asset)
    shares = ds["weight"].transpose("time", "kernel")
    frame = pd.DataFrame(shares.values, columns=[str(k) for k in shares["kernel"].values])
    frame.insert(0, "time", ds["time"].values)
    frame.attrs = {"xlabel": time_label(ds)}
    return frame


def weights_plot(
    data: pd.DataFrame,
    theme: str = "light",
    last: bool = True,
    height: int = 190,
    title: str = "Weights of the kernels",
) -> hv.Overlay:
    """The figure of `weights_data`; long series are thinned to the mean of each bin."""
    kernels = [name for name in data.columns if name != "time"]
    thinned = thin_means(data, kernels)
    tops = np.cumsum(thinned[kernels].to_numpy(), axis=1)
    bottoms = tops - thinned[kernels].to_numpy()
    share = hv.Dimension("weight", label="weight")
    parts: list[Any] = [
        hv.Area(
            (thinned["time"], bottoms[:, i], tops[:, i]), "time", [share, "top"], label=name.replace("_", " ")
        ).opts(color=kernel_colour(name), alpha=0.85, line_alpha=0, backend="bokeh")
        for i, name in enumerate(kernels)
    ]
    rows = hover_rows(len(data), np.zeros(len(data), bool))
    shares = data[kernels].to_numpy(dtype=np.float64)[rows]
    texts = {name.replace("_", " "): [f"{v:.1%}" for v in shares[:, i]] for i, name in enumerate(kernels)}
    parts.append(hover_line(data, rows, np.full(len(rows), 0.5), texts, share))
    return panel(parts, theme, title, height, last, data.attrs.get("xlabel", "time"), ylabel="weight", ylim=(0, 1))


def holder_data(ds: xr.Dataset, asset: Any = None) -> pd.DataFrame:
    """One row per tick: time, exponent (NaN before the first valid one), emergency; the threshold in `attrs`."""
    ds = one_series(ds, asset)
    valid = np.maximum.accumulate(ds["holder_valid"].values.astype(bool)) if "holder_valid" in ds else True
    frame = pd.DataFrame(
        {
            "time": ds["time"].values,
            "exponent": np.where(valid, ds["holder_exponent"].values, np.nan),
            "emergency": ds["emergency"].values.astype(bool),
        }
    )
    frame.attrs = {"threshold": float(ds["holder_exponent"].attrs["threshold"]), "xlabel": time_label(ds)}
    return frame


def holder_plot(data: pd.DataFrame, theme: str = "light", last: bool = True, height: int = 170) -> hv.Overlay:
    """The figure of `holder_data`."""
    exponent = hv.Dimension("exponent", label="Holder exponent")
    lines = thin_lines(data, ["exponent"])
    threshold = data.attrs["threshold"]
    parts: list[Any] = [
        line(lines["time"], lines["exponent"], exponent, "exponent", FORECAST),
        level_line(data, threshold, exponent, f"rough below {threshold:g}"),
    ]
    shaded = spans(data["time"].to_numpy(), data["emergency"].to_numpy())
    if len(shaded):
        emergency = hv.VSpans((shaded["start"], shaded["end"]), kdims=["time", "emergency_end"], label="emergency")
        parts.insert(0, emergency.opts(color=ALARM, alpha=0.2, line_alpha=0, backend="bokeh"))
    rows = hover_rows(len(data), np.zeros(len(data), bool))
    exponents = data["exponent"].to_numpy()[rows]
    texts = {
        "Holder exponent": [number(float(v)) for v in exponents],
        "rough below": [f"{threshold:g}"] * len(rows),
        "emergency": yes_or_no(data["emergency"].to_numpy()[rows]),
    }
    parts.append(hover_line(data, rows, exponents, texts, exponent))
    shown = np.append(data["exponent"].to_numpy()[np.isfinite(data["exponent"])], threshold)
    margin = 0.05 + 0.05 * float(np.ptp(shown))
    look = {"ylabel": "Holder exponent", "ylim": (float(shown.min()) - margin, float(shown.max()) + margin)}
    return panel(parts, theme, "Roughness of the path", height, last, data.attrs["xlabel"], **look)


def charts_data(ds: xr.Dataset, asset: Any = None) -> pd.DataFrame:
    """One row per tick: time, one column per chart (its sum over its threshold), alarm."""
    ds = one_series(ds, asset)
    names = [str(c) for c in ds["chart"].values]
    threshold = ds["chart_threshold"].transpose("time", "chart").values
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(threshold > 0, ds["chart_statistic"].transpose("time", "chart").values / threshold, np.nan)
    frame = pd.DataFrame(share, columns=names)
    frame.insert(0, "time", ds["time"].values)
    frame["alarm"] = ds["alarm"].values.astype(bool)
    frame.attrs = {"xlabel": time_label(ds)}
    return frame


def charts_plot(data: pd.DataFrame, theme: str = "light", last: bool = True, height: int = 190) -> hv.Overlay:
    """The figure of `charts_data`."""
    share = hv.Dimension("share", label="sum / threshold")
    names = [name for name in data.columns if name not in ("time", "alarm")]
    lines = thin_lines(data, names)
    alarms = data.loc[data["alarm"], "time"].to_numpy()
    parts: list[Any] = [
        line(lines["time"], lines[name], share, name, CHART_COLOURS.get(name, OBSERVED), 1.2) for name in names
    ]
    parts.append(level_line(data, 1.0, share, "threshold"))
    if len(alarms):  # the legend names no mark that is not there
        parts.append(alarm_marks(alarms, np.ones(len(alarms)), share))
    rows = hover_rows(len(data), data["alarm"].to_numpy())
    shares = data[names].to_numpy(dtype=np.float64)[rows]
    texts = {name: [f"{number(float(v))} of its threshold" for v in shares[:, i]] for i, name in enumerate(names)}
    texts["alarm"] = yes_or_no(data["alarm"].to_numpy()[rows])
    parts.append(hover_line(data, rows, np.fmax.reduce(shares, axis=1), texts, share))
    return panel(parts, theme, "Alarm charts", height, last, data.attrs["xlabel"], ylabel="sum / threshold")


def overview(ds: xr.Dataset, theme: str = "light", asset: Any = None) -> hv.Layout:
    """Forecast with the fan of the last tick, weights, roughness and alarm charts; zooming one zooms all.

    Args:
        ds: a result of `backtest` or `history`.
        theme: "light" or "dark".
        asset: which asset of several, by its label; the first where it is left out.

    Raises:
        DomainError: an unknown theme or asset.
    """
    check_theme(theme)
    figures = [
        forecast_plot(forecast_data(ds, asset), theme, last=False, ahead=newest_fan(ds, asset, behind=0)),
        weights_plot(weights_data(ds, asset), theme, last=False),
        holder_plot(holder_data(ds, asset), theme, last=False),
        charts_plot(charts_data(ds, asset), theme, last=True),
    ]
    return stacked(figures)
