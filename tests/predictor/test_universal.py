"""One series, its state held: history, clocks, warnings once per episode, strict mode, reloading."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.errors import DomainError, FrequencyWarning, StalenessWarning
from uspnb.model.programs import trace_count
from uspnb.model.records import PredictionResult, ProcessState
from uspnb.predictor.backtest import backtest
from uspnb.predictor.functional import FunctionalPredictor
from uspnb.predictor.universal import UniversalPredictor, replay_clock
from uspnb.runtime.digest import sha256_pytree

SECOND = 10**9
START = 1_771_675_200 * SECOND
WALK = random_walk(700, 2)


class Clock:
    """A clock that a test sets by hand."""

    def __init__(self, now_ns: int = START) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns


def replayed(ticks: int = 0, **rest: Any) -> UniversalPredictor:
    predictor = UniversalPredictor(clock=replay_clock, **rest)
    for k in range(ticks):
        predictor.step(ProcessState(WALK[k], START + k * SECOND))
    return predictor


def test_history_is_backtest() -> None:
    """Steps, a scan of history and a backtest are one program over the same ticks: equal to the bit."""
    times = START + np.arange(400) * SECOND
    predictor = UniversalPredictor(clock=replay_clock)
    predictor.fit_history(WALK[:300], times=times[:300])
    for k in range(300, 400):
        predictor.step(ProcessState(WALK[k], int(times[k])))
    ours, theirs = predictor.history(), backtest(WALK[:400], times=times)
    assert set(ours) == set(theirs) and ours.sizes == theirs.sizes
    for name in theirs.variables:
        np.testing.assert_array_equal(ours[name].values, theirs[name].values, err_msg=str(name))
        assert ours[name].attrs.keys() == theirs[name].attrs.keys()
    assert ours.attrs["config_sha256"] == theirs.attrs["config_sha256"]


def test_history_without_times_counts_ticks() -> None:
    predictor = UniversalPredictor(history_limit=50)
    predictor.fit_history(WALK[:200])
    ds = predictor.history()
    np.testing.assert_array_equal(ds["time"], np.arange(150, 200))
    np.testing.assert_array_equal(ds["observation"], WALK[150:200])


def test_the_history_limit_is_a_ring() -> None:
    predictor = replayed(40, history_limit=16)
    assert predictor.history().sizes["time"] == 16
    np.testing.assert_array_equal(predictor.history()["observation"], WALK[24:40])
    stamps = predictor.history()["time"].values.astype(np.int64)
    np.testing.assert_array_equal(stamps, START + np.arange(24, 40) * SECOND)
    long = replayed(history_limit=600)
    long.fit_history(WALK[:500], times=START + np.arange(500) * SECOND)
    long.fit_history(WALK[500:700], times=START + np.arange(500, 700) * SECOND)
    np.testing.assert_array_equal(long.history()["observation"], WALK[100:700])


def test_the_ring_does_not_copy_itself_at_every_tick() -> None:
    predictor = replayed(300, history_limit=1000)
    np.testing.assert_array_equal(predictor.history()["observation"], WALK[:300])


@pytest.mark.parametrize("limit", [0, -1, 2.5, "10"])
def test_a_history_limit_is_a_whole_number(limit: Any) -> None:
    with pytest.raises((DomainError, TypeError), match=r"history_limit|whole number"):
        UniversalPredictor(history_limit=limit)


def test_nothing_seen_yet() -> None:
    predictor = UniversalPredictor()
    assert predictor.last_result is None
    with pytest.raises(DomainError, match="at least one tick; call step or fit_history first"):
        predictor.history()
    assert "0 ticks accepted, None" in repr(predictor)


def test_fit_history_says_whether_transport_and_chart_have_settled() -> None:
    predictor = UniversalPredictor()
    answer = predictor.fit_history(WALK[:400])
    assert answer is True
    final = predictor.last_result
    assert final is not None
    assert bool(final.telemetry.sinkhorn_converged) and final.telemetry.cusum_drift < final.telemetry.adaptive_threshold
    # A level that has just moved is no settled start: the mean chart stands above its threshold when it fires.
    ramp = np.r_[WALK[:400], WALK[399] + np.arange(1, 101) * 6.0]
    ends = [k for k in np.flatnonzero(backtest(ramp)["alarm"]) if k > 400]
    assert ends, "a ramp of six sigmas a tick must raise an alarm"
    moved = UniversalPredictor()
    settled = moved.fit_history(ramp[: ends[0] + 1])
    last = moved.last_result
    assert last is not None and bool(last.telemetry.alarm)
    above = float(last.telemetry.cusum_drift) >= float(last.telemetry.adaptive_threshold)
    assert settled is (bool(last.telemetry.sinkhorn_converged) and not above)


def test_a_history_that_ends_in_rejected_ticks_is_not_settled() -> None:
    assert UniversalPredictor().fit_history(np.r_[WALK[:200], np.nan]) is False


@pytest.mark.parametrize("length", [2, 127])
def test_a_short_history_is_refused(length: int) -> None:
    predictor = UniversalPredictor()
    with pytest.raises(DomainError, match=rf"Insufficient history\. Required: 128 ticks, got {length}"):
        predictor.fit_history(WALK[:length])
    with pytest.raises(ValueError, match=r"Insufficient history\. Required: 128"):
        predictor.fit_history(WALK[:length])
    assert predictor.last_result is None and int(predictor.state.ticks) == 0
    predictor.fit_history(WALK[:128])


@pytest.mark.parametrize("values", [[], "abc", None, [1j] * 200, [True] * 200, np.ones((2, 2, 2)), 5.0], ids=type)
def test_what_is_no_history_is_refused(values: Any) -> None:
    with pytest.raises(DomainError):
        UniversalPredictor().fit_history(values)


def test_several_assets_are_refused() -> None:
    with pytest.raises(DomainError, match="got 3 assets; a UniversalPredictor holds one series"):
        UniversalPredictor().fit_history(np.ones((200, 3)))


def test_after_a_history_without_times_any_clock_may_follow() -> None:
    for stamp in (-5, 0, START):
        predictor = UniversalPredictor(clock=replay_clock)
        predictor.fit_history(WALK[:128])
        result = predictor.step(ProcessState(WALK[128], stamp))
        assert not result.telemetry.rejected and result.operating_mode == 0


def test_a_history_without_times_may_follow_live_ticks() -> None:
    predictor = replayed(3)
    predictor.fit_history(WALK[:200])
    assert not predictor.history()["rejected"].any()


def test_a_history_with_times_starts_the_clock() -> None:
    predictor = UniversalPredictor(clock=replay_clock)
    predictor.fit_history(pd.Series(WALK[:200], pd.date_range("2026-02-21 12:00", periods=200, freq="s", tz="UTC")))
    assert predictor.step(ProcessState(WALK[200], START + 199 * SECOND - 1)).telemetry.out_of_order
    assert predictor.step(ProcessState(WALK[200], START + 200 * SECOND)).telemetry.accepted


def test_results_are_of_the_host_and_the_last_one_is_kept() -> None:
    predictor = replayed()
    result = predictor.step(ProcessState(1.0, START, "tag 1"))
    assert isinstance(result, PredictionResult) and result is predictor.last_result
    assert isinstance(result.reference_prediction, np.ndarray) and isinstance(result.telemetry.weight, np.ndarray)
    assert result.request_id == "tag 1"
    assert predictor.step(ProcessState(1.5, START + SECOND)).request_id is None
    before = float(result.reference_prediction)
    predictor.step(ProcessState(2.5, START + 2 * SECOND))
    assert float(result.reference_prediction) == before


def test_a_copy_of_the_state_survives_the_next_tick() -> None:
    predictor = replayed(3)
    before = predictor.state
    digest = sha256_pytree(before)
    predictor.step(ProcessState(0.0, START + 3 * SECOND))
    assert sha256_pytree(before) == digest != sha256_pytree(predictor.state)


def test_one_program_for_all_ticks() -> None:
    predictor = replayed(2)
    traces = trace_count("series")
    for k in range(2, 30):
        predictor.step(ProcessState(int(k), START + k * SECOND, "x", 1.0))
    predictor.fit_history(WALK[:128])
    predictor.step(ProcessState(np.nan, START + 90 * SECOND))
    assert trace_count("series") == traces


@pytest.mark.parametrize("tick", [1.0, (1.0, START), None, "1"], ids=repr)
def test_a_tick_is_a_process_state(tick: Any) -> None:
    with pytest.raises(DomainError, match=r"expected ProcessState\(magnitude, timestamp_utc\)"):
        inspect.unwrap(UniversalPredictor.step)(replayed(), tick)  # past the type checks of the test run


def test_a_live_clock_finds_stale_ticks_and_warns_once_per_episode() -> None:
    clock = Clock()
    predictor = UniversalPredictor(clock=clock)
    ages = [0] * 5 + [60] * 4 + [0] * 4 + [60] * 2  # seconds; a tick every second, so 5 s is the limit
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stale = []
        for k, age in enumerate(ages):
            clock.now_ns = START + (k + age) * SECOND
            stale.append(bool(predictor.step(ProcessState(WALK[k], START + k * SECOND)).telemetry.stale))
    assert stale == [age > 5 for age in ages]
    mine = [w for w in caught if issubclass(w.category, StalenessWarning)]
    assert len(mine) == 2
    assert "older than its time to live; weights are held" in str(mine[0].message)
    assert not [w for w in caught if issubclass(w.category, FrequencyWarning)]


def test_replay_is_never_stale() -> None:
    predictor = replayed(20)
    assert not predictor.history()["stale"].any()


def test_a_gap_in_the_clock_warns_once_per_episode() -> None:
    predictor = replayed(10)
    stamps = START + SECOND * np.array([10, 11, 31, 51, 52, 53, 90])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sparse = [
            bool(predictor.step(ProcessState(WALK[10 + k], int(s))).telemetry.sparse) for k, s in enumerate(stamps)
        ]
    assert sparse == [False, False, True, True, False, False, True]
    assert len([w for w in caught if issubclass(w.category, FrequencyWarning)]) == 2
    assert "later than the sampling limit" in str(caught[0].message)


@pytest.mark.filterwarnings("ignore::uspnb.errors.FrequencyWarning")  # the rejected tick leaves a gap
def test_strict_mode_raises_and_harms_nothing() -> None:
    strict = replayed(200, config=PredictorConfig(strict_domain=True))
    plain = replayed(200)
    spike = ProcessState(1e6, START + 200 * SECOND)
    with pytest.raises(DomainError, match=r"magnitude 1e\+06 lies .* beyond sigma_bound = 20; .* state is unharmed"):
        strict.step(spike)
    assert plain.step(spike).telemetry.outlier
    assert sha256_pytree(strict.state) == sha256_pytree(plain.state)
    assert strict.last_result is not None and bool(strict.last_result.telemetry.rejected)
    following = ProcessState(WALK[200], START + 201 * SECOND)
    assert sha256_pytree(strict.step(following)) == sha256_pytree(plain.step(following))


def test_a_rise_of_the_dispersion_proxy_widens_the_interval() -> None:
    predictor = UniversalPredictor(clock=replay_clock)
    predictor.fit_history(WALK[:300])
    for k in range(20):
        predictor.step(ProcessState(WALK[300 + k], START + k * SECOND, dispersion_proxy=10.0))

    def width(proxy: float | None) -> float:
        branch = UniversalPredictor(clock=replay_clock)
        branch.change_settings(branch.functional, predictor.state)
        result = branch.step(ProcessState(WALK[320], START + 20 * SECOND, dispersion_proxy=proxy))
        return float(result.confidence_upper - result.confidence_lower)

    usual = width(None)
    # The proxy is a ratio to its own slow mean, so the unit in which it comes does not matter.
    assert width(10.0) == pytest.approx(usual, rel=1e-9)
    assert width(20.0) == pytest.approx(2.0 * usual, rel=1e-9)
    assert width(5.0) == pytest.approx(0.5 * usual, rel=1e-9)
    assert width(1e9) == pytest.approx(4.0 * usual, rel=1e-9)


def test_representations() -> None:
    predictor = replayed(5)
    assert repr(predictor).startswith("UniversalPredictor(5 ticks accepted, PredictionResult(")
    page = predictor._repr_html_()
    for part in ("5 ticks seen", "PredictionResult", "PredictorConfig"):
        assert part in page
    assert "0 ticks seen" in UniversalPredictor()._repr_html_()


def test_a_predictor_that_is_held_moves_for_its_holder_only() -> None:
    held = replayed(5)
    tick = ProcessState(WALK[5], START + 5 * SECOND)
    before = sha256_pytree(held.state)
    held.hold("a session on tide")
    reason = r"must wait: a session on tide holds this predictor and moves it on; close that first"
    for move in (
        lambda: held.step(tick),
        lambda: held.fit_history(WALK[:200]),
        lambda: held.hold("another"),
        lambda: held.change_settings(held.functional, held.state),
    ):
        with pytest.raises(DomainError, match=reason):
            move()
    assert sha256_pytree(held.state) == before and held.history().sizes["time"] == 5
    held.let_go()
    assert held.step(tick).telemetry.ticks == 6


@pytest.mark.parametrize("grid", [False, True])
def test_what_a_holder_made_is_taken_back(grid: bool) -> None:
    plain, held = replayed(200), replayed(100)
    held.hold("a session")
    changed = FunctionalPredictor(PredictorConfig(cusum_k=0.75))
    rows, stamps = (np.array(column) for column in zip(*plain._history, strict=True))
    held.release(changed, plain.state, rows[100:], stamps[100:], grid=grid)
    assert held.config.cusum_k == 0.75 and sha256_pytree(held.last_result) == sha256_pytree(plain.last_result)
    np.testing.assert_array_equal(held.history()["observation"], WALK[:200])
    times = np.arange(200) if grid else plain.history()["time"]
    np.testing.assert_array_equal(held.history()["time"], times)
    # after a grid any clock may follow, after times only later ones
    assert bool(held.step(ProcessState(WALK[200], START)).telemetry.out_of_order) is not grid
