"""Lanes: a buffer of its own and a thread that empties it, for sinks that may be slow or raise."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Mapping

import numpy as np

from .buffer import Batch, TelemetryBuffer, merged
from .process import ProcessWriter
from .records import Records
from .sinks import Sink, SinkStatus

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
        """Flush the sink."""
        self._safely(self._sink.flush)

    def close(self) -> None:
        """Close the sink."""
        self._safely(self._sink.close)

    def status(self) -> SinkStatus:
        """The sink's own status, with what was lost to exceptions."""
        status = self._sink.status()
        return SinkStatus(status.written, status.lost + self._lost, self._condition or status.condition)

    def statuses(self) -> dict[str, SinkStatus]:
        """`status` by the sink's name, as a `ProcessWriter` gives that of several."""
        return {self._sink.name: self.status()}

    def revive(self) -> None:
        """Nothing can die here."""

    def settled(self) -> bool:
        """Whatever was written is dealt with."""
        return True

    def abandon(self) -> bool:
        """Whether it could be ended at once: a thread cannot."""
        return False

    def _safely(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # as in `write`
            self._condition = f"the sink {self._sink.name!r} raised {_last_line(error)}"


def _last_line(error: Exception) -> str:
    return traceback.format_exception_only(error)[-1].strip()


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


class Lane:
    """Sinks that may be slow, behind a buffer of their own and a thread that hands them what is emitted.

    Args:
        name: of the thread.
        target: what is written to: one sink of this process, or the process that has several.
        selection: the columns that are written.
        maxlen: records that may wait; what they drop is lost to all sinks.
        period_s, most: as of `Drain`.
    """

    def __init__(
        self, name: str, target: Guarded | ProcessWriter, selection: Selection, maxlen: int, period_s: float, most: int
    ) -> None:
        self._target, self._selection, self._buffer = target, selection, TelemetryBuffer(maxlen)
        self._drain = Drain(self._buffer, self._deliver, target.close, name, period_s, most, target.revive)

    def emit(self, records: Records) -> None:
        """Hand records over; never waits."""
        self._selection.emit(self._buffer, records)

    def close(self) -> None:
        """Write what is left, then end."""
        self._drain.close()

    def settle(self, deadline_s: float) -> bool:
        """Wait until what was handed over is written or lost, at most until that time of `time.monotonic()`."""
        if not self._drain.settle(deadline_s):
            return False
        while not self._target.settled():
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(0.005)
        return True

    def join(self, deadline_s: float) -> bool:
        """Wait for the end, at most until then; whether it came by itself.  A process that takes longer is killed."""
        if self._drain.join(deadline_s - time.monotonic()):
            return True
        if self._target.abandon():
            self._drain.join(LAST_WAIT_S)
        return False

    def statuses(self) -> dict[str, SinkStatus]:
        """Status of each sink by name."""
        dropped = self._buffer.dropped
        return {name: one._replace(lost=one.lost + dropped) for name, one in self._target.statuses().items()}

    def _deliver(self, batches: list[Batch]) -> None:
        stretches, _ = merged(batches, self._selection.columns)
        for records in stretches:
            self._target.write(records)
        self._target.flush()
