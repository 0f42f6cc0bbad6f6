"""Every metric, declared once: from this list are made the registry's metrics and the Grafana dashboard."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from ..config.schema import DEFAULTS
from ..model.kernels.registry import kernel_entry

Kind = Literal["counter", "gauge", "histogram"]

PARTS = (
    "snapshots",
    "telemetry",
    "parity",
    "metrics",
    "dumps",
    "sources",
    "forecasts",
    "calibration",
    "stores",
    "service",
)
REJECTIONS = ("not_finite", "outlier", "out_of_order")
DOUBTS = ("stale", "sparse", "frozen")

LATENCY_BUCKETS_S = (1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 5.0)
JITTER_BUCKETS_S = (1e-6, 1e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.08, 0.1, 0.5, 1.0)
SNAPSHOT_BUCKETS_S = (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0)


@dataclasses.dataclass(frozen=True)
class MetricSpec:
    """One metric.

    Attributes:
        name: as the exposition has it, but that of a counter ends without "_total".
        kind: what sort of metric it is.
        meaning: one sentence, shown as its help.
        labels: names of its labels.
        unit: Grafana's name of its unit, "short" for a pure number.
        buckets: upper bounds, for a histogram.
        field: of the last row of a series, which the metric shows; "" for none.
        group: row of the dashboard that shows it.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    unit: str = "short"
    buckets: tuple[float, ...] = ()
    field: str = ""
    group: str = ""


def _counter(name: str, meaning: str, *labels: str) -> MetricSpec:
    return MetricSpec(f"predictor_{name}", "counter", meaning, labels, "cps")


def _gauge(name: str, meaning: str, *labels: str, unit: str = "short") -> MetricSpec:
    return MetricSpec(f"predictor_{name}", "gauge", meaning, labels, unit)


def _shown(field: str, meaning: str) -> MetricSpec:
    return MetricSpec(f"predictor_{field}", "gauge", meaning, ("asset",), field=field)


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str, unit: str = "s") -> MetricSpec:
    return MetricSpec(f"predictor_{name}", "histogram", meaning, labels, unit, buckets)


_GROUPS: dict[str, tuple[MetricSpec, ...]] = {
    "Ticks": (
        _counter("ticks", "Ticks that were judged, rejected ones included.", "asset"),
        _counter("rejections", "Ticks that the gate refused, by reason.", "asset", "reason"),
        _counter("doubtful_ticks", "Ticks whose clock or signal was doubtful, by reason.", "asset", "reason"),
        _gauge("last_tick_age_seconds", "Time since the last tick, or since the start.", "asset", unit="s"),
        _gauge("assets_beyond_limit", "Series counted together under the label value 'other'."),
    ),
    "Alarms and modes": (
        _counter("alarms", "Changes that were signalled, by chart.", "asset", "chart"),
        _gauge("operating_mode", "1 for the present operating mode, 0 for the others.", "asset", "mode"),
        _counter("emergencies", "Entries into emergency mode.", "asset"),
        _shown("mode_collapse_warning", "1 while the Deep Galerkin kernel's entropy is too low."),
        _shown("cusum_drift", "Statistic of the mean chart."),
        _shown("adaptive_threshold", "Threshold of the mean chart."),
        _shown("kurtosis", "Kurtosis of the residuals."),
    ),
    "Kernels": (
        _gauge("kernel_weight", "Share of a kernel in the forecast.", "asset", "kernel", unit="percentunit"),
        _shown("holder_exponent", "Holder exponent of the path."),
        _shown("volatility", "Moving average of the standardised residual."),
        _shown("transport_cost", "Cost of the optimal transport between the kernels' shares."),
        _shown("free_energy", "Free energy after the JKO step."),
        _shown("dgm_entropy", "Entropy of the Deep Galerkin value function."),
        _shown("distance_to_collapse", "That entropy less the collapse threshold."),
    ),
    "Latency": (
        _counter("depth_switches", "Changes of that depth.", "asset"),
        _histogram("step_latency_seconds", "Time from a tick's arrival to its forecast.", LATENCY_BUCKETS_S, "asset"),
        _gauge(
            "step_latency_quantile_seconds",
            "Percentiles of that time over the last ticks.",
            "asset",
            "quantile",
            unit="s",
        ),
        _gauge("step_latency_ewma_seconds", "Moving average of that time.", "asset", unit="s"),
        _histogram("latency_jitter_seconds", "Difference of that time between ticks.", JITTER_BUCKETS_S, "asset"),
        _gauge(
            "latency_jitter_quantile_seconds",
            "Percentiles of that difference over the last ticks.",
            "asset",
            "quantile",
            unit="s",
        ),
        _gauge("jitter_degraded", "1 while that difference is above what the sampling limit allows.", "asset"),
    ),
    "Telemetry": (
        _gauge("telemetry_queue_depth", "Telemetry records that wait."),
        _counter("telemetry_dropped", "Telemetry records that made room for newer ones."),
        _counter("telemetry_lost", "Telemetry records that a sink could not write.", "sink"),
        _gauge("condition", "1 while something keeps a part from working.", "part"),
    ),
    "Snapshots": (
        _gauge("snapshot_age_seconds", "Time since the last snapshot on disk.", "asset", unit="s"),
        _histogram(
            "snapshot_duration_seconds", "Time that a snapshot took to reach the disk.", SNAPSHOT_BUCKETS_S, "asset"
        ),
        _counter("snapshots_saved", "Snapshots on disk.", "asset"),
        _counter("snapshots_failed", "Snapshots that could not be written.", "asset"),
        _counter("snapshots_dropped", "Snapshots that made room for newer ones.", "asset"),
        _gauge("snapshots_pending", "Snapshots that wait for the disk.", "asset"),
    ),
    "Service": (
        _counter("graceful_shutdowns", "Shutdowns that finished what was accepted."),
        _histogram("shutdown_duration_seconds", "Time that a shutdown took.", (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)),
        _histogram(
            "shutdown_residual_observations",
            "Ticks that waited when a shutdown began.",
            (0, 1, 5, 10, 50, 100, 500, 1000),
            unit="short",
        ),
        _gauge("gpus", "GPUs that NVML sees."),
        _gauge("gpu_memory_used_bytes", "GPU memory in use.", "gpu", unit="bytes"),
        _gauge("gpu_memory_total_bytes", "GPU memory there is.", "gpu", unit="bytes"),
    ),
}


def depth_metric(kernels: Sequence[str]) -> MetricSpec | None:
    """The depth of the kernel that load shedding may lower, None where none of these has one."""
    deep = next((entry for entry in map(kernel_entry, kernels) if entry.sheds), None)
    if deep is None:
        return None
    meaning = f"Depth of the {deep.label.replace(' ', '-')}, which load shedding lowers."
    return _gauge(f"{deep.name}_depth", meaning, "asset")


def metric_specs(kernels: Sequence[str] = DEFAULTS["kernels"]) -> tuple[MetricSpec, ...]:
    """Every metric of series that these kernels forecast, in the order of the dashboard."""
    depth = depth_metric(kernels)
    groups = _GROUPS if depth is None else {**_GROUPS, "Latency": (depth, *_GROUPS["Latency"])}
    return tuple(dataclasses.replace(spec, group=group) for group, specs in groups.items() for spec in specs)


def exposed_names(spec: MetricSpec) -> tuple[str, ...]:
    """Names of the samples that the exposition holds for a metric."""
    if spec.kind == "counter":
        return (f"{spec.name}_total",)
    if spec.kind == "histogram":
        return tuple(f"{spec.name}_{part}" for part in ("bucket", "sum", "count"))
    return (spec.name,)
