"""Times as text: the one format of a column, found from all of its cells, and the cells read by it.

A cell is taken apart into numbers by its shape.  What an open order of them means, day first or month first, is decided
by the whole column, and asked for where both fit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..array_types import Bool, Int
from ..errors import DomainError, shown
from .axis import missing_slots

NANOSECONDS = 1_000_000_000
DAY_NS = 86_400 * NANOSECONDS
FACTORS = {"s": NANOSECONDS, "ms": 1_000_000, "us": 1_000, "ns": 1}
EARLIEST_YEAR, LATEST_YEAR = 1678, 2261  # what 64 bits of nanoseconds hold whole
NAIVE_NOTE = "times without a zone were taken as UTC"
EXAMPLE = "2026-02-21T09:30:00Z"
NO_ZONE = np.iinfo(np.int64).min
REGULAR, IRREGULAR = 0.5, 2.0  # missing slots per row: at most of a reading that is taken, at least of one that is not
FEWEST_MONTHS = 3

_SHORT = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_LONG = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "sept",
]
_MONTHS = {name: _SHORT.index(name[:3]) + 1 for name in (*_SHORT, *_LONG)}
_NAME = rf"(?P<name>{'|'.join(sorted(_MONTHS, key=len, reverse=True))})\.?(?![a-z])"
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+)?"
_DAY = r"(?P<d>\d{1,2})(?:st|nd|rd|th)?"

# The shapes of a date: groups y, m, d where a shape says which is which, a, b, c where it leaves the order open.
YEAR_LAST, TWO_DIGITS = "year last", "two digits"
_DATES = {
    kind: re.compile(rf"\s*{shape}(?!\d)", re.IGNORECASE | re.ASCII)
    for kind, shape in {
        "year first": r"(?P<y>\d{4})(?P<s>[-/. ])(?P<m>\d{1,2})(?:(?P=s)(?P<d>\d{1,2}))?",
        YEAR_LAST: r"(?P<a>\d{1,2})(?P<s>[-/. ])(?P<b>\d{1,2})(?P=s)(?P<c>\d{4})",
        TWO_DIGITS: r"(?P<a>\d{2}|\d)(?P<s>[-/. ])(?P<b>\d{1,2})(?P=s)(?P<c>\d{2})",
        "compact": r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)",
        "day, month's name": rf"{_WEEKDAY}{_DAY}[-/. ]?\s*{_NAME}[-/., ]?\s*(?P<y>\d{{4}}|\d\d)",
        "month's name, day": rf"{_WEEKDAY}{_NAME}[-/. ]?\s*{_DAY}(?:,\s*|[-/. ]\s*)(?P<y>\d{{4}})",
        "month's name": rf"{_NAME}[-/., ]*(?P<y>\d{{4}}|\d\d)",
        "year, month's name": rf"(?P<y>\d{{4}})[-/. ]?{_NAME}(?:[-/. ]?(?P<d>\d{{1,2}}))?",
        "month, year": r"(?P<m>\d{1,2})[-/.](?P<y>\d{4})",
        "quarter": r"(?P<y>\d{4})[- ]?q(?P<q>[1-4])",
        "quarter first": r"q(?P<q>[1-4])[-/ ]?(?P<y>\d{4})",
        "week": r"(?P<y>\d{4})-?w(?P<w>\d\d)(?:-?(?P<e>[1-7]))?",
    }.items()
}
_KINDS = list(_DATES)
_FRACTION = r"(?:[.,](?P<{0}>\d{{1,9}}))?"
_CLOCK = (
    r"(?:(?P<H>\d{1,2})(?::(?P<M>\d\d)(?::(?P<S>\d\d)" + _FRACTION.format("F") + r")?|\.(?P<m>\d\d)(?:\.(?P<s>\d\d))?)?"
    r"(?:\s*(?P<half>[ap])\.?m\.?)?|(?P<h>\d\d)(?P<n>\d\d)(?:(?P<c>\d\d)" + _FRACTION.format("f") + r")?)"
)
_ZONE = r"(?P<word>z|utc|gmt)?\s*(?:(?P<sign>[+\u2212-])(?P<oh>\d{1,2})(?::?(?P<om>\d\d))?)?(?:\s*[\[(][^\])]*[\])])?"
_REST = re.compile(rf"(?:(?:[t_:]|,?\s+){_CLOCK})?\s*{_ZONE}\s*", re.IGNORECASE | re.ASCII)
_TIME_OF_DAY = re.compile(rf"\s*t?{_CLOCK}\s*", re.IGNORECASE | re.ASCII)
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_LETTERS = re.compile(r"\d\s*(?!(?:am|pm|utc|gmt|z)\b)([a-z]{2,5})\s*$", re.IGNORECASE | re.ASCII)
_NO_YEAR = re.compile(
    rf"\s*(?:\d{{1,2}}[-/. ]+\d{{1,2}}|(?:\d{{1,2}}[-/. ]?)?{_NAME})(?:\s.*)?", re.IGNORECASE | re.ASCII
)


class AmbiguousDates(DomainError):
    """Dates that are as good day first as month first.

    Attributes:
        readings: the times of the first row by the orders that fit, "day first" and the like.
    """

    def __init__(self, message: str, readings: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.readings = readings or {}

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.readings)


class Parts(NamedTuple):
    """Cells taken apart, a row each.

    Attributes:
        kind: place of the shape among those of this module, -1 where a cell has none of them.
        separator: between the numbers of the date, "" where the shape is clear without.
        numbers: year, month and day, or the three numbers as they stand where their order is open.
        clock: time of day [ns], -1 where there is none.
        offset: of the zone [minutes east of UTC], `NO_ZONE` where there is none.
    """

    kind: Int[np.ndarray, "row"]
    separator: np.ndarray
    numbers: Int[np.ndarray, "row 3"]
    clock: Int[np.ndarray, "row"]
    offset: Int[np.ndarray, "row"]


def take_apart(cells: Sequence[str]) -> Parts:
    """The numbers in the cells, and the shape that each cell has."""
    rows = []
    kind = 0
    for cell in cells:
        row, kind = _take_apart(cell, kind)
        rows.append(row)
    kinds, separators, numbers, clocks, offsets = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    return Parts(
        np.array(kinds, np.int64),
        np.array(separators, object),
        np.array(numbers, np.int64).reshape(-1, 3),
        np.array(clocks, np.int64),
        np.array(offsets, np.int64),
    )


_Row = tuple[int, str, tuple[int, int, int], int, int]
_NOTHING: _Row = (-1, "", (0, 0, 0), -1, NO_ZONE)


def _take_apart(cell: str, first: int) -> tuple[_Row, int]:
    """One cell; the shape of the cell before is tried first."""
    if not cell.isascii():
        cell = cell.replace("\u2212", "-").replace("\u202f", " ").replace("\xa0", " ")
    for kind in (first, *(k for k in range(len(_KINDS)) if k != first)):
        date = _DATES[_KINDS[kind]].match(cell)
        rest = date and _REST.fullmatch(cell, date.end())
        if not (date and rest):
            continue
        clock, offset, groups = _clock_of(rest), _offset_of(rest), date.groupdict()
        if clock is None or offset is None or (clock >= 0 and not (groups.get("d") or groups.get("a"))):
            continue  # a month, a quarter or a week has no time of day
        separator = groups["s"] if "a" in groups else ""
        return (kind, separator or "", _numbers_of(groups), clock, offset), kind
    return _NOTHING, first


def _numbers_of(groups: dict[str, str | None]) -> tuple[int, int, int]:
    if "a" in groups:
        return int(groups["a"] or 0), int(groups["b"] or 0), int(groups["c"] or 0)
    text = groups["y"] or ""
    year = _full_year(int(text)) if len(text) == 2 else int(text)
    if "w" in groups:
        return _day_of_week(year, int(groups["w"] or 0), int(groups["e"] or 1))
    if "q" in groups:
        return year, 3 * int(groups["q"] or 1) - 2, 1
    name = groups.get("name")
    return year, _MONTHS[name.lower()] if name else int(groups.get("m") or 1), int(groups.get("d") or 1)


def _full_year(year: int) -> int:
    """The year of two digits between 1970 and 2049; of 50 to 69 the century is not clear, and there is no such date."""
    return year + (1900 if year >= 70 else 2000 if year < 50 else 0)


_FULL_YEARS = np.array([_full_year(year) for year in range(100)])


def _day_of_week(year: int, week: int, day: int) -> tuple[int, int, int]:
    from datetime import date

    try:
        found = date.fromisocalendar(year, week, day)
    except ValueError:
        return year, 0, 0  # no such week
    return found.year, found.month, found.day


def _clock_of(match: re.Match[str]) -> int | None:
    """Time of day [ns], -1 where the cell has none, None where there is no such time."""
    groups = match.groupdict()
    hour = groups["H"] or groups["h"]
    if hour is None:
        return -1
    h, m = int(hour), int(groups["M"] or groups["m"] or groups["n"] or 0)
    s = int(groups["S"] or groups["s"] or groups["c"] or 0)
    fraction = int((groups["F"] or groups["f"] or "0").ljust(9, "0"))
    half = groups["half"]
    if half:
        if not 1 <= h <= 12:
            return None
        h = h % 12 + (12 if half.lower() == "p" else 0)
    if m > 59 or s > 59 or h > 24 or (h == 24 and (m or s or fraction)):
        return None
    return ((h * 60 + m) * 60 + s) * NANOSECONDS + fraction


def _offset_of(match: re.Match[str]) -> int | None:
    """Minutes east of UTC, `NO_ZONE` where the cell says nothing, None where what it says is no zone."""
    groups = match.groupdict()
    word, sign, hours, minutes = groups["word"], groups["sign"], groups["oh"], int(groups["om"] or 0)
    if sign is None:
        return NO_ZONE if word is None else 0
    if (word or "").lower() == "z" or (word is None and (len(hours) < 2 or (groups["H"] or groups["h"]) is None)):
        return None  # "2024-03-01-05" is no offset of a day
    offset = 60 * int(hours) + minutes
    return None if offset > 18 * 60 or minutes > 59 else (offset if sign == "+" else -offset)


# The places of year, month and day among the three numbers.
ORDERS = {"day first": (2, 1, 0), "month first": (2, 0, 1), "year first": (0, 1, 2)}
_WRITINGS = {"day first": "31/12/{0}", "month first": "12/31/{0}", "year first": "{0}/12/31"}


def put_together(parts: Parts, order: str = "") -> tuple[Int[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
    """The instants of cells [ns since 1970 UTC], and which of them there are; others stand as 0.

    Args:
        parts: of `take_apart`, all of shapes with an open order or none of them.
        order: of the three numbers, where it is open.
    """
    year, month, day = (parts.numbers[:, place] for place in ORDERS[order or "year first"])
    if order:
        year = np.where(parts.kind == _KINDS.index(TWO_DIGITS), _FULL_YEARS[year % 100], year)
    exists = (parts.kind >= 0) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    exists &= (year >= EARLIEST_YEAR) & (year <= LATEST_YEAR)
    months = (np.where(exists, year, 1970) - 1970) * 12 + np.where(exists, month, 1) - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    length = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) - first
    exists &= day <= length
    stamps = (first + np.where(exists, day, 1) - 1) * DAY_NS + np.maximum(parts.clock, 0)
    stamps -= np.where(parts.offset == NO_ZONE, 0, parts.offset) * 60 * NANOSECONDS
    return np.where(exists, stamps, 0), exists


class DateFormat(NamedTuple):
    """What the cells of one column of dates have in common.

    Attributes:
        kind: the shape of their dates.
        separator: between the numbers of a date whose order is open.
        order: of those numbers, a key of `ORDERS`, "" where it is not open.
        zoned: whether each cell has a zone.
    """

    kind: str
    separator: str
    order: str
    zoned: bool

    def read(self, cells: Sequence[str]) -> tuple[Int[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
        """The cells as instants [ns since 1970 UTC], and which of them are instants of this format."""
        if self.kind == "year first" and all(map(_ISO.fullmatch, cells)):
            stamps, exist = _read_iso(cells, self.zoned)
            if exist.all():
                return stamps, exist
        parts = take_apart(cells)
        stamps, exist = put_together(parts, self.order)
        exist &= (parts.kind == _KINDS.index(self.kind)) & (parts.separator == self.separator)
        exist &= (parts.offset != NO_ZONE) == self.zoned
        return np.where(exist, stamps, 0), exist

    def refusal(self, cell: str) -> str:
        """Why a cell is not of this format, and what to do."""
        return why_no_date(cell, self)


def _read_iso(cells: Sequence[str], zoned: bool) -> tuple[np.ndarray, np.ndarray]:
    """Cells written as ISO 8601 has it, read by pandas: the same instants as by `take_apart`, several times faster."""
    stamps, exist = read_pattern(cells, "ISO8601")
    has_zone = np.array([cell[-1] == "Z" or (len(cell) > 16 and cell[-6] in "+-") for cell in cells], bool)
    return stamps, exist & (has_zone == zoned)


def read_pattern(cells: Sequence[str], pattern: str) -> tuple[Int[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
    """Cells of one strptime pattern as instants [ns since 1970 UTC], and which of them there are; others stand as 0."""
    import pandas as pd

    text = [cell.strip() for cell in cells]
    index = pd.DatetimeIndex(pd.to_datetime(text, utc=True, format=pattern, errors="coerce"))
    factor = FACTORS[index.unit]
    exist = ~np.asarray(index.isna()) & (np.abs(index.asi8) <= (2**63 - 1) // factor)
    return np.where(exist, index.asi8, 0) * factor, exist


def is_date(cell: str) -> bool:
    """Whether a cell has the shape of a date."""
    return _take_apart(cell, 0)[0][0] >= 0


def begins_with_date(cell: str) -> bool:
    """Whether a cell begins as a date does, whatever follows."""
    return any(shape.match(cell) for shape in _DATES.values())


def has_open_order(cell: str) -> bool:
    """Whether a date leaves open which of its numbers are day and month."""
    return _take_apart(cell, 0)[0][1] != ""


def is_time_of_day(cell: str) -> bool:
    """Whether a cell is a time of day without a date, with at least minutes."""
    match = _TIME_OF_DAY.fullmatch(cell)
    return bool(match and (":" in cell or match["half"]) and _clock_of(match) is not None)


def find_date_format(cells: Sequence[str], name: str, order: str = "") -> tuple[DateFormat, tuple[str, ...]]:
    """The format that the dates of a whole column have, and what was assumed.

    Args:
        cells: all of them, none empty.
        name: of the column.
        order: "day first" or "month first" where the user said it.

    Raises:
        AmbiguousDates: several orders of day, month and year fit.
        DomainError: some cells fit one order alone and others another, or none has the shape of a date.
    """
    parts = take_apart(cells)
    shapes = Counter((k, s) for k, s in zip(parts.kind.tolist(), parts.separator.tolist(), strict=True) if k >= 0)
    if not shapes:
        raise DomainError(f"{name} = {why_no_date(cells[0])}")
    (kind, separator), _ = shapes.most_common(1)[0]
    same = (parts.kind == kind) & (parts.separator == separator)
    zoned = bool(2 * ((parts.offset != NO_ZONE) & same).sum() > same.sum())
    notes: tuple[str, ...] = ()
    if _KINDS[kind] in (YEAR_LAST, TWO_DIGITS):
        chosen = Parts(*(column[same] for column in parts))
        found, note = _find_order(chosen, [c for c, s in zip(cells, same, strict=True) if s], name, order)
        notes = (*notes, note)
        order = found
    else:
        order = ""
    if not re.search(r"\d{4}", next(cell for cell, like in zip(cells, same, strict=True) if like)):
        notes = (*notes, f"years of two digits in column {name} were read as 1970 to 2049")
        if _KINDS[kind] == "month's name":
            _check_years(put_together(parts)[0][same], cells[int(same.argmax())], name)
    return DateFormat(_KINDS[kind], separator, order, zoned), notes


def _check_years(stamps: Int[np.ndarray, "row"], cell: str, name: str) -> None:
    """Refuse months as "Jan-20" unless they follow one another as years would have it: 20 may be a day."""
    months = np.unique(stamps.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64) % 12)
    if len(months) < FEWEST_MONTHS or missing_slots(stamps) > REGULAR:
        raise DomainError(f"{name} = {shown(cell)} names no year, or no day; write times as {EXAMPLE}")


def _find_order(parts: Parts, cells: Sequence[str], name: str, order: str) -> tuple[str, str]:
    """The order of day, month and year in cells of one shape with an open order, and the note that says it."""
    two = parts.kind[0] == _KINDS.index(TWO_DIGITS)
    year = "98" if two else "1998"
    if order:
        return order, f"dates in column {name} were read {order}, as {_WRITINGS[order].format(year)}"
    orders = [key for key in ORDERS if two or key != "year first"]
    readings = {key: put_together(parts, key) for key in orders}
    some = np.any([exist for _, exist in readings.values()], axis=0)  # a date of no order is a bad line of its own
    fitting = [key for key in orders if readings[key][1][some].all()]
    if not some.any():
        fitting = orders[:1]
    if not fitting:
        only = {key: next(iter(np.flatnonzero(some & ~readings[key][1]).tolist()), None) for key in orders}
        examples = " and ".join(shown(cells[place]) for place in dict.fromkeys(only.values()) if place is not None)
        raise DomainError(
            f"dates in column {name} are not written in one order of day and month: {examples} do not go together; "
            f"write them as {EXAMPLE}"
        )
    note = f"dates in column {name} were read {{0}}, as {{1}}"
    distinct = {readings[key][0][some].tobytes(): key for key in reversed(fitting)}
    if len(distinct) > 1:
        holes = {key: missing_slots(readings[key][0][some]) for key in distinct.values()}
        days = {key: len(np.unique(readings[key][0][some] // DAY_NS)) for key in holes}
        regular = [key for key, share in holes.items() if share <= REGULAR and days[key] > 2]
        if len(regular) != 1 or any(share < IRREGULAR for key, share in holes.items() if key != regular[0]):
            raise _ambiguous(readings, list(distinct.values())[::-1], cells, some, name)
        fitting, note = regular, note + ": only so do they make a regular axis"
    return fitting[0], note.format(fitting[0], _WRITINGS[fitting[0]].format(year))


def _ambiguous(
    readings: dict[str, tuple[np.ndarray, np.ndarray]],
    keys: list[str],
    cells: Sequence[str],
    some: np.ndarray,
    name: str,
) -> AmbiguousDates:
    stamps = [readings[key][0] for key in keys]
    row = int(np.flatnonzero(some & (stamps[0] != stamps[-1]))[0])
    texts = {key: str(readings[key][0][row].astype("datetime64[ns]").astype("datetime64[D]")) for key in keys}
    choices = " or ".join(f"{text} ({key})" for key, text in texts.items())
    return AmbiguousDates(
        f"dates in column {name} can be read in {len(keys)} ways: {shown(cells[row])} is {choices}; say which with "
        "dayfirst=True or dayfirst=False (--dayfirst, --monthfirst), or give the pattern, time_format='%d/%m/%Y' "
        "(--time-format)",
        texts,
    )


def why_no_date(cell: str, wanted: DateFormat | None = None) -> str:
    """Why a cell is no date, or not one of the column's format; the message goes on after "name = "."""
    parts = take_apart([cell])
    text, zone = shown(cell), int(parts.offset[0]) != NO_ZONE
    if parts.kind[0] >= 0 and wanted is not None:
        exists = put_together(parts, wanted.order)[1][0]
        if (_KINDS[parts.kind[0]], str(parts.separator[0])) != (wanted.kind, wanted.separator):
            return f"{text} is not written as the other times of the column; write all of them in one way"
        if not exists:
            order = f" {wanted.order}" if wanted.order else ""
            return f"{text} is not a time{order}; write times as {EXAMPLE}"
        if zone != wanted.zoned:
            has, have = ("a zone", "none") if zone else ("no zone", "one")
            return f"{text} has {has} where the other times of the column have {have}; write all of them in one way"
    if is_time_of_day(cell):
        return f"{text} is a time of day without a date; join it with its date, as {EXAMPLE}"
    letters = _LETTERS.search(cell)
    if letters and letters[1].lower() not in _MONTHS and is_date(cell[: letters.start(1)]):
        return f"{text} is not a time: the zone {letters[1]} is not clear by its letters; write its offset, as +01:00"
    if _NO_YEAR.fullmatch(cell):
        return f"{text} names no year; write times as {EXAMPLE}"
    return f"{text} is not a time; write times as {EXAMPLE}"
