"""The alarm charts against Lucas and Crosier's table, Siegmund's formula and run lengths on five kinds of residuals."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.data.processes import garch
from uspnb.errors import DomainError
from uspnb.model.orchestration.cusum import (
    CHARTS,
    OVERSHOOT,
    RELEASE,
    WARM_UP,
    accumulate,
    cusum_threshold_for,
    initial_thresholds,
    run_length_of,
    update_charts,
)
from uspnb.model.orchestration.step import initialize_state
from uspnb.model.state import ChartState

CONFIG = PredictorConfig()
YES, NO, NORMAL = jnp.asarray(True), jnp.asarray(False), jnp.asarray(3.0)
SILENCED = 1e9
STREAMS, TICKS = 200, 6000

# k = 1/2, two-sided: h, run length without a change, delay of a one-sigma shift (Lucas and Crosier 1982, table 1).
TABLE = [(4.0, 168.0, 8.38), (5.0, 465.0, 10.4)]


# --- standardisation known ---------------------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnames=("streams", "ticks"))
def _known_scale(key, threshold, shift, restart, streams, ticks):
    """First alarm of each stream (0 for none) and the number of alarms, with N(shift, 1) signals."""

    def tick(carry, row):
        up, down, first, alarms = carry
        t, key = row
        up, down = accumulate(up, down, jax.random.normal(key, (streams,)) + shift, 0.5)
        fired = jnp.maximum(up, down) > threshold
        carried = jnp.where(fired & restart, 0.0, 1.0)
        return (up * carried, down * carried, jnp.where(fired & (first == 0), t, first), alarms + jnp.sum(fired)), None

    none = jnp.zeros(streams)
    start = (none, none, jnp.zeros(streams, jnp.int64), jnp.zeros((), jnp.int64))
    return jax.lax.scan(tick, start, (jnp.arange(1, ticks + 1), jax.random.split(key, ticks)))[0][2:]


def _siegmund(threshold: float, drift: float) -> float:
    """One-sided run length under a drift of x - k, Siegmund 1985, equation 2.52."""
    b = threshold + OVERSHOOT
    return (math.exp(-2.0 * drift * b) + 2.0 * drift * b - 1.0) / (2.0 * drift**2)


@pytest.mark.parametrize(("threshold", "run_length", "delay"), TABLE)
def test_run_length_and_delay_are_those_of_the_literature(threshold, run_length, delay):
    """About 25,000 alarms or more: standard error .7 % of the run length, .3 % of the delay over 20,000 runs."""
    streams, ticks = 4000, 3000
    _, alarms = _known_scale(jax.random.PRNGKey(1), threshold, 0.0, True, streams, ticks)
    measured = streams * ticks / int(alarms)
    assert measured == pytest.approx(run_length, rel=0.05)
    assert measured == pytest.approx(_siegmund(threshold, -0.5) / 2.0, rel=0.05)
    assert measured == pytest.approx(float(run_length_of(jnp.asarray(threshold), 0.5)), rel=0.05)

    first, _ = _known_scale(jax.random.PRNGKey(2), threshold, 1.0, False, 20_000, 150)
    assert int(jnp.sum(first == 0)) == 0
    assert float(jnp.mean(first)) == pytest.approx(delay, rel=0.05)
    assert float(jnp.mean(first)) == pytest.approx(_siegmund(threshold, 0.5), rel=0.05)


@pytest.mark.parametrize(("run_length", "threshold"), [(465, 4.99), (1000, 5.75), (2000, 6.44), (5000, 7.35)])
def test_threshold_for_a_run_length(run_length, threshold):
    assert cusum_threshold_for(run_length) == pytest.approx(threshold, abs=0.005)


@pytest.mark.parametrize("slack", [0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("run_length", [50.0, 465.0, 1e5, 1e9])
def test_the_threshold_inverts_the_run_length(run_length, slack):
    threshold = cusum_threshold_for(run_length, slack)
    assert float(run_length_of(jnp.asarray(threshold), slack)) == pytest.approx(run_length, rel=1e-6)


def test_a_threshold_is_never_negative():
    assert cusum_threshold_for(1.0001) == 0.0


@pytest.mark.parametrize("run_length", [1.0, 0.0, -5.0, math.nan, math.inf])
def test_an_impossible_run_length_is_refused(run_length):
    with pytest.raises(DomainError, match="arl0"):
        cusum_threshold_for(run_length)


@pytest.mark.parametrize("slack", [0.0, -0.5, math.nan, math.inf])
def test_an_impossible_slack_is_refused(slack):
    with pytest.raises(DomainError, match="slack"):
        cusum_threshold_for(465.0, slack)


# --- scale estimated, the real charts ------------------------------------------------------------------------------


@jax.jit
def _charts(config, columns, silence):
    """`update_charts` over every column; `silence` puts the thresholds of the other two charts out of reach."""

    def loud(charts: ChartState) -> ChartState:
        return charts._replace(threshold=jnp.where(silence, charts.threshold.at[1:].set(SILENCED), charts.threshold))

    def one(column):
        def tick(charts, residual):
            charts, alarm = update_charts(config, charts, residual, YES, NO, NORMAL)
            return loud(charts), alarm

        start = initialize_state(config).charts._replace(threshold=initial_thresholds(config))
        return jax.lax.scan(tick, loud(start), column)[1]

    return jax.vmap(one, in_axes=1)(columns)


def _autoregression(noise: np.ndarray, coefficient: float) -> np.ndarray:
    values = noise.copy()
    for t in range(1, len(values)):
        values[t] += coefficient * values[t - 1]
    return values


@functools.cache
def _quiet(name: str) -> np.ndarray:
    rng, shape = np.random.default_rng(42), (TICKS, STREAMS)
    if name == "GARCH(.1, .85)":
        return np.stack([garch(TICKS, seed).values for seed in range(STREAMS)], axis=1)
    return {
        "Gaussian": lambda: rng.normal(size=shape),
        "t5": lambda: rng.standard_t(5, size=shape),
        "t3": lambda: rng.standard_t(3, size=shape),
        "AR(.2)": lambda: _autoregression(rng.normal(size=shape), 0.2),
    }[name]()


QUIET = ("Gaussian", "t5", "t3", "GARCH(.1, .85)", "AR(.2)")


@pytest.mark.parametrize("name", QUIET)
def test_the_mean_chart_alone_keeps_its_run_length(name):
    """The three charts share `cusum_target_arl`, so 155 ticks together are 465 for the mean chart alone."""
    alarms = _charts(PredictorConfig(cusum_target_arl=155.0), jnp.asarray(_quiet(name)), True)
    raised, chart = np.asarray(alarms.raised)[:, WARM_UP:], np.asarray(alarms.chart)[:, WARM_UP:]
    assert set(np.unique(chart)) == {-1, 0}
    assert raised.size / raised.sum() == pytest.approx(465.0, rel=0.25)


@pytest.mark.parametrize("name", QUIET)
def test_three_charts_together_keep_their_run_length(name):
    alarms = _charts(PredictorConfig(cusum_target_arl=465.0), jnp.asarray(_quiet(name)), False)
    raised, chart = np.asarray(alarms.raised)[:, 1000:], np.asarray(alarms.chart)[:, 1000:]
    assert raised.size / raised.sum() == pytest.approx(465.0, rel=0.25)
    # Each chart has its share: at least half of a fair one.
    assert (np.bincount(chart[raised], minlength=CHARTS) / raised.sum() > 1.0 / 6.0).all()


def _changed(kind: str, at: int) -> np.ndarray:
    noise = np.random.default_rng(7).normal(size=(1500, 60))
    values = noise.copy()
    if kind == "mean":
        values[at:] += 1.0
    elif kind == "scale":
        values[at:] *= 2.0
    else:
        values[at:] = _autoregression(noise[at:], 0.6)
    return values


@pytest.mark.parametrize(("kind", "chart", "delay"), [("mean", 0, 22), ("scale", 1, 45), ("dependence", 2, 60)])
def test_every_change_is_found_by_its_own_chart_and_dated(kind, chart, delay):
    """At the default run length of 5000, on the charts alone: no predictor absorbs the change here."""
    at = 1000
    alarms = jax.tree.map(np.asarray, _charts(CONFIG, jnp.asarray(_changed(kind, at)), False))
    after = alarms.raised[:, at:]
    first = at + after.argmax(axis=1)
    assert after.any(axis=1).mean() >= 0.95
    assert np.median(first - at) <= delay
    streams = np.arange(len(first))
    named = alarms.chart[streams, first]
    assert np.mean(named == chart) > 0.6
    onset = first - alarms.onset_ago[streams, first]
    assert abs(np.median(onset) - at) <= 6
    assert (alarms.onset_ago[streams, first] <= first).all()


def test_the_unit_of_the_residuals_does_not_matter():
    values = _changed("mean", 700)[:, :5]
    plain = _charts(CONFIG, jnp.asarray(values), False)
    for exponent in (900, -900):
        scaled = _charts(CONFIG, jnp.asarray(np.ldexp(values, exponent)), False)
        np.testing.assert_array_equal(plain.raised, scaled.raised)
        np.testing.assert_allclose(plain.statistic, scaled.statistic, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("residual", [0.0, 1e300, 1e-300, -7.0])
def test_constant_residuals_leave_the_charts_finite(residual):
    alarms = _charts(CONFIG, jnp.full((1500, 1), residual), False)
    assert np.isfinite(np.asarray(alarms.statistic)).all() and np.isfinite(np.asarray(alarms.threshold)).all()


# --- one tick ------------------------------------------------------------------------------------------------------

_tick = jax.jit(update_charts)


@pytest.fixture(scope="module")
def settled() -> ChartState:
    """Charts after 500 quiet residuals, all sums and the grace at zero, and no correction for neighbours that agree."""
    charts = initialize_state(CONFIG).charts
    for residual in np.random.default_rng(8).uniform(-1.5, 1.5, size=500):
        charts, _ = _tick(CONFIG, charts, jnp.asarray(residual), YES, NO, NORMAL)
    none = jnp.zeros(CHARTS)
    since = jnp.zeros(CHARTS, jnp.int64)
    return charts._replace(
        up=none, down=none, since_up=since, since_down=since, grace=jnp.zeros((), jnp.int64), wander=none
    )


def _feed(charts: ChartState, residuals, config: PredictorConfig = CONFIG, kurtosis: float = 3.0):
    alarms = []
    for residual in residuals:
        charts, alarm = _tick(config, charts, jnp.asarray(float(residual)), YES, NO, jnp.asarray(kurtosis))
        alarms.append(alarm)
    return charts, jax.tree.map(lambda *leaves: np.stack(leaves), *alarms)


def test_both_sums_are_pages_recursion(settled):
    """Against a loop over z winsorised at `cusum_winsor`, in units of the scale that stands before the residual."""
    charts, up, down = settled, 0.0, 0.0
    for residual in (0.3, 0.9, -0.2, 1.4, 0.8):
        z = np.clip(residual / float(charts.scale), -CONFIG.cusum_winsor, CONFIG.cusum_winsor)
        up, down = max(0.0, up + z - CONFIG.cusum_k), max(0.0, down - z - CONFIG.cusum_k)
        charts, alarm = _tick(CONFIG, charts, jnp.asarray(residual), YES, NO, NORMAL)
        assert (float(alarm.up), float(alarm.down)) == pytest.approx((up, down), rel=1e-9)


def test_one_spike_of_any_size_raises_no_alarm_of_the_mean_chart(settled):
    """Winsorised at 2.5, one residual adds 2 to a sum whose threshold is 7."""
    _, alarms = _feed(settled, [1e12, 0.0, 0.0])
    assert alarms.up[0] <= CONFIG.cusum_winsor - CONFIG.cusum_k + 1e-9
    assert not alarms.raised.any()


def test_an_alarm_resets_the_sums_and_opens_a_grace_period(settled):
    config = PredictorConfig(grace_period_steps=15)
    charts, alarms = _feed(settled, np.full(12, 2.0), config)
    first = int(alarms.raised.argmax())
    assert alarms.raised[first] and alarms.chart[first] in range(CHARTS)
    charts, alarms = _feed(settled, np.full(first + 1, 2.0), config)
    assert float(jnp.sum(charts.up) + jnp.sum(charts.down)) == 0.0
    assert int(charts.grace) == 15
    charts, alarms = _feed(charts, np.full(15, 2.0) * np.where(np.arange(15) % 2 == 0, 1.0, 3.0), config)
    assert not alarms.raised[:14].any()
    assert alarms.in_grace[:14].all() and not alarms.in_grace[14]


def test_the_onset_is_the_tick_after_the_chart_last_stood_at_zero(settled):
    quiet_then_shift = np.concatenate([np.full(4, -1.0), np.full(21, 2.0)])
    charts = settled._replace(threshold=settled.threshold.at[1:].set(SILENCED))
    config = PredictorConfig(cusum_target_arl=0.0)
    _, alarms = _feed(charts, quiet_then_shift, config)
    fired = int(np.flatnonzero(alarms.raised & (alarms.chart == 0))[0])
    assert alarms.up[3] == 0.0 and alarms.up[4] > 0.0
    assert fired - alarms.onset_ago[fired] == 4


def test_a_released_level_is_an_alarm_of_its_own(settled):
    charts, alarm = _tick(CONFIG, settled, jnp.asarray(jnp.nan), NO, YES, NORMAL)
    assert bool(alarm.raised) and int(alarm.chart) == RELEASE
    assert int(alarm.onset_ago) == CONFIG.outlier_release_steps - 1
    assert int(charts.grace) == CONFIG.grace_period_steps
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in charts)


def test_an_unscored_tick_changes_nothing(settled):
    charts, alarm = _tick(CONFIG, settled, jnp.asarray(jnp.nan), NO, NO, NORMAL)
    for before, after in zip(settled, charts, strict=True):
        np.testing.assert_array_equal(before, after)
    assert not bool(alarm.raised) and int(alarm.chart) == -1


def test_nothing_is_raised_before_the_scales_are_known():
    residuals = np.concatenate([np.full(WARM_UP // 2, 1.0), np.full(WARM_UP // 2, 50.0)])
    _, alarms = _feed(initialize_state(CONFIG).charts, residuals)
    assert not alarms.raised.any()


@pytest.mark.parametrize(("kurtosis", "factor"), [(1.8, 1.0), (3.0, 1.0), (9.0, 1.0 + np.log(3.0))])
def test_the_kurtosis_rule_of_the_seeds(settled, kurtosis, factor):
    """h_t = h (1 + beta ln(max(kappa, 3) / 3)), off by default."""
    with_rule = PredictorConfig(cusum_kurtosis_beta=1.0)
    _, alarm = _tick(with_rule, settled, jnp.asarray(0.0), YES, NO, jnp.asarray(kurtosis))
    np.testing.assert_allclose(alarm.threshold, factor * np.asarray(settled.threshold), rtol=1e-12)
    _, alarm = _tick(CONFIG, settled, jnp.asarray(0.0), YES, NO, jnp.asarray(kurtosis))
    np.testing.assert_allclose(alarm.threshold, settled.threshold, rtol=1e-12)


def test_a_fixed_threshold_stands_still_and_an_adaptive_one_moves(settled):
    fixed = PredictorConfig(cusum_target_arl=0.0)
    charts, alarms = _feed(settled, np.full(12, 2.0), fixed)
    assert alarms.raised.any()
    np.testing.assert_array_equal(charts.threshold, settled.threshold)
    charts, alarms = _feed(settled, np.full(12, 2.0))
    assert alarms.raised.any()
    assert bool(jnp.any(charts.threshold > settled.threshold))
    charts, alarms = _feed(settled, np.zeros(12))
    assert not alarms.raised.any() and bool(jnp.all(charts.threshold < settled.threshold))


def test_first_thresholds_have_the_run_length_asked_for():
    """The mean chart alone has three times the run length of the three; winsorised residuals ask for a little less."""
    mean = float(initial_thresholds(PredictorConfig(cusum_target_arl=1000.0))[0])
    assert mean == pytest.approx(cusum_threshold_for(3000.0), rel=0.1)
    longer = float(initial_thresholds(PredictorConfig(cusum_target_arl=4000.0))[0])
    assert longer / mean == pytest.approx(cusum_threshold_for(12_000.0) / cusum_threshold_for(3000.0), rel=1e-9)


@pytest.mark.parametrize("threshold", [4.0, 5.5])
def test_a_fixed_threshold_is_the_one_that_was_named(threshold):
    fixed = initial_thresholds(PredictorConfig(cusum_target_arl=0.0, cusum_h=threshold))
    assert float(fixed[0]) == pytest.approx(threshold, rel=1e-9)
    assert np.isfinite(np.asarray(fixed)).all()
