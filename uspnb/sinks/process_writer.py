"""`ProcessWriter`: the near end of the pipe to the consumer process, which is started again where it dies."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from . import consumer_process
from .frames import parse_answer, write_frame, write_order
from .records import Records
from .sinks import FileSink, SinkStatus

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
# Of the environment only what an interpreter needs: credentials have no business in the process that writes logs.
_PASSED = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SYSTEMROOT",
)


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
        self._orders = [sink.order() for sink in sinks]
        self._columns = columns
        self._before = [SinkStatus() for _ in sinks]  # of the processes that are gone
        self._now = list(self._before)
        self._sent = self._received = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._pause_s = FIRST_PAUSE_S
        self._abandoned = threading.Event()
        self._lock = threading.Lock()
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Number of the process, None while there is none."""
        process = self._process
        return None if process is None else process.pid

    def start(self) -> None:
        """Start the process, so that it is ready when records come."""
        self.revive()

    def revive(self) -> None:
        """Start the process again where it died; for the thread that calls `write`, while there is nothing to write."""
        if self._process is not None and self._process.poll() is None:
            return
        self._bury()
        try:
            self._start()
        except OSError as error:  # no memory or no room for another process, which may pass
            self._wait(f"the telemetry process cannot be started: {error.strerror or error}")

    def write(self, records: Records) -> None:
        """Send records; waits while the process is behind, starts it again where it died."""
        while not self._abandoned.is_set():
            self.revive()
            if self._process is None:
                continue
            try:
                write_frame(_pipe(self._process), records)
            except OSError:
                # It took less than the whole frame, so it did nothing with it: the next process gets it anew.
                self._bury()
                continue
            with self._lock:
                self._sent += len(records)
            return
        with self._lock:
            self._before = [_plus(status, SinkStatus(0, len(records))) for status in self._before]

    def flush(self) -> None:
        """Nothing waits at this end."""

    def settled(self) -> bool:
        """Whether the process has dealt with everything that it was sent."""
        with self._lock:
            return self._received >= self._sent

    def close(self) -> None:
        """Let the process finish what it was sent, and wait for it."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                _pipe(self._process).close()
            self._process.wait()
            self._bury(expected=True)

    def abandon(self) -> None:
        """End the process at once, from any thread: `write` and `close` come back."""
        self._abandoned.set()
        process = self._process
        if process is not None:
            process.kill()

    def statuses(self) -> dict[str, SinkStatus]:
        """Status of each sink, over all processes so far."""
        with self._lock:
            return {
                name: _plus(before, now) for name, before, now in zip(self._names, self._before, self._now, strict=True)
            }

    def _start(self) -> None:
        script = Path(consumer_process.__file__)
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        with contextlib.suppress(OSError):  # dead already: the next write finds out
            write_order(_pipe(self._process), self._orders, self._columns)
        self._reader = threading.Thread(
            target=self._read, args=(self._process,), name="uspnb-telemetry-answers", daemon=True
        )
        self._reader.start()

    def _bury(self, *, expected: bool = False) -> None:
        """Take stock after the process has ended, or end it where its pipe is broken."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.kill()
        code = process.wait()
        with contextlib.suppress(OSError):
            _pipe(process).close()
        if self._reader is not None:
            self._reader.join()
        if process.stdout is not None:
            process.stdout.close()
        with self._lock:
            unanswered = self._sent - self._received
            gone = SinkStatus(0, unanswered)
            self._before = [
                _plus(_plus(before, now), gone)._replace(condition=now.condition if expected else None)
                for before, now in zip(self._before, self._now, strict=True)
            ]
            self._sent = self._received = 0
            self._now = [SinkStatus() for _ in self._now]
        if not expected:
            self.restarts += 1
            self._wait(f"the telemetry process ended (exit code {code}) and is started again")

    def _wait(self, told: str) -> None:
        """Say what is wrong and let some time pass, more of it each time until records get through again."""
        with self._lock:
            self._now = [SinkStatus(condition=told) for _ in self._now]
        self._abandoned.wait(self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.endswith(b"\n"):
                return  # killed while it wrote
            answer = parse_answer(line)
            with self._lock:
                self._received = answer.received
                self._now = list(answer.sinks)
            if answer.received:
                self._pause_s = FIRST_PAUSE_S


def _pipe(process: subprocess.Popen[bytes]) -> BinaryIO:
    assert process.stdin is not None
    return process.stdin  # type: ignore[return-value]


def _plus(a: SinkStatus, b: SinkStatus) -> SinkStatus:
    return SinkStatus(a.written + b.written, a.lost + b.lost, b.condition or a.condition)
