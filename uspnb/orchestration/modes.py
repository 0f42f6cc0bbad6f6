"""Modes with hysteresis: degraded, emergency (roughness breaker), mode collapse, operating mode."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..array_types import Array, Flag, Int, Scalar
from ..config.schema import PredictorConfig
from ..records import OperatingMode
from ..state import ModeState, RoughnessState
from .gate import Verdict

BASELINE_WARM_UP = 128


class Collapse(NamedTuple):
    """State of the entropy watch: distance to the threshold (below 0 is collapsing) and the warning."""

    distance: Scalar
    warning: Flag


def update_degraded(config: PredictorConfig, modes: ModeState, verdict: Verdict) -> ModeState:
    """Entered at once on a stale, sparse, frozen or rejected tick; left after enough clean ticks in a row.

    Source: seed 003, chapter 7.
    """
    doubtful = verdict.stale | verdict.sparse | verdict.frozen | ~verdict.accepted
    clean = jnp.where(doubtful, 0, modes.clean_run + 1)
    recovering = modes.degraded & (clean < config.degraded_recovery_min_steps)
    return modes._replace(degraded=doubtful | recovering, clean_run=clean, stale=verdict.stale)


def update_roughness(
    config: PredictorConfig, rough: RoughnessState, exponent: Scalar, valid: Flag, measured: Flag
) -> RoughnessState:
    """Take a measurement of the Holder exponent in and move the breaker.

    Rough: H below `holder_threshold`, or dimension 2 - H above `robustness_dimension_threshold`.  The relative breaker
    asks in addition that H be `holder_baseline_sigmas` of its own slow standard deviations below its slow mean.  It
    opens after `holder_persistence` ticks in a row and closes when H is back above by the hysteresis.

    Args:
        exponent: H_t, NaN where not valid.
        valid: whether the window has an exponent.
        measured: whether this tick measured at all (`wtmm_stride`).
    """
    usable = measured & valid
    current = jnp.where(usable, exponent, rough.exponent)
    letter = (current < config.holder_threshold) | (2.0 - current > config.robustness_dimension_threshold)
    floor = rough.baseline - config.holder_baseline_sigmas * rough.deviation
    warm = rough.measured >= BASELINE_WARM_UP
    if config.holder_breaker == "relative":
        rough_now = letter & (current < floor) & warm
        calm = current > floor + config.holder_hysteresis
    else:
        rough_now = letter & usable
        limit = jnp.maximum(config.holder_threshold, 2.0 - config.robustness_dimension_threshold)
        calm = current > limit + config.holder_hysteresis
    known = jnp.where(measured, valid, rough.valid)
    run = jnp.where(rough_now & known, rough.below_run + 1, 0)
    emergency = jnp.where(rough.emergency, ~calm, run >= config.holder_persistence)

    n = rough.measured
    rate = jnp.maximum(1.0 / (n + 1.0), config.holder_baseline_rate)
    # The baseline must not chase the fall that it is there to notice.
    step = jnp.where(usable & ~(rough_now | emergency), rate, 0.0)
    difference = current - rough.baseline
    deviation = jnp.sqrt(rough.deviation**2 + step * (difference**2 - rough.deviation**2))
    return rough._replace(
        exponent=current,
        valid=known,
        baseline=rough.baseline + step * difference,
        deviation=deviation,
        measured=n + jnp.where(usable, 1, 0),
        below_run=run,
        emergency=emergency & known | (rough.emergency & ~calm),
    )


def watch_entropy(
    config: PredictorConfig,
    modes: ModeState,
    entropy: Scalar,
    expected: Scalar,
    window: Scalar,
    volatile: Flag,
) -> tuple[ModeState, Collapse]:
    """Mode collapse: the value function's entropy below its expectation for long enough.

    Both are differential entropies in z units [nat], so the threshold is a distance: the entropy counts as low when it
    lies more than -log(gamma) below what the drift explains, that is when the value function spans less than gamma of
    the width it should.  gamma is `entropy_threshold` in calm times and half-way down to 1/2 in volatile ones.

    Source: seed 003, section 9.2 for the number of ticks; MATH notes for the units.
    """
    gamma = jnp.where(volatile, 0.5 * (config.entropy_threshold + 0.5), config.entropy_threshold)
    distance = entropy - expected - jnp.log(gamma)
    needed = jnp.maximum(config.mode_collapse_min_threshold, jnp.floor(window * config.mode_collapse_window_ratio))
    run = jnp.where(distance < 0, modes.low_entropy_run + 1, 0)
    return modes._replace(low_entropy_run=run), Collapse(distance, run > needed)


def operating_mode(degraded: Flag, emergency: Flag) -> Int[Array, ""]:
    """0 inference, 1 calibration (degraded), 2 diagnostic (emergency).

    Source: seed 003, section 11.2.
    """
    mode = jnp.where(degraded, OperatingMode.CALIBRATION, OperatingMode.INFERENCE)
    return jnp.where(emergency, OperatingMode.DIAGNOSTIC, mode).astype(jnp.int32)


def choose_weights(
    config: PredictorConfig,
    moved: jax.Array,
    current: jax.Array,
    *,
    emergency: Flag,
    alarm: Flag,
    degraded: Flag,
    in_grace: Flag,
) -> jax.Array:
    """Weights after the tick; precedence emergency, alarm, degraded, normal (a rejected tick never comes here)."""
    count = moved.shape[0]
    uniform = jnp.full(count, 1.0 / count)
    robust = jnp.zeros(count).at[count - 1].set(1.0)
    frozen = degraded | in_grace if config.grace_freezes_weights else degraded
    weights = jnp.where(frozen, current, moved)
    weights = jnp.where(alarm, uniform, weights)
    if config.robustness_force_kernel_d:
        weights = jnp.where(emergency, robust, weights)
    return weights
