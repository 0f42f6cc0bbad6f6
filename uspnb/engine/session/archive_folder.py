"""The archive of a session on disk: packed rows and timestamps in a Zarr version 3 group."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DomainError, IntegrityError

ROWS_PER_CHUNK = 4096


class ArchiveFolder:
    """Rows and timestamps in `FOLDER`, made when the first rows come; a temporary folder where none is named.

    Args:
        folder: where to keep them, absent or empty; None for a temporary one that `close` removes.
        names: of the columns of a row, kept as an attribute so that the archive explains itself.

    Raises:
        DomainError: the folder cannot be made, is a file, or holds something.
    """

    def __init__(self, folder: Any, names: tuple[str, ...]) -> None:
        self.kept = folder is not None
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
        group = self._opened(rows.shape[1])
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
        if self._group is None or (self.closed and not self.kept):
            raise DomainError(
                "the older ticks were in a temporary archive that was removed when the session was closed; read "
                "history() before close(), or name a folder with Session(archive=...)"
            )
        rows, stamps = self._group["rows"][start:stop], self._group["timestamps_ns"][start:stop]
        rows = np.asarray(rows)
        # Zarr reads a chunk that is gone as its fill value, and no row that was written is all NaN.
        if len(rows) < stop - start or np.isnan(rows).all(axis=1).any():
            raise IntegrityError(f"ticks {start} to {stop} are no longer in the archive {self._folder}")
        return rows, np.asarray(stamps)

    def describe(self, attributes: dict[str, Any]) -> None:
        """Write what the rows are beside them, if there are any."""
        if self._group is not None:
            self._group.update_attributes(attributes)

    def close(self) -> None:
        """Remove a temporary folder; a named one stays and can still be read."""
        self.closed = True
        if not self.kept and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _opened(self, width: int) -> Any:
        if self._group is not None:
            return self._group
        import zarr  # half a second that a short session never needs
        from zarr.codecs import BloscCodec

        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="uspnb-session-"))
        group = zarr.open_group(str(self._folder), mode="w", zarr_format=3)
        packed: Any = {"compressors": [BloscCodec(cname="lz4", clevel=1, shuffle="shuffle")]}
        chunks = (ROWS_PER_CHUNK, width)
        group.create_array("rows", shape=(0, width), chunks=chunks, dtype="float64", fill_value=np.nan, **packed)
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
