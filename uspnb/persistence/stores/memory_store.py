"""A store in the memory of this process, for tests and for runs that nothing has to outlive."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ...errors import DomainError
from .base import (
    ConflictError,
    Keys,
    Stored,
    Value,
    Versions,
    Write,
    checked_key,
    checked_prefix,
    checked_value,
    checked_version,
    checked_writes,
)


class MemoryStore:
    """A `Store` in a dictionary; everything is gone with the process."""

    def __init__(self) -> None:
        self._held: dict[str, Stored] = {}
        self._revision = 0
        self._closed = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"MemoryStore({len(self._held)} keys)"

    def __enter__(self) -> MemoryStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, key: str) -> Stored | None:
        """See `Store.get`."""
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[str]) -> Sequence[Stored | None]:
        """See `Store.get_many`."""
        checked = [checked_key(key) for key in keys]
        with self._opened():
            return [self._held.get(key) for key in checked]

    def put(self, key: str, value: Value) -> int:
        """See `Store.put`."""
        key, value = checked_key(key), checked_value(value)
        with self._opened():
            return self._write(key, value)

    def delete(self, key: str) -> bool:
        """See `Store.delete`."""
        checked_key(key)
        with self._opened():
            return self._held.pop(key, None) is not None

    def list(self, prefix: str = "") -> Keys:
        """See `Store.list`."""
        checked_prefix(prefix)
        with self._opened():
            return sorted(key for key in self._held if key.startswith(prefix))

    def compare_and_set(self, key: str, value: Value, version: int) -> int:
        """See `Store.compare_and_set`."""
        key, value, version = checked_key(key), checked_value(value), checked_version(version)
        with self._opened():
            found = self._version(key)
            if found != version:
                raise ConflictError(key, version, found)
            return self._write(key, value)

    def set_many(self, writes: Sequence[Write]) -> Versions:
        """See `Store.set_many`."""
        checked = checked_writes(writes)
        with self._opened():
            return [self._write(k, value) if self._version(k) == version else None for k, value, version in checked]

    def close(self) -> None:
        """See `Store.close`."""
        self._closed = True

    def _opened(self) -> threading.Lock:
        if self._closed:
            raise DomainError("this store was closed; open another one")
        return self._lock

    def _version(self, key: str) -> int:
        held = self._held.get(key)
        return held.version if held else 0

    def _write(self, key: str, value: Value) -> int:
        self._revision += 1
        self._held[key] = Stored(bytes(value), self._revision)  # a copy: the caller may go on writing to its buffer
        return self._revision
