"""Load shedding: hysteresis of the choice, and that moving between depths loses nothing that was learned."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.data.processes import autoregression
from uspnb.errors import DomainError
from uspnb.model.kernels.log_signature import LogSignatureState, feature_count
from uspnb.model.programs import SERIES_LENGTH, trace_count
from uspnb.model.state import PredictorState
from uspnb.predictor.functional import FunctionalPredictor, filled, observations
from uspnb.predictor.shedding import DEPTHS, DepthSwitch

# The defaults but for the depth: the program of depth 3 is then that of the other tests.
CONFIG = PredictorConfig(log_sig_depth=5, shedding_min_steps=10)
SERIES = autoregression(1000, 20).values
D = "log_signature"


@pytest.fixture(scope="module")
def warmed() -> DepthSwitch:
    """A switch whose programs are compiled; every other one in this file finds them."""
    switch = DepthSwitch(CONFIG)
    switch.warm()
    return switch


@pytest.fixture(scope="module")
def compiled() -> list[str]:
    """Names of the programs that JAX hands to the compiler, cached ones included, as they come."""
    events: list[str] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return events


def advanced(
    functional: FunctionalPredictor, state: PredictorState, first: int, stop: int
) -> tuple[PredictorState, np.ndarray]:
    """The state after ticks [first, stop) of the series, and the rows."""
    ticks = observations(SERIES[first:stop], np.arange(first, stop) * 1_000_000_000)
    rows = []
    for start in range(0, stop - first, SERIES_LENGTH):
        real = min(SERIES_LENGTH, stop - first - start)
        piece = jax.tree.map(lambda column: filled(column, SERIES_LENGTH), ticks.at(slice(start, start + real)))
        state, done = functional.advance(state, piece, real)
        rows.append(done)
    return state, np.concatenate(rows)


def kernel_d(state: PredictorState) -> LogSignatureState:
    """What the log-signature kernel carries."""
    return state.kernels[D]


def size_at(depth: int) -> int:
    """Features at a depth."""
    return feature_count(CONFIG.log_sig_window, depth)


def test_down_and_up_again_at_once_is_the_identity(warmed: DepthSwitch) -> None:
    state, _ = advanced(warmed.at(5), warmed.at(5).init_state(), 0, 300)
    for path in ((3,), (2,), (3, 2), (3, 2, 3)):
        switch = DepthSwitch(CONFIG)
        moved = state
        for depth in (*path, 5):
            moved = switch.switch(moved, depth)
        for before, after in zip(*(jax.tree.leaves(kernel_d(one)[2:]) for one in (state, moved)), strict=True):
            np.testing.assert_array_equal(before, after)
        np.testing.assert_array_equal(kernel_d(moved).ridge.gram, kernel_d(state).ridge.gram)
        np.testing.assert_array_equal(kernel_d(moved).ridge.moment, kernel_d(state).ridge.moment)


def test_what_was_learned_at_the_low_levels_meanwhile_stays_when_the_depth_rises(warmed: DepthSwitch) -> None:
    state, _ = advanced(warmed.at(5), warmed.at(5).init_state(), 0, 300)
    switch = DepthSwitch(CONFIG)
    low, _ = advanced(switch.at(2), switch.switch(state, 2), 300, 420)
    high = switch.switch(low, 5)
    gram, leading, size = np.asarray(kernel_d(high).ridge.gram), np.asarray(kernel_d(state).ridge.gram), size_at(2)
    np.testing.assert_array_equal(gram[:size, :size], kernel_d(low).ridge.gram)
    np.testing.assert_array_equal(kernel_d(high).ridge.moment[:size], kernel_d(low).ridge.moment)
    # The higher block is the one set aside, forgotten for the 120 ticks since, and nothing of it is lost.
    decay = CONFIG.log_sig_forgetting**120
    np.testing.assert_allclose(gram[size:, size:], decay * leading[size:, size:], rtol=1e-12)
    np.testing.assert_allclose(gram[size:, :size], decay * leading[size:, :size], rtol=1e-12)


def test_normal_equations_after_a_rise_are_those_of_zero_padded_features(warmed: DepthSwitch) -> None:
    """Against the recursion A <- gamma A + f f' itself, run over the padded features of every tick in between."""
    state, _ = advanced(warmed.at(5), warmed.at(5).init_state(), 0, 300)
    switch = DepthSwitch(CONFIG)
    moved = switch.switch(state, 2)
    size, gamma = size_at(2), float(CONFIG.log_sig_forgetting)
    expected, padded = np.array(kernel_d(state).ridge.gram), np.zeros(size_at(5))
    for tick in range(300, 340):
        padded[:size] = kernel_d(moved).features
        moved, _ = advanced(switch.at(2), moved, tick, tick + 1)
        expected = gamma * expected + np.outer(padded, padded)
    gram = np.asarray(kernel_d(switch.switch(moved, 5)).ridge.gram)
    np.testing.assert_allclose(gram, expected, rtol=1e-9, atol=1e-12)
    # 1e-9 of the trace: rounding of a rank-deficient Gram matrix, whose least eigenvalue is about zero
    assert np.linalg.eigvalsh(gram).min() > -1e-9 * np.trace(gram)


def test_forecasts_go_on_finite_through_every_switch_and_as_good(warmed: DepthSwitch) -> None:
    switch = DepthSwitch(CONFIG)
    state, rows = advanced(switch.functional, switch.functional.init_state(), 0, 300)
    place = 300
    for depth in (3, 2, 5, 2, 3, 5):
        state = switch.switch(state, depth)
        state, more = advanced(switch.functional, state, place, place + 100)
        rows, place = np.concatenate([rows, more]), place + 100
    assert rows.shape == (900, warmed.functional.layout.width)
    forecasts = rows[:, 0]
    assert np.isfinite(forecasts).all()
    _, steady = advanced(warmed.at(5), warmed.at(5).init_state(), 0, 900)
    errors = [np.abs(means[300:899, 0] - SERIES[301:900]).mean() for means in (rows, steady)]
    assert errors[0] < 1.1 * errors[1]  # one kernel of four changes; a broken state would cost far more


def test_nothing_is_traced_or_compiled_at_a_switch(warmed: DepthSwitch, compiled: list[str]) -> None:
    before = trace_count("series")
    compiled.clear()
    switch = DepthSwitch(CONFIG)
    state, _ = advanced(switch.functional, switch.functional.init_state(), 0, 10)
    for place, depth in enumerate((2, 3, 5, 3, 5)):
        state = switch.switch(state, depth)
        state, _ = advanced(switch.functional, state, 10 + place, 11 + place)
    assert trace_count("series") == before
    assert compiled == []
    jax.jit(lambda x: x * 2 + 1)(np.ones(3))  # the listener does hear
    assert compiled


def test_depth_starts_where_the_settings_say() -> None:
    starts = {depth: DepthSwitch(dataclasses.replace(CONFIG, log_sig_depth=depth)).depth for depth in (2, 3, 4, 5)}
    assert starts == {2: 2, 3: 3, 4: 3, 5: 5}


def test_choice_has_hysteresis_and_patience(warmed: DepthSwitch) -> None:
    switch = DepthSwitch(CONFIG)
    state = switch.functional.init_state()
    assert switch.choose(900.0, 1000.0, 0) == 3  # above shed_above = 0.8: one step, not two
    assert switch.choose(600.0, 1000.0, 0) == 5  # between the bounds nothing moves
    assert switch.choose(float("nan"), 1000.0, 0) == switch.choose(900.0, 0.0, 0) == 5  # nothing is known
    assert switch.choose(1.0, 1000.0, 0, jittery=True) == 3
    state = switch.switch(state, 3)
    assert switch.choose(900.0, 1000.0, 9) == 3  # shedding_min_steps = 10 after the change
    assert switch.choose(900.0, 1000.0, 10) == 2
    assert switch.choose(500.0, 1000.0, 10) == 3
    assert switch.choose(390.0, 1000.0, 10) == 5  # below restore_below = 0.4
    switch.switch(state, 2)
    assert switch.choose(900.0, 1000.0, 50) == 2  # nowhere lower to go


def test_load_that_wavers_about_a_bound_does_not_flap() -> None:
    switch = DepthSwitch(CONFIG)
    state = switch.functional.init_state()
    generator, changes = np.random.default_rng(7), 0
    for tick in range(2000):
        load = 0.8 + 0.1 * generator.standard_normal()
        chosen = switch.choose(load * 1e6, 1e6, tick)
        if chosen != switch.depth:
            state = switch.switch(state._replace(ticks=np.asarray(tick) + 0 * state.ticks), chosen)
            changes += 1
    # it goes down and stays: no load of this kind is ever below restore_below
    assert (switch.depth, changes) == (2, 2)


def test_snapshot_at_full_depth_resumes_at_the_low_one(warmed: DepthSwitch) -> None:
    state, _ = advanced(warmed.at(5), warmed.at(5).init_state(), 0, 300)
    switch = DepthSwitch(CONFIG)
    low, _ = advanced(switch.at(2), switch.switch(state, 2), 300, 350)
    later = switch.whole(low)
    switch.switch(low, 3)  # what happens before the snapshot is written does not change it
    switch.resume(low, 2, 2)
    whole, held = later()
    assert held == 5 and kernel_d(whole).features.shape == (size_at(5),)
    restarted = DepthSwitch(CONFIG)
    again = restarted.resume(whole, held, 2)
    assert restarted.depth == 2
    for before, after in zip(*(jax.tree.leaves(kernel_d(one)) for one in (low, again)), strict=True):
        np.testing.assert_array_equal(before, after)
    uninterrupted = DepthSwitch(CONFIG)
    low, _ = advanced(warmed.at(2), uninterrupted.switch(state, 2), 300, 400)
    resumed, _ = advanced(restarted.at(2), again, 350, 400)
    one, other = kernel_d(uninterrupted.switch(low, 5)), kernel_d(restarted.switch(resumed, 5))
    # gamma^100 in one factor or in two: the last bits differ
    np.testing.assert_allclose(one.ridge.gram, other.ridge.gram, rtol=1e-12)
    state_alone, depth_alone = DepthSwitch(CONFIG).whole(state)()
    assert depth_alone == 5 and state_alone is state


def test_other_depths_are_refused() -> None:
    switch = DepthSwitch(CONFIG)
    with pytest.raises(DomainError, match=r"depth = 4 is not one of 2, 3, 5"):
        switch.at(4)
    assert DEPTHS == (2, 3, 5)
