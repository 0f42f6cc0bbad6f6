"""Experts of kernel A beyond the next tick, aggregated at each horizon by what came due.

A filter fed back h times is linear in the same row, so that its forecast at h is a product with coefficients that are
computed once for a solve.  Beside a few orders of it stand the martingale, a regression fitted to each horizon, the
seasonal filter fed back, and the seasonal smoothings, which know every place of a period.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ....array_types import Array, Bool, Count, Float
from ....config.schema import PredictorConfig
from ..base import KernelInputs, along_ladder, borrowed_record, into_slots, record_pace, slot_count
from ..regression import RidgeState, ridge_init, ridge_learn
from .seasonal import EXPERTS, fed_back, smoothed_ahead

RECURSIVE_ORDERS = (2, 4, 12)
DIRECT_LAGS = 6
DIRECT_FORGETTING = 0.9995
# Places about the target's, a whole number of periods before it.
AROUND = (-1, 0, 1)
ROW_BOUND, WAY_BOUND = 6.0, 1000.0
LARGEST_COEFFICIENT = 1e3
WALK, TREND, FARTHER = 3.0, 1.5, 1.5
COVARIATE_PLACE = 1  # of the covariates' expert, after the martingale
# Steps ahead that are written out; more are a loop, which compiles faster.
MOST_UNROLLED = 12


class Explained(NamedTuple):
    """What the covariates' expert says.

    Attributes:
        mean: increments to each step [units of s_t].
        asked: whether all covariates of it are known, and the expert has learned enough.
    """

    mean: Float[Array, "step"]
    asked: Bool[Array, "step"]


class LadderState(NamedTuple):
    """What the experts of the longer horizons carry.

    Attributes:
        forecasts: that are out, in the slots of `HorizonInputs` [units of s_t].
        score: discounted log score of each expert at each horizon.
        variance: winsorised EMA of the squared error of the aggregate [units of s_t squared].
        count: errors that have come due.
        rows: features behind the direct regressions' forecasts, in the same slots.
        direct: normal equations of the increment to each horizon, stacked.
    """

    forecasts: Float[Array, "slot expert"]
    score: Float[Array, "horizon expert"]
    variance: Float[Array, "horizon"]
    count: Float[Array, "horizon"]
    rows: Float[Array, "slot k"]
    direct: RidgeState


def expert_count(config: PredictorConfig, orders: int) -> int:
    """The martingale, the recursive orders, the direct regression; with covariates, and with season slots, theirs."""
    return 2 + orders + bool(config.effects) + (EXPERTS if config.season_slots else 0)


def direct_width(config: PredictorConfig) -> int:
    """Features of the direct regressions."""
    return 2 + DIRECT_LAGS + config.season_slots * (len(AROUND) + 1)


def ladder_init(config: PredictorConfig, orders: int) -> LadderState | tuple[()]:
    """State before the first tick; nothing without a horizon beyond the next tick."""
    ladder = config.ladder
    if not ladder:
        return ()
    many, slots, experts, k = len(ladder), slot_count(ladder), expert_count(config, orders), direct_width(config)
    return LadderState(
        forecasts=jnp.zeros((slots, experts)),
        score=jnp.zeros((many, experts)),
        variance=jnp.asarray(np.array(ladder), float),
        count=jnp.zeros(many),
        rows=jnp.zeros((slots, k)),
        direct=jax.tree.map(lambda leaf: jnp.repeat(leaf[None], many, axis=0), ridge_init(k)),
    )


def recursive_orders(orders: tuple[int, ...]) -> tuple[int, ...]:
    """Places of the orders that are fed back: a few short ones and the longest."""
    return tuple(k for k, order in enumerate(orders) if order in RECURSIVE_ORDERS or k == len(orders) - 1)


def recursive_coefficients(filters: Float[Array, "order k"], steps: tuple[int, ...]) -> Float[Array, "order step k"]:
    """Coefficients at any number of ticks of filters of the next increment fed back on their own forecasts.

    With the row x = (1, level, increments) and d = c'x, the next row is A x, in which level and newest increment take d
    in and the others move on; so s_{h+1} = c + A's_h is the coefficient of the increment over h + 1 ticks.

    Args:
        filters: c of each order, zero beyond it.
        steps: ticks ahead, rising.
    """

    def further(_: Count, s: Float[Array, "order k"]) -> Float[Array, "order k"]:
        moved = jnp.concatenate([s[:, :2], s[:, 3:], jnp.zeros_like(s[:, :1])], axis=1)
        return jnp.clip(filters * (1.0 + s[:, 1:2] + s[:, 2:3]) + moved, -LARGEST_COEFFICIENT, LARGEST_COEFFICIENT)

    if len(steps) > MOST_UNROLLED:

        def every(s: Float[Array, "order k"], _: None) -> tuple[Float[Array, "order k"], Float[Array, "order k"]]:
            s = further(jnp.zeros((), jnp.int64), s)
            return s, s

        _, path = jax.lax.scan(every, jnp.zeros_like(filters), None, length=max(steps))
        return jnp.moveaxis(path[np.array(steps) - 1], 0, 1)
    s, found = jnp.zeros_like(filters), []
    for gap in np.diff(steps, prepend=0):
        s = jax.lax.fori_loop(0, int(gap), further, s)
        found.append(s)
    return jnp.stack(found, axis=1)


def direct_rows(
    config: PredictorConfig, inputs: KernelInputs, row: Float[Array, "slow"], steps: tuple[int, ...]
) -> Float[Array, "step k"]:
    """Features of the increment to each step: intercept, level, newest increments, and of each season what it did.

    Of a season that is the way from the value a whole number of periods ago, the least that the target's neighbours lie
    in the past of, to the places about the target's, and from there to the newest value; zero while it sleeps.
    """
    common = jnp.clip(row[: DIRECT_LAGS + 2], -WAY_BOUND, WAY_BOUND)
    common = jnp.broadcast_to(common, (len(steps), DIRECT_LAGS + 2))
    if not config.season_slots:
        return common
    season, ahead = inputs.season, np.array(steps)
    columns, capacity = [common], season.ring.shape[0]
    for k in range(config.season_slots):
        period = jnp.maximum(season.periods[k], 2)
        # Where more periods do not fit, neighbours of the target are those of a period before.
        back = period * -(-(ahead + 1) // period)
        back = jnp.where(back + 1 < capacity, back, period)
        around = jnp.minimum(ahead[:, None] + np.array(AROUND)[None, :], back[:, None])
        start = season.place - back
        values = season.ring[jnp.concatenate([start[:, None] + around, start[:, None]], axis=1) % capacity]
        newest = season.ring[season.place % capacity]
        ways = jnp.concatenate([values[:, :-1] - values[:, -1:], newest - values[:, -1:]], axis=1) / season.unit
        columns.append(jnp.where(season.awake[k], jnp.clip(ways, -WAY_BOUND, WAY_BOUND), 0.0))
    return jnp.concatenate(columns, axis=1)


def _learn_direct(state: LadderState, inputs: KernelInputs, ladder: tuple[int, ...]) -> RidgeState:
    """Take in the outcomes that are due, each with a weight that bounds its influence."""
    due, bound = inputs.horizon, ROW_BOUND * np.sqrt(np.array(ladder, float))
    held = state.rows[due.slot]
    size = jnp.maximum(jnp.max(jnp.abs(held[:, 2:]), axis=1), jnp.abs(due.increment))
    share = bound / jnp.maximum(size, bound)
    learn = jax.vmap(ridge_learn, in_axes=(0, 0, 0, None, 0))
    return learn(state.direct, held * share[:, None], due.increment * share, DIRECT_FORGETTING, due.learn)


def ladder_learn(
    config: PredictorConfig,
    state: LadderState,
    inputs: KernelInputs,
    row: Float[Array, "slow"],
    awake: Bool[Array, ""] | None,
) -> LadderState:
    """Score and learn from what came due; today's rows wait.

    Args:
        row: of the long filter at the newest tick.
        awake: whether a season is believed, None without season slots.
    """
    state = _score_due(config, state, inputs, awake)
    direct, held = of_these_periods(config, inputs, state.direct, state.rows)
    state = state._replace(direct=direct, rows=held)
    rows = into_slots(state.rows, inputs.horizon.slot, direct_rows(config, inputs, row, config.ladder), config.ladder)
    return state._replace(direct=_learn_direct(state, inputs, config.ladder), rows=rows)


def of_these_periods(
    config: PredictorConfig, inputs: KernelInputs, equations: RidgeState, rows: Float[Array, "row column"]
) -> tuple[RidgeState, Float[Array, "row column"]]:
    """Stacked equations and rows that begin as `direct_rows` do, without what was learned of other periods."""
    if not config.season_slots:
        return equations, rows

    def kept(width: int) -> Bool[Array, "column"]:
        column = np.arange(width)
        return ((column < DIRECT_LAGS + 2) | (column >= direct_width(config))) | ~inputs.season.begun

    same = kept(equations.moment.shape[-1])
    equations = equations._replace(
        gram=jnp.where((same[:, None] & same[None, :])[None], equations.gram, 0.0),
        moment=jnp.where(same[None, :], equations.moment, 0.0),
    )
    return equations, jnp.where(kept(rows.shape[-1])[None, :], rows, 0.0)


def ladder_step(
    config: PredictorConfig,
    state: LadderState,
    inputs: KernelInputs,
    row: Float[Array, "slow"],
    recursive: Float[Array, "order horizon slow"],
    direct: Float[Array, "horizon k"],
    seasonal: Any,
    awake: Bool[Array, ""] | None,
    explained: Explained | None,
) -> tuple[LadderState, Float[Array, "horizon"]]:
    """Forecast every horizon and aggregate.

    Args:
        row: of the long filter at the newest tick.
        recursive, direct: coefficients at each horizon.
        seasonal: `SeasonalState`, or nothing.
        awake: whether a season is believed, None without season slots.
        explained: what the covariates say, None without them.
    """
    fitted = jnp.sum(direct * state.rows[inputs.horizon.slot], axis=1)
    forecasts = _forecasts(config, inputs, row, recursive, fitted, seasonal, config.ladder)
    if explained is not None:
        forecasts = explained_beside(forecasts, state.score, _experts_awake(state, awake), explained, COVARIATE_PLACE)
    forecasts_out = into_slots(state.forecasts, inputs.horizon.slot, forecasts, config.ladder)
    state = state._replace(forecasts=forecasts_out)
    return state, jnp.sum(_weights(config, state, awake) * forecasts, axis=1)


def ladder_ahead(
    config: PredictorConfig,
    state: LadderState,
    inputs: KernelInputs,
    row: Float[Array, "slow"],
    recursive: Float[Array, "order step slow"],
    direct: Float[Array, "horizon k"],
    seasonal: Any,
    awake: Bool[Array, ""] | None,
    steps: tuple[int, ...],
    explained: Explained | None,
) -> Float[Array, "step"]:
    """The aggregate at any number of ticks ahead; weights and direct coefficients between those of the ladder."""

    def between(table: Float[Array, "horizon column"]) -> Float[Array, "step column"]:
        return jax.vmap(lambda column: along_ladder(column, config.ladder, steps), in_axes=1, out_axes=1)(table)

    fitted = jnp.sum(between(direct) * direct_rows(config, inputs, row, steps), axis=1)
    forecasts = _forecasts(config, inputs, row, recursive, fitted, seasonal, steps)
    if explained is not None:
        score = between(state.score)
        forecasts = explained_beside(forecasts, score, _experts_awake(state, awake), explained, COVARIATE_PLACE)
    return jnp.sum(between(_weights(config, state, awake)) * forecasts, axis=1)


def explained_beside(
    forecasts: Float[Array, "step expert"],
    score: Float[Array, "step expert"],
    awake: Bool[Array, "expert"] | None,
    explained: Explained,
    place: int,
) -> Float[Array, "step expert"]:
    """The experts' forecasts with those of the covariates; where these are not asked they say what the others do.

    So they share the others' fortune when it comes due, and no covariate is needed for the aggregate.

    Args:
        forecasts: anything at `place`.
        score: discounted log scores.
        awake: which of them are asked, None for all.
        explained: what the covariates say.
        place: of their expert.
    """
    own = np.arange(score.shape[1]) == place
    others = jnp.asarray(~own) if awake is None else ~own & awake
    weight = jax.nn.softmax(score, axis=1, where=others[None, :])
    mean = jnp.sum(jnp.where(own[None, :], 0.0, weight * forecasts), axis=1)
    return jnp.where(own[None, :], jnp.where(explained.asked, explained.mean, mean)[:, None], forecasts)


def _experts_awake(state: LadderState, awake: Bool[Array, ""] | None) -> Bool[Array, "expert"] | None:
    many = state.score.shape[1]
    return None if awake is None else jnp.asarray(np.arange(many) < many - EXPERTS) | awake


def _weights(
    config: PredictorConfig, state: LadderState, awake: Bool[Array, ""] | None
) -> Float[Array, "horizon expert"]:
    asked = _experts_awake(state, awake)
    score = borrowed_record(state.score, state.count, config.ladder)
    return jax.nn.softmax(score, axis=1, where=None if asked is None else asked[None, :])


def _forecasts(
    config: PredictorConfig,
    inputs: KernelInputs,
    row: Float[Array, "slow"],
    recursive: Float[Array, "order step slow"],
    fitted: Float[Array, "step"],
    seasonal: Any,
    steps: tuple[int, ...],
) -> Float[Array, "step expert"]:
    columns = [jnp.zeros((len(steps), 1)), (recursive @ row).T, fitted[:, None]]
    filters = 1 + len(recursive) + bool(config.effects)
    if config.effects:
        columns.insert(COVARIATE_PLACE, jnp.zeros((len(steps), 1)))
    if config.season_slots:
        columns += [
            fed_back(seasonal, inputs, steps)[:, None],
            smoothed_ahead(seasonal.smoothing, inputs.season, steps),
        ]
    forecasts = jnp.concatenate(columns, axis=1)
    return _held(inputs, forecasts, filters, steps)


def _held(
    inputs: KernelInputs, forecasts: Float[Array, "step expert"], filters: int, steps: tuple[int, ...]
) -> Float[Array, "step expert"]:
    """Forecasts within the window's range, what a random walk adds to it and what its trend may.

    Those of the first `filters` experts lie no further off than the window has moved in as many ticks, for a young
    filter fed back may explode; the others' too, where the window shows the seasons whole.
    """
    path, size, ahead = inputs.path, inputs.path.shape[0], np.array(steps)
    low, high = jnp.min(path), jnp.max(path)
    margin = (WALK * np.sqrt(ahead) + TREND * ahead * (high - low) / inputs.count)[:, None]
    earlier = np.arange(size)[None, :] - ahead[:, None]
    ways = jnp.where(earlier >= size - inputs.count, jnp.abs(path[None, :] - path[np.maximum(earlier, 0)]), 0.0)
    reach = FARTHER * jnp.max(ways, axis=1)[:, None]
    if inputs.season:
        whole = (np.arange(forecasts.shape[1]) < filters) | jnp.all(2 * inputs.season.periods <= size)
        reach = jnp.where(whole[None, :], reach, jnp.inf)
    return jnp.clip(forecasts, jnp.maximum(low - margin, -reach), jnp.minimum(high + margin, reach))


def _score_due(
    config: PredictorConfig, state: LadderState, inputs: KernelInputs, awake: Bool[Array, ""] | None
) -> LadderState:
    """Student-t log scores of the experts, as those of the next tick but with a longer memory."""
    due, held = inputs.horizon.due, state.forecasts[inputs.horizon.slot]
    pace = record_pace(config.ladder, state.count, config.score_scale_rate, config.hilbert_score_forgetting)
    error = jnp.square(inputs.horizon.increment - jnp.sum(_weights(config, state, awake) * held, axis=1))
    variance = state.variance + pace.rate * (jnp.minimum(error, 16.0 * state.variance) - state.variance)
    scale = 5.0 * state.variance
    loss = 3.0 * jnp.log1p(jnp.square(inputs.horizon.increment[:, None] - held) / scale[:, None])
    own = _experts_awake(state, awake)
    if own is not None:
        # A sleeping expert shares the fortune of the aggregate, and has its record when it wakes.
        loss = jnp.where(own[None, :], loss, 3.0 * jnp.log1p(error / scale)[:, None])
    score = jnp.asarray(pace.forgetting)[:, None] * state.score - loss * pace.share[:, None]
    score = score - jnp.max(score, axis=1, keepdims=True)
    return state._replace(
        score=jnp.where(due[:, None], score, state.score),
        variance=jnp.where(due, jnp.maximum(variance, 1e-12), state.variance),
        count=state.count + due,
    )
