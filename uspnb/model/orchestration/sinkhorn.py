"""Volatility-coupled entropic optimal transport between the weights that are and the weights that should be."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ...array_types import Array, Flag, Float, Int, Scalar
from ...config.schema import PredictorConfig

TOLERANCE_SHARE = 0.1
LOWERING = 0.2
LONGEST_STEP, LINEAR = 40.0, 0.01
STEP_LENGTHS = (0.0, 1.0, 0.25, 0.05, 4.0)
PIVOT = 1e-12


class SinkhornResult(NamedTuple):
    """Outcome of one entropic transport problem.

    Attributes:
        transport_matrix: plan P; rows sum to the source, columns to the target.
        reg_ot_cost: <P, C> + eps KL(P | a b').
        converged: whether the largest marginal error is within `validation_simplex_atol`.
        epsilon: eps.
        max_err: largest marginal error.
        source_potential: the gradient of the cost with respect to the source, up to a constant.
        target_potential: g, from which a neighbouring problem may start.
        iterations: rounds used.
    """

    transport_matrix: Float[Array, "kernel kernel"]
    reg_ot_cost: Scalar
    converged: Flag
    epsilon: Scalar
    max_err: Scalar
    source_potential: Float[Array, "kernel"]
    target_potential: Float[Array, "kernel"]
    iterations: Int[Array, ""]


def compute_sinkhorn_epsilon(ema_variance: Scalar, config: PredictorConfig) -> Scalar:
    """eps_t = max(eps_min, eps_0 (1 + alpha sigma_t)), sigma_t the root of the variance average, gradient blocked.

    Source: seed 003, section 2.1.
    """
    sigma = jnp.sqrt(jnp.maximum(jax.lax.stop_gradient(ema_variance), config.numerical_epsilon))
    followed = config.sinkhorn_epsilon_0 * (1.0 + config.sinkhorn_alpha * sigma)
    coupled = jnp.maximum(config.sinkhorn_epsilon_min, followed)
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
    start: Float[Array, "kernel"] | None = None,
) -> SinkhornResult:
    """Entropic transport at the regularisation that the volatility asks for."""
    epsilon = compute_sinkhorn_epsilon(ema_variance, config)
    return sinkhorn(source_weights, target_weights, cost_matrix, epsilon, config, start)


def sinkhorn(
    source: Float[Array, "n"],
    target: Float[Array, "n"],
    cost: Float[Array, "n n"],
    epsilon: Scalar,
    config: PredictorConfig,
    start: Float[Array, "n"] | None = None,
) -> SinkhornResult:
    """Entropic transport by Sinkhorn sweeps in the log domain, each followed by a Newton step on the dual.

    A sweep is f = eps log a - eps LSE_j((g_j - C_ij)/eps) and so for g.  Sweeps alone stall where forecasts lie far
    apart in units of eps (12 % of random problems miss 1e-7 after 200): weight that must cross such a gap moves the
    potentials by about eps a sweep.  The semi-dual D(g) = <b, g> - eps <a, LSE_j((g_j - C_ij)/eps)> is concave with
    Hessian -(diag(P'1) - P' diag(1/a) P)/eps, so a Newton step with the best of a few lengths crosses it at once (at
    most 38 rounds on the same problems, 6 at the median).  eps is lowered geometrically from the size of the cost.

    Args:
        source, target: a and b, positive, summing to one.
        cost: C [scale^2].
        epsilon: eps > 0 [scale^2].
        config: `sinkhorn_max_iter`, `validation_simplex_atol`.
        start: potential g to start from at eps itself, zero at a large eps where left out.

    Source: Peyre and Cuturi, Computational Optimal Transport (2019), sections 4.1, 4.4 and 5.3; Brauer, Clason, Lorenz
    and Wirth, A Sinkhorn-Newton method for entropic optimal transport (2017).
    """
    log_source, log_target = jnp.log(source), jnp.log(target)
    tolerance = TOLERANCE_SHARE * config.validation_simplex_atol

    def rows(g: Float[Array, "n"], eps: Scalar) -> Float[Array, "n"]:
        return eps * (log_source - jax.nn.logsumexp((g[None, :] - cost) / eps, axis=1))

    def columns(f: Float[Array, "n"], eps: Scalar) -> Float[Array, "n"]:
        return eps * (log_target - jax.nn.logsumexp((f[:, None] - cost) / eps, axis=0))

    def plan_of(f: Float[Array, "n"], g: Float[Array, "n"], eps: Scalar) -> Float[Array, "n n"]:
        return jnp.exp((f[:, None] + g[None, :] - cost) / eps)

    def semidual(g: Float[Array, "n"], eps: Scalar) -> Scalar:
        return jnp.sum(target * g) - eps * jnp.sum(source * jax.nn.logsumexp((g[None, :] - cost) / eps, axis=1))

    def body(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        g, _, count, eps = carry
        eps = jnp.maximum(epsilon, LOWERING * eps)
        g = columns(rows(g, eps), eps)
        plan = plan_of(rows(g, eps), g, eps)
        gradient = target - jnp.sum(plan, axis=0)
        curvature = (jnp.diag(jnp.sum(plan, axis=0)) - plan.T @ (plan / source[:, None])) / eps
        direction = jnp.clip(_newton_direction(curvature, gradient), -LONGEST_STEP * eps, LONGEST_STEP * eps)
        candidates = g[None, :] + jnp.asarray(STEP_LENGTHS)[:, None] * direction[None, :]
        best = jnp.argmax(jax.vmap(semidual, in_axes=(0, None))(candidates, eps))
        error = jnp.max(jnp.abs(gradient))
        # The last step is a full one: within the tolerance the dual is flat to rounding, and the result depends no more
        # on which round was the last, which rounding decides.
        small = jnp.max(jnp.abs(direction)) <= LINEAR * eps
        last = jnp.where(small, g + direction, g)
        return jnp.where(error <= tolerance, last, candidates[best]), error, count + 1, eps

    def unfinished(carry: tuple[Array, ...]) -> Flag:
        _, error, count, eps = carry
        return ~((error <= tolerance) & (eps <= epsilon)) & (count < config.sinkhorn_max_iter)

    first = jnp.maximum(epsilon, jnp.max(cost)) if start is None else epsilon
    g = jnp.zeros_like(source) if start is None else start
    g, _, count, _ = jax.lax.while_loop(
        unfinished, body, (g, jnp.full((), jnp.inf), jnp.zeros((), jnp.int64), jnp.asarray(first) / LOWERING)
    )
    f = rows(g, epsilon)
    log_plan = (f[:, None] + g[None, :] - cost) / epsilon
    plan = jnp.exp(log_plan)
    error = jnp.max(jnp.abs(jnp.sum(plan, axis=0) - target))
    divergence = jnp.sum(plan * (log_plan - log_source[:, None] - log_target[None, :]))
    return SinkhornResult(
        transport_matrix=plan,
        reg_ot_cost=jnp.sum(plan * cost) + epsilon * divergence,
        converged=error <= config.validation_simplex_atol,
        epsilon=epsilon,
        max_err=error,
        source_potential=f - epsilon * log_source,
        target_potential=g,
        iterations=count,
    )


def _newton_direction(curvature: Float[Array, "n n"], gradient: Float[Array, "n"]) -> Float[Array, "n"]:
    """Solve the semi-definite system with the first potential held at zero, by elimination written out.

    The matrix is 3 x 3 in the step: written out it costs a few multiplications, where a library call costs microseconds
    a tick and, in a batch, a pass over memory.
    """
    n = gradient.shape[0] - 1
    trace = jnp.trace(curvature)
    a = [[curvature[i + 1, j + 1] for j in range(n)] for i in range(n)]
    b = [gradient[i + 1] for i in range(n)]
    for i in range(n):
        a[i][i] = a[i][i] + PIVOT * trace + 1e-300
    for i in range(n):
        for j in range(i + 1, n):
            factor = a[j][i] / a[i][i]
            for k in range(i, n):
                a[j][k] = a[j][k] - factor * a[i][k]
            b[j] = b[j] - factor * b[i]
    solution: list[Scalar] = [jnp.zeros(())] * n
    for i in reversed(range(n)):
        eliminated = sum((a[i][k] * solution[k] for k in range(i + 1, n)), jnp.zeros(()))
        solution[i] = (b[i] - eliminated) / jnp.where(a[i][i] > 0, a[i][i], jnp.inf)
    return jnp.stack([jnp.zeros(()), *solution])
