"""The ring of ticks, the settings, the levels of the tests, the decisions."""

from __future__ import annotations

import math
from typing import Any

import pytest

from uspnb.errors import DomainError
from uspnb.model.records import Observation
from uspnb.tuning.live import LoopSettings
from uspnb.tuning.live.decisions import Decision, Decisions, level_of
from uspnb.tuning.live.watching import TickRing

START = 1_771_675_200 * 10**9


def observed(k: int, value: float = 0.0) -> Observation:
    """Tick k as the ring keeps it."""
    return Observation(value, START + k, START + k, math.nan)


def test_the_ring_keeps_the_newest_ticks_under_their_numbers() -> None:
    ring = TickRing(5)
    for k in range(12):
        ring.append(observed(k, float(k)), k != 9, 0.5 * k, 1.0)
    assert (ring.count, ring.start) == (12, 7)
    stretch = ring.since(0)
    assert stretch.ticks.value.tolist() == [7.0, 8.0, 9.0, 10.0, 11.0] and stretch.error[0] == 3.5
    values, stamps = stretch.series()
    assert values.tolist() == [7.0, 8.0, 10.0, 11.0] and stamps[-1] == START + 11
    assert ring.since(10, 11).ticks.value.tolist() == [10.0] and len(ring.since(12).accepted) == 0


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"n_trials": 0}, r"n_trials = 0 must be a whole number from 1 to 10,000 \(trials\)"),
        ({"watch_ticks": 10.5}, "watch_ticks = 10.5 must be a whole number from 20"),
        ({"significance": 0.0}, "significance = 0.0 must be a finite number from 1e-09"),
        ({"skill_fall": math.nan}, "skill_fall = nan must be a finite number"),
        ({"error_rise": True}, "error_rise = True must be a finite number"),
        ({"metric": "alarm_delay"}, "'alarm_delay' has no losses of ticks"),
        ({"metric": "p99_error"}, "'p99_error' has no losses of ticks"),
        ({"history": 900}, "min_history = 1000 exceeds history = 900"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DomainError, match=message):
        LoopSettings(**settings)


def test_the_levels_of_all_tests_add_up_to_the_significance() -> None:
    levels = [level_of(k, 0.01) for k in range(1, 100_001)]
    assert sum(levels) < 0.01 and sum(levels) == pytest.approx(0.01, rel=1e-4)  # the rest of the series is 6e-8
    assert levels[0] > levels[1] > 0


def test_decisions_are_lines_and_a_table() -> None:
    decisions = Decisions([Decision("adopted", 41, "skill", "better", {"cusum_k": (0.5, 0.30000000000000004)})])
    assert decisions.text() == "tick 41: adopted [skill] cusum_k 0.5 -> 0.3 (better)"
    assert decisions.of("adopted") == decisions and decisions.of("kept") == []
    assert "<td" in decisions._repr_html_() and "cusum_k 0.5 -&gt; 0.3" in decisions._repr_html_()
