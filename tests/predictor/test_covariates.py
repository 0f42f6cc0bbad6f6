"""Covariates from a frame, a tick and a forecast to what they are worth; bad ones are refused or left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import uspnb
from uspnb import PredictorConfig, ProcessState, UniversalPredictor, backtest
from uspnb.data.csv import read_csv
from uspnb.data.series import read_series
from uspnb.engine.service.service import Service
from uspnb.errors import DomainError
from uspnb.predictor.covariates import covariate_rows, covariate_ticks, known_table
from uspnb.sources import open_source
from uspnb.tuning.objective import WalkForwardObjective

SMALL = PredictorConfig(season_slots=0, horizons=(1, 4))
NAMED = PredictorConfig(season_slots=0, horizons=(1, 4), covariates=("temperature",))
TICKS = 1600
PERSISTENCE = 0.8


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Load by a known law of the temperature, with errors that have memory, and noise that has nothing to say."""
    rng = np.random.default_rng(20261130)
    t = np.arange(TICKS)
    temperature = 15 + 7 * np.sin(2 * np.pi * t / 48) + 3 * np.sin(2 * np.pi * t / 333) + rng.normal(0, 1.0, TICKS)
    law = 50 + 1.5 * np.maximum(temperature - 18, 0) + 2.0 * np.maximum(12 - temperature, 0)
    error = np.zeros(TICKS)
    for k in range(1, TICKS):
        error[k] = PERSISTENCE * error[k - 1] + rng.normal()
    return pd.DataFrame(
        {"load": law + error, "temperature": temperature, "noise": rng.normal(size=TICKS), "law": law},
        index=pd.date_range("2026-01-01", periods=TICKS, freq="30min"),
    )


@pytest.fixture(scope="module")
def informed(frame: pd.DataFrame) -> xr.Dataset:
    """The run that knows the temperature."""
    return backtest(frame, SMALL, value="load", covariates=["temperature"])


def error(ds: xr.Dataset, first: int = 600) -> float:
    return float(np.abs(ds["residual"].values[first:]).mean())


def law_error(frame: pd.DataFrame, first: int = 600) -> float:
    own = (frame["load"] - frame["law"]).to_numpy()
    return float(np.abs(own[1:] - PERSISTENCE * own[:-1])[first - 1 :].mean())


def test_a_known_temperature_is_worth_what_the_law_is(frame: pd.DataFrame, informed: xr.Dataset) -> None:
    blind = backtest(frame["load"], SMALL)
    assert error(informed) <= 1.07 * law_error(frame) < 0.8 * error(blind)
    truth = frame["load"].to_numpy()
    own = truth - frame["law"].to_numpy()
    made = informed["horizon_prediction"].sel(horizon=4).values[600:-4]
    best = np.abs(own[604:] - PERSISTENCE**4 * own[600:-4]).mean()
    assert np.abs(made - truth[604:]).mean() <= 1.1 * best


def test_a_comparison_takes_the_same_columns(frame: pd.DataFrame, informed: xr.Dataset) -> None:
    found = uspnb.compare(frame, SMALL, dataset=informed, value="load", covariates=["temperature"])
    assert float(found["relative"].sel(forecaster="uspnb", metric="mae")) < 0.8


def test_noise_costs_next_to_nothing(frame: pd.DataFrame) -> None:
    noise = backtest(frame.assign(temperature=frame["noise"]), SMALL, value="load", covariates=["temperature"])
    assert error(noise) <= 1.005 * error(backtest(frame["load"], SMALL))


def test_the_effect_is_told_in_the_units_of_the_series(informed: xr.Dataset, frame: pd.DataFrame) -> None:
    assert list(informed["covariate"].values) == ["temperature"]
    effect = informed["covariate_effect"].sel(covariate="temperature").values[600:-1]
    coming = np.diff(frame["law"].to_numpy())[600:]
    assert np.corrcoef(effect, coming)[0, 1] > 0.9
    # The last tick has nobody after it whose temperature is known.
    assert np.isnan(informed["covariate_effect"].values[-1, 0])


def test_the_calendar_is_worth_a_course_of_the_week() -> None:
    rng = np.random.default_rng(3)
    when = pd.date_range("2026-01-05", periods=24 * 7 * 8, freq="h", tz="Europe/Berlin")
    course = np.where(when.day_of_week < 5, 10 * np.exp(-0.5 * ((when.hour - 13) / 3.0) ** 2), 0.0)
    series = pd.Series(course + rng.normal(0, 1.0, len(when)), when)
    told = backtest(series, PredictorConfig(
        season_slots=0, horizons=(1, 4), calendar=("hour", "weekday"), calendar_zone="Europe/Berlin"
    ))  # fmt: skip
    blind = backtest(series, SMALL)
    assert error(told, 800) < 0.93 * error(blind, 800)

    def four_ahead(ds: xr.Dataset) -> float:
        made = ds["horizon_prediction"].sel(horizon=4).values[800:-4]
        return float(np.abs(made - series.to_numpy()[804:]).mean())

    assert four_ahead(told) < 0.8 * four_ahead(blind)


def test_steps_are_the_scan_and_a_forecast_is_the_ladder(frame: pd.DataFrame) -> None:
    part = frame.iloc[:260]
    temperature = part["temperature"].to_numpy()
    ds = backtest(part, SMALL, value="load", covariates=["temperature"])
    predictor = UniversalPredictor(NAMED, clock=uspnb.replay_clock)
    for k, (when, load) in enumerate(zip(part.index.to_numpy(), part["load"], strict=True)):
        ahead = {"temperature": temperature[k : k + 5]}
        predictor.step(ProcessState(load, when, covariates=ahead))
    mine = predictor.history()
    for name in ("residual", "horizon_prediction", "covariate_effect", "weight"):
        np.testing.assert_array_equal(mine[name].values, ds[name].values)
    # After a scan whose last ticks knew nothing of their future, a forecast that does says what a tick would have.
    short = UniversalPredictor(NAMED, clock=uspnb.replay_clock)
    short.fit_history(part["load"].iloc[:250], covariates=part[["temperature"]])
    known = short.forecast(4, covariates=part[["temperature"]].iloc[250:254])
    np.testing.assert_allclose(known["prediction"].values[3], ds["horizon_prediction"].values[249, 1], rtol=1e-12)
    unknown = short.forecast(4)
    assert abs(float(unknown["prediction"][3] - known["prediction"][3])) > 1e-6


def test_what_is_missing_is_no_zero(frame: pd.DataFrame) -> None:
    holed = frame.copy()
    gone = np.random.default_rng(1).random(TICKS) < 0.1
    holed.loc[gone, "temperature"] = np.nan
    with_holes = backtest(holed, SMALL, value="load", covariates=["temperature"])
    assert np.isfinite(with_holes["prediction"].values[1:]).all()
    assert law_error(frame) < error(with_holes) < 0.93 * error(backtest(frame["load"], SMALL))
    none = backtest(frame.assign(temperature=np.nan), SMALL, value="load", covariates=["temperature"])
    np.testing.assert_allclose(error(none), error(backtest(frame["load"], SMALL)), rtol=0.01)


@pytest.mark.parametrize("odd", [1e300, -1e300, np.inf, 0.0])
def test_no_covariate_harms_the_forecast(frame: pd.DataFrame, odd: float) -> None:
    hurt = frame.iloc[:600].copy()
    hurt.loc[hurt.index[300:310], "temperature"] = odd
    if odd == 0.0:
        hurt["temperature"] = 21.0  # a constant
    ds = backtest(hurt, SMALL, value="load", covariates=["temperature"])
    blind = backtest(hurt["load"], SMALL)
    assert np.isfinite(ds["prediction"].values[1:]).all() and error(ds, 200) <= 1.1 * error(blind, 200)


def test_one_that_appears_late_and_vanishes_is_used_while_it_is_there(frame: pd.DataFrame) -> None:
    late = frame.copy()
    late.loc[late.index[:500], "temperature"] = np.nan
    late.loc[late.index[1400:], "temperature"] = np.nan
    ds = backtest(late, SMALL, value="load", covariates=["temperature"])
    blind = backtest(frame["load"], SMALL)
    used = np.abs(ds["covariate_effect"].values[:, 0]) > 0
    assert not used[:500].any() and used[700:1390].all() and not used[1400:].any()
    apart = np.abs(ds["residual"].values) - np.abs(blind["residual"].values)
    assert apart[800:1400].mean() < 0 and abs(apart[1450:].mean()) < 0.1


def test_assets_share_the_covariates_of_their_table(frame: pd.DataFrame) -> None:
    table = frame.iloc[:300][["load", "temperature"]].assign(other=lambda t: -t["load"])
    ds = backtest(table[["load", "other", "temperature"]], SMALL, covariates="temperature")
    alone = backtest(table, SMALL, value="load", covariates="temperature")
    np.testing.assert_allclose(ds["prediction"].sel(asset="load").values, alone["prediction"].values, rtol=1e-9)


def test_a_snapshot_holds_the_covariates(frame: pd.DataFrame, tmp_path: Path) -> None:
    part = frame.iloc[:400]
    predictor = UniversalPredictor(NAMED, clock=uspnb.replay_clock)
    predictor.fit_history(part["load"], covariates=part[["temperature"]].iloc[:399])
    path = predictor.save_snapshot(tmp_path / "one.snapshot")
    restored = UniversalPredictor.from_snapshot(path, clock=uspnb.replay_clock)
    known = frame[["temperature"]].iloc[400:404]
    one, other = (each.forecast(covariates=known)["prediction"] for each in (restored, predictor))
    np.testing.assert_array_equal(one, other)
    assert "temperature" in restored.config.covariates


def test_tuning_runs_with_them_and_fleets_and_services_refuse_them(frame: pd.DataFrame) -> None:
    informed = read_series(frame, value="load", covariates=["temperature"])
    told, blind = (WalkForwardObjective(one, "mase", n_folds=1, base_config=SMALL) for one in (informed, frame["load"]))
    assert told.base_config.covariates == ("temperature",)
    assert told({}) < 0.85 * blind({})
    for refused in (
        lambda: uspnb.Fleet(frame[["load", "noise"]], NAMED),
        lambda: uspnb.Fleet(read_series(frame[["load", "temperature"]], covariates="temperature")),
        lambda: Service(NAMED, {"one": open_source(frame["load"])}),
    ):
        with pytest.raises(DomainError, match="takes no covariates"):
            refused()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"covariates": ["wind"]}, "the table has no column 'wind'; its columns are load, temperature"),
        ({"covariates": ["load"], "value": "load"}, "name a column twice"),
        ({"covariates": ["day"]}, "'day' holds no real numbers .*get_dummies"),
        ({"covariates": ["hour"]}, "rename the column"),
        ({"value": "heat"}, "no column 'heat'"),
        ({"config": PredictorConfig(covariates=("wind",)), "covariates": ["temperature"]}, "names the covariates wind"),
    ],
)
def test_columns_that_cannot_be_are_refused_by_name(frame: pd.DataFrame, options: dict[str, Any], words: str) -> None:
    table = frame[["load", "temperature"]].assign(day="Monday", hour=np.arange(len(frame)) % 24)
    options = {"value": "load", **options}
    with pytest.raises(DomainError, match=words):
        backtest(table, **options)
    with pytest.raises(DomainError, match="name columns of a table"):
        backtest(frame["load"], covariates=["temperature"])


def test_a_tick_s_covariates_are_named_or_in_order() -> None:
    config = PredictorConfig(covariates=("a", "b"), horizons=(1, 2, 4))
    by_name = covariate_rows(config, {"b": [1.0, 2.0, 3.0, 4.0, 5.0], "a": 7.0})
    np.testing.assert_array_equal(by_name, [[7, 1], [np.nan, 2], [np.nan, 3], [np.nan, 5]])
    np.testing.assert_array_equal(covariate_rows(config, (7.0, [1, 2, 3, 4, 5])), by_name)
    assert np.isnan(np.asarray(covariate_rows(config, None))).all()
    assert covariate_rows(PredictorConfig(), None) == () and covariate_ticks(PredictorConfig(), None, 3) == ()
    table = known_table(config, np.array([[1.0, 2.0]]), 2)
    np.testing.assert_array_equal(table, [[1, 2], [np.nan, np.nan]])
    for given, words in (
        ({"c": 1.0}, "no covariate 'c'; the configuration names a, b"),
        ((1.0,), "1 covariates were given for a, b"),
        (("x", 1.0), "covariate a = 'x' is not a number"),
        (({}, 1.0), "covariate a = {} is not a number"),
    ):
        with pytest.raises(DomainError, match=words):
            covariate_rows(config, given)
    with pytest.raises(DomainError, match="the configuration names none"):
        covariate_rows(PredictorConfig(), (1.0,))


def test_a_file_and_a_session_bring_them_too(frame: pd.DataFrame, tmp_path: Path) -> None:
    part = frame.iloc[:200][["load", "temperature", "noise"]].rename_axis("when")
    expected = backtest(part, SMALL, value="load", covariates=["temperature"])
    part.to_csv(tmp_path / "load.csv")
    read = read_csv(tmp_path / "load.csv", value="load", covariates="temperature")
    assert read.covariate_names == ("temperature",) and read.name == "load"
    np.testing.assert_array_equal(backtest(read, SMALL)["prediction"].values, expected["prediction"].values)
    for source, options in (
        (part, {"value": "load", "covariates": ["temperature"]}),
        (tmp_path / "load.csv", {"value": "load", "covariates": ["temperature"]}),
    ):
        with uspnb.Session(source, SMALL, source_options=options) as session:
            session.run()
            session.wait(phase="finished")
            np.testing.assert_array_equal(session.history()["prediction"].values, expected["prediction"].values)
            session.seek(120)
            session.run()
            session.wait(phase="finished")
            np.testing.assert_array_equal(session.history()["prediction"].values, expected["prediction"].values)
    holed = part.copy()
    holed.iloc[100, 0] = np.nan
    with uspnb.Session(holed, SMALL, source_options={"value": "load", "covariates": ["temperature"]}) as session:
        session.run()
        session.wait(phase="finished")
        session.correct(holed.index[100].tz_localize("UTC"), part["load"].iloc[100])
        session.wait(phase="finished")
        np.testing.assert_array_equal(session.history()["prediction"].values, expected["prediction"].values)
    with pytest.raises(DomainError, match="name its column with value"):
        read_csv(tmp_path / "load.csv", covariates="temperature")
    informed_source = {"value": "load", "covariates": ["noise"]}
    other = "names the covariates temperature, the source has noise"
    with uspnb.Session(part, NAMED, source_options=options) as session, pytest.raises(DomainError, match=other):
        session.attach(part, **informed_source)
    with pytest.raises(DomainError, match=other):
        uspnb.Session(part, predictor=UniversalPredictor(NAMED), source_options=informed_source)
    fitted, read_along = UniversalPredictor(NAMED), UniversalPredictor(NAMED)
    fitted.fit_history(part["load"], covariates=part[["temperature"]])
    read_along.fit_history(read)
    np.testing.assert_array_equal(fitted.state.weight, read_along.state.weight)
    with pytest.raises(DomainError, match="the configuration names the covariates wind"):
        uspnb.Session(
            part, PredictorConfig(covariates=("wind",)), source_options={"value": "load", "covariates": ["temperature"]}
        )
