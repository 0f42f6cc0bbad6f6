"""Seasons found as the series goes: against known periods, against noise that only looks periodic, and to the bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from seasonal_streams import draw, matches, pseudo_cycle, seasonal

from uspnb.config.schema import PredictorConfig
from uspnb.data import processes
from uspnb.model.programs import trace_count
from uspnb.model.state import SeasonRing
from uspnb.persistence.snapshots.payload import ADDED, snapshot_of, state_from
from uspnb.predictor.backtest import backtest
from uspnb.predictor.functional import FunctionalPredictor, observations

SECOND = 1_000_000_000
CONFIG = PredictorConfig()


def in_use(dataset: object) -> list[tuple[int, ...]]:
    season = np.asarray(dataset.season)  # type: ignore[attr-defined]
    return [tuple(int(period) for period in row if np.isfinite(period)) for row in season]


@pytest.mark.slow
def test_periods_are_right_within_a_tick_after_six_of_them() -> None:
    streams = [draw(seed) for seed in range(100, 120)]
    seen = [in_use(backtest(values, progress=False))[-1] for values, _ in streams]
    right = [matches(one, periods) for one, (_, periods) in zip(seen, streams, strict=True)]
    # It is 18 here, and 78 % of the seeds 1150 to 1299 and 5000 to 5149, so about 16 of 20.  What is missed: second
    # seasons near the noise, and pairs of which one is nearly a multiple of the other.
    assert sum(right) >= 16, [(seen[k], streams[k][1]) for k in range(len(right)) if not right[k]]


@pytest.mark.slow
def test_series_without_a_season_have_none_in_use() -> None:
    makers = (
        processes.random_walk, processes.garch, processes.ornstein_uhlenbeck, processes.student_noise,
        processes.jump_diffusion, processes.regime_switching_autoregression, processes.threshold_autoregression,
        processes.fractional_brownian_motion, processes.logistic_map, processes.mean_shift,
    )  # fmt: skip
    values = [make(2500, seed).values for make in makers[:8] for seed in (1, 2)] + [
        m(2500, 1).values for m in makers[8:]
    ]
    values += [pseudo_cycle(2500, period, 0.95, period) for period in (12, 40)]
    used = [np.mean([bool(seen) for seen in in_use(backtest(one, progress=False))]) for one in values]
    assert len(used) == 20 and max(used) <= 0.02, used


def test_the_week_of_a_day_is_found_before_five_weeks() -> None:
    values = processes.seasonal_demand(24 * 7 * 4, 3, per_day=24).values
    seen = in_use(backtest(values, progress=False))
    assert seen[-1] == (24, 168) and not any(168 in one for one in seen[: 24 * 7 * 2])


def test_a_period_that_changes_is_followed() -> None:
    rng = np.random.default_rng(7)
    values = np.concatenate([seasonal(rng, (24,), 0.8, 1200), seasonal(rng, (37,), 0.8, 3300)])
    seen = in_use(backtest(values, progress=False))
    assert seen[1100] == (24,) and seen[-1] == (37,)


def test_it_is_worth_what_a_declared_season_is() -> None:
    path = processes.seasonal_demand(3000, 4, per_day=24)
    error = {}
    for seasons in ("auto", (24, 168), ()):
        ds = backtest(path.values, seasons=seasons, progress=False)
        error[seasons] = float(np.sqrt(np.mean((path.values - ds.prediction.values)[1200:] ** 2)))
        assert ds.sizes["season_slot"] == (2 if seasons else 0)
    assert error["auto"] < 1.02 * error[24, 168] < 0.9 * error[()]


def test_no_tick_knows_what_comes_after_it() -> None:
    values = seasonal(np.random.default_rng(8), (24,), 0.7, 500)
    whole, part = backtest(values, progress=False), backtest(values[:300], progress=False)
    np.testing.assert_array_equal(whole.season[:300], part.season)
    np.testing.assert_array_equal(whole.prediction[:300], part.prediction)
    assert np.isfinite(part.season).any()


def test_step_and_batch_are_the_scan_and_each_asset_has_its_own_periods() -> None:
    length = 300
    values = np.stack([seasonal(np.random.default_rng(k), (p,), 0.8, length) for k, p in ((1, 12), (2, 24))], axis=1)
    predictor = FunctionalPredictor(CONFIG)
    states, together = predictor.scan(predictor.init_state(2), observations(values, np.arange(length) * SECOND))
    assert np.asarray(states.frame.season.periods)[:, 0].tolist() == [12, 24]
    for asset in (0, 1):
        column = observations(values[:, asset], np.arange(length) * SECOND)
        _, scanned = predictor.scan(predictor.init_state(), column)
        np.testing.assert_array_equal(together.telemetry.season[:, asset], scanned.telemetry.season)
        np.testing.assert_allclose(together.reference_prediction[:, asset], scanned.reference_prediction, rtol=1e-9)
    state = predictor.init_state()
    for t in range(length):
        state, result = predictor.step(state, column.at(t))
        assert float(result.reference_prediction) == scanned.reference_prediction[t]


def test_periods_come_and_go_in_one_program() -> None:
    values = seasonal(np.random.default_rng(9), (16,), 0.8, 400)
    backtest(values, progress=False)
    before = trace_count("series")
    backtest(np.cumsum(values), progress=False)
    backtest(seasonal(np.random.default_rng(10), (31,), 0.8, 400), progress=False)
    assert trace_count("series") == before


def test_a_snapshot_has_it_all_and_one_of_before_begins_to_look() -> None:
    values = seasonal(np.random.default_rng(11), (24,), 0.8, 400)
    predictor = FunctionalPredictor(CONFIG)
    ticks = observations(values, np.arange(400) * SECOND)
    head, tail = (ticks.at(part) for part in (slice(300), slice(300, None)))
    state, _ = predictor.scan(predictor.init_state(), head)
    payload = snapshot_of(state, CONFIG)
    _, expected = predictor.scan(state, tail)
    state = state_from(payload, predictor.init_state())
    assert int(state.frame.season.periods[0]) == 24
    _, restored = predictor.scan(state, tail)
    np.testing.assert_array_equal(restored.reference_prediction, expected.reference_prediction)
    blocks = (payload["global"], *payload["kernels"].values())
    gone = [(block, name) for block in blocks for name in list(block) if name in ADDED and "season" in name]
    assert len(gone) > 10
    for block, name in gone:
        del block[name]
    older = state_from(payload, predictor.init_state())
    assert int(older.frame.season.place) == -1 and int(older.frame.season.periods[0]) == 0
    predictor.scan(older, tail)


def test_the_ring_has_each_value_at_its_place() -> None:
    """Where no forecast takes them, gaps are filled by the line between their ends."""
    config = dataclasses.replace(CONFIG, season_capacity=64, impute=False)
    values = np.random.default_rng(12).standard_normal(150).cumsum()
    places = np.delete(np.arange(150), [40, 41, 42, 90])
    predictor = FunctionalPredictor(config)
    state, _ = predictor.scan(predictor.init_state(), observations(values[places], places * SECOND))
    ring: SeasonRing = state.frame.season
    whole = np.interp(np.arange(150), places, values[places])
    expected = sliding_window_view(whole, 64)[-1]
    at = np.arange(150 - 64, 150) % 64
    np.testing.assert_allclose(np.asarray(ring.values.entries)[at] + float(ring.base), expected, rtol=1e-12)
