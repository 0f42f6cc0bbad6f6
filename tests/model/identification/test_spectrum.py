"""Spectral modes against known sinusoids, the Paley-Wiener integral against quadrature."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from uspnb.config.schema import PredictorConfig
from uspnb.data import processes
from uspnb.model.identification import spectrum

CONFIG = PredictorConfig()


def test_modes_of_two_sinusoids() -> None:
    t = np.arange(256)
    path = 5.0 + 2.0 * np.sin(2 * np.pi * t * 0.0811) + np.cos(2 * np.pi * t * 0.2307)
    modes = jax.jit(spectrum.koopman_spectrum)(jnp.asarray(path), CONFIG)
    # Interpolation error .02 bins of 1/256 plus the leakage of the other line.
    np.testing.assert_allclose(modes.frequency[:2], [0.0811, 0.2307], atol=0.03 / 256)
    np.testing.assert_allclose(modes.power[:2], [0.8, 0.2], atol=0.02)
    assert modes.frequency.shape == (CONFIG.koopman_top_k,)


def test_sampling_interval_sets_the_frequency_axis_and_the_mean_is_no_mode() -> None:
    path = jnp.asarray(1e6 + processes.sine_in_noise(128, 0, period=16.0, sigma=0.01).values)
    one = spectrum.koopman_spectrum(path, CONFIG)
    ten = spectrum.koopman_spectrum(path, dataclasses.replace(CONFIG, signal_sampling_interval=10.0))
    assert float(one.frequency[0]) == pytest.approx(1 / 16, abs=2e-4)
    np.testing.assert_allclose(np.asarray(one.frequency) / 10, ten.frequency, rtol=1e-12)


def test_weak_modes_are_masked() -> None:
    path = jnp.asarray(processes.sine_in_noise(128, 0, period=16.0, sigma=0.001).values)
    modes = spectrum.koopman_spectrum(path, dataclasses.replace(CONFIG, koopman_min_power=0.01))
    np.testing.assert_array_equal(modes.mask, [True, False, False, False, False])
    assert np.isnan(np.asarray(modes.frequency)[1:]).all()
    assert np.isfinite(float(modes.power[0]))


@pytest.mark.parametrize("path", [np.zeros(128), np.full(128, 3.0), np.full(128, np.nan), np.r_[np.zeros(127), np.inf]])
def test_nothing_is_read_into_a_dead_window(path: np.ndarray) -> None:
    modes = spectrum.koopman_spectrum(jnp.asarray(path), CONFIG)
    integral = spectrum.paley_wiener_integral(jnp.asarray(path), CONFIG)
    assert not bool(modes.mask.any()) and not bool(integral.regular)
    assert np.isnan(float(integral.integral))


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_units_do_not_matter(scale: float) -> None:
    path = processes.autoregression(128, 2).values / 100
    for name in ("frequency", "power"):
        plain = getattr(spectrum.koopman_spectrum(jnp.asarray(path), CONFIG), name)
        scaled = getattr(spectrum.koopman_spectrum(jnp.asarray(path * scale), CONFIG), name)
        np.testing.assert_allclose(plain, scaled, rtol=1e-6)
    integrals = [float(spectrum.paley_wiener_integral(jnp.asarray(path * s), CONFIG).integral) for s in (1.0, scale)]
    assert integrals[0] == pytest.approx(integrals[1], rel=1e-9)


def test_paley_wiener_of_an_autoregression_against_quadrature() -> None:
    phi, window = 0.8, 2048
    paths = np.stack([processes.autoregression(window, s, coefficients=(phi,)).values for s in range(40)])

    def density(w: float) -> float:
        return (1 - phi**2) / abs(1 - phi * np.exp(-1j * w)) ** 2

    exact = 2 * quad(lambda w: abs(np.log(density(w))) / (1 + w * w), 0, np.pi, points=[0.45])[0]
    integrals = jax.vmap(spectrum.paley_wiener_integral, in_axes=(0, None))(jnp.asarray(paths), CONFIG)
    assert bool(integrals.regular.all())
    # log of the smoothed periodogram is noise about log S with a mean near -.3: the modulus of |log S| moves by less
    # than that over a band of arctan measure 2.5.
    assert float(integrals.integral.mean()) == pytest.approx(exact, abs=0.5)


def test_a_line_spectrum_has_a_larger_integral_than_noise_and_the_limit_decides() -> None:
    line = jnp.asarray(processes.sine_in_noise(128, 0, sigma=0.0).values)
    noise = jnp.asarray(processes.student_noise(128, 0, degrees=9.0).values)
    large, small = (float(spectrum.paley_wiener_integral(p, CONFIG).integral) for p in (line, noise))
    assert large > 10 * small
    tight = dataclasses.replace(CONFIG, paley_wiener_integral_max=0.5 * (large + small))
    assert not bool(spectrum.paley_wiener_integral(line, tight).regular)
    assert bool(spectrum.paley_wiener_integral(noise, tight).regular)
