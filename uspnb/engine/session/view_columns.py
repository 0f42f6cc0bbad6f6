"""The columns that a live view draws, taken from packed rows."""

from __future__ import annotations

import numpy as np

from ...array_types import Float, Int
from ...model.kernels.base import KERNEL_NAMES
from ...model.packing import Layout, unpack
from ...model.records import CHART_NAMES
from .reasons import reason_codes

NANOSECONDS_PER_MILLISECOND = 1e6

VIEW_COLUMNS: tuple[str, ...] = (
    "tick",
    "time",
    "observation",
    "prediction",
    "lower",
    "upper",
    "next_prediction",
    "next_lower",
    "next_upper",
    *(f"weight_{name}" for name in KERNEL_NAMES),
    *(f"target_weight_{name}" for name in KERNEL_NAMES),
    *(f"kernel_prediction_{name}" for name in KERNEL_NAMES),
    "holder_exponent",
    "holder_valid",
    *(f"chart_{name}" for name in CHART_NAMES),
    *(f"chart_threshold_{name}" for name in CHART_NAMES),
    "alarm",
    "alarm_chart",
    "onset_tick",
    "emergency",
    "degraded",
    "rejected",
    "operating_mode",
    "reason",
)


def view_columns(
    rows: Float[np.ndarray, "tick width"],
    stamps_ns: Int[np.ndarray, "tick"],
    first_tick: int,
    layout: Layout,
    grid: bool,
) -> Float[np.ndarray, "tick column"]:
    """What a live view draws of some ticks in a row.

    Args:
        rows: packed results of the ticks.
        stamps_ns: when each was measured [ns since 1970 UTC].
        first_tick: index of the first of them.
        layout: of the rows.
        grid: no times were given, so the time column counts ticks; else it is milliseconds since 1970 UTC.

    Returns:
        One row per tick, columns as in `VIEW_COLUMNS`; `onset_tick` is NaN where there is no alarm.
    """
    result = unpack(rows, layout)
    t = result.telemetry
    tick = first_tick + np.arange(len(rows), dtype=np.float64)
    alarm = np.asarray(t.alarm, bool)
    onset = np.where(alarm, np.maximum(tick - np.asarray(t.onset_ago), 0.0), np.nan)
    parts = (
        tick,
        tick if grid else np.asarray(stamps_ns) / NANOSECONDS_PER_MILLISECOND,
        t.observation,
        t.prediction,
        t.lower,
        t.upper,
        result.reference_prediction,
        result.confidence_lower,
        result.confidence_upper,
        t.weight,
        t.target_weight,
        t.kernel_prediction,
        t.holder_exponent,
        t.holder_valid,
        t.chart_statistic,
        t.chart_threshold,
        alarm,
        t.alarm_chart,
        onset,
        t.emergency,
        t.degraded,
        t.rejected,
        result.operating_mode,
        reason_codes(t),
    )
    made, at = np.empty((len(rows), len(VIEW_COLUMNS))), 0
    for part in parts:
        part = np.asarray(part)
        if part.ndim == 2:
            made[:, at : at + part.shape[1]] = part
            at += part.shape[1]
        else:
            made[:, at] = part
            at += 1
    return made
