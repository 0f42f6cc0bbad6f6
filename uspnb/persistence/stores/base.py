"""What a store is and how one is opened: the `Store` protocol, its errors and checks, `open_store` by scheme."""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from ...errors import DomainError, UspnbError
from ...runtime.arguments import check_whole
from ...runtime.schemes import SchemeRegistry, call_with_options

MAX_KEY_LENGTH = 512
MAX_VALUE_BYTES = 64 << 20
MAX_VERSION = 2**53  # Redis counts versions in Lua, whose numbers are doubles
SCHEMES = ("memory", "sqlite", "redis", "rediss", "unix")

Value = bytes | bytearray | memoryview
Write = tuple[str, Value, int]
Keys = list[str]
Versions = list[int | None]
_Opened = TypeVar("_Opened", bound="ClosingStore")


class ConflictError(UspnbError):
    """Another writer was there first: the key does not have the version that the write was based on.

    Attributes:
        key: which.
        expected: the version that the writer knew, 0 for "must not exist".
        found: the version that the store holds, 0 for none.
    """

    def __init__(self, key: str, expected: int, found: int) -> None:
        super().__init__(key, expected, found)
        self.key, self.expected, self.found = key, expected, found

    def __str__(self) -> str:
        expected, found = (f"version {version}" if version else "no value" for version in (self.expected, self.found))
        return f"{self.key!r} was to be written over {expected}, but has {found}; read it again and decide"


class StoreUnavailableError(UspnbError):
    """The store cannot be reached, or refuses to write; what was to be written is still the caller's.

    Whether the write that met this error was made is not known; a version read later tells.
    """


class Stored(NamedTuple):
    """What a store holds under a key.

    Attributes:
        value: the bytes.
        version: a number of at least 1 that no other write to this store has, larger than those of writes before.
    """

    value: bytes
    version: int


@runtime_checkable
class Store(Protocol):
    """Bytes under keys, each write with a version of its own.

    Keys are text of 1 to 512 characters without control characters; values are at most 64 MiB.  A version is never
    used twice, not for another key and not after a deletion, so that a write based on a deleted value cannot pass for
    one based on its successor.  Every method may be called from any thread, and every write is whole or not at all.

    Every method raises:
        DomainError: a key, value or version that cannot be one, or a closed store.
        StoreUnavailableError: the store cannot be reached.
    """

    def get(self, key: str) -> Stored | None:
        """Value and version of a key, None where there is none."""
        ...

    def put(self, key: str, value: Value) -> int:
        """Write whatever is there; returns the new version."""
        ...

    def delete(self, key: str) -> bool:
        """Remove a key; returns whether there was one."""
        ...

    def list(self, prefix: str = "") -> Keys:
        """The keys that begin with `prefix`, in the order of their code points."""
        ...

    def compare_and_set(self, key: str, value: Value, version: int) -> int:
        """Write if the key has this version, 0 for "must not exist"; returns the new version.

        Raises:
            ConflictError: it has another one; nothing was written.
        """
        ...

    def get_many(self, keys: Sequence[str]) -> Sequence[Stored | None]:
        """`get` of each key, in one round trip."""
        ...

    def set_many(self, writes: Sequence[Write]) -> Versions:
        """`compare_and_set` of each (key, value, version), in one round trip and in this order.

        Each write wins or loses by itself: the result holds its new version, or None where another writer won.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections; may be called again."""
        ...

    def __enter__(self) -> Store:
        """The store itself; `with` closes it at its end."""
        ...

    def __exit__(self, *_: object) -> None: ...


class ClosingStore:
    """What every kind of `Store` shares: `get` by `get_many`, and `with`, which closes it."""

    def get(self, key: str) -> Stored | None:
        """See `Store.get`."""
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[str]) -> Sequence[Stored | None]:
        """See `Store.get_many`."""
        raise NotImplementedError

    def close(self) -> None:
        """See `Store.close`."""
        raise NotImplementedError

    def __enter__(self: _Opened) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class TransactionalStore(ClosingStore):
    """A `Store` whose kind says only how to read, write, remove and list within a transaction.

    A kind defines `transaction`, `read`, `write`, `remove`, `keys` and `close`; keys and values are checked before any
    of them is called.
    """

    def transaction(self, writing: bool) -> contextlib.AbstractContextManager[Any]:
        """What happens inside happens at once or not at all, and nothing else meanwhile.

        Raises:
            DomainError: the store was closed.
        """
        raise NotImplementedError

    def read(self, keys: Sequence[str]) -> Sequence[Stored | None]:
        """Value and version of each key, None where there is none; inside a transaction."""
        raise NotImplementedError

    def write(self, key: str, value: Value) -> int:
        """Put a copy of a value there and return its new version; inside a transaction."""
        raise NotImplementedError

    def remove(self, key: str) -> bool:
        """Take a key away, if it is there; inside a transaction."""
        raise NotImplementedError

    def keys(self, prefix: str) -> Keys:
        """The keys that begin with `prefix`, in the order of their code points; inside a transaction."""
        raise NotImplementedError

    def version(self, key: str) -> int:
        """The version of a key, 0 where there is none; inside a transaction."""
        stored = self.read([key])[0]
        return stored.version if stored else 0

    def get_many(self, keys: Sequence[str]) -> Sequence[Stored | None]:
        """See `Store.get_many`; all values are those of one moment."""
        checked = [checked_key(key) for key in keys]
        with self.transaction(False):
            return self.read(checked)

    def put(self, key: str, value: Value) -> int:
        """See `Store.put`."""
        key, value = checked_key(key), checked_value(value)
        with self.transaction(True):
            return self.write(key, value)

    def delete(self, key: str) -> bool:
        """See `Store.delete`."""
        checked_key(key)
        with self.transaction(True):
            return self.remove(key)

    def list(self, prefix: str = "") -> Keys:
        """See `Store.list`."""
        checked_prefix(prefix)
        with self.transaction(False):
            return self.keys(prefix)

    def compare_and_set(self, key: str, value: Value, version: int) -> int:
        """See `Store.compare_and_set`."""
        key, value, version = checked_key(key), checked_value(value), checked_version(version)
        with self.transaction(True):
            current = self.version(key)
            if current != version:
                raise ConflictError(key, version, current)
            return self.write(key, value)

    def set_many(self, writes: Sequence[Write]) -> Versions:
        """See `Store.set_many`; all writes are one transaction."""
        checked = checked_writes(writes)
        with self.transaction(True):
            return [self.write(k, value) if self.version(k) == version else None for k, value, version in checked]


def checked_key(key: object) -> str:
    """The key, if it is one.

    Raises:
        DomainError: no text, too short or too long, or with a character that has no place in a key.
    """
    if not isinstance(key, str):
        raise DomainError(f"a key is text, not a {type(key).__name__}")
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise DomainError(f"a key has 1 to {MAX_KEY_LENGTH} characters, and this one {len(key)}")
    return checked_prefix(key)


def checked_prefix(prefix: object) -> str:
    """The beginning of a key, which may be empty.

    Raises:
        DomainError: no text, or with a control character or a lone surrogate.
    """
    if not isinstance(prefix, str):
        raise DomainError(f"the beginning of a key is text, not a {type(prefix).__name__}")
    odd = next((letter for letter in prefix if unicodedata.category(letter) in ("Cc", "Cs")), None)
    if odd is not None:
        raise DomainError(
            f"a key holds the character U+{ord(odd):04X}, a control character or half of one; leave it out"
        )
    return prefix


def checked_value(value: object) -> bytes | memoryview:
    """The value as flat bytes, if it is one; copied only where it is not contiguous.

    Raises:
        DomainError: no bytes, or too many.
    """
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise DomainError(f"a value is bytes, not a {type(value).__name__}; encode it first")
    flat = value if isinstance(value, bytes) else memoryview(value)
    if isinstance(flat, memoryview):
        flat = flat.cast("B") if flat.c_contiguous else flat.tobytes()
    if len(flat) > MAX_VALUE_BYTES:
        raise DomainError(f"a value has at most {MAX_VALUE_BYTES} bytes, and this one {len(flat)}")
    return flat


def checked_version(version: object) -> int:
    """The version, if it is one.

    Raises:
        DomainError: no whole number of at least 0.
    """
    return check_whole("version", version, 0, MAX_VERSION - 1, remedy="give what a store gave, 0 for none")


def checked_writes(writes: Sequence[Write]) -> list[tuple[str, bytes | memoryview, int]]:
    """The writes of `set_many`, each checked, before any of them is made."""
    return [(checked_key(key), checked_value(value), checked_version(version)) for key, value, version in writes]


_REGISTRY = SchemeRegistry("store", "uspnb.stores", SCHEMES)


def open_store(url: str | os.PathLike[str], **options: Any) -> Store:
    """Open a store.

    | url | store | options |
    |---|---|---|
    | `memory:` | `MemoryStore` | none |
    | `sqlite:PATH`, or a path that ends in `.db` | `SqliteStore` | timeout_s |
    | `redis://host:port/db`, `rediss://...`, `unix:///path` | `RedisStore` | namespace, timeout_s, retries |
    | address of a registered scheme | what its opener gives | those of the opener |

    The library of a kind is imported when that kind is opened.

    Raises:
        DomainError: nothing that names a store, or an option that its kind does not have.
        StoreUnavailableError, IntegrityError: see the kind.
    """
    text = os.fspath(url)
    scheme, _, rest = text.partition(":")
    if text == "memory:":
        return call_with_options(MemoryStore, (), options, "a MemoryStore")
    if scheme == "sqlite" and rest:
        return _shipped("sqlite_store", "SqliteStore", options, Path(rest).expanduser())
    if scheme.lower() in ("redis", "rediss", "unix") and rest.startswith("//"):
        return _shipped("redis_store", "RedisStore", options, text)
    opener = _REGISTRY.find(text)
    if opener is not None:
        return _REGISTRY.open(opener, text, options, Store)
    if text.endswith(".db") and "://" not in text:
        return _shipped("sqlite_store", "SqliteStore", options, Path(text).expanduser())
    raise DomainError(  # the address is not repeated: it may hold a password
        "this names no store; give memory:, sqlite:PATH, a path that ends in .db, or a redis://, rediss:// or unix:// "
        f"address; schemes that can be opened are {', '.join(_REGISTRY.schemes())}"
    )


def register_store(scheme: str, opener: Callable[..., Store]) -> None:
    """As `uspnb.sources.register_source`, for `open_store("scheme:...")` and the entry points `uspnb.stores`.

    Raises:
        DomainError: no scheme, one that the package has itself, or no function.
    """
    _REGISTRY.register(scheme, opener)


def _shipped(module: str, name: str, options: dict[str, Any], *arguments: Any) -> Store:
    make = getattr(importlib.import_module(f".{module}", __package__), name)
    return call_with_options(make, arguments, options, f"a {name}")


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
