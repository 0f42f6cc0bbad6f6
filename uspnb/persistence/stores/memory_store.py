"""A store in the memory of this process, for tests and for runs that nothing has to outlive."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

from ...errors import DomainError
from .base import Keys, Stored, TransactionalStore, Value


class MemoryStore(TransactionalStore):
    """A `Store` in a dictionary; everything is gone with the process."""

    def __init__(self) -> None:
        self._held: dict[str, Stored] = {}
        self._revision = 0
        self._closed = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"MemoryStore({len(self._held)} keys)"

    @contextlib.contextmanager
    def transaction(self, writing: bool) -> Iterator[None]:
        """See `TransactionalStore.transaction`."""
        if self._closed:
            raise DomainError("this store was closed; open another one")
        with self._lock:
            yield

    def read(self, keys: Sequence[str]) -> Sequence[Stored | None]:
        """See `TransactionalStore.read`."""
        return [self._held.get(key) for key in keys]

    def write(self, key: str, value: Value) -> int:
        """See `TransactionalStore.write`."""
        self._revision += 1
        self._held[key] = Stored(bytes(value), self._revision)
        return self._revision

    def remove(self, key: str) -> bool:
        """See `TransactionalStore.remove`."""
        return self._held.pop(key, None) is not None

    def keys(self, prefix: str) -> Keys:
        """See `TransactionalStore.keys`."""
        return sorted(key for key in self._held if key.startswith(prefix))

    def close(self) -> None:
        """See `Store.close`."""
        self._closed = True
