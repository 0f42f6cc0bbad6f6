"""A whole series as one Dataset: every kind of input, the contract of its variables, archives of a real run."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from uspnb.config.schema import PredictorConfig
from uspnb.errors import DomainError
from uspnb.predictor.backtest import backtest
from uspnb.predictor.functional import FunctionalPredictor
from uspnb.predictor.results import load, save

CONTRACT = (
    "observation", "prediction", "lower", "upper", "scale", "residual", "kernel_prediction", "kernel_scale", "weight",
    "holder_exponent", "holder_valid", "cusum_up", "cusum_down", "cusum_threshold", "kurtosis",
    "distance_to_collapse", "alarm", "change_onset", "free_energy", "sinkhorn_converged", "dgm_entropy",
    "mode_collapse_warning", "degraded", "emergency", "rejected", "operating_mode", "chart_statistic",
    "chart_threshold", "alarm_chart",
)  # fmt: skip
PER_KERNEL = ("kernel_prediction", "kernel_scale", "weight")
PER_CHART = ("chart_statistic", "chart_threshold")
FLAGS = (
    "holder_valid", "alarm", "sinkhorn_converged", "mode_collapse_warning", "degraded", "emergency", "rejected",
)  # fmt: skip
ASSETS = 3
RNG = np.random.default_rng(8)
TABLE = np.cumsum(RNG.standard_normal((600, ASSETS)), axis=0) + 0.5 * RNG.standard_normal((600, ASSETS))
for t in range(1, 600):
    TABLE[t, 1] = 0.5 * TABLE[t - 1, 1] + RNG.standard_normal()
TABLE[400:, 1] += 6.0  # a change, so that there is an alarm
TABLE[200:210, 2] = np.nan


@pytest.fixture(scope="module")
def single() -> xr.Dataset:
    return backtest(TABLE[:, 1])


@pytest.fixture(scope="module")
def table() -> xr.Dataset:
    return backtest(TABLE)


def assert_same(a: xr.Dataset, b: xr.Dataset, skip: tuple[str, ...] = ()) -> None:
    assert set(a.variables) - set(skip) == set(b.variables) - set(skip)
    for name in set(a.variables) - set(skip):
        np.testing.assert_array_equal(a[name].values, b[name].values, err_msg=str(name))


def test_the_contract_of_one_series(single: xr.Dataset) -> None:
    assert set(CONTRACT) <= set(single)
    assert {"time": 600, "kernel": 4, "chart": 3}.items() <= dict(single.sizes).items()
    assert list(single["kernel"].values) == ["hilbert", "deep_galerkin", "ito_levy", "log_signature"]
    assert list(single["chart"].values) == ["mean", "scale", "dependence"]
    for name in CONTRACT:
        extra = ("kernel",) if name in PER_KERNEL else ("chart",) if name in PER_CHART else ()
        assert single[name].dims == ("time", *extra), name
        assert single[name].attrs["units"] and single[name].attrs["long_name"], name
        assert (single[name].dtype == bool) is (name in FLAGS), name
    assert single["alarm_chart"].attrs["flag_meanings"].split()[1:4] == ["mean", "scale", "dependence"]
    for name in ("config", "config_sha256", "dtype", "platform", "version_uspnb", "version_jax"):
        assert single.attrs[name], name


def test_the_contract_of_a_table(table: xr.Dataset, single: xr.Dataset) -> None:
    assert set(table) == set(single) and list(table["asset"].values) == [0, 1, 2]
    for name in CONTRACT:
        assert table[name].dims == ("time", "asset", *single[name].dims[1:]), name
        for key in ("units", "long_name"):
            assert table[name].attrs[key] == single[name].attrs[key], name
    assert table["next_prediction"].dims == ("asset",)


def test_what_the_variables_say_of_one_another(single: xr.Dataset) -> None:
    ds = single
    np.testing.assert_array_equal(ds["observation"], TABLE[:, 1])
    scored = np.isfinite(ds["prediction"].values) & ~ds["rejected"].values
    assert not np.isfinite(ds["prediction"].values[0]) and scored[1:].sum() > 550
    np.testing.assert_array_equal(ds["residual"].values[scored], (ds["observation"] - ds["prediction"]).values[scored])
    assert np.isnan(ds["residual"].values[~scored]).all()
    inside = np.isfinite(ds["prediction"].values)
    assert (ds["lower"] <= ds["prediction"]).values[inside].all()
    assert (ds["prediction"] <= ds["upper"]).values[inside].all()
    assert (ds["scale"].values[inside] > 0).all()
    np.testing.assert_allclose(ds["weight"].sum("kernel"), 1.0, atol=1e-10)
    assert (ds["weight"] >= 0).all()
    np.testing.assert_array_equal(np.isfinite(ds["change_onset"]), ds["alarm"])
    onset = ds["change_onset"].values
    assert (onset[ds["alarm"].values] <= np.flatnonzero(ds["alarm"])).all()
    np.testing.assert_array_equal(ds["alarm_chart"] >= 0, ds["alarm"])
    np.testing.assert_array_equal(ds["cusum_drift"], np.maximum(ds["cusum_up"], ds["cusum_down"]))


def test_a_change_is_found(single: xr.Dataset) -> None:
    alarms = np.flatnonzero(single["alarm"].values)
    late = alarms[alarms >= 400]
    assert late.size and late[0] < 440
    assert abs(float(single["change_onset"].values[late[0]]) - 400) <= 20


def test_columns_are_what_they_are_alone(table: xr.Dataset, single: xr.Dataset) -> None:
    """Sums of a batched product are taken in another order; 1e-9 of a scale is what that can make of them.

    The transport stops where its marginals are right to 1e-6, so its free energy is known no better than that.
    """
    for asset in range(ASSETS):
        alone = single if asset == 1 else backtest(TABLE[:, asset])
        column = table.isel(asset=asset)
        for name in CONTRACT:
            a, b = column[name].values, alone[name].values
            if a.dtype.kind in "bi":
                np.testing.assert_array_equal(a, b, err_msg=name)
            else:
                tolerance = 1e-6 if name == "free_energy" else 1e-9
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=name)


def test_every_container_gives_the_same_numbers(single: xr.Dataset) -> None:
    values = TABLE[:, 1]
    for data in (
        values.tolist(),
        pd.Series(values, name="level"),
        tuple(values),
        xr.DataArray(values, dims="time"),
    ):
        assert_same(backtest(data), single)
    np.testing.assert_array_equal(single["time"], np.arange(600))


def test_times_come_along(single: xr.Dataset) -> None:
    index = pd.date_range("2026-01-01", periods=600, freq="s", tz="Europe/Madrid")
    named = backtest(pd.Series(TABLE[:, 1], index))
    explicit = backtest(TABLE[:, 1], times=index)
    array = backtest(xr.DataArray(TABLE[:, 1], dims="time", coords={"time": index.tz_convert("UTC").tz_localize(None)}))
    for ds in (named, explicit, array):
        assert ds["time"].dtype == "datetime64[ns]"
        assert ds["time"].values[0] == np.datetime64("2025-12-31T23:00:00")
        assert_same(ds, single, skip=("time",))


def test_tables_of_pandas_keep_their_labels(table: xr.Dataset) -> None:
    ds = backtest(pd.DataFrame(TABLE, columns=["a", "b", "c"]))
    assert list(ds["asset"].values) == ["a", "b", "c"]
    assert_same(ds, table, skip=("asset",))


def test_missing_ticks_are_rejected_and_do_no_harm(table: xr.Dataset) -> None:
    gaps = table.isel(asset=2)
    np.testing.assert_array_equal(gaps["rejected"], np.isnan(TABLE[:, 2]))
    assert gaps["degraded"].values[200:210].all() and not gaps["degraded"].values[215:].any()
    assert np.isfinite(gaps["prediction"].values[201:]).all()
    width = (gaps["upper"] - gaps["lower"]).values
    assert width[210] > 2.0 * width[200]  # ten ticks that nobody has seen
    assert not table.isel(asset=0)["rejected"].any()


@pytest.mark.parametrize("ticks", [2, 3, 17])
def test_short_series_are_enough(ticks: int) -> None:
    ds = backtest(TABLE[:ticks, 0])
    assert ds.sizes["time"] == ticks and np.isfinite(ds["prediction"].values[1:]).all()
    assert np.isfinite(ds["next_prediction"]) and ds["next_lower"] <= ds["next_prediction"] <= ds["next_upper"]
    assert not ds["alarm"].any() and not ds["holder_valid"].any()


@pytest.mark.parametrize(
    ("series", "words"),
    [
        ([1.0], ("shape (1,)", "at least 2 ticks")),
        ([], ("at least 2 ticks",)),
        (3.0, ("shape ()", "(time,) or (time, asset)")),
        (np.ones((4, 2, 2)), ("shape (4, 2, 2)", "(time,) or (time, asset)")),
        (["1", "2"], ("text", "convert")),
        ([1j, 2j], ("complex numbers", "convert")),
        ([True, False], ("truth values", "convert")),
        ("ticks.csv", ("str is not a series", "read_csv")),
        (None, ("NoneType is not a series",)),
        ([[1.0, 2.0], [3.0]], ("every row needs as many numbers",)),
        (xr.DataArray(np.ones(4), dims="x"), ("('x',)", "rename")),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_is_no_series_is_refused(series: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(DomainError) as refusal:
        backtest(series)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (["soon"] * 3, ("'soon' is not a time",)),
        ([pd.Timestamp("2026"), pd.NaT, pd.Timestamp("2027")], ("NaT", "row 1")),
        (np.arange(4), ("4 times for 3 rows",)),
        ([0.5, 1.0, 1.5], ("name no instants",)),
    ],
    ids=["text", "NaT", "length", "fractions"],
)
def test_what_are_no_times_is_refused(times: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(DomainError) as refusal:
        backtest([1.0, 2.0, 3.0], times=times)
    for word in words:
        assert word in str(refusal.value)


def test_a_config_is_a_config() -> None:
    make = inspect.unwrap(FunctionalPredictor.__init__)  # past the type checks of the test run
    with pytest.raises(DomainError, match="expected PredictorConfig; see load_config"):
        make(object.__new__(FunctionalPredictor), {"cusum_k": 1.0})


def test_settings_reach_the_run_and_its_record(single: xr.Dataset) -> None:
    ds = backtest(TABLE[:, 1], PredictorConfig(confidence_level=0.5))
    assert ds.attrs["config_sha256"] != single.attrs["config_sha256"] and "confidence_level = 0.5" in ds.attrs["config"]
    assert float((ds["upper"] - ds["lower"]).mean()) < float((single["upper"] - single["lower"]).mean())


def test_progress_is_shown_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    backtest(TABLE[:, 0], progress=True)
    shown = capsys.readouterr().err
    assert "backtest" in shown and "600/600" in shown
    backtest(TABLE[:, 0])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize("kind", ["single", "table", "dated"])
def test_archives_give_a_real_run_back(
    suffix: str, kind: str, single: xr.Dataset, table: xr.Dataset, tmp_path: Path
) -> None:
    dated = pd.DataFrame(TABLE, pd.date_range("2026-01-01", periods=600, freq="s", tz="UTC"), ["a", "b", "c"])
    ds = {"single": lambda: single, "table": lambda: table, "dated": lambda: backtest(dated)}[kind]()
    back = load(save(ds, tmp_path / f"run{suffix}"))
    xr.testing.assert_identical(back, ds)
    assert {name: v.dtype for name, v in back.variables.items()} == {name: v.dtype for name, v in ds.variables.items()}
