"""One asset of a fleet with the face of a session."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from uspnb.engine.fleet import Fleet
from uspnb.errors import DomainError
from uspnb.model.packing import unpack

TICKS = 130


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    y = np.random.default_rng(5).standard_normal((TICKS, 3)).cumsum(axis=0)
    with Fleet(y) as made:
        made.step(40)
        made.wait(timeout=240.0)
        yield made


def test_one_asset_has_the_face_of_a_session(fleet: Fleet) -> None:
    view = fleet.open(2)
    first, rows, stamps = view.packed(10, 1000)
    assert (first, len(rows), len(stamps), view.rows_ready) == (10, 30, 30, 40)
    result = unpack(rows, view.layout)
    np.testing.assert_array_equal(result.telemetry.prediction, fleet.window(2)["prediction"][10:])
    np.testing.assert_array_equal(result.telemetry.weight, fleet.window(2)["weight"][10:])
    status = view.status.as_dict()
    assert status["ticks"] == 40 and status["phase"] == "paused" and status["health"] == "ok"
    view.command("step", 1)
    fleet.wait(timeout=30.0)
    assert view.rows_ready == 41
    with pytest.raises(DomainError, match="no command"):
        view.command("seek", 3)
