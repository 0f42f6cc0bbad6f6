"""What the other series of a batch have just done, as a regressor: for series that know of one another.

A series is regressed on its own last increments and on the common movement of the others: the mean of their last
standardised increments, each weighed by how far it moves with the rest.  Nothing is shared but a sum along the axis of
the batch, so that the state is still one of a series: it is saved, restored and put back like any other.  A series by
itself has no others; what it gets then is the regression on its own increments.

No configuration names it by default: `Fleet(shared=True)`, or `PredictorConfig(kernels=(..., "common_movement"))`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ...array_types import Array, Count, Flag, Float, Key, Scalar
from ...config.schema import PredictorConfig
from .base import KernelInputs, KernelOutput
from .regression import (
    RidgeState,
    TrackRecord,
    ridge_init,
    ridge_learn,
    ridge_solve,
    track_init,
    track_learn,
    track_shrinkage,
)

# Of the batch, by which a kernel names the sum over all of its series.
AXIS = "asset"
LAGS = 8
FEATURES = 2 + LAGS + 2
FORGETTING, RIDGE = 0.998, 1e-3
LOADING_RATE, LOADING_PRIOR = 0.01, 20.0
TARGET_BOUND, MOVE_BOUND, LEVEL_BOUND = 6.0, 4.0, 20.0


class CommonState(NamedTuple):
    """What the kernel carries of one series.

    Attributes:
        cross, own, common: slow means of the series' movement times the others', and of either's square.
        before: the others' movement one tick earlier [scales of one-tick increments].
        equations: normal equations of the regression.
        pending: the features behind the forecast that is out.
        raw, forecast: that forecast before and after it was shrunk [units of s_t].
        track: agreement of past forecasts with their outcomes.
        variance: slow mean of the squared error [units of s_t squared].
        learned: ticks learned from.
    """

    cross: Scalar
    own: Scalar
    common: Scalar
    before: Scalar
    equations: RidgeState
    pending: Float[Array, "feature"]
    raw: Scalar
    forecast: Scalar
    track: TrackRecord
    variance: Scalar
    learned: Count


class CommonDiagnostics(NamedTuple):
    """What the kernel says about itself.

    Attributes:
        movement: the others' common movement at this tick [scales of one-tick increments].
        loading: correlation of the series with it, in [-1, 1].
        trust: factor in [0, 1] by which the regression is believed.
    """

    movement: Scalar
    loading: Scalar
    trust: Scalar


def init(config: PredictorConfig, key: Key) -> CommonState:
    """State before the first tick; every series is taken to move with the others until it is known."""
    del config, key
    one, zero = (lambda: jnp.ones(())), (lambda: jnp.zeros(()))
    return CommonState(
        one(), one(), one(), zero(), ridge_init(FEATURES), jnp.zeros(FEATURES), zero(), zero(), track_init(), one(),
        jnp.zeros((), jnp.int64),
    )  # fmt: skip


def step(
    config: PredictorConfig, state: CommonState, inputs: KernelInputs, key: Key
) -> tuple[CommonState, KernelOutput]:
    """Learn from the increment, see what the others did, forecast the next increment.

    f_t = sum_j |c_j| sign(c_j) z_j / sum_j |c_j| over the others j that have a usable increment z_j at t, with c_j the
    correlation of z_j with the movement of its own others.  The forecast is a ridge regression of the next increment on
    (1, level, the last eight increments, f_t, f_{t-1}).

    Source: the leading factor by weights in proportion to the loadings, Stock and Watson, Forecasting Using Principal
    Components from a Large Number of Predictors (JASA 2002); here the loadings are learned tick by tick.
    """
    del config, key
    state = _learn(state, inputs)
    move = jnp.where(inputs.learn, jnp.clip(inputs.increment, -MOVE_BOUND, MOVE_BOUND), 0.0)
    loading = jnp.clip(state.cross / jnp.sqrt(state.own * state.common), -1.0, 1.0)
    # Where a forecast stands in for the value, the others may be at another time: nothing is known of them.
    movement = jnp.where(inputs.learn, _of_others(loading, move, inputs.learn), 0.0)
    row = _row(inputs, movement, state.before)
    raw = ridge_solve(state.equations, RIDGE) @ row
    trust = track_shrinkage(state.track)
    forecast = trust * jnp.clip(raw, -TARGET_BOUND, TARGET_BOUND)
    state = _load(state, move, movement, inputs.learn)
    state = state._replace(pending=row, raw=raw, forecast=forecast)
    diagnostics = CommonDiagnostics(movement, loading, trust)
    return state, KernelOutput(forecast[None], jnp.sqrt(state.variance)[None], diagnostics)


def _of_others(loading: Scalar, move: Scalar, seen: Flag) -> Scalar:
    """Weighed mean of the others' movements; zero where there are none."""
    own = jnp.stack([loading * move, jnp.where(seen, jnp.abs(loading), 0.0)])
    total, weight = _along_batch(own) - own
    return jnp.where(weight > 1e-6, total / jnp.maximum(weight, 1e-6), 0.0)


def _along_batch(value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The sum over the series of the batch; of a series by itself its own."""
    try:
        return jax.lax.psum(value, AXIS)
    except NameError:  # JAX's, while it traces: there is no such axis
        return value


def _learn(state: CommonState, inputs: KernelInputs) -> CommonState:
    target, learn = jnp.clip(inputs.increment, -TARGET_BOUND, TARGET_BOUND), inputs.learn
    rate = jnp.where(learn, jnp.maximum(0.02, 1.0 / (state.learned + 1.0)), 0.0)
    bounded = jnp.clip(state.raw, -TARGET_BOUND, TARGET_BOUND)
    variance = state.variance + rate * ((target - state.forecast) ** 2 - state.variance)
    return state._replace(
        equations=ridge_learn(state.equations, state.pending, target, FORGETTING, learn),
        track=track_learn(state.track, bounded, target, FORGETTING, learn),
        variance=jnp.maximum(variance, 1e-9),
        learned=state.learned + learn,
    )


def _load(state: CommonState, move: Scalar, movement: Scalar, learn: Flag) -> CommonState:
    rate = jnp.where(learn, jnp.maximum(LOADING_RATE, 1.0 / (state.learned + LOADING_PRIOR)), 0.0)

    def towards(old: Scalar, new: Scalar) -> Scalar:
        return old + rate * (new - old)

    return state._replace(
        cross=towards(state.cross, move * movement),
        own=jnp.maximum(towards(state.own, move**2), 1e-6),
        common=jnp.maximum(towards(state.common, movement**2), 1e-6),
        before=jnp.where(learn, movement, state.before),
    )


def _row(inputs: KernelInputs, movement: Scalar, before: Scalar) -> Float[Array, "feature"]:
    newest_first = inputs.path[::-1]
    increments = jnp.clip(newest_first[:LAGS] - newest_first[1 : LAGS + 1], -TARGET_BOUND, TARGET_BOUND)
    level = jnp.clip(-inputs.level / inputs.spread, -LEVEL_BOUND, LEVEL_BOUND)
    return jnp.concatenate([jnp.stack([jnp.ones(()), level]), increments, jnp.stack([movement, before])])
