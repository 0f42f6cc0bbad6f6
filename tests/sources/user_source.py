"""A source that a user wrote: numbers in a file, one a line, by the scheme `numbers`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from uspnb.sources import IteratorSource, Source


def open_numbers(address: str, *, stay: bool = False, capacity: int = 1000, name: str = "") -> Source:
    """`numbers:///path/of/file`; with `stay` it waits for more rather than end."""
    path = Path(address.removeprefix("numbers://"))
    return IteratorSource(read(path, stay), name=name or path.stem, capacity=capacity)


async def read(path: Path, stay: bool) -> AsyncIterator[float | str]:
    for line in path.read_text().splitlines():
        try:
            yield float(line)
        except ValueError:
            yield line  # no number: a fault of the source, which goes on
    while stay:
        await asyncio.sleep(0.01)
