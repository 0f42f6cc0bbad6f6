"""Drivers of the tests of the tick: the whole step over a series, and the gate with its frame alone."""

from __future__ import annotations

import dataclasses
import functools
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.model.orchestration.frame import hold_scales, push
from uspnb.model.orchestration.gate import Verdict, inspect
from uspnb.model.orchestration.modes import update_degraded
from uspnb.model.orchestration.step import initialize_state, orchestrate_step
from uspnb.model.records import Observation
from uspnb.model.state import PredictorState

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
CONFIG = PredictorConfig()
LONGEST = 256
LONG_RUN = 4096
CHUNK = 512


def _ticks(values: np.ndarray, times: np.ndarray, now: Any = None, proxy: Any = None) -> Observation:
    now = times if now is None else np.asarray(now, np.int64)
    proxy = np.full(len(values), np.nan) if proxy is None else np.asarray(proxy, float)
    return Observation(*(jnp.asarray(column) for column in (values, times, now, proxy)))


def _padded(ticks: Observation, length: int) -> Observation:
    """The last row repeated up to `length`; whoever reads the results leaves out what was appended."""
    return jax.tree.map(lambda c: jnp.concatenate([c, jnp.repeat(c[-1:], length - c.shape[0])]), ticks)


class Series(SimpleNamespace):
    """A `PredictionResult` over many ticks: the same names with a leading time axis, the telemetry a `Series` too."""


STATIC = ("request_id", "kernels")  # text, which is no array


def _as_dict(record: Any) -> dict[str, Any]:
    # A record checks its fields' shapes when it is made; stacked or abstract ones live in plain containers.
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if f.name not in STATIC}


def _step(config: PredictorConfig, state: PredictorState, tick: Observation):
    state, result = orchestrate_step(config, state, tick)
    return state, _as_dict(result) | {"telemetry": _as_dict(result.telemetry)}


@jax.jit
def _scan_step(config: PredictorConfig, state: PredictorState, ticks: Observation, real: Any):
    shapes = jax.eval_shape(_step, config, state, ticks.at(0))[1]

    def advance(carried, row):
        tick, is_real = row
        return jax.lax.cond(
            is_real,
            lambda: _step(config, carried, tick),
            lambda: (carried, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)),
        )

    return jax.lax.scan(advance, state, (ticks, real))


def _clock(values: np.ndarray, state: PredictorState | None, interval_ns: int) -> np.ndarray:
    started = state is not None and bool(state.gate.clock_started)
    first = int(state.gate.last_timestamp_ns) + interval_ns if started else START  # type: ignore[union-attr]
    return first + interval_ns * np.arange(len(values))


def replay_series(
    values: Any,
    times: Any = None,
    now: Any = None,
    *,
    state: PredictorState | None = None,
    proxy: Any = None,
    config: PredictorConfig = CONFIG,
    interval_ns: int = SECOND,
) -> tuple[PredictorState, Series]:
    """The whole step over a series, on a regular clock that goes on from `state` unless `times` says otherwise.

    Every call runs one compiled program, whatever the length.
    """
    values = np.asarray(values, float)
    stamps = _clock(values, state, interval_ns) if times is None else np.asarray(times, np.int64)
    ticks = _ticks(values, stamps, now, proxy)
    last = initialize_state(config) if state is None else state
    results = []
    for start in range(0, len(values), CHUNK):
        piece = ticks.at(slice(start, start + CHUNK))
        real = len(piece.value)
        last, rows = _scan_step(config, last, _padded(piece, CHUNK), jnp.arange(CHUNK) < real)
        results.append(jax.tree.map(lambda leaf, real=real: np.asarray(leaf)[:real], rows))
    whole = jax.tree.map(lambda *leaves: np.concatenate(leaves), *results)
    return last, Series(**whole | {"telemetry": Series(**whole["telemetry"])})


@pytest.fixture(scope="session")
def replay():
    """`replay(values, times=None, now=None, *, state, proxy, config, interval_ns) -> (state, results)`."""
    return replay_series


@pytest.fixture(scope="session")
def walked() -> tuple[np.ndarray, PredictorState, Series]:
    """A random walk of 400 ticks, the state behind it and its results."""
    values = random_walk(400, 11)
    return values, *replay_series(values)


@functools.partial(jax.jit, static_argnames="strict")
def _gate_scan(config: PredictorConfig, ticks: Observation, strict: bool):
    start = initialize_state(config)

    def tick(carry, observation):
        gate, frame, modes = carry
        gate, verdict = inspect(config, gate, frame, modes, observation)
        modes = update_degraded(config, modes, verdict)
        new = hold_scales(push(frame, verdict.value, verdict.released, config.numerical_epsilon), frame, verdict.frozen)
        frame = jax.tree.map(lambda a, b: jnp.where(verdict.accepted, a, b), new, frame)
        return (gate, frame, modes), (verdict, gate, frame, modes)

    return jax.lax.scan(tick, (start.gate, start.frame, start.modes), ticks)[1]


def run_gate(values: Any, times: Any = None, now: Any = None, config: PredictorConfig = CONFIG):
    """The gate with its frame and the degraded mode alone: (verdict, gate, frame, modes), each with a time axis."""
    values = np.asarray(values, float)
    n = len(values)
    stamps = START + SECOND * np.arange(n) if times is None else np.asarray(times, np.int64)
    # Two shapes for all series: what is appended comes after all that is read.
    padded = _padded(_ticks(values, stamps, now), LONGEST if n <= LONGEST else LONG_RUN)
    verdict, gate, frame, modes = _gate_scan(config, padded, config.frozen_signal_strict)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:n], (Verdict(*verdict), gate, frame, modes))


@pytest.fixture(scope="session")
def gate_run():
    """`gate_run(values, times=None, now=None, config=CONFIG) -> (verdict, gate, frame, modes)`."""
    return run_gate
