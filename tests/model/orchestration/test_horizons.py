"""The ladder of horizons against what is known: true conditional means, calibrated errors, nothing from the future."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

import uspnb
from uspnb.data import processes
from uspnb.errors import ConfigError, DomainError
from uspnb.model.kernels.base import BORROWED, OVERLAP, borrowed_record, into_slots, slot_offsets
from uspnb.model.kernels.deep_galerkin.drift import moments_ahead
from uspnb.model.kernels.hilbert.ladder import recursive_coefficients
from uspnb.model.orchestration.horizons import normal_score, rising

BURN = 800


def _autoregression_means(values: np.ndarray, phi: tuple[float, float], horizons: np.ndarray) -> np.ndarray:
    """E[x_{t+h} | x_t, x_{t-1}] by powers of the companion matrix, shape (time, horizon)."""
    companion = np.array([phi, (1.0, 0.0)])
    now = np.stack([values, np.concatenate([[0.0], values[:-1]])])
    return np.stack([(np.linalg.matrix_power(companion, h) @ now)[0] for h in horizons], axis=1)


@pytest.fixture(scope="module")
def ar2():
    path = processes.autoregression(4000, 71)
    return path, uspnb.backtest(path.values, progress=False)


def _pairs(ds, values, i, h):
    return ds["horizon_prediction"].values[BURN:-h, i], values[BURN + h :]


def test_every_horizon_comes_near_the_true_conditional_mean_of_an_autoregression(ar2):
    path, ds = ar2
    horizons = ds["horizon"].values
    oracle = _autoregression_means(path.values, path.known["coefficients"], horizons)
    for i, h in enumerate(horizons):
        forecast, came = _pairs(ds, path.values, i, h)
        error, best = (np.sqrt(np.mean((came - f) ** 2)) for f in (forecast, oracle[BURN:-h, i]))
        assert error < 1.03 * best, (h, error, best)


def test_every_horizon_comes_near_the_true_conditional_mean_of_ornstein_uhlenbeck():
    """Over four paths together; of one alone it is up to 4.0 % at 48 ticks."""
    paths = [processes.ornstein_uhlenbeck(4000, seed) for seed in (72, 73, 74, 75)]
    values = np.stack([path.values for path in paths], axis=1)
    forecasts = uspnb.backtest(values, progress=False)["horizon_prediction"].transpose("time", "asset", "horizon")
    mean, theta = paths[0].known["mean"], paths[0].known["theta"]
    for i, h in enumerate(forecasts["horizon"].values):
        forecast, came = forecasts.values[BURN:-h, :, i], values[BURN + h :]
        true = mean + np.exp(-theta * h) * (values[BURN:-h] - mean)
        error, best = (np.sqrt(np.mean((came - f) ** 2)) for f in (forecast, true))
        assert error < 1.03 * best, (h, error, best)


def test_every_horizon_comes_near_the_true_conditional_mean_of_a_demand_with_two_seasons():
    """Of a declared day and week; on two paths of 6,000 ticks 4 % above it one tick ahead, 2 to 4 % beyond."""
    path = processes.seasonal_demand(5000, 5, per_day=24)
    ds = uspnb.backtest(path.values, seasons=(24, 168), progress=False)
    rest = path.values - path.known["shape"]
    for i, h in enumerate(ds["horizon"].values):
        came, forecast = path.values[2000 + h :], ds["horizon_prediction"].values[2000:-h, i]
        true = path.known["shape"][2000 + h :] + 0.8**h * rest[2000:-h]
        error, best = (np.sqrt(np.mean((came - f) ** 2)) for f in (forecast, true))
        assert error < 1.05 * best, (h, error, best)


def test_intervals_of_every_horizon_and_level_hold_what_they_promise(ar2):
    path, ds = ar2
    for i, h in enumerate(ds["horizon"].values):
        forecast, came = _pairs(ds, path.values, i, h)
        inside = (came >= ds["horizon_lower"].values[BURN:-h, i]) & (came <= ds["horizon_upper"].values[BURN:-h, i])
        assert 0.92 <= inside.mean() <= 0.98, h
        for k, level in enumerate(ds["level"].values):
            covered = np.abs(came - forecast) <= ds["horizon_level_width"].values[BURN:-h, i, k]
            assert abs(covered.mean() - level) < 0.04, (h, level)


def test_the_probability_integral_transform_of_the_next_tick_is_uniform(ar2):
    _, ds = ar2
    pit = ds["pit"].sel(horizon=1).values[BURN:]
    assert stats.kstest(pit, "uniform").pvalue > 0.01
    assert np.isnan(ds["pit"].sel(horizon=48).values[:48]).all()  # nothing is scored before it is due


def test_widths_do_not_shrink_with_the_horizon(ar2):
    width = (ar2[1]["horizon_upper"] - ar2[1]["horizon_lower"]).values[10:]
    assert (np.diff(width, axis=1) >= -1e-9).all()


def test_the_first_horizon_is_the_next_ticks_forecast(ar2):
    ds = ar2[1]
    np.testing.assert_allclose(ds["horizon_prediction"].values[:-1, 0], ds["prediction"].values[1:], rtol=1e-12)
    np.testing.assert_allclose(ds["horizon_upper"].values[:-1, 0], ds["upper"].values[1:], rtol=1e-9)


def test_no_horizon_knows_the_future(ar2):
    path, ds = ar2
    changed = path.values[:1000].copy()
    changed[700:] += 50.0
    other = uspnb.backtest(changed, progress=False)
    for name in ("horizon_prediction", "horizon_lower", "horizon_upper", "horizon_weight", "pit"):
        np.testing.assert_array_equal(other[name].values[:700], ds[name].values[:700], err_msg=name)


def test_longer_horizons_leave_the_next_tick_as_it_is(ar2):
    path, ds = ar2
    alone = uspnb.backtest(path.values[:1500], horizons=(1,), progress=False)
    assert alone.sizes["horizon"] == 1
    np.testing.assert_allclose(alone["prediction"].values[1:], ds["prediction"].values[1:1500], rtol=1e-6)


def test_a_table_has_the_horizons_of_each_of_its_series():
    values = np.stack([processes.ornstein_uhlenbeck(300, seed).values for seed in (1, 2, 3)], axis=1)
    table = uspnb.backtest(values, horizons=(1, 3, 12), progress=False)
    one = uspnb.backtest(values[:, 1], horizons=(1, 3, 12), progress=False)
    assert table["horizon_prediction"].dims == ("time", "asset", "horizon")
    got = table["horizon_prediction"].isel(asset=1).values
    np.testing.assert_allclose(got, one["horizon_prediction"].values, rtol=1e-9)


@pytest.mark.parametrize(
    ("horizons", "message"),
    [
        ((), "is empty"),
        ((2, 1), "does not rise"),
        ((1, 1, 2), "does not rise"),
        ((0, 1), r"holds 0; give numbers in rising order, each within \[1, 1024\]"),
        ((1, 5000), "holds 5000"),
        ((1, 2.5), "expected a list of whole numbers"),
        ("48", "expected a list of whole numbers"),
    ],
)
def test_horizons_that_cannot_be_are_refused_by_name(horizons, message):
    with pytest.raises(ConfigError, match=message):
        uspnb.PredictorConfig(horizons=horizons)
    with pytest.raises(DomainError, match=message):
        uspnb.backtest(np.arange(50.0), horizons=horizons, progress=False)


def test_a_filter_fed_back_is_the_filter_applied_again_and_again():
    rng = np.random.default_rng(5)
    c = np.concatenate([[0.1, -0.05], 0.15 * rng.normal(size=4)])
    row = np.concatenate([[1.0, 0.7], rng.normal(size=4)])
    for steps in ((1, 2, 5, 12), tuple(range(1, 21))):
        found = np.asarray(recursive_coefficients(jnp.asarray(c[None]), steps))[0] @ row
        state, total, path = row.copy(), 0.0, []
        for _ in range(max(steps)):
            d = c @ state
            total += d
            state = np.concatenate([[1.0, state[1] + d, d], state[2:-1]])
            path.append(total)
        np.testing.assert_allclose(found, np.array(path)[np.array(steps) - 1], rtol=1e-12)


def test_a_linear_drift_has_its_closed_form_at_every_time():
    theta, level, variance, z = 0.03, 0.4, 0.02, 1.1
    drift, diffusion = jnp.asarray([theta * level, -theta, 0.0, 0.0]), jnp.full(3, variance)
    steps = (1, 4, 48)
    mean, spread = moments_ahead(drift, diffusion, jnp.asarray(z), steps)
    h = np.array(steps)
    np.testing.assert_allclose(mean, level + np.exp(-theta * h) * (z - level), rtol=1e-9)
    np.testing.assert_allclose(spread, variance * -np.expm1(-2 * theta * h) / (2 * theta), rtol=1e-9)


def test_a_row_goes_into_the_slot_of_its_horizon_and_nowhere_else():
    ladder = (2, 3, 5)
    table = jnp.zeros((10, 2))
    slot = jnp.asarray(slot_offsets(ladder) + 7 % np.array(ladder))
    new = np.asarray(into_slots(table, slot, jnp.ones((3, 2)), ladder))
    assert np.flatnonzero(new[:, 0]).tolist() == [1, 2 + 1, 5 + 2] and new.sum() == 6


def test_a_normal_score_undoes_the_quantiles():
    levels = jnp.asarray([0.95, 0.5, 0.8])
    normal = stats.norm.ppf(0.5 + 0.5 * np.asarray(levels))
    quantile = jnp.asarray(1.7 * normal)[None]
    ratio = jnp.asarray([0.0, 0.3, 1.7 * 1.2, 1.7 * 4.0])[:, None]
    score = jax.vmap(lambda r: normal_score(r, quantile, levels))(ratio)
    np.testing.assert_allclose(score[:, 0], ratio[:, 0] / 1.7, rtol=1e-9)


def test_widths_that_rise_are_the_nearest_ones_to_those_that_do_not():
    rng = np.random.default_rng(3)
    for steps in (1, 2, 6, 47):
        widths = np.abs(rng.normal(size=(steps, 3)))
        expected = np.stack([optimize.isotonic_regression(column).x for column in widths.T], axis=1)
        np.testing.assert_allclose(rising(jnp.asarray(widths)), expected, rtol=1e-12)


def test_a_young_horizon_borrows_the_record_of_the_shorter_ones_and_an_old_one_does_not():
    scores = jnp.asarray(np.random.default_rng(4).normal(size=(4, 3)))
    ladder, count = (2, 4, 8), np.array([0.0, 5.0, 1e9])
    found = np.asarray(borrowed_record(scores, jnp.asarray(count), ladder))
    expected = [np.asarray(scores[0])]
    for k, h in enumerate(ladder):
        share = BORROWED / (BORROWED + count[k] / (1.0 + h / OVERLAP))
        expected.append(np.asarray(scores[k + 1]) + share * expected[-1])
    np.testing.assert_allclose(found, expected[1:], rtol=1e-9)
    # Without the next tick's record the shortest horizon has its own alone.
    alone = np.asarray(borrowed_record(scores[1:], jnp.asarray(count), ladder))
    np.testing.assert_allclose(alone[0], scores[1], rtol=1e-12)
