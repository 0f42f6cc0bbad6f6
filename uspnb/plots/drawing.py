"""HoloViews with its Bokeh backend, tooltips, and fewer points for the same picture.

In a notebook its figures ask the network for nothing.  Lines keep the extremes of every bin, shares their means.
"""

from __future__ import annotations

import html
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
from holoviews.util import extension
from IPython.core.getipython import get_ipython

from ..runtime.words import moment, number
from .style import ALARM, OBSERVED, figure_options

# The backend alone: a notebook's `hv.extension` would put megabytes of script into the cell that happens to import
# this, be it only to write a report.  There the script comes with the first figure that is shown, by the first
# `hv.extension` of the cell: a second one in the same cell takes the library for loaded and leaves it out.
if "bokeh" not in hv.Store.loaded_backends():
    if get_ipython() is None:
        extension("bokeh")
    else:
        importlib.import_module("holoviews.plotting.bokeh")
        hv.Store.set_current_backend("bokeh")


def show_inline(figure: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a notebook shows of a HoloViews figure or a Panel object, the style sheets in it.

    HoloViews' own way names four style sheets on a server of Panel's, whatever `inline` says; Panel's way does not.
    """
    if not getattr(hv.extension, "_loaded", True):
        hv.extension("bokeh", logo=False, inline=True)
    with pn.config.set(inline=True):
        shown: Any = pn.panel(figure)
        return shown._repr_mimebundle_() or ({}, {})


for kind in (hv.Layout, hv.Overlay):
    hv.Store.set_display_hook("html+js", kind, show_inline)


def line(
    across: Any, up: Any, vertical: hv.Dimension, label: str, colour: str, width: float = 1.4, **look: Any
) -> hv.Curve:
    """A line over the time axis."""
    curve: Any = hv.Curve((across, up), "time", vertical, label=label)
    return curve.opts(color=colour, line_width=width, backend="bokeh", **look)


def level_line(data: pd.DataFrame, level: float, vertical: hv.Dimension, label: str) -> hv.Curve:
    """A dashed line at one height, from the first time to the last."""
    return line(data["time"].iloc[[0, -1]], [level, level], vertical, label, OBSERVED, line_dash="dashed")


def alarm_marks(across: Any, up: Any, vertical: hv.Dimension, label: str = "alarm", colour: str = ALARM) -> hv.Points:
    """Triangles that point at ticks."""
    marks: Any = hv.Points((across, up), ["time", vertical], label=label)
    return marks.opts(marker="inverted_triangle", size=9, color=colour, backend="bokeh")


def panel(
    parts: Sequence[Any], theme: str, title: str, height: int, last: bool, across: str = "time", **look: Any
) -> hv.Overlay:
    """Parts over one another as one figure.

    Args:
        parts: what is drawn, the lowest first.
        theme, title, height, last: as of `figure_options`.
        across: label of the time axis, which only the last figure of a column carries.
        look: further options of the figure.
    """
    overlay: Any = hv.Overlay(parts)
    return overlay.opts(**figure_options(theme, title, height, last) | {"xlabel": across if last else ""} | look)


def stacked(figures: Sequence[Any]) -> hv.Layout:
    """Figures above one another; zooming the time axis of one zooms all."""
    layout: Any = hv.Layout(figures).cols(1)
    return layout.opts(shared_axes=True, merge_tools=True, sizing_mode="stretch_width", backend="bokeh")


def yes_or_no(flags: Any) -> list[str]:
    """Flags as text."""
    return ["yes" if flag else "no" for flag in flags]


MOST_HOVERS = 1500
# narrow enough to find room beside the pointer on a telephone
BOX = "<div style='max-width:min(340px,42vw);white-space:normal;font-size:12px;line-height:1.35'>{}</div>"
LINE = "<div><span style='opacity:.7'>{}:</span> @{{{}}}</div>"


def hover_rows(ticks: int, keep: np.ndarray, most: int = MOST_HOVERS) -> np.ndarray:
    """Rows that answer to the pointer: evenly spaced ticks, the last one, and those flagged in `keep`.

    The lines of a long series show the extremes of bins, which belong to no single tick; a tooltip names real ones.

    Args:
        ticks: rows of the series.
        keep: flag per row, for example its alarms; at most `most` of them are kept.
        most: evenly spaced rows at the most.
    """
    step = max(-(-ticks // most), 1)
    flagged = np.flatnonzero(keep)
    flagged = flagged[:: max(-(-len(flagged) // most), 1)]
    return np.unique(np.concatenate([np.arange(0, ticks, step), [ticks - 1], flagged])).astype(np.int64)


def hover_line(
    data: pd.DataFrame, rows: np.ndarray, height: np.ndarray, texts: Mapping[str, Sequence[str]], vertical: hv.Dimension
) -> hv.Curve:
    """The unseen line through `height` at `rows` whose tooltip tells the time and the `texts`.

    Args:
        data: has the column `time`.
        rows: from `hover_rows`.
        height: where the tooltip points, one value per row of `rows`; holes are filled from their neighbours.
        texts: by their labels, one per row of `rows`.
        vertical: the value axis of the panel.
    """
    times = data["time"].to_numpy()[rows]
    columns = {"when": [moment(t) for t in times]} | {
        f"told{i}": list(column) for i, column in enumerate(texts.values())
    }
    labels = ["tick" if times.dtype.kind != "M" else "time (UTC)", *texts]
    level: Any = pd.Series(height, dtype=np.float64).replace([np.inf, -np.inf], np.nan).ffill().bfill()
    frame = pd.DataFrame({"time": times, vertical.name: level.to_numpy()} | columns)
    lines = "".join(LINE.format(html.escape(label), name) for label, name in zip(labels, columns, strict=True))
    unseen: Any = hv.Curve(frame, "time", [vertical, *columns])
    # alpha 0 draws nothing and still answers; mode "vline" with a line answers with its nearest vertex alone
    return unseen.opts(
        alpha=0.0,
        tools=["hover"],
        hover_tooltips=BOX.format(lines),
        hover_mode="vline",
        show_legend=False,
        backend="bokeh",
    )


def with_unit(values: Any, unit: str) -> list[str]:
    """Numbers as text, each with its unit."""
    tail = f" {unit}" if unit else ""
    return [number(float(v)) + (tail if np.isfinite(v) else "") for v in values]


def with_ends(lower: Any, upper: Any, unit: str) -> list[str]:
    """Intervals as text, with their unit."""
    finite = np.isfinite(np.asarray(lower)) & np.isfinite(np.asarray(upper))
    pairs = zip(with_unit(lower, ""), with_unit(upper, unit), finite, strict=True)
    return [f"{low} to {high}" if k else "not known" for low, high, k in pairs]


MOST_POINTS = 4000


def thin_lines(frame: pd.DataFrame, columns: Sequence[str], most: int = MOST_POINTS) -> pd.DataFrame:
    """Each column's least and largest value of every bin of rows, in the order in which they came.

    A line through them covers the same pixels as the line through all points, as long as a bin is narrower than a
    pixel; no spike is lost.

    Args:
        frame: a column `time` and those named.
        columns: the lines.
        most: points of a line at the most; a shorter frame is returned whole.
    """
    if len(frame) <= most:
        return frame.filter(["time", *columns])
    bins = most // 2
    size = -(-len(frame) // bins)
    thinned = {"time": _bin_times(frame["time"].to_numpy(), size)}
    for name in columns:
        rows = _binned(frame[name].to_numpy(dtype=np.float64), size)
        finite = np.isfinite(rows)
        least = np.where(finite, rows, np.inf)
        largest = np.where(finite, rows, -np.inf)
        low_first = least.argmin(axis=1) <= largest.argmax(axis=1)
        low = np.where(finite.any(axis=1), least.min(axis=1), np.nan)
        high = np.where(finite.any(axis=1), largest.max(axis=1), np.nan)
        thinned[name] = np.stack([np.where(low_first, low, high), np.where(low_first, high, low)], axis=1).ravel()
    return pd.DataFrame(thinned)


def thin_band(frame: pd.DataFrame, lower: str, upper: str, most: int = MOST_POINTS) -> pd.DataFrame:
    """The envelope of a band: the least lower and the largest upper value of every bin of rows."""
    if len(frame) <= most:
        return frame.filter(["time", lower, upper])
    size = -(-len(frame) // most)
    low = _binned(frame[lower].to_numpy(dtype=np.float64), size)
    high = _binned(frame[upper].to_numpy(dtype=np.float64), size)
    low, high = (
        np.where(np.isfinite(low), low, np.inf).min(axis=1),
        np.where(np.isfinite(high), high, -np.inf).max(axis=1),
    )
    empty = np.isinf(low) | np.isinf(high)
    thinned = {
        "time": frame["time"].to_numpy()[::size],
        lower: np.where(empty, np.nan, low),
        upper: np.where(empty, np.nan, high),
    }
    return pd.DataFrame(thinned)


def thin_means(frame: pd.DataFrame, columns: Sequence[str], most: int = MOST_POINTS) -> pd.DataFrame:
    """Means of every bin of rows; shares that sum to one still do."""
    if len(frame) <= most:
        return frame.filter(["time", *columns])
    size = -(-len(frame) // most)
    starts = np.arange(0, len(frame), size)
    rows = np.diff(starts, append=len(frame))
    means = {name: np.add.reduceat(frame[name].to_numpy(dtype=np.float64), starts) / rows for name in columns}
    return pd.DataFrame({"time": frame["time"].to_numpy()[::size]} | means)


def _binned(values: np.ndarray, size: int) -> np.ndarray:
    padding = -len(values) % size
    return np.concatenate([values, np.full(padding, np.nan)]).reshape(-1, size)


def _bin_times(times: np.ndarray, size: int) -> np.ndarray:
    starts = np.arange(0, len(times), size)
    middles = np.minimum(starts + size // 2, len(times) - 1)
    return np.stack([times[starts], times[middles]], axis=1).ravel()
