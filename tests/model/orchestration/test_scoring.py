"""Residuals, track records and kurtosis against NumPy and SciPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from uspnb.config.schema import PredictorConfig
from uspnb.model.orchestration.scoring import (
    LARGEST_RATIO,
    SLOW_RATE,
    WINSOR,
    Residuals,
    kernel_confidences,
    kurtosis,
    score_forecasts,
    update_scores,
)
from uspnb.model.orchestration.step import initialize_state

CONFIG = PredictorConfig()
EMPTY = initialize_state(CONFIG)
YES, NO = jnp.asarray(True), jnp.asarray(False)


@jax.jit
def _scan(config, errors, fused, usual):
    def tick(score, row):
        residuals = Residuals(row[1], row[1], row[1], row[0], row[1], YES)
        new = update_scores(config, score, residuals, row[2])
        return new, new

    return jax.lax.scan(tick, EMPTY.score, (errors, fused, usual))[1]


def _scores(errors, fused=None, usual=None, config=CONFIG):
    errors = np.asarray(errors, float)
    fused = errors[:, 0] if fused is None else np.asarray(fused, float)
    usual = np.ones(len(errors), bool) if usual is None else usual
    return jax.tree.map(np.asarray, _scan(config, jnp.asarray(errors), jnp.asarray(fused), jnp.asarray(usual)))


def _forecast(**changes):
    forecast = EMPTY.forecast._replace(
        made=YES, origin=jnp.asarray(10.0), unit=jnp.asarray(2.0), mean=jnp.asarray(11.0), scale=jnp.asarray(2.0),
        reference=jnp.asarray(10.5), kernel_mean=jnp.asarray([0.0, 0.5, 1.0, -1.0]),
    )  # fmt: skip
    return forecast._replace(**changes)


def test_a_tick_is_compared_with_the_forecast_made_for_it():
    residuals = score_forecasts(_forecast(), jnp.asarray(13.0), YES)
    assert bool(residuals.scored)
    assert float(residuals.fused) == 13.0 - 11.0
    assert float(residuals.reference) == 13.0 - 10.5
    assert float(residuals.standardised) == 1.0
    assert float(residuals.increment) == 1.5
    # Kernel k said 10 + 2 mean_k.
    np.testing.assert_allclose(residuals.kernels, (13.0 - (10.0 + 2.0 * np.array([0.0, 0.5, 1.0, -1.0]))) / 2.0)


@pytest.mark.parametrize(("forecast_out", "accepted"), [(NO, YES), (YES, NO)])
def test_without_a_forecast_or_a_tick_nothing_is_scored(forecast_out, accepted):
    residuals = score_forecasts(_forecast(made=forecast_out), jnp.asarray(13.0), accepted)
    assert not bool(residuals.scored)
    assert np.isnan(residuals.fused) and np.isnan(residuals.reference)
    assert float(residuals.standardised) == float(residuals.increment) == 0.0
    np.testing.assert_array_equal(residuals.kernels, 0.0)


def test_dimensionless_residuals_are_bounded():
    residuals = score_forecasts(_forecast(unit=jnp.asarray(1e-300)), jnp.asarray(1e300), YES)
    assert float(residuals.standardised) == float(residuals.increment) == LARGEST_RATIO
    assert np.isfinite(np.asarray(residuals.kernels)).all()


def test_log_scores_are_discounted_student_log_densities():
    """A loop over SciPy's t density with 5 degrees of freedom; errors are winsorised at 10 scales at first, then 4."""
    rng = np.random.default_rng(0)
    errors = rng.uniform(-1.7, 1.7, size=(400, 4)) * np.array([1.0, 1.1, 0.9, 1.3])
    scores = _scores(errors)
    log_score, square = np.zeros(4), np.ones(4)
    for n, row in enumerate(errors):
        scale = np.sqrt(square)
        log_score = CONFIG.score_forgetting * log_score + stats.t.logpdf(row / scale, 5) - np.log(scale)
        rate = max(CONFIG.score_youth / (n + CONFIG.score_youth + 1.0), CONFIG.score_scale_rate)
        square = square + rate * (np.minimum(row**2, (100 if n < 20 else 16) * square) - square)
        expected = log_score - log_score.max()
        np.testing.assert_allclose(scores.log_score[n], expected, rtol=0, atol=1e-9)
        np.testing.assert_allclose(scores.kernel_error[n], np.sqrt(square), rtol=1e-9)


def test_the_better_kernel_gets_the_weight():
    rng = np.random.default_rng(1)
    errors = rng.normal(size=(600, 4)) * np.array([1.0, 2.0, 1.0, 4.0])
    errors[300:] *= np.array([4.0, 1.0, 4.0, 1.0]) / np.array([1.0, 2.0, 1.0, 4.0])
    scores = _scores(errors)
    weights = [np.asarray(kernel_confidences(CONFIG, jnp.asarray(scores.log_score[n]))) for n in (299, 599)]
    assert weights[0][[0, 2]].sum() > 0.99
    assert weights[1][[1, 3]].sum() > 0.99


def test_one_wild_error_moves_a_scale_by_its_winsorised_square_only():
    errors = np.random.default_rng(2).uniform(-1.7, 1.7, size=(200, 4))
    errors[-1, 0] = 1e6
    scores = _scores(errors)
    largest = np.sqrt(1.0 + CONFIG.score_scale_rate * (WINSOR**2 - 1.0))
    assert scores.kernel_error[-1, 0] / scores.kernel_error[-2, 0] == pytest.approx(largest, rel=1e-9)
    assert np.sqrt(scores.slow_variance[-1] / scores.slow_variance[-2]) == pytest.approx(
        np.sqrt(1.0 + SLOW_RATE * (WINSOR**2 - 1.0)), rel=1e-9
    )
    # The volatility follows at its own rate, and so a shock is seen at once.
    assert scores.volatility_variance[-1] > 5.0


@pytest.mark.parametrize("scale", [0.1, 1.0, 1e3])
def test_volatility_is_about_one_in_calm_times_whatever_the_unit(scale):
    errors = scale * np.random.default_rng(3).normal(size=(6000, 4))
    volatility = _scores(errors).volatility_variance[1000:]
    # The slow scale winsorises at 4, which takes .1 % off the variance of a normal law.
    assert np.mean(volatility) == pytest.approx(1.0, abs=0.05)


def test_residuals_in_the_ring_are_what_was_scored_over_the_scale_known_then():
    fused = np.random.default_rng(4).uniform(-1.7, 1.7, size=400)
    scores = _scores(np.tile(fused[:, None], 4), fused)
    before = np.concatenate([[1.0], scores.slow_variance[:-1]])
    np.testing.assert_allclose(scores.residuals[-1], (fused / np.sqrt(before))[-CONFIG.residual_window :], rtol=1e-12)
    early = scores.residuals[9]
    assert np.isnan(early[:-10]).all() and np.isfinite(early[-10:]).all()


def test_an_unusual_tick_leaves_the_track_record_alone():
    errors = np.random.default_rng(5).normal(size=(60, 4))
    usual = np.ones(60, bool)
    usual[50:] = False
    errors[50:] = 1e5
    scores = _scores(errors, usual=usual)
    for leaf in scores:
        np.testing.assert_array_equal(leaf[-1], leaf[49])


def test_confidences_are_a_softmax_with_a_floor():
    score = EMPTY.score._replace(log_score=jnp.asarray([0.0, -1.0, -3.0, -800.0]))
    got = np.asarray(kernel_confidences(CONFIG, score.log_score))
    floor = CONFIG.confidence_floor
    expected = (special.softmax([0.0, -1.0, -3.0, -800.0]) + floor) / (1 + 4 * floor)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert got.sum() == pytest.approx(1.0, abs=1e-15)
    assert got.min() >= floor / (1 + 4 * floor) * (1 - 1e-12)


def test_kurtosis_is_scipys_over_what_has_been_seen():
    rng = np.random.default_rng(6)
    window = CONFIG.residual_window
    for draw in (rng.normal, rng.standard_exponential, lambda size: rng.standard_t(3, size=size)):
        values = draw(size=window)
        for count in (8, 50, window):
            ring = np.full(window, np.nan)
            ring[window - count :] = values[:count]
            got = float(kurtosis(jnp.asarray(ring), jnp.asarray(count)))
            assert got == pytest.approx(stats.kurtosis(values[:count], fisher=False), rel=1e-10)


def test_kurtosis_of_too_few_or_equal_residuals_is_that_of_the_normal_law():
    ring = np.full(CONFIG.residual_window, np.nan)
    assert float(kurtosis(jnp.asarray(ring), jnp.asarray(0))) == 3.0
    ring[-7:] = np.arange(7.0)
    assert float(kurtosis(jnp.asarray(ring), jnp.asarray(7))) == 3.0
    ring[-100:] = 0.25
    assert float(kurtosis(jnp.asarray(ring), jnp.asarray(100))) == 3.0


@pytest.mark.parametrize("unit", [2.0**-300, 2.0**500])
def test_kurtosis_overflows_nowhere(unit):
    values = np.random.default_rng(7).normal(size=CONFIG.residual_window)
    got = float(kurtosis(jnp.asarray(unit * values), jnp.asarray(len(values))))
    assert got == pytest.approx(stats.kurtosis(values, fisher=False), rel=1e-10)


def test_wild_errors_leave_everything_finite():
    errors = np.full((300, 4), LARGEST_RATIO)
    errors[100:200] = 0.0
    scores = _scores(errors)
    for leaf in (scores.log_score, scores.kernel_error, scores.volatility_variance, scores.slow_variance):
        assert np.isfinite(leaf).all()
    assert (scores.kernel_error > 0).all() and (scores.slow_variance > 0).all()
