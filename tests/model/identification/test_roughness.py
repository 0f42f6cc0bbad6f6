"""Whittle, jump and stationarity measures against exact spectra, Monte Carlo levels and direct formulas."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from uspnb.config.schema import PredictorConfig
from uspnb.data import processes
from uspnb.model.identification import roughness

CONFIG = PredictorConfig()
whittle = jax.jit(jax.vmap(roughness.whittle_exponent, in_axes=(0, None)))


@pytest.mark.parametrize("hurst", [0.15, 0.5, 0.85])
def test_noise_spectrum_is_the_transform_of_the_covariance(hurst: float) -> None:
    # Integrate f(w) cos(k w) over the band: the ratio to k = 0 is the exact autocorrelation.  The substitution
    # w = pi u^8 flattens the pole at zero.
    u = (np.arange(4000) + 0.5) / 4000
    w, jacobian = np.pi * u**8, 8 * np.pi * u**7
    density = roughness.fractional_noise_spectrum(w, hurst) * jacobian
    for k in (1, 2, 5):
        exact = 0.5 * ((k + 1) ** (2 * hurst) - 2 * k ** (2 * hurst) + (k - 1) ** (2 * hurst))
        assert (density * np.cos(k * w)).sum() / density.sum() == pytest.approx(exact, abs=2e-5)


@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.8])
def test_whittle_is_unbiased_and_efficient(hurst: float) -> None:
    paths = np.stack([processes.fractional_brownian_motion(129, s, hurst=hurst).values for s in range(300)])
    exponent = np.asarray(whittle(jnp.asarray(paths), CONFIG).exponent)
    # The asymptotic sd of the Whittle estimate at n = 128 is .045 (H = .2) to .07 (H = .8); 300 draws, 3 sigma.
    assert exponent.mean() == pytest.approx(hurst, abs=0.02)
    assert exponent.std() < 0.08


def test_whittle_grid_finds_the_exact_minimum() -> None:
    for seed, hurst in enumerate((0.15, 0.4, 0.6, 0.9)):
        noise = processes.fractional_gaussian_noise(128, seed, hurst=hurst).values
        config = dataclasses.replace(CONFIG, input_kind="increments")
        power = np.abs(np.fft.rfft(noise - noise[0]))[1:64] ** 2
        w = 2 * np.pi * np.arange(1, 64) / 128

        def score(h: float, power: np.ndarray = power, w: np.ndarray = w) -> float:
            f = roughness.fractional_noise_spectrum(w, h)
            return float(np.log(np.mean(power / f)) + np.mean(np.log(f)))

        result: Any = minimize_scalar(score, bounds=(0.021, 0.979), method="bounded", options={"xatol": 1e-8})
        exact = result.x
        estimate = roughness.whittle_exponent(jnp.asarray(noise), config)
        assert float(estimate.exponent) == pytest.approx(exact, abs=2e-3)


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_whittle_and_jumps_do_not_depend_on_units(scale: float) -> None:
    path = processes.random_walk(128, 1).values / 100
    for function in (
        lambda p: roughness.whittle_exponent(p, CONFIG).exponent,
        lambda p: roughness.jump_test(p).statistic,
        lambda p: roughness.stationarity_indicator(p, jnp.asarray(128)).statistic,
    ):
        assert float(function(jnp.asarray(path * scale))) == pytest.approx(float(function(jnp.asarray(path))), rel=1e-9)


@pytest.mark.parametrize("path", [np.zeros(128), np.full(128, 7.0), np.full(128, np.nan), np.r_[np.zeros(127), np.inf]])
def test_windows_that_say_nothing_are_flagged(path: np.ndarray) -> None:
    x = jnp.asarray(path)
    estimate, jump = roughness.whittle_exponent(x, CONFIG), roughness.jump_test(x)
    level = roughness.stationarity_indicator(x, jnp.asarray(128))
    assert not bool(estimate.valid) and not bool(jump.flag) and not bool(level.rejected)
    assert np.isnan([float(estimate.exponent), float(jump.statistic), float(level.statistic)]).all()


def test_linear_path_has_no_whittle_exponent() -> None:
    assert not bool(roughness.whittle_exponent(jnp.linspace(0.0, 5.0, 128), CONFIG).valid)


def test_jump_test_sees_ten_sigma_and_nothing_else() -> None:
    walks = np.stack([processes.random_walk(128, s).values for s in range(1000)])
    test = jax.jit(jax.vmap(roughness.jump_test))
    assert int(test(jnp.asarray(walks)).flag.sum()) == 0
    jumped = walks.copy()
    jumped[:, -1] = jumped[:, -2] + np.where(np.arange(1000) % 2, 10.0, -10.0)
    statistic = test(jnp.asarray(jumped))
    assert int(statistic.flag.sum()) == 1000
    size = np.abs(np.diff(jumped[0]))
    assert float(statistic.statistic[0]) == pytest.approx(size[-1] / (1.4826 * np.median(size)), rel=1e-12)


@pytest.mark.parametrize("window", [127, 128])
def test_a_jump_is_a_statistic_above_five(window: int) -> None:
    """With 127 increments the flag is found by counting, with 126 by the median."""
    rng = np.random.default_rng(window)
    walks = np.cumsum(rng.standard_t(2, size=(2000, window)), axis=1)
    walks[::7, : window // 2] = np.round(walks[::7, : window // 2])
    walks[::11, : -window // 4] = walks[::11, :1]
    tests = jax.vmap(roughness.jump_test)(jnp.asarray(walks))
    np.testing.assert_array_equal(tests.flag, np.asarray(tests.statistic) > roughness.JUMP_MADS)
    assert 20 < int(tests.flag.sum()) < 1000


def test_jump_test_on_a_mostly_flat_signal() -> None:
    path = np.zeros(128)
    path[-1] = 1.0
    assert bool(roughness.jump_test(jnp.asarray(path)).flag)


def test_stationarity_level_and_power() -> None:
    test = jax.jit(jax.vmap(roughness.stationarity_indicator, in_axes=(0, None)))
    noise = np.random.default_rng(3).standard_normal((2000, 128))
    # 5 % nominal; binomial sd .5 %, and KPSS is slightly off its asymptotic level at n = 128.
    assert float(test(jnp.asarray(noise), jnp.asarray(128)).rejected.mean()) == pytest.approx(0.05, abs=0.02)
    assert float(test(jnp.asarray(noise.cumsum(axis=1)), jnp.asarray(128)).rejected.mean()) > 0.8


def test_stationarity_statistic_by_the_definition() -> None:
    x = processes.autoregression(100, 4, coefficients=(0.5,)).values
    padded = np.r_[np.full(28, x[0]), x]
    e = x - x.mean()
    lags = int(4 * (128 / 100) ** 0.25)
    variance = e @ e + 2 * sum((1 - k / (lags + 1)) * (e[k:] @ e[:-k]) for k in range(1, lags + 1))
    expected = (np.cumsum(e) ** 2).sum() / (100 * variance)
    statistic = roughness.stationarity_indicator(jnp.asarray(padded), jnp.asarray(100))
    assert float(statistic.statistic) == pytest.approx(expected, rel=1e-9)
