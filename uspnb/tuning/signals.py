"""Signals while a campaign runs: an interrupt waits until the study is consistent, then goes where it always goes."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

CHECKPOINT = getattr(signal, "SIGUSR1", None)  # not on Windows
TERMINATED = 128 + int(signal.SIGTERM)


class Terminated(BaseException):
    """SIGTERM came; no handler of an error may take it for one."""


class CampaignSignals:
    """SIGINT, SIGTERM and SIGUSR1 of a campaign in the main thread; elsewhere nothing is installed.

    SIGINT and SIGTERM act at once, but for the time in which the study is written: then they wait for its end.  A batch
    that they cut off stays running in the study and is taken over later.  SIGUSR1 acts at once while a batch is
    evaluated, else before the next one.

    Args:
        checkpoint: called for SIGUSR1; it must not raise.
    """

    def __init__(self, checkpoint: Callable[[], None]) -> None:
        self._checkpoint = checkpoint
        self._before: dict[int, Any] = {}
        self._pending: list[int] = []
        self._sheltered = self._evaluating = self._wanted = False

    def __enter__(self) -> CampaignSignals:
        """Install the handlers."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, CHECKPOINT):
                # None: set by what is not Python, which could not be given back.
                if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the handlers of before, then act on signals that still wait."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._write_wanted()
        while self._pending:  # an error ended the writing that they waited for
            signal.raise_signal(self._pending.pop())

    @contextlib.contextmanager
    def sheltered(self) -> Iterator[None]:
        """Within, the study is written; at the end the signals act that came meanwhile."""
        self._sheltered = True
        try:
            yield
        finally:
            self._sheltered = False
        while self._pending:
            self._end(self._pending.pop())

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Within, nothing of the campaign is written, so that a checkpoint may be."""
        self._evaluating = True
        self._write_wanted()
        try:
            yield
        finally:
            self._evaluating = False

    def hand_on(self) -> None:
        """After a SIGTERM, all saved: to the handler that was there before, else the process ends with code 143."""
        handler = self._before.get(signal.SIGTERM)
        if callable(handler):
            handler(signal.SIGTERM, None)
        raise SystemExit(TERMINATED)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == CHECKPOINT:
            self._wanted = True
            if self._evaluating:
                self._write_wanted()
        elif not self._sheltered:
            self._end(number)
        elif number not in self._pending:
            self._pending.append(number)

    def _write_wanted(self) -> None:
        if self._wanted:
            self._wanted = False
            self._checkpoint()

    def _end(self, number: int) -> None:
        if number == signal.SIGTERM:
            raise Terminated
        handler = self._before.get(number)
        if callable(handler):
            handler(number, None)
        else:
            raise KeyboardInterrupt
