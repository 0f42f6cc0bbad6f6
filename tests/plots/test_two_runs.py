"""Two runs of one series: the same ticks, the sum of the differences of their errors, both runs' alarms and weights."""

from __future__ import annotations

import warnings
from typing import Any

import holoviews as hv
import numpy as np
import pytest

from uspnb import plots
from uspnb.errors import DomainError


@pytest.fixture
def worse(run):
    """The same run with every forecast one unit off and other alarms."""
    other = run.copy(deep=True)
    for name in ("prediction", "lower", "upper"):
        other[name] = other[name] + 1.0
    other["alarm"][:] = False
    other["alarm"][250] = True
    return other


def test_the_sum_of_differences_is_that_of_the_absolute_errors(run, worse):
    data: Any = plots.two_runs_data(run, worse, ("first", "second"))
    y, forecast = run["observation"].values, run["prediction"].values
    expected = np.nan_to_num(np.abs(y - forecast) - np.abs(y - forecast - 1.0)).cumsum()
    np.testing.assert_allclose(data["error_difference"], expected, atol=1e-9)
    assert data["alarm_a"].to_numpy().nonzero()[0].tolist() == [400, 700]
    assert data["alarm_b"].to_numpy().nonzero()[0].tolist() == [250]
    back: Any = plots.two_runs_data(worse, run)
    np.testing.assert_allclose(back["error_difference"], -data["error_difference"])


def test_only_common_ticks_are_compared(run, worse):
    data: Any = plots.two_runs_data(run.isel(time=slice(0, 600)), worse.isel(time=slice(300, 1000)))
    np.testing.assert_array_equal(data["time"], run["time"].values[300:600])


def test_runs_that_cannot_be_compared_are_refused(run, worse, run_of_several):
    with pytest.raises(DomainError, match="'a' and 'b' have no tick in common"):
        plots.compare_runs(run.isel(time=slice(0, 100)), worse.isel(time=slice(200, 300)))
    other = run.copy(deep=True)
    other["observation"][5] += 1.0
    with pytest.raises(DomainError, match="observed different values at the same times"):
        plots.compare_runs(run, other)
    with pytest.raises(DomainError, match="must be two different names"):
        plots.compare_runs(run, worse, ("same", "same"))
    with pytest.raises(DomainError, match="'east'"):
        plots.compare_runs(run_of_several, run_of_several, asset="east")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_comparison_draws_on_one_time_axis(run, worse, theme):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = hv.render(plots.compare_runs(run, worse, ("first", "second"), theme), backend="bokeh")
    parts = [part for part, *_ in figure.children]
    assert len({part.x_range.id for part in parts}) == 1
    titles = [part.title.text for part in parts]
    assert titles == [
        "Forecasts of both runs",
        "|error of first| - |error of second|, summed",
        "Alarms of both runs",
        "Weights of first",
        "Weights of second",
    ]
