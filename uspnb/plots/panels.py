"""All figures of a result on one time axis."""

from __future__ import annotations

from typing import Any

import xarray as xr

from .charts import charts_data, charts_plot
from .drawing import hv
from .forecast import forecast_data, forecast_plot
from .holder import holder_data, holder_plot
from .style import check_theme
from .weights import weights_data, weights_plot


def overview(ds: xr.Dataset, theme: str = "light", asset: Any = None) -> hv.Layout:
    """Forecast, weights, roughness and alarm charts above one another; zooming one zooms all.

    Args:
        ds: a result of `backtest` or `history`.
        theme: "light" or "dark".
        asset: which asset of several, by its label; the first where it is left out.

    Raises:
        DomainError: an unknown theme or asset.
    """
    check_theme(theme)
    figures = [
        forecast_plot(forecast_data(ds, asset), theme, last=False),
        weights_plot(weights_data(ds, asset), theme, last=False),
        holder_plot(holder_data(ds, asset), theme, last=False),
        charts_plot(charts_data(ds, asset), theme, last=True),
    ]
    layout: Any = hv.Layout(figures).cols(1)
    return layout.opts(shared_axes=True, merge_tools=True, sizing_mode="stretch_width", backend="bokeh")
