"""Times in text: the same instant in every writing, against pandas; no word that merely sounds like a time."""

from __future__ import annotations

import pandas as pd
import pytest

from uspnb.data.number_format import NumberFormat
from uspnb.data.times import instant_ns
from uspnb.errors import DomainError

NS = 1_771_666_200_123_456_789


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-21T09:30:00.123456789Z",
        " 2026-02-21 10:30:00.123456789+01:00 ",
        "2026-02-21 09:30:00.123456789",
        str(NS),
        NS,
    ],
)
def test_one_instant_in_many_writings(text):
    assert instant_ns(text) == NS


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_are_read_by_their_size_as_pandas_reads_them_by_unit(unit, sign):
    number = sign * NS // {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[unit]
    assert instant_ns(number) == instant_ns(str(number)) == pd.Timestamp(number, unit=unit).value


def test_fractions_of_a_second_keep_a_microsecond():
    # A float of 64 bits resolves 2.4e-7 s at this size.
    assert abs(instant_ns(1771666200.123456) - 1_771_666_200_123_456_000) < 500


@pytest.mark.parametrize(
    "bad", ["", "now", "today", "soon", "NaT", "2026-13-01", "17", 17, 0, float("nan"), float("inf"), 1e30, True, None]
)
def test_what_is_no_instant_is_refused(bad):
    with pytest.raises(DomainError):
        instant_ns(bad)


@pytest.mark.parametrize(("text", "decimal", "value"), [("3,5", ",", 3.5), ("3.5", ".", 3.5), ("-,5e1", ",", -5.0)])
def test_decimal_marks(text, decimal, value):
    assert NumberFormat(decimal).read(text) == value


@pytest.mark.parametrize(("text", "decimal"), [("3,5", "."), ("3.5", ","), ("1.234,5", ","), ("1,234.5", ".")])
def test_a_mark_that_does_not_fit_is_refused(text, decimal):
    with pytest.raises(DomainError):
        NumberFormat(decimal).read(text)
