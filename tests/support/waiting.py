"""Waiting in tests and benchmarks: for what should come, and for a while where nothing should."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_S = 600.0  # so long that only what will never come reaches it, on a slow and loaded machine too
LOOK_S = 0.002


def until(condition: Callable[[], T | None], patience_s: float = PATIENCE_S) -> T:
    """Look until a condition holds; its value.

    Raises:
        AssertionError: it never did.
    """
    end = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < end, f"nothing came within {patience_s:g} s"
        time.sleep(LOOK_S)  # between two looks
    return value


def stays(condition: Callable[[], object], during_s: float = 0.1) -> bool:
    """Look for a while whether a condition holds, where nothing should happen: a slow machine sees less, never wrong.

    Args:
        condition: what should hold at each look.
        during_s: how long to look [s].

    Returns:
        Whether it held at every look.
    """
    end = time.monotonic() + during_s
    while time.monotonic() < end:
        if not condition():
            return False
        time.sleep(LOOK_S)  # between two looks
    return bool(condition())


class NewThreads:
    """The threads of this package that began after this was made: others may be left by whatever ran before.

    Args:
        prefix: what their names begin with.
    """

    def __init__(self, prefix: str = "uspnb") -> None:
        self._prefix = prefix
        self._before = set(threading.enumerate())

    def names(self) -> list[str]:
        """Their names, sorted; those that have ended are left out."""
        new = set(threading.enumerate()) - self._before
        return sorted(thread.name for thread in new if thread.name.startswith(self._prefix))
