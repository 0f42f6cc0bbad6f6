"""Waiting in tests and benchmarks: for what should come, never for the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_S = 600.0  # so long that only what will never come reaches it, on a slow and loaded machine too
LOOK_S = 0.005


def until(condition: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """Look until a condition holds; its value.

    Raises:
        AssertionError: it never did.
    """
    end = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < end, f"nothing came within {patience_s:g} s"
        time.sleep(LOOK_S)
    return value
