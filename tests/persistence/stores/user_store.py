"""A store that a user wrote: dictionaries of this process by name, `named:states`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

from uspnb.errors import DomainError
from uspnb.persistence.stores import Stored, TransactionalStore

DICTIONARIES: dict[str, dict[str, Stored]] = {}
VERSIONS: dict[str, int] = {}
LOCK = threading.Lock()


class NamedStore(TransactionalStore):
    def __init__(self, address: str, *, room: int = 10_000) -> None:
        self.name, self.room, self.open = address.partition(":")[2], room, True
        self.held = DICTIONARIES.setdefault(self.name, {})

    @contextlib.contextmanager
    def transaction(self, writing: bool) -> Iterator[None]:
        if not self.open or (writing and len(self.held) > self.room):
            raise DomainError(f"the store {self.name!r} is closed or full; open another one")
        with LOCK:
            yield

    def read(self, keys: Sequence[str]) -> list[Stored | None]:
        return [self.held.get(key) for key in keys]

    def write(self, key: str, value: bytes | bytearray | memoryview) -> int:
        VERSIONS[self.name] = VERSIONS.get(self.name, 0) + 1
        self.held[key] = Stored(bytes(value), VERSIONS[self.name])
        return VERSIONS[self.name]

    def remove(self, key: str) -> bool:
        return self.held.pop(key, None) is not None

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.held if key.startswith(prefix))

    def close(self) -> None:
        self.open = False
