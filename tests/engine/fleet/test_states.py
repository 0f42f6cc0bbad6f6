"""States of a fleet outside its process: snapshots and stores, and what a second fleet makes of them, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from waiting import PATIENCE_S
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.engine.fleet import Fleet
from uspnb.errors import DomainError
from uspnb.persistence.stores import open_store

TICKS, NAMES = 60, ("a", "b", "c")


def table() -> pd.DataFrame:
    values = random_walk((TICKS, len(NAMES)), 7)
    return pd.DataFrame(values, pd.date_range("2026-01-01", periods=TICKS, freq="min", tz="UTC"), list(NAMES))


def stepped(fleet: Fleet, ticks: int) -> Fleet:
    fleet.step(ticks)
    fleet.wait(timeout=PATIENCE_S)
    return fleet


def finished(fleet: Fleet) -> Fleet:
    fleet.run()
    assert fleet.wait(timeout=PATIENCE_S).phase == "finished"
    return fleet


def rows(fleet: Fleet) -> np.ndarray:
    """The forecasts of the last tick of every asset."""
    return fleet.summaries()[:, :8]


@pytest.fixture(scope="module")
def through() -> Any:
    """What an undisturbed run ends with: table, and the last forecasts."""
    with Fleet(table()) as fleet:
        finished(fleet)
        return fleet.table(), rows(fleet)


def settings(folder: Path, **rest: Any) -> PredictorConfig:
    return PredictorConfig(snapshot_path=str(folder), **rest)


def test_a_snapshot_goes_on_in_another_fleet_to_the_bit_scores_included(through: Any, tmp_path: Path) -> None:
    with Fleet(table()) as fleet:
        path = stepped(fleet, 25).save_snapshot(tmp_path / "fleet.msgpack")
        later = fleet.save_snapshot_nonblocking(tmp_path / "later.msgpack")
    assert later.result(PATIENCE_S).path.exists()  # closed meanwhile
    with Fleet(table()) as other:
        assert other.load_snapshot(path).progress.ticks == 25
        finished(other)
        np.testing.assert_array_equal(rows(other), through[1])
        scores = ["alarms", "rejected", "rmse", "rmse_last_value", "skill", "coverage"]
        pd.testing.assert_frame_equal(other.table()[scores], through[0][scores])
    with Fleet(table()[["c", "a"]]) as fewer:  # some of the assets, in another order
        fewer.load_snapshot(path)
        finished(fewer)
        np.testing.assert_array_equal(rows(fewer), through[1][[2, 0]])
    with Fleet(table().rename(columns={"a": "z"})) as stranger, pytest.raises(DomainError, match="not in the snapshot"):
        stranger.load_snapshot(path)


def test_a_fleet_resumes_from_its_snapshot_folder(through: Any, tmp_path: Path) -> None:
    config = settings(tmp_path, snapshot_interval_steps=10)
    with Fleet(table(), config, snapshots=True) as fleet:
        stepped(fleet, 34)
    with Fleet(table(), config, snapshots=True) as second:
        assert second.status.ticks == 34  # that of the close
        assert "resumes after tick 34" in second.events[0]["text"]
        finished(second)
        np.testing.assert_array_equal(rows(second), through[1])


def test_a_second_fleet_takes_up_where_the_first_stopped_in_a_store(through: Any, tmp_path: Path) -> None:
    store = str(tmp_path / "states.db")
    config = PredictorConfig(snapshot_interval_steps=10)
    with Fleet(table(), config, store=store) as fleet:
        assert fleet.stored == 0
        stepped(fleet, 34)
    assert fleet.stored == 34
    with Fleet(table(), config, store=store) as second:
        assert second.status.ticks == second.stored == 34
        np.testing.assert_array_equal(rows(finished(second)), through[1])


def test_what_names_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="names no store"):
        Fleet(table(), store="states.txt")
    store = open_store("memory:")
    with Fleet(table(), store=store) as fleet:
        assert fleet.stored == 0
    store.put("mine", b"1")  # a store that was handed over stays open
