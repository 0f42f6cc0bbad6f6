"""Campaigns in a database, SQLite or PostgreSQL, which several machines may share."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from ..errors import DomainError
from ..runtime.files import lock_path
from .journal import LOCK_POLL_S, LOCK_TIMEOUT_S
from .storage import Store

DATABASES = ("sqlite", "postgresql")
HEARTBEAT_S = 20
GRACE_S = 90
# The tables are those of all studies; a study's own lock is named by its hash.
SCHEMA_KEY = 0


class DatabaseStore(Store):
    """A study in SQLite or PostgreSQL.

    Args:
        url: as SQLAlchemy takes it.
        study_name: the study.
    """

    def __init__(self, url: str, study_name: str) -> None:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            address = make_url(url)
        except ArgumentError as error:
            told = re.sub(r":[^:@/]*@", ":***@", url)
            raise DomainError(f"storage {told!r} is no address of a database ({error})") from error
        self._kind = address.get_backend_name()
        if self._kind not in DATABASES or (self._kind == "sqlite" and address.database in (None, "", ":memory:")):
            raise DomainError(
                f"storage {address.render_as_string()!r}: a campaign is kept in a journal file, in an SQLite file "
                "(sqlite:///FILE.db) or in PostgreSQL (postgresql+psycopg://USER@HOST/NAME)"
            )
        self._key = int.from_bytes(hashlib.sha256(study_name.encode()).digest()[:8], "big", signed=True)
        self._lock = None
        if self._kind == "sqlite":
            path = Path(str(address.database))
            if not path.parent.is_dir():
                raise DomainError(f"there is no folder {path.parent} for the database {path.name}; make it first")
            self._lock = FileLock(lock_path(path), timeout=LOCK_TIMEOUT_S, poll_interval=LOCK_POLL_S)
        self._database = _connected(url, self._kind, address.render_as_string(), self._lock)
        super().__init__(self._database, study_name, address.render_as_string())

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """A file lock, or PostgreSQL's advisory lock, which ends with its connection."""
        if self._lock is not None:
            with self._lock:
                yield
            return
        with _advisory_lock(self._database.engine, self._key):
            yield

    @contextlib.contextmanager
    def beating(self, numbers: Sequence[int]) -> Iterator[None]:
        """A thread that writes Optuna's heartbeat of each trial."""
        ids = [self.id_of(number) for number in numbers]
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT_S):
                try:
                    self.beat(ids)
                except Exception as error:  # whatever the database says: a missed beat must not end the campaign
                    logging.getLogger(__name__).warning("a heartbeat could not be written: %s", error)

        self.beat(ids)
        thread = threading.Thread(target=beat, name="uspnb-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def beat(self, ids: Sequence[int]) -> None:
        """One heartbeat of each trial."""
        for trial_id in ids:
            self._database.record_heartbeat(trial_id)

    def add(self, trial: FrozenTrial) -> None:
        """One more trial in one transaction, and its first heartbeat."""
        self.beat([self.storage.create_new_trial(self._id, trial)])

    def _is_silent(self, trial: FrozenTrial) -> bool:
        return self.id_of(trial.number) in self._database._get_stale_trial_ids(self._id)

    def close(self) -> None:
        """Give connections back."""
        self._database.remove_session()
        self._database.engine.dispose()


@contextlib.contextmanager
def _advisory_lock(engine: Any, key: int) -> Iterator[None]:
    from sqlalchemy import text

    with engine.connect() as connection:
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT_S:.0f}s'"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})


@contextlib.contextmanager
def _schema_turn(url: str, lock: FileLock | None) -> Iterator[None]:
    """The only one of all processes that makes a database's tables: Optuna first looks and then makes them."""
    if lock is not None:
        with lock:
            yield
        return
    from sqlalchemy import create_engine

    engine = create_engine(url)
    try:
        with _advisory_lock(engine, SCHEMA_KEY):
            yield
    finally:
        engine.dispose()


def _connected(url: str, kind: str, told: str, lock: FileLock | None) -> RDBStorage:
    from sqlalchemy.exc import SQLAlchemyError

    waiting = {"connect_args": {"timeout": LOCK_TIMEOUT_S}} if kind == "sqlite" else {"pool_pre_ping": True}
    try:
        with warnings.catch_warnings(), _schema_turn(url, lock):
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return RDBStorage(url, engine_kwargs=waiting, heartbeat_interval=HEARTBEAT_S, grace_period=GRACE_S)
    except ModuleNotFoundError as error:
        raise DomainError(
            f"storage {told} needs the package {error.name}; install it with: pip install 'uspnb[cluster]'"
        ) from error
    except ImportError as error:
        raise DomainError(f"storage {told}: the driver cannot be loaded ({error})") from error
    except (SQLAlchemyError, RuntimeError) as error:
        raise DomainError(f"storage {told} cannot be opened: {error}") from error
