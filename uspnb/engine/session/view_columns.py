"""The columns that a live view draws, taken from packed rows."""

from __future__ import annotations

import functools

import numpy as np

from ...array_types import Float, Int
from ...model.fields import VIEW, shown_fields
from ...model.fields import view_columns as named_columns
from ...model.kernels.registry import KERNEL_NAMES
from ...model.packing import Layout, row_columns, unpack
from .reasons import reason_codes

NANOSECONDS_PER_MILLISECOND = 1e6

VIEW_COLUMNS: tuple[str, ...] = named_columns(KERNEL_NAMES)


@functools.cache
def _places(layout: Layout) -> Int[np.ndarray, "column"]:
    """Where the columns that are fields stand in a row."""
    columns = row_columns(layout)
    return np.concatenate([np.arange(columns[n].start, columns[n].stop) for n in shown_fields(VIEW)])


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
    t = unpack(rows, layout).telemetry
    tick = first_tick + np.arange(len(rows), dtype=np.float64)
    onset = np.where(np.asarray(t.alarm, bool), np.maximum(tick - np.asarray(t.onset_ago), 0.0), np.nan)
    time = tick if grid else np.asarray(stamps_ns) / NANOSECONDS_PER_MILLISECOND
    parts = ([tick, time], rows[:, _places(layout)].T, [onset, reason_codes(t)])
    return np.concatenate(parts).T if len(rows) else np.empty((0, len(VIEW_COLUMNS)))
