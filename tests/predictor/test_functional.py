"""The stateless predictor: the same numbers however it is driven, one compilation per shape, errors at the edge."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.errors import ConfigError, DomainError
from uspnb.model.orchestration.step import orchestrate_step
from uspnb.model.programs import (
    SERIES_LENGTH,
    packed_state,
    result_layout,
    run_series,
    static_part,
    trace_count,
    traced_part,
)
from uspnb.model.records import Observation, PredictionResult, ProcessState
from uspnb.model.state import PredictorState
from uspnb.predictor.functional import FunctionalPredictor, observations
from uspnb.runtime.digest import sha256_pytree

SECOND = 10**9
TICKS = 512


@pytest.fixture(scope="module")
def predictor() -> FunctionalPredictor:
    return FunctionalPredictor()


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """An AR(1) path with a gap, a spike and a repeated value, so that the gate has something to say."""
    noise = np.random.default_rng(5).standard_normal(TICKS)
    path = np.zeros(TICKS)
    for t in range(1, TICKS):
        path[t] = 0.8 * path[t - 1] + noise[t]
    path[100] = np.nan
    path[150] = 1e6
    path[151] = path[149]
    return path


@pytest.fixture(scope="module")
def scanned(predictor: FunctionalPredictor, values: np.ndarray) -> tuple[PredictorState, PredictionResult]:
    return predictor.scan(predictor.init_state(), observations(values, np.arange(TICKS) * SECOND))


def same(a: object, b: object) -> bool:
    return sha256_pytree(jax.tree.map(np.asarray, a)) == sha256_pytree(jax.tree.map(np.asarray, b))


def test_scan_is_step_by_step_to_the_bit(
    predictor: FunctionalPredictor, values: np.ndarray, scanned: tuple[PredictorState, PredictionResult]
) -> None:
    state = predictor.init_state()
    for t in range(200):
        state, result = predictor.step(state, ProcessState(values[t], t * SECOND))
        assert same(result, jax.tree.map(lambda leaf, t=t: leaf[t], scanned[1])), t
    first = predictor.scan(state, observations(values[200:], np.arange(200, TICKS) * SECOND))[0]
    assert same(first, scanned[0])


def test_step_batch_is_step(predictor: FunctionalPredictor, values: np.ndarray) -> None:
    """Four assets, each from another place of the path; batched matrix products round differently, hence 1e-9.

    A small fleet runs the same program, which is then compiled once.
    """
    alone = [predictor.init_state() for _ in range(4)]
    together, results, singles = predictor.init_state(4), None, []
    for t in range(160):
        ticks = [ProcessState(values[t + 40 * k], (t + 1) * SECOND) for k in range(4)]
        together, results = predictor.step_batch(together, ticks)
        singles = [predictor.step(state, tick) for state, tick in zip(alone, ticks, strict=True)]
        alone = [state for state, _ in singles]
    stacked = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *[r for _, r in singles])
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(stacked), jax.tree.leaves(results), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=jax.tree_util.keystr(path))


def test_one_compilation_for_all_ticks_and_all_traced_settings(
    predictor: FunctionalPredictor, values: np.ndarray, scanned: tuple[PredictorState, PredictionResult]
) -> None:
    def drive(config: PredictorConfig) -> tuple[PredictorState, PredictionResult]:
        one = FunctionalPredictor(config)
        state = one.init_state()
        for t in range(4):
            state, _ = one.step(state, ProcessState(values[t], t * SECOND))
        plain: list[Any] = [float(values[9]), 9 * SECOND, 9 * SECOND, float("nan")]  # weakly typed
        return one.step(state, Observation(*plain))

    drive(predictor.config)
    before = trace_count("series")
    drive(predictor.config)
    drive(dataclasses.replace(predictor.config, cusum_k=0.25, sigma_bound=7, staleness_ttl_ns=3, entropy_window=77))
    drive(dataclasses.replace(predictor.config, confidence_level=jnp.asarray(0.9), interval_rate=np.float32(0.02)))
    predictor.scan(scanned[0], observations(values, np.arange(TICKS, 2 * TICKS) * SECOND))
    assert trace_count("series") == before


def test_a_static_field_makes_another_program(predictor: FunctionalPredictor) -> None:
    config = dataclasses.replace(predictor.config, sinkhorn_max_iter=predictor.config.sinkhorn_max_iter - 1)
    before = trace_count("series")
    buffer = observations(np.ones(SERIES_LENGTH), np.arange(SERIES_LENGTH))
    state = packed_state(predictor.init_state())
    run_series.jitted.trace(static_part(config), traced_part(config), state, buffer, np.int64(1))
    assert trace_count("series") == before + 1


def test_traced_settings_act(predictor: FunctionalPredictor, values: np.ndarray) -> None:
    ticks = observations(values, np.arange(TICKS) * SECOND)
    narrow = FunctionalPredictor(dataclasses.replace(predictor.config, confidence_level=0.5, interval_rate=0.0))
    wide = FunctionalPredictor(dataclasses.replace(predictor.config, confidence_level=0.99, interval_rate=0.0))
    _, a = narrow.scan(narrow.init_state(), ticks)
    _, b = wide.scan(wide.init_state(), ticks)
    ratio = (b.confidence_upper - b.confidence_lower)[50:] / (a.confidence_upper - a.confidence_lower)[50:]
    # Quantiles of N(0, 1) at .995 and .75, where nothing has corrected them.
    np.testing.assert_allclose(ratio, 2.5758293035489 / 0.6744897501961, rtol=1e-9)


def test_a_step_leaves_its_state_untouched(
    predictor: FunctionalPredictor, scanned: tuple[PredictorState, PredictionResult]
) -> None:
    before = sha256_pytree(scanned[0])
    once, _ = predictor.step(scanned[0], ProcessState(1.0, TICKS * SECOND))
    twice, _ = predictor.step(scanned[0], ProcessState(1.0, TICKS * SECOND))
    assert sha256_pytree(scanned[0]) == before and sha256_pytree(once) == sha256_pytree(twice)


def test_states_keep_their_types(predictor: FunctionalPredictor) -> None:
    """A weakly typed leaf would compile the second tick anew; a shared leaf could not be donated."""
    state = predictor.init_state()
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))
    places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state) if leaf.size]
    assert len(set(places)) == len(places)
    new, result = predictor.step(state, ProcessState(1.0, 0))
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(new), strict=True):
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)
    layout = result_layout(predictor.config)
    for leaf, shape, dtype in zip(jax.tree.leaves(result), layout.shapes, layout.dtypes, strict=True):
        assert leaf.shape == shape and leaf.dtype == dtype


def test_batched_states_are_copies_of_one(predictor: FunctionalPredictor) -> None:
    key = jax.random.PRNGKey(3)
    for one, many in (
        (predictor.init_state(), predictor.init_state(3)),
        (predictor.init_state(key=key), predictor.init_state(3, key=key)),
    ):
        assert same(jax.tree.map(lambda leaf: leaf[2], many), one)
    assert not same(predictor.init_state(), predictor.init_state(key=key))


def test_the_state_tag_comes_back(predictor: FunctionalPredictor) -> None:
    _, result = predictor.step(predictor.init_state(), ProcessState(1.0, 0, "request 7"))
    assert result.request_id == "request 7"
    assert predictor.step(predictor.init_state(), ProcessState(1.0, 0))[1].request_id is None


def test_now_says_how_old_a_tick_is(
    predictor: FunctionalPredictor, scanned: tuple[PredictorState, PredictionResult]
) -> None:
    stamp = TICKS * SECOND
    fresh = predictor.step(scanned[0], ProcessState(0.0, stamp), now_ns=stamp + SECOND)[1]
    old = predictor.step(scanned[0], ProcessState(0.0, stamp), now_ns=stamp + 60 * SECOND)[1]
    again = predictor.step(scanned[0], ProcessState(0.0, stamp).observation(), now_ns=stamp + 60 * SECOND)[1]
    assert not fresh.telemetry.stale and old.telemetry.stale and again.telemetry.stale
    assert fresh.operating_mode == 0 and old.operating_mode == 1
    np.testing.assert_array_equal(old.telemetry.weight, scanned[1].telemetry.weight[-1])


def test_a_step_can_be_part_of_a_users_program(predictor: FunctionalPredictor) -> None:
    @jax.jit
    def error(state: PredictorState, tick: Observation) -> jax.Array:
        return orchestrate_step(predictor.config, state, tick)[1].reference_prediction - tick.value

    shape = jax.eval_shape(error, predictor.init_state(), ProcessState(1.0, 0).observation())
    assert shape.shape == () and shape.dtype == np.float64


def test_errors_at_the_edge(predictor: FunctionalPredictor) -> None:
    tick = ProcessState(1.0, 0)
    many = predictor.init_state(3)
    # Past the type checks of the test run, which a user does not have.
    make = inspect.unwrap(FunctionalPredictor.__init__)
    with pytest.raises(DomainError, match="config has type dict, expected PredictorConfig; see load_config"):
        make(object.__new__(FunctionalPredictor), {})
    for batch in (0, -1, True):
        with pytest.raises(DomainError, match="must be a whole number of at least 1"):
            predictor.init_state(batch)
    with pytest.raises(DomainError, match="step_batch got no ticks"):
        predictor.step_batch(many, [])
    with pytest.raises(DomainError, match=r"ticks of shape \(2,\) for states of batch 3; one tick for each"):
        predictor.step_batch(many, [tick, tick])
    with pytest.raises(DomainError, match=r"for states of batch 0"):
        predictor.step_batch(predictor.init_state(), [tick])
    with pytest.raises(DomainError, match=r"scan got ticks of shape \(4,\) for states of batch shape \(3,\)"):
        predictor.scan(many, observations(np.ones(4), np.arange(4)))
    with pytest.raises(DomainError, match=r"scan got ticks of shape \(\)"):
        predictor.scan(predictor.init_state(), tick.observation())


@pytest.mark.parametrize("values", [["a", "b"], [1j, 2j], [True, False], [None, 1.0]], ids=repr)
def test_observations_are_real_numbers(values: list[object]) -> None:
    with pytest.raises(DomainError, match="not real numbers; convert them to float first"):
        observations(values, [0, 1])


def test_observations_of_several_assets_share_their_times() -> None:
    ticks = observations(np.ones((4, 3)), np.arange(4), now_ns=np.int64(9))
    assert all(np.shape(column) == (4, 3) for column in jax.tree.leaves(ticks))
    assert np.array_equal(ticks.timestamp_ns[:, 0], np.arange(4)) and np.isnan(ticks.dispersion_proxy).all()


def test_there_is_no_count_of_an_unknown_program() -> None:
    with pytest.raises(DomainError, match="no program 'step'; known are series, batch"):
        trace_count("step")


def test_results_of_scan_are_plain_arrays(scanned: tuple[PredictorState, PredictionResult]) -> None:
    assert all(isinstance(leaf, np.ndarray) and leaf.shape[0] == TICKS for leaf in jax.tree.leaves(scanned[1]))


def test_a_platform_that_is_not_there_is_refused_by_name() -> None:
    assert jax.default_backend() == "cpu"
    with pytest.raises(ConfigError, match=r"jax_platform = 'gpu' is not to be had here.*'cpu'.*uspnb\[gpu\]"):
        FunctionalPredictor(PredictorConfig(jax_platform="gpu"))
    state = FunctionalPredictor(PredictorConfig(jax_platform="cpu")).init_state()
    assert {device.platform for leaf in jax.tree.leaves(state) for device in leaf.devices()} == {"cpu"}


def test_a_cold_state_may_be_made_within_another_program() -> None:
    """So nothing is asked of the compiler that JAX refuses there."""
    predictor = FunctionalPredictor()
    made = jax.jit(lambda key: predictor.init_state(2, key=key))(jax.random.PRNGKey(predictor.config.seed))
    jax.tree.map(np.testing.assert_array_equal, made, predictor.init_state(2))
