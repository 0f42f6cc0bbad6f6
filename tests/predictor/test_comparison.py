"""Metrics against hand computation, and verdicts that say what the numbers say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from uspnb.data.series import read_series
from uspnb.errors import DomainError
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
