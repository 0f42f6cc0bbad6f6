"""The rivals: right where the answer is known, causal, and unmoved by missing or extreme values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from walks import random_walk

from uspnb.predictor.baselines import (
    BASELINES,
    last_value,
    recursive_autoregression,
    seasonal_naive,
    with_interval,
)


def autoregression(ticks: int, phi: float = 0.7, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(ticks)
    y = np.zeros(ticks)
    for t in range(1, ticks):
        y[t] = phi * y[t - 1] + noise[t]
    return y[:, None]


def test_last_value_skips_what_is_missing():
    y = np.array([[np.nan], [1.0], [np.nan], [np.inf], [2.0]])
    np.testing.assert_array_equal(last_value(y)[:, 0], [np.nan, np.nan, 1.0, 1.0, 1.0])


def test_recursive_autoregression_equals_weighted_least_squares():
    # same span, same weights: the last forecast is that of a direct solve; the ridge of 1e-4 moves it by less than 1e-5
    y = autoregression(400)
    got = recursive_autoregression(y)[-1, 0]
    z = y[:, 0]
    rows = [t for t in range(20, 399)]
    design = np.stack([np.concatenate([[1.0], z[t - 5 : t][::-1]]) for t in rows])
    root = np.sqrt(0.995 ** np.arange(len(rows))[::-1])
    w = np.linalg.lstsq(design * root[:, None], z[rows] * root, rcond=None)[0]
    assert got == pytest.approx(float(w @ np.concatenate([[1.0], z[394:399][::-1]])), abs=1e-4)


def test_recursive_autoregression_reaches_the_innovation_variance():
    # AR(1), phi .7, 5 lags and memory of 200 ticks: excess risk about 6/400 = 1.5 %
    y = autoregression(6000)
    error = (y - recursive_autoregression(y))[500:]
    assert 0.97 < float(np.std(error)) < 1.05


@pytest.mark.parametrize("name", [*BASELINES, "seasonal_naive"])
@given(
    row=st.integers(0, 119),
    bad=st.sampled_from([np.nan, np.inf, 1e300, -7.0]),
    seed=st.integers(0, 50),
    ahead=st.sampled_from([1, 3, 10]),
)
def test_nothing_said_before_a_tick_depends_on_it(name, row, bad, seed, ahead):
    y = random_walk((120, 1), seed)
    changed = y.copy()
    changed[row] = bad
    period = np.full(y.shape, 7.0)
    said = [
        seasonal_naive(v, period, ahead) if name not in BASELINES else BASELINES[name](v, ahead) for v in (y, changed)
    ]
    before, after = (with_interval(v, mean, 0.95, ahead) for v, mean in zip((y, changed), said, strict=True))
    for part in ("mean", "scale", "lower", "upper"):
        np.testing.assert_array_equal(getattr(before, part)[: row + ahead], getattr(after, part)[: row + ahead])


def test_the_autoregression_further_ahead_is_fed_its_own_forecasts():
    # a value that is its own forecast moves the regression by what forgetting does to the ridge, less than 1e-3
    y = autoregression(400, seed=3)
    for ahead in range(1, 12):
        said = recursive_autoregression(np.concatenate([y, [[np.nan]]]))[-1:]
        direct = recursive_autoregression(np.concatenate([y[:400], [[np.nan]] * ahead]), ahead)[-1:]
        np.testing.assert_allclose(direct, said, atol=1e-3)
        y = np.concatenate([y, said])


def test_the_seasonal_rival_repeats_what_was_known_a_whole_number_of_periods_ago():
    y = np.arange(20.0)[:, None]
    period = np.full(y.shape, 4.0)
    np.testing.assert_array_equal(seasonal_naive(y, period, 1)[5:, 0], y[1:-4, 0])
    np.testing.assert_array_equal(seasonal_naive(y, period, 4)[8:, 0], y[4:-4, 0])
    np.testing.assert_array_equal(seasonal_naive(y, period, 5)[8:, 0], y[:-8, 0])  # a season ago is not known yet
    period[:10] = np.nan  # found at tick 10: what is said before is last value
    np.testing.assert_array_equal(seasonal_naive(y, period, 2)[2:12, 0], y[:10, 0])
    assert seasonal_naive(y, period, 2)[12, 0] == 8.0


def test_an_interval_further_ahead_covers_too():
    y = np.cumsum(np.random.default_rng(8).standard_normal((6000, 1)), axis=0)
    forecast = with_interval(y, last_value(y, 12), 0.9, 12)
    inside = (y >= forecast.lower) & (y <= forecast.upper)
    assert abs(float(inside[300:].mean()) - 0.9) < 0.02  # the bound of the conformal step over 5,700 ticks, twice


@pytest.mark.parametrize("unit", [1e-300, 1.0, 1e140, 1e300])
def test_extreme_units_and_gaps_leave_finite_forecasts(unit):
    y = autoregression(300) * unit
    y[50:60], y[100] = np.nan, np.inf
    for name, forecaster in BASELINES.items():
        forecast = with_interval(y, forecaster(y), 0.95)
        assert np.isfinite(forecast.mean[1:]).all(), name
        assert np.isfinite(forecast.lower[10:]).all() and (forecast.lower[10:] <= forecast.upper[10:]).all(), name


def test_a_constant_series_winds_nothing_up():
    y = np.concatenate([np.full(5000, 3.0), 3.0 + autoregression(200)[:, 0]])[:, None]
    forecast = recursive_autoregression(y)
    np.testing.assert_allclose(forecast[1:5000], 3.0)
    assert np.abs(forecast[5010:] - y[5010:]).max() < 20.0


def test_assets_do_not_touch_one_another():
    y = np.concatenate([autoregression(200, seed=s) for s in (1, 2)], axis=1)
    alone = recursive_autoregression(y[:, :1])
    np.testing.assert_allclose(recursive_autoregression(y)[:, 0], alone[:, 0], rtol=1e-12)


def test_the_conformal_interval_covers_a_heavy_tailed_series():
    # adaptive conformal inference bounds the mean miss rate by (1 + rate)/(rate n) of its target, whatever the law
    y = np.random.default_rng(4).standard_t(3, (8000, 1))
    forecast = with_interval(y, np.zeros_like(y), 0.9)
    inside = (y >= forecast.lower) & (y <= forecast.upper)
    assert abs(float(inside[300:].mean()) - 0.9) < 0.01
