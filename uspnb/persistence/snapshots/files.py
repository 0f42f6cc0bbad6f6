"""Snapshots on disk: a file, written whole or not at all; a folder that keeps the newest; both without waiting."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
import stat
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple, SupportsIndex

from filelock import FileLock

from ...config.schema import PredictorConfig
from ...errors import DomainError, IntegrityError
from ...runtime.arguments import check_whole
from ...runtime.digest import sha256_bytes
from ...runtime.files import LOCK_TIMEOUT_S, Writer, replace_content, sync_folder, write_atomic
from .codec import MAGIC_BYTES, checksum_of, decode, encode, most_file_bytes
from .payload import Payload, kind_of, ticks_of
from .ranges import check_numbers

SPARE_BYTES = 64 << 10
_NAME = re.compile(r"snapshot_(\d{12,19})_(\d{1,19})\.msgpack")
_LEFTOVER = re.compile(r"\.snapshot_\d+_\d+\.msgpack\.[0-9a-f]+\.tmp")
_LOCK = ".snapshots.lock"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
# Names of devices on Windows, with any suffix.
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
# Later than any snapshot of ours; a stray file of this name must not push the next one out of the pattern.
LATEST_INSTANT = 2**62
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
_log = logging.getLogger("uspnb.persistence")

Where = str | os.PathLike[str]


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


def write_snapshot(path: Where, payload: Payload, compression: str = "none") -> Written:
    """Write a snapshot: whole, on the disk, in the place of what was there, or nothing.

    A new file may be read by its owner alone; one that is replaced keeps its permissions.

    Args:
        path: the file; its folder must exist.
        payload: of `snapshot_of`.
        compression: "none" or "zstd".

    Raises:
        DomainError: the payload has no place in the format.
        IntegrityError: the state holds numbers with which no predictor could go on (see `ranges`).
        OSError: too little space (found out before anything is written), no such folder, not writable; what was there
            is then untouched.
    """
    return _write(path, payload, compression, write_atomic)


def _write(path: Where, payload: Payload, compression: str, replace: Callable[..., object]) -> Written:
    began = time.perf_counter()
    check_numbers(payload)
    data = encode(payload, compression, kind=kind_of(payload))
    target = Path(path).resolve()
    check_space(target.parent, len(data))
    replace(target, data, mode=PRIVATE_FILE)
    return Written(target, len(data), checksum_of(data), time.perf_counter() - began)


def read_snapshot(path: Where) -> Payload:
    """The payload of a snapshot file, of one series or of a fleet, verified.

    Raises:
        IntegrityError: damaged, cut, no snapshot, no regular file of a bounded size, or a state of numbers that no
            predictor has, whatever its checksum says.
        OSError: the file cannot be read.
    """
    payload = decode(read_bounded(path), kind=("snapshot", "fleet"))
    check_numbers(payload)
    return payload


def read_bounded(path: Where) -> bytes:
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


class SnapshotFolder:
    """A folder of snapshots, of which the newest are kept.

    Writers of one folder take turns.  Files are ordered by the instant in their names.  A folder that is made here, and
    every file, is its owner's alone.

    Args:
        folder: made when the first snapshot is saved, and again should it vanish.
        retention: how many are kept, at least one; the one just written always is.
        compression: "none" or "zstd".

    Raises:
        DomainError: a retention below 1.
    """

    def __init__(self, folder: Where, retention: SupportsIndex = 5, compression: str = "none") -> None:
        self.folder, self.compression = Path(folder), compression
        self.retention = check_whole("retention", retention, 1, unit="snapshots")

    def save(self, payload: Payload) -> Written:
        """Write one more snapshot, then remove those beyond the retention and what a killed writer left.

        Raises:
            DomainError: the payload has no place in the format.
            IntegrityError: the state holds numbers with which no predictor could go on.
            OSError: the disk is full, the folder cannot be made or written; the snapshots that are there stay.
        """
        began = time.perf_counter()
        ticks, instant = ticks_of(payload), payload.get("timestamp")
        if not isinstance(instant, int) or instant < 0:
            raise DomainError(f"the payload's timestamp is {instant!r}; it must be nanoseconds since 1970")
        if not self.folder.is_dir():
            self.folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
            sync_folder(self.folder.parent)
        with FileLock(self.folder / _LOCK, timeout=LOCK_TIMEOUT_S):
            self._remove_leftovers()
            path = self.folder / f"snapshot_{ticks:012d}_{self._instant(ticks, instant)}.msgpack"
            # The folder's own lock is held, and the name is never written again.
            written = _write(path, payload, self.compression, replace_content)
            self._remove_old(path)
        return written._replace(seconds=time.perf_counter() - began)

    def paths(self) -> list[Path]:
        """The snapshots of the folder, oldest first, valid or not; none where there is no folder."""
        try:
            names = os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        matches = ((match, name) for name in names if (match := _NAME.fullmatch(name)))
        ordered = sorted((int(m[2]), int(m[1]), name) for m, name in matches if int(m[2]) < LATEST_INSTANT)
        return [self.folder / name for _, _, name in ordered]

    def newest_valid(self) -> Found | None:
        """The newest snapshot that is whole, None where there is none.

        Warns (UserWarning) where a newer file had to be passed over.

        Raises:
            OSError: the folder itself cannot be listed.
        """
        skipped: list[tuple[Path, str]] = []
        newest = None
        for path in reversed(self.paths()):
            try:
                newest = Found(path, read_snapshot(path), skipped)
                break
            except (IntegrityError, OSError) as problem:
                skipped.append((path, str(problem)))
        if skipped:
            instead = f"the newest valid one is {newest.path.name}" if newest else "none of the folder is valid"
            first = f"{skipped[0][0].name}: {skipped[0][1]}"
            warnings.warn(f"{len(skipped)} snapshots cannot be used ({first}); {instead}", stacklevel=2)
        return newest

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


def safe_name(asset: str) -> str:
    """A part of a file name for a series, that no other series has on any disk.

    Its own name where that is plain and of small letters; else with a digest, which keeps apart what a disk does not
    that ignores case.
    """
    plain = _plain_name(asset)
    if plain and plain == asset == asset.lower() and not _RESERVED.fullmatch(asset):
        return plain
    plain = f"_{plain}" if _RESERVED.fullmatch(plain) else plain
    return f"{plain or 'series'}-{sha256_bytes(asset.encode('utf-8', 'surrogatepass'))[:12]}"


def _plain_name(asset: str) -> str:
    return _UNSAFE.sub("_", asset).strip(".")[:80]


def series_folder(config: PredictorConfig, name: str) -> Path:
    """The folder of one series below `snapshot_path`, where a service keeps its snapshots too."""
    root, asset = Path(config.snapshot_path), name or "series"
    folder = root / safe_name(asset)
    # Before there were digests for capitals and reserved names, a plain name was the folder's.
    if _plain_name(asset) == asset != folder.name and not folder.exists() and asset in _names_in(root):
        return root / asset
    return folder


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


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

    def submit(self, make: Callable[[], Payload], *, path: Where | None = None) -> Future[Written]:
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
        place = self.folder if path is None else Path(path)
        if place is None:
            raise DomainError("this writer has no folder; submit each snapshot with a path")
        return self._writer.submit(lambda: self._write(make, place))

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

    def _write(self, make: Callable[[], Payload], place: Path | SnapshotFolder) -> Written:
        began = time.perf_counter()
        try:
            payload = make()
            ticks = ticks_of(payload)
            if isinstance(place, Path):
                compression = "none" if self.folder is None else self.folder.compression
                written = write_snapshot(place, payload, compression)
            else:
                written = place.save(payload)
        except Exception as problem:
            condition = f"snapshots cannot be written: {problem}"
            with self._lock:
                begins = self._status.condition is None
                self._status = self._status._replace(failed=self._status.failed + 1, condition=condition)
            if begins:
                _log.warning("%s: %s; the one before stays, and it is tried again", _shown(place), condition)
            raise
        with self._lock:
            ends = self._status.condition is not None
            self._status = self._status._replace(
                saved=self._status.saved + 1,
                last_path=written.path,
                last_ticks=ticks,
                last_saved_ns=time.time_ns(),
                last_seconds=time.perf_counter() - began,
                condition=None,
            )
        if ends:
            _log.warning("%s: snapshots are written again", _shown(place))
        return written


class SnapshotKeeper:
    """Saves the states of one series under the `[io]` settings of its configuration."""

    def __init__(self) -> None:
        self._writer: SnapshotWriter | None = None
        self._settings: tuple[str | int, ...] = ()
        self._lock = threading.Lock()

    def save(self, path: Where | None, config: PredictorConfig, make: Callable[[], Payload]) -> Written:
        """Write a snapshot and wait for the disk.

        Args:
            path: a file; left out, the next one of the folder `snapshot_path`.
            config: the settings in force.
            make: gives the payload.

        Raises:
            DomainError: the path is a folder.
            OSError: the disk does not take it; what was there before is untouched.
        """
        _refuse_folder(path)
        if path is None:
            return _folder(config).save(make())
        return write_snapshot(path, make(), config.snapshot_compression)

    def submit(self, path: Where | None, config: PredictorConfig, make: Callable[[], Payload]) -> Future[Written]:
        """`save` in a thread of its own; returns at once.

        Where more than `snapshot_queue_maxlen` wait for the disk the oldest is dropped, its future cancelled.

        Raises:
            DomainError: the path is a folder.
        """
        _refuse_folder(path)
        most = config.snapshot_queue_maxlen
        settings = (config.snapshot_path, config.snapshot_retention, config.snapshot_compression, most)
        with self._lock:
            if self._writer is None or self._settings != settings:
                if self._writer is not None:
                    self._writer.close(0)
                self._writer, self._settings = SnapshotWriter(_folder(config), queue_maxlen=most), settings
            return self._writer.submit(make, path=path)

    def status(self) -> SnapshotStatus | None:
        """Of those without waiting, None before the first."""
        return None if self._writer is None else self._writer.status()

    def wait(self, timeout: float | None = None) -> bool:
        """As `SnapshotWriter.wait`."""
        return self._writer is None or self._writer.wait(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """As `SnapshotWriter.close`."""
        return self._writer is None or self._writer.close(timeout)


def _shown(place: Path | SnapshotFolder) -> Path:
    return place if isinstance(place, Path) else place.folder


def _refuse_folder(path: Where | None) -> None:
    if path is not None and Path(path).is_dir():
        raise DomainError(
            f"{path} is a folder; name a file in it, or set snapshot_path to it and leave the path out, which keeps "
            "the newest ones"
        )


def _folder(config: PredictorConfig) -> SnapshotFolder:
    return SnapshotFolder(config.snapshot_path, config.snapshot_retention, config.snapshot_compression)
