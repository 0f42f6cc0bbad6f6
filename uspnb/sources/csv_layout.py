"""Which columns of a growing CSV file are read, decided by its first lines, and how one line becomes a tick."""

from __future__ import annotations

import csv
import dataclasses
import re
from typing import Any

from ..data.csv_file import DECIMAL_COMMA, TIME_NAMES, split_header
from ..data.series import GRID_NOTE, NAIVE_NOTE
from ..data.times import NANOSECONDS
from ..errors import DomainError
from .instants import LEAST_INSTANT, instant_ns, is_float, text_value
from .items import Tick

_ZONE = re.compile(r"(?:[zZ]|UTC|GMT|[+-]\d\d:?\d\d)$")


@dataclasses.dataclass(frozen=True)
class CsvLayout:
    """How the lines of one file are read.

    Attributes:
        separator: between the cells.
        names: of the columns.
        time: place of the column of times, None where there is none and ticks lie on a grid of one second.
        value: place of the column of values.
        decimal: mark of decimals, "." or ",", "" where the first lines do not tell and either may come.
        headless: whether the first line holds values already.
        notes: what was assumed.
    """

    separator: str
    names: tuple[str, ...]
    time: int | None
    value: int
    decimal: str
    headless: bool
    notes: tuple[str, ...]

    def read(self, line: str, row: int) -> Tick:
        """One line as a tick.

        Args:
            line: its text.
            row: rows of values before it, which give the time on a grid.

        Raises:
            DomainError: too few or too many cells, no number, no time; the message says which, without the line.
        """
        cells = split_line(line, self.separator)
        if len(cells) != len(self.names):
            raise DomainError(
                f"{len(cells)} cells stand under {len(self.names)} columns ({', '.join(self.names)}); where a comma is "
                "the decimal mark, semicolons must separate the columns"
            )
        try:
            value = text_value(cells[self.value], self.decimal)
        except DomainError as error:
            raise DomainError(f"{self.names[self.value]} = {error}") from None
        return Tick(value, row * NANOSECONDS if self.time is None else instant_ns(cells[self.time]))


def split_line(line: str, separator: str) -> list[str]:
    """The cells of one line.

    Raises:
        DomainError: quotes that do not match.
    """
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise DomainError(f"the line is not a row of cells ({error})") from None


def find_layout(lines: list[str], time: str | None, value: str | None) -> CsvLayout | None:
    """The layout of a file by its first lines, None where there are too few to tell.

    Args:
        lines: the first complete lines, without their ends.
        time, value: names of the columns where the user gave them.

    Raises:
        DomainError: no such column, or none or several columns that could be the values; lists the columns.
    """
    if not lines:
        return None
    separator, found = split_header(lines[0])
    cells = [cell.strip() for cell in split_line(lines[0], separator)]
    names = cells if found else [f"column_{i + 1}" for i in range(len(cells))]
    for column in (time, value):
        if column is not None and column not in names:
            raise DomainError(f"there is no column {column!r}; the columns are {', '.join(names)}")
    body = lines[1:] if found else lines
    rows = [row for row in _rows(body, separator) if len(row) == len(names)]
    if not rows:
        return None
    columns = [[row[i].strip() for row in rows] for i in range(len(names))]
    when = names.index(time) if time is not None else _find_time(names, columns)
    place = names.index(value) if value is not None else _find_value(names, columns, when)
    decimal = _decimal_mark(columns[place]) if separator != "," else "."
    notes = (f"commas in column {names[place]} were read as decimal marks",) if decimal == "," else ()
    when, told = _judge_times(names, columns, when)
    return CsvLayout(separator, tuple(names), when, place, decimal, not found, (*told, *notes))


def _decimal_mark(cells: list[str]) -> str:
    if any(DECIMAL_COMMA.fullmatch(cell) for cell in cells):
        return ","
    return "." if any("." in cell for cell in cells) else ""


def _rows(lines: list[str], separator: str) -> list[list[str]]:
    rows = []
    for line in lines:
        try:
            rows.append(split_line(line, separator))
        except DomainError:
            continue  # when its turn comes, the line is told of by its number
    return rows


def _most(judge: Any, cells: list[str]) -> bool:
    """Whether at least half of the cells that are not empty pass."""
    told = [judge(cell) for cell in cells if cell]
    return bool(told) and 2 * sum(told) >= len(told)


def _is_number(cell: str) -> bool:
    return is_float(cell) or bool(DECIMAL_COMMA.fullmatch(cell))


def _is_instant(cell: str) -> bool:
    try:
        instant_ns(cell)
    except DomainError:
        return False
    return True


def _find_time(names: list[str], columns: list[list[str]]) -> int | None:
    for place, name in enumerate(names):
        if name.lower() in TIME_NAMES:
            return place
    for place, cells in enumerate(columns):
        if not _most(_is_number, cells) and _most(_is_instant, cells):
            return place
    return None


def _find_value(names: list[str], columns: list[list[str]], when: int | None) -> int:
    numeric = [i for i, cells in enumerate(columns) if i != when and _most(_is_number, cells)]
    if not numeric:
        raise DomainError(f"no column holds numbers among {', '.join(names)}; name one with value=")
    if len(numeric) > 1 and numeric[0] == 0 and _counts(columns[0]):
        numeric = numeric[1:]  # a first column that counts rows is no measurement
    if len(numeric) > 1:
        raise DomainError(
            f"several columns hold numbers: {', '.join(names[i] for i in numeric)}; choose one with "
            f"value={names[numeric[0]]!r}"
        )
    return numeric[0]


def _counts(cells: list[str]) -> bool:
    return len(cells) >= 3 and cells[0] in ("0", "1") and cells == [str(int(cells[0]) + i) for i in range(len(cells))]


def _judge_times(names: list[str], columns: list[list[str]], when: int | None) -> tuple[int | None, tuple[str, ...]]:
    """The column of times, None where it holds numbers that are no instants, and what was assumed."""
    if when is None:
        return None, (GRID_NOTE,)
    cells = [cell for cell in columns[when] if cell]
    if _most(_is_number, cells):
        small = _most(
            lambda cell: abs(float(cell.replace(",", "."))) <= LEAST_INSTANT, [c for c in cells if _is_number(c)]
        )
        told = f"numbers in column {names[when]} are no instants: a regular grid of one second stands in for them"
        return (
            (None, (GRID_NOTE, told))
            if small
            else (when, (f"numbers in column {names[when]} were read as time since 1970",))
        )
    return when, () if _most(lambda cell: bool(_ZONE.search(cell)), cells) else (NAIVE_NOTE,)
