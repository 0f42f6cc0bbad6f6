"""Where the states of many series live: in memory, in one SQLite file, on a Redis server."""

import importlib
from typing import TYPE_CHECKING, Any

from .base import (
    ConflictError,
    Store,
    Stored,
    StoreUnavailableError,
    TransactionalStore,
    open_store,
    register_store,
)
from .memory_store import MemoryStore

if TYPE_CHECKING:
    from .redis_store import RedisStore
    from .sqlite_store import SqliteStore
    from .state_store import DamagedStatesError, Saved, StateStore

# What brings a client library or JAX with it is imported when first asked for.
_LATER = {
    "DamagedStatesError": "state_store",
    "RedisStore": "redis_store",
    "Saved": "state_store",
    "SqliteStore": "sqlite_store",
    "StateStore": "state_store",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'uspnb.persistence.stores' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value


__all__ = [
    "ConflictError",
    "DamagedStatesError",
    "MemoryStore",
    "RedisStore",
    "Saved",
    "SqliteStore",
    "StateStore",
    "Store",
    "StoreUnavailableError",
    "Stored",
    "TransactionalStore",
    "open_store",
    "register_store",
]
