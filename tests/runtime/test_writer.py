"""The bounded writer: what is handed over is done once, dropped once or raised once, and nobody waits but who asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from waiting import PATIENCE_S

from uspnb.errors import DomainError
from uspnb.runtime.files import Writer, WriterStatus


class Gate:
    """Pieces of work that stand still until they are let through."""

    def __init__(self) -> None:
        self.entered, self.leave, self.done = threading.Semaphore(0), threading.Event(), []

    def piece(self, number: int) -> Callable[[], int]:
        def work() -> int:
            self.entered.release()
            assert self.leave.wait(PATIENCE_S)
            self.done.append(number)
            return number

        return work


@pytest.fixture
def gate() -> Iterator[Gate]:
    one = Gate()
    yield one
    one.leave.set()


@pytest.mark.parametrize("workers", [1, 3])
def test_all_is_done_in_order_of_submission(workers: int) -> None:
    writer, done = Writer("writer", 100, workers), []
    futures = [writer.submit(lambda n=n: done.append(n) or n) for n in range(50)]
    assert [one.result(PATIENCE_S) for one in futures] == list(range(50))
    assert writer.wait(PATIENCE_S) and writer.status() == WriterStatus(0, 0, 50, 0)
    assert sorted(done) == list(range(50)) and (workers > 1 or done == sorted(done))


@pytest.mark.parametrize(("places", "workers"), [(1, 1), (5, 2), (np.int64(3), np.int64(1))])
def test_of_too_many_the_oldest_is_dropped(gate: Gate, places: Any, workers: Any) -> None:
    writer = Writer("writer", places, workers)
    first = [writer.submit(gate.piece(n)) for n in range(workers)]
    for _ in first:
        assert gate.entered.acquire(timeout=PATIENCE_S)
    lasting = writer.submit(gate.piece(99), may_be_dropped=False)
    rest = [writer.submit(gate.piece(10 + n)) for n in range(8)]
    assert [one.cancelled() for one in rest] == [True] * (8 - places) + [False] * int(places)
    assert writer.status() == WriterStatus(int(workers) + 1 + int(places), 8 - int(places), 0, 0)
    gate.leave.set()
    assert writer.close(PATIENCE_S)
    left = [*range(workers), 99, *range(18 - int(places), 18)]
    assert sorted(gate.done) == sorted(left) and lasting.result() == 99
    assert writer.status() == WriterStatus(0, 8 - int(places), len(left), 0)


def test_a_piece_that_raises_is_told_of_once_and_stops_nothing() -> None:
    def fail() -> None:
        raise OSError("the disk is full")

    writer = Writer("writer", 10)
    futures = [writer.submit(fail), writer.submit(lambda: 5), writer.submit(fail)]
    with pytest.raises(OSError, match="the disk is full"):
        futures[0].result(PATIENCE_S)
    assert futures[1].result(PATIENCE_S) == 5 and writer.wait(PATIENCE_S)
    assert writer.status() == WriterStatus(0, 0, 1, 2)
    assert [str(problem) for problem in writer.take_problems()] == ["the disk is full"] * 2
    assert writer.take_problems() == []


def test_a_future_may_be_cancelled_by_its_owner(gate: Gate) -> None:
    writer = Writer("writer", 10)
    writer.submit(gate.piece(0))
    assert gate.entered.acquire(timeout=PATIENCE_S)
    assert writer.submit(gate.piece(1)).cancel()
    gate.leave.set()
    assert writer.wait(PATIENCE_S) and gate.done == [0]


def test_waiting_ends_with_its_deadline(gate: Gate) -> None:
    writer = Writer("writer", 10)
    writer.submit(gate.piece(0))
    assert not writer.wait(0.01) and not writer.close(0.01)
    gate.leave.set()
    assert writer.wait(PATIENCE_S) and gate.done == [0]


def test_a_closed_writer_finishes_and_takes_nothing_more(gate: Gate) -> None:
    writer = Writer("writer", 10, closed_message="it is over")
    futures = [writer.submit(gate.piece(n)) for n in range(3)]
    assert not writer.close(0.0)
    with pytest.raises(DomainError, match="it is over"):
        writer.submit(gate.piece(9))
    gate.leave.set()
    assert [one.result(PATIENCE_S) for one in futures] == [0, 1, 2]
    assert writer.close(PATIENCE_S)


def test_every_piece_of_many_threads_is_accounted_for() -> None:
    writer, done = Writer("writer", 4, 2), []

    def hand_over() -> None:
        for n in range(200):
            writer.submit(lambda n=n: done.append(n))

    threads = [threading.Thread(target=hand_over) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.close(PATIENCE_S)
    status = writer.status()
    assert (status.pending, status.failed) == (0, 0)
    assert status.written == len(done) and status.written + status.dropped == 800


@pytest.mark.parametrize("arguments", [(0, 1), (1, 0), (True, 1), (1, -1)])
def test_bad_numbers_are_refused(arguments: tuple[Any, Any]) -> None:
    with pytest.raises(DomainError, match="must be a whole number of at least 1"):
        Writer("writer", *arguments)
