"""The Holder exponent against processes whose exponent is known, and the estimator against its own brute force."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.data import processes
from uspnb.model.identification import multifractal, wtmm

CONFIG = PredictorConfig()
measure: Any = jax.jit(wtmm.holder_exponent)
spectrum_of = jax.jit(multifractal.multifractal_spectrum)
link = jax.jit(wtmm._link)
measure_all = jax.jit(jax.vmap(wtmm.holder_exponent, in_axes=(0, 0, None)))


def whole(path: np.ndarray, config: PredictorConfig = CONFIG) -> wtmm.HolderEstimate:
    return measure(jnp.asarray(path), jnp.asarray(len(path)), config)


@pytest.mark.parametrize(
    ("window", "hurst", "bias", "deviation"),
    [(128, 0.3, 0.07, 0.07), (128, 0.5, 0.04, 0.08), (128, 0.7, 0.0, 0.10),
     (256, 0.3, 0.06, 0.05), (256, 0.5, 0.03, 0.06), (256, 0.7, 0.0, 0.06)],
)  # fmt: skip
def test_fractional_brownian_motion(window: int, hurst: float, bias: float, deviation: float) -> None:
    # The table of the specification, from 500 windows; here 200.  Three standard errors of the mean are .015 at
    # N = 256 and .02 at N = 128, those of the standard deviation 15 %, and the table is rounded by .005.
    paths = np.stack([processes.fractional_brownian_motion(window, s, hurst=hurst).values for s in range(200)])
    estimate = measure_all(jnp.asarray(paths), jnp.full(200, window), CONFIG)
    assert bool(estimate.valid.all())
    exponent = np.asarray(estimate.exponent)
    assert abs(exponent.mean() - hurst) <= abs(bias) + 0.005 + 3 * deviation / np.sqrt(200)
    assert exponent.std() <= (deviation + 0.005) * 1.15


def test_reads_increments_as_their_path() -> None:
    config = dataclasses.replace(CONFIG, input_kind="increments")
    noise = processes.fractional_gaussian_noise(128, 3, hurst=0.7).values
    path = np.cumsum(noise - noise.mean())
    np.testing.assert_allclose(whole(noise, config).exponent, whole(path).exponent, rtol=1e-9)


def test_binomial_cascade() -> None:
    path = processes.binomial_cascade(4096)
    q = np.linspace(0.0, 4.0, 9)
    spectrum = spectrum_of(jnp.asarray(path.values), CONFIG, jnp.asarray(q))
    exact = np.array([path.known["tau"](x) for x in q])
    assert bool(spectrum.valid)
    # .053 is the figure of the specification, rounded to three decimals.
    assert np.abs(np.asarray(spectrum.tau) - exact).max() < 0.0535
    np.testing.assert_allclose(spectrum.dimension, q * spectrum.h - spectrum.tau, atol=1e-12)
    assert np.all(np.diff(np.asarray(spectrum.h, float)) < 0.0)  # tau is concave: a proper multifractal
    assert np.asarray(spectrum.dimension).argmax() == 0  # D(h(q)) is largest at q = 0
    numeric = np.gradient(np.asarray(spectrum.tau), q)[1:-1]
    np.testing.assert_allclose(spectrum.h[1:-1], numeric, atol=0.03)


def test_monofractal_spectrum_is_narrow() -> None:
    path = processes.fractional_brownian_motion(4096, 1, hurst=0.5).values
    q = jnp.linspace(0.0, 4.0, 9)
    spectrum = spectrum_of(jnp.asarray(path), CONFIG, q)
    # One path of 4096 ticks: sd of h(0) about .04, of h(2) about .06.
    np.testing.assert_allclose(spectrum.h[:5], 0.5, atol=0.15)
    flat = spectrum_of(jnp.ones(4096), CONFIG, q)
    assert not bool(flat.valid) and np.isnan(np.asarray(flat.tau)).all()


def test_transform_equals_direct_convolution_of_the_odd_extension() -> None:
    rng = np.random.default_rng(5)
    for window in (64, 128, 300):
        inner = rng.standard_normal(window - 2)
        x = np.concatenate([[0.0], inner, [0.0]])
        extended = np.concatenate([-x[:0:-1], x, -x[-2::-1]])
        scale = wtmm.wavelet_scales(window, 16)
        modulus = np.asarray(wtmm._transform_modulus(jnp.asarray(inner), 16))
        position = np.arange(len(extended))
        for s in (8, 12, 15):  # a >= 3: below, sampling the wavelet in time and in frequency differ
            u = (position[None, :] - (np.arange(window) + window - 1)[:, None]) / scale[s]
            psi = (1 - u**2) * np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi) / scale[s]
            direct = np.abs((psi * extended[None, :]).sum(axis=1))
            np.testing.assert_allclose(modulus[s], direct, atol=1e-9)


def test_linking_equals_brute_force() -> None:
    rng = np.random.default_rng(6)
    for window in (64, 100, 128):
        mask = rng.random((6, window)) < np.array([0.4, 0.3, 0.2, 0.1, 0.05, 0.0])[:, None]
        cone = 2.0 + np.arange(5.0) * 3
        linked, finer = (np.asarray(a) for a in link(jnp.asarray(mask), jnp.asarray(cone)))
        for s in range(5):
            fine, coarse = np.flatnonzero(mask[s]), np.flatnonzero(mask[s + 1])
            for c in range(window):
                expected = None
                if c in coarse and len(fine):
                    f = fine[np.abs(fine - c).argmin()]
                    others = np.abs(coarse - f)
                    unique = (others == np.abs(f - c)).sum() == 1 or f == c
                    if others.min() == abs(f - c) and unique and abs(f - c) < cone[s]:
                        expected = f
                assert bool(linked[s, c]) == (expected is not None)
                if expected is not None:
                    assert int(finer[s, c]) == expected


def test_nearest_positions() -> None:
    mask = np.zeros((1, 100), bool)
    mask[0, [3, 40, 99]] = True
    left, right = (np.asarray(a)[0] for a in wtmm._nearest(jnp.asarray(mask)))
    assert left[2] < -100 and left[3] == 3 and left[39] == 3 and left[98] == 40 and left[99] == 99
    assert right[0] == 3 and right[4] == 40 and right[41] == 99 and right[99] == 99


@pytest.mark.parametrize(
    "path",
    [np.zeros(128), np.full(128, 1e6), np.linspace(-3.0, 7.0, 128), 1e300 * np.arange(128.0) / 128,
     np.full(128, np.nan), np.r_[np.random.default_rng(0).standard_normal(127), np.inf],
     np.r_[np.zeros(127), 1.0]],
)  # fmt: skip
def test_windows_without_an_exponent_say_so(path: np.ndarray) -> None:
    estimate = whole(path)
    assert not bool(estimate.valid)
    assert np.isnan(float(estimate.exponent))


def test_needs_64_real_ticks_and_ignores_what_lies_before() -> None:
    path = processes.fractional_brownian_motion(128, 8, hurst=0.5).values
    assert not bool(measure(jnp.asarray(path), jnp.asarray(63), CONFIG).valid)
    padded, garbage = path.copy(), path.copy()
    padded[:40], garbage[:40] = path[40], np.nan
    estimates = [float(measure(jnp.asarray(p), jnp.asarray(88), CONFIG).exponent) for p in (path, padded, garbage)]
    assert np.isfinite(estimates[0]) and estimates[0] == estimates[1] == estimates[2]


def test_partly_filled_window_is_about_as_accurate() -> None:
    paths = np.stack([processes.fractional_brownian_motion(128, s, hurst=0.5).values for s in range(200)])
    exponent = np.asarray(measure_all(jnp.asarray(paths), jnp.full(200, 80), CONFIG).exponent)
    # 80 ticks in place of 128, and scales up to a fifth of them.
    assert abs(exponent.mean() - 0.5) < 0.08 and exponent.std() < 0.14


@pytest.mark.parametrize("scale", [1e300, 1e-300, -3.0])
def test_units_do_not_matter(scale: float) -> None:
    path = processes.fractional_brownian_motion(128, 9, hurst=0.4).values / 100.0
    line = np.linspace(0.0, 1.0, 128)
    reference = float(whole(path).exponent)
    assert float(whole(scale * path).exponent) == pytest.approx(reference, abs=1e-6)
    assert float(whole(scale * (path + 0.3 + line)).exponent) == pytest.approx(reference, abs=1e-6)


def test_an_integrated_walk_is_smooth_and_noise_is_rough() -> None:
    smooth = whole(np.cumsum(processes.random_walk(128, 1).values))
    rough = whole(processes.student_noise(128, 0, degrees=8.0).values)
    assert float(smooth.exponent) > 0.9
    assert float(rough.exponent) < 0.3


def test_batch_equals_loop_and_jit_equals_eager() -> None:
    paths = np.stack([processes.fractional_brownian_motion(128, s, hurst=0.4).values for s in range(19)])
    counts = np.array([128, 100, 64, 20] * 5)[:19]
    batch = measure_all(jnp.asarray(paths), jnp.asarray(counts), CONFIG)
    loop = [measure(jnp.asarray(p), jnp.asarray(c), CONFIG) for p, c in zip(paths, counts, strict=True)]
    np.testing.assert_allclose(batch.exponent, [float(e.exponent) for e in loop], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(batch.valid, [bool(e.valid) for e in loop])
    eager = wtmm.holder_exponent(jnp.asarray(paths[0]), jnp.asarray(128), CONFIG)
    assert float(eager.exponent) == pytest.approx(float(loop[0].exponent), abs=1e-12)


def test_cone_is_traced_and_can_be_batched() -> None:
    path = jnp.asarray(processes.fractional_brownian_motion(128, 2, hurst=0.4).values)
    cones = jnp.asarray([0.5, 1.5, 5.0])

    def with_cone(c: jax.Array) -> jax.Array:
        return wtmm.holder_exponent(path, jnp.asarray(128), dataclasses.replace(CONFIG, besov_cone_c=c)).exponent

    batch = np.asarray(jax.jit(jax.vmap(with_cone))(cones))
    compiled = measure._cache_size()
    single = [float(measure(path, jnp.asarray(128), dataclasses.replace(CONFIG, besov_cone_c=float(c))).exponent)
              for c in cones]  # fmt: skip
    np.testing.assert_allclose(batch, single, atol=1e-12)
    assert single[0] != single[2]
    assert measure._cache_size() <= compiled + 1  # changing the cone does not compile again
