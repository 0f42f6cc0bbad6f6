"""One JKO step of the weights down their free energy, and the fusion of the kernels under the new weights."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from ...array_types import Array, Bool, Flag, Float, Scalar
from ...config.schema import PredictorConfig
from .sinkhorn import SinkhornResult, compute_cost_matrix, volatility_coupled_sinkhorn


class FusionResult(NamedTuple):
    """Outcome of transport and fusion at one tick.

    Attributes:
        fused_prediction: sum of weights times forecasts [units of s_t].
        updated_weights: rho_{k+1}, on the simplex.
        free_energy, free_energy_before: F after and before the step.
        sinkhorn_converged, sinkhorn_epsilon, sinkhorn_transport, sinkhorn_max_err, transport_cost: of the transport
            from rho_k to the target.
    """

    fused_prediction: Scalar
    updated_weights: Float[Array, "kernel"]
    free_energy: Scalar
    free_energy_before: Scalar
    sinkhorn_converged: Flag
    sinkhorn_epsilon: Scalar
    sinkhorn_transport: Float[Array, "kernel kernel"]
    sinkhorn_max_err: Scalar
    transport_cost: Scalar


def relative_entropy(weights: Float[Array, "kernel"], target: Float[Array, "kernel"]) -> Scalar:
    """KL(rho | rho_hat): expected loss under rho less its entropy, up to a constant, for rho_hat = softmax(-loss)."""
    logs = jnp.where(weights > 0, jnp.log(jnp.where(weights > 0, weights, 1.0)), 0.0)
    return jnp.sum(weights * (logs - jnp.log(target)))


def on_simplex(weights: Float[Array, "kernel"], floor: Scalar | float) -> Float[Array, "kernel"]:
    """Weights with a floor, summing to one."""
    raised = jnp.maximum(weights, floor)
    return raised / jnp.sum(raised)


def jko_step(
    weights: Float[Array, "kernel"],
    target: Float[Array, "kernel"],
    cost: Float[Array, "kernel kernel"],
    ema_variance: Scalar,
    learning_rate: Scalar,
    config: PredictorConfig,
) -> tuple[Float[Array, "kernel"], SinkhornResult, Scalar, Scalar]:
    """rho <- rho + eta (rho_hat - rho), taken only where it lowers the free energy.

    The free energy is F(rho) = OT_eps(rho, rho_hat) + KL(rho | rho_hat): what it costs to carry the weights to their
    target across disagreeing forecasts, plus the expected loss under rho less its entropy.  F is convex along the
    segment, and a step that would raise it is refused.

    Returns:
        New weights, the transport from rho to rho_hat, F before and F after.

    Source: Jordan, Kinderlehrer and Otto (SIAM J. Math. Anal. 1998); seed 003, section 3.1.
    """
    source = on_simplex(weights, config.confidence_floor * 1e-2)
    moved = source + learning_rate * (target - source)
    moved = moved / jnp.sum(moved)
    transport = volatility_coupled_sinkhorn(source, target, cost, ema_variance, config)
    remaining = volatility_coupled_sinkhorn(moved, target, cost, ema_variance, config, transport.target_potential)
    before = transport.reg_ot_cost + relative_entropy(source, target)
    after = remaining.reg_ot_cost + relative_entropy(moved, target)
    # Nothing is known of a free energy whose transport did not converge; the step is then taken on the record alone.
    falls = (after <= before) | ~transport.converged | ~remaining.converged
    return jnp.where(falls, moved, source), transport, before, jnp.where(falls, after, before)


def fuse_kernel_outputs(
    predictions: Float[Array, "kernel"],
    confidences: Float[Array, "kernel"],
    current_weights: Float[Array, "kernel"],
    ema_variance: Scalar,
    learning_rate: Scalar,
    config: PredictorConfig,
    robust: Flag | bool = False,
) -> FusionResult:
    """Move the weights towards the confidences by one JKO step and average the forecasts under them.

    Args:
        predictions: the kernels' forecasts [units of s_t].
        confidences: track records on the simplex, each above zero.
        current_weights: rho_k, on the simplex.
        ema_variance: volatility variance, about 1.
        learning_rate: eta in (0, 1].
        config: settings of cost, regularisation and tolerance.
        robust: whether the emergency asks for the Huber cost.
    """
    cost = compute_cost_matrix(predictions, config, jnp.asarray(robust))
    weights, transport, before, after = jko_step(
        current_weights, confidences, cost, ema_variance, learning_rate, config
    )
    return FusionResult(
        fused_prediction=jnp.sum(weights * predictions),
        updated_weights=weights,
        free_energy=after,
        free_energy_before=before,
        sinkhorn_converged=transport.converged,
        sinkhorn_epsilon=transport.epsilon,
        sinkhorn_transport=transport.transport_matrix,
        sinkhorn_max_err=transport.max_err,
        transport_cost=transport.reg_ot_cost,
    )


def forecast_reach(config: PredictorConfig, steps: tuple[int, ...]) -> Float[Array, "step"]:
    """How far forecasts may lie from the newest value: `forecast_clip` times a random walk's spread [s_t]."""
    return config.forecast_clip * jnp.sqrt(jnp.asarray(steps, float))


def clip_forecasts(
    means: Float[Array, "kernel step"], path: Float[Array, "window"], bound: Float[Array, "step"]
) -> tuple[Float[Array, "kernel step"], Bool[Array, "kernel step"]]:
    """Forecasts held to `bound` around the last value or to where the window has been, and which were."""
    low, high = jnp.minimum(-bound, jnp.min(path)), jnp.maximum(bound, jnp.max(path))
    held = jnp.clip(means, low[None, :], high[None, :])
    return held, held != means


def mixture_scale(
    weights: Float[Array, "kernel"], means: Float[Array, "kernel"], scales: Float[Array, "kernel"]
) -> Scalar:
    """Standard deviation of the mixture: sqrt(sum w (s^2 + m^2) - (sum w m)^2)."""
    center = jnp.sum(weights * means)
    return jnp.sqrt(jnp.sum(weights * (scales**2 + (means - center) ** 2)))
