"""A change on probation: the live predictor against the settings before it, kept going beside it on the same ticks."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import numpy as np

from ...array_types import Float
from ...model.packing import unpack
from ...model.programs import SERIES_LENGTH
from ...model.state import PredictorState
from ...predictor.functional import FunctionalPredictor, filled
from ...predictor.scores import diebold_mariano
from ..evaluation import MOST_MISSED
from .decisions import LoopSettings
from .watching import TickRing

LEAST_TICKS, STRIDE = 50, 25
# Student's t of the paired losses that an early end needs beside the rise itself.
EARLY_T = 3.0
PASSED, FAILED, GOING = "passed", "failed", "going on"


class OffStage:
    """Settings and a state that follow the live ticks, at their own distance.

    Args:
        functional: the settings.
        state: after the tick before `at`.
        at: number of the next tick that it takes.
    """

    def __init__(self, functional: FunctionalPredictor, state: PredictorState, at: int) -> None:
        self.functional, self.state, self.at = functional, state, at

    def behind(self, ring: TickRing) -> int:
        """Ticks that it has not taken yet."""
        return ring.count - self.at

    def advance(self, ring: TickRing, most: int = SERIES_LENGTH) -> Float[np.ndarray, "tick"]:
        """Take up to `most` of the ticks that it has not taken, and return the forecasts that were made for them."""
        self.at = max(self.at, ring.start)  # what the ring has let go is lost
        stop = min(ring.count, self.at + min(most, SERIES_LENGTH))
        ticks = ring.since(self.at, stop).ticks
        if not len(ticks.value):
            return np.zeros(0)
        buffer = jax.tree.map(lambda column: filled(column, SERIES_LENGTH), ticks)
        self.state, rows = self.functional.advance(self.state, buffer, len(ticks.value))
        self.at = stop
        return np.asarray(unpack(rows, self.functional.layout).telemetry.prediction)

    def state_with(self, ticks: int) -> PredictorState:
        """Its state, as one that has counted so many accepted ticks."""
        return self.state._replace(ticks=np.asarray(ticks, np.int64))


class Assessment(NamedTuple):
    """How a change does.

    Attributes:
        state: "going on", "passed" or "failed".
        ticks: compared so far.
        rise: MAE with the change / MAE of the settings before, less 1; NaN before the first comparison.
        p_value: one-sided, of the change being worse by chance.
        reason: why it ended so.
    """

    state: str
    ticks: int
    rise: float
    p_value: float
    reason: str = ""


class Probation:
    """The settings before a change, run on beside the live ones for as long as the change is on probation.

    Both see the same ticks, so that a change of volatility or of the process itself touches both; and where the change
    is taken back the predictor goes on from the state that it would have had without it.  It costs one more step a
    tick, which no replay in the background would save: that would judge at its own checkpoints only.

    It fails where the rise is at least `error_rise`: at the end, or every 25 ticks from the 50th on where the paired
    losses say so as well (t > 3); and at the end where the change is significantly worse, however little.  A forecast
    that is missing counts as last value's; more than 10 % missing where the settings before have them is a failure.

    Args:
        settings: of the loop.
        before: the settings and the state before the change.
    """

    def __init__(self, settings: LoopSettings, before: OffStage) -> None:
        self._settings, self.before = settings, before
        self._pairs: list[tuple[float, float]] = []
        self._missed = 0
        self.count = 0
        self.assessment = Assessment(GOING, 0, math.nan, math.nan)

    def observe(self, ring: TickRing) -> Assessment:
        """Take the ticks of the ring that it has not taken, which the live predictor has taken before."""
        forecasts = self.before.advance(ring)
        stretch = ring.since(ring.count - len(forecasts))
        for old, y, error, naive in zip(forecasts, stretch.ticks.value, stretch.error, stretch.naive, strict=True):
            if self.assessment.state != GOING:
                break
            self.count += 1
            self._compare(abs(float(y) - float(old)), float(error), float(naive))
            if self.count >= self._settings.watch_ticks or (self.count >= LEAST_TICKS and self.count % STRIDE == 0):
                self.assessment = self._judged()
        return self.assessment

    def _compare(self, old: float, error: float, naive: float) -> None:
        if not math.isfinite(naive):
            return
        if math.isfinite(old) and not math.isfinite(error):
            self._missed += 1
        self._pairs.append((error if math.isfinite(error) else naive, old if math.isfinite(old) else naive))

    def _judged(self) -> Assessment:
        live, old = np.array(self._pairs).reshape(-1, 2).T
        ended = self.count >= self._settings.watch_ticks
        if not len(live):
            return Assessment(PASSED if ended else GOING, 0, math.nan, math.nan, "no tick could be compared")
        rise = _rise(float(live.mean()), float(old.mean()))
        test = diebold_mariano(live, old)
        p_value = test.p_value / 2.0 if test.statistic > 0 else 1.0 - test.p_value / 2.0
        if self._missed > MOST_MISSED * len(live):
            return Assessment(FAILED, len(live), rise, p_value, f"{self._missed} forecasts of {len(live)} are missing")
        if rise >= self._settings.error_rise and rise > 0 and (ended or test.statistic > EARLY_T):
            return Assessment(FAILED, len(live), rise, p_value, f"the error has risen by {rise:.1%}")
        if not ended:
            return Assessment(GOING, len(live), rise, p_value)
        if rise > 0 and p_value < self._settings.significance:
            return Assessment(FAILED, len(live), rise, p_value, f"the error is {rise:.1%} higher, which is significant")
        return Assessment(
            PASSED, len(live), rise, p_value, f"the error is {abs(rise):.1%} {'higher' if rise > 0 else 'lower'}"
        )


def _rise(live: float, old: float) -> float:
    if old > 0:
        return live / old - 1.0
    return 0.0 if live == 0 else math.inf
