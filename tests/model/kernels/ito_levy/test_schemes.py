"""The switched scheme against closed forms, its convergence order, and diffrax."""

from __future__ import annotations

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.model.kernels.ito_levy.schemes import (
    drift_slope,
    explicit_step,
    graded_mesh,
    implicit_step,
    implicit_weight,
    mean_flow,
    switched_step,
)

PATHS = 4000
FINE = 256


def _brownian(seed: int) -> jax.Array:
    return jax.random.normal(jax.random.PRNGKey(seed), (FINE, PATHS)) / jnp.sqrt(float(FINE))


def _coarse(increments: jax.Array, steps: int) -> jax.Array:
    return increments.reshape(steps, FINE // steps, -1).sum(axis=1)


def _strong_order(error_at) -> float:
    steps = np.array([8, 16, 32, 64])
    return float(-np.polyfit(np.log(steps), np.log([float(error_at(int(n))) for n in steps]), 1)[0])


def test_euler_maruyama_has_strong_order_one_half_on_geometric_brownian_motion():
    """Multiplicative noise is the case in which the order is 1/2 and no better; the solution is known path by path."""
    mu, sigma = 0.5, 1.0
    fine = _brownian(0)
    exact = jnp.exp((mu - 0.5 * sigma**2) + sigma * fine.sum(axis=0))

    def error(steps: int):
        def one(x, dw):
            return explicit_step(lambda z: mu * z, x, 1.0 / steps, sigma * x * dw), None

        x, _ = jax.lax.scan(one, jnp.ones(PATHS), _coarse(fine, steps))
        return jnp.mean(jnp.abs(x - exact))

    # 4000 paths fix the slope to about .02; the asymptotic order is approached from either side.
    assert 0.45 <= _strong_order(error) <= 0.65


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_every_branch_has_strong_order_at_least_one_half_with_additive_noise(weight):
    """Ornstein-Uhlenbeck against the scheme's own solution on a 256 times finer grid of the same Brownian path."""
    theta, sigma = 2.0, 0.5
    fine = _brownian(1)

    def solve(steps: int):
        def one(x, dw):
            return switched_step(lambda z: theta * (1.0 - z), x, 1.0 / steps, weight, sigma * dw), None

        return jax.lax.scan(one, jnp.zeros(PATHS), _coarse(fine, steps))[0]

    # The exact solution for a Brownian path that is linear between fine points, to within O(1/256).
    grid = (jnp.arange(FINE) + 0.5) / FINE
    exact = 1.0 - jnp.exp(-theta) + sigma * (jnp.exp(-theta * (1.0 - grid))[:, None] * fine).sum(axis=0)
    assert _strong_order(lambda steps: jnp.mean(jnp.abs(solve(steps) - exact))) >= 0.9


def test_the_explicit_scheme_is_diffrax_euler():
    """Same drift, same Brownian increments, another library's Euler-Maruyama."""
    path = diffrax.VirtualBrownianTree(0.0, 1.0, tol=1e-3, shape=(), key=jax.random.PRNGKey(2))
    steps, dt = 32, 1.0 / 32

    def drift(x):
        return jnp.sin(x) - x

    terms = diffrax.MultiTerm(
        diffrax.ODETerm(lambda t, y, args: drift(y)), diffrax.ControlTerm(lambda t, y, args: jnp.asarray(0.3), path)
    )
    theirs = diffrax.diffeqsolve(terms, diffrax.Euler(), 0.0, 1.0, dt, jnp.asarray(0.5)).ys
    starts = jnp.arange(steps) * dt
    increments = jax.jit(jax.vmap(lambda t: path.evaluate(t, t + dt)))(starts)
    x, _ = jax.lax.scan(lambda x, dw: (explicit_step(drift, x, dt, 0.3 * dw), None), jnp.asarray(0.5), increments)
    assert theirs is not None
    np.testing.assert_allclose(x, theirs[0], rtol=1e-10)


def test_the_implicit_regime_is_stable_where_euler_explodes():
    """theta dt = 6: the factor per step is -5 for Euler and (1 - 3) / (1 + 3) = -1/2 for the trapezoid."""

    def after(weight: float) -> float:
        def one(x, _):
            return switched_step(lambda z: -6.0 * z, x, 1.0, weight), None

        return float(jax.lax.scan(one, jnp.asarray(1.0), None, length=20)[0])

    assert after(0.0) == pytest.approx(5.0**20, rel=1e-9)
    assert after(1.0) == pytest.approx(0.5**20, rel=1e-6)


def test_the_trapezoid_is_truly_solved_at_theta_50():
    """MATH.md: true trapezoidal error 5e-3 at theta = 50, dt = 1/8; a predictor in place of the solution gives 1e7."""
    x = jnp.asarray(1.0)
    for _ in range(8):
        x = implicit_step(lambda z: -50.0 * z, x, 0.125)
    error = abs(float(x) - np.exp(-50.0))
    assert error == pytest.approx((2.125 / 4.125) ** 8, rel=1e-6)
    assert error < 5.1e-3


def test_the_implicit_step_solves_a_nonlinear_equation():
    def drift(x):
        return 5.0 * jnp.sin(x) - x**3

    x, dt, noise = jnp.asarray(1.4), 0.2, 0.05
    z = implicit_step(drift, x, dt, noise)
    assert float(z - x - 0.5 * dt * (drift(x) + drift(z)) - noise) == pytest.approx(0.0, abs=1e-8)


def test_the_implicit_branch_is_of_second_order_without_noise():
    """x' = -x^3 has x(1) = 1 / sqrt(3) from 1."""
    errors = []
    for steps in (8, 16, 32):
        x = mean_flow(lambda z: -(z**3), jnp.asarray(1.0), jnp.full(steps, 1.0 / steps), 1.0)
        errors.append(abs(float(x) - 3**-0.5))
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / np.array(errors[1:])), 2.0, atol=0.1)


def test_the_mix_is_convex_and_has_its_ends():
    assert [float(implicit_weight(s, 100.0, 1000.0)) for s in (0.0, 100.0, 550.0, 1000.0, 1e9)] == [0, 0, 0.5, 1, 1]
    x, drift = jnp.asarray(0.3), lambda z: -4.0 * z
    explicit, implicit = explicit_step(drift, x, 0.3), implicit_step(drift, x, 0.3)
    assert float(switched_step(drift, x, 0.3, 0.25)) == pytest.approx(0.75 * float(explicit) + 0.25 * float(implicit))


def test_the_slope_is_the_derivative():
    assert float(drift_slope(jnp.sin, jnp.asarray(0.7), 1e-6)) == pytest.approx(np.cos(0.7), abs=1e-9)


@pytest.mark.parametrize("first", [0.001, 0.01, 0.1, 0.5])
def test_the_graded_mesh_fills_a_tick_and_starts_as_asked(first):
    mesh = np.asarray(graded_mesh(first, 10))
    assert mesh.sum() == pytest.approx(1.0, abs=1e-12)
    assert mesh[0] == pytest.approx(min(first, 0.1), rel=1e-9)
    assert (np.diff(mesh) >= -1e-12).all()


def test_grading_pays_where_the_mean_equation_is_stiff():
    """x' = -20 x over one tick, ten trapezoidal steps: graded by default dt = .01 against uniform."""

    def error(first: float) -> float:
        x = mean_flow(lambda z: -20.0 * z, jnp.asarray(1.0), graded_mesh(first, 10), 1.0)
        return abs(float(x) - np.exp(-20.0))

    assert error(0.01) < 1e-3
