"""The file that is changed, with its lock, its backups (`config.toml.bak`, and one for each change) and its log."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from ..errors import ConfigMutationError, ConfigWriteError, DomainError, IntegrityError
from ..runtime.digest import sha256_bytes
from ..runtime.files import LOCK_TIMEOUT_S, lock_path, remove_temporaries, replace_content
from .audit import (
    ABANDONED,
    INTENT,
    REJECTED,
    UNKNOWN,
    AuditLog,
    AuditRecord,
    iso_time,
    plain_json,
)
from .load import unreadable

LONGEST_TRIGGER = 200
LONGEST_DETAILS = 16_384


@dataclasses.dataclass(frozen=True)
class Request:
    """The checked arguments that say so.

    Attributes:
        trigger: who or what asks.
        details: whatever else the log should hold, of JSON's types.
        override: whether the limit of a change is lifted.
        now_ns: when [ns since 1970].
    """

    trigger: str
    details: dict[str, Any]
    override: bool
    now_ns: int


def checked_request(trigger: str, details: Mapping[str, Any] | None, override: bool, now_ns: int | None) -> Request:
    """A request from the arguments of a public function.

    Raises:
        DomainError: a trigger that is no short line of text, details that JSON cannot hold, a time before 1970.
    """
    if not trigger.strip() or len(trigger) > LONGEST_TRIGGER or not trigger.isprintable():
        raise DomainError(f"trigger = {trigger!r}: expected one line of 1 to {LONGEST_TRIGGER} printable characters")
    plain = plain_json(dict(details or {}))
    if len(repr(plain)) > LONGEST_DETAILS:
        raise DomainError(f"details have {len(repr(plain))} characters, at most {LONGEST_DETAILS} fit; shorten them")
    now_ns = time.time_ns() if now_ns is None else now_ns
    if not 0 <= now_ns < 2**63:
        raise DomainError(f"now_ns = {now_ns} is no time in nanoseconds since 1970")
    return Request(trigger, plain, override, now_ns)


MOST_BACKUPS = 50
SHORTEST_HASH = 6


class Backup(NamedTuple):
    """A copy with a time.

    Attributes:
        path: of the copy.
        stamp: time of the change before which it was made, as its name has it.
        repeat: 0, or which of several of one instant.
    """

    path: Path
    stamp: str
    repeat: int

    def hash(self) -> str:
        """SHA-256 of its content.

        Raises:
            OSError: it cannot be read.
        """
        return sha256_bytes(self.path.read_bytes())


def latest_backup(target: Path) -> Path:
    """Path of the newest copy."""
    return target.with_name(f"{target.name}.bak")


def backups_of(target: Path) -> list[Backup]:
    """The copies with a time, the newest first."""
    name = re.compile(rf"{re.escape(target.name)}\.bak\.(\d{{8}}T\d{{6}}\.\d{{9}}Z)(?:-(\d+))?")
    backups = []
    for entry in os.scandir(target.parent):
        match = name.fullmatch(entry.name)
        if match and entry.is_file():
            backups.append(Backup(target.with_name(entry.name), match[1], int(match[2] or 0)))
    return sorted(backups, key=lambda backup: (backup.stamp, backup.repeat), reverse=True)


def make_backup(target: Path, content: bytes, now_ns: int) -> Path:
    """Write both copies, each whole or not at all, and return the one with a time.

    Raises:
        OSError: the disk did not take them; nothing temporary stays, nor a copy with a time.
    """
    stamp = iso_time(now_ns).replace("-", "").replace(":", "")
    path, repeat = target.with_name(f"{target.name}.bak.{stamp}"), 0
    while path.exists():
        repeat += 1
        path = target.with_name(f"{target.name}.bak.{stamp}-{repeat}")
    mode = stat.S_IMODE(target.stat().st_mode)
    try:
        replace_content(path, content, mode)
        replace_content(latest_backup(target), content, mode)
    except OSError:
        drop_backup(path)
        raise
    return path


def drop_backup(path: Path) -> None:
    """Remove a copy that turned out to be of no use."""
    with contextlib.suppress(OSError):
        path.unlink()


def prune_backups(target: Path, most: int = MOST_BACKUPS) -> None:
    """Remove all but the newest copies; one that cannot be removed does no harm."""
    for backup in backups_of(target)[most:]:
        drop_backup(backup.path)


def find_backup(target: Path, present: str, which: str | None, records: list[AuditRecord]) -> Path:
    """The copy that a user means.

    Args:
        target: the configuration file.
        present: SHA-256 of its content now.
        which: None for the newest copy that differs from the present file; else a name, a time (its beginning is
            enough), or the beginning of the SHA-256 of a content.
        records: of the audit log, to tell a hash that is unknown from one that is no longer kept.

    Raises:
        ConfigMutationError: there is none, or several.
        OSError: a copy cannot be read.
    """
    backups = backups_of(target)
    latest = latest_backup(target)
    if which is None:
        for path in [*(backup.path for backup in backups), *([latest] if latest.is_file() else [])]:
            if sha256_bytes(path.read_bytes()) != present:
                return path
        raise ConfigMutationError(f"{target}: there is no backup that differs from the present file")
    if which in (latest.name, *(backup.path.name for backup in backups)) and target.with_name(which).is_file():
        return target.with_name(which)
    meant = _of_time(backups, which) or _of_hash(backups, which)
    contents = {backup.hash(): backup.path for backup in reversed(meant)}
    if len(contents) == 1:
        return next(iter(contents.values()))
    if contents:
        names = ", ".join(backup.path.name for backup in meant[:5])
        raise ConfigMutationError(f"{which!r} means {len(meant)} backups of {target.name}: {names}; name one of them")
    hashes = (hashed for record in records for hashed in (record.before, record.after))
    is_recorded = _is_hash(which) and any(hashed.startswith(which.lower()) for hashed in hashes)
    why = "that content is in the history, but no backup of it is kept" if is_recorded else "there is no such backup"
    newest = ", ".join(backup.path.name for backup in backups[:5]) or "none"
    raise ConfigMutationError(f"{target}: {which!r}: {why}; the newest backups: {newest}")


def _of_time(backups: list[Backup], which: str) -> list[Backup]:
    stamp = re.sub(r"[-:]", "", which.replace(" ", "T")).removesuffix("Z")
    if not re.fullmatch(r"\d{8}(T\d{0,6}(\.\d{0,9})?)?", stamp):
        return []
    return [backup for backup in backups if backup.stamp.startswith(stamp)]


def _of_hash(backups: list[Backup], which: str) -> list[Backup]:
    return [backup for backup in backups if _is_hash(which) and backup.hash().startswith(which.lower())]


def _is_hash(text: str) -> bool:
    return re.fullmatch(rf"[0-9a-fA-F]{{{SHORTEST_HASH},64}}", text) is not None


LONGEST_REASON = 2000


class MutationPlace:
    """The file at a path, links followed.

    Args:
        path: the configuration file.
        audit: its audit log; by default `io/mutations.log` in the folder of the file.
    """

    def __init__(self, path: str | os.PathLike[str], audit: str | os.PathLike[str] | None = None) -> None:
        self.named = os.fspath(path)
        self.target = Path(os.path.realpath(path))
        log = self.target.parent / "io" / "mutations.log" if audit is None else Path(os.path.realpath(audit))
        self.log = AuditLog(log)
        self.name = _relative(self.target, log.parent)

    @contextlib.contextmanager
    def held(self, lock_timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
        """Hold the lock of the file's writers, and put what the operating system refuses into words.

        Raises:
            ConfigWriteError: another writer held the lock for all that time, or whatever is refused meanwhile.
        """
        with self.reword_errors("the file is as it was"):
            if not self.target.parent.is_dir():
                raise FileNotFoundError(f"there is no folder {self.target.parent}")
            with FileLock(lock_path(self.target), timeout=lock_timeout_s):
                remove_temporaries(self.target)
                yield

    @contextlib.contextmanager
    def reword_errors(self, state: str) -> Iterator[None]:
        """Put what the operating system refuses into words, and say how that leaves things.

        Raises:
            ConfigWriteError: instead of any other OSError.
        """
        try:
            yield
        except ConfigWriteError:
            raise
        except OSError as error:
            raise _write_error(self.named, error, state) from error

    def present_hash(self) -> str:
        """SHA-256 of the file as it is, "" where there is none."""
        return sha256_bytes(self.target.read_bytes()) if self.target.is_file() else ""

    def records(self) -> list[AuditRecord]:
        """What the log says of this file, its last few megabytes.

        Raises:
            ConfigMutationError: the log is damaged.
        """
        try:
            return [record for record in self.log.recent() if record.file == self.name]
        except IntegrityError as error:
            raise ConfigMutationError(_damaged(self.log.path, error)) from error

    def recover(self, now_ns: int) -> list[AuditRecord]:
        """Settle what a crash left unfinished, and return the records with it; only under the lock of the file.

        Raises:
            ConfigMutationError: the log is damaged.
        """
        records = self.records()
        for intent in pending(records):
            records.append(self.log.append(self.settled(intent, now_ns)))
        return records

    def settled(self, intent: AuditRecord, now_ns: int, why: str = "interrupted") -> AuditRecord:
        """The record that says what became of an intent, from the hash of the file."""
        present = self.present_hash()
        if present == intent.after:
            outcome, reason = intent.reason, f"{why} after the file was replaced"
        elif present == intent.before:
            outcome, reason = ABANDONED, f"{why} before the file was replaced"
        else:
            outcome = UNKNOWN
            reason = f"{why}, and the file was edited since: whether it had been replaced cannot be known"
        return dataclasses.replace(
            intent, outcome=outcome, reason=reason, of=intent.hash, time_ns=now_ns, time=iso_time(now_ns), line=0
        )

    def note(self, request: Request, outcome: str, **rest: Any) -> AuditRecord:
        """Add a line about something that leaves the file as it is.

        Raises:
            ConfigMutationError: the log is damaged.
            OSError: the disk does not take it.
        """
        try:
            return self.log.append(self.record(request, outcome, **rest))
        except IntegrityError as error:
            raise ConfigMutationError(_damaged(self.log.path, error)) from error

    def refused(self, request: Request, problem: str, **rest: Any) -> ConfigMutationError:
        """The error of a refusal, which has left its line in the log."""
        try:
            self.note(request, REJECTED, reason=problem, **rest)
        except OSError as error:
            problem += f" (and the audit log {self.log.path} cannot be written: {os_reason(error)})"
        return ConfigMutationError(problem)

    def refused_path(self, request: Request, problem: str) -> ConfigMutationError:
        """The error about a path; a mistyped one must make no folder, so that only an existing log gets a line."""
        return self.refused(request, problem) if self.log.path.exists() else ConfigMutationError(problem)

    def record(self, request: Request, outcome: str, **rest: Any) -> AuditRecord:
        """A record of this file that is not in the log yet."""
        reason = rest.pop("reason", "")
        short = reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]} ..."
        return AuditRecord(
            time=iso_time(request.now_ns),
            time_ns=request.now_ns,
            file=self.name,
            trigger=request.trigger,
            outcome=outcome,
            reason=short,
            override=request.override,
            details=request.details | rest.pop("details", {}),
            **rest,
        )

    def replace(
        self,
        request: Request,
        outcome: str,
        old: bytes | None,
        new: bytes,
        changes: dict[str, tuple[Any, Any]],
        *,
        backup: bool,
        details: Mapping[str, Any] | None = None,
        mode: int | None = None,
    ) -> tuple[AuditRecord, Path | None]:
        """Intent, backup, replacement, outcome: in this order, each on disk before the next begins.

        Raises:
            ConfigWriteError: the file is as it was, and the message says why.
            ConfigMutationError: somebody edited the file meanwhile.
        """
        intent = self.log.append(
            self.record(
                request,
                INTENT,
                reason=outcome,
                changes=changes,
                before="" if old is None else sha256_bytes(old),
                after=sha256_bytes(new),
                details=dict(details or {}),
            )
        )
        copy, noticed = None, ""
        try:
            if backup and old is not None:
                copy = make_backup(self.target, old, request.now_ns)
            # An editor takes no lock; what it wrote while the lines above were on their way to the disk must stay.
            if self.present_hash() != intent.before:
                raise self._edited_meanwhile(intent, copy)
            replace_content(self.target, new, mode)
        except OSError as error:
            if self.present_hash() != intent.after:
                raise self._failed(intent, request, copy, error) from error
            noticed = f"the folder could not be forced to disk: {os_reason(error)}"
        done = dataclasses.replace(
            intent, outcome=outcome, of=intent.hash, reason=noticed, backup=copy.name if copy is not None else ""
        )
        try:
            done = self.log.append(done)
        except OSError as error:
            # The change stands and its intent is on disk: the next call finds it and adds the missing line.
            problem = f"the log did not take the line of the outcome ({os_reason(error)}); the next call adds it"
            done = dataclasses.replace(done, reason=problem)
        prune_backups(self.target)
        return done, copy

    def _edited_meanwhile(self, intent: AuditRecord, copy: Path | None) -> ConfigMutationError:
        if copy is not None:
            drop_backup(copy)
        reason = "the file was edited meanwhile"
        self.log.append(dataclasses.replace(intent, outcome=ABANDONED, reason=reason, of=intent.hash))
        return ConfigMutationError(f"{self.named}: {reason}, so that nothing was changed; try again")

    def _failed(self, intent: AuditRecord, request: Request, copy: Path | None, error: OSError) -> ConfigWriteError:
        if copy is not None:
            drop_backup(copy)
        why = os_reason(error)
        # Where the log takes nothing either, the next call settles the intent.
        with contextlib.suppress(OSError):
            self.log.append(self.settled(intent, request.now_ns, f"failed ({why})"))
        return _write_error(self.named, error, "the file is as it was")


def pending(records: list[AuditRecord]) -> list[AuditRecord]:
    """The intents that no later line settles."""
    settled = {record.of for record in records}
    return [record for record in records if record.outcome == INTENT and record.hash not in settled]


def os_reason(error: OSError) -> str:
    """Why the operating system refused, in its words."""
    if isinstance(error, Timeout):
        return f"another writer holds the lock {error.lock_file}"
    return error.strerror or str(error)


def unusable(path: Path) -> str | None:
    """Why a configuration file cannot be changed whatever its content, None where it can."""
    problem = unreadable(path)
    if problem is not None:
        return problem
    # Permission bits do not bind the superuser, but they say what the owner wants.
    if not stat.S_IMODE(path.stat().st_mode) & 0o222 or not os.access(path, os.W_OK):
        return f"{path}: is read-only; make it writable (chmod u+w) if it may be changed automatically"
    return None


def _relative(target: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(target, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return target.as_posix()


def _damaged(log: Path, error: IntegrityError) -> str:
    return (
        f"the audit log {log} is damaged ({error}), so that nothing is changed automatically; look at it with "
        "`uspnb config history`, and move it away to begin a new one"
    )


def _write_error(named: str, error: OSError, state: str) -> ConfigWriteError:
    refusal = ConfigWriteError(f"{named} cannot be changed: {os_reason(error)}; {state}")
    refusal.errno = error.errno
    return refusal
