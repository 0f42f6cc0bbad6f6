"""Volatility-coupled entropic optimal transport between the weights that are and the weights that should be."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..array_types import Array, Flag, Float, Int, Scalar
from ..config.schema import PredictorConfig


class SinkhornResult(NamedTuple):
    """Outcome of one entropic transport problem.

    Attributes:
        transport_matrix: plan P; rows sum to the source, columns to the target.
        reg_ot_cost: <P, C> + eps KL(P | a b').
        converged: whether the largest marginal error is within `validation_simplex_atol`.
        epsilon: eps.
        max_err: largest marginal error.
        source_potential: f, the gradient of the cost with respect to the source, up to a constant.
        iterations: iterations used.
    """

    transport_matrix: Float[Array, "kernel kernel"]
    reg_ot_cost: Scalar
    converged: Flag
    epsilon: Scalar
    max_err: Scalar
    source_potential: Float[Array, "kernel"]
    iterations: Int[Array, ""]


def compute_sinkhorn_epsilon(ema_variance: Scalar, config: PredictorConfig) -> Scalar:
    """eps_t = max(eps_min, eps_0 (1 + alpha sigma_t)), sigma_t the root of the variance average, gradient blocked.

    Source: seed 003, section 2.1.
    """
    sigma = jnp.sqrt(jnp.maximum(jax.lax.stop_gradient(ema_variance), config.numerical_epsilon))
    coupled = jnp.maximum(config.sinkhorn_epsilon_min, config.sinkhorn_epsilon_0 * (1.0 + config.sinkhorn_alpha * sigma))
    return jax.lax.stop_gradient(coupled if config.sinkhorn_coupled else jnp.asarray(config.epsilon, float))


def compute_cost_matrix(
    predictions: Float[Array, "kernel"], config: PredictorConfig, robust: Flag
) -> Float[Array, "kernel kernel"]:
    """Ground cost between the kernels' forecasts: their squared distance, or Huber's where `robust`.

    Args:
        predictions: the kernels' forecasts [units of s_t].
        robust: whether the emergency asks for the Huber cost; `sinkhorn_cost_type` may ask for it always.
    """
    distance = jnp.abs(predictions[:, None] - predictions[None, :])
    delta = config.sinkhorn_huber_delta
    huber = jnp.where(distance <= delta, distance**2, 2.0 * delta * distance - delta**2)
    if config.sinkhorn_cost_type == "huber":
        return huber
    return jnp.where(robust, huber, distance**2)


def volatility_coupled_sinkhorn(
    source_weights: Float[Array, "kernel"],
    target_weights: Float[Array, "kernel"],
    cost_matrix: Float[Array, "kernel kernel"],
    ema_variance: Scalar,
    config: PredictorConfig,
) -> SinkhornResult:
    """Entropic transport at the regularisation that the volatility asks for."""
    return sinkhorn(
        source_weights, target_weights, cost_matrix, compute_sinkhorn_epsilon(ema_variance, config), config
    )


def sinkhorn(
    source: Float[Array, "n"],
    target: Float[Array, "n"],
    cost: Float[Array, "n n"],
    epsilon: Scalar,
    config: PredictorConfig,
) -> SinkhornResult:
    """Sinkhorn's iteration in the log domain, stopped at convergence or after `sinkhorn_max_iter` sweeps.

    f = eps log a - eps LSE_j((g_j - C_ij)/eps) and so for g.  The regularisation is lowered geometrically to eps, which
    keeps the number of sweeps small where C/eps is large; the loop ends early, so that a calm tick costs a few sweeps.

    Source: Peyre and Cuturi, Computational Optimal Transport (2019), sections 4.4 and 4.1.
    """
    log_source, log_target = jnp.log(source), jnp.log(target)

    def sweep(g: Float[Array, "n"], eps: Scalar) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
        f = eps * (log_source - jax.nn.logsumexp((g[None, :] - cost) / eps, axis=1))
        g = eps * (log_target - jax.nn.logsumexp((f[:, None] - cost) / eps, axis=0))
        return f, g

    def error_of(f: Float[Array, "n"], g: Float[Array, "n"], eps: Scalar) -> Scalar:
        # After the update of g the columns are exact; only the rows can be off.
        plan = jnp.exp((f[:, None] + g[None, :] - cost) / eps)
        return jnp.max(jnp.abs(jnp.sum(plan, axis=1) - source))

    def unfinished(carry: tuple[Array, ...]) -> Flag:
        _, _, error, count, eps = carry
        settled = (error <= 0.1 * config.validation_simplex_atol) & (eps <= epsilon)
        return ~settled & (count < config.sinkhorn_max_iter)

    def body(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        _, g, _, count, eps = carry
        lowered = jnp.maximum(epsilon, eps * 0.5)
        f, g = sweep(g, lowered)
        return f, g, error_of(f, g, lowered), count + 1, lowered

    start = jnp.maximum(epsilon, jnp.max(cost))
    zero = jnp.zeros_like(source)
    f, g, error, count, _ = jax.lax.while_loop(
        unfinished, body, (zero, zero, jnp.full((), jnp.inf), jnp.zeros((), jnp.int64), 2.0 * start)
    )
    log_plan = (f[:, None] + g[None, :] - cost) / epsilon
    plan = jnp.exp(log_plan)
    divergence = jnp.sum(plan * (log_plan - log_source[:, None] - log_target[None, :]) - plan) + jnp.sum(source)
    return SinkhornResult(
        transport_matrix=plan,
        reg_ot_cost=jnp.sum(plan * cost) + epsilon * divergence,
        converged=error <= config.validation_simplex_atol,
        epsilon=epsilon,
        max_err=error,
        source_potential=f - epsilon * log_source,
        iterations=count,
    )
