"""`FunctionalPredictor`: the stateless predictor, one compiled program for one series or many."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .array_types import Array, Count, Float, Key
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

_traces: dict[str, int] = {"step": 0, "step_row": 0, "step_batch": 0, "scan": 0}


def trace_count(name: str) -> int:
    """How many times a program has been traced in this process; one per shape and set of static fields is right.

    Args:
        name: "step", "step_batch" and "scan" of `FunctionalPredictor`, or "step_row" of `UniversalPredictor.step`.

    Raises:
        DomainError: there is no such program.
    """
    if name not in _traces:
        raise DomainError(f"there is no program {name!r}; known are {', '.join(_traces)}")
    return _traces[name]


def _step(
    config: PredictorConfig, state: PredictorState, tick: Observation, count: Count
) -> tuple[PredictorState, PredictionResult]:
    _traces["step"] += 1
    new, row = _one_row(config, state, tick, count)
    return new, unpack(row, result_layout(config))


def _step_row(
    config: PredictorConfig, state: PredictorState, tick: Observation, count: Count
) -> tuple[PredictorState, Float[Array, "width"]]:
    _traces["step_row"] += 1
    return _one_row(config, state, tick, count)


def _step_batch(
    config: PredictorConfig, states: PredictorState, ticks: Observation
) -> tuple[PredictorState, PredictionResult]:
    _traces["step_batch"] += 1
    return orchestrate_step_batch(config, states, ticks)


def _scan_rows(
    config: PredictorConfig, state: PredictorState, ticks: Observation, count: Count
) -> tuple[PredictorState, Float[Array, "time *batch width"]]:
    _traces["scan"] += 1
    return _rows(config, state, ticks, count)


def _rows(
    config: PredictorConfig, state: PredictorState, ticks: Observation, count: Count
) -> tuple[PredictorState, Float[Array, "time *batch width"]]:
    """The first `count` ticks, one after another; rows of the others are NaN.

    The number of ticks is an argument of the compiled loop, so that its body is the same program for one tick as for
    many: XLA would unroll a loop of one tick, round it differently, and step by step would not equal a scan to the bit.
    """
    advance = _rows_of_batch if ticks.value.ndim == 2 else _row_of_one
    rows = jnp.full((*ticks.value.shape, result_layout(config).width), jnp.nan, float)

    def body(k: Count, carried: tuple[PredictorState, Array]) -> tuple[PredictorState, Array]:
        state, rows = carried
        tick = jax.tree.map(lambda column: jax.lax.dynamic_index_in_dim(column, k, keepdims=False), ticks)
        state, row = advance(config, state, tick)
        return state, jax.lax.dynamic_update_index_in_dim(rows, row, k, 0)

    return jax.lax.fori_loop(0, count, body, (state, rows))


def _one_row(
    config: PredictorConfig, state: PredictorState, tick: Observation, count: Count
) -> tuple[PredictorState, Float[Array, "width"]]:
    new, rows = _rows(config, state, jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], tick), count)
    return new, rows[0]


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


ONE_TICK = np.int64(1)
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

        Args:
            batch: how many series, one without the leading axis where left out.
            key: source of the random features, by default `config.seed`; all series of a batch draw the same.

        Raises:
            DomainError: `batch` is not a whole number of at least 1.
        """
        if batch is not None and (not isinstance(batch, numbers.Integral) or isinstance(batch, bool) or batch < 1):
            raise DomainError(f"batch = {batch!r} must be a whole number of at least 1; leave it out for one series")
        if batch is None:
            return initialize_state(self.config, key)
        if key is None:
            return initialize_batched_states(self.config, int(batch))
        one = initialize_state(self.config, key)
        return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], batch, axis=0), one)

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
        new, result = jitted_step(self.config, state, _observation(tick, now_ns), ONE_TICK)
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
            DomainError: the number of ticks is not that of the states, or something among them is no tick.
        """
        if not isinstance(ticks, Observation):
            rows = [_observation(tick, now_ns) for tick in ticks]
            if not rows:
                raise DomainError("step_batch got no ticks; give one for each state")
            ticks = Observation(*(np.stack(column) for column in zip(*rows, strict=True)))
        elif now_ns is not None:
            ticks = ticks._replace(now_ns=np.full(np.shape(ticks.value), now_ns, np.int64))  # type: ignore[arg-type]
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

        Raises:
            DomainError: ticks without a time axis, or of another batch than the states.
        """
        if np.ndim(ticks.value) == 0 or np.shape(ticks.value)[1:] != state.ticks.shape:
            raise DomainError(
                f"scan got ticks of shape {np.shape(ticks.value)} for states of batch shape {state.ticks.shape}; give "
                "(time,) for one series, (time, batch) for states from init_state(batch)"
            )
        last, rows = scan_rows(self.config, state, ticks, np.int64(np.shape(ticks.value)[0]))
        return last, unpack(np.asarray(rows), result_layout(self.config))


def observations(values: Any, timestamps_ns: Any, now_ns: Any = None, dispersion_proxy: Any = None) -> Observation:
    """Arrays of ticks for `scan`: values of shape (T,) or (T, B), timestamps of shape (T,) or that of the values.

    `now_ns` defaults to the timestamps (replay), the proxy to NaN (none).

    Raises:
        DomainError: values that are not real numbers.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "fiu":
        raise DomainError(f"the values have dtype {values.dtype}, not real numbers; convert them to float first")
    values = values.astype(np.float64)
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
