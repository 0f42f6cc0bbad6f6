"""The credentials vault: a private file of assignments that a service puts into its environment before it connects."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import MutableMapping
from pathlib import Path

from ...errors import DomainError

MOST_BYTES = 65_536
PREFIX = "USPNB_"
OPEN_TO_OTHERS = 0o177  # beyond reading and writing by the owner
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def unlock(
    path: str | os.PathLike[str], environment: MutableMapping[str, str] = os.environ
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Put the assignments of a vault into the environment, where sources and stores read their credentials.

    A line is `NAME=VALUE`, the value in quotes or not, blank, or a comment that begins with #.  What the environment
    already holds stays.  No value appears in a message or in what is returned.

    Args:
        path: the file; its owner alone may read and write it (mode 600 or 400).
        environment: where the assignments go.

    Returns:
        Names that were set, and names that were not because the environment had them already.

    Raises:
        DomainError: no regular file, open to others or somebody else's, too large, not UTF-8, or a line that is no
            assignment of a name that begins with USPNB_.
    """
    assignments = _parsed(_private_text(Path(path).expanduser()), Path(path).name)
    fresh = {name: value for name, value in assignments.items() if name not in environment}
    environment.update(fresh)
    return tuple(fresh), tuple(name for name in assignments if name not in fresh)


def _private_text(path: Path) -> str:
    try:
        # The permissions are those of the file that is read, not of one that may take its place in between.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise DomainError(f"the vault {path} cannot be read: {error.strerror or error}") from None
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        os.close(descriptor)
        raise DomainError(f"the vault {path} is no regular file; name a file of NAME=VALUE lines")
    with os.fdopen(descriptor, "rb") as file:
        mode = stat.S_IMODE(about.st_mode)
        if mode & OPEN_TO_OTHERS:
            raise DomainError(f"the vault {path} has mode {mode:04o}, so that others may use it; chmod 600 it first")
        if about.st_uid not in (os.geteuid(), 0):
            raise DomainError(f"the vault {path} belongs to user {about.st_uid}, not to the one that runs this")
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DomainError(f"the vault {path} exceeds {MOST_BYTES} bytes and so is no list of credentials")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DomainError(f"the vault {path} is not UTF-8 text, at byte {error.start}") from None


def _parsed(text: str, name: str) -> dict[str, str]:
    assignments: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        # The line itself may hold a secret, so only its number and a proper name are told.
        if match is None:
            raise DomainError(f"{name}, line {number} is no assignment; write NAME=VALUE")
        key, value = match[1], match[2]
        if not key.startswith(PREFIX):
            raise DomainError(f"{name}, line {number} sets {key}; a vault holds names that begin with {PREFIX} only")
        if key in assignments:
            raise DomainError(f"{name}, line {number} sets {key} a second time; keep one")
        if "\0" in value:
            raise DomainError(f"{name}, line {number} holds a character that no environment carries")
        quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
        assignments[key] = value[1:-1] if quoted else value
    return assignments
