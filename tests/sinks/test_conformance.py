"""What every sink does, whoever wrote it: one battery over those that are shipped and one that a user might write."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uspnb.errors import DomainError
from uspnb.sinks import (
    RECORD_FIELDS,
    CallbackSink,
    Consumer,
    FileSink,
    Metrics,
    Records,
    Sink,
    SinkStatus,
    TelemetryBuffer,
    make_sink,
    register_sink,
    sinks,
)

Columns = Mapping[str, slice]
MakeRows = Callable[..., np.ndarray]
Make = Callable[[], Any]


class AlarmTable:
    """A sink as a user writes one: a CSV file with a line for each alarm."""

    def __init__(self, path: str, name: str = "alarms") -> None:
        self.path, self.name, self._status = path, name, SinkStatus()

    def write(self, records: Records) -> None:
        alarms = np.flatnonzero(records.rows[:, records.columns["alarm"]])
        with open(self.path, "a", newline="") as stream:
            csv.writer(stream).writerows((records.asset, records.first_tick + int(i)) for i in alarms)
        self._status = self._status._replace(written=self._status.written + len(records))

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def status(self) -> SinkStatus:
        return self._status

    def order(self) -> dict[str, object]:
        return {"kind": "alarm_table", "path": self.path, "name": self.name}

    def fields(self) -> tuple[str, ...]:
        return ("alarm",)


@pytest.fixture(autouse=True)
def _forgets_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "_registered", {})
    register_sink("alarm_table", AlarmTable)


def _ignore(records: Records) -> None:
    """Drop them."""


@pytest.fixture(params=["json_lines", "parity", "metrics", "callback", "alarm_table"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A function that makes the sink of a kind, the same each time."""
    arguments: dict[str, dict[str, Any]] = {
        "json_lines": {"folder": tmp_path / "telemetry"},
        "parity": {"path": tmp_path / "parity", "interval": 3},
        "metrics": {"metrics": Metrics()},
        "callback": {"function": _ignore},
        "alarm_table": {"path": str(tmp_path / "alarms.csv")},
    }
    return lambda: make_sink(request.param, **arguments[request.param])


def _records(rows: np.ndarray, columns: Columns, first: int = 1, asset: str = "a") -> Records:
    return Records(asset, first, np.arange(first, first + len(rows)), rows, columns)


def test_a_new_sink_has_a_name_and_has_done_nothing(make: Make) -> None:
    sink = make()
    assert isinstance(sink, Sink) and sink.name
    assert sink.status() == SinkStatus(0, 0, None)
    sink.close()


def test_every_record_is_counted_once(make: Make, make_rows: MakeRows, columns: Columns) -> None:
    """Stretches, single ticks, none at all, and two series."""
    sink, rows = make(), make_rows(20)
    for first, last, asset in ((0, 7, "a"), (7, 8, "a"), (8, 8, "a"), (0, 12, "b")):
        sink.write(_records(rows[first:last], columns, first + 1, asset))
        sink.flush()
    assert sink.status() == SinkStatus(20, 0, None)
    sink.close()
    assert sink.status() == SinkStatus(20, 0, None)


def test_a_sink_closes_twice_and_before_the_first_record(make: Make, make_rows: MakeRows, columns: Columns) -> None:
    idle = make()
    idle.close()
    idle.close()
    sink = make()
    sink.write(_records(make_rows(4), columns))
    sink.close()
    sink.close()
    assert sink.status().condition is None


def test_what_is_handed_over_is_not_written_to(make: Make, make_rows: MakeRows, columns: Columns) -> None:
    rows = make_rows(5)
    before = rows.copy()
    rows.flags.writeable = False
    sink = make()
    sink.write(_records(rows, columns))
    sink.close()
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("process", [False, True])
def test_a_consumer_accounts_for_every_record(make: Make, make_rows: MakeRows, columns: Columns, process: bool) -> None:
    sink, rows, buffer = make(), make_rows(50), TelemetryBuffer(1000)
    with Consumer(buffer, [sink], columns, process=process) as consumer:
        for i in range(50):
            buffer.emit("a", i + 1, rows[i : i + 1], np.array([i]))
        assert consumer.drain(120)
    assert consumer.status().sinks == {sink.name: SinkStatus(50, 0, None)}


def test_a_file_sink_is_made_again_from_its_order(make: Make) -> None:
    """And what it writes has no units of the input."""
    sink = make()
    if not isinstance(sink, FileSink):
        assert not hasattr(sink, "order")
        return
    again = make_sink(**json.loads(json.dumps(sink.order())))
    assert type(again) is type(sink) and again.order() == sink.order() and again.name == sink.name
    assert set(sink.fields()) <= set(RECORD_FIELDS)


def test_a_sink_of_ones_own_gets_what_it_asked_for(tmp_path: Path, make_rows: MakeRows, columns: Columns) -> None:
    """It needs no change of the package, and neither do the others beside it, which may live in a process."""
    rows = make_rows(30)
    rows[[4, 20], columns["alarm"].start] = 1.0
    own = make_sink("alarm_table", path=str(tmp_path / "alarms.csv"))
    shipped = make_sink("json_lines", folder=tmp_path / "telemetry")
    buffer = TelemetryBuffer(1000)
    with Consumer(buffer, [own, shipped], columns, process=True) as consumer:
        buffer.emit("north", 1, rows, np.arange(30))
    assert (tmp_path / "alarms.csv").read_text().split() == ["north,5", "north,21"]
    assert [status.written for status in consumer.status().sinks.values()] == [30, 30]


def test_kinds_that_cannot_be_registered_or_made() -> None:
    for kind in ("parity", "alarm_table", ""):
        with pytest.raises(DomainError, match=r"is taken or empty; sinks have the kinds json_lines, .*, alarm_table"):
            register_sink(kind, AlarmTable)
    with pytest.raises(DomainError, match="make has type int, which cannot be called"):
        register_sink("five", 5)
    with pytest.raises(DomainError, match="kind = 'kafka' is no sink; known are json_lines, parity"):
        make_sink("kafka")
    register_sink("half", lambda: object())
    with pytest.raises(DomainError, match="has no name and no write and no flush"):
        make_sink("half")


def test_a_class_is_no_sink() -> None:
    with pytest.raises(DomainError, match="is a class that was not called"):
        sinks.check_sink(CallbackSink)
    own = AlarmTable("never made")
    assert sinks.check_sink(own) is own
