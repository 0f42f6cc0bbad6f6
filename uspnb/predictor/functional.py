"""`FunctionalPredictor`: the stateless predictor, one compiled program for one series or many.

Assets are a batch axis: stacked states, several devices, chunks of bounded memory.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ..array_types import Float, Key
from ..config.schema import PredictorConfig
from ..errors import ConfigError, DomainError, ForkError
from ..model.kernels.registry import check_exists
from ..model.packing import StateRows, unpack
from ..model.programs import (
    SERIES_LENGTH,
    State,
    initial_state,
    packed_state,
    result_layout,
    run_batch,
    run_series,
    static_part,
    traced_part,
    unpacked_state,
)
from ..model.records import Observation, PredictionResult, ProcessState
from ..model.state import PredictorState
from ..runtime import enable_compilation_cache, platform
from ..runtime.arguments import check_whole
from ..runtime.machine import has_computed
from .covariates import covariate_rows

LONGEST_CHUNK = 256
SHORTEST_CHUNK = 16
ROWS_PER_CHUNK = 32_768


_forked_late = False


def _note_fork() -> None:
    global _forked_late
    _forked_late = has_computed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def _refuse_after_fork() -> None:
    """XLA's threads are not in a process that was forked from one that had computed: it would wait for ever."""
    if _forked_late:
        raise ForkError(
            "this process was forked after uspnb had begun to compute, and XLA cannot compute in it; start workers "
            'with multiprocessing.get_context("spawn"), or make the pool before the first prediction'
        )


def device_for(name: str) -> Any | None:
    """The first device of a platform, None for "auto"; programs run where their state lies.

    Raises:
        ConfigError: JAX has no such platform here.
    """
    if name == "auto":
        return None
    try:
        return jax.devices(name)[0]
    except RuntimeError as error:
        raise ConfigError(
            f"jax_platform = {name!r} is not to be had here, JAX computes on {platform()!r}; install the platform "
            "(pip install 'uspnb[gpu]' for NVIDIA GPUs) or set jax_platform = 'auto'"
        ) from error


class FunctionalPredictor:
    """Pure state transitions (S_t, y_t) -> (S_{t+1}, forecast of y_{t+1}) under one configuration.

    All instances in a process share the compiled programs: one compilation for each set of static fields and shapes.

    Args:
        config: settings; the default configuration where left out.

    Raises:
        DomainError: not a configuration.
        ConfigError: it asks for a kernel, a trained network or a platform that does not exist here.
        ForkError: this process was forked from one that had computed.
    """

    def __init__(self, config: PredictorConfig | None = None) -> None:
        self.config = PredictorConfig() if config is None else config
        if not isinstance(self.config, PredictorConfig):
            raise DomainError(f"config has type {type(config).__name__}, expected PredictorConfig; see load_config")
        _refuse_after_fork()
        enable_compilation_cache()
        check_exists(self.config)
        self.static, self.knobs = static_part(self.config), jnp.asarray(traced_part(self.config))
        self.layout = result_layout(self.config)
        self._device = device_for(self.config.jax_platform)
        # The last state given out and its rows: who comes back with it, as a loop does, has nothing to pack.
        self._last: tuple[Any, Any] = (None, None)

    def advance(
        self, state: State, ticks: Observation, count: int
    ) -> tuple[State, Float[np.ndarray, "time *batch width"]]:
        """The first `count` ticks of a buffer, packed: what every other method here is made of.

        Args:
            state: one state for columns of shape (SERIES_LENGTH,), stacked states for (time, batch).  As `StateRows` it
                crosses at half the cost of a tick, and comes back as these.
            ticks: the buffer.
            count: how many of its ticks are real.
        """
        _refuse_after_fork()
        if np.ndim(ticks.value) == 2:
            state, rows = run_batch(self.static, self.knobs, state, ticks, np.int64(count))
        elif isinstance(state, StateRows):
            state, rows = run_series(self.static, self.knobs, state, ticks, np.int64(count))
        else:
            known, packed = self._last
            before = packed if state is known else packed_state(state)
            new, rows = run_series(self.static, self.knobs, before, ticks, np.int64(count))
            state = unpacked_state(new)
            self._last = (state, new)
        return state, np.asarray(rows)[:count]

    def warm(self, state: State, length: int = 1) -> None:
        """Compile and load the program of one series, or of stacked states that take `length` ticks in a call.

        That may take many seconds; the state is left untouched.
        """
        batch = state.ticks.shape if isinstance(state, PredictorState) else ()
        shape = (length, *batch) if batch else (SERIES_LENGTH,)
        self.advance(state, self.blank(shape), 0)

    def blank(self, shape: tuple[int, ...]) -> Observation:
        """Ticks of a shape of which nothing is known."""
        zeros, known = np.zeros(shape, np.int64), covariate_rows(self.config, None)
        unknown = () if isinstance(known, tuple) else np.broadcast_to(known, (*shape, *known.shape))
        return Observation(np.zeros(shape), zeros, zeros, np.full(shape, np.nan), unknown)

    def init_state(self, batch: SupportsIndex | None = None, *, key: Key | None = None) -> PredictorState:
        """The cold state of one series, or of `batch` series stacked along a leading axis.

        Args:
            batch: how many series, one without the leading axis where left out.
            key: source of the random features, by default `config.seed`; all series of a batch draw the same.

        Raises:
            DomainError: `batch` is not a whole number of at least 1.
        """
        if batch is not None:
            batch = check_whole("batch", batch, 1, remedy="leave it out for one series")
        seed = jax.random.PRNGKey(self.config.seed) if key is None else key
        one = initial_state(self.static, seed)
        if self._device is not None:
            one = jax.device_put(one, self._device)
        return one if batch is None else _repeated(one, batch)

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
        new, row = self.step_row(state, self.observation(tick, now_ns))
        return new, tagged(unpack(row, self.layout), tick)

    def observation(self, tick: ProcessState | Observation, now_ns: int | None = None) -> Observation:
        """A tick as the compiled step takes it, with its covariates in the order of the configuration.

        Raises:
            DomainError: neither kind of tick, or covariates that the configuration does not name.
        """
        if isinstance(tick, ProcessState):
            seen = tick.observation(now_ns)
            plain = tick.covariates is None and not self.config.covariates
            return seen if plain else seen._replace(covariates=covariate_rows(self.config, tick.covariates))
        if not isinstance(tick, Observation):
            raise DomainError(f"tick has type {type(tick).__name__}, expected ProcessState or Observation")
        return tick if now_ns is None else tick._replace(now_ns=np.int64(now_ns))

    def step_row(self, state: State, tick: Observation) -> tuple[State, Float[np.ndarray, "width"]]:
        """`step` with the result as one packed row."""
        buffer = jax.tree.map(lambda leaf: np.full((SERIES_LENGTH, *np.shape(leaf)), leaf), tick)
        new, rows = self.advance(state, buffer, 1)
        return new, rows[0]

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
            rows = [self.observation(tick, now_ns) for tick in ticks]
            if not rows:
                raise DomainError("step_batch got no ticks; give one for each state")
            columns: Observation = jax.tree.map(lambda *column: np.stack(column), *rows)
            ticks = columns
        elif now_ns is not None:
            ticks = ticks._replace(now_ns=np.full(np.shape(ticks.value), now_ns, np.int64))
        batch = states.ticks.shape[0] if states.ticks.ndim else 0
        if np.shape(ticks.value) != (batch,):
            raise DomainError(
                f"step_batch got ticks of shape {np.shape(ticks.value)} for states of batch {batch}; "
                "one tick for each state, and states from init_state(batch)"
            )
        new, rows = self.advance(states, jax.tree.map(lambda column: np.asarray(column)[None], ticks), 1)
        return new, unpack(rows[0], self.layout)

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
        total = np.shape(ticks.value)[0]
        if np.ndim(ticks.value) == 1:
            state, rows = scan_chunks(self, state, ticks)
        else:
            state, rows = self.advance(state, jax.tree.map(np.asarray, ticks), total)
        return state, unpack(rows, self.layout)


@functools.partial(jax.jit, static_argnums=1)  # one program: leaf by leaf some forty would each be compiled
def _repeated(state: PredictorState, batch: int) -> PredictorState:
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], batch, axis=0), state)


def observations(
    values: Any, timestamps_ns: Any, now_ns: Any = None, dispersion_proxy: Any = None, covariates: Any = ()
) -> Observation:
    """Arrays of ticks for `scan`: values of shape (T,) or (T, B), timestamps of shape (T,) or that of the values.

    `now_ns` defaults to the timestamps (replay), the proxy to NaN (none); covariates come from `covariate_ticks`.

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
    return Observation(values, stamps, now, proxy, covariates)


def filled(column: Any, length: int) -> np.ndarray:
    """The column with its last row repeated up to `length`."""
    column = np.asarray(column)
    missing = length - column.shape[0]
    return column if missing == 0 else np.concatenate([column, np.repeat(column[-1:], missing, axis=0)])


def tagged(result: PredictionResult, tick: ProcessState | Observation) -> PredictionResult:
    """The result with the tick's own label as its request id."""
    tag = tick.state_tag if isinstance(tick, ProcessState) else None
    return result if tag is None else dataclasses.replace(result, request_id=tag)


def placed_beside(leaf: Any, tree: Any) -> Any:
    """A tree on the device of a leaf.  Bound to a device only where that is: else it would be another program."""
    if isinstance(leaf, jax.Array) and leaf.committed:
        return jax.device_put(tree, leaf.sharding)
    return jax.tree.map(jnp.asarray, tree)


def chunk_length(assets: int | None) -> int:
    """Ticks per compiled call: the series program's own length, or fewer for many assets, so that memory is bounded."""
    if assets is None:
        return SERIES_LENGTH
    bounded = min(LONGEST_CHUNK, max(SHORTEST_CHUNK, ROWS_PER_CHUNK // max(assets, 1)))
    return 1 << (bounded.bit_length() - 1)


def shard_assets(tree: Any) -> Any:
    """Spread arrays along their first axis over the accelerators, where there are several and they divide it evenly.

    Several devices of the host are left alone: in jaxlib 0.10 the loop of a batch stands still on them for ever,
    whatever the number of threads.
    """
    devices = jax.devices()
    if len(devices) < 2 or platform() == "cpu" or jax.tree.leaves(tree)[0].shape[0] % len(devices):
        return tree
    return jax.device_put(tree, NamedSharding(Mesh(np.array(devices), ("asset",)), PartitionSpec("asset")))


def scan_chunks(
    predictor: FunctionalPredictor,
    state: State,
    ticks: Observation,
    after_chunk: Callable[[int], None] = lambda done: None,
) -> tuple[State, np.ndarray]:
    """Run ticks of shape (T,) or (T, A) through the predictor in chunks of one compiled shape.

    The last chunk is filled up with ticks that are never processed; they touch neither state nor rows.

    Args:
        predictor: whose programs to run.
        state: the state to start from.
        ticks: observations, on the host.
        after_chunk: called with the number of ticks done.

    Returns:
        The last state and packed results of shape (T, width) or (T, A, width).
    """
    batched = np.ndim(ticks.value) == 2
    total = np.shape(ticks.value)[0]
    length = chunk_length(np.shape(ticks.value)[1] if batched else None)
    alone = not batched and isinstance(state, PredictorState)
    last: Any = packed_state(state) if alone else shard_assets(state) if batched else state
    rows = []
    for start in range(0, total, length):
        real = min(length, total - start)
        piece = jax.tree.map(lambda column: filled(column, length), ticks.at(slice(start, start + real)))
        last, packed = predictor.advance(last, piece, real)
        rows.append(packed)
        after_chunk(start + real)
    return unpacked_state(last) if alone else last, np.concatenate(rows)
