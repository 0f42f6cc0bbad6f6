"""The conformal quantile against SciPy's normal law and its promise of long-run coverage."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from uspnb.config.schema import PredictorConfig
from uspnb.model.orchestration.scoring import (
    LARGEST_QUANTILE,
    LEAST_QUANTILE,
    gaussian_quantile,
    track_quantile,
)

CONFIG = PredictorConfig()
N = 20_000
YES, NO = jnp.asarray(True), jnp.asarray(False)


@jax.jit
def _run(config, residuals, units):
    def tick(quantile, row):
        start = jnp.where(jnp.isnan(quantile), gaussian_quantile(config.confidence_level), quantile)
        new = track_quantile(quantile, row[0], row[1], config.confidence_level, config.interval_rate, YES)
        return new, (start, new)

    return jax.lax.scan(tick, jnp.asarray(jnp.nan), (residuals, units))[1]


def _coverage(residuals, units, level: float) -> tuple[float, np.ndarray]:
    config = PredictorConfig(confidence_level=level)
    used, after = _run(config, jnp.asarray(residuals), jnp.asarray(units))
    return float(np.mean(np.abs(residuals) <= np.asarray(used) * units)), np.asarray(after)


@functools.cache
def _noise(name: str) -> tuple[np.ndarray, np.ndarray]:
    rng, t = np.random.default_rng(0), np.arange(N)
    normal = rng.normal(size=N)
    wrong = np.ones(N)
    return {
        "iid": (normal, wrong),
        "scale believed four times too small": (4.0 * normal, wrong),
        "heteroscedastic, not seen by the scale": (normal * np.exp(np.sin(2 * np.pi * t / 2000)), wrong),
        "variance grows a hundredfold at once": (np.where(t < N // 2, 1.0, 10.0) * normal, wrong),
        "Student t with 3 degrees": (rng.standard_t(3, size=N), wrong),
        "autocorrelated": (np.convolve(normal, 0.9 ** np.arange(60), "full")[:N], wrong),
    }[name]


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95, 0.999])
def test_the_starting_quantile_is_the_normal_one(level):
    assert float(gaussian_quantile(level)) == pytest.approx(stats.norm.ppf(0.5 + level / 2), rel=1e-12)
    start = track_quantile(
        jnp.asarray(jnp.nan), jnp.asarray(jnp.nan), jnp.asarray(0.0), CONFIG.confidence_level, CONFIG.interval_rate, NO
    )
    assert float(start) == pytest.approx(stats.norm.ppf(0.975), rel=1e-12)


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize(
    "name",
    [
        "iid",
        "scale believed four times too small",
        "heteroscedastic, not seen by the scale",
        "variance grows a hundredfold at once",
        "Student t with 3 degrees",
        "autocorrelated",
    ],
)
def test_long_run_coverage_is_the_level(name, level):
    """The relative step r has its balance at log(1 - r a) / log((1 - r a) / (1 + r (1 - a))) misses, a = 1 - level.

    The average of N steps is off by the range of log q over r N, here below .002.
    """
    coverage, _ = _coverage(*_noise(name), level)
    a, rate = 1.0 - level, CONFIG.interval_rate
    misses = np.log(1.0 - rate * a) / np.log((1.0 - rate * a) / (1.0 + rate * (1.0 - a)))
    assert coverage == pytest.approx(1.0 - misses, abs=0.004)
    assert abs(coverage - level) < 0.01


def test_on_iid_noise_the_quantile_stays_near_the_normal_one():
    _, quantile = _coverage(*_noise("iid"), 0.95)
    assert np.mean(quantile[1000:]) == pytest.approx(1.96, abs=0.1)


def test_widths_stay_finite_whatever_comes():
    for residual, bound in ((1e300, LARGEST_QUANTILE), (0.0, LEAST_QUANTILE)):
        _, quantile = _coverage(np.full(N, residual), np.ones(N), 0.95)
        assert quantile[-1] == bound
        assert np.isfinite(quantile).all()


def test_an_unscored_tick_changes_nothing():
    quantile = jnp.asarray(2.5)
    assert (
        float(
            track_quantile(
                quantile, jnp.asarray(jnp.nan), jnp.asarray(1.0), CONFIG.confidence_level, CONFIG.interval_rate, NO
            )
        )
        == 2.5
    )
    assert (
        float(
            track_quantile(
                quantile, jnp.asarray(9.0), jnp.asarray(1.0), CONFIG.confidence_level, CONFIG.interval_rate, YES
            )
        )
        > 2.5
    )
    assert (
        float(
            track_quantile(
                quantile, jnp.asarray(1.0), jnp.asarray(1.0), CONFIG.confidence_level, CONFIG.interval_rate, YES
            )
        )
        < 2.5
    )
