"""Snapshots on disk: one file, written whole or not at all, and a folder that keeps the newest of them."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import time
import warnings
from pathlib import Path
from typing import NamedTuple, SupportsIndex

from filelock import FileLock

from ...errors import DomainError, IntegrityError
from ...runtime.arguments import check_whole
from ...runtime.files import LOCK_TIMEOUT_S, lock_path, write_atomic
from .codec import MAGIC_BYTES, checksum_of, decode, encode, most_file_bytes
from .payload import Payload, kind_of, ticks_of

SPARE_BYTES = 64 << 10
_NAME = re.compile(r"snapshot_(\d{12,19})_(\d{1,19})\.msgpack")
_LEFTOVER = re.compile(r"\.snapshot_\d+_\d+\.msgpack\.[0-9a-f]+\.tmp")
_LOCK = ".snapshots.lock"


class Written(NamedTuple):
    """A snapshot that lies on the disk.

    Attributes:
        path: where.
        bytes: size of the file.
        checksum: its last 64 hexadecimal digits.
        seconds: what encoding and writing took [s].
    """

    path: Path
    bytes: int
    checksum: str
    seconds: float


class Found(NamedTuple):
    """The newest valid snapshot of a folder.

    Attributes:
        path, payload: of it.
        skipped: the newer files that could not be used, newest first, each with the reason.
    """

    path: Path
    payload: Payload
    skipped: list[tuple[Path, str]]


def write_snapshot(path: str | os.PathLike[str], payload: Payload, compression: str = "none") -> Written:
    """Write a snapshot: whole, on the disk, in the place of what was there, or nothing.

    Args:
        path: the file; its folder must exist.
        payload: of `snapshot_of`.
        compression: "none" or "zstd".

    Raises:
        DomainError: the payload has no place in the format.
        OSError: too little space (found out before anything is written), no such folder, not writable; what was there
            is then untouched.
    """
    began = time.perf_counter()
    data = encode(payload, compression, kind=kind_of(payload))
    target = Path(path)
    check_space(target.parent, len(data))
    written = write_atomic(target, data)
    return Written(written, len(data), checksum_of(data), time.perf_counter() - began)


def read_snapshot(path: str | os.PathLike[str]) -> Payload:
    """The payload of a snapshot file, of one series or of a fleet, verified.

    Raises:
        IntegrityError: damaged, cut, no snapshot, or no regular file of a bounded size.
        OSError: the file cannot be read.
    """
    return decode(read_bounded(path), kind=("snapshot", "fleet"))


def read_bounded(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a regular file that is small enough to be one of ours.

    Raises:
        IntegrityError: it is not.
        OSError: it cannot be read.
    """
    # A named pipe in the place of a file would otherwise be waited for.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as stream:
        about = os.fstat(stream.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise IntegrityError(f"{path} is no regular file")
        start = stream.read(MAGIC_BYTES)
        most = most_file_bytes(start)
        if about.st_size > most:
            raise IntegrityError(f"{path} has {about.st_size} bytes; at most {most} are read")
        stream.seek(0)
        return stream.read(most + 1)


def check_space(folder: Path, needed: int) -> None:
    """Refuse to begin a write that the disk has no room for.

    Raises:
        OSError: with errno ENOSPC, as the disk itself would say it half-way through.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise OSError(errno.ENOSPC, f"{needed + SPARE_BYTES} bytes are needed, {free} are free", str(folder))


def sync_folder(folder: Path) -> None:
    """Force a folder's names to the disk, where the system can open a folder."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class SnapshotFolder:
    """A folder of snapshots, of which the newest are kept.

    Writers of one folder take turns.  Files are ordered by the instant in their names.

    Args:
        folder: made when the first snapshot is saved, and again should it vanish.
        retention: how many are kept, at least one; the one just written always is.
        compression: "none" or "zstd".

    Raises:
        DomainError: a retention below 1.
    """

    def __init__(self, folder: str | os.PathLike[str], retention: SupportsIndex = 5, compression: str = "none") -> None:
        self.folder, self.compression = Path(folder), compression
        self.retention = check_whole("retention", retention, 1, unit="snapshots")

    def save(self, payload: Payload) -> Written:
        """Write one more snapshot, then remove those beyond the retention and what a killed writer left.

        Raises:
            DomainError: the payload has no place in the format.
            OSError: the disk is full, the folder cannot be made or written; the snapshots that are there stay.
        """
        began = time.perf_counter()
        ticks, instant = ticks_of(payload), payload.get("timestamp")
        if not isinstance(instant, int) or instant < 0:
            raise DomainError(f"the payload's timestamp is {instant!r}; it must be nanoseconds since 1970")
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            sync_folder(self.folder.parent)
        with FileLock(self.folder / _LOCK, timeout=LOCK_TIMEOUT_S):
            self._remove_leftovers()
            path = self.folder / f"snapshot_{ticks:012d}_{self._instant(ticks, instant)}.msgpack"
            written = write_snapshot(path, payload, self.compression)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(lock_path(path))  # the name is never written again, and the folder has its own lock
            self._remove_old(path)
        return written._replace(seconds=time.perf_counter() - began)

    def paths(self) -> list[Path]:
        """The snapshots of the folder, oldest first, valid or not; none where there is no folder."""
        try:
            names = os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        found = ((match, name) for name in names if (match := _NAME.fullmatch(name)))
        ordered = sorted((int(match[2]), int(match[1]), name) for match, name in found)
        return [self.folder / name for _, _, name in ordered]

    def newest_valid(self) -> Found | None:
        """The newest snapshot that is whole, None where there is none.

        Warns (UserWarning) where a newer file had to be passed over.

        Raises:
            OSError: the folder itself cannot be listed.
        """
        skipped: list[tuple[Path, str]] = []
        found = None
        for path in reversed(self.paths()):
            try:
                found = Found(path, read_snapshot(path), skipped)
                break
            except (IntegrityError, OSError) as problem:
                skipped.append((path, str(problem)))
        if skipped:
            instead = f"the newest valid one is {found.path.name}" if found else "none of the folder is valid"
            first = f"{skipped[0][0].name}: {skipped[0][1]}"
            warnings.warn(f"{len(skipped)} snapshots cannot be used ({first}); {instead}", stacklevel=2)
        return found

    def _instant(self, ticks: int, instant: int) -> int:
        """The instant for the next name [ns]: the snapshot's own, unless the clock has been set back since the last."""
        present = self.paths()
        match = _NAME.fullmatch(present[-1].name) if present else None
        if match and int(match[2]) >= instant and int(match[1]) <= ticks:
            return int(match[2]) + 1
        return instant

    def _remove_old(self, just_written: Path) -> None:
        for path in self.paths()[: -self.retention]:
            if path != just_written:
                with contextlib.suppress(OSError):  # the snapshot is safe; the next save tries again
                    os.unlink(path)

    def _remove_leftovers(self) -> None:
        # Whoever holds the folder's lock is the only writer, so a temporary file has none.
        for name in os.listdir(self.folder):
            if _LEFTOVER.fullmatch(name) or (name.startswith(".snapshot_") and name.endswith(".msgpack.lock")):
                with contextlib.suppress(OSError):
                    os.unlink(self.folder / name)
