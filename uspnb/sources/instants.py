"""Instants and values as text has them: in a line of CSV or JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import pandas as pd

from ..data.csv_file import DECIMAL_COMMA
from ..data.times import timestamp_to_ns
from ..errors import DomainError
from .base import shown
from .items import ArrivalClock, Tick, real_proxy, real_value

# An instant as a number is in the unit that puts it between 1973 and 5138: seconds, milli-, micro-, nanoseconds.
LEAST_INSTANT = 1e8
_UNITS = ((1e17, 1), (1e14, 1_000), (1e11, 1_000_000), (LEAST_INSTANT, 1_000_000_000))
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_REMEDY = "write 2026-02-21T09:30:00Z, or seconds since 1970"


def instant_ns(instant: Any) -> int:
    """Nanoseconds since 1970 UTC of a text as "2026-02-21T09:30:00Z" or a number of s, ms, us or ns since 1970.

    A time without a zone is taken as UTC.

    Raises:
        DomainError: no instant, or a number below 1e8.
    """
    if isinstance(instant, str):
        text = instant.strip()
        if _NUMBER.fullmatch(text):
            return instant_ns(int(text) if text.lstrip("+-").isdigit() else float(text))
        if not re.search(r"\d", text):  # "now" and "today" are instants to pandas
            raise DomainError(f"time = {shown(text)} is not a time; {_REMEDY}")
        try:
            stamp = pd.Timestamp(text)
        except (ValueError, OverflowError):
            raise DomainError(f"time = {shown(text)} is not a time; {_REMEDY}") from None
        return timestamp_to_ns(stamp if stamp is pd.NaT or stamp.tzinfo is not None else stamp.tz_localize("UTC"))
    if isinstance(instant, bool) or not isinstance(instant, (int, float)):
        raise DomainError(f"time = {shown(instant)} is not a time; {_REMEDY}")
    for least, factor in _UNITS:
        if abs(instant) > least:
            return timestamp_to_ns(_scaled(instant, factor))
    raise DomainError(f"time = {instant!r} is too small a number for an instant; {_REMEDY}")


def _scaled(instant: int | float, factor: int) -> int:
    if isinstance(instant, int):
        return instant * factor
    if not abs(instant) < 1e19:
        raise DomainError(f"time = {instant!r} is not finite or too large for an instant; {_REMEDY}")
    whole = int(instant)
    return whole * factor + round((instant - whole) * factor)  # no digit of the whole part is lost


def text_value(text: str, decimal: str) -> float:
    """The value of a cell, NaN where it is empty.

    Args:
        text: the cell.
        decimal: the mark of decimals, "." or ",", "" for either.

    Raises:
        DomainError: no number.
    """
    cell = text.strip()
    if cell.lower() in ("", "na", "n/a", "nan", "null", "none"):
        return float("nan")
    if decimal != "." and DECIMAL_COMMA.fullmatch(cell):
        cell = cell.replace(",", ".")
    elif decimal == "," and "." in cell:
        raise DomainError(
            f"{shown(text)} has a decimal point where the lines before have commas; write one or the other"
        )
    if not is_float(cell):
        hint = (
            "write a decimal point"
            if DECIMAL_COMMA.fullmatch(cell)
            else "leave the cell empty where a value is missing"
        )
        raise DomainError(f"{shown(text)} is not a number; {hint}")
    return float(cell)


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


def is_float(text: str) -> bool:
    """Whether a text is a number, nan and inf included."""
    if "_" in text:  # Python reads 1_000, no other program writes it
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_cells(line: str, arrival: ArrivalClock) -> Tick:
    cells = line.split(",")
    if len(cells) == 1 and is_float(line):
        return Tick(float(line), arrival())  # nan, inf and +1 are no JSON
    if len(cells) != 2:
        raise DomainError(
            'a line is neither a JSON number, nor {"value": 3.5, "time": "2026-02-21T09:30:00Z"}, nor time,value'
        )
    return Tick(text_value(cells[1], "."), instant_ns(cells[0]))
