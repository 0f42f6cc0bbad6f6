"""Writes that wait for a lost store, and how they are made once when it is back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..snapshots.codec import checksum_of
from .base import Store, Stored, StoreUnavailableError

FLUSH_ROUNDS = 3


@dataclasses.dataclass
class Waiting:
    """A record that is to be written over a version.

    Attributes:
        record: the newest one; ends with its checksum, which no other record shares.
        base: the version that it is to be written over, 0 for none.
        attempts: checksums of records of this key that were sent without an answer, and may have come through.
    """

    record: bytes
    base: int
    attempts: tuple[str, ...] = ()

    def sent(self) -> None:
        """Remember that the record is on its way."""
        self.attempts = (*self.attempts, checksum_of(self.record))


class Flushed(NamedTuple):
    """What became of waiting records: versions by key, the records that another writer won over, what went wrong."""

    versions: dict[str, int]
    conflicts: dict[str, bytes]
    problem: str


class Outbox:
    """Records by key that wait for a store, the newest of each key.

    A write without an answer may have been made.  So nothing is sent again blindly: the store is read first, and a
    value that is one of our own unanswered attempts counts as written.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, Waiting] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._waiting

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._waiting))

    def __getitem__(self, key: str) -> Waiting:
        return self._waiting[key]

    def hold(self, key: str, waiting: Waiting) -> None:
        """Keep a record until `flush` has written it."""
        self._waiting[key] = waiting

    def replace(self, records: Mapping[str, bytes]) -> None:
        """Put newer records in the place of waiting ones; what has nothing waiting is left alone."""
        for key, waiting in self._waiting.items():
            waiting.record = records.get(key, waiting.record)

    def drop(self, key: str) -> bool:
        """Keep a record no longer; returns whether there was one."""
        return self._waiting.pop(key, None) is not None

    def flush(self, keys: Sequence[str]) -> Flushed:
        """Write what waits under some keys, after finding out which unanswered attempts had come through."""
        versions = {key: self._waiting[key].base for key in keys if key in self._waiting}
        conflicts: dict[str, bytes] = {}
        left: list[str] = list(versions)
        try:
            # A late command of an earlier attempt may come between reading and writing, hence more rounds than one.
            for _ in range(FLUSH_ROUNDS):
                if left:
                    self._settle(left, versions, conflicts)
                    self._write([key for key in left if key in self._waiting], versions)
                    left = [key for key in left if key in self._waiting]
        except StoreUnavailableError as error:
            return Flushed(versions, conflicts, str(error))
        return Flushed(versions, conflicts, "other writes keep coming in between; try again" if left else "")

    def _settle(self, keys: Sequence[str], versions: dict[str, int], conflicts: dict[str, bytes]) -> None:
        """Read what the store holds: our base, one of our own attempts, or another writer's value."""
        for key, stored in zip(keys, self._store.get_many(keys), strict=True):
            waiting, version = self._waiting[key], stored.version if stored else 0
            if version == waiting.base:
                continue
            held = _checksum(stored)
            if held not in waiting.attempts:
                conflicts[key] = self._waiting.pop(key).record
                continue
            waiting.base = versions[key] = version
            if held == checksum_of(waiting.record):
                del self._waiting[key]

    def _write(self, keys: Sequence[str], versions: dict[str, int]) -> None:
        for key in keys:
            self._waiting[key].sent()
        writes = [(key, self._waiting[key].record, self._waiting[key].base) for key in keys]
        answers = self._store.set_many(writes) if writes else []
        for key, version in zip(keys, answers, strict=True):
            if version is not None:
                versions[key] = version
                del self._waiting[key]


def _checksum(stored: Stored | None) -> str:
    return checksum_of(stored.value) if stored else ""
