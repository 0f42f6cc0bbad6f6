"""Scores against numerical integration and hand computation, the test of equal loss against its distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import integrate, special, stats

from uspnb.predictor.scores import (
    CalibrationWatch,
    calibration_table,
    diebold_mariano,
    gaussian_crps,
    interval_score,
)


@pytest.mark.parametrize(("y", "mean", "scale"), [(0.3, 0.0, 1.0), (-4.0, 1.0, 0.5), (2.0, 2.0, 3.0), (0.0, 5.0, 1.0)])
def test_crps_is_the_integral_of_the_squared_difference_of_distributions(y, mean, scale):
    law = stats.norm(mean, scale)
    below = integrate.quad(lambda x: law.cdf(x) ** 2, mean - 12 * scale - 12, y, epsabs=1e-12, limit=200)[0]
    above = integrate.quad(lambda x: law.sf(x) ** 2, y, mean + 12 * scale + 12, epsabs=1e-12, limit=200)[0]
    got = gaussian_crps(np.array([y]), np.array([mean]), np.array([scale]))[0]
    assert got == pytest.approx(below + above, abs=1e-9)  # the tolerance of the quadrature


def test_crps_of_a_point_forecast_and_of_extremes_is_the_absolute_error():
    y, mean = np.array([3.0, 1e300, 5.0]), np.array([1.0, 0.0, 1.0])
    np.testing.assert_allclose(gaussian_crps(y, mean, np.array([0.0, 0.0, 1e-150])), [2.0, 1e300, 4.0])


def test_interval_score_by_hand():
    # width 2; a miss by 0.5 costs 0.5 * 2/0.1 = 10
    y, low, high = np.array([0.0, 1.5, -1.5]), np.full(3, -1.0), np.full(3, 1.0)
    np.testing.assert_allclose(interval_score(y, low, high, 0.9), [2.0, 12.0, 12.0])


def test_interval_score_is_least_at_the_true_quantiles():
    y = np.random.default_rng(3).standard_normal(200_000)
    halves = np.array([1.2, 1.645, 2.2])
    means = [interval_score(y, np.full_like(y, -h), np.full_like(y, h), 0.9).mean() for h in halves]
    assert means[1] == min(means)


def test_diebold_mariano_of_white_losses_is_students_t():
    # without autocorrelation the Newey-West variance estimates the plain one; 5 % is its sampling error at n = 5000
    rng = np.random.default_rng(5)
    first, second = rng.standard_normal(5000) ** 2, rng.standard_normal(5000) ** 2 + 0.05
    expected: Any = stats.ttest_1samp(first - second, 0.0)
    got = diebold_mariano(first, second)
    assert got.statistic == pytest.approx(float(expected.statistic), rel=0.05)
    assert got.statistic < 0
    assert diebold_mariano(second, first).statistic == pytest.approx(-got.statistic)


def test_diebold_mariano_keeps_its_level_under_autocorrelation():
    # MA(1) differences with coefficient .8: an uncorrected t test rejects about 14 % of the time at 5 %
    rng = np.random.default_rng(6)
    rejected = 0
    for _ in range(400):
        noise = rng.standard_normal(401)
        rejected += diebold_mariano(noise[1:] + 0.8 * noise[:-1], np.zeros(400)).p_value < 0.05
    assert 0.03 < rejected / 400 < 0.10  # 5 % with a binomial error of 1.1 % and Newey-West's known small excess


@pytest.mark.parametrize("ahead", [4, 24])
def test_diebold_mariano_keeps_its_level_where_errors_overlap(ahead):
    # errors of h ticks that share h - 1 shocks; with the lags of one step .05 becomes .12 and .41
    rng = np.random.default_rng(7)
    rejected = 0
    for _ in range(400):
        walk = np.cumsum(rng.standard_normal((2, 800 + ahead)), axis=1)
        errors = walk[:, ahead:] - walk[:, :-ahead]
        rejected += diebold_mariano(errors[0] ** 2, errors[1] ** 2, ahead).p_value < 0.05
    assert 0.02 < rejected / 400 < 0.10  # as above


def test_diebold_mariano_has_the_small_sample_factor():
    losses = np.random.default_rng(2).random((2, 60))
    d = losses[0] - losses[1]
    c = d - d.mean()
    n, h = 60, 5
    variance = c @ c / n + 2 * sum(c[k:] @ c[:-k] / n for k in range(1, h))
    factor = np.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    assert diebold_mariano(losses[0], losses[1], h).statistic == pytest.approx(
        factor * d.mean() / np.sqrt(variance / n)
    )
    assert np.isnan(diebold_mariano(losses[0], losses[1], 31).p_value)  # fewer than two horizons of losses


def test_diebold_mariano_says_nothing_of_equal_or_few_losses_and_ignores_the_unit():
    same = np.ones(100)
    assert np.isnan(diebold_mariano(same, same).p_value)
    assert np.isnan(diebold_mariano(np.arange(5.0), np.zeros(5)).p_value)
    losses = np.random.default_rng(1).random((2, 300))
    assert diebold_mariano(*(losses * 1e200)).p_value == pytest.approx(diebold_mariano(*losses).p_value)


def overlapping(rng: np.random.Generator, ticks: int, streams: int, horizon: int, spread: float = 1.0) -> np.ndarray:
    """PIT of forecasts `horizon` ticks ahead of random walks, (ticks, streams), as if errors had another spread."""
    walk = np.cumsum(rng.standard_normal((ticks + horizon, streams)), axis=0)
    return special.ndtr(spread * (walk[horizon:] - walk[:-horizon]) / np.sqrt(horizon))


HORIZONS = (1, 4, 24, 48)


@pytest.mark.parametrize("kind", ["overlapping", "independent"])
def test_a_calibrated_horizon_is_called_lost_at_most_once_in_ten_thousand_ticks(kind):
    rng, ticks, streams = np.random.default_rng(11), 20_000, 20
    parts = [
        overlapping(rng, ticks, streams, h) if kind == "overlapping" else rng.random((ticks, streams)) for h in HORIZONS
    ]
    lost = CalibrationWatch(HORIZONS, streams).follow(np.stack(parts, axis=-1))
    begins = (lost[1:] & ~lost[:-1]).sum(axis=(0, 1))
    # 400,000 ticks of each horizon: at most 40, and fewer, because the limit is that of motion without steps
    assert (begins <= 40).all() and begins.max() >= 1
    assert lost.mean() < 0.02


@pytest.mark.parametrize("spread", [2.0, 0.5])
def test_a_spread_that_doubles_or_halves_is_found_and_its_return_too(spread):
    rng, streams = np.random.default_rng(12), 20
    for horizon, latest in ((1, 100), (4, 400), (24, 1500)):
        pit = np.concatenate([overlapping(rng, 3000, streams, horizon, s) for s in (1.0, spread, 1.0)])
        lost = CalibrationWatch((horizon,), streams).follow(pit[..., None])[..., 0]
        changed = lost[3000:6000]
        assert (changed.argmax(axis=0) < latest).all() and changed[-1].all()
        assert lost[-1].mean() < 0.2  # the sums have come back from twice the limit


def test_forecasts_that_lean_to_one_side_are_found_and_what_is_unknown_changes_nothing():
    rng = np.random.default_rng(13)
    leaning = special.ndtr(rng.standard_normal((400, 1, 1)) + 1.0)
    watch = CalibrationWatch((1,))
    assert not watch.follow(np.full((50, 1, 1), np.nan)).any()
    assert watch.follow(leaning)[-1].all()
    assert watch.follow(np.full((50, 1, 1), np.nan)).all() and watch.lost.all()


def test_the_table_of_calibration(make_run, several_series, one_series):
    run = make_run(one_series)
    run["pit"][:] = np.random.default_rng(5).random(run["pit"].shape)
    run["pit"][:10, 2] = np.nan
    run["pit"][:, 1] = run["pit"][:, 1] ** 2
    table = calibration_table(run)
    assert table["inside"].dims == ("horizon", "level") and table["level"].values.tolist() == [0.5, 0.8, 0.95]
    known = run["pit"].values[10:, 2]
    assert int(table["ticks"].sel(horizon=4)) == 990
    assert float(table["inside"].sel(horizon=4, level=0.8)) == pytest.approx(np.mean(np.abs(known - 0.5) <= 0.4))
    expected: Any = stats.kstest(known[2::4], "uniform")  # every fourth row from the first on
    assert float(table["uniform_p_value"].sel(horizon=4)) == pytest.approx(float(expected.pvalue))
    assert table["lost"].values.tolist() == [False, True, False, False, False, False, False]
    assert calibration_table(make_run(several_series))["inside"].dims == ("asset", "horizon", "level")
