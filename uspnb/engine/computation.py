"""What turns ticks into rows: what a track drives, and the computation of one series."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from ..array_types import Float, Int
from ..config.schema import PredictorConfig
from ..model.packing import Layout, StateRows, host_state, row_columns
from ..model.programs import SERIES_LENGTH, packed_state, unpacked_state
from ..model.records import Observation
from ..model.state import PredictorState
from ..predictor.covariates import covariate_ticks
from ..predictor.functional import FunctionalPredictor, filled
from ..predictor.shedding import DepthSwitch
from ..predictor.universal import clock_forgotten
from ..sources import Ticks


class Computation(ABC):
    """States of one series or of several assets, moved on by ticks; no clock, no thread, no record of its own.

    A track calls every method from the worker's thread, but for `states`, which any thread may call.

    Args:
        config: settings; the default configuration where left out.
        assets: how many series; a track of one has values of shape (time,), of several (time, asset).

    Attributes:
        most: ticks that `advance` takes at once.
        workers: processes that compute.
    """

    most = SERIES_LENGTH
    workers = 1

    def __init__(self, config: PredictorConfig | None, assets: int = 1) -> None:
        self._functional, self.assets = FunctionalPredictor(config), assets

    @property
    def config(self) -> PredictorConfig:
        """The settings of the next tick."""
        return self._functional.config

    @property
    def layout(self) -> Layout:
        """Layout of a full packed row."""
        return self._functional.layout

    @property
    def columns(self) -> dict[str, slice]:
        """Where each field stands in a row that `advance` gives."""
        return row_columns(self.layout)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of such a row: (width,) for one series, (asset, width) for several."""
        return (self.layout.width,)

    @property
    def depth(self) -> int:
        """Depth of the log-signature in use."""
        return self.config.log_sig_depth

    @abstractmethod
    def prepare(self) -> None:
        """Compile and load what `advance` needs, which may take many seconds; no state is touched."""

    @abstractmethod
    def advance(self, ticks: Ticks, now_ns: Int[np.ndarray, "time"]) -> Float[np.ndarray, "time *shape"]:
        """Move the state on by at most `most` ticks.

        Args:
            ticks: oldest first; values (time,) or (time, asset), one timestamp for each tick.
            now_ns: the time of processing of each tick [ns since 1970 UTC].

        Returns:
            A row for each tick.
        """

    def full_rows(self, rows: Float[np.ndarray, "time width"]) -> Float[np.ndarray, "time full"]:
        """Rows of one series with every column of `layout`; what was left out is NaN, or 0 in flags and counters."""
        return rows

    @abstractmethod
    def keep(self) -> Any:
        """A handle of the present state for `put` and `states`.

        It costs next to nothing and stays good as long as somebody holds it: the worker takes one after every batch.
        Lanes in other processes give a token, keep the state while the token lives, and drop it afterwards.
        """

    @abstractmethod
    def put(self, handle: Any) -> None:
        """Go back to the state of a handle, under the settings of now."""

    @abstractmethod
    def states(self, handle: Any) -> tuple[PredictorState, int]:
        """The state behind a handle as snapshots and stores hold it, and the depth of its log-signature.

        Several assets are stacked along a leading axis.  Any thread may ask.
        """

    @abstractmethod
    def cold(self, depth: int | None = None) -> PredictorState:
        """The state that it begins with, of the same shapes as `states` gives; of a depth of the log-signature."""

    @abstractmethod
    def take(self, state: PredictorState, held: int | None = None, depth: int | None = None) -> None:
        """Go on from a state of `states`, which was written at depth `held` by one that computed at `depth`."""

    def configure(self, config: PredictorConfig) -> None:
        """Settings for the next tick; fields that set shapes stay."""
        if config is not self.config:
            self._functional = FunctionalPredictor(config)

    @abstractmethod
    def forget_clock(self) -> None:
        """Let the next tick carry any timestamp."""

    def shed(self, latency_ns: float, interval_ns: float, tick: int, *, jittery: bool) -> bool:
        """Choose the log-signature's depth by the load; whether it changed.  Never without load shedding."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Let go of processes and programs; a second call does nothing."""


class SeriesHandle(NamedTuple):
    """The state of one series, held by reference.

    Attributes:
        rows: S_t; its arrays are immutable.
        shedding: the moment of the depth switch, None without one.
        saved: makes the state at the highest depth that it ever had, and that depth; None without a switch.
    """

    rows: StateRows
    shedding: Any = None
    saved: Callable[[], tuple[PredictorState, int]] | None = None

    @property
    def state(self) -> PredictorState:
        """S_t leaf by leaf, of NumPy."""
        return host_state(self.rows)


class SeriesComputation(Computation):
    """One series through the compiled scan, the one that `backtest` uses.

    Args:
        config: settings.
        state: where it starts; its cold state where left out, which is made when it is first needed.
        shedding: whether the log-signature's depth follows the load.
    """

    def __init__(
        self, config: PredictorConfig | None = None, state: PredictorState | None = None, *, shedding: bool = False
    ) -> None:
        super().__init__(config)
        self._switch = DepthSwitch(self.config) if shedding else None
        self._rows = None if state is None else packed_state(state)

    @property
    def functional(self) -> FunctionalPredictor:
        """The predictor of the next tick."""
        return self._functional if self._switch is None else self._switch.functional

    @property
    def depth(self) -> int:
        """Depth of the log-signature in use."""
        return self.functional.config.log_sig_depth

    @property
    def state(self) -> PredictorState:
        """S_t."""
        return unpacked_state(self.rows)

    @property
    def rows(self) -> StateRows:
        """The same, as it goes from tick to tick."""
        if self._rows is None:
            self._rows = packed_state(self.functional.init_state())
        return self._rows

    def prepare(self) -> None:
        """Compile and load the programs; with load shedding those of all depths."""
        if self._switch is not None:
            self._switch.warm()
        else:
            self._functional.warm(self.rows)

    def advance(self, ticks: Ticks, now_ns: Int[np.ndarray, "time"]) -> Float[np.ndarray, "time width"]:
        """Move the state on by at most `SERIES_LENGTH` ticks."""
        known = None if isinstance(ticks.covariates, tuple) else ticks.covariates
        told = covariate_ticks(self.config, known, len(ticks.values))
        columns = Observation(ticks.values, ticks.stamps_ns, now_ns, ticks.proxies, told)
        buffer = jax.tree.map(lambda column: filled(column, SERIES_LENGTH), columns)
        self._rows, rows = self.functional.advance(self.rows, buffer, len(ticks.values))
        return rows

    def keep(self) -> SeriesHandle:
        """The present state, by reference."""
        if self._switch is None:
            return SeriesHandle(self.rows)
        return SeriesHandle(self.rows, self._switch.moment(), self._switch.whole(self.state))

    def put(self, handle: SeriesHandle) -> None:
        """Go back to a state that was kept."""
        self._rows = handle.rows
        if self._switch is not None and handle.shedding is not None:
            self._switch.go_back(handle.shedding)

    def states(self, handle: SeriesHandle) -> tuple[PredictorState, int]:
        """The state at the highest depth that it ever had, and that depth."""
        if handle.saved is not None:
            return handle.saved()
        return handle.state, self.config.log_sig_depth

    def cold(self, depth: int | None = None) -> PredictorState:
        """The state that a series begins with."""
        if self._switch is None or depth is None:
            return self.functional.init_state()
        return self._switch.at(depth).init_state()

    def take(self, state: PredictorState, held: int | None = None, depth: int | None = None) -> None:
        """Go on from a state of `states`."""
        if self._switch is not None and held is not None:
            state = self._switch.resume(state, held, held if depth is None else depth)
        self._rows = packed_state(state)

    def configure(self, config: PredictorConfig) -> None:
        """See `Computation.configure`; the depth switch has them too."""
        if config is not self.config and self._switch is not None:
            self._switch.configure(config)
        super().configure(config)

    def forget_clock(self) -> None:
        """Let the next tick carry any timestamp."""
        self._rows = packed_state(clock_forgotten(self.state))

    def shed(self, latency_ns: float, interval_ns: float, tick: int, *, jittery: bool) -> bool:
        """Choose the log-signature's depth by the load; whether it changed."""
        if self._switch is None:
            return False
        depth = self._switch.choose(latency_ns, interval_ns, tick, jittery=jittery)
        if depth == self._switch.depth:
            return False
        self._rows = packed_state(self._switch.switch(self.state, depth))
        return True

    def close(self) -> None:
        """Nothing is held."""
