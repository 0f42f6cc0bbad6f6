"""Figures from a result's Dataset, drawn by HoloViews on Bokeh; each is a `..._data(ds)` and a `..._plot(data)`.

The data functions need no screen and no HoloViews object; `overview` stacks all figures on one time axis, `linked`
lets one panel's selection show in all of them, `compare_runs` lays two runs over one another, and `report` makes one
HTML page of a run.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .brushing import linked
    from .charts import charts_data, charts_plot
    from .forecast import forecast_data, forecast_plot
    from .holder import holder_data, holder_plot
    from .panels import overview
    from .report_file import report
    from .selection import selection_data, selection_text
    from .two_runs import (
        compare_runs,
        error_difference_plot,
        two_alarms_plot,
        two_forecasts_plot,
        two_runs_data,
    )
    from .weights import weights_data, weights_plot

# Drawing libraries take seconds to import; who reads only tables or numbers does not wait for them.
_LATER = {
    "charts_data": "charts",
    "charts_plot": "charts",
    "compare_runs": "two_runs",
    "error_difference_plot": "two_runs",
    "forecast_data": "forecast",
    "forecast_plot": "forecast",
    "holder_data": "holder",
    "holder_plot": "holder",
    "linked": "brushing",
    "overview": "panels",
    "report": "report_file",
    "selection_data": "selection",
    "selection_text": "selection",
    "two_alarms_plot": "two_runs",
    "two_forecasts_plot": "two_runs",
    "two_runs_data": "two_runs",
    "weights_data": "weights",
    "weights_plot": "weights",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'uspnb.plots' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value


__all__ = [
    "charts_data",
    "charts_plot",
    "compare_runs",
    "error_difference_plot",
    "forecast_data",
    "forecast_plot",
    "holder_data",
    "holder_plot",
    "linked",
    "overview",
    "report",
    "selection_data",
    "selection_text",
    "two_alarms_plot",
    "two_forecasts_plot",
    "two_runs_data",
    "weights_data",
    "weights_plot",
]
