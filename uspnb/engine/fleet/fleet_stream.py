"""Frames of a fleet for one front end: two credits, coalesced, so that the delay stays bounded.

A frame is little-endian float64.  Header of 10: number, whether it replaces everything, first tick, ticks, assets, time
of sending [ms since 1970], ticks done, spark columns, summary columns, 0.  Then one summary per asset, which is the
present state, and for each tick and asset the spark columns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ...array_types import Float
from ...errors import DomainError
from ...model.fields import SPARK, shown_fields
from ...model.kernels.registry import KERNEL_NAMES
from .fleet import Fleet

SPARK_COLUMNS = shown_fields(SPARK)
SUMMARY_COLUMNS = (
    "value", "forecast", "lower", "upper", *(f"weight_{name}" for name in KERNEL_NAMES), "mode", "degraded",
    "emergency", "rejected", "alarms", "last_alarm_tick", "last_alarm_chart", "skill", "coverage", "faults",
)  # fmt: skip
HEADER_LENGTH = 10
SPARK_TICKS = 100


class FleetStream:
    """The newest ticks of all assets to one front end; any thread may call any method.

    Args:
        fleet: what is watched.
        send: takes a frame to the front end.
        rows: ticks of a sparkline.
        credits: frames that may be under way unacknowledged.
    """

    def __init__(self, fleet: Fleet, send: Callable[[bytes], None], rows: int = SPARK_TICKS, credits: int = 2) -> None:
        if rows < 2 or credits < 1:
            raise DomainError(f"rows = {rows} must be at least 2 and credits = {credits} at least 1")
        self._fleet, self._send, self._credits = fleet, send, credits
        self._rows = min(rows, fleet.record.ring)
        self._lock = threading.RLock()
        self._in_flight: set[int] = set()
        self._client: Any = None
        self._seq, self._next, self._reset, self._closed = 0, 0, True, False

    @property
    def client(self) -> Any:
        """The front end that last said hello, None before."""
        return self._client

    @property
    def in_flight(self) -> int:
        """Frames sent and not yet acknowledged."""
        return len(self._in_flight)

    def hello(self, client: Any) -> None:
        """A front end has (re)appeared: it is sent everything."""
        with self._lock:
            self._client, self._reset = client, True
            self._in_flight.clear()
            self.pump()

    def acknowledge(self, seq: int) -> None:
        """The front end has drawn frame `seq` and all before."""
        with self._lock:
            self._in_flight = {number for number in self._in_flight if number > seq}
            self.pump()

    def pump(self) -> None:
        """Send the ticks since the last frame, if there are any and a credit is free."""
        with self._lock:
            if self._closed or self._client is None or len(self._in_flight) >= self._credits:
                return
            ready = self._fleet.record.ticks
            if ready == self._next and not self._reset:
                return
            reset = self._reset or ready - self._next > self._rows
            first = max(0, ready - self._rows) if reset else self._next
            self._seq += 1
            self._in_flight.add(self._seq)
            frame, self._next = self._frame(first, ready, reset)
            self._reset = False
            self._send(frame)

    def close(self) -> None:
        """Send no more."""
        with self._lock:
            self._closed = True

    def _frame(self, first: int, stop: int, reset: bool) -> tuple[bytes, int]:
        real, sparks, _ = self._fleet.record.columns_of(SPARK_COLUMNS, first, stop)
        summary = summaries(self._fleet)
        if real > first:  # the worker has gone round the ring since: what is left is all that there is
            reset = True
        head = (
            self._seq, reset, real, len(sparks), len(self._fleet.assets), time.time() * 1e3, real + len(sparks),
            len(SPARK_COLUMNS), len(SUMMARY_COLUMNS), 0.0,
        )  # fmt: skip
        return np.concatenate([head, summary.ravel(), sparks.ravel()]).astype("<f8").tobytes(), real + len(sparks)


def summaries(fleet: Fleet) -> Float[np.ndarray, "asset column"]:
    """The present state of every asset, columns as in `SUMMARY_COLUMNS`."""
    record = fleet.record
    with record.lock:
        rows, place, scores = record.latest(), record.kept.place, record.scores
        row_names = ("observation", "next_prediction", "next_lower", "next_upper")
        parts = [rows[:, place[name]][:, None] for name in row_names]
        parts.append(rows[:, place["weight"]])
        parts += [rows[:, place[name]][:, None] for name in ("operating_mode", "degraded", "emergency", "rejected")]
        counts = (scores.alarms, scores.last_alarm, scores.last_chart, scores.skill, scores.coverage, scores.faults)
        return np.concatenate([*parts, np.stack(counts, axis=1)], axis=1)
