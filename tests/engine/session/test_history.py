"""What is written is what was computed: archives of any length, netCDF, a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

from uspnb.engine import history
from uspnb.engine.session import Session
from uspnb.errors import DomainError
from uspnb.predictor.results import load

Make = Callable[..., Session]
TIMES = pd.date_range("2026-02-21", periods=800, freq="s", tz="UTC")
SPREAD = np.r_[np.ones(400), 6 * np.ones(400)]
SERIES = pd.Series(np.cumsum(SPREAD * np.random.default_rng(5).standard_normal(800)), TIMES)


@pytest.mark.parametrize("name", ["run.nc", "run.zarr"])
@pytest.mark.parametrize("times", [True, False])
def test_an_archive_is_the_history(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, times: bool
) -> None:
    monkeypatch.setattr(history, "TICKS_PER_WINDOW", 300)  # several windows, the last one not full
    session = make(SERIES if times else SERIES.to_numpy(), ring=256)
    session.run()
    session.wait()
    target = session.export(tmp_path / name)
    stored, ours = load(target), session.history()
    assert set(stored.variables) == set(ours.variables)
    for variable in ours.variables:
        np.testing.assert_array_equal(stored[variable].values, ours[variable].values, err_msg=str(variable))
        assert stored[variable].dtype == ours[variable].dtype, variable
    assert stored.attrs == ours.attrs
    assert bool(ours["alarm"].any()) and not list(tmp_path.glob(".*partial"))
    assert session.export(str(target)) == target  # and again, over itself


def test_a_page(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_REPORT_TICKS", 300)
    session = make(SERIES, name="tide")
    session.run()
    session.wait()
    page = session.export(tmp_path / "page.html").read_text()
    assert "tide: the last 300 of 800 ticks" in page


def test_what_cannot_be_written(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = make(SERIES)
    with pytest.raises(DomainError, match="no tick yet"):
        session.export(tmp_path / "run.nc")
    session.step(3)
    session.wait()
    for name in ("run.csv", "away/run.nc", "away/p.html"):
        with pytest.raises(DomainError, match=r"end it in \.nc|does not exist"):
            session.export(tmp_path / name)
    monkeypatch.setattr(history, "MOST_NETCDF_TICKS", 2)
    with pytest.raises(DomainError, match=r"3 ticks are more than the 2 that are written to netCDF.*\.zarr"):
        session.export(tmp_path / "run.nc")


def test_a_named_archive_holds_every_row_after_the_close(make: Make, tmp_path: Path) -> None:
    session = make(SERIES, ring=256, archive=tmp_path / "rows", name="tide")
    session.run()
    session.wait()
    before = session.history()
    session.close()
    np.testing.assert_array_equal(session.history()["weight"], before["weight"])
    group = zarr.open_group(str(tmp_path / "rows"), mode="r")
    rows = np.asarray(group["rows"][:])  # type: ignore[index]
    assert rows.shape == (800, session._only.timeline.computation.layout.width)
    assert group.attrs["name"] == "tide" and group.attrs["events"] == []
    columns: list[str] = group.attrs["columns"]  # type: ignore[assignment]
    assert columns[:5] == ["next_prediction", "next_lower", "next_upper", "next_mode", "observation"]
    np.testing.assert_array_equal(rows[:, 4], SERIES)
    with pytest.raises(DomainError, match="is not empty; a session overwrites nothing"):
        make(SERIES, archive=tmp_path / "rows")


def test_a_temporary_archive_goes_with_the_session(make: Make) -> None:
    session = make(SERIES, ring=256)
    session.run()
    session.wait()
    folder = session._only.timeline.recording._archive.folder  # type: ignore[attr-defined]
    assert folder.is_dir()
    session.close()
    assert not folder.exists()
    assert session.history(700).sizes["time"] == 100  # what is still in memory
    with pytest.raises(DomainError, match="temporary archive that was removed"):
        session.history()
