"""What a fleet adds to the abilities of every engine: seek beyond its ring, export of all assets, archive, rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from waiting import PATIENCE_S
from walks import random_walk

import uspnb
from uspnb.engine.fleet import Fleet
from uspnb.errors import ConfigError, DomainError
from uspnb.sinks import TelemetryBuffer
from uspnb.sources import Ticks

TICKS, RING = 110, 16


def table() -> np.ndarray:
    return random_walk((TICKS, 3), 9)


def stand(fleet: Fleet, ticks: int) -> Fleet:
    """Have it stand at a tick."""
    fleet.seek(ticks)
    assert fleet.wait(timeout=PATIENCE_S).ticks == ticks
    return fleet


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with Fleet(table(), ring=RING) as replayed:
        yield replayed


def state_of(fleet: Fleet) -> tuple[Any, ...]:
    """Everything that one can see at a tick."""
    return fleet.table().to_dict(), fleet.alarms().to_dict(), [fleet.window(k).to_dict() for k in range(3)]


def test_going_back_beyond_the_ring_and_on_again_gives_the_same_to_the_bit(fleet: Fleet) -> None:
    there = {tick: repr(state_of(stand(fleet, tick))) for tick in (20, 90, 100)}
    for tick in (20, 100, 90):
        assert repr(state_of(stand(fleet, tick))) == there[tick]
    assert fleet.revision > 0 and len(fleet.window(0)["time"]) == RING


def test_going_back_remembers_the_settings_of_every_tick(fleet: Fleet) -> None:
    stand(fleet, 10)
    fleet.configure(confidence_level=0.5)
    stand(fleet, 20)
    before = repr(state_of(fleet))
    stand(fleet, 25)
    assert repr(state_of(stand(fleet, 20))) == before
    with pytest.raises(ConfigError, match="compiled in"):
        fleet.configure(log_sig_depth=2)


def test_what_is_kept_is_exported_and_read_back(fleet: Fleet, tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="no tick"):
        fleet.export(tmp_path / "none.nc")
    stand(fleet, 40)
    for name in ("all.nc", "all.zarr"):
        ds = uspnb.load(fleet.export(tmp_path / name))
        assert dict(ds.sizes)["time"] == RING and ds["asset"].values.tolist() == [0, 1, 2]
        for k in range(3):
            mine = fleet.window(k)
            np.testing.assert_array_equal(ds["prediction"].sel(asset=k), mine["prediction"])
            np.testing.assert_array_equal(ds["weight"].sel(asset=k), mine["weight"])
    with pytest.raises(DomainError, match="one series"):
        fleet.export(tmp_path / "all.html")
    own = uspnb.load(fleet.open(1).export(tmp_path / "one.nc"))
    np.testing.assert_array_equal(own["prediction"], fleet.window(1)["prediction"])


def test_an_archive_keeps_what_leaves_the_ring(tmp_path: Path) -> None:
    with Fleet(table(), ring=RING) as short, Fleet(table(), ring=RING, archive=tmp_path / "ticks") as fleet:
        newest = stand(short, 60).window(2)
        window = stand(fleet, 60).window(2)
        assert window["tick"].values.tolist() == list(range(60))
        np.testing.assert_array_equal(window["prediction"][-RING:], newest["prediction"])


def test_telemetry_has_every_column_of_every_asset() -> None:
    buffer = TelemetryBuffer(1000)
    with Fleet(table(), telemetry=buffer) as fleet, Fleet(table()) as plain:
        stand(fleet, 5)
        batches = buffer.take(1000, 0.0)
        assert sorted({batch.asset for batch in batches}) == ["0", "1", "2"]
        assert buffer.emitted == 15 and not np.isnan(batches[-1].fetched()[0][-1]).all()
        width = fleet._only.timeline.computation.layout.width
        assert all(batch.fetched()[0].shape[1] == width for batch in batches)
        pd.testing.assert_frame_equal(fleet.table(), stand(plain, 5).table())


class Shaker:
    """A source of rows of one's own, which needs nothing of the package but its ticks."""

    name, units, live, length, time_is_grid, notes, waiting = "shaker", "m", False, None, True, (), 1
    exhausted = False

    def start(self, wake: Any) -> None:
        wake()

    def take(self, most: int) -> Ticks:
        self.exhausted = True
        return Ticks(np.arange(8.0).reshape(4, 2), np.arange(1, 5), np.full(4, np.nan))

    def seek(self, k: int) -> None:
        raise DomainError("it only shakes")

    def close(self) -> None:
        self.exhausted = True


def test_a_source_of_ones_own() -> None:
    with pytest.raises(DomainError, match="assets is missing"):
        Fleet(Shaker())
    with Fleet(Shaker(), assets=("x", "y")) as fleet:
        fleet.run()
        assert fleet.wait(timeout=PATIENCE_S).ticks == 4
        assert (fleet.name, fleet.units) == ("shaker", "m")
        assert fleet.window("y")["observation"].values.tolist() == [1.0, 3.0, 5.0, 7.0]
    with Fleet(Shaker(), assets=3) as wrong:
        wrong.run()
        assert "2 values for 3 assets" in wrong.wait(timeout=PATIENCE_S).message
