"""Complete trials as lines across all parameters, coloured by their value: where the good ones agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import DomainError
from ..runtime.words import number
from .campaign_trials import (
    BEST,
    DEFAULT,
    ParameterAxis,
    colour_bar,
    nothing_to_draw,
    parameter_axes,
    ring,
    shown_range,
    state_marks,
    tooltip_points,
    trial_texts,
    trials_data,
)
from .drawing import hv
from .style import check_theme, figure_options

MOST_LINES = 300
# from good to bad; each stands out from white and from black
SCALE = ["#2f86c8", "#5b8fbd", "#7e97ad", "#9a9b97", "#b39c72", "#cc9d45", "#e69f00"]


class ParallelData(NamedTuple):
    """What the parallel coordinates show.

    Attributes:
        axes: the parameters that varied, the important ones first.
        trials: the complete trials, the worst first: trial, value.
        places: where each trial's parameters lie in their ranges, from 0 to 1: (trial, axis).
        best, default: the raw rows of these two trials, one value per axis; None where there is no such trial.
        complete: complete trials in all, of which `trials` holds the best.
        metric: name of the value.
    """

    axes: list[ParameterAxis]
    trials: pd.DataFrame
    places: np.ndarray
    best: np.ndarray | None
    default: np.ndarray | None
    complete: int
    metric: str


def tuning_parallel_data(ds: xr.Dataset, most: int = MOST_LINES) -> ParallelData:
    """The best `most` complete trials with every parameter's place in its range (logarithmic where the space is).

    Raises:
        DomainError: not the results of a campaign.
    """
    trials = trials_data(ds)
    axes = parameter_axes(ds)
    rows = np.flatnonzero((trials["state"] == "complete") & trials["value"].notna())
    rows = rows[np.argsort(trials["value"].to_numpy()[rows], kind="stable")][:most][::-1]
    frame = trials.iloc[rows][["trial", "value"]].reset_index(drop=True)
    places = np.array([axis.place(axis.values[rows]) for axis in axes]).reshape(len(axes), len(rows)).T
    marked = [
        np.array([axis.values[row] for axis in axes]) if row >= 0 else None
        for row in (trials.attrs["best"], trials.attrs["default"])
    ]
    complete = int(((trials["state"] == "complete") & trials["value"].notna()).sum())
    return ParallelData(axes, frame, places, marked[0], marked[1], complete, trials.attrs["metric"])


def tuning_parallel_plot(data: ParallelData, theme: str = "light", height: int = 340) -> hv.Overlay:
    """The figure of `tuning_parallel_data`; the best trial is a thick line, the default's a dashed one."""
    if not data.axes or data.trials.empty:
        return nothing_to_draw(theme, f"Parallel coordinates: {_empty(data)}")
    across, up = hv.Dimension("axis", label="parameter"), hv.Dimension("place", label="place in the range")
    parts = [_lines(data, across, up, theme)]
    for raw, label, colour, dash in (
        (data.default, "default configuration", DEFAULT, "dashed"),
        (data.best, "best", BEST, "solid"),
    ):
        if raw is not None:
            parts += _marked(data, raw, label, colour, dash, (across, up))
    shown = len(data.trials)
    some = f", the best {shown:,} of {data.complete:,} trials" if shown < data.complete else ""
    options = figure_options(theme, f"Parallel coordinates{some}", height + 4 * min(len(data.axes), 30))
    options |= {"xticks": [(i, axis.name) for i, axis in enumerate(data.axes)], "xlabel": ""}
    options |= {"yticks": [(0.0, "low"), (0.5, "middle"), (1.0, "high")], "padding": (0, 0)}
    turned = {"xrotation": 25 if len(data.axes) <= 8 else 50} if len(data.axes) > 3 else {}
    figure: Any = hv.Overlay(parts)
    margin = 0.03 * len(data.axes)
    ends = (-margin, len(data.axes) - 1 + margin)
    return figure.opts(ylabel=up.label, xlim=ends, ylim=(-0.06, 1.06), **turned, **options)


def _empty(data: ParallelData) -> str:
    return "no trial is complete" if data.trials.empty else "no parameter varied"


def _lines(data: ParallelData, across: hv.Dimension, up: hv.Dimension, theme: str) -> Any:
    """One line per trial; the best are drawn last and lie on top."""
    values = data.trials["value"].to_numpy()
    at = np.arange(len(data.axes))
    paths = [
        {across.name: at, up.name: place, "value": value, "told": f"trial {trial}: {number(value)}"}
        for place, value, trial in zip(data.places, values, data.trials["trial"], strict=True)
    ]
    low, high = float(values.min()), min(float(values.max()), shown_range(values)[1])
    lines: Any = hv.Contours(paths, [across, up], [hv.Dimension("value", label=data.metric), "told"])
    return lines.opts(
        color="value",
        cmap=SCALE,
        clim=(low, high) if high > low else (low - 0.5, low + 0.5),
        colorbar=high > low,
        colorbar_opts=colour_bar(theme) | {"title": data.metric},
        line_width=1.1,
        alpha=max(0.25, 0.8 - len(paths) / 500),
        tools=["hover"],
        hover_tooltips=[(data.metric, "@told")],
        show_legend=False,
        backend="bokeh",
    )


def _marked(data: ParallelData, raw: np.ndarray, label: str, colour: str, dash: str, dims: tuple[Any, Any]) -> list:
    at = np.arange(len(data.axes))
    places = np.array([float(axis.place(np.array(value))) for axis, value in zip(data.axes, raw, strict=True)])
    line: Any = hv.Curve((at, places), *dims, label=label)
    texts = {
        "parameter": [axis.name for axis in data.axes],
        label: [axis.text(float(value)) for axis, value in zip(data.axes, raw, strict=True)],
        "range": [f"{axis.text(axis.low)} to {axis.text(axis.high)}{', log' * axis.log}" for axis in data.axes],
    }
    marks = tooltip_points(at, places, dims, label, texts, marker="circle", size=7, color=colour, show_legend=False)
    return [line.opts(color=colour, line_width=3.0, line_dash=dash, backend="bokeh"), marks]


def tuning_parallel(ds: xr.Dataset, theme: str = "light") -> hv.Overlay:
    """Parallel coordinates: one line per complete trial across all parameters that varied, coloured by its value.

    Arguments and failures are those of `tuning_history`.
    """
    check_theme(theme)
    return tuning_parallel_plot(tuning_parallel_data(ds), theme)


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

    def texts(at: pd.DataFrame) -> dict[str, list[str]]:
        return {axis.name: [axis.text(float(v)) for v in at["setting"]]} | trial_texts(at)

    parts = state_marks(data, "setting", up, [setting, value], texts)
    for name, colour in (("default", DEFAULT), ("best", BEST)):
        row = data.attrs[name]
        if row >= 0:
            parts.append(ring([data["setting"].iloc[row]], [up[row]], [setting, value], name, colour))
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
