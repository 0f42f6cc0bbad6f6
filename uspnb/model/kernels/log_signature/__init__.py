"""Kernel D: a linear functional of the log-signature of the recent path, by ridge regression with forgetting."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ....array_types import Array, Float, Int, Key, Scalar
from ....config.schema import PredictorConfig
from ..base import KernelInputs, KernelOutput
from ..regression import (
    RidgeState,
    TrackRecord,
    ridge_init,
    ridge_learn,
    ridge_solve,
    track_init,
    track_learn,
    track_shrinkage,
)
from .direct import direct_init, direct_learn, direct_solve
from .signature import log_signature, log_signature_dimension, lyndon_words

CHANNELS = 2
RECENT_INCREMENTS = 2
FEATURE_BOUND = 3.0
PATH_BOUND = 8.0
TARGET_BOUND = 6.0
SHORTEST_WINDOW = 4
DYADIC_LEVELS = 4
TRACK_FORGETTING = 0.99


class LogSignatureState(NamedTuple):
    """What kernel D carries from tick to tick.

    Attributes:
        ridge: discounted normal equations of increment = w . features.
        track: agreement of the regression's forecasts with their outcomes.
        features: those of the forecast that is waiting for its outcome.
        regression: what the regression said then, before shrinkage [units of its s_t].
        mean: the forecast that is waiting [units of its s_t].
        variance: discounted mean square of the kernel's own errors [units of s_t^2].
        direct: `DirectState` of the same features where the configuration has longer horizons, else nothing.
    """

    ridge: RidgeState
    track: TrackRecord
    features: Float[Array, "features"]
    regression: Scalar
    mean: Scalar
    variance: Scalar
    direct: Any = ()


class LogSignatureDiagnostics(NamedTuple):
    """What kernel D says about itself.

    Attributes:
        depth: truncation depth in use.
        log_signature_norm: Euclidean length of the bounded coordinates.
        coefficient_norm: Euclidean length of the linear functional.
        shrinkage: factor in [0, 1] by which its forecast is believed.
    """

    depth: Int[Array, ""]
    log_signature_norm: Scalar
    coefficient_norm: Scalar
    shrinkage: Scalar


def init(config: PredictorConfig, key: Key) -> LogSignatureState:
    """State before the first tick: nothing learned, unit error variance.

    Args:
        config: `log_sig_depth` sizes the regression.
        key: unused; kernel D draws nothing.
    """
    size = feature_count(config.log_sig_window, config.log_sig_depth)
    return LogSignatureState(
        ridge=ridge_init(size),
        track=track_init(),
        features=jnp.zeros(size),
        regression=jnp.zeros(()),
        mean=jnp.zeros(()),
        variance=jnp.ones(()),
        direct=direct_init(size, config.ladder),
    )


def step(
    config: PredictorConfig, state: LogSignatureState, inputs: KernelInputs, key: Key
) -> tuple[LogSignatureState, KernelOutput]:
    """Learn the outcome of the waiting forecast, then forecast the next increment by lambda w . features(path).

    w minimises sum gamma^(t-i) (increment_i - w . f_i)^2 + ridge; f are the recent increments and the log-signatures of
    the time-augmented path over dyadic windows.  lambda in [0, 1] is how far the outcomes followed the forecasts.

    Args:
        config: `log_sig_depth`, `log_sig_window` (static), `log_sig_forgetting`, `kernel_ridge_lambda`,
            `score_scale_rate`, `forecast_clip`.
        state: the kernel's state.
        inputs: what is known at t.
        key: unused.

    Returns:
        The new state, and mean and scale of the next increment [units of s_t].

    Source: Levin, Lyons and Ni (2013), "Learning from the past, predicting the statistics for the future": the
    conditional expectation as a linear functional of the signature; Morrill et al. (2021), "A generalised signature
    method": hierarchical dyadic windows; seed 003, kernel D.
    """
    del key
    target = jnp.clip(inputs.increment, -TARGET_BOUND, TARGET_BOUND)
    ridge = ridge_learn(state.ridge, state.features, target, config.log_sig_forgetting, inputs.learn)
    track = track_learn(state.track, state.regression, target, TRACK_FORGETTING, inputs.learn)
    error = target - state.mean
    rate = jnp.where(inputs.learn, config.score_scale_rate, 0.0)
    variance = state.variance + rate * (error * error - state.variance)

    features = _features(inputs.path, config)
    direct, beyond = state.direct, ()
    if config.ladder:
        direct = direct_learn(direct, features, inputs.horizon, config.ladder, config.log_sig_forgetting)
        beyond = direct_solve(ridge, direct, config.kernel_ridge_lambda) @ features
    coefficients = ridge_solve(ridge, config.kernel_ridge_lambda)
    regression = jnp.clip(coefficients @ features, -config.forecast_clip, config.forecast_clip)
    shrinkage = track_shrinkage(track)
    mean = shrinkage * regression
    scale = jnp.sqrt(variance + config.numerical_epsilon)
    diagnostics = LogSignatureDiagnostics(
        jnp.asarray(config.log_sig_depth),
        jnp.linalg.norm(features[RECENT_INCREMENTS:]),
        jnp.linalg.norm(coefficients),
        shrinkage,
    )
    new = LogSignatureState(ridge, track, features, regression, mean, variance, direct)
    means = jnp.concatenate([mean[None], jnp.asarray(beyond)])
    return new, KernelOutput(means, scale * np.sqrt(np.array(config.steps, float)), diagnostics)


def truncate_depth(config: PredictorConfig, state: LogSignatureState, depth: int) -> LogSignatureState:
    """The state of the same kernel at a lower depth, with everything it has learned: load shedding.

    The log-signature is graded and stands last among the features, so the features of a lower depth are a prefix; the
    normal equations of a prefix are the leading block of the normal equations.

    Args:
        config: the configuration that `state` was made for.
        state: state at depth `config.log_sig_depth`.
        depth: the new depth, at most the old one; continue with `replace(config, log_sig_depth=depth)`.

    Raises:
        ValueError: the depth is below 1 or above that of the state.
    """
    if not 1 <= depth <= config.log_sig_depth:
        raise ValueError(f"depth = {depth} is outside [1, {config.log_sig_depth}], the depths that the state holds")
    size = feature_count(config.log_sig_window, depth)
    ridge = state.ridge._replace(gram=state.ridge.gram[:size, :size], moment=state.ridge.moment[:size])
    direct = state.direct
    if config.ladder:
        direct = direct._replace(rows=direct.rows[:, :size], moment=direct.moment[:, :size])
    return state._replace(ridge=ridge, features=state.features[:size], direct=direct)


def feature_count(window: int, depth: int) -> int:
    """Number of features: the recent increments, the intercept, and the other coordinates of every window."""
    return RECENT_INCREMENTS + 1 + len(_dyadic_windows(window)) * (log_signature_dimension(CHANNELS, depth) - 1)


def _dyadic_windows(window: int) -> tuple[int, ...]:
    """The window, its half, its quarter and its eighth, as far as they hold a few ticks."""
    return tuple(window >> i for i in range(DYADIC_LEVELS) if window >> i >= SHORTEST_WINDOW)


def _features(path: Float[Array, "window"], config: PredictorConfig) -> Float[Array, "features"]:
    """Bounded features, all of order one: recent increments, the intercept, then coordinates by rising level.

    Coordinates come coordinate by coordinate and not window by window, so that a lower depth is a prefix.
    """
    recent = jnp.diff(path[-(RECENT_INCREMENTS + 1) :])[::-1]
    increments = _dyadic_increments(path[-config.log_sig_window :])
    coordinates = jax.vmap(lambda segments: log_signature(segments, config.log_sig_depth))(increments)
    scaled = _bounded(coordinates * _level_factorials(config.log_sig_depth)[None, :])
    # The first coordinate is the length of time, 1 in every window: one of them is the intercept.
    return jnp.concatenate([_bounded(recent), jnp.ones(1), scaled[:, 1:].T.reshape(-1)])


def _dyadic_increments(path: Float[Array, "ticks"]) -> Float[Array, "windows steps 2"]:
    """Segments (dt, dx) of the path's dyadic ends, each of time length one and scaled to order one.

    Segments before a window's start are zero, which leaves a signature as it is: all windows share one shape.
    """
    steps = path.shape[0] - 1
    windows = np.array(_dyadic_windows(path.shape[0]))[:, None]
    inside = np.arange(steps)[None, :] >= steps - (windows - 1)
    time = jnp.asarray(inside / (windows - 1.0))
    # A random walk of unit increments spreads by sqrt(window): this brings its path to order one, like the time.
    scaled = jnp.clip(path[None, :] / np.sqrt(windows), -PATH_BOUND, PATH_BOUND)
    return jnp.stack([time, jnp.diff(scaled, axis=1) * inside], axis=2)


def _level_factorials(depth: int) -> np.ndarray:
    """k! for a coordinate of level k: undoes the factorial decay of signatures, so that one ridge suits all levels."""
    return np.array([float(math.factorial(len(word))) for word in lyndon_words(CHANNELS, depth)])


def _bounded(values: Array) -> Array:
    return FEATURE_BOUND * jnp.tanh(values / FEATURE_BOUND)
