"""`Writer`: threads that write while the ones that hand over go on; of too many pieces the oldest is dropped."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, SupportsIndex, TypeVar

from ..errors import DomainError
from .arguments import check_whole

MOST_PROBLEMS = 100
Written = TypeVar("Written")


class WriterStatus(NamedTuple):
    """How a writer fares.

    Attributes:
        pending: pieces that wait or are being written.
        dropped: pieces that made room for newer ones.
        written, failed: pieces that are done, that raised.
    """

    pending: int = 0
    dropped: int = 0
    written: int = 0
    failed: int = 0


class _Piece(NamedTuple):
    work: Callable[[], Any]
    future: Future[Any]
    may_be_dropped: bool


class Writer:
    """A bounded queue of pieces of work and the threads that do them; any thread may call any method.

    Handing over never waits.  Threads are started when there is work, and an interpreter that ends waits for them.

    Args:
        name: of the threads.
        places: pieces that may wait; for one more the oldest that may be dropped is, and its Future cancelled.
        workers: threads; more than one may finish out of order.
        told_closed: what is said to who submits after the end.

    Raises:
        DomainError: `places` or `workers` below 1.
    """

    def __init__(
        self,
        name: str,
        places: SupportsIndex,
        workers: SupportsIndex = 1,
        told_closed: str = "the writer is closed; nothing more can be submitted",
    ) -> None:
        self.places, self.workers = check_whole("places", places, 1), check_whole("workers", workers, 1)
        self._told_closed = told_closed
        self._executor = ThreadPoolExecutor(self.workers, thread_name_prefix=name)
        self._changed = threading.Condition()
        self._waiting: deque[_Piece] = deque()
        self._threads, self._writing, self._closed = 0, 0, False
        self._status = WriterStatus()
        self._problems: deque[Exception] = deque(maxlen=MOST_PROBLEMS)

    def submit(self, work: Callable[[], Written], *, may_be_dropped: bool = True) -> Future[Written]:
        """Have a piece of work done; returns at once.

        Args:
            work: called in a thread of the writer.
            may_be_dropped: whether it takes one of the `places` and gives way to newer ones.

        Returns:
            A Future of what it returns or raises, cancelled where it was dropped.

        Raises:
            DomainError: the writer is closed.
        """
        future: Future[Written] = Future()
        dropped: list[_Piece] = []
        with self._changed:
            if self._closed:
                raise DomainError(self._told_closed)
            self._waiting.append(_Piece(work, future, may_be_dropped))
            droppable = [piece for piece in self._waiting if piece.may_be_dropped]
            for piece in droppable[: -self.places]:
                self._waiting.remove(piece)
                dropped.append(piece)
            self._status = self._status._replace(dropped=self._status.dropped + len(dropped))
            if self._threads < self.workers:
                # A thread stays at work until nothing waits, so that even an interpreter that ends writes the last one.
                self._threads += 1
                self._executor.submit(self._work)
        for piece in dropped:
            piece.future.cancel()
            piece.future.set_running_or_notify_cancel()
        return future

    def status(self) -> WriterStatus:
        """How it fares."""
        with self._changed:
            return self._status._replace(pending=len(self._waiting) + self._writing)

    def take_problems(self) -> list[Exception]:
        """What pieces raised since the last call, the first one first; at most 100 are remembered."""
        with self._changed:
            problems = list(self._problems)
            self._problems.clear()
            return problems

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is pending; whether that came true within `timeout` [s]."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._writing, timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Take nothing more, do what is pending; whether that was done within `timeout` [s].

        What is not done by then goes on in its thread, which an interpreter that ends waits for.
        """
        with self._changed:
            self._closed = True
        done = self.wait(timeout)
        self._executor.shutdown(wait=False)
        return done

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._threads -= 1
                    return
                piece = self._waiting.popleft()
                self._writing += 1
            if piece.future.set_running_or_notify_cancel():
                self._do(piece)
            with self._changed:
                self._writing -= 1
                self._changed.notify_all()

    def _do(self, piece: _Piece) -> None:
        try:
            written = piece.work()
        except Exception as problem:  # whatever it is, the Future's owner must see it and the thread must live on
            with self._changed:
                self._status = self._status._replace(failed=self._status.failed + 1)
                self._problems.append(problem)
            piece.future.set_exception(problem)
            return
        with self._changed:
            self._status = self._status._replace(written=self._status.written + 1)
        piece.future.set_result(written)
