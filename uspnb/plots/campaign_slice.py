"""The value of every trial against one parameter, or against each of the most important ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import DomainError
from .drawing import hv
from .style import check_theme, figure_options
from .trials import (
    BEST,
    DEFAULT,
    STATES,
    ParameterAxis,
    mark_size,
    nothing_to_draw,
    parameter_axes,
    shown_range,
    told_points,
    told_trials,
    trials_data,
)

MOST_SLICES, COLUMNS = 6, 3


def tuning_slice_data(ds: xr.Dataset, parameter: str) -> pd.DataFrame:
    """One row per trial with a value and a setting of the parameter: trial, setting, value, state, reason.

    `attrs`: `metric`, `axis` (the `ParameterAxis`), `best` and `default` (rows here, -1 where none).

    Raises:
        DomainError: there is no such parameter, or not the results of a campaign.
    """
    return _slice(trials_data(ds), _axes(ds), parameter)


def _axes(ds: xr.Dataset) -> dict[str, ParameterAxis]:
    return {axis.name: axis for axis in parameter_axes(ds, constants=True)}


def _slice(trials: pd.DataFrame, axes: dict[str, ParameterAxis], parameter: str) -> pd.DataFrame:
    if parameter not in axes:
        raise DomainError(f"there is no parameter {parameter!r}; the parameters are {', '.join(sorted(axes))}")
    frame = trials.assign(setting=axes[parameter].values)[["trial", "setting", "value", "state", "reason"]]
    drawn = frame["setting"].notna() & frame["value"].notna()
    order = np.cumsum(drawn.to_numpy()) - 1
    rows = {name: trials.attrs[name] for name in ("best", "default")}
    attrs = {name: int(order[row]) if row >= 0 and drawn.iloc[row] else -1 for name, row in rows.items()}
    frame = frame[drawn].reset_index(drop=True)
    frame.attrs = {"metric": trials.attrs["metric"], "axis": axes[parameter], **attrs}
    return frame


def tuning_slice_plot(
    data: pd.DataFrame, theme: str = "light", height: int = 230, legend: bool = True, labelled: bool = True
) -> hv.Overlay:
    """The figure of `tuning_slice_data`, with or without the legend and the label of the value axis."""
    axis: ParameterAxis = data.attrs["axis"]
    if data.empty:
        return nothing_to_draw(theme, f"{axis.name}: no trial has a value", height)
    setting, value = hv.Dimension("setting", label=axis.name), hv.Dimension("value", label=data.attrs["metric"])
    low, high = shown_range(data["value"].to_numpy(dtype=np.float64))
    up = np.minimum(data["value"].to_numpy(), high - 0.03 * (high - low))
    parts: list[Any] = []
    for state, (marker, colour) in STATES.items():
        rows = np.flatnonzero(data["state"] == state)
        if len(rows):
            at = data.iloc[rows]
            told = {axis.name: [axis.text(float(v)) for v in at["setting"]]} | told_trials(at)
            look = {"marker": marker, "size": mark_size(data), "color": colour, "fill_alpha": 0.55}
            parts.append(told_points(at["setting"], up[rows], [setting, value], state, told, **look))
    for name, colour in (("default", DEFAULT), ("best", BEST)):
        row = data.attrs[name]
        if row >= 0:
            ring: Any = hv.Points(([data["setting"].iloc[row]], [up[row]]), [setting, value], label=name)
            look = {"marker": "circle", "size": 14, "fill_alpha": 0.0, "line_width": 2.4, "color": colour}
            parts.append(ring.opts(**look, backend="bokeh"))
    options = figure_options(theme, "", height) | {"default_tools": ["box_zoom", "save", "reset"], "active_tools": []}
    options |= {"xlabel": axis.name, "ylabel": data.attrs["metric"] if labelled else "", "show_legend": legend}
    options |= {"min_width": 240, "logx": axis.log}
    if axis.labels:
        options["xticks"] = list(enumerate(axis.labels))
    figure: Any = hv.Overlay(parts)
    return figure.opts(xlim=_ends(axis), ylim=(low, high), **options)


def _ends(axis: ParameterAxis) -> tuple[float, float]:
    if axis.log:
        margin = (axis.high / axis.low) ** 0.04 if axis.high > axis.low else 2.0
        return axis.low / margin, axis.high * margin
    margin = 0.04 * (axis.high - axis.low) or 0.5
    return axis.low - margin, axis.high + margin


def tuning_slice(
    ds: xr.Dataset, parameter: str | Sequence[str] | None = None, theme: str = "light"
) -> hv.Overlay | hv.Layout:
    """The value of every trial against one parameter, or small figures for several.

    Args:
        ds: the `results` of an optimizer.
        parameter: a parameter, or several; left out, the most important of those that varied, six at the most.
        theme: "light" or "dark".

    Raises:
        DomainError: an unknown theme or parameter, or not the results of a campaign.
    """
    check_theme(theme)
    if isinstance(parameter, str):
        return tuning_slice_plot(tuning_slice_data(ds, parameter), theme)
    trials, axes = trials_data(ds), _axes(ds)
    names = [axis.name for axis in parameter_axes(ds)][:MOST_SLICES] if parameter is None else list(parameter)
    slices = [_slice(trials, axes, name) for name in names]
    if all(data.empty for data in slices):
        return nothing_to_draw(theme, f"Slices: {'no trial has a value' if names else 'no parameter varied'}")
    # one legend tells for all, and one label for a row
    figures = [
        tuning_slice_plot(data, theme, legend=not place, labelled=not place % COLUMNS)
        for place, data in enumerate(slices)
    ]
    layout: Any = hv.Layout(figures).cols(min(len(figures), COLUMNS))
    return layout.opts(shared_axes=False, merge_tools=True, sizing_mode="stretch_width", backend="bokeh")
