"""What is known of the covariates when a forecast is made: what came with the tick, and what the calendar says."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from ...array_types import Array, Float, Int
from ...config.schema import PredictorConfig
from ..calendar import calendar_columns
from ..kernels.base import CovariateInputs
from ..records import Observation
from ..state import FrameState, GateState
from .gate import grid_interval


def told_covariates(
    config: PredictorConfig, gate: GateState, frame: FrameState, tick: Observation
) -> CovariateInputs | tuple[()]:
    """Of a tick and the steps that are forecast from it; nothing without covariates.

    Args:
        gate, frame: after the tick.
        tick: whose `covariates` hold a row for itself and one for each step, or nothing.
    """
    if not config.effects:
        return ()
    many, steps = len(config.covariates), config.steps
    told: Any = tick.covariates
    known = jnp.full((1 + len(steps), many), jnp.nan) if isinstance(told, tuple) else told
    return CovariateInputs(known[0], known[1:], _calendar(config, gate, steps), frame.window[-1], frame.scale)


def known_ahead(
    config: PredictorConfig,
    gate: GateState,
    frame: FrameState,
    steps: tuple[int, ...],
    known: Float[Array, "every covariate"] | None,
) -> CovariateInputs | tuple[()]:
    """Of any number of steps after the newest tick.

    Args:
        gate, frame: after it.
        steps: ticks ahead.
        known: values at the next tick, the one after it, and so on; None where nothing is known.
    """
    if not config.effects:
        return ()
    unknown = jnp.full((len(steps), len(config.covariates)), jnp.nan)
    ahead = unknown if known is None else known[np.array(steps) - 1]
    now = jnp.full(len(config.covariates), jnp.nan)
    return CovariateInputs(now, ahead, _calendar(config, gate, steps), frame.window[-1], frame.scale)


def _calendar(config: PredictorConfig, gate: GateState, steps: tuple[int, ...]) -> Float[Array, "step column"]:
    """Columns of the calendar, NaN before the interval between two ticks is known."""
    interval = grid_interval(config, gate)
    # Ticks whose place a forecast has taken have gone by since the last one that was accepted.
    now = gate.last_timestamp_ns + _whole(interval * gate.imputed)
    columns = calendar_columns(config, now, now + _whole(interval * np.array(steps)))
    return jnp.where(interval > 0, columns, jnp.nan)


def _whole(duration: Float[Array, "*step"]) -> Int[Array, "*step"]:
    return jnp.round(duration).astype(jnp.int64)
