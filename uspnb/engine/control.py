"""`Control`: the thread-safe face that a session, a fleet and a service share; commands return at once."""

from __future__ import annotations

import atexit
import dataclasses
import itertools
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..array_types import Float
from ..config.schema import PredictorConfig
from ..data.times import timestamp_to_ns
from ..errors import DomainError
from ..persistence.snapshots import Loaded, SnapshotFolder, SnapshotStatus, Where, Written, load_state
from ..runtime.arguments import (
    check_choice,
    check_function,
    check_number,
    check_speed,
    check_text,
    check_whole,
    read_json_number,
)
from ..runtime.words import pairs_table
from ..sources import Source
from .history import History
from .settings import Setting, changed_config, settings_code, settings_of
from .snapshots import Moment, payload_of
from .status import PHASES, Mark, Status, now_text
from .track import Observer, Track
from .views import PHRASES, view_columns
from .worker import Worker

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

MOST_STEPS = 100_000_000
MOST_MARKS = 64
CLOSE_S = 60.0

_alive: weakref.WeakSet[Worker] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """End all engines: a thread inside JAX must not outlive the interpreter."""
    workers = list(_alive)
    for worker in workers:
        worker.close()
    for worker in workers:
        worker.join(CLOSE_S)


class _Shared:
    """What all faces of one engine have in common."""

    def __init__(self) -> None:
        self.marks: dict[str, Mark] = {}
        self.numbers = itertools.count(1)
        self.order = threading.Lock()
        self.wanted: tuple[int, PredictorConfig] | None = None


class Control:
    """What can be asked of an engine, by any thread.

    Commands act on the whole engine and are obeyed by its worker, in their order, within a batch of ticks.  Readings
    are those of one series: the only one, or the one that `open` was asked for.  Arguments are of any type, because a
    person is told in words what is wrong with them.

    Args:
        worker: obeys.
        track: whose readings are given; the only one of the worker where left out.
        place: which of its assets, None for all.
        noun: what the engine is called in messages.
        owner: the face that it was opened from, which lives as long as this one.
    """

    def __init__(
        self,
        worker: Worker,
        track: Track | None = None,
        place: int | None = None,
        *,
        noun: str = "session",
        owner: Control | None = None,
    ) -> None:
        self._worker, self._noun, self._owner = worker, noun, owner
        self._track = worker.tracks[0] if track is None and len(worker.tracks) == 1 else track
        self._place = place
        self._shared = _Shared() if owner is None else owner._shared
        if owner is None:
            _alive.add(worker)
            weakref.finalize(self, Worker.close, worker).atexit = False

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # commands

    def run(self) -> None:
        """Process ticks, at the set speed where they are a replay; after a fault, go on with the next."""
        self._send(Track.run)

    def pause(self) -> None:
        """Stand still after the batch that is being computed."""
        self._send(Track.pause)

    def toggle(self) -> None:
        """Pause if it runs, run if it does not."""

        def toggle() -> None:
            runs = any(track.playback.active and not track.playback.silent for track in self._worker.tracks)
            for track in self._worker.tracks:
                (Track.pause if runs else Track.run)(track)

        self._put(toggle)

    def step(self, n: Any = 1) -> None:
        """Process `n` more ticks of every series, waiting for those that have not come yet, then stand still.

        Raises:
            DomainError: not a whole number from 1 to 100,000,000.
        """
        count = check_whole("n", n, 1, MOST_STEPS, unit="ticks")
        self._send(lambda track: track.step(count))

    def set_speed(self, speed: Any) -> None:
        """Ticks per second of a replay from now on, None for as fast as possible.

        Raises:
            DomainError: out of range; see `uspnb.runtime.arguments.check_speed`.
        """
        checked = check_speed(speed)
        self._send(lambda track: track.set_speed(checked))

    def seek(self, k: Any) -> None:
        """Go to where `k` ticks are processed.

        Forward the ticks between are computed at full speed.  Back the history is cut to `k` ticks and the state is
        computed anew from a checkpoint, bit for bit what it was; settings stay as they are now.

        Raises:
            DomainError: a source cannot be replayed, or `k` lies outside it.
        """
        tick = k
        for track in self._worker.tracks:
            length = track.source.length
            if length is None:
                raise DomainError(
                    "this source is not kept and cannot be sought in; restore a mark, or replay the series from an "
                    "array, a CSV file or a saved run"
                )
            first = max(track.base, track.resumed_at, track.timeline.checkpoints.first)
            tick = check_whole("k", k, first, track.base + length, unit="ticks")
        self._send(lambda track: track.seek(tick))

    def mark(self, label: Any = "") -> Mark:
        """Remember the state after the ticks that are done, to `restore` it later; a used label is made new.

        Raises:
            DomainError: nothing is processed yet or it is just going back, no text, or 64 marks are kept already.
        """
        self._refuse_closed()
        label = check_text("label", label)
        checkpoints = {}
        for track in self._worker.tracks:
            if track.latest is None:
                raise DomainError("there is no state to mark yet, or it is just going back; run, step or wait first")
            checkpoints[track.number, track.source_number] = track.latest.checkpoint
        marks = self._shared.marks
        label = label or f"mark {next(self._shared.numbers)}"
        if len(marks) >= MOST_MARKS and label not in marks:
            raise DomainError(f"{MOST_MARKS} marks are kept at the most; use the label of one that may be replaced")
        mark = Mark(label, sum(one.tick for one in checkpoints.values()), now_text(), checkpoints)
        marks.pop(label, None)
        marks[label] = mark
        return mark

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The marks, newest last."""
        return tuple(self._shared.marks.values())

    def restore(self, mark: Any) -> None:
        """Go to a mark: its state returns and history ends there; settings stay as they are now.

        A mark that lies ahead, because one went back before it, is reached by computing the ticks of a replay.

        Raises:
            DomainError: no such mark, or one of another engine or source.
        """
        marks = self._shared.marks
        if not isinstance(mark, Mark):
            if not isinstance(mark, str) or mark not in marks:
                raise DomainError(f"there is no mark {mark!r}; there are: {', '.join(map(repr, marks)) or 'none'}")
            mark = marks[mark]
        label, checkpoints = mark.label, mark.checkpoints
        if checkpoints.keys() != {(track.number, track.source_number) for track in self._worker.tracks}:
            raise DomainError(f"mark {label!r} belongs to another session or another source of this one")
        self._send(lambda track: track.restore(label, checkpoints[track.number, track.source_number]))

    def correct(self, time: Any, value: Any) -> None:
        """Give a tick of the past its value, which came late or was wrong.

        All ticks since are computed anew from the nearest state before it, at full speed and before any new one, with
        the settings and the times of processing that they had: history and state are, bit for bit, those of a run that
        had the value from the start.  Marks after the tick are dropped; what was logged or written elsewhere stays.

        Args:
            time: of the tick, as `feed` takes it; its number where the series has no times.
            value: y [input units].

        Raises:
            DomainError: no tick has that time, it is older than the oldest state that is kept, the value is not finite,
                or the engine takes no corrections (a fleet or a service).
        """
        self._refuse_closed()
        if len(self._worker.tracks) > 1 or self._only.assets is not None or not self._only.timeline.correctable:
            raise DomainError(
                f"a {self._noun} takes no corrections: it keeps no earlier states; run the series in a "
                "uspnb.Session, or correct it in the source and replay it"
            )
        number = check_number("value", value, remedy="a correction is a finite number; feed a missing one as NaN")
        track = self._only
        tick, stamp = _found(track, time)
        marks = self._shared.marks
        for label in [mark.label for mark in marks.values() if mark.tick > tick]:
            del marks[label]
        self._put(lambda: track.correct(tick, stamp, number))

    def configure(self, **settings: Any) -> None:
        """Change traced settings from the next tick on, without a recompilation.

        Raises:
            ConfigError: an unknown or structural name, a value of the wrong type or out of range.
        """
        with self._shared.order:  # two threads that change different settings must not undo one another
            changed = changed_config(self.config, settings)
            self._refuse_closed()
            if changed == self.config:
                return
            self._send(lambda track: track.configure(changed_config(track.config, settings), settings))
            self._shared.wanted = (self._worker.mailbox.issued, changed)

    def observe(self, observer: Any, *, every: Any = None) -> Callable[[], None]:
        """Have `observer(advance)` called after every batch of ticks, in the worker's thread; see `Advance`.

        It may change the settings of the track that it is told of.  One that raises is dropped, and an event says why.

        Args:
            observer: takes an `Advance`.
            every: ticks of a batch at the most, 1 to be told of each by itself; the engine's own choice where left out.

        Returns:
            A function that ends it.
        """
        check_function("observer", observer, "give a function of one argument, an Advance")
        most = None if every is None else check_whole("every", every, 1, unit="ticks", remedy="leave it out for any")
        entry: tuple[Observer, int | None] = (observer, most)
        tracks = self._worker.tracks if self._track is None else (self._track,)
        self._put(lambda: [track.observers.append(entry) for track in tracks])

        def end() -> None:
            def remove() -> None:
                for track in tracks:
                    if entry in track.observers:
                        track.observers.remove(entry)

            if not self._worker.closing:
                self._worker.mailbox.put(remove)

        return end

    def close(self) -> None:
        """End the engine's threads and processes; what was computed can still be read.  A second call does nothing."""
        self._worker.close()
        self._worker.join(CLOSE_S)

    stop = close

    def command(self, name: Any, value: Any = None) -> None:
        """A command by its name, as front ends send it.

        Raises:
            DomainError: an unknown command, or what the command itself refuses.
        """
        commands: dict[str, Callable[[], object]] = {
            "run": self.run,
            "pause": self.pause,
            "toggle": self.toggle,
            "step": lambda: self.step(1 if value is None else read_json_number(value)),
            "speed": lambda: self.set_speed(value),
            "seek": lambda: self.seek(read_json_number(value)),
            "restore": lambda: self.restore(value),
            "mark": lambda: self.mark("" if value is None else value),
            "configure": lambda: self.configure(**_read_settings(value)),
        }
        if not isinstance(name, str) or name not in commands:
            raise DomainError(f"unknown command {name!r}; known are {', '.join(commands)}")
        commands[name]()

    def wait(self, until: Any = None, timeout: Any = 60.0, phase: Any = None) -> Status:
        """Block until it stands still after all commands given so far, or until something earlier.

        Args:
            until: return as soon as so many ticks are processed.
            timeout: how long to wait [s].
            phase: return when this phase is reached, and not before (but at the close).

        Raises:
            TimeoutError: it did not happen in time.
            DomainError: an unknown phase, a number that is none.
        """
        if phase is not None:
            check_choice("phase", phase, PHASES)
        least = None if until is None else check_whole("until", until, 0, unit="ticks")
        seconds = check_number("timeout", timeout, least=0.0, unit="seconds")
        worker, issued = self._worker, self._worker.mailbox.issued

        def reached() -> bool:
            status = worker.status
            if status.phase == "closed":
                return True
            if worker.handled < issued:
                return False
            if least is not None and status.ticks >= least:
                return True
            return status.phase == phase if phase is not None else status.at_rest

        with worker.changed:
            if not worker.changed.wait_for(reached, seconds):
                status = worker.status
                reason = f": {status.message}" if status.message else ""
                raise TimeoutError(
                    f"after {seconds:g} s the {self._noun} is {status.phase} at tick {status.ticks}{reason}"
                )
            return worker.status

    def subscribe(self, callback: Any) -> Callable[[], None]:
        """Have `callback()` called after changes, about 30 times a second, by a thread of the engine's own.

        One that raises is dropped, and an event says why.

        Returns:
            A function that ends the subscription.
        """
        return self._worker.publisher.subscribe(check_function("callback", callback, "give one without arguments"))

    def _send(self, command: Callable[[Track], object]) -> None:
        """Have the worker do something to every track."""
        tracks = self._worker.tracks
        self._put(lambda: [command(track) for track in tracks])

    def _put(self, command: Callable[[], object]) -> None:
        self._refuse_closed()
        self._worker.mailbox.put(command)

    def _refuse_closed(self) -> None:
        if self._worker.closing:
            raise DomainError(f"the {self._noun} is closed; make another one with uspnb.{self._noun.title()}(...)")

    # snapshots

    @property
    def snapshot_folder(self) -> Path:
        """Where snapshots go that name no file: a folder of the series' own below `snapshot_path`."""
        return self._only.folder.folder

    def snapshots(self) -> list[Path]:
        """The snapshot files of that folder, oldest first, whoever wrote them."""
        return SnapshotFolder(self.snapshot_folder).paths()

    def save_snapshot(self, path: Where | None = None) -> Path:
        """Write the state after the ticks that are done, whole or not at all, and wait until it is there.

        Args:
            path: the file; left out, the next one of `snapshot_folder`, which keeps the newest.

        Raises:
            DomainError: there is no state yet, or the path is a folder.
            OSError: the disk does not take it; what was there before is untouched.
        """
        track, moment = self._only, self._moment()
        return track.keeper.save(path, track.snapshot_config(), payload_of(moment, track.timeline.computation)).path

    def save_snapshot_nonblocking(self, path: Where | None = None) -> Future[Written]:
        """`save_snapshot` in a thread of its own; neither the engine nor the caller waits for a disk."""
        track, moment = self._only, self._moment()
        return track.keeper.submit(path, track.snapshot_config(), payload_of(moment, track.timeline.computation))

    def snapshot_status(self) -> SnapshotStatus | None:
        """How the snapshots without waiting stand, None before the first."""
        return self._only.keeper.status()

    def load_snapshot(self, path: Where | None = None) -> Loaded:
        """Go on from a snapshot, bit for bit as the run that wrote it.

        A replayed source is set to the tick that the state has reached; where this engine has come as far, its record
        ends there, else it goes on from here.  A live source goes on with what comes.  Settings stay as they are now.

        Args:
            path: a file, or a folder whose newest valid snapshot is taken; `snapshot_folder` where left out.

        Raises:
            IntegrityError: the file is damaged.
            DomainError: it belongs to settings of other shapes, another schema version or a longer source.
            OSError: it cannot be read.
        """
        self._refuse_closed()
        track = self._only
        cold = track.timeline.computation.cold
        names = None if track.assets is None else track.aftermath.names
        loaded = load_state(
            path, self.config, lambda then: cold(then.log_sig_depth), folder=self.snapshot_folder, assets=names
        )
        length, ticks = track.source.length, loaded.progress.ticks
        if length is not None and ticks > length:
            raise DomainError(f"{loaded.path} was taken after {ticks} ticks, and this source has {length}")
        self._put(lambda: track.load(loaded))
        return loaded

    def _moment(self) -> Moment:
        self._refuse_closed()
        if self._only.latest is None:
            raise DomainError("there is no state yet, or it is just going back; run, step or wait first")
        return self._only.latest

    # readings

    @property
    def status(self) -> Status:
        """The last published status; never waits."""
        return self._worker.status if self._owner is None else self._only.status(self._place)

    @property
    def config(self) -> PredictorConfig:
        """The settings, those included that a command on its way brings."""
        wanted = self._shared.wanted
        if wanted is not None and self._worker.handled < wanted[0]:
            return wanted[1]
        return (self._track or self._worker.tracks[0]).config

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Every setting that `configure` takes, with its value, range and meaning."""
        return settings_of(self.config)

    def settings_code(self) -> str:
        """The Python expression that makes the present settings."""
        return settings_code(self.config)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What happened beside the ticks, oldest first: time, tick, kind, text."""
        return self._worker.events.all()

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks of the engine; to be read, or to be changed by an observer of theirs."""
        return self._worker.tracks

    @property
    def series(self) -> tuple[Any, ...]:
        """What `open` takes: the assets of the only track, or the names of several."""
        first, *others = self._worker.tracks
        return first.assets if not others and first.assets is not None else (first.name, *(t.name for t in others))

    def open(self, series: Any) -> Control:
        """The same engine with the readings of one of its series: its own history, alarms, snapshots and views.

        Raises:
            DomainError: there is no such series.
        """
        check_choice("series", series, self.series)
        place = self.series.index(series)
        first, *others = self._worker.tracks
        if others or first.assets is None:
            return Control(self._worker, self._worker.tracks[place], noun=self._noun, owner=self)
        return Control(self._worker, first, place, noun=self._noun, owner=self)

    def alarms(self) -> pd.DataFrame:
        """The newest alarms, oldest first: tick, time, chart, onset_tick, onset_time, observation; of several series
        the asset too."""
        if self._track is None:
            import pandas as pd

            tables = [t.timeline.alarms.table(t.labels.grid, (t.name,)) for t in self._worker.tracks]
            return pd.concat(tables, ignore_index=True)
        table = self._track.timeline.alarms.table(self._track.labels.grid, self._track.assets)
        if self._place is None or self._track.assets is None:
            return table
        own = table[table["asset"] == self._track.assets[self._place]]
        return own.drop(columns="asset").reset_index(drop=True)

    def history(self, start: int | None = None, stop: int | None = None) -> xr.Dataset:
        """Ticks start..stop, all that are kept by default, as the Dataset that `backtest` returns; ends as those of a
        slice.

        The attribute `events` holds the events as JSON, `config` the present settings.

        Raises:
            DomainError: no such ticks; or, after the close, ticks of a temporary archive.
        """
        past = self._past()
        first, last, _ = slice(past.oldest if start is None else start, stop).indices(past.ticks)
        return past.window(first, last)

    def export(self, path: Any) -> Path:
        """Write all that is kept: .zarr and .nc as `uspnb.load` reads them, .html as a report to look at.

        Raises:
            DomainError: another suffix, no folder to write to, nothing processed yet, or too much for netCDF.
        """
        return self._past().write(path)

    def _past(self) -> History:
        track = self._one
        labels = dataclasses.replace(track.labels, name=self.title) if self._place is not None else track.labels
        timeline, computation = track.timeline, track.timeline.computation
        return History(
            timeline.recording, computation.layout, self.config, labels, self.events, self._pick, computation.full_rows
        )

    @property
    def _only(self) -> Track:
        """The track of the readings."""
        return self._chosen(self._track is not None)

    @property
    def _one(self) -> Track:
        """The track of the readings, which are of a single series."""
        return self._chosen(self._track is not None and (self._track.assets is None or self._place is not None))

    def _chosen(self, is_chosen: bool) -> Track:
        if self._track is None or not is_chosen:
            raise DomainError(f"there are {len(self.series)} series; open one of them first: {named(self.series)}")
        return self._track

    @property
    def _pick(self) -> tuple[int, ...]:
        return () if self._place is None else (self._place,)

    # what views need

    @property
    def rows_ready(self) -> int:
        """Ticks that can be seen."""
        return self._only.timeline.ticks

    @property
    def revision(self) -> int:
        """How often ticks that could be seen were cut away."""
        return self._only.timeline.recording.revision

    def view_rows(self, first: int, stop: int) -> tuple[int, Float[np.ndarray, "tick column"]]:
        """The columns `fields.view_columns` of the ticks first..stop that are in memory, and the real first."""
        return self._viewed(*self._one.timeline.recording.newest(int(first), int(stop), self._pick))

    def past_view_rows(self, first: int, stop: int) -> tuple[int, Float[np.ndarray, "tick column"]]:
        """As `view_rows`, but older ticks are read from the archive, the newest 50,000 of those asked for."""
        return self._viewed(*self._one.timeline.recording.read_view(int(first), int(stop), self._pick))

    def _viewed(self, first: int, rows: np.ndarray, stamps: np.ndarray) -> tuple[int, np.ndarray]:
        track = self._one
        computation = track.timeline.computation
        full = computation.full_rows(rows)
        return first, view_columns(full, stamps, first, computation.layout, track.labels.grid)

    @property
    def reasons(self) -> dict[int, str]:
        """Sentences that the codes of the column `reason` pick."""
        return dict(PHRASES)

    @property
    def title(self) -> str:
        """What the series is called."""
        track = self._track
        if track is None:
            return self._noun
        if self._place is not None and track.assets is not None:
            return str(track.assets[self._place])
        return track.labels.name or self._noun

    @property
    def units(self) -> str:
        """Unit of the series, "" if unknown."""
        return self._only.labels.units

    @property
    def has_times(self) -> bool:
        """Whether the time axis holds times; otherwise it counts ticks."""
        return not self._only.labels.grid

    @property
    def source(self) -> Source:
        """What ticks are read from."""
        return self._only.source

    @property
    def live(self) -> bool:
        """Whether ticks come at their own pace, so that a speed means nothing."""
        return any(track.source.live for track in self._worker.tracks)

    @property
    def seekable(self) -> bool:
        """Whether one can go to any tick of the source."""
        return all(track.source.length is not None for track in self._worker.tracks)

    @property
    def holder_threshold(self) -> float:
        """Holder exponent below which the path counts as rough."""
        return float(self.config.holder_threshold)

    @property
    def confidence_level(self) -> float:
        """Nominal coverage of the interval."""
        return float(self.config.confidence_level)

    def __repr__(self) -> str:
        status = self.status
        of = "" if status.total is None else f" of {status.total}"
        return f"{type(self).__name__}({self.title!r}, {status.phase}, {status.ticks}{of} ticks)"

    def _repr_html_(self) -> str:
        status = self.status
        of = "" if status.total is None else f" of {status.total:,}"
        units = "" if self._track is None else self.units
        rows = {
            "series": self.title + (f" [{units}]" if units else ""),
            "phase": status.phase + (f": {status.message}" if status.message else ""),
            "ticks": f"{status.ticks:,}{of}, {status.waiting:,} waiting",
            "speed": f"{status.rate:,.0f} ticks/s",
            "alarms": f"{status.alarms:,}; {status.rejected:,} ticks refused",
            "mode": f"{status.mode}, health {status.health}",
            "settings": self.settings_code(),
        }
        return pairs_table(f"uspnb {self._noun.title()}", rows)


def _found(track: Track, time: Any) -> tuple[int, int]:
    """Number and timestamp of the tick of a time, the last one where several have it.

    Raises:
        DomainError: there is none, or it is too old to be corrected.
    """
    timeline, recording = track.timeline, track.timeline.recording
    oldest, ticks = max(track.base, timeline.checkpoints.first), timeline.ticks
    if track.labels.grid:
        tick = check_whole("time", time, 0, unit="ticks", remedy="the series has no times: give the number of a tick")
        stamp = track.stamp_of(tick)
    else:
        stamp = timestamp_to_ns(time)
        first, _, stamps = recording.newest(0, ticks, (slice(0, 0),))
        if first > recording.oldest and not (stamps == stamp).any():
            first, (_, stamps) = recording.oldest, recording.read(recording.oldest, first, (slice(0, 0),))
        places = np.flatnonzero(stamps == stamp)
        tick = first + int(places[-1]) if places.size else ticks
    if stamp is None or tick >= ticks:
        raise DomainError(
            f"time = {time!r} is that of no tick; there are {ticks:,}, and a value for a time without a row cannot "
            "be put between them: give the time of a tick, or feed a row of NaN where a value is still to come"
        )
    if tick < oldest:
        raise DomainError(
            f"time = {time!r} is tick {tick:,}, older than the oldest state that is kept, of tick {oldest:,}; replay "
            "the corrected series from its source, or keep more with Session(ring=...)"
        )
    return tick, stamp


def named(series: tuple[Any, ...]) -> str:
    """The first five of some series, for a message."""
    return ", ".join(map(str, series[:5])) + (", ..." if len(series) > 5 else "")


def _read_settings(value: Any) -> dict[str, Any]:
    """Settings by name, as a front end sends them."""
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise DomainError(f"settings = {value!r:.80} must be a mapping of names to numbers")
    return value
