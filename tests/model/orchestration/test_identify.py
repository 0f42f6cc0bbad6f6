"""Identification inside the tick: when it measures, and that it reports what its own room computes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.model.identification.roughness import jump_test, stationarity_indicator
from uspnb.model.identification.semimartingale import semimartingale_split
from uspnb.model.identification.wtmm import holder_exponent

CONFIG = PredictorConfig()
WINDOW, STRIDE = CONFIG.wtmm_buffer_size, CONFIG.wtmm_stride


def test_roughness_is_measured_on_its_stride_also_when_the_window_is_full(walked):
    exponent = walked[2].telemetry.holder_exponent
    changed = np.flatnonzero(np.diff(exponent) != 0) + 1
    # Tick t is the (t + 1)th; a measurement may repeat the exponent before, but seldom does.
    assert ((changed + 1) % STRIDE == 0).all()
    due = np.arange(1, 401) % STRIDE == 0
    assert len(changed) > 0.9 * due[WINDOW:].sum()


def test_before_half_a_window_nothing_is_known(walked):
    telemetry = walked[2].telemetry
    assert not telemetry.holder_valid[:63].any()
    np.testing.assert_array_equal(telemetry.holder_exponent[:63], 0.5)
    assert telemetry.holder_valid[WINDOW:].mean() > 0.95
    # The likelihood waits for a full window.
    assert np.isnan(telemetry.whittle_exponent[: WINDOW - 1]).all()
    assert np.isfinite(telemetry.whittle_exponent[WINDOW + STRIDE :]).mean() > 0.95


@pytest.mark.parametrize("values", [np.full(300, 3.0), np.arange(300.0)], ids=["constant", "linear"])
def test_a_window_without_an_exponent_has_none_and_is_no_emergency(replay, values):
    telemetry = replay(values)[1].telemetry
    assert not telemetry.holder_valid.any() and not telemetry.emergency.any()
    np.testing.assert_array_equal(telemetry.holder_exponent, 0.5)


def test_the_telemetry_shows_what_the_room_computes_on_the_same_window(replay, walked):
    values, state, results = walked
    telemetry = results.telemetry
    window = jnp.asarray(values[-WINDOW:])
    path, count = (window - window[-1]) / state.frame.scale, jnp.asarray(WINDOW)
    estimate = jax.jit(holder_exponent)(path, count, CONFIG)
    assert 400 % STRIDE == 0 and bool(estimate.valid)
    assert telemetry.holder_exponent[-1] == pytest.approx(float(estimate.exponent), abs=1e-9)
    split = semimartingale_split(path, count)
    for name in ("drift", "quadratic_variation", "jump_share"):
        assert getattr(telemetry, name)[-1] == pytest.approx(float(getattr(split, name)), rel=1e-9, abs=1e-12)
    assert bool(telemetry.jump[-1]) == bool(jump_test(path).flag)
    indicator = stationarity_indicator(path, count)
    assert bool(telemetry.stationary[-1]) == (bool(jnp.isfinite(indicator.statistic)) and not bool(indicator.rejected))


def test_a_jump_of_ten_sigma_is_flagged_on_its_tick_only(replay, walked):
    values, state, _ = walked
    rng = np.random.default_rng(13)
    following = values[-1] + np.cumsum(rng.normal(size=20))
    following[10:] += 12.0
    telemetry = replay(following, state=state)[1].telemetry
    np.testing.assert_array_equal(np.flatnonzero(telemetry.jump), [10])
