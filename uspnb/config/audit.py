"""The audit log of a configuration: one chained line for each change, refusal and decision.

A change leaves two lines: its intent, forced to disk before the file is replaced, and its outcome.  Where a crash comes
in between, whoever opens the log next sees from the hash of the file which of the two contents it has.

Beside the log stands its seal, one chained line that names the log's last one: a log whose end was cut off no longer
holds it.  With `USPNB_INTEGRITY_KEY` lines and seal are made with that key, so that nobody without it can make others.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import math
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from ..errors import DomainError, IntegrityError
from ..runtime.credentials import INTEGRITY_KEY, integrity_key
from ..runtime.files import (
    LOCK_TIMEOUT_S,
    MAX_LINE_BYTES,
    START,
    AppendFile,
    chained,
    is_seal,
    lock_path,
    parse_chained,
    replace_content,
    sync_folder,
)

VERSION = 1
INTENT, ACCEPTED, REJECTED, ROLLED_BACK = "intent", "accepted", "rejected", "rolled_back"
UNCHANGED, ABANDONED, UNKNOWN = "unchanged", "abandoned", "unknown"
# How much of a long log is looked at before a change: several thousand lines.
_TAIL_BYTES = 4 << 20


@dataclasses.dataclass(frozen=True)
class AuditRecord:
    """One line of the log.

    Attributes:
        time: when, ISO 8601 in UTC.
        time_ns: the same [ns since 1970].
        file: the configuration file, relative to the folder of the log.
        trigger: who or what asked for it.
        outcome: "accepted", "rejected", "rolled_back", "unchanged", "intent" (not finished), "abandoned" (interrupted
            before the file was replaced), "unknown" (interrupted, and the file was edited since), or a decision.
        changes: (old, new) by field.
        before, after: SHA-256 of the file, "" where there was none.
        reason: why it was refused, or what was noticed; of an intent, the outcome that it will have.
        override: whether the limit of a change was lifted by the caller.
        details: whatever the caller added.
        backup: name of the backup made before.
        of: hash of the intent that this line settles, "" for none.
        repaired_bytes: length of an unfinished line before this one, which a kill left and which was cut off.
        line: its number in the log, counted from 1.
        hash: of the line.
    """

    time: str
    time_ns: int
    file: str
    trigger: str
    outcome: str
    changes: dict[str, tuple[Any, Any]] = dataclasses.field(default_factory=dict)
    before: str = ""
    after: str = ""
    reason: str = ""
    override: bool = False
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    backup: str = ""
    of: str = ""
    repaired_bytes: int = 0
    line: int = 0
    hash: str = ""

    def changes_text(self) -> str:
        """The changes in a few words."""
        return ", ".join(f"{name} {old!r} -> {new!r}" for name, (old, new) in self.changes.items())

    def text(self) -> str:
        """The same as a line for a person."""
        parts = [self.time[:19].replace("T", " ") + "Z", self.outcome, f"[{self.trigger}]", self.changes_text()]
        parts += [f"({self.reason})"] if self.reason else []
        parts += ["(limit lifted)"] if self.override and self.outcome == ACCEPTED else []
        return " ".join(filter(None, parts))


class AuditCheck(NamedTuple):
    """What a look at the whole chain of a log found.

    Attributes:
        lines: intact lines from the start.
        ok: whether every line is intact and follows the one before.
        first_bad_line: number of the first that is not, counted from 1; None where all are.
        reason: what is wrong, "" for nothing.
        unfinished_bytes: length of a last line without an end: being written now, or left by a kill.
        head: hash of the last intact line.
        sealed: intact lines that are sealed with the key.
    """

    lines: int
    ok: bool
    first_bad_line: int | None
    reason: str
    unfinished_bytes: int
    head: str
    sealed: int = 0

    def text(self) -> str:
        """The result of the check as one sentence."""
        if not self.ok:
            return f"{self.lines} lines intact, NOT INTACT from line {self.first_bad_line} on: {self.reason}"
        torn = f", and {self.unfinished_bytes} bytes of an unfinished line" if self.unfinished_bytes else ""
        sealed = f", {self.sealed or 'none'} sealed with the key" if self.sealed or integrity_key() else ""
        return f"{self.lines} lines, chain intact{sealed}{torn}"


class AuditLog:
    """The log at a path, which need not exist yet.

    Args:
        path: a file of JSON Lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: AuditRecord, *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> AuditRecord:
        """Add a line and force it to disk; an unfinished last line is cut off, and the new one says so.

        Returns:
            The record as it was written; its `line` is left 0, as only a reader of the whole log knows it.

        Raises:
            IntegrityError: the last line is damaged, so that no other can be bound to it.
            DomainError: the line would be longer than any may be.
            OSError: the disk did not take it, and the log is as it was before; or a writer held the lock too long.
        """
        folder = self.path.parent
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)
        with FileLock(lock_path(self.path), timeout=lock_timeout_s):
            key = integrity_key()
            fresh = not self.path.exists()
            file = AppendFile(self.path)
            try:
                record = dataclasses.replace(record, repaired_bytes=file.repaired_bytes)
                previous = _head(self.path, file.size)
                self._check_seal(previous)
                line, hashed = chained(_body(record), previous, key)
                if len(line) > MAX_LINE_BYTES:
                    raise DomainError(
                        f"a line of {len(line)} bytes is longer than {MAX_LINE_BYTES}; shorten the details"
                    )
                file.append(line)
                file.sync()
            finally:
                file.close(sync=False)
            if fresh:
                sync_folder(folder)
            # The line is written and counts.  A seal that stays behind is still of this log; the next line mends it.
            with contextlib.suppress(OSError):
                replace_content(self.seal_path, chained({"head": hashed, "version": VERSION}, START, key)[0])
        return dataclasses.replace(record, hash=hashed)

    @property
    def seal_path(self) -> Path:
        """The file beside the log that names its last line."""
        return self.path.with_name(f"{self.path.name}.seal")

    def _check_seal(self, head: str, known: Collection[str] = ()) -> None:
        """See that the log still holds the line that its seal names.

        Args:
            head: hash of the last line.
            known: of the other lines, where they have been read; else the last megabytes are, where it is needed.

        Raises:
            IntegrityError: it does not, or there is no seal and there must be one.
        """
        try:
            seal = parse_chained(self.seal_path.read_bytes()[:MAX_LINE_BYTES], integrity_key())
        except FileNotFoundError:
            seal = {"head": head, "hash": ""}
        if is_seal(head) and not is_seal(seal["hash"]):
            raise IntegrityError(
                f"the lines are sealed with a key, and {self.seal_path.name} is missing or has no seal"
            )
        named = seal.get("head")
        if named == head or named in known or (not known and any(named == r.hash for r in self.recent())):
            return
        if head == START and not is_seal(seal["hash"]):
            return  # the log was taken away
        raise IntegrityError(
            f"the line that {self.seal_path.name} names is not in the log: its end was cut off or it was replaced; to "
            "begin a new log, move both away"
        )

    def recent(self) -> list[AuditRecord]:
        """The records of the last few megabytes; the chain between them is checked.

        Raises:
            IntegrityError: one of these lines is damaged, or does not follow the one before.
            OSError: the log cannot be read.
        """
        if not self.path.exists():
            return []
        skipped = max(0, self.path.stat().st_size - _TAIL_BYTES)
        return list(_records(self.path, skipped))

    def read(self) -> tuple[list[AuditRecord], AuditCheck]:
        """All intact records from the start, and what the check of the whole chain found.

        Raises:
            OSError: the log cannot be read.
        """
        records: list[AuditRecord] = []
        torn, head = 0, START
        try:
            for record in _records(self.path, 0) if self.path.exists() else ():
                records.append(record)
                head = record.hash
            self._check_seal(head, {record.hash for record in records})
        except IntegrityError as error:
            return records, AuditCheck(len(records), False, len(records) + 1, str(error), 0, head)
        if not records and not self.path.exists():
            return records, AuditCheck(0, True, None, "", 0, head)
        with self.path.open("rb") as stream:
            stream.seek(-min(MAX_LINE_BYTES, os.fstat(stream.fileno()).st_size), os.SEEK_END)
            torn = len(stream.read().rpartition(b"\n")[2])
        count = sum(is_seal(record.hash) for record in records)
        return records, AuditCheck(len(records), True, None, "", torn, head, count)


def verify_audit(path: str | os.PathLike[str]) -> AuditCheck:
    """Check the chain of an audit log.

    Args:
        path: the log, `io/mutations.log` beside the configuration file.

    Returns:
        What was found; a damaged log is no exception.

    Raises:
        DomainError: there is no such file.
        OSError: it cannot be read.
    """
    if not Path(path).is_file():
        raise DomainError(f"{os.fspath(path)}: there is no such audit log")
    return AuditLog(Path(path)).read()[1]


def iso_time(time_ns: int) -> str:
    """An instant as ISO 8601 in UTC with nanoseconds."""
    seconds, rest = divmod(time_ns, 10**9)
    whole = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def plain_json(value: Any, where: str = "details") -> Any:
    """A value as JSON holds it: numbers of NumPy as numbers, tuples as lists, what is not finite as null.

    Raises:
        DomainError: something that JSON has no form for; the message says where.
    """
    if getattr(value, "ndim", None) is not None and hasattr(value, "tolist"):
        return plain_json(value.tolist(), where)
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain_json(entry, f"{where}.{key}") for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(entry, f"{where}[{i}]") for i, entry in enumerate(value)]
    raise DomainError(f"{where} is a {type(value).__name__}, which a line of JSON cannot hold; make it text or numbers")


def _body(record: AuditRecord) -> dict[str, Any]:
    body = {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if f.name not in ("line", "hash")}
    return {**body, "changes": {name: list(pair) for name, pair in record.changes.items()}, "version": VERSION}


def _record(line: bytes, number: int) -> tuple[AuditRecord, str]:
    """A record from its line, and the hash of the line before it."""
    parsed = parse_chained(line, integrity_key())
    kinds = {"changes": dict, "details": dict, "override": bool, "time_ns": int, "repaired_bytes": int}
    names = [field.name for field in dataclasses.fields(AuditRecord) if field.name != "line"]
    for name in (*names, "previous"):
        if type(parsed.get(name)) is not kinds.get(name, str):
            raise IntegrityError(f"the line is none of an audit log: it has no {name!r} of the right type")
    if parsed.get("version") != VERSION:
        raise IntegrityError(f"the line has version {parsed.get('version')!r}, known is {VERSION}")
    changes = parsed["changes"]
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in changes.values()):
        raise IntegrityError("the line is none of an audit log: a change of it is no pair")
    values: dict[str, Any] = {name: parsed[name] for name in names}
    values["changes"] = {name: (a, b) for name, (a, b) in changes.items()}
    return AuditRecord(**values, line=number), parsed["previous"]


def _records(path: Path, skipped: int) -> Iterator[AuditRecord]:
    """The records after so many bytes and the next line's end, as long as each follows the one before."""
    with path.open("rb") as stream:
        previous, number = START, 0
        if skipped:
            stream.seek(skipped - 1)
            stream.readline()
        while line := stream.readline(MAX_LINE_BYTES + 1):
            if not line.endswith(b"\n") and len(line) <= MAX_LINE_BYTES:
                return  # being written, or left by a kill: the next writer cuts it off
            number += 1
            record, follows = _record(line, 0 if skipped else number)
            if follows != previous and not (skipped and number == 1):
                raise IntegrityError("the line does not follow the one before: lines were taken out, added or moved")
            if is_seal(previous) and not is_seal(record.hash):
                raise IntegrityError(f"the line has no seal, and those before it have; {INTEGRITY_KEY} was not set")
            yield record
            previous = record.hash


def _head(path: Path, size: int) -> str:
    """Hash of the last line of a log of whole lines."""
    if not size:
        return START
    with path.open("rb") as stream:
        stream.seek(-min(size, MAX_LINE_BYTES + 1), os.SEEK_END)
        last = stream.read().removesuffix(b"\n").rpartition(b"\n")[2]
    return _record(last, 0)[0].hash
