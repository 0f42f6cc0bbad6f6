"""Figures from a result's Dataset, drawn by HoloViews on Bokeh; each is a `..._data(ds)` and a `..._plot(data)`.

The data functions need no screen and no HoloViews object; `overview` stacks all figures on one time axis, `linked`
lets one panel's selection show in all of them, `compare_runs` lays two runs over one another, and `report` makes one
HTML page of a run.  `tuning_...` show a tuning campaign's results, `best_against_default` what it won.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .best_and_default import best_against_default, best_against_default_data, squared_difference_plot
    from .brushing import linked
    from .campaign_history import tuning_history, tuning_history_data, tuning_history_plot
    from .campaign_importance import tuning_importance, tuning_importance_data, tuning_importance_plot
    from .campaign_parallel import tuning_parallel, tuning_parallel_data, tuning_parallel_plot
    from .campaign_slice import tuning_slice, tuning_slice_data, tuning_slice_plot
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
    "best_against_default": "best_and_default",
    "best_against_default_data": "best_and_default",
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
    "squared_difference_plot": "best_and_default",
    "tuning_history": "campaign_history",
    "tuning_history_data": "campaign_history",
    "tuning_history_plot": "campaign_history",
    "tuning_importance": "campaign_importance",
    "tuning_importance_data": "campaign_importance",
    "tuning_importance_plot": "campaign_importance",
    "tuning_parallel": "campaign_parallel",
    "tuning_parallel_data": "campaign_parallel",
    "tuning_parallel_plot": "campaign_parallel",
    "tuning_slice": "campaign_slice",
    "tuning_slice_data": "campaign_slice",
    "tuning_slice_plot": "campaign_slice",
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
    "best_against_default",
    "best_against_default_data",
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
    "squared_difference_plot",
    "tuning_history",
    "tuning_history_data",
    "tuning_history_plot",
    "tuning_importance",
    "tuning_importance_data",
    "tuning_importance_plot",
    "tuning_parallel",
    "tuning_parallel_data",
    "tuning_parallel_plot",
    "tuning_slice",
    "tuning_slice_data",
    "tuning_slice_plot",
    "two_alarms_plot",
    "two_forecasts_plot",
    "two_runs_data",
    "weights_data",
    "weights_plot",
]
