"""Two runs side by side: the same numbers as `compare` gives, and the settings and alarms of each."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

from uspnb.config.schema import PredictorConfig
from uspnb.data.processes import mean_shift
from uspnb.errors import DomainError
from uspnb.predictor.backtest import backtest
from uspnb.predictor.comparison import compare
from uspnb.widgets.apps.comparing import (
    BURN_IN,
    alarms_of,
    check_run,
    compare_runs,
    facts_at,
    find_usable,
    scores,
    settings_that_differ,
)
from uspnb.widgets.apps.explore import window_of

VALUES = mean_shift(900, seed=5, at=450, size=4.0).values


@pytest.fixture(scope="module")
def runs():
    other = dataclasses.replace(PredictorConfig(), score_forgetting=0.9, cusum_k=0.7)
    return backtest(VALUES, progress=False), backtest(VALUES, other, progress=False)


def test_scores_agree_with_those_of_compare(runs):
    ds = runs[0]
    authority = compare(VALUES, dataset=ds, burn_in=min(BURN_IN, 90), progress=False)
    rows = find_usable(ds)
    assert rows.sum() == int(authority["scored_ticks"])
    for name, own in scores(ds, rows).items():
        assert own == pytest.approx(float(authority["score"].sel(forecaster="uspnb", metric=name)), rel=1e-12)


def test_two_runs_are_compared_on_the_ticks_of_both(runs):
    first, second = runs
    table, verdict = compare_runs(first, second.isel(time=slice(0, 700)))
    assert table[0][0] == "root mean squared error" and "630 ticks" in verdict
    assert all(row[3] in ("+0.00%", "+0.0 points") for row in compare_runs(first, first)[0])
    assert "cannot be told apart" in compare_runs(first, first)[1]


def test_runs_of_different_series_are_not_compared(runs):
    other = runs[1].assign(observation=runs[1]["observation"] + 1.0)
    with pytest.raises(DomainError, match="different series"):
        compare_runs(runs[0], other)


def test_settings_that_differ_are_named_with_their_meaning(runs):
    rows = settings_that_differ(*runs)
    assert [row[:3] for row in rows] == [["cusum_k", "0.5", "0.7"], ["score_forgetting", "0.985", "0.9"]]
    assert all(row[3] for row in rows) and settings_that_differ(runs[0], runs[0]) == []


def test_alarms_and_values_of_a_tick(runs):
    alarms = alarms_of(runs[0])
    assert [row["tick"] for row in alarms] == np.flatnonzero(runs[0]["alarm"].values).tolist()
    near = next(row for row in alarms if row["tick"] >= 450)
    assert near["tick"] < 470 and near["chart"] in ("mean", "scale", "dependence", "level release")
    facts = dict(facts_at(runs[0], near["tick"]))
    assert "alarm" in facts["flags"] and facts["observation"] == f"{VALUES[near['tick']]:.5g}"


def test_a_window_keeps_its_onsets_in_place(runs):
    ds = runs[0]
    tick = int(np.flatnonzero(ds["alarm"].values & (ds["change_onset"].values >= 400))[0])
    part = window_of(ds, 300, 400)
    assert part["change_onset"].values[tick - 300] == ds["change_onset"].values[tick] - 300
    late = window_of(ds, tick, 100)
    assert np.isnan(late["change_onset"].values[0])


def test_what_is_no_run_is_refused(runs):
    with pytest.raises(DomainError, match=r"hills\.nc holds no run of uspnb: it lacks observation"):
        check_run(xr.Dataset({"height": ("x", [1.0])}), "hills.nc")
    with pytest.raises(DomainError, match="holds 1 ticks"):
        check_run(runs[0].isel(time=slice(0, 1)), "short.nc")
