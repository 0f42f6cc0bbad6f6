"""The journal of a campaign: Optuna's, one record a line, that survives a kill in the middle of a record.

Three things differ from Optuna's own file.  The lock is released by the kernel when its holder dies, so that nobody
waits for a dead process.  A torn last line is cut off before anything is appended.  Every line carries a checksum, so
that a damaged journal is refused rather than replayed.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.storages.journal import JournalFileBackend

from ..errors import DomainError, IntegrityError
from ..runtime.files import lock_path

LOCK_TIMEOUT_S = 120.0
LOCK_POLL_S = 0.005
_MARK = b',"crc":"'
_TAIL = len(_MARK) + 11
_BLOCK = 1 << 16


class JournalFile(JournalFileBackend):
    """One journal file, for `optuna.storages.JournalStorage`.

    Args:
        path: the file; made if it is not there, its folder is not.

    Attributes:
        trimmed: bytes of a torn last record that were cut off when the file was opened.

    Raises:
        DomainError: the path is a folder, or its folder is missing.
        IntegrityError: a line of the file is no record or does not match its checksum; the message names it.
        OSError: the file cannot be read or written.
        TimeoutError: another process holds the journal for longer than two minutes.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise DomainError(f"the journal {path} is a folder; name a file")
        if not path.parent.is_dir():
            raise DomainError(f"there is no folder {path.parent} for the journal {path.name}; make it first")
        self.path = path.resolve()
        self._turn = FileLock(lock_path(self.path), timeout=LOCK_TIMEOUT_S, poll_interval=LOCK_POLL_S)
        self._state = threading.local()
        with self._turn:
            self.trimmed = trim(self.path)
            check(self.path)
        super().__init__(str(self.path))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Hold the journal: nobody else appends meanwhile, and what is appended goes to the disk at the end at once."""
        with self._turn:
            if getattr(self._state, "grouped", False):
                yield
                return
            self._state.grouped = True
            try:
                yield
            finally:
                self._state.grouped = False
                with self.path.open("ab") as file:
                    os.fsync(file.fileno())

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records, all of them or none."""
        data = b"".join(_line(log) for log in logs)
        with self._turn, self.path.open("r+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            if end and _last_byte(file, end) != b"\n":
                end = _cut(file, end)
            try:
                done = 0
                while done < len(data):
                    done += file.write(data[done:])
                if not getattr(self._state, "grouped", False):
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise


def trim(path: Path) -> int:
    """Cut off what follows the last newline of a file.

    Returns:
        How many bytes that was.
    """
    if not path.exists():
        return 0
    with path.open("r+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        return end - _cut(file, end)


def check(path: Path) -> None:
    """Refuse a journal of which a line is damaged.

    Raises:
        IntegrityError: the line, and what is wrong with it.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            wrong = _problem_of(line)
            if wrong:
                raise IntegrityError(
                    f"{path}, line {number}: {wrong}; put the journal aside and go on from a checkpoint (load_study), "
                    "or give another study_name"
                )


def _problem_of(line: bytes) -> str:
    body, mark = line[:-_TAIL], line[-_TAIL:-11]
    # A line of another Optuna program has no checksum.
    if mark == _MARK:
        return "" if line[-11:] == _sum(body) else "the record does not match its checksum"
    try:
        log = json.loads(line)
    except ValueError:
        return "this is no JSON"
    is_record = isinstance(log, dict) and isinstance(log.get("op_code"), int) and isinstance(log.get("worker_id"), str)
    return "" if is_record else "this is no record of an Optuna journal"


def _line(log: dict[str, Any]) -> bytes:
    body = json.dumps(log, separators=(",", ":")).encode()[:-1]
    return body + _MARK + _sum(body)


def _sum(body: bytes) -> bytes:
    return f'{zlib.crc32(body):08x}"}}\n'.encode()


def _last_byte(file: Any, end: int) -> bytes:
    file.seek(end - 1)
    last = file.read(1)
    file.seek(end)
    return last


def _cut(file: Any, end: int) -> int:
    """Cut a file behind its last newline; where that is."""
    stop = end
    while stop:
        begin = max(stop - _BLOCK, 0)
        file.seek(begin)
        newline = file.read(stop - begin).rfind(b"\n")
        stop = begin if newline < 0 else begin + newline + 1
        if newline >= 0:
            break
    if stop < end:
        file.truncate(stop)
    file.seek(stop)
    return stop
