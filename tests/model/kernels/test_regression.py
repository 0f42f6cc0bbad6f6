"""Information-form least squares against NumPy's lstsq on explicitly weighted rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.model.kernels import regression


def _run(
    features: np.ndarray, targets: np.ndarray, forgetting: float, learn: np.ndarray | None = None
) -> regression.RidgeState:
    flags = jnp.ones(len(targets), bool) if learn is None else jnp.asarray(learn)

    def tick(state, row):
        return regression.ridge_learn(state, row[0], row[1], forgetting, row[2]), None

    rows = (jnp.asarray(features), jnp.asarray(targets), flags)
    return jax.jit(lambda s: jax.lax.scan(tick, s, rows)[0])(regression.ridge_init(features.shape[1]))


@pytest.mark.parametrize("forgetting", [0.95, 0.998, 1.0])
def test_it_solves_the_exponentially_weighted_problem(forgetting):
    rng = np.random.default_rng(0)
    n, k, ridge = 400, 7, 1e-3
    features, targets = rng.normal(size=(n, k)), rng.normal(size=n)
    weights = forgetting ** np.arange(n - 1, -1, -1)
    # The ridge is k further rows sqrt(ridge (1 + sum of weights)) I with target zero.
    root = np.sqrt(weights)
    extra = np.sqrt(ridge * (1 + weights.sum())) * np.eye(k)
    expected = np.linalg.lstsq(
        np.vstack([root[:, None] * features, extra]), np.concatenate([root * targets, np.zeros(k)]), rcond=None
    )[0]
    state = _run(features, targets, forgetting)
    np.testing.assert_allclose(regression.ridge_solve(state, ridge), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(state.weight, weights.sum(), rtol=1e-12)
    np.testing.assert_allclose(state.energy, (weights * targets**2).sum(), rtol=1e-12)


def test_masked_rows_leave_no_trace():
    rng = np.random.default_rng(1)
    features, targets = rng.normal(size=(50, 4)), rng.normal(size=50)
    learn = rng.random(50) < 0.6
    dirty = np.where(learn[:, None], features, np.nan)
    masked, clean = _run(dirty, targets, 0.98, learn), _run(features[learn], targets[learn], 0.98)
    for a, b in zip(masked, clean, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_no_observation_gives_zero_coefficients():
    np.testing.assert_array_equal(regression.ridge_solve(regression.ridge_init(5), 1e-12), np.zeros(5))


@pytest.mark.parametrize("forgetting", [0.998, 1.0])
def test_a_million_ticks_of_frozen_features_stay_finite_and_right(forgetting):
    """Covariance-form recursion winds up here: nothing excites the directions orthogonal to one feature vector."""
    features, target = jnp.full(6, 2.0), jnp.asarray(3.0)

    def tick(_, state):
        return regression.ridge_learn(state, features, target, forgetting, jnp.asarray(True))

    state = jax.jit(lambda s: jax.lax.fori_loop(0, 1_000_000, tick, s))(regression.ridge_init(6))
    solution = np.asarray(regression.ridge_solve(state, 1e-3))
    assert np.isfinite(solution).all()
    # Only the load 1e-3 (1 + weight) / (24 weight) shrinks the fit, and symmetry shares it equally.
    np.testing.assert_allclose(solution, 3.0 / 12.0, rtol=2e-4)


def test_the_solution_is_the_same_under_vmap_and_jit():
    rng = np.random.default_rng(2)
    states = [_run(rng.normal(size=(60, 5)), rng.normal(size=60), 0.99) for _ in range(3)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    together = jax.jit(jax.vmap(lambda s: regression.ridge_solve(s, 1e-3)))(batch)
    np.testing.assert_allclose(together, np.stack([regression.ridge_solve(s, 1e-3) for s in states]), rtol=1e-12)


def _shrinkage(outcomes: np.ndarray, forecasts: np.ndarray) -> float:
    track = regression.track_init()
    for y, m in zip(outcomes, forecasts, strict=True):
        track = regression.track_learn(track, jnp.asarray(m), jnp.asarray(y), 0.99, jnp.asarray(True))
    return float(regression.track_shrinkage(track))


def test_shrinkage_is_the_slope_of_outcomes_on_forecasts():
    rng = np.random.default_rng(3)
    forecasts = rng.normal(size=300)
    assert _shrinkage(0.6 * forecasts, forecasts) == pytest.approx(0.6, rel=0.01)  # only the prior takes from it
    assert _shrinkage(2.0 * forecasts, forecasts) == 1.0
    assert _shrinkage(-forecasts, forecasts) == 0.0
    # Pure noise: the slope has standard error sqrt((1 - .99) / 2) = .07.
    assert _shrinkage(rng.normal(size=300), forecasts) < 0.21
