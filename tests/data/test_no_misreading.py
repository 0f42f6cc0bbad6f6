"""Generated tables are read exactly or refused; never another value or time."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uspnb.data.csv import read_csv
from uspnb.data.series import read_series
from uspnb.errors import DomainError

DATES = [
    "%Y-%m-%d",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d.%m.%y",
    "%m/%d/%y",
    "%y-%m-%d",
    "%d-%b-%Y",
    "%b %d %Y",
    "%Y%m%d",
]
DATES += ["%d%m%Y", "%Y/%m/%d", "%d-%m-%Y", "%y%m%d", "%B %d %Y"]
CLOCKS = ["", " %H:%M", "T%H:%M:%S", " %H.%M", " %I:%M %p", " %H:%M:%S.%f", " %H"]
ZONES = ["", "Z", "+01:00", "-0330", " UTC+2", "+05", " CET"]
OFFSETS = {"": 0, "Z": 0, "+01:00": 60, "-0330": -210, " UTC+2": 120, "+05": 300, " CET": 60}
STEPS = [
    datetime.timedelta(**step)
    for step in ({"minutes": 15}, {"hours": 1}, {"hours": 6}, {"days": 1}, {"days": 7}, {"days": 31})
]
STEPS += [datetime.timedelta(days=1, hours=5)]


@st.composite
def axes(draw) -> list[datetime.datetime]:
    """Times to the minute, regular or not, in any order, some twice."""
    first = draw(st.datetimes(datetime.datetime(1971, 1, 1), datetime.datetime(2048, 1, 1))).replace(
        second=0, microsecond=0
    )
    if draw(st.booleans()):
        first = first.replace(hour=0, minute=0, day=draw(st.integers(1, 12)))
    step, count = draw(st.sampled_from(STEPS)), draw(st.integers(2, 40))
    places = draw(
        st.one_of(
            st.just(range(count)),
            st.just(range(count)[::-1]),
            st.permutations(range(count)),
            st.lists(st.integers(0, 60), min_size=2, max_size=40),
        )
    )
    return [first + place * step for place in places]


def number(value: float, decimal: str, thousands: str) -> str:
    """A number with its marks."""
    text = f"{value:,.{0 if value == int(value) else 2}f}" if thousands else f"{value:.2f}"
    return text.translate(str.maketrans({",": thousands, ".": decimal}))


@given(
    times=axes(),
    date=st.sampled_from(DATES),
    clock=st.sampled_from(CLOCKS),
    zone=st.sampled_from(ZONES),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    marks=st.sampled_from([(".", ""), (",", ""), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'")]),
    scale=st.sampled_from([1.0, 40.0, 2500.0]),
    header=st.sampled_from(["time", "Date", "x", ""]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_table_is_read_exactly_or_refused(
    tmp_path_factory, times, date, clock, zone, separator, marks, scale, header, seed
):
    if separator == "," and marks == (",", "."):
        marks = (",", "")  # beside commas as separators, a point is a decimal mark: docs/reading.md
    rng = np.random.default_rng(seed)
    values = np.round(scale * rng.standard_normal(len(times)), 0 if seed % 3 == 0 else 2) + 0.0
    written = clock and zone
    cells = [f"{t.strftime(date + clock)}{zone if written else ''}" for t in times]
    numbers = [f'"{text}"' if separator in (text := number(v, *marks)) else text for v in values]
    holes = rng.random(len(times)) < 0.1
    rows = [f"{c}{separator}{'' if hole else n}" for c, n, hole in zip(cells, numbers, holes, strict=True)]
    path = tmp_path_factory.getbasetemp() / "generated.csv"
    path.write_text("\n".join([*([f"{header}{separator}load"] if header else []), *rows, ""]), encoding="utf-8")
    try:
        series = read_csv(path)
    except DomainError:
        return
    local = pd.DatetimeIndex(times)
    local = local if clock not in ("", " %H") else local.floor("D" if not clock else "h")
    stamps = local - pd.Timedelta(minutes=OFFSETS[zone] if written else 0)
    expected = {int(stamp): [] for stamp in stamps.as_unit("ns").asi8}
    for stamp, value, hole in zip(stamps.as_unit("ns").asi8, values, holes, strict=True):
        expected[int(stamp)].append(np.nan if hole else value)
    assert len(series) == len(times)
    if series.has_times:
        for stamp, value in zip(series.timestamps_ns.tolist(), series.values.tolist(), strict=True):
            assert any(np.array_equal([value], [known], equal_nan=True) for known in expected[stamp]), (cells, numbers)
    else:
        assert "regular grid" in " ".join(series.notes)
        np.testing.assert_array_equal(series.values, np.where(holes, np.nan, values))


@pytest.mark.parametrize("first", ["0.85", ""])
def test_a_first_row_of_dates_in_a_writing_of_its_own_is_no_row_of_names(tmp_path, first):
    path = tmp_path / "table.csv"
    path.write_text(f"000101 00:00,{first}\n000101 00:15,0.5\n000101 00:30,-0.71\n")
    assert len(read_csv(path)) == 3


@given(
    start=st.integers(10**8, 4 * 10**9 - 10**7),
    step=st.integers(1, 10**5),
    unit=st.sampled_from(["s", "ms", "us", "ns"]),
    count=st.integers(2, 30),
    masked=st.sets(st.integers(0, 29), max_size=5),
)
def test_arrays_with_masks_and_integer_times_are_read_exactly_or_refused(start, step, unit, count, masked):
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    seconds = start + step * np.arange(count)
    values = np.ma.masked_array(np.arange(count) * 1.5, mask=[k in masked for k in range(count)])
    try:
        series = read_series(values, seconds * factor)
    except DomainError:
        return
    grid = (seconds * factor % 10**9 == 0).all() and unit != "ns"
    np.testing.assert_array_equal(series.timestamps_ns, seconds * factor if grid else seconds * 10**9)
    np.testing.assert_array_equal(series.values, values.filled(np.nan))
