"""Assets split into lanes of one compiled shape, and who computes a lane: this process or a helper process.

XLA's CPU client has one thread (see `uspnb.runtime`), so that two Python threads running programs take turns; a second
core is had by a second process.  The split into lanes depends on the number of assets alone: whoever computes a lane
runs the same program on the same numbers, and the results are the same to the bit.
"""

from __future__ import annotations

import enum
import os
import struct
import subprocess
import sys
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from ... import runtime
from ...array_types import Float, Int
from ...config.load import config_to_toml
from ...config.schema import PredictorConfig
from ...errors import DomainError, UspnbError
from ...model.packing import Layout
from ...model.programs import static_part
from ...model.records import Observation
from ...model.state import PredictorState
from ...persistence.stores.state_layout import StateLayout
from ...predictor.functional import FunctionalPredictor

WIDEST_LANE = 256
LANE_STEP = 4
ASSETS_WORTH_A_PROCESS = 200
MOST_WORKERS = 8
HEADER = struct.Struct("<qq")

# What is kept of a tick: what the table, the charts and the reasons of one asset read; diagnostics are left out.
KEPT = (
    "observation", "accepted", "prediction", "lower", "upper", "kernel_prediction", "rejected", "not_finite",
    "outlier", "out_of_order", "stale", "sparse", "frozen", "released", "chart_statistic", "chart_threshold", "alarm",
    "alarm_chart", "onset_ago", "in_grace", "holder_exponent", "holder_valid", "weight", "target_weight", "volatility",
    "learning_rate", "mode_collapse_warning", "degraded", "emergency", "operating_mode", "ticks",
)  # fmt: skip


class LaneFault(UspnbError):
    """A lane cannot go on: its helper process has ended."""


class Kept(NamedTuple):
    """Which columns of a packed row are kept.

    Attributes:
        columns: their places in a full row, ascending.
        place: field of the result to its places among the kept ones; the forecast of the next tick goes by the names
            `next_prediction`, `next_lower`, `next_upper`.
        layout: that of a full row.
    """

    columns: Int[np.ndarray, "kept"]
    place: dict[str, Int[np.ndarray, "*shape"]]
    layout: Layout

    def full_rows(self, kept: Float[np.ndarray, "time kept"]) -> Float[np.ndarray, "time width"]:
        """Full rows; floats that were not kept are NaN, flags and counters that were not kept are 0."""
        blank = np.concatenate(
            [
                np.full(int(np.prod(shape)), np.nan if dtype == np.float64 else 0.0)
                for shape, dtype in zip(self.layout.shapes, self.layout.dtypes, strict=True)
            ]
        )
        rows = np.repeat(blank[None], len(kept), axis=0)
        rows[:, self.columns] = kept
        return rows


def kept_columns(layout: Layout, every: bool = False) -> Kept:
    """The columns `KEPT` under a layout, or all."""
    numbers, start = [], 0
    for shape in layout.shapes:
        size = int(np.prod(shape))
        numbers.append(np.arange(start, start + size).reshape(shape))
        start += size
    full = jax.tree.unflatten(layout.structure, numbers)
    wanted = {name: getattr(full.telemetry, name) for name in KEPT}
    wanted |= {
        "next_prediction": full.reference_prediction,
        "next_lower": full.confidence_lower,
        "next_upper": full.confidence_upper,
        "mode": full.operating_mode,
    }
    some = np.unique(np.concatenate([np.ravel(places) for places in wanted.values()]))
    columns = np.arange(layout.width) if every else some
    return Kept(columns, {name: np.asarray(np.searchsorted(columns, of)) for name, of in wanted.items()}, layout)


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


@runtime_checkable
class Lane(Protocol):
    """Assets that one program steps; a helper process may compute while others are handed their tick.

    Attributes:
        assets: how many, those included that only fill the lane up.
    """

    assets: int

    def warm(self) -> None:
        """Compile, without a tick."""

    def submit(self, values: np.ndarray, stamp_ns: int, now_ns: int) -> None:
        """Hand over one tick of every asset; returns at once."""

    def collect(self) -> Float[np.ndarray, "asset kept"]:
        """Wait for the kept columns of its results."""
        ...

    def states(self) -> PredictorState:
        """The stacked states after the last tick; later ticks do not change them."""
        ...

    def put(self, states: PredictorState) -> None:
        """Go on from these states, bit for bit."""

    def configure(self, config: PredictorConfig) -> None:
        """Settings from the next tick on; what differs must be traced, so that nothing is compiled."""

    def close(self) -> None:
        """Let go of what it holds."""


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
        self._kept = kept_columns(self._predictor.layout, every)
        self._states = self._predictor.init_state(assets)
        self._tick: Observation | None = None

    def warm(self) -> None:
        """Compile, without a tick."""
        self._predictor.advance(self._states, self._observation(np.full(self.assets, np.nan), 0, 0), 0)

    def submit(self, values: np.ndarray, stamp_ns: int, now_ns: int) -> None:
        """Hold the tick until it is collected."""
        self._tick = self._observation(values, stamp_ns, now_ns)

    def collect(self) -> Float[np.ndarray, "asset kept"]:
        """Compute the tick that was handed over."""
        if self._tick is None:
            raise LaneFault("collect() came before submit()")
        self._states, rows = self._predictor.advance(self._states, self._tick, 1)
        self._tick = None
        return rows[0][:, self._kept.columns]

    def states(self) -> PredictorState:
        """The stacked states, by reference: nobody writes to their arrays."""
        return self._states

    def put(self, states: PredictorState) -> None:
        """Go on from these states, on the device that the lane computes on."""
        self._states = jax.tree.map(_beside, self._states, states)

    def configure(self, config: PredictorConfig) -> None:
        """Settings from the next tick on."""
        self._predictor = FunctionalPredictor(config)

    def close(self) -> None:
        """Nothing is held."""

    def _observation(self, values: np.ndarray, stamp_ns: int, now_ns: int) -> Observation:
        shape = (1, self.assets)
        stamps, now = np.full(shape, stamp_ns, np.int64), np.full(shape, now_ns, np.int64)
        return Observation(np.asarray(values, np.float64)[None], stamps, now, np.full(shape, np.nan))


def _beside(leaf: Any, value: Any) -> Any:
    """The value on the device of a leaf.  Bound to a device only where that is: else it would be another program."""
    if isinstance(leaf, jax.Array) and leaf.committed:
        return jax.device_put(value, leaf.sharding)
    return jax.numpy.asarray(value)


class Ask(enum.IntEnum):
    """What a helper process is asked for."""

    WARM, TICK, STATES, PUT, CONFIGURE = range(5)


class ProcessLane:
    """A lane computed by a helper process; ticks, rows and states go through its pipes as plain bytes.

    A request is two int64, kind and length, and so many bytes; a reply has the length that the request implies.

    Args:
        config: settings.
        assets: how many series.
        every: whether all columns of a row are kept.
    """

    def __init__(self, config: PredictorConfig, assets: int, every: bool = False) -> None:
        self.assets = assets
        predictor = FunctionalPredictor(config)
        self._width = len(kept_columns(predictor.layout, every).columns)
        self._packed = StateLayout(predictor.init_state(), config)
        self._helper = subprocess.Popen(
            [sys.executable, "-m", "uspnb.engine.fleet.lane_process", str(assets), str(int(every))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.configure(config)

    def warm(self) -> None:
        """Let it compile, and wait for it."""
        self._write(Ask.WARM)
        self._read(1)

    def submit(self, values: np.ndarray, stamp_ns: int, now_ns: int) -> None:
        """Send the tick; the helper begins at once."""
        self._write(Ask.TICK, HEADER.pack(stamp_ns, now_ns), np.ascontiguousarray(values, np.float64).tobytes())

    def collect(self) -> Float[np.ndarray, "asset kept"]:
        """Wait for the rows of the tick that was sent."""
        return np.frombuffer(self._read(8 * self.assets * self._width)).reshape(self.assets, self._width)

    def states(self) -> PredictorState:
        """Fetch the states."""
        self._write(Ask.STATES)
        rows = np.frombuffer(self._read(self.assets * self._packed.row_bytes), np.uint8)
        return self._packed.unpack(rows.reshape(self.assets, -1))

    def put(self, states: PredictorState) -> None:
        """Send the states."""
        self._write(Ask.PUT, self._packed.pack(states).tobytes())

    def configure(self, config: PredictorConfig) -> None:
        """Send the settings."""
        self._write(Ask.CONFIGURE, config_to_toml(config).encode())

    def close(self) -> None:
        """End the helper; a closed pipe tells it to."""
        for pipe in (self._helper.stdin, self._helper.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # it has ended already
        try:
            self._helper.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._helper.kill()
            self._helper.wait(timeout=5.0)

    def _pipe(self, name: str) -> Any:
        return getattr(self._helper, name)

    def _write(self, kind: Ask, *parts: bytes) -> None:
        try:
            pipe = self._pipe("stdin")
            pipe.write(HEADER.pack(kind, sum(map(len, parts))))
            for part in parts:
                pipe.write(part)
            pipe.flush()
        except (BrokenPipeError, OSError) as error:
            raise self._ended() from error

    def _read(self, size: int) -> bytes:
        data = self._pipe("stdout").read(size)
        if len(data) < size:
            raise self._ended()
        return data

    def _ended(self) -> LaneFault:
        return LaneFault(
            f"the helper process of {self.assets} assets has ended (exit status {self._helper.poll()}); "
            "its messages stand on standard error. workers=1 computes everything in this process"
        )


class Lanes:
    """The states of all assets of a fleet, stepped together: the batch counterpart of one predictor with its state.

    Args:
        config: settings.
        assets: how many series.
        workers: processes that compute; the first of every `workers` lanes is computed here.
        every: whether rows have all columns, not only `KEPT`.
    """

    def __init__(self, config: PredictorConfig, assets: int, workers: int, every: bool = False) -> None:
        self.assets, self._config = assets, config
        parts = lane_slices(assets)
        width = parts[0].stop - parts[0].start
        helped = {
            k: ProcessLane(config, width, every) for k in range(len(parts)) if k % workers
        }  # they start meanwhile
        self.lanes: list[tuple[slice, Lane]] = [
            (part, helped[k] if k in helped else LocalLane(config, width, every)) for k, part in enumerate(parts)
        ]
        self._width = parts[-1].stop

    def warm(self) -> None:
        """Compile one after the other: the second lane finds the first one's program on disk."""
        for _, lane in self.lanes:
            lane.warm()

    def step(self, values: Float[np.ndarray, "asset"], stamp_ns: int, now_ns: int) -> Float[np.ndarray, "asset kept"]:
        """One tick of every asset.

        Args:
            values: NaN where one is missing.
            stamp_ns: when they were measured [ns since 1970 UTC].
            now_ns: the time of processing.

        Returns:
            The kept columns of their packed results.

        Raises:
            LaneFault: a helper process has ended.
        """
        filled = np.concatenate([values, np.full(self._width - self.assets, np.nan)])
        for part, lane in self.lanes:
            lane.submit(filled[part], stamp_ns, now_ns)
        return np.concatenate([lane.collect() for _, lane in self.lanes])[: self.assets]

    def states(self) -> tuple[PredictorState, ...]:
        """The states after the last tick, by lane, for `put` and `stacked`; later ticks do not change them."""
        return tuple(lane.states() for _, lane in self.lanes)

    def put(self, states: tuple[PredictorState, ...]) -> None:
        """Go on from states of `states` or `split`, bit for bit."""
        for (_, lane), own in zip(self.lanes, states, strict=True):
            lane.put(own)

    def stacked(self, states: tuple[PredictorState, ...]) -> PredictorState:
        """States by lane as NumPy arrays with one leading axis for the assets of the fleet."""
        host = jax.device_get(states)
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: self.assets], *host)

    def split(self, states: PredictorState) -> tuple[PredictorState, ...]:
        """Stacked states of all assets by lane; what fills the last lane up repeats the last asset."""
        rows = [np.minimum(np.arange(part.start, part.stop), self.assets - 1) for part, _ in self.lanes]
        return tuple(jax.tree.map(lambda leaf, own=own: np.asarray(leaf)[own], states) for own in rows)

    def configure(self, config: PredictorConfig) -> None:
        """Settings from the next tick on.

        Raises:
            DomainError: a structural setting differs, for which another program would have to be compiled.
        """
        if static_part(config) != static_part(self._config):
            raise DomainError("structural settings cannot change while a fleet runs; make a new one from its snapshot")
        self._config = config
        for _, lane in self.lanes:
            lane.configure(config)

    def close(self) -> None:
        """End the helper processes."""
        for _, lane in self.lanes:
            lane.close()
