"""What must hold of the whole predictor whatever the series: causality, one answer, invariance, survival.

Every run goes through the one program of `backtest`, so it compiles once.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import subprocess
import sys

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_kernel import WITH_SEASONS, registered
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.model.orchestration.step import orchestrate_step
from uspnb.model.packing import unpack
from uspnb.model.programs import result_layout, trace_count
from uspnb.model.records import PredictionResult, ProcessState
from uspnb.model.state import PredictorState
from uspnb.predictor.backtest import backtest
from uspnb.predictor.functional import FunctionalPredictor, observations, scan_chunks
from uspnb.runtime.digest import sha256_pytree

SECOND = 10**9
TICKS = 512
CONFIG = PredictorConfig()
PREDICTOR = FunctionalPredictor(CONFIG)
# Documented as NaN: before the first proxy, for residuals not yet seen, where no cross-check is valid, and before the
# first residual is counted (a constant series has none, because it is frozen).
# Of the past of a horizon the score of the step before, until it is due.
NAN_BY_DESIGN = {".gate.proxy", ".score.residuals", ".roughness.whittle", ".horizon.past"}
NAN_BEFORE_THE_FIRST = {".charts.threshold", ".modes.quantile"} | {f".horizon.{name}" for name in ("quantile", "half")}
NAN_WHERE_NOTHING_MOVES = {f".spectrum.{name}" for name in ("frequency", "power", "paley_wiener_integral")}


def run(
    values: np.ndarray, stamps: np.ndarray | None = None, state: PredictorState | None = None
) -> tuple[PredictorState, np.ndarray]:
    """Last state and packed rows of a series on a grid of one second."""
    stamps = np.arange(len(values)) * SECOND if stamps is None else stamps
    start = PREDICTOR.init_state() if state is None else state
    return scan_chunks(PREDICTOR, start, observations(values, stamps))


def results(rows: np.ndarray) -> PredictionResult:
    return unpack(rows, result_layout(CONFIG))


def autoregressive(seed: int, ticks: int = TICKS) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(ticks)
    path = np.zeros(ticks)
    for t in range(1, ticks):
        path[t] = 0.8 * path[t - 1] + noise[t]
    return path


def not_finite(state: PredictorState) -> set[str]:
    named = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path) for path, leaf in named if not np.all(np.isfinite(np.asarray(leaf, float)))}


# causality


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**31),
    t=st.integers(1, TICKS - 1),
    replacement=st.sampled_from([0.0, 1.5, -40.0, 1e9, -1e300, float("nan"), float("inf")]),
)
def test_a_tick_changes_nothing_before_it(seed: int, t: int, replacement: float) -> None:
    values = autoregressive(seed)
    _, before = run(values)
    changed = values.copy()
    changed[t:] = values[t:][::-1] + 1.0
    changed[t] = replacement
    _, after = run(changed)
    np.testing.assert_array_equal(after[:t], before[:t])
    old, new = results(before).telemetry, results(after).telemetry
    for name in ("prediction", "lower", "upper", "scale", "kernel_prediction", "kernel_scale"):
        np.testing.assert_array_equal(getattr(new, name)[t], getattr(old, name)[t], err_msg=name)
    assert not np.array_equal(after[t:], before[t:], equal_nan=True)


# one answer, however it is computed


@pytest.mark.slow
def test_jit_equals_eager() -> None:
    """With two kernels: each primitive is compiled alone here, and every kernel has this demand of its own."""
    values = autoregressive(3)
    a = b = None
    with registered():
        predictor = FunctionalPredictor(PredictorConfig(kernels=("ito_levy", "mine"), **WITH_SEASONS))
        state, _ = predictor.scan(predictor.init_state(), observations(values[:256], np.arange(256) * SECOND))
        compiled = eager = state
        for t in range(256, 259):
            tick = ProcessState(values[t], t * SECOND)
            compiled, a = predictor.step(compiled, tick)
            with jax.disable_jit():
                observation = jax.tree.map(jax.numpy.asarray, tick.observation())
                eager, b = orchestrate_step(predictor.config, eager, observation)
    pairs = zip(jax.tree_util.tree_leaves_with_path((compiled, a)), jax.tree.leaves((eager, b)), strict=True)
    for (path, left), right in pairs:
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9, err_msg=jax.tree_util.keystr(path))


PROCESS = """
import sys
import numpy as np
from uspnb.predictor.functional import scan_chunks
from uspnb.runtime.digest import sha256_pytree
from uspnb.predictor.functional import FunctionalPredictor, observations
values = np.cumsum(np.random.default_rng(4).standard_normal(300))
values[50], values[60] = np.nan, 1e9
predictor = FunctionalPredictor()
state, rows = scan_chunks(predictor, predictor.init_state(), observations(values, np.arange(300) * 10**9))
print(sha256_pytree({"rows": rows, "state": state}))
"""


def test_two_processes_agree_to_the_bit() -> None:
    """The second process hashes strings differently, as every new process does, and BLAS has one thread there."""
    digests = []
    for seed, threads in (("1", "2"), ("2", "1")):
        done = subprocess.run(
            [sys.executable, "-c", PROCESS],
            env=os.environ | {"PYTHONHASHSEED": seed, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        digests.append(done.stdout.strip())
    assert len(digests[0]) == 64 and digests[0] == digests[1]
    values = random_walk(300, 4)
    values[50], values[60] = np.nan, 1e9
    state, rows = run(values)
    assert sha256_pytree({"rows": rows, "state": state}) == digests[0]


# invariance


@pytest.fixture(scope="module")
def shifted() -> np.ndarray:
    """An AR(1) path whose level and spread change, so that alarms are among what must agree."""
    values = autoregressive(6, 2 * TICKS) + 2.0  # a first tick of zero would have no scale at all
    values[600:] += 8.0
    values[800:] = values[600] + 4.0 * (values[800:] - values[600])
    return values


@pytest.fixture(scope="module")
def reference(shifted: np.ndarray) -> PredictionResult:
    shifted_results = results(run(shifted)[1])
    assert shifted_results.telemetry.alarm.sum() >= 2
    return shifted_results


def assert_alike(a: PredictionResult, b: PredictionResult, unit: float, shift: float, tolerance: float) -> None:
    """`a` is `b` in another unit and from another zero, to `tolerance` innovation scales."""
    scale = float(np.nanmedian(b.telemetry.scale))
    for name in ("reference_prediction", "confidence_lower", "confidence_upper"):
        ours = (getattr(a, name) - shift) / unit
        np.testing.assert_allclose(ours, getattr(b, name), rtol=tolerance, atol=tolerance * scale, err_msg=name)
    for name in ("alarm", "alarm_chart", "onset_ago", "rejected", "degraded", "emergency", "operating_mode"):
        np.testing.assert_array_equal(getattr(a.telemetry, name), getattr(b.telemetry, name), err_msg=name)


@pytest.mark.parametrize("power", [-600, 40, 900])
def test_a_unit_of_a_power_of_two_changes_no_bit(shifted: np.ndarray, reference: PredictionResult, power: int) -> None:
    """Such a unit shifts the exponent of every number and rounds nothing."""
    scaled = results(run(np.ldexp(shifted, power))[1])
    np.testing.assert_array_equal(np.ldexp(scaled.reference_prediction, -power), reference.reference_prediction)
    np.testing.assert_array_equal(np.ldexp(scaled.confidence_upper, -power), reference.confidence_upper)
    np.testing.assert_array_equal(scaled.telemetry.weight, reference.telemetry.weight)
    np.testing.assert_array_equal(scaled.telemetry.chart_statistic, reference.telemetry.chart_statistic)


@pytest.mark.parametrize("unit", [1e300, 1e-6, 3.0, 1e-290, 1e-300])
def test_the_unit_of_the_input_does_not_matter(shifted: np.ndarray, reference: PredictionResult, unit: float) -> None:
    """1e-6: a unit that is no power of two rounds every tick by 1e-16, which the least squares fits amplify."""
    assert_alike(results(run(shifted * unit)[1]), reference, unit, 0.0, 1e-6)


@pytest.mark.parametrize("shift", [1.0, -1e3, 1e6])
def test_the_zero_of_the_input_does_not_matter(shifted: np.ndarray, reference: PredictionResult, shift: float) -> None:
    """Adding c rounds every tick by 1e-16 c, which the fits amplify a thousandfold at the most: 1e-6 at c = 1e6."""
    moved = results(run(shifted + shift)[1])
    scale = float(np.nanmedian(reference.telemetry.scale))
    np.testing.assert_allclose(moved.reference_prediction - shift, reference.reference_prediction, atol=1e-6 * scale)
    np.testing.assert_array_equal(moved.telemetry.alarm, reference.telemetry.alarm)


@pytest.mark.parametrize("level", [0.0, 1.0, -3.7, 1e300, 1e-300])
def test_a_constant_series_is_forecast_as_itself(level: float) -> None:
    state, rows = run(np.full(TICKS, level))
    result = results(rows)
    np.testing.assert_allclose(result.reference_prediction, level, rtol=1e-9, atol=1e-290)
    assert np.isfinite(result.confidence_lower).all() and np.isfinite(result.confidence_upper).all()
    allowed = NAN_BY_DESIGN | NAN_BEFORE_THE_FIRST | NAN_WHERE_NOTHING_MOVES
    assert not result.telemetry.alarm.any() and not_finite(state) <= allowed
    assert result.telemetry.frozen[-1] or not result.telemetry.rejected.any()


# survival

BAD = {
    "nan": lambda n, rng: np.full(n, np.nan),
    "inf": lambda n, rng: np.full(n, np.inf),
    "-inf": lambda n, rng: np.full(n, -np.inf),
    "tiny": lambda n, rng: np.full(n, 1e-300),
    "constant": lambda n, rng: np.full(n, 2.5),
    "spikes": lambda n, rng: 1e6 * rng.standard_normal(n),
    "far level": lambda n, rng: 1e6 + rng.standard_normal(n),
    "mixture": lambda n, rng: rng.choice([np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-300, 1e6], n),
    "two huge": lambda n, rng: np.where(np.arange(n) < 2, 1e300, np.nan),
}


def spoiled(values: np.ndarray, kind: str, start: int, length: int, seed: int) -> np.ndarray:
    bad = values.copy()
    bad[start : start + length] = BAD[kind](length, np.random.default_rng(seed))
    return bad


def assert_recovered(values: np.ndarray, rows: np.ndarray, clean_rows: np.ndarray, since: int) -> None:
    result, clean = results(rows), results(clean_rows)
    assert np.isfinite(result.reference_prediction[1:]).all()
    assert np.isfinite(result.confidence_lower[1:]).all() and np.isfinite(result.confidence_upper[1:]).all()
    assert not result.telemetry.rejected[since:].any()
    error = np.sqrt(np.mean((values[since:] - result.telemetry.prediction[since:]) ** 2))
    usual = np.sqrt(np.mean((values[since:] - clean.telemetry.prediction[since:]) ** 2))
    assert error <= 1.2 * usual, (error, usual)


@settings(max_examples=24)
@given(
    kind=st.sampled_from(sorted(BAD)),
    start=st.integers(1, 200),
    length=st.integers(1, 60),
    stamps=st.sampled_from(["right", "backward", "duplicate"]),
    seed=st.integers(0, 2**31),
)
def test_bad_ticks_are_survived(kind: str, start: int, length: int, stamps: str, seed: int) -> None:
    values = autoregressive(seed % 4)
    _, clean = run(values)
    clock = np.arange(TICKS) * SECOND
    if stamps == "backward":
        clock[start : start + length] = clock[start] - np.arange(length) * SECOND
    elif stamps == "duplicate":
        clock[start : start + length] = clock[start - 1]
    state, rows = run(spoiled(values, kind, start, length, seed), clock)
    assert not_finite(state) <= NAN_BY_DESIGN
    assert_recovered(values, rows, clean, 400)


def test_a_bad_beginning_is_forgotten() -> None:
    """Before 16 ticks nothing is judged an outlier, so these three enter the scales."""
    values = autoregressive(0)
    _, clean = run(values)
    state, rows = run(spoiled(values, "far level", 1, 3, 0))
    assert not_finite(state) <= NAN_BY_DESIGN
    assert_recovered(values, rows, clean, 400)


@pytest.mark.parametrize("value", [1e300, -1e300])
@pytest.mark.parametrize("length", [6, 40])
def test_a_visit_to_the_end_of_the_numbers_is_survived(value: float, length: int) -> None:
    """Five such ticks in a row are a new level, so they are taken in; what comes back must be learned again."""
    values = autoregressive(1)
    _, clean = run(values)
    bad = values.copy()
    bad[100 : 100 + length] = value * (1.0 + 0.01 * np.random.default_rng(0).standard_normal(length))
    state, rows = run(bad)
    assert not_finite(state) <= NAN_BY_DESIGN
    assert_recovered(values, rows, clean, 400)


def test_one_timestamp_far_in_the_future_is_survived() -> None:
    values = autoregressive(1)
    _, clean = run(values)
    clock = np.arange(TICKS) * SECOND
    clock[200] = 2**62
    state, rows = run(values, clock)
    assert not_finite(state) <= NAN_BY_DESIGN
    assert_recovered(values, rows, clean, 400)


@pytest.mark.parametrize("first", [np.nan, np.inf, 1e300, -1e300, 1e-300, 0.0])
def test_a_series_may_begin_badly(first: float) -> None:
    values = autoregressive(2)
    values[:3] = first
    state, rows = run(values)
    result = results(rows)
    begun = np.isfinite(result.reference_prediction)
    accepted = np.cumsum(result.telemetry.accepted) > 0
    np.testing.assert_array_equal(begun, accepted)
    assert accepted[3:].all() and not_finite(state) <= NAN_BY_DESIGN


def test_nothing_but_missing_ticks() -> None:
    state, rows = run(np.full(20, np.nan))
    result = results(rows)
    assert result.telemetry.rejected.all() and np.isnan(result.reference_prediction).all()
    np.testing.assert_array_equal(result.telemetry.weight, 0.25)
    assert int(state.ticks) == 20 and int(state.frame.count) == 0


def test_a_rejected_tick_that_is_not_imputed_touches_counters_alone() -> None:
    values = autoregressive(1)
    state, _ = run(values[:300])
    tick = observations(np.array([np.nan]), np.array([300 * SECOND]))
    after, rows = scan_chunks(FunctionalPredictor(dataclasses.replace(CONFIG, impute=False)), state, tick)
    assert results(rows).telemetry.rejected[0]
    expected = state._replace(ticks=state.ticks + 1, modes=after.modes, gate=after.gate)
    assert sha256_pytree(after) == sha256_pytree(expected)
    for name in ("last_timestamp_ns", "intervals_ns", "equal_run", "repeat_rate", "frozen", "short_variance"):
        np.testing.assert_array_equal(getattr(after.gate, name), getattr(state.gate, name), err_msg=name)
    assert bool(after.modes.degraded)
    np.testing.assert_array_equal(results(rows).reference_prediction[0], state.forecast.mean)


@pytest.mark.slow
def test_a_hundred_thousand_ticks() -> None:
    """Weights stay on the simplex, the state stays finite, and memory does not grow."""
    rng = np.random.default_rng(9)
    values = np.cumsum(rng.standard_t(3, 100_000))
    values[rng.integers(0, 100_000, 200)] = np.nan
    values[rng.integers(0, 100_000, 50)] += 1e6
    run(values[:2000])
    traces, highest = trace_count("series"), 0.0
    state, resident = PREDICTOR.init_state(), []
    for start in range(0, 100_000, 10_000):
        stop = start + 10_000
        state, rows = scan_chunks(PREDICTOR, state, observations(values[start:stop], np.arange(start, stop) * SECOND))
        result = results(rows)
        weight = result.telemetry.weight
        highest = max(highest, float(np.abs(weight.sum(axis=1) - 1.0).max()))
        assert (weight >= 0).all() and np.isfinite(result.reference_prediction).all()
        resident.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert highest <= 1e-10
    assert not_finite(state) <= NAN_BY_DESIGN
    assert trace_count("series") == traces
    # The rows of 10,000 ticks are 10 MB; the peak after 20,000 ticks is the peak, to a tenth of that a piece.
    assert resident[-1] - resident[1] <= 8 * 1024, resident


def test_assets_are_independent() -> None:
    """One asset's bad ticks change no bit of another's."""
    values = np.stack([autoregressive(k, 400) for k in range(3)], axis=1)
    spoilt = values.copy()
    spoilt[100:140, 1] = BAD["mixture"](40, np.random.default_rng(0))
    a, b = backtest(values), backtest(spoilt)
    for name in a.data_vars:
        for asset in (0, 2):
            np.testing.assert_array_equal(
                a[name].isel(asset=asset).values, b[name].isel(asset=asset).values, err_msg=str(name)
            )
