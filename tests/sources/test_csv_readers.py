"""One battery of layouts for both readers of CSV: the one of a whole file and the one of a file that grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from uspnb.data.csv import SAMPLE, read_csv
from uspnb.data.times import GRID_NOTE, NAIVE_NOTE
from uspnb.errors import DomainError
from uspnb.sources import CsvTailSource

START = pd.Timestamp("2026-02-21T09:30", tz="UTC").value
SECOND, MINUTE, DAY = 10**9, 60 * 10**9, 86_400 * 10**9
EPOCH = START // SECOND
MINUTES = [START, START + MINUTE, START + 2 * MINUTE]
GRID = [0, SECOND, 2 * SECOND]
NUMBERS = [3.5, 4.0, -4.25]
COMMAS = "commas in column load were read as decimal marks"

# What a file holds, and the ticks and notes that it must give.
READ: dict[str, tuple[str, list[float], list[int], tuple[str, ...]]] = {
    "zones": (
        "time,load\n2026-02-21T09:30Z,3.5\n2026-02-21T10:31+01:00,4\n2026-02-21T09:32:00.0Z,-4.25\n",
        NUMBERS,
        MINUTES,
        (),
    ),
    "quotes": (
        '"time","load"\n"2026-02-21T09:30Z","3.5"\n2026-02-21T09:31Z,4\n2026-02-21T09:32Z,"-4.25"\n',
        NUMBERS,
        MINUTES,
        (),
    ),
    "a mark, windows and decimal commas": (
        "\ufefftime;load\r\n2026-02-21 09:30;3,5\r\n2026-02-21 09:31;4\r\n2026-02-21 09:32;-4,25\r\n",
        NUMBERS,
        MINUTES,
        (NAIVE_NOTE, COMMAS),
    ),
    "whole numbers before a comma": ("load;n\n3;a\n4;b\n5,5;c\n", [3.0, 4.0, 5.5], GRID, (GRID_NOTE, COMMAS)),
    "tabs and a counter": (
        "n\twhen it was\tload\n0\t2026-02-21 09:30\t3.5\n1\t2026-02-21 09:31\t4\n2\t2026-02-21 09:32\t-4.25\n",
        NUMBERS,
        MINUTES,
        (NAIVE_NOTE,),
    ),
    "spaces": (
        "time, load\n2026-02-21T09:30Z, 3.5\n2026-02-21T09:31Z, 4 \n2026-02-21T09:32Z,-4.25\n",
        NUMBERS,
        MINUTES,
        (),
    ),
    "American dates": (
        "date,load\n2/21/2026,3.5\n2/22/2026,4\n2/23/2026,-4.25\n",
        NUMBERS,
        [START - START % DAY + k * DAY for k in range(3)],
        ("dates in column date were read month first, as 12/31/1998", NAIVE_NOTE),
    ),
    "European dates": (
        "date,load\n21.02.2026,3.5\n22.02.2026,4\n23.02.2026,-4.25\n",
        NUMBERS,
        [START - START % DAY + k * DAY for k in range(3)],
        ("dates in column date were read day first, as 31/12/1998", NAIVE_NOTE),
    ),
    **{
        f"{unit} since 1970": (
            f"load,timestamp\n3.5,{EPOCH * factor}\n4,{(EPOCH + 60) * factor}\n-4.25,{(EPOCH + 120) * factor}\n",
            NUMBERS,
            MINUTES,
            (f"numbers in column timestamp were read as {unit} since 1970",),
        )
        for unit, factor in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9))
    },
    "fractions of seconds": (
        f"utc;load\n{EPOCH},5;3.5\n{EPOCH}.5;4\n{EPOCH + 1};-4.25\n",
        NUMBERS,
        [START + SECOND // 2, START + SECOND // 2, START + SECOND],
        ("numbers in column utc were read as s since 1970",),
    ),
    "seconds from before 1973 among later ones": (
        f"time,load\n5000000,3.5\n{EPOCH},4\n{EPOCH + 60},-4.25\n",
        NUMBERS,
        [5_000_000 * SECOND, START, START + MINUTE],
        ("numbers in column time were read as s since 1970",),
    ),
    "times that are no instants": (
        "time,load\n1871,3.5\n1872,4\n1873,-4.25\n",
        NUMBERS,
        GRID,
        (GRID_NOTE, "numbers in column time are no instants: a regular grid of one second stands in for them"),
    ),
    "values alone": ("load\n3.5\n4\n-4.25\n", NUMBERS, GRID, (GRID_NOTE,)),
    "no names": ("3.5\n4\n-4.25\n", NUMBERS, GRID, (GRID_NOTE,)),
    "an index without a name": (",load\n0,3.5\n1,4\n2,-4.25\n", NUMBERS, GRID, (GRID_NOTE,)),
    "blank lines and lines of separators": ("n,load\na,3.5\n\n , \nb,4\n,\nc,-4.25\n", NUMBERS, GRID, (GRID_NOTE,)),
    "gaps": (
        "time,load\n2026-02-21T09:30Z,\n2026-02-21T09:31Z,NA\n2026-02-21T09:32Z,#N/A\n2026-02-21T09:33Z,1\n",
        [np.nan, np.nan, np.nan, 1.0],
        [*MINUTES, START + 3 * MINUTE],
        (),
    ),
    "a gap in the only column": ("load\n3.5\nNaN\n-4.25\n", [3.5, np.nan, -4.25], GRID, (GRID_NOTE,)),
    "infinity and exponents": ("load\ninf\n-1e3\n2.5E-1\n", [np.inf, -1000.0, 0.25], GRID, (GRID_NOTE,)),
    "seventeen digits": (
        "load\n0.1234567890123456789\n2.2250738585072014e-308\n1234567890.123456789\n",
        [0.1234567890123456789, 2.2250738585072014e-308, 1234567890.123456789],
        GRID,
        (GRID_NOTE,),
    ),
}

# Layouts of which one row does not say whether it counts, is an instant or a number.
MORE_THAN_ONE_ROW = (
    "an index without a name",
    "tabs and a counter",
    "seconds from before 1973 among later ones",
    "gaps",
)

# What a file holds, and why its line 4 is no tick: the whole file is refused, the growing one goes on without the line.
HEAD = "time,load\n2026-02-21T09:30Z,3.5\n2026-02-21T09:31Z,4\n"
SEMICOLONS = "time;load\n2026-02-21 09:30;3,5\n2026-02-21 09:31;4\n"
REFUSED: dict[str, tuple[str, str, str]] = {
    "a word": (HEAD, "2026-02-21T09:32Z,oops", "load = 'oops' is not a number; leave the cell empty"),
    "underscores": (HEAD, "2026-02-21T09:32Z,1_000", "load = '1_000' is not a number"),
    "digits of another script": (HEAD, "2026-02-21T09:32Z,\u0663", "is not a number"),
    "a decimal comma in quotes": (
        HEAD,
        '2026-02-21T09:32Z,"3,5"',
        r"load = '3,5' is not a number; .*write 3\.5 instead",
    ),
    "a decimal comma under commas": (HEAD, "2026-02-21T09:32Z,3,5", "3 cells stand under 2 columns .*semicolons"),
    "the other mark": (SEMICOLONS, "2026-02-21 09:32;3.5", "load = '3.5' has a decimal point where"),
    "thousands": (SEMICOLONS, "2026-02-21 09:32;1.23,5", "load = '1.23,5' is not a number"),
    "too few cells": (HEAD, "2026-02-21T09:32Z", "1 cells stand under 2 columns"),
    "an empty time": (HEAD, ",3", "time is empty; every row needs its time"),
    "no time": (HEAD, "soon,3", "time = 'soon' is not a time; write times as 2026"),
    "a time that moves": (HEAD, "now,3", "time = 'now' is not a time"),
    "a time beyond 64 bits": (HEAD, "3026-02-21T09:32Z,3", "is not a time"),
    "another writing of dates": (
        "day,load\n21/02/2026,1\n22/02/2026,2\n",
        "2026-02-23,3",
        "day = '2026-02-23' is not written as the other times",
    ),
    "milliseconds among seconds": (
        f"time,load\n{EPOCH},1\n{EPOCH + 60},2\n",
        f"{EPOCH}000000,3",
        "numbers of s since 1970, as in",
    ),
    "text among seconds": (
        f"time,load\n{EPOCH},1\n{EPOCH + 60},2\n",
        "2026-02-21T09:32Z,3",
        "numbers of s since 1970, as in",
    ),
}

# What a file holds, and why it is not clear what to read.
UNCLEAR: dict[str, tuple[str, dict[str, Any], str]] = {
    "several": ("time,a,b\n2026-01-01,1.5,2\n2026-01-02,1,2\n", {}, "has several columns of numbers: a, b; choose one"),
    "one half garbage": (
        "time,a,b\n2026-01-01,1.5,x\n2026-01-02,1,2\n",
        {},
        "several columns of numbers: a, b",
    ),
    "one that may yet be": ("time,a,b\n2026-01-01,1.5,\n2026-01-02,1,\n", {}, "several columns of numbers: a, b"),
    "the same name twice": ("time,a,a\n2026-01-01,1.5,2\n2026-01-02,1,2\n", {}, "several columns of numbers: a, a.1"),
    "none": ("time,a\n2026-01-01,x\n2026-01-02,y\n", {}, "has no column of numbers among time, a"),
    "none but an empty one": (
        "time,a,b\n2026-01-01,x,\n2026-01-02,y,\n",
        {},
        "has no column of numbers among time, a, b",
    ),
    "a month where the days stood": (
        "day,load\n2/21/2026,1\n2/22/2026,2\n23/2/2026,3\n",
        {},
        "'2/21/2026' and '23/2/2026' do not go together",
    ),
    "no such value": (HEAD, {"value": "price"}, "has no column 'price'; its columns are time, load"),
    "no such time": (HEAD, {"time": "day"}, "has no column 'day'"),
    "an empty name of time": (HEAD, {"time": " "}, "name of the time column is empty"),
}


@pytest.fixture
def grow(tmp_path: Path, drain: Any) -> Iterator[Callable[..., Any]]:
    """Follow a file of this text; gives the source that is being drained."""
    opened: list[CsvTailSource] = []

    def start(text: str, **options: Any) -> Any:
        (tmp_path / "grows.csv").write_bytes(text.encode())
        opened.append(CsvTailSource(tmp_path / "grows.csv", poll_s=0.01, **options))
        return drain(opened[-1])

    yield start
    for source in opened:
        source.close()


def write(folder: Path, text: str) -> Path:
    path = folder / "whole.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("name", READ)
def test_both_readers_give_these_ticks(tmp_path: Path, grow: Callable[..., Any], name: str) -> None:
    text, values, stamps, notes = READ[name]
    series = read_csv(write(tmp_path, text))
    taken = grow(text).until(ticks=len(values))
    for read in (series.values.tolist(), taken.values):
        np.testing.assert_array_equal(read, values)
    assert series.timestamps_ns.tolist() == taken.stamps == stamps
    assert series.notes == taken.source.notes == notes
    assert series.name == taken.source.name == ("column_1" if name == "no names" else "load")
    assert series.has_times is not taken.source.time_is_grid is (GRID_NOTE in notes)
    assert taken.faults == []


@pytest.mark.parametrize("name", REFUSED)
def test_both_readers_refuse_this_line_with_the_same_words(tmp_path: Path, grow: Callable[..., Any], name: str) -> None:
    text, line, reason = REFUSED[name]
    with pytest.raises(DomainError, match=f"whole.csv, line 4: .*{reason}") as refused:
        read_csv(write(tmp_path, f"{text}{line}\n"))
    after = text.splitlines()[-1]
    taken = grow(f"{text}{line}\n{after}\n").until(ticks=3, faults=1)
    ((place, fault),) = taken.faults
    assert place == 2 and fault.can_continue
    assert fault.reason == str(refused.value).replace(f"{tmp_path / 'whole.csv'}, line 4:", "line 4 was left out:")


@pytest.mark.parametrize("name", UNCLEAR)
def test_both_readers_ask_what_to_read_with_the_same_words(tmp_path: Path, name: str) -> None:
    text, options, reason = UNCLEAR[name]
    path = write(tmp_path, text)
    with pytest.raises(DomainError, match=reason) as whole:
        read_csv(path, **options)
    with pytest.raises(DomainError, match=reason) as growing:
        CsvTailSource(path, **options)
    assert str(whole.value) == str(growing.value)


@pytest.mark.parametrize("name", [name for name in READ if name not in MORE_THAN_ONE_ROW])
def test_a_file_that_comes_row_by_row_gives_the_same_ticks(tmp_path: Path, grow: Callable[..., Any], name: str) -> None:
    # The first rows decide: a file of one row is read like the whole one wherever one row is enough to tell.
    text, values, stamps, _ = READ[name]
    first, *later = text.splitlines(keepends=True)
    if "names" not in name:
        first += later.pop(0)
    taken = grow(first).until(ticks=1)
    for line in later:
        with (tmp_path / "grows.csv").open("ab") as file:
            file.write(line.encode())
    taken.until(ticks=len(values))
    np.testing.assert_array_equal(taken.values, values)
    assert taken.stamps == stamps and taken.faults == []


def test_the_first_rows_decide_for_both(tmp_path: Path, grow: Callable[..., Any]) -> None:
    # A second column of numbers begins after the rows that decide: neither reader sees it, and both read on.
    rows = [f"{i}.5,word\n" for i in range(SAMPLE)] + [f"{i}.5,7\n" for i in range(50)]
    text = "load,remark\n" + "".join(rows)
    taken = grow(text).until(ticks=SAMPLE + 50)
    assert taken.values == read_csv(write(tmp_path, text)).values.tolist()


def test_what_a_program_writes_in_full_comes_back_to_the_bit(tmp_path: Path, grow: Callable[..., Any]) -> None:
    values = (np.random.default_rng(7).standard_normal(500) * 10.0 ** np.arange(-250, 250)).tolist()
    text = "load\n" + "".join(f"{value!r}\n" for value in values)
    assert read_csv(write(tmp_path, text)).values.tolist() == values
    assert grow(text).until(ticks=500).values == values


def test_a_quoted_cell_may_span_lines_of_a_whole_file_only(tmp_path: Path, grow: Callable[..., Any]) -> None:
    # In a growing file a lone quote must not swallow what comes after it.
    text = 'load,remark\n1,a\n2,"b\nc"\n3,d\n4,e\n'
    assert read_csv(write(tmp_path, text)).values.tolist() == [1.0, 2.0, 3.0, 4.0]
    taken = grow(text).until(ticks=3, faults=2)
    assert taken.values == [1.0, 3.0, 4.0]
    with pytest.raises(DomainError, match="line 5: load = 'x' is not a number"):
        read_csv(write(tmp_path, text.replace("3,d", "x,d")))
