"""`ParityLog`: hashes of the weights and of the transport cost, so that two runs can be compared without their data.

A line is a chained line of `uspnb.runtime.files`.  The kinds are "open" (a writer began; the first one is the header),
"tick" and "close" (a writer ended, with the number of lines before it).

Source: seed 004, section 3.1.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from filelock import FileLock
from jaxtyping import Float

from ..errors import IntegrityError
from ..runtime.arguments import check_whole
from ..runtime.files import MAX_LINE_BYTES, START, AppendFile, chained, only_writer, parse_chained
from .records import Records
from .sinks import SinkStatus

VERSION = 1
WEIGHTS, COST = "weight", "transport_cost"
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
        digits: Sequence[int] = (12, 9, 6),
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
        self._ticks = self._lost = 0
        self._condition: str | None = None

    def write(self, records: Records) -> None:
        """Add a line for each of these ticks whose number is a multiple of the interval."""
        self._ticks += len(records)
        if self.interval == 0:
            return
        skipped = -records.first_tick % self.interval
        for i in range(skipped, len(records), self.interval):
            weights, cost = (records.rows[i, records.columns[field]] for field in (WEIGHTS, COST))
            self._queue(records.asset, records.first_tick + i, weights, cost)
        self.flush()

    def observe(self, asset: str, tick: int, weights: Float[np.ndarray, "kernel"], cost: float) -> None:
        """Add the line of one tick, whatever its number."""
        self._ticks += 1
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
            self._condition = self._problem_text(error)

    def close(self) -> None:
        """Write what waits and the line that says how many there are, and force all of it to the disk."""
        self.flush()
        try:
            if self._file is not None and not self._waiting:
                self._append(self._file, {"kind": "close", "lines": self._lines})
            self._let_go(sync=True)
        except OSError as error:
            self._condition = self._problem_text(error)
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        self._lost += len(self._waiting)
        self._waiting.clear()

    def status(self) -> SinkStatus:
        """Ticks written and lost; ticks between two lines count as written."""
        waiting = len(self._waiting)
        return SinkStatus(self._ticks - self._lost - waiting, self._lost, self._condition)

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

    def _problem_text(self, error: OSError) -> str:
        return f"the parity log {self.path} cannot be written: {error.strerror or error}"


def exact_hash(values: Float[np.ndarray, "entry"]) -> str:
    """SHA-256 of the values as little-endian float64; every NaN has the same bits, -0.0 and 0.0 differ."""
    canonical = np.ascontiguousarray(values, "<f8").copy()
    canonical[np.isnan(canonical)] = np.nan
    return hashlib.sha256(canonical.tobytes()).hexdigest()


def rounded_hash(values: Float[np.ndarray, "entry"], digits: int) -> str:
    """The first half of `exact_hash` after rounding to significant digits, -0.0 folded to 0.0.

    Two values on either side of a rounding boundary differ here however near they are, so that a single difference at
    few digits means less than a run of them.
    """
    rounded = [float(f"{value:.{digits - 1}e}") + 0.0 if math.isfinite(value) else value for value in values.tolist()]
    return exact_hash(np.array(rounded, np.float64))[:32]


def tick_body(
    asset: str,
    tick: int,
    weights: Float[np.ndarray, "kernel"],
    cost: Float[np.ndarray, "one"],
    digits: tuple[int, ...],
) -> dict[str, Any]:
    """What a line says of a tick."""
    return {
        "kind": "tick",
        "asset": asset,
        "tick": tick,
        "exact": {"weights": exact_hash(weights), "cost": exact_hash(cost)},
        "rounded": {str(places): [rounded_hash(weights, places), rounded_hash(cost, places)] for places in digits},
    }


def parse_line(line: bytes | str) -> dict[str, Any]:
    """A line of a parity log that is intact in itself.

    Args:
        line: with or without the newline.

    Returns:
        Its members; the chain to the line before is for the caller to check.

    Raises:
        IntegrityError: no line of a parity log, or edited: its hash is not that of its content.
    """
    parsed = parse_chained(line)
    _check_shape(parsed)
    return parsed


def _check_shape(parsed: dict[str, Any]) -> None:
    shapes = {
        "open": {"version": int, "interval": int, "digits": list, "config_hash": str, "after": str},
        "tick": {"asset": str, "tick": int, "exact": dict, "rounded": dict},
        "close": {"lines": int},
    }
    kind = parsed.get("kind")
    if not isinstance(kind, str) or kind not in shapes:
        raise IntegrityError("the line is none of a parity log: it has no known kind")
    shape = {"kind": str, "previous": str, "hash": str, **shapes[kind]}
    for name, wanted in shape.items():
        if type(parsed.get(name)) is not wanted:
            raise IntegrityError(f"the line is none of a parity log: it has no {name!r} as {wanted.__name__}")
    if len(parsed) != len(shape):
        raise IntegrityError("the line is none of a parity log: it has members that no line has")
    if kind == "open" and not all(type(places) is int for places in parsed["digits"]):
        raise IntegrityError("the line is none of a parity log: its digits are no numbers")
    if kind == "tick":
        _check_hashes(parsed["exact"], parsed["rounded"])


def _check_hashes(exact: dict[str, Any], rounded: dict[str, Any]) -> None:
    if exact.keys() != {"weights", "cost"}:
        raise IntegrityError("the line is none of a parity log: its exact hashes are not two")
    hashes = list(exact.values())
    for places, pair in rounded.items():
        if not re.fullmatch("[0-9]{1,2}", places) or not isinstance(pair, list) or len(pair) != 2:
            raise IntegrityError("the line is none of a parity log: its rounded hashes are not pairs")
        hashes += pair
    if not all(isinstance(entry, str) for entry in hashes):
        raise IntegrityError("the line is none of a parity log: a hash of it is no text")
