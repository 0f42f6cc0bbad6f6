"""Metrics against the rows they count, read back with prometheus_client's own parser."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pynvml
import pytest
from own_kernel import registered
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from uspnb.errors import DomainError
from uspnb.model.fields import ALARM_NAMES, MODE_NAMES
from uspnb.model.kernels.registry import KERNEL_NAMES, kernel_entry
from uspnb.model.packing import layout_for, row_columns
from uspnb.persistence.snapshots import SnapshotStatus
from uspnb.sinks import GpuMemory, GpuReading, JitterMeter, Metrics, SinkStatus, gpu
from uspnb.sinks.dashboard import dashboard
from uspnb.sinks.metric_list import DOUBTS, REJECTIONS, exposed_names, metric_specs

MakeRows = Callable[..., np.ndarray]


def snapshots(**changes: Any) -> SnapshotStatus:
    """Status of a snapshot writer that has written nothing yet, with these changes."""
    return SnapshotStatus(0, 0, 0, 0, None, None, None, math.nan, None)._replace(**changes)


def _samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample of the exposition by name and label values."""
    families: Iterable[Any] = text_string_to_metric_families(metrics.exposition().decode())
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def _busy(make_rows: MakeRows, columns: dict[str, slice]) -> Metrics:
    """Metrics of which every one has been touched."""
    metrics, meter = Metrics(), JitterMeter(1e8)
    metrics.observe_rows("a", make_rows(10), columns)
    metrics.observe_latency("a", np.array([200_000, 300_000]))
    metrics.observe_jitter("a", meter.tick(200_000, 0))
    metrics.set_jitter("a", meter.reading())
    metrics.set_tick_age("a", 2.5)
    metrics.set_depth("a", 3)
    metrics.set_queue(4, 2)
    metrics.set_sinks({"telemetry": SinkStatus(10, 3, None)})
    metrics.set_condition("snapshots", "the disk is full")
    metrics.set_snapshot("a", snapshots(saved=1, last_saved_ns=1, last_seconds=0.01))
    metrics.shutdown(1.5, 7)
    metrics.set_gpu([GpuReading(0, "H200", 5, 10)])
    return metrics


def test_every_metric_of_the_list_is_exposed(make_rows: MakeRows, columns: dict[str, slice]) -> None:
    """And nothing else, but for the times at which counters began."""
    exposed = {name for name, _ in _samples(_busy(make_rows, columns))}
    listed = {name for spec in metric_specs() for name in exposed_names(spec)}
    assert {name for name in exposed if not name.endswith("_created")} == listed
    assert all(name.startswith("predictor_") for name in exposed)


def test_ticks_are_counted_as_the_rows_say(make_rows: MakeRows, columns: dict[str, slice]) -> None:
    """Sums of flags over stretches; the last row is shown."""
    rows, rng = make_rows(300), np.random.default_rng(2)
    for name in (*REJECTIONS, *DOUBTS, "alarm", "emergency"):
        rows[:, columns[name]] = rng.random((300, 1)) < 0.1
    alarms = rows[:, columns["alarm"].start] != 0
    rows[alarms, columns["alarm_chart"].start] = rng.integers(0, 4, alarms.sum())
    rows[-1, columns["operating_mode"]] = 2
    metrics = Metrics()
    for part in np.array_split(rows, [1, 50, 51, 200]):
        metrics.observe_rows("a", part, columns)
    samples = _samples(metrics)
    assert samples["predictor_ticks_total", ("a",)] == 300
    for name in REJECTIONS:
        assert samples["predictor_rejections_total", ("a", name)] == np.count_nonzero(rows[:, columns[name]]) > 0
    for name in DOUBTS:
        assert samples["predictor_doubtful_ticks_total", ("a", name)] == np.count_nonzero(rows[:, columns[name]]) > 0
    for code, chart in enumerate(ALARM_NAMES):
        raised = alarms & (rows[:, columns["alarm_chart"].start] == code)
        assert samples["predictor_alarms_total", ("a", chart)] == raised.sum() > 0
    emergency = np.concatenate([[0], rows[:, columns["emergency"].start]])
    assert samples["predictor_emergencies_total", ("a",)] == np.count_nonzero(np.diff(emergency) == 1) > 0
    assert [samples["predictor_operating_mode", ("a", mode)] for mode in MODE_NAMES] == [0, 0, 1]
    assert [samples["predictor_kernel_weight", ("a", kernel)] for kernel in KERNEL_NAMES] == rows[
        -1, columns["weight"]
    ].tolist()
    assert samples["predictor_holder_exponent", ("a",)] == rows[-1, columns["holder_exponent"].start]
    metrics.observe_rows("a", rows[:0], columns)
    assert _samples(metrics)["predictor_ticks_total", ("a",)] == 300


@pytest.mark.parametrize("kernels", [("hilbert",), (*KERNEL_NAMES, "mine")])
def test_shares_are_named_by_the_configurations_kernels(kernels: tuple[str, ...]) -> None:
    layout = layout_for(3, kernels)
    rows, columns = np.zeros((2, layout.width)), row_columns(layout)
    rows[-1, columns["weight"]] = np.arange(1, len(kernels) + 1)
    with registered():
        metrics = Metrics(kernels=kernels)
        depths = {f"predictor_{name}_depth" for name in kernels if kernel_entry(name).sheds}
    metrics.observe_rows("a", rows, columns)
    metrics.set_depth("a", 3)
    samples = _samples(metrics)
    assert {name for name, _ in samples if name.endswith("_depth") and "queue" not in name} == depths
    shares = {labels[1]: value for (name, labels), value in samples.items() if name == "predictor_kernel_weight"}
    assert shares == {name: k + 1 for k, name in enumerate(kernels)}
    unfit = Metrics()
    with pytest.raises(DomainError, match=f"the rows hold {len(kernels)} kernels"):
        unfit.observe_rows("a", rows, columns)
    assert ("predictor_ticks_total", ("a",)) not in _samples(unfit)


def test_label_values_are_bounded(make_rows: MakeRows, columns: dict[str, slice]) -> None:
    """A hundred thousand series would be a hundred thousand lines for each metric."""
    metrics, rows = Metrics(assets=3), make_rows(2)
    for i in range(50):
        metrics.observe_rows(f"asset {i}", rows, columns)
        metrics.observe_latency(f"asset {i}", 1000)
        metrics.set_snapshot(f"asset {i}", snapshots(saved=1))
        metrics.set_depth(f"asset {i}", 3)
    samples = _samples(metrics)
    assert {labels[0] for name, labels in samples if name == "predictor_ticks_total"} == {
        "asset 0", "asset 1", "asset 2", "other",
    }  # fmt: skip
    assert samples["predictor_ticks_total", ("other",)] == 94 and samples["predictor_assets_beyond_limit", ()] == 47
    assert samples["predictor_snapshots_saved_total", ("other",)] == 47
    assert ("predictor_holder_exponent", ("other",)) not in samples


def test_awkward_names_survive_the_text_format(make_rows: MakeRows, columns: dict[str, slice]) -> None:
    """Quotes, line ends and backslashes are escaped."""
    metrics, name = Metrics(), 'a "b"\n\\c Ω'
    metrics.observe_rows(name, make_rows(1), columns)
    assert _samples(metrics)["predictor_ticks_total", (name,)] == 1


def test_latency_and_jitter_in_seconds() -> None:
    """Histograms count, gauges show the meter."""
    metrics, meter = Metrics(), JitterMeter(1e8)
    for i, latency in enumerate([250_000, 350_000, 250_000]):
        metrics.observe_latency("a", latency)
        metrics.observe_jitter("a", meter.tick(latency, i))
    metrics.set_jitter("a", meter.reading())
    samples = _samples(metrics)
    assert samples["predictor_step_latency_seconds_count", ("a",)] == 3
    assert samples["predictor_step_latency_seconds_sum", ("a",)] == pytest.approx(850e-6)
    assert samples["predictor_step_latency_seconds_bucket", ("a", "0.0003")] == 2
    assert samples["predictor_latency_jitter_seconds_sum", ("a",)] == pytest.approx(200e-6)
    assert samples["predictor_step_latency_quantile_seconds", ("a", "0.95")] == pytest.approx(350e-6)
    assert samples["predictor_latency_jitter_quantile_seconds", ("a", "0.99")] == pytest.approx(100e-6)
    assert samples["predictor_jitter_degraded", ("a",)] == 0


def test_counts_that_somebody_else_keeps() -> None:
    """A counter follows them, also when they begin anew."""
    metrics = Metrics()
    for dropped in (0, 5, 5, 9, 2):
        metrics.set_queue(1, dropped)
        metrics.set_sinks({"telemetry": SinkStatus(0, dropped, None)})
    assert _samples(metrics)["predictor_telemetry_dropped_total", ()] == 11
    assert _samples(metrics)["predictor_telemetry_lost_total", ("telemetry",)] == 11
    for depth in (3, 3, 2, 3):
        metrics.set_depth("a", depth)
    samples = _samples(metrics)
    assert (
        samples["predictor_depth_switches_total", ("a",)] == 2 and samples["predictor_log_signature_depth", ("a",)] == 3
    )


def test_snapshots_age_at_each_scrape() -> None:
    """The age is that of the moment of asking; NaN before the first."""
    now = [10_000_000_000]
    metrics = Metrics(clock_ns=lambda: now[0])
    metrics.set_snapshot("a", snapshots(pending=2))
    assert math.isnan(_samples(metrics)["predictor_snapshot_age_seconds", ("a",)])
    status = snapshots(saved=3, failed=1, dropped=2, last_saved_ns=8_000_000_000, last_seconds=0.004)
    for _ in range(2):
        metrics.set_snapshot("a", status)
    samples = _samples(metrics)
    assert samples["predictor_snapshot_age_seconds", ("a",)] == 2.0
    now[0] += 5_000_000_000
    assert _samples(metrics)["predictor_snapshot_age_seconds", ("a",)] == 7.0
    assert [samples[f"predictor_snapshots_{n}_total", ("a",)] for n in ("saved", "failed", "dropped")] == [3, 1, 2]
    assert samples["predictor_snapshot_duration_seconds_count", ("a",)] == 1


def test_conditions_come_and_go() -> None:
    """The text itself, which may name files, is not shown."""
    metrics = Metrics()
    metrics.set_condition("telemetry", "cannot write to /secret/place")
    assert _samples(metrics)["predictor_condition", ("telemetry",)] == 1
    assert b"/secret/place" not in metrics.exposition()
    metrics.set_condition("telemetry", None)
    assert _samples(metrics)["predictor_condition", ("telemetry",)] == 0
    with pytest.raises(DomainError, match="weather"):
        metrics.set_condition("weather", None)


def test_shutdowns_as_the_seed_names_them() -> None:
    """Seed 000, section 11: three names, and the buckets of two."""
    metrics = Metrics()
    metrics.shutdown(1.5, 7)
    samples = _samples(metrics)
    assert samples["predictor_graceful_shutdowns_total", ()] == 1

    def bounds(name: str) -> list[float]:
        return [float(labels[0]) for key, labels in samples if key == f"{name}_bucket"]

    assert bounds("predictor_shutdown_duration_seconds") == [0.5, 1, 2, 5, 10, 20, 30, math.inf]
    assert bounds("predictor_shutdown_residual_observations") == [0, 1, 5, 10, 50, 100, 500, 1000, math.inf]
    assert samples["predictor_shutdown_duration_seconds_bucket", ("1.0",)] == 0
    assert samples["predictor_shutdown_duration_seconds_bucket", ("2.0",)] == 1


def test_registries_are_apart() -> None:
    """Two services in one process do not meet; a registry of the caller's own is used."""
    registry = CollectorRegistry()
    Metrics().shutdown(1.0, 0)
    assert Metrics(registry).registry is registry
    assert registry.get_sample_value("predictor_graceful_shutdowns_total") == 0
    with pytest.raises(DomainError, match="assets = 0"):
        Metrics(assets=0)


# GPU


class _Nvml:
    """One GPU, as NVML tells of it; where `gone`, its driver has stopped answering."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int = 1) -> None:
        self.gone = False
        memory = type("Memory", (), {"used": 5 << 30, "total": 141 << 30})()
        monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: count)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda handle: self._answer(memory))
        monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda handle: "NVIDIA H200")

    def _answer(self, memory: Any) -> Any:
        if self.gone:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return memory


def test_gpu_memory_is_read_until_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost GPU ends the readings, not the service."""
    nvml = _Nvml(monkeypatch)
    memory, metrics = GpuMemory(), Metrics()
    assert memory.read() == (GpuReading(0, "NVIDIA H200", 5 << 30, 141 << 30),) and memory.absence is None
    metrics.set_gpu(memory.read())
    samples = _samples(metrics)
    assert samples["predictor_gpu_memory_used_bytes", ("0",)] == 5 << 30 and samples["predictor_gpus", ()] == 1
    nvml.gone = True
    assert memory.read() == () and memory.read() == ()
    assert memory.absence is not None


@pytest.mark.parametrize("driver", [True, False])
def test_the_absence_of_a_gpu_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, driver: bool
) -> None:
    """No driver, or a driver without a GPU; every reading is empty."""

    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    _Nvml(monkeypatch, count=0)
    if not driver:
        monkeypatch.setattr(pynvml, "nvmlInit", missing)
    gpu._reported.clear()
    with caplog.at_level(logging.INFO, "uspnb.sinks.gpu"):
        for _ in range(3):
            memory = GpuMemory()
            assert memory.read() == () and memory.absence is not None
    assert len(caplog.records) == 1 and "not measured" in caplog.text


# the dashboard


def _panels(kind: str) -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if (panel["type"] == "row") == (kind == "row")]


def test_every_metric_of_the_dashboard_exists(make_rows: MakeRows, columns: dict[str, slice]) -> None:
    """And every metric has a panel."""
    exposed = {name for name, _ in _samples(_busy(make_rows, columns))}
    queries = [target["expr"] for panel in _panels("graph") for target in panel["targets"]]
    queries += [variable["definition"] for variable in dashboard()["templating"]["list"] if "definition" in variable]
    names = [set(re.findall(r"predictor_\w+", expression)) for expression in queries]
    assert all(len(metrics) == 1 and metrics <= exposed for metrics in names)
    assert {panel["title"] for panel in _panels("graph")} == {
        spec.name.removeprefix("predictor_").replace("_", " ") for spec in metric_specs()
    }


def test_queries_have_the_labels_of_their_metrics() -> None:
    """A label that a metric does not have would show nothing."""
    by_title = {spec.name.removeprefix("predictor_").replace("_", " "): spec for spec in metric_specs()}
    for panel in _panels("graph"):
        spec = by_title[panel["title"]]
        for target in panel["targets"]:
            assert ("asset=~" in target["expr"]) == ("asset" in spec.labels)
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) == set(spec.labels)
            assert target["expr"].count("(") == target["expr"].count(")")


def test_panels_do_not_overlap() -> None:
    """On Grafana's grid of 24 columns; numbers of panels are their own."""
    taken: set[tuple[int, int]] = set()
    panels = dashboard()["panels"]
    for place in (panel["gridPos"] for panel in panels):
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and all(x < 24 for x, _ in cells)
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_the_shipped_dashboard_is_the_generated_one(project_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m uspnb.sinks.dashboard > deploy/grafana_dashboard.json` after a change of the list."""
    from uspnb.sinks.dashboard import main

    main()
    shipped = (project_root / "deploy" / "grafana_dashboard.json").read_text()
    assert shipped == capsys.readouterr().out
