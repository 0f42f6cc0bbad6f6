"""`Consumer`: empties a `TelemetryBuffer` into sinks, outside the thread that computes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..errors import DomainError
from .buffer import Batch, BufferCounts, TelemetryBuffer, merged
from .lanes import Drain, Guarded, Lane, Selection
from .process import ProcessWriter
from .sinks import SHIPPED, FileSink, Sink, SinkStatus, check_sink


class ConsumerStatus(NamedTuple):
    """How a consumer fares.

    Attributes:
        counts: of the buffer.
        sinks: status of each sink by name; records that a slow sink had no room for are among its lost ones.
        restarts: how often the process of the file sinks was started again.
        pid: number of that process, None where there is none.
    """

    counts: BufferCounts
    sinks: dict[str, SinkStatus]
    restarts: int
    pid: int | None

    @property
    def conditions(self) -> dict[str, str]:
        """What keeps a sink from working, by its name; empty where all is well."""
        return {name: status.condition for name, status in self.sinks.items() if status.condition is not None}


class Consumer:
    """Takes records from a buffer, fetches those that lie on a device, and hands them to every sink.

    Sinks of the process (a function, the metrics) are called by one thread.  Sinks that write files get a thread each,
    or with `process=True` one process together, behind a buffer of their own: a disk that stands still fills that
    buffer, whose drops are counted, and holds up neither the other sinks nor the computation.

    Args:
        buffer: what is emptied; `close` closes it.
        sinks: where records go, each with a name of its own; see `Sink` for one of your own.
        columns: where each field stands in a row, for example `uspnb.model.packing.row_columns(layout)`.
        process: whether the file sinks that are shipped live in a process of their own.
        period_s: least time between two takes [s]; each costs the computation a few milliseconds of the interpreter, so
            that at 0.05 s one tick in fifty was late and at 0.5 s one in five hundred.
        most: records taken at a time.

    Raises:
        DomainError: something that is no sink, or two sinks of one name.
    """

    def __init__(
        self,
        buffer: TelemetryBuffer,
        sinks: Sequence[Sink],
        columns: Mapping[str, slice],
        *,
        process: bool = False,
        period_s: float = 0.5,
        most: int = 4096,
    ) -> None:
        names = [check_sink(sink).name for sink in sinks]
        if len(set(names)) < len(names):
            raise DomainError(f"the sinks are called {', '.join(names)}; each needs a name of its own")
        self._buffer, self._columns = buffer, columns
        files = [sink for sink in sinks if isinstance(sink, FileSink)]
        self._direct = {sink.name: Guarded(sink) for sink in sinks if not isinstance(sink, FileSink)}
        self._order = names
        self._lanes: list[Lane] = []
        self._process: ProcessWriter | None = None
        movable = [sink for sink in files if process and sink.order()["kind"] in SHIPPED]
        if movable:
            selection = Selection(tuple(field for sink in movable for field in sink.fields()), columns)
            self._process = ProcessWriter(movable, selection.columns)
            self._process.revive()
            name = "uspnb-telemetry-process"
            self._lanes.append(Lane(name, self._process, selection, buffer.maxlen, period_s, most))
        for sink in files:
            if sink not in movable:
                selection, name = Selection(sink.fields(), columns), f"uspnb-telemetry-{sink.name}"
                self._lanes.append(Lane(name, Guarded(sink), selection, buffer.maxlen, period_s, most))
        self._refused = 0
        self._refusal: str | None = None
        self._drain = Drain(buffer, self._deliver, self._finish, "uspnb-telemetry", period_s, most)

    def __enter__(self) -> Consumer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def drain(self, timeout_s: float = 10.0) -> bool:
        """Wait until every record emitted so far has reached its sinks or is counted as lost; whether that came."""
        deadline = time.monotonic() + timeout_s
        return self._drain.settle(deadline) and all(lane.settle(deadline) for lane in self._lanes)

    def close(self, timeout_s: float = 10.0) -> bool:
        """Write everything that was emitted, close the sinks, and end; what comes later counts as dropped.

        Args:
            timeout_s: how long to wait [s]; a process that takes longer is ended, and what it did not write is lost.

        Returns:
            Whether everything was written in time.
        """
        deadline = time.monotonic() + timeout_s
        self._drain.close()
        done = self._drain.join(timeout_s)
        # Each lane is told to end by the drain's last act; one that did not get that far is told here.
        for lane in self._lanes:
            lane.close()
        return all([lane.join(deadline) for lane in self._lanes]) and done

    def status(self) -> ConsumerStatus:
        """Counts of the buffer, and records written and lost by each sink."""
        statuses = {name: sink.status() for name, sink in self._direct.items()}
        for lane in self._lanes:
            statuses.update(lane.statuses())
        for name in self._order:
            status = statuses[name]
            lost, condition = status.lost + self._refused, status.condition or self._refusal
            statuses[name] = SinkStatus(status.written, lost, condition)
        return ConsumerStatus(
            self._buffer.counts(),
            {name: statuses[name] for name in self._order},
            0 if self._process is None else self._process.restarts,
            None if self._process is None else self._process.pid,
        )

    def _deliver(self, batches: list[Batch]) -> None:
        for batch in batches:
            # All transfers of a device are asked for before the first is waited for.
            if hasattr(batch.rows, "copy_to_host_async"):
                batch.rows.copy_to_host_async()
        stretches, refused = merged(batches, self._columns)
        self._refused += sum(batch.count for batch, _ in refused)
        self._refusal = refused[-1][1] if refused else None
        for records in stretches:
            for lane in self._lanes:
                lane.emit(records)
            for sink in self._direct.values():
                sink.write(records)
        for sink in self._direct.values():
            sink.flush()

    def _finish(self) -> None:
        for sink in self._direct.values():
            sink.close()
        for lane in self._lanes:
            lane.close()
