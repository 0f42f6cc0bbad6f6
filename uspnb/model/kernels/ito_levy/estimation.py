"""Online estimates of an Ornstein-Uhlenbeck process with compound Poisson jumps, from its increments."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp

from ....array_types import Array, Flag, Float, Scalar
from ....config.schema import PredictorConfig
from ..regression import RidgeState, ridge_init, ridge_learn, ridge_solve

# About the window's length.  Measured RMSE over last value at .998 / .992 / .98: regime switches .749/.642/.603,
# Ornstein-Uhlenbeck .994/.996/.999, AR(2) .976/.980/.989, random walk 1.000/1.000/1.001.
DRIFT_FORGETTING = 0.992
JUMP_FORGETTING = 0.998
DIFFUSION_RATE = 0.03
JUMP_THRESHOLD = 4.0
JUMP_BOUND = 25.0
WARM_UP_TICKS = 30.0
LEAST_DIFFUSION = 1e-3
LARGEST_REVERSION = 5.0


class LevyParameters(NamedTuple):
    """dX = (constant + theta (level - X)) dt + diffusion dW + dJ, per tick and in units of s_t.

    Attributes:
        constant: drift that does not revert [scale/tick].
        theta: rate of mean reversion, in [0, 5] [1/tick].
        level: mean that X reverts to, as seen from the present value [scale].
        diffusion: sigma [scale/sqrt(tick)].
        jump_intensity: jumps per tick.
        jump_mean, jump_scale: mean and standard deviation of one jump [scale].
    """

    constant: Scalar
    theta: Scalar
    level: Scalar
    diffusion: Scalar
    jump_intensity: Scalar
    jump_mean: Scalar
    jump_scale: Scalar


class LevyEstimate(NamedTuple):
    """Discounted sums from which the parameters are read.

    Attributes:
        reversion: normal equations of increment = w . (1, distance to the level).
        features: (1, distance) at the tick whose increment is awaited.
        bipower: EMA of (pi/2) |e_t| |e_{t-1}|, a variance that a lone jump does not enter.
        last: |e| of the last tick learned from, for the bipower product.
        ticks: discounted number of ticks.
        jumps: discounted number of jumps.
        jump_sum, jump_energy: discounted sums of jumps and of their squares.
        continuous: EMA of e^2 of ticks without a jump, an estimate of diffusion^2.
    """

    reversion: RidgeState
    features: Float[Array, "2"]
    bipower: Scalar
    last: Scalar
    ticks: Scalar
    jumps: Scalar
    jump_sum: Scalar
    jump_energy: Scalar
    continuous: Scalar


def estimate_init() -> LevyEstimate:
    """Nothing seen: unit diffusion, no jumps."""
    one, zero = (lambda: jnp.ones(())), (lambda: jnp.zeros(()))
    return LevyEstimate(ridge_init(2), jnp.zeros(2), one(), one(), zero(), zero(), zero(), zero(), one())


def estimate_learn(estimate: LevyEstimate, forecast: Scalar, innovation: Scalar, learn: Flag) -> LevyEstimate:
    """Take in the innovation of an increment and the forecast of it; untouched where `learn` is False.

    An innovation beyond 4 bipower standard deviations is a jump, once 30 ticks have made that deviation known.  The
    reversion learns from the increment with its jump cut off at that threshold, for a jump says nothing about the
    drift.

    Args:
        estimate: sums so far.
        forecast: what had been forecast, bounded by the caller [units of s].
        innovation: increment less that forecast, bounded here [units of s].
        learn: whether this tick counts.

    Source: Barndorff-Nielsen and Shephard (2004), bipower variation; Mancini (2009), threshold estimation of jumps.
    """
    size = jnp.abs(innovation)
    threshold = JUMP_THRESHOLD * jnp.sqrt(estimate.bipower)
    jumped = (size > threshold) & (estimate.ticks >= WARM_UP_TICKS)
    jump = jnp.where(jumped, jnp.clip(innovation, -JUMP_BOUND, JUMP_BOUND), 0.0)
    bounded = jnp.minimum(size, threshold)
    cut = forecast + jnp.clip(innovation, -threshold, threshold)
    floor = LEAST_DIFFUSION**2
    rate = jnp.maximum(DIFFUSION_RATE, 1.0 / (estimate.ticks + 2.0))
    bipower = estimate.bipower + rate * (0.5 * math.pi * bounded * estimate.last - estimate.bipower)
    continuous = estimate.continuous + rate * (bounded * bounded - estimate.continuous)
    learned = (
        jnp.maximum(bipower, floor),
        bounded,
        JUMP_FORGETTING * estimate.ticks + 1.0,
        JUMP_FORGETTING * estimate.jumps + jumped,
        JUMP_FORGETTING * estimate.jump_sum + jump,
        JUMP_FORGETTING * estimate.jump_energy + jump * jump,
        jnp.maximum(jnp.where(jumped, estimate.continuous, continuous), floor),
    )
    updated = [jnp.where(learn, new, old) for new, old in zip(learned, estimate[2:], strict=True)]
    reversion = ridge_learn(estimate.reversion, estimate.features, cut, DRIFT_FORGETTING, learn)
    return LevyEstimate(reversion, estimate.features, *updated)


def parameters(estimate: LevyEstimate, distance: Scalar, config: PredictorConfig) -> LevyParameters:
    """Read the parameters off the sums, jumps shrunk towards the configured prior.

    The slope k of the regression on the distance estimates 1 - exp(-theta), so theta = -ln(1 - k), with exp(-theta)
    held in [exp(-5), 1]: white-noise levels (k = 1) revert within the tick, and a negative autocorrelation is no
    diffusion.
    The prior counts as `sde_diffusion_sigma` windows of ticks.

    Args:
        estimate: the sums.
        distance: level less present value [units of s].
        config: `kernel_c_jump_intensity`, `kernel_c_jump_mean`, `kernel_c_jump_scale`, `sde_diffusion_sigma`,
            `wtmm_buffer_size`, `kernel_ridge_lambda`.
    """
    constant, slope = ridge_solve(estimate.reversion, config.kernel_ridge_lambda)
    persistence = jnp.clip(1.0 - slope, math.exp(-LARGEST_REVERSION), 1.0)
    prior_ticks = config.sde_diffusion_sigma * config.wtmm_buffer_size
    prior_jumps = prior_ticks * config.kernel_c_jump_intensity
    ticks = prior_ticks + estimate.ticks
    events = prior_jumps + estimate.jumps
    per_event = jnp.maximum(events, config.numerical_epsilon)
    mean = (prior_jumps * config.kernel_c_jump_mean + estimate.jump_sum) / per_event
    prior_energy = prior_jumps * (config.kernel_c_jump_scale**2 + config.kernel_c_jump_mean**2)
    energy = (prior_energy + estimate.jump_energy) / per_event
    diffusion = (prior_ticks + estimate.ticks * estimate.continuous) / ticks
    return LevyParameters(
        constant=constant,
        theta=-jnp.log(persistence),
        level=distance,
        diffusion=jnp.sqrt(diffusion),
        jump_intensity=events / ticks,
        jump_mean=mean,
        jump_scale=jnp.sqrt(jnp.maximum(energy - mean * mean, 0.0)),
    )
