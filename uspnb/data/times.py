"""Instants as nanoseconds since 1970 UTC, from whatever names them: objects, text, numbers by their size, columns.

A time without a zone is taken as UTC, which whoever reads it says with `NAIVE_NOTE`.
"""

from __future__ import annotations

import dataclasses
import numbers
import re
import statistics
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ..array_types import Bool, Int
from ..errors import DomainError, InstantWarning, shown
from .dates import (
    FACTORS,
    NAIVE_NOTE,
    NANOSECONDS,
    DateFormat,
    find_date_format,
    has_open_order,
    put_together,
    read_pattern,
    take_apart,
    why_no_date,
)

if TYPE_CHECKING:
    import pandas as pd

EARLIEST_NS = -(2**63) + 1
GRID_NOTE = "no times were given: a regular grid of one second stands in for them"
# By how much a duration may miss a whole number of ticks, relative to itself.
MOST_OF_A_PERIOD = 1e-3
YEAR_NAMES = ("year", "yr", "yyyy")

# An instant as a number is in the unit that puts it between 1973 and 5138.
_LEAST = {"ns": 1e17, "us": 1e14, "ms": 1e11, "s": 1e8}
_NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d{0,40})?([eE][+-]?\d{1,4})?", re.ASCII)
_REMEDY = "write 2026-02-21T09:30:00Z, or seconds since 1970"


def timestamp_to_ns(timestamp: Any, unit: str = "") -> int:
    """Nanoseconds since 1970-01-01 UTC of an aware datetime, a NumPy or pandas time, or an integer since 1970.

    An integer is in the unit that its size says: seconds, milliseconds or microseconds where those put it between 1973
    and 2103, which an `InstantWarning` says; else nanoseconds, as is every multiple of 10^9 (a grid that begins at 0).

    Args:
        timestamp: the instant.
        unit: of an integer, "s", "ms", "us" or "ns", instead of what its size says.

    Raises:
        DomainError: a naive datetime, a missing time, or a type that names no instant.
    """
    if isinstance(timestamp, (bool, np.bool_)):
        raise DomainError(f"timestamp {timestamp!r} is a bool; give nanoseconds since 1970 or an aware datetime")
    if timestamp is np.ma.masked or np.ma.is_masked(timestamp):
        raise DomainError("timestamp is masked; a tick needs the instant at which it was measured")
    if isinstance(timestamp, numbers.Integral):
        value = int(timestamp)
        found = unit or epoch_unit(value)
        if not unit and found != "ns":
            warnings.warn(
                f"timestamp {value} was read as {_UNITS[found]} since 1970; {_SAY}", InstantWarning, stacklevel=2
            )
        value *= FACTORS[found]
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


# The integers that seconds, milliseconds and microseconds since 1970 are between 1973 and 2103.
_WINDOWS = {unit: (least, 42 * least) for unit, least in (("s", 10**8), ("ms", 10**11), ("us", 10**14))}
_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_SAY = "give numpy.datetime64 where that is wrong"


def epoch_unit(*instants: int) -> str:
    """The unit of integers since 1970 by their size, of all of them alike: "ns" where no other fits.

    Multiples of 10^9 are whole seconds in nanoseconds: a grid that begins at 0.
    """
    least, most = min(instants), max(instants)
    if all(instant % NANOSECONDS == 0 for instant in instants):
        return "ns"
    return next((unit for unit, (first, last) in _WINDOWS.items() if first <= least and most < last), "ns")


def instant_ns(instant: Any) -> int:
    """Nanoseconds since 1970 UTC of a text as "2026-02-21T09:30:00Z" or a number of s, ms, us or ns since 1970.

    Raises:
        DomainError: no instant, or a number of at most 1e8.
    """
    if isinstance(instant, str):
        text = instant.strip()
        if len(text) >= 8 and (stamp := digits_ns(text)) is not None:
            return stamp
        if _NUMBER.fullmatch(text):
            return instant_ns(int(text) if text.lstrip("+-").isdigit() else float(text))
        return _text_ns(text)
    if isinstance(instant, bool) or not isinstance(instant, (int, float)):
        raise DomainError(f"time = {shown(instant)} is not a time; {_REMEDY}")
    unit = _unit_of(instant)
    if unit is None:
        raise DomainError(f"time = {instant!r} is too small a number for an instant; {_REMEDY}")
    return timestamp_to_ns(_scaled(instant, FACTORS[unit]))


def _text_ns(text: str) -> int:
    if not has_open_order(text):
        (stamp,), (exists,) = put_together(take_apart([text]))
        if exists:
            return int(stamp)
    raise DomainError(f"time = {why_no_date(text)}; or seconds since 1970")


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
        unit: "s", "ms", "us" or "ns" where they are numbers since 1970, "digits" where they are dates of digits alone,
            as 20260221; "" where they are text.
        dates: of text, what the dates have in common; None where the user gave a pattern.
        pattern: of text, the user's pattern as strptime takes it.
    """

    unit: str = ""
    dates: DateFormat | None = None
    pattern: str = ""

    @property
    def naive(self) -> bool:
        """Whether a zone is missing, so that UTC is meant."""
        if self.pattern:
            return "%z" not in self.pattern
        return self.unit == "digits" or (self.dates is not None and not self.dates.zoned)

    def read(self, cells: Sequence[str]) -> tuple[Int[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
        """The cells as instants [ns since 1970 UTC], and which of them are instants at all; others stand as 0."""
        if self.dates is not None:
            return self.dates.read(cells)
        if self.pattern:
            return read_pattern(cells, self.pattern)
        if self.unit == "digits":
            instants = [digits_ns(cell.strip()) for cell in cells]
        else:
            instants = [_number_ns(cell, FACTORS[self.unit]) for cell in cells]
        exist = np.array([stamp is not None for stamp in instants], bool)
        return np.array([stamp or 0 for stamp in instants], np.int64), exist

    def refusal(self, name: str, cell: str) -> str:
        """Why a cell of the column `name` is no instant, and what to do."""
        if not cell.strip():
            return f"{name} is empty; every row needs its time"
        if self.dates is not None:
            return f"{name} = {self.dates.refusal(cell)}"
        wanted = "dates of digits" if self.unit == "digits" else f"numbers of {self.unit} since 1970"
        wanted = f"the pattern {self.pattern} has it" if self.pattern else f"{wanted}, as in the first rows"
        return f"{name} = {shown(cell)} is not a time; write times as {wanted}"


def find_time_format(
    cells: Sequence[str], name: str, *, order: str = "", pattern: str = "", unit: str = ""
) -> tuple[TimeFormat | None, tuple[str, ...]]:
    """How a column of times is read, found from all of its cells, and what was assumed.

    Args:
        cells: of the column; the empty ones are passed over.
        name: of the column.
        order: "day first" or "month first", where the user said it.
        pattern: of strptime, where the user gave one.
        unit: of numbers since 1970, where the user said it.

    Returns:
        The format, None for numbers that are no instants.

    Raises:
        AmbiguousDates: day and month can be read in two ways.
        DomainError: cells that do not go together, or a pattern without a year.
    """
    if pattern:
        if not re.search("%[YyGcx]", pattern):
            raise DomainError(f"time_format={pattern!r} (--time-format) has no year; every time needs its date")
        found = TimeFormat(pattern=pattern)
        return found, (NAIVE_NOTE,) if found.naive else ()
    some = [cell for cell in cells if cell.strip()]
    if unit or 2 * sum(bool(_NUMBER.fullmatch(_pointed(cell))) for cell in some) >= len(some):
        return _find_unit(some, name, unit)
    dates, notes = find_date_format(some, name, order)
    return TimeFormat(dates=dates), (*notes, NAIVE_NOTE) if not dates.zoned else notes


def _find_unit(cells: Sequence[str], name: str, unit: str) -> tuple[TimeFormat | None, tuple[str, ...]]:
    if unit:
        return TimeFormat(unit=unit), (f"numbers in column {name} were read as {unit} since 1970",)
    texts = [text for cell in cells if _NUMBER.fullmatch(text := _pointed(cell))]
    years = name.strip("<>[] ").lower() in YEAR_NAMES
    whole = all(digits_ns(text) is not None and (years or len(text) > 4) for text in texts)
    if whole and not any(_with_pattern(texts, pattern) for pattern in ("%y%m%d", "%d%m%y", "%m%d%y")):
        return TimeFormat(unit="digits"), (
            f"numbers in column {name} were read as dates, as {texts[0]}",
            NAIVE_NOTE,
        )
    patterns = [pattern for pattern in _DIGIT_PATTERNS if _with_pattern(texts, pattern)]
    if patterns:
        raise DomainError(
            f"numbers in column {name} such as {texts[0]} may be dates, and their order is not clear; give the "
            f"pattern, time_format={' or '.join(map(repr, patterns))} (--time-format)"
        )
    size = statistics.median(abs(float(text)) for text in texts)
    unit = _unit_of(size) or ""
    if not unit:
        return None, (f"numbers in column {name} are no instants: a regular grid of one second stands in for them",)
    return TimeFormat(unit=unit), (f"numbers in column {name} were read as {unit} since 1970",)


_DIGIT_PATTERNS = ("%Y%m", "%y%m%d", "%d%m%y", "%m%d%y", "%d%m%Y", "%m%d%Y", "%d%m%Y%H%M", "%m%d%Y%H%M")


def _with_pattern(texts: Sequence[str], pattern: str) -> bool:
    """Whether digits of the pattern's width are dates of it, all of them."""
    width = len(datetime(2000, 1, 1).strftime(pattern))
    if len(texts) < 2 or not all(len(text) == width and text.isdigit() for text in texts):
        return False
    return bool(read_pattern(texts, pattern)[1].all())


def digits_ns(text: str) -> int | None:
    """Nanoseconds since 1970 of a date of digits: yyyy, yyyymm, yyyymmdd, with HHMM or HHMMSS; None for others."""
    if len(text) not in (4, 6, 8, 12, 14) or not (text.isascii() and text.isdigit()):
        return None
    clock = f"T{text[8:10]}:{text[10:12]}:{text[12:] or '00'}" if len(text) > 8 else ""
    iso = f"{text[:4]}-{text[4:6] or '01'}-{text[6:8] or '01'}{clock}"
    (stamp,), (exists,) = put_together(take_apart([iso]))
    return int(stamp) if exists else None


def _pointed(cell: str) -> str:
    return cell.strip().replace(",", ".")


def _number_ns(cell: str, factor: int) -> int | None:
    text = _pointed(cell)
    if not _NUMBER.fullmatch(text):
        return None
    try:
        stamp = _scaled(int(text) if text.lstrip("+-").isdigit() else float(text), factor)
    except DomainError:
        return None
    return stamp if EARLIEST_NS <= stamp < 2**63 else None


def read_times(times: Any, unit: str = "") -> tuple[Int[np.ndarray, "time"], tuple[str, ...]]:
    """Times as nanoseconds since 1970 UTC, and what was assumed in reading them.

    Args:
        times: datetimes, text, or integers since 1970 in the unit that their size says.
        unit: of integers, "s", "ms", "us" or "ns", instead of that.

    Raises:
        DomainError: numbers that are not whole, text that is no time or can be read in two ways, a missing time, a time
            outside the years 1678 to 2262, no such unit.
    """
    import pandas as pd

    if unit and unit not in FACTORS:
        raise DomainError(f"unit={unit!r} is not one of {', '.join(FACTORS)}")
    if hasattr(times, "dims"):  # an xarray DataArray
        times = times.values
    if isinstance(times, np.ma.MaskedArray):
        if np.ma.getmaskarray(times).any():
            _refuse_missing(np.ma.getmaskarray(times))
        times = times.data
    if isinstance(times, (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
        index = pd.Index(times)
    else:
        index = _index_of(times)
    if pd.api.types.is_integer_dtype(index.dtype):
        return _read_integers(index, unit)
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    if not isinstance(index, pd.DatetimeIndex):
        if len(index) and all(isinstance(time, str) for time in index):
            return _read_text(list(index))
        index = _datetimes_of_objects(index)
    if index.hasnans:
        _refuse_missing(np.asarray(index.isna()))
    notes: tuple[str, ...] = () if index.tz is not None else (NAIVE_NOTE,)
    try:
        stamps = index.tz_convert("UTC").tz_localize(None) if index.tz is not None else index
        return stamps.as_unit("ns").asi8.copy(), notes
    except (pd.errors.OutOfBoundsDatetime, OverflowError) as error:
        raise DomainError(f"a time does not fit 64 bits of nanoseconds ({error}); the range is 1678 to 2262") from error


def _index_of(times: Any) -> pd.Index:
    import pandas as pd

    try:
        array = np.asarray(times)
    except ValueError as error:
        raise DomainError(f"the times do not form an array ({error}); give one time per row, shape (time,)") from None
    if array.ndim != 1:
        raise DomainError(f"times have shape {array.shape}; give one time per row, shape (time,)")
    if array.dtype.kind == "M":
        if np.isnat(array).any():
            _refuse_missing(np.isnat(array))
        seconds = array.astype("datetime64[s]").astype(np.int64)  # pandas knows no [6h] and no [10ms]
        if (np.abs(seconds) >= 2**63 // NANOSECONDS).any():
            raise DomainError("a time does not fit 64 bits of nanoseconds; the range is the years 1678 to 2262")
        array = array.astype("datetime64[ns]")
    return pd.Index(array)


def _read_integers(index: pd.Index, unit: str) -> tuple[np.ndarray, tuple[str, ...]]:
    if index.hasnans:
        _refuse_missing(np.asarray(index.isna()))
    if not len(index):
        return np.zeros(0, np.int64), ()
    least, most = int(index.min()), int(index.max())
    if least == -(2**63):
        _refuse_missing(np.asarray(index == least))  # what NumPy and pandas make of a missing time
    array = index.to_numpy()
    found = unit or epoch_unit(*array.tolist()) if least >= 10**8 else unit or "ns"
    if not EARLIEST_NS <= least * FACTORS[found] <= most * FACTORS[found] < 2**63:
        raise DomainError(
            f"times from {least} to {most} {_UNITS[found]} since 1970 do not fit 64 bits of nanoseconds; the range is "
            "the years 1678 to 2262"
        )
    notes = () if unit or found == "ns" else (f"integers of times were read as {_UNITS[found]} since 1970",)
    return array.astype(np.int64) * FACTORS[found], notes


def _read_text(times: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    read, notes = find_time_format(times, "times")
    if read is None:
        raise DomainError(f"times such as {shown(times[0])} are numbers as text; convert them to integers or datetimes")
    stamps, exist = read.read(times)
    if not exist.all():
        raise DomainError(read.refusal(f"times[{int(np.argmin(exist))}]", times[int(np.argmin(exist))]))
    return stamps, notes


def _datetimes_of_objects(index: pd.Index) -> pd.DatetimeIndex:
    import pandas as pd

    first = index[0] if len(index) else None
    if isinstance(first, bytes) or pd.api.types.is_numeric_dtype(index.dtype):
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


def period_in_ticks(period: Any, timestamps_ns: Int[np.ndarray, "time"]) -> int:
    """A period in ticks, given so or as a duration such as "1D", over the usual interval of the timestamps.

    Raises:
        DomainError: neither of both, or a duration that is no whole number of ticks.
    """
    if isinstance(period, numbers.Integral) and not isinstance(period, bool):
        return int(period)
    import pandas as pd

    try:
        if isinstance(period, (numbers.Number, np.generic)) and not isinstance(period, np.timedelta64):
            raise TypeError
        length = pd.Timedelta(period).value
    except (TypeError, ValueError) as error:
        raise DomainError(
            f"the period {shown(period)} is neither a whole number of ticks nor a duration such as '1D'"
        ) from error
    intervals = np.diff(timestamps_ns)
    if not np.any(intervals > 0):
        raise DomainError(f"the period {shown(period)} has no interval of ticks to be counted in; give it in ticks")
    interval = float(np.median(intervals[intervals > 0]))
    ticks = length / interval
    if abs(ticks - round(ticks)) > MOST_OF_A_PERIOD * abs(ticks):
        raise DomainError(
            f"the period {shown(period)} is {ticks:.6g} ticks of {interval / 1e9:.6g} s, no whole number; "
            "give it in ticks"
        )
    return round(ticks)
