"""`ParityLog`: hashes of the weights and of the transport cost, so that two runs can be compared without their data.

Source: seed 004, section 3.1.
"""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from filelock import FileLock
from jaxtyping import Float

from ..errors import IntegrityError
from ..runtime.arguments import check_whole
from ..runtime.files import MAX_LINE_BYTES, START, AppendFile, chained, only_writer
from .parity_check import Comparison, Verified, compare, verify
from .parity_lines import COST, VERSION, WEIGHTS, parse_line, tick_body
from .records import Records
from .sinks import SinkStatus

__all__ = ["Comparison", "ParityLog", "Verified", "compare", "verify"]

MOST_WAITING = 4096


class ParityLog:
    """An append-only log with one line for every `interval`-th tick of each series, each bound to the one before.

    A line holds the SHA-256 of the weights and of the transport cost as canonical float64, and of both rounded to each
    of `digits` significant digits.  A log that was edited, shortened in the middle or reordered does not verify; who
    can write the file can also write a whole new chain, so note `head` elsewhere where that matters.  A disk that takes
    no line makes up to 4096 lines wait, and further ones lost and counted.

    Args:
        path: the file; an existing log is continued.
        interval: ticks between two lines of a series; 0 writes none.
        digits: significant digits of the rounded hashes, 1 to 17 each.
        config_hash: of the configuration, told in the line that says that a writer began.
        name: of the sink.

    Raises:
        DomainError: a negative interval, or digits outside their range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        interval: SupportsIndex,
        digits: tuple[int, ...] = (12, 9, 6),
        config_hash: str = "",
        *,
        name: str = "parity",
    ) -> None:
        self.path, self.config_hash, self.name = Path(path), config_hash, name
        self.interval = check_whole("interval", interval, 0, unit="ticks")
        self.digits = tuple(check_whole("digits", places, 1, 17) for places in digits)
        self.head = START
        self._file: AppendFile | None = None
        self._lock: FileLock | None = None
        self._lines = 0
        self._waiting: deque[dict[str, Any]] = deque()
        self._seen = self._lost = 0
        self._condition: str | None = None

    def write(self, records: Records) -> None:
        """Add a line for each of these ticks whose number is a multiple of the interval."""
        self._seen += len(records)
        if self.interval == 0:
            return
        skipped = -records.first_tick % self.interval
        for i in range(skipped, len(records), self.interval):
            weights, cost = (records.rows[i, records.columns[field]] for field in (WEIGHTS, COST))
            self._queue(records.asset, records.first_tick + i, weights, cost)
        self.flush()

    def observe(self, asset: str, tick: int, weights: Float[np.ndarray, "kernel"], cost: float) -> None:
        """Add the line of one tick, whatever its number."""
        self._seen += 1
        self._queue(asset, tick, np.asarray(weights, np.float64), np.array([cost], np.float64))
        self.flush()

    def flush(self) -> None:
        """Write the lines that wait, as far as the disk takes them."""
        if not self._waiting:
            return
        try:
            file = self._opened()
            while self._waiting:
                self._append(file, self._waiting[0])
                self._waiting.popleft()
            self._condition = None
        except OSError as error:
            self._condition = self._told(error)

    def close(self) -> None:
        """Write what waits and the line that says how many there are, and force all of it to the disk."""
        self.flush()
        try:
            if self._file is not None and not self._waiting:
                self._append(self._file, {"kind": "close", "lines": self._lines})
            self._let_go(sync=True)
        except OSError as error:
            self._condition = self._told(error)
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        self._lost += len(self._waiting)
        self._waiting.clear()

    def status(self) -> SinkStatus:
        """How it fares; ticks between two lines count as written."""
        waiting = len(self._waiting)
        return SinkStatus(self._seen - self._lost - waiting, self._lost, self._condition)

    def order(self) -> dict[str, object]:
        """What another process needs to make the same log."""
        return {
            "kind": "parity",
            "path": str(self.path),
            "interval": self.interval,
            "digits": list(self.digits),
            "config_hash": self.config_hash,
            "name": self.name,
        }

    def fields(self) -> tuple[str, ...]:
        """What is hashed."""
        return (WEIGHTS, COST)

    def _queue(self, asset: str, tick: int, weights: np.ndarray, cost: np.ndarray) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            return
        self._waiting.append(tick_body(asset, tick, weights, cost, self.digits))

    def _append(self, file: AppendFile, body: dict[str, Any]) -> None:
        line, head = chained(body, self.head)
        file.append(line)
        self.head = head
        self._lines += 1

    def _opened(self) -> AppendFile:
        """The file, continued where its last line ends; one that was moved away is followed by a new one."""
        if self._file is not None and self._file.in_place():
            return self._file
        self._let_go(sync=False)
        if self._lock is None:
            self._lock = only_writer(self.path.with_name(f".{self.path.name}.lock"))
        opening = {
            "kind": "open",
            "version": VERSION,
            "interval": self.interval,
            "digits": list(self.digits),
            "config_hash": self.config_hash,
            "after": self._continued(),
        }
        file = AppendFile(self.path)
        try:
            self._append(file, opening)
        except OSError:
            file.close(sync=False)
            raise
        self._file = file
        return file

    def _let_go(self, *, sync: bool) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close(sync=sync)

    def _continued(self) -> str:
        """Find the end of an existing chain; a log whose end is damaged is put aside, and its new name returned."""
        self.head, self._lines = START, 0
        if not self.path.exists():
            return ""
        AppendFile(self.path).close()  # cuts off a line that a kill left unfinished
        last, lines = b"", 0
        with self.path.open("rb") as stream:
            while line := stream.readline(MAX_LINE_BYTES + 1):
                last, lines = line, lines + line.endswith(b"\n")
        if not lines:
            return ""
        try:
            self.head, self._lines = parse_line(last)["hash"], lines
        except IntegrityError:
            aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
            os.replace(self.path, aside)
            return aside.name
        return ""

    def _told(self, error: OSError) -> str:
        return f"the parity log {self.path} cannot be written: {error.strerror or error}"
