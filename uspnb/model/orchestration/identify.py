"""What kind of process is this: roughness and spectrum on a stride, the cheap diagnostics at every tick."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ...array_types import Array, Count, Flag, Float, Scalar
from ...config.schema import PredictorConfig
from ..cadence import on_stride, where_due
from ..identification.roughness import jump_test, stationarity_indicator, whittle_exponent
from ..identification.semimartingale import semimartingale_split
from ..identification.spectrum import WindowSpectrum, spectrum_where_due
from ..identification.wtmm import holder_exponent
from ..state import RoughnessState
from .modes import update_roughness

LEAST_TICKS = 64


class Character(NamedTuple):
    """Diagnostics of the window that carry no state."""

    jump: Flag
    drift: Scalar
    quadratic_variation: Scalar
    jump_share: Scalar


def identify(
    config: PredictorConfig,
    rough: RoughnessState,
    spectrum: WindowSpectrum,
    path: Float[Array, "window"],
    count_all: Count,
) -> tuple[RoughnessState, WindowSpectrum, Character]:
    """Measure roughness, spectrum and stationarity every `wtmm_stride` ticks and describe the window.

    Args:
        path: the window in the frame, path[-1] == 0 [units of s_t].
        count_all: accepted ticks so far; the newest of them fill the window.
    """
    count = jnp.minimum(count_all, path.shape[0])

    turn = on_stride(count_all, config.wtmm_stride)
    due = turn & (count >= LEAST_TICKS)
    estimate = holder_exponent(path, count, config, due)
    whittle, stationary = where_due(
        turn,
        lambda path, count, _: _cross_checks(config, path, count),
        lambda path, count, stationary: (jnp.full((), jnp.nan, path.dtype), stationary),
        path, jnp.asarray(count, jnp.int64), rough.stationary,
    )  # fmt: skip
    whittle = jnp.where(estimate.valid, whittle, jnp.nan)
    measured = update_roughness(config, rough, estimate.exponent, estimate.valid, whittle)
    rough = jax.tree.map(lambda a, b: jnp.where(due, a, b), measured, rough)._replace(stationary=stationary)
    split = semimartingale_split(path, count)
    character = Character(
        jump=jump_test(path).flag,
        drift=split.drift,
        quadratic_variation=split.quadratic_variation,
        jump_share=split.jump_share,
    )
    return rough, spectrum_where_due(path, config, spectrum, turn), character


def _cross_checks(config: PredictorConfig, path: Float[Array, "window"], count: Count) -> tuple[Scalar, Flag]:
    """Whittle's exponent, and whether the window is stationary about a level."""
    # The likelihood reads every entry of the window, so it waits until all of them are real.
    whittle = jnp.where(count >= path.shape[0], whittle_exponent(path, config).exponent, jnp.nan)
    level = stationarity_indicator(path, count)
    # The indicator's null hypothesis is stationarity; without a statistic nothing is claimed.
    return whittle, jnp.isfinite(level.statistic) & ~level.rejected
