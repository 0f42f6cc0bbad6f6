"""A session keeps its speed and obeys at once, whatever the cell does that started it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from waiting import stays, until
from walks import random_walk

from uspnb.engine.session import Session

Make = Callable[..., Session]
LONG = random_walk(100_000, 2)


def warm(make: Make, speed: float | None) -> Session:
    session = make(LONG, speed=speed)
    session.step()
    session.wait()
    return session


def busy(condition: Callable[[], bool]) -> None:
    """A loop of Python that leaves the interpreter lock to nobody of its own accord."""
    while not condition():
        sum(range(10_000))


@pytest.mark.parametrize("speed", [None, 0.01])
def test_pause_acts_at_once(make: Make, speed: float | None) -> None:
    """In the midst of a run at full speed, and of the hundred seconds before the next tick."""
    session = warm(make, speed)
    for _ in range(9):
        session.run()
        until(lambda: session.status.phase == "running")
        session.pause()
        stopped = session.wait().ticks
        assert session.status.phase == "paused" and stopped < (3 if speed else len(LONG))
        assert stays(lambda at=stopped: session.status.ticks == session.rows_ready == at, 0.01)


@pytest.mark.parametrize("speed", [20.0, 300.0])
def test_the_set_speed_is_never_exceeded(make: Make, speed: float) -> None:
    """That it is reached, a benchmark says: a busy machine is slower, and none is faster."""
    session = warm(make, speed)
    began, first, done = time.perf_counter(), session.rows_ready, 0
    session.run()
    while done < 30:
        until(lambda least=first + done: session.rows_ready > least)
        done = session.rows_ready - first
        assert done <= (time.perf_counter() - began) * speed
    assert session.status.speed == speed


@pytest.mark.parametrize("block", [until, busy], ids=["sleep", "busy"])
def test_a_cell_that_blocks_does_not_stop_it(make: Make, block: Callable[[Callable[[], bool]], object]) -> None:
    session = warm(make, 50.0)
    session.run()
    session.wait(until=session.status.ticks + 1)
    first = session.status.ticks
    block(lambda: session.rows_ready >= first + 30)  # a session that stood still meanwhile would never come there
    session.pause()
    session.wait()


def test_a_change_of_speed_acts_at_once(make: Make) -> None:
    session = warm(make, 0.01)
    session.run()
    assert stays(lambda: session.status.ticks == 1)
    session.set_speed(None)
    session.wait(until=500)
    session.set_speed(0.01)
    session.wait(phase="running")
    first = session.rows_ready
    assert stays(lambda: session.rows_ready <= first + 1 and session.status.speed == 0.01, 0.2)


def test_watching_costs_little(make: Make) -> None:
    """A view that asks for every row, thirty times a second, is given every row once."""
    session, spans = warm(make, None), []

    def look() -> None:
        start = spans[-1][1] if spans else 0
        first, rows = session.view_rows(start, session.rows_ready)
        if len(rows):
            spans.append((first, first + len(rows)))

    session.subscribe(look)
    session.run()
    session.wait(until=5000)
    session.pause()
    ticks = session.wait().ticks
    until(lambda: spans and spans[-1][1] >= ticks)
    assert [a for a, _ in spans[1:]] == [b for _, b in spans[:-1]] and spans[-1][1] == ticks
