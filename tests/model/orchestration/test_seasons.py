"""Seasons found as the series goes: against known periods, against noise that only looks periodic, and to the bit."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from uspnb.config.schema import PredictorConfig
from uspnb.data import processes
from uspnb.model.orchestration.seasons import find_periods, longest, whitened_spectrum
from uspnb.model.programs import trace_count
from uspnb.model.state import SeasonRing
from uspnb.persistence.snapshots.payload import ADDED, snapshot_of, state_from
from uspnb.predictor.backtest import backtest
from uspnb.predictor.functional import FunctionalPredictor, observations

SECOND = 1_000_000_000
CONFIG = PredictorConfig()
NONE = np.zeros(2, np.int64)
find = jax.jit(find_periods)


def chronological(values: np.ndarray) -> tuple[np.ndarray, int]:
    """The newest values at the end of a ring's length, and how many they are."""
    newest = values[-CONFIG.season_capacity :]
    padded = np.zeros(CONFIG.season_capacity)
    padded[len(padded) - len(newest) :] = newest
    return padded, len(newest)


def found(values: np.ndarray) -> tuple[int, ...]:
    periods, _ = find(*chronological(values), NONE)
    return tuple(int(period) for period in periods if period)


def seasonal(rng: np.random.Generator, periods: tuple[int, ...], share: float, length: int) -> np.ndarray:
    """A sine and a few random harmonics for each period, and white noise; `share` of the variance is theirs."""
    season = np.zeros(length)
    for period in periods:
        shape = np.zeros(period)
        for harmonic in range(1, min(5, period // 2) + 1):
            phase = 2 * np.pi * (harmonic * np.arange(period) / period + rng.random())
            size = 1.0 if harmonic == 1 else rng.standard_normal() / harmonic
            shape += size * np.cos(phase)
        season += (shape / shape.std())[np.arange(length) % period]
    noise = rng.standard_normal(length)
    return np.sqrt(share) * season / season.std() + np.sqrt(1 - share) * noise


def draw(seed: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """A stream of six times the longest of one or two periods between 7 and 340, and 256 ticks at least."""
    rng = np.random.default_rng(seed)
    periods = (int(rng.integers(7, 341)),)
    if rng.random() < 0.4:
        periods = tuple(sorted({int(rng.integers(7, max(8, periods[0] // 2))), periods[0]}))
    return seasonal(rng, periods, rng.uniform(0.3, 0.9), max(6 * periods[-1], 256)), periods


def matches(seen: tuple[int, ...], periods: tuple[int, ...]) -> bool:
    """Whether the periods are those of a stream, within a tick."""
    return len(seen) == len(periods) and all(abs(a - b) <= 1 for a, b in zip(seen, periods, strict=True))


def in_use(dataset: object) -> list[tuple[int, ...]]:
    season = np.asarray(dataset.season)  # type: ignore[attr-defined]
    return [tuple(int(period) for period in row if np.isfinite(period)) for row in season]


@pytest.mark.slow
def test_periods_are_right_within_a_tick_after_six_of_them() -> None:
    streams = [draw(seed) for seed in range(100, 120)]
    seen = [in_use(backtest(values, progress=False))[-1] for values, _ in streams]
    right = [matches(one, periods) for one, (_, periods) in zip(seen, streams, strict=True)]
    # Of 300 other streams 78 % are right, 89 % with one season, 61 % with two: no 18 of 20.  What is missed:
    # seasons near the noise, and pairs of which one is nearly a multiple of the other.
    assert sum(right) >= 16, [(seen[k], streams[k][1]) for k in range(len(right)) if not right[k]]


def test_the_look_by_itself_is_right_on_most_other_streams() -> None:
    """Of 120 streams six periods long, with nothing in use before."""
    streams = [draw(seed) for seed in range(7000, 7120)]
    right = [matches(found(values), periods) for values, periods in streams]
    assert np.mean(right) >= 0.8


def test_two_periods_are_set_together() -> None:
    """Pairs whose lines come near each other, six of the longer: the one does not draw the other aside."""
    for seed, periods in enumerate([(104, 244), (50, 258), (65, 149), (97, 308)]):
        values = seasonal(np.random.default_rng(seed), periods, 0.8, 6 * periods[1])
        assert matches(found(values), periods), (found(values), periods)


def test_a_strong_season_has_no_second_beside_it() -> None:
    """What a tapered line leaks into its neighbourhood is no season."""
    for seed, period in enumerate((54, 61, 99)):
        values = seasonal(np.random.default_rng(seed), (period,), 0.95, 2048)
        assert matches(found(values), (period,)), found(values)


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


def pseudo_cycle(length: int, period: float, radius: float, seed: int) -> np.ndarray:
    """An autoregression whose roots are complex: it goes round, and forgets its phase."""
    noise = np.random.default_rng(seed).standard_normal(length)
    x = np.zeros(length)
    for t in range(2, length):
        x[t] = 2 * radius * np.cos(2 * np.pi / period) * x[t - 1] - radius**2 * x[t - 2] + noise[t]
    return x


@pytest.mark.parametrize("length", [64, 128, 256, 600, 2048])
def test_a_cycle_that_forgets_its_phase_is_no_season(length: int) -> None:
    cycles = [pseudo_cycle(length, period, 0.92, seed) for seed in range(8) for period in (7.0, 20.0)]
    assert not any(found(values) for values in cycles)


def test_the_whitened_spectrum_of_noise_is_flat_whatever_its_colour() -> None:
    """Exponential ordinates of mean near one in each quarter of the band, for differences, levels and between."""
    noise = np.random.default_rng(1).standard_normal(2048)
    for values in (noise, np.cumsum(noise), pseudo_cycle(2048, 9.0, 0.8, 2)):
        power = np.asarray(whitened_spectrum(jnp.asarray(values), jnp.asarray(2048)).power)
        quarters = power[64:].reshape(4, -1).mean(axis=1)
        assert np.all((quarters > 0.6) & (quarters < 1.1)), quarters


def test_the_unit_does_not_matter() -> None:
    values = seasonal(np.random.default_rng(3), (24,), 0.6, 600)
    assert found(values) == found(1e-9 * values + 5.0) == found(1e200 * values) == (24,)


def test_a_multiple_is_not_taken_for_its_season_and_a_long_one_stands_beside_the_short() -> None:
    rng = np.random.default_rng(5)
    assert found(seasonal(rng, (12,), 0.7, 2048)) == (12,)
    assert found(seasonal(rng, (30, 210), 0.8, 2048)) == (30, 210)


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


def test_no_period_is_longer_than_a_fifth_of_the_ring() -> None:
    assert longest(CONFIG.season_capacity) == 409
    assert longest(64) == 12
