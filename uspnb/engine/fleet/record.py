"""What a fleet remembers: the last ticks of every asset in a ring, its scores since the start, and the alarms."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

import numpy as np

from ...array_types import Float, Int
from ...model.records import CHART_NAMES
from .lanes import Kept

ALARMS_KEPT = 10_000
ALARM_NAMES = (*CHART_NAMES, "level_release")


class AlarmRecord(NamedTuple):
    """One alarm: tick, time [ns], place of the asset, chart, tick at which the change began, the value that came."""

    tick: int
    stamp_ns: int
    asset: int
    chart: str
    onset: int
    observation: float


class Scores:
    """Scores of every asset since its first tick, in memory that does not grow.

    The root of a sum of squares is carried by `hypot`, which neither overflows nor underflows.
    """

    def __init__(self, assets: int) -> None:
        self.scored = np.zeros(assets, np.int64)
        self.covered = np.zeros(assets, np.int64)
        self.rejected = np.zeros(assets, np.int64)
        self.faults = np.zeros(assets, np.int64)
        self.alarms = np.zeros(assets, np.int64)
        self.last_alarm = np.full(assets, np.nan)
        self.last_chart = np.full(assets, -1, np.int64)
        self._error, self._naive = np.zeros(assets), np.zeros(assets)
        self._last = np.full(assets, np.nan)

    def add(self, tick: int, rows: Float[np.ndarray, "asset kept"], place: dict[str, np.ndarray]) -> None:
        """Count one tick."""
        y, forecast = rows[:, place["observation"]], rows[:, place["prediction"]]
        accepted, alarm = rows[:, place["accepted"]] > 0, rows[:, place["alarm"]] > 0
        with np.errstate(over="ignore", invalid="ignore"):
            inside = (rows[:, place["lower"]] <= y) & (y <= rows[:, place["upper"]])
            error, naive = y - forecast, y - self._last
        counted = accepted & np.isfinite(error) & np.isfinite(naive)
        self._error[counted] = np.hypot(self._error[counted], error[counted])
        self._naive[counted] = np.hypot(self._naive[counted], naive[counted])
        self.scored += counted
        self.covered += counted & inside
        self.rejected += ~accepted
        self.alarms += alarm
        self.last_alarm[alarm] = tick
        self.last_chart[alarm] = rows[alarm, place["alarm_chart"]].astype(np.int64)
        self._last = np.where(accepted, y, self._last)

    @property
    def rmse(self) -> Float[np.ndarray, "asset"]:
        """Root mean squared error of the forecasts [y]; NaN before the first."""
        return self._rooted(self._error)

    @property
    def rmse_last_value(self) -> Float[np.ndarray, "asset"]:
        """The same of the last value as a forecast, on the same ticks [y]."""
        return self._rooted(self._naive)

    @property
    def skill(self) -> Float[np.ndarray, "asset"]:
        """1 - rmse / rmse of the last value: above 0 is better than it; NaN where that made no error."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self._naive > 0, 1.0 - self._error / self._naive, np.nan)

    @property
    def coverage(self) -> Float[np.ndarray, "asset"]:
        """Share of scored ticks inside their interval; NaN before the first."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.covered / np.where(self.scored > 0, self.scored, np.nan)

    def _rooted(self, total: np.ndarray) -> np.ndarray:
        return total / np.sqrt(np.where(self.scored > 0, self.scored, np.nan))


class FleetRecord:
    """The last `ring` ticks of every asset, and what outlives them.

    Args:
        kept: which columns the rows have.
        assets: how many.
        ring: ticks kept at full resolution.
    """

    def __init__(self, kept: Kept, assets: int, ring: int) -> None:
        self.kept, self.ring = kept, ring
        self.lock = threading.Lock()
        self.scores = Scores(assets)
        self.alarms: deque[AlarmRecord] = deque(maxlen=ALARMS_KEPT)
        self.ticks = 0
        self._rows = np.full((ring, assets, len(kept.columns)), np.nan)
        self._stamps = np.zeros(ring, np.int64)

    def append(self, rows: Float[np.ndarray, "asset kept"], stamp_ns: int) -> None:
        """Remember one tick."""
        place = self.kept.place
        with self.lock:
            tick = self.ticks
            self._rows[tick % self.ring], self._stamps[tick % self.ring] = rows, stamp_ns
            self.scores.add(tick, rows, place)
            for asset in np.flatnonzero(rows[:, place["alarm"]] > 0):
                row = rows[asset]
                chart = ALARM_NAMES[int(row[place["alarm_chart"]])]
                onset = max(tick - int(row[place["onset_ago"]]), 0)
                value = float(row[place["observation"]])
                self.alarms.append(AlarmRecord(tick, stamp_ns, int(asset), chart, onset, value))
            self.ticks = tick + 1

    def span(self, first: int, stop: int) -> tuple[int, int]:
        """The part of ticks `first` to `stop` that is still here."""
        stop = max(0, min(stop, self.ticks))
        return min(max(first, self.ticks - self.ring, 0), stop), stop

    def rows_of(self, asset: int, first: int, stop: int) -> tuple[int, Float[np.ndarray, "time kept"], np.ndarray]:
        """Rows of one asset that are still here, the tick of the first of them, and their times [ns]."""
        with self.lock:
            first, stop = self.span(first, stop)
            places = np.arange(first, stop) % self.ring
            return first, self._rows[places, asset], self._stamps[places]

    def columns_of(
        self, names: tuple[str, ...], first: int, stop: int
    ) -> tuple[int, Float[np.ndarray, "time asset column"], Int[np.ndarray, "time"]]:
        """Scalar columns of every asset over ticks that are still here, the tick of the first, and their times."""
        columns = np.array([int(self.kept.place[name]) for name in names])
        with self.lock:
            first, stop = self.span(first, stop)
            places = np.arange(first, stop) % self.ring
            return first, self._rows[places[:, None], :, columns[None, :]].swapaxes(1, 2), self._stamps[places]

    def latest(self) -> Float[np.ndarray, "asset kept"]:
        """The last row of every asset, NaN before the first tick."""
        return self._rows[(self.ticks - 1) % self.ring]
