"""Multifractal spectrum of a path, on request: tau(q), h(q) and D(h) from the lines of wavelet maxima."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ...array_types import Array, Flag, Float
from ...config.schema import PredictorConfig
from .wtmm import LEAST_LINES, maxima_lines, weighted_slope

# The finest fifth of the scales feels the sampling, and its lines have no finer scale to take a supremum over.
SETTLING = 5


class MultifractalSpectrum(NamedTuple):
    """Scaling of the partition function and its Legendre transform.

    Attributes:
        tau: scaling exponents tau(q).
        h: Holder exponents h(q) = tau'(q).
        dimension: D(h(q)) = q h(q) - tau(q).
        valid: whether the window has a spectrum; all three are NaN where not.
    """

    tau: Float[Array, "orders"]
    h: Float[Array, "orders"]
    dimension: Float[Array, "orders"]
    valid: Flag


def multifractal_spectrum(
    path: Float[Array, "window"], config: PredictorConfig, q: Float[Array, "orders"]
) -> MultifractalSpectrum:
    """tau(q), h(q) and D(h) of a whole window by WTMM.

        Z(q, a) = sum over lines of (sup_{a' <= a} |W|)^q ~ a^{tau(q)},   D(h) = min_q (q h - tau(q))

    Slopes are ordinary least squares over the scales that hold at least 2 lines, but for the
    finest fifth.  h(q) is the slope of the mean of
    log sup |W| under the weights (sup |W|)^q / Z, the derivative of log Z in q, so that no numerical derivative of
    tau is taken (Chhabra and Jensen 1989).  h(0) differs from `holder_exponent` only in the scales
    and their weights.

    Args:
        path: the window, oldest first [any units], every entry a real tick.
        config: `wtmm_scales`, `input_kind` (static), `besov_cone_c` (traced).
        q: orders.

    Returns:
        The spectrum, NaN and not valid for a constant, linear, non-finite or too short window.

    Source: Muzy, Bacry and Arneodo, Phys. Rev. E 47, 875 (1993), section III.
    """
    cone_c = jnp.asarray(config.besov_cone_c, path.dtype)
    count = jnp.asarray(path.shape[0])
    lines = maxima_lines(path, count, cone_c, config.wtmm_scales, config.input_kind == "increments")
    alive = lines.log_supremum > -jnp.inf
    number = jnp.sum(alive, axis=1)
    used = ((number >= 2) & (jnp.arange(config.wtmm_scales) >= config.wtmm_scales // SETTLING)).astype(path.dtype)
    height = jnp.where(alive, lines.log_supremum, 0.0)
    valid = lines.sound & (number[0] >= LEAST_LINES) & (jnp.sum(used) >= config.wtmm_scales // 3)

    def slope(y: Float[Array, "scales"]) -> Array:
        return weighted_slope(lines.log_scale, y, used)

    def one(order: Array) -> tuple[Array, Array]:
        exponent = jnp.where(alive, order * height, -jnp.inf)
        top = jnp.where(number > 0, jnp.max(exponent, axis=1), 0.0)
        share = jnp.where(alive, jnp.exp(exponent - top[:, None]), 0.0)
        total = jnp.where(number > 0, jnp.sum(share, axis=1), 1.0)
        return slope(top + jnp.log(total)), slope(jnp.sum(share * height, axis=1) / total)

    tau, h = jax.vmap(one)(q)
    tau, h = jnp.where(valid, tau, jnp.nan), jnp.where(valid, h, jnp.nan)
    return MultifractalSpectrum(tau, h, q * h - tau, valid)
