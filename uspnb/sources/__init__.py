"""Where ticks come from: replays, feeds, iterators, growing CSV files and lines from the network."""

from typing import TYPE_CHECKING

from ..runtime.later import import_later
from .base import Source, SourceFault, Ticks
from .feed import FeedSource
from .iterator import IteratorSource
from .opening import open_source, register_source

if TYPE_CHECKING:
    from .csv_tail import CsvTailSource
    from .lines import LineSource
    from .replay import ReplaySource

# What brings pandas and xarray with it is imported when first asked for.
__getattr__ = import_later(
    __name__,
    {
        "csv_tail": "CsvTailSource",
        "lines": "LineSource",
        "replay": "ReplaySource",
    },
)


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
