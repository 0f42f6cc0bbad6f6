"""The per-tick solve against closed forms and a Crank-Nicolson solution."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import solve_banded

from uspnb.model.kernels.deep_galerkin import galerkin, trunk

BASE = galerkin.load_tables(32, 2, 64)
Z = np.linspace(-3.0, 3.0, 31)
SOLVE = jax.jit(lambda drift, diffusion: galerkin.solve(BASE, drift, diffusion))
VALUES = jax.jit(jax.vmap(lambda layers, z: galerkin.value_at(BASE, layers, z), in_axes=(None, 0)))


def crank_nicolson(drift, variance, terminal, half_width=9.0, places=1801, times=200):
    """V(0, .) of V_t + b V_z + v/2 V_zz = 0 on a domain so wide that its ends are not felt; ends: V_zz = 0."""
    z = np.linspace(-half_width, half_width, places)
    h, dt = z[1] - z[0], 1.0 / times
    b, v = drift(z), 0.5 * variance(z)
    low, up, mid = v / h**2 - b / (2 * h), v / h**2 + b / (2 * h), -2 * v / h**2
    low[0], up[0], mid[0], up[-1], low[-1], mid[-1] = 0.0, b[0] / h, -b[0] / h, 0.0, -b[-1] / h, b[-1] / h
    value = terminal(z)
    for step in range(times):
        implicit = 1.0 if step < 4 else 0.5
        bands = np.zeros((3, places))
        bands[0, 1:], bands[2, :-1] = -implicit * dt * up[:-1], -implicit * dt * low[1:]
        bands[1] = 1 - implicit * dt * mid
        applied = mid * value + np.append(up[:-1] * value[1:], 0.0) + np.insert(low[1:] * value[:-1], 0, 0.0)
        value = solve_banded((1, 1), bands, value + (1 - implicit) * dt * applied)
    return lambda at: np.interp(at, z, value)


def ornstein_uhlenbeck(seed: int, draws: int = 200):
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        theta = np.exp(rng.uniform(np.log(0.005), np.log(2.5)))
        mu, variance = 0.3 * rng.normal(), min(2.0 * theta * np.exp(0.5 * rng.normal()), 5.0)
        layers = SOLVE(jnp.array([theta * mu, -theta, 0.0, 0.0]), variance * jnp.ones(3))
        yield theta, mu, variance, layers


def test_mean_of_ornstein_uhlenbeck_is_exact_to_a_thousandth():
    errors = []
    for theta, mu, _, layers in ornstein_uhlenbeck(0):
        mean, _ = VALUES(layers, Z)
        errors.append(np.abs(mean - (mu + (Z - mu) * np.exp(-theta))))
    assert np.quantile(errors, 0.95) < 1e-3
    assert np.max(errors) < 1e-2


def test_variance_of_ornstein_uhlenbeck():
    errors = []
    for theta, _, variance, layers in ornstein_uhlenbeck(1, 60):
        mean, square = VALUES(layers, Z)
        exact = variance * -np.expm1(-2 * theta) / (2 * theta)
        errors.append(np.abs(square - mean**2 - exact) / exact)
    # V2 - V^2 cancels most where the innovation is least against the spread: hence a quantile.
    assert np.quantile(errors, 0.95) < 0.05


@pytest.mark.parametrize(
    ("drift", "sd"),
    [
        (lambda z: 0.05 * (z - z**3), 0.3),
        (lambda z: -np.tanh(z), 0.5),
        (lambda z: 0.2 - 0.3 * np.tanh(0.7 * z + 0.5), 0.3),
        (lambda z: 0.3 * np.sin(z), 0.7),
    ],
    ids=["double well", "tanh", "shifted tanh", "sine"],
)
def test_nonlinear_drift_agrees_with_crank_nicolson(drift, sd):
    places = 4.0 * galerkin.chebyshev_points()[:, 1]
    layers = galerkin.solve_pointwise(BASE, jnp.asarray(drift(places)), jnp.full(len(places), sd**2))
    inner = Z[np.abs(Z) <= 2.0]
    mean, _ = VALUES(layers, inner)
    bounded = lambda z: drift(np.clip(z, -4.0, 4.0))  # noqa: E731
    exact = crank_nicolson(bounded, lambda z: np.full_like(z, sd**2), lambda z: z)(inner)
    assert np.max(np.abs(mean - exact)) < 5e-3


def test_state_dependent_diffusion_agrees_with_crank_nicolson():
    drift, diffusion = np.array([0.05, -0.3, 0.05, 0.05]), np.array([0.1, 0.2, 0.6])
    layers = SOLVE(jnp.asarray(drift), jnp.asarray(diffusion))
    inner = Z[np.abs(Z) <= 2.0]
    _, square = VALUES(layers, inner)
    exact = crank_nicolson(
        lambda z: galerkin.drift_basis(z, np) @ drift, lambda z: galerkin.diffusion_basis(z, np) @ diffusion, np.square
    )(inner)
    assert np.max(np.abs(square - exact)) < 2e-2


def test_combined_grams_give_the_pointwise_solve():
    drift, diffusion = np.array([0.1, -0.4, 0.05, -0.03]), np.array([0.2, 0.3, 0.25])
    places = jnp.asarray(4.0 * galerkin.chebyshev_points()[:, 1])
    b, s2 = galerkin.drift_basis(places) @ drift, galerkin.diffusion_basis(places) @ diffusion
    pointwise = galerkin.solve_pointwise(BASE, b, s2)
    combined = SOLVE(jnp.asarray(drift), jnp.asarray(diffusion))
    # The normal equations square the condition number, so compare what is used of them, the values.
    for a, b in zip(VALUES(pointwise, Z), VALUES(combined, Z), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_terminal_condition_is_hard():
    layers = 1e3 * jax.random.normal(jax.random.PRNGKey(0), SOLVE(jnp.zeros(4), jnp.ones(3)).shape)
    for z in (-3.7, 0.0, 1.234):
        mean, square = galerkin.value_at(BASE, layers, jnp.asarray(z), 1.0)
        np.testing.assert_allclose([mean, square], [z, z * z], rtol=1e-14, atol=1e-14)


def test_residual_on_points_outside_the_solve_is_small_and_sees_a_wrong_solution():
    residuals = []
    for theta, mu, variance, layers in ornstein_uhlenbeck(2, 40):
        b, s2 = jnp.array([theta * mu, -theta, 0.0, 0.0]), variance * jnp.ones(3)
        residuals.append(float(galerkin.held_out_residual(BASE, layers, b, s2)))
        wrong = float(galerkin.held_out_residual(BASE, jnp.zeros_like(layers), b, s2))
        assert wrong > 0.5 * theta
    assert np.quantile(residuals, 0.95) < 2e-2


def test_zero_drift_leaves_the_value_alone():
    mean, _ = VALUES(SOLVE(jnp.zeros(4), 0.01 * jnp.ones(3)), Z)
    np.testing.assert_allclose(mean, Z, atol=1e-12)


def test_derivatives_of_the_trunk_are_those_of_forward_differentiation():
    weights = trunk.load_trunk(32, 2)
    points = np.random.default_rng(0).uniform([0.0, -1.0], [1.0, 1.0], (9, 2))
    by_hand = trunk.jet(weights, points)
    by_jax = trunk.raw_jet(32, 2, weights.params, jnp.asarray(points))
    scale = np.abs(weights.basis).max()
    for a, b in zip(by_hand, by_jax, strict=True):
        np.testing.assert_allclose(a, np.asarray(b) @ weights.basis, atol=1e-11 * scale, rtol=1e-9)
