"""Stopping a service: the first signal asks, the second insists, and a budget of time stands behind both."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT)
UNFINISHED = 1
CLOSE = b"\0"


class Deadline:
    """The time that is left of a budget, which begins when it is asked to.

    Args:
        budget_s: the whole of it [s].
    """

    def __init__(self, budget_s: float) -> None:
        self.budget_s = budget_s
        self._began: float | None = None

    def begin(self) -> None:
        """Let time count, if it does not yet."""
        if self._began is None:
            self._began = time.monotonic()

    @property
    def spent_s(self) -> float:
        """Seconds since it began, 0 before."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def left_s(self, share: float = 1.0) -> float:
        """Seconds left of a share of the budget, never below 0."""
        return max(share * self.budget_s - self.spent_s, 0.0)


class StopSignals:
    """SIGTERM and SIGINT of this process, answered even while the main thread is inside a compiler or a slow disk.

    The handlers do nothing; the interpreter writes the number of a signal into a pipe at once, whatever its threads
    are at, and a thread of ours reads it.  The first signal calls `on_first`.  A second one, or the end of the budget
    with the process still there, ends the process with code 1: what is on the disk is whole, as every file is written
    whole or not at all.

    Args:
        deadline: of the shutdown; it begins with the first signal.
        on_first: called by that thread; it must only set events.
        say: tells a person.
        leave: ends the process.
    """

    def __init__(
        self,
        deadline: Deadline,
        on_first: Callable[[str], None],
        say: Callable[[str], None],
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self._deadline, self._on_first, self._say, self._leave = deadline, on_first, say, leave
        self._inbox, self._outbox = socket.socketpair()
        self._before: dict[signal.Signals, object] = {}
        self._thread = threading.Thread(target=self._watch, name="uspnb-signals", daemon=True)

    def __enter__(self) -> StopSignals:
        """Take the signals over; only the main thread of a process may."""
        self._outbox.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._outbox.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _nothing) for number in STOPPING}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._wakeup)
        with contextlib.suppress(OSError):
            self._outbox.send(CLOSE)
        self._thread.join(1.0)
        self._inbox.close()
        self._outbox.close()

    def _watch(self) -> None:
        first = self._next(None)
        if first is None:
            return
        self._deadline.begin()
        self._say(f"{first.name}: finishing what was accepted, within {self._deadline.budget_s:g} s")
        self._on_first(first.name)
        try:
            second = self._next(self._deadline.left_s())
        except TimeoutError:
            self._say("the budget is spent before all was finished; leaving with what is on the disk")
            self._leave(UNFINISHED)
            return
        if second is not None:
            self._say(f"{second.name} again: leaving at once with what is on the disk")
            self._leave(UNFINISHED)

    def _next(self, timeout_s: float | None) -> signal.Signals | None:
        """The next signal that stops; None where the service ended first.

        Raises:
            TimeoutError: neither came in time.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            self._inbox.settimeout(None if until is None else max(until - time.monotonic(), 1e-3))
            got = self._inbox.recv(1)
            if got in (CLOSE, b""):
                return None
            if got[0] in STOPPING:
                return signal.Signals(got[0])


def _nothing(number: int, frame: FrameType | None) -> None:
    """What Python calls once the main thread comes to it; the thread of `StopSignals` has acted long before."""
