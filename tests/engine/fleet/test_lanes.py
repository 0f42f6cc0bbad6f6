"""Lanes in a helper process: the same bits as in this one, and an end with a sentence when the helper dies."""

from __future__ import annotations

import numpy as np
import pytest

from uspnb.engine.fleet import Fleet, lanes
from uspnb.engine.fleet.lanes import ProcessLane, kept_columns
from uspnb.predictor.functional import FunctionalPredictor, observations

WIDTH, TICKS = 4, 60


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes of four assets, the width that the other tests compile."""
    monkeypatch.setattr(lanes, "WIDEST_LANE", WIDTH)


def walks(assets: int) -> np.ndarray:
    return np.random.default_rng(11).standard_normal((TICKS, assets)).cumsum(axis=0)


def test_two_processes_give_the_bits_of_one_and_a_helper_that_dies_is_told(narrow: None) -> None:
    y = walks(2 * WIDTH)
    y[20:24, 5] = np.nan
    shown = ("observation", "prediction", "lower", "upper")
    with Fleet(y, workers=1) as alone, Fleet(y, workers=2) as fleet:
        for one in (alone, fleet):
            one.step(40)
            assert one.wait(timeout=240.0).ticks == 40
        first, second = (one.record.columns_of(shown, 0, 40)[1] for one in (alone, fleet))
        np.testing.assert_array_equal(first, second)
        helpers = [lane._helper for _, lane in fleet._lanes or () if isinstance(lane, ProcessLane)]
        assert len(helpers) == 1 and helpers[0].poll() is None
        helpers[0].kill()
        fleet.run()
        status = fleet.wait(phase="finished", timeout=30.0)
        assert status.phase == "faulted" and "helper process of 4 assets has ended" in status.message
        assert len(fleet.table()) == 2 * WIDTH  # what was computed stays
    assert helpers[0].poll() is not None


def test_a_lane_is_step_batch_to_the_bit() -> None:
    y = walks(WIDTH)
    predictor = FunctionalPredictor()
    states = predictor.init_state(WIDTH)
    expected = []
    for t in range(TICKS):
        states, result = predictor.step_batch(states, observations(y[t], np.full(WIDTH, t * 1_000_000_000)))
        expected.append(result.reference_prediction)
    with Fleet(y) as fleet:
        fleet.run()
        fleet.wait(timeout=120.0)
        _, found, _ = fleet.record.columns_of(("next_prediction",), 0, TICKS)
    np.testing.assert_array_equal(found[..., 0], np.stack(expected))


def test_kept_columns_go_back_to_their_places() -> None:
    layout = FunctionalPredictor().layout
    kept = kept_columns(layout)
    rows = np.arange(2.0 * len(kept.columns)).reshape(2, -1)
    full = kept.full_rows(rows)
    np.testing.assert_array_equal(full[:, kept.columns], rows)
    assert full.shape == (2, layout.width)
    others = np.setdiff1d(np.arange(layout.width), kept.columns)
    assert not (full[:, others] > 0).any()
