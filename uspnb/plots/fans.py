"""Tomorrow as a fan: intervals of every level over the ticks to come, what led there, and what then happened."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import DomainError
from .drawing import hv, line, panel
from .style import FORECAST, OBSERVED, label, one_series, time_label

BEHIND = 2
PALE, DARK = 0.16, 0.34


def fan_data(ds: xr.Dataset, at: Any = None, asset: Any = None, behind: int | None = None) -> pd.DataFrame:
    """One row per tick: ticks ahead of the origin, time, observation, prediction and the ends of each level.

    Args:
        ds: of `backtest` or `history`, or of `forecast`, which has no observations.
        at: the tick that the fan was made at, by its time or, on an axis of ticks, its number; the last where left out.
        asset: which, of several.
        behind: ticks before the origin that are shown; twice the longest horizon where left out.

    Returns:
        Rows of negative `ahead` are the past, 0 the origin; `attrs` has the levels, rising, whose ends are the columns
        lower_0, upper_0 and so on.

    Raises:
        DomainError: the run has no horizons, or no such tick.
    """
    if "prediction" in ds and ds["prediction"].dims == ("horizon",):
        return _of_forecast(ds)
    return _of_run(one_series(ds, asset), at, behind)


def _of_forecast(ds: xr.Dataset) -> pd.DataFrame:
    when = ds["valid_time"].values if "valid_time" in ds.coords else ds["horizon"].values
    columns = {
        "ahead": ds["horizon"].values,
        "time": when,
        "observation": np.nan,
        "prediction": ds["prediction"].values,
    }
    frame = pd.DataFrame(columns)
    levels = ds["level"].values
    for k in range(len(levels)):
        frame[f"lower_{k}"], frame[f"upper_{k}"] = ds["level_lower"].values[:, k], ds["level_upper"].values[:, k]
    frame.attrs = {"ylabel": label(ds["prediction"], "value"), "xlabel": "time", "levels": levels.tolist()}
    return frame


def _of_run(ds: xr.Dataset, at: Any, behind: int | None) -> pd.DataFrame:
    if "horizon_prediction" not in ds:
        raise DomainError("this run has no horizons; make it with backtest(..., horizons=...) of this version")
    row = ds.sizes["time"] - 1 if at is None else row_at(ds, at)
    ahead, level = ds["horizon"].values, float(ds.attrs["confidence_level"])
    origin = ds.isel(time=row)
    mean, newest = origin["horizon_prediction"].values, float(origin["observation"])
    ends = {level: (origin["horizon_lower"].values, origin["horizon_upper"].values)}
    for one, half in zip(ds["level"].values.tolist(), origin["horizon_level_width"].values.T, strict=True):
        # Where there is nothing below 0, no inner interval reaches further down than the outer one.
        lower = mean - half if one > level else np.maximum(mean - half, ends[level][0])
        ends[one] = (lower, mean + half)
    levels = sorted(ends)
    before = BEHIND * int(ahead[-1]) if behind is None else behind
    past = np.arange(max(0, row - before), min(ds.sizes["time"], row + int(ahead[-1]) + 1))
    seen = pd.DataFrame({"ahead": past - row, "observation": ds["observation"].values[past]})
    fan = pd.DataFrame({"ahead": np.concatenate([[0], ahead]), "prediction": np.concatenate([[newest], mean])})
    for k, one in enumerate(levels):
        for name, end in zip(("lower", "upper"), ends[one], strict=True):
            fan[f"{name}_{k}"] = np.concatenate([[newest], end])
    frame = seen.merge(fan, on="ahead", how="outer").sort_values("ahead", ignore_index=True)
    frame["time"] = _times(ds["time"].values, row + frame["ahead"].to_numpy())
    frame.attrs = {"ylabel": label(ds["observation"], "value"), "xlabel": time_label(ds), "levels": levels}
    return frame


def row_at(ds: xr.Dataset, at: Any) -> int:
    """Row of a tick of one series' run, by its time or its number; of a time between two the earlier.

    Raises:
        DomainError: no time, or one before the first tick.
    """
    times = ds["time"].to_index()
    try:
        wanted = pd.Timestamp(at) if isinstance(times, pd.DatetimeIndex) else at
        if isinstance(times, pd.DatetimeIndex) and wanted.tz is not None:
            wanted = wanted.tz_convert("UTC").tz_localize(None)
        place = times.get_indexer(pd.Index([wanted]), method="pad")[0]
    except (TypeError, ValueError) as error:
        raise DomainError(f"at = {at!r} is no time of this run ({error})") from error
    if place < 0:
        raise DomainError(f"at = {at!r} is before the first tick, {times[0]}")
    return int(place)


def _times(times: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Times of rows, those after the last as far apart as ticks usually are."""
    inside = times[np.minimum(rows, len(times) - 1)]
    steps = np.diff(times[-64:])
    step = np.median(steps.astype(np.int64)) if len(steps) else 1
    beyond = np.maximum(rows - (len(times) - 1), 0) * int(step)
    return inside + (beyond.astype("timedelta64[ns]") if times.dtype.kind == "M" else beyond)


def fan_bands(ahead: pd.DataFrame, levels: list[float], value: hv.Dimension, name: str = "") -> list[Any]:
    """The intervals of a fan, the widest first, each with a place in the legend; with a `name` one place for them all.

    Args:
        ahead: rows of `fan_data` with a prediction.
        levels: coverages of the intervals, rising.
        value: the value axis.
        name: what the legend calls the fan.
    """
    bands: list[Any] = []
    for k, level in reversed(list(enumerate(levels))):
        band = ahead[["time", f"lower_{k}", f"upper_{k}"]].dropna()
        share = PALE + (DARK - PALE) * (len(levels) - 1 - k) / max(len(levels) - 1, 1)
        ends = (band["time"], band[f"lower_{k}"], band[f"upper_{k}"])
        area: Any = hv.Area(ends, "time", [value, "upper"], label=name or f"{level:.0%}")
        shown = not (name and bands)
        bands.append(area.opts(color=FORECAST, alpha=share, line_alpha=0, show_legend=shown, backend="bokeh"))
    return bands


def newest_fan(ds: xr.Dataset, asset: Any = None, behind: int | None = None) -> pd.DataFrame | None:
    """`fan_data` of the last tick; None of a run without horizons beyond the next tick, or without their forecasts."""
    if "horizon_prediction" not in ds or ds["horizon"].values[-1] == 1:
        return None
    data = fan_data(ds, asset=asset, behind=behind)
    return data if data.loc[data["ahead"] > 0, "prediction"].notna().any() else None


def fan_plot(data: pd.DataFrame, theme: str = "light", height: int = 320) -> hv.Overlay:
    """The figure of `fan_data`: wider levels are paler; what then happened is drawn over the fan."""
    value = hv.Dimension("value", label=data.attrs["ylabel"])
    ahead = data[data["prediction"].notna()]
    parts = fan_bands(ahead, data.attrs["levels"], value)
    seen = data[data["observation"].notna()]
    if len(seen):
        parts.append(line(seen["time"], seen["observation"], value, "observation", OBSERVED, 1.5))
    parts.append(line(ahead["time"], ahead["prediction"], value, "forecast", FORECAST, 1.6))
    if (ahead["ahead"].diff() > 1).any():
        parts.append(_rungs(ahead, value))
    return panel(
        parts, theme, "Forecast of the next ticks", height, True, data.attrs["xlabel"], ylabel=data.attrs["ylabel"]
    )


def _rungs(ahead: pd.DataFrame, value: hv.Dimension) -> hv.Points:
    """Dots at the horizons of a ladder with gaps, between which nothing is forecast and the bands are straight."""
    points: Any = hv.Points((ahead["time"], ahead["prediction"]), ["time", value], label="horizons")
    return points.opts(marker="circle", size=4.5, color=FORECAST, show_legend=False, backend="bokeh")


def fan(
    ds: xr.Dataset, at: Any = None, *, asset: Any = None, behind: int | None = None, theme: str = "light"
) -> hv.Overlay:
    """The fan that was made at a tick of a run, or of a forecast; arguments are those of `fan_data`."""
    return fan_plot(fan_data(ds, at, asset, behind), theme)
