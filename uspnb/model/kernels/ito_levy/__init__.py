"""Kernel C: a jump diffusion estimated online, forecast by its conditional mean; and paths of it for fan charts."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ....array_types import Array, Float, Int, Key, Scalar
from ....config.schema import PredictorConfig
from ....errors import DomainError
from ..base import KernelInputs, KernelOutput
from ..regression import TrackRecord, track_init, track_learn, track_shrinkage
from .estimation import LevyEstimate, LevyParameters, estimate_init, estimate_learn, parameters
from .schemes import graded_mesh, implicit_weight, mean_flow, switched_step

TARGET_BOUND = 6.0
LINEAR_RANGE = 4.0
LARGEST_DISTANCE = 50.0
MEAN_STEPS = 10
LEAST_RATE, LARGEST_SHARE = 1e-9, 0.999
TRACK_FORGETTING = 0.99


class ItoLevyState(NamedTuple):
    """What kernel C carries from tick to tick.

    Attributes:
        estimate: discounted sums of the drift, the diffusion and the jumps.
        track: agreement of the model's means with their outcomes.
        model_mean: conditional mean that the model gave, before shrinkage [units of its s_t].
        mean: the forecast that is waiting for its outcome [units of its s_t].
    """

    estimate: LevyEstimate
    track: TrackRecord
    model_mean: Scalar
    mean: Scalar


class ItoLevyDiagnostics(NamedTuple):
    """What kernel C says about itself; all in units of s_t and ticks.

    Attributes:
        drift: b at the present value.
        theta: rate of mean reversion.
        diffusion: standard deviation of the continuous part over a tick.
        jump_intensity, jump_mean, jump_scale: of the compound Poisson part.
        jump_count: discounted number of jumps seen.
        stiffness: |b'| times the window's length.
        solver: 0 explicit, 1 mixed, 2 implicit.
        exact: whether the mean is the closed form rather than the integrated mean equation.
        shrinkage: factor in [0, 1] by which the model's mean is believed.
        drift_increment, martingale_increment: semimartingale split of the increment just seen (NaN where it may not
            be learned from).
    """

    drift: Scalar
    theta: Scalar
    diffusion: Scalar
    jump_intensity: Scalar
    jump_mean: Scalar
    jump_scale: Scalar
    jump_count: Scalar
    stiffness: Scalar
    solver: Int[Array, ""]
    exact: Array
    shrinkage: Scalar
    drift_increment: Scalar
    martingale_increment: Scalar


def init(config: PredictorConfig, key: Key) -> ItoLevyState:
    """State before the first tick; nothing is drawn, so `key` is unused."""
    return ItoLevyState(estimate_init(), track_init(), jnp.zeros(()), jnp.zeros(()))


def step(
    config: PredictorConfig, state: ItoLevyState, inputs: KernelInputs, key: Key
) -> tuple[ItoLevyState, KernelOutput]:
    """Learn the outcome of the waiting forecast, then forecast lambda (E[X_{t+1} - X_t | X_t] + jump compensator).

    Inside the range of distances that the drift was learned on, the conditional mean of the Ornstein-Uhlenbeck process
    is exact: constant + (1 - exp(-theta)) (level - X).  Beyond it the drift is held at its value at the edge, which has
    no closed form, and the mean equation is integrated by the switched scheme.  The compensator is intensity times mean
    jump; the variance is diffusion^2 + intensity (jump_mean^2 + jump_scale^2).

    Args:
        config: the `kernel_c_*` and `sde_*` fields, `wtmm_buffer_size`, `kernel_ridge_lambda`, `forecast_clip`.
        state: the kernel's state.
        inputs: what is known at t.
        key: unused: a mean needs no samples.

    Returns:
        The new state, and mean and scale of the next increment [units of s_t].

    Source: seed 003, section 10.4; MATH.md, kernel C; Uhlenbeck and Ornstein (1930) for the mean.
    """
    del key
    target = jnp.clip(inputs.increment, -TARGET_BOUND, TARGET_BOUND)
    innovation = inputs.increment - state.mean
    estimate = estimate_learn(state.estimate, state.mean, innovation, inputs.learn)
    track = track_learn(state.track, state.model_mean, target, TRACK_FORGETTING, inputs.learn)

    edge = jnp.minimum(LINEAR_RANGE * inputs.spread, LARGEST_DISTANCE)
    distance = jnp.clip(inputs.level, -edge, edge)
    estimate = estimate._replace(features=jnp.stack([jnp.ones(()), distance]))
    model = parameters(estimate, inputs.level, config)
    stiffness = model.theta * config.wtmm_buffer_size
    weight = implicit_weight(stiffness, inputs.stiffness_low, inputs.stiffness_high)
    exact = jnp.abs(inputs.level) <= edge
    closed = -jnp.expm1(-model.theta) * distance
    moved = jnp.where(exact, closed, _reversion_beyond_range(config, model, edge, weight))
    compensator = model.jump_intensity * model.jump_mean
    model_mean = jnp.clip(model.constant + moved + compensator, -config.forecast_clip, config.forecast_clip)
    shrinkage = track_shrinkage(track)
    mean = shrinkage * model_mean
    variance = model.diffusion**2 + model.jump_intensity * (model.jump_mean**2 + model.jump_scale**2)
    diagnostics = ItoLevyDiagnostics(
        drift=model.constant + model.theta * distance,
        theta=model.theta,
        diffusion=model.diffusion,
        jump_intensity=model.jump_intensity,
        jump_mean=model.jump_mean,
        jump_scale=model.jump_scale,
        jump_count=estimate.jumps,
        stiffness=stiffness,
        solver=jnp.where(weight <= 0.0, 0, jnp.where(weight >= 1.0, 2, 1)),
        exact=exact,
        shrinkage=shrinkage,
        drift_increment=jnp.where(inputs.learn, state.mean, jnp.nan),
        martingale_increment=jnp.where(inputs.learn, innovation, jnp.nan),
    )
    state = ItoLevyState(estimate, track, model_mean, mean)
    means = jnp.concatenate([mean[None], ahead(config, state, inputs, config.ladder)])
    scales = jnp.sqrt(variance * _growth(2.0 * model.theta, config.steps))
    return state, KernelOutput(means, scales, diagnostics)


def ahead(
    config: PredictorConfig, state: ItoLevyState, inputs: KernelInputs, steps: tuple[int, ...]
) -> Float[Array, "step"]:
    """E[X_{t+h} - X_t | X_t] = lambda m (1 - a^h) / (1 - a), a = 1 - lambda (1 - exp(-theta)).

    m is the model's mean of the next increment and lambda how far it is believed: what is left of the distance to the
    level shrinks by a at every tick, and the next tick's mean with it.

    Args:
        config, inputs: unused but for the newest tick's level.
        state: of the newest tick.
        steps: ticks ahead.

    Source: Uhlenbeck and Ornstein (1930), at whole ticks.
    """
    model = parameters(state.estimate, inputs.level, config)
    share = track_shrinkage(state.track) * -jnp.expm1(-model.theta)
    return state.mean * _growth(-jnp.log1p(-jnp.minimum(share, LARGEST_SHARE)), steps)


def _growth(rate: Scalar, steps: tuple[int, ...]) -> Float[Array, "step"]:
    """(1 - exp(-rate h)) / (1 - exp(-rate)), h at a rate of zero."""
    h = np.array(steps, float)
    safe = jnp.where(rate < LEAST_RATE, 1.0, rate)
    return jnp.where(rate < LEAST_RATE, h, jnp.expm1(-safe * h) / jnp.expm1(-safe))


def _reversion_beyond_range(config: PredictorConfig, model: LevyParameters, edge: Scalar, weight: Scalar) -> Scalar:
    """Displacement over one tick under x' = theta clip(level - x, +-edge)."""
    mesh = graded_mesh(config.sde_dt, MEAN_STEPS)

    def drift(x: Array) -> Array:
        return model.theta * jnp.clip(model.level - x, -edge, edge)

    return mean_flow(drift, jnp.zeros(()), mesh, weight, config.sde_fd_epsilon)


def simulate_paths(
    config: PredictorConfig, parameters: LevyParameters, horizon: float, paths: int, key: Key
) -> tuple[Float[Array, "points"], Float[Array, "paths points"]]:
    """Draw paths of dX = (constant + theta (level - X)) dt + sigma dW + dJ from X = 0, by the switched scheme.

    Args:
        config: `sde_numel_integrations` steps; `stiffness_low`, `stiffness_high`, `wtmm_buffer_size` choose the scheme;
            `kernel_c_jump_max_events` bounds the jumps of a path per tick (and of a step, where it is longer).
        parameters: of the process, per tick [scale].
        horizon: how far ahead [ticks], > 0.
        paths: how many, >= 1.
        key: of the random draws.

    Returns:
        Times 0..horizon and the paths [units of s_t, as seen from the present value].

    Raises:
        DomainError: the horizon is not positive and finite, or there is no path to draw.

    Source: Kloeden and Platen (1992), section 10.2; Platen and Bruti-Liberati (2010), section 6.1 (jumps at the grid).
    """
    if not 0.0 < horizon < float("inf"):
        raise DomainError(f"horizon = {horizon!r} ticks must be positive and finite")
    if paths < 1:
        raise DomainError(f"paths = {paths!r} must be at least 1")
    steps = config.sde_numel_integrations
    dt = horizon / steps
    weight = implicit_weight(parameters.theta * config.wtmm_buffer_size, config.stiffness_low, config.stiffness_high)

    def drift(x: Array) -> Array:
        return parameters.constant + parameters.theta * (parameters.level - x)

    def one_step(x: Float[Array, "paths"], step_key: Key) -> tuple[Float[Array, "paths"], Float[Array, "paths"]]:
        normal_key, count_key, size_key = jax.random.split(step_key, 3)
        cap = config.kernel_c_jump_max_events * max(1.0, dt)
        noise = parameters.diffusion * jnp.sqrt(dt) * jax.random.normal(normal_key, (paths,))
        jumps = _jump_sum(parameters, dt, cap, paths, count_key, size_key)
        moved = switched_step(drift, x, dt, weight, noise + jumps, config.sde_fd_epsilon)
        return moved, moved

    _, later = jax.lax.scan(one_step, jnp.zeros(paths), jax.random.split(key, steps))
    return jnp.linspace(0.0, horizon, steps + 1), jnp.concatenate([jnp.zeros((paths, 1)), later.T], axis=1)


def _jump_sum(
    parameters: LevyParameters, dt: Scalar | float, cap: float, paths: int, count_key: Key, size_key: Key
) -> Float[Array, "paths"]:
    """Sum of N ~ Poisson(intensity dt) normal jumps: given N it is normal with mean N m and variance N s^2."""
    count = jnp.minimum(jax.random.poisson(count_key, parameters.jump_intensity * dt, (paths,)), cap)
    normal = jax.random.normal(size_key, (paths,))
    return count * parameters.jump_mean + jnp.sqrt(count) * parameters.jump_scale * normal
