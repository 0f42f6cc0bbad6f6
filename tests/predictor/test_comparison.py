"""Metrics against hand computation, and verdicts that say what the numbers say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from synthetic_runs import synthetic_run

from uspnb.config.load import config_to_toml
from uspnb.config.schema import PredictorConfig
from uspnb.data.series import read_series
from uspnb.errors import DomainError
from uspnb.plots.report_tables import comparison_table
from uspnb.predictor.comparison import METRICS, compare, verdict
from uspnb.predictor.results import load, save


def test_metrics_of_uspnb_and_last_value_by_hand(one_series, run):
    comparison = compare(one_series, dataset=run)
    y, mean = run["observation"].values, run["prediction"].values
    rows = np.zeros(len(y), dtype=bool)
    rows[100:] = True  # a tenth of 1000 ticks
    error = (y - mean)[rows]
    own = comparison["score"].sel(forecaster="uspnb")
    assert float(own.sel(metric="rmse")) == pytest.approx(np.sqrt(np.mean(error**2)))
    assert float(own.sel(metric="mae")) == pytest.approx(np.mean(np.abs(error)))
    assert float(own.sel(metric="coverage")) == pytest.approx(np.mean(np.abs(error) <= 2.0))
    assert float(own.sel(metric="width")) == pytest.approx(4.0)
    naive = np.sqrt(np.mean(np.diff(y)[99:] ** 2))
    assert float(comparison["score"].sel(forecaster="last_value", metric="rmse")) == pytest.approx(naive)
    assert float(comparison["relative"].sel(forecaster="uspnb", metric="rmse")) == pytest.approx(
        float(own.sel(metric="rmse")) / naive
    )
    assert int(comparison["scored_ticks"]) == 900 and int(comparison["missed_ticks"]) == 0
    assert np.isnan(comparison["relative"].sel(metric="coverage")).all()


def test_ticks_that_one_forecaster_misses_count_for_nobody(one_series, run):
    holed = run.copy(deep=True)
    holed["prediction"][500:510] = np.nan
    comparison = compare(one_series, dataset=holed)
    assert int(comparison["scored_ticks"]) == 890 and int(comparison["missed_ticks"]) == 10
    assert "no forecast for 10 ticks" in comparison.attrs["verdict"]


def test_the_verdict_names_winner_size_chance_and_coverage(one_series, run):
    text = compare(one_series, dataset=run).attrs["verdict"]
    assert "uspnb beats last value: its RMSE is" in text and "lower" in text and "Diebold-Mariano, p < 0.0001" in text
    assert "95% interval held" in text and "as promised" in text


def test_the_verdict_owns_up_to_a_loss_and_to_bad_coverage(one_series, run):
    bad = run.copy(deep=True)
    wrong = 4.0 * np.random.default_rng(9).standard_normal(1000)
    bad["prediction"][:] = run["prediction"].values + wrong
    bad["lower"][:], bad["upper"][:] = bad["prediction"].values - 1.0, bad["prediction"].values + 1.0
    text = compare(one_series, dataset=bad).attrs["verdict"]
    assert "loses to last value" in text and "higher" in text and "too few" in text


def test_the_same_forecast_is_no_win(one_series, run):
    same = run.copy(deep=True)
    y = run["observation"].values
    naive = np.concatenate([[np.nan], y[:-1]])
    naive[51] = y[49]
    same["prediction"][:] = naive
    text = compare(one_series, dataset=same, baselines=("last_value",)).attrs["verdict"]
    assert "cannot be told apart" in text and "RMSE is equal" in text


@pytest.mark.parametrize("unit", [1e-150, 1e150])
def test_ratios_and_tests_do_not_depend_on_the_unit(one_series, run, unit):
    scaled = run.copy(deep=True)
    for name in ("observation", "prediction", "lower", "upper", "scale"):
        scaled[name][:] = run[name].values * unit
    series = dataclasses.replace(one_series, values=one_series.values * unit)
    comparison, plain = compare(series, dataset=scaled), compare(one_series, dataset=run)
    np.testing.assert_allclose(comparison["relative"], plain["relative"], rtol=1e-6)
    np.testing.assert_allclose(comparison["dm_statistic"], plain["dm_statistic"], rtol=1e-5)


def test_several_assets(several_series, run_of_several, tmp_path):
    comparison = compare(several_series, dataset=run_of_several)
    assert comparison["score"].dims == ("forecaster", "metric", "asset") and comparison.sizes["metric"] == len(METRICS)
    alone = compare(read_series(several_series.values[:, 1]), dataset=run_of_several.isel(asset=1).drop_vars("asset"))
    np.testing.assert_allclose(comparison["score"].isel(asset=1), alone["score"])
    assert "2 assets" in comparison.attrs["verdict"] and verdict(comparison) == comparison.attrs["verdict"]
    assert load(save(comparison, tmp_path / "c.nc")).attrs["verdict"] == comparison.attrs["verdict"]


def known_ahead(series, error=0.0):
    """A run whose forecasts of every horizon are the values to come plus `error`, with intervals of +-2."""
    run = synthetic_run(series)
    y = series.values
    for i, h in enumerate(run["horizon"].values):
        ahead = np.concatenate([y[h:], np.full((h, *y.shape[1:]), np.nan)]) + error
        run["horizon_prediction"][..., i] = ahead
        run["horizon_lower"][..., i], run["horizon_upper"][..., i] = ahead - 2.0, ahead + 2.0
    return run


def test_each_horizon_is_scored_by_hand_on_the_same_ticks(one_series):
    run = known_ahead(one_series, 0.5)
    run["horizon_prediction"][500, 2] = np.nan
    comparison = compare(one_series, dataset=run, horizons=(1, 4, 24), baselines=("last_value",))
    assert comparison["score"].dims == ("forecaster", "metric", "horizon")
    own = comparison["score"].sel(forecaster="uspnb")
    np.testing.assert_allclose(own.sel(metric="rmse"), 0.5)
    np.testing.assert_allclose(own.sel(metric="coverage"), 1.0)
    np.testing.assert_allclose(own.sel(metric="interval_score"), 4.0)
    first = 100 + 24 - 1  # after the burn-in the longest horizon's first origin
    np.testing.assert_array_equal(comparison["scored_ticks"], [1000 - first, 999 - first, 1000 - first])
    np.testing.assert_array_equal(comparison["missed_ticks"], [0, 1, 0])
    y = one_series.values
    for h, rows in ((4, np.delete(np.arange(first, 1000), 504 - first)), (24, np.arange(first, 1000))):
        naive = np.sqrt(np.mean((y[rows] - y[rows - h]) ** 2))
        score = comparison["score"].sel(forecaster="last_value", metric="rmse", horizon=h)
        assert float(score) == pytest.approx(naive)
        assert float(comparison["relative"].sel(forecaster="uspnb", metric="rmse", horizon=h)) == pytest.approx(
            0.5 / naive
        )
    text = comparison.attrs["verdict"]
    assert "at 1 tick ahead" in text and "at 24 ticks ahead" in text and "significantly better at 3" in text
    table = comparison_table(comparison)
    assert list(table.index[:3]) == ["uspnb, 1 ahead", "last value, 1 ahead", "uspnb, 4 ahead"]


def test_one_tick_ahead_is_the_comparison_of_the_next_tick(one_series, run):
    plain = compare(one_series, dataset=run)
    run["horizon_prediction"][:-1, 0] = run["prediction"].values[1:]
    run["horizon_lower"][:-1, 0], run["horizon_upper"][:-1, 0] = run["lower"].values[1:], run["upper"].values[1:]
    one = compare(one_series, dataset=run, horizons=[1], baselines=("last_value", "recursive_ar")).isel(horizon=0)
    xr.testing.assert_allclose(plain["score"].sel(metric=one["metric"].values), one["score"].drop_vars("horizon"))
    xr.testing.assert_allclose(plain["dm_p_value"], one["dm_p_value"].drop_vars("horizon"))


def test_a_rival_repeats_the_season_that_is_declared_or_found(one_series):
    rng, season = np.random.default_rng(5), 12
    y = np.tile(rng.standard_normal(season), 60) * 3 + rng.standard_normal(720) * 0.1
    series = read_series(y)
    run = known_ahead(series)
    run["season"][:] = np.nan
    assert "seasonal_naive" not in compare(series, dataset=run, horizons=(1, 24))["forecaster"]
    with pytest.raises(DomainError, match="seasonal_naive has no period"):
        compare(series, dataset=run, baselines=("seasonal_naive",))
    run["season"][60:, 0] = season
    found = compare(series, dataset=run, horizons=(1, 24))["score"].sel(forecaster="seasonal_naive", metric="rmse")
    np.testing.assert_allclose(found, 0.1 * np.sqrt(2), rtol=0.1)  # two draws of the noise, 600 ticks
    run.attrs["config"] = config_to_toml(PredictorConfig().with_seasons(4, 12))
    told = compare(series, dataset=run, baselines=("seasonal_naive",))["score"]
    assert float(told.sel(forecaster="seasonal_naive", metric="rmse")) == pytest.approx(float(found[0]), rel=0.05)


def test_ticks_ahead_are_places_on_the_time_grid():
    rng = np.random.default_rng(6)
    index = pd.date_range("2026-01-01", periods=900, freq="1h", tz="UTC")
    whole = read_series(pd.Series(np.cumsum(rng.standard_normal(900)), index))
    exact = known_ahead(whole)
    keep = rng.random(900) > 0.2
    keep[[0, -1]], keep[400:430] = True, False  # holes of a few rows, and a long one that surprises
    series = read_series(pd.Series(whole.values[keep], index[keep]))
    run = known_ahead(series)
    for name in ("horizon_prediction", "horizon_lower", "horizon_upper"):
        run[name][:] = exact[name].values[keep]
    comparison = compare(series, dataset=run, horizons=(1, 8), baselines=("last_value",))
    np.testing.assert_allclose(comparison["score"].sel(forecaster="uspnb", metric="rmse"), 0.0, atol=1e-12)
    pairs = sum(keep[t] and keep[t - 8] for t in range(np.flatnonzero(keep)[keep.sum() // 10] + 7, 900))
    assert int(comparison["scored_ticks"].sel(horizon=8)) == pairs


def test_nights_are_no_places():
    days = pd.date_range("2026-01-05 09:00", periods=30, freq="1D", tz="UTC")
    index = pd.DatetimeIndex([day + pd.Timedelta(minutes=10 * k) for day in days for k in range(30)])
    series = read_series(pd.Series(np.cumsum(np.random.default_rng(7).standard_normal(900)), index))
    comparison = compare(series, dataset=known_ahead(series), horizons=(1, 8), baselines=("last_value",))
    np.testing.assert_array_equal(comparison["scored_ticks"], 900 - 90 - 7)


def test_horizons_of_several_assets(several_series, tmp_path):
    run = known_ahead(several_series, 0.25)
    comparison = compare(several_series, dataset=run, horizons=(1, 8))
    assert comparison["score"].dims == ("forecaster", "metric", "horizon", "asset")
    assert "in the median of 2 assets" in comparison.attrs["verdict"]
    alone = compare(
        read_series(several_series.values[:, 1]), dataset=run.isel(asset=1).drop_vars("asset"), horizons=(1, 8)
    )
    np.testing.assert_allclose(comparison["score"].isel(asset=1), alone["score"])
    assert load(save(comparison, tmp_path / "c.nc")).equals(comparison)


def test_horizons_that_cannot_be_compared_are_refused(one_series, run):
    for reason, horizons in {
        "no forecasts 3 ticks ahead, only 1, 2, 4": (1, 3),
        "horizons": (),
        "does not rise": (4, 2),
        "no tick after the burn-in of 100 has a value and every forecast 48 ticks ahead": (1, 48),
    }.items():
        if 48 in horizons:
            run["horizon_prediction"][..., -1] = np.nan
        with pytest.raises(DomainError, match=reason):
            compare(one_series, dataset=run, horizons=horizons)


def test_bad_arguments_are_refused(one_series, run):
    for reason, options in {
        "unknown baseline 'arima'": {"baselines": ("arima",)},
        "burn_in = 1000": {"burn_in": 1000},
        "burn_in = -1": {"burn_in": -1},
        "burn_in = True": {"burn_in": True},
    }.items():
        with pytest.raises(DomainError, match=reason):
            compare(one_series, dataset=run, **options)
    with pytest.raises(DomainError, match="other ticks"):
        compare(one_series, dataset=run.isel(time=slice(0, 500)))
    holed = run.copy(deep=True)
    holed["prediction"][:] = np.nan
    with pytest.raises(DomainError, match="no tick after the burn-in"):
        compare(one_series, dataset=holed)
