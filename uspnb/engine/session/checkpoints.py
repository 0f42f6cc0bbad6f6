"""What going back in time needs: states kept on the way, and the settings that were in force when."""

from __future__ import annotations

import bisect
from typing import NamedTuple

from ...model.state import PredictorState
from ...predictor.functional import FunctionalPredictor

MOST_CHECKPOINTS = 128
FIRST_STRIDE = 512
MOST_CHANGES = 1000


class Checkpoint(NamedTuple):
    """A state, and what had been counted when it was reached.

    Attributes:
        tick: ticks processed.
        state: the state after them.
        alarms, rejected: how many of them raised an alarm, how many the gate refused.
    """

    tick: int
    state: PredictorState
    alarms: int = 0
    rejected: int = 0


class Checkpoints:
    """A bounded number of states; when there are too many, every other one goes and the stride doubles.

    The first one, where the source begins, always stays.

    Args:
        most: how many are kept.
        stride: ticks between two of them at first.
    """

    def __init__(self, most: int = MOST_CHECKPOINTS, stride: int = FIRST_STRIDE) -> None:
        self.most, self.stride = most, stride
        self._first_stride = stride
        self._kept: list[Checkpoint] = []

    def __len__(self) -> int:
        return len(self._kept)

    def restart(self, first: Checkpoint) -> None:
        """Forget all; `first` is where one can go back to from now on."""
        self._kept, self.stride = [first], self._first_stride

    def offer(self, checkpoint: Checkpoint) -> None:
        """Keep it if the last one is a stride away."""
        if self._kept and checkpoint.tick - self._kept[-1].tick < self.stride:
            return
        self._kept.append(checkpoint)
        if len(self._kept) > self.most:
            self._kept = self._kept[::2]
            self.stride *= 2

    def before(self, tick: int) -> Checkpoint:
        """The latest one at or before a tick; there must be one."""
        return self._kept[bisect.bisect_right(self._kept, tick, key=lambda kept: kept.tick) - 1]

    def cut(self, tick: int) -> None:
        """Forget those after a tick."""
        del self._kept[bisect.bisect_right(self._kept, tick, key=lambda kept: kept.tick) :]


class SettingsRecord:
    """Which predictor, that is which settings, processed which ticks; the newest `MOST_CHANGES` changes.

    Args:
        functional: the predictor of the first tick.
    """

    def __init__(self, functional: FunctionalPredictor) -> None:
        self._starts, self._predictors = [0], [functional]

    @property
    def current(self) -> FunctionalPredictor:
        """The predictor of the next new tick."""
        return self._predictors[-1]

    def change(self, tick: int, functional: FunctionalPredictor) -> None:
        """From `tick` on it is this one."""
        while self._starts and self._starts[-1] >= tick:
            self._starts.pop()
            self._predictors.pop()
        self._starts.append(tick)
        self._predictors.append(functional)
        if len(self._starts) > MOST_CHANGES:
            del self._starts[0], self._predictors[0]

    def at(self, tick: int) -> tuple[FunctionalPredictor, int | None]:
        """The predictor that processed a tick, and the tick from which on it was another, None where it never was."""
        place = max(bisect.bisect_right(self._starts, tick) - 1, 0)
        following = self._starts[place + 1] if place + 1 < len(self._starts) else None
        return self._predictors[place], following

    def cut(self, tick: int) -> None:
        """History ends at `tick` now; the present settings stay for what comes after."""
        if self._starts[-1] > tick:
            self.change(tick, self.current)
