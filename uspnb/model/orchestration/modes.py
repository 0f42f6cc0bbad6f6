"""Modes with hysteresis: degraded, emergency (roughness breaker), mode collapse, operating mode."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ...array_types import Array, Count, Flag, Int, Scalar
from ...config.schema import PredictorConfig
from ..records import OperatingMode
from ..state import ModeState, RoughnessState
from .gate import Verdict

BASELINE_WARM_UP = 256
LEAST_DEVIATION = 0.02
EVENT_RATE = 0.05


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


def watch_anomalies(config: PredictorConfig, rest: Count, score: Scalar) -> tuple[Count, Flag]:
    """Whether a tick is flagged as an anomaly, and ticks for which none is flagged after it.

    Args:
        config: `anomaly_level`, `anomaly_refractory`.
        rest: such ticks that are left.
        score: of the tick, NaN where it has none.
    """
    flagged = (score > config.anomaly_level) & (rest == 0)
    return jnp.where(flagged, config.anomaly_refractory, jnp.maximum(rest - 1, 0)), flagged


def update_roughness(
    config: PredictorConfig, rough: RoughnessState, exponent: Scalar, valid: Flag, whittle: Scalar
) -> RoughnessState:
    """Take a measurement of the Holder exponent and its cross-check in, and move the breaker.

    Rough by the letter of the seeds: H below `holder_threshold`, or dimension 2 - H above
    `robustness_dimension_threshold`.  The relative breaker asks in addition that the Whittle exponent, which has half
    the scatter of the wavelet one, be `holder_baseline_sigmas` standard deviations below the process's own slow mean.
    It opens after `holder_persistence` ticks in a row and closes when the exponent is back above by the hysteresis, or
    when the baseline, which moves fast while it is open, has come down: the breaker marks an event, not a nature.

    Measured on 40 switches of H from .5 to .2: median delay 104 ticks, trips on 0.1 % of the ticks of Brownian motion
    and on none of white noise or GARCH returns; with the wavelet exponent alone the same three deviations find 15 % of
    the switches within 130 ticks.

    Args:
        exponent: H_t, NaN where not valid.
        valid: whether the window has an exponent.
        whittle: cross-check, NaN where not valid or before the window is full.
    """
    current = jnp.where(valid, exponent, rough.exponent)
    letter = (current < config.holder_threshold) | (2.0 - current > config.robustness_dimension_threshold)
    checked = valid & jnp.isfinite(whittle)
    check = jnp.where(checked, whittle, rough.baseline)
    floor = rough.baseline - config.holder_baseline_sigmas * jnp.maximum(rough.deviation, LEAST_DEVIATION)
    least = jnp.maximum(config.holder_threshold, 2.0 - config.robustness_dimension_threshold)
    if config.holder_breaker == "relative":
        warm = rough.measured * config.wtmm_stride >= BASELINE_WARM_UP
        below = letter & checked & warm & (check < floor)
        calm = (check > floor + config.holder_hysteresis) | (current > least + config.holder_hysteresis)
    else:
        below = letter & valid
        calm = current > least + config.holder_hysteresis
    run = jnp.where(below, rough.below_run + config.wtmm_stride, 0)
    emergency = jnp.where(rough.emergency, ~(calm & valid), run >= config.holder_persistence)

    n = rough.measured
    rate = jnp.maximum(1.0 / (n + 1.0), 1.0 - (1.0 - config.holder_baseline_rate) ** config.wtmm_stride)
    # The baseline must not chase the fall that it is there to notice; once noticed, the fall becomes the new usual, or
    # a process that has turned rough for good would be an emergency for ever.
    rate = jnp.where(emergency, 1.0 - (1.0 - EVENT_RATE) ** config.wtmm_stride, rate)
    step = jnp.where(checked & (emergency | ~below), rate, 0.0)
    difference = check - rough.baseline
    variance = (1.0 - step) * (rough.deviation**2 + step * difference**2)
    return rough._replace(
        exponent=current,
        valid=valid,
        whittle=whittle,
        baseline=rough.baseline + step * difference,
        deviation=jnp.sqrt(variance),
        measured=n + jnp.where(checked, 1, 0),
        below_run=run,
        emergency=emergency,
    )


def watch_entropy(
    config: PredictorConfig,
    modes: ModeState,
    entropy: Scalar | None,
    expected: Scalar | None,
    window: Scalar,
    volatile: Flag,
) -> tuple[ModeState, Collapse]:
    """Mode collapse: the value function's entropy below its expectation for long enough.

    Both are differential entropies in z units [nat], so the threshold is a distance: the entropy counts as low when it
    lies more than -log(gamma) below what the drift explains, that is when the value function spans less than gamma of
    the width it should.  gamma is `entropy_threshold` in calm times and half-way down to 1/2 in volatile ones.

    Without a kernel that tells an entropy nothing is watched: the distance is NaN and there is no warning.

    Source: seed 003, section 9.2 for the number of ticks; MATH notes for the units.
    """
    if entropy is None or expected is None:
        return modes, Collapse(jnp.full((), jnp.nan), jnp.zeros((), bool))
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
    robust: int | None,
) -> jax.Array:
    """Weights after the tick; precedence emergency, alarm, degraded, normal (a rejected tick never comes here).

    Args:
        robust: place of the kernel that gets all weight in an emergency; without one the weights go on moving.
    """
    count = moved.shape[0]
    uniform = jnp.full(count, 1.0 / count)
    frozen = degraded | in_grace if config.grace_freezes_weights else degraded
    weights = jnp.where(frozen, current, moved)
    weights = jnp.where(alarm, uniform, weights)
    return emergency_weights(config, weights, emergency, robust)


def emergency_weights(config: PredictorConfig, weights: Array, emergency: Flag, robust: int | None) -> Array:
    """Weights along the last axis; in an emergency the kernel at place `robust` has all of them."""
    if not config.robustness_force_kernel_d or robust is None:
        return weights
    return jnp.where(emergency, jnp.zeros_like(weights).at[..., robust].set(1.0), weights)
