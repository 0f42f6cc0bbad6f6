"""Lanes: a buffer of its own and a thread that empties it, for sinks that may be slow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from .buffer import Batch, TelemetryBuffer
from .drain import Drain, Guarded
from .merging import merged
from .process_writer import ProcessWriter
from .records import Records
from .sinks import FileSink, SinkStatus

LAST_WAIT_S = 2.0


class Lane(Protocol):
    """What a consumer knows of a lane."""

    def emit(self, records: Records) -> None:
        """Hand records over; never waits."""
        ...

    def close(self) -> None:
        """Write what is left, then end."""
        ...

    def settle(self, deadline_s: float) -> bool:
        """Wait until what was handed over is written or lost, at most until that time of `time.monotonic()`."""
        ...

    def join(self, deadline_s: float) -> bool:
        """Wait for the end, at most until then; whether it came by itself."""
        ...

    def statuses(self) -> dict[str, SinkStatus]:
        """Status of each sink by name."""
        ...


class Selection:
    """The columns of some fields, taken out of wider rows.

    Args:
        fields: what is taken; those that a row does not have are passed over.
        columns: of the wider rows.
    """

    def __init__(self, fields: tuple[str, ...], columns: Mapping[str, slice]) -> None:
        self.columns: dict[str, slice] = {}
        places: list[int] = []
        for name in dict.fromkeys(field for field in fields if field in columns):
            width = columns[name].stop - columns[name].start
            self.columns[name] = slice(len(places), len(places) + width)
            places += range(columns[name].start, columns[name].stop)
        self._places = np.array(places, np.int64)

    def emit(self, buffer: TelemetryBuffer, records: Records) -> None:
        """Hand the columns over to a buffer."""
        buffer.emit(records.asset, records.first_tick, records.rows[:, self._places], records.stamps_ns)


class ThreadLane:
    """A file sink behind a buffer and a thread.

    Args:
        sink: what is written to.
        columns: of the rows that come.
        maxlen: records that may wait.
        period_s, most: as in `Drain`.
    """

    def __init__(self, sink: FileSink, columns: Mapping[str, slice], maxlen: int, period_s: float, most: int) -> None:
        self._name, self._sink = sink.name, Guarded(sink)
        self._selection = Selection(sink.fields(), columns)
        self._buffer = TelemetryBuffer(maxlen)
        name = f"uspnb-telemetry-{sink.name}"
        self._drain = Drain(self._buffer, self._deliver, self._sink.close, name, period_s, most)

    def emit(self, records: Records) -> None:
        """Hand records over; never waits."""
        self._selection.emit(self._buffer, records)

    def close(self) -> None:
        """Write what is left, then end."""
        self._drain.close()

    def settle(self, deadline_s: float) -> bool:
        """Wait until what was handed over is written or lost."""
        return self._drain.settle(deadline_s)

    def join(self, deadline_s: float) -> bool:
        """Wait for the end; whether it came."""
        return self._drain.join(deadline_s - time.monotonic())

    def statuses(self) -> dict[str, SinkStatus]:
        """Status of the sink; what its buffer dropped is lost."""
        return {self._name: _with_drops(self._sink.status(), self._buffer)}

    def _deliver(self, batches: list[Batch]) -> None:
        stretches, _ = merged(batches, self._selection.columns)
        for records in stretches:
            self._sink.write(records)
        self._sink.flush()


class ProcessLane:
    """File sinks in a process of their own, behind one buffer and a thread that feeds the pipe.

    Args:
        sinks: what to make there.
        columns: of the rows that come.
        maxlen: records that may wait at this end.
        period_s, most: as in `Drain`.
    """

    def __init__(
        self, sinks: list[FileSink], columns: Mapping[str, slice], maxlen: int, period_s: float, most: int
    ) -> None:
        self._selection = Selection(tuple(field for sink in sinks for field in sink.fields()), columns)
        self._buffer = TelemetryBuffer(maxlen)
        self._writer = ProcessWriter(sinks, self._selection.columns)
        self._writer.start()
        self._drain = Drain(
            self._buffer,
            self._deliver,
            self._writer.close,
            "uspnb-telemetry-process",
            period_s,
            most,
            self._writer.revive,
        )

    @property
    def restarts(self) -> int:
        """How often the process was started again."""
        return self._writer.restarts

    @property
    def pid(self) -> int | None:
        """Number of the process."""
        return self._writer.pid

    def emit(self, records: Records) -> None:
        """Hand records over; never waits."""
        self._selection.emit(self._buffer, records)

    def close(self) -> None:
        """Send what is left, then let the process end."""
        self._drain.close()

    def settle(self, deadline_s: float) -> bool:
        """Wait until the process has dealt with what was handed over."""
        if not self._drain.settle(deadline_s):
            return False
        while not self._writer.settled():
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(0.005)
        return True

    def join(self, deadline_s: float) -> bool:
        """Wait for the end; a process that takes longer is killed."""
        if self._drain.join(deadline_s - time.monotonic()):
            return True
        self._writer.abandon()
        self._drain.join(LAST_WAIT_S)
        return False

    def statuses(self) -> dict[str, SinkStatus]:
        """Status of each sink; what the buffer dropped is lost to all."""
        return {name: _with_drops(status, self._buffer) for name, status in self._writer.statuses().items()}

    def _deliver(self, batches: list[Batch]) -> None:
        stretches, _ = merged(batches, self._selection.columns)
        for records in stretches:
            self._writer.write(records)


def _with_drops(status: SinkStatus, buffer: TelemetryBuffer) -> SinkStatus:
    return SinkStatus(status.written, status.lost + buffer.dropped, status.condition)
