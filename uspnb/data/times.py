"""Instants as nanoseconds since 1970 UTC, from whatever names them: objects, text, numbers by their size, columns.

A time without a zone is taken as UTC, which whoever reads it says with `NAIVE_NOTE`.
"""

from __future__ import annotations

import dataclasses
import numbers
import re
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ..array_types import Bool, Int
from ..errors import DomainError, shown

if TYPE_CHECKING:
    import pandas as pd

NANOSECONDS = 1_000_000_000
EARLIEST_NS = -(2**63) + 1
GRID_NOTE = "no times were given: a regular grid of one second stands in for them"
NAIVE_NOTE = "times without a zone were taken as UTC"

# An instant as a number is in the unit that puts it between 1973 and 5138.
_FACTORS = {"s": NANOSECONDS, "ms": 1_000_000, "us": 1_000, "ns": 1}
_LEAST = {"ns": 1e17, "us": 1e14, "ms": 1e11, "s": 1e8}
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_ZONE = re.compile(r"(?:[zZ]|UTC|GMT|[+-]\d\d:?\d\d)\s*$")
_REMEDY = "write 2026-02-21T09:30:00Z, or seconds since 1970"


def timestamp_to_ns(timestamp: Any) -> int:
    """Nanoseconds since 1970-01-01 UTC of an aware datetime, a NumPy or pandas time, or an integer of nanoseconds.

    Raises:
        DomainError: a naive datetime, a missing time, or a type that names no instant.
    """
    if isinstance(timestamp, (bool, np.bool_)):
        raise DomainError(f"timestamp {timestamp!r} is a bool; give nanoseconds since 1970 or an aware datetime")
    if isinstance(timestamp, numbers.Integral):
        value = int(timestamp)
    elif isinstance(timestamp, np.datetime64):
        if np.isnat(timestamp):
            raise DomainError("timestamp is NaT; a tick needs the instant at which it was measured")
        value = int(timestamp.astype("datetime64[s]").astype(np.int64)) * NANOSECONDS
        if EARLIEST_NS <= value < 2**63:  # NumPy wraps round where nanoseconds do not fit
            value = int(timestamp.astype("datetime64[ns]").astype(np.int64))
    elif isinstance(timestamp, datetime):
        if timestamp != timestamp:  # pandas.NaT is a datetime that does not equal itself
            raise DomainError("timestamp is NaT; a tick needs the instant at which it was measured")
        if timestamp.tzinfo is None or timestamp.utcoffset() is None:
            raise DomainError(
                f"timestamp {timestamp.isoformat()} is naive; say which zone it is in, for example "
                "timestamp.replace(tzinfo=datetime.UTC)"
            )
        delta = timestamp - datetime(1970, 1, 1, tzinfo=UTC)
        value = (delta.days * 86_400 + delta.seconds) * NANOSECONDS + delta.microseconds * 1000
        value += int(getattr(timestamp, "nanosecond", 0))
    else:
        raise DomainError(
            f"timestamp {timestamp!r} has type {type(timestamp).__name__}; give an aware datetime, a numpy.datetime64 "
            "or an integer of nanoseconds since 1970"
        )
    if not EARLIEST_NS <= value < 2**63:
        raise DomainError(
            f"timestamp {timestamp} does not fit 64 bits of nanoseconds; the range is the years 1678 to 2262"
        )
    return value


def instant_ns(instant: Any) -> int:
    """Nanoseconds since 1970 UTC of a text as "2026-02-21T09:30:00Z" or a number of s, ms, us or ns since 1970.

    Raises:
        DomainError: no instant, or a number of at most 1e8.
    """
    if isinstance(instant, str):
        text = instant.strip()
        if _NUMBER.fullmatch(text):
            return instant_ns(int(text) if text.lstrip("+-").isdigit() else float(text))
        return _text_ns(text)
    if isinstance(instant, bool) or not isinstance(instant, (int, float)):
        raise DomainError(f"time = {shown(instant)} is not a time; {_REMEDY}")
    unit = _unit_of(instant)
    if unit is None:
        raise DomainError(f"time = {instant!r} is too small a number for an instant; {_REMEDY}")
    return timestamp_to_ns(_scaled(instant, _FACTORS[unit]))


def _text_ns(text: str) -> int:
    import pandas as pd

    try:
        if not re.search(r"\d", text):  # "now" and "today" are instants to pandas
            raise ValueError
        stamp = pd.Timestamp(text)
    except (ValueError, OverflowError):
        raise DomainError(f"time = {shown(text)} is not a time; {_REMEDY}") from None
    return timestamp_to_ns(stamp if stamp is pd.NaT or stamp.tzinfo is not None else stamp.tz_localize("UTC"))


def _unit_of(size: float) -> str | None:
    return next((unit for unit, least in _LEAST.items() if abs(size) > least), None)


def _scaled(instant: int | float, factor: int) -> int:
    if isinstance(instant, int):
        return instant * factor
    if not abs(instant) < 1e19:
        raise DomainError(f"time = {instant!r} is not finite or too large for an instant; {_REMEDY}")
    whole = int(instant)
    return whole * factor + round((instant - whole) * factor)  # no digit of the whole part is lost


@dataclasses.dataclass(frozen=True)
class TimeFormat:
    """How the cells of one column of times are read: all of them in the same way.

    Attributes:
        unit: "s", "ms", "us" or "ns" where they are numbers since 1970, "" where they are text.
        pattern: of text: "ISO8601", a pattern of `strptime`, or "mixed" where each is judged alone.
        naive: whether a zone is missing, so that UTC is meant.
    """

    unit: str = ""
    pattern: str = "ISO8601"
    naive: bool = False

    @staticmethod
    def of_numbers(size: float) -> TimeFormat | None:
        """The format of numbers since 1970 whose typical size this is, None where it is too small for an instant."""
        unit = _unit_of(size)
        return None if unit is None else TimeFormat(unit=unit)

    def read(self, cells: Sequence[str]) -> tuple[Int[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
        """The cells as instants [ns since 1970 UTC], and which of them are instants at all; others stand as 0."""
        if not self.unit:
            return _parsed(cells, self.pattern)
        stamps = [_number_ns(cell, _FACTORS[self.unit]) for cell in cells]
        valid = np.array([stamp is not None for stamp in stamps], bool)
        return np.array([stamp or 0 for stamp in stamps], np.int64), valid

    def refusal(self, name: str, cell: str) -> str:
        """Why a cell of the column `name` is no instant, and what to do."""
        if not cell.strip():
            return f"{name} is empty; every row needs its time"
        wanted = f"numbers of {self.unit} since 1970, as in the first rows" if self.unit else "2026-02-21T09:30:00Z"
        return f"{name} = {shown(cell)} is not a time; write times as {wanted}"


def find_time_format(cells: Sequence[str]) -> TimeFormat:
    """How text in the first cells of a column is read as times, so that most of them are some."""
    from pandas.tseries.api import guess_datetime_format

    pattern = "ISO8601"
    valid = _parsed(cells, pattern)[1]
    if not valid.all():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pandas warns where the day stands first
            # Month first where either is possible, as pandas has it.
            guess = guess_datetime_format(cells[0]) or "mixed"
        pattern = guess if _parsed(cells, guess)[1].sum() > valid.sum() else pattern
    return TimeFormat(pattern=pattern, naive=not all(_ZONE.search(cell) for cell in cells))


def _number_ns(cell: str, factor: int) -> int | None:
    text = cell.strip().replace(",", ".")
    if not _NUMBER.fullmatch(text):
        return None
    try:
        stamp = _scaled(int(text) if text.lstrip("+-").isdigit() else float(text), factor)
    except DomainError:
        return None
    return stamp if EARLIEST_NS <= stamp < 2**63 else None


def _parsed(cells: Sequence[str], pattern: str) -> tuple[np.ndarray, np.ndarray]:
    """Text of one pattern as nanoseconds, and which cells are instants."""
    import pandas as pd

    text = [cell if any(letter.isdigit() for letter in cell) else "" for cell in cells]  # no "now" and no "today"
    index = pd.DatetimeIndex(pd.to_datetime(text, utc=True, format=pattern, errors="coerce"))
    factor = _FACTORS[index.unit]
    valid = ~np.asarray(index.isna()) & (np.abs(index.asi8) <= (2**63 - 1) // factor)
    return np.where(valid, index.asi8, 0) * factor, valid


def read_times(times: Any) -> tuple[Int[np.ndarray, "time"], tuple[str, ...]]:
    """Times as nanoseconds since 1970 UTC, and what was assumed in reading them.

    Raises:
        DomainError: numbers that are not whole nanoseconds, text, a missing time, a time outside the years 1678-2262.
    """
    import pandas as pd

    if hasattr(times, "dims"):  # an xarray DataArray
        times = times.values
    if isinstance(times, (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
        index = pd.Index(times)
    else:
        array = np.asarray(times)
        if array.ndim != 1:
            raise DomainError(f"times have shape {array.shape}; give one time per row, shape (time,)")
        index = pd.Index(array)
    if pd.api.types.is_integer_dtype(index.dtype):
        if index.hasnans:
            _refuse_missing(np.asarray(index.isna()))
        return index.to_numpy(dtype=np.int64), ()
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    if not isinstance(index, pd.DatetimeIndex):
        index = _datetimes_of_objects(index)
    if index.hasnans:
        _refuse_missing(np.asarray(index.isna()))
    notes: tuple[str, ...] = () if index.tz is not None else (NAIVE_NOTE,)
    try:
        stamps = index.tz_convert("UTC").tz_localize(None) if index.tz is not None else index
        return stamps.as_unit("ns").asi8.copy(), notes
    except (pd.errors.OutOfBoundsDatetime, OverflowError) as error:
        raise DomainError(f"a time does not fit 64 bits of nanoseconds ({error}); the range is 1678 to 2262") from error


def _datetimes_of_objects(index: pd.Index) -> pd.DatetimeIndex:
    import pandas as pd

    first = index[0] if len(index) else None
    if isinstance(first, (str, bytes)) or pd.api.types.is_numeric_dtype(index.dtype):
        raise DomainError(
            f"times of type {type(first).__name__}, such as {first!r}, name no instants; give datetimes "
            "(pandas.to_datetime reads text) or integers of nanoseconds since 1970"
        )
    try:
        return pd.DatetimeIndex(index)
    except (ValueError, TypeError, OverflowError) as error:
        raise DomainError(
            f"times such as {first!r} cannot be read as instants ({error}); give datetimes that either all have a zone "
            "or all have none, or integers of nanoseconds since 1970"
        ) from error


def _refuse_missing(missing: np.ndarray) -> None:
    rows = np.flatnonzero(missing)
    raise DomainError(
        f"{len(rows)} of {len(missing)} times are missing (NaT), the first in row {rows[0]}; drop those rows, or fill "
        "the times in"
    )
