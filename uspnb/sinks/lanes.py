"""Lanes: a buffer of its own and a thread that empties it, for sinks that may be slow or raise."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from .buffer import Batch, TelemetryBuffer, merged
from .process import ProcessWriter
from .records import Records
from .sinks import FileSink, Sink, SinkStatus

WAIT_S = 0.5
LAST_WAIT_S = 2.0


class Drain:
    """Takes batches from a buffer until the buffer is closed and empty.

    Args:
        buffer: what is emptied.
        deliver: gets the batches, in order; it must not raise.
        finish: called once at the end, by the same thread.
        name: of the thread.
        period_s: least time between two takes [s]; records that come meanwhile are taken together.
        most: records taken at a time.
        idle: called by the same thread, about twice a second, while nothing comes.
    """

    def __init__(
        self,
        buffer: TelemetryBuffer,
        deliver: Callable[[list[Batch]], None],
        finish: Callable[[], None],
        name: str,
        period_s: float,
        most: int,
        idle: Callable[[], None] | None = None,
    ) -> None:
        self.buffer = buffer
        self._deliver, self._finish = deliver, finish
        self._period_s, self._most, self._idle_call = period_s, most, idle
        self._hurry = threading.Event()
        self._idle = threading.Condition()
        self._delivered = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take what is left, then end; nothing more comes in."""
        self.buffer.close()
        self._hurry.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the thread, and say whether it came."""
        self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def settle(self, deadline_s: float) -> bool:
        """Wait until what has been emitted so far is delivered or dropped.

        Args:
            deadline_s: `time.monotonic()` at the latest.
        """
        wanted = self.buffer.emitted
        self._hurry.set()
        with self._idle:
            while self._delivered + self.buffer.dropped < wanted:
                left = deadline_s - time.monotonic()
                if left <= 0:
                    return False
                self._idle.wait(min(left, WAIT_S))
        return True

    def _run(self) -> None:
        while True:
            batches = self.buffer.take(self._most, WAIT_S)
            if batches:
                self._deliver(batches)
                with self._idle:
                    self._delivered += sum(batch.count for batch in batches)
                    self._idle.notify_all()
            elif self.buffer.closed:
                break
            elif self._idle_call is not None:
                self._idle_call()
            # A pause lets records gather, so that a tick does not cost a wake-up; a full buffer does not wait.
            if self.buffer.depth < min(self._most, self.buffer.maxlen // 2) and not self.buffer.closed:
                self._hurry.wait(self._period_s)
            self._hurry.clear()
        self._finish()


class Guarded:
    """A sink whose exceptions are counted as lost records instead of ending the thread that calls it.

    Args:
        sink: what is guarded.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lost = 0
        self._condition: str | None = None

    def write(self, records: Records) -> None:
        """Pass records on."""
        try:
            self._sink.write(records)
            self._condition = None
        except Exception as error:  # a sink may be anybody's code, and the others must go on whatever it raises
            self._lost += len(records)
            self._condition = f"the sink {self._sink.name!r} raised {_last_line(error)}"

    def flush(self) -> None:
        """Pass it on."""
        self._safely(self._sink.flush)

    def close(self) -> None:
        """Pass it on."""
        self._safely(self._sink.close)

    def status(self) -> SinkStatus:
        """The sink's own status, with what was lost to exceptions."""
        status = self._sink.status()
        return SinkStatus(status.written, status.lost + self._lost, self._condition or status.condition)

    def _safely(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # as in `write`
            self._condition = f"the sink {self._sink.name!r} raised {_last_line(error)}"


def _last_line(error: Exception) -> str:
    return traceback.format_exception_only(error)[-1].strip()


class Lane(Protocol):
    """What a consumer knows of a lane."""

    def emit(self, records: Records) -> None:
        """Hand records over; never waits."""

    def close(self) -> None:
        """Write what is left, then end."""

    def settle(self, deadline_s: float) -> bool:
        """Wait until what was handed over is written or lost, at most until that time of `time.monotonic()`."""

    def join(self, deadline_s: float) -> bool:
        """Wait for the end, at most until then; whether it came by itself."""

    def statuses(self) -> dict[str, SinkStatus]:
        """Status of each sink by name."""


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
        self._writer.revive()
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
