"""File sinks in a process of their own: what crosses the pipe, the near end and the far end.

To the process go an order of work, then a message for each `Records`.  From it comes after each message the number of
records that it has dealt with so far and the status of each sink.  The process is a light child, without JAX, whose
four seconds and hundreds of megabytes nothing here needs.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from ..runtime.child import Child, ChildEnded, Message, read_message, write_message
from .records import Records
from .sinks import FileSink, SinkStatus, make_sink

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
# Of the environment only what an interpreter needs: credentials have no business in the process that writes logs.
_PASSED = (
    "PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SYSTEMROOT",
)  # fmt: skip


class ProcessWriter:
    """Sends records to sinks that live in a process of their own.

    Records that a dead process had been sent and had not answered for are counted as lost by each sink, although some
    may have reached the disk.

    Args:
        sinks: what to make there; the objects given here stay unused.
        columns: where each field stands in the rows that come.
    """

    def __init__(self, sinks: list[FileSink], columns: Mapping[str, slice]) -> None:
        self._names = [sink.name for sink in sinks]
        places = {name: [place.start, place.stop] for name, place in columns.items()}
        self._order = {"sinks": [sink.order() for sink in sinks], "columns": places}
        self._before = [SinkStatus() for _ in sinks]  # of the processes that are gone
        self._now = list(self._before)
        self._sent = self._received = 0
        self._child: Child | None = None
        self._pause_s = FIRST_PAUSE_S
        self._abandoned = threading.Event()
        self._lock = threading.Lock()
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Number of the process, None while there is none."""
        child = self._child
        return None if child is None or child.exit_code is not None else child.pid

    def revive(self) -> None:
        """Start the process, also where it died; for the thread that calls `write`, while there is nothing to write."""
        if self._child is not None and self._child.exit_code is None:
            return
        self._bury()
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        try:
            self._child = Child(
                "uspnb.sinks.process:serve",
                light=True,
                shielded=True,
                environment=environment,
                answered=self._take_stock,
                name="uspnb-telemetry-answers",
            )
        except OSError as error:  # no memory or no room for another process, which may pass
            self._wait(f"the telemetry process cannot be started: {error.strerror or error}")
            return
        with contextlib.suppress(ChildEnded):  # dead already: the next write finds out
            self._child.send(self._order)

    def write(self, records: Records) -> None:
        """Send records; waits while the process is behind, starts it again where it died."""
        while not self._abandoned.is_set():
            self.revive()
            if self._child is None:
                continue
            try:
                self._child.send(*message_of(records))
            except ChildEnded:
                # It took less than the whole message, so it did nothing with it: the next process gets it anew.
                self._bury()
                continue
            with self._lock:
                self._sent += len(records)
            return
        with self._lock:
            self._before = [_plus(status, SinkStatus(0, len(records))) for status in self._before]

    def settled(self) -> bool:
        """Whether the process has dealt with everything that it was sent."""
        with self._lock:
            return self._received >= self._sent

    def close(self) -> None:
        """Let the process finish what it was sent, and wait for it."""
        if self._child is not None:
            self._bury(expected=True)

    def abandon(self) -> bool:
        """End the process at once, from any thread: `write` and `close` come back."""
        self._abandoned.set()
        child = self._child
        if child is not None:
            child.kill()
        return True

    def flush(self) -> None:
        """Nothing waits at this end."""

    def statuses(self) -> dict[str, SinkStatus]:
        """Status of each sink, over all processes so far."""
        with self._lock:
            return {
                name: _plus(before, now) for name, before, now in zip(self._names, self._before, self._now, strict=True)
            }

    def _bury(self, *, expected: bool = False) -> None:
        """Let the process finish where that is expected, end it otherwise, and count what it leaves."""
        child = self._child
        if child is None:
            return
        if not expected:
            child.kill()
        code = child.close()
        self._child = None
        with self._lock:
            gone = SinkStatus(0, self._sent - self._received)
            self._before = [
                _plus(_plus(before, now), gone)._replace(condition=now.condition if expected else None)
                for before, now in zip(self._before, self._now, strict=True)
            ]
            self._sent = self._received = 0
            self._now = [SinkStatus() for _ in self._now]
        if not expected:
            self.restarts += 1
            self._wait(f"the telemetry process ended (exit code {code}) and is started again")

    def _wait(self, condition: str) -> None:
        """Say what is wrong and let some time pass, more of it each time until records get through again."""
        with self._lock:
            self._now = [SinkStatus(condition=condition) for _ in self._now]
        self._abandoned.wait(self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _take_stock(self, answer: Message) -> None:
        received: int = answer.head["received"]
        with self._lock:
            self._received = received
            self._now = [SinkStatus(*status) for status in answer.head["sinks"]]
        if received:
            self._pause_s = FIRST_PAUSE_S


def _plus(a: SinkStatus, b: SinkStatus) -> SinkStatus:
    return SinkStatus(a.written + b.written, a.lost + b.lost, b.condition or a.condition)


def message_of(records: Records) -> tuple[dict[str, Any], bytes, bytes]:
    """Records as a message: name, first tick and shape, then the timestamps and the rows."""
    head = {"asset": records.asset, "first_tick": records.first_tick, "shape": list(records.rows.shape)}
    stamps = np.ascontiguousarray(records.stamps_ns, "<i8").tobytes()
    return head, stamps, np.ascontiguousarray(records.rows, "<f8").tobytes()


def records_from(message: Message, columns: Mapping[str, slice]) -> Records:
    """What `message_of` packed."""
    count, width = message.head["shape"]
    stamps = np.frombuffer(message.body, "<i8", count)
    rows = np.frombuffer(message.body, "<f8", count * width, 8 * count).reshape(count, width)
    return Records(message.head["asset"], message.head["first_tick"], stamps, rows, columns)


def serve(source: BinaryIO, answers: BinaryIO) -> None:
    """The far end: write what comes until the pipe ends, answering after each message."""
    order = read_message(source)
    if order is None:
        return
    sinks: list[FileSink] = [make_sink(**about) for about in order.head["sinks"]]
    columns = {name: slice(*place) for name, place in order.head["columns"].items()}
    received = 0
    while (message := read_message(source)) is not None:
        records = records_from(message, columns)
        for sink in sinks:
            sink.write(records)
        received += len(records)
        _answer(answers, received, sinks)
    for sink in sinks:
        sink.close()
    _answer(answers, received, sinks)


def _answer(answers: BinaryIO, received: int, sinks: list[FileSink]) -> None:
    # The other end may be gone before everything is written; then nobody listens, and the writing goes on.
    with contextlib.suppress(BrokenPipeError):
        write_message(answers, {"received": received, "sinks": [list(sink.status()) for sink in sinks]})
