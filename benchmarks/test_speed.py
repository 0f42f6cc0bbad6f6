"""The per-tick paths under pytest-benchmark: `pytest --benchmark-enable benchmarks`, `--benchmark-compare` to compare.

They are no part of the test suite, whose settings skip benchmarks.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import uspnb
from uspnb.data import processes
from uspnb.predictor.functional import observations

SECOND = 1_000_000_000
SETTLED = 256


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """A path long enough that no benchmark runs out of it before it turns round."""
    return processes.autoregression(8192, 7901).values


def test_backtest_of_2048_ticks(benchmark: Any, values: np.ndarray) -> None:
    """A replay, the Dataset included; divide by 2048 for a tick."""
    ds = benchmark.pedantic(uspnb.backtest, (values[:2048],), {"progress": False}, rounds=5, warmup_rounds=1)
    assert ds.sizes["time"] == 2048


def test_universal_step(benchmark: Any, values: np.ndarray) -> None:
    """One tick of the stateful predictor, host work included."""
    predictor = uspnb.UniversalPredictor(clock=uspnb.replay_clock, history_limit=1000)
    ticks = (uspnb.ProcessState(values[t % len(values)], (t + 1) * SECOND) for t in itertools.count())
    for _ in range(SETTLED):
        predictor.step(next(ticks))
    result = benchmark(lambda: predictor.step(next(ticks)))
    assert np.isfinite(result.reference_prediction)


def test_functional_step(benchmark: Any, values: np.ndarray) -> None:
    """One tick of the stateless predictor."""
    predictor = uspnb.FunctionalPredictor()
    state, _ = predictor.scan(predictor.init_state(), observations(values[:SETTLED], np.arange(SETTLED) * SECOND))
    tick = uspnb.ProcessState(values[SETTLED], SETTLED * SECOND)
    _, result = benchmark(lambda: _waited(predictor.step(state, tick)))
    assert np.isfinite(result.reference_prediction)


@pytest.mark.parametrize("assets", [16, 256])
def test_step_batch(benchmark: Any, assets: int) -> None:
    """One tick of many series in one call."""
    predictor = uspnb.FunctionalPredictor()
    x = np.random.default_rng(7902).standard_normal((SETTLED + 1, assets)).cumsum(axis=0)
    ticks = observations(x, np.arange(SETTLED + 1) * SECOND)
    states = predictor.init_state(assets)
    rows = [ticks.at(t) for t in range(SETTLED + 1)]
    for row in rows[:-1]:
        states, _ = predictor.step_batch(states, row)
    _, result = benchmark(lambda: _waited(predictor.step_batch(states, rows[-1])))
    assert np.isfinite(np.asarray(result.reference_prediction)).all()


def _waited(outcome: tuple[Any, Any]) -> tuple[Any, Any]:
    np.asarray(outcome[1].reference_prediction)
    return outcome
