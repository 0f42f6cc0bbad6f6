"""`Track`: one source, one computation, one timeline; what it was asked to do, and its next batch of ticks.

A session is a track of one series, a fleet a track of many assets, a service as many tracks as it has series.  A worker
turns them all in one thread; nothing here is called by another, but for what says so.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..array_types import Float
from ..config.schema import PredictorConfig
from ..errors import DomainError
from ..model.records import OperatingMode
from ..persistence.snapshots import Loaded, SnapshotFolder, SnapshotKeeper, series_folder
from ..persistence.stores.base import Store
from ..sources import Source, SourceFault, Ticks
from .intake import NOTHING, Intake, Pace, Rate, Taken, portion_after
from .outlets import USUAL_INTERVALS, Aftermath, Outlets
from .snapshots import Moment, StoredStates, payload_of, resumed, set_aside
from .status import EventLog, Labels, Playback, Status
from .timeline import Checkpoint, Timeline

COMPILING = (
    "the predictor is being compiled, which takes up to half a minute the first time; commands act when it is ready"
)
SHARED_PORTION = 32
LONGER_PAUSE = 1.5  # than the usual ones of this time of the day
LONGEST_STORE_S = 30.0
_numbers = itertools.count(1)


class Advance(NamedTuple):
    """What an observer is told after a batch of ticks, in the worker's thread.

    Attributes:
        track: whose; an observer may call its `configure` and `adopt`.
        first: tick of the first row, counted from 0 as `Control.history` does.
        taken: the ticks with their times of processing.
        rows: (time, width) or (time, asset, width); `track.timeline.columns` says where each field stands.
    """

    track: Track
    first: int
    taken: Taken
    rows: Float[np.ndarray, "time *shape"]


Observer = Callable[[Advance], object]


@dataclasses.dataclass(frozen=True)
class TrackOptions:
    """How a track behaves; the faces differ in these and in nothing else.

    Attributes:
        speed: ticks per second of a replay, None for as fast as possible; live ticks are taken as they come.
        silence_s: seconds without a tick after which a live source counts as silent, but at least twenty of its usual
            intervals, None for never.
        retry: whether a source that breaks is taken up again by itself; else the track stands still and says why.
        outlets: where results go.
        snapshots: whether a snapshot is written every `snapshot_interval_steps` ticks, and one at the end.
        store: takes the states at the same ticks; they are taken from there at the start.
        store_prefix: beginning of the keys in the store.
        clock: time of processing of live ticks [ns since 1970 UTC]; None from it is a tick's own time.
    """

    speed: float | None = None
    silence_s: float | None = None
    retry: bool = False
    outlets: Outlets = dataclasses.field(default_factory=Outlets)
    snapshots: bool = False
    store: Store | None = None
    store_prefix: str = ""
    clock: Callable[[], int | None] = time.time_ns


class Track:
    """Ticks of a source through a computation.

    Args:
        timeline: the computation and its record.
        source: where ticks come from: whatever has the methods of `uspnb.sources.Source`.
        labels: what the series is called.
        assets: labels of the assets, None for one series, whose name is that of the track.
        name: in telemetry, metrics, folders and keys of a store, where it is not the series' name.
        options: see there.
        events: where it notes what happens beside its ticks, with its name where several tracks note there; a log of
            its own where left out.
        ended: called once when the track ends, by the worker.

    Attributes:
        base: tick of the engine at which the source began.
        latest: the newest moment, None where there is none yet or while it goes back; any thread may read it.
    """

    def __init__(
        self,
        timeline: Timeline,
        source: Source,
        labels: Labels,
        *,
        assets: tuple[Any, ...] | None = None,
        name: str = "",
        options: TrackOptions | None = None,
        events: EventLog | None = None,
        ended: Callable[[Track], object] = lambda track: None,
    ) -> None:
        self.timeline, self.labels, self.options = timeline, labels, options or TrackOptions()
        self.number, self.source_number = next(_numbers), 0
        self.assets = assets
        self._name, self._ended = name, ended
        self.events, self._named = (EventLog(), False) if events is None else (events, True)
        self.intake = Intake(self.name, source, retry=self.options.retry, clock=self.options.clock)
        self.base = self.resumed_at = 0
        self.playback, self.pace, self.rate = Playback(), Pace(self.options.speed), Rate()
        names = (self.name,) if assets is None else tuple(map(str, assets))
        self.aftermath = Aftermath(self.options.outlets, timeline, names, self.name, self.tell)
        self.keeper = SnapshotKeeper()
        self.stored: StoredStates | None = None
        self._corrections: dict[int, float] = {}  # by the number of a tick in a source that gives it again
        self.observers: list[tuple[Observer, int | None]] = []
        self.latest: Moment | None = None
        self.prepared = False
        self._starved = False
        self._portion = timeline.computation.most
        self._handed_over = 0
        self._last_tick_s = time.monotonic()
        self._wake: Callable[[], None] = lambda: None

    # readings; any thread

    @property
    def name(self) -> str:
        """In telemetry, metrics, folders and stores."""
        return self._name or self.labels.name or "series"

    @property
    def source(self) -> Source:
        """What ticks are read from."""
        return self.intake.source

    @property
    def _asset_names(self) -> tuple[str, ...] | None:
        return None if self.assets is None else self.aftermath.names

    @property
    def ticks(self) -> int:
        """Number of the next tick."""
        return self.timeline.ticks

    @property
    def source_ticks(self) -> int:
        """Ticks of the source that were processed."""
        return self.timeline.ticks - self.base

    @property
    def config(self) -> PredictorConfig:
        """The settings of the next new tick."""
        return self.timeline.settings.current

    @property
    def folder(self) -> SnapshotFolder:
        """Where snapshots go that name no file."""
        config = self.snapshot_config()
        return SnapshotFolder(config.snapshot_path, config.snapshot_retention, config.snapshot_compression)

    def snapshot_config(self) -> PredictorConfig:
        """The settings, with the track's own folder as `snapshot_path`."""
        return dataclasses.replace(self.config, snapshot_path=str(series_folder(self.config, self.name)))

    def conditions(self) -> dict[str, str | None]:
        """What keeps a part from working, by the part; None where all is well.

        Forecasts that have lost their calibration are still given: a part of its own.
        """
        snapshots = self.keeper.status()
        stored = None if self.stored is None else self.stored.condition
        return {
            "snapshots": (None if snapshots is None else snapshots.condition) or stored,
            "sources": self.intake.condition or self.playback.error or self._silence,
            "forecasts": self.aftermath.condition,
            "calibration": self.aftermath.calibration,
        }

    @property
    def _silence(self) -> str | None:
        return f"no tick for {self.tick_age_s:.0f} s" if self.playback.silent else None

    @property
    def tick_age_s(self) -> float:
        """Seconds since the last tick was processed, or since it was told to go on where none was since."""
        return time.monotonic() - self._last_tick_s

    def status(self, place: int | None = None) -> Status:
        """How it stands; of one of its assets where a place is given."""
        timeline, playback, source, tally = self.timeline, self.playback, self.source, self.timeline.tally
        one = self.assets is None or place is not None
        here = slice(None) if place is None else slice(place, place + 1)
        last = {name: timeline.last(name) for name in ("degraded", "emergency", "operating_mode")}
        degraded, emergency, modes = (np.zeros(1) if v is None else np.atleast_1d(v)[here] for v in last.values())
        counts = [bool(np.any(flags > 0)) if one else int(np.sum(flags > 0)) for flags in (degraded, emergency)]
        alarms, rejected, faults = (tally.alarms, tally.rejected, tally.faults) if place is None else tally.of(place)
        doubts = "emergency" if counts[1] else "doubtful" if counts[0] else "ok"
        return Status(
            phase=self._phase(),
            message=self._message(),
            ticks=timeline.ticks,
            total=None if source.length is None else self.base + source.length,
            waiting=source.waiting + self.intake.backlog.values.size,
            speed=self.pace.speed,
            rate=self.rate.value if playback.active else 0.0,
            alarms=alarms,
            rejected=rejected,
            mode=OperatingMode.NAMES[int(modes[0])],
            degraded=counts[0],
            emergency=counts[1],
            health="fault" if playback.error is not None else doubts,
            source=source.name or type(source).__name__,
            error=playback.error,
            revision=timeline.recording.revision,
            assets=1 if one else timeline.computation.assets,
            workers=timeline.computation.workers,
            faults=faults,
        )

    def _phase(self) -> str:
        if self.playback.active and not self.prepared:
            return "starting"
        return self.playback.phase(self.timeline.behind > 0)

    def _message(self) -> str:
        playback = self.playback
        if playback.active and not self.prepared:
            return COMPILING
        if self.timeline.correcting and not playback.faulted:
            return f"computing {self.timeline.behind:,} ticks anew after a correction"
        if self.timeline.behind and not playback.faulted:
            return f"going back to tick {self.timeline.ticks}"
        return playback.message if playback.goal is None else f"going on to tick {playback.goal}"

    def about(self) -> dict[str, Any]:
        """What an archive says of its rows: the events beside them, and the name of the series."""
        return {"events": self.events.all(), "name": self.labels.name}

    def tell(self, kind: str, text: str) -> None:
        """Note an event at the present tick; any thread may."""
        self.events.add(self.timeline.ticks, kind, f"{self.name}: {text}" if self._named else text)

    # the start

    def connect(self, wake: Callable[[], None]) -> None:
        """Belong to a worker from here on, which `wake` wakes."""
        self._wake = wake

    def resume(self, *, fresh: bool = False) -> bool:
        """Take up the newest state that is kept in the store or in the snapshot folder, whichever has seen more ticks.

        To be called before the first tick; the record begins where the state stands.

        Args:
            fresh: whether to begin anew instead; the snapshots there are put aside, states in the store written over.

        Returns:
            Whether there was one.

        Raises:
            ConfigError, DomainError, OSError, StoreUnavailableError: what is kept does not fit; nothing was changed.
        """
        computation = self.timeline.computation
        snapshot = None
        if self.options.snapshots and not fresh:
            snapshot = resumed(self.folder, self.config, computation.cold, self._asset_names)
        elif self.options.snapshots and (aside := set_aside(self.folder.folder)) is not None:
            self.tell("restore", f"begins anew; its snapshots lie in {aside}")
        ticks, extra = 0, {}
        if snapshot is not None:
            loaded, backlog = snapshot
            ticks, extra = loaded.progress.ticks, self._take_state(loaded)
            self.aftermath.learn_intervals(np.asarray(loaded.state.gate.intervals_ns))
            position = int(extra.get("position", ticks))
            self.intake.resume(position, loaded.progress.last_timestamp_ns, backlog)
        if self.options.store is not None:
            stored = StoredStates(self.options.store, computation, self.aftermath.names, self.options.store_prefix)
            self.stored = stored
            before = computation.keep()
            stored_ticks = stored.take()
            if stored_ticks > ticks and not fresh:
                ticks, extra, snapshot = stored_ticks, {}, None
                self.intake.resume(ticks, None)
            elif stored_ticks:
                computation.put(before)
        if ticks:
            self.timeline.begin_at(ticks, extra)
            self._meet_emergency(bool(extra.get("emergency", False)))
            self.resumed_at = self._handed_over = ticks
            where = "the store" if snapshot is None else snapshot[0].path.name
            self.tell("restore", f"resumes after tick {ticks}, from {where}")
        return ticks > 0

    def _take_state(self, loaded: Loaded) -> dict[str, Any]:
        """Have the computation go on from a snapshot's state; what the snapshot holds beside it."""
        extra, depth = {**loaded.progress.extra, **loaded.by_asset}, loaded.config.log_sig_depth
        self.timeline.computation.take(loaded.state, depth, int(extra.get("depth", depth)))
        return extra

    def _meet_emergency(self, emergency: bool) -> None:
        """Begin in an emergency or not, by asset where there are several, so that it is not dumped once more."""
        if self.assets is None:
            self.aftermath.emergency[:] = emergency
        else:
            computation = self.timeline.computation
            states, _ = computation.states(computation.keep())
            self.aftermath.emergency[:] = np.asarray(states.roughness.emergency) > 0

    def prepare(self) -> None:
        """Compile and load what it needs; no state is touched."""
        self.timeline.prepare()
        self.aftermath.begin()
        self.prepared = True
        self._begin()

    # commands, by the worker

    def run(self) -> None:
        """Process ticks until told otherwise."""
        if not self.playback.active or self.playback.silent:
            self._begin()
        self.playback.ask(playing=True)

    def step(self, count: int) -> None:
        """Process so many more ticks, then stand still."""
        self.playback.ask(steps=count)
        self._begin()

    def pause(self) -> None:
        """Stand still."""
        self.playback.begun = True
        self.playback.stand_still()
        if not self.playback.faulted and not self.playback.finished:
            self.playback.clear()

    def correct(self, tick: int, stamp_ns: int, value: float) -> None:
        """Give a tick of the past another value; all that came after it is computed anew, before anything else.

        Args:
            tick: its number.
            stamp_ns: its timestamp, lest the record was cut meanwhile and another one has the number.
            value: y [input units].
        """
        timeline = self.timeline
        first = max(self.base, timeline.checkpoints.first)
        if not first <= tick < timeline.ticks or self.stamp_of(tick) != stamp_ns:
            self._refuse(f"tick {tick} was not corrected: it is gone meanwhile")
            return
        if self.source.length is not None:
            self._corrections[tick - self.base] = value
        elif timeline.past is not None:
            timeline.past.correct(tick, value)
        timeline.correct(tick)
        again = timeline.behind
        self.tell("correction", f"tick {tick} is {value:.6g} now; {again} ticks are computed anew")

    def stamp_of(self, tick: int) -> int | None:
        """Timestamp of a tick of the record [ns since 1970 UTC], wherever it is; None where it is not."""
        recording = self.timeline.recording
        stamp = recording.stamp(tick)
        if stamp is None and recording.oldest <= tick < recording.count:
            stamp = int(recording.read(tick, tick + 1)[1][0])
        return stamp

    def _finish_correction(self) -> None:
        while self.timeline.correcting:
            self.recompute()

    def seek(self, tick: int) -> None:
        """Go to a tick: forward by computing at full speed, back by a checkpoint."""
        self._finish_correction()
        done = self.timeline.ticks
        if tick > done:
            self.playback.ask(goal=tick)
            self._begin()
            return
        if tick < done:
            self.timeline.cut_to(tick)
            self.tell("seek", f"went back from tick {done} to tick {tick}")
        self._moved()

    def restore(self, label: str, checkpoint: Checkpoint) -> None:
        """Go to a mark."""
        self._finish_correction()
        done, tick = self.timeline.ticks, checkpoint.tick
        if tick <= done:
            self.timeline.restore(checkpoint)
            self.tell("restore", f"went from tick {done} to mark {label!r} at tick {tick}")
            self._moved()
        elif self.source.length is not None:
            self.seek(tick)
        else:
            self._refuse(f"mark {label!r} at tick {tick} lies beyond the end of history, which was cut; it is gone")

    def _refuse(self, message: str) -> None:
        """Stay where it is, although a command asks for another state."""
        self.playback.message = message
        self.tell("restore", message)

    def load(self, loaded: Loaded) -> None:
        """Go on from a snapshot; see `Control.load_snapshot`."""
        while self.timeline.behind:
            self.recompute()
        timeline, computation = self.timeline, self.timeline.computation
        done, ticks = timeline.ticks, loaded.progress.ticks
        where = f"the snapshot {loaded.path.name} of {loaded.progress.source or 'a series without a name'}"
        if not self._continues(loaded):
            self._refuse(f"{where} was not taken: its last tick has another time than tick {ticks} of this source")
            return
        place, replayed = ticks + self.base, self.source.length is not None
        extra = self._take_state(loaded)
        if replayed and timeline.recording.oldest <= place <= done:
            timeline.restore(Checkpoint(place, computation.keep(), timeline.tally.begun(extra)))
        else:
            if loaded.by_asset:
                timeline.tally = timeline.tally.begun(extra)
            timeline.restart_here()
            self.base = done - ticks if replayed else self.base
        self.tell("restore", f"goes on from {where}, taken after {ticks} ticks")
        self._moved()

    def _continues(self, loaded: Loaded) -> bool:
        """Whether a replayed source has the snapshot's last tick where the snapshot says."""
        ticks, source = loaded.progress.ticks, self.source
        if source.length is None or ticks == 0:
            return True
        source.seek(ticks - 1)
        last = source.take(1)
        self.intake.seek(self.source_ticks)
        return last.values.size > 0 and int(last.stamps_ns[0]) == loaded.progress.last_timestamp_ns

    def configure(self, config: PredictorConfig, changes: Mapping[str, Any] | None = None) -> None:
        """Settings for the next tick; also for an observer to call.

        Args:
            config: of the same static fields.
            changes: what the event names; all that differs from the present settings where left out.
        """
        if changes is None:
            before, names = self.config, (field.name for field in dataclasses.fields(config))
            changes = {n: getattr(config, n) for n in names if getattr(config, n) != getattr(before, n)}
        self.timeline.configure(config)
        self.tell("settings", ", ".join(f"{name} = {value!r}" for name, value in changes.items()))

    def adopt(self, config: PredictorConfig, state: Any) -> None:
        """Go on with settings and a state from outside, for an observer that has made one; nobody goes back beyond."""
        self.configure(config)
        self.timeline.computation.take(state)
        self.timeline.restart_here()

    def attach(self, source: Source, labels: Labels) -> None:
        """Read another source from here on, with the state as it is."""
        while self.timeline.behind:
            self.recompute()
        old = self.source
        old.close()
        # Once ticks were counted, their times and those of other sources have no common axis.
        counted = self.labels.grid and self.timeline.ticks > 0
        self.labels = dataclasses.replace(labels, grid=labels.grid or counted)
        self.intake = Intake(self.name, source, retry=self.options.retry, clock=self.options.clock)
        self.base, self.source_number, self._corrections = self.timeline.ticks, self.source_number + 1, {}
        if self.prepared:
            if old.time_is_grid or source.time_is_grid:
                self.timeline.computation.forget_clock()
            self.timeline.restart_here()
        self.playback.finished = False
        self.playback.clear()
        self._begin()
        self.tell("source", f"reads from {source.name or type(source).__name__} from here on")

    def set_speed(self, speed: float | None) -> None:
        """Ticks per second of a replay from now on."""
        self.pace.rebase(speed)

    def _moved(self) -> None:
        """The record ends elsewhere now: the source goes there too, and whatever was in the way is over."""
        if self.source.length is not None:
            self.intake.seek(self.source_ticks)
        self.playback.begun, self.playback.finished = True, False
        self.playback.goal, self.playback.steps = None, 0
        self.playback.clear()
        self.aftermath.forget_calibration()
        self._begin()

    def _begin(self) -> None:
        """Time counts from here: for the pace, for silence, and for what a live source has measured so far."""
        self.pace.rebase(self.pace.speed)
        self.rate.clear()
        self._starved = False
        self._last_tick_s = time.monotonic()
        self.intake.awake()

    # ticks, by the worker

    def turn(self, *, alone: bool = True) -> bool:
        """Do what is due; whether anything was done.  Whatever goes wrong stops this track only.

        Args:
            alone: whether the worker has no other track, which may then take long batches.
        """
        try:
            if self.playback.active and not self.prepared:
                self.prepare()
                return True
            if self.timeline.behind and not self.playback.faulted:
                self.recompute()
                return True
            return self.playback.active and self.process(self._due(alone)) > 0
        except Exception as error:  # whatever it is, a person must see it and the thread must live on
            text = "".join(traceback.format_exception(error)).strip()
            self.fail(text.splitlines()[-1], "fault", dead=True, event=text)
            return False
        finally:
            self.latest = self._moment()

    def recompute(self) -> None:
        """Some ticks on the way from a checkpoint to the end of the record."""
        timeline, corrected = self.timeline, self.timeline.correcting
        first, count = timeline.position, timeline.portion_behind()
        if self.source.length is not None:
            self.intake.seek(first - self.base)
            timeline.recompute(self._corrected(self.source.take(count), first - self.base))
        elif timeline.past is not None:
            timeline.recompute(*timeline.past.read(first, first + count), replayed=False)
        if not timeline.behind:
            if self.source.length is not None:
                self.intake.seek(self.source_ticks)
            self._begin()
            if corrected and self._interval:  # or a restart would bring the other values back
                self.hand_over(again=True)

    def _corrected(self, ticks: Ticks, first: int) -> Ticks:
        """Ticks of the source from number `first` on, with the values that were corrected."""
        places = [k for k in self._corrections if first <= k < first + len(ticks)]
        if not places:
            return ticks
        values = ticks.values.copy()
        values[[k - first for k in places]] = [self._corrections[k] for k in places]
        return Ticks(values, ticks.stamps_ns, ticks.proxies, ticks.covariates)

    def process(self, most: int) -> int:
        """Take and process up to so many ticks; how many there were."""
        if most == 0:
            return 0
        if self._interval:  # a batch ends where a snapshot is due
            most = min(most, self._interval - self.source_ticks % self._interval)
        began_ns = time.perf_counter_ns()
        taken = self._take(min(most, self.timeline.computation.most))
        if taken is None:
            return 0
        taken = taken._replace(ticks=self._corrected(taken.ticks, self.source_ticks))
        first = self.timeline.ticks
        try:
            rows = self.timeline.take_in(taken.ticks, taken.now_ns, replayed=self.source.length is not None)
        except BaseException:
            self.intake.put_back(taken)
            raise
        took_ns = time.perf_counter_ns() - began_ns
        self._portion = min(portion_after(took_ns / 1e9, self._portion), self.timeline.computation.most)
        self._count(len(rows))
        self.aftermath.watch_calibration(rows)
        if self.aftermath.needed:
            self.aftermath.after(taken, rows, self.source_ticks - len(rows) + 1, took_ns)
        if self._interval and self.source_ticks % self._interval == 0:
            self.hand_over()
        if taken.live and self.aftermath.needed:
            self.aftermath.shed(self.source_ticks)
        self._observe(Advance(self, first, taken, rows))
        return len(rows)

    def drain(self, most: int) -> bool:
        """Process up to so many of the ticks that were accepted before the source was closed, whatever it was asked to
        do; whether more of them wait."""
        try:
            self.process(most)
        except Exception as error:
            self.fail(f"{type(error).__name__}: {error}", "fault", dead=True)
        return self.intake.waiting > 0 and not self.playback.faulted

    def fail(self, message: str, kind: str, *, dead: bool, event: str = "") -> None:
        """Stand still because of something; the next `run` has the source take up again what had broken."""
        self.playback.fail(message, dead)
        self.intake.started = False
        self.tell(kind, event or message)

    def patience_s(self) -> float | None:
        """Seconds to sleep unless woken, None for as long as it takes; tells when a source has become silent."""
        playback, least_s = self.playback, self.options.silence_s
        retry_s = self.intake.wait_s() if playback.active else None
        if retry_s is not None:
            return retry_s
        if playback.active and not self._starved:
            return self.pace.wait_s()
        if not playback.active or playback.silent or least_s is None or not self.source.live:
            return None
        usual, pause = self.aftermath.usual_interval_ns / 1e9, self.aftermath.usual_pause_ns / 1e9
        silence_s = max(least_s, USUAL_INTERVALS * usual, LONGER_PAUSE * pause)
        left = self._last_tick_s + silence_s - time.monotonic()
        if left > 0:
            return left
        playback.silent = True
        playback.message = f"no tick for {silence_s:g} s; it goes on by itself with the next one"
        self.tell("silence", playback.message)
        return 0.0

    @property
    def _interval(self) -> int:
        is_saved = self.options.snapshots or self.options.store is not None
        return self.config.snapshot_interval_steps if is_saved else 0

    def _due(self, alone: bool) -> int:
        """How many ticks to take now."""
        playback = self.playback
        most = self._portion if alone else min(self._portion, SHARED_PORTION)
        most = min([most, *(every for _, every in self.observers if every is not None)])
        if playback.goal is not None:
            return min(most, playback.goal - self.timeline.ticks)
        if playback.steps:
            return min(most, playback.steps)
        if self.source.live:
            return most
        due = self.pace.due(most)
        self._starved = self._starved and due > 0  # whether a source is dry shows only when something is taken
        return due

    def _take(self, most: int) -> Taken | None:
        try:
            self.timeline.recording.make_room(self.timeline.computation.most)
            self.intake.start(self._wake)
            taken = self.intake.take(most)
        except (SourceFault, DomainError) as fault:
            self.fail(str(fault), "fault", dead=not (self.intake.started and getattr(fault, "can_continue", False)))
            return None
        except OSError as error:
            if not self.intake.started:
                self.fail(str(error), "fault", dead=True)
                return None
            message = f"the archive of older ticks cannot be written ({error.strerror or error})"
            self.fail(f"{message}; free some space, then run() again: nothing is lost", "archive", dead=False)
            return None
        if taken is None:
            self._starved = True
            self._check_end()
        return taken

    def _count(self, done: int) -> None:
        ticks, playback = self.timeline.ticks, self.playback
        self._last_tick_s, self._starved = time.monotonic(), False
        if playback.silent:
            playback.silent, playback.message = False, ""
            self.tell("silence", "ticks come again")
        self.rate.did(ticks)
        sought = playback.goal is not None
        playback.counted(done, ticks)
        if sought:
            self.pace.rebase(self.pace.speed)
        else:
            self.pace.did(done)
        self._check_end()

    def _check_end(self) -> None:
        if self.intake.failed:
            self.playback.fail(self.intake.condition or "the source is at its end", dead=True)
        elif self.intake.finished:
            self.playback.end()

    def _observe(self, advance: Advance) -> None:
        for entry in list(self.observers):
            try:
                entry[0](advance)
            except Exception as error:  # it is the observer's own code: whatever it raises must not stop the ticks
                if entry in self.observers:
                    self.observers.remove(entry)
                self.tell("observer", f"an observer raised {type(error).__name__}: {error}; it is no longer called")

    # states outside the process, by the worker

    def _moment(self) -> Moment | None:
        if not self.prepared or self.timeline.behind:
            return None
        timeline = self.timeline
        emergency = timeline.last("emergency")
        return Moment(
            timeline.here(),
            self.source_ticks,
            self.intake.position,
            timeline.recording.stamp(timeline.ticks - 1),
            self.labels.name,
            self.config,
            timeline.computation.depth,
            emergency is not None and bool(np.any(emergency > 0)),
            timeline.last_row,
            self.intake.backlog if self.options.snapshots else NOTHING,
            self._asset_names,
        )

    def hand_over(self, *, again: bool = False) -> None:
        """Have the present state written to the snapshot folder and to the store, unless that was asked for before;
        returns at once.

        Args:
            again: whether to ask once more for the same one: it was not written, or there is a backlog to keep.
        """
        moment = self._moment()
        if moment is None or (self.source_ticks == self._handed_over and not again):
            return
        self._handed_over = self.source_ticks
        if self.options.snapshots:
            make = payload_of(moment, self.timeline.computation, self.options.outlets.settle)
            self.keeper.submit(None, self.snapshot_config(), make)
        if self.stored is not None:
            self.stored.offer(moment)

    def end(self) -> None:
        """Stand still for good; what was computed stays readable."""
        acts = (
            self.playback.stand_still, self._save_last, lambda: self._ended(self), self.source.close, self._let_go
        )  # fmt: skip
        for act in acts:
            try:
                act()
            except Exception as error:  # a file or a predictor that cannot be given back: the others still are
                self.tell("fault", f"at the close: {type(error).__name__}: {error}")

    def _save_last(self) -> None:
        if self.options.snapshots or self.stored is not None:
            while self.timeline.behind:
                self.recompute()
            self.hand_over()

    def _let_go(self) -> None:
        if self.stored is not None:
            self.stored.close(LONGEST_STORE_S)
        self.keeper.wait(LONGEST_STORE_S)  # what is on its way to a file may still be in another process
        self.timeline.computation.close()
