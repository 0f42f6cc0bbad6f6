"""`open_store`: whatever names a store, as a `Store`."""

from __future__ import annotations

import importlib
import inspect
import os
from pathlib import Path
from typing import Any

from ...errors import DomainError
from .base import Store

KNOWN = "give memory:, sqlite:PATH, a path that ends in .db, or a redis://, rediss:// or unix:// address"


def open_store(url: str | os.PathLike[str], **options: Any) -> Store:
    """Open a store.

    | url | store | options |
    |---|---|---|
    | `memory:` | `MemoryStore` | none |
    | `sqlite:PATH`, or a path that ends in `.db` | `SqliteStore` | timeout_s |
    | `redis://host:port/db`, `rediss://...`, `unix:///path` | `RedisStore` | namespace, timeout_s, retries |

    The library of a kind is imported when that kind is opened.

    Raises:
        DomainError: nothing that names a store, or an option that its kind does not have.
        StoreUnavailableError, IntegrityError: see the kind.
    """
    text = os.fspath(url)
    scheme, _, rest = text.partition(":")
    if text == "memory:":
        return _made("memory_store", "MemoryStore", [], options)
    if scheme == "sqlite" and rest:
        return _made("sqlite_store", "SqliteStore", [Path(rest).expanduser()], options)
    if scheme.lower() in ("redis", "rediss", "unix") and rest.startswith("//"):
        return _made("redis_store", "RedisStore", [text], options)
    if text.endswith(".db") and "://" not in text:
        return _made("sqlite_store", "SqliteStore", [Path(text).expanduser()], options)
    raise DomainError(f"this names no store; {KNOWN}")  # not repeated: it may hold a password


def _made(module: str, name: str, arguments: list[Any], options: dict[str, Any]) -> Store:
    make = getattr(importlib.import_module(f".{module}", __package__), name)
    known = list(inspect.signature(make).parameters)[len(arguments) :]
    odd = [option for option in options if option not in known]
    if odd:
        told = f"its options are {', '.join(known)}" if known else "it takes no options"
        raise DomainError(f"a {name} has no option {odd[0]!r}; {told}")
    return make(*arguments, **options)
