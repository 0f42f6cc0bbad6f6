"""Kernel A: nested projections against direct solves, and what it learns of processes with a known best forecast."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.data.processes import autoregression, logistic_map, sine_in_noise
from uspnb.model.kernels import hilbert
from uspnb.model.kernels.base import KernelInputs, no_season, nothing_due
from uspnb.model.kernels.hilbert import SETTLED, nested_coefficients, nested_forecasts, slow_orders
from uspnb.model.kernels.regression import RidgeState

CONFIG = PredictorConfig()
BURN = 1000


def _equations(k: int, rows: int, seed: int) -> tuple[RidgeState, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, k)) @ rng.normal(size=(k, k))
    targets = rng.normal(size=rows)
    state = RidgeState(
        *(jnp.asarray(x) for x in (features.T @ features, features.T @ targets, targets @ targets, rows))
    )
    return state._replace(weight=jnp.asarray(float(rows))), rng.normal(size=k)


def _tick(**changed: int) -> KernelInputs:
    """One tick of a random walk, with some whole numbers of one's own."""
    path = random_walk(CONFIG.wtmm_buffer_size, 3)
    numbers: dict[str, Any] = dict.fromkeys(KernelInputs._fields, jnp.asarray(1.0))
    numbers |= {"path": jnp.asarray(path - path[-1]), "learn": jnp.asarray(True), "volatile": jnp.asarray(False)}
    numbers |= {"season": no_season(CONFIG), "horizon": nothing_due(CONFIG)}
    return KernelInputs(**numbers)._replace(**{name: jnp.asarray(value) for name, value in changed.items()})


@pytest.mark.parametrize(("k", "rows"), [(1, 5), (6, 40), (50, 30), (50, 600)])
@pytest.mark.parametrize("ridge", [1e-6, 1e-3, 10.0])
def test_every_nested_forecast_is_the_direct_solve_of_its_leading_block(k, rows, ridge):
    """With 30 rows for 50 features only the ridge keeps the long orders definite."""
    equations, today = _equations(k, rows, seed=k + rows)
    got = np.asarray(nested_forecasts(equations, jnp.asarray(today), ridge))
    gram, moment = np.asarray(equations.gram), np.asarray(equations.moment)
    for order in range(1, k + 1):
        block = gram[:order, :order] + ridge * (1.0 + rows) * np.eye(order)
        expected = today[:order] @ np.linalg.solve(block, moment[:order])
        # The condition number of the block times the rounding of a double, with a margin of a hundred.
        tolerance = 100 * np.finfo(float).eps * np.linalg.cond(block) * max(1.0, abs(expected))
        assert got[order - 1] == pytest.approx(expected, abs=max(tolerance, 1e-12))


@pytest.mark.parametrize(("k", "rows"), [(6, 40), (50, 600)])
def test_the_coefficients_of_an_order_make_its_nested_forecast(k, rows):
    equations, today = _equations(k, rows, seed=k)
    orders = tuple(order for order in (1, 2, 5, 16, 50) if order <= k)
    coefficients = np.asarray(nested_coefficients(equations, 1e-3, orders))
    expected = np.asarray(nested_forecasts(equations, jnp.asarray(today), 1e-3))[np.array(orders) - 1]
    np.testing.assert_allclose(coefficients @ today, expected, rtol=1e-7)
    for row, order in zip(coefficients, orders, strict=True):
        assert not row[order:].any() and row[:order].all()


def test_long_regressions_are_solved_on_the_stride_and_at_every_tick_while_they_are_young():
    kernel = jax.jit(hilbert.step, static_argnums=0)
    inputs = _tick(ticks=SETTLED - 2, count=CONFIG.wtmm_buffer_size)
    state = hilbert.init(CONFIG, jax.random.PRNGKey(0))._replace(learned=jnp.asarray(100.0))
    solved_at = []
    for ticks in range(SETTLED - 2, SETTLED + 9):
        state, _ = kernel(CONFIG, state, inputs._replace(ticks=jnp.asarray(ticks)), jax.random.PRNGKey(1))
        solved_at.append(int(state.coefficients.ticks))
    young = [SETTLED - 2, SETTLED - 1]
    assert solved_at == young + 4 * [SETTLED] + 4 * [SETTLED + 4] + [SETTLED + 8]


def test_before_the_first_observation_every_order_forecasts_nothing():
    empty = RidgeState(jnp.zeros((5, 5)), jnp.zeros(5), jnp.zeros(()), jnp.zeros(()))
    np.testing.assert_array_equal(nested_forecasts(empty, jnp.ones(5), 1e-3), np.zeros(5))


@pytest.mark.parametrize("size", [0.0, 1e-150, 1e6, 1e150])
def test_nested_forecasts_are_finite_for_degenerate_equations(size):
    gram = jnp.full((8, 8), size**2) if size < 1e100 else jnp.full((8, 8), 1e12)
    equations = RidgeState(gram, jnp.full(8, min(size, 1e6)), jnp.asarray(1.0), jnp.asarray(10.0))
    assert np.isfinite(np.asarray(nested_forecasts(equations, jnp.full(8, min(size, 1e6)), 1e-3))).all()


@pytest.mark.parametrize("lags", [4, 20, 48, 60])
def test_orders_rise_to_the_longest(lags):
    orders = slow_orders(lags)
    assert orders[0] == 1 and orders[-1] == lags + 2 and (np.diff(orders) > 0).all()


def _rmse(forecast: np.ndarray, values: np.ndarray, burn: int = BURN) -> float:
    return float(np.sqrt(np.mean((forecast - values)[burn:] ** 2)))


def test_it_learns_a_second_order_autoregression_to_within_two_percent_of_its_oracle(drive):
    path = autoregression(4000, 5, coefficients=(1.2, -0.5))
    run = drive(hilbert, CONFIG, path.values)
    assert _rmse(run.prediction, path.values) < 1.02 * _rmse(path.oracle, path.values)
    # The oracle itself is well below last value, so that this is no accident.
    assert _rmse(path.oracle, path.values) < 0.85 * float(np.sqrt(np.mean(np.diff(path.values) ** 2)))


def test_it_learns_the_logistic_map(drive):
    path = logistic_map(4000, 1)
    assert drive(hilbert, CONFIG, path.values).relative_rmse(path.values, BURN) < 0.1


def test_it_learns_a_sine_in_noise(drive):
    """The best causal forecast has the noise's own deviation .1; last value has sqrt(2) of it and the slope."""
    path = sine_in_noise(4000, 2)
    run = drive(hilbert, CONFIG, path.values)
    assert _rmse(run.prediction, path.values) < 1.15 * 0.1
    assert run.relative_rmse(path.values, BURN) < 0.7


def test_it_follows_a_change_of_the_process(drive):
    """The sign of the dependence turns at tick 2000: the old filter is worse than last value there."""
    rng = np.random.default_rng(4)
    values = np.zeros(4000)
    for t in range(1, 4000):
        values[t] = (0.9 if t < 2000 else -0.6) * values[t - 1] + rng.normal()
    run = drive(hilbert, CONFIG, values)
    assert _rmse(run.prediction, values, 2300) < 1.06


@pytest.mark.parametrize("value", [0.0, 3.0, -1e300])
def test_a_constant_is_forecast_as_itself(drive, value):
    run = drive(hilbert, CONFIG, np.full(400, value))
    np.testing.assert_allclose(run.prediction, value, rtol=1e-12, atol=1e-290)
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves((run.state, run.output)))


def test_the_scale_is_that_of_its_own_errors(drive):
    path = autoregression(4000, 6, coefficients=(0.7,))
    run = drive(hilbert, CONFIG, path.values)
    z = (path.values - run.prediction)[BURN:] / run.scale[BURN:]
    # A winsorised average with a memory of 33 ticks scatters by a tenth, which raises E z^2 by 2 %.
    assert np.sqrt(np.mean(z**2)) == pytest.approx(1.0, abs=0.06)


def test_without_learn_the_equations_and_scores_stand_still(drive):
    values = random_walk(400, 7)
    learn = np.arange(400) < 300
    state = drive(hilbert, CONFIG, values, learn).state
    wild = values.copy()
    wild[300:] += 50.0 * np.random.default_rng(8).normal(size=100)
    other = drive(hilbert, CONFIG, wild, learn).state
    for name in ("slow", "fast", "features", "score", "slow_score", "variance", "learned"):
        for a, b in zip(jax.tree.leaves(getattr(state, name)), jax.tree.leaves(getattr(other, name)), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
    assert float(state.learned) < 300
    # The counterpart: with learning they differ.
    assert float(drive(hilbert, CONFIG, wild).state.learned) > float(state.learned)


def test_expert_weights_are_a_distribution_and_the_reference_leaves_the_fast_ones_out(drive):
    path = autoregression(2000, 9, coefficients=(0.6,))
    run = drive(hilbert, CONFIG, path.values)
    diagnostics = run.output.diagnostics
    np.testing.assert_allclose(np.asarray(diagnostics.expert_weight).sum(1), 1.0, rtol=0, atol=1e-12)
    assert (np.asarray(diagnostics.mean_order) >= 0).all()
    assert np.isfinite(np.asarray(diagnostics.reference)).all()
