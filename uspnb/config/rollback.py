"""Putting a backup of `config.toml` back in its place."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError, ConfigMutationError
from ..runtime.digest import sha256_bytes
from .audit import ROLLED_BACK, UNCHANGED, AuditRecord
from .backups import find_backup
from .load import checked_tables, configuration, parse_config, read_content, text_of
from .mutation import Changes, Mutation
from .mutation_place import MutationPlace, unusable
from .mutation_request import Request, checked_request
from .schema import DECLARATIONS


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
    made = [record.before for record in records if record.backup == source.name]
    if made and sha256_bytes(new) not in made:
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
