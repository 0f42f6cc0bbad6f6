"""What a stretch of a run amounts to: ticks, error, coverage and alarms, summed so that a browser can add them up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .style import one_series, unit_of
from .wording import moment, number

MOST_BINS = 20_000


def selection_data(ds: xr.Dataset, asset: Any = None, most: int = MOST_BINS) -> pd.DataFrame:
    """Sums per tick, or per bin of ticks in a run of more than `most`.

    Columns: time (of the bin's first tick), ticks, errors (how many forecasts met an observation), squared (their
    squared errors, in units of the largest), judged (ticks with an interval), covered (those inside it), alarms.
    `attrs`: `scale` the largest error [input units], `unit`, `level` of the interval, `exact` (a bin is one tick).
    """
    ds = one_series(ds, asset)
    observed, lower, upper = (ds[name].values.astype(np.float64) for name in ("observation", "lower", "upper"))
    with np.errstate(over="ignore", invalid="ignore"):
        error = observed - ds["prediction"].values
    scored, judged = np.isfinite(error), np.isfinite(observed) & np.isfinite(lower) & np.isfinite(upper)
    scale = float(np.max(np.abs(error), where=scored, initial=0.0)) or 1.0
    size = max(-(-len(observed) // most), 1)
    starts = np.arange(0, len(observed), size)
    sums = {
        "ticks": np.ones(len(observed)),
        "errors": scored.astype(np.float64),
        "squared": np.where(scored, error / scale, 0.0) ** 2,
        "judged": judged.astype(np.float64),
        "covered": (judged & (observed >= lower) & (observed <= upper)).astype(np.float64),
        "alarms": ds["alarm"].values.astype(np.float64),
    }
    frame = pd.DataFrame({name: np.add.reduceat(column, starts) for name, column in sums.items()})
    frame.insert(0, "time", ds["time"].values[starts])
    level = float(ds.attrs.get("confidence_level", np.nan))
    frame.attrs = {"scale": scale, "unit": unit_of(ds["observation"]), "level": level, "exact": size == 1}
    return frame


def selection_text(data: pd.DataFrame, start: Any = None, stop: Any = None) -> str:
    """One sentence about the ticks from `start` to `stop`, both included; about the whole run where they are left out.

    The script of `linked` says the same in the browser.
    """
    times = data["time"].to_numpy()
    inside = np.ones(len(data), bool) if start is None else (times >= start) & (times <= stop)
    part = data[inside]
    ticks = int(part["ticks"].sum())
    if not ticks:
        return "Selection: no tick lies in it."
    shown = pd.Series(times[inside])
    head = "Whole run" if start is None else f"Selection, {moment(shown.iloc[0])} to {moment(shown.iloc[-1])}"
    errors, judged, alarms = (int(part[name].sum()) for name in ("errors", "judged", "alarms"))
    rmse = data.attrs["scale"] * float(np.sqrt(part["squared"].sum() / errors)) if errors else float("nan")
    tail = f" {data.attrs['unit']}" if data.attrs["unit"] and errors else ""
    share = f"{part['covered'].sum() / judged:.1%}" if judged else "not known"
    level = f"{data.attrs['level']:.0%} " if np.isfinite(data.attrs["level"]) else ""
    return (
        f"{head}: {_counted(ticks, 'tick')}; RMSE {number(rmse)}{tail}; {share} inside the {level}interval; "
        f"{_counted(alarms, 'alarm')}."
    )


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
