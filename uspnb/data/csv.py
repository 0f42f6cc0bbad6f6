"""CSV: which columns of a file are read, and how its rows become ticks, of a whole file and of one that grows.

The first rows decide the layout; after that every row is read by itself, so that a file gives the same ticks whether it
is read at once (`read_csv`) or while it is being written (`uspnb.sources.CsvTailSource`).
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..array_types import Float, Int
from ..errors import DomainError, shown
from .times import GRID_NOTE, NAIVE_NOTE, NANOSECONDS, TimeFormat, find_time_format

if TYPE_CHECKING:
    from .series import Series

TIME_NAMES = ("time", "timestamp", "datetime", "date", "ds", "date_time", "utc", "when")
MOST_BYTES = 200_000_000
SAMPLE = 200  # rows that decide the layout
SEPARATORS = ",;\t"
ALL = "*"  # in the place of the columns of values: all but the time
DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*")
_PLAIN = re.compile(r"[-+.\deE]*\d[-+.\deE]*")
_COMMA_REMEDY = "where a comma is the decimal mark, semicolons must separate the columns"
_EMPTY_REMEDY = "leave the cell empty where a value is missing"
_MISSING = frozenset(
    ("", "na", "n/a", "nan", "-nan", "null", "none", "<na>", "#n/a", "#na", "#n/a n/a", "1.#ind", "-1.#ind", "1.#qnan")
)
_BATCH = 500  # rows whose cells are held at once; with more the garbage collector takes most of the time

Cells = list[str]


class CsvOptions(BaseModel):
    """What the user said about the file: its path, the column of times, the columns of values, its largest size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    time: str | None = None
    value: tuple[str, ...] = ()
    most_bytes: int = Field(default=MOST_BYTES, gt=0)

    @field_validator("path")
    @classmethod
    def _readable(cls, path: Path) -> Path:
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name a CSV file in it")
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        return path

    @field_validator("time")
    @classmethod
    def _named(cls, time: str | None) -> str | None:
        if time is not None and not time.strip():
            raise ValueError("the name of the time column is empty; leave it out to have it found")
        return time

    @field_validator("value", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        names = value.split(",") if isinstance(value, str) else list(value or ())
        names = [name.strip() if isinstance(name, str) else name for name in names]
        if "" in names:
            raise ValueError(f"the list of value columns {value!r} has an empty name in it")
        return tuple(names)


def check_options(**options: Any) -> CsvOptions:
    """`CsvOptions` of these arguments.

    Raises:
        DomainError: no such file, a folder, an empty name, a bound that is none.
    """
    try:
        return CsvOptions.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        raise DomainError(f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}") from None


def read_csv(
    path: Any,
    time: str | None = None,
    value: str | tuple[str, ...] | None = None,
    *,
    most_bytes: int = MOST_BYTES,
) -> Series:
    """Read a `Series` from a CSV file (comma, semicolon or tab; first line the names of the columns).

    Where semicolons or tabs separate the columns, decimal commas are read, and `Series.notes` says it.  Lines that are
    empty but for separators are passed over; a cell that is empty or says NA, NaN, null or none is a missing value.

    Args:
        path: the file, UTF-8.
        time: column of times; without it, the first column that is named or reads like one, else a regular grid.
        value: column of values, or several separated by commas, which become assets; "*" for all but the time; without
            it, the only column of numbers that is neither the time nor a row counter.
        most_bytes: size beyond which the file is refused before it is read.

    Raises:
        DomainError: no such file or column, a folder, too large, bytes that are not UTF-8, no or several columns of
            numbers, a row, a time or a value that cannot be read; the message names the line or lists the columns.
    """
    from .series import assemble_series  # with pandas and xarray, which a growing file does not need

    options = check_options(path=path, time=time, value=() if value is None else value, most_bytes=most_bytes)
    text = _text_of(options)
    separator = find_separator(next((line for line in text.splitlines() if line.strip()), ""))
    records = _records(text, separator, options.path)
    records = itertools.dropwhile(lambda record: _is_blank(record[1]), records)
    head = [record for record in itertools.islice(records, SAMPLE + 1) if not _is_blank(record[1])]
    try:
        layout = find_layout([cells for _, cells in head], separator, options.time, options.value)
    except DomainError as error:
        raise DomainError(f"{options.path} {error}") from None
    if layout is None and len(head) > 1:
        names, (line, cells) = head[0][1], head[1]
        raise DomainError(f"{options.path}, line {line}: {_miscounted(cells, names)}")
    if layout is None:
        raise DomainError(f"{options.path} holds no rows of values")
    reader = CsvReader(layout)
    body = itertools.chain(head if layout.headless else head[1:], records)
    values, stamps_ns = _read_all(reader, body, options.path)
    names = tuple(layout.names[place] for place in layout.values)
    times = None if layout.time is None else stamps_ns
    if len(names) > 1:
        series = assemble_series(values, times, assets=names)
    else:
        series = assemble_series(values[:, 0], times, name="".join(names))
    return dataclasses.replace(series, notes=reader.notes)


def _text_of(options: CsvOptions) -> str:
    size = options.path.stat().st_size
    if size > options.most_bytes:
        raise DomainError(
            f"{options.path} has {size:,} bytes, beyond the bound most_bytes = {options.most_bytes:,}; leave columns "
            "or rows out, save the series as netCDF or Zarr, or call read_csv with a larger most_bytes"
        )
    try:
        return options.path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DomainError(
            f"{options.path} is not UTF-8 text: byte {error.object[error.start]:#04x} at position {error.start}; save "
            "it as UTF-8, or name a text file"
        ) from None


def _records(text: str, separator: str, path: Path) -> Iterator[tuple[int, Cells]]:
    """The records of a text, each with the line that it begins in; a quoted cell may span lines."""
    reader, line = _cells_of(io.StringIO(text, newline=None), separator), 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise DomainError(f"{path}, line {line}: no row of cells begins here ({error})") from None


def _read_all(
    reader: CsvReader, records: Iterator[tuple[int, Cells]], path: Path
) -> tuple[Float[np.ndarray, "row column"], Int[np.ndarray, "row"]]:
    values, stamps, first, count = [], [], "", 0
    while batch := list(itertools.islice(records, _BATCH)):
        rows = reader.read([cells for _, cells in batch])
        values.append(rows.values)
        stamps.append(rows.stamps_ns)
        for place, reason in rows.faults.items():
            first = first or f"line {batch[place][0]}: {reason}"
            count += 1
    if count:
        raise DomainError(f"{path}, {first}" + (f" ({count} such lines)" if count > 1 else ""))
    return np.concatenate(values), np.concatenate(stamps)


@dataclasses.dataclass(frozen=True)
class CsvLayout:
    """Which cells of a file's rows are read, and how.

    Attributes:
        separator: between the cells.
        names: of the columns.
        time: place of the column of times, None where there is none and ticks lie on a grid of one second.
        time_format: how its cells are read, None on a grid.
        values: places of the columns of values.
        headless: whether the first row holds values already.
        notes: what was assumed.
    """

    separator: str
    names: tuple[str, ...]
    time: int | None
    time_format: TimeFormat | None
    values: tuple[int, ...]
    headless: bool
    notes: tuple[str, ...]


class CsvRows(NamedTuple):
    """What became of some rows.

    Attributes:
        values: of the rows that are ticks, a column for each of the layout's values; NaN where a cell is empty.
        stamps_ns: their times [ns since 1970 UTC].
        places: which of the rows they are.
        faults: why a row is no tick, by its place; the others are blank.
    """

    values: Float[np.ndarray, "row column"]
    stamps_ns: Int[np.ndarray, "row"]
    places: Int[np.ndarray, "row"]
    faults: dict[int, str]


class CsvReader:
    """Reads rows of one layout, each by itself but for two things: the place on a grid, and the mark of decimals.

    Where the layout lets a comma be a decimal mark, the first cell of a column that has a mark settles it; a later cell
    with the other one is a fault.

    Args:
        layout: of `find_layout`.
    """

    def __init__(self, layout: CsvLayout) -> None:
        self.layout = layout
        self._marks = ["." if layout.separator == "," else ""] * len(layout.values)
        self._ticks = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """The layout's notes, and which columns have turned out to have decimal commas."""
        commas = [place for place, mark in zip(self.layout.values, self._marks, strict=True) if mark == ","]
        return (
            *self.layout.notes,
            *(f"commas in column {self.layout.names[place]} were read as decimal marks" for place in commas),
        )

    def read(self, rows: Sequence[Cells]) -> CsvRows:
        """The next rows of the file, in their order, as ticks."""
        layout, faults, whole = self.layout, {}, []
        for place, cells in enumerate(rows):
            if _is_blank(cells):
                continue
            if len(cells) == len(layout.names):
                whole.append(place)
            else:
                faults[place] = _miscounted(cells, layout.names)
        columns = [self._numbers(k, [rows[i][layout.values[k]] for i in whole]) for k in range(len(layout.values))]
        stamps, late = self._stamps([rows[i][layout.time] for i in whole] if layout.time is not None else None)
        for refused in (late, *(refused for _, refused in columns)):
            for k, reason in refused.items():
                faults.setdefault(whole[k], reason)
        good = np.array([k for k, place in enumerate(whole) if place not in faults], np.int64)
        values = np.stack([numbers for numbers, _ in columns], axis=1)[good]
        if layout.time is None:
            stamps = (self._ticks + np.arange(len(good), dtype=np.int64)) * NANOSECONDS
        else:
            stamps = stamps[good]
        self._ticks += len(good)
        return CsvRows(values, stamps, np.array(whole, np.int64)[good], dict(sorted(faults.items())))

    def _numbers(self, column: int, cells: Cells) -> tuple[np.ndarray, dict[int, str]]:
        mark, joined = self._marks[column], "".join(cells)
        if joined.isascii() and "_" not in joined and "," not in joined and not (mark == "," and "." in joined):
            try:
                numbers = np.array([float(cell or "nan") for cell in cells], np.float64)
            except ValueError:
                pass  # some cell is no plain number; each is looked at
            else:
                self._marks[column] = mark or ("." if "." in joined else "")
                return numbers, {}
        numbers, refused = np.full(len(cells), np.nan), {}
        name = self.layout.names[self.layout.values[column]]
        for k, cell in enumerate(cells):
            try:
                numbers[k] = read_number(cell, self._marks[column])
            except DomainError as error:
                refused[k] = f"{name} = {error}"
            else:
                mark_of_cell = "," if "," in cell else "." if "." in cell else ""
                self._marks[column] = self._marks[column] or mark_of_cell
        return numbers, refused

    def _stamps(self, cells: Cells | None) -> tuple[np.ndarray, dict[int, str]]:
        layout = self.layout
        if cells is None or layout.time is None or layout.time_format is None:
            return np.zeros(0, np.int64), {}
        stamps, valid = layout.time_format.read(cells)
        name = layout.names[layout.time]
        return stamps, {int(k): layout.time_format.refusal(name, cells[k]) for k in np.flatnonzero(~valid)}


def _is_blank(cells: Cells) -> bool:
    return not "".join(cells).strip()


def _miscounted(cells: Cells, names: Sequence[str]) -> str:
    return f"{len(cells)} cells stand under {len(names)} columns ({', '.join(names)}); {_COMMA_REMEDY}"


def read_number(text: str, decimal: str = ".") -> float:
    """The value of a cell, NaN where it is empty or says that there is none.

    Args:
        text: the cell.
        decimal: the mark of decimals, "." or ",", "" for either.

    Raises:
        DomainError: no number.
    """
    cell = text.strip()
    if cell.lower() in _MISSING:
        return float("nan")
    if decimal != "." and DECIMAL_COMMA.fullmatch(cell):
        cell = cell.replace(",", ".")
    elif decimal == "," and "." in cell and is_float(cell):
        raise DomainError(
            f"{shown(text)} has a decimal point where the lines before have commas; write one or the other"
        )
    if is_float(cell):
        return float(cell)
    remedy = _EMPTY_REMEDY
    if DECIMAL_COMMA.fullmatch(cell):
        remedy = (
            "a decimal comma is read where semicolons separate the columns and the whole column is written so; write "
            f"{cell.replace(',', '.')} instead"
        )
    raise DomainError(f"{shown(text)} is not a number; {remedy}")


def is_float(text: str) -> bool:
    """Whether a text is a number as programs write it, nan and inf included."""
    if "_" in text or not text.isascii():  # Python reads 1_000 and digits of other scripts
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def find_separator(line: str) -> str:
    """What separates the cells of a line: of comma, semicolon and tab the most frequent, the comma where none is."""
    return max(SEPARATORS, key=line.count)


def split_line(line: str, separator: str) -> Cells:
    """The cells of one line.

    Raises:
        DomainError: quotes that do not match.
    """
    try:
        return next(_cells_of([line], separator), [])
    except csv.Error as error:
        raise DomainError(f"the line is not a row of cells ({error})") from None


def _cells_of(lines: Any, separator: str) -> Any:
    return csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)


def find_layout(rows: Sequence[Cells], separator: str, time: str | None, value: tuple[str, ...]) -> CsvLayout | None:
    """The layout of a file by its first rows, None where there are too few to tell.

    Args:
        rows: the first rows that are not blank, that of the names among them; `SAMPLE` are enough.
        separator: of `find_separator`.
        time, value: names of the columns where the user gave them; `ALL` for all values.

    Raises:
        DomainError: no such column, or none or several columns that could be the values; lists the columns.  The
            message goes on after the name of the file.
    """
    if not rows:
        return None
    headless = all(
        _PLAIN.fullmatch(cell) or (separator != "," and DECIMAL_COMMA.fullmatch(cell))
        for cell in map(str.strip, rows[0])
    )
    header = ["" if headless else cell.strip() for cell in rows[0]]
    names = _distinct([cell or f"column_{i + 1}" for i, cell in enumerate(header)])
    everything = value == (ALL,) and ALL not in names
    for column in (time, *(() if everything else value)):
        if column is not None and column not in names:
            raise DomainError(f"has no column {column!r}; its columns are {', '.join(names)}")
    body = [row for row in (rows if headless else rows[1:]) if len(row) == len(names)]
    if not body:
        return None
    columns = [[cell for row in body if (cell := row[i].strip()).lower() not in _MISSING] for i in range(len(names))]
    when = names.index(time) if time is not None else _find_time(names, columns)
    counts = [row[0].strip() for row in body]
    if everything:
        places = tuple(place for place in range(len(names)) if place != when)
        if not places:
            raise DomainError(f"has no column beside the time {names[0]}; give one column per asset")
    else:
        places = tuple(names.index(name) for name in value) or (_find_value(names, columns, when, counts),)
    when, time_format, notes = _judge_times(names, columns, when)
    return CsvLayout(separator, tuple(names), when, time_format, places, headless, notes)


def _distinct(names: list[str]) -> list[str]:
    """The names, those that stood before with .1, .2 after them, as pandas names them."""
    named: list[str] = []
    for name in names:
        free = (f"{name}.{k}" if k else name for k in itertools.count())
        named.append(next(candidate for candidate in free if candidate not in named))
    return named


def _most(judge: Callable[[str], bool], cells: Cells) -> bool:
    """Whether at least half of the cells pass."""
    return bool(cells) and 2 * sum(map(judge, cells)) >= len(cells)


def _is_number(cell: str) -> bool:
    return is_float(cell) or bool(DECIMAL_COMMA.fullmatch(cell))


def _find_time(names: list[str], columns: list[Cells]) -> int | None:
    for place, name in enumerate(names):
        if name.lower() in TIME_NAMES:
            return place
    for place, cells in enumerate(columns):
        if cells and not _most(_is_number, cells):
            valid = find_time_format(cells).read(cells)[1]
            if 2 * valid.sum() >= len(cells):
                return place
    return None


def _find_value(names: list[str], columns: list[Cells], when: int | None, first: Cells) -> int:
    # A column without a value may yet become one of numbers, so that there is a choice.
    numeric = [i for i, cells in enumerate(columns) if i != when and (not cells or _most(_is_number, cells))]
    if not any(columns[i] for i in numeric):
        raise DomainError(f"has no column of numbers among {', '.join(names)}; name one with --value")
    if len(numeric) > 1 and numeric[0] == 0 and _counts(first):
        numeric = numeric[1:]  # a first column that counts rows is no measurement
    if len(numeric) > 1:
        labels = [names[i] for i in numeric]
        raise DomainError(
            f"has several columns of numbers: {', '.join(labels)}; choose one with --value {labels[0]}, or several as "
            f"assets with --value {','.join(labels[:2])}"
        )
    return numeric[0]


def _counts(cells: Cells) -> bool:
    return len(cells) >= 3 and cells[0] in ("0", "1") and cells == [str(int(cells[0]) + i) for i in range(len(cells))]


def _judge_times(
    names: list[str], columns: list[Cells], when: int | None
) -> tuple[int | None, TimeFormat | None, tuple[str, ...]]:
    """The column of times, None where it holds numbers that are no instants, its format, and what was assumed."""
    if when is None:
        return None, None, (GRID_NOTE,)
    cells, name = columns[when], names[when]
    if not _most(_is_number, cells):
        time_format = find_time_format(cells)
        return when, time_format, (NAIVE_NOTE,) if time_format.naive else ()
    size = statistics.median(abs(float(cell.replace(",", "."))) for cell in cells if _is_number(cell))
    time_format = TimeFormat.of_numbers(size)
    if time_format is None:
        grid = f"numbers in column {name} are no instants: a regular grid of one second stands in for them"
        return None, None, (GRID_NOTE, grid)
    return when, time_format, (f"numbers in column {name} were read as {time_format.unit} since 1970",)
