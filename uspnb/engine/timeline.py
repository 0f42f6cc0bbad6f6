"""What the ticks so far have made, and the way back: rows, alarms, counts, checkpoints, the settings of every tick."""

from __future__ import annotations

import bisect
import operator
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..array_types import Float, Int
from ..config.schema import PredictorConfig
from ..model.records import CHART_NAMES
from ..sources import Ticks
from .computation import Computation
from .recording import Recording, Ring

if TYPE_CHECKING:
    import pandas as pd

MOST_CHECKPOINTS = 128
# Of a source that gives no tick twice: its newest ticks, and states along them, for corrections.
LIVE_CHECKPOINTS = 8
FIRST_STRIDE = 512
MOST_CHANGES = 1000
MOST_ALARMS = 10_000
ALARM_CHARTS = (*CHART_NAMES, "level_release")
_tick_of = operator.attrgetter("tick")


class Tally:
    """Alarms and refused ticks since the first tick of one series; `FleetTally` counts, and scores, by asset."""

    def __init__(self, alarms: int = 0, rejected: int = 0) -> None:
        self.counts: dict[str, Any] = {"alarms": alarms, "rejected": rejected, "faults": 0}

    @property
    def alarms(self) -> int:
        """Ticks that raised an alarm, over all assets."""
        return int(np.sum(self.counts["alarms"]))

    @property
    def rejected(self) -> int:
        """Ticks that the gate refused, over all assets."""
        return int(np.sum(self.counts["rejected"]))

    @property
    def faults(self) -> int:
        """Values that were no numbers, over all assets; none of one series."""
        return int(np.sum(self.counts["faults"]))

    def of(self, place: int) -> tuple[int, int, int]:
        """Alarms, refused ticks and faults of one asset."""
        alarms, rejected, faults = (int(np.ravel(self.counts[n])[place]) for n in ("alarms", "rejected", "faults"))
        return alarms, rejected, faults

    def add(self, first: int, rows: np.ndarray, columns: Mapping[str, slice]) -> None:
        """Count the rows of the ticks from `first` on."""
        for count, column in (("alarms", "alarm"), ("rejected", "rejected")):
            self.counts[count] += int(np.count_nonzero(rows[:, columns[column].start]))

    def extra(self) -> dict[str, int]:
        """What a snapshot holds of all assets together."""
        return {"alarms": self.alarms, "rejected": self.rejected}

    def by_asset(self) -> dict[str, np.ndarray]:
        """What a snapshot holds of each asset, arrays along the assets; nothing of one series."""
        return {}

    def begun(self, extra: Mapping[str, Any]) -> Tally:
        """A new one that goes on from what a snapshot holds; what is not there begins anew."""
        return Tally(*(int(extra.get(name, 0)) for name in ("alarms", "rejected")))

    def copy(self) -> Tally:
        """One that counts on from here by itself."""
        return self.begun({**self.extra(), **self.by_asset()})


class Checkpoint(NamedTuple):
    """A state, and what had been counted when it was reached.

    Attributes:
        tick: ticks processed.
        handle: the computation's handle of the state after them.
        tally: counts up to there, None for none.
    """

    tick: int
    handle: Any
    tally: Tally | None = None


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
        self._checkpoints: list[Checkpoint] = []

    def __len__(self) -> int:
        return len(self._checkpoints)

    @property
    def first(self) -> int:
        """The earliest tick that one can go back to."""
        return self._checkpoints[0].tick if self._checkpoints else 0

    def restart(self, first: Checkpoint) -> None:
        """Forget all; `first` is where one can go back to from now on."""
        self._checkpoints, self.stride = [first], self._first_stride

    def due(self, tick: int) -> bool:
        """Whether the last one is a stride away."""
        return not self._checkpoints or tick - self._checkpoints[-1].tick >= self.stride

    def offer(self, checkpoint: Checkpoint) -> None:
        """Keep it if it is due."""
        if not self.due(checkpoint.tick):
            return
        self._checkpoints.append(checkpoint)
        if len(self._checkpoints) > self.most:
            self._checkpoints = self._checkpoints[::2]
            self.stride *= 2

    def offer_newest(self, checkpoint: Checkpoint, stride: int, since: int) -> None:
        """Keep it if it is so far from the last one, and none of before tick `since`, whose ticks are gone."""
        self._checkpoints = [one for one in self._checkpoints if one.tick >= since]
        if not self._checkpoints or checkpoint.tick - self._checkpoints[-1].tick >= stride:
            self._checkpoints.append(checkpoint)

    def before(self, tick: int) -> Checkpoint:
        """The latest one at or before a tick; there must be one."""
        return self._checkpoints[bisect.bisect_right(self._checkpoints, tick, key=_tick_of) - 1]

    def cut(self, tick: int) -> None:
        """Forget those after a tick."""
        del self._checkpoints[bisect.bisect_right(self._checkpoints, tick, key=_tick_of) :]


class SettingsRecord:
    """Which settings processed which ticks; the newest `MOST_CHANGES` changes.

    Args:
        config: the settings of the first tick.
    """

    def __init__(self, config: PredictorConfig) -> None:
        self._starts, self._configs = [0], [config]

    @property
    def current(self) -> PredictorConfig:
        """The settings of the next new tick."""
        return self._configs[-1]

    def change(self, tick: int, config: PredictorConfig) -> None:
        """From `tick` on it is these."""
        while self._starts and self._starts[-1] >= tick:
            self._starts.pop()
            self._configs.pop()
        self._starts.append(tick)
        self._configs.append(config)
        if len(self._starts) > MOST_CHANGES:
            del self._starts[0], self._configs[0]

    def at(self, tick: int) -> tuple[PredictorConfig, int | None]:
        """The settings that processed a tick, and the tick from which on they were others, None where they are not."""
        place = max(bisect.bisect_right(self._starts, tick) - 1, 0)
        following = self._starts[place + 1] if place + 1 < len(self._starts) else None
        return self._configs[place], following

    def cut(self, tick: int) -> None:
        """History ends at `tick` now; the present settings stay for what comes after."""
        if self._starts[-1] > tick:
            self.change(tick, self.current)


class Alarm(NamedTuple):
    """One alarm: the tick that raised it and the tick at which the change is estimated to have begun."""

    tick: int
    asset: int
    stamp_ns: int
    chart: str
    onset_tick: int
    onset_stamp_ns: int | None
    observation: float


class AlarmLog:
    """The newest `MOST_ALARMS` alarms; written by the worker, read by any thread.

    Args:
        columns: where each field stands in a row.
    """

    def __init__(self, columns: Mapping[str, slice]) -> None:
        self._place = {n: columns[n].start for n in ("alarm", "alarm_chart", "observation", "onset_ago")}
        self._alarms: deque[Alarm] = deque(maxlen=MOST_ALARMS)
        self._lock = threading.Lock()

    def add(self, first: int, rows: np.ndarray, recording: Recording) -> None:
        """Keep the alarms of the rows of the ticks from `first` on, which `recording` has already."""
        place = self._place
        for k, *asset in np.argwhere(rows[..., place["alarm"]] > 0).tolist():
            row, tick = rows[k, *asset], first + k
            chart = int(row[place["alarm_chart"]])
            onset = max(tick - int(row[place["onset_ago"]]), 0)
            name = ALARM_CHARTS[chart] if 0 <= chart < len(ALARM_CHARTS) else "none"
            stamp, began = recording.stamp(tick) or 0, recording.stamp(onset)
            whose = asset[0] if asset else 0
            alarm = Alarm(tick, whose, stamp, name, onset, began, float(row[place["observation"]]))
            with self._lock:
                self._alarms.append(alarm)

    def cut(self, ticks: int) -> None:
        """Forget the alarms of tick `ticks` and later."""
        with self._lock:
            while self._alarms and self._alarms[-1].tick >= ticks:
                self._alarms.pop()

    def table(self, grid: bool, assets: Sequence[Any] | None = None) -> pd.DataFrame:
        """The alarms, oldest first: tick, time, asset (where labels are given), chart, onset_tick, onset_time,
        observation.

        Args:
            grid: whether the time axis counts ticks, so that times are tick indices.
            assets: labels of the assets, None for one series.
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
        columns: dict[str, Any] = {"tick": ticks, "time": ticks if grid else stamps}
        if assets is not None:
            columns["asset"] = [assets[a.asset] for a in alarms]
        columns |= {
            "chart": [a.chart for a in alarms],
            "onset_tick": onsets,
            "onset_time": onsets if grid else onset_times,
            "observation": np.array([a.observation for a in alarms], np.float64),
        }
        return pd.DataFrame(columns)


class Past:
    """The newest ticks of a source that gives none twice, as they were processed.

    Args:
        limit: ticks.
        begin: number of the first.
    """

    def __init__(self, limit: int, begin: int) -> None:
        self._ring = Ring(limit, 3, begin)

    @property
    def first(self) -> int:
        """The oldest tick that is here."""
        return self._ring.first

    def append(self, ticks: Ticks, now_ns: Int[np.ndarray, "time"]) -> None:
        """Add ticks with their times of processing."""
        # A time of processing has more digits than a float64: its bits are kept.
        bits = np.ascontiguousarray(now_ns, np.int64).view(np.float64)
        self._ring.append(np.stack([ticks.values, ticks.proxies, bits], axis=1), ticks.stamps_ns)

    def read(self, start: int, stop: int) -> tuple[Ticks, Int[np.ndarray, "time"]]:
        """Ticks start..stop, which are here, and their times of processing."""
        rows, stamps = self._ring.read(start, stop)
        values, proxies, bits = np.ascontiguousarray(rows.T)
        return Ticks(values, stamps, proxies), bits.view(np.int64)

    def correct(self, tick: int, value: float) -> None:
        """Give a tick another value."""
        row, _ = self._ring.read(tick, tick + 1)
        row[0, 0] = value
        self._ring.write(tick, row)

    def cut(self, tick: int) -> None:
        """Forget the ticks from `tick` on."""
        if tick < self._ring.count:
            self._ring.cut(tick)


class Timeline:
    """A computation, the record of its ticks, and any earlier tick again, bit for bit; no thread and no clock.

    `position` is the tick that the state has reached.  It lags behind `ticks`, the end of the record, only while the
    state of an earlier tick is computed anew from a checkpoint.

    Args:
        computation: moves the state on.
        recording: takes the rows; its `begin` is the tick of the first.
        tally: counts.
        checkpoints: those of a fleet are fewer, because they are larger.
        correctable: of a source that gives no tick twice, how many of the newest can be corrected.
    """

    def __init__(
        self,
        computation: Computation,
        recording: Recording,
        tally: Tally | None = None,
        checkpoints: Checkpoints | None = None,
        correctable: int = 0,
    ) -> None:
        self.computation, self.recording = computation, recording
        self.alarms, self.columns = AlarmLog(computation.columns), computation.columns
        self.checkpoints = Checkpoints() if checkpoints is None else checkpoints
        self.settings = SettingsRecord(computation.config)
        self.tally = Tally() if tally is None else tally
        self.position = recording.count
        self.last_row: Float[np.ndarray, "*shape"] | None = None
        self._anew: list[tuple[np.ndarray, np.ndarray]] = []
        self._lost = False
        self.correctable, self.past = correctable, None if correctable == 0 else Past(correctable, self.position)
        self._rewritten: int | None = None

    @property
    def ticks(self) -> int:
        """Ticks processed so far: the number of the next one."""
        return self.recording.count

    @property
    def behind(self) -> int:
        """Ticks that must be computed anew before the state belongs to the end of the record."""
        return self.ticks - self.position

    def begin_at(self, tick: int, extra: Mapping[str, Any]) -> None:
        """Begin the record at a tick, with the state that the computation has taken and the counts of a snapshot."""
        self.recording.start(tick)
        self.position, self.tally = tick, self.tally.begun(extra)
        self._begin_past()

    def prepare(self) -> None:
        """Compile and load the programs, which may take many seconds, without touching the state."""
        self.computation.prepare()
        if not len(self.checkpoints):
            self.checkpoints.restart(self.here())

    def take_in(
        self, ticks: Ticks, now_ns: Int[np.ndarray, "time"], *, replayed: bool = True
    ) -> Float[np.ndarray, "time *shape"]:
        """Process new ticks, at most `computation.most`; `recording.make_room` has been called.

        Args:
            ticks, now_ns: the ticks and the time of processing of each.
            replayed: whether the source can give them again; else nobody seeks, and a few checkpoints are kept for
                corrections: 128 of them are 40 MB of one series.

        Returns:
            Their rows.
        """
        first, before = self.ticks, self.computation.keep()
        rows = self.computation.advance(ticks, now_ns)
        try:
            self.recording.append(rows, ticks.stamps_ns)
        except BaseException:
            self.computation.put(before)  # so that the same ticks may come again
            raise
        self._commit(rows)
        self.alarms.add(first, rows, self.recording)
        self.last_row = rows[-1]
        if self.past is not None and not replayed:
            self.past.append(ticks, now_ns)
        self._offer(replayed)
        return rows

    def _offer(self, replayed: bool) -> None:
        if replayed and self.checkpoints.due(self.position):
            self.checkpoints.offer(self.here())
        elif self.past is not None and not replayed:
            self.checkpoints.offer_newest(self.here(), self.correctable // LIVE_CHECKPOINTS, self.past.first)

    def correct(self, tick: int) -> None:
        """Have the ticks from `tick` on computed anew, from the nearest checkpoint before it, and their rows replaced;
        `behind` says how far it is."""
        first = tick if self._rewritten is None else min(tick, self._rewritten)
        self.checkpoints.cut(first)
        self.alarms.cut(first)
        self._anew, self._lost, self._rewritten = [], False, first
        self._put(self.checkpoints.before(first))

    @property
    def correcting(self) -> bool:
        """Whether rows are being replaced."""
        return self._rewritten is not None

    def recompute(self, ticks: Ticks, now_ns: Int[np.ndarray, "time"] | None = None, *, replayed: bool = True) -> None:
        """Process ticks again, on the way from a checkpoint to the end of the record.

        After a correction their rows replace those that the record has.  Else they leave rows only where the record has
        none of them any more: those that end up in memory come back.

        Args:
            ticks: at most `portion_behind()` of them.
            now_ns: the time of processing of each, its own where left out.
            replayed: as of `take_in`.
        """
        config, _ = self.settings.at(self.position)
        self.computation.configure(config)
        before = self.computation.keep()
        rows = self.computation.advance(ticks, ticks.stamps_ns if now_ns is None else now_ns)
        if self._rewritten is not None:
            try:
                self._rewrite(self._rewritten, rows, ticks.stamps_ns)
            except BaseException:
                self.computation.put(before)
                raise
        self._commit(rows)
        if self._rewritten is not None:
            self._offer(replayed)
        if self.position > self.ticks - self.recording.limit and self._lost:
            self._anew.append((rows, ticks.stamps_ns))
        if not self.behind:
            self.computation.configure(self.settings.current)
            if self._anew:
                self.recording.refill(*(np.concatenate(part) for part in zip(*self._anew, strict=True)))
            self._anew, self._rewritten, self.last_row = [], None, rows[-1]

    def _rewrite(self, since: int, rows: np.ndarray, stamps: np.ndarray) -> None:
        known = min(max(since - self.position, 0), len(rows))
        if known < len(rows):
            first = self.position + known
            self.recording.replace(first, rows[known:], stamps[known:])
            self.alarms.add(first, rows[known:], self.recording)

    def portion_behind(self) -> int:
        """How many ticks may be computed anew at once: those that fit, and all under the same settings as once."""
        _, change = self.settings.at(self.position)
        alike = self.behind if change is None else change - self.position
        return min(self.computation.most, self.behind, alike)

    def here(self) -> Checkpoint:
        """The present state with its counts."""
        return Checkpoint(self.position, self.computation.keep(), self.tally.copy())

    def cut_to(self, tick: int) -> None:
        """End the record at `tick` and put the state at the nearest checkpoint before it; then `behind` says what is
        to be computed anew."""
        self._cut_record(tick)
        none_left = self.recording.oldest == tick > self.checkpoints.first
        checkpoint = self.checkpoints.before(tick - 1 if none_left else tick)  # so that there is a last row to be seen
        self._anew, self._lost = [], self.recording.oldest > max(checkpoint.tick, tick - self.recording.limit)
        self._put(checkpoint)

    def restore(self, checkpoint: Checkpoint) -> None:
        """End the record at a state of the past, and take that state."""
        self._cut_record(checkpoint.tick)
        self._put(checkpoint)

    def configure(self, config: PredictorConfig) -> None:
        """Settings for the ticks from here on."""
        self.settings.change(self.ticks, config)
        if not self.behind:
            self.computation.configure(config)

    def restart_here(self) -> None:
        """Another source or state begins here: nobody goes back beyond this tick by computing anew."""
        self.checkpoints.restart(self.here())
        self._begin_past()

    def _begin_past(self) -> None:
        if self.past is not None:
            self.past = Past(self.correctable, self.position)

    def last(self, name: str) -> Float[np.ndarray, "*asset"] | None:
        """A number of the last row, by asset where there are several; None before the first tick."""
        return None if self.last_row is None else self.last_row[..., self.columns[name].start]

    def _commit(self, rows: np.ndarray) -> None:
        self.tally.add(self.position, rows, self.columns)
        self.position += len(rows)

    def _cut_record(self, tick: int) -> None:
        self.last_row = self.recording.read(tick - 1, tick)[0][0] if tick > self.recording.oldest else None
        self.recording.cut(tick)
        self.alarms.cut(tick)
        self.checkpoints.cut(tick)
        self.settings.cut(tick)
        if self.past is not None:
            self.past.cut(tick)

    def _put(self, checkpoint: Checkpoint) -> None:
        self.computation.put(checkpoint.handle)
        self.position = checkpoint.tick
        if checkpoint.tally is not None:
            self.tally = checkpoint.tally.copy()
        if not self.behind:  # while it lagged behind it computed under settings of the past
            self.computation.configure(self.settings.current)
