"""`Service`: series served until it is asked to stop, with nothing lost that was accepted."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ...config.load import config_hash
from ...config.schema import PredictorConfig
from ...errors import DomainError, ResourceBusyError
from ...model.packing import row_columns
from ...model.programs import SERIES_LENGTH, result_layout
from ...persistence.snapshots import EmergencyDumps, SnapshotStatus
from ...persistence.snapshots.files import PRIVATE_FOLDER
from ...persistence.stores.base import Store
from ...predictor.covariates import refuse_covariates
from ...predictor.functional import device_for
from ...runtime import platform
from ...runtime.arguments import check_number, check_whole
from ...runtime.files import lock_path, write_atomic
from ...sinks import Consumer, GpuMemory, JsonLinesSink, Metrics, MetricsSink, ParityLog, Sink, TelemetryBuffer
from ...sources import Source
from ..computation import SeriesComputation
from ..control import Control
from ..outlets import Outlets, dumps_of, whole_number
from ..recording import LARGEST_RING, SMALLEST_RING, Recording
from ..status import EventLog, Labels
from ..timeline import Timeline
from ..track import SHARED_PORTION, Track, TrackOptions
from ..worker import Worker
from .http_server import Pages, StatusServer
from .shutdown import UNFINISHED, Deadline, StopSignals

DONE = 0
LONGEST_SLEEP_S = 1.0
SETTLING_S = 2.0
# Shares of the budget by the end of which each step of a shutdown must be over.
RESIDUAL, SNAPSHOTS, TELEMETRY = 0.65, 0.85, 0.96
MOST_CONDITIONS = 10
STALL_S = 60.0
SERIOUS = {"fault": logging.ERROR, "observer": logging.WARNING, "emergency": logging.CRITICAL}
NO_SNAPSHOTS = SnapshotStatus(0, 0, 0, 0, None, None, None, float("nan"), None)
_log = logging.getLogger("uspnb.service")


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a running service is made of, beside its series."""

    consumer: Consumer
    metrics: Metrics
    dumps: EmergencyDumps
    watch: Watch


class Service:
    """Predicts series, one thread for all of them, and leaves snapshots, telemetry, parity logs, metrics and dumps.

    It is an engine with a track for each series; `control` is its face, by which series are paused, watched and
    configured while it serves.

    Args:
        config: settings; those of the sections [io] and [security] say where everything goes.
        sources: where the ticks of each series come from, by the name of the series.
        device: "cpu" or "gpu", else what `config.jax_platform` says.
        pool_size: the most series that it serves.
        monitor_interval_s: time between two looks at GPU memory and conditions [s].
        once: whether it ends when all sources are at their end.
        fresh: whether to begin anew; the snapshots there are put aside.
        allow_public: whether `config.metrics_address` may be reached from other machines.
        own_process: whether the telemetry files are written by a process of their own.
        store: holds the states too, under the names of the series; a restart takes them from there where they have
            seen more ticks than the snapshots.  It remains the caller's to close.
        ring: ticks of each series that are kept in memory, for views and dumps.
        autostart: whether ticks are processed at once; else `control.run()` is waited for.

    Attributes:
        series: the tracks, in the order of the sources.
        residual: accepted ticks that waited when it was asked to stop.
        unfinished: those of them that the snapshots keep for the next start.
        lost: those that were lost.

    Raises:
        DomainError: no series, more than the pool holds, an address that is not meant, a number out of range.
        ConfigError: a device that is not here.
    """

    def __init__(
        self,
        config: PredictorConfig,
        sources: Mapping[str, Source],
        *,
        device: str | None = None,
        pool_size: Any = 100,
        monitor_interval_s: Any = 300.0,
        once: bool = False,
        fresh: bool = False,
        allow_public: bool = False,
        own_process: bool = True,
        store: Store | None = None,
        ring: Any = 512,
        autostart: bool = True,
    ) -> None:
        refuse_covariates(config, "a service")
        self._pool_size = check_whole("pool_size", pool_size, 1, unit="series")
        if not 1 <= len(sources) <= self._pool_size:
            raise DomainError(
                f"{len(sources)} series were given; a service serves at least 1 and at most pool_size = {pool_size}"
            )
        self._interval_s = check_number("monitor_interval_s", monitor_interval_s, above=0.0, unit="seconds")
        self._ring = check_whole("ring", ring, SMALLEST_RING, LARGEST_RING, unit="ticks")
        self.config = config if device is None else dataclasses.replace(config, jax_platform=device)
        device_for(self.config.jax_platform)
        self.deadline = Deadline(config.shutdown_budget_s)
        self.stopping = threading.Event()
        self._once, self._fresh, self._public = once, fresh, allow_public
        self._own_process, self._store, self._autostart = own_process, store, autostart
        self._sources = dict(sources)
        self.series: list[Track] = []
        self.residual = self.unfinished = self.lost = 0
        self._server: StatusServer | None = None
        self._watch: Watch | None = None
        self._control: Control | None = None
        self._worker: Worker | None = None
        self._outcome: int | Exception = UNFINISHED

    @property
    def url(self) -> str | None:
        """Where health, status and metrics are answered, None before it runs."""
        return None if self._server is None else self._server.url

    @property
    def phase(self) -> str:
        """ "starting", "compiling", "running", "stopping" or "ended"."""
        return "starting" if self._watch is None else self._watch.phase

    @property
    def control(self) -> Control:
        """The engine's face: run, pause, step, configure, `open` a series to look at it.

        Raises:
            DomainError: it is not running yet.
        """
        if self._control is None:
            raise DomainError(f"the service is {self.phase}; its series can be steered once it is running")
        return self._control

    def stop(self, reason: str = "stop()") -> None:
        """Ask it to end: nothing more is accepted, what was accepted is finished.  For any thread."""
        self.deadline.begin()
        if not self.stopping.is_set():
            _log.info("stopping: %s", reason)
        self.stopping.set()
        if self._worker is not None:
            self._worker.close()

    def run(self, *, signals: bool = False) -> int:
        """Serve until the end.

        Args:
            signals: whether SIGTERM and SIGINT stop it; needs the main thread.

        Returns:
            0 where all that was accepted is in a snapshot and nothing waits for a disk any more, 1 where it is not.

        Raises:
            ConfigError, DomainError, OSError: a snapshot does not fit the settings or the source; no tick was accepted.
            ResourceBusyError: the address of the metrics or the folder of the snapshots is taken.
        """
        watched = StopSignals(self.deadline, self.stop, _log.warning) if signals else contextlib.nullcontext()
        with watched, self._folder_held():
            parts = self._open()
            try:
                self._prepare(parts.watch)
            except BaseException:
                self._end(parts)
                raise
            self._serve(parts)
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    # the life of a service

    @contextlib.contextmanager
    def _folder_held(self) -> Iterator[None]:
        """Two services in one folder of snapshots would take turns in overwriting each other's future.

        The lock lies beside the folder, which may be moved or removed while the service runs, and in it too, for a
        folder whose neighbourhood is not ours to write.
        """
        folder = Path(self.config.snapshot_path)
        with contextlib.ExitStack() as held:
            for place in (lock_path(folder), folder / ".service.lock"):
                try:
                    folder.parent.mkdir(parents=True, exist_ok=True)
                    folder.mkdir(PRIVATE_FOLDER, exist_ok=True)
                    held.enter_context(FileLock(place, timeout=0))
                except Timeout:
                    raise ResourceBusyError(
                        f"another service runs on {folder}; give each its own snapshot_path"
                    ) from None
                except OSError as error:  # the series go on without a disk, and their conditions say so
                    _log.warning("%s cannot be held for this service alone: %s", place, error.strerror or error)
            yield

    def _open(self) -> Parts:
        config = self.config
        columns = row_columns(result_layout(config))
        buffer = TelemetryBuffer(config.telemetry_buffer_maxlen)
        metrics = Metrics(assets=self._pool_size, kernels=config.kernels)
        folder = Path(config.telemetry_path)
        sinks: list[Sink] = [
            JsonLinesSink(folder, config.telemetry_rotate_bytes, config.telemetry_retention),
            MetricsSink(metrics),
        ]
        if config.telemetry_hash_interval_steps:
            sinks.append(
                ParityLog(folder / "parity.log", config.telemetry_hash_interval_steps, config_hash=config_hash(config))
            )
        consumer, dumps = Consumer(buffer, sinks, columns, process=self._own_process), dumps_of(config)
        outlets = Outlets(buffer, metrics, dumps, partial(consumer.drain, SETTLING_S))
        events = EventLog(lambda kind, text: _log.log(SERIOUS.get(kind, logging.INFO), "%s", text))
        self.series = [self._track(name, source, outlets, events) for name, source in self._sources.items()]
        self._watch = Watch(self.series, consumer, dumps, metrics, self._interval_s)
        parts = Parts(consumer, metrics, dumps, self._watch)
        try:
            self._server = StatusServer(
                self._watch.pages(), config.metrics_address, config.metrics_port, allow_public=self._public
            )
        except DomainError:
            self._close(parts)
            raise
        _log.info("health, status and metrics at %s", self.url)
        return parts

    def _track(self, name: str, source: Source, outlets: Outlets, events: EventLog) -> Track:
        computation = SeriesComputation(self.config, shedding=self.config.load_shedding)
        timeline = Timeline(computation, Recording(self._ring, computation.shape))
        labels = Labels(name, source.units, source.time_is_grid, tuple(source.notes))
        silence_s = self.config.source_silence_s or None
        options = TrackOptions(retry=True, outlets=outlets, snapshots=True, store=self._store, silence_s=silence_s)
        return Track(timeline, source, labels, name=name, options=options, events=events)

    def _prepare(self, watch: Watch) -> None:
        watch.phase = "compiling"
        for one in self.series:
            if self.stopping.is_set() and not one.intake.waiting:
                continue  # nothing was accepted here
            one.resume(fresh=self._fresh)
            one.prepare()  # the first compiles, the others find its programs

    def _serve(self, parts: Parts) -> None:
        """Have a worker turn the series until it is to end, and wait for that."""
        worker = Worker(
            self.series, name="uspnb-service", longest_sleep_s=LONGEST_SLEEP_S, ended=partial(self._end, parts)
        )
        self._control, self._worker, parts.watch.worker = Control(worker, noun="service"), worker, worker
        if self.stopping.is_set():
            worker.close()
        else:
            parts.watch.phase = "running"
            _log.info("running %d series", len(self.series))
            if self._autostart:
                self._control.run()
        with worker.changed:
            worker.changed.wait_for(lambda: worker.closing or self._at_end())
            if not worker.closing and not self._once:
                _log.info("all sources are at their end; waiting for a signal to stop")
                worker.changed.wait_for(lambda: worker.closing)
        worker.close()
        worker.join(None)

    def _at_end(self) -> bool:
        return all(one.intake.finished or one.playback.faulted for one in self.series)

    def _end(self, parts: Parts) -> None:
        """Finish what was accepted; by the worker, or by whom it failed to begin."""
        try:
            self._outcome = self._finish(parts)
        except Exception as error:  # `run` raises it, in the thread that called it
            self._outcome = error

    def _finish(self, parts: Parts) -> int:
        self.deadline.begin()
        parts.watch.phase = "stopping"
        self._drain()
        saved = self._save()
        emitted = parts.consumer.close(self.deadline.left_s(TELEMETRY))
        dumped = parts.dumps.wait(self.deadline.left_s())
        if not emitted:
            _log.error("some telemetry was not written within the budget")
        if not dumped:
            _log.error("an emergency dump was not written within the budget")
        whole = saved and emitted and dumped and self.lost == 0
        if whole:
            parts.metrics.shutdown(self.deadline.spent_s, self.residual)
        self._leave_metrics(parts.watch)
        self._close(parts)
        for one in self.series:
            _log.info("%s: %d ticks, snapshot after %s", one.name, one.ticks, snapshots_of(one).last_ticks)
        _log.info("ended after %.2f s%s", self.deadline.spent_s, "" if whole else ", not everything was finished")
        return DONE if whole else UNFINISHED

    def _drain(self) -> None:
        """Accept nothing more, then work off what was accepted; what time does not allow goes into the snapshots."""
        waiting = {one.name: one.intake.close() for one in self.series}
        self.residual = sum(waiting.values())
        left = [one for one in self.series if waiting[one.name] and one.prepared]
        portion = SERIES_LENGTH if len(left) == 1 else SHARED_PORTION
        while left and self.deadline.left_s(RESIDUAL) > 0:
            left = [one for one in left if one.drain(portion)]
        for one in self.series:
            if waiting[one.name] and (rest := one.intake.keep_rest()):
                self.unfinished += rest
                _log.warning("%s: %d accepted ticks are kept for the next start", one.name, rest)
        self.lost = sum(waiting[one.name] for one in self.series if not one.prepared)
        if self.lost:
            _log.error("%d accepted ticks were lost: the service had not begun", self.lost)

    def _save(self) -> bool:
        """Final snapshots, and the end of all that are pending; whether each series has its last state on disk."""
        for one in self.series:
            one.hand_over(again=snapshots_of(one).condition is not None or len(one.intake.backlog) > 0)
        good = True
        for one in self.series:
            done = one.keeper.close(self.deadline.left_s(SNAPSHOTS))
            condition = snapshots_of(one).condition
            if not done or condition is not None:
                good = False
                _log.error("%s: the final snapshot is missing: %s", one.name, condition or "the disk is too slow")
            if one.stored is not None and not one.stored.close(self.deadline.left_s(SNAPSHOTS)):
                good = False
                reason = one.stored.condition or "the store is too slow"
                _log.error("%s: the final state is not in the store: %s", one.name, reason)
        return good

    def _leave_metrics(self, watch: Watch) -> None:
        """The last values, which no scrape will see, beside the telemetry."""
        try:
            Path(self.config.telemetry_path).mkdir(parents=True, exist_ok=True)
            write_atomic(Path(self.config.telemetry_path) / "last_metrics.prom", watch.exposition(), lock_timeout_s=1.0)
        except (OSError, TimeoutError) as error:
            _log.warning("the last metrics could not be written: %s", error)

    def _close(self, parts: Parts) -> None:
        if self._server is not None:
            self._server.close()
        else:
            parts.consumer.close(1.0)
        parts.watch.phase = "ended"
        parts.watch.close()


class Watch:
    """Looks at the parts of a service from threads that are not the computing one, and waits for none of them.

    Args:
        series, consumer, dumps, metrics: the parts.
        interval_s: time between two looks at GPU memory and two lines about conditions [s].
    """

    def __init__(
        self,
        series: Sequence[Track],
        consumer: Consumer,
        dumps: EmergencyDumps,
        metrics: Metrics,
        interval_s: float,
    ) -> None:
        self._series, self._consumer, self._dumps, self._metrics = series, consumer, dumps, metrics
        self._interval_s = interval_s
        self._gpu = GpuMemory()
        self._began = time.monotonic()
        self.worker: Worker | None = None
        self.phase = "starting"
        self._ended = threading.Event()
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="uspnb-monitor", daemon=True)
        self._thread.start()

    def pages(self) -> Pages:
        """What the HTTP server answers."""
        return Pages(self.alive, self.ready, self.exposition, self.status)

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join(1.0)

    def alive(self) -> str | None:
        """Why the process should be replaced: its loop has stood still; None while it has not."""
        still = 0.0 if self.worker is None else time.monotonic() - self.worker.turned
        if self.phase == "running" and still > STALL_S:
            return f"the computing thread has not turned for {still:.0f} s"
        return None

    def ready(self) -> list[str]:
        """Why no ticks can be relied upon, none when all is well; what is lost of calibration is no reason."""
        if self.phase != "running":
            return [f"the service is {self.phase}"]
        present = {part: condition for part, condition in self.conditions().items() if condition is not None}
        return [f"{part}: {condition}" for part, condition in present.items() if part != "calibration"]

    def conditions(self) -> dict[str, str | None]:
        """What keeps a part from working, by the part; None where all is well."""
        sinks = self._consumer.status().conditions
        jittery = ", ".join([one.name for one in self._series if one.aftermath.meter.degraded][:MOST_CONDITIONS])
        conditions = [(one.name, one.conditions()) for one in self._series]
        return {
            "snapshots": _joined([(name, of["snapshots"]) for name, of in conditions]),
            "telemetry": sinks.get("telemetry"),
            "parity": sinks.get("parity"),
            "metrics": sinks.get("metrics"),
            "dumps": self._dumps.condition,
            "sources": _joined([(name, of["sources"]) for name, of in conditions]),
            "forecasts": _joined([(name, of["forecasts"]) for name, of in conditions]),
            "calibration": _joined([(name, of["calibration"]) for name, of in conditions]),
            "service": f"jitter above its limit on {jittery}" if jittery else None,
        }

    def exposition(self) -> bytes:
        """The metrics as of now."""
        self.look()
        return self._metrics.exposition()

    def look(self) -> None:
        """Bring up to date the metrics that others count."""
        with self._looking:
            counts = self._consumer.status()
            self._metrics.set_queue(counts.counts.depth, counts.counts.dropped)
            self._metrics.set_sinks(counts.sinks)
            for part, condition in self.conditions().items():
                self._metrics.set_condition(part, condition)
            for one in self._series:
                self._metrics.set_snapshot(one.name, snapshots_of(one))
                self._metrics.set_jitter(one.name, one.aftermath.meter.reading())
                self._metrics.set_depth(one.name, one.timeline.computation.depth)
                self._metrics.set_tick_age(one.name, one.tick_age_s)

    def status(self) -> dict[str, Any]:
        """How the service stands, as JSON can hold it."""
        telemetry = self._consumer.status()
        return {
            "phase": self.phase,
            "uptime_s": round(time.monotonic() - self._began, 1),
            "platform": platform(),
            "gpu": self._gpu.absence,
            "conditions": {part: condition for part, condition in self.conditions().items() if condition is not None},
            "telemetry": {**telemetry.counts._asdict(), "restarts": telemetry.restarts, "pid": telemetry.pid},
            "dumps": {"written": self._dumps.written, "failed": self._dumps.failed, "withheld": self._dumps.withheld},
            "series": {one.name: page_of(one) for one in self._series},
        }

    def _run(self) -> None:
        while True:
            self._metrics.set_gpu(self._gpu.read())
            if self._ended.wait(self._interval_s):
                return
            self._tell()

    def _tell(self) -> None:
        ticks = sum(one.ticks for one in self._series)
        _log.info("%s, %d series, %d ticks", self.phase, len(self._series), ticks)
        for part, condition in self.conditions().items():
            if condition is not None:
                _log.warning("%s: %s", part, condition)


def _joined(conditions: Sequence[tuple[str, str | None]]) -> str | None:
    """One sentence of several conditions, each with the name of its series."""
    there = [f"{name}: {condition}" for name, condition in conditions if condition is not None]
    if not there:
        return None
    beyond = len(there) - MOST_CONDITIONS
    return "; ".join(there[:MOST_CONDITIONS]) + (f"; and {beyond} more" if beyond > 0 else "")


def snapshots_of(track: Track) -> SnapshotStatus:
    """How the snapshots of a series stand."""
    return track.keeper.status() or NO_SNAPSHOTS


def page_of(track: Track) -> dict[str, Any]:
    """How a series stands, as JSON can hold it; for any thread."""
    reading, snapshots, tally = track.aftermath.meter.reading(), snapshots_of(track), track.timeline.tally
    return {
        "ticks": track.ticks,
        "resumed_at": track.resumed_at,
        "alarms": tally.alarms,
        "rejected": tally.rejected,
        "emergency": bool(track.aftermath.emergency.any()),
        "depth": track.timeline.computation.depth,
        "waiting": len(track.intake.backlog) + track.source.waiting,
        "finished": track.intake.finished,
        "source_condition": track.conditions()["sources"],
        "tick_age_s": round(track.tick_age_s, 1),
        "latency_ewma_us": whole_number(reading.latency_ewma_ns / 1e3),
        "latency_p99_us": whole_number(reading.latency_p99_ns / 1e3),
        "jitter_p95_us": whole_number(reading.jitter_p95_ns / 1e3),
        "jitter_degraded": reading.degraded,
        "snapshot_ticks": snapshots.last_ticks,
        "snapshots_pending": snapshots.pending,
        "snapshot_condition": snapshots.condition,
    }
