"""A configuration file with its lock, its backups and its audit log; replacing it so that a crash leaves old or new."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import ConfigMutationError, ConfigWriteError, IntegrityError
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
)
from .backups import drop_backup, make_backup, prune_backups
from .mutation_request import Request

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
        with self.told_errors("the file is as it was"):
            if not self.target.parent.is_dir():
                raise FileNotFoundError(f"there is no folder {self.target.parent}")
            with FileLock(lock_path(self.target), timeout=lock_timeout_s):
                remove_temporaries(self.target)
                yield

    @contextlib.contextmanager
    def told_errors(self, state: str) -> Iterator[None]:
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
            told = f"the log did not take the line of the outcome ({os_reason(error)}); the next call adds it"
            done = dataclasses.replace(done, reason=told)
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
    if path.is_dir():
        return f"{path}: is a folder, not a configuration file; name the TOML file in it"
    if not path.exists():
        return f"{path}: no such configuration file; `python -m uspnb.config.template` prints one with every default"
    if not path.is_file():
        return f"{path}: is not a regular file"
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
    made = ConfigWriteError(f"{named} cannot be changed: {os_reason(error)}; {state}")
    made.errno = error.errno
    return made
