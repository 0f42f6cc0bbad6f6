"""What the ticks so far have made: state, rows, alarms, and the way back; no threads and no clock in here."""

from __future__ import annotations

import numpy as np

from ...config.schema import PredictorConfig
from ...model.packing import row_columns
from ...model.programs import SERIES_LENGTH, filled
from ...model.records import Observation
from ...model.state import PredictorState
from ...predictor.functional import FunctionalPredictor
from ...sources import Ticks
from .alarm_log import AlarmLog
from .checkpoints import Checkpoint, Checkpoints, SettingsRecord
from .recording import Recording

CHUNK = SERIES_LENGTH


class Computation:
    """One predictor at work on one series, tick 0 the first of the session.

    `position` is the tick that the state has reached.  It lags behind `ticks`, the length of the record, only while
    the state of an earlier tick is computed anew from a checkpoint.

    Args:
        functional: the predictor.
        state: where it starts; None for its cold state, which is then made by `prepare`.
        recording: takes the rows.
    """

    def __init__(self, functional: FunctionalPredictor, state: PredictorState | None, recording: Recording) -> None:
        self.layout = functional.layout
        self.recording = recording
        self.alarms = AlarmLog(self.layout)
        self.checkpoints = Checkpoints()
        self.settings = SettingsRecord(functional)
        self.position = self.alarm_count = self.rejected_count = 0
        self.last_row: np.ndarray | None = None
        self._state = state
        self._columns = row_columns(self.layout)

    @property
    def ticks(self) -> int:
        """Ticks processed so far."""
        return self.recording.count

    @property
    def behind(self) -> int:
        """Ticks that must be computed anew before the state belongs to the end of the record."""
        return self.ticks - self.position

    @property
    def config(self) -> PredictorConfig:
        """The settings of the next tick."""
        return self.settings.current.config

    @property
    def state(self) -> PredictorState:
        """The state after `position` ticks."""
        if self._state is None:
            self._state = self.settings.current.init_state()
        return self._state

    def prepare(self) -> None:
        """Compile and load the program, which may take many seconds, without touching the state."""
        self.settings.current.warm(self.state)
        if not len(self.checkpoints):
            self.checkpoints.restart(self.here())

    def take_in(self, ticks: Ticks, now_ns: np.ndarray) -> np.ndarray:
        """Process new ticks, at most `CHUNK`; `recording.make_room` has been called.

        Args:
            ticks: the ticks.
            now_ns: the time of processing of each.

        Returns:
            Their packed results, (len(ticks), width).
        """
        first = self.ticks
        state, rows = self._advance(self.settings.current, ticks, now_ns)
        self.recording.append(rows, ticks.stamps_ns)
        self._commit(state, rows)
        for k in self.alarms.find(rows).tolist():
            tick = first + k
            onset = self.alarms.onset(rows[k], tick)
            self.alarms.add(rows[k], tick, int(ticks.stamps_ns[k]), onset, self.recording.stamp(onset))
        self.last_row = rows[-1]
        self.checkpoints.offer(self.here())
        return rows

    def recompute(self, ticks: Ticks) -> None:
        """Process ticks of a replay again, on the way from a checkpoint to the end of the record; they leave no row.

        Args:
            ticks: at most `portion_behind()` of them.
        """
        functional, _ = self.settings.at(self.position)
        self._commit(*self._advance(functional, ticks, ticks.stamps_ns))

    def portion_behind(self) -> int:
        """How many ticks may be computed anew at once: a chunk, and all under the same settings as they once were."""
        _, change = self.settings.at(self.position)
        alike = self.behind if change is None else change - self.position
        return min(CHUNK, self.behind, alike)

    def _advance(
        self, functional: FunctionalPredictor, ticks: Ticks, now_ns: np.ndarray
    ) -> tuple[PredictorState, np.ndarray]:
        columns = (ticks.values, ticks.stamps_ns, now_ns, ticks.proxies)
        buffer = Observation(*(filled(column, CHUNK) for column in columns))
        return functional.advance(self.state, buffer, len(ticks))

    def _commit(self, state: PredictorState, rows: np.ndarray) -> None:
        self._state = state
        self.position += len(rows)
        self.alarm_count += int(np.count_nonzero(rows[:, self._columns["alarm"].start]))
        self.rejected_count += int(np.count_nonzero(rows[:, self._columns["rejected"].start]))

    def here(self) -> Checkpoint:
        """The present state with its counts."""
        return Checkpoint(self.position, self.state, self.alarm_count, self.rejected_count)

    def cut_to(self, tick: int) -> None:
        """End the record at `tick` and put the state at the nearest checkpoint before it; then `behind` says what is
        to be computed anew."""
        self._cut_record(tick)
        self._put(self.checkpoints.before(tick))

    def restore(self, kept: Checkpoint) -> None:
        """End the record at a state that was kept, and take that state."""
        self._cut_record(kept.tick)
        self._put(kept)

    def configure(self, functional: FunctionalPredictor) -> None:
        """Settings for the ticks from here on."""
        self.settings.change(self.ticks, functional)

    def restart_here(self, state: PredictorState) -> None:
        """Another source begins here: nobody goes back beyond this tick by computing anew."""
        self._state = state
        self.checkpoints.restart(self.here())

    def value(self, name: str) -> float:
        """One number of the last row, NaN before the first tick."""
        return float("nan") if self.last_row is None else float(self.last_row[self._columns[name].start])

    def _cut_record(self, tick: int) -> None:
        if tick > 0:
            rows, _ = self.recording.read(tick - 1, tick)
            self.last_row = rows[0]
        else:
            self.last_row = None
        self.recording.cut(tick)
        self.alarms.cut(tick)
        self.checkpoints.cut(tick)
        self.settings.cut(tick)

    def _put(self, kept: Checkpoint) -> None:
        self._state, self.position = kept.state, kept.tick
        self.alarm_count, self.rejected_count = kept.alarms, kept.rejected
