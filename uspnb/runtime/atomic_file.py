"""Writing a file so that a reader, a crash or a second writer never sees half of it."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import uuid
from pathlib import Path

from filelock import FileLock

LOCK_TIMEOUT_S = 30.0


def write_atomic(path: str | os.PathLike[str], data: bytes | str, *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> Path:
    """Replace the content of a file by `data`, all of it or nothing.

    The bytes go to a temporary file in the same folder, are forced to disk, and take the place of the old file by one
    rename; then the folder is forced to disk, so that the rename itself survives a power cut.  Writers of one file
    take turns through a lock file beside it (`.NAME.lock`).  The permissions of an existing file are kept, and a
    symbolic link is followed rather than replaced.

    Args:
        path: the file to write; its folder must exist.
        data: the whole new content; text is encoded as UTF-8 with the newlines it has.
        lock_timeout_s: how long to wait for another writer [s].

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
        replace_content(target, content)
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
        _write_through(temporary, content)
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


def _write_through(path: Path, content: bytes) -> None:
    # "xb" refuses an existing file and honours the umask, which `tempfile` does not.
    with path.open("xb") as stream:
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
