"""Paths of the estimated jump diffusion, for fan charts; the tick does not use them: its forecast is a mean."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ....array_types import Array, Float, Key, Scalar
from ....config.schema import PredictorConfig
from ....errors import DomainError
from .estimation import LevyParameters
from .schemes import implicit_weight, switched_step


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
