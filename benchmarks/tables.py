"""What the benchmarks share: a table as markdown or JSON, the sample series, and the command line."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import math
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

import uspnb

FACTORISATIONS = 100
SETTING = re.compile(r"^    (--[a-z-]+) ([\d._]+) +(.*)\n", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of a benchmark.

    Attributes:
        title: what was measured.
        columns: heading of each column and the format of its numbers, "" for text.
        rows: one value per column; NaN and None are shown as a dash.
        note: how to read it.
    """

    title: str
    columns: dict[str, str]
    rows: list[list[Any]]
    note: str = ""

    def markdown(self) -> str:
        """The table as GitHub reads it, numbers to the right."""
        cells = [
            [_cell(value, form) for value, form in zip(row, self.columns.values(), strict=True)] for row in self.rows
        ]
        heads = list(self.columns)
        widths = [max(len(row[i]) for row in [heads, *cells]) for i in range(len(heads))]
        to_right = [bool(form) for form in self.columns.values()]
        rule = ["-" * (w - 1) + ":" if right else "-" * w for w, right in zip(widths, to_right, strict=True)]
        lines = [_line(heads, widths, to_right), "| " + " | ".join(rule) + " |"]
        lines += [_line(row, widths, to_right) for row in cells]
        return "\n".join([f"### {self.title}", "", *lines, *(["", self.note] if self.note else [])])

    def records(self) -> dict[str, Any]:
        """The table as JSON can hold it."""
        plain = [[None if isinstance(v, float) and not math.isfinite(v) else v for v in row] for row in self.rows]
        return {
            "title": self.title,
            "note": self.note,
            "rows": [dict(zip(self.columns, row, strict=True)) for row in plain],
        }


def _line(cells: Sequence[str], widths: Sequence[int], to_right: Sequence[bool]) -> str:
    padded = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, to_right, strict=True)]
    return "| " + " | ".join(padded) + " |"


def _cell(value: Any, form: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return format(value, form)


def parser(description: str | None, stages: Iterable[str] = ()) -> argparse.ArgumentParser:
    """A command line with `--json` and with what a benchmark can be told.

    Args:
        description: of the benchmark; a line `--kills 50  what it is` in it is a setting with its default and type.
        stages: parts of it that can be asked for with `--stages`; all of them where nobody asks.
    """
    sizes = SETTING.findall(description or "")
    text = (description or "").partition("\n\nSettings and their defaults:")[0]
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="print JSON instead of markdown")
    if names := list(stages):
        made.add_argument("--stages", nargs="+", choices=names, default=names, help="what to measure")
    for name, default, told in sizes:
        number: type[float] = float if "." in default else int
        made.add_argument(name, type=number, default=number(default), help=told)
    return made


def show_stages(
    title: str,
    columns: dict[str, str],
    stages: Mapping[str, Callable[[argparse.Namespace], list[list[Any]]]],
    options: argparse.Namespace,
    note: str = "",
) -> None:
    """Run the stages that were asked for and print their rows as one table."""
    began = time.perf_counter()
    rows = [row for name in options.stages for row in stages[name](options)]
    show([Table(title, columns, rows, note)], options, began)


def show(tables: Sequence[Table], options: argparse.Namespace, began: float) -> None:
    """Print tables and what they were measured with.

    Args:
        tables: in order.
        options: of `parser`.
        began: `time.perf_counter()` at the start.
    """
    about = {
        "uspnb": uspnb.__version__,
        "platform": uspnb.runtime.platform(),
        "python": platform.python_version(),
        "seconds": round(time.perf_counter() - began, 1),
        "options": {name: value for name, value in vars(options).items() if name != "json"},
    }
    if options.json:
        print(json.dumps({"about": about, "tables": [table.records() for table in tables]}, indent=1))
        return
    print("\n\n".join(table.markdown() for table in tables))
    chosen = ", ".join(f"{name} = {value}" for name, value in about["options"].items())
    print(f"\nuspnb {about['uspnb']} on {about['platform']}, {about['seconds']} s; {chosen}")


def cholesky_seconds() -> float:
    """The yardstick: what NumPy takes for a Cholesky factorisation of a 64 x 64 matrix, median of loops [s]."""
    matrix = np.eye(64) + 1 / (1 + np.add.outer(np.arange(64), np.arange(64)))
    spent = []
    for _ in range(9):
        began = time.perf_counter()
        for _ in range(FACTORISATIONS):
            np.linalg.cholesky(matrix)
        spent.append((time.perf_counter() - began) / FACTORISATIONS)
    return statistics.median(spent)


def geometric_mean(values: Any) -> float:
    """exp(mean(log(values))) over the finite values above zero; NaN where there is none."""
    array = np.asarray(values, dtype=float)
    array = array[np.isfinite(array) & (array > 0)]
    return float(np.exp(np.log(array).mean())) if len(array) else math.nan


def sample_series(ticks: int) -> dict[str, np.ndarray]:
    """The last `ticks` values of real series from `bokeh_sampledata`: sea temperature, stock closes, glucose.

    Closes are split- and dividend-adjusted and enter as logarithms.
    """
    sea = _sample("sea_surface_temperature").sea_surface_temperature["temperature"]
    stocks: pd.DataFrame = _sample("stocks").data
    glucose = pd.to_numeric(_sample("glucose").data["glucose"], errors="coerce")
    made = {"sea temperature, 30 min": sea.to_numpy(float), "glucose, 5 min": glucose.dropna().to_numpy(float)}
    for ticker in ("AAPL", "IBM", "MSFT"):
        closes = stocks.loc[stocks["ticker"] == ticker, "adj_close"].to_numpy(float)
        made[f"log close {ticker}, daily"] = np.log(closes)
    return {name: values[-ticks:] for name, values in made.items()}


def _sample(name: str) -> Any:
    return importlib.import_module(f"bokeh.sampledata.{name}")
