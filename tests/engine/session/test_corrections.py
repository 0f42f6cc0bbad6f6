"""`Session.correct`: a value that comes late; the run that follows is that of one that had it from the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import uspnb
from uspnb.data.processes import autoregression
from uspnb.engine.timeline import LIVE_CHECKPOINTS
from uspnb.errors import DomainError

TICKS = 700
SECOND = 1_000_000_000
VALUES = autoregression(TICKS, 2).values
TIMES = (np.datetime64("2026-03-01T00:00", "ns") + np.arange(TICKS) * np.timedelta64(1, "m")).astype("datetime64[ns]")


def holed(*places: int) -> np.ndarray:
    values = VALUES.copy()
    values[list(places)] = np.nan
    return values


def assert_equal_runs(ours: xr.Dataset, theirs: xr.Dataset) -> None:
    """To the bit, in every variable."""
    assert set(ours.data_vars) == set(theirs.data_vars) and ours.sizes == theirs.sizes
    for name in theirs.variables:
        np.testing.assert_array_equal(ours[name].values, theirs[name].values, err_msg=str(name))


def replayed(make: Any, values: np.ndarray, ticks: int = TICKS, **rest: Any) -> Any:
    import pandas as pd

    session = make(pd.Series(values, index=pd.DatetimeIndex(TIMES, tz="UTC")), **rest)
    session.seek(ticks)
    session.wait(until=ticks)
    return session


def fed(make: Any, values: np.ndarray, **rest: Any) -> Any:
    session = make(autostart=True, **rest)
    for value, time in zip(values, TIMES, strict=True):
        session.feed(value, time, 1.0 + abs(float(time.astype(np.int64) // SECOND % 7)))
    session.wait(until=len(values))
    session.pause()
    session.wait()
    return session


@pytest.mark.parametrize("run", [replayed, fed])
@pytest.mark.parametrize("tick", [0, 3, 100, 511, 512, 650, TICKS - 1])
def test_a_corrected_run_is_one_that_had_the_value_from_the_start(make: Any, run: Any, tick: int) -> None:
    session, right = run(make, holed(tick)), run(make, VALUES)
    wrong = session.history()
    session.correct(TIMES[tick], VALUES[tick])
    session.wait()
    assert_equal_runs(session.history(), right.history())
    assert bool(wrong["rejected"][tick]) and not bool(session.history()["rejected"][tick])
    assert session.status.rejected == 0 and session.status.alarms == right.status.alarms
    assert session.alarms().equals(right.alarms())
    assert session.events[-1]["kind"] == "correction"


def test_it_goes_on_from_the_corrected_state_and_back_and_forth(make: Any) -> None:
    """Several corrections, an outlier and a plausible value among them; then on, back before them, and on again."""
    values = VALUES.copy()
    values[[200, 210, 400]] = np.nan, 1e9, VALUES[400] + 0.5
    session, right = replayed(make, values, 600), replayed(make, VALUES, TICKS)
    for tick in (400, 200, 210):
        session.correct(TIMES[tick], VALUES[tick])
    session.seek(TICKS)
    session.wait(until=TICKS)
    assert_equal_runs(session.history(), right.history())
    session.seek(150)
    session.seek(TICKS)
    session.wait(until=TICKS)
    assert_equal_runs(session.history(), right.history())


def test_it_works_while_ticks_come(make: Any) -> None:
    session, right = make(autostart=True), fed(make, VALUES)
    values = holed(50, 300)
    for k, (value, time) in enumerate(zip(values, TIMES, strict=True)):
        session.feed(value, time, 1.0 + abs(float(time.astype(np.int64) // SECOND % 7)))
        if k in (60, 310, 500):
            session.wait(until=k)
            session.correct(TIMES[{60: 50, 310: 300, 500: 50}[k]], VALUES[{60: 50, 310: 300, 500: 50}[k]])
    session.wait(until=TICKS)
    assert session.status.phase == "running"
    session.pause()
    session.wait()
    assert_equal_runs(session.history(), right.history())


def test_settings_that_changed_meanwhile_are_those_that_the_ticks_had(make: Any) -> None:
    def run(values: np.ndarray) -> Any:
        session = replayed(make, values, 300)
        session.configure(cusum_h=3.0, cusum_target_arl=0.0, score_forgetting=0.9)
        session.seek(TICKS)
        session.wait(until=TICKS)
        return session

    session, right = run(holed(100)), run(VALUES)
    session.correct(TIMES[100], VALUES[100])
    session.wait()
    assert_equal_runs(session.history(), right.history())


def test_rows_on_disk_are_replaced_too(make: Any, tmp_path: Path) -> None:
    session = replayed(make, holed(20), ring=256, archive=tmp_path / "archive")
    right = replayed(make, VALUES)
    session.correct(TIMES[20], VALUES[20])
    session.wait()
    assert session.tracks[0].timeline.recording.first > 20
    assert_equal_runs(session.history(), right.history())


def test_a_series_without_times_is_corrected_by_the_number_of_the_tick(make: Any) -> None:
    session = make(holed(30)[:60])
    session.step(60)
    session.wait(until=60)
    session.correct(30, VALUES[30])
    session.wait()
    assert not session.history()["rejected"].any() and session.history()["observation"][30] == VALUES[30]


def test_marks_of_the_run_that_was_wrong_are_gone_earlier_ones_stay(make: Any) -> None:
    session = replayed(make, holed(300), 200)
    session.mark("before")
    session.seek(400)
    session.wait(until=400)
    session.mark("after")
    session.correct(TIMES[300], VALUES[300])
    session.wait()
    assert [mark.label for mark in session.marks] == ["before"]


def test_a_live_series_keeps_so_many_states_and_says_what_is_too_old(make: Any) -> None:
    """With a ring of 256 ticks, states every 32; the oldest that its ticks reach is the bound."""
    session = fed(make, holed(100, 600), ring=256)
    timeline = session.tracks[0].timeline
    assert len(timeline.checkpoints) <= LIVE_CHECKPOINTS + 1
    oldest = timeline.checkpoints.first
    assert TICKS - 256 <= oldest <= TICKS - 256 + 2 * 256 // LIVE_CHECKPOINTS + 128
    with pytest.raises(DomainError, match=rf"tick 100, older than the oldest state that is kept, of tick {oldest}"):
        session.correct(TIMES[100], 1.0)
    session.correct(TIMES[600], VALUES[600])
    session.wait()
    assert_equal_runs(session.history(), fed(make, holed(100), ring=256).history())


@pytest.mark.parametrize("value", [np.nan, np.inf, "1", None, True])
def test_a_correction_is_a_finite_number(make: Any, value: Any) -> None:
    session = replayed(make, VALUES, 50)
    with pytest.raises(DomainError, match="value = "):
        session.correct(TIMES[20], value)


def test_a_time_of_no_tick_is_refused(make: Any) -> None:
    session = replayed(make, VALUES, 50)
    for time in (TIMES[20] + np.timedelta64(1, "s"), TIMES[60]):
        with pytest.raises(DomainError, match="is that of no tick; there are 50"):
            session.correct(time, 1.0)
    with pytest.raises(DomainError):
        session.correct("not a time", 1.0)
    grid = make(VALUES[:50])
    with pytest.raises(DomainError, match="is that of no tick; there are 0"):
        grid.correct(20, 1.0)


def test_a_fleet_takes_no_corrections() -> None:
    fleet = uspnb.Fleet(np.stack([VALUES, VALUES], axis=1)[:50])
    with fleet, pytest.raises(DomainError, match=r"a fleet takes no corrections: .*Session"):
        fleet.correct(20, 1.0)
