"""The fan of every tick up to the longest horizon, from a state alone: what the ladder of each tick leaves out.

Each kernel says its mean at every tick ahead; weights, error scales and the intervals' widths lie between those of the
ladder, on straight lines in log h.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...array_types import Array, Float
from ...config.schema import PredictorConfig
from ..kernels.base import KernelInputs, along_ladder, nothing_due, slot_offsets
from ..kernels.registry import kernel_entries, robust_place
from ..state import PAST, PredictorState
from .covariates import known_ahead
from .frame import kernel_frame
from .horizons import longer_scale, within_support
from .jko import clip_forecasts, forecast_reach
from .modes import emergency_weights
from .seasons import season_inputs


class Fan(NamedTuple):
    """What is forecast of the next ticks, the first of them the next.

    Attributes:
        mean, scale: [y].
        half: half-widths of the intervals for `confidence_level` and then `interval_levels` [y].
        weight: of the kernels.
        kernel_mean: of each kernel [y].
        correlation: of the normal scores of the errors at a horizon of the ladder and at the one before, of one origin.
    """

    mean: Float[Array, "step"]
    scale: Float[Array, "step"]
    half: Float[Array, "step level"]
    weight: Float[Array, "step kernel"]
    kernel_mean: Float[Array, "step kernel"]
    correlation: Float[Array, "horizon"]


def fan_ahead(
    config: PredictorConfig, state: PredictorState, steps: int, known: Float[Array, "step covariate"] | None = None
) -> Fan:
    """The fan of the next `steps` ticks; at the ladder's horizons it is the one that is out.

    Args:
        config: settings.
        state: after the newest tick.
        steps: 1 up to the longest horizon.
        known: values of the covariates at those ticks, NaN where they are not known, as all of them are where left out.
    """
    rungs, every = config.steps, tuple(range(1, steps + 1))
    horizon, forecast = state.horizon, state.forecast
    beyond = every[1:]
    means = forecast.kernel_mean[:, None]
    if beyond:
        inputs = _inputs_of(config, state)._replace(
            covariates=known_ahead(config, state.gate, state.frame, beyond, known)
        )
        means = jnp.concatenate([means, _means(config, state, inputs, beyond)], axis=1)

    def between(column: Float[Array, "rung"]) -> Float[Array, "step"]:
        return along_ladder(column, rungs, every)

    columns = jax.vmap(between, in_axes=1, out_axes=1)
    weight = columns(jnp.concatenate([state.weight[None], horizon.weight]))
    robust = robust_place(config.kernels)
    weight = emergency_weights(config, weight, state.roughness.emergency, robust).at[0].set(state.weight)
    error = jnp.exp(columns(jnp.log(jnp.concatenate([forecast.kernel_scale[None], horizon.error]))))
    mean = forecast.origin + jnp.sum(weight * means.T, axis=1) * forecast.unit
    scale = longer_scale(weight, means, error, np.array(every, float), state.gate.imputed) * forecast.unit
    # What the dispersion proxy made of the next tick's scale, it made of all.
    scale = scale * (forecast.scale / scale[0])
    mean = mean.at[0].set(forecast.mean)
    return Fan(
        mean=within_support(config, mean)[0],
        scale=scale,
        half=columns(horizon.half),
        weight=weight,
        kernel_mean=forecast.origin + forecast.unit * means.T,
        correlation=horizon.correlation,
    )


def _means(
    config: PredictorConfig, state: PredictorState, inputs: KernelInputs, steps: tuple[int, ...]
) -> Float[Array, "kernel step"]:
    """Each kernel's increments, of one without an `ahead` on straight lines between those of its ladder."""
    slot = slot_offsets(config.ladder) + state.horizon.place % np.array(config.ladder)
    made = state.horizon.past[slot, len(PAST) :].T
    rows = []
    for k, entry in enumerate(kernel_entries(config)):
        ahead = getattr(entry.kernel, "ahead", None)
        if ahead is None:
            rungs = jnp.concatenate([state.forecast.kernel_mean[k][None], made[k]])
            rows.append(along_ladder(rungs, config.steps, steps))
        else:
            rows.append(ahead(config, state.kernels[entry.name], inputs, steps))
    return clip_forecasts(jnp.stack(rows), inputs.path, forecast_reach(config, steps))[0]


def _inputs_of(config: PredictorConfig, state: PredictorState) -> KernelInputs:
    """What the kernels were told at the newest tick, but for what they learned from."""
    frame = state.frame
    season: Any = ()
    if frame.season:
        season = season_inputs(config, frame.season, frame.season, frame.scale, jnp.ones((), bool))
    volatility = jnp.sqrt(state.score.volatility_variance)
    return kernel_frame(config, frame, volatility, state.roughness.exponent, season=season)._replace(
        horizon=nothing_due(config)
    )
