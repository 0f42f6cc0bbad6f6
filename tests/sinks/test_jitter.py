"""Latency and jitter against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uspnb.errors import DomainError
from uspnb.sinks import JitterMeter

LIMIT = 1000


def _fed(meter: JitterMeter, latencies: list[int]) -> list[int]:
    return [meter.tick(latency, 10_000 * i) for i, latency in enumerate(latencies)]


def test_jitter_is_the_difference_of_transit_times() -> None:
    """RFC 3550: D(i, j) = (R_j - S_j) - (R_i - S_i), here between neighbours."""
    assert _fed(JitterMeter(LIMIT), [100, 130, 90, 90]) == [0, 30, 40, 0]


def test_averages_follow_their_closed_form() -> None:
    """After a step from 0 to L the average is L (1 - (1 - alpha)^n); equal intervals average to themselves."""
    meter = JitterMeter(LIMIT, alpha=0.1)
    _fed(meter, [0] + [500] * 30)
    assert meter.latency_ewma_ns == pytest.approx(500 * (1 - 0.9**30), rel=1e-12)
    assert meter.interval_ewma_ns == pytest.approx(10_000, rel=1e-12)


@pytest.mark.parametrize("count", [1, 19, 20, 40, 41, 257])
def test_percentiles_are_those_of_numpy(count: int) -> None:
    """Nearest rank is NumPy's inverted_cdf; only the window counts."""
    latencies = np.random.default_rng(1).integers(0, 10_000, count).tolist()
    meter = JitterMeter(LIMIT, window=40)
    jitters = _fed(meter, latencies)[1:]
    reading = meter.reading()
    assert reading.ticks == count
    for percent, latency, jitter in (
        (95, reading.latency_p95_ns, reading.jitter_p95_ns),
        (99, reading.latency_p99_ns, reading.jitter_p99_ns),
    ):
        assert latency == np.percentile(latencies[-40:], percent, method="inverted_cdf")
        if jitters:
            assert jitter == np.percentile(jitters[-40:], percent, method="inverted_cdf")
        else:
            assert math.isnan(jitter)


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=200), st.integers(20, 50))
def test_the_counters_say_what_sorting_would(latencies: list[int], window: int) -> None:
    """At every tick, degraded is what the sorted window says, with hysteresis between 640 and 800."""
    meter, expected, jitters = JitterMeter(LIMIT, 0.8, window), False, []
    for i, latency in enumerate(latencies):
        jitter = meter.tick(latency, i)
        if i:
            jitters.append(jitter)
        last = sorted(jitters[-window:])
        if len(last) >= 20:
            p95 = last[math.ceil(0.95 * len(last)) - 1]
            expected = p95 > (640.0 if expected else 800.0)
        assert meter.degraded == expected


def test_degrades_above_the_limit_and_recovers_below() -> None:
    """Steady latency however long is no jitter; one of 20 that jumps is."""
    meter = JitterMeter(LIMIT, 0.8, window=40)
    _fed(meter, [5000] * 100)
    assert not meter.degraded
    _fed(meter, [5000, 0] * 30)
    assert meter.degraded
    _fed(meter, [0] * 37)
    assert meter.degraded  # three jumps are still among the last 40, and P95 is the 38th of them
    _fed(meter, [0])
    assert not meter.degraded


def test_without_a_limit_nothing_degrades() -> None:
    """Zero stands for none."""
    meter = JitterMeter(0)
    _fed(meter, [0, 10**12] * 30)
    assert not meter.degraded


def test_before_the_first_tick_nothing_is_known() -> None:
    """What is unknown is NaN."""
    reading = JitterMeter(LIMIT).reading()
    assert reading.ticks == 0 and not reading.degraded
    assert all(math.isnan(value) for value in reading[1:7])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1,), "limit_ns = -1"),
        ((LIMIT, 0.0), "ratio = 0.0"),
        ((LIMIT, 0.8, 5), "window = 5"),
    ],
)
def test_bad_arguments_are_refused(arguments: tuple[float, ...], message: str) -> None:
    """The message names the value."""
    with pytest.raises(DomainError, match=message):
        JitterMeter(*arguments)  # type: ignore[arg-type]
    with pytest.raises(DomainError, match="alpha = 2"):
        JitterMeter(LIMIT, alpha=2.0)
