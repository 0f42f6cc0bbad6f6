"""Forecasts of a nested family of least-squares projections from one Cholesky factorisation.

With normal equations A w = b over features ordered from the simplest to the longest memory, the forecast of the model
that uses only the first k features is f_k' A_k^{-1} b_k.  Let A = L L'.  Leading blocks of L factor the leading blocks
of A, so with u = L^{-1} f and z = L^{-1} b the forecast of order k is sum_{i<=k} u_i z_i: one factorisation gives every
order, as the Levinson-Durbin recursion does for a stationary process, without assuming stationarity.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ....array_types import Array, Float, Scalar
from ..regression import RidgeState


def nested_forecasts(equations: RidgeState, features: Float[Array, "k"], ridge: Scalar | float) -> Float[Array, "k"]:
    """Forecasts of every order 1..k of the ridge regression at `features`.

    Args:
        equations: discounted normal equations (A, b).
        features: f, today's features, bounded.
        ridge: prior precision per effective observation, > 0.

    Returns:
        Element k-1 is the forecast that uses the first k features [units of the target].

    Source: Golub and Van Loan, Matrix Computations, section 4.2 (leading blocks of a Cholesky factor).  The solves with
    L come from the same factorisation: the last two rows of the factor of [[A, F], [F', K]], F = [f, b], are
    (L^{-1} F)' for every K that keeps the matrix positive definite.
    """
    k = features.shape[0]
    prior = ridge * (1.0 + equations.weight)
    border = jnp.stack([features, equations.moment])
    # |L^{-1} v|^2 <= |v|^2 / prior, so this corner keeps the Schur complement positive definite whatever A is.
    corner = jnp.diag(1.0 + 2.0 * jnp.sum(border**2, axis=1) / prior)
    loaded = equations.gram + prior * jnp.eye(k)
    bordered = jnp.block([[loaded, border.T], [border, corner]])
    factor = jax.lax.linalg.cholesky(bordered, symmetrize_input=False)
    return jnp.cumsum(factor[k, :k] * factor[k + 1, :k])
