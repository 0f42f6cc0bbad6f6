"""`JitterMeter`: how long ticks take, how unevenly, and whether that is still below the sampling limit."""

from __future__ import annotations

import math
from typing import NamedTuple, SupportsIndex

from ..runtime.arguments import check_number, check_whole

LEAST_TICKS = 20


class JitterReading(NamedTuple):
    """What a meter shows; NaN where it has seen too little.

    Attributes:
        ticks: ticks measured since the start.
        latency_ewma_ns: moving average of the latency [ns].
        latency_p95_ns, latency_p99_ns: nearest-rank percentiles of the latency over the window [ns].
        jitter_p95_ns, jitter_p99_ns: those of the jitter [ns].
        interval_ewma_ns: moving average of the time between arrivals [ns].
        degraded: whether the jitter is above what the sampling limit allows.
    """

    ticks: int
    latency_ewma_ns: float
    latency_p95_ns: float
    latency_p99_ns: float
    jitter_p95_ns: float
    jitter_p99_ns: float
    interval_ewma_ns: float
    degraded: bool


class JitterMeter:
    """Latency and jitter of a series' ticks, at a cost per tick that does not depend on the window.

    With l_t the latency of tick t, the jitter is the difference of transit times of RFC 3550 (section 6.4.1),
    j_t = |l_t - l_{t-1}|.  The meter is degraded from the tick at which P95(j) > ratio * limit until
    P95(j) <= recovery * ratio * limit.  Whether a percentile is above a bound is a question of how many entries are, so
    two counters answer it exactly and nothing is sorted before somebody reads.

    Args:
        limit_ns: the sampling (Nyquist) limit [ns]; 0 for none, the meter is then never degraded.
        ratio: share of the limit above which the jitter degrades.
        window: ticks that the percentiles are taken over.
        alpha: rate of the averages [1/tick].
        recovery: share of that bound which the jitter must come down to.

    Raises:
        DomainError: an argument out of its range.

    Source: seed 000, section 19; RFC 3550, section 6.4.1.
    """

    def __init__(
        self,
        limit_ns: float,
        ratio: float = 0.8,
        window: SupportsIndex = 1024,
        *,
        alpha: float = 0.05,
        recovery: float = 0.8,
    ) -> None:
        limit_ns = check_number("limit_ns", limit_ns, 0, unit="ns")
        ratio = check_number("ratio", ratio, above=0)
        window = check_whole("window", window, LEAST_TICKS, unit="ticks", remedy="fewer have no percentile")
        alpha = check_number("alpha", alpha, above=0, most=1)
        recovery = check_number("recovery", recovery, above=0, most=1)
        self.bound_ns = ratio * limit_ns if limit_ns > 0 else math.inf
        self._calm_ns = recovery * self.bound_ns
        self._alpha, self._window = alpha, window
        self._latencies: list[int] = []
        self._jitters: list[int] = []
        self._above = self._above_calm = 0
        self._ticks = 0
        self._last_latency = self._last_arrival = 0
        self._latency_ewma = self._interval_ewma = math.nan
        self._degraded = False

    def tick(self, latency_ns: int, arrival_ns: int) -> int:
        """Measure one tick.

        Args:
            latency_ns: from its arrival to its forecast [ns], a difference of `time.perf_counter_ns()`.
            arrival_ns: `time.perf_counter_ns()` at its arrival.

        Returns:
            The jitter of this tick [ns]; 0 for the first.
        """
        jitter = 0
        if self._ticks:
            jitter = abs(latency_ns - self._last_latency)
            self._latency_ewma += self._alpha * (latency_ns - self._latency_ewma)
            interval = arrival_ns - self._last_arrival
            self._interval_ewma = (
                float(interval)
                if self._ticks == 1
                else self._interval_ewma + self._alpha * (interval - self._interval_ewma)
            )
            self._remember_jitter(jitter)
        else:
            self._latency_ewma = float(latency_ns)
        if len(self._latencies) < self._window:
            self._latencies.append(latency_ns)
        else:
            self._latencies[self._ticks % self._window] = latency_ns
        self._last_latency, self._last_arrival = latency_ns, arrival_ns
        self._ticks += 1
        return jitter

    @property
    def degraded(self) -> bool:
        """Whether the jitter is above what the sampling limit allows."""
        return self._degraded

    @property
    def latency_ewma_ns(self) -> float:
        """Moving average of the latency [ns], NaN before the first tick."""
        return self._latency_ewma

    @property
    def interval_ewma_ns(self) -> float:
        """Moving average of the time between arrivals [ns], NaN before the second tick."""
        return self._interval_ewma

    def reading(self) -> JitterReading:
        """Everything the meter shows; sorts the window, so call it when it is shown, not at every tick."""
        latencies, jitters = sorted(self._latencies), sorted(self._jitters)
        return JitterReading(
            self._ticks,
            self._latency_ewma,
            nearest_rank(latencies, 95),
            nearest_rank(latencies, 99),
            nearest_rank(jitters, 95),
            nearest_rank(jitters, 99),
            self._interval_ewma,
            self._degraded,
        )

    def _remember_jitter(self, jitter: int) -> None:
        if len(self._jitters) < self._window:
            self._jitters.append(jitter)
        else:
            place = (self._ticks - 1) % self._window
            gone = self._jitters[place]
            self._above -= gone > self.bound_ns
            self._above_calm -= gone > self._calm_ns
            self._jitters[place] = jitter
        self._above += jitter > self.bound_ns
        self._above_calm += jitter > self._calm_ns
        count = len(self._jitters)
        if count < LEAST_TICKS:
            return
        # P95 is the entry of rank ceil(0.95 n); it is above a bound if fewer than that many are not.
        above = self._above_calm if self._degraded else self._above
        self._degraded = count - above < _rank(count, 95)


def nearest_rank(ordered: list[int], percent: int) -> float:
    """The entry of rank ceil(percent / 100 * n) of a sorted list, NaN of an empty one."""
    return float(ordered[_rank(len(ordered), percent) - 1]) if ordered else math.nan


def _rank(count: int, percent: int) -> int:
    return -(-percent * count // 100)
