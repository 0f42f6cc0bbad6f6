"""What may be handed over as a series, and every refusal."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

from uspnb.data.series import read_series
from uspnb.data.times import GRID_NOTE, NAIVE_NOTE, timestamp_to_ns
from uspnb.errors import DomainError, InstantWarning, OrderWarning
from uspnb.model.records import ProcessState
from uspnb.predictor.backtest import backtest
from uspnb.sources.items import real_value

SECOND = 1_000_000_000
START = pd.Timestamp("2026-02-21T09:30", tz="UTC")


@pytest.mark.parametrize(
    "values", [[1, 2, 4], np.array([1, 2, 4], np.int16), np.array([1, 2, 4], np.float32), (1.0, 2, 4)]
)
def test_numbers_of_any_kind_become_float64_on_a_grid_of_one_second(values):
    series = read_series(values)
    assert series.values.dtype == np.float64
    np.testing.assert_array_equal(series.values, [1.0, 2.0, 4.0])
    np.testing.assert_array_equal(series.timestamps_ns, [0, SECOND, 2 * SECOND])
    np.testing.assert_array_equal(series.time_coordinate, [0, 1, 2])
    assert series.assets is None and not series.has_times and series.notes == (GRID_NOTE,)


def test_a_table_is_time_by_asset():
    series = read_series(np.arange(6.0).reshape(3, 2))
    assert series.values.shape == (3, 2) and series.assets == (0, 1) and len(series) == 3


def test_nan_and_infinity_stay():
    series = read_series([1.0, np.nan, -np.inf])
    np.testing.assert_array_equal(series.values, [1.0, np.nan, -np.inf])


def test_a_zone_is_converted_to_utc():
    index = pd.date_range("2026-02-21T10:30", periods=3, freq="h", tz="Europe/Paris")
    series = read_series(pd.Series([1.0, 2.0, 3.0], index=index, name="load"))
    assert series.timestamps_ns[0] == START.value and series.name == "load" and series.notes == ()
    assert series.time_coordinate.dtype == np.dtype("datetime64[ns]")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_naive_index_of_any_resolution_is_utc_and_says_so(unit):
    index = pd.date_range("2026-02-21T09:30", periods=3, freq="h").as_unit(unit)
    series = read_series(pd.Series([1.0, 2.0, 3.0], index=index))
    assert series.timestamps_ns[0] == START.value and series.notes == (NAIVE_NOTE,)


def test_backward_and_duplicate_times_pass_for_the_gate_to_judge():
    stamps = np.array([5, 5, 3], np.int64)
    np.testing.assert_array_equal(read_series([1.0, 2.0, 3.0], times=stamps).timestamps_ns, stamps)


def test_times_of_many_kinds_name_the_same_instants():
    aware = [datetime.datetime(2026, 2, 21, 9, 30, tzinfo=datetime.UTC) + datetime.timedelta(hours=h) for h in range(3)]
    naive = [when.replace(tzinfo=None) for when in aware]
    expected = [START.value + h * 3600 * SECOND for h in range(3)]
    kinds = [
        aware,
        np.array(naive, "datetime64[s]"),
        expected,
        pd.DatetimeIndex(naive),
        pd.Series(pd.DatetimeIndex(aware)),
    ]
    kinds.append(xr.DataArray(np.array(naive, "datetime64[ns]"), dims="time"))
    for times in kinds:
        np.testing.assert_array_equal(read_series([1.0, 2.0, 3.0], times=times).timestamps_ns, expected)


def test_a_numeric_index_is_a_grid():
    series = read_series(pd.Series([1.0, 2.0], index=[10, 20]))
    np.testing.assert_array_equal(series.timestamps_ns, [0, SECOND])
    assert not series.has_times


def test_a_frame_names_its_assets_and_missing_values_of_nullable_columns_are_nan():
    frame = pd.DataFrame({"a": pd.array([1, None, 3], "Int64"), "b": [1.5, 2.5, 3.5]})
    series = read_series(frame)
    assert series.assets == ("a", "b")
    np.testing.assert_array_equal(series.values[:, 0], [1.0, np.nan, 3.0])


def test_xarray_is_read_in_either_order_of_dims_with_units():
    index = pd.date_range("2026-02-21T09:30", periods=3, freq="h")
    array = xr.DataArray(
        np.arange(6.0).reshape(2, 3), {"asset": ["x", "y"], "time": index}, ("asset", "time"), "load", {"units": "MW"}
    )
    series = read_series(array)
    np.testing.assert_array_equal(series.values, np.arange(6.0).reshape(2, 3).T)
    assert (series.assets, series.units, series.name) == (("x", "y"), "MW", "load")
    assert series.timestamps_ns[0] == START.value
    assert read_series(xr.DataArray([1, 2, 3], dims="time")).values.dtype == np.float64


def test_a_series_is_returned_as_it_is():
    series = read_series([1.0, 2.0])
    assert read_series(series) is series
    with pytest.raises(DomainError, match="already carries its times"):
        read_series(series, times=[1, 2])


INDEX = pd.date_range("2026-02-21", periods=3)
REFUSED = {
    "text": (["a", "b"], "text"),
    "bytes": ([b"a", b"b"], "text|bytes"),
    "bool": ([True, False], "truth values"),
    "complex": ([1j, 2.0], "complex"),
    "objects": ([object(), object()], "objects"),
    "none": (None, "NoneType is not a series"),
    "one string": ("1,2,3", "str is not a series"),
    "dict": ({"a": [1]}, "dict is not a series"),
    "times as values": (INDEX.to_numpy(), "times"),
    "ragged": ([[1.0], [1.0, 2.0]], "do not form an array"),
    "empty": ([], "at least 2 ticks"),
    "no columns": (np.zeros((3, 0)), "at least 2 ticks"),
    "one tick": ([1.0], "at least 2 ticks"),
    "scalar": (3.0, r"shape \(\)"),
    "cube": (np.zeros((3, 2, 2)), r"give \(time,\) or \(time, asset\)"),
    "frame of text": (pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}), "'b'"),
    "frame of bool": (pd.DataFrame({"a": [True, False]}), "no real numbers"),
    "empty frame": (pd.DataFrame({"a": []}, dtype=float), "at least 2 ticks"),
    "empty pandas series": (pd.Series([], dtype=float), "at least 2 ticks"),
    "pandas text": (pd.Series(["a", "b"]), "no real numbers"),
    "index of text": (pd.Series([1.0, 2.0], index=["a", "b"]), "names no instants"),
    "same label twice": (pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=["a", "a"]), "not unique"),
    "wrong dim": (xr.DataArray([1.0, 2.0], dims="x"), r"rename\({'x': 'time'}\)"),
    "wrong dims": (xr.DataArray(np.zeros((2, 2)), dims=("time", "station")), "not"),
    "dataset": (xr.Dataset({"a": ("time", [1.0])}), r"ds\['name'\]"),
    "NaT in the index": (pd.Series([1.0, 2.0, 3.0], index=INDEX.where(np.array([True, False, True]))), "row 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_series_is_refused_with_a_reason(name):
    data, reason = REFUSED[name]
    with pytest.raises(DomainError, match=reason):
        read_series(data)


BAD_TIMES = {
    "text": (["2026-01-01", "soon"], r"times\[1\] = 'soon' is not a time"),
    "text of two readings": (["01/02/2026", "01/03/2026"], "2 ways"),
    "text of numbers": (["1", "2"], "numbers as text"),
    "masked": (np.ma.masked_array([1, 2], mask=[False, True]), "row 1"),
    "the integer of a missing time": (np.array([10**18, -(2**63)]), "row 1"),
    "beyond 64 bits, unsigned": (np.array([1, 2**63 + 1], np.uint64), "do not fit 64 bits"),
    "ragged": ([[1], [1, 2]], "do not form an array"),
    "no time of no unit": (np.array(["NaT", "NaT"], "M8"), "row 0"),
    "floats": ([0.5, 1.5], "integers of nanoseconds"),
    "too few": ([1], "1 times for 2 rows"),
    "missing": (np.array(["2026-01-01", "NaT"], "datetime64[ns]"), "row 1"),
    "missing integer": (pd.array([1, None], "Int64"), "row 1"),
    "table": ([[1, 2], [3, 4]], "one time per row"),
    "mixed zones": (
        [datetime.datetime(2026, 1, 1), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)],
        "all have a zone",
    ),
    "beyond 64 bits": (np.array(["2500-01-01", "2500-01-02"], "datetime64[s]"), "1678 to 2262"),
}


@pytest.mark.parametrize("name", BAD_TIMES)
def test_times_that_name_no_instants_are_refused(name):
    times, reason = BAD_TIMES[name]
    with pytest.raises(DomainError, match=reason):
        read_series([1.0, 2.0], times=times)


def test_times_given_twice_are_refused():
    with pytest.raises(DomainError, match="given twice"):
        read_series(pd.Series([1.0, 2.0, 3.0], index=INDEX), times=[1, 2, 3])


@pytest.mark.parametrize("unit", ["6h", "10ms", "D", "h", "s", "us", "ns", "M"])
def test_times_of_any_unit_are_those_of_numpy(unit):
    times = np.arange(5).astype(f"M8[{unit}]")
    np.testing.assert_array_equal(read_series(np.arange(5.0), times).time_coordinate, times.astype("M8[ns]"))


SECONDS = 1_700_000_000 + 60 * np.arange(50)


@pytest.mark.parametrize(
    ("unit", "factor", "name"), [("s", 1, "seconds"), ("ms", 1000, "milliseconds"), ("us", 10**6, "microsec")]
)
@pytest.mark.parametrize(
    "make", [lambda y, t: (y, t), lambda y, t: (pd.Series(y, t), None), lambda y, t: (list(y), list(map(int, t)))]
)
def test_integers_are_read_by_their_size_as_in_a_file(make, unit, factor, name):
    series = read_series(*make(np.arange(50.0), SECONDS * factor))
    np.testing.assert_array_equal(series.timestamps_ns, SECONDS * 10**9)
    assert any(name in note for note in series.notes)
    overruled = read_series(np.arange(50.0), SECONDS * factor, unit="ns")
    np.testing.assert_array_equal(overruled.timestamps_ns, SECONDS * factor)


def test_integers_that_are_a_grid_or_nanoseconds_stay_what_they_are():
    for times in (np.arange(50) * 10**9, SECONDS * 10**9, np.arange(50), np.arange(1, 51) * 10**9):
        np.testing.assert_array_equal(read_series(np.arange(50.0), times).timestamps_ns, times)
    assert not read_series(pd.Series(np.arange(50.0))).has_times
    assert not read_series(pd.Series(np.arange(50.0), np.arange(1000, 1050))).has_times


def test_one_number_is_read_by_its_size_with_a_warning():
    with pytest.warns(InstantWarning, match="read as seconds since 1970"):
        assert timestamp_to_ns(1_700_000_123) == 1_700_000_123 * 10**9
    assert timestamp_to_ns(1_700_000_123, unit="ns") == 1_700_000_123
    assert timestamp_to_ns(5 * 10**9) == 5 * 10**9 and timestamp_to_ns(0) == 0


MASK = np.arange(40) % 5 == 0
MASKED = np.ma.masked_array(np.where(MASK, -9999.0, np.arange(40.0)), mask=MASK)


@pytest.mark.parametrize(
    "data",
    [
        MASKED,
        MASKED.astype(np.float32),
        np.ma.masked_array(np.arange(40), mask=MASK),
        pd.Series(pd.array([None if hole else k for k, hole in enumerate(MASK)], "Int64")),
        pd.Series([None if hole else float(k) for k, hole in enumerate(MASK)]),
        pd.Series(pd.array([pd.NA if hole else float(k) for k, hole in enumerate(MASK)], "Float64")),
    ],
    ids=["masked", "float32", "integers", "Int64", "None", "Float64"],
)
def test_what_is_masked_or_missing_is_nan(data):
    np.testing.assert_array_equal(read_series(data).values, np.where(MASK, np.nan, np.arange(40.0)))


def test_single_values_that_are_masked_or_missing_are_nan():
    values: list[Any] = [np.ma.masked, MASKED[0], np.ma.masked_array(3.0, mask=True), pd.NA]
    for value in values:
        assert np.isnan(ProcessState(value, 0).magnitude) and np.isnan(real_value(value))


DATED = pd.date_range("2026-01-01", periods=4, freq="D")


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"load": [1.0, 2, 3, 4], "when": DATED}),
        pd.DataFrame({"time": DATED.astype(str), "load": [1.0, 2, 3, 4]}),
        pd.DataFrame({"timestamp": DATED.as_unit("s").asi8, "load": [1.0, 2, 3, 4]}),
        pd.DataFrame({"load": [1.0, 2, 3, 4]}, index=DATED),
    ],
    ids=["datetimes", "text", "seconds", "index"],
)
def test_the_column_of_times_of_a_frame_is_found(frame):
    series = read_series(frame)
    np.testing.assert_array_equal(series.time_coordinate, DATED.to_numpy().astype("M8[ns]"))
    np.testing.assert_array_equal(series.values.ravel(), [1.0, 2.0, 3.0, 4.0])


def test_a_count_of_rows_is_no_time_whatever_its_name():
    series = read_series(pd.DataFrame({"time": [0, 1, 2], "load": [1.0, 2.0, 3.0]}))
    assert not series.has_times and series.assets == ("time", "load")
    holes = pd.DataFrame({"time": pd.array([1_700_000_000, None, 1_700_000_120], "Int64"), "load": [1.0, 2.0, 3.0]})
    with pytest.raises(DomainError, match="row 1"):
        read_series(holes)


def test_two_columns_of_times_are_refused_by_name():
    with pytest.raises(DomainError, match=r"columns 'a', 'b' all hold times.*set_index"):
        read_series(pd.DataFrame({"a": DATED, "b": DATED, "load": [1.0, 2, 3, 4]}))


def test_rows_in_no_order_are_sorted_and_few_late_ones_left_to_the_gate():
    times, values = pd.date_range("2026-01-01", periods=60, freq="h"), np.arange(60.0)
    order = np.random.default_rng(7300).permutation(60)
    for places in (order, np.arange(60)[::-1], np.r_[np.arange(30, 60), np.arange(30)]):
        series = read_series(pd.Series(values[places], times[places]))
        np.testing.assert_array_equal(series.values, values)
        assert any("order of their times" in note for note in series.notes)
    wrong_clock = times.to_numpy().copy()
    wrong_clock[40:42] = np.datetime64("1970-01-01"), np.datetime64("1970-01-02")
    series = read_series(pd.Series(values, wrong_clock))
    np.testing.assert_array_equal(series.values, values)
    assert not any("order" in note for note in series.notes)


def test_more_than_a_tenth_of_earlier_times_warns_once():
    """A clock that was set back by two days half-way, so that the same days come again."""
    days = pd.date_range("2026-01-01", periods=24, freq="12h")
    with pytest.warns(OrderWarning, match="23 of 48 ticks are earlier") as caught:
        ds = backtest(pd.Series(np.arange(48.0), days.append(days)), progress=False)
    told = [warning for warning in caught if warning.category is OrderWarning]  # and none of another thread
    assert len(told) == 1 and "refused for their order" in ds.attrs["notes"]


def test_ticks_of_one_instant_are_taken_as_they_come():
    twice = pd.Series(np.arange(48.0), pd.date_range("2026-01-01", periods=24, freq="h").repeat(2))
    ds = backtest(twice, progress=False)
    assert not ds["rejected"].any() and "order" not in ds.attrs["notes"]


TABLE = pl.DataFrame({"when": DATED.to_pydatetime().tolist(), "load": [1.0, None, 3.0, 4.0], "heat": [1, 2, None, 4]})


@pytest.mark.parametrize(
    "table",
    [TABLE, TABLE.lazy(), TABLE.to_arrow(), TABLE.to_pandas(), TABLE.to_pandas(use_pyarrow_extension_array=True)],
    ids=["polars", "lazy", "arrow", "pandas", "pandas over arrow"],
)
def test_tables_of_polars_and_arrow_are_those_of_pandas(table):
    series = read_series(table)
    np.testing.assert_array_equal(series.time_coordinate, DATED.to_numpy().astype("M8[ns]"))
    np.testing.assert_array_equal(series.values, [[1, 1], [np.nan, 2], [3, np.nan], [4, 4]])
    assert series.assets == ("load", "heat") and "column when was taken for the times" in series.notes


@pytest.mark.parametrize(
    "column", [TABLE["load"], TABLE["load"].to_arrow(), pa.chunked_array([[1.0, None], [3.0, 4.0]])]
)
def test_columns_of_polars_and_arrow_are_series(column):
    np.testing.assert_array_equal(read_series(column).values, [1.0, np.nan, 3.0, 4.0])


def test_the_zone_of_a_polars_column_is_heeded():
    zoned = TABLE.with_columns(pl.col("when").dt.replace_time_zone("Europe/Berlin"))
    assert read_series(zoned).time_coordinate[0] == np.datetime64("2025-12-31T23:00")
