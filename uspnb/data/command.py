"""What the commands that read a CSV file are told of it on the command line."""

from __future__ import annotations

import argparse
from typing import Any


def add_reading_arguments(parser: argparse.ArgumentParser, values: str = "several become assets") -> None:
    """The options of `read_csv`, under one heading.

    Args:
        parser: of the command.
        values: what becomes of several columns of values; "" where only one is read.
    """
    group = parser.add_argument_group("reading of CSV files", "found from the file where left out")
    group.add_argument("--time", metavar="COL[,COL]", help="column of times, or a day and a time of day in two")
    several = f"s of values; {values}" if values else " of values"
    group.add_argument("--value", metavar="COL[,COL]" if values else "COL", help=f"column{several}")
    order = group.add_mutually_exclusive_group()
    order.add_argument("--dayfirst", action="store_true", default=None, help="01/02/2026 is the first of February")
    order.add_argument(
        "--monthfirst", dest="dayfirst", action="store_false", help="01/02/2026 is the second of January"
    )
    group.add_argument("--time-format", metavar="PATTERN", help="of the times, such as '%%d/%%m/%%Y %%H:%%M'")
    group.add_argument("--unit", choices=("s", "ms", "us", "ns"), help="of times that are numbers since 1970")
    group.add_argument("--decimal", choices=(".", ","), help="mark of decimals")


def add_group_argument(parser: argparse.ArgumentParser) -> None:
    """`--group`, for commands that take several series."""
    parser.add_argument("--group", metavar="COL", help="column that tells several series in one table apart")


def add_covariates_argument(parser: argparse.ArgumentParser) -> None:
    """`--covariates`, for commands that take one series."""
    parser.add_argument(
        "--covariates", metavar="COL[,COL]", help="columns that are known when a forecast is made, beside --value"
    )


def reading_of(options: argparse.Namespace) -> dict[str, Any]:
    """The options of `read_csv` that were given, by name."""
    names = ("time", "value", "group", "dayfirst", "time_format", "unit", "decimal", "covariates")
    return {name: value for name in names if (value := getattr(options, name, None)) is not None}
