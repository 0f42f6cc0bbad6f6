"""Kernel A: projections in Hilbert space, linear (Wiener-Hopf) and in a reproducing kernel space, aggregated.

With normal equations A w = b over features ordered from the simplest to the longest memory, the forecast of the model
that uses only the first k features is f_k' A_k^{-1} b_k.  Let A = L L'.  Leading blocks of L factor the leading blocks
of A, so with u = L^{-1} f and z = L^{-1} b the forecast of order k is sum_{i<=k} u_i z_i: one factorisation gives every
order, as the Levinson-Durbin recursion does for a stationary process, without assuming stationarity.  The orders are
experts, weighed by their own track record.  The long regressions are solved every `hilbert_stride` ticks, and their
coefficients applied at every tick; the short one, which forgets fast, is solved at every tick.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ....array_types import Array, Bool, Count, Flag, Float, Key, Scalar
from ....config.schema import PredictorConfig
from ...cadence import on_stride, where_due
from ..base import KernelInputs, KernelOutput
from ..regression import RidgeState, ridge_init, ridge_learn, ridge_solve
from .covariates import covariate_ahead, covariate_forecasts, covariate_init, covariate_learn
from .ladder import (
    Explained,
    direct_width,
    explained_beside,
    ladder_ahead,
    ladder_init,
    ladder_learn,
    ladder_step,
    recursive_coefficients,
    recursive_orders,
)
from .seasonal import EXPERTS, WORTH_RATE, learn_row, seasonal_awake, seasonal_forecasts, seasonal_init, seasonal_learn

FAST_LAGS = 4
FAST_ORDERS = (1, 2, 3, 4, FAST_LAGS + 2)
TARGET_BOUND = 6.0
LAG_BOUND = 100.0
LEVEL_BOUND = 20.0
EMBEDDING_BOUND = 4.0
FORECAST_BOUND = 8.0
WARM_UP = 20
REFERENCE_FORGETTING = 0.998
SEASONAL_SCORE_FORGETTING = 0.97
# While the regressions are young they are solved at every tick.
SETTLED = 128


class Coefficients(NamedTuple):
    """Solutions of the long regressions when they were last solved.

    Attributes:
        slow: coefficients of every order of the long filter, zero beyond the order.
        features: coefficients of the regression on random features.
        ticks: accepted ticks when they were solved, 0 before the first time.
        recursive: coefficients of a few orders of the long filter fed back to each horizon; nothing without a ladder.
        direct: of the regressions of each horizon; likewise.
    """

    slow: Float[Array, "order slow"]
    features: Float[Array, "random"]
    ticks: Count
    recursive: Any = ()
    direct: Any = ()


class HilbertState(NamedTuple):
    """What kernel A carries.

    Attributes:
        slow, fast, features: normal equations of the long filter, the short fast-forgetting filter and the regression
            on random Fourier features.
        slow_pending, fast_pending, features_pending: the features behind the forecast that is out.
        features_unit: units of s_t in one unit of the random-feature target when the forecast was made.
        forecasts: the experts' forecasts that are out [units of s_t].
        score: discounted log score of each expert; those of the seasonal ones are in `seasonal`, as their forecasts.
        slow_score: the same with the long memory of the reference.
        variance: winsorised EMA of the squared error of the aggregate [units of s_t squared].
        aggregate: the aggregate forecast that is out.
        learned: ticks learned from.
        frequency, phase: the random Fourier features, drawn once from the key.
        coefficients: of the long regressions.
        seasonal: `SeasonalState` where the configuration has season slots, else nothing.
        ladder: `LadderState` where the configuration has longer horizons, else nothing.
        covariates: `CovariateState` where the configuration has covariates or a calendar, else nothing.
    """

    slow: RidgeState
    fast: RidgeState
    features: RidgeState
    slow_pending: Float[Array, "slow"]
    fast_pending: Float[Array, "fast"]
    features_pending: Float[Array, "random"]
    features_unit: Scalar
    forecasts: Float[Array, "expert"]
    score: Float[Array, "expert"]
    slow_score: Float[Array, "expert"]
    variance: Scalar
    aggregate: Scalar
    learned: Scalar
    frequency: Float[Array, "wave delay"]
    phase: Float[Array, "wave"]
    coefficients: Coefficients
    seasonal: Any = ()
    ladder: Any = ()
    covariates: Any = ()


class HilbertDiagnostics(NamedTuple):
    """What kernel A says about itself.

    Attributes:
        expert_weight: weight of every expert in the aggregate: martingale, nested orders of the slow filter, orders of
            the fast filter, random features.
        mean_order: expected number of filter coefficients under those weights.
        feature_share: weight of the random-feature regression.
        reference: forecast of the experts of long memory alone [units of s_t].  It follows a change of the process only
            slowly, so that its residuals show the change long after the aggregate has absorbed it.
        season_weight: weight of the seasonal experts, 0 where no season is in use.
        effect: part of each covariate in the aggregate [units of s_t].
    """

    expert_weight: Float[Array, "expert"]
    mean_order: Scalar
    feature_share: Scalar
    reference: Scalar
    season_weight: Scalar
    effect: Float[Array, "effect"]


def slow_orders(lags: int) -> tuple[int, ...]:
    """Numbers of leading features of the slow filter that act as experts: about geometric, the longest included."""
    longest = lags + 2
    ladder = (1, 2, 3, 4, 6, 9, 12, 16, 24, 32, 40)
    return (*(k for k in ladder if k < longest), longest)


def _expert_orders(config: PredictorConfig) -> np.ndarray:
    seasonal = [0] * (EXPERTS if config.season_slots else 0)
    covariates = [0] * bool(config.effects)
    return np.concatenate([[0], slow_orders(config.hilbert_lags), FAST_ORDERS, [0], covariates, seasonal]).astype(float)


def _is_slow(config: PredictorConfig) -> np.ndarray:
    """Which experts make up the reference: all but the filters of fast forgetting."""
    slow = np.ones(len(_expert_orders(config)), bool)
    first = 1 + len(slow_orders(config.hilbert_lags))
    slow[first : first + len(FAST_ORDERS)] = False
    return slow


def _awake(config: PredictorConfig, state: HilbertState, inputs: KernelInputs) -> Bool[Array, "expert"] | None:
    """Which experts are asked, the seasonal ones once a season has been seen; None for all of them."""
    if not config.season_slots:
        return None
    awake = seasonal_awake(state.seasonal, inputs.season)
    return jnp.ones(len(_expert_orders(config)), bool).at[-EXPERTS:].set(awake)


def init(config: PredictorConfig, key: Key) -> HilbertState:
    """State before the first tick; the random Fourier features of a Gaussian kernel are drawn from `key`.

    Source: Rahimi and Recht, Random Features for Large-Scale Kernel Machines (NIPS 2007), algorithm 1.
    """
    slow, fast = config.hilbert_lags + 2, FAST_LAGS + 2
    random = 1 + config.hilbert_embedding + config.hilbert_features
    experts = len(_expert_orders(config)) - (EXPERTS if config.season_slots else 0)
    key_frequency, key_phase = jax.random.split(key)
    shape = (config.hilbert_features, config.hilbert_embedding)
    # Half of the features see a wide kernel and half a narrow one; later delays matter less.
    width = jnp.where(jnp.arange(config.hilbert_features) % 2 == 0, 1.0, 0.4)[:, None]
    decay = (0.7 ** jnp.arange(config.hilbert_embedding))[None, :]
    return HilbertState(
        slow=ridge_init(slow),
        fast=ridge_init(fast),
        features=ridge_init(random),
        slow_pending=jnp.zeros(slow),
        fast_pending=jnp.zeros(fast),
        features_pending=jnp.zeros(random),
        features_unit=jnp.ones(()),
        forecasts=jnp.zeros(experts),
        score=jnp.zeros(experts),
        slow_score=jnp.zeros(experts),
        variance=jnp.ones(()),
        aggregate=jnp.zeros(()),
        learned=jnp.zeros(()),
        frequency=jax.random.normal(key_frequency, shape) * width * decay,
        phase=jax.random.uniform(key_phase, (config.hilbert_features,)) * (2 * jnp.pi),
        coefficients=Coefficients(
            jnp.zeros((len(slow_orders(config.hilbert_lags)), slow)),
            jnp.zeros(random),
            jnp.zeros((), jnp.int64),
            jnp.zeros((len(_fed_back(config)), len(config.ladder), slow)) if config.ladder else (),
            jnp.zeros((len(config.ladder), direct_width(config))) if config.ladder else (),
        ),
        seasonal=seasonal_init(config),
        ladder=ladder_init(config, len(_fed_back(config))),
        covariates=covariate_init(config),
    )


def _fed_back(config: PredictorConfig) -> tuple[int, ...]:
    """Places of the orders that are fed back."""
    return recursive_orders(slow_orders(config.hilbert_lags))


def step(
    config: PredictorConfig, state: HilbertState, inputs: KernelInputs, key: Key
) -> tuple[HilbertState, KernelOutput]:
    """Learn from the realised increment, project anew, aggregate.

    The experts are the martingale forecast (0), the nested Wiener-Hopf filters, the short filters with fast forgetting
    and the random-feature regression.  Their weights are the softmax of a discounted Student-t log score, so that an
    order that does not serve the series costs a logarithm of the number of experts, once.

    Source: Wiener-Hopf normal equations, Haykin, Adaptive Filter Theory, ch. 2; aggregation, Cesa-Bianchi and Lugosi,
    Prediction, Learning, and Games, ch. 2.
    """
    del key
    awake = _awake(config, state, inputs)
    state = _learn(config, state, inputs, awake)
    slow_row, fast_row, random_row, unit = _features(config, state, inputs)
    season_awake = _season_awake(config, state, inputs)
    if config.ladder:
        state = state._replace(ladder=ladder_learn(config, state.ladder, inputs, slow_row, season_awake))
    coefficients = _solve_where_due(config, state, inputs.ticks)
    fast = nested_forecasts(state.fast, fast_row, config.hilbert_filter_ridge)[jnp.asarray(FAST_ORDERS) - 1]
    random = coefficients.features @ random_row * unit
    forecasts = jnp.concatenate([jnp.zeros(1), coefficients.slow @ slow_row, fast, random[None]])
    place, explained, effect = len(forecasts), None, jnp.zeros(0)
    if config.effects:
        covariates, explained, effect = covariate_forecasts(config, state.covariates, inputs, slow_row)
        state, forecasts = state._replace(covariates=covariates), jnp.append(forecasts, 0.0)
    others, score, slow_score = len(forecasts), state.score, state.slow_score
    if config.season_slots:
        seasonal, own = seasonal_forecasts(config, state.seasonal, inputs)
        forecasts, score = jnp.concatenate([forecasts, own]), jnp.concatenate([score, seasonal.score])
        slow_score = jnp.concatenate([slow_score, seasonal.slow_score])
        state = state._replace(seasonal=seasonal)
    # A return to where the window has been is no wild forecast, however far the newest tick lies out.
    low = jnp.minimum(-FORECAST_BOUND, jnp.min(inputs.path))
    high = jnp.maximum(FORECAST_BOUND, jnp.max(inputs.path))
    forecasts = jnp.clip(forecasts, low, high)
    if explained is not None:
        next_one = Explained(jnp.clip(explained.mean[:1], low - high, high - low), explained.asked[:1])
        forecasts = explained_beside(forecasts[None], score[None], awake, next_one, place)[0]
        effect = jnp.where(explained.asked[0], effect, jnp.nan)
    weight = jax.nn.softmax(score, where=awake)
    aggregate = weight @ forecasts
    season_weight = jnp.sum(weight[others:])
    if config.season_slots:
        rate = jnp.where(jnp.any(inputs.season.awake) & inputs.learn, WORTH_RATE, 0.0)
        worth = state.seasonal.worth + rate * (season_weight - state.seasonal.worth)
        state = state._replace(seasonal=state.seasonal._replace(forecasts=forecasts[others:], worth=worth))
    state = state._replace(
        slow_pending=slow_row,
        fast_pending=fast_row,
        features_pending=random_row,
        features_unit=unit,
        forecasts=forecasts[:others],
        aggregate=aggregate,
        coefficients=coefficients,
    )
    orders = jnp.asarray(_expert_orders(config))
    lasting = jnp.asarray(_is_slow(config)) if awake is None else jnp.asarray(_is_slow(config)) & awake
    reference = jax.nn.softmax(slow_score, where=lasting) @ forecasts
    diagnostics = HilbertDiagnostics(
        weight, weight @ orders, weight[place - 1], reference, season_weight, weight[place] * effect
    )
    means, scale = aggregate[None], jnp.sqrt(state.variance)[None]
    if config.ladder:
        recursive, direct = coefficients.recursive, coefficients.direct
        ladder, beyond = ladder_step(
            config, state.ladder, inputs, slow_row, recursive, direct, state.seasonal, season_awake, _beyond(explained)
        )
        state = state._replace(ladder=ladder)
        means = jnp.concatenate([means, beyond])
        scale = jnp.concatenate([scale, jnp.sqrt(ladder.variance)])
    return state, KernelOutput(means, scale, diagnostics)


def ahead(
    config: PredictorConfig, state: HilbertState, inputs: KernelInputs, steps: tuple[int, ...]
) -> Float[Array, "step"]:
    """Increments to any number of ticks ahead [units of s_t], from the state of the newest tick."""
    recursive = recursive_coefficients(state.coefficients.slow[np.array(_fed_back(config))], steps)
    explained = None
    if config.effects:
        explained = covariate_ahead(config, state.covariates, inputs, state.slow_pending, steps)
    return ladder_ahead(
        config,
        state.ladder,
        inputs,
        state.slow_pending,
        recursive,
        state.coefficients.direct,
        state.seasonal,
        _season_awake(config, state, inputs),
        steps,
        explained,
    )


def _beyond(explained: Explained | None) -> Explained | None:
    """What it says of the ladder, without the next tick."""
    return explained if explained is None else Explained(explained.mean[1:], explained.asked[1:])


def _season_awake(config: PredictorConfig, state: HilbertState, inputs: KernelInputs) -> Flag | None:
    return seasonal_awake(state.seasonal, inputs.season) if config.season_slots else None


def _solve_where_due(config: PredictorConfig, state: HilbertState, ticks: Count) -> Coefficients:
    """The coefficients of the long regressions, solved anew every `hilbert_stride` ticks."""
    orders, held = slow_orders(config.hilbert_lags), state.coefficients
    fed_back = np.array(_fed_back(config))
    size = len(state.slow)
    rest, known = 2 * size + 3, 3 + 2 * bool(config.ladder)

    def anew(*arguments: Array) -> Coefficients:
        slow, features = RidgeState(*arguments[:size]), RidgeState(*arguments[size : 2 * size])
        filter_ridge, ridge, ticks = arguments[2 * size : 2 * size + 3]
        every = (features.moment.shape[0],)
        nested = nested_coefficients(slow, filter_ridge, orders)
        return Coefficients(
            nested,
            nested_coefficients(features, ridge, every)[0],
            ticks,
            *ahead(nested, filter_ridge, *arguments[rest:]),
        )

    def ahead(nested: Float[Array, "order slow"], ridge: Scalar, *equations: Array) -> tuple[Array, ...]:
        if not config.ladder:
            return ()
        direct = jax.vmap(ridge_solve, in_axes=(0, None))(RidgeState(*equations[known:]), ridge)
        return recursive_coefficients(nested[fed_back], config.ladder), direct

    def last(*arguments: Array) -> Coefficients:
        return Coefficients(*arguments[rest : rest + known])

    due = on_stride(ticks, config.hilbert_stride, SETTLED) | (held.ticks == 0)
    direct = state.ladder.direct if config.ladder else ()
    settings = (jnp.asarray(config.hilbert_filter_ridge, float), jnp.asarray(config.kernel_ridge_lambda, float))
    return where_due(due, anew, last, *state.slow, *state.features, *settings, ticks, *held[:known], *direct)


def nested_coefficients(
    equations: RidgeState, ridge: Scalar | float, orders: tuple[int, ...]
) -> Float[Array, "order k"]:
    """Coefficients of the ridge regressions on the first k features, for every k of `orders`, zero beyond.

    Args:
        equations: discounted normal equations (A, b).
        ridge: prior precision per effective observation, > 0.
        orders: numbers of features.

    Source: as of `nested_forecasts`; L_k' w_k = z_k is the leading block of L' w = (z_k, 0), so that one triangular
    solve with a column for each order gives them all.
    """
    k = equations.moment.shape[0]
    factor = _bordered_factor(equations, ridge, equations.moment[None])
    leading = np.arange(k)[:, None] < np.asarray(orders)[None, :]
    sides = jnp.where(leading, factor[k, :k, None], 0.0)
    return jax.lax.linalg.triangular_solve(factor[:k, :k], sides, left_side=True, lower=True, transpose_a=True).T


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
    factor = _bordered_factor(equations, ridge, jnp.stack([features, equations.moment]))
    return jnp.cumsum(factor[k, :k] * factor[k + 1, :k])


def _bordered_factor(
    equations: RidgeState, ridge: Scalar | float, border: Float[Array, "side k"]
) -> Float[Array, "bordered bordered"]:
    """Lower Cholesky factor of [[A + prior I, F], [F', K]], F the border's columns, K diagonal and large enough."""
    prior = ridge * (1.0 + equations.weight)
    # |L^{-1} v|^2 <= |v|^2 / prior, so this corner keeps the Schur complement positive definite whatever A is.
    corner = jnp.diag(1.0 + 2.0 * jnp.sum(border**2, axis=1) / prior)
    loaded = equations.gram + prior * jnp.eye(border.shape[1])
    bordered = jnp.block([[loaded, border.T], [border, corner]])
    return jax.lax.linalg.cholesky(bordered, symmetrize_input=False)


def _learn(
    config: PredictorConfig, state: HilbertState, inputs: KernelInputs, awake: Bool[Array, "expert"] | None
) -> HilbertState:
    learn = inputs.learn
    if config.effects:
        state = state._replace(covariates=covariate_learn(config, state.covariates, inputs, learn))
    target = jnp.clip(inputs.increment, -TARGET_BOUND, TARGET_BOUND)
    gamma = config.hilbert_forgetting
    warm = learn & (state.learned >= WARM_UP)
    error = jnp.square(target - state.aggregate)
    rate = jnp.maximum(1.0 / (state.learned + 1.0), config.score_scale_rate)
    variance = state.variance + rate * (jnp.minimum(error, 16.0 * state.variance) - state.variance)
    # Student-t log density with 5 degrees of freedom, constants dropped: bounded influence of one bad tick.
    forgetting = config.hilbert_score_forgetting
    forecasts, old, slow_old = state.forecasts, state.score, state.slow_score
    others = len(old)
    if awake is not None:
        forecasts = jnp.concatenate([forecasts, state.seasonal.forecasts])
        old = jnp.concatenate([old, state.seasonal.score])
        slow_old = jnp.concatenate([slow_old, state.seasonal.slow_score])
    loss = 3.0 * jnp.log1p(jnp.square(target - forecasts) / (5.0 * state.variance))
    if awake is not None:
        # A sleeping expert shares the fortune of the aggregate, and has its record when it wakes.
        loss = jnp.where(awake, loss, 3.0 * jnp.log1p(error / (5.0 * state.variance)))
        # With seasons no one expert is best all the time: the mix changes faster.
        forgetting = jnp.where(awake[-1], jnp.minimum(forgetting, SEASONAL_SCORE_FORGETTING), forgetting)
    score, slow_score = forgetting * old - loss, REFERENCE_FORGETTING * slow_old - loss
    score = jnp.where(warm, score - jnp.max(score), old)
    slow_score = jnp.where(warm, slow_score - jnp.max(slow_score), slow_old)
    if awake is not None:
        seasonal = seasonal_learn(state.seasonal, inputs.increment, warm)
        seasonal = seasonal._replace(score=score[others:], slow_score=slow_score[others:])
        state = state._replace(seasonal=seasonal)
    return state._replace(
        slow=learn_row(state.slow, state.slow_pending, inputs.increment, gamma, warm),
        fast=learn_row(state.fast, state.fast_pending, inputs.increment, config.hilbert_fast_forgetting, warm),
        features=ridge_learn(state.features, state.features_pending, target / state.features_unit, gamma, warm),
        score=score[:others],
        slow_score=slow_score[:others],
        variance=jnp.where(learn, jnp.maximum(variance, 1e-12), state.variance),
        learned=state.learned + jnp.where(learn, 1.0, 0.0),
    )


def _features(
    config: PredictorConfig, state: HilbertState, inputs: KernelInputs
) -> tuple[Float[Array, "slow"], Float[Array, "fast"], Float[Array, "random"], Scalar]:
    """Rows of the three regressions and the unit of the third one's target."""
    newest_first = inputs.path[::-1]
    differences = newest_first[: config.hilbert_lags] - newest_first[1 : config.hilbert_lags + 1]
    increments = jnp.clip(differences, -LAG_BOUND, LAG_BOUND)
    # The level enters in the increments' units, so that the filter stays linear in y whatever the scale does.
    level = jnp.clip(-inputs.level / inputs.spread, -LEVEL_BOUND, LEVEL_BOUND) * inputs.spread
    slow = jnp.concatenate([jnp.ones(1), level[None], increments])
    # A map of the level has its own unit, the slow spread: in units of s_t it would breathe with the volatility.
    delays = (newest_first[: config.hilbert_embedding] - inputs.level) / inputs.spread
    delays = jnp.clip(delays, -EMBEDDING_BOUND, EMBEDDING_BOUND)
    waves = jnp.cos(state.frequency @ delays + state.phase) * np.sqrt(2.0 / config.hilbert_features)
    random = jnp.concatenate([jnp.ones(1), delays, waves])
    return slow, slow[: FAST_LAGS + 2], random, inputs.spread
