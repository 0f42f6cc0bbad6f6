"""Rows that are not there: places on the time grid are taken by forecasts when the next tick comes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import xarray as xr

from uspnb.config.schema import PredictorConfig
from uspnb.data.processes import autoregression, seasonal_demand
from uspnb.model.orchestration.gate import MOST_IMPUTED
from uspnb.predictor.backtest import backtest
from uspnb.predictor.functional import FunctionalPredictor, observations, scan_chunks

SECOND, DAY = 1_000_000_000, 86_400
CONFIG = PredictorConfig()
VALUES = autoregression(700, 2).values
START = np.datetime64("2026-01-05T00:00", "s")  # a Monday


def run(values: np.ndarray, seconds: np.ndarray, config: PredictorConfig = CONFIG) -> xr.Dataset:
    return backtest(values, config, times=START + np.asarray(seconds).astype("timedelta64[s]"), progress=False)


def gone_at_random(ticks: int, share: float, seed: int = 5) -> np.ndarray:
    """The first hundred stay; a hole of 24 stands in the middle."""
    gone = np.random.default_rng(seed).random(ticks) < share
    gone[:100], gone[ticks // 2 : ticks // 2 + 24] = False, True
    return gone


def widths(ds: xr.Dataset) -> np.ndarray:
    return (ds["upper"] - ds["lower"]).values


def test_rows_that_are_not_there_forecast_as_rows_of_nan_do() -> None:
    """The first difference after a hole comes from the weights, which doubt about rows of NaN holds still."""
    values, seconds = VALUES, 1800 * np.arange(700)
    keep = np.ones(700, bool)
    keep[[300, 400, 401, *range(500, 524)]] = False
    absent, as_nan = run(values[keep], seconds[keep]), run(np.where(keep, values, np.nan), seconds)
    assert absent.sizes["time"] == keep.sum() and not absent["imputed"].any() and not absent["rejected"].any()
    one = np.arange(700)[keep] <= 301
    for name in ("prediction", "lower", "upper", "kernel_prediction"):
        ours, theirs = absent[name].values, as_nan[name].values[keep]
        np.testing.assert_allclose(ours[one], theirs[one], rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(ours[100:], theirs[100:], atol=0.3 * float(np.std(values)), err_msg=name)


def test_after_a_hole_the_forecast_for_the_tick_is_as_many_steps_long_and_as_wide() -> None:
    """After 24 steps an autoregression's forecast is its mean, whatever the last value was; wider by sqrt(25)."""
    keep = np.ones(700, bool)
    keep[500:524] = False
    ds = run(VALUES[keep], 60 * np.arange(700)[keep])
    spread = np.std(VALUES)
    assert abs(VALUES[499] - VALUES[:500].mean()) > 0.5 * spread
    assert abs(float(ds["prediction"][500]) - VALUES[:500].mean()) < 0.35 * spread
    assert widths(ds)[500] == pytest.approx(5.0 * widths(ds)[499], rel=0.2)
    assert widths(ds)[501] < 2.0 * widths(ds)[499]


def state_after(seconds: Any, values: Any = None, config: PredictorConfig = CONFIG) -> Any:
    values = VALUES[: len(seconds)] if values is None else values
    predictor = FunctionalPredictor(config)
    ticks = observations(np.asarray(values, float), np.asarray(seconds, np.int64) * SECOND)
    return scan_chunks(predictor, predictor.init_state(), ticks)[0]


@pytest.mark.parametrize("missing", [1, MOST_IMPUTED, MOST_IMPUTED + 100])
def test_the_window_moves_on_by_as_many_places_at_most(missing: int) -> None:
    seconds = 60 * np.arange(300)
    before = state_after(seconds).frame
    seconds = np.append(seconds, seconds[-1] + 60 * (missing + 1))
    after = state_after(seconds)
    places = min(missing, MOST_IMPUTED) + 1
    np.testing.assert_array_equal(after.frame.window[:-places], before.window[places:])
    # The forecasts of the places lead to the tick: none is as far off as the tick's own forecast was.
    assert np.all(np.isfinite(after.frame.window)) and np.ptp(after.frame.window) < 2.0 * np.ptp(before.window)
    assert float(after.frame.window[-1]) == VALUES[300]
    assert int(after.ticks) == 301 and int(after.gate.imputed) == 0
    assert int(after.frame.count) == int(before.count) + 1


def test_a_tick_bends_the_forecasts_before_it_onto_its_value() -> None:
    """Three places: they move by a quarter, a half and three quarters of what the fourth step's forecast lacked."""
    seconds = 60 * np.arange(300)
    gone = state_after(np.append(seconds, seconds[-1] + 60 * np.arange(1, 4)), np.append(VALUES[:300], [np.nan] * 3))
    came = state_after(np.append(seconds, seconds[-1] + 240))
    error = VALUES[300] - float(gone.forecast.mean)
    expected = gone.frame.window[-3:] + error * np.array([0.25, 0.5, 0.75])
    np.testing.assert_allclose(came.frame.window[-4:-1], expected, rtol=1e-9)


def test_nothing_is_learned_in_the_places_or_across_them() -> None:
    seconds = 60 * np.arange(300)
    before = state_after(seconds)
    after = state_after(np.append(seconds, seconds[-1] + 600))
    learned = before.kernels["hilbert"].learned
    assert float(after.kernels["hilbert"].learned) == float(learned)
    for name in ("log_score", "kernel_error", "residuals"):
        np.testing.assert_array_equal(getattr(after.score, name), getattr(before.score, name), err_msg=name)


def moved(seconds: np.ndarray, config: PredictorConfig = CONFIG) -> int:
    """Places by which the last tick moves the window."""
    values = np.arange(len(seconds)) % 7 + 0.1 * np.arange(len(seconds))
    before, after = (
        state_after(seconds[:n], values[:n], config).frame.window for n in (len(seconds) - 1, len(seconds))
    )
    return next(n for n in range(1, 100) if np.array_equal(after[:-n], before[n:]))


def test_closed_hours_are_no_places() -> None:
    """Nights of a market, weekends in the index of daily closes once three weeks have shown them, and holidays."""
    hours = np.arange(9, 16)
    trading = np.concatenate([3600 * hours + DAY * d for d in range(29) if d % 7 < 5])
    assert moved(trading[:22]) == moved(trading[:106]) == 1  # the third night, the third weekend
    days = np.array([DAY * d for d in range(70) if d % 7 < 5])
    assert moved(days[:51]) == 1  # the eleventh Monday
    assert moved(np.delete(days, 49)) == 1  # a Friday is missing before it
    assert moved(np.append(days[:48], days[48] + DAY)) == 2  # a Thursday is missing


def test_the_clock_of_events_is_no_grid() -> None:
    """Exponential intervals have no places between them, jitter of a tenth of one changes nothing."""
    rng = np.random.default_rng(3)
    events = np.cumsum(rng.exponential(60.0, 200)).astype(int)
    assert moved(np.append(events, events[-1] + 600)) == 1
    jittered = 60 * np.arange(200) + rng.uniform(-6, 6, 200).astype(int)
    assert moved(np.append(jittered, 60 * 205)) == 6
    declared = dataclasses.replace(CONFIG, tick_interval_ns=60 * SECOND)
    assert moved(np.append(events, events[-1] + 600), declared) == 10
    assert moved(np.append(jittered, 60 * 205), dataclasses.replace(CONFIG, impute=False)) == 1


def test_a_missing_value_and_rows_that_are_not_there_share_their_places() -> None:
    """Rows of NaN before and after a stretch without rows: the window stands as if all of them had been NaN."""
    seconds = 60 * np.arange(310)
    values = np.append(VALUES[:300], [np.nan] * 9 + [VALUES[309]])
    keep = np.ones(310, bool)
    keep[[302, 303, 304, 306]] = False
    holed = state_after(seconds[keep], values[keep]).frame
    whole = state_after(seconds, values).frame
    np.testing.assert_allclose(holed.window, whole.window, rtol=1e-6)


def test_series_of_a_batch_wait_for_one_another_and_change_nothing() -> None:
    """Series with clocks of their own: each is what it is alone, whatever the others miss."""
    predictor = FunctionalPredictor(CONFIG)
    rng = np.random.default_rng(4)
    stamps = (
        np.stack([60 * np.flatnonzero(rng.random(400) > share)[:250] for share in (0.0, 0.2, 0.3)], axis=1) * SECOND
    )
    values = np.stack([autoregression(250, seed).values for seed in (1, 2, 3)], axis=1)
    _, rows = scan_chunks(predictor, predictor.init_state(3), observations(values, stamps))
    for k in range(3):
        _, own = scan_chunks(predictor, predictor.init_state(), observations(values[:, k], stamps[:, k]))
        np.testing.assert_allclose(rows[:, k], own, rtol=1e-6, atol=1e-9, equal_nan=True)


def test_holes_leave_coverage_and_season_where_they_were() -> None:
    """30 % missing at random and a hole of 24, seasons declared: as rows of NaN and as rows that are not there."""
    values = seasonal_demand(4000, 4, per_day=24, noise=2.0).values
    gone = gone_at_random(4000, 0.3)
    seconds, scored = 1800 * np.arange(4000), np.arange(4000) >= 500
    config = CONFIG.with_seasons(24)
    errors = []
    for ds, taken in (
        (run(np.where(gone, np.nan, values), seconds, config), slice(None)),
        (run(values[~gone], seconds[~gone], config), ~gone),
    ):
        seen = np.isfinite(ds["observation"].values) & scored[taken]
        inside = ((ds["observation"] >= ds["lower"]) & (ds["observation"] <= ds["upper"])).values
        assert 0.93 <= float(inside[seen].mean()) <= 0.97
        errors.append(float(np.sqrt(np.mean(ds["residual"].values[seen] ** 2))))
    assert errors[1] == pytest.approx(errors[0], rel=0.02)


def test_a_hole_does_not_shift_the_season() -> None:
    """Of 31 hours, where the day has 24: closed over, as a series without times is, it costs two days of errors."""
    values, config = seasonal_demand(3000, 4, per_day=24, noise=2.0).values, CONFIG.with_seasons(24)
    keep = (np.arange(3000) < 2000) | (np.arange(3000) >= 2031)
    seconds = 3600 * np.arange(3000)

    def error(ds: xr.Dataset, first: int) -> float:
        return float(np.sqrt(np.mean(ds["residual"].values[first : first + 48] ** 2)))

    whole, absent = run(values, seconds, config), run(values[keep], seconds[keep], config)
    closed = backtest(values[keep], config, progress=False)
    assert error(absent, 2001) < 1.1 * error(whole, 2032)
    assert error(closed, 2001) > 1.5 * error(whole, 2032)
