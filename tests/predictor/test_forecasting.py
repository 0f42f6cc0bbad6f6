"""Tomorrow from a state: the fan of every tick, joint paths of it, probabilities, in a predictor and in a session."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

import uspnb
from uspnb import plots
from uspnb.data import processes
from uspnb.errors import DomainError
from uspnb.predictor.forecasting import impulse_response

VALUES = pd.Series(
    processes.autoregression(1500, 73).values, pd.date_range("2026-01-01", periods=1500, freq="30min"), name="level"
)


@pytest.fixture(scope="module")
def predictor():
    predictor = uspnb.UniversalPredictor(clock=uspnb.replay_clock)
    predictor.fit_history(VALUES)
    return predictor


def test_a_forecast_goes_through_the_ladder_and_knows_its_times(predictor):
    fan, last = predictor.forecast(48), predictor.history().isel(time=-1)
    at = fan.sel(horizon=last["horizon"].values)
    np.testing.assert_allclose(at["prediction"], last["horizon_prediction"], rtol=1e-6, atol=1e-6)
    # Between two horizons of the ladder a width may be larger than at the second, which is then no smaller.
    np.testing.assert_allclose(at["upper"], last["horizon_upper"], rtol=1e-2)
    steps = np.diff(fan["valid_time"].values)
    assert (steps == np.timedelta64(30, "m")).all()
    assert fan["valid_time"].values[0] == last["time"].values + np.timedelta64(30, "m")
    assert (np.diff(fan["level_upper"].values, axis=1) >= 0).all()


@pytest.mark.parametrize(
    ("values", "proxies"),
    [((np.nan, np.nan, np.nan), (None,) * 3), ((0.4, 0.1, 0.2), (1.0, 1.0, 2.5))],
    ids=["after a hole", "with a dispersion proxy"],
)
def test_a_forecast_is_the_ladder_that_is_out(values, proxies):
    predictor = uspnb.UniversalPredictor(clock=uspnb.replay_clock)
    predictor.fit_history(VALUES[:400])
    stamps = pd.date_range("2026-01-09 08:00", periods=3, freq="30min", tz="UTC")
    ticks = [
        uspnb.ProcessState(*tick[:2], dispersion_proxy=tick[2]) for tick in zip(values, stamps, proxies, strict=True)
    ]
    out = [predictor.step(tick) for tick in ticks][-1].telemetry
    fan = predictor.forecast().sel(horizon=list(predictor.config.horizons))
    np.testing.assert_allclose(fan["prediction"], out.horizon_prediction, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fan["upper"] - fan["lower"], out.horizon_upper - out.horizon_lower, rtol=2e-2)


def test_simulated_paths_agree_with_the_fan(predictor):
    fan, paths = predictor.forecast(24), predictor.simulate(24, paths=20_000, seed=3)
    assert paths.shape == (20_000, 24)
    for level, share in zip(fan["level"].values, (0.25, 0.10, 0.025), strict=True):
        below = (paths < fan["level_lower"].sel(level=level).values).mean(axis=0)
        np.testing.assert_allclose(below, share, atol=0.012)
    np.testing.assert_array_equal(paths, predictor.simulate(24, paths=20_000, seed=3))


def correlations(psi: np.ndarray, rungs: tuple[int, ...]) -> np.ndarray:
    """Of the errors at each rung and at the one before, by the law."""
    pairs = itertools.pairwise(rungs)
    return np.array([psi[:g] @ psi[h - g : h] / np.sqrt((psi[:g] @ psi[:g]) * (psi[:h] @ psi[:h])) for g, h in pairs])


@pytest.mark.parametrize(
    ("first", "second"),
    [(1.0, 0.0), (np.exp(-0.05), 0.0), (1.3, -0.5), (0.0, 0.0)],
    ids=["random walk", "Ornstein-Uhlenbeck", "autoregression", "white"],
)
@pytest.mark.parametrize("rungs", [(1, 2, 4, 8, 16, 24, 48), (1, 3, 12, 36)])
def test_the_law_of_the_errors_is_found_from_the_correlations_along_the_ladder(first, second, rungs):
    psi = np.zeros(49)
    psi[0] = 1.0
    for j in range(1, 49):
        psi[j] = first * psi[j - 1] + second * psi[j - 2]
    found = impulse_response(rungs, np.maximum(correlations(psi, rungs), 0.0), 24)
    # what the grid and the preference for order one leave, most where the ladder has gaps
    np.testing.assert_allclose(found, psi[:24], atol=0.08 if 2 in rungs else 0.25)
    assert impulse_response((1,), np.zeros(0), 1).tolist() == [1.0]


def test_paths_go_from_tick_to_tick_as_the_errors_of_the_process_do(predictor):
    # x_t = 1.3 x_{t-1} - .5 x_{t-2} + e: what the paths' scores correlate with the next's, against the law's .79 to .87
    paths, fan = predictor.simulate(24, paths=4000, seed=4), predictor.forecast(24)
    scores = np.sign(paths - fan["prediction"].values) * rankdata(np.abs(paths - fan["prediction"].values), axis=0)
    psi = np.ones(25)
    psi[1] = 1.3
    for j in range(2, 25):
        psi[j] = 1.3 * psi[j - 1] - 0.5 * psi[j - 2]
    for h in (1, 3, 5, 9, 12, 20):
        law = correlations(psi, (h, h + 1))[0]
        assert np.corrcoef(scores[:, h - 1], scores[:, h])[0, 1] == pytest.approx(law, abs=0.12)


def test_probabilities_are_shares_of_paths_and_grow_with_the_time(predictor):
    level = float(predictor.forecast(1)["upper"][0])
    shares = [predictor.probability(above=level, within=h) for h in (1, 4, 24)]
    assert shares[0] == pytest.approx(0.025, abs=0.012) and shares == sorted(shares)
    assert predictor.probability(above=1e9, below=-1e9, within=24) == 0.0


def test_what_cannot_be_forecast_is_refused_by_name(predictor):
    with pytest.raises(DomainError, match=r"steps = 49 is beyond the longest horizon, 48 ticks"):
        predictor.forecast(49)
    with pytest.raises(DomainError, match="steps = 0"):
        predictor.forecast(0)
    with pytest.raises(DomainError, match="no forecast before the first tick"):
        uspnb.UniversalPredictor().forecast()
    with pytest.raises(DomainError, match="give probability a bound"):
        predictor.probability(within=5)
    with pytest.raises(DomainError, match="above"):
        predictor.probability(above=float("nan"), within=5)
    with pytest.raises(DomainError, match="paths = 0"):
        predictor.simulate(5, paths=0)


def test_a_session_forecasts_what_a_predictor_does(predictor):
    with uspnb.Session(VALUES) as session:
        with pytest.raises(DomainError, match=r"there is no state yet|no forecast before the first tick"):
            session.forecast()
        session.run()
        session.wait(timeout=300)
        fan = session.forecast(12)
        np.testing.assert_allclose(fan["prediction"], predictor.forecast(12)["prediction"], rtol=1e-9)
        np.testing.assert_allclose(session.simulate(12, paths=5), predictor.simulate(12, paths=5), rtol=1e-9)
        assert session.probability(below=float(fan["lower"][-1]), within=12) > 0.0


def test_the_fan_of_a_run_has_what_led_there_and_what_then_happened():
    ds = uspnb.backtest(VALUES[:600], horizons=(1, 4, 24), progress=False)
    data = plots.fan_data(ds, at="2026-01-09 00:00", behind=10)
    origin = 8 * 48
    assert data["ahead"].tolist() == list(range(-10, 25))
    np.testing.assert_array_equal(data["observation"], VALUES.values[origin - 10 : origin + 25])
    there = data[data["ahead"].isin([1, 4, 24])]
    np.testing.assert_array_equal(there["prediction"], ds["horizon_prediction"].values[origin])
    np.testing.assert_array_equal(there["upper_2"], ds["horizon_upper"].values[origin])
    assert data.attrs["levels"] == [0.5, 0.8, 0.95]
    last = plots.fan_data(ds)
    assert last["time"].iloc[-1] == ds["time"].values[-1] + np.timedelta64(12, "h")
    with pytest.raises(DomainError, match="before the first tick"):
        plots.fan_data(ds, at="2020-01-01")
    with pytest.raises(DomainError, match="no horizons"):
        plots.fan_data(ds.drop_vars("horizon_prediction"))


def test_a_forecast_draws_as_a_fan_in_both_themes(predictor):
    for theme in ("light", "dark"):
        assert len(plots.fan(predictor.forecast(24), theme=theme)) == 4  # three levels and the forecast
