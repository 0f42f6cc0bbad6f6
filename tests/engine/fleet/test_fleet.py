"""The fleet: the numbers of `backtest` for every column, the thread and its commands, and what wrong input does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import uspnb
from uspnb.data import processes
from uspnb.engine.fleet import Fleet
from uspnb.engine.fleet.fleet import RING
from uspnb.errors import DomainError

TICKS, SECOND = 240, 1_000_000_000
# One compiled width for the whole file: fleets of up to four assets share a program.
NAMES = ("walk", "shift", "cycle")


def table(ticks: int = TICKS) -> pd.DataFrame:
    columns = (
        processes.random_walk(TICKS, seed=3).values,
        processes.mean_shift(TICKS, seed=1, at=160, size=8.0).values,
        processes.sine_in_noise(TICKS, seed=2).values,
    )
    index = pd.date_range("2026-01-01", periods=TICKS, freq="min", tz="UTC")
    return pd.DataFrame(dict(zip(NAMES, columns, strict=True)), index=index).iloc[:ticks]


@pytest.fixture(scope="module")
def replayed() -> Iterator[Fleet]:
    with Fleet(table()) as fleet:
        fleet.run()
        fleet.wait()
        yield fleet


@pytest.mark.parametrize("name", NAMES)
def test_every_column_has_the_numbers_of_its_own_backtest(replayed: Fleet, name: str) -> None:
    alone = uspnb.backtest(table()[name])
    window = replayed.window(name)
    assert window["observation"].values.tolist() == alone["observation"].values.tolist()
    assert (window["time"].values == alone["time"].values).all()
    # The batch program rounds otherwise than the one for a series; errors of rounding grow a little with the ticks.
    for variable in ("prediction", "lower", "upper", "kernel_prediction", "weight", "chart_statistic"):
        np.testing.assert_allclose(window[variable], alone[variable], rtol=1e-6, atol=1e-7, err_msg=variable)
    for variable in ("alarm", "alarm_chart", "change_onset", "rejected", "operating_mode", "emergency"):
        np.testing.assert_array_equal(window[variable], alone[variable], err_msg=variable)
    assert float(window["next_prediction"]) == pytest.approx(float(alone["next_prediction"]), rel=1e-6)


def test_the_table_holds_the_scores_that_the_run_had(replayed: Fleet) -> None:
    scores = replayed.table()
    assert list(scores.index) == list(NAMES)
    for name in NAMES:
        window, y = replayed.window(name), table()[name].to_numpy()
        error = (window["observation"] - window["prediction"]).values[1:]
        naive = np.diff(y)
        inside = ((window["lower"] <= window["observation"]) & (window["observation"] <= window["upper"])).values[1:]
        row: Any = scores.loc[name]
        assert row["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-12)
        assert row["rmse_last_value"] == pytest.approx(np.sqrt(np.mean(naive**2)), rel=1e-12)
        assert row["skill"] == pytest.approx(1 - np.sqrt(np.mean(error**2) / np.mean(naive**2)), rel=1e-9)
        assert row["coverage"] == pytest.approx(inside.mean())
        assert row["value"] == y[-1] and row["forecast"] == float(window["next_prediction"])
        assert row["leader"] == str(window["kernel"].values[window["weight"].values[-1].argmax()])


def test_alarms_are_those_of_the_windows(replayed: Fleet) -> None:
    log = replayed.alarms()
    for name in NAMES:
        window = replayed.window(name)
        ticks = np.flatnonzero(window["alarm"].values)
        mine = log[log["asset"] == name]
        assert mine["tick"].tolist() == ticks.tolist()
        assert mine["onset_tick"].tolist() == window["change_onset"].values[ticks].tolist()
        last: Any = replayed.table().loc[name]
        assert last["alarms"] == len(ticks)
        assert last["last_alarm_tick"] == (ticks[-1] if len(ticks) else pytest.approx(np.nan, nan_ok=True))
    shifted = log["tick"].to_numpy()[(log["asset"] == "shift").to_numpy()]
    assert ((shifted >= 160) & (shifted < 200)).any()  # eight spreads are found at once


def test_a_hole_in_one_column_leaves_the_others_as_they_were(replayed: Fleet) -> None:
    holed = table()
    holed.iloc[40:45, 1] = np.nan
    with Fleet(holed) as fleet:
        fleet.run()
        fleet.wait()
        for name in ("walk", "cycle"):
            assert fleet.window(name).identical(replayed.window(name))
        gap = fleet.window("shift")
        assert np.flatnonzero(gap["rejected"].values).tolist() == [40, 41, 42, 43, 44]
        assert fleet.table()["rejected"].tolist() == [0, 5, 0]


def test_the_ring_forgets_and_the_scores_do_not(replayed: Fleet) -> None:
    with Fleet(table(), ring=16) as fleet:
        fleet.run()
        fleet.wait()
        window = fleet.window("walk")
        assert window["tick"].values.tolist() == list(range(TICKS - 16, TICKS))
        np.testing.assert_array_equal(window["prediction"], replayed.window("walk")["prediction"][-16:])
        pd.testing.assert_frame_equal(fleet.table(), replayed.table())


def test_rows_that_are_fed_give_what_the_table_gives(replayed: Fleet) -> None:
    with Fleet(assets=NAMES, clock=uspnb.replay_clock) as fleet:
        for when, row in table().iterrows():
            assert fleet.feed(row.to_dict(), when) == ()
        fleet.run()
        fleet.wait(until=TICKS)
        assert (
            fleet.window("cycle")["prediction"].values.tolist()[1:]
            == (replayed.window("cycle")["prediction"].values.tolist()[1:])
        )
        assert fleet.status.phase == "running"  # more may come


def test_wrong_cells_are_missing_ticks_of_their_asset_and_are_told() -> None:
    with Fleet(assets=NAMES, autostart=True) as fleet:
        assert fleet.feed({"walk": 1.0, "shift": 2.0, "cycle": 3.0}) == ()
        assert fleet.feed({"walk": None, "shift": "2.0", "cycle": 3.5}) == ("walk", "shift")
        assert fleet.feed({"cycle": 4.0}) == ()
        fleet.wait(until=3)
        scores = fleet.table()
        assert scores["faults"].tolist() == [1, 1, 0]
        assert scores["rejected"].tolist() == [2, 2, 0]
        assert scores.loc["cycle", "value"] == 4.0
        texts = [one["text"] for one in fleet.events if one["kind"] == "cell"]
        assert len(texts) == 2 and texts[0].startswith("walk: None") and texts[1].startswith("shift: '2.0'")


def test_what_fits_no_asset_is_refused_at_once_and_stops_nothing() -> None:
    with Fleet(assets=2, autostart=True) as fleet:
        for row in ({"x": 1.0}, [1.0], [1.0, 2.0, 3.0], np.zeros((2, 2)), "ab", None):
            with pytest.raises(DomainError):
                fleet.feed(row)
        with pytest.raises(DomainError, match="naive"):
            fleet.feed([1.0, 2.0], pd.Timestamp("2026-01-01"))
        fleet.feed([1.0, 2.0])
        assert fleet.wait(until=1).ticks == 1


def test_backward_times_are_rejected_ticks_and_the_run_goes_on() -> None:
    with Fleet(assets=2, clock=uspnb.replay_clock, autostart=True) as fleet:
        for stamp in (1, 2, 3, 2, 4):
            fleet.feed([float(stamp), 1.0 / stamp], stamp * SECOND)
        fleet.wait(until=5)
        assert fleet.window(0)["out_of_order"].values.tolist() == [False, False, False, True, False]
        assert fleet.table()["rejected"].tolist() == [1, 1]


def test_a_ragged_row_of_an_iterator_pauses_with_a_sentence_and_run_goes_on() -> None:
    rows = ([1.0, 2.0], [1.1, 2.1], [1.2], [1.3, None], [1.4, 2.4])
    with Fleet(iter(rows), assets=2, autostart=True) as fleet:
        status = fleet.wait(phase="paused")
        assert status.ticks == 2 and "1 values for 2 assets" in status.message
        fleet.run()
        assert fleet.wait(phase="finished").ticks == 4
        assert fleet.table()["faults"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (np.empty((0, 3)), "shape \\(0, 3\\)"),
        (np.empty((5, 0)), "shape \\(5, 0\\)"),
        ([[1.0, 2.0], [3.0]], "do not form an array"),
        ([["a", "b"], ["c", "d"]], "text"),
        (np.zeros((4, 2, 2)), "shape \\(4, 2, 2\\)"),
        ("table.csv", "not a series"),
        (iter([[1.0]]), "assets is missing"),
        (None, "assets is missing"),
    ],
)
def test_sources_that_are_no_table_are_refused(source: object, reason: str) -> None:
    with pytest.raises(DomainError, match=reason):
        Fleet(source)


@pytest.mark.parametrize(
    "settings",
    [
        {"ring": 1},
        {"ring": 2.5},
        {"workers": 0},
        {"workers": True},
        {"speed": 0.0},
        {"speed": "fast"},
        {"speed": float("nan")},
        {"assets": ("a", "b")},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(DomainError):
        Fleet(np.zeros((4, 3)), **settings)


def test_one_asset_is_a_fleet_too(replayed: Fleet) -> None:
    with Fleet(table()[["walk"]], ring=np.int64(RING), workers=np.int32(1), speed=np.int64(10_000)) as fleet:
        fleet.run()
        assert fleet.wait().phase == "finished"
        assert fleet.window("walk").identical(replayed.window("walk"))


def test_extreme_values_stay_finite_where_they_are_shown() -> None:
    values = np.array([[1e300, 1e-300, 5.0]] * 12) * np.linspace(1.0, 2.0, 12)[:, None]
    with Fleet(values) as fleet:
        fleet.run()
        fleet.wait()
        scores = fleet.table()
        assert np.isfinite(scores[["forecast", "rmse", "rmse_last_value", "skill"]].to_numpy()).all()


def test_unknown_assets_are_named(replayed: Fleet) -> None:
    for ask in (replayed.window, replayed.open, replayed.place_of):
        with pytest.raises(DomainError, match="no asset 'gold'"):
            ask("gold")
