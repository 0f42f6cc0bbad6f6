"""The thread of a session: it alone owns the state, takes commands from a mailbox and ticks from the source."""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from ...predictor.functional import FunctionalPredictor
from ...runtime.publishing import Publisher
from ...sinks import TelemetryBuffer
from ...sources import Source, SourceFault, Ticks
from ..pacing import Pace, Rate, portion_after
from .checkpoints import Checkpoint
from .computation import CHUNK, Computation
from .describing import described
from .event_log import EventLog
from .history import Labels
from .mailbox import Command, Mailbox
from .standing import Standing
from .status import SessionStatus

COMPILING = (
    "the predictor is being compiled, which takes up to half a minute the first time; commands act when it is ready"
)
_numbers = itertools.count(1)


class Worker:
    """Runs a computation on the ticks of a source.

    Public methods may be called by any thread, but for `recompute`.

    Args:
        computation: what is computed.
        source: where ticks come from.
        labels: what its series is called.
        speed: ticks per second of a replay, None for as fast as possible.
        silence_s: seconds without a tick after which a live source counts as silent, None for never.
        ended: called at the thread's end, with this.
        telemetry: takes the results of every tick, which costs a reference.
    """

    def __init__(
        self,
        computation: Computation,
        source: Source,
        labels: Labels,
        speed: float | None,
        silence_s: float | None,
        ended: Callable[[Any], None],
        telemetry: TelemetryBuffer | None = None,
    ) -> None:
        self._telemetry = telemetry
        self.computation, self.source, self.labels = computation, source, labels
        self.number = next(_numbers)
        self.mailbox, self.events = Mailbox(), EventLog()
        self.publisher = Publisher(lambda text: self.events.add(self.status.ticks, "subscriber", text))
        self.changed = threading.Condition()
        self.base = self.source_number = self.handled = self._obeyed = 0
        self.latest: Checkpoint | None = None
        self.closing = False
        self._standing, self._pace, self._rate = Standing(), Pace(speed), Rate()
        self._silence_s, self._ended = silence_s, ended
        self._prepared = self._started = self._starved = False
        self._orders: deque[Command] = deque()
        self._portion = CHUNK
        self._held: tuple[Ticks, np.ndarray] | None = None
        self._last_tick_s, self._awake_ns = time.monotonic(), time.time_ns()
        self.status = self._described()
        self._thread = threading.Thread(target=self._work, name="uspnb-session", daemon=True)
        self._thread.start()

    @property
    def functional(self) -> FunctionalPredictor:
        """The predictor of the next tick."""
        return self.computation.settings.current

    def close(self) -> None:
        """Ask the worker to end; it does so after the batch that it is at."""
        self.closing = True
        self.mailbox.wake()

    def join(self, timeout: float) -> bool:
        """Wait for the worker's end and say whether it came; the worker itself and its publisher do not wait."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        self.publisher.join(timeout)
        return not self._thread.is_alive()

    # the thread

    def _work(self) -> None:
        while not self.closing:
            try:
                self._turn()
            except Exception as error:  # whatever it is, a person must see it and the thread must live on
                text = "".join(traceback.format_exception(error)).strip()
                self._fail(text.splitlines()[-1], "fault", dead=True, event=text)
                self._publish()
        self._end()

    def _turn(self) -> None:
        self._orders.extend(self.mailbox.collect())
        if self._orders:
            self._obey()
            self._publish()
        if self._standing.active and not self._prepared:
            self._prepare()
        elif self.computation.behind and not self._standing.faulted:
            self.recompute()
            self._publish()
        elif not self._process(self._due()):
            self._publish()
            self.mailbox.sleep(self._patience_s())

    def _obey(self) -> None:
        while self._orders:
            self._obeyed += 1
            self._orders.popleft()()

    def _prepare(self) -> None:
        self._publish("starting", COMPILING)
        self.computation.prepare()
        self._prepared = True
        self._begin()
        self._publish()

    def recompute(self) -> None:
        """Some ticks on the way from a checkpoint to the end of the record."""
        self.source.seek(self.computation.position - self.base)
        self.computation.recompute(self.source.take(self.computation.portion_behind()))
        if not self.computation.behind:
            self._begin()

    def _due(self) -> int:
        """How many ticks to take now."""
        standing = self._standing
        if not standing.active or not (self._started or self._start_source()):
            return 0
        if standing.goal is not None:
            return min(self._portion, standing.goal - self.computation.ticks)
        if standing.steps:
            return min(self._portion, standing.steps)
        if self.source.live:
            return self._portion
        due = self._pace.due(self._portion)
        self._starved = self._starved and due > 0  # whether a source is dry shows only when something is taken
        return due

    def _process(self, count: int) -> bool:
        """Take and process up to `count` ticks; whether there were any."""
        if count == 0:
            return False
        try:
            self.computation.recording.make_room(CHUNK)
            if self._held is None:
                self._held = self._take(count)
        except SourceFault as fault:
            self._fail(str(fault), "fault", dead=not fault.can_continue)
        except OSError as error:
            told = f"the archive of older ticks cannot be written ({error.strerror or error})"
            self._fail(f"{told}; free some space, then run() again: nothing is lost", "archive", dead=False)
        if self._held is None or not self._standing.active:
            return False
        ticks, now_ns = self._held
        began = time.monotonic()
        rows = self.computation.take_in(ticks, now_ns)
        self._held = None
        if self._telemetry is not None:
            first = self.computation.ticks - self.base - len(ticks) + 1
            self._telemetry.emit(self.labels.name or "series", first, rows, ticks.stamps_ns)
        self._portion = portion_after(time.monotonic() - began, self._portion)
        self._count(len(ticks))
        self._publish()
        return True

    def _take(self, count: int) -> tuple[Ticks, np.ndarray] | None:
        live = self.source.live
        ticks = self.source.take(count)
        if not len(ticks):
            self._starved = True
            self._check_end()
            return None
        # What was measured while nobody could take it is history: at its own time it is not stale.
        missed = ticks.stamps_ns < self._awake_ns
        return ticks, np.where(missed, ticks.stamps_ns, time.time_ns()) if live else ticks.stamps_ns

    def _count(self, done: int) -> None:
        ticks, standing = self.computation.ticks, self._standing
        self._last_tick_s, self._starved = time.monotonic(), False
        if standing.silent:
            standing.silent, standing.message = False, ""
            self.events.add(ticks, "silence", "ticks come again")
        self._rate.did(ticks)
        sought = standing.goal is not None
        standing.counted(done, ticks)
        if sought:
            self._pace.rebase(self._pace.speed)
        else:
            self._pace.did(done)
        self._check_end()

    def _check_end(self) -> None:
        if self.source.exhausted:
            self._standing.end()

    def _start_source(self) -> bool:
        try:
            self.source.start(self.mailbox.wake)
        except (SourceFault, ValueError, OSError) as error:
            self._fail(str(error), "fault", dead=True)
            return False
        self._started = True
        return True

    def _fail(self, message: str, kind: str, *, dead: bool, event: str = "") -> None:
        self._standing.fail(message, dead)
        self._started = False  # the next run() has the source take up again what had broken
        self.events.add(self.computation.ticks, kind, event or message)

    def _patience_s(self) -> float | None:
        """Seconds to sleep unless woken, None for as long as it takes."""
        standing = self._standing
        if not standing.active or (self._starved and (self._silence_s is None or not self.source.live)):
            return None
        if not self._starved:
            return self._pace.wait_s()
        silence_s = self._silence_s or 0.0
        left = self._last_tick_s + silence_s - time.monotonic()
        if standing.silent or left > 0:
            return None if standing.silent else left
        standing.silent = True
        standing.message = f"no tick for {silence_s:g} s; it goes on by itself with the next one"
        self.events.add(self.computation.ticks, "silence", standing.message)
        self._publish()
        return None

    def _begin(self) -> None:
        """Time counts from here: for the pace, for silence, and for what a live source has measured so far."""
        self._pace.rebase(self._pace.speed)
        self._rate.clear()
        self._starved = False
        self._last_tick_s, self._awake_ns = time.monotonic(), time.time_ns()

    # telling

    def _publish(self, phase: str = "", message: str = "") -> None:
        self.latest = self.computation.here() if self._prepared and not self.computation.behind else None
        status = self._described(phase, message)
        with self.changed:
            self.handled, self.status = self._obeyed, status
            self.changed.notify_all()
        self.publisher.changed()

    def _described(self, phase: str = "", message: str = "") -> SessionStatus:
        return described(
            self.computation,
            self._standing,
            self.source,
            self.base,
            self._pace.speed,
            self._rate.value if self._standing.active else 0.0,
            phase,
            message,
        )

    def _end(self) -> None:
        self._orders.extend(self.mailbox.collect())  # what was asked for before the close
        for act in (self._obey, self._standing.stand_still, lambda: self._ended(self), self.source.close):
            try:
                act()
            except Exception as error:  # a file or a predictor that cannot be given back: the others still are
                self.events.add(self.computation.ticks, "fault", f"at the close: {type(error).__name__}: {error}")
        self._publish("closed", self._standing.message)
        self.publisher.close()
