"""One item or line that a user or a program hands over as a tick: what is a tick, and when it came."""

from __future__ import annotations

import json
import numbers
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..data.number_format import PLAIN, is_float, is_missing
from ..data.times import instant_ns, timestamp_to_ns
from ..errors import DomainError, shown
from ..model.records import ProcessState

Clock = Callable[[], int]  # gives the time [ns since 1970 UTC]


class Tick(NamedTuple):
    """One tick: value [input units], time [ns since 1970 UTC], dispersion proxy (NaN where there is none)."""

    value: float
    stamp_ns: int
    proxy: float = float("nan")


class ArrivalClock:
    """Timestamps of arrival: the clock's time, but later than the last one given.

    A clock that stands still between two ticks or is set back would make the gate refuse the second one.

    Args:
        clock: gives the time [ns since 1970 UTC].
    """

    def __init__(self, clock: Clock = time.time_ns) -> None:
        self._clock, self._last = clock, -(2**63)

    def __call__(self) -> int:
        self._last = max(self._clock(), self._last + 1)
        return self._last


def real_value(value: Any, what: str = "value") -> float:
    """The value of a tick as a float; NaN and infinities pass.

    Raises:
        DomainError: None, a bool, text, a complex number, an array of any shape but (), a number that no float holds.
    """
    if type(value) is float:
        return value
    if is_missing(value):
        return float("nan")
    if isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_)):
        try:
            return float(value)
        except OverflowError:
            raise DomainError(f"{what} does not fit a float of 64 bits; scale the series") from None
    if getattr(value, "shape", None) == () and getattr(value, "dtype", np.dtype(object)).kind in "fiu":
        return float(value)  # an array without dims, NumPy's or JAX's
    shape = getattr(value, "shape", None)
    kind = f"{type(value).__name__} of shape {shape}" if shape else type(value).__name__
    raise DomainError(f"{what} is not one real number but of type {kind}; use NaN where a value is missing")


def real_proxy(proxy: Any) -> float:
    """A dispersion proxy as a float, NaN for None.

    Raises:
        DomainError: not a real number, or not finite and above 0.
    """
    if proxy is None:
        return float("nan")
    number = real_value(proxy, "dispersion proxy")
    if not 0 < number < np.inf:
        raise DomainError(f"dispersion proxy = {number!r} must be finite and above 0; leave it out if unknown")
    return number


def read_item(item: Any, arrival: ArrivalClock) -> Tick:
    """A number, a pair (value, time) or a `ProcessState` as a tick.

    Args:
        item: what came; a number alone gets its time from `arrival`.
        arrival: the clock.

    Raises:
        DomainError: anything else.
    """
    if isinstance(item, ProcessState):
        proxy = float("nan") if item.dispersion_proxy is None else item.dispersion_proxy
        return Tick(item.magnitude, item.timestamp_ns, proxy)
    if isinstance(item, (tuple, list)):
        if len(item) != 2:
            raise DomainError(
                f"an item is a {type(item).__name__} of {len(item)}; give a number, a pair (value, time) or a "
                "ProcessState"
            )
        return Tick(real_value(item[0]), timestamp_to_ns(item[1]))
    return Tick(real_value(item), arrival())


def read_line(line: str, arrival: ArrivalClock) -> Tick:
    """A JSON number, a JSON object with `value` and maybe `time` and `proxy`, or "time,value" as a tick.

    Args:
        line: the text, without its end of line.
        arrival: gives the time where the line has none.

    Raises:
        DomainError: anything else.
    """
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        return _read_cells(line, arrival)
    if isinstance(item, dict):
        if "value" not in item:
            raise DomainError(f'an object has no "value" among its keys {shown(sorted(item))}')
        stamp = arrival() if item.get("time") is None else instant_ns(item["time"])
        return Tick(real_value(item["value"]), stamp, real_proxy(item.get("proxy")))
    return Tick(real_value(item), arrival())


def _read_cells(line: str, arrival: ArrivalClock) -> Tick:
    cells = line.split(",")
    if len(cells) == 1 and is_float(line):
        return Tick(float(line), arrival())  # nan, inf and +1 are no JSON
    if len(cells) != 2:
        raise DomainError(
            'a line is neither a JSON number, nor {"value": 3.5, "time": "2026-02-21T09:30:00Z"}, nor time,value'
        )
    return Tick(PLAIN.read(cells[1]), instant_ns(cells[0]))
