"""One asset of a fleet with the face of a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from default_columns import VIEW_COLUMNS
from walks import random_walk

from uspnb.engine.fleet import Fleet
from uspnb.errors import DomainError

TICKS = 130


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    y = random_walk((TICKS, 3), 5)
    with Fleet(y) as replayed:
        replayed.step(40)
        replayed.wait()
        yield replayed


def test_one_asset_has_the_face_of_a_session(fleet: Fleet, tmp_path: Path) -> None:
    view = fleet.open(2)
    window = fleet.window(2)
    first, rows = view.view_rows(10, 1000)
    assert (first, len(rows), view.rows_ready, view.title) == (10, 30, 40, "2")
    np.testing.assert_array_equal(rows[:, VIEW_COLUMNS.index("prediction")], window["prediction"][10:])
    history = view.history()
    np.testing.assert_array_equal(history["prediction"], window["prediction"])
    np.testing.assert_array_equal(history["weight"], window["weight"])
    status = view.status.as_dict()
    assert status["ticks"] == 40 and status["phase"] == "paused" and status["health"] == "ok" and status["assets"] == 1
    assert status["rejected"] == fleet.table()["rejected"][2]
    assert "<html" in view.export(tmp_path / "two.html").read_text()
    view.command("step", 1)
    fleet.wait()
    assert view.rows_ready == 41
    view.command("seek", 3)
    assert fleet.wait().ticks == 3 and view.revision == 1
    with pytest.raises(DomainError, match="unknown command"):
        view.command("jump", 3)
