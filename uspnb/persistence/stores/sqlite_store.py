"""A store in one SQLite file: durable, for any number of threads and processes of one machine, without a server."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import DomainError, IntegrityError
from ...runtime.arguments import check_number
from .base import Keys, Stored, StoreUnavailableError, TransactionalStore, Value

APPLICATION_ID = 0x75737062  # "uspb": the file says whose it is (sqlite.org/pragma.html, application_id)
LAYOUT_VERSION = 1
PAGE_BYTES = 16_384
KEYS_PER_QUERY = 500  # below the 999 parameters that every SQLite allows

_SCHEMA = (
    "CREATE TABLE entry (key TEXT PRIMARY KEY, version INTEGER NOT NULL, value BLOB NOT NULL)",
    "CREATE TABLE revision (last INTEGER NOT NULL)",
    "INSERT INTO revision VALUES (0)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {LAYOUT_VERSION}",
)
_READ_COLUMNS = "SELECT key, version, value FROM entry WHERE key IN "
_UPSERT = (
    "INSERT INTO entry (key, version, value) VALUES (?, ?, ?) "
    "ON CONFLICT (key) DO UPDATE SET version = excluded.version, value = excluded.value"
)


class SqliteStore(TransactionalStore):
    """A `Store` in one file, with a write-ahead log beside it (`-wal` and `-shm`; they belong to the file).

    What a write returned for survives a kill and a power cut: each commit is forced to disk.

    Args:
        path: the file; made where there is none, its folder must exist.
        timeout_s: how long to wait for another process that is writing [s].

    Raises:
        DomainError: the file is a database of something else, or of a later version of this one.
        StoreUnavailableError: it cannot be opened, or lies where SQLite cannot share memory (a network share).
        IntegrityError: it is no database, or a damaged one.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout_s: float = 10.0) -> None:
        self.path = Path(path)
        timeout_s = check_number("timeout_s", timeout_s, 0, unit="seconds")
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None
        self._place: tuple[int, int] | None = None
        with self._translate_errors():
            self._database = sqlite3.connect(
                self.path, timeout=timeout_s, isolation_level=None, check_same_thread=False
            )
        try:
            with self._translate_errors():
                self._prepare(self._database)
            self._place = _place(self.path)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"SqliteStore({str(self.path)!r})"

    def read(self, keys: Sequence[str]) -> Sequence[Stored | None]:
        """See `TransactionalStore.read`."""
        entries: dict[str, Stored] = {}
        for start in range(0, len(keys), KEYS_PER_QUERY):
            piece = keys[start : start + KEYS_PER_QUERY]
            rows = self._open_database().execute(f"{_READ_COLUMNS}({','.join('?' * len(piece))})", piece)
            entries |= {key: Stored(value, version) for key, version, value in rows}
        return [entries.get(key) for key in keys]

    def version(self, key: str) -> int:
        """See `TransactionalStore.version`."""
        row = self._open_database().execute("SELECT version FROM entry WHERE key = ?", (key,)).fetchone()
        return row[0] if row else 0

    def write(self, key: str, value: Value) -> int:
        """See `TransactionalStore.write`."""
        database = self._open_database()
        database.execute("UPDATE revision SET last = last + 1")
        (version,) = database.execute("SELECT last FROM revision").fetchone()
        database.execute(_UPSERT, (key, version, value))
        return version

    def remove(self, key: str) -> bool:
        """See `TransactionalStore.remove`."""
        return self._open_database().execute("DELETE FROM entry WHERE key = ?", (key,)).rowcount > 0

    def keys(self, prefix: str) -> Keys:
        """See `TransactionalStore.keys`."""
        # SQLite compares text by its UTF-8 bytes, which is the order of the code points.
        rows = self._open_database().execute(
            "SELECT key FROM entry WHERE key >= ? AND substr(key, 1, ?) = ? ORDER BY key", (prefix, len(prefix), prefix)
        )
        return [key for (key,) in rows]

    def close(self) -> None:
        """See `Store.close`."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _prepare(self, database: sqlite3.Connection) -> None:
        database.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # of a new file; half a state to a page
        (mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreUnavailableError(
                f"the file system of {self.path} does not let processes share memory, as a network share; put the "
                "store on a disk of this machine"
            )
        database.execute("PRAGMA synchronous = FULL")
        # Two processes may open a new file at once: the second must see what the first has made.
        with self.transaction(True) as locked:
            (owner,) = locked.execute("PRAGMA application_id").fetchone()
            (version,) = locked.execute("PRAGMA user_version").fetchone()
            (tables,) = locked.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if owner == 0 and tables == 0:
                for statement in _SCHEMA:
                    locked.execute(statement)
            elif owner != APPLICATION_ID:
                raise DomainError(f"{self.path} is a database of something else; name another file for the store")
            elif version != LAYOUT_VERSION:
                raise DomainError(
                    f"{self.path} has layout version {version}, and this program reads {LAYOUT_VERSION}; open it with "
                    "the program that wrote it"
                )

    def _open_database(self) -> sqlite3.Connection:
        if self._database is None:
            raise DomainError(f"the store {self.path} was closed; open it again")
        return self._database

    @contextlib.contextmanager
    def transaction(self, writing: bool) -> Iterator[sqlite3.Connection]:
        """See `TransactionalStore.transaction`; one of writing is forced to disk once, at its end."""
        with self._lock, self._translate_errors():
            database = self._open_database()
            if self._place is not None and _place(self.path) != self._place:
                # SQLite would go on writing to a file that has no name any more.
                raise StoreUnavailableError(f"{self.path} was removed or replaced while it was open; open it again")
            database.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                # A failed COMMIT of a full disk may have ended the transaction by itself.
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreUnavailableError(f"{self.path} cannot be used now: {error}; nothing was written") from error
        except sqlite3.DatabaseError as error:
            raise IntegrityError(f"{self.path} is no database or a damaged one: {error}") from error


def _place(path: Path) -> tuple[int, int] | None:
    """Which file lies at a path, None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
