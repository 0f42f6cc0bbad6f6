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
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from .errors import DomainError
from .series import Series, read_series

TIME_NAMES = ("time", "timestamp", "datetime", "date", "ds", "date_time", "utc", "when")
_ZONE = re.compile(r"(?:[zZ]|UTC|GMT|[+-]\d\d:?\d\d)\s*$")
_EPOCHS: tuple[tuple[float, Any], ...] = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"), (1e8, "s"))

# Pandas objects: indexing a frame may give so many types that naming one would help no checker.
Table = Any
Column = Any


class CsvOptions(BaseModel):
    """What the user said about the file: its path, the column of times, the columns of values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    time: str | None = None
    value: tuple[str, ...] = ()

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


def read_csv(path: Any, time: str | None = None, value: str | tuple[str, ...] | None = None) -> Series:
    """Read a `Series` from a CSV file (comma, semicolon or tab; first line the names of the columns).

    Args:
        path: the file, UTF-8.
        time: column of times; without it, the first column that is named or reads like one, else a regular grid.
        value: column of values, or several separated by commas, which become assets; without it, the only column of
            numbers that is neither the time nor a row counter.

    Raises:
        DomainError: no such file or column, a folder, bytes that are not UTF-8, no or several columns of numbers, a
            time or a value that cannot be read; the message names the line or lists the columns.
    """
    try:
        options = CsvOptions(path=path, time=time, value=() if value is None else value)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        raise DomainError(f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}") from None
    table = _read_table(options.path)
    for column in (options.time, *options.value):
        if column is not None and column not in table.columns:
            raise DomainError(f"{options.path} has no column {column!r}; its columns are {', '.join(table.columns)}")
    time_column = options.time or _find_time(table)
    columns = options.value or (_find_value(table, time_column, options.path),)
    values = np.stack([_numbers(table[c], options.path) for c in columns], axis=1)
    frame: Any = (
        pd.Series(values[:, 0], name=columns[0]) if len(columns) == 1 else pd.DataFrame(values, columns=list(columns))
    )
    if time_column is None:
        return read_series(frame)
    index, note = _times(table[time_column], options.path)
    if index is not None:
        frame.index = index
    series = read_series(frame)
    return dataclasses.replace(series, notes=(*series.notes, note)) if note else series


def _read_table(path: Path) -> Table:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DomainError(
            f"{path} is not UTF-8 text: byte {error.object[error.start]:#04x} at position {error.start}; save it as "
            "UTF-8, or name a text file"
        ) from None
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    cells = [cell.strip().strip('"') for cell in header.split(separator)]
    headless = bool(header.strip()) and all(re.fullmatch(r"[-+.\deE]*\d[-+.\deE]*", cell) for cell in cells)
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None if headless else 0,
            skipinitialspace=True,
            skip_blank_lines=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DomainError(f"{path} is not a table of comma-separated values: {str(error).strip()}") from None
    table = table[~table.isna().all(axis=1)]
    table.columns = [f"column_{i + 1}" if headless else str(c).strip() for i, c in enumerate(table.columns)]
    if table.empty:
        raise DomainError(f"{path} holds no rows of values")
    table.index = table.index + (1 if headless else 2)  # line of the file that a row stands in
    return table


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


def _find_value(table: Table, time_column: str | None, path: Path) -> str:
    numeric = [c for c in table.columns if c != time_column and _is_number(table[c])]
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
            f"({len(bad)} such lines); leave the cell empty where a value is missing"
        )
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


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
