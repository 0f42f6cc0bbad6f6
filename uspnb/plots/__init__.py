"""Figures from a result's Dataset, drawn by HoloViews on Bokeh; each is a `..._data(ds)` and a `..._plot(data)`.

The data functions need no screen and no HoloViews object; `overview` stacks all figures on one time axis.
"""

from __future__ import annotations

import holoviews as hv

if "bokeh" not in hv.Store.loaded_backends():
    hv.extension("bokeh", logo=False, inline=True)

from .charts import charts_data, charts_plot
from .forecast import forecast_data, forecast_plot
from .holder import holder_data, holder_plot
from .overview import overview
from .weights import weights_data, weights_plot

__all__ = [
    "charts_data",
    "charts_plot",
    "forecast_data",
    "forecast_plot",
    "holder_data",
    "holder_plot",
    "overview",
    "weights_data",
    "weights_plot",
]
