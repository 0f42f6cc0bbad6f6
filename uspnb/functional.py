"""`FunctionalPredictor`: the stateless predictor, one compiled program for one series or many."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .array_types import Array, Bool, Float, Key
from .config.schema import STATIC_FIELDS, PredictorConfig
from .errors import DomainError
from .orchestration.step import (
    initialize_batched_states,
    initialize_state,
    orchestrate_step,
    orchestrate_step_batch,
)
from .packing import Layout, layout_of, pack, unpack
from .records import Observation, PredictionResult, ProcessState
from .runtime import enable_compilation_cache
from .state import PredictorState

_traces: dict[str, int] = {"step": 0, "step_batch": 0, "scan": 0}


def trace_count(name: str) -> int:
    """How many times "step", "step_batch" or "scan" has been traced in this process; one per shape is right."""
    return _traces[name]


def _step(config: PredictorConfig, state: PredictorState, tick: Observation) -> tuple[PredictorState, PredictionResult]:
    _traces["step"] += 1
    return orchestrate_step(config, state, tick)


def _step_batch(
    config: PredictorConfig, states: PredictorState, ticks: Observation
) -> tuple[PredictorState, PredictionResult]:
    _traces["step_batch"] += 1
    return orchestrate_step_batch(config, states, ticks)


def _scan_rows(
    config: PredictorConfig, state: PredictorState, ticks: Observation, real: Bool[Array, "time"]
) -> tuple[PredictorState, Float[Array, "time *batch width"]]:
    _traces["scan"] += 1
    step = _rows_of_batch if ticks.value.ndim == 2 else _row_of_one
    blank = (*ticks.value.shape[1:], result_layout(config).width)

    def advance(carried: PredictorState, row: tuple[Observation, Array]) -> tuple[PredictorState, Array]:
        tick, is_real = row
        return jax.lax.cond(
            is_real,
            lambda: step(config, carried, tick),
            lambda: (carried, jnp.full(blank, jnp.nan)),
        )

    return jax.lax.scan(advance, state, (ticks, real))


def _row_of_one(
    config: PredictorConfig, state: PredictorState, tick: Observation
) -> tuple[PredictorState, Float[Array, "width"]]:
    new, result = orchestrate_step(config, state, tick)
    return new, pack(result)


def _rows_of_batch(
    config: PredictorConfig, states: PredictorState, ticks: Observation
) -> tuple[PredictorState, Float[Array, "batch width"]]:
    new, results = orchestrate_step_batch(config, states, ticks)
    return new, jax.vmap(pack)(results)


def _step_row(
    config: PredictorConfig, state: PredictorState, tick: Observation
) -> tuple[PredictorState, Float[Array, "width"]]:
    _traces["step"] += 1
    return _row_of_one(config, state, tick)


jitted_step = jax.jit(_step)
jitted_step_batch = jax.jit(_step_batch)
scan_rows = jax.jit(_scan_rows)
# A live loop gives its state away; whoever still reads the old state uses the programs above.
donating_step_row = jax.jit(_step_row, donate_argnums=1)
donating_scan_rows = jax.jit(_scan_rows, donate_argnums=1)


def result_layout(config: PredictorConfig) -> Layout:
    """Layout of a packed result; it depends on the static fields of the configuration alone."""
    return _layout(_static_part(config))


def _static_part(config: PredictorConfig) -> PredictorConfig:
    """The configuration with every traced field at its default: a key that is hashable under a trace too."""
    return PredictorConfig(**{name: getattr(config, name) for name in STATIC_FIELDS})


@functools.cache
def _layout(static: PredictorConfig) -> Layout:
    state = jax.eval_shape(initialize_state, static)
    number, whole = jax.ShapeDtypeStruct((), jnp.float64), jax.ShapeDtypeStruct((), jnp.int64)
    _, result = jax.eval_shape(orchestrate_step, static, state, Observation(number, whole, whole, number))
    return layout_of(result)


class FunctionalPredictor:
    """Pure state transitions (S_t, y_t) -> (S_{t+1}, forecast of y_{t+1}) under one configuration.

    All instances in a process share the compiled programs: one compilation for each set of static fields and shapes.

    Args:
        config: settings; the default configuration where left out.
    """

    def __init__(self, config: PredictorConfig | None = None) -> None:
        self.config = PredictorConfig() if config is None else config
        if not isinstance(self.config, PredictorConfig):
            raise DomainError(f"config has type {type(config).__name__}, expected PredictorConfig; see load_config")
        enable_compilation_cache()

    def init_state(self, batch: int | None = None, *, key: Key | None = None) -> PredictorState:
        """The cold state of one series, or of `batch` series stacked along a leading axis.

        Raises:
            DomainError: `batch` below 1.
        """
        if batch is None:
            return initialize_state(self.config, key)
        if batch < 1:
            raise DomainError(f"batch = {batch} must be at least 1")
        return initialize_batched_states(self.config, batch)

    def step(
        self, state: PredictorState, tick: ProcessState | Observation, *, now_ns: int | None = None
    ) -> tuple[PredictorState, PredictionResult]:
        """One tick of one series.

        Args:
            state: S_t; left untouched.
            tick: a `ProcessState`, or an `Observation` of scalars.
            now_ns: the time of processing [ns since 1970 UTC]; the tick's own timestamp where left out (replay).

        Returns:
            S_{t+1} and the forecast with its telemetry.
        """
        new, result = jitted_step(self.config, state, _observation(tick, now_ns))
        return new, _tagged(result, tick)

    def step_batch(
        self, states: PredictorState, ticks: Sequence[ProcessState] | Observation, *, now_ns: int | None = None
    ) -> tuple[PredictorState, PredictionResult]:
        """One tick of each of B series, through the whole gate, in one compiled call.

        Args:
            states: stacked states, leading axis B.
            ticks: B ticks, or an `Observation` of arrays of shape (B,).
            now_ns: the time of processing; each tick's own timestamp where left out.

        Raises:
            DomainError: the number of ticks is not that of the states.
        """
        if not isinstance(ticks, Observation):
            rows = [tick.observation(now_ns) for tick in ticks]
            if not rows:
                raise DomainError("step_batch got no ticks; give one for each state")
            ticks = Observation(*(np.stack(column) for column in zip(*rows, strict=True)))
        batch = states.ticks.shape[0] if states.ticks.ndim else 0
        if np.shape(ticks.value) != (batch,):
            raise DomainError(
                f"step_batch got ticks of shape {np.shape(ticks.value)} for states of batch {batch}; "
                "one tick for each state, and states from init_state(batch)"
            )
        return jitted_step_batch(self.config, states, ticks)

    def scan(self, state: PredictorState, ticks: Observation) -> tuple[PredictorState, PredictionResult]:
        """Many ticks in one compiled call; the same numbers as step by step.

        Args:
            state: one state, or stacked states for ticks of shape (T, B).
            ticks: an `Observation` of arrays of shape (T,) or (T, B); see `observations`.

        Returns:
            The last state and the results with a leading time axis, on the host.
        """
        real = jnp.ones(np.shape(ticks.value)[0], bool)
        last, rows = scan_rows(self.config, state, ticks, real)
        return last, unpack(np.asarray(rows), result_layout(self.config))


def observations(values: Any, timestamps_ns: Any, now_ns: Any = None, dispersion_proxy: Any = None) -> Observation:
    """Arrays of ticks for `scan`: values of shape (T,) or (T, B), timestamps of shape (T,) or that of the values.

    `now_ns` defaults to the timestamps (replay), the proxy to NaN (none).
    """
    values = np.asarray(values, np.float64)
    stamps = np.asarray(timestamps_ns, np.int64)
    if stamps.ndim < values.ndim:
        stamps = np.broadcast_to(stamps.reshape(stamps.shape + (1,) * (values.ndim - stamps.ndim)), values.shape)
    now = stamps if now_ns is None else np.broadcast_to(np.asarray(now_ns, np.int64), values.shape)
    proxy = np.full(values.shape, np.nan) if dispersion_proxy is None else np.asarray(dispersion_proxy, np.float64)
    return Observation(values, stamps, now, proxy)  # type: ignore[arg-type]


def _observation(tick: ProcessState | Observation, now_ns: int | None) -> Observation:
    if isinstance(tick, ProcessState):
        return tick.observation(now_ns)
    if not isinstance(tick, Observation):
        raise DomainError(f"tick has type {type(tick).__name__}, expected ProcessState or Observation")
    return tick if now_ns is None else tick._replace(now_ns=np.int64(now_ns))  # type: ignore[arg-type]


def _tagged(result: PredictionResult, tick: ProcessState | Observation) -> PredictionResult:
    tag = tick.state_tag if isinstance(tick, ProcessState) else None
    if tag is None:
        return result
    return PredictionResult(
        result.reference_prediction,
        result.confidence_lower,
        result.confidence_upper,
        result.operating_mode,
        result.telemetry,
        tag,
    )
