"""Lanes in a helper process: the same bits as in this one, and an end with a sentence when the helper dies."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.engine.fleet import Fleet, lanes
from uspnb.engine.fleet.lanes import Lanes, ProcessLane, kept_columns
from uspnb.errors import DomainError
from uspnb.predictor.functional import FunctionalPredictor, observations, trace_count

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
        helpers = [
            lane._helper for _, lane in (fleet._lanes.lanes if fleet._lanes else ()) if isinstance(lane, ProcessLane)
        ]
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


@pytest.mark.parametrize("workers", [1, 2])
def test_states_taken_and_put_back_repeat_the_ticks_to_the_bit_and_cost_no_program(narrow: None, workers: int) -> None:
    y, second = walks(2 * WIDTH - 1), 1_000_000_000
    lanes = Lanes(PredictorConfig(), y.shape[1], workers)
    try:
        lanes.warm()
        before = trace_count("batch")

        def run(start: int, stop: int) -> np.ndarray:
            return np.stack([lanes.step(y[t], t * second, t * second) for t in range(start, stop)])

        run(0, 20)
        kept = lanes.states()
        first = run(20, 40)
        lanes.put(kept)
        np.testing.assert_array_equal(run(20, 40), first)
        lanes.put(lanes.split(lanes.stacked(kept)))
        np.testing.assert_array_equal(run(20, 40), first)
        assert trace_count("batch") == before
        # The batch program rounds by its width, so that the reference is stepped lane by lane.
        stamps = np.full(WIDTH, 20 * second)
        padded = np.append(y[20], np.nan)
        parts = [
            FunctionalPredictor().step_batch(states, observations(padded[part], stamps))[0]
            for (part, _), states in zip(lanes.lanes, kept, strict=True)
        ]
        lanes.put(kept)
        run(20, 21)
        jax.tree.map(np.testing.assert_array_equal, lanes.stacked(lanes.states()), lanes.stacked(tuple(parts)))
    finally:
        lanes.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_settings_act_on_the_next_tick_and_structural_ones_are_refused(narrow: None, workers: int) -> None:
    y, second = walks(2 * WIDTH), 1_000_000_000
    other = PredictorConfig(confidence_level=0.5)
    lanes = Lanes(PredictorConfig(), 2 * WIDTH, workers)
    place = kept_columns(FunctionalPredictor().layout).place["next_lower"]
    states, stamps = FunctionalPredictor().init_state(WIDTH), np.full(WIDTH, second)
    try:
        for t in range(12):
            predictor = FunctionalPredictor(other if t >= 6 else None)
            states, result = predictor.step_batch(states, observations(y[t, WIDTH:], t * stamps))
            if t == 6:
                lanes.configure(other)
            found = lanes.step(y[t], t * second, t * second)[WIDTH:, place]
            np.testing.assert_array_equal(found, result.confidence_lower)
        with pytest.raises(DomainError, match="structural"):
            lanes.configure(PredictorConfig(log_sig_depth=2))
    finally:
        lanes.close()


def test_rows_with_every_column_hold_the_kept_ones(narrow: None) -> None:
    layout, y = FunctionalPredictor().layout, walks(WIDTH)
    few, all_ = (Lanes(PredictorConfig(), WIDTH, 1, every) for every in (False, True))
    assert kept_columns(layout, every=True).columns.tolist() == list(range(layout.width))
    kept = kept_columns(layout).columns
    for t in range(5):
        np.testing.assert_array_equal(few.step(y[t], t, t), all_.step(y[t], t, t)[:, kept])


def test_kept_columns_go_back_to_their_places() -> None:
    layout = FunctionalPredictor().layout
    kept = kept_columns(layout)
    rows = np.arange(2.0 * len(kept.columns)).reshape(2, -1)
    full = kept.full_rows(rows)
    np.testing.assert_array_equal(full[:, kept.columns], rows)
    assert full.shape == (2, layout.width)
    others = np.setdiff1d(np.arange(layout.width), kept.columns)
    assert not (full[:, others] > 0).any()
