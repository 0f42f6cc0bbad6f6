"""The consumer: every sink gets everything, whatever dies, stalls or raises beside it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from waiting import PATIENCE_S, until

from uspnb.errors import DomainError
from uspnb.sinks import (
    CallbackSink,
    Consumer,
    JsonLinesSink,
    Metrics,
    MetricsSink,
    ParityLog,
    Records,
    TelemetryBuffer,
    compare,
    read_records,
    verify,
)

Columns = Mapping[str, slice]
MakeRows = Callable[..., np.ndarray]


def _numbers(folder: Path) -> list[int]:
    return [record["tick"] for record in read_records(folder)]


def _emit(buffer: TelemetryBuffer, rows: np.ndarray, first: int = 1, asset: str = "a") -> None:
    buffer.emit(asset, first, rows, np.arange(first, first + len(rows)))


@pytest.mark.parametrize("process", [False, True])
def test_every_sink_gets_every_record(tmp_path: Path, make_rows: MakeRows, columns: Columns, process: bool) -> None:
    """Single ticks and stretches of two series, NumPy and JAX; the files are the same from a thread and a process."""
    rows, handed = make_rows(60), []
    buffer, metrics = TelemetryBuffer(1000), Metrics()
    sinks = [
        JsonLinesSink(tmp_path / "t"),
        ParityLog(tmp_path / "p", 5),
        MetricsSink(metrics),
        CallbackSink(lambda records: handed.append((records.asset, records.first_tick, records.rows))),
    ]
    with Consumer(buffer, sinks, columns, process=process) as consumer:
        for tick in range(20):
            _emit(buffer, rows[tick : tick + 1], tick + 1)
            buffer.emit("b", tick + 1, jnp.asarray(rows[tick : tick + 1]), np.array([tick + 1]))
        _emit(buffer, rows[20:], 21)
        assert consumer.drain(PATIENCE_S)
        status = consumer.status()
        assert status.counts == (80, 80, 0, 0) and not status.conditions and (status.pid is None) != process
        assert {name: tuple(sink) for name, sink in status.sinks.items()} == dict.fromkeys(
            ("telemetry", "parity", "metrics", "callback"), (80, 0, None)
        )
    records = list(read_records(tmp_path / "t"))
    for asset, count in (("a", 60), ("b", 20)):
        own = [record for record in records if record["asset"] == asset]
        assert [record["tick"] for record in own] == list(range(1, count + 1))
        assert [record["z_score"] for record in own] == rows[:count, columns["z_score"].start].tolist()
        got = np.concatenate([block for name, _, block in handed if name == asset])
        assert np.array_equal(got, rows[:count])
    assert verify(tmp_path / "p").closed
    by_hand = ParityLog(tmp_path / "hand", 5)
    for asset, count in (("a", 60), ("b", 20)):
        by_hand.write(Records(asset, 1, np.arange(count), rows[:count], columns))
    by_hand.close()
    comparison = compare(tmp_path / "p", tmp_path / "hand")
    assert comparison.equal and comparison.compared == 16
    assert metrics.registry.get_sample_value("predictor_ticks_total", {"asset": "a"}) == 60


def _pid(consumer: Consumer) -> int:
    """Number of the process; waits while there is none between two."""
    return until(lambda: consumer.status().pid)


def test_a_killed_process_is_started_again_and_the_loss_counted(
    tmp_path: Path, make_rows: MakeRows, columns: Columns
) -> None:
    """Each record is written or counted as lost, and nothing is written twice; the other sinks notice nothing."""
    buffer, rows, heard = TelemetryBuffer(100_000), make_rows(50), []
    sinks = [JsonLinesSink(tmp_path), CallbackSink(lambda records: heard.append(len(records)))]
    consumer = Consumer(buffer, sinks, columns, process=True, period_s=0.001)
    _emit(buffer, rows)
    assert consumer.drain(PATIENCE_S)
    pids = {_pid(consumer)}
    for round_number in range(1, 41):
        _emit(buffer, rows, 50 * round_number + 1)
        if round_number in (10, 25):
            os.kill(_pid(consumer), signal.SIGKILL)
        until(lambda count=50 * (round_number + 1): sum(heard) == count)
    assert consumer.drain(PATIENCE_S)
    os.kill(_pid(consumer), signal.SIGKILL)  # nothing is on its way: nothing is lost
    until(lambda: consumer.status().restarts == 3)
    pids.add(_pid(consumer))
    _emit(buffer, rows, 50 * 41 + 1)
    assert consumer.close(PATIENCE_S)
    written, lost, condition = consumer.status().sinks["telemetry"]
    assert consumer.status().restarts == 3 and len(pids) == 2
    assert written + lost == 50 * 42 and condition is None
    numbers = _numbers(tmp_path)
    # A record may have reached the disk and its answer not this end: lost is an upper bound.
    assert written <= len(numbers) <= 50 * 42 and numbers == sorted(set(numbers))
    assert numbers[:50] == list(range(1, 51)) and numbers[-50:] == list(range(2051, 2101))
    assert sum(heard) == 50 * 42


def test_a_stalled_process_holds_up_nothing_else(tmp_path: Path, make_rows: MakeRows, columns: Columns) -> None:
    """A process that stands still is not waited for: its drops are counted, and `close` comes back in time."""
    buffer, rows, heard = TelemetryBuffer(2000), make_rows(100), []
    sinks = [JsonLinesSink(tmp_path), CallbackSink(lambda records: heard.append(len(records)))]
    consumer = Consumer(buffer, sinks, columns, process=True, period_s=0.0)
    _emit(buffer, rows)
    assert consumer.drain(PATIENCE_S)
    os.kill(_pid(consumer), signal.SIGSTOP)
    for i in range(1, 101):
        _emit(buffer, rows, 100 * i + 1)
        until(lambda count=100 * (i + 1): sum(heard) == count)
    assert consumer.status().sinks["telemetry"].lost > 5000  # 2,000 wait here, a pipe's worth there
    assert not consumer.close(0.5)
    written, lost, _ = consumer.status().sinks["telemetry"]
    assert (written, written + lost) == (100, 10_100)


def test_the_process_is_light_and_knows_no_credentials(
    tmp_path: Path, make_rows: MakeRows, columns: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loads no JAX, and of the environment it has what an interpreter needs; signals to the group do not end it."""
    if not Path("/proc/self/maps").exists():
        pytest.skip("this system has no /proc to look into a process")
    monkeypatch.setenv("USPNB_TOKEN", "planted-secret")
    buffer = TelemetryBuffer(100)
    with Consumer(buffer, [JsonLinesSink(tmp_path)], columns, process=True) as consumer:
        _emit(buffer, make_rows(3))
        assert consumer.drain(PATIENCE_S)
        inside = Path(f"/proc/{_pid(consumer)}")
        assert "jaxlib" not in (inside / "maps").read_text()
        assert b"planted-secret" not in (inside / "environ").read_bytes()
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(_pid(consumer), number)
        _emit(buffer, make_rows(3), 4)
    assert consumer.status().restarts == 0 and _numbers(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_a_process_that_cannot_be_started_is_tried_again(
    tmp_path: Path, make_rows: MakeRows, columns: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system refuses twice; what came meanwhile is written in the end."""
    start, refusals = subprocess.Popen, iter([True, True])

    def refusing(*arguments: Any, **options: Any) -> Any:
        if next(refusals, False):
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return start(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", refusing)
    buffer = TelemetryBuffer(100)
    with Consumer(buffer, [JsonLinesSink(tmp_path)], columns, process=True) as consumer:
        assert "cannot be started" in consumer.status().conditions["telemetry"]
        _emit(buffer, make_rows(3))
        assert consumer.drain(PATIENCE_S) and not consumer.status().conditions
    assert consumer.status().sinks["telemetry"] == (3, 0, None) and _numbers(tmp_path) == [1, 2, 3]


def test_a_slow_disk_holds_up_nothing_else(tmp_path: Path, make_rows: MakeRows, columns: Columns) -> None:
    """In a thread as well: the slow sink loses, the others do not, and it is counted."""
    gate, heard, buffer = threading.Event(), [], TelemetryBuffer(50)

    class SlowSink(JsonLinesSink):
        def write(self, records: Records) -> None:
            gate.wait(PATIENCE_S)
            super().write(records)

    sinks = [SlowSink(tmp_path), CallbackSink(lambda records: heard.append(len(records)))]
    consumer = Consumer(buffer, sinks, columns, period_s=0.0)
    for i in range(20):
        _emit(buffer, make_rows(10), 10 * i + 1)
        until(lambda count=10 * (i + 1): sum(heard) == count)
    gate.set()
    assert consumer.close(PATIENCE_S)
    written, lost, _ = consumer.status().sinks["telemetry"]
    assert written + lost == 200 and lost >= 200 - 50 - 50 and len(_numbers(tmp_path)) == written


def test_a_sink_that_raises_stops_nothing(tmp_path: Path, make_rows: MakeRows, columns: Columns) -> None:
    """Its losses are counted and its words told; it is asked again, and the condition goes."""
    faults = iter([True, False])

    def fragile(records: Records) -> None:
        if next(faults):
            raise LookupError("not today")

    buffer = TelemetryBuffer(100)
    consumer = Consumer(buffer, [CallbackSink(fragile), JsonLinesSink(tmp_path)], columns)
    _emit(buffer, make_rows(4))
    assert consumer.drain(PATIENCE_S)
    assert consumer.status().sinks["callback"][:2] == (0, 4)
    assert consumer.status().conditions == {"callback": "the sink 'callback' raised LookupError: not today"}
    _emit(buffer, make_rows(3), 5)
    assert consumer.close(PATIENCE_S)
    assert consumer.status().sinks["callback"] == (3, 4, None) and len(_numbers(tmp_path)) == 7


class _Broken:
    """Rows whose device failed."""

    def __len__(self) -> int:
        return 2

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise RuntimeError("the device is gone")


def test_rows_that_cannot_be_read_are_lost_alone(tmp_path: Path, make_rows: MakeRows, columns: Columns) -> None:
    """A failed device and rows of another layout; what comes between arrives."""
    buffer = TelemetryBuffer(100)
    consumer = Consumer(buffer, [JsonLinesSink(tmp_path)], columns)
    buffer.emit("a", 1, _Broken(), np.arange(2))
    assert consumer.drain(PATIENCE_S) and "device is gone" in consumer.status().conditions["telemetry"]
    _emit(buffer, np.zeros((3, 7)), 3)
    assert consumer.drain(PATIENCE_S) and "(3, 7)" in consumer.status().conditions["telemetry"]
    _emit(buffer, make_rows(2), 6)
    assert consumer.close(PATIENCE_S)
    assert consumer.status().sinks["telemetry"] == (2, 5, None)
    assert _numbers(tmp_path) == [6, 7]


def test_what_comes_after_the_end_is_dropped_and_counted(tmp_path: Path, make_rows: MakeRows, columns: Columns) -> None:
    """Closing twice does no harm."""
    buffer = TelemetryBuffer(100)
    consumer = Consumer(buffer, [JsonLinesSink(tmp_path)], columns)
    _emit(buffer, make_rows(5))
    assert consumer.close() and consumer.close()
    _emit(buffer, make_rows(2), 6)
    assert buffer.counts() == (7, 5, 2, 0) and _numbers(tmp_path) == [1, 2, 3, 4, 5]


def test_sinks_of_one_name_are_refused(columns: Columns) -> None:
    """A status could not tell them apart."""
    with pytest.raises(DomainError, match="callback, callback"):
        Consumer(TelemetryBuffer(1), [CallbackSink(print), CallbackSink(print)], columns)
