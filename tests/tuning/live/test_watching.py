"""What starts a campaign, on made-up telemetry, and the figures behind it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from uspnb.model.packing import layout_for, unpack
from uspnb.model.records import Observation, Telemetry
from uspnb.tuning.live.decisions import LoopSettings
from uspnb.tuning.live.watching import FAST, REGIME, SKILL, SLOW, TickRing, Trigger, Watch, skill_of

N = 2400
CHANGE = 1800
NO_TELEMETRY = unpack(np.zeros(layout_for(5).width), layout_for(5)).telemetry


def observed(k: int, value: float = 0.0) -> Observation:
    """Tick k as the ring keeps it."""
    return Observation(value, k * 10**9, k * 10**9, math.nan)


def telling(**fields: Any) -> Telemetry:
    """Telemetry that says this and nothing else."""
    return dataclasses.replace(NO_TELEMETRY, **fields)


def watched(
    error: np.ndarray,
    naive: np.ndarray,
    *,
    alarms: tuple[int, ...] = (),
    entropy: np.ndarray | None = None,
) -> Trigger | None:
    """The first trigger of a stream."""
    ring = TickRing(4000)
    watch = Watch(LoopSettings(), ring)
    entropy = np.full(len(error), 4.0) if entropy is None else entropy
    for k in range(len(error)):
        ring.append(observed(k), True, float(error[k]), float(naive[k]))
        trigger = watch.observe(telling(alarm=k in alarms, onset_ago=5, dgm_entropy=entropy[k]))
        if trigger is not None:
            return trigger
    return None


def errors(after: float, before: float = 0.5, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Errors of a predictor and of last value whose ratio changes, as does their scale."""
    rng = np.random.default_rng(5)  # of its own: tests run in any order
    naive = np.abs(rng.standard_normal(N))
    error = np.abs(rng.standard_normal(N)) * np.where(np.arange(N) < CHANGE, before, after)
    size = np.where(np.arange(N) < CHANGE, 1.0, scale)
    return error * size, naive * size


def test_a_fall_of_the_skill_is_seen_within_a_hundred_ticks() -> None:
    trigger = watched(*errors(after=1.0))
    assert trigger is not None and trigger.kind == SKILL
    assert CHANGE < trigger.tick <= CHANGE + FAST and CHANGE - FAST <= trigger.onset <= CHANGE
    assert trigger.details["skill"] < 0.8 * trigger.details["skill_before"]


@pytest.mark.parametrize(
    "after, before, scale",
    [(0.5, 0.5, 1.0), (0.55, 0.5, 1.0), (0.3, 0.5, 1.0), (0.5, 0.5, 30.0), (1.0, 1.0, 1.0), (1.05, 1.0, 0.1)],
    ids=["nothing", "a tenth", "better", "louder", "no skill", "still none, quieter"],
)
def test_what_is_no_fall_starts_nothing(after: float, before: float, scale: float) -> None:
    assert watched(*errors(after, before, scale)) is None


def test_an_alarm_lowers_the_evidence_that_a_fall_needs_and_names_its_beginning() -> None:
    error, naive = errors(after=0.72)
    assert watched(error, naive) is None
    trigger = watched(error, naive, alarms=(CHANGE + 30, CHANGE + 120))
    assert trigger is not None and trigger.kind == SKILL and trigger.onset in (CHANGE + 25, CHANGE + 115)


def test_an_alarm_counts_as_a_regime_change_only_with_a_rise_of_the_entropy() -> None:
    quiet = errors(after=0.5)
    wave = 4.0 + 0.02 * np.random.default_rng(6).standard_normal(N)
    rising, falling = (wave + sign * 0.3 * (np.arange(N) >= CHANGE) for sign in (1, -1))
    assert watched(*quiet, entropy=rising) is None
    assert watched(*quiet, alarms=(CHANGE + 10,), entropy=wave) is None
    assert watched(*quiet, alarms=(CHANGE + 10,), entropy=falling) is None
    trigger = watched(*quiet, alarms=(CHANGE + 10,), entropy=rising)
    assert trigger is not None and trigger.kind == REGIME and trigger.onset == CHANGE + 5
    assert trigger.details["entropy_rise"] >= 2.0 and trigger.tick < CHANGE + 40
    assert watched(*quiet, alarms=(CHANGE - 600,), entropy=rising) is None, "that alarm was long ago"


def test_nothing_is_said_before_there_is_enough_to_compare_with() -> None:
    error, naive = np.concatenate([np.full(400, 0.1), np.full(190, 1.0)]), np.ones(590)
    assert watched(error, naive, alarms=(420,), entropy=np.linspace(0, 9, 590)[:590]) is None


def test_the_standard_error_is_the_spread_of_the_skill_over_many_draws() -> None:
    """Autocorrelated errors, 300 draws: their spread is known to 4 %, Newey and West's estimate is a little short."""
    draws = []
    for seed in range(300):
        noise = np.random.default_rng(seed).standard_normal((2, FAST + SLOW + 1))
        error, naive = np.abs(noise[:, 1:] + 0.8 * noise[:, :-1])
        draws.append(skill_of(error, naive))
    spread = np.std([one.slow - one.fast for one in draws])
    assert 0.85 < np.mean([one.error for one in draws]) / spread < 1.1


def test_what_cannot_be_compared_is_left_out() -> None:
    error, naive = np.full(FAST + SLOW, 0.25), np.ones(FAST + SLOW)
    error[::3] = math.nan
    assert math.isnan(skill_of(error[:650], naive[:650]).slow), "433 of 650 are too few"
    skill = skill_of(error, naive)
    assert (skill.fast, skill.slow) == (0.75, 0.75) and skill.error == pytest.approx(0.0, abs=1e-12)
    assert math.isnan(skill_of(error, np.zeros(FAST + SLOW)).fast), "a constant series has no last-value error"
