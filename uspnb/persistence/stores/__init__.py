"""Where the states of many series live: in memory, in one SQLite file, on a Redis server."""

from typing import TYPE_CHECKING

from ...runtime.later import import_later
from .base import (
    ConflictError,
    MemoryStore,
    Store,
    Stored,
    StoreUnavailableError,
    TransactionalStore,
    open_store,
    register_store,
)

if TYPE_CHECKING:
    from .redis_store import RedisStore
    from .sqlite_store import SqliteStore
    from .state_store import DamagedStatesError, Saved, StateStore

# What brings a client library or JAX with it is imported when first asked for.
__getattr__ = import_later(
    __name__,
    {
        "state_store": "DamagedStatesError Saved StateStore",
        "redis_store": "RedisStore",
        "sqlite_store": "SqliteStore",
    },
)


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
