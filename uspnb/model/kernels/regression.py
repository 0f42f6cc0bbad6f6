"""Recursive least squares in information form: normal equations that forget, solved anew by Cholesky.

The covariance form loses symmetry and winds up on frozen input; the information form can do neither, because it adds
only positive semidefinite terms and the ridge is added at the solve, never fed back.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve

from ...array_types import Array, Flag, Float, Scalar


class RidgeState(NamedTuple):
    """Discounted normal equations of y = w . f.

    Attributes:
        gram: A = sum gamma^(t-i) f_i f_i'.
        moment: b = sum gamma^(t-i) f_i y_i.
        energy: sum gamma^(t-i) y_i^2.
        weight: sum gamma^(t-i), the effective number of observations; at most 1 / (1 - gamma).
    """

    gram: Float[Array, "k k"]
    moment: Float[Array, "k"]
    energy: Scalar
    weight: Scalar


def ridge_init(k: int) -> RidgeState:
    """Normal equations before the first observation, for `k` features."""
    return RidgeState(jnp.zeros((k, k)), jnp.zeros(k), jnp.zeros(()), jnp.zeros(()))


def ridge_learn(
    state: RidgeState, features: Float[Array, "k"], target: Scalar, forgetting: Scalar | float, learn: Flag
) -> RidgeState:
    """Take one observation in: A <- gamma A + f f', b <- gamma b + f y; untouched where `learn` is False.

    Args:
        state: normal equations so far.
        features: f, bounded by the caller (the gram matrix holds their squares).
        target: y, bounded by the caller.
        forgetting: gamma in (0, 1] [1/tick].
        learn: whether this observation counts.

    Returns:
        The new normal equations.

    Source: Haykin, Adaptive Filter Theory, ch. 10 (exponentially weighted least squares), in information form.
    """
    # A masked observation is multiplied away rather than selected: one fused pass over the gram matrix.
    decay = jnp.where(learn, forgetting, 1.0)
    f = jnp.where(learn, features, jnp.zeros_like(features))
    y = jnp.where(learn, target, 0.0)
    return RidgeState(
        decay * state.gram + f[:, None] * f[None, :],
        decay * state.moment + f * y,
        decay * state.energy + y * y,
        decay * state.weight + jnp.where(learn, 1.0, 0.0),
    )


def ridge_solve(state: RidgeState, ridge: Scalar | float) -> Float[Array, "k"]:
    """Coefficients w of (A + ridge (1 + weight) I) w = b, by Cholesky.

    The ridge grows with the effective number of observations, so that it is a prior variance per observation and means
    the same early and late; the 1 keeps the system definite before the first observation.

    Args:
        state: normal equations.
        ridge: prior precision per effective observation, > 0 [feature units squared].

    Returns:
        w, finite wherever the features were finite and bounded.
    """
    k = state.moment.shape[0]
    loaded = state.gram + (ridge * (1.0 + state.weight)) * jnp.eye(k)
    return cho_solve((cho_factor(loaded, lower=True)[0], True), state.moment)


class TrackRecord(NamedTuple):
    """How well a regression's own forecasts have agreed with their outcomes, out of sample.

    Attributes:
        agreement: sum gamma^(t-i) y_i m_i.
        power: sum gamma^(t-i) m_i^2.
    """

    agreement: Scalar
    power: Scalar


def track_init() -> TrackRecord:
    """Record before the first forecast."""
    return TrackRecord(jnp.zeros(()), jnp.zeros(()))


def track_learn(
    track: TrackRecord, forecast: Scalar, target: Scalar, forgetting: Scalar | float, learn: Flag
) -> TrackRecord:
    """Take in the outcome y of a forecast m that was made before y was known; untouched where `learn` is False."""
    return TrackRecord(
        jnp.where(learn, forgetting * track.agreement + target * forecast, track.agreement),
        jnp.where(learn, forgetting * track.power + forecast * forecast, track.power),
    )


def track_shrinkage(track: TrackRecord, prior: Scalar | float = 0.5) -> Scalar:
    """Factor in [0, 1] by which a forecast should be believed: the slope of outcomes on past forecasts.

    lambda = clip(sum y m / (sum m^2 + prior), 0, 1).  In-sample significance flatters a regression of many features;
    its own past forecasts do not.  On a random walk the factor falls to about 0, where there is structure it stays
    near 1.

    Args:
        track: the record.
        prior: forecast energy that is disbelieved at the start [target units squared].

    Source: Mincer and Zarnowitz (1969), slope of the regression of outcome on forecast.
    """
    return jnp.clip(track.agreement / (track.power + prior), 0.0, 1.0)
