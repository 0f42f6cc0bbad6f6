"""`support = "nonnegative"`: neither forecast nor interval below zero, coverage as before."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from walks import thinned_counts

from uspnb.config.schema import PredictorConfig
from uspnb.data.processes import autoregression
from uspnb.errors import ConfigError
from uspnb.predictor.backtest import backtest
from uspnb.predictor.functional import FunctionalPredictor, observations

REAL, NONNEGATIVE = PredictorConfig(), PredictorConfig(support="nonnegative")
TICKS, FROM = 3000, 300


def covered(ds: xr.Dataset) -> np.ndarray:
    return ((ds["observation"] >= ds["lower"]) & (ds["observation"] <= ds["upper"])).values[FROM:]


def interval_score(ds: xr.Dataset) -> float:
    y, low, high = (ds[name].values[FROM:] for name in ("observation", "lower", "upper"))
    return float(np.mean(high - low + 40 * (np.maximum(low - y, 0) + np.maximum(y - high, 0))))


def runs(values: np.ndarray) -> tuple[xr.Dataset, xr.Dataset]:
    real, nonnegative = (backtest(values, config, progress=False) for config in (REAL, NONNEGATIVE))
    return real, nonnegative


@pytest.mark.parametrize("mean", [0.5, 2.0])
def test_of_counts_the_same_are_covered_by_intervals_that_end_at_zero(mean: float) -> None:
    real, nonnegative = runs(thinned_counts(TICKS, 3, mean))
    assert float((real["lower"] < 0)[FROM:].mean()) > 0.3
    for name in ("prediction", "lower", "upper"):
        assert float(nonnegative[name].min()) >= 0, name
    np.testing.assert_array_equal(covered(nonnegative), covered(real))
    assert 0.93 <= covered(nonnegative).mean() <= 0.975
    assert interval_score(nonnegative) < 0.92 * interval_score(real)


def test_a_series_far_from_zero_does_not_notice() -> None:
    real, nonnegative = runs(np.abs(autoregression(600, 5).values) + 100.0)
    np.testing.assert_allclose(nonnegative["lower"][1:], real["lower"][1:], rtol=1e-3)
    np.testing.assert_allclose(nonnegative["upper"][1:], real["upper"][1:], rtol=1e-3)


def test_what_a_forecast_stands_in_for_is_not_negative_either() -> None:
    values = thinned_counts(600, 4, 0.3)
    values[np.random.default_rng(1).random(600) < 0.3] = np.nan
    predictor = FunctionalPredictor(NONNEGATIVE)
    state, result = predictor.scan(predictor.init_state(), observations(values, np.arange(600) * 10**9))
    assert result.telemetry.imputed.any() and float(np.min(state.frame.window)) >= 0


def test_a_negative_tick_is_taken_in_and_lies_outside() -> None:
    values = thinned_counts(400, 6)
    values[300] = -1.0
    ds = backtest(values, NONNEGATIVE, progress=False)
    assert not bool(ds["rejected"][300]) and float(ds["lower"][300]) == 0.0
    assert float(ds["residual"][300]) == pytest.approx(-1.0 - float(ds["prediction"][300]))
    assert float(ds["lower"][1:].min()) >= 0


def test_another_support_is_refused() -> None:
    with pytest.raises(ConfigError, match="support = 'positive' is not one of 'real', 'nonnegative'"):
        PredictorConfig(support="positive")
