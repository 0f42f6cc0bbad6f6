"""Online Kramers-Moyal regression: drift and diffusion of the series as a function of its slow z-score.

Conditional moments of the increments, E[dz | z] and E[(dz - E[dz | z])^2 | z], are fitted by two regressions that
forget at different rates: the slow one finds the bounded nonlinear drift, the fast one a linear correction for what
changed lately.  Each is shrunk by its own significance, so that a unit-root series keeps a drift of almost zero.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ....array_types import Array, Flag, Float, Scalar
from ..regression import RidgeState, ridge_init, ridge_learn, ridge_solve
from .galerkin import HALF_WIDTH, diffusion_basis, drift_basis

SLOW_FORGETTING = 0.998
FAST_FORGETTING = 0.98
SLOW_PENALTY = 4.0
FAST_PENALTY = 6.0
FAST_TERMS = 2
WINSOR = 6.0
LEAST_OBSERVATIONS = 20.0
VARIANCE_PRIOR = 50.0
SPREAD_BOUNDS = (1e-3, 1e3)
SLOPE_BOUNDS = (-0.92, 1.0)
DRIFT_BOUND = 4.0
# Bounds of the local slope of the drift, of which the second keeps an exploding one within numbers [1/tick].
STEEPEST, LARGEST_GROWTH = 8.0, 0.25
DIFFUSION_BOUNDS = (1e-10, 8.0)


class MomentState(NamedTuple):
    """Discounted conditional moments of the increments, and the forecast that the next increment will be held against.

    Attributes:
        slow: regression of the increment on the drift basis.
        fast: regression of what `slow` left on the first two of them.
        square, occupancy: discounted squared residuals and weights per state of the diffusion basis.
        feature: gain times drift basis at the last tick.
        states: diffusion basis at the last tick.
        slow_forecast, forecast: of the slow regression alone and of both [s_{t-1}].
    """

    slow: RidgeState
    fast: RidgeState
    square: Float[Array, "3"]
    occupancy: Float[Array, "3"]
    feature: Float[Array, "4"]
    states: Float[Array, "3"]
    slow_forecast: Scalar
    forecast: Scalar


class Estimate(NamedTuple):
    """Coefficients of the stochastic differential equation dz = b(z) dt + s(z) dW, time in ticks.

    Attributes:
        drift: of b on `drift_basis` [z per tick].
        diffusion: of s^2 on `diffusion_basis` [z^2 per tick].
        theta: rate of mean reversion -log(1 + slope), negative where the series explodes [1/tick].
        variance: variance of the innovation at the present state, from the residuals of the regression [s_t^2].
        diffusion_ratio: s^2 over that variance, 2 theta / (1 - e^-2theta) [1/tick].
        spread: width of the z frame, bounded [s_t].
    """

    drift: Float[Array, "4"]
    diffusion: Float[Array, "3"]
    theta: Scalar
    variance: Scalar
    diffusion_ratio: Scalar
    spread: Scalar


def moments_init() -> MomentState:
    """Moments before the first tick: no drift, an innovation variance of one."""
    return MomentState(
        ridge_init(4), ridge_init(FAST_TERMS), jnp.zeros(3), jnp.zeros(3), jnp.zeros(4), jnp.zeros(3),
        jnp.zeros(()), jnp.zeros(()),
    )  # fmt: skip


def significant(state: RidgeState, ridge: Scalar | float, penalty: float) -> Float[Array, "k"]:
    """Regression coefficients shrunk by (1 - penalty / F)+, F their explained sum over the residual variance.

    Args:
        state: normal equations of k features.
        ridge: prior precision per effective observation.
        penalty: about 1.5 times the number of features; larger for unit-root series, where F is not chi-squared.

    Returns:
        Coefficients; zero where the evidence is weak or fewer than 20 ticks were seen.

    Source: positive-part James-Stein estimator (Baranchik 1970).
    """
    coefficients = ridge_solve(state, ridge)
    explained = jnp.maximum(jnp.dot(coefficients, state.moment), 0.0)
    left = jnp.maximum(state.energy - explained, 1e-12 * state.energy)
    freedom = jnp.maximum(state.weight - state.moment.shape[0], 1.0)
    # explained = 0 gives 0: the quotient below is then at its ceiling.
    shrink = jnp.maximum(1.0 - penalty * left / jnp.maximum(explained * freedom, 1e-30 + 1e-9 * left), 0.0)
    enough = (state.weight >= LEAST_OBSERVATIONS) & (explained > 0.0)
    return jnp.where(enough, shrink, 0.0) * coefficients


def learn(state: MomentState, increment: Scalar, flag: Flag) -> MomentState:
    """Take the realised increment into the moments; untouched where `flag` is False.

    Args:
        state: moments, with the features and forecasts of the tick before.
        increment: (y_t - y_{t-1}) / s_{t-1}.
        flag: whether to learn.

    Returns:
        The new moments; features and forecasts are those of the tick before still.
    """
    outcome = jnp.clip(jnp.where(flag, increment, 0.0), -WINSOR, WINSOR)
    slow = ridge_learn(state.slow, state.feature, outcome, SLOW_FORGETTING, flag)
    fast = ridge_learn(state.fast, state.feature[:FAST_TERMS], outcome - state.slow_forecast, FAST_FORGETTING, flag)
    keep = jnp.where(flag, SLOW_FORGETTING, 1.0)
    weight = jnp.where(flag, state.states, 0.0)
    square = keep * state.square + weight * (outcome - state.forecast) ** 2
    return state._replace(slow=slow, fast=fast, square=square, occupancy=keep * state.occupancy + weight)


def estimate(
    state: MomentState, level: Scalar, spread: Scalar, ridge: Scalar | float
) -> tuple[MomentState, Estimate, Scalar]:
    """Drift and diffusion in the slow frame, and the features at the newest value for the next tick's learning.

    An increment regression sees exp(-theta) - 1 where the generator needs -theta, and the innovation's variance where
    it needs s^2; with slope = exp(-theta) - 1 both are rescaled, b by theta / (1 - e^-theta) and s^2 by
    2 theta / (1 - e^-2theta), which is exact for Ornstein-Uhlenbeck.

    Args:
        state: moments.
        level: (m_t - y_t) / s_t, m_t the slow mean.
        spread: slow standard deviation about m_t [s_t].
        ridge: prior precision per effective observation of the regressions.

    Returns:
        The state with features and forecasts of this tick, the estimate, and the newest value z in the domain [z].

    Source: Risken, The Fokker-Planck Equation, section 4.1 (Kramers-Moyal); MATH.md, deep_galerkin.
    """
    spread, z = frame_of(level, spread)
    # Increments may scale with s_t (volatility moves) or with the spread (the frame moves): their geometric mean.
    gain = jnp.sqrt(spread)
    feature, states = gain * drift_basis(z), diffusion_basis(z)
    slow, fast = significant(state.slow, ridge, SLOW_PENALTY), significant(state.fast, ridge, FAST_PENALTY)
    slow_forecast = jnp.dot(slow, feature)
    forecast = slow_forecast + jnp.dot(fast, feature[:FAST_TERMS])
    step = jnp.clip((slow + jnp.pad(fast, (0, 2))) * (gain / spread), -DRIFT_BOUND, DRIFT_BOUND)
    slope = mean_slope(state.slow, step)
    theta = -jnp.log1p(slope)
    local = local_variance(state)
    ratio = diffusion_factor(theta)
    diffusion = jnp.clip(local * (ratio / spread**2), *DIFFUSION_BOUNDS)
    fitted = Estimate(step * drift_factor(theta), diffusion, theta, jnp.dot(states, local), ratio, spread)
    new = state._replace(feature=feature, states=states, slow_forecast=slow_forecast, forecast=forecast)
    return new, fitted, z


def frame_of(level: Scalar, spread: Scalar) -> tuple[Scalar, Scalar]:
    """Width of the z frame [s_t] and the newest value in it, both bounded."""
    spread = jnp.clip(jnp.where(jnp.isfinite(spread), spread, 1.0), *SPREAD_BOUNDS)
    return spread, jnp.clip(jnp.where(jnp.isfinite(level), -level, 0.0) / spread, -HALF_WIDTH, HALF_WIDTH)


def moments_ahead(
    drift: Float[Array, "4"], diffusion: Float[Array, "3"], z: Scalar, steps: tuple[int, ...]
) -> tuple[Float[Array, "step"], Float[Array, "step"]]:
    """Conditional mean and variance of z at longer times, of the same diffusion with its drift linear about z.

    m(h) = z + b(z) (e^{b' h} - 1) / b' and v(h) = s^2(z) (e^{2 b' h} - 1) / (2 b'), b' the slope at z: one step of an
    exponential integrator, exact for a linear drift of whatever length the step.

    Args:
        drift, diffusion: coefficients of b and s^2 on their bases.
        z: the newest value.
        steps: times [ticks].

    Returns:
        Mean [z], within the domain, and variance [z^2].

    Source: Hochbruck and Ostermann, Exponential integrators (Acta Numerica 2010), section 2.
    """

    def force(x: Scalar) -> Scalar:
        return jnp.dot(drift, drift_basis(x))

    ahead = np.array(steps, float)
    push, slope = jax.value_and_grad(force)(z)
    slope = jnp.clip(slope, -STEEPEST, LARGEST_GROWTH)
    mean = jnp.clip(z + push * ahead * _mean_exponential(slope * ahead), -HALF_WIDTH, HALF_WIDTH)
    variance = jnp.dot(diffusion, diffusion_basis(z)) * ahead * _mean_exponential(2.0 * slope * ahead)
    return mean, jnp.clip(variance, 0.0, HALF_WIDTH**2)


def _mean_exponential(x: Array) -> Array:
    """(e^x - 1) / x, 1 at zero."""
    small = jnp.abs(x) < 1e-6
    return jnp.where(small, 1.0 + 0.5 * x, jnp.expm1(jnp.where(small, 1.0, x)) / jnp.where(small, 1.0, x))


def mean_slope(state: RidgeState, step: Float[Array, "4"]) -> Scalar:
    """Slope of the one-tick drift regressed on z over the states visited, within [-0.92, 1]."""
    total = jnp.maximum(state.gram[0, 0], 1e-30)
    centred = state.gram[1] - (state.gram[0, 1] / total) * state.gram[0]
    variance = jnp.maximum(centred[1], 1e-9 * total)
    # One prior observation of the linear term keeps the slope defined before z has moved.
    return jnp.clip((jnp.dot(centred, step) + 1e-6 * total * step[1]) / (variance + 1e-6 * total), *SLOPE_BOUNDS)


def drift_factor(theta: Scalar) -> Scalar:
    """theta / (1 - exp(-theta)), 1 at zero."""
    safe = jnp.where(jnp.abs(theta) < 1e-6, 1.0, theta)
    return jnp.where(jnp.abs(theta) < 1e-6, 1.0 + 0.5 * theta, safe / -jnp.expm1(-safe))


def diffusion_factor(theta: Scalar) -> Scalar:
    """2 theta / (1 - exp(-2 theta)), 1 at zero."""
    return drift_factor(2.0 * theta)


def local_variance(state: MomentState) -> Float[Array, "3"]:
    """Innovation variance per state, drawn to the overall mean by a prior of 50 observations [s^2]."""
    overall = (jnp.sum(state.square) + 1.0) / (jnp.sum(state.occupancy) + 1.0)
    return (state.square + VARIANCE_PRIOR * overall) / (state.occupancy + VARIANCE_PRIOR)
