"""All trials of a campaign as one Dataset."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from study_stubs import campaign


def test_the_dataset_tells_the_whole_campaign(tmp_path: Path) -> None:
    optimizer = campaign(tmp_path)
    ds = optimizer.results
    assert ds.sizes == {"trial": 0, "fold": 1, "series": 1, "parameter": 4}
    assert "too few" in ds.attrs["importance_note"] and ds.attrs["best_trial"] == -1
    optimizer.optimize()
    ds = optimizer.results
    assert all({"units", "long_name"} <= set(one.attrs) for one in ds.variables.values())
    assert ds["best_value"].values[-1] == optimizer.best_value == ds["value"].min()
    assert (np.diff(ds["best_value"]) <= 0).all()
    assert ds["importance"].sum() == pytest.approx(1.0)
    assert ds["importance"].sel(parameter="x") > ds["importance"].sel(parameter="rate")
    assert ds["default"].sel(parameter="n") == 5 and math.isnan(ds["default"].sel(parameter="kind"))
    assert ds["param_kind"].values.tolist() == [trial.params["kind"] for trial in optimizer.trials]
    assert ds["param_rate"].attrs["log"] == 1 and ds.attrs["importance_evaluator"] == "PED-ANOVA"
    assert ds["fold_value"].values[:, 0, 0].tolist() == ds["value"].values.tolist()
    ds.to_netcdf(tmp_path / "campaign.nc")
    html = optimizer._repr_html_()
    assert "20 of 20: 20 complete" in html and "rate" in html
    assert "bowl" in optimizer.generate_optimization_report()
