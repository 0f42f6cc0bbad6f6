"""Every trial of a campaign in its order, the best so far, and the default configuration's value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .drawing import hv
from .style import check_theme, figure_options
from .trials import BEST, DEFAULT, STATES, mark_size, shown_range, told_points, told_trials, trials_data
from .wording import number


def tuning_history_data(ds: xr.Dataset) -> pd.DataFrame:
    """One row per trial: trial, value, best_value (the best complete one so far), state, reason.

    `attrs`: `metric`, `best` and `default` (rows of the best and of the default's trial, -1 where none).

    Raises:
        DomainError: not the results of a campaign.
    """
    return trials_data(ds)


def tuning_history_plot(data: pd.DataFrame, theme: str = "light", last: bool = True, height: int = 260) -> hv.Overlay:
    """The figure of `tuning_history_data`; trials without a value stand at the upper edge, as do hopeless ones."""
    value = hv.Dimension("value", label=data.attrs["metric"])
    low, high = shown_range(data["value"].to_numpy(dtype=np.float64))
    edge = high - 0.03 * (high - low)
    parts = [*_lines(data, value), *_marks(data, value, edge)]
    options = figure_options(theme, f"Trials{_remarks(data, high)}", height, last)
    options["xlabel"] = "trial" if last else ""
    figure: Any = hv.Overlay(parts)
    ends = (-0.5, float(data["trial"].max()) + 0.5) if len(data) else (-0.5, 0.5)
    return figure.opts(ylabel=data.attrs["metric"], xlim=ends, ylim=(low, high), **options)


def _remarks(data: pd.DataFrame, high: float) -> str:
    above, row = int((data["value"] > high).sum()), data.attrs["default"]
    told = [f"{above} above the range shown"] * bool(above)
    if row >= 0 and data["value"].iloc[row] > high:
        told.append(f"the default's {number(float(data['value'].iloc[row]))} among them")
    if data.attrs["best"] < 0:
        told.append("none is complete")
    return f": {', '.join(told)}" if told else ""


def _lines(data: pd.DataFrame, value: hv.Dimension) -> list[Any]:
    """The default's value and the best so far; no line where there is none."""
    parts: list[Any] = []
    row = data.attrs["default"]
    default = float(data["value"].iloc[row]) if row >= 0 else np.nan
    if np.isfinite(default):
        ends = data["trial"].iloc[[0, -1]].to_numpy() + np.array([-0.5, 0.5])
        line = hv.Curve((ends, [default, default]), "trial", value, label="default configuration")
        parts.append(line.opts(color=DEFAULT, line_dash="dashed", line_width=1.6, backend="bokeh"))
    if data["best_value"].notna().any():
        ends = np.append(data["trial"].to_numpy(), data["trial"].iloc[-1] + 0.5)
        best = np.append(data["best_value"].to_numpy(), data["best_value"].iloc[-1])
        line = hv.Curve((ends, best), "trial", value, label="best so far")
        parts.append(line.opts(color=BEST, line_width=2.0, interpolation="steps-post", backend="bokeh"))
    return parts


def _marks(data: pd.DataFrame, value: hv.Dimension, edge: float) -> list[Any]:
    known = np.minimum(data["value"].fillna(edge).to_numpy(dtype=np.float64), edge)
    parts: list[Any] = []
    for state, (marker, colour) in STATES.items():
        rows = np.flatnonzero(data["state"] == state)
        if not len(rows):  # the legend names no mark that is not there
            continue
        at = data.iloc[rows]
        look = {"marker": marker, "size": mark_size(data), "color": colour, "fill_alpha": 0.55, "line_width": 1.4}
        parts.append(told_points(at["trial"], known[rows], ["trial", value], state, told_trials(at), **look))
    if data.attrs["best"] >= 0:
        at = data.iloc[[data.attrs["best"]]]
        ring = hv.Points((at["trial"], at["value"]), ["trial", value], label="best")
        look = {"marker": "circle", "size": 14, "fill_alpha": 0.0, "line_width": 2.2, "color": BEST}
        parts.append(ring.opts(**look, backend="bokeh"))
    return parts or [hv.Points([], ["trial", value]).opts(backend="bokeh")]


def tuning_history(ds: xr.Dataset, theme: str = "light") -> hv.Overlay:
    """Every trial by how it ended, the best so far and the default configuration's value.

    Args:
        ds: the `results` of an optimizer.
        theme: "light" or "dark".

    Raises:
        DomainError: an unknown theme, or not the results of a campaign.
    """
    check_theme(theme)
    return tuning_history_plot(tuning_history_data(ds), theme)
