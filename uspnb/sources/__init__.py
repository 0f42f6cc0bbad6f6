"""Where ticks come from: replays, feeds, iterators, growing CSV files and lines from the network."""

import importlib
from typing import TYPE_CHECKING, Any

from .base import Source, SourceFault, Ticks
from .feed import FeedSource
from .iterator import IteratorSource
from .opening import open_source, register_source

if TYPE_CHECKING:
    from .csv_tail import CsvTailSource
    from .lines import LineSource
    from .replay import ReplaySource

# What brings pandas and xarray with it is imported when first asked for.
_LATER = {"CsvTailSource": "csv_tail", "LineSource": "lines", "ReplaySource": "replay"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'uspnb.sources' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value


__all__ = [
    "CsvTailSource",
    "FeedSource",
    "IteratorSource",
    "LineSource",
    "ReplaySource",
    "Source",
    "SourceFault",
    "Ticks",
    "open_source",
    "register_source",
]
