"""A refused or missing tick: the forecast takes its place in the window, and nobody learns from it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.data.processes import autoregression, seasonal_demand
from uspnb.model.orchestration.gate import MOST_IMPUTED
from uspnb.model.records import Observation
from uspnb.model.state import PredictorState
from uspnb.predictor.backtest import backtest
from uspnb.predictor.functional import FunctionalPredictor, observations

SECOND = 1_000_000_000
CONFIG = PredictorConfig()
VALUES = autoregression(400, 2).values


@pytest.fixture(scope="module")
def predictor() -> FunctionalPredictor:
    return FunctionalPredictor(CONFIG)


@pytest.fixture(scope="module")
def state(predictor: FunctionalPredictor) -> PredictorState:
    return predictor.scan(predictor.init_state(), observations(VALUES, np.arange(400) * SECOND))[0]


def tick(value: float, place: int) -> Observation:
    return observations(value, place * SECOND)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_the_forecast_stands_in_the_window_and_nothing_is_learned(
    predictor: FunctionalPredictor, state: PredictorState, value: float
) -> None:
    new, result = predictor.step(state, tick(value, 400))
    assert bool(result.telemetry.rejected) and bool(result.telemetry.imputed)
    np.testing.assert_array_equal(new.frame.window[-1], state.forecast.mean)
    np.testing.assert_array_equal(new.frame.window[:-1], state.frame.window[1:])
    for name in ("count", "level", "spread", "scale", "age"):
        np.testing.assert_array_equal(getattr(new.frame, name), getattr(state.frame, name), err_msg=name)
    for name in ("score", "charts", "roughness", "spectrum", "weight"):
        jax.tree.map(np.testing.assert_array_equal, getattr(new, name), getattr(state, name))
    hilbert, before = new.kernels["hilbert"], state.kernels["hilbert"]
    for name in ("slow", "fast", "features", "score", "slow_score", "variance", "learned"):
        jax.tree.map(np.testing.assert_array_equal, getattr(hilbert, name), getattr(before, name))
    jax.tree.map(
        np.testing.assert_array_equal, new.kernels["log_signature"].ridge, state.kernels["log_signature"].ridge
    )


def test_the_next_forecast_is_a_tick_longer_and_wider(predictor: FunctionalPredictor, state: PredictorState) -> None:
    """An autoregression of order two: the two-step forecast from its own coefficients, and a wider interval."""
    new, result = predictor.step(state, tick(np.nan, 400))
    width = float(result.confidence_upper - result.confidence_lower)
    assert width == pytest.approx(np.sqrt(2.0) * float(state.forecast.upper - state.forecast.lower), rel=0.2)
    after, _ = predictor.step(new, tick(float(state.forecast.mean), 401))
    assert int(after.gate.imputed) == 0 and int(new.gate.imputed) == 1


def test_after_so_many_in_a_row_the_window_waits(predictor: FunctionalPredictor, state: PredictorState) -> None:
    missing = MOST_IMPUTED + 20
    ticks = observations(np.full(missing, np.nan), np.arange(400, 400 + missing) * SECOND)
    at_most, _ = predictor.scan(state, ticks.at(slice(MOST_IMPUTED)))
    longer, result = predictor.scan(state, ticks)
    np.testing.assert_array_equal(longer.frame.window, at_most.frame.window)
    assert np.all(np.isfinite(result.reference_prediction)) and int(longer.gate.imputed) == MOST_IMPUTED


def test_out_of_order_ticks_take_no_place(predictor: FunctionalPredictor, state: PredictorState) -> None:
    new, _ = predictor.step(state, tick(0.0, 200))
    np.testing.assert_array_equal(new.frame.window, state.frame.window)


def test_the_run_says_where_the_forecast_stands_in() -> None:
    """At missing values and outliers of a run, not at good ticks, at those out of order, or once the window waits."""
    values = VALUES.copy()
    values[[150, 200, 201]], values[300:360] = [np.nan, 1e6, np.inf], np.nan
    times = np.datetime64("2026-01-01", "s") + np.arange(400)
    times[250] = times[0]
    ds = backtest(values, CONFIG, times=times, progress=False)
    expected = np.zeros(400, bool)
    expected[[150, 200, 201]] = expected[300 : 300 + MOST_IMPUTED] = True
    np.testing.assert_array_equal(ds["imputed"], expected)
    assert bool(ds["rejected"][250]) and bool(ds["rejected"][359]) and ds["imputed"].attrs["units"] == "1"
    off = backtest(values[:160], dataclasses.replace(CONFIG, impute=False), progress=False)
    assert not off["imputed"].any()


def test_switched_off_the_window_closes_over_the_hole(state: PredictorState) -> None:
    off = FunctionalPredictor(dataclasses.replace(CONFIG, impute=False))
    new, _ = off.step(state, tick(np.nan, 400))
    np.testing.assert_array_equal(new.frame.window, state.frame.window)


def measured(values: np.ndarray, **settings: Any) -> tuple[float, float]:
    """Root mean squared error and coverage where there is a value."""
    ds = backtest(values, dataclasses.replace(CONFIG, **settings), progress=False).isel(time=slice(500, None))
    inside = (ds.observation >= ds.lower) & (ds.observation <= ds.upper)
    seen = np.isfinite(ds.observation)
    return float(np.sqrt(np.mean(ds.residual.values[seen.values] ** 2))), float(inside.where(seen).mean())


def test_lags_stay_where_they_were() -> None:
    """Of a day with a shape, one value in ten is missing; without imputation every lag is shifted by it."""
    values = seasonal_demand(3000, 4, per_day=24, noise=2.0).values
    gone = np.random.default_rng(2).random(3000) < 0.1
    holed = np.where(gone, np.nan, values)
    (whole, _), (imputed, covered), (closed, _) = measured(values), measured(holed), measured(holed, impute=False)
    assert imputed < 1.2 * whole and closed > 1.3 * imputed
    assert 0.93 <= covered <= 0.97
