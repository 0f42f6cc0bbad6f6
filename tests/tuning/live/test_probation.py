"""A change on probation against the settings before it, both made up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from uspnb.model.records import Observation
from uspnb.tuning.live.decisions import LoopSettings
from uspnb.tuning.live.probation import FAILED, GOING, PASSED, Assessment, OffStage, Probation
from uspnb.tuning.live.watching import TickRing

TICKS = 300
NOISE = np.abs(np.random.default_rng(11).standard_normal(TICKS)) + 0.1


def observed(k: int, value: float = 0.0) -> Observation:
    """Tick k as the ring keeps it."""
    return Observation(value, k * 10**9, k * 10**9, math.nan)


class Told(OffStage):
    """Settings before the change whose errors are given."""

    def __init__(self, error: np.ndarray) -> None:
        self.error, self.at = error, 0

    def advance(self, ring: TickRing, most: int = 1) -> np.ndarray:
        """The forecast whose error for the value 0 is the next one."""
        self.at += 1
        return self.error[self.at - 1 : self.at]


def assessment_of(live: np.ndarray, before: np.ndarray, **settings: Any) -> Assessment:
    """Where a probation of 300 ticks ends."""
    ring, probation = TickRing(500), Probation(LoopSettings(watch_ticks=TICKS, **settings), Told(before))
    for k in range(TICKS):
        ring.append(observed(k), True, float(live[k]), 1.0)
        if probation.observe(ring).state != GOING:
            break
    return probation.assessment


def test_a_rise_of_the_error_ends_it_early_and_is_no_pass() -> None:
    assessment = assessment_of(2.0 * NOISE, NOISE)
    assert assessment.state == FAILED and assessment.ticks == 50 and assessment.rise == pytest.approx(1.0)
    assert "risen by 100.0%" in assessment.reason


def test_equal_errors_pass_at_the_end() -> None:
    assessment = assessment_of(NOISE, NOISE)
    assert assessment.state == PASSED and assessment.ticks == TICKS and assessment.rise == 0.0


def test_a_change_of_volatility_touches_both_and_does_not_count() -> None:
    louder = NOISE * np.where(np.arange(TICKS) < 100, 1.0, 20.0)
    assert assessment_of(0.95 * louder, louder).state == PASSED


def test_a_small_rise_fails_at_the_end_where_it_is_significant_and_only_there() -> None:
    rng = np.random.default_rng(12)
    jitter = 0.02 * rng.standard_normal(TICKS)
    worse = assessment_of(NOISE * (1.1 + jitter), NOISE)
    assert worse.state == FAILED and worse.ticks == TICKS and "significant" in worse.reason
    unclear = assessment_of(NOISE[rng.permutation(TICKS)] * 1.02, NOISE)
    assert unclear.state == PASSED and unclear.rise > 0


def test_a_rise_that_a_single_outlier_makes_does_not_end_it_early() -> None:
    live = NOISE.copy()
    live[10] = 60.0
    assessment = assessment_of(live, NOISE, error_rise=1.0)
    assert assessment.state == PASSED and assessment.ticks == TICKS


def test_missing_forecasts_are_a_failure() -> None:
    live = NOISE.copy()
    live[::5] = math.nan
    assessment = assessment_of(live, NOISE)
    assert assessment.state == FAILED and "10 forecasts of 50 are missing" in assessment.reason


def test_ticks_that_were_not_accepted_are_not_compared() -> None:
    ring, probation = TickRing(500), Probation(LoopSettings(watch_ticks=60), Told(np.full(60, math.nan)))
    for k in range(60):
        ring.append(observed(k, math.nan), False, math.nan, math.nan)
        probation.observe(ring)
    assessment = probation.assessment
    assert assessment.state == PASSED and assessment.ticks == 0 and "no tick could be compared" in assessment.reason
