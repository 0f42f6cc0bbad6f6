"""Every metric, declared once: from this list are made the registry's metrics and the Grafana dashboard."""

from __future__ import annotations

import dataclasses
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

PARTS = ("snapshots", "telemetry", "parity", "metrics", "dumps", "sources", "stores", "service")
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
        group: row of the dashboard that shows it.
        buckets: upper bounds, for a histogram.
    """

    name: str
    kind: Kind
    meaning: str
    group: str
    labels: tuple[str, ...] = ()
    unit: str = "short"
    buckets: tuple[float, ...] = ()


def _counter(group: str, name: str, meaning: str, *labels: str) -> MetricSpec:
    return MetricSpec(name, "counter", meaning, group, labels, "cps")


def _gauge(group: str, name: str, meaning: str, *labels: str, unit: str = "short") -> MetricSpec:
    return MetricSpec(name, "gauge", meaning, group, labels, unit)


def _histogram(
    group: str, name: str, meaning: str, buckets: tuple[float, ...], *labels: str, unit: str = "s"
) -> MetricSpec:
    return MetricSpec(name, "histogram", meaning, group, labels, unit, buckets)


METRICS: tuple[MetricSpec, ...] = (
    _counter("Ticks", "predictor_ticks", "Ticks that were judged, rejected ones included.", "asset"),
    _counter("Ticks", "predictor_rejections", "Ticks that the gate refused, by reason.", "asset", "reason"),
    _counter(
        "Ticks", "predictor_doubtful_ticks", "Ticks whose clock or signal was doubtful, by reason.", "asset", "reason"
    ),
    _gauge("Ticks", "predictor_assets_beyond_limit", "Series counted together under the label value 'other'."),
    _counter("Alarms and modes", "predictor_alarms", "Changes that were signalled, by chart.", "asset", "chart"),
    _gauge(
        "Alarms and modes",
        "predictor_operating_mode",
        "1 for the present operating mode, 0 for the others.",
        "asset",
        "mode",
    ),
    _counter("Alarms and modes", "predictor_emergencies", "Entries into emergency mode.", "asset"),
    _gauge(
        "Alarms and modes",
        "predictor_mode_collapse_warning",
        "1 while the Deep Galerkin kernel's entropy is too low.",
        "asset",
    ),
    _gauge("Alarms and modes", "predictor_cusum_drift", "Statistic of the mean chart.", "asset"),
    _gauge("Alarms and modes", "predictor_adaptive_threshold", "Threshold of the mean chart.", "asset"),
    _gauge("Alarms and modes", "predictor_kurtosis", "Kurtosis of the residuals.", "asset"),
    _gauge(
        "Kernels",
        "predictor_kernel_weight",
        "Share of a kernel in the forecast.",
        "asset",
        "kernel",
        unit="percentunit",
    ),
    _gauge("Kernels", "predictor_holder_exponent", "Holder exponent of the path.", "asset"),
    _gauge("Kernels", "predictor_volatility", "Moving average of the standardised residual.", "asset"),
    _gauge(
        "Kernels", "predictor_transport_cost", "Cost of the optimal transport between the kernels' shares.", "asset"
    ),
    _gauge("Kernels", "predictor_free_energy", "Free energy after the JKO step.", "asset"),
    _gauge("Kernels", "predictor_dgm_entropy", "Entropy of the Deep Galerkin value function.", "asset"),
    _gauge("Kernels", "predictor_distance_to_collapse", "That entropy less the collapse threshold.", "asset"),
    _gauge(
        "Latency", "predictor_log_signature_depth", "Depth of the log-signature, which load shedding lowers.", "asset"
    ),
    _counter("Latency", "predictor_depth_switches", "Changes of that depth.", "asset"),
    _histogram(
        "Latency",
        "predictor_step_latency_seconds",
        "Time from a tick's arrival to its forecast.",
        LATENCY_BUCKETS_S,
        "asset",
    ),
    _gauge(
        "Latency",
        "predictor_step_latency_quantile_seconds",
        "Percentiles of that time over the last ticks.",
        "asset",
        "quantile",
        unit="s",
    ),
    _gauge("Latency", "predictor_step_latency_ewma_seconds", "Moving average of that time.", "asset", unit="s"),
    _histogram(
        "Latency",
        "predictor_latency_jitter_seconds",
        "Difference of that time between ticks.",
        JITTER_BUCKETS_S,
        "asset",
    ),
    _gauge(
        "Latency",
        "predictor_latency_jitter_quantile_seconds",
        "Percentiles of that difference over the last ticks.",
        "asset",
        "quantile",
        unit="s",
    ),
    _gauge(
        "Latency",
        "predictor_jitter_degraded",
        "1 while that difference is above what the sampling limit allows.",
        "asset",
    ),
    _gauge("Telemetry", "predictor_telemetry_queue_depth", "Telemetry records that wait."),
    _counter("Telemetry", "predictor_telemetry_dropped", "Telemetry records that made room for newer ones."),
    _counter("Telemetry", "predictor_telemetry_lost", "Telemetry records that a sink could not write.", "sink"),
    _gauge("Telemetry", "predictor_condition", "1 while something keeps a part from working.", "part"),
    _gauge("Snapshots", "predictor_snapshot_age_seconds", "Time since the last snapshot on disk.", "asset", unit="s"),
    _histogram(
        "Snapshots",
        "predictor_snapshot_duration_seconds",
        "Time that a snapshot took to reach the disk.",
        SNAPSHOT_BUCKETS_S,
        "asset",
    ),
    _counter("Snapshots", "predictor_snapshots_saved", "Snapshots on disk.", "asset"),
    _counter("Snapshots", "predictor_snapshots_failed", "Snapshots that could not be written.", "asset"),
    _counter("Snapshots", "predictor_snapshots_dropped", "Snapshots that made room for newer ones.", "asset"),
    _gauge("Snapshots", "predictor_snapshots_pending", "Snapshots that wait for the disk.", "asset"),
    _counter("Service", "predictor_graceful_shutdowns", "Shutdowns that finished what was accepted."),
    _histogram(
        "Service",
        "predictor_shutdown_duration_seconds",
        "Time that a shutdown took.",
        (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0),
    ),
    _histogram(
        "Service",
        "predictor_shutdown_residual_observations",
        "Ticks that waited when a shutdown began.",
        (0, 1, 5, 10, 50, 100, 500, 1000),
        unit="short",
    ),
    _gauge("Service", "predictor_gpus", "GPUs that NVML sees."),
    _gauge("Service", "predictor_gpu_memory_used_bytes", "GPU memory in use.", "gpu", unit="bytes"),
    _gauge("Service", "predictor_gpu_memory_total_bytes", "GPU memory there is.", "gpu", unit="bytes"),
)


def exposed_names(spec: MetricSpec) -> tuple[str, ...]:
    """Names of the samples that the exposition holds for a metric."""
    if spec.kind == "counter":
        return (f"{spec.name}_total",)
    if spec.kind == "histogram":
        return tuple(f"{spec.name}_{part}" for part in ("bucket", "sum", "count"))
    return (spec.name,)
