"""Checks of what a caller, a command line or a front end hands over: one set, so that every face refuses the same.

Each returns the value as the plain Python type that the package computes with.  A NumPy integer is a whole number and a
NumPy float a number; a bool is neither.  What is refused raises `DomainError` with the argument, its value, the bound
and the remedy.  Nothing here imports JAX.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

from ..errors import DomainError

SLOWEST, FASTEST = 1e-3, 1_000_000
LONGEST_TEXT = 200

Choice = TypeVar("Choice", bound=Hashable)


def check_whole(
    name: str, value: Any, least: int | None = None, most: int | None = None, *, unit: str = "", remedy: str = ""
) -> int:
    """A whole number with both bounds allowed.

    Args:
        name: of the argument, for the message.
        value: what was given.
        least, most: bounds; None is none.
        unit: what is counted, in the message's plural or singular as it reads best, for example "ticks".
        remedy: what to do instead, for example "leave it out for all".

    Raises:
        DomainError: another type, a bool among them, or beyond a bound.
    """
    if _is_number(value, numbers.Integral) and _within(int(value), least, most):
        return int(value)
    raise _refusal(name, value, "a whole number" + _bounds(least, most, None, None), unit, remedy)


def check_number(
    name: str,
    value: Any,
    least: float | None = None,
    most: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    unit: str = "",
    remedy: str = "",
) -> float:
    """A finite real number.

    Args:
        name: of the argument, for the message.
        value: what was given.
        least, most: bounds that are allowed themselves; None is none.
        above, below: bounds that are not.
        unit: of the number, for example "seconds".
        remedy: what to do instead.

    Raises:
        DomainError: another type, a bool among them, not finite, or beyond a bound.
    """
    if _is_number(value, numbers.Real):
        try:
            read = float(value)
        except OverflowError:
            read = math.inf
        inside = (above is None or read > above) and (below is None or read < below)
        if math.isfinite(read) and inside and _within(read, least, most):
            return read
    raise _refusal(name, value, "a finite number" + _bounds(least, most, above, below), unit, remedy)


def check_speed(speed: Any) -> float | None:
    """Ticks per second, from 0.001 to 1,000,000, or None for as fast as they can be computed.

    Raises:
        DomainError: anything else.
    """
    if speed is None:
        return None
    return check_number(
        "speed", speed, SLOWEST, FASTEST, unit="ticks per second", remedy="None runs as fast as possible"
    )


def check_text(name: str, value: Any, most: int = LONGEST_TEXT) -> str:
    """Text of at most `most` characters, without the spaces around it.

    Raises:
        DomainError: no text, or longer.
    """
    if not isinstance(value, str) or len(value) > most:
        raise DomainError(f"{name} = {value!r:.80} must be text of at most {most:,} characters")
    return value.strip()


def check_choice(name: str, value: Any, choices: Iterable[Choice]) -> Choice:
    """One of a few values.

    Raises:
        DomainError: none of them; the message lists them.
    """
    allowed = tuple(choices)
    if isinstance(value, Hashable):
        for choice in allowed:
            if choice == value:
                return choice
    raise DomainError(f"{name} = {value!r:.80} is not one of {', '.join(map(repr, allowed))}")


def check_function(name: str, value: Any, remedy: str) -> Callable[..., Any]:
    """Something that can be called.

    Raises:
        DomainError: it cannot.
    """
    if not callable(value):
        raise DomainError(f"{name} has type {type(value).__name__}, which cannot be called; {remedy}")
    return value


def read_json_number(value: Any) -> Any:
    """A browser's 20.0 as the 20 that it means; anything else as it is, for a check to judge."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _within(value: float, least: float | None, most: float | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def _bounds(least: float | None, most: float | None, above: float | None, below: float | None) -> str:
    """The bounds in words, with a space before them where there are any."""
    if least is not None and most is not None:
        return f" from {_figure(least)} to {_figure(most)}"
    words = []
    for bound, word in (
        (least, "of at least"),
        (above, "above"),
        (most, "of at most" if above is None else "at most"),
        (below, "below"),
    ):
        if bound is not None:
            words.append(f"{word} {_figure(bound)}")
    return f" {' and '.join(words)}" if words else ""


def _figure(bound: float | None) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _refusal(name: str, value: Any, wanted: str, unit: str, remedy: str) -> DomainError:
    counted = f" {unit}" if unit else ""
    return DomainError(f"{name} = {value!r:.80} must be {wanted}{counted}" + (f"; {remedy}" if remedy else ""))
