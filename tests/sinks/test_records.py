"""What may leave the machine, and that a line says what the row said."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import uspnb.model.records
from uspnb.errors import IntegrityError
from uspnb.model.records import Telemetry
from uspnb.runtime.files import MAX_LINE_BYTES
from uspnb.sinks import RECORD_FIELDS, Records, parse_record
from uspnb.sinks.records import COUNT_FIELDS, FLAG_FIELDS, record_lines

RAW = {
    "observation", "prediction", "lower", "upper", "scale", "residual", "reference_residual", "kernel_prediction",
    "kernel_scale",
}  # fmt: skip


def test_no_field_in_units_of_the_input_is_on_the_list() -> None:
    """The authority is the declaration of `Telemetry`, where "[y]" stands behind such fields."""
    source = inspect.getsource(uspnb.model.records.Telemetry)
    with_units = set(re.findall(r"^    (\w+): .*\[y\]", source, re.MULTILINE))
    # A tick's own forecast, bounds and value are declared on lines of their own, each with its unit.
    assert with_units | {"kernel_prediction", "kernel_scale"} == RAW
    assert not RAW & set(RECORD_FIELDS)


def test_every_field_is_one_of_telemetry_and_of_its_kind() -> None:
    """Flags are written as booleans, counts as whole numbers."""
    kinds = {field.name: str(field.type) for field in dataclasses.fields(Telemetry)}
    assert set(RECORD_FIELDS) <= kinds.keys() and len(set(RECORD_FIELDS)) == len(RECORD_FIELDS)
    assert {n for n in RECORD_FIELDS if kinds[n].startswith(("Flag", "Bool"))} == set(FLAG_FIELDS)
    assert {n for n in RECORD_FIELDS if kinds[n].startswith(("Count", "Int"))} == set(COUNT_FIELDS)


@pytest.fixture
def records(make_rows: Callable[..., np.ndarray], columns: dict[str, slice]) -> Records:
    """Three ticks of a series with an awkward name."""
    stamps = np.array([1, 2**62, -5], np.int64)
    return Records('a "name"\nof Ω', 41, stamps, make_rows(3), columns)


def test_a_line_says_what_the_row_said(records: Records) -> None:
    """Numbers come back bit for bit, in the order of the list."""
    for i, line in enumerate(record_lines(records)):
        assert line.endswith(b"\n") and line.count(b"\n") == 1
        told = parse_record(line)
        assert list(told) == ["asset", "tick", "timestamp_ns", *RECORD_FIELDS]
        assert (told["asset"], told["tick"], told["timestamp_ns"]) == (records.asset, 41 + i, records.stamps_ns[i])
        for name in RECORD_FIELDS:
            values = records.rows[i, records.columns[name]]
            said = np.atleast_1d(told[name])
            if name in FLAG_FIELDS:
                assert said.tolist() == (values != 0).tolist()
            elif name in COUNT_FIELDS:
                assert said.tolist() == [int(value) for value in values]
            else:
                assert said.tolist() == values.tolist()


def test_what_is_not_finite_is_null(records: Records) -> None:
    """JSON has neither NaN nor infinity; a single entry of several may be null."""
    for name, value in (("kurtosis", math.nan), ("alarm", math.nan), ("onset_ago", math.inf)):
        records.rows[0, records.columns[name]] = value
    records.rows[0, records.columns["weight"].start + 2] = -math.inf
    told = parse_record(record_lines(records)[0])
    assert told["kurtosis"] is None and told["alarm"] is None and told["onset_ago"] is None
    assert [entry is None for entry in told["weight"]] == [False, False, True, False]


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
        told = parse_record(bytes(line))
    except IntegrityError:
        return
    assert isinstance(told["asset"], str) and type(told["tick"]) is int


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_any_bytes_are_read_or_refused(line: bytes | str) -> None:
    """Nothing random is a record."""
    with pytest.raises(IntegrityError):
        parse_record(line)
