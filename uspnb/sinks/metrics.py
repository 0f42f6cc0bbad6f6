"""`Metrics`: what a service tells Prometheus, in a registry of its own."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ..config.schema import DEFAULTS
from ..errors import DomainError
from ..model.fields import ALARM_NAMES, MODE_NAMES
from ..persistence.snapshots import SnapshotStatus
from ..runtime.arguments import check_whole
from .gpu import GpuReading
from .jitter import JitterReading
from .metric_list import DOUBTS, PARTS, REJECTIONS, depth_metric, metric_specs
from .records import Records
from .sinks import SinkStatus

OTHER = "other"
MOST_REMEMBERED = 100_000
# Fields of the last row that gauges show.
SHOWN = tuple(spec.field for spec in metric_specs() if spec.field)
# What a row's flags count towards, by metric and flag.
REASONS = (
    *(("predictor_rejections", reason) for reason in REJECTIONS),
    *(("predictor_doubtful_ticks", reason) for reason in DOUBTS),
)


class Metrics:
    """Counters, gauges and histograms of the predictor (metric_list.py has them all).  Any thread may call any method.

    Args:
        registry: where they are registered; one of their own where left out, so that two services in a process and
            repeated tests do not meet.
        assets: series with label values of their own; the ticks of further ones are counted together as "other", for
            every label value costs memory here and in Prometheus.
        kernels: names of the kernels whose shares are shown, as in the configuration of the series.
        clock_ns: the time of now [ns since 1970 UTC], for the age of snapshots.

    Raises:
        DomainError: `assets` below 1.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        assets: int = 100,
        kernels: Sequence[str] = DEFAULTS["kernels"],
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        assets = check_whole("assets", assets, 1)
        self.registry = CollectorRegistry() if registry is None else registry
        self._most, self._kernels, self._clock_ns = assets, tuple(kernels), clock_ns
        self._lock = threading.Lock()
        self._named: set[str] = set()
        self._beyond: set[str] = set()
        self._counted: dict[tuple[str, str], float] = {}  # cumulative counts up to the last look
        self._depth = depth_metric(self._kernels)
        self._collectors: dict[str, Any] = {}
        self._children: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._plan: RowPlan | None = None
        kinds: dict[str, Any] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}
        for spec in metric_specs(self._kernels):
            buckets = {"buckets": spec.buckets} if spec.buckets else {}
            collector = kinds[spec.kind](spec.name, spec.meaning, spec.labels, registry=self.registry, **buckets)
            self._collectors[spec.name] = collector

    # ticks

    def observe_rows(self, asset: str, rows: Float[np.ndarray, "tick width"], columns: Mapping[str, slice]) -> None:
        """Count the ticks of a stretch, and show the last one.

        Args:
            asset: name of the series.
            rows: packed results.
            columns: where each field stands in a row.

        Raises:
            DomainError: the rows hold another number of kernels than were named.
        """
        if not len(rows):
            return
        label, plan = self._label(asset), self._planned(columns)
        self._counter("predictor_ticks", label, amount=len(rows))
        counts = np.count_nonzero(rows[:, plan.flags], axis=0).tolist()
        for (name, reason), count in zip(REASONS, counts, strict=True):
            self._counter(name, label, reason, amount=count)
        self._count_alarms(label, rows, plan)
        self._count_emergencies(asset, label, rows[:, plan.emergency] != 0)
        if label != OTHER:
            self._show_last(label, rows[-1], plan)

    def observe_latency(self, asset: str, latency_ns: int | np.ndarray) -> None:
        """Count the time from arrival to forecast [ns] of one tick, or of several."""
        self._observe("predictor_step_latency_seconds", asset, latency_ns)

    def observe_jitter(self, asset: str, jitter_ns: int | np.ndarray) -> None:
        """Count what `JitterMeter.tick` returned [ns], for one tick or several."""
        self._observe("predictor_latency_jitter_seconds", asset, jitter_ns)

    def set_jitter(self, asset: str, reading: JitterReading) -> None:
        """Show a meter's averages and percentiles."""
        label = self._label(asset)
        if label == OTHER:
            return
        self._gauge("predictor_step_latency_ewma_seconds", label, value=reading.latency_ewma_ns / 1e9)
        for quantile, latency, jitter in (
            ("0.95", reading.latency_p95_ns, reading.jitter_p95_ns),
            ("0.99", reading.latency_p99_ns, reading.jitter_p99_ns),
        ):
            self._gauge("predictor_step_latency_quantile_seconds", label, quantile, value=latency / 1e9)
            self._gauge("predictor_latency_jitter_quantile_seconds", label, quantile, value=jitter / 1e9)
        self._gauge("predictor_jitter_degraded", label, value=float(reading.degraded))

    def set_depth(self, asset: str, depth: int) -> None:
        """Show the depth of the kernel that load shedding may lower, and count a change of it."""
        label = self._label(asset)
        before = self._swap(("depth", asset), depth)
        self._counter("predictor_depth_switches", label, amount=int(before is not None and before != depth))
        if label != OTHER and self._depth is not None:
            self._gauge(self._depth.name, label, value=depth)

    # around the ticks

    def set_queue(self, depth: int, dropped: int) -> None:
        """Show a telemetry buffer: records that wait, and how many it dropped since it was made."""
        self._gauge("predictor_telemetry_queue_depth", value=depth)
        self._cumulative("predictor_telemetry_dropped", dropped)

    def set_sinks(self, sinks: Mapping[str, SinkStatus]) -> None:
        """Show the sinks of a consumer by name (`ConsumerStatus.sinks`)."""
        for name, status in sinks.items():
            self._cumulative("predictor_telemetry_lost", status.lost, name)

    def set_condition(self, part: str, condition: str | None) -> None:
        """Show whether something keeps a part from working.

        Args:
            part: one of `metric_list.PARTS`.
            condition: what it is, None where all is well; its text is not shown, for it may name files.

        Raises:
            DomainError: another part.
        """
        if part not in PARTS:
            raise DomainError(f"part = {part!r} is none of {', '.join(PARTS)}; label values are a closed list")
        self._gauge("predictor_condition", part, value=float(condition is not None))

    def set_snapshot(self, asset: str, status: SnapshotStatus) -> None:
        """Show a snapshot writer's status; call it at each look, counts are differences to the last one."""
        label = self._label(asset)
        for name, count in (("saved", status.saved), ("failed", status.failed), ("dropped", status.dropped)):
            grown = self._cumulative(f"predictor_snapshots_{name}", count, label, key=asset)
            if name == "saved" and grown > 0 and math.isfinite(status.last_seconds):
                self._child("predictor_snapshot_duration_seconds", (label,)).observe(status.last_seconds)
        if label == OTHER:
            return
        self._gauge("predictor_snapshots_pending", label, value=status.pending)
        saved_ns = status.last_saved_ns
        age = self._child("predictor_snapshot_age_seconds", (label,))
        # Asked for at each scrape, so that the age grows while nothing happens; NaN before the first snapshot.
        age.set_function(lambda: (self._clock_ns() - saved_ns) / 1e9 if saved_ns else math.nan)

    def set_tick_age(self, asset: str, seconds: float) -> None:
        """Show how long ago the last tick was processed; call it at each look."""
        label = self._label(asset)
        if label != OTHER:
            self._gauge("predictor_last_tick_age_seconds", label, value=seconds)

    def shutdown(self, seconds: float, residual: int) -> None:
        """Count a shutdown that finished what was accepted.

        Args:
            seconds: how long it took.
            residual: ticks that waited when it began.
        """
        self._collectors["predictor_graceful_shutdowns"].inc()
        self._collectors["predictor_shutdown_duration_seconds"].observe(seconds)
        self._collectors["predictor_shutdown_residual_observations"].observe(residual)

    def set_gpu(self, readings: Iterable[GpuReading]) -> None:
        """Show what `GpuMemory.read` returned."""
        readings = tuple(readings)
        self._gauge("predictor_gpus", value=len(readings))
        for reading in readings:
            self._gauge("predictor_gpu_memory_used_bytes", str(reading.index), value=reading.used)
            self._gauge("predictor_gpu_memory_total_bytes", str(reading.index), value=reading.total)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    # the parts of a stretch

    def _planned(self, columns: Mapping[str, slice]) -> RowPlan:
        # Two threads may both make it; they make the same.
        if self._plan is None or self._plan.columns is not columns:
            plan = row_plan(columns)
            held = plan.weight.stop - plan.weight.start
            if held != len(self._kernels):
                raise DomainError(
                    f"the rows hold {held} kernels, but {', '.join(self._kernels)} were named: "
                    "Metrics(kernels=config.kernels)"
                )
            self._plan = plan
        return self._plan

    def _count_alarms(self, label: str, rows: np.ndarray, plan: RowPlan) -> None:
        charts = rows[rows[:, plan.alarm] != 0, plan.chart].tolist()
        for code, chart in enumerate(ALARM_NAMES):
            self._counter("predictor_alarms", label, chart, amount=charts.count(code))

    def _count_emergencies(self, asset: str, label: str, now: np.ndarray) -> None:
        before = self._swap(("emergency", asset), float(now[-1]))
        entered = np.count_nonzero(now[1:] & ~now[:-1]) + int(now[0] and not before)
        self._counter("predictor_emergencies", label, amount=int(entered))

    def _show_last(self, label: str, row: np.ndarray, plan: RowPlan) -> None:
        for field, value in zip(SHOWN, row[plan.last].tolist(), strict=True):
            self._gauge(f"predictor_{field}", label, value=value)
        for kernel, weight in zip(self._kernels, row[plan.weight].tolist(), strict=True):
            self._gauge("predictor_kernel_weight", label, kernel, value=weight)
        for code, mode in enumerate(MODE_NAMES):
            self._gauge("predictor_operating_mode", label, mode, value=float(row[plan.mode] == code))

    # the ways to a metric

    def _label(self, asset: str) -> str:
        """The label value of a series: its name, or `OTHER` where there are too many."""
        with self._lock:
            if asset in self._named:
                return asset
            if len(self._named) < self._most and asset != OTHER:
                self._named.add(asset)
                return asset
            # Bounded as well: what matters beyond is that there are many.
            if len(self._beyond) < 100 * self._most:
                self._beyond.add(asset)
            self._collectors["predictor_assets_beyond_limit"].set(len(self._beyond))
            return OTHER

    def _child(self, name: str, labels: tuple[str, ...]) -> Any:
        """A metric of certain label values; found again without asking the library, which takes a lock for it."""
        child = self._children.get((name, labels))
        if child is None:
            metric = self._collectors[name]
            child = self._children[name, labels] = metric.labels(*labels) if labels else metric
        return child

    def _counter(self, name: str, *labels: str, amount: int) -> None:
        child = self._child(name, labels)
        if amount:
            child.inc(amount)

    def _gauge(self, name: str, *labels: str, value: float) -> None:
        self._child(name, labels).set(value)

    def _observe(self, name: str, asset: str, nanoseconds: int | np.ndarray) -> None:
        child = self._child(name, (self._label(asset),))
        for value in np.atleast_1d(nanoseconds).tolist():
            child.observe(value / 1e9)

    def _cumulative(self, name: str, count: int, *labels: str, key: str = "") -> int:
        """Advance a counter to a count from elsewhere, and return by how much it grew."""
        before = self._swap((name, key or "".join(labels)), count)
        # Less than before: whoever counts was made anew and began at 0.
        grown = count if before is None or count < before else count - int(before)
        self._counter(name, *labels, amount=grown)
        return grown

    def _swap(self, key: tuple[str, str], value: float) -> float | None:
        with self._lock:
            if key not in self._counted and len(self._counted) >= MOST_REMEMBERED:
                return value  # nothing is known of it, so nothing of it is counted
            before = self._counted.get(key)
            self._counted[key] = value
            return before


class RowPlan(NamedTuple):
    """Where a row holds what is counted and shown."""

    columns: Mapping[str, slice]
    flags: list[int]
    last: list[int]
    weight: slice
    alarm: int
    chart: int
    emergency: int
    mode: int


def row_plan(columns: Mapping[str, slice]) -> RowPlan:
    """Places of the fields that the metrics read, found once instead of at every row."""
    at = {name: place.start for name, place in columns.items()}
    return RowPlan(
        columns,
        [at[reason] for _, reason in REASONS],
        [at[field] for field in SHOWN],
        columns["weight"],
        at["alarm"],
        at["alarm_chart"],
        at["emergency"],
        at["operating_mode"],
    )


class MetricsSink:
    """A sink that counts records in `Metrics`.

    Args:
        metrics: where they are counted.
    """

    name = "metrics"

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._written = 0

    def write(self, records: Records) -> None:
        """Count them."""
        self._metrics.observe_rows(records.asset, records.rows, records.columns)
        self._written += len(records)

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Nothing is open here."""

    def status(self) -> SinkStatus:
        """What was counted."""
        return SinkStatus(self._written)
