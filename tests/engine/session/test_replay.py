"""A replay through a session is a backtest, to the bit, whatever is done to it on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from uspnb.config.schema import PredictorConfig
from uspnb.engine.session import Session
from uspnb.engine.status import Mark
from uspnb.errors import ConfigError, DomainError
from uspnb.model.programs import trace_count
from uspnb.model.state import PredictorState
from uspnb.predictor.backtest import backtest
from uspnb.runtime.digest import sha256_pytree

Make = Callable[..., Session]
LENGTH, JUMP = 700, 350


def series(length: int = LENGTH) -> np.ndarray:
    increments = np.random.default_rng(5).standard_normal(LENGTH)
    increments[JUMP:] *= 5.0
    values = np.cumsum(increments)
    values[150] = np.nan
    return values[:length]


@pytest.fixture(scope="module")
def reference() -> xr.Dataset:
    return backtest(series(), progress=False)


def state_of(mark: Mark) -> PredictorState:
    """The state that a mark of a session keeps."""
    (checkpoint,) = mark.checkpoints.values()
    return checkpoint.handle.state


def assert_equal(ours: xr.Dataset, theirs: xr.Dataset, *, without: tuple[str, ...] = ()) -> None:
    assert set(ours.variables) == set(theirs.variables)
    for name in theirs.variables:
        if name not in without:
            np.testing.assert_array_equal(ours[name].values, theirs[name].values, err_msg=str(name))
            assert ours[name].dtype == theirs[name].dtype, name


def test_a_run_to_the_end_is_a_backtest(make: Make, reference: xr.Dataset) -> None:
    session = make(series())
    session.run()
    status = session.wait()
    assert (status.phase, status.ticks, status.total) == ("finished", LENGTH, LENGTH)
    ours = session.history()
    assert_equal(ours, reference)
    attributes = {name: text for name, text in ours.attrs.items() if name != "events"}
    assert attributes == reference.attrs and json.loads(ours.attrs["events"]) == []
    assert status.alarms == int(reference["alarm"].sum()) > 0 and status.rejected == int(reference["rejected"].sum())


def test_steps_of_any_size_are_a_backtest(make: Make, reference: xr.Dataset) -> None:
    session = make(series())
    for n in (1, 2, 127, 128, 129, 1, 512):
        session.step(n)
        before = session.status.ticks
        assert session.wait().phase in ("paused", "finished")
        assert session.status.ticks == min(before + n, LENGTH)
    assert_equal(session.history(), reference)


def test_names_units_and_times_reach_the_result(make: Make) -> None:
    times = pd.date_range("2026-02-21 12:00", periods=200, freq="min", tz="UTC")
    data = pd.Series(series(200), times, name="depth")
    session = make(data)
    assert session.title == "depth" and session.has_times
    session.run()
    session.wait()
    theirs = backtest(data, progress=False)
    assert_equal(session.history(), theirs)
    assert session.history().attrs["title"] == theirs.attrs["title"]
    other = make(data, name="level", units="m")
    other.step()
    other.wait()
    assert other.history()["prediction"].attrs["units"] == "m" and "level" in other.history().attrs["title"]


def test_no_history_before_the_first_tick(make: Make) -> None:
    session = make(series())
    assert session.status.phase == "new" and session.wait().ticks == 0
    with pytest.raises(DomainError, match="has processed 0"):
        session.history()


@pytest.mark.parametrize("back", [0, 127, 513, 699])
def test_back_and_forward_again_is_a_backtest(make: Make, reference: xr.Dataset, back: int) -> None:
    session = make(series())
    session.run()
    session.wait()
    session.seek(back)
    status = session.wait()
    assert (status.phase, status.ticks, session.rows_ready, session.revision) == ("paused", back, back, 1)
    counted = reference.isel(time=slice(back))
    assert (status.alarms, status.rejected) == (int(counted["alarm"].sum()), int(counted["rejected"].sum()))
    assert len(session.alarms()) == status.alarms
    session.seek(LENGTH - 1)
    assert session.wait().ticks == LENGTH - 1
    session.step(5)
    assert session.wait().phase == "finished"
    assert_equal(session.history(), reference)


def test_the_state_after_going_back_is_the_state_that_was(make: Make) -> None:
    session = make(series())
    session.step(600)
    session.wait()
    before = session.mark("there")
    session.run()
    session.wait()
    session.seek(600)
    session.wait()
    again = session.mark("again")
    assert again.tick == before.tick == 600
    assert sha256_pytree(state_of(again)) == sha256_pytree(state_of(before))


def test_seeking_while_it_runs_leaves_it_running(make: Make) -> None:
    session = make(series(), speed=200.0)
    session.run()
    session.wait(until=5)
    session.seek(600)
    assert session.wait(until=610).phase == "running"
    session.seek(20)
    status = session.wait(until=30)
    assert status.phase == "running" and status.ticks < 600


def test_marks_and_restore(make: Make, reference: xr.Dataset) -> None:
    session = make(series())
    with pytest.raises(DomainError, match="no state to mark yet"):
        session.mark()
    session.step(200)
    session.wait()
    first, named = session.mark(), session.mark("before the change")
    assert (first.label, first.tick, named.tick) == ("mark 1", 200, 200)
    session.run()
    session.wait()
    session.restore("before the change")
    assert session.wait().ticks == 200
    session.run()
    session.wait()
    assert_equal(session.history(), reference)
    session.restore(first)
    session.seek(50)
    session.restore(named)  # it lies ahead now: the ticks between are computed
    assert session.wait().ticks == 200
    session.run()
    session.wait()
    assert_equal(session.history(), reference)
    assert [event["kind"] for event in session.events] == ["restore", "restore", "seek"]
    assert [mark.label for mark in session.marks] == ["mark 1", "before the change"]


def test_marks_that_cannot_be_restored(make: Make) -> None:
    session, other = make(series()), make(series())
    session.step(3)
    session.wait()
    mark = session.mark("mine")
    with pytest.raises(DomainError, match=r"no mark 'none of it'; there are: 'mine'"):
        session.restore("none of it")
    with pytest.raises(DomainError, match="belongs to another session"):
        other.restore(mark)
    with pytest.raises(DomainError, match="label = 5"):
        session.mark(5)
    for k in range(63):
        session.mark(f"{k}")
    session.mark("5")
    with pytest.raises(DomainError, match="64 marks are kept at the most"):
        session.mark("one more")


def test_settings_act_on_the_next_tick_without_a_recompilation(make: Make) -> None:
    session = make(series())
    session.step(400)
    session.wait()
    traces = trace_count("series")
    session.configure(confidence_level=0.5, cusum_k=0.7)
    session.run()
    session.wait()
    assert trace_count("series") == traces
    ours, plain = session.history(), backtest(series(), progress=False)
    wide, narrow = plain["upper"] - plain["lower"], ours["upper"] - ours["lower"]
    np.testing.assert_array_equal(ours["upper"][:400], plain["upper"][:400])
    assert float((narrow / wide)[410:].median()) < 0.7
    assert "confidence_level = 0.5" in ours.attrs["config"] and ours.attrs["confidence_level"] == 0.5
    (event,) = json.loads(ours.attrs["events"])
    assert (event["tick"], event["kind"]) == (400, "settings") and "cusum_k = 0.7" in event["text"]
    assert session.settings_code() == "uspnb.PredictorConfig(cusum_k=0.7, confidence_level=0.5)"


def test_going_back_over_a_change_of_settings_is_exact(make: Make) -> None:
    """The ticks between a checkpoint and the goal are computed anew under the settings that they had."""
    session = make(series())
    session.step(560)
    session.wait()
    session.configure(volatility_alpha=0.3)
    session.step(100)
    session.wait()
    before, ours = session.mark("before"), session.history()
    session.configure(volatility_alpha=0.05)
    session.run()
    session.wait()
    session.seek(660)  # the checkpoint is at 512 or 560
    session.wait()
    assert sha256_pytree(state_of(session.mark("after"))) == sha256_pytree(state_of(before))
    assert session.config.volatility_alpha == 0.05  # settings stay as they are now
    assert_equal(session.history(), ours)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"cusum_k": 9.0}, r"cusum_k = 9.0 is outside its range \[0.05, 2\]"),
        ({"cusum_k": "0.5"}, r"cusum_k = '0.5' has type str, expected float in \[0.05, 2\]"),
        ({"cusum_k": None}, "has type NoneType"),
        ({"cusum_k": np.array([0.1, 0.2])}, "has type ndarray"),
        ({"cusum_k": True}, "has type bool"),
        ({"cusum_k": np.nan}, "outside its range"),
        ({"grace_period_steps": 2.5}, "grace_period_steps"),
        ({"cusum_kk": 0.1}, "unknown configuration key 'cusum_kk'"),
        ({"koopman_top_k": 7}, r"koopman_top_k is compiled in .*Session\(source, uspnb.PredictorConfig\(koop"),
    ],
)
def test_settings_that_are_refused(make: Make, settings: dict[str, Any], error: str) -> None:
    session = make(series())
    with pytest.raises(ConfigError, match=error):
        session.configure(**settings)
    assert session.config == PredictorConfig() and session.events == []


def test_every_setting_is_described(make: Make) -> None:
    session = make(series(), PredictorConfig(grace_period_steps=7))
    settings = {setting.name: setting for setting in session.settings}
    grace, slack = settings["grace_period_steps"], settings["cusum_k"]
    assert (grace.value, grace.default, grace.integer, grace.step) == (7, 20, True, 1)
    assert (slack.low, slack.high, slack.unit, slack.integer) == (0.05, 2.0, "scale", False)
    assert settings["sinkhorn_epsilon_0"].log and not slack.log
    assert "koopman_top_k" not in settings
    session.configure(grace_period_steps=9.0)  # a slider's whole number
    assert session.config.grace_period_steps == 9 and isinstance(session.config.grace_period_steps, int)
    json.dumps([setting.as_dict() for setting in session.settings])


def test_alarms_as_a_table(make: Make, reference: xr.Dataset) -> None:
    session = make(series())
    assert list(session.alarms().columns) == ["tick", "time", "chart", "onset_tick", "onset_time", "observation"]
    session.run()
    session.wait()
    table = session.alarms()
    fired = np.flatnonzero(reference["alarm"])
    np.testing.assert_array_equal(table["tick"], fired)
    np.testing.assert_array_equal(table["onset_tick"], reference["change_onset"][fired])
    np.testing.assert_array_equal(table["observation"], reference["observation"][fired])
    assert set(table["chart"]) <= {"mean", "scale", "dependence", "level_release"}
    times = make(pd.Series(series(), pd.date_range("2026-02-21", periods=LENGTH, freq="s", tz="UTC")))
    times.run()
    times.wait()
    table = times.alarms()
    np.testing.assert_array_equal(table["time"], times.history()["time"][fired])
    np.testing.assert_array_equal(table["onset_time"], times.history()["time"][table["onset_tick"].to_numpy()])


def test_another_source_goes_on_with_the_state(make: Make) -> None:
    session = make(series(300))
    session.run()
    session.wait()
    session.attach(series()[300:])
    assert session.wait().phase == "paused"
    session.run()
    status = session.wait()
    assert (status.phase, status.ticks, status.total) == ("finished", LENGTH, LENGTH)
    ours = session.history()
    assert int(ours["rejected"].sum()) == 1 and not ours["out_of_order"].any()  # the NaN; the clock starts anew
    np.testing.assert_array_equal(ours["prediction"][:301], backtest(series(301), progress=False)["prediction"])
    np.testing.assert_array_equal(ours["time"], np.arange(LENGTH))
    with pytest.raises(DomainError, match="from 300 to 700"):
        session.seek(100)
    session.seek(300)
    session.run()
    session.wait()
    assert_equal(session.history(), ours)
