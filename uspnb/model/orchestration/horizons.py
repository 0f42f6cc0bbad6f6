"""Beyond the next tick: errors scored when they come due, a record for each horizon, and the fan under them.

A forecast h ticks ahead is judged h ticks later, at the place on the time grid that it was made for.  Each horizon has
a track record of the kernels, an error scale, weights and conformal quantiles of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr

from ...array_types import Array, Bool, Count, Flag, Float, Scalar
from ...config.schema import PredictorConfig
from ..kernels.base import HorizonInputs, into_slots, record_pace, slot_offsets
from ..state import NEVER, PAST, ForecastState, HorizonState
from .jko import mixture_scale
from .scoring import LARGEST_RATIO, WINSOR, gaussian_quantile, track_quantile

CORRELATION_RATE = 0.01
LARGEST_CORRELATION = 0.9999
NORMAL_BOUND = 4.0


class Due(NamedTuple):
    """What a tick brings to light, for the next tick's forecast and for each horizon.

    Attributes:
        inputs: what the kernels are told of it.
        pit: probability integral transform of the error at each step, NaN where nothing was due; uniform where the
            forecast is calibrated.
    """

    inputs: HorizonInputs
    pit: Float[Array, "step"]


def levels_of(config: PredictorConfig) -> Float[Array, "level"]:
    """Coverages of the intervals: `confidence_level`, then `interval_levels`."""
    return jnp.stack([jnp.asarray(level, float) for level in (config.confidence_level, *config.interval_levels)])


def normal_score(ratio: Float[Array, "*step"], quantile: Float[Array, "*step level"], levels: Array) -> Array:
    """What |error| / scale is in standard deviations of a normal error: straight lines through the quantiles.

    Beyond the largest quantile it goes on in proportion.

    Args:
        ratio: |error| / scale, 0 or more.
        quantile: of it, at each level.
        levels: coverages of the intervals, in any order.
    """
    known, normal = jnp.sort(quantile, axis=-1), jnp.sort(gaussian_quantile(levels))
    start = jnp.zeros((*known.shape[:-1], 1))
    below, span = jnp.concatenate([start, known[..., :-1]], axis=-1), jnp.diff(known, axis=-1, prepend=start)
    rise = jnp.diff(normal, prepend=0.0)
    share = jnp.clip((ratio[..., None] - below) / jnp.maximum(span, 1e-12), 0.0, 1.0)
    inside = jnp.sum(share * jnp.broadcast_to(rise, share.shape), axis=-1)
    return inside * jnp.maximum(ratio / jnp.maximum(known[..., -1], 1e-12), 1.0)


def take_due(
    config: PredictorConfig,
    state: HorizonState,
    value: Scalar,
    slots: Count,
    *,
    counted: Flag,
    clean: Flag,
    forecast: ForecastState,
    one_step: Scalar,
) -> tuple[HorizonState, Due]:
    """Score the forecasts that were made for this place, each by the record of its horizon.

    Args:
        state: before the tick.
        value: y_t, or what stands in for it [y].
        slots: places on the time grid since the last tick of the window.
        counted: whether the tick is an observation whose errors count.
        clean: whether it may be an origin that kernels learn from.
        forecast: of this tick, made one tick ago.
        one_step: its residual [y], NaN where there was none.
    """
    ladder, place = np.array(config.ladder, int), state.place + jnp.where(state.place < 0, 1, slots)
    slot = jnp.asarray(slot_offsets(config.ladder)) + place % ladder
    held, levels = state.past[slot], levels_of(config)
    due = (state.made[slot] == place - ladder) & counted
    origin, unit, mean, scale, before = (held[:, k] for k in range(len(PAST)))
    increment = jnp.where(due, value - origin, 0.0) / jnp.where(due, unit, 1.0)
    increment = jnp.clip(increment, -LARGEST_RATIO, LARGEST_RATIO)
    error = increment - jnp.where(due, mean, 0.0)

    # The next tick's error, then those of the horizons, over the scale that they were forecast with.
    known = counted & jnp.isfinite(one_step)
    first = jnp.where(known, one_step, 0.0) / jnp.where(known, forecast.scale, 1.0)
    ratios = jnp.concatenate([first[None], error / jnp.where(due, scale, 1.0)])
    judged = jnp.concatenate([known[None], due])
    start = jnp.where(jnp.isnan(state.quantile), gaussian_quantile(levels)[None, :], state.quantile)
    score = normal_score(jnp.abs(ratios), start, levels)
    score = jnp.where(judged, jnp.sign(ratios) * jnp.minimum(score, 2 * NORMAL_BOUND), jnp.nan)
    rate = config.interval_rate / np.sqrt(np.array(config.steps, float))
    quantile = track_quantile(
        start, jnp.abs(ratios)[:, None], 1.0, levels[None, :], jnp.asarray(rate)[:, None], judged[:, None]
    )
    state = _follow_errors(config, state, increment, held[:, len(PAST) :], due)
    state = _follow_correlation(state, before, score[1:], due)
    state = _note_scores(config, state._replace(place=place, quantile=quantile), score)
    longest = len(state.rows)
    row = (place - ladder) % max(longest, 1)
    learn = due & (state.rows[row] == place - ladder) if longest else due
    newest = place % max(longest, 1)
    if longest:
        here = np.arange(longest) == newest
        state = state._replace(rows=jnp.where(here, jnp.where(clean, place, NEVER), state.rows))
    return state, Due(HorizonInputs(increment, due, learn, slot, row, newest), ndtr(score))


def _follow_errors(
    config: PredictorConfig,
    state: HorizonState,
    increment: Float[Array, "horizon"],
    forecasts: Float[Array, "horizon kernel"],
    due: Bool[Array, "horizon"],
) -> HorizonState:
    """Error scales and log scores of the kernels, as those of the next tick but with a longer memory."""
    pace = record_pace(config.ladder, state.count, config.score_scale_rate, config.score_forgetting)
    rate, share = pace.rate[:, None], pace.share[:, None]
    ratio = jnp.where(due[:, None], jnp.abs(increment[:, None] - forecasts), 0.0) / state.error
    error = jnp.clip(state.error * jnp.sqrt(1.0 + rate * (jnp.minimum(ratio, WINSOR) ** 2 - 1.0)), 1e-9, 1e6)
    loss = (jnp.log(state.error) + 3.0 * jnp.log1p(ratio**2 / 5.0)) * share
    score = pace.forgetting[:, None] * state.log_score - loss
    score = score - jnp.max(score, axis=1, keepdims=True)
    return state._replace(
        count=state.count + due,
        log_score=jnp.where(due[:, None], score, state.log_score),
        error=jnp.where(due[:, None], error, state.error),
    )


def _follow_correlation(
    state: HorizonState, before: Float[Array, "horizon"], score: Float[Array, "horizon"], due: Bool[Array, "horizon"]
) -> HorizonState:
    """Correlation of the errors at a horizon and at the step before, of one origin."""
    pair = due & jnp.isfinite(before)
    a, b = (jnp.clip(jnp.where(pair, z, 0.0), -NORMAL_BOUND, NORMAL_BOUND) for z in (before, score))
    # In the eigenvectors of the pair: 1 + rho and 1 - rho are variances, and their shares need no scale.
    moved = (a * b - state.correlation * 0.5 * (a * a + b * b)) * CORRELATION_RATE
    correlation = jnp.clip(state.correlation + jnp.where(pair, moved, 0.0), 0.0, LARGEST_CORRELATION)
    return state._replace(correlation=correlation)


def _note_scores(config: PredictorConfig, state: HorizonState, score: Float[Array, "step"]) -> HorizonState:
    """Keep each step's normal score where the next step's forecast from the same origin waits."""
    ladder = np.array(config.ladder, int)
    if not len(ladder):
        return state
    origin = state.place - np.array(config.steps[:-1])
    slot = jnp.asarray(slot_offsets(config.ladder)) + origin % ladder
    own = state.made[slot] == origin
    column = PAST.index("before")
    known = into_slots(state.past[:, column], slot, jnp.where(own, score[:-1], state.past[slot, column]), config.ladder)
    return state._replace(
        past=jnp.concatenate([state.past[:, :column], known[:, None], state.past[:, column + 1 :]], 1)
    )


def cast(
    config: PredictorConfig,
    state: HorizonState,
    forecast: ForecastState,
    means: Float[Array, "kernel step"],
    weight: Float[Array, "horizon kernel"],
    due: HorizonInputs,
    *,
    widening: Scalar,
    waited: Count,
) -> HorizonState:
    """The fan that is out after a tick, and its place among those that wait for their outcomes.

    Widths never shrink with the horizon.

    Args:
        state: scored.
        forecast: of the next tick, whose interval is the fan's first.
        means: of the kernels [s_t].
        weight: of the kernels, at each horizon.
        due: places of the slots.
        widening: of the scale, by the dispersion proxy.
        waited: imputed ticks in a row, the newest among them.
    """
    ladder = np.array(config.ladder, float)
    error = jnp.where(state.count[:, None] > 0, state.error, forecast.kernel_scale[None, :] * np.sqrt(ladder)[:, None])
    scale = longer_scale(weight, means[:, 1:], error, ladder, waited) * widening
    mean = jnp.sum(weight * means[:, 1:].T, axis=1)
    means_out = jnp.concatenate([forecast.mean[None], forecast.origin + mean * forecast.unit])
    scales_out = jnp.concatenate([forecast.scale[None], scale * forecast.unit])
    means_out, half = fan_of(config, state.quantile, means_out, scales_out)
    new = state._replace(error=error, mean=means_out, scale=scales_out, half=half)
    if not len(ladder):
        return new
    shape = (len(ladder),)
    columns = [jnp.broadcast_to(forecast.origin, shape), jnp.broadcast_to(forecast.unit, shape), mean, scale]
    columns.append(jnp.full(shape, jnp.nan))
    past = jnp.concatenate([jnp.stack(columns, axis=1), means[:, 1:].T], axis=1)
    places = jnp.broadcast_to(state.place, shape)
    return new._replace(
        past=into_slots(state.past, due.slot, past, config.ladder),
        made=into_slots(state.made, due.slot, places, config.ladder),
    )


def longer_scale(
    weight: Float[Array, "step kernel"],
    means: Float[Array, "kernel step"],
    error: Float[Array, "step kernel"],
    steps: np.ndarray,
    waited: Count,
) -> Float[Array, "step"]:
    """Scale of the mixture at each step [s_t]; after m imputed ticks a forecast of h steps is one of h + m."""
    return jax.vmap(mixture_scale)(weight, means.T, error) * jnp.sqrt(1.0 + waited / steps)


def fan_of(
    config: PredictorConfig,
    quantile: Float[Array, "step level"],
    mean: Float[Array, "step"],
    scale: Float[Array, "step"],
) -> tuple[Float[Array, "step"], Float[Array, "step level"]]:
    """Means within the support and half-widths of a fan, which never shrink with the horizon [y]."""
    half = quantile * scale[:, None]
    return within_support(config, mean)[0], jnp.maximum(jnp.concatenate([half[:1], rising(half[1:])]), half[:1])


def rising(values: Float[Array, "step level"]) -> Float[Array, "step level"]:
    """The rising rows nearest to these in squares; a running maximum would take every error upwards.

    Source: Barlow, Bartholomew, Bremner and Brunk, Statistical Inference under Order Restrictions (1972), the min-max
    formula of isotonic regression.
    """
    many = values.shape[0]
    sums = jnp.concatenate([jnp.zeros_like(values[:1]), jnp.cumsum(values, axis=0)])
    first, last = np.arange(many)[:, None], np.arange(many)[None, :]
    means = (sums[None, 1:] - sums[:-1, None]) / np.maximum(last - first + 1, 1)[:, :, None]
    least = jax.lax.cummin(jnp.where((first <= last)[:, :, None], means, jnp.inf), axis=1, reverse=True)
    return jnp.max(jnp.where((first <= last)[:, :, None], least, -jnp.inf), axis=0, initial=0.0)


def within_support(config: PredictorConfig, *ends: Array) -> tuple[Array, ...]:
    """Forecasts and ends of intervals, moved to where values can be [y].

    Whole ends for whole numbers would cover as many of them, but a miss lies further from such an end: measured on
    counts with a mean of a half and of two, the interval score is a tenth worse.
    """
    return ends if config.support == "real" else tuple(jnp.maximum(end, 0.0) for end in ends)


def forget_made(state: HorizonState, released: Flag) -> HorizonState:
    """Where a new level begins, forecasts of the old one come to nothing."""
    return state._replace(
        made=jnp.where(released, NEVER, state.made),
        rows=jnp.where(released, NEVER, state.rows),
    )
