"""Experts of kernel A that see the seasons: a small seasonal filter, and double seasonal exponential smoothing.

What one step of memory cannot see, a season does: 48 lags are blind to a week of half-hours.  The filter is small: with
the neighbourhoods of a period ago eight lags do as well as forty-eight.  The smoothing is O(1) a tick for each of a few
sets of rates, so that none has to be fitted.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ....array_types import Array, Float, Scalar
from ....config.schema import PredictorConfig
from ..base import NEIGHBOURS, KernelInputs, SeasonInputs
from ..regression import RidgeState, ridge_init, ridge_solve

FILTER_LAGS = 8
FORGETTING = 0.9995
LAG_BOUND = 100.0
# Rates of the smoothed level and of the indices of the two seasons, from almost fixed to quick.
RATES = np.array([(0.01, 0.2, 0.2), (0.1, 0.1, 0.1), (0.03, 0.4, 0.4), (0.03, 0.05, 0.05)])
ERROR_FORGETTING, LEAST_POWER, LARGEST_CARRY = 0.998, 1e-6, 0.99
LARGEST_UNIT = 1e150
EXPERTS = 1 + len(RATES)


class Smoothing(NamedTuple):
    """Level, seasonal indices and error of each set of rates.

    Attributes:
        unit: s_t over s of the first tick: what is kept is counted in the latter, so that no index has to be moved when
            the scale does.
        level: level - y_t.
        indices: of each season, by place modulo its period.
        error: e_t, what level and indices left of the newest value.
        product, power: discounted sums of e_t e_{t-1} and e_{t-1}^2, whose ratio carries the error over to the next
            tick.
    """

    unit: Scalar
    level: Float[Array, "rates"]
    indices: Float[Array, "rates slot capacity"]
    error: Float[Array, "rates"]
    product: Float[Array, "rates"]
    power: Float[Array, "rates"]


class SeasonalState(NamedTuple):
    """What the seasonal experts carry.

    Attributes:
        equations: normal equations of the seasonal filter.
        pending: the row behind its forecast that is out.
        smoothing: exponential smoothing for each set of rates.
    """

    equations: RidgeState
    pending: Float[Array, "row"]
    smoothing: Smoothing


def seasonal_init(config: PredictorConfig) -> SeasonalState | tuple[()]:
    """State before the first tick; nothing at all without season slots."""
    if not config.season_slots:
        return ()
    width, sets = 1 + FILTER_LAGS + config.season_slots * (len(NEIGHBOURS) + 1), len(RATES)
    return SeasonalState(
        equations=ridge_init(width),
        pending=jnp.zeros(width),
        smoothing=Smoothing(
            unit=jnp.ones(()),
            level=jnp.zeros(sets),
            indices=jnp.zeros((sets, config.season_slots, config.season_capacity)),
            error=jnp.zeros(sets),
            product=jnp.zeros(sets),
            power=jnp.zeros(sets),
        ),
    )


def seasonal_forecasts(
    config: PredictorConfig, state: SeasonalState, inputs: KernelInputs
) -> tuple[SeasonalState, Float[Array, "expert"]]:
    """Forecasts of the next increment by the filter and by each smoothing [units of s_t].

    The filter's equations have taken in the realised increment; the smoothing takes in the newest value here.
    """
    newest = inputs.path[::-1]
    increments = jnp.clip(newest[:FILTER_LAGS] - newest[1 : FILTER_LAGS + 1], -LAG_BOUND, LAG_BOUND)
    row = jnp.concatenate([jnp.ones(1), increments, inputs.season.rows.reshape(-1)])
    filtered = ridge_solve(state.equations, config.hilbert_filter_ridge) @ row
    smoothing, smoothed = _smooth(state.smoothing, inputs, inputs.season)
    return SeasonalState(state.equations, row, smoothing), jnp.concatenate([filtered[None], smoothed])


def _smooth(state: Smoothing, inputs: KernelInputs, season: SeasonInputs) -> tuple[Smoothing, Float[Array, "rates"]]:
    """Additive smoothing of level and seasons, with the AR(1) error estimated as it goes.

    An imputed tick moves level and index with the deviation that its forecast carries on: an index that stood still
    there would be a notch among its neighbours a period later (an error of .24 for .18 on a load with one in ten
    missing).  The error's coefficient is not learned from it.

    Source: Taylor (2003), Short-term electricity demand forecasting using double seasonal exponential smoothing.
    """
    period, declared = jnp.maximum(season.periods, 1), season.periods >= 2
    here, following = season.place % period, (season.place + 1) % period
    cycle = season.place // period
    unit = jnp.clip(state.unit * inputs.scale_ratio, 1.0 / LARGEST_UNIT, LARGEST_UNIT)
    # Means while they are young: the level of the first period, an index of its first cycles.
    share = jnp.maximum(RATES[:, 0], jnp.where(season.place < period[0], 1.0 / (season.place + 1.0), 0.0))
    level = jnp.where(season.place == 0, 0.0, state.level + inputs.path[-2] * unit)
    slots = range(len(season.periods))
    index = [jnp.where(declared[k], state.indices[:, k, here[k]], 0.0) for k in slots]
    error = -level - sum(index)
    # Each takes its share of what is left of the error: the second season learns what the first does not know.
    level, left = level + share * error, (1.0 - share) * error
    indices = state.indices
    for k in slots:
        share = jnp.where(declared[k], jnp.maximum(RATES[:, 1 + k], 1.0 / (cycle[k] + 1.0)), 0.0)
        indices = indices.at[:, k, here[k]].set(index[k] + share * left)
        left = (1.0 - share) * left

    settled = (cycle[0] > 0) & inputs.learn
    before, now = state.error / unit, error / unit
    product = jnp.where(settled, ERROR_FORGETTING * state.product + now * before, state.product)
    power = jnp.where(settled, ERROR_FORGETTING * state.power + before * before, state.power)
    carried = jnp.clip(product / (power + LEAST_POWER), 0.0, LARGEST_CARRY) * error
    to_come = sum((jnp.where(declared[k], indices[:, k, following[k]], 0.0) for k in slots), level + carried)
    return Smoothing(unit, level, indices, error, product, power), to_come / unit


def smoothed_ahead(state: Smoothing, season: SeasonInputs, steps: tuple[int, ...]) -> Float[Array, "step rates"]:
    """Increments to any number of ticks ahead by each smoothing [units of s_t]: level, indices, what is left of the error.

    Args:
        state: which has taken in the newest value.
        season: of the newest tick.
        steps: ticks ahead.
    """
    period, declared = jnp.maximum(season.periods, 1), season.periods >= 2
    ahead = np.array(steps)
    indices = [
        jnp.where(declared[k], state.indices[:, k, (season.place + ahead) % period[k]], 0.0)
        for k in range(len(season.periods))
    ]
    carried = _carry(state)[:, None] ** ahead * state.error[:, None]
    return ((state.level[:, None] + carried + sum(indices)) / state.unit).T


def _carry(state: Smoothing) -> Float[Array, "rates"]:
    """Share of an error that the next tick still has."""
    return jnp.clip(state.product / (state.power + LEAST_POWER), 0.0, LARGEST_CARRY)
