"""A series from a CSV file: which column is the time, which are the values, and clear refusals."""

from __future__ import annotations

import dataclasses
import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..errors import DomainError
from .series import Series, read_series

TIME_NAMES = ("time", "timestamp", "datetime", "date", "ds", "date_time", "utc", "when")
MOST_BYTES = 200_000_000
SEPARATORS = ",;\t"
DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*")
_PLAIN = re.compile(r"[-+.\deE]*\d[-+.\deE]*")
_ZONE = re.compile(r"(?:[zZ]|UTC|GMT|[+-]\d\d:?\d\d)\s*$")
_EPOCHS: tuple[tuple[float, Any], ...] = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"), (1e8, "s"))

# Pandas objects: indexing a frame may give so many types that naming one would help no checker.
Table = Any
Column = Any


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


def read_csv(
    path: Any,
    time: str | None = None,
    value: str | tuple[str, ...] | None = None,
    *,
    most_bytes: int = MOST_BYTES,
) -> Series:
    """Read a `Series` from a CSV file (comma, semicolon or tab; first line the names of the columns).

    Where semicolons or tabs separate the columns, a column whose every value is a whole number or has a decimal comma
    is read so, and `Series.notes` says it.

    Args:
        path: the file, UTF-8.
        time: column of times; without it, the first column that is named or reads like one, else a regular grid.
        value: column of values, or several separated by commas, which become assets; without it, the only column of
            numbers that is neither the time nor a row counter.
        most_bytes: size beyond which the file is refused before it is read.

    Raises:
        DomainError: no such file or column, a folder, too large, bytes that are not UTF-8, no or several columns of
            numbers, a time or a value that cannot be read; the message names the line or lists the columns.
    """
    try:
        options = CsvOptions.model_validate(
            {"path": path, "time": time, "value": () if value is None else value, "most_bytes": most_bytes}
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise DomainError(f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}") from None
    _refuse_large(options)
    table, notes = _read_table(options.path)
    for column in (options.time, *options.value):
        if column is not None and column not in table.columns:
            raise DomainError(f"{options.path} has no column {column!r}; its columns are {', '.join(table.columns)}")
    time_column = options.time or _find_time(table)
    columns = options.value or (_find_value(table, time_column, options.path),)
    values = np.stack([_numbers(table[c], options.path) for c in columns], axis=1)
    frame: Any = (
        pd.Series(values[:, 0], name=columns[0]) if len(columns) == 1 else pd.DataFrame(values, columns=list(columns))
    )
    told = [note for column, note in notes.items() if column in columns]
    if time_column is not None:
        index, note = _times(table[time_column], options.path)
        told += [note] if note else []
        if index is not None:
            frame.index = index
    series = read_series(frame)
    return dataclasses.replace(series, notes=(*series.notes, *told))


def _refuse_large(options: CsvOptions) -> None:
    size = options.path.stat().st_size
    if size > options.most_bytes:
        raise DomainError(
            f"{options.path} has {size:,} bytes, beyond the bound most_bytes = {options.most_bytes:,}; leave columns "
            "or rows out, save the series as netCDF or Zarr, or call read_csv with a larger most_bytes"
        )


def split_header(header: str) -> tuple[str, list[str] | None]:
    """The separator of a table by its first line, and the names in it; None where it holds numbers only."""
    separator = max(SEPARATORS, key=header.count)
    cells = [cell.strip().strip('"') for cell in header.rstrip("\r\n").split(separator)]
    headless = bool(header.strip()) and all(
        _PLAIN.fullmatch(cell) or (separator != "," and DECIMAL_COMMA.fullmatch(cell)) for cell in cells
    )
    return separator, None if headless else cells


def _read_table(path: Path) -> tuple[Table, dict[str, str]]:
    """The table, its index the line of the file that a row stands in, and what was assumed of which column."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DomainError(
            f"{path} is not UTF-8 text: byte {error.object[error.start]:#04x} at position {error.start}; save it as "
            "UTF-8, or name a text file"
        ) from None
    separator, names = split_header(text.partition("\n")[0])
    headless = names is None
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None if headless else 0,
            skipinitialspace=True,
            skip_blank_lines=False,
            low_memory=False,  # or a column may have a type per stretch of lines
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DomainError(
            f"{path} is not a table of comma-separated values: {str(error).strip()}{_COMMA_REMEDY * (separator == ',')}"
        ) from None
    if not isinstance(table.index, pd.RangeIndex):
        raise DomainError(
            f"{path}: the first line names {table.shape[1]} columns, but the lines below have more cells"
            f"{_COMMA_REMEDY * (separator == ',')}"
        )
    table = table[~table.isna().all(axis=1)]
    table.columns = [f"column_{i + 1}" if headless else str(c).strip() for i, c in enumerate(table.columns)]
    if table.empty:
        raise DomainError(f"{path} holds no rows of values")
    table.index = table.index + (1 if headless else 2)  # line of the file that a row stands in
    return _with_decimal_commas(table) if separator != "," else (table, {})


_COMMA_REMEDY = "; where a comma is the decimal mark, separate the columns with semicolons or write 3.5"


def _with_decimal_commas(table: Table) -> tuple[Table, dict[str, str]]:
    notes = {}
    for name in table.columns[~table.columns.duplicated(keep=False)]:
        if _is_number(table[name]):
            continue
        text = table[name].dropna().astype(str)
        if not text.str.contains(",", regex=False).any() or text.str.contains(".", regex=False).any():
            continue
        numbers = pd.to_numeric(text.str.replace(",", ".", regex=False), errors="coerce")
        if not numbers.isna().any():
            table = table.assign(**{name: numbers.reindex(table.index)})
            notes[name] = f"commas in column {name} were read as decimal marks"
    return table, notes


def _is_number(column: Column) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype))


def _find_time(table: Table) -> str | None:
    for column in table.columns:
        if column.lower() in TIME_NAMES:
            return column
    for column in table.columns:
        if not _is_number(table[column]) and table[column].notna().any():
            head = table[column].dropna().iloc[:5]
            if not _parse_times(head).isna().any():
                return column
    return None


def _is_counter(column: Column) -> bool:
    if len(column) < 3 or not pd.api.types.is_integer_dtype(column.dtype):
        return False
    first = column.iloc[0]
    return first in (0, 1) and bool((column.to_numpy() == np.arange(len(column)) + first).all())


def _is_spoiled(column: Column) -> bool:
    """Whether a column of text is one of numbers but for some cells."""
    text = column.dropna()
    if text.empty or pd.api.types.is_bool_dtype(column.dtype):
        return False
    numbers = pd.to_numeric(text, errors="coerce").notna()
    commas = text.astype(str).map(lambda cell: bool(DECIMAL_COMMA.fullmatch(cell)))
    return bool((numbers | commas).mean() >= 0.5)


def _find_value(table: Table, time_column: str | None, path: Path) -> str:
    numeric = [c for c in table.columns if c != time_column and (_is_number(table[c]) or _is_spoiled(table[c]))]
    if not numeric:
        raise DomainError(f"{path} has no column of numbers among {', '.join(table.columns)}; name one with --value")
    # a first column that counts rows is no measurement
    counts = len(numeric) > 1 and numeric[0] == table.columns[0] and _is_counter(table[numeric[0]])
    telling = numeric[1:] if counts else numeric
    if len(telling) > 1:
        raise DomainError(
            f"{path} has several columns of numbers: {', '.join(telling)}; choose one with --value {telling[0]}, or "
            f"several as assets with --value {','.join(telling[:2])}"
        )
    return telling[0]


def _numbers(column: Column, path: Path) -> np.ndarray:
    numbers: Column = pd.to_numeric(column, errors="coerce") if column.dtype != bool else column * np.nan
    bad = column[numbers.isna() & column.notna()]
    if len(bad):
        raise DomainError(
            f"{path}, line {bad.index[0]}: {column.name} = {str(bad.iloc[0])!r} is not a number "
            f"({len(bad)} such lines); {_remedy(str(bad.iloc[0]))}"
        )
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def _remedy(cell: str) -> str:
    if DECIMAL_COMMA.fullmatch(cell):
        return (
            "a decimal comma is read where semicolons separate the columns and the whole column is written so; write "
            f"{cell.strip().replace(',', '.')} instead"
        )
    return "leave the cell empty where a value is missing"


def _times(column: Column, path: Path) -> tuple[pd.DatetimeIndex | None, str | None]:
    """The index that the column of times makes, None for a regular grid, and what was assumed."""
    if _is_number(column):
        return _epoch_times(column, path)
    parsed = _parse_times(column)
    bad = column[parsed.isna()]
    if len(bad):
        shown = "an empty cell" if pd.isna(bad.iloc[0]) else repr(bad.iloc[0])
        raise DomainError(
            f"{path}, line {bad.index[0]}: {column.name} = {shown} is not a time ({len(bad)} such lines); write times "
            "as 2026-02-21T09:30:00Z"
        )
    index = pd.DatetimeIndex(parsed)
    zoned = bool(_ZONE.search(str(column.iloc[0])))
    return (index, None) if zoned else (index.tz_localize(None), None)


def _parse_times(column: Column) -> Column:
    text = column.astype(str).where(column.notna())
    parsed = pd.to_datetime(text, utc=True, errors="coerce", format="ISO8601")
    if parsed.isna().any():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pandas warns where it falls back to dateutil
            guessed = pd.to_datetime(text, utc=True, errors="coerce")
        if guessed.isna().sum() < parsed.isna().sum():
            return guessed
    return parsed


def _epoch_times(column: Column, path: Path) -> tuple[pd.DatetimeIndex | None, str | None]:
    if column.isna().any():
        row = column.index[column.isna()][0]
        raise DomainError(f"{path}, line {row}: {column.name} is empty; every row needs its time")
    size = float(np.median(np.abs(column.to_numpy(dtype=np.float64))))
    for least, unit in _EPOCHS:
        if size > least:
            index = pd.DatetimeIndex(pd.to_datetime(column, unit=unit, utc=True))
            return index, f"numbers in column {column.name} were read as {unit} since 1970"
    return None, f"numbers in column {column.name} are no instants: a regular grid of one second stands in for them"
