"""Experts of kernel A that see the seasons: a small seasonal filter, and double seasonal exponential smoothing.

What one step of memory cannot see, a season does: 48 lags are blind to a week of half-hours.  The filter is small: with
the neighbourhoods of a period ago eight lags do as well as forty-eight.  The smoothing is O(1) a tick for each of a few
sets of rates, so that none has to be fitted.  When the periods change, both start from what the frame's ring holds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ....array_types import Array, Count, Flag, Float, Int, Scalar
from ....config.schema import PredictorConfig
from ...cadence import Sparing, most_of_batch, on_stride, where_due
from ..base import NEIGHBOURS, KernelInputs, SeasonInputs
from ..regression import RidgeState, ridge_init, ridge_learn, ridge_solve

FILTER_LAGS = 8
FORGETTING = 0.9995
LAG_BOUND, TARGET_BOUND, LARGEST_TARGET = 100.0, 6.0, 1e3
# Rates of the smoothed level and of the indices of the two seasons: a level that stands with a week that moves and with
# one that hardly does (of rate 0 is a mean), and levels that wander.
RATES = np.array([(0.003, 0.1, 0.4), (0.003, 0.0, 0.05), (0.1, 0.4, 0.1), (0.3, 0.3, 0.3)])
ERROR_FORGETTING, LEAST_POWER, LARGEST_CARRY = 0.998, 1e-6, 0.99
LARGEST_UNIT = 1e150
LARGEST_RESPONSE = 1e3
EXPERTS = 1 + len(RATES)
# Ticks between two solves of the filter; while it is young it is solved at every tick.
FILTER_STRIDE, SETTLED = 4, 128
# A season that is found is given up where the mean weight of its experts, over so many ticks, falls below the least.
WORTH_RATE, FIRST_WORTH, LEAST_WORTH = 1.0 / 256, 0.25, 0.02


class Smoothing(NamedTuple):
    """Level, seasonal indices and error of each set of rates.

    Attributes:
        unit: s_t over s of the first tick: what is kept is counted in the latter, so that no index has to be moved when
            the scale does.
        level: level - y_t.
        indices: of each set of rates those of the first season by place modulo its period, after them those of the
            second; one is 0 before its place has come.
        error: e_t, what level and indices left of the newest value.
        product, power: discounted sums of e_t e_{t-1} and e_{t-1}^2, whose ratio carries the error over to the next
            tick.
        start: place of the first value that was smoothed.
    """

    unit: Scalar
    level: Float[Array, "rates"]
    indices: Sparing
    error: Float[Array, "rates"]
    product: Float[Array, "rates"]
    power: Float[Array, "rates"]
    start: Count


class SeasonalState(NamedTuple):
    """What the seasonal experts carry.

    Attributes:
        equations: normal equations of the seasonal filter.
        pending: the row behind its forecast that is out.
        coefficients: of the filter when it was last solved.
        response: what one unit in the newest value is after each tick, up to the longest horizon, in the filter fed
            back on its own forecasts; empty without a ladder.
        smoothing: exponential smoothing for each set of rates.
        forecasts: the forecasts that are out [units of s_t].
        score, slow_score: discounted log scores, of which kernel A holds those of the other experts.
        worth: slow mean of the weight that kernel A gives to them all.
    """

    equations: RidgeState
    pending: Float[Array, "row"]
    coefficients: Float[Array, "row"]
    response: Float[Array, "ahead"]
    smoothing: Smoothing
    forecasts: Float[Array, "seasonal"]
    score: Float[Array, "seasonal"]
    slow_score: Float[Array, "seasonal"]
    worth: Scalar


def seasonal_init(config: PredictorConfig) -> SeasonalState | tuple[()]:
    """State before the first tick; nothing at all without season slots."""
    if not config.season_slots:
        return ()
    width = 1 + FILTER_LAGS + config.season_slots * (len(NEIGHBOURS) + 1)
    return SeasonalState(
        equations=ridge_init(width),
        pending=jnp.zeros(width),
        coefficients=jnp.zeros(width),
        response=jnp.zeros(config.steps[-1] if config.ladder else 0),
        smoothing=_smoothing_init(config.season_capacity // 2),
        forecasts=jnp.zeros(EXPERTS),
        score=jnp.zeros(EXPERTS),
        slow_score=jnp.zeros(EXPERTS),
        worth=jnp.full((), FIRST_WORTH, float),
    )


def _smoothing_init(room: int) -> Smoothing:
    sets = len(RATES)
    return Smoothing(
        unit=jnp.ones(()),
        level=jnp.zeros(sets),
        indices=Sparing(jnp.zeros((sets, room))),
        error=jnp.zeros(sets),
        product=jnp.zeros(sets),
        power=jnp.zeros(sets),
        start=jnp.zeros((), jnp.int64),
    )


def seasonal_awake(state: SeasonalState, season: SeasonInputs) -> Flag:
    """Whether the experts are asked: a season has been seen, and it is declared or its experts have earned a weight."""
    return jnp.any(season.awake) & (season.declared | season.begun | (state.worth >= LEAST_WORTH))


def seasonal_learn(state: SeasonalState, increment: Scalar, learn: Flag) -> SeasonalState:
    """The realised increment taken into the filter's equations."""
    return state._replace(equations=learn_row(state.equations, state.pending, increment, FORGETTING, learn))


def learn_row(
    equations: RidgeState, row: Float[Array, "k"], increment: Scalar, forgetting: Scalar | float, learn: Flag
) -> RidgeState:
    """Take a row in with a weight that bounds its influence; both sides shrink alike, so the filter stays linear."""
    target = jnp.clip(increment, -LARGEST_TARGET, LARGEST_TARGET)
    size = jnp.maximum(jnp.abs(target), jnp.max(jnp.abs(row[2:])))
    weight = jnp.minimum(1.0, TARGET_BOUND / jnp.maximum(size, TARGET_BOUND))
    return ridge_learn(equations, row * weight, target * weight, forgetting, learn)


def seasonal_forecasts(
    config: PredictorConfig, state: SeasonalState, inputs: KernelInputs
) -> tuple[SeasonalState, Float[Array, "seasonal"]]:
    """Forecasts of the next increment by the filter and by each smoothing [units of s_t].

    The filter's equations have taken in the realised increment; the smoothing takes in the newest value here.  Without
    a period nothing is computed.
    """
    season: SeasonInputs = inputs.season
    state = _begun(state, inputs)
    newest = inputs.path[::-1]
    increments = jnp.clip(newest[:FILTER_LAGS] - newest[1 : FILTER_LAGS + 1], -LAG_BOUND, LAG_BOUND)
    row = jnp.concatenate([jnp.ones(1), increments, season.rows.reshape(-1)])
    ticking = jnp.any(season.periods >= 2)
    smoothing, entries = state.smoothing, state.smoothing.indices.entries
    here, following = _places(season.periods, season.place)

    def smooth(*leaves: Array) -> tuple[Smoothing, Float[Array, "rates"]]:
        now, later, drop, ratio, learn, periods, place = jax.tree.unflatten(structure, leaves)
        unit = jnp.clip(now.unit * ratio, 1.0 / LARGEST_UNIT, LARGEST_UNIT)
        new, to_come = _smooth(now, later, drop * unit, unit, learn, periods, place)
        return new, to_come / unit

    def hold(*leaves: Array) -> tuple[Smoothing, Float[Array, "rates"]]:
        return jax.tree.unflatten(structure, leaves)[0], jnp.zeros(len(RATES))

    now = smoothing._replace(indices=Sparing(entries[:, here]))
    clock = (season.periods, season.place)
    leaves, structure = jax.tree.flatten(
        (now, entries[:, following], inputs.path[-2], inputs.scale_ratio, inputs.learn, *clock)
    )
    new, smoothed = where_due(ticking, smooth, hold, *leaves)
    written = jnp.where(season.taken, new.indices.entries, entries[:, here])
    smoothing = new._replace(indices=Sparing(entries.at[:, here].set(written)))

    due = ticking & (season.begun | season.woken | on_stride(inputs.ticks, FILTER_STRIDE, SETTLED))
    reach = state.response.shape[0]

    def solve(ridge: Scalar, periods: Array, held: Array, response: Array, *equations: Array) -> tuple[Array, Array]:
        coefficients = ridge_solve(RidgeState(*equations), ridge)
        return coefficients, impulse_response(lag_coefficients(coefficients, periods, reach))

    coefficients, response = where_due(
        due,
        solve,
        lambda ridge, periods, held, response, *equations: (held, response),
        jnp.asarray(config.hilbert_filter_ridge, float),
        _seen(season),
        state.coefficients,
        state.response,
        *state.equations,
    )
    state = state._replace(pending=row, coefficients=coefficients, response=response, smoothing=smoothing)
    return state, jnp.concatenate([(coefficients @ row)[None], smoothed])


def _seen(season: SeasonInputs) -> Int[Array, "slot"]:
    """Periods that the filter's rows read, 0 of a slot that sleeps."""
    return jnp.where(season.awake, season.periods, 0)


def _of_slots(
    coefficients: Float[Array, "row"], periods: Int[Array, "slot"]
) -> tuple[Float[Array, "slot offset"], Float[Array, "slot"]]:
    """Coefficients of the values -1, 0, 1, ... places after the one a period ago, and of the newest one."""
    own = coefficients[1 + FILTER_LAGS :].reshape(periods.shape[0], -1)
    own = jnp.where((periods >= 2)[:, None], own, 0.0)
    about, newest = own[:, :-1], own[:, -1]
    offsets = np.arange(min(NEIGHBOURS), max(NEIGHBOURS) + 1)
    there = jnp.minimum(np.array(NEIGHBOURS)[None, :], jnp.maximum(periods, 2)[:, None])
    table = jnp.sum(jnp.where(there[:, :, None] == offsets[None, None, :], about[:, :, None], 0.0), axis=1)
    return table - jnp.where(offsets == 0, 1.0, 0.0)[None, :] * jnp.sum(own, axis=1)[:, None], newest


def lag_coefficients(
    coefficients: Float[Array, "row"], periods: Int[Array, "slot"], reach: int
) -> Float[Array, "ahead"]:
    """Coefficients of the values 1, 2, ... ticks ago in the filter's forecast of the next value, up to `reach`."""
    lag = np.arange(1, reach + 1)
    increments = jnp.concatenate([coefficients[1 : FILTER_LAGS + 1], jnp.zeros(max(reach - FILTER_LAGS, 0))])[:reach]
    table, newest = _of_slots(coefficients, periods)
    total = increments - jnp.concatenate([jnp.zeros(1), increments[:-1]])
    total = total + jnp.where(lag == 1, 1.0 + jnp.sum(newest), 0.0)
    for place, offset in enumerate(range(min(NEIGHBOURS), max(NEIGHBOURS) + 1)):
        there = lag[None, :] == (periods + 1 - offset)[:, None]
        total = total + jnp.sum(jnp.where(there, table[:, place, None], 0.0), axis=0)
    return total


def impulse_response(lags: Float[Array, "ahead"]) -> Float[Array, "ahead"]:
    """Power series of 1 / (1 - sum c_l z^l): what one unit is after 0, 1, 2, ... ticks."""
    reach = lags.shape[0]
    if not reach:
        return lags

    def further(_: Any, newest_first: Float[Array, "ahead"]) -> Float[Array, "ahead"]:
        following = jnp.clip(lags @ newest_first, -LARGEST_RESPONSE, LARGEST_RESPONSE)
        return jnp.concatenate([following[None], newest_first[:-1]])

    start = jnp.zeros(reach).at[0].set(1.0)
    return lax.fori_loop(0, reach - 1, further, start)[::-1]


def fed_back(state: SeasonalState, inputs: KernelInputs, steps: tuple[int, ...]) -> Float[Array, "step"]:
    """Increments to any number of ticks ahead by the filter fed back on its own forecasts [units of s_t].

    What is known at each tick ahead, the newest increments and the neighbourhoods of a period ago, drives a linear
    recursion, so that the path is the product of its impulse response with what drives it.

    Args:
        state: which has taken in the newest value.
        inputs: of the newest tick.
        steps: ticks ahead, rising.
    """
    season: SeasonInputs = inputs.season
    reach, periods, capacity = max(steps), _seen(season), season.ring.shape[0]
    coefficients = state.coefficients
    table, _ = _of_slots(coefficients, periods)
    # The newest increments are lags of the first ticks ahead alone.
    lags = np.arange(FILTER_LAGS)
    ahead = lags[:, None] + lags[None, :]
    hankel = jnp.where(ahead < FILTER_LAGS, coefficients[1 + np.minimum(ahead, FILTER_LAGS - 1)], 0.0)
    drive = hankel @ state.pending[1 : FILTER_LAGS + 1]
    drive = jnp.concatenate([drive, jnp.zeros(max(reach - FILTER_LAGS, 0))])[:reach] + coefficients[0]
    low, high = min(NEIGHBOURS), max(NEIGHBOURS)
    place = np.arange(low, reach + high)[None, :] - periods[:, None]
    values = season.ring[(season.place + place) % capacity] - season.ring[season.place % capacity]
    values = jnp.where(place <= 0, jnp.clip(values / season.unit, -LARGEST_TARGET, LARGEST_TARGET), 0.0)
    for offset in range(high - low + 1):
        drive = drive + jnp.sum(table[:, offset, None] * values[:, offset : offset + reach], axis=0)
    gap = np.array(steps)[:, None] - 1 - np.arange(reach)[None, :]
    return jnp.where(gap >= 0, state.response[np.maximum(gap, 0)], 0.0) @ drive


def _places(periods: Int[Array, "slot"], place: Count) -> tuple[Int[Array, "slot"], Int[Array, "slot"]]:
    """Where the indices of a place and of the one after it stand."""
    usable = jnp.maximum(periods, 1)
    start = jnp.cumsum(usable) - usable
    return start + place % usable, start + (place + 1) % usable


def _smooth(
    state: Smoothing,
    later: Float[Array, "rates slot"],
    drop: Scalar,
    unit: Scalar,
    learn: Flag,
    periods: Int[Array, "slot"],
    place: Count,
) -> tuple[Smoothing, Float[Array, "rates"]]:
    """Additive smoothing of level and seasons, with the AR(1) error estimated as it goes.

    An imputed tick moves level and index with the deviation that its forecast carries on: an index that stood still
    there would be a notch among its neighbours a period later (an error of .24 for .18 on a load with one in ten
    missing).  The error's coefficient is not learned from it.

    Args:
        state: with the indices of this place alone.
        later: indices of the place to come.
        drop: y_{t-1} - y_t, in the unit of what is kept.
        unit: s_t in that unit.
        learn: whether the error's coefficient is learned.
        periods, place: of the seasons, of y_t.

    Returns:
        The state with the new indices of this place, and the next increment in the unit of what is kept.

    Source: Taylor (2003), Short-term electricity demand forecasting using double seasonal exponential smoothing.
    """
    period, used = jnp.maximum(periods, 1), periods >= 2
    seen = place - state.start
    cycle = seen // period
    # Means while they are young: the level of the first period, an index of its first cycles.
    share = jnp.maximum(RATES[:, 0], jnp.where(seen < period[0], 1.0 / (seen + 1.0), 0.0))
    level = jnp.where(seen == 0, 0.0, state.level + drop)
    slots = range(periods.shape[0])
    index = [jnp.where(used[k] & (cycle[k] > 0), state.indices.entries[:, k], 0.0) for k in slots]
    error = -level - sum(index)
    # Each takes its share of what is left of the error: the second season learns what the first does not know.
    level, left = level + share * error, (1.0 - share) * error
    indices = []
    for k in slots:
        share = jnp.where(used[k], jnp.maximum(RATES[:, 1 + k], 1.0 / (cycle[k] + 1.0)), 0.0)
        indices.append(index[k] + share * left)
        left = (1.0 - share) * left

    settled = (cycle[0] > 0) & learn
    before, now = state.error / unit, error / unit
    product = jnp.where(settled, ERROR_FORGETTING * state.product + now * before, state.product)
    power = jnp.where(settled, ERROR_FORGETTING * state.power + before * before, state.power)
    carried = _carry(product, power) * error
    known = used & (seen + 1 >= period)
    to_come = sum((jnp.where(known[k], later[:, k], 0.0) for k in slots), level + carried)
    return Smoothing(unit, level, Sparing(jnp.stack(indices, axis=1)), error, product, power, state.start), to_come


def _begun(state: SeasonalState, inputs: KernelInputs) -> SeasonalState:
    """The state that has learned the ring's past anew where the periods have just changed.

    So does the filter alone where enough of a period has been seen for its rows: what it learned without them would
    stand in their way for thousands of ticks.  Both take in the ring's values up to the one before the newest, in the
    newest tick's unit.  Where nothing has changed in a whole batch, the loop over the ring does not go round once.
    """
    season: SeasonInputs = inputs.season
    begun, periods, place = season.begun & season.taken, season.periods, season.place
    # The filter knows nothing of a slot that slept.
    anew = (season.begun | season.woken) & season.taken
    capacity, slots = season.ring.shape[0], periods.shape[0]
    first = jnp.maximum(place - capacity + 1, 0)
    usable = jnp.maximum(periods, 2)
    ahead = jnp.minimum(np.array((0, *NEIGHBOURS))[None, :], usable[:, None])
    # Rows before it would reach beyond the ring.
    whole = first + jnp.maximum(jnp.max(_seen(season)), FILTER_LAGS) + 1

    def change(at: Int[Array, "..."], since: Int[Array, "..."]) -> Float[Array, "..."]:
        return (season.ring[at % capacity] - season.ring[since % capacity]) / season.unit

    def row_at(at: Count) -> Float[Array, "row"]:
        lags = change(at - np.arange(FILTER_LAGS), at - np.arange(1, FILTER_LAGS + 1))
        then = (at - usable)[:, None]
        about = jnp.concatenate([then + ahead[:, 1:], jnp.broadcast_to(at, (slots, 1))], axis=1)
        rows = jnp.where(season.awake[:, None], change(about, then), 0.0)
        return jnp.concatenate(
            [jnp.ones(1), jnp.clip(jnp.concatenate([lags, rows.reshape(-1)]), -LAG_BOUND, LAG_BOUND)]
        )

    def advance(k: Count, carried: tuple[RidgeState, Smoothing]) -> tuple[RidgeState, Smoothing]:
        equations, smoothing = carried
        at = place - capacity + 1 + k
        drop = jnp.clip(change(at - 1, at), -LARGEST_TARGET, LARGEST_TARGET)
        equations = learn_row(equations, row_at(at - 1), -drop, FORGETTING, anew & (at > whole))
        here, following = _places(periods, at)
        entries = smoothing.indices.entries
        now = smoothing._replace(indices=Sparing(entries[:, here]))
        new, _ = _smooth(now, entries[:, following], drop, jnp.ones(()), at > first, periods, at)
        new = jax.tree.map(lambda a, b: jnp.where(begun & (at >= first), a, b), new, now)
        return equations, new._replace(indices=Sparing(entries.at[:, here].set(new.indices.entries)))

    width = state.pending.shape[0]
    equations = jax.tree.map(lambda a, b: jnp.where(anew, a, b), ridge_init(width), state.equations)
    fresh = _smoothing_init(0)._replace(start=first)
    held = state.smoothing._replace(indices=fresh.indices)
    smoothing = jax.tree.map(lambda a, b: jnp.where(begun, a, b), fresh, held)
    smoothing = smoothing._replace(indices=state.smoothing.indices)
    rounds = most_of_batch(jnp.where(anew, capacity - 1, 0))
    equations, smoothing = lax.fori_loop(0, rounds, advance, (equations, smoothing))
    smoothing = smoothing._replace(unit=jnp.where(begun, 1.0 / inputs.scale_ratio, smoothing.unit))
    worth = jnp.where(season.begun, FIRST_WORTH, state.worth)
    return state._replace(equations=equations, smoothing=smoothing, worth=worth)


def smoothed_ahead(state: Smoothing, season: SeasonInputs, steps: tuple[int, ...]) -> Float[Array, "step rates"]:
    """Increments to any number of ticks ahead by each smoothing [units of s_t].

    Args:
        state: which has taken in the newest value.
        season: of the newest tick.
        steps: ticks ahead.
    """
    usable, used, ahead = jnp.maximum(season.periods, 1), season.periods >= 2, np.array(steps)
    start = jnp.cumsum(usable) - usable
    # Of a place that has not come yet nothing is known.
    seen = season.place - state.start
    indices = []
    for k in range(usable.shape[0]):
        come = used[k] & (seen + ahead >= usable[k])
        there = state.indices.entries[:, start[k] + (season.place + ahead) % usable[k]]
        indices.append(jnp.where(come[None, :], there, 0.0))
    carried = _carry(state.product, state.power)[:, None] ** ahead[None, :] * state.error[:, None]
    return ((state.level[:, None] + carried + sum(indices)) / state.unit).T


def _carry(product: Float[Array, "rates"], power: Float[Array, "rates"]) -> Float[Array, "rates"]:
    """Share of an error that the next tick still has."""
    return jnp.clip(product / (power + LEAST_POWER), 0.0, LARGEST_CARRY)
