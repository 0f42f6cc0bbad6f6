"""CSV: how the rows of a file become ticks, of a whole file (`read_csv`) and of one that grows (`CsvTailSource`).

The first lines decide which columns are read (`table.py`), all rows that stand there how their numbers and times are
written; after that every row is read by itself.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..array_types import Float, Int
from ..errors import DomainError
from .axis import find_order, is_disordered
from .number_format import MISSING, PLAIN, NumberFormat, find_number_format, sure_mark
from .table import ALL, SAMPLE, Cells, Columns, CsvLayout, find_layout, is_no_row, listed, miscounted, rows_of
from .times import GRID_NOTE, NANOSECONDS, TimeFormat, find_time_format

if TYPE_CHECKING:
    from .series import Series

MOST_BYTES = 200_000_000
LONGEST_LINE = 1 << 20
HEAD_BYTES = 4 << 20  # of a file that holds the first lines
MOST_BELOW = 5  # lines that may stand below a table
_FEWEST = 10  # rows above each of them


class CsvOptions(BaseModel):
    """What the user said about a file.

    Attributes:
        path: of the file.
        time: name of the column of times, or of those to be joined, separated by commas.
        value: names of the columns of values.
        group: name of the column that tells several series in one table apart.
        dayfirst: whether the day stands before the month in dates whose order is open.
        time_format: pattern of the times, as strptime takes it.
        unit: of times that are numbers since 1970.
        decimal: mark of decimals.
        most_bytes: largest size of the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    time: tuple[str, ...] = ()
    value: tuple[str, ...] = ()
    group: str | None = None
    dayfirst: bool | None = None
    time_format: str = ""
    unit: Literal["", "s", "ms", "us", "ns"] = ""
    decimal: Literal[".", ","] | None = None
    most_bytes: int = Field(default=MOST_BYTES, gt=0)

    @field_validator("path")
    @classmethod
    def _readable(cls, path: Path) -> Path:
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name a CSV file in it")
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        return path

    @field_validator("time_format", "unit", mode="before")
    @classmethod
    def _left_out(cls, text: Any) -> Any:
        return "" if text is None else text

    @field_validator("time", mode="before")
    @classmethod
    def _named(cls, time: Any) -> Any:
        if isinstance(time, str) and not time.strip():
            raise ValueError("the name of the time column is empty; leave it out to have it found")
        return _names(time, "time")

    @field_validator("value", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return _names(value, "value")

    @property
    def columns(self) -> Columns:
        """What was said of the columns."""
        return Columns(self.time, self.value, self.group)

    @property
    def order(self) -> str:
        """The order of day and month, "" where nothing was said."""
        return "" if self.dayfirst is None else "day first" if self.dayfirst else "month first"


def _names(names: Any, what: str) -> Any:
    split = names.split(",") if isinstance(names, str) else list(names or ())
    split = [name.strip() if isinstance(name, str) else name for name in split]
    if "" in split:
        raise ValueError(f"the list of {what} columns {names!r} has an empty name in it")
    return tuple(split)


def check_options(**options: Any) -> CsvOptions:
    """`CsvOptions` of these arguments.

    Raises:
        DomainError: no such file, a folder, an empty name, a value that is none of those allowed.
    """
    try:
        return CsvOptions.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        raise DomainError(f"{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from None


def read_csv(
    path: Any,
    time: str | Sequence[str] | None = None,
    value: str | Sequence[str] | None = None,
    *,
    group: str | None = None,
    dayfirst: bool | None = None,
    time_format: str | None = None,
    unit: str | None = None,
    decimal: str | None = None,
    most_bytes: int = MOST_BYTES,
    covariates: str | Sequence[str] | None = None,
) -> Series:
    """Read a `Series` from a text file of columns (comma, semicolon, tab or bar between them).

    How times and numbers are written is found from the whole of each column; where two readings fit, the file is
    refused with the argument that settles it.  What was assumed stands in `Series.notes`: the order of day and month,
    decimal commas, units, columns joined to one time, lines above or below the table, rows put in order.  Lines that
    are empty but for separators are passed over; a cell that is empty or says NA, NaN, null or none is missing.

    Args:
        path: the file, UTF-8.
        time: column of times, or several that make it up; without it, the first that is named or reads like one, a
            day and a time of day in two columns, or columns of year, month and so on; else a regular grid.
        value: column of values, or several separated by commas, which become assets; "*" for all but the time; without
            it, the only column of numbers that is neither the time nor a row counter.
        group: column that tells several series in one table apart; each becomes an asset.
        dayfirst: whether 01/02/2026 is the first of February; needed only where the column leaves it open.
        time_format: pattern of the times, such as "%d/%m/%Y %H:%M", instead of what would be found.
        unit: "s", "ms", "us" or "ns", where times are numbers since 1970 whose size misleads.
        decimal: "." or ",", needed only where the column leaves it open.
        most_bytes: size beyond which the file is refused before it is read.
        covariates: columns of covariates, beside the one of values that `value` names.

    Raises:
        DomainError: no such file or column, a folder, too large, bytes that are not UTF-8, no or several columns of
            numbers, a row, a time or a value that cannot be read or can be read in two ways, times that make no axis;
            the message names the line or lists the columns.
    """
    known = _checked_covariates(covariates, value, group)
    options = check_options(
        path=path,
        time=time,
        value=(value, *known) if known else value,
        group=group,
        dayfirst=dayfirst,
        time_format=time_format,
        unit=unit,
        decimal=decimal,
        most_bytes=most_bytes,
    )
    text = _text_of(options)
    try:
        layout = find_layout(text[:HEAD_BYTES].split("\n"), options.columns)
    except DomainError as error:
        raise name_file(error, options.path) from None
    if layout is None:
        raise DomainError(f"{options.path} holds no rows of values")
    series = _Whole(text, layout, options).series()
    if not known:
        return series
    from .series import split_covariates

    return split_covariates(series)


def _checked_covariates(covariates: Any, value: Any, group: str | None) -> tuple[str, ...]:
    if not covariates:
        return ()
    if not isinstance(value, str) or "," in value or value == ALL or group is not None:
        raise DomainError(
            f"covariates {covariates!r} stand beside one series: name its column with value, and leave group out"
        )
    try:
        return _names(covariates, "covariate")
    except ValueError as error:
        raise DomainError(str(error)) from None


def name_file(error: DomainError, path: Path) -> DomainError:
    """The same error with the name of the file before it."""
    text = str(error)
    after = "" if text.startswith(",") else " " if text.startswith(("has ", "holds ")) else ": "
    error.args = (f"{path}{after}{text}",)
    return error


def _text_of(options: CsvOptions) -> str:
    size = options.path.stat().st_size
    if size > options.most_bytes:
        raise DomainError(
            f"{options.path} has {size:,} bytes, beyond the bound most_bytes = {options.most_bytes:,}; leave columns "
            "or rows out, save the series as netCDF or Zarr, or call read_csv with a larger most_bytes"
        )
    content = options.path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DomainError(
            f"{options.path} is not UTF-8 text: byte {error.object[error.start]:#04x} at position {error.start}; save "
            "it as UTF-8, or name a text file"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    place = 0
    while len(text) - place > LONGEST_LINE:  # before any pattern is tried on a line
        end = text.rfind("\n", place, place + LONGEST_LINE + 1)
        if end < 0:
            line = text.count("\n", 0, place) + 1
            raise DomainError(f"{options.path}, line {line} has more than {LONGEST_LINE:,} characters; name a CSV file")
        place = end + 1
    return text


class _Whole:
    """A file whose rows are all there."""

    def __init__(self, text: str, layout: CsvLayout, options: CsvOptions) -> None:
        self.text, self.layout, self.options = text, layout, options
        self.reader = CsvReader(layout, options)
        self.notes: list[str] = []
        self.lines: list[int] = []
        self.columns: list[Cells] = [[] for _ in (*layout.values, "time")]
        self.groups: Cells = []
        self.faults: dict[int, tuple[str, bool]] = {}  # line: reason, and whether the row has a time

    def series(self) -> Series:
        """The series, or a refusal that names the first line that is no tick."""
        self._collect()
        try:
            self.reader.settle(self.columns)
        except DomainError as error:
            raise name_file(error, self.options.path) from None
        values, stamps, refused = self.reader.read_columns(self.columns)
        for row, reason in refused.items():
            self.faults[self.lines[row]] = reason, self._is_timed(row)
        self._leave_out_below()
        if self.faults:
            line, (reason, _) = min(self.faults.items())
            more = f" ({len(self.faults)} such lines)" if len(self.faults) > 1 else ""
            raise DomainError(f"{self.options.path}, line {line}: {reason}{more}")
        good = np.array([row not in refused for row in range(len(self.lines))], bool)
        return self._assemble(values[good], None if stamps is None else stamps[good], good)

    def _records(self) -> Iterator[tuple[int, Cells]]:
        """Rows below the names, each with the number of the line that it begins in; a quoted cell may span lines."""
        body = io.StringIO(self.text, newline=None)
        for _ in range(self.layout.first):
            body.readline()
        reader, line = rows_of(body, self.layout.separator), self.layout.first + 1
        try:
            for cells in reader:
                yield line, cells
                line = self.layout.first + reader.line_num + 1
        except csv.Error as error:
            raise DomainError(f"{self.options.path}, line {line}: no row of cells begins here ({error})") from None

    def _collect(self) -> None:
        layout, *values, time = self.layout, *self.columns
        for line, cells in self._records():
            if is_no_row(cells):
                continue
            row = layout.fit(cells)
            if row is None:
                timed = bool(layout.times) and len(cells) > layout.times[0] and not _is_word(cells[layout.times[0]])
                self.faults[line] = miscounted(cells, layout.names), timed
                continue
            self.lines.append(line)
            for column, place in zip(values, layout.values, strict=True):
                column.append(row[place])
            if layout.times:
                time.append(layout.time_of(row))
            if layout.group is not None:
                self.groups.append(row[layout.group].strip())

    def _is_timed(self, row: int) -> bool:
        return not self.layout.times or not _is_word(self.columns[-1][row])

    def _leave_out_below(self) -> None:
        """Totals, sources and notes below the table: the last lines, few, with no time in its place."""
        last = max((line for line in self.lines if line not in self.faults), default=0)
        below = sorted(line for line in self.faults if line > last)
        untimed = [line for line in below if not self.faults[line][1]]
        if below and untimed == below and len(below) <= MOST_BELOW and _FEWEST * len(below) <= len(self.lines):
            self.notes.append(f"line {below[0]} and what follows stand below the table and were left out")
            for line in below:
                del self.faults[line]

    def _assemble(self, values: np.ndarray, stamps: np.ndarray | None, good: np.ndarray) -> Series:
        from .series import assemble_series  # with pandas and xarray, which a growing file does not need

        layout = self.layout
        names = tuple(layout.names[place] for place in layout.values)
        notes = (*self.reader.notes, *self.notes)
        assets: tuple[str, ...] | None = names if len(names) > 1 else None
        values = values if len(names) > 1 else values[:, 0]
        if layout.group is not None:
            values, stamps, assets = self._by_group(
                values, stamps, [g for g, ok in zip(self.groups, good, strict=True) if ok]
            )
        elif stamps is not None:
            self._check_axis(stamps)
        name, units = "".join(names[:1] if assets is None or layout.group is not None else ()), self.reader.unit
        series = assemble_series(values, stamps, assets=assets, name=name, units=units)
        order = tuple(note for note in series.notes if note not in notes)
        return dataclasses.replace(series, notes=(*notes, *order))

    def _check_axis(self, stamps: Int[np.ndarray, "row"]) -> None:
        order = find_order(stamps)
        if order.places is not None or not is_disordered(order.late, len(stamps)):
            return
        late = f"{self.options.path}: {order.late} of {len(stamps)} rows are not later than the rows before them"
        series = self._find_group()
        if series is not None:
            name, labels = series
            raise DomainError(
                f"{late}: the table holds {len(labels)} series, told apart by column {name} ({listed(labels, 3)}); "
                f"give group={name!r} (--group {name}) to have each as an asset"
            )
        raise DomainError(
            f"{late}, and no order of the rows mends it: equal times stand in several rows. If a second column holds "
            "the time of day, name both, time='DATE,TIME' (--time); if the table holds several series, name the column "
            "that tells them apart, group= (--group)"
        )

    def _find_group(self) -> tuple[str, list[str]] | None:
        """The column that makes each time unique together with it, and its labels; None where there is none."""
        layout = self.layout
        fitted = (layout.fit(cells) for _, cells in self._records() if not is_no_row(cells))
        rows = [row for row in fitted if row is not None]
        for place, name in enumerate(layout.names):
            if place in (*layout.times, *layout.values):
                continue
            pairs = {(row[place].strip(), layout.time_of(row)) for row in rows}
            labels = list(dict.fromkeys(row[place].strip() for row in rows))
            if len(pairs) == len(rows) and 1 < len(labels) <= len(rows) // 2:
                return name, labels
        return None

    def _by_group(
        self, values: np.ndarray, stamps: np.ndarray | None, groups: Cells
    ) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """The table turned into a column for each group, NaN where one has no row."""
        name = self.layout.names[self.layout.group or 0]
        if stamps is None or values.ndim > 1:
            need = "a column of times" if stamps is None else "one column of values"
            raise DomainError(f"{self.options.path}: group={name!r} needs {need}")
        labels, column = np.unique(groups, return_inverse=True)
        times, row = np.unique(stamps, return_inverse=True)
        if len(set(zip(row.tolist(), column.tolist(), strict=True))) < len(row):
            raise DomainError(
                f"{self.options.path}: column {name} does not tell the series apart; some have a time twice"
            )
        table = np.full((len(times), len(labels)), np.nan)
        table[row, column] = values
        return table, times, tuple(map(str, labels))


def _is_word(cell: str) -> bool:
    """Whether a cell in the place of a time is text without a digit, as of a total or a note."""
    return bool(cell.strip()) and not any(letter.isdigit() for letter in cell)


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
    """Reads rows of one layout, each by itself but for its place on a grid, once it is settled how they are written.

    A column of whole numbers leaves its mark of decimals open: the first later cell that has one settles it.

    Args:
        layout: of `find_layout`.
        options: what the user said.
    """

    def __init__(self, layout: CsvLayout, options: CsvOptions) -> None:
        self.layout, self._options = layout, options
        self._formats: list[NumberFormat | None] = [None] * len(layout.values)
        self._time_format: TimeFormat | None = None
        self._time_notes: tuple[str, ...] = ()
        self._ticks = 0

    @property
    def on_grid(self) -> bool:
        """Whether ticks have no times."""
        return self._time_format is None

    @property
    def unit(self) -> str:
        """The unit of the values where all columns have the same, "" where unknown."""
        units = {(style or PLAIN).unit or named for style, named in zip(self._formats, self.layout.units, strict=True)}
        return units.pop() if len(units) == 1 else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed, of the layout, the times and the numbers."""
        notes = [*self.layout.notes, *self._time_notes]
        for place, style in zip(self.layout.values, self._formats, strict=True):
            if style is None:
                continue
            name = self.layout.names[place]
            if style.decimal == ",":
                notes.append(f"commas in column {name} were read as decimal marks")
            if style.thousands:
                notes.append(f"{style.thousands!r} in column {name} was read as separating thousands")
            if style.unit:
                notes.append(f"{style.unit!r} was taken off the numbers of column {name}")
        return tuple(notes)

    def settle(self, columns: Sequence[Cells]) -> None:
        """Find how numbers and times are written, from the cells of each column of values and the times, in that order.

        Raises:
            DomainError: a column can be read in two ways, or in none.
        """
        layout, options = self.layout, self._options
        *values, times = columns
        if layout.times:
            some = [cell for cell in times if cell.strip().lower() not in MISSING and not _is_word(cell)] or times
            self._time_format, notes = find_time_format(
                some, layout.time_name, order=options.order, pattern=options.time_format, unit=options.unit
            )
            self._time_notes = notes if self._time_format is not None else (GRID_NOTE, *notes)
        marks = options.decimal or "".join({mark for cells in values if (mark := sure_mark(cells[: 10 * SAMPLE]))})
        for k, cells in enumerate(values):
            name = layout.names[layout.values[k]]
            self._formats[k] = find_number_format(cells, name, layout.separator, marks, options.decimal)

    def read(self, rows: Sequence[Cells]) -> CsvRows:
        """The next rows of the file, in their order, as ticks."""
        layout, faults, whole, places = self.layout, {}, [], []
        for place, cells in enumerate(rows):
            if is_no_row(cells):
                continue
            row = layout.fit(cells)
            if row is None:
                faults[place] = miscounted(cells, layout.names)
            else:
                whole.append(row)
                places.append(place)
        columns = [[row[place] for row in whole] for place in layout.values]
        columns.append([layout.time_of(row) for row in whole] if layout.times else [])
        values, stamps, refused = self.read_columns(columns)
        faults.update((places[row], reason) for row, reason in refused.items())
        good = np.array([row for row in range(len(whole)) if row not in refused], np.int64)
        if stamps is None:
            stamps = (self._ticks + np.arange(len(whole), dtype=np.int64)) * NANOSECONDS
            stamps[good] = stamps[: len(good)]
        self._ticks += len(good)
        return CsvRows(values[good], stamps[good], np.array(places, np.int64)[good], dict(sorted(faults.items())))

    def read_columns(
        self, columns: Sequence[Cells]
    ) -> tuple[Float[np.ndarray, "row column"], Int[np.ndarray, "row"] | None, dict[int, str]]:
        """Cells of the columns of values and of the times as numbers, instants (None on a grid), and reasons by row."""
        *values, times = columns
        refused: dict[int, str] = {}
        stamps = None
        if self._time_format is not None:
            stamps, exist = self._time_format.read(times)
            name = self.layout.time_name
            refused = {int(k): self._time_format.refusal(name, times[k]) for k in np.flatnonzero(~exist)}
        numbers = [self._numbers(k, cells, refused) for k, cells in enumerate(values)]
        return np.stack(numbers, axis=1), stamps, refused

    def _numbers(self, column: int, cells: Cells, refused: dict[int, str]) -> Float[np.ndarray, "row"]:
        name, style = self.layout.names[self.layout.values[column]], self._formats[column]
        if style is None and any(mark in cell for cell in cells for mark in ".,"):
            style = self._settle_late(column, cells)
        read = (style or PLAIN).read
        if style in (None, PLAIN):
            fast = _plain_numbers(cells)
            if fast is not None:
                return fast
        numbers = np.full(len(cells), np.nan)
        for k, cell in enumerate(cells):
            try:
                numbers[k] = read(cell)
            except DomainError as error:
                refused.setdefault(k, f"{name} = {error}")
        return numbers

    def _settle_late(self, column: int, cells: Cells) -> NumberFormat:
        """The format of a column that had whole numbers only, by the first cells that have a mark."""
        name = self.layout.names[self.layout.values[column]]
        try:
            style = find_number_format(cells, name, self.layout.separator, "", self._options.decimal)
        except DomainError:
            return PLAIN  # each cell is refused by itself
        self._formats[column] = style
        return style or PLAIN


def _plain_numbers(cells: Cells) -> Float[np.ndarray, "row"] | None:
    """Plain numbers and empty cells, several times faster than one by one; None where some cell is none."""
    joined = "".join(cells)
    if not joined.isascii() or "_" in joined or "," in joined:
        return None
    try:
        return np.array([float(cell or "nan") for cell in cells], np.float64)
    except ValueError:
        return None  # some cell is no plain number; each is looked at
