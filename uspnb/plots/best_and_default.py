"""The forecasts of the tuned and of the default configuration of one series, and which of the two earns its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .drawing import hv
from .forecast import value_range
from .hover import hover_line, hover_rows, with_unit
from .style import OBSERVED, check_theme, figure_options
from .thinning import thin_lines
from .two_runs import FIRST, two_forecasts_plot, two_runs_data

NAMES = ("tuned", "default")


def best_against_default_data(best: xr.Dataset, default: xr.Dataset, asset: Any = None) -> pd.DataFrame:
    """One row per common tick: time, observation, forecasts and interval ends of both, the squared error's difference.

    The columns are those of `two_runs_data` with the tuned run as a, and `squared_difference`: the sum, so far, of
    (y - forecast of tuned)^2 - (y - forecast of default)^2 [input units^2]; where it falls, tuning pays.

    Raises:
        DomainError: the runs have no tick in common, or other observations at the same time.
    """
    frame = two_runs_data(best, default, NAMES, asset)
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
    total = hv.Dimension("difference", label="sum of differences")
    unit = f"({data.attrs['unit']})^2" if data.attrs["unit"] else ""
    lines = thin_lines(data, ["squared_difference"])
    rows = hover_rows(len(data), np.zeros(len(data), bool))
    height_at = data["squared_difference"].to_numpy()[rows]
    shown = (lines["time"], lines["squared_difference"])
    parts: list[Any] = [
        hv.Curve((data["time"].iloc[[0, -1]], [0.0, 0.0]), "time", total, label="equal").opts(
            color=OBSERVED, line_dash="dashed", line_width=1.4, backend="bokeh"
        ),
        hv.Curve(shown, "time", total, label="falls where the tuned settings are better").opts(
            color=FIRST, line_width=1.6, backend="bokeh"
        ),
        hover_line(data, rows, height_at, {"so far": with_unit(height_at, unit)}, total),
    ]
    options = figure_options(theme, "Squared error of tuned - squared error of default, summed", height, last)
    options["xlabel"] = data.attrs["xlabel"] if last else ""
    figure: Any = hv.Overlay(parts)
    return figure.opts(ylabel=f"{total.label} [{unit}]" if unit else total.label, **options)


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
    layout: Any = hv.Layout(figures).cols(1)
    return layout.opts(shared_axes=True, merge_tools=True, sizing_mode="stretch_width", backend="bokeh")
