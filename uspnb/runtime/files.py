"""Files that a crash, a full disk or a second writer leaves whole, and threads that write while their caller goes on.

`write_atomic` replaces a file, all of it or nothing.  `AppendFile` is a file that grows by whole lines: what could not
be written leaves nothing of itself behind.  Chained lines are JSON objects that each hold the SHA-256 of themselves and
of the line before, with sorted names and no spaces: "hash" is the SHA-256 of the line without that member, "previous"
the hash of the line before.  A log of such lines that was edited, cut in the middle or reordered shows it; who can
write the file can also write a whole new chain.  `Writer` is a bounded queue of pieces of work, of which the oldest is
dropped where they are too many.  Nothing here imports JAX.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import math
import os
import re
import stat
import threading
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex, TypeVar

from filelock import FileLock

from ..errors import DomainError, IntegrityError
from .arguments import check_whole
from .credentials import INTEGRITY_KEY, sealed

LOCK_TIMEOUT_S = 30.0
MAX_LINE_BYTES = 65_536
START = "0" * 64
_SEAL = "hmac-"
_BLOCK = 65_536


# a whole file


def write_atomic(
    path: str | os.PathLike[str],
    data: bytes | str,
    *,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    mode: int | None = None,
) -> Path:
    """Replace the content of a file by `data`, all of it or nothing.

    The bytes go to a temporary file in the same folder, are forced to disk, and take the place of the old file by one
    rename; then the folder is forced to disk, so that the rename itself survives a power cut.  Writers of one file
    take turns through a lock file beside it (`.NAME.lock`).  The permissions of an existing file are kept, and a
    symbolic link is followed rather than replaced.

    Args:
        path: the file to write; its folder must exist.
        data: the whole new content; text is encoded as UTF-8 with the newlines it has.
        lock_timeout_s: how long to wait for another writer [s].
        mode: permissions of a file that does not exist yet; by default what the umask leaves.

    Returns:
        The path that was written, links resolved.

    Raises:
        TimeoutError: another writer held the lock for all that time.
        OSError: the folder is missing or not writable, or the disk is full; the old content is then untouched and
            nothing temporary is left.
    """
    target = Path(path).resolve()
    content = data.encode() if isinstance(data, str) else bytes(data)
    if not target.parent.is_dir():
        # filelock would make the folder; a mistyped path must not.
        raise FileNotFoundError(f"cannot write {target}: there is no folder {target.parent}; make it first")
    with FileLock(lock_path(target), timeout=lock_timeout_s):
        replace_content(target, content, mode)
    return target


def replace_content(target: Path, content: bytes, mode: int | None = None) -> None:
    """What `write_atomic` does under its lock, for a writer that holds the lock of `lock_path` already.

    Args:
        target: the file to write, links resolved.
        content: the whole new content.
        mode: permissions of a file that does not exist yet; by default what the umask leaves.

    Raises:
        OSError: as `write_atomic`; where only the last step failed, which forces the folder to disk, the file is new.
    """
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        _write_through(temporary, content, mode)
        if target.exists():
            mode = stat.S_IMODE(target.stat().st_mode)
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, target)
    finally:
        # After a successful rename there is nothing to remove; after a failure nothing may stay behind.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    sync_folder(target.parent)


def remove_temporaries(target: Path) -> None:
    """Remove what writers of a file and of its backups left when they were killed; only under the lock of the file."""
    leftover = re.compile(rf"\.{re.escape(target.name)}(\.bak.*)?\.[0-9a-f]{{32}}\.tmp")
    for entry in os.scandir(target.parent):
        if leftover.fullmatch(entry.name):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(entry.path)


def lock_path(path: str | os.PathLike[str]) -> Path:
    """Where the lock of a file lies: beside it, hidden, for readers that modify and write back under one lock."""
    target = Path(path).resolve()
    return target.with_name(f".{target.name}.lock")


def _write_through(path: Path, content: bytes, mode: int | None) -> None:
    # An existing file is refused; the umask is honoured, which `tempfile` does not; what is private is so at once.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o666 if mode is None else mode), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Force to disk which files a folder holds."""
    # Only POSIX systems can open a folder; elsewhere the rename is durable by itself or not at all.
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# a file that grows


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
        place = os.read(descriptor, end - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0


# chained lines


def chained(body: dict[str, Any], previous: str, key: bytes | None = None) -> tuple[bytes, str]:
    """The line of a body after the line with hash `previous`, and its own hash; with a key the hash is a seal."""
    bound = {**body, "previous": previous}
    hashed = _hash(bound, key)
    return _text(bound | {"hash": hashed}).encode() + b"\n", hashed


def parse_chained(line: bytes | str, key: bytes | None = None) -> dict[str, Any]:
    """The members of a line, which is intact in itself.

    Args:
        line: with or without the newline.
        key: of the seals; a line with a plain hash is read all the same.

    Returns:
        Its members; that it follows the line before is for the caller to check.

    Raises:
        IntegrityError: no JSON object, or edited: its hash is not that of its content.
    """
    text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
    text = text.removesuffix("\n")
    parsed = parse_json_line(text)
    body = {name: value for name, value in parsed.items() if name != "hash"}
    # The text itself must be the canonical one: spaces or another spelling of a number are edits as well.
    hashed = str(parsed.get("hash"))
    if is_seal(hashed) and key is None:
        raise IntegrityError(f"the line is sealed with a key; put the key into {INTEGRITY_KEY} to read it")
    known = _hash(body, key if is_seal(hashed) else None)
    if not hmac.compare_digest(known.encode(), hashed.encode("utf-8", "replace")) or _text(parsed) != text:
        also = ", or is sealed with another key" if is_seal(hashed) else ""
        raise IntegrityError(f"the line does not match its own hash: it was edited{also}")
    return parsed


def is_seal(hashed: str) -> bool:
    """Whether the hash of a line was made with a key."""
    return hashed.startswith(_SEAL)


def parse_json_line(line: bytes | str) -> dict[str, Any]:
    """A JSON object from one line of a log, bounded in length and depth.

    Raises:
        IntegrityError: too long, no UTF-8, no JSON object, the same name twice, a number that is not finite.
    """
    if len(line) > MAX_LINE_BYTES:
        raise IntegrityError(f"a line of {len(line)} bytes is longer than any of ours ({MAX_LINE_BYTES})")
    try:
        parsed = json.loads(line, object_pairs_hook=_once, parse_float=_finite, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"a line that is no JSON of ours ({type(error).__name__}): {shown(line)}") from error
    if not isinstance(parsed, dict):
        raise IntegrityError(f"a line that is no JSON object: {shown(line)}")
    return parsed


def shown(line: bytes | str) -> str:
    """The beginning of a line, for a message about it."""
    return repr(line[:60])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number beyond float64")
    return value


def _refused(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _text(body: dict[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def _hash(body: dict[str, Any], key: bytes | None) -> str:
    return (_SEAL if key is not None else "") + sealed(_text(body).encode(), key=key)


MOST_PROBLEMS = 100
Written = TypeVar("Written")


# threads that write


class WriterStatus(NamedTuple):
    """How a writer fares.

    Attributes:
        pending: pieces that wait or are being written.
        dropped: pieces that made room for newer ones.
        written, failed: pieces that are done, that raised.
    """

    pending: int = 0
    dropped: int = 0
    written: int = 0
    failed: int = 0


class _Piece(NamedTuple):
    work: Callable[[], Any]
    future: Future[Any]
    may_be_dropped: bool


class Writer:
    """A bounded queue of pieces of work and the threads that do them; any thread may call any method.

    Handing over never waits.  Threads are started when there is work, and an interpreter that ends waits for them.

    Args:
        name: of the threads.
        places: pieces that may wait; for one more the oldest that may be dropped is, and its Future cancelled.
        workers: threads; more than one may finish out of order.
        closed_message: what is said to who submits after the end.

    Raises:
        DomainError: `places` or `workers` below 1.
    """

    def __init__(
        self,
        name: str,
        places: SupportsIndex,
        workers: SupportsIndex = 1,
        closed_message: str = "the writer is closed; nothing more can be submitted",
    ) -> None:
        self.places, self.workers = check_whole("places", places, 1), check_whole("workers", workers, 1)
        self._closed_message = closed_message
        self._executor = ThreadPoolExecutor(self.workers, thread_name_prefix=name)
        self._changed = threading.Condition()
        self._waiting: deque[_Piece] = deque()
        self._threads, self._writing, self._closed = 0, 0, False
        self._status = WriterStatus()
        self._problems: deque[Exception] = deque(maxlen=MOST_PROBLEMS)

    def submit(self, work: Callable[[], Written], *, may_be_dropped: bool = True) -> Future[Written]:
        """Have a piece of work done; returns at once.

        Args:
            work: called in a thread of the writer.
            may_be_dropped: whether it takes one of the `places` and gives way to newer ones.

        Returns:
            A Future of what it returns or raises, cancelled where it was dropped.

        Raises:
            DomainError: the writer is closed.
        """
        future: Future[Written] = Future()
        dropped: list[_Piece] = []
        with self._changed:
            if self._closed:
                raise DomainError(self._closed_message)
            self._waiting.append(_Piece(work, future, may_be_dropped))
            droppable = [piece for piece in self._waiting if piece.may_be_dropped]
            for piece in droppable[: -self.places]:
                self._waiting.remove(piece)
                dropped.append(piece)
            self._status = self._status._replace(dropped=self._status.dropped + len(dropped))
            if self._threads < self.workers:
                # A thread stays at work until nothing waits, so that even an interpreter that ends writes the last one.
                self._threads += 1
                self._executor.submit(self._work)
        for piece in dropped:
            piece.future.cancel()
            piece.future.set_running_or_notify_cancel()
        return future

    def status(self) -> WriterStatus:
        """Pieces that are pending, and those dropped, written and failed so far."""
        with self._changed:
            return self._status._replace(pending=len(self._waiting) + self._writing)

    def take_problems(self) -> list[Exception]:
        """What pieces raised since the last call, the first one first; at most 100 are remembered."""
        with self._changed:
            problems = list(self._problems)
            self._problems.clear()
            return problems

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is pending; whether that came true within `timeout` [s]."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._writing, timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Take nothing more, do what is pending; whether that was done within `timeout` [s].

        What is not done by then goes on in its thread, which an interpreter that ends waits for.
        """
        with self._changed:
            self._closed = True
        done = self.wait(timeout)
        self._executor.shutdown(wait=False)
        return done

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._threads -= 1
                    return
                piece = self._waiting.popleft()
                self._writing += 1
            if piece.future.set_running_or_notify_cancel():
                self._do(piece)
            with self._changed:
                self._writing -= 1
                self._changed.notify_all()

    def _do(self, piece: _Piece) -> None:
        try:
            written = piece.work()
        except Exception as problem:  # whatever it is, the Future's owner must see it and the thread must live on
            with self._changed:
                self._status = self._status._replace(failed=self._status.failed + 1)
                self._problems.append(problem)
            piece.future.set_exception(problem)
            return
        with self._changed:
            self._status = self._status._replace(written=self._status.written + 1)
        piece.future.set_result(written)
