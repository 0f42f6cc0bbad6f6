"""Saving without waiting: the compute thread hands a state over and goes on."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple, SupportsIndex

from ...errors import DomainError
from ...runtime.arguments import check_whole
from ...runtime.writing import Writer
from .files import SnapshotFolder, Written, write_snapshot
from .payload import Payload, ticks_of


class SnapshotStatus(NamedTuple):
    """How the snapshots stand.

    Attributes:
        pending: waiting or being written.
        dropped: given up for a newer one while they waited.
        saved, failed: written, not written.
        last_path, last_ticks: of the last one written, None before the first.
        last_saved_ns: when that was [ns since 1970 UTC], None before the first.
        last_seconds: what fetching, encoding and writing it took [s], NaN before the first.
        condition: why snapshots cannot be written at present, None where they can.
    """

    pending: int
    dropped: int
    saved: int
    failed: int
    last_path: Path | None
    last_ticks: int | None
    last_saved_ns: int | None
    last_seconds: float
    condition: str | None


class SnapshotWriter:
    """Writes snapshots in threads of its own ("snapshot_io_N"), the newest before all.

    `submit` takes a function that makes the payload, typically `snapshot_of` bound to a state: the state's arrays are
    immutable, so a reference is a copy, and they are fetched in the writer's thread.  No program runs there.

    Args:
        folder: where the snapshots go; None where each is submitted with a path of its own.
        queue_maxlen: how many may wait; for one more the oldest is dropped.
        workers: threads.  More than one may write out of order: give `snapshot_of` its timestamp at `submit` then.

    Raises:
        DomainError: a queue or a number of threads below 1.
    """

    def __init__(
        self, folder: SnapshotFolder | None, *, queue_maxlen: SupportsIndex = 2, workers: SupportsIndex = 1
    ) -> None:
        self.folder = folder
        self.queue_maxlen = check_whole("queue_maxlen", queue_maxlen, 1)
        self.workers = check_whole("workers", workers, 1)
        closed = "the snapshot writer is closed; nothing more can be submitted"
        self._writer = Writer("snapshot_io", self.queue_maxlen, self.workers, closed)
        self._lock = threading.Lock()
        self._status = SnapshotStatus(0, 0, 0, 0, None, None, None, float("nan"), None)

    def submit(self, make: Callable[[], Payload], *, path: str | os.PathLike[str] | None = None) -> Future[Written]:
        """Have a snapshot written; returns at once.

        Args:
            make: gives the payload; called in the writer's thread.
            path: a file of its own instead of the next one of the folder.

        Returns:
            A future of what was written.  It is cancelled where a newer snapshot took the place in the queue, and
            holds the exception (`OSError`, `DomainError`) where writing failed.

        Raises:
            DomainError: the writer is closed, or there is neither a folder nor a path.
        """
        if path is None and self.folder is None:
            raise DomainError("this writer has no folder; submit each snapshot with a path")
        place = None if path is None else Path(path)
        return self._writer.submit(lambda: self._write(make, place))

    @property
    def condition(self) -> str | None:
        """Why snapshots cannot be written at present, in a sentence; None where they can."""
        return self.status().condition

    def status(self) -> SnapshotStatus:
        """How the snapshots stand."""
        writer = self._writer.status()
        with self._lock:
            return self._status._replace(pending=writer.pending, dropped=writer.dropped)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is pending; whether that came true within `timeout` [s]."""
        return self._writer.wait(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Take nothing more, write what is pending; whether that was done within `timeout` [s].

        What is not done by then goes on in its thread, which an interpreter that ends waits for.
        """
        return self._writer.close(timeout)

    def _write(self, make: Callable[[], Payload], path: Path | None) -> Written:
        began = time.perf_counter()
        try:
            payload = make()
            ticks = ticks_of(payload)
            written = self._save(payload, path)
        except Exception as problem:
            with self._lock:
                told = f"snapshots cannot be written: {problem}"
                self._status = self._status._replace(failed=self._status.failed + 1, condition=told)
            raise
        with self._lock:
            self._status = self._status._replace(
                saved=self._status.saved + 1,
                last_path=written.path,
                last_ticks=ticks,
                last_saved_ns=time.time_ns(),
                last_seconds=time.perf_counter() - began,
                condition=None,
            )
        return written

    def _save(self, payload: Payload, path: Path | None) -> Written:
        if path is not None:
            return write_snapshot(path, payload, "none" if self.folder is None else self.folder.compression)
        if self.folder is None:
            raise DomainError("there is neither a folder nor a path to write to")
        return self.folder.save(payload)
