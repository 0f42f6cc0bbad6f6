"""Where a campaign is kept: what every storage does, a journal file, and which of them an address names."""

from __future__ import annotations

import abc
import contextlib
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from ..errors import DomainError, IntegrityError
from .journal import JournalFile
from .ownership import is_alive, owner_of

STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_quiet = threading.RLock()


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
        """What the storage calls a trial."""
        return self.storage.get_trial_id_from_study_id_trial_number(self._id, number)

    def trials(self) -> list[FrozenTrial]:
        """All trials in the order of their numbers, to be read only."""
        return self.storage.get_all_trials(self._id, deepcopy=False)

    def identity(self) -> dict[str, Any]:
        """What the study says about its campaign; empty where it is new."""
        return self.storage.get_study_user_attrs(self._id).get("uspnb", {})

    def set_identity(self, identity: dict[str, Any]) -> None:
        """Say what campaign this is."""
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
        from .database import DatabaseStore  # SQLAlchemy is not for everybody

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
