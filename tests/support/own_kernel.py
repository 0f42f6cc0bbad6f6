"""A kernel of a user's own, and the settings that make a predictor of any kernels small."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

import uspnb
from uspnb.model.kernels import registry
from uspnb.model.kernels.base import KernelOutput

# One set, so that tests of the same kernels and widths share a compiled program.  Seasons and a long ladder double the
# time to compile it: they are in the second set, for tests that run all of the tick.
SMALL: dict[str, Any] = {
    "holder_breaker": "absolute",
    "wtmm_buffer_size": 64,
    "log_sig_window": 16,
    "log_sig_depth": 2,
    "hilbert_lags": 8,
    "hilbert_features": 8,
    "season_slots": 0,
    "horizons": (1, 4),
}
WITH_SEASONS = SMALL | {"season_slots": 2, "horizons": (1, 4, 24)}


class MeanState(NamedTuple):
    average: Any  # of the increments [s_t]
    variance: Any  # of the errors [s_t^2]


class Mean:
    """A tenth of the slow mean of the increments: what a user's kernel looks like."""

    @staticmethod
    def init(config, key):
        return MeanState(jnp.zeros(()), jnp.ones(()))

    @staticmethod
    def step(config, state, inputs, key):
        increment = jnp.clip(inputs.increment, -6.0, 6.0)
        rate = jnp.where(inputs.learn, 0.05, 0.0)
        error = increment - 0.1 * state.average
        state = MeanState(
            state.average + rate * (increment - state.average), state.variance + rate * (error**2 - state.variance)
        )
        mean, scale = 0.1 * state.average, jnp.sqrt(state.variance + 1e-12)
        return state, KernelOutput(mean[None], scale[None], state)


@contextlib.contextmanager
def registered() -> Iterator[None]:
    """Have it known as "mine"; what was registered meanwhile is forgotten, and so is what was compiled of it."""
    with mock.patch.object(registry, "_entries", dict(registry._entries)):
        uspnb.register_kernel("mine", Mean, label="my mean", colour="#123456")
        own = registry._entries["mine"]
        yield
        if registry._entries.get("mine") is not own:
            jax.clear_caches()
