"""The newest alarms of a session, as a table for a person."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...model.packing import Layout, row_columns
from ...model.records import CHART_NAMES

if TYPE_CHECKING:
    import pandas as pd

MOST_ALARMS = 10_000
CHARTS = (*CHART_NAMES, "level_release")
COLUMNS = ("tick", "time", "chart", "onset_tick", "onset_time", "observation")


class Alarm(NamedTuple):
    """One alarm: the tick that raised it and the tick at which the change is estimated to have begun."""

    tick: int
    stamp_ns: int
    chart: str
    onset_tick: int
    onset_stamp_ns: int | None
    observation: float


class AlarmLog:
    """The newest `MOST_ALARMS` alarms; written by the worker, read by any thread."""

    def __init__(self, layout: Layout) -> None:
        self._columns = row_columns(layout)
        self._alarms: deque[Alarm] = deque(maxlen=MOST_ALARMS)
        self._lock = threading.Lock()

    def find(self, rows: np.ndarray) -> np.ndarray:
        """Which of the rows raised an alarm: their positions."""
        return np.flatnonzero(rows[:, self._columns["alarm"].start])

    def add(self, row: np.ndarray, tick: int, stamp_ns: int, onset_tick: int, onset_stamp_ns: int | None) -> None:
        """Keep the alarm of one row."""
        chart = int(row[self._columns["alarm_chart"].start])
        name = CHARTS[chart] if 0 <= chart < len(CHARTS) else "none"
        value = float(row[self._columns["observation"].start])
        with self._lock:
            self._alarms.append(Alarm(tick, stamp_ns, name, onset_tick, onset_stamp_ns, value))

    def onset(self, row: np.ndarray, tick: int) -> int:
        """The tick at which the change that a row signals began."""
        return max(tick - int(row[self._columns["onset_ago"].start]), 0)

    def cut(self, ticks: int) -> None:
        """Forget the alarms of tick `ticks` and later."""
        with self._lock:
            while self._alarms and self._alarms[-1].tick >= ticks:
                self._alarms.pop()

    def table(self, grid: bool) -> pd.DataFrame:
        """The alarms, oldest first, with the columns of `COLUMNS`.

        Args:
            grid: whether the time axis counts ticks, so that times are tick indices.
        """
        import pandas as pd

        with self._lock:
            alarms = list(self._alarms)
        ticks = np.array([a.tick for a in alarms], np.int64)
        onsets = np.array([a.onset_tick for a in alarms], np.int64)
        missing = np.iinfo(np.int64).min  # what datetime64 calls NaT
        stamps = np.array([a.stamp_ns for a in alarms], np.int64).astype("datetime64[ns]")
        began = [missing if a.onset_stamp_ns is None else a.onset_stamp_ns for a in alarms]
        onset_times = np.array(began, np.int64).astype("datetime64[ns]")
        values = (
            ticks,
            ticks if grid else stamps,
            [a.chart for a in alarms],
            onsets,
            onsets if grid else onset_times,
            np.array([a.observation for a in alarms], np.float64),
        )
        return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))
