"""A series known from end to end: replayed, sought, refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from uspnb.data.series import read_series
from uspnb.data.times import GRID_NOTE
from uspnb.errors import DomainError
from uspnb.sources import ReplaySource

INDEX = pd.date_range("2026-02-21T09:30", periods=4, freq="h", tz="UTC")
SERIES = pd.Series([1.0, np.nan, 3.0, 4.0], index=INDEX, name="load")


@pytest.mark.parametrize(
    "data",
    [
        SERIES,
        read_series(SERIES),
        pd.DataFrame({"load": SERIES}),
        xr.DataArray(SERIES.to_numpy(), dims="time", coords={"time": INDEX.tz_localize(None).to_numpy()}),
    ],
    ids=["pandas", "series", "table of one column", "xarray"],
)
def test_values_and_times_are_those_of_read_series(data):
    source = ReplaySource(data)
    ticks = source.take(10)
    np.testing.assert_array_equal(ticks.values, SERIES.to_numpy())
    np.testing.assert_array_equal(ticks.stamps_ns, INDEX.as_unit("ns").asi8)
    assert not source.time_is_grid and not source.live and source.length == 4 and source.exhausted


def test_a_list_lies_on_a_grid():
    source = ReplaySource([1, 2, 3], name="n", units="m")
    assert source.time_is_grid and source.notes == (GRID_NOTE,) and (source.name, source.units) == ("n", "m")
    assert source.take(2).stamps_ns.tolist() == [0, 10**9]


def test_seek_goes_to_any_tick_and_to_the_end():
    source = ReplaySource(np.arange(10.0))
    source.take(7)
    source.seek(2)
    assert source.waiting == 8 and source.take(2).values.tolist() == [2.0, 3.0]
    source.seek(10)
    assert source.exhausted
    source.seek(np.int64(0))
    assert source.take(20).values.tolist() == list(np.arange(10.0))


@pytest.mark.parametrize("k", [-1, 11, 2.0, True, None, "3"])
def test_seek_beyond_the_series_is_refused(k):
    source = ReplaySource(np.arange(10.0))
    with pytest.raises((DomainError, TypeError), match=r"from 0 to 10") as raised:
        source.seek(k)
    assert raised.type is DomainError and source.waiting == 10


def test_proxies_go_with_their_ticks():
    source = ReplaySource([1.0, 2.0, 3.0], proxies=[0.1, np.nan, 0.3])
    source.seek(1)
    np.testing.assert_array_equal(source.take(5).proxies, [np.nan, 0.3])


@pytest.mark.parametrize(
    ("proxies", "reason"),
    [([1.0], r"shape \(1,\)"), ([1.0, 0.0, 1.0], "proxy 1 is"), ([1.0, 1.0, np.inf], "proxy 2"), (["a"] * 3, "dtype")],
)
def test_bad_proxies_are_refused(proxies, reason):
    with pytest.raises(DomainError, match=reason):
        ReplaySource([1.0, 2.0, 3.0], proxies=proxies)


def test_several_series_are_refused_by_name():
    with pytest.raises(DomainError, match=r"hold 2 series \(a, b\); choose one"):
        ReplaySource(pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}))


def test_neither_who_takes_nor_who_gave_the_array_changes_the_series():
    array = np.array([1.0, 2.0])
    source = ReplaySource(array)
    array[0] = 9.0
    ticks = source.take(2)
    with pytest.raises(ValueError, match="read-only"):
        ticks.values[1] = 9.0
    source.seek(0)
    assert source.take(2).values.tolist() == [1.0, 2.0]


def test_a_closed_replay_does_not_start():
    source = ReplaySource([1.0, 2.0])
    source.close()
    source.close()
    with pytest.raises(DomainError, match="closed"):
        source.start(lambda: None)
