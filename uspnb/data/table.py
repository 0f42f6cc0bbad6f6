"""The table in a text file: where it begins, what separates its cells, what its columns hold.

The first lines decide; they may have lines above the names of the columns, and a row of units below.
"""

from __future__ import annotations

import csv
import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..errors import DomainError, shown
from .dates import begins_with_date, is_date, is_time_of_day
from .number_format import MISSING, is_float, is_number, shape_of
from .times import GRID_NOTE, YEAR_NAMES

SAMPLE = 200  # rows that decide the layout
MOST_COLUMNS = 10_000
MOST_ABOVE = 100  # lines that may stand above a table
ALL = "*"  # in the place of the columns of values: all but the time
TIME_NAMES = ("time", "timestamp", "datetime", "date", "ds", "date_time", "utc", "when")
SEPARATORS = ";\t|,"  # where two fit as well, the first
COMMA_REMEDY = (
    "where a comma is the decimal mark, semicolons must separate the columns; a comma inside a number or a text must "
    "stand in quotes"
)
_PERIOD_NAMES = ("month", "week", "quarter", "period", "day")
_DATE_NAMES = ("date", "day", "datum", "ds", "dt")
_CLOCK_NAMES = ("time", "clock", "hhmm", "hhmmss")
_PART_NAMES = (
    YEAR_NAMES,
    ("month", "mo", "mon"),
    ("day", "dy", "dom"),
    ("hour", "hr", "hh"),
    ("minute", "min", "mn"),
    ("second", "sec"),
)
_UNIT = re.compile(r"[\[(]?[^\d,;]{0,12}\d?[\])]?")

Cells = list[str]


@dataclasses.dataclass(frozen=True)
class Columns:
    """What the user said of the columns.

    Attributes:
        time: names of the column of times, or of those that are joined to one.
        value: names of the columns of values; `ALL` for all but the times.
        group: name of the column that tells several series apart.
    """

    time: tuple[str, ...] = ()
    value: tuple[str, ...] = ()
    group: str | None = None


@dataclasses.dataclass(frozen=True)
class CsvLayout:
    """Which cells of a file's rows are read.

    Attributes:
        separator: between the cells.
        names: of the columns.
        first: the number of the line, from 0, in which the first row of data stands.
        trailing: whether each row ends with a separator after which nothing stands.
        times: places of the column of times, or of those that are joined to one; none where ticks lie on a grid.
        clock_width: digits of the times of day in a column of their own, 0 where those are no digits.
        values: places of the columns of values.
        group: place of the column that tells several series apart, None where there is one.
        units: of the values, "" where unknown.
        notes: what was assumed.
    """

    separator: str
    names: tuple[str, ...]
    first: int
    trailing: bool
    times: tuple[int, ...]
    clock_width: int
    values: tuple[int, ...]
    group: int | None
    units: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def time_name(self) -> str:
        """The name of the column of times, or of those joined."""
        return " and ".join(self.names[place] for place in self.times)

    def time_of(self, cells: Cells) -> str:
        """The cell of the time of a row, or those that make it up as one text."""
        if len(self.times) == 1:
            return cells[self.times[0]]
        parts = _plain_name(self.names[self.times[0]]) in YEAR_NAMES
        return _joined([cells[place].strip() for place in self.times], parts, self.clock_width)

    def fit(self, cells: Cells) -> Cells | None:
        """The cells of a row, without the empty one behind a trailing separator; None where their number is wrong."""
        if len(cells) == len(self.names):
            return cells
        return cells[:-1] if self.trailing and len(cells) == len(self.names) + 1 and not cells[-1].strip() else None


def split_line(line: str, separator: str) -> Cells:
    """The cells of one line.

    Raises:
        DomainError: quotes that do not match.
    """
    try:
        return next(rows_of([line], separator), [])
    except csv.Error as error:
        raise DomainError(f"the line is not a row of cells ({error})") from None


def rows_of(lines: Iterable[str], separator: str) -> Any:
    """A reader of the standard library for these lines."""
    return csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)


def is_no_row(cells: Cells) -> bool:
    """Whether a line has nothing but separators, or is a comment."""
    return not "".join(cells).strip() or cells[0].lstrip().startswith("#")


def miscounted(cells: Cells, names: Sequence[str]) -> str:
    """Why a row has no place under the names."""
    return f"{len(cells)} cells stand under {len(names)} columns ({listed(names)}); {COMMA_REMEDY}"


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names for a message, the rest of many as a number."""
    texts = [name if len(name) <= 40 else f"{name[:37]}..." for name in names[:most]]
    return ", ".join(texts) + (f" and {len(names) - most} more" if len(names) > most else "")


def find_layout(lines: Sequence[str], columns: Columns) -> CsvLayout | None:
    """The layout of a file by its first lines, None where there are too few to tell.

    Args:
        lines: the first lines, blank ones included; some more than `SAMPLE` are enough.
        columns: what the user said.

    Raises:
        DomainError: no such column, none or several columns that could be the values, names that do not fit the rows.
            The message goes on after the name of the file.
    """
    head = _head_of(lines)
    return None if head is None else head.layout(columns)


def find_names(lines: Sequence[str]) -> tuple[str, ...]:
    """The names of a file's columns by its first lines, none where it has no rows."""
    head = _head_of(lines)
    return () if head is None else tuple(head.names()[0])


def _head_of(lines: Sequence[str]) -> _Head | None:
    start, separator = _declared_separator(lines)
    numbered = [(i, line) for i, line in enumerate(lines) if i >= start and line.strip()][: SAMPLE + MOST_ABOVE]
    comments = {i for i, line in numbered if line.lstrip().startswith("#")}
    plain = [(i, line) for i, line in numbered if i not in comments]
    if not plain:
        return None
    separator = separator or _find_separator([line for _, line in plain])
    rows = [(i, _split_or_whole(line, separator)) for i, line in plain]
    return _Head(rows, _width([cells for _, cells in rows]), separator, lines, comments)


def _width(rows: list[Cells]) -> int:
    """Cells of most rows, without the one behind a separator that ends every row."""
    width = Counter(map(len, rows[1:] or rows)).most_common(1)[0][0]
    ended = width > 1 and not any(cells[-1].strip() for cells in rows[1:] if len(cells) == width)
    head = next((cells for cells in rows if len(cells) in (width - 1, width)), rows[0])
    return width - 1 if ended and (len(head) < width or not head[-1].strip()) else width


def _declared_separator(lines: Sequence[str]) -> tuple[int, str]:
    """The line after "sep=;" and what it declares."""
    for i, line in enumerate(lines):
        match = re.fullmatch(r'"?sep=(.)"?[,;\t]*\s*', line, re.IGNORECASE)
        if match:
            return i + 1, match[1]
        if line.strip():
            break
    return 0, ""


def _find_separator(lines: Sequence[str]) -> str:
    """What separates the cells: what splits most lines alike into two cells or more; the comma where nothing does."""

    def alike(separator: str) -> int:
        counts = Counter(line.count(separator) for line in lines if separator in line)
        return counts.most_common(1)[0][1] if counts else 0

    best = max(SEPARATORS, key=alike)  # a decimal comma is not in the names, or its separator stands first here
    return best if alike(best) else ","


def _split_or_whole(line: str, separator: str) -> Cells:
    try:
        return split_line(line, separator)
    except DomainError:  # when its turn comes, the line is reported by its number
        return [line]


class _Head:
    """The first rows of a file: where the table begins in them, and what its columns hold."""

    def __init__(
        self, rows: list[tuple[int, Cells]], width: int, separator: str, lines: Sequence[str], comments: set[int]
    ) -> None:
        self.separator, self.lines, self.comments, self.width = separator, lines, comments, width
        self.notes: list[str] = []
        above = next((k for k, (_, cells) in enumerate(rows) if self._wide(cells)), 0)
        self.rows = rows[above:]
        self.above = rows[:above]
        self.trailing = any(len(cells) == width + 1 and not cells[-1].strip() for _, cells in self.rows[1:2])

    def _wide(self, cells: Cells) -> bool:
        return len(cells) == self.width or (len(cells) == self.width + 1 and not cells[-1].strip())

    def _cut(self, cells: Cells) -> Cells:
        return [cell.strip() for cell in cells[: self.width]]

    def layout(self, columns: Columns) -> CsvLayout | None:
        """The layout, or None where there is no row of data yet."""
        names, first, units, headless = self.names()
        body = [self._cut(cells) for i, cells in self.rows if i >= first and self._wide(cells)]
        if self.above:
            if headless:
                raise DomainError(f", line {self.rows[0][0] + 1}: {miscounted(self.rows[0][1], self.above[-1][1])}")
            last = self.above[-1][0] + 1
            self.notes.append(f"lines up to {last} stand above the table and were left out")
        everything = columns.value == (ALL,) and ALL not in names
        for column in (*columns.time, *(() if everything else columns.value), columns.group):
            if column is not None and column not in names:
                raise DomainError(f"has no column {column!r}; its columns are {listed(names)}")
        if not body:
            return None
        kinds = _Kinds(names, [[row[k] for row in body] for k in range(len(names))])
        times = tuple(names.index(name) for name in columns.time) or kinds.find_times()
        if len(columns.time) == 1:
            times = kinds.with_clock(times[0]) or times
        group = None if columns.group is None else names.index(columns.group)
        if everything:
            values = tuple(k for k in range(len(names)) if k not in (*times, group) and not kinds.nameless(k, headless))
            if not values:
                raise DomainError(f"has no column beside the time {names[0]}; give one column per asset")
        else:
            values = tuple(names.index(name) for name in columns.value) or (kinds.find_value(times, group, headless),)
        if len(times) > 1:
            self.notes.append(f"columns {' and '.join(names[k] for k in times)} were joined to one time")
        if not times:
            self.notes.append(GRID_NOTE)
        return CsvLayout(
            self.separator,
            tuple(names),
            first,
            self.trailing,
            times,
            kinds.clock_width(times[1]) if len(times) == 2 else 0,
            values,
            group,
            tuple(units[k] for k in values),
            tuple(self.notes),
        )

    def names(self) -> tuple[list[str], int, list[str], bool]:
        """The names of the columns, the line of the first row of data, units, and whether the names are made up."""
        (place, cells), following = self.rows[0], self.rows[1:]
        head, none = self._cut(cells), [""] * self.width
        commented = self._commented_names(place)
        if commented is not None and _is_data(head, self._second(following)):
            return _distinct(commented), place, none, False
        if _is_data(head, self._second(following)):
            return _distinct(none), place, none, True
        if following and _is_text(head) and _is_text(self._cut(following[0][1])) and len(following) > 1:
            second = self._cut(following[0][1])
            if not _is_text(self._cut(following[1][1])):
                return self._of_two(place, head, following[0][0], second)
        return _distinct(head), place + 1, none, False

    def _second(self, following: list[tuple[int, Cells]]) -> Cells:
        return next((self._cut(cells) for _, cells in following if self._wide(cells)), [])

    def _commented_names(self, place: int) -> list[str] | None:
        """The names of the columns in a comment straight above the first row of data, as NumPy writes them."""
        line = self.lines[place - 1].strip() if place - 1 in self.comments else ""
        cells = [cell.strip() for cell in _split_or_whole(line.lstrip("# "), self.separator)]
        return cells if len(cells) == self.width and all(cells) and _is_text(cells) else None

    def _of_two(
        self, place: int, head: Cells, next_place: int, second: Cells
    ) -> tuple[list[str], int, list[str], bool]:
        """Names from two rows of text: the second holds units, or the first is no part of the table."""
        named = [any(_plain_name(cell) in TIME_NAMES for cell in row) for row in (head, second)]
        if named == [False, True]:
            self.notes.append(f"lines up to {place + 1} stand above the table and were left out")
            return _distinct(second), next_place + 1, [""] * self.width, False
        if all(_UNIT.fullmatch(cell) for cell in second) and (named[0] or named == [False, False]):
            self.notes.append(f"line {next_place + 1} holds the units of the columns")
            return _distinct(head), next_place + 1, [cell.strip("[]()") for cell in second], False
        raise DomainError(
            f"has two lines of text, {place + 1} and {next_place + 1}, above its numbers; leave the names of the "
            "columns and remove the other"
        )


def _is_text(cells: Cells) -> bool:
    """Whether a row may be one of names: no cell is a number or a time."""
    return not any(is_number(cell) or begins_with_date(cell) for cell in cells)


def _is_data(head: Cells, second: Cells) -> bool:
    """Whether the first row holds data: its cells are of the kinds of those below, a number or a time among them."""
    plain = [cell for cell in head if cell]
    if plain and all(map(is_number, plain)):
        return len(plain) == len(head) or not second or not is_date(second[0])
    if len(second) != len(head):
        return False
    # A cell of digits in the places of those of the cell below, such as 240101 00:15, names nothing either.
    written_alike = any(shape_of(cell) == shape_of(below) is not None for cell, below in zip(head, second, strict=True))
    if not written_alike and not any(is_number(cell) or begins_with_date(cell) for cell in plain):
        return False
    for cell, below in zip(head, second, strict=True):
        judge = next((judge for judge in (is_number, begins_with_date, is_time_of_day) if judge(below)), None)
        missing = cell.lower() in MISSING and (judge is is_number or cell != "")
        if judge is not None and not judge(cell) and not missing:
            return False
    return True


def _distinct(cells: Cells) -> list[str]:
    """Names of columns by their cells: column_1, column_2 where empty, with .1, .2 after one that stood before."""
    if len(cells) > MOST_COLUMNS:
        raise DomainError(
            f"has {len(cells):,} columns; the most is {MOST_COLUMNS:,}. Leave columns out, or name another file"
        )
    names: dict[str, None] = {}
    repeats: Counter[str] = Counter()
    for place, cell in enumerate(cells):
        name = free = cell or f"column_{place + 1}"
        while free in names:
            repeats[name] += 1
            free = f"{name}.{repeats[name]}"
        names[free] = None
    return list(names)


def _plain_name(name: str) -> str:
    return name.strip("<>[]\"' ").lower()


def _most(judge: Callable[[str], object], cells: Cells) -> bool:
    """Whether at least half of the cells pass."""
    return bool(cells) and 2 * sum(map(bool, map(judge, cells))) >= len(cells)


class _Kinds:
    """What the columns of the first rows hold."""

    def __init__(self, names: list[str], columns: list[Cells]) -> None:
        self.names, self.all = names, columns
        self.some = [[cell for cell in cells if cell.lower() not in MISSING] for cells in columns]
        self.plain = [_plain_name(name) for name in names]

    def find_times(self) -> tuple[int, ...]:
        """Places of the column of times or of those that make it up; by name, then by content."""
        parts = self._parts()
        named = [k for k, name in enumerate(self.plain) if name in TIME_NAMES]
        dates = [k for k in range(len(self.names)) if self._has_dates(k)]
        days = [*(k for k in named if not self._has_clocks(k)), *dates]
        if days:
            return self.with_clock(days[0]) or (days[0],)
        if parts:
            return parts
        if named:
            days = [k for k, name in enumerate(self.plain) if name in _DATE_NAMES and k != named[0]]
            return (days[0], named[0]) if days else (named[0],)
        years = [k for k, name in enumerate(self.plain) if name in YEAR_NAMES and _most(str.isdigit, self.some[k])]
        periods = [
            k for k, name in enumerate(self.plain) if name in _PERIOD_NAMES and not _most(is_number, self.some[k])
        ]
        texts = [k for k, cells in enumerate(self.some) if not _most(is_number, cells)]
        nearly = [k for k in texts if _most(begins_with_date, self.some[k])]
        return tuple((years or periods or nearly)[:1])  # what should be a time and is none is refused by its name

    def with_clock(self, place: int) -> tuple[int, ...] | None:
        """A column of days together with that of the times of day, None where there is no such pair."""
        if self._has_clocks(place):
            days = [k for k in range(len(self.names)) if k != place and self._has_days(k)]
            return (days[0], place) if days else None
        if not self._has_days(place):
            return None
        repeated = len(set(self.some[place])) < len(self.some[place])
        clocks = [k for k in range(len(self.names)) if k != place and self._has_clocks(k)]
        clocks = [k for k in clocks if repeated or self.plain[k] in _CLOCK_NAMES]  # a column of sunsets is none
        return (place, clocks[0]) if clocks else None

    def _has_dates(self, place: int) -> bool:
        return not _most(is_float, self.some[place]) and _most(is_date, self.some[place])

    def _has_days(self, place: int) -> bool:
        """Whether a column holds days without times of day."""
        if self._has_compact_days(place):
            return True
        return self._has_dates(place) and not any(":" in _without_midnight(cell) for cell in self.some[place])

    def _has_compact_days(self, place: int) -> bool:
        return self.plain[place] in _DATE_NAMES and _most(lambda c: len(c) == 8 and c.isdigit(), self.some[place])

    def _has_clocks(self, place: int) -> bool:
        """Whether a column holds times of day: by their colons, or digits under a name that says so."""
        cells, name = self.some[place], self.plain[place]
        if bool(cells) and all(map(is_time_of_day, cells)):
            return True
        digits = bool(cells) and all(cell.isdigit() and len(cell) <= 6 for cell in cells)
        if not digits:
            return False
        if name in _PART_NAMES[3]:
            return all(int(cell) <= 24 for cell in cells)
        width, beside = self.clock_width(place), any(map(self._has_compact_days, range(len(self.names))))
        return name in _CLOCK_NAMES and beside and all(is_time_of_day(_clock(cell, width)) for cell in cells)

    def clock_width(self, place: int) -> int:
        """Digits of the longest time of day in a column, rounded up to whole fields; 0 where they are no digits."""
        cells = self.some[place]
        if not all(map(str.isdigit, cells)):
            return 0
        return 2 if self.plain[place] in _PART_NAMES[3] else 6 if any(len(cell) > 4 for cell in cells) else 4

    def _parts(self) -> tuple[int, ...]:
        """Places of columns of year, month and so on, as far as there are; none where year or month is missing."""
        places = []
        for names in _PART_NAMES:
            found = [k for k, name in enumerate(self.plain) if name in names and self._whole(k)]
            if not found:
                break
            places.append(found[0])
        return tuple(places) if len(places) > 1 else ()

    def _whole(self, place: int) -> bool:
        return _most(lambda cell: cell.removesuffix(".0").isdigit(), self.some[place])

    def nameless(self, place: int, headless: bool) -> bool:
        """Whether a column has neither a name nor a value."""
        return not headless and not self.some[place] and self.names[place] == f"column_{place + 1}"

    def find_value(self, times: tuple[int, ...], group: int | None, headless: bool) -> int:
        """The only column of numbers that is neither a time, nor a counter of rows, nor empty and without a name."""
        # A named column without a value may yet become one of numbers, so that there is a choice.
        numeric = [
            k
            for k, cells in enumerate(self.some)
            if k not in (*times, group) and not self.nameless(k, headless) and (not cells or _most(is_number, cells))
        ]
        if not any(self.some[k] for k in numeric):
            raise DomainError(f"has no column of numbers among {listed(self.names)}; name one with --value")
        if len(numeric) > 1 and numeric[0] == 0 and _counts(self.all[0]):
            numeric = numeric[1:]  # a first column that counts rows is no measurement
        if len(numeric) > 1:
            names = [self.names[k] for k in numeric]
            raise DomainError(
                f"has several columns of numbers: {listed(names)}; choose one with --value {shown(names[0])[1:-1]}, or "
                f"several as assets with --value {shown(','.join(names[:2]))[1:-1]}"
            )
        return numeric[0]


def _counts(cells: Cells) -> bool:
    return len(cells) >= 3 and cells[0] in ("0", "1") and cells == [str(int(cells[0]) + i) for i in range(len(cells))]


def _without_midnight(cell: str) -> str:
    return re.sub(r"[T ]+0{1,2}:00(?::00(?:\.0+)?)?$", "", cell)


def _clock(cell: str, width: int) -> str:
    """Digits of a time of day as HH:MM:SS; `width` is that of the longest cell, 2 for hours alone, 0 for no digits."""
    if not width:
        return cell
    digits = f"{cell.zfill(width):0<6}"
    return f"{digits[:2]}:{digits[2:4]}:{digits[4:]}"


def _joined(cells: Cells, parts: bool, width: int) -> str:
    """Cells of several columns as one time."""
    if "" in cells:
        return ""
    if not parts:
        return f"{_without_midnight(cells[0])} {_clock(cells[1], width)}"
    whole = [cell.removesuffix(".0") for cell in cells]
    clock = [*whole[3:], "00", "00"][:3]
    return "-".join(whole[:3]) + (f" {':'.join(f'{part:0>2}' for part in clock)}" if len(whole) > 3 else "")
