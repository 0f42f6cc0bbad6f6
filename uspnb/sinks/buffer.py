"""`TelemetryBuffer`: the bounded queue between the thread that computes and everything that watches it.

What is taken out of it is fetched to the host and joined to stretches by `merged`.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from ..errors import DomainError
from ..runtime.arguments import check_whole
from .records import Records


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one asset, as they were handed over.

    Attributes:
        asset: name of the series.
        first_tick: number of the first record.
        rows: (count + skipped, width), NumPy or JAX; the first `skipped` rows were dropped or taken before.
        stamps_ns: timestamps of the same rows [ns since 1970 UTC].
        skipped: rows at the start that no longer count.
    """

    asset: str
    first_tick: int
    rows: Any
    stamps_ns: Any
    skipped: int = 0

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self.stamps_ns) - self.skipped

    def fetched(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows (count, width) and timestamps (count,) on the host; waits for a device that is still computing them."""
        rows, stamps = np.asarray(self.rows, np.float64), np.asarray(self.stamps_ns, np.int64)
        return rows[self.skipped : len(stamps)], stamps[self.skipped :]


class BufferCounts(NamedTuple):
    """What went through a buffer; `emitted == taken + dropped + depth` at every moment.

    Attributes:
        emitted: records handed over.
        taken: records that the consumer took.
        dropped: records that made room for newer ones or came after the end.
        depth: records that wait.
    """

    emitted: int
    taken: int
    dropped: int
    depth: int


class TelemetryBuffer:
    """A bounded queue of records, for any number of threads; what is full drops its oldest records and counts them.

    `emit` never waits for a consumer, a device or a disk: it keeps a reference and returns.  Arrays of NumPy that are a
    view are copied, so that memory is bounded by `maxlen` rows and not by what they were cut from.

    Args:
        maxlen: records that may wait.

    Raises:
        DomainError: `maxlen` below 1.

    Source: seed 004, section 2.1.
    """

    def __init__(self, maxlen: SupportsIndex) -> None:
        self.maxlen = check_whole("maxlen", maxlen, 1, unit="records")
        self._waiting: deque[Batch] = deque()
        self._filled = threading.Condition(threading.Lock())
        self._emitted = self._taken = self._dropped = self._depth = 0
        self._closed = False

    def emit(self, asset: str, first_tick: int, rows: Any, stamps_ns: Any) -> None:
        """Hand over consecutive records; the arrays must not be written to afterwards.

        Args:
            asset: name of the series.
            first_tick: number of the first of them; counts start at 1, so that record n belongs to the state whose
                `ticks` is n.
            rows: (count, width) packed results, NumPy or JAX (then fetched later, by the consumer).  They may be longer
                than the timestamps: what follows is padding, which a JAX array keeps in memory.
            stamps_ns: (count,) timestamps [ns since 1970 UTC].

        Raises:
            DomainError: fewer rows than timestamps.
        """
        count = len(stamps_ns)
        if len(rows) < count:
            raise DomainError(f"{len(rows)} rows came with {count} timestamps; each record needs both")
        if count == 0:
            return
        if isinstance(rows, np.ndarray) and not (rows.flags.owndata and len(rows) == count):
            rows = rows[:count].copy()
        if isinstance(stamps_ns, np.ndarray) and not stamps_ns.flags.owndata:
            stamps_ns = stamps_ns.copy()
        batch = Batch(asset, first_tick, rows, stamps_ns)
        with self._filled:
            self._emitted += count
            if self._closed:
                self._dropped += count
                return
            self._waiting.append(batch)
            self._depth += count
            if self._depth > self.maxlen:
                self._drop(self._depth - self.maxlen)
            self._filled.notify()

    def take(self, most: int, timeout_s: float) -> list[Batch]:
        """Up to `most` of the oldest records, as soon as there are any.

        Args:
            most: records at the most, at least 1; a batch is cut where it would be more.
            timeout_s: how long to wait for the first [s]; a closed buffer does not wait.

        Returns:
            Batches in the order in which they were emitted; empty after the time, or when closed and empty.
        """
        with self._filled:
            deadline = time.monotonic() + timeout_s
            while not self._waiting and not self._closed:
                left = deadline - time.monotonic()
                if left <= 0 or not self._filled.wait(left):
                    break
            got = self._cut(most)
            self._taken += sum(batch.count for batch in got)
            return got

    def counts(self) -> BufferCounts:
        """What went through so far, of one moment."""
        with self._filled:
            return BufferCounts(self._emitted, self._taken, self._dropped, self._depth)

    def close(self) -> None:
        """Let nothing more in (it would count as dropped); what waits may still be taken."""
        with self._filled:
            self._closed = True
            self._filled.notify_all()

    @property
    def closed(self) -> bool:
        """Whether nothing more comes in."""
        return self._closed

    @property
    def emitted(self) -> int:
        """Records handed over."""
        return self.counts().emitted

    @property
    def taken(self) -> int:
        """Records that the consumer took."""
        return self.counts().taken

    @property
    def dropped(self) -> int:
        """Records that were dropped."""
        return self.counts().dropped

    @property
    def depth(self) -> int:
        """Records that wait."""
        return self.counts().depth

    # with the lock held

    def _drop(self, count: int) -> None:
        self._dropped += sum(batch.count for batch in self._cut(count))

    def _cut(self, count: int) -> list[Batch]:
        """Remove the `count` oldest records, or all."""
        got: list[Batch] = []
        while count > 0 and self._waiting:
            batch = self._waiting.popleft()
            if batch.count > count:
                self._waiting.appendleft(_from(batch, count))
                stop = batch.skipped + count
                batch = dataclasses.replace(batch, stamps_ns=batch.stamps_ns[:stop])
            got.append(batch)
            count -= batch.count
            self._depth -= batch.count
        return got


def _from(batch: Batch, count: int) -> Batch:
    # Only counters move: cutting a device array would dispatch a program from the thread that computes.
    return dataclasses.replace(batch, first_tick=batch.first_tick + count, skipped=batch.skipped + count)


def merged(batches: list[Batch], columns: Mapping[str, slice]) -> tuple[list[Records], list[tuple[Batch, str]]]:
    """Records on the host, joined where ticks of one series follow each other.

    Args:
        batches: in the order in which they were emitted; that order is kept within each series.
        columns: where each field stands in a row.

    Returns:
        The stretches, and the batches that could not be fetched, each with the reason.
    """
    width = max((place.stop for place in columns.values()), default=0)
    parts: dict[str, list[Records]] = {}
    refused = []
    for batch in batches:
        try:
            rows, stamps = batch.fetched()
            if rows.ndim != 2 or rows.shape[1] < width:
                raise ValueError(f"rows of shape {rows.shape} where {width} columns are named")
        except (RuntimeError, ValueError, TypeError) as error:  # a device that failed, or arrays of another layout
            refused.append((batch, f"records of {batch.asset!r} could not be read: {error}"))
            continue
        parts.setdefault(batch.asset, []).append(Records(batch.asset, batch.first_tick, stamps, rows, columns))
    return [joined for pieces in parts.values() for joined in _joined(pieces)], refused


def _joined(parts: list[Records]) -> list[Records]:
    runs: list[list[Records]] = []
    for part in parts:
        last = runs[-1][-1] if runs else None
        follows = last is not None and last.first_tick + len(last) == part.first_tick
        if last is not None and follows and last.rows.shape[1] == part.rows.shape[1]:
            runs[-1].append(part)
        else:
            runs.append([part])
    return [run[0] if len(run) == 1 else _one(run) for run in runs]


def _one(run: list[Records]) -> Records:
    stamps, rows = np.concatenate([part.stamps_ns for part in run]), np.concatenate([part.rows for part in run])
    return Records(run[0].asset, run[0].first_tick, stamps, rows, run[0].columns)
