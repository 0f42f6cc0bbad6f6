"""A service: series predicted until a signal, restarted where they stopped, watched over HTTP."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .service import Service

# The command line asks this package for its options alone, and must answer at once.
_LATER = {"Service": "service"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'uspnb.engine.service' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value


__all__ = ["Service"]
