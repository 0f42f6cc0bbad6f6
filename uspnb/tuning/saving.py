"""A small pool that writes files: handing over never waits, and of too many saves the oldest is dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from ..errors import DomainError
from ..runtime.arguments import check_whole

KEPT_FAILURES = 100
Made = TypeVar("Made")


class SavePool:
    """Threads that write.

    Args:
        workers: how many, at least 1.
        places: saves that may wait for one, at least 1.

    Raises:
        DomainError: a number below 1.
    """

    def __init__(self, workers: int, places: int) -> None:
        self._places = check_whole("queue_maxlen", places, 1)
        workers = check_whole("max_workers", workers, 1)
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="uspnb-tuning-io")
        self._lock = threading.Lock()
        self._saves: list[Future[Any]] = []
        self._futures: list[Future[Any]] = []

    def submit(self, work: Callable[[], Made], may_be_dropped: bool = False) -> Future[Made]:
        """Have something written.

        Args:
            work: what writes.
            may_be_dropped: whether it is cancelled when more than `places` of its kind wait and it is the oldest.

        Raises:
            DomainError: the pool is closed.
        """
        with self._lock:
            if may_be_dropped:
                self._saves = [one for one in self._saves if not (one.running() or one.done())]
                while len(self._saves) >= self._places:
                    self._saves.pop(0).cancel()
            try:
                future = self._executor.submit(work)
            except RuntimeError as error:
                raise DomainError("nothing more is written after shutdown(); make another optimizer") from error
            if may_be_dropped:
                self._saves.append(future)
            failed = [one for one in self._futures if one.done() and _problem(one) is not None]
            pending = [one for one in self._futures if not one.done()]
            self._futures = [*failed[-KEPT_FAILURES:], *pending, future]
            return future

    def wait(self, timeout: float | None = None) -> None:
        """Wait until nothing is being written.

        Raises:
            TimeoutError: that took longer than `timeout` [s].
            Exception: the first failure since the last call.
        """
        problems = self._settle(timeout)
        if problems:
            raise problems[0]

    def settled(self, timeout: float | None) -> bool:
        """Wait until nothing is being written; whether that came within `timeout` [s] and nothing failed."""
        try:
            return not self._settle(timeout)
        except TimeoutError:
            return False

    def close(self, wait: bool = True) -> None:
        """Take nothing more; finish what is pending."""
        self._executor.shutdown(wait=wait)

    def _settle(self, timeout: float | None) -> list[BaseException]:
        with self._lock:
            futures = list(self._futures)
        pending = wait(futures, timeout).not_done
        if pending:
            raise TimeoutError(f"{len(pending)} files are still being written after {timeout:g} s")
        with self._lock:
            self._futures = [one for one in self._futures if one not in futures]
        return [problem for one in futures if (problem := _problem(one)) is not None]


def _problem(done: Future[Any]) -> BaseException | None:
    return None if done.cancelled() else done.exception()
