"""Where a campaign is kept: a journal file, SQLite or PostgreSQL, which several processes and machines may share."""

from __future__ import annotations

import abc
import contextlib
import hashlib
import json
import logging
import os
import re
import socket
import threading
import uuid
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import psutil
from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from ..errors import DomainError, IntegrityError
from ..runtime.files import lock_path
from .journal import LOCK_POLL_S, LOCK_TIMEOUT_S, JournalFile

# Two readings of one process's start differ by the rounding of the boot time.
START_TOLERANCE_S = 2.0
_active: set[str] = set()
_lock = threading.Lock()
STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_quiet = threading.RLock()
DATABASES = ("sqlite", "postgresql")
HEARTBEAT_S = 20
GRACE_S = 90
# The tables are those of all studies; a study's own lock is named by its hash.
SCHEMA_KEY = 0


class Owner(NamedTuple):
    """One call of `optimize`.

    Attributes:
        host, pid: the machine and the process.
        started: when the process began [s since 1970], since numbers of processes are used again.
        run: names the call within its process.
    """

    host: str
    pid: int
    started: float
    run: str

    def text(self) -> str:
        """The owner as JSON, for a trial's attribute."""
        return json.dumps(self._asdict(), separators=(",", ":"))


def owner_of(text: str) -> Owner | None:
    """The owner that a trial names; None where it names none."""
    return Owner(**json.loads(text)) if text else None


@contextlib.contextmanager
def active_run() -> Iterator[Owner]:
    """The owner of what this call asks for; when it ends, whatever still runs may be taken over."""
    process = psutil.Process()
    owner = Owner(socket.gethostname(), os.getpid(), process.create_time(), uuid.uuid4().hex)
    with _lock:
        _active.add(owner.run)
    try:
        yield owner
    finally:
        with _lock:
            _active.discard(owner.run)


def is_alive(owner: Owner) -> bool | None:
    """Whether an owner still works; None where it is on another machine, so that this one cannot tell."""
    if owner.host != socket.gethostname():
        return None
    if owner.pid == os.getpid():
        with _lock:
            return owner.run in _active
    try:
        process = psutil.Process(owner.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(process.create_time() - owner.started) < START_TOLERANCE_S
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # something runs under this number, and it is not ours to look into


class Store(abc.ABC):
    """One study in one storage.

    Args:
        storage: Optuna's.
        study_name: the study; made if it is not there.
        place: where it lies, for people; no password in it.
        trimmed: bytes of a torn record that were cut off.
    """

    def __init__(self, storage: BaseStorage, study_name: str, place: str, trimmed: int = 0) -> None:
        self.place, self.trimmed = place, trimmed
        self.gone_hosts: set[str] = set()
        # Before a database Optuna puts a cache, so that finished trials are read once.
        self.storage = optuna.storages.get_storage(storage)
        with self.turn(), quiet_optuna():
            # `create_study` with `load_if_exists` would write a record whenever somebody looks.
            if study_name not in optuna.get_all_study_names(self.storage):
                optuna.create_study(storage=self.storage, study_name=study_name, direction="minimize")
        self.study = optuna.load_study(storage=self.storage, study_name=study_name)
        self._id = self.storage.get_study_id_from_name(study_name)

    @abc.abstractmethod
    def turn(self) -> contextlib.AbstractContextManager[None]:
        """Within, no other process asks this study for trials."""

    def together(self) -> contextlib.AbstractContextManager[None]:
        """What is written within goes to the disk at its end, where that is cheaper."""
        return contextlib.nullcontext()

    def beating(self, numbers: Sequence[int]) -> contextlib.AbstractContextManager[None]:
        """Show, to other machines, that the owner of these trials lives."""
        return contextlib.nullcontext()

    def id_of(self, number: int) -> int:
        """The storage's own number of a trial."""
        return self.storage.get_trial_id_from_study_id_trial_number(self._id, number)

    def trials(self) -> list[FrozenTrial]:
        """All trials in the order of their numbers, to be read only."""
        return self.storage.get_all_trials(self._id, deepcopy=False)

    def identity(self) -> dict[str, Any]:
        """What the study says about its campaign; empty where it is new."""
        return self.storage.get_study_user_attrs(self._id).get("uspnb", {})

    def set_identity(self, identity: dict[str, Any]) -> None:
        """Write the campaign's identity into the study."""
        self.storage.set_study_user_attr(self._id, "uspnb", identity)

    def add(self, trial: FrozenTrial) -> None:
        """One more trial, written as one record."""
        self.storage.create_new_trial(self._id, trial)

    def is_abandoned(self, trial: FrozenTrial) -> bool:
        """Whether a running trial's owner is dead."""
        if trial.state != TrialState.RUNNING or "batch" not in trial.user_attrs:
            return False
        owner = owner_of(trial.user_attrs.get("owner", ""))
        if owner is None or owner.host in self.gone_hosts:
            return True
        alive = is_alive(owner)
        return self._is_silent(trial) if alive is None else not alive

    def _is_silent(self, trial: FrozenTrial) -> bool:
        return False

    @abc.abstractmethod
    def close(self) -> None:
        """Give connections back."""


class JournalStore(Store):
    """A study in a journal file.

    Args:
        path: the journal.
        study_name: the study.
    """

    def __init__(self, path: Path, study_name: str) -> None:
        self._file = JournalFile(path)
        super().__init__(_replayed(self._file), study_name, str(self._file.path), self._file.trimmed)

    def turn(self) -> contextlib.AbstractContextManager[None]:
        """Holds the journal."""
        return self._file.together()

    def together(self) -> contextlib.AbstractContextManager[None]:
        """One fsync for all records."""
        return self._file.together()

    def close(self) -> None:
        """Nothing is held open."""


def open_store(place: str, study_name: str, folder: Path) -> Store:
    """Open a campaign's storage.

    Args:
        place: a file, or an address with ``://``; empty is a journal in `folder`.
        study_name: letters, digits, dot, dash and underscore, as it names files.
        folder: of the journal where `place` is empty; made if it is not there.

    Raises:
        DomainError: a name or a place that cannot be used, a database that cannot be reached.
        IntegrityError: the journal is damaged.
        OSError: the file cannot be read or written.
    """
    if "://" in place:
        return DatabaseStore(place, study_name)
    if not place:
        folder.mkdir(parents=True, exist_ok=True)
    return JournalStore(Path(place) if place else folder / f"{study_name}.journal", study_name)


def exists(place: str, study_name: str, folder: Path) -> bool:
    """Whether there is something to open without making anything; a database is taken to be there."""
    return "://" in place or (Path(place) if place else folder / f"{study_name}.journal").is_file()


def checked_name(study_name: Any) -> str:
    """A name of a study that can name files.

    Raises:
        DomainError: it cannot.
    """
    if not isinstance(study_name, str) or not STUDY_NAME.fullmatch(study_name):
        raise DomainError(
            f"study_name = {study_name!r} must be 1 to 100 letters, digits, dots, dashes or underscores, as it names "
            "files, and must begin with a letter or digit"
        )
    return study_name


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna says nothing about studies that are made."""
    with _quiet:
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(before)


def _replayed(file: JournalFile) -> JournalStorage:
    try:
        return JournalStorage(file)
    except (KeyError, AssertionError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{file.path} cannot be replayed ({type(error).__name__}: {error}); put it aside and go on from a "
            "checkpoint (load_study), or give another study_name"
        ) from error


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
            masked = re.sub(r":[^:@/]*@", ":***@", url)
            raise DomainError(f"storage {masked!r} is no address of a database ({error})") from error
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


def _connected(url: str, kind: str, masked: str, lock: FileLock | None) -> RDBStorage:
    from sqlalchemy.exc import SQLAlchemyError

    waiting = {"connect_args": {"timeout": LOCK_TIMEOUT_S}} if kind == "sqlite" else {"pool_pre_ping": True}
    try:
        with warnings.catch_warnings(), _schema_turn(url, lock):
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return RDBStorage(url, engine_kwargs=waiting, heartbeat_interval=HEARTBEAT_S, grace_period=GRACE_S)
    except ModuleNotFoundError as error:
        raise DomainError(
            f"storage {masked} needs the package {error.name}; install it with: pip install 'uspnb[cluster]'"
        ) from error
    except ImportError as error:
        raise DomainError(f"storage {masked}: the driver cannot be loaded ({error})") from error
    except (SQLAlchemyError, RuntimeError) as error:
        raise DomainError(f"storage {masked} cannot be opened: {error}") from error
