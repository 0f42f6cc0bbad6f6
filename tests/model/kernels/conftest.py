"""A minimal causal frame that drives one kernel over a series, for the tests of every kernel."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.model.kernels.base import KernelInputs, KernelOutput

SCALE_RATE = 0.02
LEVEL_RATE = 0.01
WINSOR = 4.0


class Frame(NamedTuple):
    """Rolling quantities of the series; everything known at t."""

    buffer: Any
    scale: Any
    level: Any
    deviation: Any
    count: Any


class Driven(NamedTuple):
    """A kernel's run: forecasts for each tick (made one tick earlier), its outputs and its last state."""

    prediction: np.ndarray
    scale: np.ndarray
    output: KernelOutput
    state: Any

    def relative_rmse(self, values: np.ndarray, burn: int = 500) -> float:
        """RMSE over that of the last value."""
        error = (self.prediction - values)[burn:]
        return float(np.sqrt(np.mean(error**2) / np.mean(np.diff(values)[burn - 1 :] ** 2)))


def first_frame(y: Any, window: int) -> Frame:
    return Frame(jnp.full(window, y), jnp.asarray(0.0), y, jnp.asarray(0.0), jnp.asarray(1))


def next_frame(frame: Frame, y: Any) -> Frame:
    """Push y; the scale is a winsorised EMA of squared increments, corrected for its start."""
    dy = y - frame.buffer[-1]
    rate = jnp.maximum(SCALE_RATE, 1.0 / frame.count)
    bounded = jnp.where(frame.count > 10, jnp.clip(dy, -WINSOR * frame.scale, WINSOR * frame.scale), dy)
    scale = jnp.sqrt((1 - rate) * frame.scale**2 + rate * bounded**2)
    rate = jnp.maximum(LEVEL_RATE, 1.0 / (frame.count + 1))
    level = frame.level + rate * (y - frame.level)
    deviation = frame.deviation + rate * (jnp.abs(y - level) - frame.deviation)
    return Frame(jnp.append(frame.buffer[1:], y), scale, level, deviation, frame.count + 1)


def frame_inputs(frame: Frame, before: Frame, learn: Any) -> KernelInputs:
    """What a kernel is told; `before` is the frame one tick earlier."""
    y, window = frame.buffer[-1], frame.buffer.shape[0]
    floor = jnp.asarray(1e-300)
    scale, old = jnp.maximum(frame.scale, floor), jnp.maximum(before.scale, floor)
    return KernelInputs(
        path=jnp.clip((frame.buffer - y) / scale, -1e6, 1e6),
        count=jnp.minimum(frame.count, window),
        increment=jnp.clip((y - before.buffer[-1]) / old, -1e6, 1e6),
        learn=learn,
        level=jnp.clip((frame.level - y) / scale, -1e6, 1e6),
        spread=jnp.clip(1.2533 * frame.deviation / scale, 1e-3, 1e6),
        scale_ratio=jnp.clip(scale / old, 1e-6, 1e6),
        volatility=jnp.asarray(1.0),
        holder_exponent=jnp.asarray(0.5),
        stiffness_low=jnp.asarray(100.0),
        stiffness_high=jnp.asarray(1000.0),
        volatile=jnp.asarray(False),
    )


@functools.cache
def _runner(kernel: Any) -> Any:
    """One compiled program per kernel, so that runs of the same length share it."""

    @jax.jit
    def run(config, values, allowed):
        key = jax.random.PRNGKey(config.seed)
        first = first_frame(values[0], config.wtmm_buffer_size)
        inputs = frame_inputs(first, first, jnp.asarray(False))
        state, output = kernel.step(config, kernel.init(config, key), inputs, key)

        def tick(carry, row):
            before, state = carry
            y, may_learn, i = row
            frame = next_frame(before, y)
            inputs = frame_inputs(frame, before, may_learn & (before.scale > 0))
            state, output = kernel.step(config, state, inputs, jax.random.fold_in(key, i))
            forecast = y + jnp.maximum(frame.scale, 1e-300) * output.mean
            return (frame, state), (forecast, frame.scale * output.scale, output)

        (_, state), rest = jax.lax.scan(tick, (first, state), (values[1:], allowed[1:], jnp.arange(1, values.shape[0])))
        return state, rest, output

    return run


def drive_kernel(kernel: Any, config: PredictorConfig, values: Any, learn: Any = None) -> Driven:
    """Run a kernel over a series in one scan; `learn` masks ticks that must not be learned from."""
    values = jnp.asarray(values, dtype=float)
    n = values.shape[0]
    allowed = jnp.ones(n, bool) if learn is None else jnp.asarray(learn, dtype=bool)
    state, (forecast, scale, outputs), first = _runner(kernel)(config, values, allowed)
    outputs = jax.tree.map(lambda a, b: np.concatenate([np.asarray(a)[None], np.asarray(b)]), first, outputs)
    prediction = np.concatenate([[float(values[0])], [float(values[0])], np.asarray(forecast)[:-1]])
    scale = np.concatenate([[0.0], [0.0], np.asarray(scale)[:-1]])
    return Driven(prediction, scale, outputs, state)


@pytest.fixture
def drive():
    """`drive(kernel, config, values, learn=None) -> Driven`."""
    return drive_kernel
