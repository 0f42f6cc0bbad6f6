"""The pace against the arithmetic of a clock that the test sets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from uspnb.engine import intake
from uspnb.engine.intake import MOST_DEBT_S, Pace, Rate, portion_after


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(intake, "time", stopped)
    return stopped


@pytest.mark.parametrize("speed", [0.3, 7.0, 60.0, 1234.5])
def test_it_never_drifts(clock: Clock, speed: float) -> None:
    pace, done, rng = Pace(speed), 0, np.random.default_rng(0)
    for _ in range(2000):
        clock.now += float(rng.exponential(0.02))
        due = pace.due(128)
        done += due
        pace.did(due)
        expected = math.floor((clock.now - 100.0) * speed)
        assert expected - 128 <= done <= expected or done == expected


def test_the_wait_ends_when_a_tick_is_due(clock: Clock) -> None:
    pace = Pace(4.0)
    assert pace.due(10) == 0 and pace.wait_s() == pytest.approx(0.25)
    clock.now += 0.25
    assert pace.due(10) == 1
    pace.did(1)
    assert pace.wait_s() == pytest.approx(0.25)
    fast = Pace(10_000.0)
    assert fast.wait_s() == pytest.approx(1 / 60)  # in batches, not tick by tick
    free = Pace(None)
    assert free.due(128) == 128 and free.wait_s() == 0.0


def test_a_change_of_speed_counts_from_there(clock: Clock) -> None:
    pace = Pace(100.0)
    clock.now += 1.0
    pace.did(pace.due(128))
    pace.rebase(10.0)
    assert pace.due(128) == 0
    clock.now += 0.5
    assert pace.due(128) == 5


def test_a_machine_that_slept_does_not_race(clock: Clock) -> None:
    pace, done = Pace(10.0), 0
    clock.now += 3600.0
    while due := pace.due(8):
        pace.did(due)
        done += due
    assert done == MOST_DEBT_S * 10


def test_the_measured_rate(clock: Clock) -> None:
    rate = Rate()
    assert rate.value == 0.0
    for k in range(300):
        rate.did(10 * k)
        clock.now += 0.01
    assert rate.value == pytest.approx(1000.0)
    for k in range(200):
        rate.did(3000 + k)
        clock.now += 0.01
    assert rate.value == pytest.approx(100.0, rel=0.02)
    rate.clear()
    assert rate.value == 0.0


def test_batches_fit_the_machine() -> None:
    """On one that needs 1 ms a tick they end up within 60 ms; on a fast one they are whole."""
    for cost_s, fits in [(0.0002, (128, 128)), (0.001, (32, 64)), (0.1, (16, 16))]:
        portion = 128
        for turn in range(20):
            portion = portion_after(portion * cost_s, portion)
            if turn > 5:
                assert fits[0] <= portion <= fits[1]
