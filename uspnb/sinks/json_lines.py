"""`JsonLinesSink`: telemetry as files of one JSON object per tick, which rotate."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, SupportsIndex

from filelock import FileLock

from ..errors import DomainError
from ..runtime.arguments import check_whole
from ..runtime.files import MAX_LINE_BYTES, AppendFile, only_writer
from .records import RECORD_FIELDS, Records, parse_record, record_lines
from .sinks import SinkStatus


class JsonLinesSink:
    """Writes `NAME_00000001.jsonl`, `NAME_00000002.jsonl` ... into a folder; only the highest number still grows.

    A file is forced to disk when it is closed.  A disk that is full or a folder that cannot be written stops nothing:
    what could not be written is counted, `status` says why, and the next records are tried again.

    Args:
        folder: where the files are; made at the first record.
        rotate_bytes: length that a file does not exceed, but for a single longer line [bytes].
        retention: closed files that are kept beside the one that grows.
        name: beginning of the file names, and name of the sink.

    Raises:
        DomainError: a number below 1, or a name that is no plain word.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        rotate_bytes: SupportsIndex = 67_108_864,
        retention: SupportsIndex = 10,
        *,
        name: str = "telemetry",
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9-]+", name):
            raise DomainError(f"name = {name!r} must be of letters, digits and dashes")
        self.folder, self.name = Path(folder), name
        self._rotate_bytes = check_whole("rotate_bytes", rotate_bytes, 1, unit="bytes")
        self._retention = check_whole("retention", retention, 1, unit="files")
        self._file: AppendFile | None = None
        self._number = 0
        self._lock: FileLock | None = None
        self._status = SinkStatus()

    def write(self, records: Records) -> None:
        """Add a line for each tick."""
        lines = record_lines(records)
        done = 0
        try:
            while done < len(lines):
                file = self._ready(len(lines[done]))
                stop, length = done + 1, len(lines[done])
                while stop < len(lines) and file.size + length + len(lines[stop]) <= self._rotate_bytes:
                    length += len(lines[stop])
                    stop += 1
                file.append(b"".join(lines[done:stop]))
                done = stop
            condition = None
        except OSError as error:
            condition = f"telemetry cannot be written to {self.folder}: {error.strerror or error}"
        written, lost, _ = self._status
        self._status = SinkStatus(written + done, lost + len(lines) - done, condition)

    def flush(self) -> None:
        """Nothing waits here: every write goes to the system at once."""

    def close(self) -> None:
        """Force the file to the disk and close it."""
        try:
            if self._file is not None:
                self._file.close()
        except OSError as error:
            problem = f"the last telemetry may not have reached {self.folder}: {error.strerror or error}"
            self._status = self._status._replace(condition=problem)
        self._file = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def status(self) -> SinkStatus:
        """Records written and lost, and what keeps the disk from taking them."""
        return self._status

    def order(self) -> dict[str, object]:
        """What another process needs to make the same sink."""
        return {
            "kind": "json_lines",
            "folder": str(self.folder),
            "rotate_bytes": self._rotate_bytes,
            "retention": self._retention,
            "name": self.name,
        }

    def fields(self) -> tuple[str, ...]:
        """What may leave the machine."""
        return RECORD_FIELDS

    def paths(self) -> list[Path]:
        """The files that there are, oldest first."""
        return [path for _, path in _numbered(self.folder, self.name)]

    def _ready(self, coming: int) -> AppendFile:
        """The file that the next line goes to."""
        if self._file is None:
            if self._lock is None:
                self._lock = only_writer(self.folder / f".{self.name}.lock")
            self._number = max((number for number, _ in _numbered(self.folder, self.name)), default=1)
            self._file = AppendFile(self._path())
        if self._file.size and self._file.size + coming > self._rotate_bytes:
            self._file.close()
            self._number += 1
            self._file = None
            self._file = AppendFile(self._path())
            for _, path in _numbered(self.folder, self.name)[: -self._retention - 1]:
                path.unlink(missing_ok=True)
        return self._file

    def _path(self) -> Path:
        return self.folder / f"{self.name}_{self._number:08d}.jsonl"


def read_records(folder: str | os.PathLike[str], name: str = "telemetry") -> Iterator[dict[str, Any]]:
    """The records of a folder in the order in which they were written.

    Args:
        folder: of a `JsonLinesSink`.
        name: of it.

    Raises:
        IntegrityError: a line is none of ours; an unfinished last line, which a kill may leave, is passed over.
        OSError: a file cannot be read.
    """
    for _, path in _numbered(Path(folder), name):
        with path.open("rb") as stream:
            while line := stream.readline(MAX_LINE_BYTES + 1):
                if line.endswith(b"\n") or len(line) > MAX_LINE_BYTES:
                    yield parse_record(line)


def _numbered(folder: Path, name: str) -> list[tuple[int, Path]]:
    pattern = re.compile(re.escape(name) + r"_(\d{8,18})\.jsonl")
    files = []
    if folder.is_dir():
        for path in folder.iterdir():
            match = pattern.fullmatch(path.name)
            if match:
                files.append((int(match[1]), path))
    return sorted(files)
