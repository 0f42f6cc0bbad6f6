"""Kernel C's estimates against the parameters of the processes that they are fed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.errors import DomainError
from uspnb.model.kernels import ito_levy
from uspnb.model.kernels.ito_levy.estimation import LevyParameters, estimate_init, estimate_learn, parameters

N = 3000


def _autoregression(phi: float, seed: int, n: int = N) -> np.ndarray:
    noise, x = np.random.default_rng(seed).normal(size=n), np.zeros(n)
    for t in range(1, n):
        x[t] = phi * x[t - 1] + noise[t]
    return x


def _mean_diagnostic(run, name: str) -> float:
    return float(np.mean(getattr(run.output.diagnostics, name)[N // 2 :]))


def test_it_finds_the_rate_of_an_ornstein_uhlenbeck_process(drive):
    """theta = .05: three runs' mean lies within .02 (the sampling error of one is sqrt(2 theta / 1500) = .008)."""
    runs = [drive(ito_levy, PredictorConfig(), _autoregression(np.exp(-0.05), seed)) for seed in range(3)]
    theta = np.mean([_mean_diagnostic(run, "theta") for run in runs])
    assert theta == pytest.approx(0.055, abs=0.02)


def test_it_beats_the_last_value_where_the_level_reverts(drive):
    """Against the true model's phi x on the same ticks; 125 effective ticks for two numbers cost 1 to 2 %."""
    for phi, seed in ((0.8, 1), (0.5, 2), (0.0, 3)):
        values = _autoregression(phi, seed)
        oracle = np.sqrt(np.mean((values[1:] - phi * values[:-1])[499:] ** 2) / np.mean(np.diff(values)[499:] ** 2))
        ratio = drive(ito_levy, PredictorConfig(), values).relative_rmse(values)
        assert 0.999 < ratio / oracle < 1.025


def test_a_random_walk_costs_less_than_half_a_percent(drive):
    for seed in range(3):
        values = random_walk(N, seed)
        assert drive(ito_levy, PredictorConfig(), values).relative_rmse(values) < 1.005


def test_white_noise_levels_are_stiff_and_bounded(drive):
    run = drive(ito_levy, PredictorConfig(), _autoregression(0.0, 4))
    assert _mean_diagnostic(run, "theta") <= 5.0
    assert set(np.unique(run.output.diagnostics.solver[N // 2 :])) <= {1, 2}
    quiet = drive(ito_levy, PredictorConfig(), _autoregression(0.98, 5))
    assert set(np.unique(quiet.output.diagnostics.solver[N // 2 :])) == {0}


def test_it_separates_jumps_from_diffusion(drive):
    """Walk of unit noise with 2 % jumps of standard deviation 10.

    The clipped threshold misses jumps under 4 diffusions, a share of P(|N(0, 10)| < 4) = .31, so .0138 are seen;
    500 effective ticks give a standard error of .005.  The frame's scale holds jumps too, hence the ratio of the two.
    """
    rng = np.random.default_rng(6)
    values = np.cumsum(rng.normal(size=N) + np.where(rng.random(N) < 0.02, 10 * rng.normal(size=N), 0.0))
    run = drive(ito_levy, PredictorConfig(), values)
    assert _mean_diagnostic(run, "jump_intensity") == pytest.approx(0.0138, abs=0.006)
    plain = np.cumsum(rng.normal(size=N))
    none = drive(ito_levy, PredictorConfig(), plain)
    # The prior alone: 25.6 ticks at .05 among 525.
    assert _mean_diagnostic(none, "jump_intensity") < 0.005
    ratio = run.output.diagnostics.jump_scale / run.output.diagnostics.diffusion
    assert 6.0 < np.mean(ratio[N // 2 :]) < 16.0


def test_the_scale_is_that_of_its_errors(drive):
    """Standardised errors have root mean square 1; with jumps to 20 %, because sixty jumps carry most of it."""
    rng = np.random.default_rng(7)
    jumps = np.where(rng.random(N) < 0.02, 10 * rng.normal(size=N), 0.0)
    cases = [(np.cumsum(rng.normal(size=N)), 0.05), (np.cumsum(rng.normal(size=N) + jumps), 0.2)]
    for values, tolerance in [*cases, (_autoregression(0.0, 8), 0.05)]:
        run = drive(ito_levy, PredictorConfig(), values)
        z = (values - run.prediction)[500:] / run.scale[500:]
        assert np.sqrt(np.mean(z**2)) == pytest.approx(1.0, abs=tolerance)


def test_the_split_adds_up_to_the_increment(drive):
    values = _autoregression(0.8, 9)
    run = drive(ito_levy, PredictorConfig(), values)
    drift, martingale = run.output.diagnostics.drift_increment, run.output.diagnostics.martingale_increment
    assert np.isnan(drift[0])
    # The forecast of a tick is what the next tick reports as the drift part of its increment.
    np.testing.assert_allclose(drift[100:], run.output.mean[99:-1], rtol=1e-12)
    assert abs(np.mean(martingale[500:])) < 0.05


def test_beyond_the_learned_range_the_mean_equation_is_integrated(drive):
    """A level shift of 60 deviations: the drift is held at its edge, and the forecast stays bounded."""
    values = _autoregression(0.5, 10)
    values[2000:] += 60.0
    run = drive(ito_levy, PredictorConfig(), values)
    exact = run.output.diagnostics.exact
    assert exact[500:2000].mean() > 0.99
    assert not exact[2000:2005].any()
    assert (np.abs(run.output.mean) <= PredictorConfig().forecast_clip).all()


def test_a_prior_without_jumps_is_finite():
    config = PredictorConfig(kernel_c_jump_intensity=0.0)
    estimate = parameters(estimate_init(), jnp.asarray(0.3), config)
    assert all(np.isfinite(float(value)) for value in estimate)
    assert float(estimate.jump_intensity) == 0.0


def test_the_estimate_takes_a_lone_jump_out_of_the_diffusion():
    state, learn = estimate_init(), jnp.asarray(True)
    noise = np.random.default_rng(11).normal(size=400)
    noise[300] = 20.0
    for value in noise:
        state = estimate_learn(state, jnp.asarray(0.0), jnp.asarray(value), learn)
    assert float(state.jumps) == pytest.approx(0.998**99)
    assert float(jnp.sqrt(state.continuous)) == pytest.approx(1.0, abs=0.2)


def _parameters(**changed: float) -> LevyParameters:
    base = {
        "constant": 0.0, "theta": 0.3, "level": 2.0, "diffusion": 0.5,
        "jump_intensity": 0.1, "jump_mean": 0.4, "jump_scale": 0.6,
    }  # fmt: skip
    return LevyParameters(**{name: jnp.asarray(value) for name, value in (base | changed).items()})


@pytest.mark.parametrize("theta", [0.3, 0.0, 30.0])
def test_simulated_paths_have_the_moments_of_the_process(theta):
    """E X_T = m (1 - e) with m = level + intensity mean / theta; Var X_T = total variance (1 - e^2) / (2 theta)."""
    config = PredictorConfig(sde_numel_integrations=200)
    horizon, paths = 4.0, 20_000
    times, x = ito_levy.simulate_paths(config, _parameters(theta=theta), horizon, paths, jax.random.PRNGKey(0))
    assert times.shape == (201,) and x.shape == (paths, 201)
    assert float(times[-1]) == horizon and not np.any(x[:, 0])
    rate, second = 0.1 * 0.4, 0.5**2 + 0.1 * (0.4**2 + 0.6**2)
    if theta == 0.0:
        mean, variance = rate * horizon, second * horizon
    else:
        mean = (2.0 + rate / theta) * -np.expm1(-theta * horizon)
        variance = second * -np.expm1(-2 * theta * horizon) / (2 * theta)
    end = np.asarray(x[:, -1])
    # Four standard errors of the mean, and 2 % + discretisation (theta dt)^2 / 4 for the variance.
    assert abs(end.mean() - mean) < 4 * np.sqrt(variance / paths) + 1e-3
    assert end.var() == pytest.approx(variance, rel=0.06 + (theta * horizon / 200) ** 2 / 4)


def test_a_fan_that_cannot_be_drawn_is_refused():
    for horizon, paths in ((0.0, 10), (float("nan"), 10), (float("inf"), 10), (1.0, 0)):
        with pytest.raises(DomainError, match="must be"):
            ito_levy.simulate_paths(PredictorConfig(), _parameters(), horizon, paths, jax.random.PRNGKey(0))
