"""The ticks that the loop remembers: what came, and how far the forecast and last value were off."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...array_types import Bool, Float, Int
from ...model.records import Observation


class Stretch(NamedTuple):
    """Ticks in a row, oldest first.

    Attributes:
        ticks: columns of shape (time,).
        accepted: which of them passed the gate.
        error: |y_t - yhat_{t|t-1}| of the fusion [input units]; NaN where nothing could be compared.
        naive: |y_t - y_{t-1}|, the error of last value, finite on the same ticks.
    """

    ticks: Observation
    accepted: Bool[np.ndarray, "time"]
    error: Float[np.ndarray, "time"]
    naive: Float[np.ndarray, "time"]

    def series(self) -> tuple[Float[np.ndarray, "tick"], Int[np.ndarray, "tick"]]:
        """Values and timestamps of the accepted ticks."""
        return self.ticks.value[self.accepted], self.ticks.timestamp_ns[self.accepted]


class TickRing:
    """The last `limit` ticks, counted from the first that was ever appended.

    Args:
        limit: ticks kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.seen = limit, 0
        self._real = np.full((limit, 4), np.nan)
        self._whole = np.zeros((limit, 2), np.int64)
        self._accepted = np.zeros(limit, bool)

    @property
    def start(self) -> int:
        """Number of the oldest tick that is kept."""
        return max(0, self.seen - self.limit)

    def append(self, tick: Observation, accepted: bool, error: float, naive: float) -> None:
        """One more tick."""
        place = self.seen % self.limit
        self._real[place] = tick.value, tick.dispersion_proxy, error, naive
        self._whole[place] = tick.timestamp_ns, tick.now_ns
        self._accepted[place] = accepted
        self.seen += 1

    def since(self, first: int, stop: int | None = None) -> Stretch:
        """Ticks from number `first` on, or from the oldest that is kept, up to and without `stop`."""
        stop = self.seen if stop is None else min(stop, self.seen)
        places = np.arange(max(first, self.start), max(stop, self.start)) % self.limit
        value, proxy, error, naive = self._real[places].T
        stamp, now = self._whole[places].T
        return Stretch(Observation(value, stamp, now, proxy), self._accepted[places], error, naive)
