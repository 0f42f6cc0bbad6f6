"""What kind of process is this: roughness, spectrum, drift and martingale, measured on the rolling window.

Here the window is made safe to measure: finite, of size at most one, relative to its first real tick.
"""

from __future__ import annotations

import jax.numpy as jnp

from ...array_types import Array, Bool, Count, Flag, Float


def real_ticks(window: int, count: Count) -> Bool[Array, "window"]:
    """Which entries of a window, oldest first, are real ticks: its newest `count`."""
    return jnp.arange(window) >= window - jnp.clip(count, 1, window)


def window_size(path: Float[Array, "window"], count: Count) -> tuple[Float[Array, ""], Flag]:
    """Largest modulus among the real ticks, at least the smallest normal number, and whether all are finite."""
    real = real_ticks(path.shape[0], count)
    finite = jnp.isfinite(path)
    size = jnp.max(jnp.where(real & finite, jnp.abs(path), 0.0))
    return jnp.maximum(size, jnp.finfo(path.dtype).tiny), jnp.all(finite | ~real)


def centred_path(path: Float[Array, "window"], count: Count) -> tuple[Float[Array, "window"], Flag]:
    """(x - x_first) / max |x - x_first| over the real ticks, 0 before them, and whether it is finite and moves at all.

    Args:
        path: the window, oldest first [any units].
        count: how many of its newest entries are real ticks.

    Returns:
        The dimensionless path and a flag; where the window is constant or not finite the path is 0 and the flag False.
    """
    window = path.shape[0]
    real = real_ticks(window, count)
    size, finite = window_size(path, count)
    clean = jnp.where(real & finite, path / size, 0.0)
    clean = jnp.where(real, clean - clean[window - jnp.clip(count, 1, window)], 0.0)
    reach = jnp.max(jnp.abs(clean))
    sound = finite & (reach > 1e-14)
    return jnp.where(sound, clean / jnp.where(sound, reach, 1.0), 0.0), sound
