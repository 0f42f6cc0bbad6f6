"""What the table of a fleet shows: for every asset its present state and its last ticks."""

from __future__ import annotations

import numpy as np

from ...array_types import Float
from ...model.kernels.base import KERNEL_NAMES
from .fleet import Fleet

SPARK_COLUMNS = ("observation", "prediction", "lower", "upper", "alarm")
SUMMARY_COLUMNS = (
    "value", "forecast", "lower", "upper", *(f"weight_{name}" for name in KERNEL_NAMES), "mode", "degraded",
    "emergency", "rejected", "alarms", "last_alarm_tick", "last_alarm_chart", "skill", "coverage", "faults",
)  # fmt: skip


def sparks(fleet: Fleet, first: int, stop: int) -> tuple[int, Float[np.ndarray, "tick asset column"]]:
    """The ticks `first` to `stop` that are still in the ring, columns as in `SPARK_COLUMNS`, and the first of them."""
    real, rows, _ = fleet.record.columns_of(SPARK_COLUMNS, first, stop)
    return real, rows


def summaries(fleet: Fleet) -> Float[np.ndarray, "asset column"]:
    """The present state of every asset, columns as in `SUMMARY_COLUMNS`."""
    record = fleet.record
    with record.lock:
        rows, place, scores = record.latest(), record.kept.place, record.scores
        row_names = ("observation", "next_prediction", "next_lower", "next_upper")
        parts = [rows[:, place[name]][:, None] for name in row_names]
        parts.append(rows[:, place["weight"]])
        parts += [rows[:, place[name]][:, None] for name in ("mode", "degraded", "emergency", "rejected")]
        counts = (scores.alarms, scores.last_alarm, scores.last_chart, scores.skill, scores.coverage, scores.faults)
        return np.concatenate([*parts, np.stack(counts, axis=1)], axis=1)
