"""Columns found, columns named, and files that are no table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from uspnb.data.csv import read_csv
from uspnb.data.table import ALL
from uspnb.data.times import NAIVE_NOTE
from uspnb.errors import DomainError

START = pd.Timestamp("2026-02-21T09:30", tz="UTC").value


@pytest.fixture
def file(tmp_path):
    def write(text: str | bytes):
        path = tmp_path / "series.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


ZONED = "time,load\n2026-02-21T09:30:00Z,1\n2026-02-21T10:00:00Z,\n2026-02-21T10:30:00Z,3.5\n"


def test_all_columns_but_the_time_are_assets(file):
    series = read_csv(file("a,day,b\n1,2026-01-01,4\n2,2026-01-02,3\n"), value=ALL)
    assert series.assets == ("a", "b") and series.has_times
    np.testing.assert_array_equal(series.values, [[1, 4], [2, 3]])
    with pytest.raises(DomainError, match="no column beside the time day"):
        read_csv(file("day\n2026-01-01\n2026-01-02\n"), value=ALL)


def test_time_and_value_are_found(file):
    series = read_csv(file(ZONED))
    np.testing.assert_array_equal(series.values, [1.0, np.nan, 3.5])
    assert series.timestamps_ns[0] == START and series.name == "load" and series.notes == ()


@pytest.mark.parametrize(
    "text",
    [
        "when it was;value\n2026-02-21 09:30;1\n2026-02-21 10:30;2\n",
        "t\tdate\tvalue\n0\t2026-02-21 09:30:00\t1\n1\t2026-02-21 10:30:00\t2\n2\t2026-02-21 11:30:00\t3\n",
        "\ufeffdate,value\n2/21/2026 09:30,1\n2/21/2026 10:30,2\n",
    ],
)
def test_separators_counters_marks_and_naive_times(file, text):
    series = read_csv(file(text))
    np.testing.assert_array_equal(series.values, np.arange(1.0, len(series) + 1))
    assert series.timestamps_ns[0] == START and NAIVE_NOTE in series.notes


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("date;load\n2026-02-21 09:30;3,5\n2026-02-21 10:30;-4\n2026-02-21 11:30;,25\n", [3.5, -4.0, 0.25]),
        ("\ufeffdate;load\r\n2026-02-21 09:30;3,5\r\n2026-02-21 10:30;\r\n2026-02-21 11:30;1\r\n", [3.5, np.nan, 1.0]),
        ("date\tload\n2026-02-21 09:30\t3,5e2\n2026-02-21 10:30\t1\n", [350.0, 1.0]),
        ('date,load\n2026-02-21 09:30,"3,5"\n2026-02-21 10:30,4\n', [3.5, 4.0]),
        ("date;load\n2026-02-21 09:30;1.234,5\n2026-02-21 10:30;4,5\n", [1234.5, 4.5]),
    ],
    ids=["semicolons", "mark, windows, a gap", "tabs", "quoted", "thousands"],
)
def test_decimal_commas_are_read_where_they_cannot_separate(file, text, values):
    series = read_csv(file(text))
    np.testing.assert_array_equal(series.values, values)
    assert series.timestamps_ns[0] == START
    assert "commas in column load were read as decimal marks" in series.notes


def test_decimal_commas_in_a_late_stretch_of_a_long_file(file):
    # Read in stretches, pandas gives the whole numbers of the first one another type.
    rows = [f"{i};{i}" for i in range(300_000)] + ["300000;0,5"]
    series = read_csv(file("n;load\n" + "\n".join(rows) + "\n"))
    assert series.values[-2:].tolist() == [299_999.0, 0.5]


def test_a_file_above_the_bound_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.csv"
    with path.open("wb") as hole:
        hole.truncate(200_000_001)  # takes no space, and is no table: reading it would give another error
    with pytest.raises(DomainError, match=r"has 200,000,001 bytes, beyond the bound most_bytes = 200,000,000; leave"):
        read_csv(path)
    path.write_text(ZONED)
    size = path.stat().st_size
    assert len(read_csv(path, most_bytes=size)) == 3
    with pytest.raises(DomainError, match=f"has {size} bytes"):
        read_csv(path, most_bytes=size - 1)
    with pytest.raises(DomainError, match="most_bytes"):
        read_csv(path, most_bytes=0)


@pytest.mark.parametrize(("factor", "unit"), [(1, "s"), (1000, "ms"), (10**6, "us"), (10**9, "ns")])
def test_numbers_of_time_are_read_by_their_size(file, factor, unit):
    first = START // 10**9
    series = read_csv(file(f"timestamp,value\n{first * factor},1\n{(first + 60) * factor},2\n"))
    assert series.timestamps_ns[0] == START and f"as {unit} since 1970" in series.notes[0]


def test_small_numbers_of_time_and_a_file_without_names_are_grids(file):
    assert not read_csv(file("time,value\n1871,1120\n1872,1160\n")).has_times
    series = read_csv(file("1.5\n2.5\n3.5\n"))
    np.testing.assert_array_equal(series.values, [1.5, 2.5, 3.5])


def test_columns_can_be_named_and_several_are_assets(file):
    path = file("day,a,b,c\n2026-02-21,1,2,x\n2026-02-22,3,4,y\n")
    assert read_csv(path, value="b").values.tolist() == [2.0, 4.0]
    both = read_csv(path, time="day", value="a, b")
    assert both.assets == ("a", "b") and both.values.tolist() == [[1.0, 2.0], [3.0, 4.0]]


REFUSED = {
    "several": ("time,a,b\n2026-01-01,1.5,2\n2026-01-02,1,2\n", {}, "several columns of numbers: a, b; choose one"),
    "no numbers": ("time,a\n2026-01-01,x\n2026-01-02,y\n", {}, "no column of numbers among time, a"),
    "no such value": (ZONED, {"value": "price"}, "no column 'price'; its columns are time, load"),
    "no such time": (ZONED, {"time": "day"}, "no column 'day'"),
    "bad number": ("time,a\n2026-01-01,1\n2026-01-02,1.2.3\n", {"value": "a"}, "line 3: a = '1.2.3' is not a number"),
    "bad time": ("time,a\n2026-01-01,1\nsoon,2\n", {}, "line 3: time = 'soon' is not a time"),
    "empty time": ("time,a\n2026-01-01,1\n,2\n", {}, "line 3: time is empty"),
    "empty number of time": ("time,a\n1771666200,1\n,2\n", {}, "line 3: time is empty"),
    "bytes": (b"time,a\n\xff\xfe,1\n", {}, "0xff at position 7"),
    "empty": ("", {}, "no rows"),
    "only names": ("time,a\n", {}, "no rows"),
    "ragged": ("time,a\n2026-01-01,1\n2026-01-02,1,2,3\n", {}, "line 3: 4 cells stand under 2 columns"),
    "one row": ("time,a\n2026-01-01,1\n", {}, "at least 2 ticks"),
    "comma under commas": ("time,load\n2026-01-01,3,5\n2026-01-02,4,5\n", {}, "line 2: 3 cells.*semicolons"),
    "one comma under commas": ("time,load\n2026-01-01,3\n2026-01-02,4,5\n", {}, "line 3.*semicolons"),
    "both marks": ("time;load\n2026-01-01;3,5\n2026-01-02;4.5\n", {}, "line 3: load = '4.5' has a decimal point"),
    "garbage in the middle": ("time,a\n2026-01-01,1\n2026-01-02,##\n2026-01-03,3\n", {}, "line 3: a = '##'"),
    "garbage beside a good column": (
        "time,load,quality\n2026-01-01,1.5,0\n2026-01-02,err,0\n2026-01-03,2,1\n",
        {},
        "several columns of numbers: load, quality",
    ),
    "a torn quote": ('time,a\n2026-01-01,1\n2026-01-02,"2\n2026-01-03,3\n', {}, "line 3: no row of cells begins here"),
    "zero rows and blanks": ("time,a\n\n\n", {}, "no rows"),
    "two bytes a letter": ("time,a\n1,2\n".encode("utf-16"), {}, "0xff at position 0; save it as UTF-8"),
    "empty name": (ZONED, {"value": "a,,b"}, "empty name"),
    "empty time name": (ZONED, {"time": " "}, "name of the time column is empty"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_line_or_columns(file, name):
    text, options, reason = REFUSED[name]
    with pytest.raises(DomainError, match=reason):
        read_csv(file(text), **options)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(DomainError, match="there is no file"):
        read_csv(tmp_path / "nothing.csv")
    with pytest.raises(DomainError, match="is a folder"):
        read_csv(tmp_path)
