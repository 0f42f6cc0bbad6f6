"""Which fields of a row become which metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .metric_list import DOUBTS, REJECTIONS

# Gauges that show a field of the last row.
SHOWN = {
    "predictor_holder_exponent": "holder_exponent",
    "predictor_cusum_drift": "cusum_drift",
    "predictor_adaptive_threshold": "adaptive_threshold",
    "predictor_kurtosis": "kurtosis",
    "predictor_volatility": "volatility",
    "predictor_transport_cost": "transport_cost",
    "predictor_free_energy": "free_energy",
    "predictor_dgm_entropy": "dgm_entropy",
    "predictor_distance_to_collapse": "distance_to_collapse",
    "predictor_mode_collapse_warning": "mode_collapse_warning",
}
# What a row's flags count towards, by metric and flag.
REASONS = (
    *(("predictor_rejections", reason) for reason in REJECTIONS),
    *(("predictor_doubtful_ticks", reason) for reason in DOUBTS),
)


class RowPlan(NamedTuple):
    """Where a row holds what is counted and shown."""

    columns: Mapping[str, slice]
    flags: list[int]
    last: list[int]
    weight: slice
    alarm: int
    chart: int
    emergency: int
    mode: int


def row_plan(columns: Mapping[str, slice]) -> RowPlan:
    """Places of the fields that the metrics read, found once instead of at every row."""
    at = {name: place.start for name, place in columns.items()}
    return RowPlan(
        columns,
        [at[reason] for _, reason in REASONS],
        [at[field] for field in SHOWN.values()],
        columns["weight"],
        at["alarm"],
        at["alarm_chart"],
        at["emergency"],
        at["operating_mode"],
    )
