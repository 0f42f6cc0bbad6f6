"""Functions that stand for reading a file which was made to cost something; a helper process calls them."""

from __future__ import annotations

import os
from pathlib import Path

from uspnb.errors import DomainError


def spend_time(path: Path, name: str) -> None:
    """Never come to an end."""
    while True:
        pass


def spend_memory(path: Path, name: str) -> int:
    """Need more and more."""
    taken: list[bytes] = []
    while True:
        taken.append(bytes(10_000_000))


def end_process(path: Path, name: str) -> None:
    """As a fault in a library does."""
    os.abort()


def fail(path: Path, name: str) -> None:
    """As a fault of ours does."""
    raise ZeroDivisionError


def refuse_path(path: Path, name: str) -> None:
    """Refuse the file in the words of the command line."""
    raise DomainError(f"{path} holds nothing, see {path.name}")


def process_number(path: Path, name: str) -> int:
    """Of the helper."""
    return os.getpid()
