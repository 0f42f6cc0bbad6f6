"""Modes: hysteresis of degraded and emergency, mode collapse, codes, and who decides over the weights."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.model.orchestration.gate import Verdict
from uspnb.model.orchestration.modes import (
    choose_weights,
    operating_mode,
    update_degraded,
    update_roughness,
    watch_entropy,
)
from uspnb.model.orchestration.step import initialize_state
from uspnb.model.records import OperatingMode

CONFIG = PredictorConfig()
ABSOLUTE = PredictorConfig(holder_breaker="absolute")
EMPTY = initialize_state(CONFIG)
YES, NO = jnp.asarray(True), jnp.asarray(False)


def _verdict(accepted: bool = True, **doubts: bool) -> Verdict:
    names = set(Verdict._fields) - {"accepted", "value"}
    flags = {name: jnp.asarray(doubts.get(name, False)) for name in names}
    return Verdict(accepted=jnp.asarray(accepted), value=jnp.zeros(()), **flags)


# --- degraded ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("doubt", ["stale", "sparse", "frozen", "rejected"])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_degraded_is_entered_at_once_and_left_after_enough_clean_ticks(doubt, steps):
    config = PredictorConfig(degraded_recovery_min_steps=steps)
    bad = _verdict(accepted=False) if doubt == "rejected" else _verdict(**{doubt: True})
    modes = update_degraded(config, EMPTY.modes, _verdict())
    assert not bool(modes.degraded)
    modes = update_degraded(config, modes, bad)
    assert bool(modes.degraded) and bool(modes.stale) == (doubt == "stale")
    outcomes = []
    for _ in range(steps + 2):
        modes = update_degraded(config, modes, _verdict())
        outcomes.append(bool(modes.degraded))
    assert outcomes == [True] * (steps - 1) + [False] * 3


def test_a_relapse_starts_the_count_anew():
    modes = update_degraded(CONFIG, EMPTY.modes, _verdict(frozen=True))
    for verdict, degraded in (
        (_verdict(), True),
        (_verdict(sparse=True), True),
        (_verdict(), True),
        (_verdict(), False),
    ):
        modes = update_degraded(CONFIG, modes, verdict)
        assert bool(modes.degraded) == degraded


# --- the roughness breaker -----------------------------------------------------------------------------------------


def _measure(config: PredictorConfig, exponents, whittle=None, valid=True, start=EMPTY.roughness):
    """One call per measurement, that is every `wtmm_stride` ticks."""
    exponents = np.asarray(exponents, float)
    whittle = exponents if whittle is None else np.asarray(whittle, float)
    valid = np.broadcast_to(valid, exponents.shape)

    def tick(rough, row):
        rough = update_roughness(config, rough, row[0], row[2], row[1])
        return rough, rough

    rows = (jnp.asarray(exponents), jnp.asarray(whittle), jnp.asarray(valid))
    last, outcomes = jax.jit(lambda s: jax.lax.scan(tick, s, rows))(start)
    return last, jax.tree.map(np.asarray, outcomes)


def _usual(mean: float = 0.5, sd: float = 0.05, n: int = 400, seed: int = 0) -> np.ndarray:
    return mean + sd * np.random.default_rng(seed).normal(size=n)


@pytest.mark.parametrize("persistence", [4, 16, 32])
def test_the_absolute_breaker_trips_after_its_persistence_and_not_before(persistence):
    config = PredictorConfig(holder_breaker="absolute", holder_persistence=persistence)
    _, outcomes = _measure(config, np.full(20, 0.3))
    # A measurement stands for `wtmm_stride` ticks.
    assert int(np.argmax(outcomes.emergency)) + 1 == -(-persistence // config.wtmm_stride)
    assert outcomes.emergency[-1]


def test_one_smooth_measurement_interrupts_the_persistence():
    exponents = np.where(np.arange(40) % 4 == 3, 0.6, 0.3)
    assert not _measure(ABSOLUTE, exponents)[1].emergency.any()


@pytest.mark.parametrize(("exponent", "open_still"), [(0.45, True), (0.54, True), (0.56, False)])
def test_the_absolute_breaker_closes_above_the_threshold_by_the_hysteresis(exponent, open_still):
    """Dimension 1.5 is H = .5, the higher of the two thresholds; the hysteresis is .05."""
    opened, _ = _measure(ABSOLUTE, np.full(10, 0.3))
    assert bool(opened.emergency)
    closed, _ = _measure(ABSOLUTE, np.full(1, exponent), start=opened)
    assert bool(closed.emergency) == open_still


def test_dimension_and_exponent_are_two_ways_to_be_rough():
    by_dimension = PredictorConfig(holder_breaker="absolute", holder_threshold=0.1)
    assert bool(_measure(by_dimension, np.full(10, 0.45))[0].emergency)
    by_exponent = PredictorConfig(holder_breaker="absolute", robustness_dimension_threshold=2.0)
    assert not bool(_measure(by_exponent, np.full(10, 0.45))[0].emergency)
    assert bool(_measure(by_exponent, np.full(10, 0.35))[0].emergency)


@pytest.mark.parametrize("config", [CONFIG, ABSOLUTE], ids=["relative", "absolute"])
def test_an_invalid_measurement_never_trips_and_holds_the_last_exponent(config):
    start, _ = _measure(config, _usual(0.7))
    last, outcomes = _measure(config, np.full(100, np.nan), valid=False, start=start)
    assert not outcomes.emergency.any() and not outcomes.valid.any()
    assert float(last.exponent) == float(start.exponent)
    assert float(last.baseline) == float(start.baseline) and np.isfinite(float(last.deviation))


def test_the_relative_breaker_sees_a_fall_below_the_processs_own_baseline():
    start, before = _measure(CONFIG, _usual())
    assert not before.emergency.any()
    _, after = _measure(CONFIG, _usual(0.2, seed=1), start=start)
    assert 0 < int(np.argmax(after.emergency)) + 1 <= 10


@pytest.mark.parametrize("mean", [0.02, 0.3, 0.5])
def test_a_process_that_is_rough_by_nature_is_no_emergency(mean):
    _, outcomes = _measure(CONFIG, _usual(mean, n=4000))
    assert outcomes.emergency.mean() < 0.01
    # By the letter of the seeds it nearly always is, for the two that lie well below .5.
    if mean < 0.4:
        assert _measure(ABSOLUTE, _usual(mean, n=4000))[1].emergency.mean() > 0.99


def test_a_process_that_turns_rough_for_good_is_an_event_that_ends():
    start, _ = _measure(CONFIG, _usual())
    _, outcomes = _measure(CONFIG, _usual(0.2, n=2000, seed=2), start=start)
    assert outcomes.emergency.any() and not outcomes.emergency[-1000:].any()


def test_a_smooth_process_above_the_thresholds_may_fall_and_stay_above_them():
    start, _ = _measure(CONFIG, _usual(0.9, 0.02))
    assert not _measure(CONFIG, _usual(0.65, 0.02), start=start)[1].emergency.any()


# --- mode collapse -------------------------------------------------------------------------------------------------

_watch = jax.jit(watch_entropy)


def _warned(distances, window: float = 100.0, config: PredictorConfig = CONFIG):
    modes, outcomes = EMPTY.modes, []
    for distance in distances:
        entropy = jnp.asarray(1.0 + np.log(config.entropy_threshold) + distance)
        modes, collapse = _watch(config, modes, entropy, jnp.asarray(1.0), jnp.asarray(window), NO)
        np.testing.assert_allclose(collapse.distance, distance, rtol=0, atol=1e-12)
        outcomes.append(bool(collapse.warning))
    return outcomes


@pytest.mark.parametrize(("window", "needed"), [(50.0, 10), (100.0, 10), (257.0, 25), (500.0, 50)])
def test_collapse_is_low_entropy_for_more_than_a_tenth_of_the_window(window, needed):
    """Seed 002: a warning for more than max(10, window / 10) steps."""
    outcomes = _warned(np.full(60, -0.1), window)
    assert outcomes.index(True) == needed and all(outcomes[needed:])


def test_one_healthy_tick_ends_the_count():
    distances = np.full(40, -0.1)
    distances[9] = distances[19] = 0.1
    outcomes = _warned(distances)
    assert outcomes.index(True) == 30


def test_the_threshold_is_a_fraction_of_the_expected_width():
    """A value function of a width gamma of what the drift explains has log gamma less differential entropy."""
    for volatile, gamma in ((NO, CONFIG.entropy_threshold), (YES, 0.5 * (CONFIG.entropy_threshold + 0.5))):
        for factor, low in ((1.001, False), (0.999, True)):
            entropy = jnp.asarray(-0.7 + np.log(factor * gamma))
            modes, collapse = _watch(CONFIG, EMPTY.modes, entropy, jnp.asarray(-0.7), jnp.asarray(100.0), volatile)
            assert (float(collapse.distance) < 0) == low
            assert int(modes.low_entropy_run) == int(low)


def test_an_unknown_entropy_is_no_collapse():
    modes = EMPTY.modes._replace(low_entropy_run=jnp.asarray(500))
    modes, collapse = _watch(CONFIG, modes, jnp.asarray(jnp.nan), jnp.asarray(1.0), jnp.asarray(100.0), NO)
    assert not bool(collapse.warning) and int(modes.low_entropy_run) == 0


# --- codes and weights ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("degraded", "emergency", "name"),
    [
        (False, False, "inference"),
        (True, False, "calibration"),
        (False, True, "diagnostic"),
        (True, True, "diagnostic"),
    ],
)
def test_operating_mode_codes_are_those_of_seed_003(degraded, emergency, name):
    code = operating_mode(jnp.asarray(degraded), jnp.asarray(emergency))
    assert code.dtype == jnp.int32
    assert OperatingMode.to_string(code) == name


CURRENT, MOVED = jnp.asarray([0.1, 0.2, 0.3, 0.4]), jnp.asarray([0.4, 0.3, 0.2, 0.1])
UNIFORM, ROBUST = np.full(4, 0.25), np.array([0.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize(("emergency", "alarm", "degraded", "grace"), list(itertools.product([False, True], repeat=4)))
def test_emergency_goes_before_alarm_before_degraded_before_normal(emergency, alarm, degraded, grace):
    flags = {
        "emergency": jnp.asarray(emergency),
        "alarm": jnp.asarray(alarm),
        "degraded": jnp.asarray(degraded),
        "in_grace": jnp.asarray(grace),
    }
    expected = ROBUST if emergency else UNIFORM if alarm else CURRENT if degraded else MOVED
    np.testing.assert_array_equal(choose_weights(CONFIG, MOVED, CURRENT, robust=3, **flags), expected)

    holding = PredictorConfig(grace_freezes_weights=True)
    expected = ROBUST if emergency else UNIFORM if alarm else CURRENT if degraded or grace else MOVED
    np.testing.assert_array_equal(choose_weights(holding, MOVED, CURRENT, robust=3, **flags), expected)

    # Without a kernel that is robust an emergency forces nothing.
    expected = UNIFORM if alarm else CURRENT if degraded else MOVED
    np.testing.assert_array_equal(choose_weights(CONFIG, MOVED, CURRENT, robust=None, **flags), expected)

    unforced = PredictorConfig(robustness_force_kernel_d=False)
    expected = UNIFORM if alarm else CURRENT if degraded else MOVED
    np.testing.assert_array_equal(choose_weights(unforced, MOVED, CURRENT, robust=3, **flags), expected)
