"""What telemetry costs the thread that computes: `python benchmarks/telemetry.py [--stages emit stall step ...]`.

emit: time of one `emit`, with nobody taking, with a consumer that drains, and with one that stalls.
stall: a million records against a stalled consumer; memory, the exact drops, the time of an emit early and late.
step: a tick of the predictor with telemetry off, in threads and in a process, taking turns in one run.
sinks: records a second that each sink takes; small costs: jitter, metrics, parity.
process: how soon and how heavy the consumer process is, as it is started and as `python -m` would be.

Settings and their defaults:

    --emits 20_000       emits of the stage emit
    --records 1_000_000  records of the stage stall
    --turns 60           turns of the stage step, each of 50 ticks four times
    --pause 0.001        time between two ticks of the stage step [s]
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tables import parser, show_stages

from uspnb import FunctionalPredictor
from uspnb.data import processes
from uspnb.model.packing import layout_for, row_columns
from uspnb.predictor.functional import Observation
from uspnb.sinks import (
    CallbackSink,
    Consumer,
    JitterMeter,
    JsonLinesSink,
    Metrics,
    MetricsSink,
    ParityLog,
    Records,
    Sink,
    TelemetryBuffer,
)

COLUMNS = {"stage": "", "what": "", "value": ",.2f", "unit": ""}
Rows = list[list[Any]]
LAYOUT = row_columns(layout_for(5))
WIDTH = max(place.stop for place in LAYOUT.values())
MIB, BLOCK = 2**20, 50


def made_rows(count: int) -> np.ndarray:
    """Rows that look like results: weights that add up to 1, no alarm."""
    rows = np.random.default_rng(1).normal(size=(count, WIDTH))
    rows[:, LAYOUT["weight"]] = 0.25
    rows[:, LAYOUT["alarm"]] = 0.0
    rows[:, LAYOUT["operating_mode"]] = 0.0
    return rows


def resident() -> float:
    """Memory of this process [MiB]."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def timed_emits(buffer: TelemetryBuffer, count: int, pause_s: float = 0.0) -> np.ndarray:
    """Nanoseconds of each of `count` emits of one record."""
    rows, stamps, took = made_rows(1), np.arange(1), np.empty(count)
    for i in range(count):
        row = rows.copy()
        began = time.perf_counter_ns()
        buffer.emit("a", i + 1, row, stamps)
        took[i] = time.perf_counter_ns() - began
        if pause_s:
            time.sleep(pause_s)
    return took


def emit_stage(options: Any) -> Rows:
    """Time of an emit."""
    count = options.emits
    rows: Rows = []

    def told(what: str, took: np.ndarray) -> None:
        for name, share in (("median", 50), ("p99", 99), ("p99.9", 99.9)):
            rows.append(["emit", f"{what}, {name}", float(np.percentile(took, share)) / 1e3, "us"])

    told("nobody takes", timed_emits(TelemetryBuffer(count), count))
    told("full, nobody takes", timed_emits(TelemetryBuffer(1024), count))
    with tempfile.TemporaryDirectory() as folder:
        for name, process in (("threads", False), ("a process", True)):
            buffer = TelemetryBuffer(16_384)
            sinks: list[Sink] = [JsonLinesSink(Path(folder) / name), MetricsSink(Metrics())]
            with Consumer(buffer, sinks, LAYOUT, process=process):
                told(f"sinks in {name}, 2,000 ticks/s", timed_emits(buffer, count // 10, 5e-4))
    return rows


def stall_stage(options: Any) -> Rows:
    """A million records against a consumer that stands still."""
    release, stalled = threading.Event(), threading.Event()

    def stall(records: Records) -> None:
        stalled.set()
        release.wait()

    buffer = TelemetryBuffer(16_384)
    consumer = Consumer(buffer, [CallbackSink(stall)], LAYOUT, period_s=0.0)
    row, stamps = made_rows(1), np.arange(1)
    buffer.emit("a", 1, row.copy(), stamps)
    stalled.wait()
    gc.collect()
    took, memory = np.full(options.records - 1, np.nan), []
    for i in range(options.records - 1):
        rows = row.copy()
        began = time.perf_counter_ns()
        buffer.emit("a", i + 2, rows, stamps)
        took[i] = time.perf_counter_ns() - began
        if i % 20_000 == 19_999:
            memory.append(resident())
    counts = buffer.counts()
    release.set()
    consumer.close(60)
    after = buffer.counts()
    early, late = took[20_000:120_000], took[-100_000:]
    return [
        ["stall", "records", counts.emitted, ""],
        ["stall", "dropped, counted", counts.dropped, ""],
        ["stall", "dropped, expected (records - taken - 16,384)", counts.emitted - 1 - 16_384, ""],
        ["stall", "emitted - taken - dropped - depth after the end", after.emitted - sum(after[1:]), ""],
        ["stall", "memory, growth from record 40,000 to the last", memory[-1] - memory[1], "MiB"],
        ["stall", "emit, median of records 20,000 to 120,000", float(np.median(early)) / 1e3, "us"],
        ["stall", "emit, median of the last 100,000", float(np.median(late)) / 1e3, "us"],
        ["stall", "emit, p99.9 of the last 100,000", float(np.percentile(late, 99.9)) / 1e3, "us"],
    ]


def step_stage(options: Any) -> Rows:
    """A tick of the predictor; the kinds take turns every `BLOCK` ticks, and off comes twice, which shows the noise."""
    predictor = FunctionalPredictor()
    values = processes.autoregression(BLOCK * (4 * options.turns + 1), 5).values
    state = predictor.init_state()
    tick = 0

    def block(buffer: TelemetryBuffer | None) -> list[int]:
        nonlocal state, tick
        times = []
        for _ in range(BLOCK):
            began = time.perf_counter_ns()
            stamp = np.int64((tick + 1) * 10**9)
            observed = Observation(np.float64(values[tick]), stamp, stamp, np.float64(np.nan))
            state, row = predictor.step_row(state, observed)
            tick += 1
            if buffer is not None:
                buffer.emit("a", tick, row[None], np.array([stamp]))
            times.append(time.perf_counter_ns() - began)
            time.sleep(options.pause)  # a live source: the next tick comes later
        return times

    block(None)
    took: dict[str, list[int]] = {
        name: [] for name in ("telemetry off", "off again", "sinks in threads", "sinks in a process")
    }
    with tempfile.TemporaryDirectory() as folder:
        consumers = {}
        for name in list(took)[2:]:
            buffer, place = TelemetryBuffer(16_384), Path(folder) / name.replace(" ", "-")
            sinks: list[Sink] = [JsonLinesSink(place), ParityLog(place / "parity.log", 100), MetricsSink(Metrics())]
            consumers[name] = buffer, Consumer(buffer, sinks, LAYOUT, process="process" in name)
        time.sleep(2.0)  # the process is up
        for turn in range(options.turns):
            order = list(took)
            for name in order[turn % 4 :] + order[: turn % 4]:
                buffer, consumer = consumers.get(name, (None, None))
                took[name] += block(buffer)
                if consumer is not None:
                    consumer.drain()
        for buffer, consumer in consumers.values():
            consumer.close()
            if buffer.dropped or any(sink.lost for sink in consumer.status().sinks.values()):
                raise RuntimeError(f"telemetry was lost: {consumer.status()}")
    rows: Rows = []
    for name, share in (("median", 50), ("p95", 95), ("p99", 99)):
        base = float(np.percentile(took["telemetry off"], share))
        for kind, times in took.items():
            value = float(np.percentile(times, share))
            rows.append(["step", f"{kind}, {name}", value / 1e3, "us"])
            if times is not took["telemetry off"]:
                rows.append(["step", f"{kind}, {name}, over off", value / base, "ratio"])
    return rows


def each(call: Callable[[], object], count: int) -> float:
    """Microseconds of one call, the best of five rounds."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter_ns()
        for _ in range(count):
            call()
        best = min(best, (time.perf_counter_ns() - began) / count)
    return best / 1e3


def sinks_stage(options: Any) -> Rows:
    """What the sinks and the meters take."""
    records = Records("a", 1, np.arange(1000), made_rows(1000), LAYOUT)
    one = Records("a", 1, np.arange(1), made_rows(1), LAYOUT)
    rows: Rows = []
    with tempfile.TemporaryDirectory() as folder:
        lines, parity = JsonLinesSink(Path(folder) / "t"), ParityLog(Path(folder) / "p", 100)
        sink, metrics, meter = MetricsSink(Metrics()), Metrics(), JitterMeter(1e8)
        for name, taker in (("JSON Lines", lines), ("parity every 100 ticks", parity), ("metrics", sink)):
            rows.append(
                [
                    "sinks",
                    f"{name}, of 1,000 together",
                    1e6 / (each(lambda s=taker: s.write(records), 3) / 1e3),
                    "records/s",
                ]
            )
            rows.append(["sinks", f"{name}, one alone", each(lambda s=taker: s.write(one), 200), "us"])
        rows.append(
            ["sinks", "JSON Lines, a record", lines.paths()[-1].stat().st_size / lines.status().written, "bytes"]
        )
        rows.append(["sinks", "parity, a line", each(lambda: parity.observe("a", 1, np.full(4, 0.25), 0.5), 200), "us"])
        rows.append(["sinks", "jitter meter, a tick", each(lambda: meter.tick(1000, 1000), 5000), "us"])
        rows.append(["sinks", "jitter meter, a reading", each(meter.reading, 100), "us"])
        rows.append(
            ["sinks", "latency histogram, a tick", each(lambda: metrics.observe_latency("a", 300_000), 2000), "us"]
        )
        rows.append(["sinks", "exposition", each(sink._metrics.exposition, 20), "us"])
        lines.close()
        parity.close()
    return rows


def process_stage(options: Any) -> Rows:
    """The consumer process, and what importing the package would make of it."""
    rows: Rows = []
    with tempfile.TemporaryDirectory() as folder:
        buffer = TelemetryBuffer(100)
        began = time.perf_counter()
        with Consumer(buffer, [JsonLinesSink(folder)], LAYOUT, process=True) as consumer:
            buffer.emit("a", 1, made_rows(1), np.arange(1))
            consumer.drain()
            rows.append(["process", "from start to the first record on disk", time.perf_counter() - began, "s"])
            status = Path(f"/proc/{consumer.status().pid}/status").read_text()
            kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
            rows.append(["process", "memory", kib / 1024, "MiB"])
    script = "import uspnb, resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    rows.append(["process", "`import uspnb` alone, as `python -m` would", time.perf_counter() - began, "s"])
    rows.append(["process", "memory of that", int(done.stdout) / 1024, "MiB"])
    return rows


STAGES = {
    "emit": emit_stage, "stall": stall_stage, "step": step_stage, "sinks": sinks_stage, "process": process_stage,
}  # fmt: skip


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, STAGES).parse_args()
    note = "The sinks: best of five rounds.  The step: over all ticks of turns that alternate every 50."
    show_stages("Telemetry", COLUMNS, STAGES, options, note)


if __name__ == "__main__":
    main()
