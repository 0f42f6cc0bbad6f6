"""`StateStore`: the states of a fleet in a store, each written only over the version that it was computed from.

What a lost store could not take waits in an `Outbox`, and is written once when the store is back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from ...array_types import Int
from ...config.schema import PredictorConfig
from ...errors import DomainError, IntegrityError
from ...model.state import PredictorState
from ..snapshots.codec import checksum_of, decode, encode
from ..snapshots.payload import state_blocks
from ..snapshots.ranges import check_numbers
from .base import ConflictError, Store, Stored, StoreUnavailableError, checked_key
from .state_layout import StateLayout

ASSETS_SHOWN = 5
FLUSH_ROUNDS = 3


def _check(states: PredictorState, assets: Sequence[str]) -> None:
    """Refuse states that no series can have.

    Raises:
        DamagedStatesError: it names whose they are.
    """
    with contextlib.suppress(IntegrityError):
        return check_numbers(state_blocks(states), equations=False)
    reasons: dict[str, str] = {}
    for place, asset in enumerate(assets):
        try:
            check_numbers(state_blocks(jax.tree.map(lambda leaf, k=place: leaf[k], states)), equations=False)
        except IntegrityError as error:
            reasons[asset] = str(error)
    raise DamagedStatesError(tuple(reasons), next(iter(reasons.values())))


class DamagedStatesError(IntegrityError):
    """Stored states that cannot be read.

    Attributes:
        assets: whose; the others can be loaded without them.
    """

    def __init__(self, assets: tuple[str, ...], reason: str) -> None:
        super().__init__(assets, reason)
        self.assets, self.reason = assets, reason

    def __str__(self) -> str:
        named = ", ".join(self.assets[:ASSETS_SHOWN]) + (" ..." if len(self.assets) > ASSETS_SHOWN else "")
        return (
            f"the stored states of {len(self.assets)} series are damaged ({named}): {self.reason}; `forget` them to "
            "begin cold, or restore them from a snapshot"
        )


class Saved(NamedTuple):
    """What became of states that were to be saved.

    Attributes:
        assets: which, in order.
        versions: version of each in the store, to go on with; where it was not written, the one that it was based on.
        conflicts: those that another writer won; load them again and decide.
        pending: those that wait for the store, kept here; `save` and `flush` try them again.
        problem: why they wait, "" where none does.
    """

    assets: tuple[str, ...]
    versions: Int[np.ndarray, "asset"]
    conflicts: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    problem: str = ""


class StateStore:
    """States of many series in a `Store`, read and written in one round trip for all of them.

    A record is a file of the snapshots of kind "state" (checksum included) with the leaves at fixed places; the
    layout's description is stored once, so that a record says what it holds.  One `StateStore` is one writer: each
    thread and each process that writes has one of its own, over the same store if it likes.

    Args:
        store: where the bytes go; remains the caller's to close.
        like: the state that a series without a stored one begins with, without a batch axis
            (`FunctionalPredictor.init_state()`).
        config: the configuration of the predictor.
        prefix: beginning of all keys, a tenant's name for instance.

    Raises:
        DomainError: a state with a batch axis, or a prefix that no key may have.
    """

    def __init__(self, store: Store, like: PredictorState, config: PredictorConfig, *, prefix: str = "") -> None:
        self.layout = StateLayout(like, config)
        self._store, self._prefix = store, prefix
        self._cold = self.layout.pack(jax.tree.map(lambda leaf: np.asarray(leaf)[None], like))[0]
        first = jax.tree.leaves(like)[0]
        self._device = first.sharding if isinstance(first, jax.Array) else None
        self._writer = uuid.uuid4().bytes
        self._described = False
        self._layout_key = checked_key(f"{prefix}layout/{self.layout.digest}")
        self._outbox = Outbox(store)
        self._refused: dict[str, bytes] = {}

    @property
    def pending(self) -> tuple[str, ...]:
        """The series whose last state waits for the store; the process must not end before `flush` has emptied this."""
        return tuple(map(self._asset, self._outbox))

    def assets(self) -> list[str]:
        """The series that have a stored state, in the order of their names.

        Raises:
            StoreUnavailableError: see `Store`.
        """
        return [self._asset(key) for key in self._store.list(self._key(""))]

    def load(self, assets: Sequence[str]) -> tuple[PredictorState, Int[np.ndarray, "asset"]]:
        """States of some series, and the versions to give back to `save`.

        A series that waits for the store has its waiting state; one without a stored state has the cold one and
        version 0.

        Args:
            assets: names, each once; at least one.

        Returns:
            The states stacked along a leading axis, on the device of `like`, and int64 versions.

        Raises:
            DamagedStatesError: some cannot be read, or hold numbers that no state has; it names them.
            DomainError: no names, a name twice, or a state of other structural settings.
            StoreUnavailableError: see `Store`.
        """
        keys = self._keys(assets)
        wanted = [key for key in keys if key not in self._outbox]
        stored = self._store.get_many(wanted) if wanted else []
        entries = dict(zip(wanted, stored, strict=True))
        for key in keys:
            if key in self._outbox:
                entries[key] = Stored(self._outbox[key].record, self._outbox[key].base)
        states = self.layout.unpack(self._rows([entries[key] for key in keys], assets))
        _check(states, assets)
        versions = np.array([one.version if (one := entries[key]) else 0 for key in keys], np.int64)
        return jax.device_put(states, self._device), versions

    def save(self, assets: Sequence[str], states: PredictorState, versions: Int[np.ndarray, "asset"]) -> Saved:
        """Write states over the versions that they were computed from.

        Nothing is lost and nothing raised where the store cannot be reached: the states are kept as `pending`, newer
        ones take their place, and `flush` or the next `save` of the series first finds out whether an earlier attempt
        had come through after all.  A conflicting state is not kept; the caller has it.

        Args:
            assets: names, each once.
            states: their states along a leading axis.
            versions: as `load` or the last `save` gave them.

        Raises:
            DomainError: names, states and versions that do not fit together, or a version other than the one that a
                pending state of the series waits with.
        """
        keys = self._keys(assets)
        if np.shape(versions) != (len(keys),):
            raise DomainError(f"there are {len(keys)} series and versions of shape {np.shape(versions)}")
        rows = self.layout.pack(states)
        if len(rows) != len(keys):
            raise DomainError(f"there are {len(keys)} series and {len(rows)} states")
        base = dict(zip(keys, np.asarray(versions).tolist(), strict=True))
        self._check_pending(base)
        records = {key: self._record(row) for key, row in zip(keys, rows, strict=True)}
        fresh = [key for key in keys if key not in self._outbox]
        self._outbox.replace(records)
        flushed = self._flush(keys)
        done, lost, problem = self._write([(key, records[key], base[key]) for key in fresh], flushed.problem)
        for key in keys:
            self._refused.pop(key, None)  # the caller has this state, or a newer one
        return self._saved(base | flushed.versions | done, lost | flushed.conflicts.keys(), problem)

    def flush(self) -> Saved:
        """Write what is pending, after finding out which earlier attempts had come through.

        Returns:
            What became of all that was pending; go on with its versions.  States that another writer won over are in
            `refused`.
        """
        flushed = self._flush(list(self._outbox))
        return self._saved(flushed.versions, set(flushed.conflicts), flushed.problem)

    def refused(self) -> dict[str, PredictorState]:
        """Pending states that another writer won over, by series, without a batch axis, until the next `save` of it."""
        return {
            self._asset(key): jax.tree.map(lambda leaf: leaf[0], self.layout.unpack(self._row(record)[None]))
            for key, record in self._refused.items()
        }

    def forget(self, asset: str) -> bool:
        """Remove the state of a series, also one that is pending; returns whether there was one.

        Raises:
            StoreUnavailableError: see `Store`.
        """
        key = self._key(asset)
        removed = [self._store.delete(key), self._outbox.drop(key), self._refused.pop(key, None) is not None]
        return any(removed)

    def _key(self, asset: str) -> str:
        return f"{self._prefix}state/{asset}"

    def _asset(self, key: str) -> str:
        return key[len(self._key("")) :]

    def _keys(self, assets: Sequence[str]) -> list[str]:
        keys = [checked_key(self._key(asset)) for asset in assets]
        if not keys or "" in assets or len(set(keys)) < len(keys):
            raise DomainError("name at least one series, each once and none by an empty name")
        return keys

    def _record(self, row: np.ndarray) -> bytes:
        return encode({"layout": self.layout.digest, "writer": self._writer, "state": row.tobytes()}, kind="state")

    def _row(self, record: bytes) -> np.ndarray:
        """The leaves in a record.

        Raises:
            IntegrityError: it is damaged.
            DomainError: its layout is another one.
        """
        payload = decode(record, kind="state")
        digest, packed = payload.get("layout"), payload.get("state")
        if digest != self.layout.digest and isinstance(digest, str):
            raise DomainError(self._other_layout(digest))
        if not isinstance(packed, bytes) or len(packed) != self.layout.row_bytes:
            raise IntegrityError("it does not have the length of its layout")
        return np.frombuffer(packed, np.uint8)

    def _rows(self, records: Sequence[Stored | None], assets: Sequence[str]) -> np.ndarray:
        rows = np.empty((len(assets), self.layout.row_bytes), np.uint8)
        damaged: dict[str, str] = {}
        for row, stored, asset in zip(rows, records, assets, strict=True):
            try:
                row[:] = self._cold if stored is None else self._row(stored.value)
            except IntegrityError as error:
                damaged[asset] = str(error)
        if damaged:
            raise DamagedStatesError(tuple(damaged), next(iter(damaged.values())))
        return rows

    def _other_layout(self, digest: str) -> str:
        about = "and its description is not in the store"
        with contextlib.suppress(DomainError, StoreUnavailableError):
            stored = self._store.get(f"{self._prefix}layout/{digest}")
            about = f"which says {self.layout.differences(stored.value)}" if stored else about
        return (
            f"a stored state has another layout, {about}; use the configuration that it was written under, or another "
            "prefix to begin cold"
        )

    def _check_pending(self, base: dict[str, int]) -> None:
        for key in self._outbox:
            waits = self._outbox[key].base
            if base.get(key, waits) != waits:
                raise DomainError(
                    f"the pending state of {self._asset(key)!r} waits to be written over version {waits}, not "
                    f"{base[key]}; flush and go on with its versions"
                )

    def _flush(self, keys: Sequence[str]) -> Flushed:
        flushed = self._outbox.flush(keys)
        self._refused |= flushed.conflicts
        return flushed

    def _saved(self, versions: dict[str, int], conflicts: set[str], problem: str) -> Saved:
        return Saved(
            tuple(map(self._asset, versions)),
            np.array(list(versions.values()), np.int64),
            tuple(self._asset(key) for key in versions if key in conflicts),
            tuple(self._asset(key) for key in versions if key in self._outbox),
            problem,
        )

    def _describe(self) -> None:
        """Store the layout's description, once."""
        if not self._described:
            with contextlib.suppress(ConflictError):
                self._store.compare_and_set(self._layout_key, self.layout.text, 0)
            self._described = True

    def _write(self, writes: Sequence[tuple[str, bytes, int]], problem: str) -> tuple[dict[str, int], set[str], str]:
        """Write records that nothing is pending for; where the store is lost (`problem` says so), keep them.

        Returns:
            New versions by key, keys that another writer won, and the problem.
        """
        waiting = {key: Waiting(record, base) for key, record, base in writes}
        if not problem and writes:
            try:
                self._describe()
                for one in waiting.values():
                    one.sent()
                answers = self._store.set_many(writes)
            except StoreUnavailableError as error:
                problem = str(error)
            else:
                done = {key: version for key, version in zip(waiting, answers, strict=True) if version is not None}
                return done, waiting.keys() - done.keys(), ""
        for key, one in waiting.items():
            self._outbox.hold(key, one)
        return {}, set(), problem


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
