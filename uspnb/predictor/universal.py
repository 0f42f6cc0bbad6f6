"""`UniversalPredictor`: one series, its state and its history held here; warnings and errors for a person."""

from __future__ import annotations

import copy
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

import jax
import numpy as np

from ..array_types import Float, Int
from ..config.schema import PredictorConfig
from ..errors import DomainError, FrequencyWarning, StalenessWarning
from ..model.packing import host_state, unpack
from ..model.programs import packed_state, unpacked_state
from ..model.records import PredictionResult, ProcessState
from ..model.state import INTERVALS_KEPT, LONG_INTERVALS_KEPT, PredictorState
from ..persistence.snapshots import (
    Loaded,
    Payload,
    Progress,
    SnapshotKeeper,
    SnapshotStatus,
    Where,
    Written,
    config_from,
    load_state,
    read_snapshot,
    snapshot_of,
)
from ..runtime.arguments import check_whole
from ..runtime.words import headline
from ..sinks import TelemetryBuffer
from .covariates import covariate_ticks, known_table
from .forecasting import Outlook, crossing_probability, outlook, simulated, to_fan
from .functional import FunctionalPredictor, observations, scan_chunks, tagged

if TYPE_CHECKING:
    import xarray as xr

HISTORY_LIMIT = 20_000
_NOT_COPIED = ("_functional", "_layout", "_keeper", "_turn", "_telemetry")


class Turns:
    """A reentrant lock that is first come, first served.

    The standard library's locks let a thread that has just released one take it again before those that wait; ticks
    that several threads feed would then arrive out of their order.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[tuple[int, threading.Lock]] = deque()
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        own, gate = threading.get_ident(), threading.Lock()
        with self._guard:
            if self._owner in (own, None) and (self._owner == own or not self._waiting):
                self._owner, self._depth = own, self._depth + 1
                return
            gate.acquire()
            self._waiting.append((own, gate))
        try:
            gate.acquire()
        except BaseException:  # an interrupt while it waits
            with self._guard:
                waits = (own, gate) in self._waiting
                if waits:
                    self._waiting.remove((own, gate))
            if not waits:
                self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        with self._guard:
            self._depth -= 1
            if self._depth:
                return
            self._owner = None
            if self._waiting:
                self._owner, gate = self._waiting.popleft()
                self._depth = 1
                gate.release()


def replay_clock() -> None:
    """The clock of history: every tick is processed at its own timestamp."""
    return None


class UniversalPredictor:
    """A predictor of one series: feed ticks, get forecasts.

    Threads may share it: calls that move it on wait for one another, first come, first served.  A copy, deep or not,
    and what `pickle` brings back go on from the same state with a history of their own, and emit no telemetry.

    Args:
        config: settings; the default configuration where left out.
        clock: gives the time of processing [ns since 1970 UTC]; `replay_clock` for ticks of the past, which are then
            processed at their own timestamps.
        history_limit: ticks that `history()` can give back; older ones are let go.
        telemetry: a buffer that takes the result of every tick, for a `uspnb.sinks.Consumer` to watch or log.
        asset: what the series is called there and in snapshots.

    Raises:
        DomainError: not a configuration, or a history limit below 1.
    """

    def __init__(
        self,
        config: PredictorConfig | None = None,
        *,
        clock: Callable[[], int | None] = time.time_ns,
        history_limit: SupportsIndex = HISTORY_LIMIT,
        telemetry: TelemetryBuffer | None = None,
        asset: str = "series",
    ) -> None:
        limit = check_whole("history_limit", history_limit, 1, unit="ticks")
        self._functional = FunctionalPredictor(config)
        self._clock = clock
        self._layout = self._functional.layout
        self._limit, self._counted = limit, 0
        self._history: deque[tuple[np.ndarray, int]] = deque(maxlen=limit)  # rows and timestamps
        self._rows = packed_state(self._functional.init_state())
        self._doubts = {StalenessWarning: False, FrequencyWarning: False}
        self._grid_in_history = False
        self._last: PredictionResult | None = None
        self._held_by = ""
        self._keeper = SnapshotKeeper()
        self._turn = Turns()
        self._telemetry, self._asset = telemetry, asset
        self._ticks = 0  # what the state counts, without asking a device for it

    @classmethod
    def from_snapshot(cls, path: Where, **rest: Any) -> UniversalPredictor:
        """A predictor with the settings and the state of a snapshot file.

        Args:
            path: the file.
            rest: `clock`, `history_limit`, `telemetry`, `asset`.

        Raises:
            IntegrityError: the file is damaged.
            DomainError: its schema version cannot be read.
            OSError: it cannot be read.
        """
        predictor = UniversalPredictor(config_from(read_snapshot(path)), **rest)
        predictor.load_snapshot(path)
        return predictor

    @property
    def functional(self) -> FunctionalPredictor:
        """The stateless predictor in use."""
        return self._functional

    @property
    def clock(self) -> Callable[[], int | None]:
        """What gives the time of processing."""
        return self._clock

    @property
    def history_limit(self) -> int:
        """Ticks that `history()` can give back."""
        return self._limit

    @property
    def config(self) -> PredictorConfig:
        """The settings in force."""
        return self._functional.config

    @property
    def state(self) -> PredictorState:
        """The present state; it stays valid while the predictor goes on."""
        return unpacked_state(self._rows)

    @property
    def last_result(self) -> PredictionResult | None:
        """What the last tick gave, None before the first."""
        return self._last

    def fit_history(self, values: Any, times: Any = None, covariates: Any = None) -> bool:
        """Start from a history instead of from nothing, by one compiled scan.

        Args:
            values: at least `wtmm_buffer_size` ticks of the same series, oldest first.
            times: their timestamps; where neither these nor an index of the values say when, the clock stays unset and
                the next tick may carry any timestamp.
            covariates: those of the configuration at each tick, and at as many after the last as are known: a DataFrame
                or mapping of columns by name, or an array with a row for each tick.

        Returns:
            True where, at the end, the transport converged and the mean chart stands below its threshold.

        Raises:
            DomainError: too short, or not a series of one asset.
        """
        self._refuse_while_held("fit_history")
        # pandas and xarray take seconds to import, and a live loop needs neither.
        from ..data.series import read_series

        series = read_series(values, times)
        if series.values.ndim != 1:
            raise DomainError(
                f"fit_history got {series.values.shape[1]} assets; a UniversalPredictor holds one series, "
                "use FunctionalPredictor.step_batch or backtest for several"
            )
        needed = self.config.wtmm_buffer_size
        if len(series) < needed:
            raise DomainError(f"Insufficient history. Required: {needed} ticks, got {len(series)}")
        known = None
        if covariates is None and series.covariates is not None:
            covariates = dict(zip(series.covariate_names, series.covariates.T, strict=True))
        if covariates is not None:
            known = known_table(self.config, covariates, len(series) + self.config.horizons[-1])
        told = covariate_ticks(self.config, known, len(series))
        ticks = observations(series.values, series.timestamps_ns, covariates=told)
        with self._turn:
            if not series.has_times:
                self._forget_clock()  # or the grid that stands in for times would lie before the last tick
            self._rows, rows = scan_chunks(self._functional, self._rows, ticks)
            if not series.has_times:
                self._forget_clock()
                self._grid_in_history = True
            self._record(rows, series.timestamps_ns)
            self._last = unpack(rows[-1], self._layout)
            final = self._last.telemetry
        stable = bool(final.cusum_drift < final.adaptive_threshold)
        return bool(final.sinkhorn_converged) and stable

    def step(self, tick: ProcessState) -> PredictionResult:
        """Take one tick and forecast the next.

        Warns once per episode with `StalenessWarning` (ticks older than their time to live) and `FrequencyWarning`
        (ticks further apart than the sampling limit).

        Returns:
            The forecast; its telemetry holds NumPy scalars and arrays.

        Raises:
            DomainError: not a `ProcessState`; or an outlier where `strict_domain` asks for an error.  The tick is then
                counted as rejected and nothing else changes.
        """
        if not isinstance(tick, ProcessState):
            raise DomainError(f"tick has type {type(tick).__name__}, expected ProcessState(magnitude, timestamp_utc)")
        with self._turn:
            self._refuse_while_held("step")
            self._rows, row = self._functional.step_row(self._rows, self._functional.observation(tick, self._clock()))
            self._record(row[None], np.array([tick.timestamp_ns]))
            result = tagged(unpack(row, self._layout), tick)
            self._last = result
            self._warn(tick, result)
        if self.config.strict_domain and bool(result.telemetry.outlier):
            raise DomainError(
                f"magnitude {tick.magnitude:g} lies {abs(float(result.telemetry.z_score)):.1f} spreads from the level, "
                f"beyond sigma_bound = {self.config.sigma_bound:g}; the tick was rejected and the state is unharmed"
            )
        return result

    def forecast(self, steps: SupportsIndex | None = None, *, covariates: Any = None) -> xr.Dataset:
        """The fan of the next ticks: forecast, intervals at each level and weights of the kernels, tick by tick.

        Args:
            steps: how many ticks ahead, up to the longest of the configuration's `horizons`, which is what is given
                where left out.
            covariates: those of the configuration at the next ticks: a DataFrame or mapping of columns by name, or an
                array with a row for each tick.  Ticks of which they are not known are forecast without them.

        Returns:
            A Dataset with dims horizon, level and kernel, and the times that the ticks are expected at.

        Raises:
            DomainError: before the first tick, beyond the longest horizon, or covariates of other names.
        """
        return to_fan(self._outlook(steps, covariates), self.config, grid=self._grid_in_history)

    def simulate(
        self,
        steps: SupportsIndex | None = None,
        *,
        paths: SupportsIndex = 500,
        seed: SupportsIndex = 0,
        covariates: Any = None,
    ) -> Float[np.ndarray, "path step"]:
        """Joint paths of the next ticks, which agree with the fan at each and hang together as its errors do [y].

        Args:
            steps: as of `forecast`.
            paths: how many, up to 100,000.
            seed: of the random draws; the same seed gives the same paths.
            covariates: as of `forecast`.

        Raises:
            DomainError: as `forecast`, or no such number of paths.
        """
        return simulated(self._outlook(steps, covariates), self.config, paths, seed)

    def probability(
        self,
        *,
        above: float | None = None,
        below: float | None = None,
        within: SupportsIndex,
        paths: SupportsIndex = 4000,
        covariates: Any = None,
    ) -> float:
        """Probability that one of the next ticks at least is above a value, or below another.

        Args:
            above, below: the values [y]; where both are given, either counts.
            within: how many ticks.
            paths: simulated for it.
            covariates: as of `forecast`.

        Raises:
            DomainError: as `simulate`, or no finite bound.
        """
        return crossing_probability(self.simulate(within, paths=paths, covariates=covariates), above, below)

    def _outlook(self, steps: SupportsIndex | None, covariates: Any) -> Outlook:
        with self._turn:
            functional, rows = self._functional, self._rows
        return outlook(functional.config, functional.static, functional.knobs, rows, steps, covariates)

    def history(self) -> xr.Dataset:
        """Every tick seen, up to the history limit, as the Dataset that `backtest` returns.

        The time axis counts ticks where a history without times is part of it, else it holds the timestamps.

        Raises:
            DomainError: no tick has been seen yet.
        """
        if self._last is None:
            raise DomainError("history() needs at least one tick; call step or fit_history first")
        from ..data.series import Series
        from .results import to_dataset

        with self._turn:
            held, last = list(self._history), self._last
            first = self._counted - len(held)
        rows = np.array([row for row, _ in held])
        stamps = np.array([stamp for _, stamp in held], np.int64)
        results = unpack(rows, self._layout)
        telemetry = results.telemetry
        when = stamps.astype("datetime64[ns]") if not self._grid_in_history else np.arange(first, first + len(rows))
        series = Series(np.asarray(telemetry.observation), stamps, None, when)
        out = (last.reference_prediction, last.confidence_lower, last.confidence_upper)
        return to_dataset(telemetry, out, series, self.config)

    def save_snapshot(self, path: Where | None = None) -> Path:
        """Write the state to disk, whole or not at all, and wait until it is there.

        The history is not part of it.

        Args:
            path: the file; left out, the next one in the folder `snapshot_path`, which keeps the newest
                `snapshot_retention`.

        Returns:
            Where it lies.

        Raises:
            DomainError: the path is a folder.
            OSError: the disk does not take it; what was there before is untouched.
        """
        return self._keeper.save(path, self.config, self._payload_maker()).path

    def save_snapshot_nonblocking(self, path: Where | None = None) -> Future[Written]:
        """`save_snapshot` in a thread of its own; returns at once and never waits for a disk.

        Where too many wait, the oldest is dropped and its future cancelled; the newest never is.
        """
        return self._keeper.submit(path, self.config, self._payload_maker())

    def snapshot_status(self) -> SnapshotStatus | None:
        """How the snapshots without waiting stand, None before the first."""
        return self._keeper.status()

    def load_snapshot(self, path: Where | None = None, *, only: str | None = None) -> Loaded:
        """Go on from a snapshot, bit for bit as the predictor that wrote it; the history begins anew.

        Settings stay those of this predictor; `differing` of what is returned says where they are others.

        Args:
            path: a file, or a folder whose newest valid snapshot is taken; `snapshot_path` where left out.
            only: a kernel's name, or its letter, restores that kernel alone and leaves all else as it is.

        Raises:
            IntegrityError: the file is damaged.
            DomainError: it belongs to other settings or another schema version; or something holds this predictor.
            OSError: it cannot be read.
        """
        self._refuse_while_held("load_snapshot")
        functional = self._functional
        loaded = load_state(path, functional.config, lambda _: functional.init_state(), only=only, current=self.state)
        with self._turn:
            self._rows = packed_state(loaded.state)
            if only is None:
                self._ticks = int(loaded.state.ticks)
                self._forget_history()
                self._doubts = {k: bool(loaded.progress.extra.get(k.__name__, False)) for k in self._doubts}
                self._grid_in_history = bool(loaded.progress.extra.get("grid", False))
        return loaded

    def _payload_maker(self) -> Callable[[], Payload]:
        # The arrays of a state are immutable: a reference is a copy, whichever thread calls `make`.
        with self._turn:
            rows, config, source, taken_ns = self._rows, self.config, self._asset, time.time_ns()
            extra: dict[str, str | int | float | bool] = {kind.__name__: on for kind, on in self._doubts.items()}
            extra["grid"] = self._grid_in_history
            telemetry = None if self._last is None else vars(self._last.telemetry)

        def make() -> Payload:
            state = host_state(rows)
            progress = Progress(int(state.ticks), source, int(state.gate.last_timestamp_ns), extra)
            return snapshot_of(state, config, progress=progress, telemetry=telemetry, timestamp_ns=taken_ns)

        return make

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles carry; the state as NumPy arrays.

        Raises:
            DomainError: a session or a service holds this predictor.
        """
        with self._turn:
            self._refuse_while_held("a copy")
            own = {name: value for name, value in vars(self).items() if name not in _NOT_COPIED}
            return own | {
                "_rows": jax.device_get(self.state),
                "_history": self._history.copy(),
                "config": self.config,
            }

    def __setstate__(self, own: dict[str, Any]) -> None:
        self._functional = FunctionalPredictor(own.pop("config"))
        self._layout = self._functional.layout
        self._keeper, self._turn, self._telemetry = SnapshotKeeper(), Turns(), None
        vars(self).update(own)
        self._rows = packed_state(jax.tree.map(jax.numpy.asarray, own["_rows"]))

    def __copy__(self) -> UniversalPredictor:
        return copy.deepcopy(self)

    def hold(self, by: str) -> None:
        """Have nothing but `by` move this predictor on until it is let go.

        Raises:
            DomainError: something else holds it.
        """
        self._refuse_while_held("another holder")
        self._held_by = by

    def let_go(self) -> None:
        """End of `hold`."""
        self._held_by = ""

    def release(
        self,
        functional: FunctionalPredictor,
        state: PredictorState,
        rows: Float[np.ndarray, "time width"],
        stamps: Int[np.ndarray, "time"],
        *,
        grid: bool,
    ) -> None:
        """Take back what a holder has made: settings, state, and the ticks on the way.

        Args:
            functional: of the same static fields as before.
            state: S_t.
            rows: packed results of the ticks.
            stamps: their timestamps [ns since 1970 UTC].
            grid: whether those stand for no times; then the next tick may carry any timestamp.
        """
        self.let_go()
        self._functional = functional
        self._rows = packed_state(clock_forgotten(state) if grid and len(rows) else state)
        if len(rows):
            self._grid_in_history = self._grid_in_history or grid
            self._remember(rows, stamps)
            self._ticks = int(state.ticks)
            self._last = unpack(rows[-1], self._layout)

    def change_settings(self, functional: FunctionalPredictor, state: PredictorState) -> None:
        """Go on with other settings; what the history holds stays where its columns mean the same.

        Args:
            functional: the predictor of the new settings.
            state: the state to go on with, of their shapes.

        Raises:
            DomainError: something holds this predictor.
        """
        self._refuse_while_held("change_settings")
        with self._turn:
            self._adopt_settings(functional, state)

    def _adopt_settings(self, functional: FunctionalPredictor, state: PredictorState) -> None:
        self._functional, self._rows = functional, packed_state(state)
        if functional.layout != self._layout:
            self._layout = functional.layout
            self._forget_history()

    def _refuse_while_held(self, what: str) -> None:
        if self._held_by:
            raise DomainError(
                f"{what} must wait: {self._held_by} holds this predictor and moves it on; close that first, or use a "
                "predictor of your own"
            )

    def _remember(self, rows: np.ndarray, stamps: np.ndarray) -> None:
        # A copy: of a long scan only the rows that are remembered stay in memory.
        self._history.extend(zip(rows[-self._limit :].copy(), stamps[-self._limit :].tolist(), strict=True))
        self._counted += len(rows)

    def _forget_history(self) -> None:
        self._history.clear()
        self._counted, self._last = 0, None

    def _record(self, rows: np.ndarray, stamps: np.ndarray) -> None:
        self._remember(rows, stamps)
        if self._telemetry is not None:
            self._telemetry.emit(self._asset, self._ticks + 1, rows, stamps)
        self._ticks += len(rows)

    def _forget_clock(self) -> None:
        self._rows = packed_state(clock_forgotten(self.state))

    def _warn(self, tick: ProcessState, result: PredictionResult) -> None:
        stale, sparse = bool(result.telemetry.stale), bool(result.telemetry.sparse)
        when = np.datetime64(tick.timestamp_ns, "ns")
        if stale and not self._doubts[StalenessWarning]:
            message = f"tick of {when} is older than its time to live; weights are held"
            warnings.warn(message, StalenessWarning, stacklevel=3)
        if sparse and not self._doubts[FrequencyWarning]:
            message = f"tick of {when} comes later than the sampling limit; roughness may alias"
            warnings.warn(message, FrequencyWarning, stacklevel=3)
        self._doubts = {StalenessWarning: stale, FrequencyWarning: sparse}

    def __repr__(self) -> str:
        ticks = 0 if self._last is None else int(self._last.telemetry.ticks)
        return f"UniversalPredictor({ticks} ticks accepted, {self._last!r})"

    def _repr_html_(self) -> str:
        held = f", held by {self._held_by}" if self._held_by else ""
        last = "" if self._last is None else self._last._repr_html_()
        return headline("UniversalPredictor", f"{self._counted} ticks seen{held}") + last + self.config._repr_html_()


def clock_forgotten(state: PredictorState) -> PredictorState:
    """The state with its clock unset, so that the next tick may carry any timestamp."""
    gate = state.gate._replace(
        clock_started=jax.numpy.zeros((), bool),
        intervals_ns=jax.numpy.full(INTERVALS_KEPT, -1, np.int64),
        long_intervals_ns=jax.numpy.full(LONG_INTERVALS_KEPT, -1, np.int64),
        long_ends_ns=jax.numpy.full(LONG_INTERVALS_KEPT, -1, np.int64),
    )
    return state._replace(gate=gate)
