"""The Dataset of a run: what stands in it, and that archives give it back to the bit."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from uspnb.config.load import parse_config
from uspnb.config.schema import PredictorConfig
from uspnb.data.series import read_series
from uspnb.errors import DomainError, IntegrityError
from uspnb.model.fields import FORECAST
from uspnb.predictor.results import load, save, to_dataset

CONTRACT = {
    "observation",
    "prediction",
    "lower",
    "upper",
    "scale",
    "residual",
    "kernel_prediction",
    "kernel_scale",
    "weight",
    "holder_exponent",
    "holder_valid",
    "cusum_up",
    "cusum_down",
    "cusum_threshold",
    "kurtosis",
    "distance_to_collapse",
    "alarm",
    "change_onset",
    "free_energy",
    "sinkhorn_converged",
    "dgm_entropy",
    "mode_collapse_warning",
    "degraded",
    "emergency",
    "rejected",
    "operating_mode",
    "chart_statistic",
    "chart_threshold",
    "alarm_chart",
}


def test_the_contracted_variables_have_units_and_long_names(run):
    assert set(run.data_vars) >= CONTRACT
    assert run["kernel"].values.tolist() == ["hilbert", "deep_galerkin", "ito_levy", "log_signature"]
    assert run["chart"].values.tolist() == ["mean", "scale", "dependence"]
    for name, variable in run.data_vars.items():
        assert variable.attrs["units"] and variable.attrs["long_name"], name


def test_dims_of_one_and_of_several_series(run, run_of_several):
    assert run["prediction"].dims == ("time",) and run["weight"].dims == ("time", "kernel")
    assert run["koopman_power"].dims == ("time", "mode") and run["next_prediction"].dims == ()
    assert run_of_several["weight"].dims == ("time", "asset", "kernel")
    assert run_of_several["next_upper"].dims == ("asset",)
    assert run_of_several["asset"].values.tolist() == ["north", "south"]
    assert run["time"].dtype == np.dtype("datetime64[ns]")
    np.testing.assert_array_equal(run_of_several["time"], np.arange(600))


def test_onset_is_a_row_of_the_time_axis_only_where_there_is_an_alarm(run):
    onset = run["change_onset"].values
    assert onset[400] == 388 and onset[700] == 688 and np.isfinite(onset).sum() == 2


def test_codes_name_their_meanings(run):
    about = run["alarm_chart"]
    assert about.dtype == np.int8
    meanings = dict(zip(about.attrs["flag_values"].tolist(), about.attrs["flag_meanings"].split(), strict=True))
    assert meanings == {-1: "none", 0: "mean", 1: "scale", 2: "dependence", 3: "level_release"}
    assert meanings[int(about[400])] == "scale" and meanings[int(about[0])] == "none"


def test_attributes_say_how_it_was_made(one_series, make_run):
    config = dataclasses.replace(PredictorConfig(), confidence_level=0.9, grace_period_steps=7)
    ds = make_run(one_series, config)
    assert parse_config(ds.attrs["config"]) == config
    assert ds.attrs["config_sha256"] == hashlib.sha256(ds.attrs["config"].encode()).hexdigest()
    assert ds.attrs["confidence_level"] == 0.9 and ds.attrs["dtype"] == "float64" and ds.attrs["platform"] == "cpu"
    assert {f"version_{name}" for name in ("uspnb", "jax", "jaxlib", "numpy", "xarray")} <= set(ds.attrs)
    assert ds.attrs["version_numpy"] == np.__version__


def test_the_unit_of_the_input_is_carried(make_run):
    array = xr.DataArray(np.arange(20.0), dims="time", attrs={"units": "MW"})
    ds = make_run(read_series(array))
    assert {ds[name].attrs["units"] for name in ("observation", "prediction", "scale", *FORECAST)} == {"MW"}
    assert ds["weight"].attrs["units"] == "1"


def test_telemetry_of_another_length_is_refused(one_series, several_series, make_telemetry):
    with pytest.raises(DomainError, match=r"shape \(600, 2\) does not fit a series of shape \(1000,\)"):
        to_dataset(make_telemetry(several_series.values), (0.0, 0.0, 0.0), one_series, PredictorConfig())


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize("which", ["run", "run_of_several"])
def test_archives_give_back_the_same_dataset(request, tmp_path, which, suffix):
    ds = request.getfixturevalue(which)
    path = save(ds, tmp_path / f"run{suffix}")
    back = load(path)
    xr.testing.assert_identical(back, ds)
    assert {n: v.dtype for n, v in back.variables.items()} == {n: v.dtype for n, v in ds.variables.items()}
    save(back, path)  # what was loaded can be saved over what was there
    xr.testing.assert_identical(load(path), ds)
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == [path.name]


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_irregular_nanoseconds_survive(make_run, tmp_path, suffix):
    stamps = np.cumsum(np.random.default_rng(2).integers(1, 10**12, 30)) + pd.Timestamp("2026-02-21").value
    ds = make_run(read_series(np.arange(30.0), times=stamps))
    back = load(save(ds, tmp_path / f"run{suffix}"))
    np.testing.assert_array_equal(back["time"].values.astype(np.int64), stamps)


def test_zarr_is_version_3(run, tmp_path):
    assert (save(run, tmp_path / "run.zarr") / "zarr.json").is_file()


def test_archives_that_cannot_be_are_refused(run, tmp_path):
    (tmp_path / "folder.nc").mkdir()
    (tmp_path / "file.zarr").write_text("x")
    (tmp_path / "other.zarr").mkdir()
    (tmp_path / "other.zarr" / "precious.txt").write_text("x")
    for name, reason in {
        "run.csv": r"end it in \.nc for netCDF or \.zarr",
        "run": "end it in",
        "nowhere/run.nc": "does not exist",
        "folder.nc": "is a folder",
        "file.zarr": "is a file",
        "other.zarr": "holds no Zarr archive",
    }.items():
        with pytest.raises(DomainError, match=reason):
            save(run, tmp_path / name)
    assert (tmp_path / "other.zarr" / "precious.txt").exists()


def test_what_is_no_archive_is_refused(tmp_path):
    with pytest.raises(DomainError, match="there is no archive"):
        load(tmp_path / "run.nc")
    (tmp_path / "run.nc").write_bytes(b"not netCDF")
    (tmp_path / "run.zarr").mkdir()
    for name in ("run.nc", "run.zarr"):
        with pytest.raises(IntegrityError, match="cannot be read"):
            load(tmp_path / name)
