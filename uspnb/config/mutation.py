"""Changing `config.toml`: a setting, or a backup put back; as a whole or not at all, within limits, on the record."""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError, ConfigMutationError, DomainError, IntegrityError
from ..runtime.digest import sha256_bytes
from ..runtime.words import columns_table
from .audit import (
    ABANDONED,
    ACCEPTED,
    INTENT,
    ROLLED_BACK,
    UNCHANGED,
    UNKNOWN,
    AuditRecord,
    plain_json,
    verify_audit,
)
from .load import Tables, checked_tables, configuration, parse_config, read_content, text_of
from .mutation_place import MutationPlace, Request, checked_request, find_backup, pending, unusable
from .mutation_policy import refused_name, too_far, too_often
from .rewriting import with_values
from .schema import DECLARATIONS, DEFAULTS, PredictorConfig, checked_scalar

Changes = dict[str, tuple[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Mutation:
    """What a change of the configuration did.

    Attributes:
        changed: whether the file is another than before.
        path: the file, links resolved.
        old_hash, new_hash: SHA-256 of its content before and after.
        backup: the copy from before, None where none was made.
        outcome: "accepted", "rolled_back" or "unchanged".
        record: its line in the audit log.
        audit: where that log is.
    """

    changed: bool
    path: Path
    old_hash: str
    new_hash: str
    backup: Path | None
    outcome: str
    record: AuditRecord
    audit: Path

    @property
    def changes(self) -> Changes:
        """(old, new) by field."""
        return self.record.changes

    def undo(self, *, trigger: str = "undo", now_ns: int | None = None) -> Mutation:
        """Bring the file back to what it was before this change.

        Raises:
            ConfigMutationError: the file was changed since, or there is no backup.
        """
        if not self.changed:
            raise ConfigMutationError(f"{self.path}: nothing was changed, so that there is nothing to take back")
        return rollback(
            self.path, self.old_hash, trigger=trigger, expected_hash=self.new_hash, audit=self.audit, now_ns=now_ns
        )

    def text(self) -> str:
        """The mutation as one sentence."""
        changes = self.record.changes_text() or "nothing changed"
        copy = f"; before: {self.backup.name}" if self.backup is not None else ""
        noticed = f" ({self.record.reason})" if self.record.reason else ""
        return f"{self.path}: {self.outcome.replace('_', ' ')}: {changes}{copy}{noticed}"

    def _repr_html_(self) -> str:
        rows = [(name, repr(old), repr(new)) for name, (old, new) in self.changes.items()]
        return columns_table(self.text(), ("setting", "before", "after"), rows)


class History(list[AuditRecord]):
    """The records of a file, the oldest first; a table in a notebook."""

    def text(self) -> str:
        """One line for each record."""
        return "\n".join(record.text() for record in self)

    def _repr_html_(self) -> str:
        rows = [(r.time[:19] + "Z", r.trigger, r.outcome, r.changes_text(), r.reason) for r in self]
        return columns_table("History", ("when", "trigger", "outcome", "changes", "reason"), rows)


def rollback(
    path: str | os.PathLike[str],
    to: str | None = None,
    *,
    trigger: str = "rollback",
    expected_hash: str | None = None,
    backup: bool = True,
    audit: str | os.PathLike[str] | None = None,
    details: Mapping[str, Any] | None = None,
    now_ns: int | None = None,
) -> Mutation:
    """Put a backup in the place of a configuration file, byte for byte; the limits of a change do not hold here.

    The file that is replaced is backed up as well, so that a rollback can be taken back.  A damaged audit log is put
    aside and a new one begun, for a bad configuration must not stay because of it.

    Args:
        path: the configuration file; it may be damaged or missing.
        to: a backup's name or time (its beginning is enough), or the beginning of the SHA-256 of a content; by
            default the newest backup that differs from the file.
        trigger: who or what asks for it, one line for the log.
        expected_hash: SHA-256 that the file must have now, so that nobody's later edit is lost; None does not look.
        backup, audit, details, now_ns: as for `mutate_config`.

    Returns:
        What was done; outcome "unchanged" where the file had that content already.

    Raises:
        ConfigMutationError: no such backup, or one that is itself no valid configuration or was changed since it was
            made; the file is not the expected one.
        ConfigWriteError: the operating system refused; the file is as it was.
        DomainError: an argument other than `path` and `to` makes no sense.
    """
    request = checked_request(trigger, details, False, now_ns)
    place = MutationPlace(path, audit)
    reason = unusable(place.target)
    if reason is not None and place.target.exists():
        raise place.refused_path(request, reason)
    with place.held():
        records, aside = _recovered_or_put_aside(place, request)
        old = place.target.read_bytes() if place.target.exists() else None
        present = place.present_hash()
        try:
            if expected_hash not in (None, present):
                raise ConfigMutationError(
                    f"{place.named}: its SHA-256 is {present or 'none'}, expected {expected_hash}: it was changed since"
                )
            source = find_backup(place.target, present, to, records)
            new, changes = _checked_backup(place, source, old, records)
        except ConfigError as error:
            raise place.refused(request, str(error), before=present, after=present, details=aside) from error
        after = sha256_bytes(new)
        if after == present:
            record = place.note(request, UNCHANGED, before=present, after=present, details=aside)
            return Mutation(False, place.target, present, present, None, UNCHANGED, record, place.log.path)
        about = {"rollback": source.name, **aside}
        mode = stat.S_IMODE(source.stat().st_mode)
        record, copy = place.replace(request, ROLLED_BACK, old, new, changes, backup=backup, details=about, mode=mode)
    return Mutation(True, place.target, record.before, record.after, copy, ROLLED_BACK, record, place.log.path)


def _recovered_or_put_aside(place: MutationPlace, request: Request) -> tuple[list[AuditRecord], dict[str, str]]:
    try:
        return place.recover(request.now_ns), {}
    except ConfigMutationError:
        log = place.log.path
        aside = log.with_name(f"{log.name}.damaged-{request.now_ns}")
        os.replace(log, aside)
        return [], {"damaged_log": aside.name}


def _checked_backup(
    place: MutationPlace, source: Path, old: bytes | None, records: list[AuditRecord]
) -> tuple[bytes, Changes]:
    """The content of a backup that is a valid configuration, and what differs from the file as it is."""
    new = read_content(source)
    hashes = [record.before for record in records if record.backup == source.name]
    if hashes and sha256_bytes(new) not in hashes:
        raise ConfigMutationError(f"{source}: was changed since it was made, by its SHA-256 in the audit log")
    named = os.fspath(source)
    wanted = configuration(checked_tables(text_of(new, named), named), named, exists=True)
    if old is None:
        return new, {}
    try:
        present = parse_config(text_of(old, place.named), source=place.named)
    except ConfigError:
        return new, {}  # the present file says nothing that could be compared
    return new, {
        name: (getattr(present, name), getattr(wanted, name))
        for name in DECLARATIONS
        if getattr(present, name) != getattr(wanted, name)
    }


__all__ = [
    "AuditRecord",
    "History",
    "Mutation",
    "history",
    "mutate_config",
    "record_decision",
    "rollback",
    "verify_audit",
]


def mutate_config(
    path: str | os.PathLike[str],
    changes: Mapping[str, Any],
    *,
    trigger: str,
    max_relative_change: float = 0.5,
    override_limit: bool = False,
    rate_limit_per_hour: int = 10,
    min_stability_ticks: int = 1000,
    ticks_since_last: int | None = None,
    backup: bool = True,
    audit: str | os.PathLike[str] | None = None,
    details: Mapping[str, Any] | None = None,
    now_ns: int | None = None,
) -> Mutation:
    """Change some settings in a configuration file, or refuse all of them; comments and order stay.

    Every call leaves a line in the audit log, refusals and calls that change nothing included; only a path that is no
    file leaves none where there is no log yet.

    Args:
        path: the TOML file, which must be valid.
        changes: new values by field name.
        trigger: who or what asks for it, one line for the log.
        max_relative_change: how far a value may move in one change, see `mutation_policy.too_far`.
        override_limit: whether that limit is lifted; the log says so.
        rate_limit_per_hour: changes of this file in the last hour at the most, by the log.
        min_stability_ticks: ticks that must lie between two changes [ticks].
        ticks_since_last: ticks since the last change; None is not judged [ticks].
        backup: whether the old file is kept, as `NAME.bak` and with the time in its name; the newest 50 stay.
        audit: the log; by default `io/mutations.log` in the folder of the file.
        details: whatever else the log should hold, of JSON's types.
        now_ns: the time; the clock's by default [ns since 1970].

    Returns:
        What was done; outcome "unchanged" where every value was there already.

    Raises:
        ConfigMutationError: the file cannot be used; a field is unknown, locked or stands in a section that is never
            changed automatically; a value is of the wrong type, outside its range, contradicts another or moves too
            far; the rate or the stability limit; a damaged log.
        ConfigWriteError: the operating system refused (disk full, read-only, lock held); the file is as it was.
        DomainError: an argument other than `path` and `changes` makes no sense.
    """
    _check_limits(max_relative_change, rate_limit_per_hour, min_stability_ticks, ticks_since_last)
    request = checked_request(trigger, details, override_limit, now_ns)
    place = MutationPlace(path, audit)
    reason = unusable(place.target)
    if reason is not None:
        raise place.refused_path(request, reason)
    with place.held():
        records = place.recover(request.now_ns)
        content, text, tables = _present(place, request)
        present = sha256_bytes(content)
        pairs, problems = _judge(configuration(tables, place.named), changes, max_relative_change, override_limit)
        if pairs or problems:
            accepted = (record.time_ns for record in records if record.outcome == ACCEPTED)
            problems += too_often(accepted, request.now_ns, rate_limit_per_hour, ticks_since_last, min_stability_ticks)
        if problems:
            raise place.refused(request, "; ".join(problems), changes=pairs, before=present, after=present)
        if not pairs:
            record = place.note(request, UNCHANGED, before=present, after=present)
            return Mutation(False, place.target, present, present, None, UNCHANGED, record, place.log.path)
        try:
            written = with_values(text, tables, {name: pair[1] for name, pair in pairs.items()}, place.named)
        except ConfigMutationError as error:
            raise place.refused(request, str(error), changes=pairs, before=present, after=present) from error
        mark = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
        record, copy = place.replace(request, ACCEPTED, content, mark + written.encode(), pairs, backup=backup)
    return Mutation(True, place.target, record.before, record.after, copy, ACCEPTED, record, place.log.path)


def record_decision(
    path: str | os.PathLike[str],
    outcome: str,
    trigger: str,
    details: Mapping[str, Any] | None = None,
    *,
    reason: str = "",
    changes: Mapping[str, tuple[Any, Any]] | None = None,
    audit: str | os.PathLike[str] | None = None,
    now_ns: int | None = None,
) -> AuditRecord:
    """Add a line to the audit log of a configuration file and leave the file alone.

    Args:
        path: the configuration file.
        outcome: the decision, one word such as "rejected" or "watching".
        trigger: who or what decided.
        details: whatever else the log should hold, of JSON's types.
        reason: a sentence.
        changes: (old, new) by field, of what was considered.
        audit, now_ns: as for `mutate_config`.

    Raises:
        DomainError: an outcome that is no word, or one that only a change of the file may have.
        ConfigMutationError: the log is damaged.
        ConfigWriteError: the operating system refused.
    """
    if not outcome.isidentifier() or outcome in (INTENT, ACCEPTED, ROLLED_BACK, ABANDONED, UNKNOWN):
        raise DomainError(f"outcome = {outcome!r}: expected one word that does not say that the file was changed")
    request = checked_request(trigger, details, False, now_ns)
    place = MutationPlace(path, audit)
    considered: Changes = {}
    for name, pair in (changes or {}).items():
        old, new = plain_json(list(pair), f"changes.{name}")
        considered[name] = (old, new)
    with place.reword_errors("nothing was recorded"):
        present = place.present_hash()
        return place.note(request, outcome, reason=reason, changes=considered, before=present, after=present)


def history(
    path: str | os.PathLike[str], *, audit: str | os.PathLike[str] | None = None, now_ns: int | None = None
) -> History:
    """What has happened to a configuration file, the oldest first.

    What a crash left unfinished is settled, as before a change: by the hash of the file.

    Args:
        path: the configuration file.
        audit, now_ns: as for `mutate_config`.

    Raises:
        IntegrityError: the log is damaged; `verify_audit` says where.
        OSError: it cannot be read.
    """
    place = MutationPlace(path, audit)
    records, check = place.log.read()
    if not check.ok:
        raise IntegrityError(f"{place.log.path}, line {check.first_bad_line}: {check.reason}")
    return collect_history(place, records, checked_request("history", None, False, now_ns))


def collect_history(place: MutationPlace, records: list[AuditRecord], request: Request) -> History:
    """The records of one file among those of a log, with no intent that another line settles."""
    own = [record for record in records if record.file == place.name]
    if pending(own):
        # A change may be going on right now: then its intent is told as it stands.
        with contextlib.suppress(ConfigError), place.held(lock_timeout_s=0.5):
            place.recover(request.now_ns)
        own = [record for record in place.log.read()[0] if record.file == place.name]
    unsettled = {record.hash for record in pending(own)}
    return History(record for record in own if record.outcome != INTENT or record.hash in unsettled)


def _judge(
    config: PredictorConfig, changes: Mapping[str, Any], share: float, override: bool
) -> tuple[Changes, list[str]]:
    """(old, new) of every field that would change, and why it may not."""
    judged: Changes = {}
    problems: list[str] = []
    for name, value in changes.items():
        refusal = refused_name(name)
        if refusal is not None:
            problems.append(refusal)
            continue
        try:
            new = checked_scalar(name, value, DECLARATIONS[name], DEFAULTS[name])
        except ConfigError as error:
            problems.append(str(error))
            continue
        old = getattr(config, name)
        if new == old:
            continue
        judged[name] = (old, new)
        far = None if override else too_far(name, old, new, share)
        if far is not None:
            problems.append(f"{far}; go in smaller steps, or lift the limit with override_limit=True")
    return judged, problems


def _check_limits(share: float, per_hour: int, stable_ticks: int, ticks: int | None) -> None:
    if not (math.isfinite(share) and share > 0):
        raise DomainError(f"max_relative_change = {share} must be a number above 0; 0.5 is half")
    if per_hour < 1:
        raise DomainError(f"rate_limit_per_hour = {per_hour} must be at least 1")
    if stable_ticks < 0 or (ticks is not None and ticks < 0):
        raise DomainError(f"min_stability_ticks = {stable_ticks} and ticks_since_last = {ticks} must not be below 0")


def _present(place: MutationPlace, request: Request) -> tuple[bytes, str, Tables]:
    """Bytes, text and content of the file as it is, which is a valid configuration."""
    content = None
    try:
        content = read_content(place.target)
        text = text_of(content, place.named)
        tables = checked_tables(text, place.named)
        configuration(tables, place.named)
        return content, text, tables
    except ConfigError as error:
        before = "" if content is None else sha256_bytes(content)
        raise place.refused(request, f"the present file cannot be used: {error}", before=before) from error
