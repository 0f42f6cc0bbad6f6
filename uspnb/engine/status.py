"""What an engine says about itself: its status, its events, and what it was asked to do."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

PHASES = ("new", "starting", "running", "paused", "finished", "faulted", "closed")
HEALTHS = ("ok", "doubtful", "emergency", "fault")
FINISHED = "the series has come to its end; seek back to see it again, or attach another source"
MOST_EVENTS = 2000


@dataclasses.dataclass(frozen=True)
class Status:
    """Where an engine stands; a new one is published after every batch of ticks and every command.

    Attributes:
        phase: one of `PHASES`.
        message: why it stands so, in a plain sentence; "" where the phase says it all.
        ticks: ticks processed so far, which is the index of the next one; of several series their sum.
        total: ticks that the source has in all, None where nobody knows.
        waiting: ticks that the source has read and the engine has not yet taken.
        speed: set speed [ticks/s], None for as fast as possible.
        rate: measured speed [ticks/s] over about the last second.
        alarms, rejected: how many ticks raised an alarm, how many the gate refused, over all assets.
        mode: name of the operating mode of the last tick; of several assets that of the first.
        degraded, emergency: flags of the last tick; of several assets how many have them.
        health: "ok", "doubtful" (degraded), "emergency", or "fault" (it cannot go on by itself).
        source: what the source calls itself.
        error: what stopped it, None where nothing did.
        revision: how often history has been cut back; rows read under another revision may have been replaced.
        assets: series that are processed.
        workers: processes that compute.
        faults: values that were no numbers, over all assets.
    """

    phase: str = "new"
    message: str = ""
    ticks: int = 0
    total: int | None = None
    waiting: int = 0
    speed: float | None = None
    rate: float = 0.0
    alarms: int = 0
    rejected: int = 0
    mode: str = "inference"
    degraded: int = False
    emergency: int = False
    health: str = "ok"
    source: str = ""
    error: str | None = None
    revision: int = 0
    assets: int = 1
    workers: int = 1
    faults: int = 0

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves until somebody or something asks for it."""
        return self.phase not in ("starting", "running")

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values that JSON can hold."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Labels:
    """What a series is called, and how its time axis counts.

    Attributes:
        name, units: of the series, "" if unknown.
        grid: whether the axis counts ticks because no times were given.
        notes: readings of the input that the user should know of.
    """

    name: str
    units: str
    grid: bool
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Mark:
    """A moment that `Control.restore` returns to.

    Attributes:
        label: what it is called.
        tick: ticks that had been processed then.
        time: when it was made (UTC, ISO 8601).
        checkpoints: one of each track, by the numbers of the track and of its source.
    """

    label: str
    tick: int
    time: str
    checkpoints: dict[tuple[int, int], Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Label, tick and time, as JSON can hold them."""
        return {"label": self.label, "tick": self.tick, "time": self.time}


def now_text() -> str:
    """The present moment in UTC, to the millisecond, as events and marks carry it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class EventLog:
    """The newest `MOST_EVENTS` events beside the ticks, oldest first; any thread may add and read.

    Args:
        listener: called with the kind and the text of every event, in the thread that adds it.
    """

    def __init__(self, listener: Callable[[str, str], object] = lambda kind, text: None) -> None:
        self._events: deque[dict[str, Any]] = deque(maxlen=MOST_EVENTS)
        self._lock, self._listener = threading.Lock(), listener

    def add(self, tick: int, kind: str, text: str) -> None:
        """Keep one event.

        Args:
            tick: ticks processed when it happened.
            kind: one word: "fault", "settings", "seek", "restore", "source", "silence", "archive", "subscriber",
                "observer", "cell", "row", "depth", "store", "calibration".
            text: what happened, for a person.
        """
        with self._lock:
            self._events.append({"time": now_text(), "tick": tick, "kind": kind, "text": text})
        self._listener(kind, text)

    def all(self) -> list[dict[str, Any]]:
        """Copies of the events, oldest first."""
        with self._lock:
            return [dict(event) for event in self._events]


class Playback:
    """What a track was asked to do, and what keeps it from doing so; owned by the worker.

    Attributes:
        playing: it is to run until the next command.
        steps: ticks that it is to process before it stands still.
        goal: tick that it is to reach at full speed, None for none.
        silent: it waits for a source that has not said anything for long.
        finished: the source has no more ticks.
        begun: a command has ever come.
        faulted: it cannot go on by itself.
        message: why it stands so; "" where nothing is to be said.
        error: what stopped it, None where nothing did.
    """

    def __init__(self) -> None:
        self.playing = self.silent = self.finished = self.begun = self.faulted = False
        self.steps = 0
        self.goal: int | None = None
        self.message = ""
        self.error: str | None = None

    @property
    def active(self) -> bool:
        """Whether ticks are wanted."""
        return (self.playing or self.steps > 0 or self.goal is not None) and not self.faulted

    def ask(self, *, playing: bool = False, steps: int = 0, goal: int | None = None) -> None:
        """A new wish; obstacles of the past no longer count."""
        self.begun, self.finished, self.silent = True, False, False
        if goal is not None:
            self.goal, self.steps = goal, 0  # and what it did before, it does again from there
        else:
            self.playing, self.steps = playing, 0 if playing else self.steps + steps
        self.clear()

    def stand_still(self) -> None:
        """Wish for nothing."""
        self.playing = self.silent = False
        self.steps, self.goal = 0, None

    def end(self) -> None:
        """The source has come to its end."""
        self.stand_still()
        self.finished, self.message = True, FINISHED

    def fail(self, message: str, dead: bool) -> None:
        """Something stopped it; `dead` where it cannot simply go on."""
        self.stand_still()
        self.faulted, self.message, self.error = dead, message, message

    def clear(self) -> None:
        """Nothing stops it any more."""
        self.faulted, self.message, self.error = False, "", None

    def counted(self, done: int, ticks: int) -> None:
        """`done` more ticks were processed, `ticks` in all."""
        if self.goal is not None:
            if ticks >= self.goal:
                self.goal = None
        else:
            self.steps -= min(done, self.steps)

    def phase(self, behind: bool) -> str:
        """The phase to show; `behind` while an earlier state is being computed anew."""
        if self.faulted:
            return "faulted"
        if self.silent:
            return "paused"
        if self.active or behind:
            return "running"
        if self.finished:
            return "finished"
        return "paused" if self.begun else "new"
