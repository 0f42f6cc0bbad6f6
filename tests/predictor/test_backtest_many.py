"""Many series replayed, here and on a cluster, against each of them replayed by itself."""

from __future__ import annotations

import importlib
import inspect
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from distributed import Client
from own_kernel import SMALL, Mean, registered

import uspnb
from uspnb import PredictorConfig, backtest, backtest_many
from uspnb.errors import DomainError, PartialResultError

# `uspnb.backtest` is the function
module = importlib.import_module("uspnb.predictor.backtest")
RNG = np.random.default_rng(11)
LONG, SHORT = RNG.normal(size=90).cumsum(), RNG.normal(size=60).cumsum()
CONFIG = PredictorConfig(cusum_k=0.4)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Puts something else in place of the replay of a series, for all but its results."""

    def replace(replay: Any) -> None:
        monkeypatch.setattr(module, "_replayed", replay)

    return replace


def last_values(series: Any, config: PredictorConfig) -> float:
    return float(series.values[-1])


@pytest.mark.parametrize("where", ["here", "there"])
def test_each_dataset_is_that_of_its_series_alone(where: str, request: pytest.FixtureRequest) -> None:
    client = None if where == "here" else request.getfixturevalue("two_workers")
    times = pd.date_range("2024-03-01", periods=60, freq="h")
    series = {"long": LONG, "with times": pd.Series(SHORT, times, name="sea")}
    if where == "there":
        series.pop("long")
    datasets = backtest_many(series, CONFIG, client=client)
    assert list(datasets) == list(series)
    for name, one in series.items():
        xr.testing.assert_identical(datasets[name], backtest(one, CONFIG))


def test_workers_know_a_kernel_of_an_importable_module_and_one_of_a_cell_is_refused(two_workers: Client) -> None:
    config = PredictorConfig(kernels=("ito_levy", "mine"), **SMALL)
    with registered():
        there = backtest_many({"short": SHORT}, config, client=two_workers)["short"]
        xr.testing.assert_identical(there, backtest(SHORT, config))
        uspnb.register_kernel("mine", type("Cell", (Mean,), {"__module__": "__main__"}))
        with pytest.raises(DomainError, match="worker of the cluster cannot import the registered kernel mine"):
            backtest_many({"short": SHORT}, config, client=two_workers)


def test_a_collection_is_a_dict_a_list_or_a_table(measured: Callable[[Any], None]) -> None:
    measured(last_values)
    table = np.stack([LONG, -LONG], axis=1)
    frame = pd.DataFrame(table, columns=["up", "down"], index=pd.date_range("2024-03-01", periods=90, freq="D"))
    array = xr.DataArray(table, dims=("time", "asset"), coords={"asset": ["up", "down"]})
    last = LONG[-1]
    assert backtest_many(frame) == backtest_many(array) == {"up": last, "down": -last}
    assert backtest_many(table) == {0: last, 1: -last}
    assert backtest_many([LONG, frame["up"], list(SHORT)]) == {"series 0": last, "up": last, "series 2": SHORT[-1]}
    assert backtest_many({7: LONG}) == {7: last}
    assert backtest_many(xr.Dataset({"a": ("time", LONG)})) == {"a": last}


def test_a_column_of_a_table_keeps_times_and_name(measured: Callable[[Any], None]) -> None:
    def about(series: Any, config: PredictorConfig) -> Any:
        return series

    measured(about)
    frame = pd.DataFrame({"up": LONG}, index=pd.date_range("2024-03-01", periods=90, freq="D", tz="Europe/Paris"))
    (column,) = backtest_many(frame).values()
    alone: Any = backtest_many({"up": frame["up"]})["up"]
    assert (column.name, column.assets, column.notes) == (alone.name, alone.assets, alone.notes) == ("up", None, ())
    np.testing.assert_array_equal(column.values, alone.values)
    np.testing.assert_array_equal(column.timestamps_ns, alone.timestamps_ns)


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_series_that_fails_is_named_and_the_others_are_there(
    where: str, measured: Callable[[Any], None], request: pytest.FixtureRequest
) -> None:
    def replay(series: Any, config: Any) -> float:
        if len(series.values) == 60:
            raise RuntimeError("out of luck")
        return float(series.values[0])

    measured(replay)
    client = None if where == "here" else request.getfixturevalue("two_workers")
    reason = r"1 of 3 series failed: 'short': RuntimeError: out of luck; the others are in the attribute `results`"
    with pytest.raises(PartialResultError, match=reason) as failure:
        backtest_many({"a": LONG, "short": SHORT, "b": -LONG}, client=client)
    assert failure.value.results == {"a": LONG[0], "b": -LONG[0]}
    assert failure.value.reasons == {"short": "RuntimeError: out of luck"}


def test_the_series_of_a_killed_worker_is_replayed_elsewhere(
    two_workers: Client, measured: Callable[[Any], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replay(series: Any, config: Any) -> float:
        mark = tmp_path / "killed"
        if len(series.values) == 60 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return float(series.values[0])

    measured(replay)
    cluster: Any = two_workers.cluster
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)  # the task is given up, and tried once more alone
    datasets = backtest_many({"a": LONG, "short": SHORT, "b": -LONG}, client=two_workers)
    assert datasets == {"a": LONG[0], "short": SHORT[0], "b": -LONG[0]}
    assert (tmp_path / "killed").exists()


def test_a_bar_counts_series_when_asked_for(measured: Callable[[Any], None], capsys: pytest.CaptureFixture) -> None:
    measured(last_values)
    backtest_many({"a": LONG, "b": SHORT}, progress=True)
    assert "2/2" in capsys.readouterr().err
    backtest_many({"a": LONG, "b": SHORT})
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        ({}, "the collection holds no series"),
        ([], "the collection holds no series"),
        (LONG, "one series of 90 ticks is no collection; use backtest"),
        (list(LONG), "one series of 90 ticks is no collection; use backtest"),
        ([pd.Series(LONG, name="a"), pd.Series(SHORT, name="a")], "two series are called 'a'"),
        ({"fine": LONG, "short": [1.0]}, r"series 'short': the values have shape \(1,\)"),
        ({"fine": LONG, "text": ["a", "b"]}, "series 'text': the values are text"),
        ("sea.csv", "a str is not a series"),
        (None, "a NoneType is not a series"),
    ],
)
def test_what_is_no_collection_is_refused_before_anything_is_run(
    series: Any, reason: str, measured: Callable[[Any], None]
) -> None:
    measured(None)
    with pytest.raises(DomainError, match=reason):
        backtest_many(series)


def test_bad_settings_and_clients_are_refused(measured: Callable[[Any], None]) -> None:
    measured(None)
    unchecked: Any = inspect.unwrap(backtest_many)  # past the type checks of the test run
    with pytest.raises(DomainError, match="config has type dict, expected PredictorConfig"):
        unchecked({"a": LONG}, {"cusum_k": 0.4})
    with pytest.raises(DomainError, match=r"client has type int, expected distributed\.Client"):
        backtest_many({"a": LONG}, client=3)
