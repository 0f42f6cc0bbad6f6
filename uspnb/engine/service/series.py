"""One series of a service: its state, and what every stretch of ticks leaves behind."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...array_types import Float
from ...config.schema import PredictorConfig
from ...model.packing import Layout
from ...model.programs import SERIES_LENGTH, filled
from ...model.records import Observation
from ...model.state import PredictorState
from ...persistence.snapshots import EmergencyDumps, Progress, SnapshotFolder, SnapshotWriter, snapshot_of
from ...persistence.snapshots.dumps import safe_name
from ...predictor.functional import FunctionalPredictor
from ...predictor.shedding import DepthSwitch, Switched
from ...sinks import JitterMeter, Metrics, TelemetryBuffer
from ...sources import Source
from .intake import Intake, Taken
from .resuming import Resumed, resumed, set_aside, with_backlog

INTERVALS = 15
REMEMBERED_ROWS = 256
TOLD = ("kurtosis", "dgm_entropy", "adaptive_threshold", "alarm", "mode_collapse_warning", "distance_to_collapse")
_log = logging.getLogger("uspnb.service")


class Outlets(NamedTuple):
    """Where every series of a service leaves what it made.

    Attributes:
        buffer: telemetry.
        settle: waits, not without end, until all that was emitted has reached the telemetry files.
        metrics: for Prometheus.
        dumps: of emergencies.
        columns: where each field stands in a packed row.
    """

    buffer: TelemetryBuffer
    settle: Callable[[], object]
    metrics: Metrics
    dumps: EmergencyDumps
    columns: Mapping[str, slice]


class ServedSeries:
    """One series: takes ticks, steps, emits telemetry, hands over snapshots.  One thread uses it, but for `status`.

    Args:
        name: what it is called in logs, metrics and the names of folders.
        source: where its ticks come from.
        config: settings.
        outlets: shared by all series of the service.
    """

    def __init__(self, name: str, source: Source, config: PredictorConfig, outlets: Outlets) -> None:
        self.name, self.config, self.intake = name, config, Intake(name, source)
        self.switch = DepthSwitch(config, self._switched) if config.load_shedding else None
        self._functional = FunctionalPredictor(config)
        self._outlets = outlets
        self.folder = SnapshotFolder(
            Path(config.snapshot_path) / safe_name(name), config.snapshot_retention, config.snapshot_compression
        )
        self.writer = SnapshotWriter(self.folder, queue_maxlen=config.snapshot_queue_maxlen)
        limit_ns = max(config.besov_nyquist_interval_ns, config.sparse_intervals * config.tick_interval_ns)
        self.meter = JitterMeter(limit_ns, config.jitter_degrade_ratio, alpha=config.latency_alpha)
        self.state: PredictorState | None = None
        self.ticks = self.alarms = self.rejected = 0
        self.resumed_at = 0
        self._handed_over = 0
        self._last_row: np.ndarray | None = None
        self._rows: deque[np.ndarray] = deque()
        self._intervals: deque[int] = deque(maxlen=INTERVALS)
        self._newest_ns: int | None = None
        self._emergency = False

    @property
    def functional(self) -> FunctionalPredictor:
        """The predictor of the next tick."""
        return self._functional if self.switch is None else self.switch.functional

    @property
    def depth(self) -> int:
        """Depth of the log-signature in use."""
        return self.functional.config.log_sig_depth

    def prepare(self) -> None:
        """Compile or load the programs; no state is touched."""
        if self.switch is not None:
            self.switch.warm()
            return
        self._functional.warm(self._functional.init_state())

    def restore(self, *, fresh: bool) -> None:
        """Take up the newest valid snapshot, or begin anew.

        Raises:
            ConfigError, DomainError, OSError: the snapshot does not fit; nothing was changed.
        """
        if fresh:
            aside = set_aside(self.folder.folder)
            if aside is not None:
                _log.info("%s: begins anew; its snapshots lie in %s", self.name, aside)
        found = None if fresh else resumed(self.folder, self.config, self._cold)
        if found is None:
            self.state = self.functional.init_state()
        else:
            self._take_up(found)
            _log.info("%s: resumes after tick %d, from %s", self.name, self.ticks, found.path.name)
        self._outlets.metrics.set_depth(self.name, self.depth)

    def turn(self, most: int = SERIES_LENGTH) -> int:
        """Take and process up to `most` of the ticks that wait; how many there were."""
        interval = self.config.snapshot_interval_steps
        if interval:  # a stretch ends where a snapshot is due
            most = min(most, interval - self.ticks % interval)
        began_ns = time.perf_counter_ns()
        taken = self.intake.take(min(most, SERIES_LENGTH))
        if taken is None:
            return 0
        rows = self._advance(taken)
        self._measure(taken, began_ns, time.perf_counter_ns() - began_ns)
        self._emit(taken, rows)
        if interval and self.ticks % interval == 0:
            self.hand_over()
        if self.switch is not None and taken.live:
            self._shed()
        return len(rows)

    def hand_over(self, *, again: bool = False) -> None:
        """Have a snapshot of the present state written, unless that was asked for before; returns at once.

        Args:
            again: whether to ask once more for the same one: it was not written, or there is a backlog to keep.
        """
        if self.state is None or (self.ticks == self._handed_over and not again):
            return
        self._handed_over = self.ticks
        self.writer.submit(self._payload())

    def status(self) -> dict[str, Any]:
        """How it stands, as JSON can hold it; for any thread."""
        reading, snapshots = self.meter.reading(), self.writer.status()
        return {
            "ticks": self.ticks,
            "resumed_at": self.resumed_at,
            "alarms": self.alarms,
            "rejected": self.rejected,
            "emergency": self._emergency,
            "depth": self.depth,
            "waiting": len(self.intake.backlog) + self.intake.source.waiting,
            "finished": self.intake.finished,
            "source_condition": self.intake.condition,
            "latency_ewma_us": _whole(reading.latency_ewma_ns / 1e3),
            "latency_p99_us": _whole(reading.latency_p99_ns / 1e3),
            "jitter_p95_us": _whole(reading.jitter_p95_ns / 1e3),
            "jitter_degraded": reading.degraded,
            "snapshot_ticks": snapshots.last_ticks,
            "snapshots_pending": snapshots.pending,
            "snapshot_condition": snapshots.condition,
        }

    # one stretch of ticks

    def _advance(self, taken: Taken) -> Float[np.ndarray, "tick width"]:
        ticks = taken.ticks
        columns = (ticks.values, ticks.stamps_ns, taken.now_ns, ticks.proxies)
        buffer = Observation(*(filled(column, SERIES_LENGTH) for column in columns))
        self.state, rows = self.functional.advance(self.state or self.functional.init_state(), buffer, len(ticks))
        self.ticks += len(ticks)
        return rows

    def _measure(self, taken: Taken, began_ns: int, took_ns: int) -> None:
        """Latency and jitter.  A live tick waits for all that came with it; of a replay each has its share."""
        count = len(taken.ticks)
        latency_ns = took_ns if taken.live else took_ns // count
        measured = count if taken.live else 1  # between the ticks of a replay there is no jitter to be measured
        jitters = np.array([self.meter.tick(latency_ns, began_ns) for _ in range(measured)])
        self._outlets.metrics.observe_latency(self.name, np.full(count, latency_ns))
        self._outlets.metrics.observe_jitter(self.name, jitters)
        stamps_ns = taken.ticks.stamps_ns[-INTERVALS - 1 :]
        if self._newest_ns is not None:
            stamps_ns = np.concatenate([[self._newest_ns], stamps_ns])
        self._intervals.extend(np.diff(stamps_ns).tolist())
        self._newest_ns = int(stamps_ns[-1])

    def _emit(self, taken: Taken, rows: Float[np.ndarray, "tick width"]) -> None:
        columns = self._outlets.columns
        self._outlets.buffer.emit(self.name, self.ticks - len(rows) + 1, rows, taken.ticks.stamps_ns)
        self.alarms += int(np.count_nonzero(rows[:, columns["alarm"].start]))
        self.rejected += int(np.count_nonzero(rows[:, columns["rejected"].start]))
        self._last_row = rows[-1]
        self._rows.append(rows)
        while sum(map(len, self._rows)) - len(self._rows[0]) >= REMEMBERED_ROWS:
            self._rows.popleft()
        emergency = rows[:, columns["emergency"].start] != 0
        if emergency.any() and not (self._emergency and emergency.all()):
            before = np.concatenate([[self._emergency], emergency[:-1]])
            if (emergency & ~before).any():
                self._dump()
        self._emergency = bool(emergency[-1])

    def _dump(self) -> None:
        assert self.state is not None
        path = self._outlets.dumps.offer(
            self.name,
            self.state,
            self.functional.config,
            self._told(),
            np.concatenate(self._rows),
            _column_names(self.functional.layout, self._outlets.columns),
        )
        where = "too soon after another dump" if path is None else f"dump in {path}"
        _log.critical("%s: emergency mode, at or before tick %d (%s)", self.name, self.ticks, where)

    def _shed(self) -> None:
        assert self.switch is not None and self.state is not None
        interval = self.config.tick_interval_ns or _median(self._intervals)
        depth = self.switch.choose(self.meter.latency_ewma_ns, interval, self.ticks, jittery=self.meter.degraded)
        if depth != self.switch.depth:
            self.state = self.switch.switch(self.state, depth)
            self._outlets.metrics.set_depth(self.name, depth)

    def _switched(self, change: Switched) -> None:
        _log.info("%s: %s", self.name, change)

    # snapshots

    def _payload(self) -> Callable[[], dict[str, Any]]:
        """What makes the payload later: everything that it needs is bound now."""
        assert self.state is not None
        extra: dict[str, str | int | float | bool] = {
            "position": self.intake.position,
            "depth": self.depth,
            "alarms": self.alarms,
            "rejected": self.rejected,
            "emergency": self._emergency,
        }
        progress = Progress(self.ticks, self.intake.source.name, self.intake.last_stamp_ns, extra)
        whole = self.switch.whole(self.state) if self.switch is not None else partial(_as_it_is, self.state, self.depth)
        made = partial(_made, self._outlets.settle, whole, self.config, progress, self._told(), time.time_ns())
        backlog = self.intake.backlog  # nobody writes to these arrays
        return lambda: with_backlog(made(), backlog)

    def _told(self) -> dict[str, float]:
        if self._last_row is None:
            return {}
        return {name: float(self._last_row[self._outlets.columns[name].start]) for name in TOLD}

    def _cold(self, depth: int) -> PredictorState:
        return (self._functional if self.switch is None else self.switch.at(depth)).init_state()

    def _take_up(self, found: Resumed) -> None:
        extra, progress = found.progress.extra, found.progress
        self.intake.resume(int(extra.get("position", progress.ticks)), progress.last_timestamp_ns, found.backlog)
        self.state = found.state
        if self.switch is not None:
            self.state = self.switch.resume(found.state, found.depth, int(extra.get("depth", found.depth)))
        self.ticks = self.resumed_at = self._handed_over = progress.ticks
        self.alarms, self.rejected = int(extra.get("alarms", 0)), int(extra.get("rejected", 0))
        self._emergency = bool(extra.get("emergency", False))


def _as_it_is(state: PredictorState, depth: int) -> tuple[PredictorState, int]:
    return state, depth


def _made(
    settle: Callable[[], object],
    whole: Callable[[], tuple[PredictorState, int]],
    config: PredictorConfig,
    progress: Progress,
    told: dict[str, float],
    timestamp_ns: int,
) -> dict[str, Any]:
    # A restart goes on after this snapshot, so that nobody would write what is still on its way to the logs now.
    settle()
    state, depth = whole()
    of_depth = dataclasses.replace(config, log_sig_depth=depth)
    return snapshot_of(state, of_depth, progress=progress, telemetry=told, timestamp_ns=timestamp_ns)


def _column_names(layout: Layout, columns: Mapping[str, slice]) -> list[str]:
    names = [""] * layout.width
    for name, place in columns.items():
        width = place.stop - place.start
        names[place] = [name] if width == 1 else [f"{name}[{i}]" for i in range(width)]
    return names


def _median(values: deque[int]) -> float:
    ordered = sorted(values)
    return float(ordered[len(ordered) // 2]) if ordered else 0.0


def _whole(value: float) -> float | None:
    """A number as JSON can hold it."""
    return round(value, 1) if np.isfinite(value) else None
