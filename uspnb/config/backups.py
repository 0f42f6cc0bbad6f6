"""Copies of a configuration file from before each change: `config.toml.bak`, and one with a time for each change."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from ..errors import ConfigMutationError
from ..runtime.digest import sha256_bytes
from ..runtime.files import replace_content
from .audit import AuditRecord, iso_time

KEPT = 50
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
    """Where the newest copy lies."""
    return target.with_name(f"{target.name}.bak")


def backups_of(target: Path) -> list[Backup]:
    """The copies with a time, the newest first."""
    name = re.compile(rf"{re.escape(target.name)}\.bak\.(\d{{8}}T\d{{6}}\.\d{{9}}Z)(?:-(\d+))?")
    found = []
    for entry in os.scandir(target.parent):
        match = name.fullmatch(entry.name)
        if match and entry.is_file():
            found.append(Backup(target.with_name(entry.name), match[1], int(match[2] or 0)))
    return sorted(found, key=lambda backup: (backup.stamp, backup.repeat), reverse=True)


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


def prune_backups(target: Path, kept: int = KEPT) -> None:
    """Remove all but the newest copies; one that cannot be removed does no harm."""
    for backup in backups_of(target)[kept:]:
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
    found = backups_of(target)
    latest = latest_backup(target)
    if which is None:
        for path in [*(backup.path for backup in found), *([latest] if latest.is_file() else [])]:
            if sha256_bytes(path.read_bytes()) != present:
                return path
        raise ConfigMutationError(f"{target}: there is no backup that differs from the present file")
    if which in (latest.name, *(backup.path.name for backup in found)) and target.with_name(which).is_file():
        return target.with_name(which)
    meant = _of_time(found, which) or _of_hash(found, which)
    contents = {backup.hash(): backup.path for backup in reversed(meant)}
    if len(contents) == 1:
        return next(iter(contents.values()))
    if contents:
        names = ", ".join(backup.path.name for backup in meant[:5])
        raise ConfigMutationError(f"{which!r} means {len(meant)} backups of {target.name}: {names}; name one of them")
    known = any(_is_hash(which) and hashed.startswith(which.lower()) for r in records for hashed in (r.before, r.after))
    why = "that content is in the history, but no backup of it is kept" if known else "there is no such backup"
    told = ", ".join(backup.path.name for backup in found[:5]) or "none"
    raise ConfigMutationError(f"{target}: {which!r}: {why}; the newest backups: {told}")


def _of_time(found: list[Backup], which: str) -> list[Backup]:
    stamp = re.sub(r"[-:]", "", which.replace(" ", "T")).removesuffix("Z")
    if not re.fullmatch(r"\d{8}(T\d{0,6}(\.\d{0,9})?)?", stamp):
        return []
    return [backup for backup in found if backup.stamp.startswith(stamp)]


def _of_hash(found: list[Backup], which: str) -> list[Backup]:
    return [backup for backup in found if _is_hash(which) and backup.hash().startswith(which.lower())]


def _is_hash(text: str) -> bool:
    return re.fullmatch(rf"[0-9a-fA-F]{{{SHORTEST_HASH},64}}", text) is not None
