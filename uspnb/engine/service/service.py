"""`Service`: series served until it is asked to stop, with nothing lost that was accepted."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from ...config.load import config_hash
from ...config.schema import PredictorConfig
from ...errors import DomainError
from ...model.packing import row_columns
from ...model.programs import SERIES_LENGTH, result_layout
from ...persistence.snapshots import EmergencyDumps
from ...predictor.functional import device_for
from ...runtime.files import write_atomic
from ...sinks import Consumer, JsonLinesSink, Metrics, MetricsSink, ParityLog, Sink, TelemetryBuffer
from ...sources import Source
from .http_server import StatusServer
from .series import Outlets, ServedSeries
from .shutdown import UNFINISHED, Deadline, StopSignals
from .watching import Watch

DONE = 0
SHARED_PORTION = 32
LONGEST_SLEEP_S = 1.0
SETTLING_S = 2.0
# Shares of the budget by the end of which each step of a shutdown must be over.
RESIDUAL, SNAPSHOTS, TELEMETRY = 0.65, 0.85, 0.96
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

    Raises:
        DomainError: no series, more than the pool holds, an address that is not meant.
        ConfigError: a device that is not here.
    """

    def __init__(
        self,
        config: PredictorConfig,
        sources: Mapping[str, Source],
        *,
        device: str | None = None,
        pool_size: int = 100,
        monitor_interval_s: float = 300.0,
        once: bool = False,
        fresh: bool = False,
        allow_public: bool = False,
        own_process: bool = True,
    ) -> None:
        if not 1 <= len(sources) <= pool_size:
            raise DomainError(
                f"{len(sources)} series were given; a service serves at least 1 and at most pool_size = {pool_size}"
            )
        if not monitor_interval_s > 0:
            raise DomainError(f"monitor_interval_s = {monitor_interval_s!r} must be above 0 seconds")
        self.config = config if device is None else dataclasses.replace(config, jax_platform=device)
        device_for(self.config.jax_platform)
        self.deadline = Deadline(config.shutdown_budget_s)
        self.stopping = threading.Event()
        self._wake = threading.Event()
        self._once, self._fresh, self._public = once, fresh, allow_public
        self._own_process, self._interval_s = own_process, monitor_interval_s
        self._sources = dict(sources)
        self._pool_size = pool_size
        self.series: list[ServedSeries] = []
        self.residual = self.unfinished = self.lost = 0
        self._server: StatusServer | None = None
        self._watch: Watch | None = None

    @property
    def url(self) -> str | None:
        """Where health, status and metrics are answered, None before it runs."""
        return None if self._server is None else self._server.url

    @property
    def phase(self) -> str:
        """ "starting", "compiling", "running", "stopping" or "ended"."""
        return "starting" if self._watch is None else self._watch.phase

    def stop(self, reason: str = "stop()") -> None:
        """Ask it to end: nothing more is accepted, what was accepted is finished.  For any thread."""
        self.deadline.begin()
        if not self.stopping.is_set():
            _log.info("stopping: %s", reason)
        self.stopping.set()
        self._wake.set()

    def run(self, *, signals: bool = False) -> int:
        """Serve until the end.

        Args:
            signals: whether SIGTERM and SIGINT stop it; needs the main thread.

        Returns:
            0 where all that was accepted is in a snapshot and nothing waits for a disk any more, 1 where it is not.

        Raises:
            ConfigError, DomainError, OSError: a snapshot does not fit the settings or the source, or the address of
                the metrics is taken; no tick was accepted then.
        """
        watched = StopSignals(self.deadline, self.stop, _log.warning) if signals else contextlib.nullcontext()
        with watched, self._folder_held():
            parts = self._open()
            try:
                self._prepare(parts.watch)
                self._loop(parts.watch)
            finally:
                code = self._finish(parts)
        return code

    # the life of a service

    @contextlib.contextmanager
    def _folder_held(self) -> Iterator[None]:
        """Two services in one folder of snapshots would take turns in overwriting each other's future."""
        folder = Path(self.config.snapshot_path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / ".service.lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise DomainError(f"another service runs on {folder}; give each its own snapshot_path") from None
        except OSError as error:  # the series go on without a disk, and their conditions say so
            _log.warning("%s cannot be held for this service alone: %s", folder, error.strerror or error)
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def _open(self) -> Parts:
        config = self.config
        columns = row_columns(result_layout(config))
        buffer = TelemetryBuffer(config.telemetry_buffer_maxlen)
        metrics = Metrics(assets=self._pool_size)
        dumps = EmergencyDumps(config.emergency_dump_path, config.emergency_dump_interval_s, background=True)
        folder = Path(config.telemetry_path)
        sinks: list[Sink] = [
            JsonLinesSink(folder, config.telemetry_rotate_bytes, config.telemetry_retention),
            MetricsSink(metrics),
        ]
        if config.telemetry_hash_interval_steps:
            sinks.append(
                ParityLog(folder / "parity.log", config.telemetry_hash_interval_steps, config_hash=config_hash(config))
            )
        consumer = Consumer(buffer, sinks, columns, process=self._own_process)
        outlets = Outlets(buffer, partial(consumer.drain, SETTLING_S), metrics, dumps, columns)
        self.series = [ServedSeries(name, source, config, outlets) for name, source in self._sources.items()]
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

    def _prepare(self, watch: Watch) -> None:
        watch.phase = "compiling"
        for one in self.series:
            if self.stopping.is_set() and not one.intake.waiting:
                continue  # nothing was accepted here
            one.prepare()  # the first compiles, the others find its programs
            one.restore(fresh=self._fresh)
        for one in self.series:
            if self.stopping.is_set():
                return
            one.intake.start(self._wake.set)
        watch.turned = time.monotonic()
        watch.phase = "running"
        _log.info("running %d series", len(self.series))

    def _loop(self, watch: Watch) -> None:
        portion = SERIES_LENGTH if len(self.series) == 1 else SHARED_PORTION
        told = False
        while not self.stopping.is_set():
            self._wake.clear()
            watch.turned = time.monotonic()
            done = 0
            for one in self.series:
                if self.stopping.is_set():
                    return
                done += one.turn(portion)
            if done:
                continue
            if all(one.intake.finished for one in self.series):
                if self._once:
                    return
                if not told:
                    _log.info("all sources are at their end; waiting for a signal to stop")
                    told = True
            waits = [wait for one in self.series if (wait := one.intake.wait_s()) is not None]
            self._wake.wait(min([LONGEST_SLEEP_S, *waits]))

    def _finish(self, parts: Parts) -> int:
        self.deadline.begin()
        parts.watch.phase = "stopping"
        self._drain()
        saved = self._save()
        told = parts.consumer.close(self.deadline.left_s(TELEMETRY))
        dumped = parts.dumps.wait(self.deadline.left_s())
        if not told:
            _log.error("some telemetry was not written within the budget")
        if not dumped:
            _log.error("an emergency dump was not written within the budget")
        whole = saved and told and dumped and self.lost == 0
        if whole:
            parts.metrics.shutdown(self.deadline.spent_s, self.residual)
        self._leave_metrics(parts.watch)
        self._close(parts)
        for one in self.series:
            _log.info("%s: %d ticks, snapshot after %s", one.name, one.ticks, one.writer.status().last_ticks)
        _log.info("ended after %.2f s%s", self.deadline.spent_s, "" if whole else ", not everything was finished")
        return DONE if whole else UNFINISHED

    def _drain(self) -> None:
        """Accept nothing more, then work off what was accepted; what time does not allow goes into the snapshots."""
        waiting = {one.name: one.intake.close() for one in self.series}
        self.residual = sum(waiting.values())
        left = [one for one in self.series if waiting[one.name] and one.state is not None]
        portion = SERIES_LENGTH if len(left) == 1 else SHARED_PORTION
        while left and self.deadline.left_s(RESIDUAL) > 0:
            left = [one for one in left if one.turn(portion) or (one.intake.waiting and not one.intake.failed)]
        for one in self.series:
            if waiting[one.name] and (rest := one.intake.keep_rest()):
                self.unfinished += rest
                _log.warning("%s: %d accepted ticks are kept for the next start", one.name, rest)
        self.lost = sum(waiting[one.name] for one in self.series if one.state is None)
        if self.lost:
            _log.error("%d accepted ticks were lost: the service had not begun", self.lost)

    def _save(self) -> bool:
        """Final snapshots, and the end of all that are pending; whether each series has its last state on disk."""
        for one in self.series:
            one.hand_over(again=one.writer.condition is not None or len(one.intake.backlog) > 0)
        good = True
        for one in self.series:
            done = one.writer.close(self.deadline.left_s(SNAPSHOTS))
            status = one.writer.status()
            if not done or status.condition is not None:
                good = False
                _log.error(
                    "%s: the final snapshot is missing: %s", one.name, status.condition or "the disk is too slow"
                )
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
