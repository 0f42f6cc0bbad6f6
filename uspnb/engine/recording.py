"""Every row of a track: the newest in a ring in memory, older ones in an archive on disk, read back as one table."""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..array_types import Float, Int
from ..errors import DomainError, IntegrityError

FIRST_ROWS = 256
SMALLEST_RING = 256
LARGEST_RING = 10_000_000
MOST_SPILLED_AT_ONCE = 4096
MOST_VIEWED = 50_000
ROWS_PER_CHUNK = 4096
NUMBERS_PER_CHUNK = 2**20


class Ring:
    """Rows of float64 with a timestamp each, numbered from the first that was ever appended; holds no lock.

    Args:
        limit: most rows that are kept.
        shape: of one row, or its length.
        begin: number of the first row.

    Attributes:
        first, count: rows `first` to `count` are here; `count` is the number of the next one.
    """

    def __init__(self, limit: int, shape: int | tuple[int, ...], begin: int = 0) -> None:
        self.limit, self.shape = limit, (shape,) if isinstance(shape, int) else tuple(shape)
        self.first = self.count = begin
        self._rows = np.empty((min(limit, FIRST_ROWS), *self.shape))
        self._stamps = np.empty(len(self._rows), np.int64)

    def append(self, rows: Float[np.ndarray, "time *shape"], stamps: Int[np.ndarray, "time"]) -> None:
        """Add rows; of more than the limit the first ones are only counted."""
        self._grow(self.count - self.first + len(rows))
        beyond = max(len(rows) - self.limit, 0)
        if beyond:
            rows, stamps, self.count = rows[beyond:], stamps[beyond:], self.count + beyond
        coming, capacity = len(rows), len(self._rows)
        place = self.count % capacity
        ahead = min(coming, capacity - place)
        self._rows[place : place + ahead], self._rows[: coming - ahead] = rows[:ahead], rows[ahead:]
        self._stamps[place : place + ahead], self._stamps[: coming - ahead] = stamps[:ahead], stamps[ahead:]
        self.count += coming
        self.first = max(self.first, self.count - capacity)

    def write(self, start: int, rows: Float[np.ndarray, "time *shape"]) -> None:
        """Put other rows in the place of those from number `start` on that are here."""
        begin = max(self.first, start)
        places = np.arange(begin, start + len(rows)) % len(self._rows)
        self._rows[places] = rows[begin - start :]

    def cut(self, count: int) -> None:
        """Forget the rows from number `count` on."""
        self.count, self.first = count, min(self.first, count)

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """The part of rows `start` to `stop` that is here."""
        stop = max(self.first, min(stop, self.count))
        return min(max(start, self.first), stop), stop

    def read(self, start: int, stop: int, pick: tuple[Any, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
        """Copies of rows that are here, oldest first, and their timestamps.

        Args:
            start, stop: as `span` gives them.
            pick: index of the axes of a row, all of it where left out.
        """
        capacity, count = len(self._rows), max(stop - start, 0)
        place = start % capacity
        ahead = min(count, capacity - place)
        parts = (slice(place, place + ahead), slice(count - ahead))
        if count == ahead:
            return self._rows[(parts[0], *pick)].copy(), self._stamps[parts[0]].copy()
        rows = np.concatenate([self._rows[(part, *pick)] for part in parts])
        return rows, np.concatenate([self._stamps[part] for part in parts])

    def last(self) -> Float[np.ndarray, "*shape"] | None:
        """The newest row itself, no copy; None where there is none."""
        return self._rows[(self.count - 1) % len(self._rows)] if self.count > self.first else None

    def stamp(self, number: int) -> int | None:
        """Timestamp of a row [ns since 1970 UTC], None where it is not here."""
        return int(self._stamps[number % len(self._stamps)]) if self.first <= number < self.count else None

    def _grow(self, needed: int) -> None:
        capacity = len(self._rows)
        if needed <= capacity or capacity >= self.limit:
            return
        longer = min(self.limit, max(2 * capacity, needed))
        rows, stamps = np.empty((longer, *self.shape)), np.empty(longer, np.int64)
        numbers = np.arange(self.first, self.count)
        rows[numbers % longer] = self._rows[numbers % capacity]
        stamps[numbers % longer] = self._stamps[numbers % capacity]
        self._rows, self._stamps = rows, stamps


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
    """Rows and timestamps by tick; one writer, any number of readers.

    Rows below `spilled` are in the archive, rows from `first` to `count` in the ring, first <= spilled.  Without an
    archive what leaves the ring is gone.

    Args:
        limit: rows of the ring.
        shape: of a row: (width,) or (asset, width), or the width alone.
        archive: takes the older rows, None for none.

    Attributes:
        begin: tick of the first row.
        count: tick of the next row.
        revision: how often rows were cut away.
    """

    def __init__(self, limit: int, shape: int | tuple[int, ...], archive: Archive | None = None) -> None:
        self.limit, self._archive = limit, archive
        self._ring = Ring(limit, shape)
        self.begin = self.spilled = self.revision = 0
        self._lock, self._disk = threading.Lock(), threading.Lock()

    def start(self, begin: int) -> None:
        """Have the first row be that of another tick; before the first row."""
        with self._lock:
            self._ring = Ring(self.limit, self._ring.shape, begin)
            self.begin = self.spilled = begin

    @property
    def count(self) -> int:
        """Tick of the next row."""
        return self._ring.count

    @property
    def first(self) -> int:
        """The oldest tick in memory."""
        return self._ring.first

    @property
    def oldest(self) -> int:
        """The oldest tick that can be read."""
        return self.first if self._archive is None else self.begin

    @property
    def portion(self) -> int:
        """Rows that are written to disk at once."""
        return max(1, min(MOST_SPILLED_AT_ONCE, self.limit // 2))

    def make_room(self, coming: int) -> None:
        """Have `coming` rows fit without overwriting any that is not on disk yet.

        Raises:
            OSError: the disk does not take them; nothing is lost and the call may be repeated.
        """
        while self._archive is not None and self.count + coming > self.spilled + self.limit:
            self._spill(self._archive)

    def spill_all(self) -> None:
        """Write the rows that are not on disk yet, where there is an archive.

        Raises:
            OSError: the disk does not take them.
        """
        while self._archive is not None and self.spilled < self.count:
            self._spill(self._archive)

    def _spill(self, archive: Archive) -> None:
        stop = min(self.spilled + self.portion, self.count)
        with self._lock:
            rows, stamps = self._ring.read(self.spilled, stop)
        with self._disk:
            archive.write(self.spilled, rows, stamps)
        self.spilled = stop

    def append(self, rows: Float[np.ndarray, "time *shape"], stamps: Int[np.ndarray, "time"]) -> None:
        """Add rows for which `make_room` has been called."""
        with self._lock:
            self._ring.append(rows, stamps)

    def cut(self, count: int) -> None:
        """Forget the rows from tick `count` on."""
        with self._disk, self._lock:
            self._ring.cut(count)
            self.spilled, self.begin = min(self.spilled, count), min(self.begin, count)
            self.revision += 1

    def replace(self, start: int, rows: Float[np.ndarray, "time *shape"], stamps: Int[np.ndarray, "time"]) -> None:
        """Put other rows in the place of those of the ticks from `start` on, on disk and in memory.

        Raises:
            OSError: the disk does not take them.
        """
        stored = min(max(self.spilled - start, 0), len(rows))
        if stored and self._archive is not None:
            with self._disk:
                self._archive.write(start, rows[:stored], stamps[:stored])
        with self._lock:
            self._ring.write(start, rows)
            self.revision += 1

    def refill(self, rows: Float[np.ndarray, "time *shape"], stamps: Int[np.ndarray, "time"]) -> None:
        """Put the newest rows, computed anew, in place of what is in memory; without an archive."""
        with self._lock:
            begin, ring = self.count - len(rows), Ring(self.limit, self._ring.shape, self.count - len(rows))
            ring.append(rows, stamps)
            self._ring, self.begin, self.spilled = ring, min(self.begin, begin), min(self.spilled, begin)
            self.revision += 1

    def newest(self, start: int, stop: int, pick: tuple[Any, ...] = ()) -> tuple[int, np.ndarray, np.ndarray]:
        """Copies of the rows of ticks start..stop that are still in the ring.

        Args:
            start, stop: ticks.
            pick: index of the axes of a row: an asset, some columns; all where left out.

        Returns:
            The tick of the first of them, rows and timestamps.
        """
        with self._lock:
            start, stop = self._ring.span(start, stop)
            return start, *self._ring.read(start, stop, pick)

    def read_view(self, start: int, stop: int, pick: tuple[Any, ...] = ()) -> tuple[int, np.ndarray, np.ndarray]:
        """The rows start..stop as a view wants them: from the archive too, the newest `MOST_VIEWED` of them.

        Returns:
            The tick of the first of them, rows and timestamps; fewer where history was cut meanwhile.
        """
        stop = min(stop, self.count)
        start = max(start, stop - MOST_VIEWED, self.oldest)
        if start < self.first:
            with contextlib.suppress(DomainError, IntegrityError):
                return start, *self.read(start, stop, pick)
        return self.newest(start, stop, pick)

    def last(self) -> Float[np.ndarray, "*shape"] | None:
        """A copy of the newest row, None before the first."""
        with self._lock:
            row = self._ring.last()
            return None if row is None else row.copy()

    def stamp(self, tick: int) -> int | None:
        """The timestamp of a tick that is still in the ring."""
        with self._lock:
            return self._ring.stamp(tick)

    def read(self, start: int, stop: int, pick: tuple[Any, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
        """Rows and timestamps of ticks start..stop, from disk and ring.

        Raises:
            DomainError: some are no longer there, or history was cut back while it was read.
        """
        revision = self.revision
        with self._lock:
            seam = min(max(self.first, start), stop)
            rows, stamps = self._ring.read(seam, min(stop, self.count), pick)
        if seam > start and (self._archive is None or start < self.begin):
            raise DomainError(
                f"ticks before {self.oldest:,} are not kept; there are those from there to {self.count:,}"
            )
        parts = []
        for begin in range(start, seam, MOST_SPILLED_AT_ONCE):
            with self._disk:  # in portions, so that the writer never waits for long
                old, when = self._from_archive(begin, min(begin + MOST_SPILLED_AT_ONCE, seam))
            parts.append((old[(slice(None), *pick)], when))
        if revision != self.revision:
            raise DomainError("the session went back in time while its history was read; read it again")
        if not parts:
            return rows, stamps
        return np.concatenate([*(p[0] for p in parts), rows]), np.concatenate([*(p[1] for p in parts), stamps])

    def _from_archive(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        assert self._archive is not None
        return self._archive.read(start, stop)


class ArchiveFolder:
    """Rows and timestamps in `FOLDER`, made when the first rows come; a temporary folder where none is named.

    Args:
        folder: where to keep them, absent or empty; None for a temporary one that `close` removes.
        names: of the columns of a row, kept as an attribute so that the archive explains itself.

    Raises:
        DomainError: the folder cannot be made, is a file, or holds something.
    """

    def __init__(self, folder: Any, names: tuple[str, ...]) -> None:
        self.is_named = folder is not None
        self._names = names
        self._folder = _checked(Path(folder)) if folder is not None else None
        self._group: Any = None
        self.closed = False

    @property
    def folder(self) -> Path | None:
        """Where the rows are, None before a temporary folder was needed."""
        return self._folder

    def write(self, start: int, rows: np.ndarray, stamps: np.ndarray) -> None:
        """Store rows from index `start` on; what was there from `start` on is replaced.

        Raises:
            OSError: the disk does not take them.
        """
        group = self._opened(rows.shape[1:])
        stop = start + len(rows)
        for name, values in (("rows", rows), ("timestamps_ns", stamps)):
            array = group[name]
            if array.shape[0] < stop:
                array.resize((stop, *array.shape[1:]))
            array[start:stop] = values

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and timestamps start..stop.

        Raises:
            DomainError: the temporary folder is gone because the session is closed.
            IntegrityError: something removed the rows from the disk.
        """
        if self._group is None or (self.closed and not self.is_named):
            raise DomainError(
                "the older ticks were in a temporary archive that was removed when the session was closed; read "
                "history() before close(), or name a folder with Session(archive=...)"
            )
        rows, stamps = self._group["rows"][start:stop], self._group["timestamps_ns"][start:stop]
        rows = np.asarray(rows)
        # Zarr reads a chunk that is gone as its fill value, and no row that was written is all NaN.
        if len(rows) < stop - start or np.isnan(rows.reshape(len(rows), -1)).all(axis=1).any():
            raise IntegrityError(f"ticks {start} to {stop} are no longer in the archive {self._folder}")
        return rows, np.asarray(stamps)

    def complete(self, recording: Recording, attributes: dict[str, Any]) -> None:
        """The end of a track: a named folder gets the rows that it lacks and what they are, a temporary one goes.

        Raises:
            OSError: the disk does not take the rows.
        """
        try:
            if self.is_named:
                recording.spill_all()
                if self._group is not None:
                    self._group.update_attributes(attributes)
        finally:
            self.close()

    def close(self) -> None:
        """Remove a temporary folder; a named one stays and can still be read."""
        self.closed = True
        if not self.is_named and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _opened(self, shape: tuple[int, ...]) -> Any:
        if self._group is not None:
            return self._group
        import zarr  # half a second that a short session never needs
        from zarr.codecs import BloscCodec

        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="uspnb-session-"))
        group = zarr.open_group(str(self._folder), mode="w", zarr_format=3)
        packed: Any = {"compressors": [BloscCodec(cname="lz4", clevel=1, shuffle="shuffle")]}
        chunks = (min(ROWS_PER_CHUNK, max(1, NUMBERS_PER_CHUNK // math.prod(shape))), *shape)
        group.create_array("rows", shape=(0, *shape), chunks=chunks, dtype="float64", fill_value=np.nan, **packed)
        group.create_array("timestamps_ns", shape=(0,), chunks=chunks[:1], dtype="int64", **packed)
        group.update_attributes({"columns": list(self._names), "about": "packed ticks of a uspnb session"})
        self._group = group
        return group


def _checked(folder: Path) -> Path:
    target = folder.absolute()
    try:
        target.mkdir(parents=True, exist_ok=True)
        filled = any(target.iterdir())
    except OSError as error:
        raise DomainError(
            f"the archive folder {target} cannot be made ({error.strerror or error}); name one that can be written, or "
            "leave archive out for a temporary one"
        ) from error
    if filled:
        raise DomainError(
            f"the archive folder {target} is not empty; a session overwrites nothing, so name another one or empty it"
        )
    return target
