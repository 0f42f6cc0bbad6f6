"""A file that grows by whole lines: what could not be written leaves nothing of itself behind."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from filelock import FileLock

_BLOCK = 65_536


class AppendFile:
    """A log file that is only ever added to.

    A line that a kill left unfinished is cut off when the file is opened; a piece that the disk did not take whole is
    cut off at once, or before the next piece where even that failed.  A file that was moved or removed meanwhile is
    made anew.

    Args:
        path: the file; its folder is made where it is missing.

    Raises:
        OSError: the folder or the file cannot be made or read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.repaired_bytes = 0
        self._descriptor = -1
        self._size = 0
        self._open()

    @property
    def size(self) -> int:
        """Length of the file [bytes]."""
        return self._size

    def append(self, data: bytes) -> None:
        """Add whole lines.

        Raises:
            OSError: the disk did not take them; the file is as it was before.
        """
        if not self.in_place():
            self.close(sync=False)
            self._open()
        if os.fstat(self._descriptor).st_size != self._size:
            os.ftruncate(self._descriptor, self._size)
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            # Where this fails too, the next `append` does it.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def sync(self) -> None:
        """Force what was written to the disk.

        Raises:
            OSError: the disk refused.
        """
        os.fsync(self._descriptor)

    def close(self, *, sync: bool = True) -> None:
        """Close the file, by default after forcing it to the disk; closing twice does no harm.

        Raises:
            OSError: the disk refused; the file is closed all the same.
        """
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(self.path, flags, 0o640)
        try:
            length = os.fstat(self._descriptor).st_size
            self._size = _whole_lines(self._descriptor, length)
            if self._size < length:
                os.ftruncate(self._descriptor, self._size)
                self.repaired_bytes += length - self._size
        except OSError:
            self.close(sync=False)
            raise

    def in_place(self) -> bool:
        """Whether the file is open, and still the one that its path names."""
        if self._descriptor < 0:
            return False
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        ours = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def only_writer(path: Path) -> FileLock:
    """The lock of a log, held until it is released: two writers would cut off each other's lines.

    Args:
        path: the lock file; its folder is made where it is missing.

    Raises:
        OSError: another writer holds it, or the folder cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except TimeoutError as error:
        raise OSError("another service writes there; give each a folder of its own") from error
    return lock


def _whole_lines(descriptor: int, length: int) -> int:
    """Where the last newline ends, 0 where there is none."""
    end = length
    while end > 0:
        start = max(0, end - _BLOCK)
        os.lseek(descriptor, start, os.SEEK_SET)
        found = os.read(descriptor, end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
