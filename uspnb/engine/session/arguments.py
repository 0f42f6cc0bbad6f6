"""What a person or a front end may hand to a command, checked in words."""

from __future__ import annotations

import math
import numbers
from typing import Any

from ...errors import DomainError

MOST_SPEED = 1e6


def checked_whole(name: str, value: Any, low: int, high: int) -> int:
    """A whole number in a range.

    Raises:
        DomainError: another type, or outside the range.
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or not low <= int(value) <= high:
        raise DomainError(f"{name} = {value!r} must be a whole number from {low:,} to {high:,}")
    return int(value)


def checked_number(name: str, value: Any, high: float, remedy: str = "") -> float:
    """A number above 0.

    Raises:
        DomainError: another type, not above 0 or beyond `high`.
    """
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not 0 < float(value) <= high:
        raise DomainError(f"{name} = {value!r} must be a number above 0 and at most {high:g}{remedy}")
    return float(value)


def checked_speed(speed: Any) -> float | None:
    """Ticks per second, or None for as fast as possible.

    Raises:
        DomainError: anything else.
    """
    if speed is None:
        return None
    return checked_number("speed", speed, MOST_SPEED, " ticks per second, or None for as fast as possible")


def checked_label(label: Any) -> str:
    """A label of a mark.

    Raises:
        DomainError: no text, or more than 200 characters of it.
    """
    if not isinstance(label, str) or len(label) > 200:
        raise DomainError(f"label = {label!r:.80} must be text of at most 200 characters")
    return label.strip()


def whole_of(value: Any) -> Any:
    """A front end's 20.0 as the 20 that it means; anything else as it is, for the command to judge."""
    return int(value) if isinstance(value, float) and math.isfinite(value) and value.is_integer() else value


def names_of(value: Any) -> dict[str, Any]:
    """Settings by name, as a front end sends them.

    Raises:
        DomainError: no mapping of names.
    """
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise DomainError(f"settings = {value!r:.80} must be a mapping of names to numbers")
    return value
