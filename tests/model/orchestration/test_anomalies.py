"""The anomaly score: a tail probability that holds what it says, and flags that keep their distance."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from walks import thinned_counts

from uspnb.config.schema import PredictorConfig
from uspnb.data.processes import autoregression, garch, ornstein_uhlenbeck
from uspnb.model.orchestration.modes import watch_anomalies
from uspnb.model.orchestration.scoring import ANOMALY_WARM_UP, Residuals, anomaly_score
from uspnb.model.orchestration.step import initialize_state
from uspnb.predictor.backtest import backtest

CONFIG = PredictorConfig()
TICKS = 6000


def scored(size: float, ring: np.ndarray, places: int = 0, is_scored: bool = True) -> float:
    """The score of a residual of so many slow standard deviations after those of a ring."""
    held = np.full(CONFIG.residual_window, np.nan)
    held[len(held) - len(ring) :] = ring
    score = initialize_state(CONFIG).score._replace(residuals=jnp.asarray(held), slow_variance=jnp.asarray(4.0))
    value, flag = jnp.asarray(2.0 * size), jnp.asarray(is_scored)
    residuals = Residuals(value, value, value, jnp.zeros(4), value, flag)
    return float(anomaly_score(score, residuals, jnp.asarray(places)))


def test_within_the_ring_it_is_the_conformal_rank() -> None:
    ring = np.random.default_rng(1).permutation(np.arange(1, 253)) * np.where(np.arange(252) % 2, 1.0, -1.0)
    for size, larger in ((0.0, 252), (100.5, 152), (-100.5, 152), (240.0, 13)):
        assert scored(size, ring) == pytest.approx(1.0 - (1 + larger) / 253, abs=1e-12)


def test_beyond_the_threshold_it_grows_to_one_and_never_falls() -> None:
    ring = np.random.default_rng(1).standard_normal(252)
    scores = [scored(size, ring) for size in np.linspace(0.0, 30.0, 200)]
    assert (np.diff(scores) >= -1e-12).all() and scores[-1] > 0.99999 and len(set(scores)) > 150
    assert scored(1e6, ring) == pytest.approx(1.0, abs=1e-12)


def test_a_heavier_tail_finds_the_same_multiple_less_odd() -> None:
    rng = np.random.default_rng(2)
    light, heavy = (np.abs(r) / np.quantile(np.abs(r), 0.98) for r in (rng.uniform(size=252), rng.standard_t(1, 252)))
    assert 1.0 - scored(3.0, heavy) > 5.0 * (1.0 - scored(3.0, light))


def test_unknown_before_enough_residuals_and_without_one() -> None:
    ring = np.random.default_rng(1).standard_normal(252)
    assert np.isnan(scored(1.0, ring[: ANOMALY_WARM_UP - 1])) and np.isfinite(scored(1.0, ring[:ANOMALY_WARM_UP]))
    assert np.isnan(scored(1.0, ring, is_scored=False))


def test_after_a_hole_a_residual_is_one_of_more_steps() -> None:
    ring = np.random.default_rng(1).standard_normal(252)
    assert scored(3.0, ring, places=8) == pytest.approx(scored(1.0, ring), abs=1e-12)


def test_exact_forecasts_are_no_anomalies_and_the_first_error_after_them_is() -> None:
    assert scored(0.0, np.zeros(252)) == 0.0 and scored(1e-3, np.zeros(252)) > 0.999


def rates(ds: xr.Dataset, *levels: float) -> list[float]:
    score = ds["anomaly_score"].values[500:]
    return [float(np.mean(score[np.isfinite(score)] > level)) / (1.0 - level) for level in levels]


@pytest.mark.parametrize(
    "values",
    [
        autoregression(TICKS, 3).values,
        ornstein_uhlenbeck(TICKS, 4).values,
        garch(TICKS, 5).values,
        np.random.default_rng(6).standard_t(3, TICKS).cumsum(),
        thinned_counts(TICKS, 7),
    ],
    ids=["autoregression", "ornstein_uhlenbeck", "garch", "t3", "counts"],
)
def test_a_level_is_exceeded_as_often_as_it_says(values: np.ndarray) -> None:
    """At .9 to a fifth; at .99 to a half, at .999 not five times as often."""
    ds = backtest(values, CONFIG, progress=False)
    often, seldom, rare = rates(ds, 0.9, 0.99, 0.999)
    assert 0.8 <= often <= 1.2 and 0.5 <= seldom <= 1.6 and rare <= 5.0
    score = ds["anomaly_score"].values[100:]
    assert score.min() >= 0.0 and score.max() <= 1.0


def spiked(config: PredictorConfig = CONFIG) -> xr.Dataset:
    values = autoregression(1500, 8).values
    # Further apart than the ring is long: what has just come twice is no surprise.
    values[[500, 800, 1100]] += 8.0
    values[1300] = 1e6
    values[1400] = np.nan
    return backtest(values, config, progress=False)


def test_spikes_and_what_is_refused_for_its_distance_are_flagged_and_what_is_missing_is_not() -> None:
    ds = spiked()
    score, flags = ds["anomaly_score"].values, np.flatnonzero(ds["anomaly"])
    assert {500, 800, 1100, 1300} <= set(flags) and len(flags) <= 7
    assert bool(ds["outlier"][1300]) and score[1300] == 1.0
    assert np.isnan(score[1400]) and 1400 not in flags
    # Apart from the alarms, which are changes: none of these is one.
    assert not ds["alarm"].values[[500, 800, 1100, 1300]].any()


def test_flags_keep_the_refractory_period_between_them() -> None:
    def flags(**settings: Any) -> np.ndarray:
        return np.flatnonzero(spiked(dataclasses.replace(CONFIG, **settings))["anomaly"])

    near, far = flags(anomaly_level=0.9, anomaly_refractory=0), flags(anomaly_level=0.9, anomaly_refractory=30)
    assert np.diff(near).min() == 1 and np.diff(far).min() > 30
    assert len(flags(anomaly_level=1.0)) == 0


def test_the_refractory_period_counts_every_tick() -> None:
    config = dataclasses.replace(CONFIG, anomaly_refractory=2)
    rest, seen = jnp.zeros((), jnp.int64), []
    for score in (1.0, 1.0, np.nan, 1.0, 0.5, 0.5, 0.5, 1.0):
        rest, flag = watch_anomalies(config, rest, jnp.asarray(score))
        seen.append(bool(flag))
    assert seen == [True, False, False, True, False, False, False, True]
