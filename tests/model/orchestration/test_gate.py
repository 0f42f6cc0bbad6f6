"""The gate: what is rejected, what is released, what is doubted, and that nothing is refused for ever."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.model.orchestration.gate import inspect, typical_interval
from uspnb.model.orchestration.step import initialize_state
from uspnb.model.records import Observation

SECOND, MILLISECOND = 1_000_000_000, 1_000_000
START = 1_700_000_000 * SECOND
CONFIG = PredictorConfig()
EMPTY = initialize_state(CONFIG)
REASONS = ("not_finite", "outlier", "out_of_order")


def _noise(n: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def _times(*intervals_s: float) -> np.ndarray:
    return START + np.concatenate([[0], np.cumsum(np.round(np.asarray(intervals_s) * SECOND).astype(np.int64))])


# --- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.7e308])
def test_what_is_not_finite_is_rejected_and_forgotten(gate_run, value):
    values = _noise()
    values[100:110] = value
    verdict, _, frame, modes = gate_run(values)
    np.testing.assert_array_equal(verdict.accepted, ~((np.arange(200) >= 100) & (np.arange(200) < 110)))
    assert verdict.not_finite[100:110].all() and not verdict.not_finite[:100].any() and not verdict.outlier.any()
    for leaf in jax.tree.leaves(frame):
        np.testing.assert_array_equal(leaf[109], leaf[99])
    assert modes.degraded[100:111].all() and not modes.degraded[112:].any()


def test_the_very_first_tick_may_be_bad(gate_run):
    values = _noise(50)
    values[:3] = [np.nan, np.inf, np.nan]
    verdict, *_ = gate_run(values)
    np.testing.assert_array_equal(verdict.accepted, np.arange(50) >= 3)
    assert not verdict.sparse.any() and not verdict.stale.any()


def test_the_bound_of_an_outlier_is_twenty_scales(gate_run):
    _, gate, frame, modes = (jax.tree.map(lambda leaf: jnp.asarray(leaf[-1]), part) for part in gate_run(_noise()))
    sigma = float(jnp.maximum(frame.spread, frame.scale))
    for side in (-1.0, 1.0):
        for distance, rejected in ((19.99, False), (20.01, True)):
            value = float(frame.level) + side * distance * sigma
            tick = Observation(*(jnp.asarray(x) for x in (value, START + 200 * SECOND, START + 200 * SECOND, jnp.nan)))
            _, verdict = inspect(CONFIG, gate, frame, modes, tick)
            assert bool(verdict.outlier) == rejected
            assert bool(verdict.accepted) != rejected


@pytest.mark.parametrize("size", [1e6, 1e300])
def test_a_spike_is_rejected_and_the_next_tick_is_not(gate_run, size):
    values = _noise()
    values[[60, 90, 150]] = size, -size, size
    verdict, *_ = gate_run(values)
    np.testing.assert_array_equal(np.flatnonzero(verdict.outlier), [60, 90, 150])
    assert not verdict.released.any()


def test_five_outliers_that_agree_are_a_new_level(gate_run):
    values = _noise()
    values[100:] += 1000.0
    verdict, _, frame, _ = gate_run(values)
    np.testing.assert_array_equal(np.flatnonzero(verdict.outlier), [100, 101, 102, 103])
    np.testing.assert_array_equal(np.flatnonzero(verdict.released), [104])
    assert verdict.accepted[104:].all() and verdict.gap[104]
    assert abs(frame.level[104] - 1000.0) < 5.0 and frame.scale[104] < 3.0


def test_the_number_of_agreeing_outliers_is_configured(gate_run):
    values = _noise()
    values[100:] += 1000.0
    verdict, *_ = gate_run(values, config=PredictorConfig(outlier_release_steps=9))
    np.testing.assert_array_equal(np.flatnonzero(verdict.released), [108])


def test_outliers_that_do_not_agree_are_released_after_four_times_as_many(gate_run):
    values = _noise()
    values[100:] = 1000.0 * 3.0 ** np.arange(100) * np.where(np.arange(100) % 2 == 0, 1.0, -1.0)
    verdict, *_ = gate_run(values)
    assert int(np.argmax(verdict.released)) == 100 + 4 * CONFIG.outlier_release_steps - 1
    assert verdict.outlier[100:119].all()


def test_outliers_with_good_ticks_between_them_are_never_a_level(gate_run):
    values = _noise()
    values[100::2] = 1000.0
    verdict, *_ = gate_run(values)
    assert verdict.outlier[100::2].all() and verdict.accepted[101::2].all()


def test_a_short_history_rejects_nothing(gate_run):
    verdict, *_ = gate_run([0.0, 1.0, -1.0, 1e9, 2.0, -1e12])
    assert verdict.accepted.all()


@pytest.mark.parametrize("offset", [0.0, 5.0, -1e6])
@pytest.mark.parametrize("size", [1.0, 1e10])
def test_a_constant_history_says_nothing_about_the_next_value(gate_run, offset, size):
    """Rain after a dry spell: zeros, then now and then a value.  Zero must not be a case of its own."""
    values = np.zeros(200)
    values[50::5] = size * (1.0 + np.random.default_rng(1).gamma(1.0, 1.0, size=30))
    verdict, _, frame, modes = gate_run(offset + values)
    assert verdict.accepted.all()
    assert np.isfinite(frame.scale).all()
    assert not modes.degraded[150:].any()


# --- frozen --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [5.0, 0.5, 0.01], ids=["as before", "calmer", "far calmer"])
def test_a_freeze_ends_whatever_the_size_of_the_moves_after_it(gate_run, spread):
    rng = np.random.default_rng(7200)
    values = np.concatenate([rng.normal(20, 5, 150), np.full(10, 21.0), rng.normal(20, spread, 90)])
    verdict, *_ = gate_run(values)
    assert verdict.frozen[159] and not verdict.frozen[163:].any()


def test_a_frozen_series_of_counts_goes_on_where_counts_go_on(gate_run):
    rng = np.random.default_rng(7201)
    counts = np.concatenate([rng.poisson(50, 100), np.full(12, 50), rng.poisson(0.4, 138)]).astype(float)
    verdict, *_ = gate_run(counts)
    assert verdict.frozen.any() and verdict.frozen.mean() < 0.2


def test_a_continuous_signal_freezes_at_the_fifth_equal_value_and_thaws_when_it_moves(gate_run):
    values = _noise()
    values[100:130] = values[99]
    values[130:132] = values[99] + 2.0, values[99] - 2.0
    verdict, _, frame, modes = gate_run(values)
    # Tick 99 is the first of the equal ones; after it moves two ticks are asked for.
    np.testing.assert_array_equal(np.flatnonzero(verdict.frozen), np.arange(103, 131))
    assert verdict.accepted.all()
    np.testing.assert_array_equal(frame.scale[103:129], frame.scale[102])
    assert modes.degraded[103:132].all()


def test_four_equal_values_do_not_freeze(gate_run):
    values = _noise()
    values[100:103] = values[99]
    assert not gate_run(values)[0].frozen.any()


def test_a_quantised_signal_may_repeat_itself(gate_run):
    """Three values at random repeat in one of three ticks: five in a row have probability 1/81, far above 1e-4."""
    values = np.random.default_rng(2).integers(0, 3, size=200).astype(float)
    values[150:156] = 1.0
    assert not gate_run(values)[0].frozen[30:].any()


def test_a_slow_signal_of_coarse_values_is_not_frozen(gate_run):
    """A room's temperature to half a degree: runs of two readings at an edge, of hundreds between two."""
    drift = 20 + np.cumsum(np.random.default_rng(5).normal(0, 0.02, 4000))
    verdict, *_ = gate_run(np.round(2 * drift) / 2)
    assert verdict.frozen[1000:].mean() < 0.02


def test_a_signal_that_stops_freezes_though_it_has_stopped_before(gate_run):
    values = _noise(2000)
    for start in range(200, 2000, 200):
        values[start : start + 60] = values[start]
    verdict, *_ = gate_run(values)
    held = np.arange(2000) % 200
    assert verdict.frozen[(np.arange(2000) >= 200) & (held >= 10) & (held < 60)].all()


def test_where_asked_five_equal_values_freeze_whatever_the_history(gate_run):
    values = np.random.default_rng(2).integers(0, 3, size=200).astype(float)
    values[150:156] = 1.0
    strict, *_ = gate_run(values, config=PredictorConfig(frozen_signal_strict=True))
    assert strict.frozen[154] and strict.frozen[155]


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e10, 1e200])
def test_a_signal_that_was_constant_from_the_start_thaws(gate_run, size):
    values = np.concatenate([np.zeros(30), size * (1.0 + _noise(100))])
    verdict, *_ = gate_run(values)
    assert verdict.frozen[4:30].all()
    assert not verdict.frozen[34:].any()
    assert verdict.accepted.all()


# --- the clock -----------------------------------------------------------------------------------------------------


def test_the_typical_interval_is_the_median_of_the_known_ones():
    rng = np.random.default_rng(3)
    for count in range(0, 16):
        intervals = rng.integers(1, 10**12, size=count)
        gate = EMPTY.gate._replace(intervals_ns=jnp.asarray(np.r_[np.full(15 - count, -1), intervals].astype(np.int64)))
        expected = np.sort(intervals)[count // 2] if count else 0
        assert float(typical_interval(CONFIG, gate)) == expected
        if count % 2:
            assert float(typical_interval(CONFIG, gate)) == np.median(intervals)
    assert float(typical_interval(PredictorConfig(tick_interval_ns=7), EMPTY.gate)) == 7.0


@pytest.mark.parametrize(("gap", "sparse"), [(1.4, False), (1.6, True), (500.0, True)])
def test_a_gap_of_one_and_a_half_learned_intervals_is_sparse_once(gate_run, gap, sparse):
    times = _times(*np.ones(50), gap, *np.ones(20))
    verdict, _, _, modes = gate_run(_noise(72), times)
    np.testing.assert_array_equal(np.flatnonzero(verdict.sparse), [51] if sparse else [])
    np.testing.assert_array_equal(verdict.gap, verdict.sparse)
    assert verdict.accepted.all()
    # Degraded on that tick and until two clean ones have come.
    np.testing.assert_array_equal(np.flatnonzero(modes.degraded), [51, 52] if sparse else [])


HOUR, DAY = 3600.0, 86_400.0
WEEK = [DAY, DAY, DAY, DAY, 3 * DAY]
NIGHT = [*np.ones(9), 15.0]


def test_a_weekend_in_a_daily_series_is_sparse_until_it_is_usual(gate_run):
    verdict, _, _, modes = gate_run(_noise(51), _times(*(WEEK * 10)))
    np.testing.assert_array_equal(np.flatnonzero(verdict.sparse), [5, 10])
    np.testing.assert_array_equal(np.flatnonzero(verdict.gap), np.arange(5, 51, 5))
    assert not verdict.stale.any() and not modes.degraded[12:].any()


RHYTHMS = {
    "business days": WEEK * 100,
    "weekends that an hour is taken from and given to": [*WEEK[:4], 3 * DAY - HOUR, *WEEK[:4], 3 * DAY + HOUR] * 50,
    "a free Monday now and then": (WEEK * 8 + [DAY, DAY, DAY, DAY, 4 * DAY, DAY, DAY, DAY, 3 * DAY]) * 10,
    "shop hours, closed on Sundays": [hours * HOUR for hours in (NIGHT * 5 + [*np.ones(9), 39.0]) * 10],
    "a lunch break and nights": [*np.ones(120), 90.0, *np.ones(120), 1080.0] * 5,
    "rows missing at random": np.random.default_rng(8).geometric(0.7, 1000),
    "two ticks of one instant": [0.0, 1.0] * 300,
    "trades, several of one second": np.random.default_rng(9).poisson(0.8, 1000),
}


@pytest.mark.parametrize("rhythm", RHYTHMS)
def test_a_rhythm_is_learned_and_is_no_doubt(gate_run, rhythm):
    times = _times(*RHYTHMS[rhythm])
    verdict, _, _, modes = gate_run(_noise(len(times)), times)
    assert verdict.accepted.all() and not verdict.stale.any()
    assert modes.degraded[-len(times) // 2 :].mean() < 0.02


@pytest.mark.parametrize("hole", [5.0, 60.0, 500.0])
def test_what_departs_from_the_rhythm_is_sparse(gate_run, hole):
    nights = NIGHT * 20
    times = _times(*nights, *NIGHT[:4], hole, *nights)
    verdict, *_ = gate_run(_noise(len(times)), times)
    np.testing.assert_array_equal(np.flatnonzero(verdict.sparse[30:]) + 30, [205])


def test_one_outage_makes_no_rhythm(gate_run):
    times = _times(*np.ones(50), 60.0, *np.ones(50), 60.0, *np.ones(50))
    verdict, *_ = gate_run(_noise(len(times)), times)
    np.testing.assert_array_equal(np.flatnonzero(verdict.sparse), [51, 102])


def test_fast_ticks_have_a_floor_of_a_hundred_milliseconds(gate_run):
    times = _times(*np.full(50, 0.01), 0.09, *np.full(10, 0.01), 0.11, 0.01)
    verdict, *_ = gate_run(_noise(64), times)
    np.testing.assert_array_equal(np.flatnonzero(verdict.sparse), [62])


def test_a_declared_interval_holds_from_the_first_gap(gate_run):
    times = _times(10.0, 1.0, 1.0)
    learned, *_ = gate_run(_noise(4), times)
    declared, *_ = gate_run(_noise(4), times, config=PredictorConfig(tick_interval_ns=SECOND))
    assert not learned.sparse.any()
    np.testing.assert_array_equal(declared.sparse, [False, True, False, False])


@pytest.mark.parametrize(("age", "stale"), [(4.9, False), (5.1, True)])
def test_a_tick_five_intervals_old_is_stale(gate_run, age, stale):
    times = _times(*np.ones(60))
    now = times.copy()
    now[40] += int(age * SECOND)
    verdict, _, _, modes = gate_run(_noise(61), times, now)
    assert bool(verdict.stale[40]) == stale and int(verdict.stale.sum()) == int(stale)
    assert verdict.accepted.all()
    np.testing.assert_array_equal(np.flatnonzero(modes.degraded), [40, 41] if stale else [])


def test_staleness_ends_well_below_the_limit_where_it_began(gate_run):
    times = _times(*np.ones(60))
    ages = np.zeros(61)
    ages[30:] = np.r_[5.1, 4.9, 4.2, 4.05, 3.9, 4.9, 4.9, np.zeros(24)]
    verdict, *_ = gate_run(_noise(61), times, times + (ages * SECOND).astype(np.int64))
    # The limit is 5 s, and .8 of it once a tick was stale; after 3.9 s it is 5 s again.
    np.testing.assert_array_equal(np.flatnonzero(verdict.stale), [30, 31, 32, 33])


def test_fast_ticks_have_a_time_to_live_of_half_a_second(gate_run):
    times = _times(*np.full(60, 0.01))
    now = times.copy()
    now[30] += 490 * MILLISECOND
    now[40] += 510 * MILLISECOND
    verdict, *_ = gate_run(_noise(61), times, now)
    np.testing.assert_array_equal(np.flatnonzero(verdict.stale), [40])


def test_before_the_second_tick_nothing_is_known_of_the_clock(gate_run):
    times = _times(3600.0, 3600.0)
    verdict, *_ = gate_run(_noise(3), times, times + 1_000_000 * SECOND)
    np.testing.assert_array_equal(verdict.stale, [False, False, True])
    assert not verdict.sparse.any() and not verdict.gap.any()


def test_backward_timestamps_are_rejected_and_forgotten(gate_run):
    times = START + SECOND * np.arange(60)
    times[20] = times[19]
    times[30] = times[29] - 1
    times[40:43] = times[35]
    verdict, gate, frame, _ = gate_run(_noise(60), times)
    np.testing.assert_array_equal(np.flatnonzero(verdict.out_of_order), [30, 40, 41, 42])
    np.testing.assert_array_equal(~verdict.accepted, verdict.out_of_order)
    assert not verdict.sparse[31:40].sum() > 1
    np.testing.assert_array_equal(frame.window[42], frame.window[39])
    assert gate.last_timestamp_ns[42] == times[39]


def test_a_spike_out_of_order_does_not_count_towards_a_new_level(gate_run):
    values, times = _noise(60), START + SECOND * np.arange(60)
    values[40:50] = 1000.0
    times[40:50] = times[39] - 1
    verdict, *_ = gate_run(values, times)
    assert verdict.out_of_order[40:50].all()
    assert not verdict.outlier.any() and not verdict.released.any()


def test_one_timestamp_from_the_future_does_not_shut_the_gate_for_ever(gate_run):
    times = START + SECOND * np.arange(250)
    times[100] += 3600 * 24 * 365 * SECOND
    verdict, *_ = gate_run(_noise(250), times)
    assert verdict.accepted[200:].all()


def test_every_tick_has_one_reason_at_most_and_rejected_means_one(gate_run):
    values, times = _noise(), START + SECOND * np.arange(200)
    values[[50, 51, 80]] = np.nan, 1e9, -np.inf
    times[[60, 80]] = times[[59, 79]] - 1
    verdict, *_ = gate_run(values, times)
    reasons = np.stack([getattr(verdict, name) for name in REASONS])
    np.testing.assert_array_equal(reasons.sum(0), ~verdict.accepted)
    assert not (verdict.released & ~verdict.accepted).any()
