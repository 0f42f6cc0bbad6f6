"""Entropic transport against POT and ott-jax, at the edges of cost and volatility, and its regularisation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import ot
import pytest
from ott.geometry.geometry import Geometry
from ott.problems.linear.linear_problem import LinearProblem
from ott.solvers.linear.sinkhorn import Sinkhorn

from uspnb.config.schema import PredictorConfig
from uspnb.model.orchestration.sinkhorn import (
    compute_cost_matrix,
    compute_sinkhorn_epsilon,
    sinkhorn,
    volatility_coupled_sinkhorn,
)

CONFIG = PredictorConfig()
SHARP = PredictorConfig(validation_simplex_atol=1e-11)
NO = jnp.asarray(False)
_solve = jax.jit(sinkhorn)
_coupled = jax.jit(volatility_coupled_sinkhorn)


def _problem(seed: int, spread: float = 1.0):
    """Weights from the whole simplex, some near its corners, and the squared distances of four forecasts."""
    rng = np.random.default_rng(seed)
    source, target = (np.maximum(rng.dirichlet(np.full(4, 0.5)), 1e-4) for _ in range(2))
    forecasts = spread * rng.normal(size=4)
    return source / source.sum(), target / target.sum(), (forecasts[:, None] - forecasts[None, :]) ** 2


def _jax(*arrays):
    return tuple(jnp.asarray(a, float) for a in arrays)


@pytest.mark.parametrize("epsilon", [0.05, 0.15, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_plan_and_cost_agree_with_pot(seed, epsilon):
    """POT's plan minimises <P, C> + eps sum P log P, which has the same minimiser as eps KL(P | a b').

    Its costs differ by eps (sum a log a + sum b log b), so ours is compared with its solver for the KL convention.
    """
    a, b, cost = _problem(seed)
    ours = _solve(*_jax(a, b, cost), jnp.asarray(epsilon), SHARP)
    assert bool(ours.converged)
    settings = {"numItermax": 200_000, "stopThr": 1e-12}
    plan = np.asarray(ot.sinkhorn(a, b, cost, epsilon, method="sinkhorn_log", **settings))
    assert max(abs(plan.sum(1) - a).max(), abs(plan.sum(0) - b).max()) < 1e-10, "the authority itself must converge"
    np.testing.assert_allclose(ours.transport_matrix, plan, rtol=0, atol=1e-9)
    solved = ot.solve(cost, a, b, reg=epsilon, reg_type="KL", max_iter=200_000, tol=1e-12)
    assert float(ours.reg_ot_cost) == pytest.approx(float(solved.value), rel=1e-9, abs=1e-9)
    entropic = np.sum(plan * cost) + epsilon * np.sum(plan * np.log(plan))
    shift = epsilon * (np.sum(a * np.log(a)) + np.sum(b * np.log(b)))
    assert float(ours.reg_ot_cost) == pytest.approx(entropic - shift, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_plan_and_cost_agree_with_ott(seed):
    a, b, cost = _jax(*_problem(seed))
    ours = _solve(a, b, cost, jnp.asarray(0.15), SHARP)
    # ott mixes ranks on purpose (broadcasting scalars against vectors), which our tests forbid to our own code.
    with jax.numpy_rank_promotion("allow"):
        geometry = Geometry(cost_matrix=cost, epsilon=0.15)
        theirs = Sinkhorn(threshold=1e-11, max_iterations=20_000)(LinearProblem(geometry, a, b))
        plan = np.asarray(theirs.matrix)
    assert bool(theirs.converged)
    np.testing.assert_allclose(ours.transport_matrix, plan, rtol=0, atol=1e-9)
    assert float(ours.reg_ot_cost) == pytest.approx(np.asarray(theirs.reg_ot_cost).item(), rel=1e-8, abs=1e-9)


def _assert_feasible(result, a, b, tolerance: float = 1e-6):
    plan = np.asarray(result.transport_matrix)
    assert np.isfinite(plan).all() and (plan >= 0).all() and np.isfinite(float(result.reg_ot_cost))
    error = max(abs(plan.sum(1) - a).max(), abs(plan.sum(0) - b).max())
    assert error <= tolerance
    assert bool(result.converged) == (float(result.max_err) <= CONFIG.validation_simplex_atol)


@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0, 8.0])
def test_marginals_hold_to_one_in_a_million_on_hundreds_of_problems(spread):
    problems = [_problem(1000 + seed, spread) for seed in range(200)]
    stacked = _jax(*(np.stack(column) for column in zip(*problems, strict=True)))
    batch = jax.jit(jax.vmap(lambda a, b, c: sinkhorn(a, b, c, jnp.asarray(0.15), CONFIG)))(*stacked)
    plans = np.asarray(batch.transport_matrix)
    assert bool(jnp.all(batch.converged))
    np.testing.assert_allclose(plans.sum(2), stacked[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(plans.sum(1), stacked[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("variance", [1e-300, 0.0, 1e-8, 1.0, 1e8, 1e200])
def test_a_volatility_shock_of_ten_thousand_times_stays_finite(variance):
    """ema_variance 1e8 is a residual of 10,000 usual ones; eps grows with it, and in the limit the plan is a b'."""
    a, b, cost = _problem(3, spread=8.0)
    result = _coupled(*_jax(a, b, cost), jnp.asarray(variance), CONFIG)
    _assert_feasible(result, a, b)
    assert bool(result.converged)
    if variance == 1e8:
        plan = np.asarray(ot.sinkhorn(a, b, cost, float(result.epsilon), method="sinkhorn_log", stopThr=1e-12))
        np.testing.assert_allclose(result.transport_matrix, plan, rtol=0, atol=1e-6)
    if variance == 1e200:
        np.testing.assert_allclose(result.transport_matrix, np.outer(a, b), rtol=0, atol=1e-6)


def test_a_cost_of_256_at_a_small_epsilon():
    """Forecasts clipped at -8 and 8: the potentials are 2000 times eps apart, and exp(-C/eps) is zero in float64."""
    forecasts = np.array([-8.0, 8.0, -8.0, 8.0])
    cost = (forecasts[:, None] - forecasts[None, :]) ** 2
    assert cost.max() == 256.0
    for seed in range(20):
        a, b, _ = _problem(seed)
        result = _solve(*_jax(a, b, cost), jnp.asarray(0.12), CONFIG)
        _assert_feasible(result, a, b)
        # The exact transport moves only what one pair of equal forecasts has too little of.
        exact = ot.emd2(a, b, cost)
        assert float(result.reg_ot_cost) >= exact - 1e-6
        assert float(jnp.sum(result.transport_matrix * jnp.asarray(cost))) == pytest.approx(exact, rel=1e-4, abs=1e-4)


def test_equal_forecasts_cost_nothing():
    a, b, _ = _problem(5)
    result = _solve(*_jax(a, b, np.zeros((4, 4))), jnp.asarray(0.1), CONFIG)
    assert float(result.reg_ot_cost) == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(result.transport_matrix, np.outer(a, b), rtol=0, atol=1e-9)


def test_the_potential_is_the_gradient_of_the_cost():
    """Envelope theorem: along directions that keep the mass, d cost / d a = f - eps log a, by central differences."""
    a, b, cost = _problem(6)
    epsilon, step = jnp.asarray(0.3), 1e-5
    result = _solve(*_jax(a, b, cost), epsilon, SHARP)
    direction = np.array([1.0, -1.0, 0.0, 0.0])
    values = [float(_solve(*_jax(a + s * step * direction, b, cost), epsilon, SHARP).reg_ot_cost) for s in (1, -1)]
    slope = (values[0] - values[1]) / (2 * step)
    assert float(result.source_potential @ direction) == pytest.approx(slope, rel=1e-5)


def test_a_warm_start_gives_the_same_plan_sooner():
    a, b, cost = _problem(7, spread=2.0)
    arrays, epsilon = _jax(a, b, cost), jnp.asarray(0.15)
    cold = _solve(*arrays, epsilon, CONFIG)
    warm = _solve(*arrays, epsilon, CONFIG, cold.target_potential)
    np.testing.assert_allclose(warm.transport_matrix, cold.transport_matrix, rtol=0, atol=1e-6)
    assert int(warm.iterations) < int(cold.iterations)


def test_too_few_iterations_are_reported_not_hidden():
    a, b, cost = _problem(8, spread=3.0)
    result = _solve(*_jax(a, b, cost), jnp.asarray(0.1), PredictorConfig(sinkhorn_max_iter=1))
    assert not bool(result.converged)
    assert float(result.max_err) > CONFIG.validation_simplex_atol


@pytest.mark.parametrize("variance", [0.0, 0.04, 1.0, 9.0, 1e8])
def test_epsilon_is_the_formula_of_seed_003(variance):
    steep = PredictorConfig(sinkhorn_epsilon_0=0.5, sinkhorn_alpha=2.0)
    for config in (CONFIG, steep, PredictorConfig(sinkhorn_epsilon_min=0.9)):
        raw = config.sinkhorn_epsilon_0 * (1.0 + config.sinkhorn_alpha * np.sqrt(variance))
        expected = max(config.sinkhorn_epsilon_min, raw)
        # The floor under the square root is numerical_epsilon, 1e-12, hence 1e-6 in sigma.
        assert float(compute_sinkhorn_epsilon(jnp.asarray(variance), config)) == pytest.approx(expected, rel=3e-6)


def test_an_uncoupled_epsilon_is_the_configured_one():
    config = PredictorConfig(sinkhorn_coupled=False, epsilon=0.02)
    assert float(compute_sinkhorn_epsilon(jnp.asarray(50.0), config)) == 0.02


def test_no_gradient_flows_through_epsilon():
    """The counterpart, the gradient of the formula itself, is not zero."""
    assert float(jax.grad(lambda v: compute_sinkhorn_epsilon(v, CONFIG))(jnp.asarray(2.0))) == 0.0
    a, b, cost = _jax(*_problem(9))
    through = jax.grad(lambda v: volatility_coupled_sinkhorn(a, b, cost, v, CONFIG).reg_ot_cost)(jnp.asarray(2.0))
    assert float(through) == 0.0
    formula = jax.grad(lambda v: CONFIG.sinkhorn_epsilon_0 * (1.0 + CONFIG.sinkhorn_alpha * jnp.sqrt(v)))
    assert float(formula(jnp.asarray(2.0))) > 0.0


def test_the_cost_is_quadratic_and_linear_in_the_tails_where_asked():
    forecasts = jnp.asarray([0.0, 0.5, 3.0, -8.0])
    gaps = np.abs(np.subtract.outer(np.asarray(forecasts), np.asarray(forecasts)))
    np.testing.assert_allclose(compute_cost_matrix(forecasts, CONFIG, NO), gaps**2, rtol=1e-15)
    delta = CONFIG.sinkhorn_huber_delta
    huber = np.where(gaps <= delta, gaps**2, 2 * delta * gaps - delta**2)
    np.testing.assert_allclose(compute_cost_matrix(forecasts, CONFIG, jnp.asarray(True)), huber, rtol=1e-15)
    always = compute_cost_matrix(forecasts, PredictorConfig(sinkhorn_cost_type="huber"), NO)
    np.testing.assert_allclose(always, huber, rtol=1e-15)
