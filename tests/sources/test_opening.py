"""Whatever a user has ticks in, opened as the source of its kind."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from uspnb import PredictorConfig, Session
from uspnb.data.samples import demo_series
from uspnb.data.series import read_series
from uspnb.engine.service.command import open_sources
from uspnb.errors import DomainError
from uspnb.sources import (
    CsvTailSource,
    FeedSource,
    IteratorSource,
    LineSource,
    ReplaySource,
    open_source,
    register_source,
)

from .user_source import open_numbers

RUN = xr.Dataset(
    {"observation": ("time", [1.0, 2.0, 3.0], {"units": "degC"}), "prediction": ("time", [np.nan, 1.0, 2.0])},
    {"time": pd.date_range("2026-02-21", periods=3, freq="h")},
)
TABLE = "time,load\n2026-02-21T09:30:00Z,1\n2026-02-21T10:00:00Z,2\n"


class Numbers:
    """An iterable that is no iterator."""

    def __iter__(self):
        return iter([1.0, 2.0])


async def _numbers():
    yield 1.0


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        (None, FeedSource),
        ([1.0, 2.0], ReplaySource),
        ((1.0, 2.0), ReplaySource),
        (np.arange(4), ReplaySource),
        (pd.Series([1.0, 2.0]), ReplaySource),
        (RUN["observation"], ReplaySource),
        (RUN, ReplaySource),
        (RUN[["prediction"]], ReplaySource),
        (read_series([1.0, 2.0]), ReplaySource),
        (iter([1.0]), IteratorSource),
        (Numbers(), IteratorSource),
        (range(3), IteratorSource),
        (_numbers(), IteratorSource),
        ("ws://127.0.0.1:1/", LineSource),
        ("HTTPS://example.org/lines", LineSource),
    ],
    ids=lambda what: type(what).__name__,
)
def test_what_is_opened_as_what(what, kind):
    assert type(open_source(what)) is kind


def test_an_opened_source_stays_itself():
    source = FeedSource()
    assert open_source(source) is source
    with pytest.raises(DomainError, match="takes no options"):
        open_source(source, name="x")


def test_csv_files_are_replayed_or_followed(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(TABLE)
    replay, tail = open_source(str(path)), open_source(path, follow=True, poll_s=0.05)
    assert type(replay) is ReplaySource and type(tail) is CsvTailSource
    assert replay.take(9).values.tolist() == [1.0, 2.0] and replay.name == tail.name == "load"
    with pytest.raises(DomainError, match="no option 'poll_s'; its options are time, value"):
        open_source(path, poll_s=1.0)
    with pytest.raises(DomainError, match="most_bytes = 10"):
        open_source(path, most_bytes=10)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_saved_run_is_replayed(tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    if suffix == ".nc":
        RUN.to_netcdf(path, engine="h5netcdf")
    else:
        RUN.to_zarr(path, zarr_format=3, consolidated=False)
    source = open_source(path, name="tank")
    assert source.take(9).values.tolist() == [1.0, 2.0, 3.0] and (source.name, source.units) == ("tank", "degC")
    assert not source.time_is_grid


def test_one_asset_of_several_is_named():
    many = xr.Dataset({"observation": (("time", "asset"), [[1.0, 5.0], [2.0, 6.0]])}, {"asset": ["a", "b"]})
    assert open_source(many, asset="b").take(9).values.tolist() == [5.0, 6.0]
    with pytest.raises(DomainError, match="the assets a, b; name one with asset="):
        open_source(many)
    with pytest.raises(DomainError, match="no asset 'c', but"):
        open_source(many, asset="c")
    with pytest.raises(DomainError, match="leave asset out"):
        open_source(RUN, asset="a")


def test_the_demonstration():
    source = open_source("sea", ticks=50)
    np.testing.assert_array_equal(source.take(99).values, demo_series(50).values)
    assert source.units == "degC" and source.length == 50


def test_a_users_scheme_is_opened_by_whoever_opens_sources(tmp_path):
    register_source("numbers", open_numbers)
    path = tmp_path / "tank.txt"
    path.write_text("".join(f"{k}.5\n" for k in range(12)))
    assert open_source(f"NUMBERS://{path}", name="mine").name == "mine"
    with pytest.raises(DomainError, match="this source has no option 'speed'; its options are stay, capacity, name"):
        open_source(f"numbers://{path}", speed=3)
    with Session(f"numbers://{path}", config=PredictorConfig(), source_options={"name": "tank"}) as session:
        session.run()
        assert session.wait(12)
        np.testing.assert_array_equal(session.history()["observation"], np.arange(12) + 0.5)
    assert list(open_sources([f"numbers://{path}", f"other=numbers://{path}"])) == ["tank", "other"]
    assert sum(bool(line.strip()) for line in Path(inspect.getfile(open_numbers)).read_text().splitlines()) < 40


def test_an_installed_package_brings_its_scheme(tmp_path):
    # As pip would install it: a module, and its entry point beside it.
    (tmp_path / "walks.py").write_text(
        "from uspnb.sources import open_source\ndef opened(address):\n    return open_source([1.0, 2.0])\n"
    )
    about = tmp_path / "walks-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: walks\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[uspnb.sources]\nwalk = walks:opened\n")
    code = (
        "from uspnb.sources import open_source; print(open_source('walk://a').take(9).values.tolist());"
        "import uspnb; uspnb.errors\n"
        "try: open_source('ftp://a')\n"
        "except uspnb.errors.DomainError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.splitlines()[0] == "[1.0, 2.0]"
    assert "use one of ws, wss, http, https, walk, or register" in done.stdout


def test_an_opener_that_gives_no_source_is_told_of():
    register_source("nothing", lambda address: address)  # type: ignore[arg-type, return-value]
    with pytest.raises(DomainError, match="what opens nothing: gave a str, which is no source"):
        open_source("nothing://a")
    with pytest.raises(DomainError, match="'https' is one of the package's own"):
        register_source("https", open_numbers)


REFUSED = {
    "missing archive": ("nothing.nc", {}, "there is no archive"),
    "missing csv": ("nothing.csv", {}, "there is no file"),
    "suffix": ("series.xlsx", {}, "not a source of ticks; give an array"),
    "word": ("ocean", {}, "not a source of ticks"),
    "scheme": ("ftp://example.org", {}, "begins with ftp://"),
    "followed archive": ("run.nc", {"follow": True}, "cannot be followed"),
    "dict": ({"a": 1}, {}, "a dict is not a source"),
    "number": (3, {}, "a int is not a source"),
    "bytes": (b"1", {}, "a bytes is not a source"),
    "object": (object(), {}, "a object is not a source"),
    "function": (_numbers, {}, "'_numbers' was not called"),
    "class": (Numbers, {}, "'Numbers' was not called"),
    "odd option": (None, {"speed": 3}, "no option 'speed'; its options are capacity, name"),
    "several variables": (RUN.rename(observation="y"), {}, "variables y, prediction"),
    "text": (["a", "b"], {}, "text"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_no_ticks_is_refused(name):
    what, options, reason = REFUSED[name]
    with pytest.raises(DomainError, match=reason):
        open_source(what, **options)


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "run.nc"
    path.write_text("no netCDF")
    with pytest.raises(DomainError, match="cannot be read"):
        open_source(path)


def test_a_live_loop_loads_neither_pandas_nor_a_network_library():
    code = (
        "import sys; from uspnb.sources import open_source; open_source(); open_source(iter([1.0]));"
        "print(sorted({'pandas', 'xarray', 'requests', 'websockets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
