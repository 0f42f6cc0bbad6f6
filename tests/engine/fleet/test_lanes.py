"""Lanes in a helper process: the same bits as in this one, and an end with a sentence when the helper dies."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any
from unittest import mock

import jax
import numpy as np
import pytest
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.engine.fleet import Fleet
from uspnb.engine.fleet import lanes as lanes_module
from uspnb.engine.fleet.lanes import FleetComputation, LaneFault, RemoteLane, fleet_columns, full_rows
from uspnb.errors import DomainError
from uspnb.model.programs import trace_count
from uspnb.predictor.functional import FunctionalPredictor, observations
from uspnb.sources import Ticks

WIDTH, TICKS, SECOND = 4, 60, 1_000_000_000


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes of four assets, the width that the other tests compile."""
    monkeypatch.setattr(lanes_module, "WIDEST_LANE", WIDTH)


def walks(assets: int) -> np.ndarray:
    return random_walk((TICKS, assets), 11)


def test_two_processes_give_the_bits_of_one_and_a_helper_that_dies_is_told(narrow: None) -> None:
    y = walks(2 * WIDTH)
    y[20:24, 5] = np.nan
    shown = ("observation", "prediction", "lower", "upper")
    with Fleet(y, workers=1) as alone, Fleet(y, workers=2) as fleet:
        for one in (alone, fleet):
            one.step(40)
            assert one.wait().ticks == 40
        first, second = (one.columns(shown, 0, 40)[1] for one in (alone, fleet))
        np.testing.assert_array_equal(first, second)
        computation: Any = fleet._only.timeline.computation
        helpers: list[Any] = [lane._link for _, lane in computation.lanes if isinstance(lane, RemoteLane)]
        assert len(helpers) == 1 and helpers[0].exit_code is None
        helpers[0].kill()
        fleet.run()
        status = fleet.wait()
        assert status.phase == "faulted" and "4 assets cannot go on: the helper process" in status.message
        assert len(fleet.table()) == 2 * WIDTH  # what was computed stays
    assert helpers[0].exit_code is not None


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
        fleet.wait()
        _, forecasts = fleet.columns(("next_prediction",), 0, TICKS)
    np.testing.assert_array_equal(forecasts[..., 0], np.stack(expected))


def ticks(y: np.ndarray, start: int, stop: int) -> Ticks:
    stamps = np.arange(start, stop) * SECOND
    return Ticks(y[start:stop], stamps, np.full(stop - start, np.nan))


def advance(lanes: FleetComputation, y: np.ndarray, start: int, stop: int) -> np.ndarray:
    taken = ticks(y, start, stop)
    return lanes.advance(taken, taken.stamps_ns)


@pytest.fixture(scope="module", params=[1, 2])
def computation(request: pytest.FixtureRequest) -> Iterator[FleetComputation]:
    """In this process, and half of it in a helper, which takes seconds to start."""
    with mock.patch.object(lanes_module, "WIDEST_LANE", WIDTH):
        one = FleetComputation(PredictorConfig(), 2 * WIDTH - 1, request.param)
    yield one
    one.close()


@pytest.fixture
def lanes(narrow: None, computation: FleetComputation) -> FleetComputation:
    """As it is when it is new."""
    computation.take(FunctionalPredictor().init_state(computation.assets))
    computation.configure(PredictorConfig())
    computation.forget_clock()
    return computation


def test_states_kept_and_put_back_repeat_the_ticks_to_the_bit_and_cost_no_program(lanes: FleetComputation) -> None:
    y = walks(lanes.assets)
    lanes.prepare()
    before = trace_count("batch")
    advance(lanes, y, 0, 20)
    handle = lanes.keep()
    first = advance(lanes, y, 20, 40)
    lanes.put(handle)
    one_by_one = np.concatenate([advance(lanes, y, t, t + 1) for t in range(20, 40)])
    np.testing.assert_array_equal(one_by_one, first)
    stacked, _ = lanes.states(handle)
    lanes.take(stacked)
    np.testing.assert_array_equal(advance(lanes, y, 20, 40), first)
    lanes.put(handle)
    again, _ = lanes.states(lanes.keep())
    jax.tree.map(np.testing.assert_array_equal, again, stacked)
    assert trace_count("batch") == before
    # The batch program rounds by its width, so that the reference is stepped in the lanes' width.
    second = jax.tree.map(lambda leaf: np.concatenate([leaf[WIDTH:], leaf[-1:]]), stacked)
    values = np.append(y[20, WIDTH:], np.nan)
    expected, _ = FunctionalPredictor().step_batch(second, observations(values, np.full(WIDTH, 20 * SECOND)))
    advance(lanes, y, 20, 21)
    states, _ = lanes.states(lanes.keep())
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[WIDTH:], np.asarray(b)[:-1]), states, expected)


def test_states_that_nobody_holds_any_more_are_let_go(narrow: None) -> None:
    lanes = FleetComputation(PredictorConfig(), 2 * WIDTH, 2)
    try:
        y = walks(2 * WIDTH)
        advance(lanes, y, 0, 1)
        (lane,) = [lane for _, lane in lanes.lanes if isinstance(lane, RemoteLane)]
        handle = lanes.keep()
        assert lanes.keep().parts[1] is handle.parts[1]  # of one tick there is one token
        number = handle.parts[1].number
        del handle
        gc.collect()
        assert list(lane._dropped) == [number]
        advance(lanes, y, 1, 2)
        assert not lane._dropped
    finally:
        lanes.close()


def test_states_can_be_taken_before_the_first_tick(lanes: FleetComputation) -> None:
    y = walks(lanes.assets)
    advance(lanes, y, 0, 10)
    states, _ = lanes.states(lanes.keep())
    first = advance(lanes, y, 10, 20)
    other = FleetComputation(PredictorConfig(), lanes.assets, lanes.workers)
    try:
        other.take(states)
        np.testing.assert_array_equal(advance(other, y, 10, 20), first)
    finally:
        other.close()


def test_settings_act_on_the_next_tick_and_structural_ones_are_refused(lanes: FleetComputation) -> None:
    y, other = walks(lanes.assets), PredictorConfig(confidence_level=0.5)
    place = lanes.columns["next_lower"].start
    states, stamps = FunctionalPredictor().init_state(WIDTH), np.full(WIDTH, SECOND)
    for t in range(12):
        predictor = FunctionalPredictor(other if t >= 6 else None)
        states, result = predictor.step_batch(states, observations(y[t, :WIDTH], t * stamps))
        if t == 6:
            lanes.configure(other)
        np.testing.assert_array_equal(advance(lanes, y, t, t + 1)[0, :WIDTH, place], result.confidence_lower)
    with pytest.raises(DomainError, match="structural"):
        lanes.configure(PredictorConfig(log_sig_depth=2))


def test_a_forgotten_clock_takes_any_time(lanes: FleetComputation) -> None:
    y = walks(lanes.assets)
    advance(lanes, y, 30, 40)
    late = lanes.columns["out_of_order"].start
    assert (advance(lanes, y, 0, 1)[..., late] == 1).all()
    lanes.forget_clock()
    assert (advance(lanes, y, 1, 2)[..., late] == 0).all()


def test_after_a_helper_has_ended_nothing_is_computed_any_more(narrow: None) -> None:
    lanes = FleetComputation(PredictorConfig(), 2 * WIDTH, 2)
    y = walks(2 * WIDTH)
    advance(lanes, y, 0, 1)
    for _, lane in lanes.lanes:
        if isinstance(lane, RemoteLane):
            child: Any = lane._link
            child.kill()
    for _ in range(2):
        with pytest.raises(LaneFault, match="has ended"):
            advance(lanes, y, 1, 2)
        lanes.keep()
    lanes.close()


def test_rows_with_every_column_hold_the_kept_ones(narrow: None) -> None:
    layout, y = FunctionalPredictor().layout, walks(WIDTH)
    few, all_ = (FleetComputation(PredictorConfig(), WIDTH, 1, every) for every in (False, True))
    assert fleet_columns(layout, every=True).numbers.tolist() == list(range(layout.width))
    numbers = fleet_columns(layout).numbers
    np.testing.assert_array_equal(advance(few, y, 0, 5), advance(all_, y, 0, 5)[..., numbers])


def test_kept_columns_go_back_to_their_places() -> None:
    layout = FunctionalPredictor().layout
    numbers = fleet_columns(layout).numbers
    rows = np.arange(2.0 * len(numbers)).reshape(2, -1)
    full = full_rows(rows, layout)
    np.testing.assert_array_equal(full[:, numbers], rows)
    assert full.shape == (2, layout.width)
    others = np.setdiff1d(np.arange(layout.width), numbers)
    assert not (full[:, others] > 0).any()
