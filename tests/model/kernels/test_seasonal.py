"""The seasonal experts of kernel A: against their formulas, against known laws, and what they cost where none is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.data.processes import autoregression, seasonal_demand
from uspnb.model.kernels.base import NEIGHBOURS, slot_offsets
from uspnb.model.kernels.hilbert.seasonal import ERROR_FORGETTING, FILTER_LAGS, LARGEST_CARRY, LEAST_POWER, RATES
from uspnb.predictor.backtest import backtest
from uspnb.predictor.functional import FunctionalPredictor, observations

SECOND = 1_000_000_000
DAY, WEEK = 12, 84
LENGTH = 1500
CONFIG = PredictorConfig().with_seasons(DAY, WEEK)
PLAIN = PredictorConfig(season_slots=0)


def demand(length: int = LENGTH, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Values, and the best forecast of each."""
    path = seasonal_demand(length, seed, per_day=DAY, noise=2.0)
    return path.values, path.oracle


def error(values: np.ndarray, config: PredictorConfig, first: int = 600) -> float:
    ds = backtest(values, config, times=np.arange(len(values)) * SECOND, progress=False)
    return float(np.sqrt(np.nanmean((values - ds.prediction.values)[first:] ** 2)))


def smoothed(values: np.ndarray, periods: tuple[int, ...], rates: np.ndarray) -> float:
    """The next value by a plain loop in the values' own unit."""
    level, indices = values[0], [np.zeros(period) for period in periods]
    before = product = power = 0.0
    for t, value in enumerate(values):
        here = [index[t % period] for index, period in zip(indices, periods, strict=True)]
        fault = value - level - sum(here)
        share = max(rates[0], 1.0 / (t + 1) if t < periods[0] else 0.0)
        level, left = level + share * fault, (1 - share) * fault
        for k, period in enumerate(periods):
            share = max(rates[1 + k], 1.0 / (t // period + 1))
            indices[k][t % period] = here[k] + share * left
            left = (1 - share) * left
        if t >= periods[0] and t > 0:
            product = ERROR_FORGETTING * product + fault * before
            power = ERROR_FORGETTING * power + before**2
        before = fault
    carried = np.clip(product / (power + LEAST_POWER), 0.0, LARGEST_CARRY) * before
    following = sum(index[len(values) % period] for index, period in zip(indices, periods, strict=True))
    return level + following + carried


@pytest.mark.parametrize("periods", [(DAY,), (DAY, WEEK)])
def test_each_smoothing_is_the_recursion_in_the_values_own_unit(periods: tuple[int, ...]) -> None:
    """In units of the frame's moving scale; its damping of the sums of squares, in those units, is all that differs."""
    values = demand(700)[0]
    predictor = FunctionalPredictor(PLAIN.with_seasons(*periods))
    state, _ = predictor.scan(predictor.init_state(), observations(values, np.arange(700) * SECOND))
    forecasts = np.asarray(state.kernels["hilbert"].seasonal.forecasts)[-len(RATES) :]
    found = float(state.forecast.origin) + float(state.forecast.unit) * forecasts
    expected = [smoothed(values, periods, rates) for rates in RATES]
    np.testing.assert_allclose(found, expected, atol=0.02 * float(np.std(np.diff(values))))


def filtered(past: np.ndarray, coefficients: np.ndarray, periods: tuple[int, ...], unit: float) -> float:
    """The next value by the filter's row, written out."""
    row, newest = [1.0], len(past) - 1
    row += [(past[newest - i] - past[newest - i - 1]) / unit for i in range(FILTER_LAGS)]
    for period in periods:
        there = newest - period
        row += [(past[there + min(n, period)] - past[there]) / unit for n in NEIGHBOURS]
        row.append((past[newest] - past[there]) / unit)
    return past[newest] + unit * float(coefficients[: len(row)] @ row)


@pytest.mark.parametrize("periods", [(DAY, WEEK), (3,)])
def test_the_filter_fed_back_is_the_filter_applied_again_and_again(periods: tuple[int, ...]) -> None:
    """A period shorter than the horizon too, whose neighbourhoods are forecasts themselves."""
    values = demand(900)[0]
    config = PLAIN.with_seasons(*periods)
    predictor = FunctionalPredictor(config)
    state, _ = predictor.scan(predictor.init_state(), observations(values, np.arange(900) * SECOND))
    kernel = state.kernels["hilbert"]
    slots = slot_offsets(config.ladder) + int(state.horizon.place) % np.array(config.ladder)
    found = np.asarray(kernel.ladder.forecasts)[slots, -len(RATES) - 1]
    path, unit = values.copy(), float(state.forecast.unit)
    for _ in range(config.ladder[-1]):
        path = np.append(path, filtered(path, np.asarray(kernel.seasonal.coefficients), periods, unit))
    expected = (path[len(values) - 1 + np.array(config.ladder)] - values[-1]) / unit
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_a_filter_that_a_season_wakes_learns_it_from_the_past() -> None:
    """The rows of a sleeping slot are zeros: what was learned of them must not stand beside what is learned after."""
    values = demand(5 * WEEK)[0]
    predictor = FunctionalPredictor(CONFIG)
    state, _ = predictor.scan(predictor.init_state(), observations(values, np.arange(5 * WEEK) * SECOND))
    equations = state.kernels["hilbert"].seasonal.equations
    assert float(equations.gram[-1, -1]) > 0.0, "the week of past ticks is in the equations as soon as it is used"
    assert 3 * WEEK < float(equations.weight) < 4 * WEEK, "of ticks that had a week behind them, and no others"


def test_what_is_known_of_the_season_is_found_to_a_tenth() -> None:
    values, best = demand(3000)
    oracle = float(np.sqrt(np.mean((values - best)[1500:] ** 2)))
    assert error(values, CONFIG, first=1500) < 1.1 * oracle
    assert error(values, PLAIN, first=1500) > 1.25 * oracle, "what 48 lags cannot see"


def test_a_declared_season_that_is_none_costs_little() -> None:
    values = autoregression(3000, 5).values
    assert error(values, CONFIG) < 1.01 * error(values, PLAIN)


def test_missing_rows_do_not_shift_the_season() -> None:
    """Three of ten missing at random and a hole of 24, as NaN and as rows that are not there.

    Of the latter those count that come a tick after the one before, for which the forecast was made.
    """
    values, _ = demand(3000)
    gone = np.random.default_rng(1).random(3000) < 0.3
    gone[2000:2024] = True
    gone[:50] = False
    whole = error(values, CONFIG, first=1500)
    assert error(np.where(gone, np.nan, values), CONFIG, first=1500) < 1.3 * whole

    places = np.flatnonzero(~gone)
    counted = (np.diff(places, prepend=-9) == 1) & (places >= 1500)
    found = {}
    for config in (CONFIG, PLAIN):
        ds = backtest(values[places], config, times=places * SECOND, progress=False)
        found[config] = float(np.sqrt(np.mean((values[places] - ds.prediction.values)[counted] ** 2)))
    assert found[CONFIG] < 1.3 * whole and found[PLAIN] > 2.0 * whole


def test_a_season_sleeps_until_five_of_its_periods_have_been_seen() -> None:
    values = demand(5 * WEEK + 1)[0]
    predictor = FunctionalPredictor(CONFIG)
    ticks = observations(values, np.arange(len(values)) * SECOND)
    for length, awake in ((5 * DAY - 1, 0), (5 * DAY, 1), (5 * WEEK - 1, 1), (5 * WEEK, 2)):
        state, _ = predictor.scan(predictor.init_state(), ticks.at(slice(length)))
        pending = np.asarray(state.kernels["hilbert"].seasonal.pending)[9:].reshape(2, -1)
        assert np.sum(np.any(pending != 0.0, axis=1)) == awake, length


def test_the_ring_goes_round() -> None:
    """A capacity of little more than the period: places are reused, the forecast is as good."""
    values = demand(3000)[0]
    small = dataclasses.replace(PLAIN, season_slots=1, season_first=DAY, season_capacity=64)
    assert error(values, small) == pytest.approx(error(values, PLAIN.with_seasons(DAY)), rel=1e-9)


def test_step_by_step_and_in_a_batch_are_the_scan() -> None:
    values = np.stack([demand(200, seed)[0] for seed in (1, 2)], axis=1)
    predictor = FunctionalPredictor(CONFIG)
    ticks = observations(values, np.arange(200) * SECOND)
    _, together = predictor.scan(predictor.init_state(2), ticks)
    alone, first = predictor.init_state(), None
    column = observations(values[:, 0], np.arange(200) * SECOND)
    _, scanned = predictor.scan(predictor.init_state(), column)
    for t in range(200):
        alone, first = predictor.step(alone, column.at(t))
        assert float(first.reference_prediction) == scanned.reference_prediction[t]
    np.testing.assert_allclose(together.reference_prediction[:, 0], scanned.reference_prediction, rtol=1e-9)
