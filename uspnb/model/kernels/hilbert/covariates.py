"""The expert of kernel A that sees covariates: a regression of each horizon on them beside lags and seasons.

A value that hangs on a covariate and has errors of its own memory, y = g(u) + n, is forecast from g(u) at the tick that
it is for, at the newest and at the one before, and from the newest values: through the errors' memory the covariates'
past effect comes out of these.  g is a curve of straight pieces.  Where a covariate of one of these ticks is not known,
the experts without covariates answer.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ....array_types import Array, Bool, Flag, Float, Scalar
from ....config.schema import PredictorConfig
from ...cadence import on_stride, where_due
from ...calendar import column_effects
from ..base import KernelInputs, along_ladder, into_slots, slot_count
from ..regression import RidgeState, ridge_init, ridge_learn, ridge_solve
from .ladder import DIRECT_FORGETTING, ROW_BOUND, WAY_BOUND, Explained, direct_rows, direct_width, of_these_periods

# Where the curve of a covariate has its knees [widths from its centre]: room for a range that first ticks do not show.
KNEES = np.array([-4.0, -2.5, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.5, 4.0])
PIECES = 1 + len(KNEES)
BOUND, LARGEST = 20.0, 1e30
SLOWEST_RATE, WARM_UP, WARM_UP_BOUND, WINSOR = 1e-3, 20.0, 1e4, 4.0
# Ticks after which units, centres and widths stand: a coefficient means the same only while they do.
FIXED_AFTER = 64
# A covariate that has moved or grown by so many widths is measured anew, and what was learned of it forgotten.
OUTGROWN = 6.0
# Likewise the level, which the series itself has then left.
LARGEST_CHANGE = 50.0
SETTLED = 128


class Course(NamedTuple):
    """What a covariate does, by which it is standardised.

    Attributes:
        centre, width: what its curve is measured by: mean and standard deviation when they were last fixed [its unit].
        mean, scale: slow mean and standard deviation [its unit].
        count: values seen.
        now, before: the newest value and the one before, NaN where it was not known.
    """

    centre: Float[Array, "covariate"]
    width: Float[Array, "covariate"]
    mean: Float[Array, "covariate"]
    scale: Float[Array, "covariate"]
    count: Float[Array, "covariate"]
    now: Float[Array, "covariate"]
    before: Float[Array, "covariate"]


class CovariateState(NamedTuple):
    """What the expert carries; "step" is the next tick and then the ladder of the configuration.

    Attributes:
        course: of each covariate.
        unit, anchor: of the covariates' columns and of the level: the slow spread and the newest value of the first
            ticks, and from then on the same [y].  So a coefficient means the same whatever level, spread and s_t do.
        equations: normal equations of the increment to each step, stacked.
        coefficients: of the regressions when they were last solved.
        pending: the row behind the forecast of the next tick.
        known: whether all of its covariates were known.
        rows: rows behind the forecasts beyond it, in the slots of `HorizonInputs`, and in a last column whether their
            covariates were known.
    """

    course: Course
    unit: Scalar
    anchor: Scalar
    equations: RidgeState
    coefficients: Float[Array, "step k"]
    pending: Float[Array, "k"]
    known: Flag
    rows: Float[Array, "slot row"]


def covariate_width(config: PredictorConfig) -> int:
    """Columns of the regressions that covariates and the calendar fill."""
    return 3 * PIECES * len(config.covariates) + len(column_effects(config))


def covariate_init(config: PredictorConfig) -> CovariateState | tuple[()]:
    """State before the first tick; nothing without covariates."""
    if not config.effects:
        return ()
    many, steps = len(config.covariates), len(config.steps)
    k = direct_width(config) + covariate_width(config)
    course = (*(jnp.zeros(many) for _ in range(5)), *(jnp.full(many, jnp.nan) for _ in range(2)))
    return CovariateState(
        course=Course(*course),
        unit=jnp.ones(()),
        anchor=jnp.zeros(()),
        equations=jax.tree.map(lambda leaf: jnp.repeat(leaf[None], steps, axis=0), ridge_init(k)),
        coefficients=jnp.zeros((steps, k)),
        pending=jnp.zeros(k),
        known=jnp.zeros((), bool),
        rows=jnp.zeros((slot_count(config.ladder), k + 1)),
    )


def covariate_learn(
    config: PredictorConfig, state: CovariateState, inputs: KernelInputs, learn: Flag
) -> CovariateState:
    """Take in what came due of every step, each with a weight that bounds its influence.

    Args:
        learn: whether the realised increment may be learned from.
    """
    row, increment, may = state.pending[None], inputs.increment[None], (learn & state.known)[None]
    if config.ladder:
        held = state.rows[inputs.horizon.slot]
        row = jnp.concatenate([row, held[:, :-1]])
        increment = jnp.concatenate([increment, inputs.horizon.increment])
        may = jnp.concatenate([may, inputs.horizon.learn & (held[:, -1] > 0)])
    bound = ROW_BOUND * np.sqrt(np.array(config.steps, float))
    own = direct_width(config)
    size = jnp.maximum(jnp.max(jnp.abs(row[:, 2:own]), axis=1), jnp.abs(increment))
    share = bound / jnp.maximum(size, bound)
    equations = jax.vmap(ridge_learn, in_axes=(0, 0, 0, None, 0))(
        state.equations, row * share[:, None], increment * share, DIRECT_FORGETTING, may
    )
    return state._replace(equations=equations)


def covariate_forecasts(
    config: PredictorConfig, state: CovariateState, inputs: KernelInputs, slow_row: Float[Array, "slow"]
) -> tuple[CovariateState, Explained, Float[Array, "effect"]]:
    """Forecast every step; the rows wait for their outcomes.

    Args:
        slow_row: of the long filter at the newest tick.

    Returns:
        The state, what the expert says of every step, and each covariate's part in the first [s_t].
    """
    told = inputs.covariates
    course, anew = _moved(state.course, told.now)
    equations, held = of_these_periods(config, inputs, state.equations, state.rows)
    equations, held = _without(config, equations, held, anew)
    state = state._replace(course=course, equations=equations, rows=held)
    spread = jnp.clip(inputs.spread * told.unit, 1e-150, 1e150)
    early = inputs.ticks <= FIXED_AFTER
    astray = early | (jnp.abs(told.value - state.anchor) > LARGEST_CHANGE * spread)
    unit = jnp.where(early, spread, jnp.clip(state.unit, spread / LARGEST_CHANGE, spread * LARGEST_CHANGE))
    state = state._replace(
        unit=unit,
        anchor=jnp.where(astray, told.value, state.anchor),
        coefficients=_solve_where_due(config, state, inputs),
    )
    rows, known = _rows(config, state, inputs, slow_row, config.steps)
    waiting = jnp.concatenate([rows, known[:, None].astype(float)], axis=1)
    if config.ladder:
        state = state._replace(rows=into_slots(state.rows, inputs.horizon.slot, waiting[1:], config.ladder))
    parts = (state.coefficients[0] * rows[0])[direct_width(config) :]
    effects = jnp.zeros(len(config.effects)).at[_column_effects(config)].add(parts)
    asked = known & _experienced(config, state.equations.weight)
    explained = Explained(jnp.sum(state.coefficients * rows, axis=1), asked)
    return state._replace(pending=rows[0], known=known[0]), explained, effects


def covariate_ahead(
    config: PredictorConfig,
    state: CovariateState,
    inputs: KernelInputs,
    slow_row: Float[Array, "slow"],
    steps: tuple[int, ...],
) -> Explained:
    """What the expert says of any number of ticks ahead, coefficients between those of the ladder."""
    between = jax.vmap(lambda column: along_ladder(column, config.steps, steps), in_axes=1, out_axes=1)
    rows, known = _rows(config, state, inputs, slow_row, steps)
    asked = known & _experienced(config, along_ladder(state.equations.weight, config.steps, steps))
    return Explained(jnp.sum(between(state.coefficients) * rows, axis=1), asked)


def _experienced(config: PredictorConfig, weight: Float[Array, "step"]) -> Bool[Array, "step"]:
    """Whether a regression has seen as many outcomes, since its units stand, as it has columns of covariates."""
    return weight >= FIXED_AFTER + covariate_width(config)


def _column_effects(config: PredictorConfig) -> np.ndarray:
    """Place in `config.effects` of each column of the regressions that is of a covariate."""
    own = np.repeat(np.arange(len(config.covariates)), PIECES)
    return np.concatenate([np.tile(own, 3), column_effects(config)])


def _rows(
    config: PredictorConfig,
    state: CovariateState,
    inputs: KernelInputs,
    slow_row: Float[Array, "slow"],
    steps: tuple[int, ...],
) -> tuple[Float[Array, "step k"], Bool[Array, "step"]]:
    """Rows of the increment to each step, zero where a covariate is not known, and where all are."""
    course, told = state.course, inputs.covariates
    past = jnp.concatenate([_curve(course, course.now), _curve(course, course.before)])
    columns = jnp.concatenate(
        [
            jax.vmap(_curve, in_axes=(None, 0))(course, told.ahead),
            jnp.broadcast_to(past, (len(steps), len(past))),
            told.calendar,
        ],
        axis=1,
    )
    known = jnp.all(jnp.isfinite(columns), axis=1)
    columns = jnp.clip(jnp.where(known[:, None], columns, 0.0) * (state.unit / told.unit), -WAY_BOUND, WAY_BOUND)
    level = jnp.clip((told.value - state.anchor) / told.unit, -WAY_BOUND, WAY_BOUND)
    own = direct_rows(config, inputs, slow_row, steps).at[:, 1].set(level)
    return jnp.concatenate([own, columns], axis=1), known


def _curve(course: Course, value: Float[Array, "covariate"]) -> Float[Array, "piece"]:
    """Straight pieces of each covariate, all zero at its mean; NaN where it is not known."""
    usable = jnp.isfinite(value) & (jnp.abs(value) <= LARGEST)
    moved = jnp.where(usable, value, course.centre) - course.centre
    z = jnp.clip(moved / jnp.maximum(course.width, _least(course.centre)), -BOUND, BOUND)
    z = jnp.where(usable, z, jnp.nan)[:, None]
    bent = jnp.where(jnp.isnan(z), jnp.nan, jnp.maximum(z - KNEES[None, :], 0.0) - np.maximum(-KNEES, 0.0)[None, :])
    return jnp.ravel(jnp.concatenate([z, bent], axis=1))


def _least(about: Float[Array, "covariate"]) -> Float[Array, "covariate"]:
    """The least width of numbers of this size: what is narrower is constant."""
    return 1e-9 * jnp.abs(about) + 1e-150


def _without(
    config: PredictorConfig, equations: RidgeState, rows: Float[Array, "slot row"], anew: Bool[Array, "covariate"]
) -> tuple[RidgeState, Float[Array, "slot row"]]:
    """Equations and rows without what was learned of some covariates."""
    own, effect = direct_width(config), _column_effects(config)
    dropped = jnp.append(anew, jnp.zeros((), bool))[np.minimum(effect, len(config.covariates))]
    kept = jnp.concatenate([jnp.ones(own, bool), ~dropped])
    equations = equations._replace(
        gram=jnp.where((kept[:, None] & kept[None, :])[None], equations.gram, 0.0),
        moment=jnp.where(kept[None, :], equations.moment, 0.0),
    )
    # A row that waits was measured by what no longer stands.
    return equations, rows.at[:, -1].set(jnp.where(jnp.any(anew), 0.0, rows[:, -1]))


def _moved(course: Course, value: Float[Array, "covariate"]) -> tuple[Course, Bool[Array, "covariate"]]:
    """Mean and standard deviation moved towards the newest value, through ratios so that no square overflows.

    Returns:
        The course, and which covariates are measured anew from here on.
    """
    usable = jnp.isfinite(value) & (jnp.abs(value) <= LARGEST)
    first, least = course.count == 0.0, _least(course.mean)
    mean = jnp.where(first & usable, value, course.mean)
    rate = jnp.maximum(1.0 / (course.count + 1.0), SLOWEST_RATE)
    deviation = jnp.where(usable, value, mean) - mean
    scale = jnp.where(course.scale <= 10.0 * least, jnp.maximum(jnp.abs(deviation), course.scale), course.scale)
    bound = jnp.where(course.count < WARM_UP, WARM_UP_BOUND, WINSOR)
    scale = jnp.maximum(scale, least)
    ratio = jnp.clip(deviation / scale, -bound, bound)
    mean = jnp.where(usable, mean + rate * ratio * scale, course.mean)
    scale = jnp.where(usable, scale * jnp.sqrt(1.0 + rate * ((1.0 - rate) * ratio * ratio - 1.0)), course.scale)
    room = OUTGROWN * jnp.maximum(course.width, _least(course.centre))
    anew = (course.count < FIXED_AFTER) | (jnp.maximum(scale, jnp.abs(mean - course.centre)) > room)
    moved = Course(
        centre=jnp.where(anew, mean, course.centre),
        width=jnp.where(anew, scale, course.width),
        mean=mean,
        scale=scale,
        count=course.count + usable,
        now=jnp.where(usable, value, jnp.nan),
        before=course.now,
    )
    return moved, anew


def _solve_where_due(config: PredictorConfig, state: CovariateState, inputs: KernelInputs) -> Float[Array, "step k"]:
    """The coefficients, solved anew every `hilbert_stride` ticks."""

    def anew(ridge: Array, _: Array, *equations: Array) -> Array:
        return jax.vmap(ridge_solve, in_axes=(0, None))(RidgeState(*equations), ridge)

    def last(_: Array, coefficients: Array, *equations: Array) -> Array:
        del equations
        return coefficients

    due = on_stride(inputs.ticks, config.hilbert_stride, SETTLED)
    ridge = jnp.asarray(config.hilbert_filter_ridge, float)
    return where_due(due, anew, last, ridge, state.coefficients, *state.equations)
