"""Columns found, columns named, and files that are no table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from uspnb.csv_file import read_csv
from uspnb.errors import DomainError
from uspnb.series import NAIVE_NOTE

START = pd.Timestamp("2026-02-21T09:30", tz="UTC").value


@pytest.fixture
def file(tmp_path):
    def write(text: str | bytes):
        path = tmp_path / "series.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


ZONED = "time,load\n2026-02-21T09:30:00Z,1\n2026-02-21T10:00:00Z,\n2026-02-21T10:30:00Z,3.5\n"


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
    "empty time": ("time,a\n2026-01-01,1\n,2\n", {}, "line 3: time = an empty cell is not a time"),
    "empty number of time": ("time,a\n1771666200,1\n,2\n", {}, "line 3: time is empty"),
    "bytes": (b"time,a\n\xff\xfe,1\n", {}, "0xff at position 7"),
    "empty": ("", {}, "not a table"),
    "only names": ("time,a\n", {}, "no rows"),
    "ragged": ("time,a\n2026-01-01,1\n2026-01-02,1,2,3\n", {}, "not a table"),
    "one row": ("time,a\n2026-01-01,1\n", {}, "at least 2 ticks"),
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
