"""What may leave the machine, and that a line says what the row said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uspnb.errors import IntegrityError
from uspnb.runtime.files import MAX_LINE_BYTES
from uspnb.sinks import RECORD_FIELDS, Records, parse_record
from uspnb.sinks.records import COUNT_FIELDS, FLAG_FIELDS, record_lines


@pytest.fixture
def records(make_rows: Callable[..., np.ndarray], columns: dict[str, slice]) -> Records:
    """Three ticks of a series with an awkward name."""
    stamps = np.array([1, 2**62, -5], np.int64)
    return Records('a "name"\nof Ω', 41, stamps, make_rows(3), columns)


def test_a_line_says_what_the_row_said(records: Records) -> None:
    """Numbers come back bit for bit, in the order of the list."""
    for i, line in enumerate(record_lines(records)):
        assert line.endswith(b"\n") and line.count(b"\n") == 1
        parsed = parse_record(line)
        assert list(parsed) == ["asset", "tick", "timestamp_ns", *RECORD_FIELDS]
        assert (parsed["asset"], parsed["tick"], parsed["timestamp_ns"]) == (
            records.asset,
            41 + i,
            records.stamps_ns[i],
        )
        for name in RECORD_FIELDS:
            values = records.rows[i, records.columns[name]]
            written = np.atleast_1d(parsed[name])
            if name in FLAG_FIELDS:
                assert written.tolist() == (values != 0).tolist()
            elif name in COUNT_FIELDS:
                assert written.tolist() == [int(value) for value in values]
            else:
                assert written.tolist() == values.tolist()


def test_what_is_not_finite_is_null(records: Records) -> None:
    """JSON has neither NaN nor infinity; a single entry of several may be null."""
    for name, value in (("kurtosis", math.nan), ("alarm", math.nan), ("onset_ago", math.inf)):
        records.rows[0, records.columns[name]] = value
    records.rows[0, records.columns["weight"].start + 2] = -math.inf
    record = parse_record(record_lines(records)[0])
    assert record["kurtosis"] is None and record["alarm"] is None and record["onset_ago"] is None
    assert [entry is None for entry in record["weight"]] == [False, False, True, False]


BEGINNING = b'{"asset":"a","tick":1,"timestamp_ns":2,'


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"asset":"a"}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b"\xff\xfe",
        b'"' + b"x" * 100_000,
        BEGINNING + b'"observation":1.5}',
        BEGINNING + b'"kurtosis":NaN}',
        BEGINNING + b'"kurtosis":1e999}',
        BEGINNING + b'"alarm":1}',
        BEGINNING + b'"weight":[[1]]}',
        BEGINNING + b'"tick":2}',
        b'{"asset":"a","tick":true,"timestamp_ns":2}',
        b'{"asset":"a","tick":' + b"9" * 5000 + b',"timestamp_ns":2}',
    ],
)
def test_a_line_that_is_none_of_ours_is_refused(line: bytes) -> None:
    """Whatever stands in a log, the only error is the documented one."""
    with pytest.raises(IntegrityError):
        parse_record(line)


def test_a_long_line_is_refused_before_it_is_read() -> None:
    """A line of valid JSON, but longer than any record."""
    line = json.dumps({"asset": "a" * MAX_LINE_BYTES, "tick": 1, "timestamp_ns": 2}).encode()
    with pytest.raises(IntegrityError, match="longer than any"):
        parse_record(line)


@given(data=st.data())
def test_mutated_lines_are_read_or_refused(data: st.DataObject) -> None:
    """Every replaced, removed or inserted byte ends in a record or in `IntegrityError`."""
    line = bytearray(
        b'{"asset":"a","tick":1,"timestamp_ns":2,"alarm":true,"weight":[0.25,0.5,0.25,0.0],"kurtosis":3.5}\n'
    )
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(line) - 1))
        line[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        record = parse_record(bytes(line))
    except IntegrityError:
        return
    assert isinstance(record["asset"], str) and type(record["tick"]) is int


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_any_bytes_are_read_or_refused(line: bytes | str) -> None:
    """Nothing random is a record."""
    with pytest.raises(IntegrityError):
        parse_record(line)
