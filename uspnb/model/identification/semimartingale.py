"""The window as a semimartingale: X = X_0 + A + M, a path of finite variation and a martingale."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ...array_types import Array, Count, Float, Scalar
from . import real_ticks, window_size


class SemimartingaleSplit(NamedTuple):
    """Canonical decomposition of the window under a constant drift.  All are 0 where there are fewer than 3 ticks.

    Attributes:
        drift: mean increment mu [units / tick].
        martingale_last: M at the newest tick, relative to the first [units].  Under a drift fitted to the whole window
            it would vanish by construction, so the drift here is fitted to all increments but the newest.
        finite_variation: total variation |mu| (n - 1) of A [units].
        quadratic_variation: sum of squared increments [units^2].
        bipower_variation: (pi / 2) n / (n - 1) sum of |d_i| |d_{i-1}| [units^2]: the part without jumps.
        jump_share: max(0, 1 - bipower / quadratic), the share of jumps in the quadratic variation.
    """

    drift: Scalar
    martingale_last: Scalar
    finite_variation: Scalar
    quadratic_variation: Scalar
    bipower_variation: Scalar
    jump_share: Scalar


def semimartingale_split(path: Float[Array, "window"], count: Count) -> SemimartingaleSplit:
    """Drift, martingale, and the quadratic variation with and without jumps, of the real ticks of a window.

        M_t = X_t - X_0 - mu t,   [X] = sum d_i^2,   BV = (pi / 2) sum |d_i| |d_{i-1}|

    Args:
        path: the window, oldest first [units]; at 1e154 units and above the squares overflow to inf.
        count: how many of its newest entries are real ticks.

    Returns:
        The split, in the units of the path; NaN where a real tick is not finite.

    Source: Barndorff-Nielsen and Shephard, J. Financial Econometrics 2, 1 (2004), theorem 2.
    """
    window = path.shape[0]
    size, finite = window_size(path, count)
    real = real_ticks(window, count)
    clean = jnp.where(real & finite, path / size, 0.0)
    moved = real[:-1] & real[1:]
    increment = jnp.where(moved, clean[1:] - clean[:-1], 0.0)
    number = jnp.clip(count, 1, window).astype(path.dtype) - 1.0
    enough = number >= 2.0
    total = jnp.sum(increment)
    drift = jnp.where(enough, (total - increment[-1]) / jnp.maximum(number - 1.0, 1.0), 0.0)
    martingale = jnp.where(enough, total - drift * number, 0.0)
    quadratic = jnp.sum(increment**2)
    # n / (n - 1) makes up for the product that a window of n increments lacks.
    lacking = number / jnp.maximum(number - 1.0, 1.0)
    bipower = 0.5 * np.pi * lacking * jnp.sum(jnp.abs(increment[1:] * increment[:-1]))
    moves = quadratic > 0.0
    share = jnp.where(moves, jnp.maximum(0.0, 1.0 - bipower / jnp.where(moves, quadratic, 1.0)), 0.0)
    mark = jnp.where(finite, 1.0, jnp.nan).astype(path.dtype)
    defined = jnp.where(enough, mark, 0.0 * mark)
    return SemimartingaleSplit(
        drift=defined * drift * size,
        martingale_last=defined * martingale * size,
        finite_variation=defined * jnp.abs(drift) * number * size,
        quadratic_variation=defined * quadratic * size * size,
        bipower_variation=defined * bipower * size * size,
        jump_share=defined * share,
    )
