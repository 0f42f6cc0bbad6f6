"""The synthetic paths against the closed forms that their docstrings promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz

from uspnb.data import processes
from uspnb.errors import DomainError

NAMES = sorted(processes.CATALOGUE)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [2, 3, 777])
def test_shape_finiteness_and_reproducibility(name: str, n: int) -> None:
    make = processes.CATALOGUE[name]
    path, again = make(n, 5), make(n, 5)
    assert path.name == name
    assert path.values.shape == path.oracle.shape == (n,)
    assert path.values.dtype == path.oracle.dtype == np.float64
    assert np.isfinite(path.values).all()
    np.testing.assert_array_equal(path.values, again.values)
    assert path.regime is None or path.regime.shape == (n,)
    assert all(0 < tick < n for tick in path.changes)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "binomial_cascade"])
def test_seed_changes_the_path(name: str) -> None:
    make = processes.CATALOGUE[name]
    assert not np.array_equal(make(50, 1).values, make(50, 2).values)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("binomial_cascade", "logistic_map")])
def test_oracle_errors_are_a_martingale_difference(name: str) -> None:
    # E[(x_t - oracle_t) g(past)] = 0 for g = 1, the last error, the last value's sign and the oracle itself; each
    # standardised correlation of 6000 ticks is about N(0, 1), so 4.5 is one false failure in 150,000.
    path = processes.CATALOGUE[name](6000, 3)
    keep = np.isfinite(path.oracle)
    error = (path.values - path.oracle)[keep]
    increments = np.diff(path.values, prepend=path.values[0])[keep]
    tests = [np.ones(len(error) - 1), error[:-1], np.sign(increments[:-1]), (path.oracle - np.roll(path.values, 1))[1:]]
    for g in tests:
        product = error[1:] * (g / (np.abs(g).max() or 1.0))
        assert abs(product.sum()) / (np.sqrt((product**2).sum()) or 1.0) < 4.5


def test_ornstein_uhlenbeck_moments() -> None:
    path = processes.ornstein_uhlenbeck(200_000, 1, theta=0.2, mean=-2.0, sigma=0.5)
    # Effective sample n tanh(theta / 2) = 20,000: relative sd of the variance 1 %, of the mean .8 % of its own sd.
    assert path.values.var() == pytest.approx(0.25 / 0.4, rel=0.05)
    assert path.values.mean() == pytest.approx(-2.0, abs=0.03)
    assert np.std(path.values - path.oracle) == pytest.approx(path.known["innovation_scale"], rel=0.01)


def test_autoregression_obeys_yule_walker() -> None:
    path = processes.autoregression(100_000, 2)
    x = path.values - path.values.mean()
    r = [float(x[k:] @ x[: len(x) - k]) for k in range(3)]
    np.testing.assert_allclose(solve_toeplitz(r[:2], r[1:]), path.known["coefficients"], atol=0.015)
    assert np.std(path.values - path.oracle) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.8])
def test_fractional_noise_covariance_is_exact(hurst: float) -> None:
    draws = np.stack([processes.fractional_gaussian_noise(12, s, hurst=hurst, sigma=2.0).values for s in range(3000)])
    covariance = draws.T @ draws / len(draws) / 4.0
    k = np.abs(np.subtract.outer(np.arange(12), np.arange(12))).astype(float)
    exact = 0.5 * ((k + 1) ** (2 * hurst) - 2 * k ** (2 * hurst) + np.abs(k - 1) ** (2 * hurst))
    # sd of an entry <= sqrt(2 / 3000) = .026; largest of 78 entries within 4.5 sd.
    np.testing.assert_allclose(covariance, exact, atol=0.116)


@pytest.mark.parametrize("hurst", [0.3, 0.7])
def test_fractional_oracle_equals_the_toeplitz_solution(hurst: float) -> None:
    path = processes.fractional_brownian_motion(1300, 4, hurst=hurst)
    increments = np.diff(path.values, prepend=0.0)
    lags = np.arange(1301.0)
    covariance = 0.5 * ((lags + 1) ** (2 * hurst) - 2 * lags ** (2 * hurst) + np.abs(lags - 1) ** (2 * hurst))
    for t in (1, 2, 50, 1000, 1001, 1299):
        m = min(t, 1000)
        phi = solve_toeplitz(covariance[:m], covariance[1 : m + 1])
        assert path.oracle[t] == pytest.approx(path.values[t - 1] + phi @ increments[t - m : t][::-1], abs=1e-9)


def test_fractional_brownian_motion_is_self_similar() -> None:
    path = processes.fractional_brownian_motion(100_000, 4, hurst=0.3)
    slope = np.polyfit(np.log([1, 4, 16, 64]), [np.log(np.mean((path.values[k:] - path.values[:-k]) ** 2))
                                                for k in (1, 4, 16, 64)], 1)[0]  # fmt: skip
    assert slope == pytest.approx(0.6, abs=0.02)


def test_jump_diffusion_moments_and_ticks() -> None:
    path = processes.jump_diffusion(200_000, 6, drift=0.02, sigma=0.1, intensity=0.05, jump_mean=-0.3, jump_scale=0.4)
    increments = np.diff(path.values)
    assert increments.mean() == pytest.approx(0.02 - 0.015, abs=0.002)
    assert increments.var() == pytest.approx(0.01 + 0.05 * (0.16 + 0.09), rel=0.04)
    assert len(path.known["jump_ticks"]) / 200_000 == pytest.approx(1 - math.exp(-0.05), rel=0.04)


def test_garch_variance_and_kurtosis() -> None:
    path = processes.garch(400_000, 7, omega=0.05, alpha=0.1, beta=0.8)
    a, b = 0.1, 0.8
    assert path.values.var() == pytest.approx(0.5, rel=0.03)
    kurtosis = np.mean(path.values**4) / path.values.var() ** 2
    assert kurtosis == pytest.approx(3 * (1 - (a + b) ** 2) / (1 - (a + b) ** 2 - 2 * a**2), rel=0.08)
    assert np.std(path.values / path.known["conditional_scale"]) == pytest.approx(1.0, rel=0.01)


def test_regime_filter_is_between_the_informed_oracle_and_the_last_value() -> None:
    path = processes.regime_switching_autoregression(20_000, 8)
    x = path.values
    informed = np.mean((x - path.known["oracle_given_regime"]) ** 2)
    filtered = np.mean((x - path.oracle) ** 2)
    last = np.mean(np.diff(x) ** 2)
    assert informed < filtered < 1.15 * informed < last
    assert path.regime is not None
    assert tuple(np.flatnonzero(np.diff(path.regime)) + 1) == path.changes
    assert len(path.changes) == pytest.approx(20_000 / 300, abs=4 * math.sqrt(67))


def test_sine_and_logistic_are_exact() -> None:
    path = processes.sine_in_noise(4000, 9, sigma=0.0)
    np.testing.assert_array_equal(path.values, path.oracle)
    assert np.argmax(np.abs(np.fft.rfft(path.values))) == 4000 / 40
    chaos = processes.logistic_map(50_000, 9)
    assert chaos.values.min() > 0 and chaos.values.max() < 1
    assert np.mean(np.log(np.abs(4 - 8 * chaos.values))) == pytest.approx(chaos.known["lyapunov"], abs=0.01)


def test_shifts_happen_at_their_tick() -> None:
    mean = processes.mean_shift(40_000, 10, at=10_000, size=2.0)
    assert mean.changes == (10_000,)
    assert mean.values[10_000:].mean() - mean.values[:10_000].mean() == pytest.approx(2.0, abs=0.06)
    variance = processes.variance_shift(40_000, 10, ratio=3.0)
    assert variance.values[20_000:].std() / variance.values[:20_000].std() == pytest.approx(3.0, rel=0.03)
    dependence = processes.dependence_shift(40_000, 10)
    for half, phi in ((dependence.values[:20_000], 0.0), (dependence.values[20_000:], 0.6)):
        assert np.corrcoef(half[1:], half[:-1])[0, 1] == pytest.approx(phi, abs=0.03)
        assert half.var() == pytest.approx(1.0, rel=0.06)


def test_holder_switch_changes_the_exponent_and_not_the_variance() -> None:
    path = processes.holder_switch(80_000, 11)
    increments = np.diff(path.values, prepend=0.0)
    for half, hurst in ((increments[:40_000], 0.5), (increments[40_000:], 0.2)):
        assert half.var() == pytest.approx(1.0, rel=0.04)
        rho = np.corrcoef(half[1:], half[:-1])[0, 1]
        assert rho == pytest.approx(2 ** (2 * hurst - 1) - 1, abs=0.025)


@pytest.mark.parametrize("shuffled", [False, True])
def test_binomial_cascade_has_its_tau_exactly(shuffled: bool) -> None:
    path = processes.binomial_cascade(1024, 12, shuffled=shuffled)
    mass = np.diff(path.values, prepend=0.0)
    assert path.values[-1] == pytest.approx(1.0, abs=1e-12)
    for q in (0.0, 0.5, 1.0, 3.0):
        for level in (2, 6, 10):
            boxes = mass.reshape(2**level, -1).sum(axis=1)
            assert -np.log2((boxes**q).sum()) / level == pytest.approx(path.known["tau"](q), abs=1e-9)


def test_threshold_autoregression_and_student_noise() -> None:
    path = processes.threshold_autoregression(20_000, 13)
    below, above = path.values[:-1] <= 0, path.values[:-1] > 0
    for mask, phi in ((below, 0.8), (above, -0.6)):
        x, y = path.values[:-1][mask], path.values[1:][mask]
        assert (x @ y) / (x @ x) == pytest.approx(phi, abs=0.03)
    assert processes.student_noise(400_000, 14, degrees=6.0, scale=2.0).values.var() == pytest.approx(6.0, rel=0.02)
    assert math.isinf(processes.student_noise(10, 0, degrees=1.5).known["variance"])


def test_seasonal_demand_has_its_week() -> None:
    path = processes.seasonal_demand(48 * 7 * 60, 15)
    weeks = path.values.reshape(60, -1).mean(axis=0)
    np.testing.assert_allclose(weeks, path.known["shape"][: 48 * 7], atol=5 * 5.0 / math.sqrt(60))
    assert np.std(path.values - path.oracle) == pytest.approx(3.0, rel=0.03)


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("random_walk", {"n": 1}, "n = 1"),
        ("fractional_gaussian_noise", {"n": 10, "hurst": 1.0}, "hurst"),
        ("fractional_brownian_motion", {"n": 10, "hurst": 0.0}, "hurst"),
        ("ornstein_uhlenbeck", {"n": 10, "theta": -1.0}, "theta"),
        ("autoregression", {"n": 10, "coefficients": (1.0,)}, "stationary"),
        ("garch", {"n": 10, "alpha": 0.5, "beta": 0.5}, "alpha"),
        ("logistic_map", {"n": 10, "rate": 4.1}, "rate"),
        ("mean_shift", {"n": 10, "at": 10}, "at = 10"),
        ("holder_switch", {"n": 10, "after": math.nan}, "after"),
        ("binomial_cascade", {"n": 10, "weight": 1.0}, "weight"),
        ("regime_switching_autoregression", {"n": 10, "regimes": ((0.1, 0.0, 1.0),)}, "exactly two"),
        ("student_noise", {"n": 10, "degrees": math.inf}, "degrees"),
    ],
)
def test_arguments_outside_the_domain_are_refused(name: str, arguments: dict, says: str) -> None:
    with pytest.raises(DomainError, match=says):
        processes.CATALOGUE[name](**arguments)
