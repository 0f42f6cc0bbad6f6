"""A predictor beside the live one: the settings before a change, kept going; or the next ones, catching up."""

from __future__ import annotations

import numpy as np

from ...array_types import Float
from ...model.packing import unpack
from ...model.programs import SERIES_LENGTH
from ...model.records import Observation
from ...model.state import PredictorState
from ...predictor.functional import FunctionalPredictor, filled
from .tick_ring import TickRing


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
        return ring.seen - self.at

    def advance(self, ring: TickRing, most: int = SERIES_LENGTH) -> Float[np.ndarray, "tick"]:
        """Take up to `most` of the ticks that it has not taken, and return the forecasts that were made for them."""
        self.at = max(self.at, ring.start)  # what the ring has let go is lost
        stop = min(ring.seen, self.at + min(most, SERIES_LENGTH))
        ticks = ring.since(self.at, stop).ticks
        if not len(ticks.value):
            return np.zeros(0)
        buffer = Observation(*(filled(column, SERIES_LENGTH) for column in ticks))
        self.state, rows = self.functional.advance(self.state, buffer, len(ticks.value))
        self.at = stop
        return np.asarray(unpack(rows, self.functional.layout).telemetry.prediction)

    def state_with(self, ticks: int) -> PredictorState:
        """Its state, as one that has counted so many accepted ticks."""
        return self.state._replace(ticks=np.asarray(ticks, np.int64))
