"""The calibrated interval: an online conformal quantile of |residual| over the mixture scale."""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.special import ndtri

from ...array_types import Flag, Scalar
from ...config.schema import PredictorConfig

SMALLEST, LARGEST = 0.05, 50.0


def gaussian_quantile(level: Scalar | float) -> Scalar:
    """Half-width of the central `level` interval of N(0, 1)."""
    return ndtri(0.5 + 0.5 * jnp.asarray(level, float))


def track_quantile(
    quantile: Scalar, residual: Scalar, half_unit: Scalar, config: PredictorConfig, scored: Flag
) -> Scalar:
    """q <- q + rate q (miss - (1 - level)): the quantile of |e| / scale by online pinball descent, clipped.

    The step is relative to q, so that the correction is free of units; clipping keeps widths finite whatever comes.

    Args:
        quantile: q before the tick, NaN before the first.
        residual: e_t [y].
        half_unit: scale of the forecast that was scored [y].
        config: `confidence_level`, `interval_rate`.
        scored: whether there is a residual.

    Source: Gibbs and Candes, Adaptive Conformal Inference (NeurIPS 2021); Angelopoulos et al., Conformal PID Control
    (NeurIPS 2023), quantile tracker.
    """
    start = jnp.where(jnp.isnan(quantile), gaussian_quantile(config.confidence_level), quantile)
    size = jnp.abs(jnp.where(scored, residual, 0.0))
    miss = (size > start * half_unit).astype(float)
    moved = start + config.interval_rate * start * (miss - (1.0 - config.confidence_level))
    return jnp.where(scored, jnp.clip(moved, SMALLEST, LARGEST), start)
