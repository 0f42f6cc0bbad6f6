"""What turns ticks into rows: the protocol that a track drives, and the computation of one series."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ..array_types import Float, Int
from ..config.schema import PredictorConfig
from ..model.packing import Layout, row_columns
from ..model.programs import SERIES_LENGTH
from ..model.records import Observation
from ..model.state import PredictorState
from ..predictor.functional import FunctionalPredictor, filled
from ..predictor.shedding import DepthSwitch
from ..predictor.universal import clock_forgotten
from ..sources import Ticks


@runtime_checkable
class Computation(Protocol):
    """States of one series or of several assets, moved on by ticks; no clock, no thread, no record of its own.

    A track calls every method from the worker's thread, but for `states`, which any thread may call.

    Attributes:
        config: the settings of the next tick.
        layout: of a full packed row.
        columns: where each field stands in a row that `advance` gives.
        shape: of such a row: (width,) for one series, (asset, width) for several.
        assets: how many series; a track of one has values of shape (time,), of several (time, asset).
        most: ticks that `advance` takes at once.
        workers: processes that compute.
        depth: of the log-signature.
    """

    most: int
    workers: int

    @property
    def config(self) -> PredictorConfig: ...

    @property
    def layout(self) -> Layout: ...

    @property
    def columns(self) -> Mapping[str, slice]: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def assets(self) -> int: ...

    @property
    def depth(self) -> int: ...

    def prepare(self) -> None:
        """Compile and load what `advance` needs, which may take many seconds; no state is touched."""
        ...

    def advance(self, ticks: Ticks, now_ns: Int[np.ndarray, "time"]) -> Float[np.ndarray, "time *shape"]:
        """Move the state on by at most `most` ticks.

        Args:
            ticks: oldest first; values (time,) or (time, asset), one timestamp for each tick.
            now_ns: the time of processing of each tick [ns since 1970 UTC].

        Returns:
            A row for each tick.
        """
        ...

    def full_rows(self, rows: Float[np.ndarray, "time width"]) -> Float[np.ndarray, "time full"]:
        """Rows of one series with every column of `layout`; what was left out is NaN, or 0 in flags and counters."""
        ...

    def keep(self) -> Any:
        """A handle of the present state for `put` and `states`.

        It costs next to nothing and stays good as long as somebody holds it: the worker takes one after every batch.
        Lanes in other processes give a token, keep the state while the token lives, and drop it afterwards.
        """
        ...

    def put(self, kept: Any) -> None:
        """Go back to a state that was kept, under the settings of now."""
        ...

    def states(self, kept: Any) -> tuple[PredictorState, int]:
        """The state behind a handle as snapshots and stores hold it, and the depth of its log-signature.

        Several assets are stacked along a leading axis.  Any thread may ask.
        """
        ...

    def cold(self, depth: int | None = None) -> PredictorState:
        """The state that it begins with, of the same shapes as `states` gives; of a depth of the log-signature."""
        ...

    def take(self, state: PredictorState, held: int | None = None, depth: int | None = None) -> None:
        """Go on from a state of `states`, which was written at depth `held` by one that computed at `depth`."""
        ...

    def configure(self, config: PredictorConfig) -> None:
        """Settings for the next tick; fields that set shapes stay."""
        ...

    def forget_clock(self) -> None:
        """Let the next tick carry any timestamp."""
        ...

    def shed(self, latency_ns: float, interval_ns: float, tick: int, *, jittery: bool) -> bool:
        """Choose the log-signature's depth by the load; whether it changed.  Never without load shedding."""
        ...

    def close(self) -> None:
        """Let go of processes and programs; a second call does nothing."""
        ...


class Kept(NamedTuple):
    """The state of one series, held by reference.

    Attributes:
        state: S_t; its arrays are immutable.
        shedding: the moment of the depth switch, None without one.
        saved: makes the state at the highest depth that it ever had, and that depth; None without a switch.
    """

    state: PredictorState
    shedding: Any = None
    saved: Callable[[], tuple[PredictorState, int]] | None = None


class SeriesComputation:
    """One series through the compiled scan, the one that `backtest` uses.

    Args:
        config: settings.
        state: where it starts; its cold state where left out, which is made when it is first needed.
        shedding: whether the log-signature's depth follows the load.
    """

    most, assets, workers = SERIES_LENGTH, 1, 1

    def __init__(
        self, config: PredictorConfig | None = None, state: PredictorState | None = None, *, shedding: bool = False
    ) -> None:
        self._functional = FunctionalPredictor(config)
        self._switch = DepthSwitch(self._functional.config) if shedding else None
        self._state = state

    @property
    def functional(self) -> FunctionalPredictor:
        """The predictor of the next tick."""
        return self._functional if self._switch is None else self._switch.functional

    @property
    def config(self) -> PredictorConfig:
        """The settings of the next tick."""
        return self._functional.config

    @property
    def layout(self) -> Layout:
        """Layout of a row."""
        return self._functional.layout

    @property
    def columns(self) -> dict[str, slice]:
        """Where each field stands in a row."""
        return row_columns(self.layout)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a row."""
        return (self.layout.width,)

    @property
    def depth(self) -> int:
        """Depth of the log-signature in use."""
        return self.functional.config.log_sig_depth

    @property
    def state(self) -> PredictorState:
        """S_t."""
        if self._state is None:
            self._state = self.functional.init_state()
        return self._state

    def prepare(self) -> None:
        """Compile and load the programs; with load shedding those of all depths."""
        if self._switch is not None:
            self._switch.warm()
        else:
            self._functional.warm(self.state)

    def advance(self, ticks: Ticks, now_ns: Int[np.ndarray, "time"]) -> Float[np.ndarray, "time width"]:
        """Move the state on by at most `SERIES_LENGTH` ticks."""
        columns = (ticks.values, ticks.stamps_ns, now_ns, ticks.proxies)
        buffer = Observation(*(filled(column, SERIES_LENGTH) for column in columns))
        self._state, rows = self.functional.advance(self.state, buffer, len(ticks.values))
        return rows

    def full_rows(self, rows: Float[np.ndarray, "time width"]) -> Float[np.ndarray, "time width"]:
        """The rows themselves."""
        return rows

    def keep(self) -> Kept:
        """The present state, by reference."""
        if self._switch is None:
            return Kept(self.state)
        return Kept(self.state, self._switch.moment(), self._switch.whole(self.state))

    def put(self, kept: Kept) -> None:
        """Go back to a state that was kept."""
        self._state = kept.state
        if self._switch is not None and kept.shedding is not None:
            self._switch.go_back(kept.shedding)

    def states(self, kept: Kept) -> tuple[PredictorState, int]:
        """The state at the highest depth that it ever had, and that depth."""
        return (kept.state, self.config.log_sig_depth) if kept.saved is None else kept.saved()

    def cold(self, depth: int | None = None) -> PredictorState:
        """The state that a series begins with."""
        if self._switch is None or depth is None:
            return self.functional.init_state()
        return self._switch.at(depth).init_state()

    def take(self, state: PredictorState, held: int | None = None, depth: int | None = None) -> None:
        """Go on from a state of `states`."""
        if self._switch is not None and held is not None:
            state = self._switch.resume(state, held, held if depth is None else depth)
        self._state = state

    def configure(self, config: PredictorConfig) -> None:
        """Settings for the next tick."""
        if config is self.config:
            return
        self._functional = FunctionalPredictor(config)
        if self._switch is not None:
            self._switch.configure(config)

    def forget_clock(self) -> None:
        """Let the next tick carry any timestamp."""
        self._state = clock_forgotten(self.state)

    def shed(self, latency_ns: float, interval_ns: float, tick: int, *, jittery: bool) -> bool:
        """Choose the log-signature's depth by the load; whether it changed."""
        if self._switch is None:
            return False
        depth = self._switch.choose(latency_ns, interval_ns, tick, jittery=jittery)
        if depth == self._switch.depth:
            return False
        self._state = self._switch.switch(self.state, depth)
        return True

    def close(self) -> None:
        """Nothing is held."""
