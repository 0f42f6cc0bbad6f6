"""Finished runs for the explore page, and two of them side by side.

Saved ones and two of the demonstration; scores on the ticks that both have, settings that differ, alarms of each.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from uspnb.config.load import parse_config
from uspnb.config.schema import DECLARATIONS, DEFAULTS, PredictorConfig
from uspnb.data.samples import demo_series
from uspnb.errors import DomainError, IntegrityError
from uspnb.predictor.backtest import backtest
from uspnb.predictor.baselines import Forecast
from uspnb.predictor.comparison import BURN_IN, METRICS, score_forecast
from uspnb.predictor.results import load
from uspnb.predictor.scores import diebold_mariano

from .wording import moment

DEMO_TICKS = 6_000
DEMO, OTHER = "Sea temperature", "Sea temperature, quicker to forget"
_computing = threading.Lock()
NEEDED = ("observation", "prediction", "lower", "upper", "scale", "alarm", "alarm_chart", "change_onset", "weight")
FORECAST = ("prediction", "scale", "lower", "upper")


@functools.lru_cache(maxsize=4)
def _replayed(config: PredictorConfig) -> xr.Dataset:
    return backtest(demo_series(DEMO_TICKS), config, progress=False)


def demonstrate(name: str, config: PredictorConfig) -> xr.Dataset:
    """One of the two runs of the demonstration, computed once per server; it takes some seconds."""
    if name == OTHER:
        config = dataclasses.replace(config, score_forgetting=0.9, cusum_target_arl=50_000.0)
    with _computing:
        return _replayed(config)


def load_run(path: Any, name: str = "") -> xr.Dataset:
    """A run that was saved.

    Raises:
        DomainError: nothing there, another suffix, or no run in it.
        IntegrityError: the archive is broken.
    """
    return check_run(load(path), name or Path(path).name)


def open_run(path: Path, name: str) -> xr.Dataset:
    """A run that a visitor has uploaded, under the name that it has with the visitor.

    Raises:
        DomainError: it is no run, or broken.
    """
    try:
        return load_run(path, name)
    except IntegrityError:
        raise DomainError(f"{name} is not a netCDF file that uspnb has written") from None


def check_run(ds: xr.Dataset, name: str) -> xr.Dataset:
    """A run of one series, or a refusal that says what is missing.

    Raises:
        DomainError: the archive holds no run of uspnb, or one of several assets.
    """
    missing = [variable for variable in NEEDED if variable not in ds]
    if missing or "time" not in ds.dims or "config" not in ds.attrs:
        raise DomainError(
            f"{name} holds no run of uspnb: it lacks {', '.join(missing) or 'its settings'}; give a file that "
            "uspnb.save, an export or uspnb backtest --save has written"
        )
    if ds.sizes["time"] < 2:
        raise DomainError(f"{name} holds {ds.sizes['time']} ticks; at least 2 are needed for a picture")
    return ds.isel(asset=0) if "asset" in ds.dims else ds


def scores(ds: xr.Dataset, rows: np.ndarray) -> dict[str, float]:
    """Each of `METRICS` over some rows of a run."""
    forecast = Forecast(*(ds[name].values[rows].astype(np.float64) for name in FORECAST))
    observed = ds["observation"].values[rows].astype(np.float64)
    level = float(ds.attrs["confidence_level"])
    return dict(zip(METRICS, map(float, score_forecast(observed, forecast, level)), strict=True))


def find_usable(ds: xr.Dataset) -> np.ndarray:
    """Ticks with a value and a whole forecast, after the burn-in."""
    columns = (ds[name].values.astype(np.float64) for name in ("observation", *FORECAST))
    rows = np.all([np.isfinite(column) for column in columns], axis=0)
    rows[: min(BURN_IN, len(rows) // 10)] = False
    return rows


def compare_runs(first: xr.Dataset, second: xr.Dataset) -> tuple[list[list[str]], str]:
    """Rows of metric, first, second, difference, and a sentence that says what they mean.

    Raises:
        DomainError: the runs are of different series, or share no tick that can be scored.
    """
    ticks = min(first.sizes["time"], second.sizes["time"])
    a, b = first.isel(time=slice(0, ticks)), second.isel(time=slice(0, ticks))
    if not np.array_equal(a["observation"].values, b["observation"].values, equal_nan=True):
        raise DomainError("the two runs are of different series, so their scores say nothing about one another")
    rows = find_usable(a) & find_usable(b)
    if not rows.any():
        raise DomainError("the two runs share no tick that both have forecast; nothing can be scored")
    own, other = scores(a, rows), scores(b, rows)
    table = []
    for name, title in METRICS.items():
        share = name == "coverage"
        shown = [f"{v:.1%}" if share else f"{v:.5g}" for v in (own[name], other[name])]
        title = title.removeprefix("share of ")
        table.append([title, *shown, _difference(own[name], other[name], share)])
    return table, _verdict(a, b, rows, int(rows.sum()))


def _difference(first: float, second: float, share: bool) -> str:
    # adding zero turns a rounded -0 into 0
    if share:
        return f"{round(100 * (second - first), 1) + 0.0:+.1f} points"
    return f"{round(second / first - 1, 4) + 0.0:+.2%}" if first > 0 else "none" if first == second else "not known"


def _verdict(a: xr.Dataset, b: xr.Dataset, rows: np.ndarray, ticks: int) -> str:
    unit = float(np.nanmax(np.abs(a["residual"].values[rows]), initial=0.0)) or 1.0
    first, second = ((ds["residual"].values[rows] / unit) ** 2 for ds in (a, b))
    test = diebold_mariano(first, second)
    if not test.p_value < 0.05:
        return f"Over {ticks:,} ticks, the squared errors of the two runs cannot be told apart."
    better = "first" if test.statistic < 0 else "second"
    return f"Over {ticks:,} ticks, the {better} run has clearly smaller squared errors (p = {test.p_value:.2g})."


def settings_that_differ(first: xr.Dataset, second: xr.Dataset) -> list[list[str]]:
    """Rows of setting, first, second, meaning."""
    a, b = (parse_config(str(ds.attrs["config"]), source="the settings of the run") for ds in (first, second))
    differ = [name for name in DEFAULTS if getattr(a, name) != getattr(b, name)]
    return [[name, str(getattr(a, name)), str(getattr(b, name)), DECLARATIONS[name].meaning] for name in differ]


def alarms_of(ds: xr.Dataset) -> list[dict[str, Any]]:
    """The alarms of a run, in the order in which they came: tick, time, chart, began."""
    names = str(ds["alarm_chart"].attrs["flag_meanings"]).split()
    first = int(np.asarray(ds["alarm_chart"].attrs["flag_values"])[0])
    times, onsets, charts = (ds[name].values for name in ("time", "change_onset", "alarm_chart"))
    return [
        {
            "tick": int(tick),
            "time": moment(times[tick]),
            "chart": names[int(charts[tick]) - first].replace("_", " "),
            "began": moment(times[int(onsets[tick])]) if np.isfinite(onsets[tick]) else "not known",
        }
        for tick in np.flatnonzero(ds["alarm"].values)
    ]


def facts_at(ds: xr.Dataset, tick: int) -> list[list[str]]:
    """What a run said at one tick, as rows of name and value."""
    row = ds.isel(time=tick)
    units = str(ds["observation"].attrs.get("units", ""))
    unit = "" if units in ("", "1", "input units") else f" {units}"

    def number(name: str) -> str:
        value = float(row[name])
        return f"{value:.5g}{unit}" if np.isfinite(value) else "none"

    weights = sorted(
        zip(ds["kernel"].values.tolist(), row["weight"].values.tolist(), strict=True), key=lambda pair: -pair[1]
    )
    flags = [
        name for name in ("alarm", "rejected", "imputed", "degraded", "emergency") if name in ds and bool(row[name])
    ]
    return [
        ["tick", f"{tick:,}"],
        ["time", moment(ds["time"].values[tick])],
        ["observation", number("observation")],
        ["forecast", number("prediction")],
        ["interval", f"{number('lower')} to {number('upper')}"],
        ["weights", ", ".join(f"{name.replace('_', ' ')} {share:.0%}" for name, share in weights)],
        ["flags", ", ".join(flags) or "none"],
    ]
