"""Which row of a result's time axis an alarm's change began at, where that can be known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import DomainError
from ..runtime.words import season_words


def onset_rows(ds: xr.Dataset) -> np.ndarray:
    """`change_onset` of a result, all NaN where its rows are not those of this time axis.

    A slice of a result keeps the row numbers of the whole run.  An onset never lies after its alarm, so that one that
    does gives the slice away; then no onset is drawn, rather than one at a wrong instant.
    """
    rows = ds["change_onset"].transpose("time", ...).values.astype(np.float64)
    own = np.arange(len(rows)).reshape((-1,) + (1,) * (rows.ndim - 1))
    return np.full(rows.shape, np.nan) if (rows > own).any() else rows


# after Okabe and Ito 2008, chosen among theirs for contrast on both backgrounds
CHART_COLOURS = {"mean": "#2f86c8", "scale": "#e69f00", "dependence": "#14a37f"}
OBSERVED, FORECAST, ALARM, ONSET = "#858b93", "#2f86c8", "#d55e00", "#cc79a7"
THEMES: dict[str, dict[str, str]] = {
    "light": {"background": "#ffffff", "text": "#24292f", "muted": "#57606a", "grid": "#e7e9ec", "axis": "#afb6bd"},
    "dark": {"background": "#15181c", "text": "#dde2e8", "muted": "#a5adb6", "grid": "#2a2f36", "axis": "#59616a"},
}
LEFT_BORDER = 66


def check_theme(theme: str) -> str:
    """The theme, if there is one of that name.

    Raises:
        DomainError: neither "light" nor "dark".
    """
    if theme not in THEMES:
        raise DomainError(f"theme {theme!r} is not one of {', '.join(map(repr, THEMES))}")
    return theme


def themed(theme: str) -> Callable[[Any, Any], None]:
    """A HoloViews hook that dresses a Bokeh figure in a theme."""
    colours = THEMES[check_theme(theme)]

    def dress(plot: Any, element: Any) -> None:
        figure = plot.state
        figure.background_fill_color = figure.border_fill_color = colours["background"]
        figure.outline_line_color = figure.border_line_color = None
        figure.min_border_left, figure.min_border_right, figure.min_border_bottom = LEFT_BORDER, 12, 4
        figure.title.text_color, figure.title.text_font_size = colours["text"], "13px"
        for axis in (*figure.xaxis, *figure.yaxis):
            axis.axis_label_text_color = axis.major_label_text_color = colours["muted"]
            axis.axis_line_color = axis.major_tick_line_color = colours["axis"]
            axis.minor_tick_line_color = None
            axis.axis_label_text_font_style, axis.axis_label_text_font_size = "normal", "12px"
        for grid in (*figure.xgrid, *figure.ygrid):
            grid.grid_line_color = colours["grid"]
        for legend in figure.legend:
            legend.background_fill_alpha = 0.0
            legend.border_line_color = None
            legend.label_text_color = colours["text"]
            legend.label_text_font_size = "12px"
            legend.padding, legend.margin, legend.spacing, legend.glyph_height = 3, 3, 12, 12
            legend.click_policy = "hide"

    return dress


def figure_options(theme: str, title: str, height: int = 200, last: bool = True) -> dict[str, Any]:
    """Options that all figures share; `last` is the one that carries the label of the time axis."""
    return {
        "title": title,
        "responsive": True,
        "min_width": 280,
        "height": height + (24 if last else 0),
        "show_grid": True,
        "legend_position": "top",
        "legend_cols": 0,
        "legend_offset": (0, 5),
        "toolbar": "above",
        "default_tools": ["xpan", "box_zoom", "xwheel_zoom", "save", "reset"],
        "active_tools": ["xpan"],
        "padding": (0.01, 0.05),
        "hooks": [themed(theme)],
        "backend": "bokeh",
        "xlabel": "" if not last else None,
    }


def one_series(ds: xr.Dataset, asset: Any = None) -> xr.Dataset:
    """One asset of a result, its rows in the order of their times; the row of each estimated onset becomes its time.

    Args:
        ds: a result of `backtest` or `history`.
        asset: label of the asset; the first where it is left out.

    Raises:
        DomainError: there is no such asset, or an asset was named for a result of a single series.
    """
    if "asset" in ds.dims:
        labels = ds["asset"].values.tolist()
        chosen = labels[0] if asset is None else asset
        if chosen not in labels:
            raise DomainError(f"there is no asset {asset!r}; the assets are {', '.join(map(repr, labels))}")
        ds = ds.isel(asset=labels.index(chosen))
    elif asset is not None:
        raise DomainError(f"asset {asset!r} was named, but the result holds a single series; leave `asset` out")
    rows = onset_rows(ds)
    times = ds["time"].values
    missing = np.datetime64("NaT", "ns") if times.dtype.kind == "M" else np.nan
    at = times[np.where(np.isfinite(rows), rows, 0).astype(int)]
    onset = np.where(np.isfinite(rows), at, missing)
    ds = ds.assign(onset_time=("time", onset))
    if len(times) > 1 and (np.diff(times) < np.zeros(1, dtype=np.diff(times).dtype)).any():
        ds = ds.isel(time=np.argsort(times, kind="stable"))
    return ds


def unit_of(variable: xr.DataArray) -> str:
    """The unit of a variable as a reader wants it: nothing for a pure number or an unnamed unit."""
    units = str(variable.attrs.get("units", ""))
    return "" if units in ("1", "input units") else units


def label(variable: xr.DataArray, name: str) -> str:
    """Axis label of a variable: what it is and its unit."""
    units = unit_of(variable)
    return f"{name} [{units}]" if units else name


def season_text(ds: xr.Dataset, worth: bool = True) -> str:
    """The seasons that one series' run had in use at its last taken tick, and what they were `worth`; "" for none."""
    if "season_weight" not in ds or not (known := np.flatnonzero(np.isfinite(ds["season_weight"].values))).size:
        return ""
    last = ds.isel(time=known[-1])
    return season_words(last["season"].values, float(last["season_weight"]) if worth else None)


def time_label(ds: xr.Dataset) -> str:
    """Label of the time axis."""
    return "time (UTC)" if ds["time"].dtype.kind == "M" else "tick"


def spans(times: np.ndarray, flags: np.ndarray) -> pd.DataFrame:
    """Start and end of each run of rows in which a flag is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags.astype(bool), [False]])))
    starts, ends = edges[::2], np.minimum(edges[1::2], len(times) - 1)
    return pd.DataFrame({"start": times[starts], "end": times[ends]})
