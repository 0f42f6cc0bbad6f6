"""A session keeps its speed and obeys at once, whatever the cell does that started it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from uspnb.engine.session import Session

Make = Callable[..., Session]
LONG = np.cumsum(np.random.default_rng(2).standard_normal(100_000))


def warm(make: Make, speed: float | None) -> Session:
    session = make(LONG, speed=speed)
    session.step()
    session.wait()
    return session


def busy(seconds: float) -> None:
    """A loop of Python that leaves the interpreter lock to nobody of its own accord."""
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        count += sum(range(100))


@pytest.mark.parametrize("speed", [None, 10.0])
def test_pause_acts_within_100_ms(make: Make, speed: float | None) -> None:
    session, delays = warm(make, speed), []
    for _ in range(9):
        session.run()
        session.wait(until=session.status.ticks + 1)
        time.sleep(0.05)
        began = time.perf_counter()
        session.pause()
        stopped = session.wait().ticks
        delays.append(time.perf_counter() - began)
        assert session.status.phase == "paused"
        time.sleep(0.01)
        assert session.status.ticks == session.rows_ready == stopped
    # not all of them, because another process may have the core for a while
    assert np.quantile(delays, 0.25) < 0.1, delays


@pytest.mark.parametrize("speed", [20.0, 300.0])
def test_the_set_speed_is_kept(make: Make, speed: float) -> None:
    session = warm(make, speed)
    began, first, ratios = time.perf_counter(), session.rows_ready, []
    session.run()
    for _ in range(20):
        time.sleep(0.1)
        done, elapsed = session.rows_ready - first, time.perf_counter() - began
        assert done <= elapsed * speed  # never ahead of it
        ratios.append(done / (elapsed * speed))
    # and not behind, but for moments in which another process has the core: it catches up
    assert np.quantile(ratios[5:], 0.75) > 0.9, ratios
    assert session.status.speed == speed and session.status.rate > 0.5 * speed


@pytest.mark.parametrize("block", [time.sleep, busy], ids=["sleep", "busy"])
def test_a_cell_that_blocks_for_a_second_does_not_stop_it(make: Make, block: Callable[[float], None]) -> None:
    session = warm(make, 50.0)
    session.run()
    session.wait(until=session.status.ticks + 1)
    began, first = time.perf_counter(), session.status.ticks
    block(1.0)
    elapsed, done = time.perf_counter() - began, session.rows_ready - first
    # A pause of the whole second would leave one or two; the busy loop takes the interpreter for 5 ms at a time.
    assert done >= 0.6 * 50.0 * elapsed
    session.pause()
    session.wait()


def test_a_change_of_speed_acts_at_once(make: Make) -> None:
    session = warm(make, 0.01)
    session.run()
    time.sleep(0.1)
    assert session.status.ticks == 1
    session.set_speed(None)
    session.wait(until=500, timeout=20)
    session.set_speed(0.01)
    session.wait(phase="running", timeout=5)
    first = session.rows_ready
    time.sleep(0.2)
    assert session.rows_ready <= first + 1 and session.status.speed == 0.01


def test_watching_costs_little(make: Make) -> None:
    """A view that asks for every row, thirty times a second, is given every row once."""
    session, seen = warm(make, None), []

    def look() -> None:
        start = seen[-1][1] if seen else 0
        first, rows = session.view_rows(start, session.rows_ready)
        if len(rows):
            seen.append((first, first + len(rows)))

    session.subscribe(look)
    session.run()
    session.wait(until=5000, timeout=60)
    session.pause()
    ticks = session.wait().ticks
    end = time.monotonic() + 5
    while seen[-1][1] < ticks and time.monotonic() < end:
        time.sleep(0.01)
    assert [a for a, _ in seen[1:]] == [b for _, b in seen[:-1]] and seen[-1][1] == ticks
