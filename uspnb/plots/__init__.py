"""Figures from a result's Dataset, drawn by HoloViews on Bokeh; each is a `..._data(ds)` and a `..._plot(data)`.

The data functions need no screen and no HoloViews object; `overview` stacks all figures on one time axis, `linked`
lets one panel's selection show in all of them, `compare_runs` lays two runs over one another, and `report` makes one
HTML page of a run.  `tuning_...` show a tuning campaign's results, `best_against_default` what it won.
"""

from typing import TYPE_CHECKING

from ..runtime.later import import_later

if TYPE_CHECKING:
    from .brushing import linked, selection_data, selection_text
    from .campaign_space import (
        tuning_parallel,
        tuning_parallel_data,
        tuning_parallel_plot,
        tuning_slice,
        tuning_slice_data,
        tuning_slice_plot,
    )
    from .campaign_trials import (
        tuning_history,
        tuning_history_data,
        tuning_history_plot,
        tuning_importance,
        tuning_importance_data,
        tuning_importance_plot,
    )
    from .coverage import calibration, coverage_data, coverage_plot, pit_data, pit_plot
    from .fans import fan, fan_data, fan_plot
    from .ladder_weights import horizon_weights, horizon_weights_data, horizon_weights_plot
    from .panels import (
        charts_data,
        charts_plot,
        forecast_data,
        forecast_plot,
        holder_data,
        holder_plot,
        overview,
        weights_data,
        weights_plot,
    )
    from .report_file import report
    from .two_runs import (
        best_against_default,
        best_against_default_data,
        compare_runs,
        error_difference_plot,
        squared_difference_plot,
        two_alarms_plot,
        two_forecasts_plot,
        two_runs_data,
    )

# Drawing libraries take seconds to import; who reads only tables or numbers does not wait for them.
__getattr__ = import_later(
    __name__,
    {
        "two_runs": (
            "best_against_default best_against_default_data compare_runs error_difference_plot "
            "squared_difference_plot two_alarms_plot two_forecasts_plot two_runs_data"
        ),
        "panels": (
            "charts_data charts_plot forecast_data forecast_plot holder_data holder_plot overview "
            "weights_data weights_plot"
        ),
        "fans": "fan fan_data fan_plot",
        "coverage": "calibration coverage_data coverage_plot pit_data pit_plot",
        "ladder_weights": "horizon_weights horizon_weights_data horizon_weights_plot",
        "brushing": "linked selection_data selection_text",
        "report_file": "report",
        "campaign_trials": (
            "tuning_history tuning_history_data tuning_history_plot tuning_importance "
            "tuning_importance_data tuning_importance_plot"
        ),
        "campaign_space": (
            "tuning_parallel tuning_parallel_data tuning_parallel_plot tuning_slice tuning_slice_data tuning_slice_plot"
        ),
    },
)


__all__ = [
    "best_against_default",
    "best_against_default_data",
    "calibration",
    "charts_data",
    "charts_plot",
    "compare_runs",
    "coverage_data",
    "coverage_plot",
    "error_difference_plot",
    "fan",
    "fan_data",
    "fan_plot",
    "forecast_data",
    "forecast_plot",
    "holder_data",
    "holder_plot",
    "horizon_weights",
    "horizon_weights_data",
    "horizon_weights_plot",
    "linked",
    "overview",
    "pit_data",
    "pit_plot",
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
