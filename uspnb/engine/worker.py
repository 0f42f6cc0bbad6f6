"""`Worker`: the one thread of an engine; it obeys a mailbox, turns its tracks, and publishes where they stand."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar, runtime_checkable

from .status import HEALTHS, EventLog, Status

Command = Callable[[], object]
LONGEST_WORD_S = 10.0
PERIOD_S = 1 / 30
PRECEDENCE = ("starting", "running", "faulted", "paused", "new", "finished")


class Mailbox:
    """Commands in their order, counted so that one can wait until they were obeyed, and what else wakes a worker."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._commands: deque[Command] = deque()
        self._woken = False
        self.issued = 0

    def put(self, command: Command) -> None:
        """Leave a command and wake the worker; never waits for it."""
        with self._condition:
            self._commands.append(command)
            self.issued += 1
            self._condition.notify_all()

    def wake(self) -> None:
        """Wake the worker: a source has something."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def collect(self) -> list[Command]:
        """The commands that are there; a later `wake` is not missed."""
        with self._condition:
            commands = list(self._commands)
            self._commands.clear()
            self._woken = False
            return commands

    def sleep(self, seconds: float | None) -> None:
        """Wait for a command or a wake-up since the last `collect`, at most so long; None for as long as it takes."""
        with self._condition:
            if not self._commands and not self._woken:
                self._condition.wait(seconds)


class Publisher:
    """Calls every subscriber after a change, from one thread of its own, never from the one that computes.

    Args:
        failed: takes the reason when a subscriber raised and was dropped.
    """

    def __init__(self, failed: Callable[[str], None]) -> None:
        self._failed = failed
        self._callbacks: list[Command] = []
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False

    def subscribe(self, callback: Command) -> Callable[[], None]:
        """Call `callback` after changes, and once soon after this.

        Returns:
            A function that ends the subscription; calling it twice does no harm.
        """
        with self._lock:
            self._callbacks.append(callback)
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._publish, name="uspnb-publisher", daemon=True)
                self._thread.start()
        self._changed.set()

        def unsubscribe() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._callbacks.remove(callback)

        return unsubscribe

    def changed(self) -> None:
        """Something is new; costs next to nothing."""
        if not self._changed.is_set():
            self._changed.set()

    def close(self) -> None:
        """Call all a last time, then end the thread."""
        self._closing = True
        self._changed.set()

    def join(self, timeout: float) -> None:
        """Wait for the thread's end, unless it is the one that asks."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _publish(self) -> None:
        while True:
            self._changed.wait()
            began = time.monotonic()
            self._changed.clear()
            closing = self._closing
            with self._lock:
                callbacks = list(self._callbacks)
            for callback in callbacks:
                self._call(callback)
            if closing:
                return
            time.sleep(max(0.0, PERIOD_S - (time.monotonic() - began)))

    def _call(self, callback: Command) -> None:
        try:
            callback()
        except Exception as error:  # it is the subscriber's own code: whatever it raises must not stop the others
            with self._lock, contextlib.suppress(ValueError):
                self._callbacks.remove(callback)
            self._failed(f"a subscriber raised {type(error).__name__}: {error}; it is no longer called")


@runtime_checkable
class Turning(Protocol):
    """What a worker turns: a `Track`, or whatever else has batches."""

    events: EventLog

    def connect(self, wake: Callable[[], None]) -> None:
        """Belong to a worker from here on, which `wake` wakes."""

    def turn(self, *, alone: bool) -> bool:
        """Do what is due; whether anything was done.  Never raises."""
        ...

    def patience_s(self) -> float | None:
        """Seconds to sleep unless woken, None for as long as it takes."""
        ...

    def status(self) -> Status:
        """Where it stands."""
        ...

    def fail(self, message: str, kind: str, *, dead: bool) -> None:
        """A command failed."""

    def end(self) -> None:
        """Stand still for good."""


Turned = TypeVar("Turned", bound=Turning)


class Worker(Generic[Turned]):
    """Turns tracks in a thread of its own; it alone touches them.

    Args:
        tracks: at least one, all of one event log; each gets a batch in turn.
        name: of the thread.
        longest_sleep_s: the thread turns at least so often [s], so that `turned` tells whether it lives; None for only
            when there is something to do.
        ended: called by the thread when it ends, before the tracks end.

    Attributes:
        changed: notified whenever a status was published.
        handled: commands obeyed whose effect the published status shows.
        turned: when the thread last turned (`time.monotonic`).
    """

    def __init__(
        self,
        tracks: Sequence[Turned],
        *,
        name: str = "uspnb-session",
        longest_sleep_s: float | None = None,
        ended: Callable[[], object] | None = None,
    ) -> None:
        self.tracks, self.mailbox = tuple(tracks), Mailbox()
        self.events: EventLog = self.tracks[0].events
        self.publisher = Publisher(lambda text: self.events.add(self.status.ticks, "subscriber", text))
        self.changed = threading.Condition()
        self.handled = self._obeyed = 0
        self.closing = False
        self.turned = time.monotonic()
        self._longest_sleep_s, self._ended = longest_sleep_s, ended
        self._orders: deque[Command] = deque()
        for track in self.tracks:
            track.connect(self.mailbox.wake)
        self.status = self._joined()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask the thread to end; it does so after the batch that it is at.  Any thread may."""
        self.closing = True
        self.mailbox.wake()

    def join(self, timeout: float | None) -> bool:
        """Wait for the thread's end and say whether it came; the thread itself and its publisher do not wait."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        self.publisher.join(LONGEST_WORD_S if timeout is None else timeout)
        return not self._thread.is_alive()

    # the thread

    def _work(self) -> None:
        while not self.closing:
            self._turn()
        self._end()

    def _turn(self) -> None:
        self.turned = time.monotonic()
        self._orders.extend(self.mailbox.collect())
        if self._orders:
            self._obey()
            self._publish()
        done, alone = False, len(self.tracks) == 1
        for track in self.tracks:
            if self.closing:
                return
            done |= track.turn(alone=alone)
        if done:
            self._publish()
            return
        patience = [wait for track in self.tracks if (wait := track.patience_s()) is not None]
        patience += [] if self._longest_sleep_s is None else [self._longest_sleep_s]
        self._publish()
        self.mailbox.sleep(min(patience, default=None))

    def _obey(self) -> None:
        while self._orders:
            self._obeyed += 1
            try:
                self._orders.popleft()()
            except Exception as error:  # a command that fails must not end the thread that obeys the next ones
                for track in self.tracks:
                    track.fail(f"{type(error).__name__}: {error}", "fault", dead=True)

    def _publish(self, phase: str = "") -> None:
        status = self._joined(phase)
        with self.changed:
            self.handled, self.status = self._obeyed, status
            self.changed.notify_all()
        self.publisher.changed()

    def _joined(self, phase: str = "") -> Status:
        """The status of the only track, or one of all of them."""
        every = [track.status() for track in self.tracks]
        status = every[0] if len(every) == 1 else joined(every)
        return dataclasses.replace(status, phase=phase) if phase else status

    def _end(self) -> None:
        self._orders.extend(self.mailbox.collect())  # what was asked for before the close
        self._obey()
        try:
            if self._ended is not None:
                self._ended()
        finally:
            for track in self.tracks:
                track.end()
            self._publish("closed")
            self.publisher.close()


def joined(every: Sequence[Status]) -> Status:
    """One status of several tracks: sums, the liveliest phase, the worst health, the first message and error."""
    phases = {status.phase for status in every}
    totals = [status.total for status in every if status.total is not None]

    def total(name: str) -> int:
        return sum(getattr(status, name) for status in every)

    def first(name: str) -> str:
        return next((getattr(status, name) for status in every if getattr(status, name)), "")

    return Status(
        phase=next(phase for phase in PRECEDENCE if phase in phases),
        message=first("message"),
        ticks=total("ticks"),
        total=sum(totals) if len(totals) == len(every) else None,
        waiting=total("waiting"),
        speed=every[0].speed,
        rate=sum(status.rate for status in every),
        alarms=total("alarms"),
        rejected=total("rejected"),
        mode=every[0].mode,
        degraded=total("degraded"),
        emergency=total("emergency"),
        health=max((status.health for status in every), key=HEALTHS.index),
        source=f"{len(every)} series",
        error=first("error") or None,
        revision=total("revision"),
        assets=total("assets"),
        workers=every[0].workers,
        faults=total("faults"),
    )
