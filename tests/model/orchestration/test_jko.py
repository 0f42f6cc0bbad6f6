"""The JKO step: on the simplex, down the free energy, towards the target; fusion and mixture moments."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import ot
import pytest
from scipy import stats

from uspnb.config.schema import PredictorConfig
from uspnb.model.orchestration.jko import (
    clip_forecasts,
    fuse_kernel_outputs,
    jko_step,
    mixture_scale,
    on_simplex,
    relative_entropy,
)

CONFIG = PredictorConfig()
PROBLEMS = 500
_fuse = jax.jit(fuse_kernel_outputs)


def _random_weights(rng: np.random.Generator, size: int) -> np.ndarray:
    """From the middle of the simplex to its corners, with the floor that confidences have."""
    raw = np.stack([rng.dirichlet(np.full(4, concentration)) for concentration in rng.choice([0.1, 1.0, 10.0], size)])
    floored = raw + CONFIG.confidence_floor
    return floored / floored.sum(1, keepdims=True)


@pytest.fixture(scope="module")
def fused():
    """Random problems and their step: forecasts from equal to 8 scales apart, all sizes of step."""
    rng = np.random.default_rng(0)
    forecasts = rng.normal(size=(PROBLEMS, 4)) * rng.choice([0.01, 0.3, 1.0, 4.0], size=(PROBLEMS, 1))
    forecasts = jnp.asarray(np.clip(forecasts, -8.0, 8.0))
    target, weights = (jnp.asarray(_random_weights(rng, PROBLEMS)) for _ in range(2))
    variance, rate = jnp.asarray(rng.gamma(2.0, 0.5, PROBLEMS)), jnp.asarray(rng.uniform(0.02, 1.0, PROBLEMS))
    step = jax.jit(jax.vmap(fuse_kernel_outputs, in_axes=(0, 0, 0, 0, 0, None)))
    return forecasts, target, weights, rate, step(forecasts, target, weights, variance, rate, CONFIG)


def test_weights_stay_on_the_simplex(fused):
    weights = np.asarray(fused[-1].updated_weights)
    np.testing.assert_allclose(weights.sum(1), 1.0, rtol=0, atol=1e-10)
    assert (weights > 0).all()


def test_the_free_energy_falls(fused):
    result = fused[-1]
    assert bool(jnp.all(result.sinkhorn_converged))
    fall = np.asarray(result.free_energy_before - result.free_energy)
    assert (fall >= 0.0).all()
    # A step that is always refused would pass the line above.
    assert np.mean(fall > 1e-9) > 0.95


def test_weights_move_along_the_segment_to_the_target(fused):
    _, target, weights, rate, result = fused
    moved = np.asarray(result.updated_weights)
    expected = np.asarray(weights + rate[:, None] * (target - weights))
    accepted = np.asarray(result.free_energy < result.free_energy_before)
    np.testing.assert_allclose(moved[accepted], expected[accepted], rtol=0, atol=1e-5)
    gap = np.abs(moved - np.asarray(target)).sum(1)
    assert (gap <= np.abs(np.asarray(weights - target)).sum(1) + 1e-5).all()


def test_the_fused_forecast_is_the_weighted_mean(fused):
    forecasts, *_, result = fused
    expected = np.einsum("nk,nk->n", result.updated_weights, forecasts)
    np.testing.assert_allclose(result.fused_prediction, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("index", range(5))
def test_the_free_energy_is_transport_plus_relative_entropy(fused, index):
    """POT's regularised cost in the KL convention and SciPy's relative entropy."""
    forecasts, target, weights, _, result = (jax.tree.map(lambda leaf: np.asarray(leaf)[index], part) for part in fused)
    cost = (forecasts[:, None] - forecasts[None, :]) ** 2
    for start, energy in ((weights, result.free_energy_before), (result.updated_weights, result.free_energy)):
        solved = ot.solve(
            cost, start, target, reg=float(result.sinkhorn_epsilon), reg_type="KL", max_iter=300_000, tol=1e-11
        )
        expected = float(solved.value) + stats.entropy(start, target)
        assert float(energy) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_repeated_steps_arrive_at_the_target():
    rng = np.random.default_rng(1)
    forecasts, target = jnp.asarray(rng.normal(size=4)), jnp.asarray(_random_weights(rng, 1)[0])
    weights, energies = jnp.full(4, 0.25), []
    for _ in range(60):
        result = _fuse(forecasts, target, weights, jnp.asarray(1.0), jnp.asarray(0.2), CONFIG)
        weights = result.updated_weights
        energies.append(float(result.free_energy))
    # (1 - .2)^60 = 1.5e-6 of the way is left.
    np.testing.assert_allclose(weights, target, rtol=0, atol=2e-6)
    assert (np.diff(energies) <= 1e-12).all()


def test_weights_are_on_the_simplex_after_a_hundred_thousand_steps():
    key = jax.random.PRNGKey(2)

    def tick(weights, key):
        noise = jax.random.normal(key, (9,))
        target = on_simplex(jax.nn.softmax(8.0 * noise[:4]), CONFIG.confidence_floor)
        result = fuse_kernel_outputs(
            jnp.clip(3.0 * noise[4:8], -8, 8), target, weights, noise[8] ** 2, jnp.asarray(0.3), CONFIG
        )
        return result.updated_weights, (jnp.abs(jnp.sum(result.updated_weights) - 1.0), jnp.min(result.updated_weights))

    run = jax.jit(lambda start, keys: jax.lax.scan(tick, start, keys))
    _, (error, least) = run(jnp.full(4, 0.25), jax.random.split(key, 100_000))
    assert float(jnp.max(error)) < 1e-10
    assert float(jnp.min(least)) > 0.0


def test_weights_in_a_corner_can_leave_it():
    """After an emergency all weight is on one kernel; the logarithms stay finite and the weights come back."""
    corner = jnp.asarray([0.0, 0.0, 0.0, 1.0])
    target = jnp.asarray([0.7, 0.1, 0.1, 0.1])
    result = _fuse(jnp.asarray([1.0, -1.0, 0.5, 0.0]), target, corner, jnp.asarray(1.0), jnp.asarray(0.5), CONFIG)
    np.testing.assert_allclose(result.updated_weights, 0.5 * (corner + target), rtol=0, atol=1e-5)
    assert np.isfinite(float(result.free_energy_before))


def test_a_step_that_would_raise_the_free_energy_is_refused():
    """A step of four times the way overshoots and comes out further off than it started."""
    weights, target = jnp.asarray([0.3, 0.3, 0.2, 0.2]), jnp.asarray([0.25, 0.35, 0.2, 0.2])
    moved, _, before, after = jko_step(weights, target, jnp.zeros((4, 4)), jnp.asarray(1.0), jnp.asarray(4.0), CONFIG)
    np.testing.assert_allclose(moved, weights, rtol=0, atol=1e-12)
    assert float(after) == float(before)


def test_relative_entropy_is_scipys():
    rng = np.random.default_rng(3)
    for a, b in zip(_random_weights(rng, 20), _random_weights(rng, 20), strict=True):
        assert float(relative_entropy(jnp.asarray(a), jnp.asarray(b))) == pytest.approx(stats.entropy(a, b), abs=1e-13)
    corner = relative_entropy(jnp.asarray([0.0, 1.0]), jnp.asarray([0.5, 0.5]))
    assert float(corner) == pytest.approx(np.log(2.0))


def test_the_mixture_scale_is_the_standard_deviation_of_the_mixture():
    """Against the second moment of the mixture density, integrated numerically."""
    rng = np.random.default_rng(4)
    weights, means, scales = rng.dirichlet(np.ones(4)), rng.normal(size=4), rng.uniform(0.3, 2.0, 4)
    grid = np.linspace(-30, 30, 60_001)
    density = (weights * stats.norm.pdf(grid[:, None], means, scales)).sum(1)
    mean = np.trapezoid(grid * density, grid)
    expected = np.sqrt(np.trapezoid((grid - mean) ** 2 * density, grid))
    got = mixture_scale(*(jnp.asarray(x) for x in (weights, means, scales)))
    assert float(got) == pytest.approx(expected, rel=1e-9)


def test_clipped_forecasts_are_bounded_and_counted():
    """At the second step the bound is another."""
    calm = jnp.asarray([-1.0, 2.0, 0.0])
    given = jnp.asarray([[-9.0, -8.0, 3.0, 1e6], [-9.0, -13.0, 3.0, 1e6]]).T
    means, clipped = clip_forecasts(given, calm, jnp.asarray([8.0, 12.0]))
    np.testing.assert_array_equal(means.T, [[-8.0, -8.0, 3.0, 8.0], [-9.0, -12.0, 3.0, 12.0]])
    np.testing.assert_array_equal(clipped.T, [[True, False, False, True], [False, True, False, True]])


def test_a_return_to_where_the_window_has_been_is_not_clipped():
    """After a tick 15 scales above the rest, the forecast that goes back there is the right one."""
    outlier = jnp.asarray([-15.0, -14.5, -15.5, 0.0])
    given = jnp.asarray([-15.0, -15.5, -16.0, 9.0])[:, None]
    means, clipped = clip_forecasts(given, outlier, jnp.asarray([8.0]))
    np.testing.assert_array_equal(means[:, 0], [-15.0, -15.5, -15.5, 8.0])
    np.testing.assert_array_equal(clipped[:, 0], [False, False, True, True])
