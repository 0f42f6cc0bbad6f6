"""The states of many assets: lanes of one compiled shape, and who computes a lane, this process or another one.

XLA's CPU client has one thread (see `uspnb.runtime.machine`), so that two Python threads running programs take turns; a
second core is had by a second process.  The split into lanes depends on the number of assets alone: whoever computes a
lane runs the same program on the same numbers, and the results are the same to the bit.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from ... import runtime
from ...array_types import Float, Int
from ...config.load import config_to_toml, parse_config
from ...config.schema import PredictorConfig
from ...errors import DomainError, UspnbError
from ...model.fields import FLEET, shown_fields
from ...model.kernels.registry import packed_kernels, register_packed
from ...model.packing import Layout, row_columns
from ...model.programs import static_part
from ...model.records import Observation
from ...model.state import PredictorState
from ...persistence.stores.state_layout import StateLayout
from ...predictor.functional import FunctionalPredictor, placed_beside
from ...predictor.universal import clock_forgotten
from ...runtime.child import Child, ChildEnded, Message, extend_path, read_message, write_message
from ...sources import Ticks
from ..computation import Computation

WIDEST_LANE = 256
LANE_STEP = 4
ASSETS_WORTH_A_PROCESS = 200
MOST_WORKERS = 8
MOST_TICKS, TICKS_AT_ONCE = 32, 64  # of one batch; assets times ticks that make one, so that a command waits for little
CLOSE_S = 2.0
HELPER = "uspnb.engine.fleet.lanes:serve"


class LaneFault(UspnbError):
    """A lane cannot go on: who computed it has ended."""


class FleetColumns(NamedTuple):
    """Which columns of a packed row a fleet keeps.

    Attributes:
        numbers: their places in a full row, ascending.
        place: name of a field to its slice of a kept row; names as in `row_columns`.
    """

    numbers: Int[np.ndarray, "field"]
    place: dict[str, slice]


@functools.cache
def fleet_columns(layout: Layout, every: bool = False) -> FleetColumns:
    """The columns that a fleet keeps, or all."""
    names = shown_fields(FLEET)
    numbers, place, start = [], {}, 0
    for name, full in row_columns(layout).items():
        if every or name in names:
            numbers.append(np.arange(full.start, full.stop))
            place[name] = slice(start, start + len(numbers[-1]))
            start = place[name].stop
    return FleetColumns(np.concatenate(numbers), place)


def full_rows(rows_of_fleet: Float[np.ndarray, "time field"], layout: Layout) -> Float[np.ndarray, "time width"]:
    """Full rows; floats that were not kept are NaN, flags and counters that were not kept are 0."""
    if rows_of_fleet.shape[-1] == layout.width:
        return rows_of_fleet
    blank = np.concatenate(
        [
            np.full(int(np.prod(shape)), np.nan if dtype == np.float64 else 0.0)
            for shape, dtype in zip(layout.shapes, layout.dtypes, strict=True)
        ]
    )
    rows = np.repeat(blank[None], len(rows_of_fleet), axis=0)
    rows[:, fleet_columns(layout).numbers] = rows_of_fleet
    return rows


def lane_slices(assets: int) -> list[slice]:
    """Equal lanes of at most 256 assets, an even number of them where there are several; the last may reach past.

    Widths are multiples of four, so that fleets of nearly the same size share one compiled program.
    """
    lanes = -(-assets // WIDEST_LANE)
    lanes = 2 if lanes == 1 and assets >= ASSETS_WORTH_A_PROCESS else lanes
    lanes += lanes % 2 if lanes > 1 else 0
    width = -(-assets // (lanes * LANE_STEP)) * LANE_STEP
    return [slice(k * width, (k + 1) * width) for k in range(lanes) if k * width < assets]


def default_workers(assets: int) -> int:
    """Processes that share the work: as many as lanes and cores allow on a CPU, one on an accelerator."""
    if runtime.platform() != "cpu":
        return 1
    return max(1, min(len(lane_slices(assets)), os.cpu_count() or 1, MOST_WORKERS))


def kernels_for_others(config: PredictorConfig) -> str:
    """The kernels of a user's own, for processes that compute lanes.

    Raises:
        DomainError: one that stands in a notebook's cell or a script, which they cannot import.
    """
    return packed_kernels(config.kernels, "another process", "have workers=1 compute everything in this process")


def _can_be_shared(config: PredictorConfig) -> bool:
    try:
        kernels_for_others(config)
    except DomainError:
        return False
    return True


class LocalLane:
    """A lane computed here, when it is collected.

    Args:
        config: settings.
        assets: how many series.
        every: whether all columns of a row are kept.
    """

    def __init__(self, config: PredictorConfig, assets: int, every: bool = False) -> None:
        self.assets = assets
        self._predictor = FunctionalPredictor(config)
        self._numbers = fleet_columns(self._predictor.layout, every).numbers
        self._states = self._predictor.init_state(assets)
        self._ticks: tuple[np.ndarray, ...] = ()

    def warm(self) -> None:
        """Compile, without a tick."""
        self._predictor.warm(self._states)

    def submit(
        self, values: Float[np.ndarray, "time asset"], stamps_ns: Int[np.ndarray, "time"], now_ns: np.ndarray
    ) -> None:
        """Hold the ticks until they are collected."""
        self._ticks = (values, stamps_ns, now_ns)

    def collect(self) -> Float[np.ndarray, "time asset field"]:
        """Compute the ticks that were handed over, one by one: the program has the shape of one."""
        rows = []
        for tick in zip(*self._ticks, strict=True):
            self._states, row = self._predictor.advance(self._states, self._observation(*tick), 1)
            rows.append(row[0][:, self._numbers])
        self._ticks = ()
        return np.stack(rows)

    def keep(self) -> PredictorState:
        """The states themselves: nobody writes to their arrays."""
        return self._states

    def put(self, handle: PredictorState) -> None:
        """Go back to states of `keep`."""
        self._states = handle

    def states(self, handle: PredictorState) -> PredictorState:
        """As they are."""
        return handle

    def take(self, states: PredictorState) -> None:
        """Go on from these states, on the device that the lane computes on."""
        self._states = placed_beside(self._states.ticks, states)

    def configure(self, config: PredictorConfig) -> None:
        """Settings from the next tick on."""
        self._predictor = FunctionalPredictor(config)

    def close(self) -> None:
        """Nothing is held."""

    def _observation(self, values: np.ndarray, stamp_ns: Any, now_ns: Any) -> Observation:
        shape = (1, self.assets)
        stamps, now = np.full(shape, stamp_ns, np.int64), np.full(shape, now_ns, np.int64)
        return Observation(np.asarray(values, np.float64)[None], stamps, now, np.full(shape, np.nan))


class Token:
    """States that another process keeps under a number as long as this lives."""

    def __init__(self, number: int, dropped: deque[int]) -> None:
        self.number = number
        weakref.finalize(self, dropped.append, number).atexit = False


@runtime_checkable
class Link(Protocol):
    """The way to a `FarEnd`: what is sent there, and its answers in their order; a `uspnb.runtime.child.Child` is one.

    `send` and `receive` raise `ChildEnded` or `LaneFault` where the far end is gone for good.
    """

    def send(self, head: Mapping[str, Any], *parts: bytes | memoryview) -> None:
        """Send an ask and what belongs to it."""

    def receive(self) -> Message:
        """Wait for the next answer."""
        ...

    def close(self, timeout_s: float | None = None) -> object:
        """Let the far end go, and wait at most so long [s]."""


class RemoteLane:
    """Lanes computed by another process, which has a `FarEnd`.

    Args:
        config, every: as for `LocalLane`.
        assets: how many series, of all lanes together.
        link: makes the way there.
        lanes: how many equal ones the assets are.
    """

    def __init__(
        self, config: PredictorConfig, assets: int, every: bool, link: Callable[[], Link], lanes: int = 1
    ) -> None:
        self.assets = assets
        predictor = FunctionalPredictor(config)
        self._width = len(fleet_columns(predictor.layout, every).numbers)
        self._packed = StateLayout(predictor.init_state(), config)
        self._issued = 0
        self._dropped: deque[int] = deque()
        self._present: weakref.ref[Token] | None = None
        self._link = link()
        kernels = kernels_for_others(config)
        self._ask(
            "open",
            assets=assets,
            every=every,
            lanes=lanes,
            config=config_to_toml(config),
            kernels=kernels,
            path=sys.path,
        )

    def warm(self) -> None:
        """Let it compile, and wait for it."""
        self._ask("warm")
        self._answer()

    def submit(
        self, values: Float[np.ndarray, "time asset"], stamps_ns: Int[np.ndarray, "time"], now_ns: np.ndarray
    ) -> None:
        """Send the ticks; the other process begins at once."""
        self._present = None
        columns = (np.asarray(stamps_ns, np.int64), np.asarray(now_ns, np.int64), np.asarray(values, np.float64))
        self._ask("ticks", *(column.tobytes() for column in columns), count=len(values))

    def collect(self) -> Float[np.ndarray, "time asset field"]:
        """Wait for the rows of the ticks that were sent."""
        return np.frombuffer(self._answer()).reshape(-1, self.assets, self._width)

    def keep(self) -> Token:
        """Have the states kept there; of the same tick there is one token.  Where it has ended, one of nothing."""
        token = self._present() if self._present is not None else None
        if token is not None:
            return token
        self._issued += 1
        token = Token(self._issued, self._dropped)
        with contextlib.suppress(LaneFault):  # whoever uses the token is told
            self._ask("keep", number=token.number)
            self._present = weakref.ref(token)
        return token

    def put(self, token: Token) -> None:
        """Have it go back."""
        self._ask("put", number=token.number)
        self._present = weakref.ref(token)

    def states(self, token: Token) -> PredictorState:
        """Fetch the states behind a token."""
        self._ask("states", number=token.number)
        return self._packed.unpack(np.frombuffer(self._answer(), np.uint8).reshape(self.assets, -1))

    def take(self, states: PredictorState) -> None:
        """Send states."""
        self._present = None
        self._ask("take", self._packed.pack(states).data)

    def configure(self, config: PredictorConfig) -> None:
        """Send the settings."""
        self._ask("configure", config=config_to_toml(config))

    def close(self) -> None:
        """Let the other process go."""
        self._link.close(CLOSE_S)

    def _ask(self, ask: str, *parts: bytes | memoryview, **rest: Any) -> None:
        dropped = [self._dropped.popleft() for _ in range(len(self._dropped))]
        try:
            self._link.send({"ask": ask, "dropped": dropped, **rest}, *parts)
        except ChildEnded as error:
            raise self._ended(error) from error

    def _answer(self) -> bytes:
        try:
            return self._link.receive().body
        except (ChildEnded, ValueError) as error:  # ValueError: it was closed
            raise self._ended(error) from error

    def _ended(self, error: Exception) -> LaneFault:
        return LaneFault(f"{self.assets} assets cannot go on: {error}. workers=1 computes everything in this process")


class FarEnd:
    """What a `RemoteLane` asks, done and answered, in the process that computes.

    Args:
        opening: the head of the ask "open".
    """

    def __init__(self, opening: Mapping[str, Any]) -> None:
        register_packed(opening["kernels"])
        config, lanes = parse_config(opening["config"]), opening.get("lanes", 1)
        self._assets = opening["assets"]
        self._lanes = [LocalLane(config, self._assets // lanes, opening["every"]) for _ in range(lanes)]
        self._packed = StateLayout(FunctionalPredictor(config).init_state(), config)
        self._handles: dict[int, list[PredictorState]] = {}

    def answer(self, head: Mapping[str, Any], body: Any) -> np.ndarray | None:
        """Do what is asked for; a contiguous array of the answer, None where the ask has none.

        Args:
            head: "ask", "dropped" (numbers of states that nobody holds any more) and what belongs to the ask.
            body: bytes of ticks or states, anything that has a buffer.
        """
        for number in head["dropped"]:
            self._handles.pop(number, None)
        ask = head["ask"]
        if ask == "ticks":
            count = head["count"]
            stamps, now = np.frombuffer(body, np.int64, 2 * count).reshape(2, count)
            values = np.frombuffer(body, offset=16 * count).reshape(count, self._assets)
            return self._rows(values, stamps, now)
        if ask == "keep":
            self._handles[head["number"]] = self._keep()
        elif ask == "put":
            for lane, part in zip(self._lanes, self._handles[head["number"]], strict=True):
                lane.put(part)
        elif ask in ("states", "present"):
            return self._bytes(self._keep() if ask == "present" else self._handles[head["number"]])
        elif ask == "take":
            rows = np.frombuffer(body, np.uint8).reshape(self._assets, -1)
            for lane, part in zip(self._lanes, np.split(rows, len(self._lanes)), strict=True):
                lane.take(self._packed.unpack(part))
        elif ask == "configure":
            for lane in self._lanes:
                lane.configure(parse_config(head["config"]))
        elif ask == "warm":
            for lane in self._lanes:
                lane.warm()
            return np.empty(0)
        return None

    def _rows(self, values: np.ndarray, stamps: np.ndarray, now: np.ndarray) -> Float[np.ndarray, "time asset field"]:
        made = []
        for lane, part in zip(self._lanes, np.split(values, len(self._lanes), axis=1), strict=True):
            lane.submit(part, stamps, now)
            made.append(lane.collect())
        return np.ascontiguousarray(made[0] if len(made) == 1 else np.concatenate(made, axis=1))

    def _keep(self) -> list[PredictorState]:
        return [lane.keep() for lane in self._lanes]

    def _bytes(self, handle: list[PredictorState]) -> np.ndarray:
        rows = [self._packed.pack(lane.states(part)) for lane, part in zip(self._lanes, handle, strict=True)]
        return rows[0] if len(rows) == 1 else np.concatenate(rows)


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """The helper process of a lane: do what `RemoteLane` asks for until the source ends."""
    opening = read_message(source)
    if opening is None:
        return
    extend_path(opening.head["path"])
    far = FarEnd(opening.head)
    while (message := read_message(source)) is not None:
        answer = far.answer(*message)
        if answer is not None:
            write_message(sink, {}, answer.data)


@runtime_checkable
class Hosts(Protocol):
    """Who computes all lanes in place of this process and its helpers.

    Attributes:
        count: processes that compute.
    """

    count: int

    def shares(self, lanes: int) -> list[int]:
        """How many lanes, one after another, make each share that is computed together."""
        ...

    def link(self) -> Link:
        """The way to a new far end."""
        ...

    def close(self) -> None:
        """Nothing more is asked for."""


Lane = LocalLane | RemoteLane


class FleetHandle(NamedTuple):
    """A handle of the states of all assets: `parts` by lane, or `whole` where no lane is open yet."""

    parts: tuple[Any, ...] = ()
    whole: PredictorState | None = None


class FleetComputation(Computation):
    """The states of all assets of a fleet, stepped together; see `uspnb.engine.computation.Computation`.

    Lanes open with the first tick or with `prepare`, whichever is first.

    Args:
        config: settings; the default configuration where left out.
        assets: how many series.
        workers: processes that compute, the first of every `workers` lanes in this one; None for as many as are worth
            it, which is one where a kernel stands in a notebook's cell.
        every: whether rows have all columns, not only `KEPT`.
        most: ticks that may be computed at once, for a ring that holds no more.
        hosts: compute all lanes in place of `workers` processes.

    Raises:
        DomainError: other processes for a kernel that they cannot import.
    """

    def __init__(
        self,
        config: PredictorConfig | None,
        assets: int,
        workers: int | None = None,
        every: bool = False,
        most: int = MOST_TICKS,
        hosts: Hosts | None = None,
    ) -> None:
        super().__init__(config, assets)
        self._every = every
        self.most = max(1, min(MOST_TICKS, most, TICKS_AT_ONCE // assets))
        if hosts is not None or (workers is not None and workers > 1):
            kernels_for_others(self.config)
        self._hosts = hosts
        if hosts is not None:
            self.workers = min(hosts.count, len(lane_slices(assets)))
        else:
            self.workers = workers or (default_workers(assets) if _can_be_shared(self.config) else 1)
        self._places = fleet_columns(self._functional.layout, every)
        self._lock = threading.Lock()  # `states` of any thread, between ticks
        self._fault: LaneFault | None = None
        self._whole: PredictorState | None = None
        self.lanes: list[tuple[slice, Lane]] = []

    @property
    def columns(self) -> dict[str, slice]:
        """Where each field stands in a row."""
        return self._places.place

    def full_rows(self, rows: Float[np.ndarray, "time field"]) -> Float[np.ndarray, "time width"]:
        """Rows of one asset with the columns that were not kept; see `full_rows`."""
        return full_rows(rows, self.layout)

    @property
    def shape(self) -> tuple[int, int]:
        """Of the rows of a tick."""
        return self.assets, len(self._places.numbers)

    def prepare(self) -> None:
        """Compile one lane after the other: the second finds the first one's program on disk.

        Hosts have disks of their own: after the first all compile at once.
        """
        self._open()
        with self._lock, ThreadPoolExecutor(1 if self._hosts is None else len(self.lanes)) as pool:
            self.lanes[0][1].warm()
            list(pool.map(lambda part: part[1].warm(), self.lanes[1:]))

    def advance(self, ticks: Ticks, now_ns: Int[np.ndarray, "time"]) -> Float[np.ndarray, "time asset field"]:
        """Move all states on.

        Args:
            ticks: values (time, asset), NaN where one is missing; one timestamp for each tick.
            now_ns: the time of processing of each tick.

        Raises:
            LaneFault: a helper process has ended; the states of all assets are of no common tick any more.
        """
        if self._fault is not None:
            raise self._fault
        if ticks.values.shape != (len(ticks), self.assets):
            raise DomainError(f"a source gave {ticks.values.shape[-1]} values for {self.assets} assets")
        self._open()
        blank = np.full((len(ticks), self._width - self.assets), np.nan)
        values = np.concatenate([ticks.values, blank], axis=1)
        with self._lock:
            try:
                for part, lane in self.lanes:
                    lane.submit(values[:, part], ticks.stamps_ns, now_ns)
                return np.concatenate([lane.collect() for _, lane in self.lanes], axis=1)[:, : self.assets]
            except LaneFault as fault:
                self._fault = fault
                raise

    def keep(self) -> FleetHandle:
        """A handle; lanes of other processes keep the states until nobody holds it any more."""
        if not self.lanes:
            return FleetHandle((), self._whole)
        with self._lock:
            return FleetHandle(tuple(lane.keep() for _, lane in self.lanes))

    def put(self, handle: FleetHandle) -> None:
        """Go back to states that were kept."""
        if not handle.parts:
            self.take(self.cold() if handle.whole is None else handle.whole)
            return
        with self._lock:
            for (_, lane), part in zip(self.lanes, handle.parts, strict=True):
                lane.put(part)

    def states(self, handle: FleetHandle) -> tuple[PredictorState, int]:
        """The states stacked along the assets, NumPy arrays, and the depth of the log-signature."""
        if not handle.parts:
            return self.cold() if handle.whole is None else handle.whole, self.depth
        with self._lock:
            parts = [lane.states(part) for (_, lane), part in zip(self.lanes, handle.parts, strict=True)]
        host = jax.device_get(parts)
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: self.assets], *host), self.depth

    def cold(self, depth: int | None = None) -> PredictorState:
        """The states that a fleet begins with."""
        return self._functional.init_state(self.assets)

    def take(self, state: PredictorState, held: int | None = None, depth: int | None = None) -> None:
        """Go on from stacked states; what fills the last lane up repeats the last asset."""
        if not self.lanes:
            self._whole = state
            return
        host = jax.device_get(state)
        with self._lock:
            for part, lane in self.lanes:
                rows = np.minimum(np.arange(part.start, part.stop), self.assets - 1)
                lane.take(jax.tree.map(lambda leaf, rows=rows: np.asarray(leaf)[rows], host))

    def configure(self, config: PredictorConfig) -> None:
        """Settings from the next tick on.

        Raises:
            DomainError: a structural setting differs, for which another program would have to be compiled.
        """
        if config is self.config:
            return
        if static_part(config) != static_part(self.config):
            raise DomainError("structural settings cannot change while a fleet runs; make a new one from its snapshot")
        super().configure(config)
        with self._lock:
            for _, lane in self.lanes:
                lane.configure(config)

    def forget_clock(self) -> None:
        """Let the next tick carry any timestamp."""
        states, _ = self.states(self.keep())
        self.take(jax.vmap(clock_forgotten)(states))

    def close(self) -> None:
        """End the helper processes, or let the hosts go."""
        if self._hosts is not None:
            self._hosts.close()
        with self._lock:
            for _, lane in self.lanes:
                lane.close()

    @property
    def _width(self) -> int:
        return self.lanes[-1][0].stop

    def _open(self) -> None:
        if self.lanes:
            return
        parts = lane_slices(self.assets)
        width = parts[0].stop - parts[0].start
        if self._hosts is not None:
            self.lanes = self._shared_out(self._hosts, parts, width)
        else:
            # Helpers start up while the lanes of this process are made.
            helped = {
                k: RemoteLane(self.config, width, self._every, lambda: Child(HELPER))
                for k in range(len(parts))
                if k % self.workers
            }
            self.lanes = [
                (part, helped[k] if k in helped else LocalLane(self.config, width, self._every))
                for k, part in enumerate(parts)
            ]
        if self._whole is not None:
            whole, self._whole = self._whole, None
            self.take(whole)

    def _shared_out(self, hosts: Hosts, parts: list[slice], width: int) -> list[tuple[slice, Lane]]:
        made: list[tuple[slice, Lane]] = []
        start = 0
        for lanes in hosts.shares(len(parts)):
            part = slice(start, start + lanes * width)
            made.append((part, RemoteLane(self.config, lanes * width, self._every, hosts.link, lanes)))
            start = part.stop
        return made
