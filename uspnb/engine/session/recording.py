"""Every row of a session: the newest in a ring in memory, older ones in an archive on disk, read back as one table."""

from __future__ import annotations

import contextlib
import threading
from typing import Protocol, runtime_checkable

import numpy as np

from ...array_types import Float, Int
from ...errors import DomainError, IntegrityError

SMALLEST_RING = 256
LARGEST_RING = 10_000_000
MOST_SPILLED_AT_ONCE = 4096
FIRST_ROWS = 2048
MOST_SEEN = 50_000


@runtime_checkable
class Archive(Protocol):
    """Where rows go that leave the ring; `ArchiveFolder` is the one on disk."""

    def write(self, start: int, rows: np.ndarray, stamps: np.ndarray) -> None:
        """Store rows from index `start` on; OSError where that fails."""
        ...

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and timestamps start..stop."""
        ...


class Recording:
    """Packed rows and timestamps of all ticks; one writer, any number of readers.

    Invariants: rows below `spilled` are in the archive, rows from `first` to `count` in the ring, first <= spilled.

    Args:
        limit: rows of the ring.
        width: length of a row.
        archive: takes the older rows.
    """

    def __init__(self, limit: int, width: int, archive: Archive) -> None:
        self.limit, self.width, self._archive = limit, width, archive
        self.count = self.first = self.spilled = self.revision = 0
        self._rows = np.empty((min(limit, FIRST_ROWS), width))
        self._stamps = np.empty(len(self._rows), np.int64)
        self._lock, self._disk = threading.Lock(), threading.Lock()

    @property
    def portion(self) -> int:
        """Rows that are written to disk at once."""
        return max(1, min(MOST_SPILLED_AT_ONCE, self.limit // 2))

    def make_room(self, coming: int) -> None:
        """Have `coming` rows fit without overwriting any that is not on disk yet.

        Raises:
            OSError: the disk does not take them; nothing is lost and the call may be repeated.
        """
        while self.count + coming > self.spilled + self.limit:
            self._spill()

    def spill_all(self) -> None:
        """Write the rows that are not on disk yet.

        Raises:
            OSError: the disk does not take them.
        """
        while self.spilled < self.count:
            self._spill()

    def _spill(self) -> None:
        stop = min(self.spilled + self.portion, self.count)
        with self._lock:
            rows, stamps = self._slice(self.spilled, stop)
        with self._disk:
            self._archive.write(self.spilled, rows, stamps)
        self.spilled = stop

    def append(self, rows: Float[np.ndarray, "time width"], stamps: Int[np.ndarray, "time"]) -> None:
        """Add rows for which `make_room` has been called."""
        coming = len(rows)
        with self._lock:
            self._grow(self.count - self.first + coming)
            capacity = len(self._rows)
            place = self.count % capacity
            ahead = min(coming, capacity - place)
            self._rows[place : place + ahead], self._rows[: coming - ahead] = rows[:ahead], rows[ahead:]
            self._stamps[place : place + ahead], self._stamps[: coming - ahead] = stamps[:ahead], stamps[ahead:]
            self.count += coming
            self.first = max(self.first, self.count - capacity)

    def _grow(self, needed: int) -> None:
        capacity = len(self._rows)
        if needed <= capacity or capacity >= self.limit:
            return
        longer = min(self.limit, max(2 * capacity, needed))
        rows, stamps = np.empty((longer, self.width)), np.empty(longer, np.int64)
        kept = np.arange(self.first, self.count)
        rows[kept % longer], stamps[kept % longer] = self._rows[kept % capacity], self._stamps[kept % capacity]
        self._rows, self._stamps = rows, stamps

    def cut(self, count: int) -> None:
        """Forget the rows from `count` on."""
        with self._disk, self._lock:
            self.count = count
            self.first, self.spilled = min(self.first, count), min(self.spilled, count)
            self.revision += 1

    def newest(self, start: int, stop: int) -> tuple[int, np.ndarray, np.ndarray]:
        """Copies of the rows start..stop that are still in the ring.

        Returns:
            The index of the first of them, rows and timestamps.
        """
        with self._lock:
            stop = max(0, min(stop, self.count))
            start = min(max(start, self.first), stop)
            return start, *self._slice(start, stop)

    def seen(self, start: int, stop: int) -> tuple[int, np.ndarray, np.ndarray]:
        """The rows start..stop as a view wants them: from the archive too, the newest `MOST_SEEN` of them.

        Returns:
            The index of the first of them, rows and timestamps; fewer where history was cut meanwhile.
        """
        stop = min(stop, self.count)
        start = max(start, stop - MOST_SEEN, 0)
        if start < self.first:
            with contextlib.suppress(DomainError, IntegrityError):
                return start, *self.read(start, stop)
        return self.newest(start, stop)

    def stamp(self, tick: int) -> int | None:
        """The timestamp of a tick that is still in the ring."""
        with self._lock:
            return int(self._stamps[tick % len(self._stamps)]) if self.first <= tick < self.count else None

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and timestamps start..stop, from disk and ring.

        Raises:
            DomainError: history was cut back while it was read.
        """
        revision = self.revision
        with self._lock:
            seam = min(max(self.first, start), stop)
            rows, stamps = self._slice(seam, min(stop, self.count))
        parts = []
        for begin in range(start, seam, MOST_SPILLED_AT_ONCE):
            with self._disk:  # in portions, so that the writer never waits for long
                parts.append(self._archive.read(begin, min(begin + MOST_SPILLED_AT_ONCE, seam)))
        if revision != self.revision:
            raise DomainError("the session went back in time while its history was read; read it again")
        if not parts:
            return rows, stamps
        return np.concatenate([*(p[0] for p in parts), rows]), np.concatenate([*(p[1] for p in parts), stamps])

    def _slice(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        capacity = len(self._rows)
        count = max(stop - start, 0)
        place = start % capacity
        if place + count <= capacity:
            return self._rows[place : place + count].copy(), self._stamps[place : place + count].copy()
        ahead = capacity - place
        rows = np.concatenate([self._rows[place:], self._rows[: count - ahead]])
        return rows, np.concatenate([self._stamps[place:], self._stamps[: count - ahead]])
