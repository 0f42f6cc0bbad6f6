"""The compiled programs: one loop over ticks for a series, one for a batch, shared by everything that steps.

The number of ticks is an argument of the loop and the length of its buffers is fixed, so one program per set of static
fields serves a single tick and a whole history, rounds alike in both, and compiles once.  Traced fields of the
configuration travel as one vector: changing them recompiles nothing and a batch of settings is a `vmap` over it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ..array_types import Array, Bool, Count, Flag, Float, Key
from ..config.schema import DEFAULTS, STATIC_FIELDS, TRACED_FIELDS, PredictorConfig
from ..errors import DomainError
from ..runtime import platform
from .kernels.common_movement import AXIS
from .kernels.registry import kernel_entries
from .orchestration.step import initialize_state, step_on_grid
from .packing import Layout, StateRows, layout_for, pack, state_of, state_rows
from .records import Observation
from .state import PredictorState

SERIES_LENGTH = 128
# On a CPU a batch is computed in blocks of series: what a tick of a block holds (60 kB a series, and as much again in
# between) stays in the caches, and no buffer is so large (32 MB in glibc) that it is mapped anew at every call.
WIDEST_BLOCK = 48
# What a CPU's code is made with.  The emitters of XLA's newer kind take twice as long to compile a tick and no less to
# run it, LLVM's higher levels a quarter longer.
CPU_CODE = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 1}
# XLA also breaks a sum of more than 32 numbers in two, for many threads; in the loop of one series each part costs as
# much as the sum.
SERIES_CODE = CPU_CODE | {"xla_disable_hlo_passes": "tree_reduction_rewriter"}
State = TypeVar("State", PredictorState, StateRows)

FORECAST_COLUMNS = ("prediction", "scale", "lower", "upper", "alarm_ratio")

_traces: dict[str, int] = {"series": 0, "batch": 0, "candidates": 0}


def trace_count(name: str) -> int:
    """How many times the program for a "series", a "batch" or "candidates" has been traced in this process.

    One per set of static fields (and, for a batch and for candidates, per shape) is right.

    Raises:
        DomainError: there is no such program.
    """
    if name not in _traces:
        raise DomainError(f"there is no program {name!r}; known are {', '.join(_traces)}")
    return _traces[name]


def static_part(config: PredictorConfig) -> PredictorConfig:
    """The configuration with every traced field at its default: the part that a program is compiled for."""
    return PredictorConfig(**{name: getattr(config, name) for name in STATIC_FIELDS})


def traced_part(config: PredictorConfig) -> Float[np.ndarray, "knob"]:
    """The traced fields in their declared order; whole numbers fit float64 exactly below 2^53."""
    return np.array([float(getattr(config, name)) for name in TRACED_FIELDS])


def joined(static: PredictorConfig, knobs: Float[Array, "knob"]) -> PredictorConfig:
    """The configuration that has both parts; inside a program its traced fields are tracers."""
    values: dict[str, Any] = {
        name: knobs[k].astype(jnp.int64) if isinstance(DEFAULTS[name], int) else knobs[k]
        for k, name in enumerate(TRACED_FIELDS)
    }
    values |= {name: getattr(static, name) for name in STATIC_FIELDS}
    return PredictorConfig(**values)


class Program:
    """A function compiled by JAX, on a CPU with options of its own; which it is, is not asked before the first call.

    Args:
        function: what is compiled.
        options: of XLA, where it compiles for a CPU.
        static: whether the first argument is a part of the program.
    """

    def __init__(
        self, function: Callable[..., Any], options: Mapping[str, Any] = CPU_CODE, *, static: bool = True
    ) -> None:
        self._function, self._options, self._static = function, options, static
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        return self.jitted(*arguments)

    @functools.cached_property
    def jitted(self) -> Any:
        """What `jax.jit` makes of it."""
        options = dict(self._options) if platform() == "cpu" else None
        return jax.jit(self._function, static_argnums=0 if self._static else None, compiler_options=options)


@functools.partial(Program, options=SERIES_CODE)
def run_series(
    static: PredictorConfig, knobs: Array, state: StateRows, ticks: Observation, count: Count
) -> tuple[StateRows, Float[Array, "time width"]]:
    """The first `count` ticks of one series; rows of the others are NaN.

    Args:
        static, knobs: the two parts of the configuration.
        state: state of one series; as rows within the loop too, which spares it a copy of each leaf at every tick.
        ticks: columns of shape (SERIES_LENGTH,).
        count: how many of them are real.

    Returns:
        The state after them and packed results.
    """
    _traces["series"] += 1
    config = joined(static, knobs)

    def advance(state: StateRows, tick: Observation) -> tuple[StateRows, Array, Flag]:
        new, result, arrived = step_on_grid(config, state_of(state), tick)
        return state_rows(new), pack(result), arrived

    return _loop(advance, result_layout(static).width, state, ticks, count)


@functools.partial(Program, static=False)
def packed_state(state: PredictorState) -> StateRows:
    """The rows of a state of one series."""
    return state_rows(state)


@functools.partial(Program, static=False)
def unpacked_state(rows: StateRows) -> PredictorState:
    """The state that the rows hold."""
    return state_of(rows)


@Program
def run_batch(
    static: PredictorConfig, knobs: Array, states: PredictorState, ticks: Observation, count: Count
) -> tuple[PredictorState, Float[Array, "time batch width"]]:
    """`run_series` over a batch: states with a leading axis, ticks of shape (time, batch)."""
    _traces["batch"] += 1
    config = joined(static, knobs)

    def advance(states: PredictorState, tick: Observation) -> tuple[PredictorState, Array, Array]:
        new, results, arrived = jax.vmap(step_on_grid, in_axes=(None, 0, 0), axis_name=AXIS)(config, states, tick)
        return new, jax.vmap(pack)(results), arrived

    def run(states: PredictorState, ticks: Observation) -> tuple[PredictorState, Array]:
        return _loop(advance, result_layout(static).width, states, ticks, count)

    if any(entry.across for entry in kernel_entries(static)):
        return run(states, ticks)  # a block is not all of the series
    return _in_blocks(run, result_layout(static).width, states, ticks)


@functools.partial(Program, options=SERIES_CODE)
def run_candidates(
    static: PredictorConfig,
    knobs: Float[Array, "lane knob"],
    states: PredictorState,
    ticks: Observation,
    count: Count,
) -> tuple[PredictorState, Float[Array, "time lane column"]]:
    """Many settings at once, each with a series of its own; what no forecast needs is not computed.

    Args:
        static: what all lanes have in common.
        knobs: the traced settings of each lane.
        states: stacked states.
        ticks: columns of shape (time, lane).
        count: how many of the ticks are real.

    Returns:
        The states after them, and for every tick the `FORECAST_COLUMNS`: the forecast that was made for it one tick
        earlier [input units], and the largest ratio of a chart's statistic to its threshold.
    """
    return _through_candidates(static, knobs, states, ticks, count, 1)


@functools.lru_cache(maxsize=16)
def candidates_ahead(ahead: int) -> Program:
    """`run_candidates` of the forecasts so many ticks ahead, one of the configuration's horizons.

    Its rows stand at the tick that a forecast is made at, those of `run_candidates` at the one that it is made for.
    """

    def run_candidates(
        static: PredictorConfig, knobs: Array, states: PredictorState, ticks: Observation, count: Count
    ) -> tuple[PredictorState, Array]:
        return _through_candidates(static, knobs, states, ticks, count, ahead)

    return Program(run_candidates, options=SERIES_CODE)


def _through_candidates(
    static: PredictorConfig,
    knobs: Float[Array, "lane knob"],
    states: PredictorState,
    ticks: Observation,
    count: Count,
    ahead: int,
) -> tuple[PredictorState, Float[Array, "time lane column"]]:
    _traces["candidates"] += 1

    def one(own: Array, state: PredictorState, tick: Observation) -> tuple[PredictorState, Array, Flag]:
        new, result, arrived = step_on_grid(joined(static, own), state, tick)
        telemetry = result.telemetry
        ratio = jnp.max(telemetry.chart_statistic / telemetry.chart_threshold)
        said = [telemetry.prediction, telemetry.scale, telemetry.lower, telemetry.upper]
        if ahead > 1:
            place = static.horizons.index(ahead)
            said = [
                telemetry.horizon_prediction[place],
                new.horizon.scale[static.steps.index(ahead)],
                telemetry.horizon_lower[place],
                telemetry.horizon_upper[place],
            ]
        return new, jnp.stack([*said, ratio]), arrived

    def run(states: PredictorState, ticks: Observation, own: Array) -> tuple[PredictorState, Array]:
        def advance(states: PredictorState, tick: Observation) -> tuple[PredictorState, Array, Array]:
            return jax.vmap(one)(own, states, tick)

        return _loop(advance, len(FORECAST_COLUMNS), states, ticks, count)

    return _in_blocks(run, len(FORECAST_COLUMNS), states, ticks, knobs)


def _loop(
    advance: Callable[[State, Observation], tuple[State, Array, Array]],
    width: int,
    state: State,
    ticks: Observation,
    count: Count,
) -> tuple[State, Array]:
    """One turn of the loop is a tick, or a place on the time grid before it that has no row.

    Such turns are at most `gate.MOST_IMPUTED` before a tick.  They are turns of the same loop because a second copy of
    the step would double the time to compile it.  The row of a tick is written over until the tick itself is taken in.
    """
    rows = jnp.full((*ticks.value.shape, width), jnp.nan, float)

    def body(carried: tuple[Count, State, Array]) -> tuple[Count, State, Array]:
        k, state, rows = carried
        tick = jax.tree.map(lambda column: jax.lax.dynamic_index_in_dim(column, k, keepdims=False), ticks)
        new, row, arrived = advance(state, tick)
        due = jnp.all(arrived)
        if arrived.ndim:
            new = _held(arrived & ~due, state, new)
        return k + due, new, jax.lax.dynamic_update_index_in_dim(rows, row, k, 0)

    start = (jnp.zeros((), jnp.int64), state, rows)
    return jax.lax.while_loop(lambda carried: carried[0] < count, body, start)[1:]


def _held(waits: Bool[Array, "series"], old: Any, new: Any) -> Any:
    """The new states, but the old ones of series that wait until the others have come to the same tick."""

    def chosen() -> Any:
        return jax.tree.map(lambda a, b: jnp.where(waits.reshape(-1, *[1] * (a.ndim - 1)), a, b), old, new)

    return jax.lax.cond(jnp.any(waits), chosen, lambda: new)


def _in_blocks(
    run: Callable[..., tuple[PredictorState, Array]],
    columns: int,
    states: PredictorState,
    ticks: Observation,
    *own: Array,
) -> tuple[PredictorState, Array]:
    """`run` over equal blocks of the series, one after the other; over all of them at once where it is no CPU.

    The last block begins where it ends with the last series: what it shares with the one before is computed twice, from
    the same states, and nothing has to be filled up.

    Args:
        run: of states with a leading axis of series, ticks of shape (time, series) and what each series has of its own,
            to such states and packed results.
        columns: of a packed result.
        states, ticks, own: what it takes.
    """
    time, batch = ticks.value.shape
    blocks = -(-batch // WIDEST_BLOCK)
    if blocks == 1 or platform() != "cpu":
        return run(states, ticks, *own)
    width = -(-batch // blocks)

    def taken(tree: Any, first: Count, axis: int) -> Any:
        return jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, width, axis), tree)

    def written(tree: Any, part: Any, first: Count, axis: int) -> Any:
        put = functools.partial(jax.lax.dynamic_update_slice_in_dim, start_index=first, axis=axis)
        return jax.tree.map(put, tree, part)

    def body(k: Count, done: tuple[PredictorState, Array]) -> tuple[PredictorState, Array]:
        first = jnp.minimum(k * width, batch - width)
        new, rows = run(taken(states, first, 0), taken(ticks, first, 1), *taken(own, first, 0))
        return written(done[0], new, first, 0), written(done[1], rows, first, 1)

    rows = jnp.zeros((time, batch, columns))
    return jax.lax.fori_loop(0, blocks, body, (jax.tree.map(jnp.zeros_like, states), rows))


def result_layout(config: PredictorConfig) -> Layout:
    """Layout of a packed result; it depends on the static fields of the configuration alone."""
    return layout_for(
        config.koopman_top_k,
        config.kernels,
        config.season_slots,
        len(config.horizons),
        len(config.interval_levels),
        len(config.effects),
    )


@functools.partial(jax.jit, static_argnums=0)  # JAX allows no compiler options within another program, as this may be
def initial_state(static: PredictorConfig, key: Key) -> PredictorState:
    """The cold state of one series as one compiled program: a hundred small ones would each be compiled at start."""
    return initialize_state(static, key)
