"""Text files of columns as programs and people write them, each with what stands in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

HOURLY = pd.date_range("2024-03-01", periods=60, freq="h")
QUARTERS = pd.date_range("2024-03-01", periods=60, freq="15min")
DAYS = pd.date_range("2020-01-01", periods=60, freq="D")
MONTHS = pd.date_range("2015-01-01", periods=36, freq="MS")
VALUES = np.round(np.sin(np.arange(60) / 15) * 3 + np.random.default_rng(7100).normal(0, 0.2, 60), 2)
THOUSANDS = 900.25 + 37.5 * np.arange(60)


class Layout(NamedTuple):
    """A file and what it holds.

    Attributes:
        text: the file.
        times: of its rows [UTC].
        values: of its rows.
        note: a part of what a reader must say of it, "" where nothing was assumed.
        options: what the reader is told beside the path.
    """

    text: str
    times: pd.DatetimeIndex
    values: np.ndarray
    note: str = ""
    options: Mapping[str, Any] = MappingProxyType({})


Write = Callable[[pd.Timestamp], str]


def table(
    times: pd.DatetimeIndex,
    write: Write,
    cell: Callable[[float], str] = "{}".format,
    *,
    head: str = "time,load",
    separator: str = ",",
    end: str = "\n",
    values: np.ndarray = VALUES,
    tail: str = "",
) -> str:
    """Rows of a time and a value."""
    rows = [f"{write(t)}{separator}{cell(v)}{tail}" for t, v in zip(times, values[: len(times)].tolist(), strict=True)]
    return end.join([head.replace(",", separator) + tail, *rows, ""])


def by(pattern: str) -> Write:
    """Times written by a pattern of `strftime`."""
    return lambda time: time.strftime(pattern)


def european(value: float) -> str:
    """1.234,50"""
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def layouts() -> dict[str, Layout]:
    """The layouts by name; every reader gives the same ticks of each."""
    written = {
        "ISO": Layout(table(HOURLY, by("%Y-%m-%dT%H:%M:%SZ")), HOURLY, VALUES),
        "ISO, no zone": Layout(table(HOURLY, by("%Y-%m-%d %H:%M")), HOURLY, VALUES, "taken as UTC"),
        "offset of hours": Layout(table(HOURLY + pd.Timedelta("1h"), by("%Y-%m-%d %H:%M:%S+01")), HOURLY, VALUES),
        "UTC+1": Layout(table(HOURLY + pd.Timedelta("1h"), by("%Y-%m-%d %H:%M UTC+1")), HOURLY, VALUES),
        "day first": Layout(table(DAYS, by("%d/%m/%Y")), DAYS, VALUES, "day first"),
        "month first": Layout(table(DAYS, by("%m/%d/%Y")), DAYS, VALUES, "month first"),
        "day first, points": Layout(
            table(HOURLY, by("%d.%m.%Y %H:%M"), european, separator=";", values=THOUSANDS),
            HOURLY,
            THOUSANDS,
            "day first",
        ),
        "months, day first": Layout(
            table(MONTHS, by("%d/%m/%Y")), MONTHS, VALUES, "only so do they make a regular axis"
        ),
        "told day first": Layout(table(DAYS[:12], by("%d/%m/%Y")), DAYS[:12], VALUES, "day first", {"dayfirst": True}),
        "told month first": Layout(
            table(MONTHS[:12], by("%m/%d/%Y")), MONTHS[:12], VALUES, "month first", {"dayfirst": False}
        ),
        "pattern": Layout(table(DAYS[:12], by("%d/%m/%Y")), DAYS[:12], VALUES, "", {"time_format": "%d/%m/%Y"}),
        "two digits of the year": Layout(table(DAYS, by("%d/%m/%y")), DAYS, VALUES, "two digits"),
        "name of the month": Layout(table(DAYS, by("%d-%b-%Y")), DAYS, VALUES),
        "name of the month, US": Layout(table(DAYS, lambda t: f'"{t:%b} {t.day}, {t.year}"'), DAYS, VALUES),
        "Jan-20": Layout(table(MONTHS, by("%b-%y"), head="Month,load"), MONTHS, VALUES, "two digits"),
        "afternoons": Layout(table(HOURLY, by("%m/%d/%Y %I:%M %p")), HOURLY, VALUES, "month first"),
        "digits": Layout(table(HOURLY, by("%Y%m%d%H%M")), HOURLY, VALUES, "read as dates"),
        "digits of days": Layout(table(DAYS, by("%Y%m%d"), head="date,load"), DAYS, VALUES, "read as dates"),
        "seconds": Layout(table(HOURLY, lambda t: str(t.value // 10**9)), HOURLY, VALUES, "read as s since"),
        "told milliseconds": Layout(
            table(HOURLY, lambda t: str(t.value // 10**6)), HOURLY, VALUES, "read as ms", {"unit": "ms"}
        ),
        "date and time": Layout(
            table(QUARTERS, by("%Y-%m-%d,%H:%M:%S"), head="Date,Time,load"), QUARTERS, VALUES, "joined"
        ),
        "time and date": Layout(table(HOURLY, by("%H:%M,%d.%m.%Y"), head="Time,Date,load"), HOURLY, VALUES, "joined"),
        "digits of date and time": Layout(
            table(QUARTERS, by("%Y%m%d,%H%M%S"), head="<DATE>,<TIME>,<CLOSE>"), QUARTERS, VALUES, "joined"
        ),
        "zeros lost": Layout(
            table(QUARTERS, lambda t: f"{t:%Y%m%d},{int(t.strftime('%H%M'))}", head="date,time,load"), QUARTERS, VALUES
        ),
        "date and hour": Layout(
            table(HOURLY, lambda t: f"{t:%Y-%m-%d},{t.hour}", head="date,hour,load"), HOURLY, VALUES, "joined"
        ),
        "year, month, day, hour": Layout(
            table(HOURLY, lambda t: f"{t.year},{t.month},{t.day},{t.hour}", head="year,month,day,hour,load"),
            HOURLY,
            VALUES,
            "joined",
        ),
        "year and month": Layout(
            table(MONTHS, lambda t: f"{t.year},{t.month}", head="Year,Month,load"), MONTHS, VALUES, "joined"
        ),
        "decimal commas": Layout(
            table(HOURLY, by("%Y-%m-%d %H:%M"), lambda v: f"{v}".replace(".", ","), separator=";"),
            HOURLY,
            VALUES,
            "commas",
        ),
        "thousands": Layout(
            table(DAYS, by("%Y-%m-%d"), '"{:,.2f}"'.format, values=THOUSANDS), DAYS, THOUSANDS, "separating thousands"
        ),
        "blanks in numbers": Layout(
            table(DAYS, by("%Y-%m-%d"), lambda v: f"{v:,.2f}".replace(",", "\u202f"), separator="\t", values=THOUSANDS),
            DAYS,
            THOUSANDS,
            "separating thousands",
        ),
        "apostrophes": Layout(
            table(DAYS, by("%d.%m.%Y"), lambda v: f"{v:,.2f}".replace(",", "'"), separator=";", values=THOUSANDS),
            DAYS,
            THOUSANDS,
            "separating thousands",
        ),
        "currency": Layout(table(DAYS, by("%Y-%m-%d"), "$ {}".format), DAYS, VALUES, "'$' was taken off"),
        "unit": Layout(table(DAYS, by("%Y-%m-%d"), "{} kW".format), DAYS, VALUES, "'kW' was taken off"),
        "trailing commas": Layout(table(DAYS, by("%Y-%m-%d"), tail=","), DAYS, VALUES),
        "old spreadsheet": Layout(table(DAYS, by("%Y-%m-%d"), end="\r"), DAYS, VALUES),
        "windows, a mark": Layout("\ufeff" + table(DAYS, by("%Y-%m-%d"), end="\r\n"), DAYS, VALUES),
        "bars": Layout(table(DAYS, by("%Y-%m-%d"), separator="|"), DAYS, VALUES),
        "comments": Layout("# station 4\n# logger 2\n" + table(DAYS, by("%Y-%m-%d")), DAYS, VALUES),
        "NumPy's header": Layout("# " + table(DAYS, by("%Y-%m-%d")), DAYS, VALUES),
        "text above": Layout("Station: hill\n\n" + table(DAYS, by("%Y-%m-%d")), DAYS, VALUES, "stand above"),
        "link above": Layout(
            "All times UTC,https://example.org\n" + table(DAYS, by("%Y-%m-%d")), DAYS, VALUES, "stand above"
        ),
        "link above decimal commas": Layout(
            "All times UTC, https://example.org\n"
            + table(HOURLY, by("%Y-%m-%d %H:%M"), lambda v: f"{v}".replace(".", ","), separator=";"),
            HOURLY,
            VALUES,
            "stand above",
        ),
        "a line separator in a cell": Layout(
            table(DAYS, by("%Y-%m-%d,a\u2028b\x0bc"), head="time,remark,load"), DAYS, VALUES
        ),
        "declared separator": Layout("sep=;\n" + table(DAYS, by("%Y-%m-%d"), separator=";"), DAYS, VALUES),
        "a row of units": Layout(
            table(DAYS, by("%Y-%m-%d")).replace("load\n", "load\nUTC,degC\n", 1), DAYS, VALUES, "holds the units"
        ),
        "no header": Layout(table(DAYS, by("%Y-%m-%d")).partition("\n")[2], DAYS, VALUES),
        "no header, four digits": Layout(
            table(DAYS, by("%Y-%m-%d"), "{:.4f}".format, values=VALUES + 9.1999).partition("\n")[2],
            DAYS,
            np.round(VALUES + 9.1999, 4),
        ),
        "no header, a hole": Layout(
            table(DAYS, by("%Y-%m-%d"), lambda v: "" if v == VALUES[0] else f"{v}").partition("\n")[2],
            DAYS,
            np.where(VALUES[0] == VALUES, np.nan, VALUES),
        ),
        "hours to 24": Layout(
            table(HOURLY, lambda t: f"{t - pd.Timedelta('1h'):%Y-%m-%d} {(t.hour or 24):02d}:00"), HOURLY, VALUES
        ),
        "quoted": Layout(table(DAYS, by('"%Y-%m-%d"'), '"{}"'.format, head='"time","load"'), DAYS, VALUES),
        "a counter of rows": Layout(
            table(DAYS, lambda t: f"{(t - DAYS[0]).days},{t:%Y-%m-%d}", head=",time,load"), DAYS, VALUES
        ),
    }
    return written


AMBIGUOUS = {
    "days or months": table(DAYS[:12], by("%d/%m/%Y")),
    "months or days": table(MONTHS[:12], by("%m/%d/%Y")),
    "one day": table(HOURLY[:20], by("%d/%m/%Y %H:%M")),
    "two digits": table(DAYS[:9], by("%d.%m.%y")),
    "shuffled": table(DAYS[[k for k in range(60) if DAYS[k].day < 13]][::-2], by("%d/%m/%Y")),
    "thousands or decimals": table(DAYS, by("%Y-%m-%d"), lambda v: f"{v:,.0f}", separator=";", values=THOUSANDS + 1000),
    "points of thousands": table(
        DAYS, by("%Y-%m-%d"), lambda v: f"{v:,.0f}".replace(",", "."), separator=";", values=THOUSANDS + 1000
    ),
    "984 and 1.001 beside commas": table(
        DAYS, by("%Y-%m-%d"), lambda v: f"{v:,.0f}".replace(",", "."), values=THOUSANDS
    ),
    "digits of day and month": table(DAYS, by("%d%m%Y"), head="date,load"),
    "year and month or day": table(
        pd.DatetimeIndex(MONTHS[:12].map(lambda t: t.replace(year=2010))), by("%Y%m"), head="date,load"
    ),
}
UNREADABLE = {
    "times of day alone": (table(QUARTERS, by("%H:%M")), "time of day without a date"),
    "no year": (table(DAYS, by("%d/%m")), "names no year"),
    "month and day": (table(DAYS, by("%b-%d")), "names no year"),
    "shampoo": (
        "Month,Sales\n" + "".join(f"{1 + i // 12}-{1 + i % 12:02d},{i}.5\n" for i in range(36)),
        "names no year",
    ),
    "letters of a zone": (table(HOURLY, by("%Y-%m-%d %H:%M CET")), "the zone CET is not clear"),
    "letters of a zone, no header": (
        table(HOURLY, by("%Y-%m-%d %H:%M CET")).partition("\n")[2],
        "the zone CET is not clear",
    ),
    "both orders": ("time,load\n13/01/2024,1\n01/13/2024,2\n", "not written in one order"),
    "the century": (table(pd.date_range("1955-01-31", periods=40, freq="D"), by("%d.%m.%y")), "is not a time"),
    "two units": (
        "time,load\n2024-01-01,1 kW\n2024-01-02,2 W\n",
        r"line 3: load = '2 W' is not a number written as the others of this column, as 3\.5kW",
    ),
    "two tables": (
        table(DAYS, by("%Y-%m-%d")) + "\nday,a,b\n" + table(DAYS, by("%Y-%m-%d,1")),
        "3 cells stand under 2",
    ),
    "negative in brackets": ("time,load\n2024-01-01,(1)\n2024-01-02,2\n2024-01-03,2\n", r"'\(1\)' is not a number"),
}
