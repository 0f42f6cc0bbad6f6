"""Direct regressions: the increment to each horizon on features of today, all with one gram matrix.

A regression fed back h times multiplies what is wrong with it; a regression for each horizon is fitted to what it is
asked for.  The features are the same for all horizons, and so is their gram matrix; each horizon adds the moments of
its outcomes, which come due h ticks later.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve

from ....array_types import Array, Float, Scalar
from ..base import HorizonInputs
from ..regression import RidgeState

TARGET_BOUND = 6.0


class DirectState(NamedTuple):
    """Discounted moments of outcomes at each horizon, and the features that outcomes are awaited for.

    Attributes:
        rows: features of the last ticks, by place modulo the longest horizon.
        moment: b_h = sum gamma^(n-i) f_i y_{i,h}.
        weight: sum gamma^(n-i), the effective number of outcomes.
    """

    rows: Float[Array, "row k"]
    moment: Float[Array, "horizon k"]
    weight: Float[Array, "horizon"]


def direct_init(k: int, ladder: tuple[int, ...]) -> DirectState | tuple[()]:
    """State before the first tick, for `k` features; nothing without a ladder."""
    if not ladder:
        return ()
    return DirectState(jnp.zeros((max(ladder), k)), jnp.zeros((len(ladder), k)), jnp.zeros(len(ladder)))


def direct_learn(
    state: DirectState,
    features: Float[Array, "k"],
    due: HorizonInputs,
    ladder: tuple[int, ...],
    forgetting: Scalar | float,
) -> DirectState:
    """Take in the outcomes that are due, then today's features, which wait for theirs.

    An outcome at h is bounded at 6 sqrt(h) s_t.

    Args:
        state: so far.
        features: of the newest tick, bounded by the caller.
        due: what has come due.
        ladder: the horizons [ticks].
        forgetting: gamma of the moments [1/outcome].
    """
    bound = TARGET_BOUND * np.sqrt(np.array(ladder, float))
    target = jnp.where(due.learn, jnp.clip(due.increment, -bound, bound), 0.0)
    decay = jnp.where(due.learn, forgetting, 1.0)
    moment = decay[:, None] * state.moment + target[:, None] * state.rows[due.row]
    weight = decay * state.weight + due.learn
    here = np.arange(len(state.rows)) == due.newest
    return DirectState(jnp.where(here[:, None], features[None, :], state.rows), moment, weight)


def direct_solve(equations: RidgeState, state: DirectState, ridge: Scalar | float) -> Float[Array, "horizon k"]:
    """Coefficients of every horizon, by one Cholesky factorisation.

    The moments of a horizon are fewer than the rows of the gram matrix by those that wait; both count as means.

    Args:
        equations: gram matrix and weight of the same features.
        state: the moments.
        ridge: prior precision per effective observation, > 0.
    """
    loaded = equations.gram + ridge * (1.0 + equations.weight) * jnp.eye(equations.gram.shape[0])
    moments = state.moment * (equations.weight / jnp.maximum(state.weight, 1.0))[:, None]
    return cho_solve((jax.lax.linalg.cholesky(loaded, symmetrize_input=False), True), moments.T).T
