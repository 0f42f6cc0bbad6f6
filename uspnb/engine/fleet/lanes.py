"""Assets split into lanes of one compiled shape, and who computes a lane: this process or a helper process.

XLA's CPU client has one thread (see `uspnb.runtime`), so that two Python threads running programs take turns; a second
core is had by a second process.  The split into lanes depends on the number of assets alone: whoever computes a lane
runs the same program on the same numbers, and the results are the same to the bit.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ... import runtime
from ...array_types import Float, Int
from ...config.load import config_to_toml
from ...config.schema import PredictorConfig
from ...errors import UspnbError
from ...model.fields import FLEET, ROW, shown_fields
from ...model.packing import Layout, row_columns
from ...model.records import Observation
from ...predictor.functional import FunctionalPredictor

WIDEST_LANE = 256
LANE_STEP = 4
ASSETS_WORTH_A_PROCESS = 200
MOST_WORKERS = 8
HEADER = struct.Struct("<qq")


class LaneFault(UspnbError):
    """A lane cannot go on: its helper process has ended."""


class Kept(NamedTuple):
    """Which columns of a packed row are kept.

    Attributes:
        columns: their places in a full row, ascending.
        place: field of `fields.ROW` to its places among the kept ones.
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


def kept_columns(layout: Layout) -> Kept:
    """The kept columns under a layout."""
    places = row_columns(layout)
    sizes = dict(zip(ROW, layout.shapes, strict=True))
    kept = shown_fields(FLEET)
    wanted = {name: np.arange(places[name].start, places[name].stop).reshape(sizes[name]) for name in kept}
    columns = np.unique(np.concatenate([np.ravel(of) for of in wanted.values()]))
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
    """One lane: `warm` compiles, `submit` hands over a tick and returns at once, `collect` waits for its rows."""

    def warm(self) -> None:
        """Compile, without a tick."""

    def submit(self, values: np.ndarray, stamp_ns: int, now_ns: int) -> None:
        """Hand over one tick of every asset."""

    def collect(self) -> Float[np.ndarray, "asset kept"]:
        """The kept columns of its results."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""


class LocalLane:
    """A lane computed here, when it is collected.

    Args:
        config: settings.
        assets: how many series.
    """

    def __init__(self, config: PredictorConfig, assets: int) -> None:
        self.assets = assets
        self._predictor = FunctionalPredictor(config)
        self._kept = kept_columns(self._predictor.layout)
        self.width = len(self._kept.columns)
        self._states = self._predictor.init_state(assets)
        self._tick: Observation | None = None

    def warm(self) -> None:
        """Compile, without a tick."""
        self._predictor.advance(self._states, self._observation(np.full(self.assets, np.nan), 0, 0), 0)

    def submit(self, values: np.ndarray, stamp_ns: int, now_ns: int) -> None:
        """Keep the tick until it is collected."""
        self._tick = self._observation(values, stamp_ns, now_ns)

    def collect(self) -> Float[np.ndarray, "asset kept"]:
        """Compute the tick that was handed over."""
        if self._tick is None:
            raise LaneFault("collect() came before submit()")
        self._states, rows = self._predictor.advance(self._states, self._tick, 1)
        self._tick = None
        return rows[0][:, self._kept.columns]

    def close(self) -> None:
        """Nothing is held."""

    def _observation(self, values: np.ndarray, stamp_ns: int, now_ns: int) -> Observation:
        shape = (1, self.assets)
        stamps, now = np.full(shape, stamp_ns, np.int64), np.full(shape, now_ns, np.int64)
        return Observation(np.asarray(values, np.float64)[None], stamps, now, np.full(shape, np.nan))


class ProcessLane:
    """A lane computed by a helper process; ticks and rows go through its pipes as plain numbers.

    Args:
        config: settings.
        assets: how many series.
    """

    def __init__(self, config: PredictorConfig, assets: int) -> None:
        self.assets = assets
        self._width = len(kept_columns(FunctionalPredictor(config).layout).columns)
        self._helper = subprocess.Popen(
            [sys.executable, "-m", "uspnb.engine.fleet.lane_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        text = config_to_toml(config).encode()
        self._write(HEADER.pack(assets, len(text)) + text)

    def warm(self) -> None:
        """Let it compile, and wait for it."""
        self._write(HEADER.pack(-1, -1) + np.full(self.assets, np.nan).tobytes())
        self._read(8 * self.assets * self._width)

    def submit(self, values: np.ndarray, stamp_ns: int, now_ns: int) -> None:
        """Send the tick; the helper begins at once."""
        self._write(HEADER.pack(stamp_ns, now_ns) + np.ascontiguousarray(values, np.float64).tobytes())

    def collect(self) -> Float[np.ndarray, "asset kept"]:
        """Wait for the rows of the tick that was sent."""
        return np.frombuffer(self._read(8 * self.assets * self._width)).reshape(self.assets, self._width)

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

    def _write(self, data: bytes) -> None:
        try:
            self._pipe("stdin").write(data)
            self._pipe("stdin").flush()
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


def open_lanes(config: PredictorConfig, assets: int, workers: int) -> list[tuple[slice, Lane]]:
    """A lane for each slice of the assets; the first of every `workers` is computed here."""
    parts = lane_slices(assets)
    width = parts[0].stop - parts[0].start
    helped = {k: ProcessLane(config, width) for k in range(len(parts)) if k % workers}  # they start up meanwhile
    return [(part, helped[k] if k in helped else LocalLane(config, width)) for k, part in enumerate(parts)]
