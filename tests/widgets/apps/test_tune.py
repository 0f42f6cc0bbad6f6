"""The campaigns of a server: what they tune on, what they are called, who shares them, how many may run."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
from waiting import PATIENCE_S, until
from walks import random_walk

from uspnb.config.meta_optimization import MetaOptimizationConfig
from uspnb.config.schema import PredictorConfig
from uspnb.data.series import read_series
from uspnb.errors import DomainError
from uspnb.tuning.background import AsyncMetaOptimizer
from uspnb.tuning.metrics import METRICS
from uspnb.tuning.space import SearchSpace
from uspnb.widgets.apps.tune import (
    AMOUNTS,
    MOST_OPEN,
    TITLES,
    Campaigns,
    campaign_name,
    meta_settings,
    read_whole_series,
    take_newest,
)


@pytest.fixture
def walk():
    return read_series(random_walk(400, 3))


@pytest.fixture
def campaigns(tmp_path):
    opened = Campaigns(
        PredictorConfig(), MetaOptimizationConfig(n_folds=2, checkpoint_path=str(tmp_path), batch_size=2)
    )
    yield opened
    opened.close()


def test_one_wish_is_one_campaign_whoever_has_it(campaigns, walk):
    name, first = campaigns.enter(walk, "walk.csv", "fast", "mase")
    again, second = campaigns.enter(walk, "walk.csv", "fast", "mase")
    assert name == again and first is second and name.startswith("walk-fast-mase-")
    wishes = [(walk, "fast", "rmse"), (walk, "deep", "mase"), (take_newest(walk, 300), "fast", "mase")]
    others = [campaigns.enter(series, "walk.csv", tier, metric)[0] for series, tier, metric in wishes]
    assert len({name, *others}) == 4


def test_only_so_many_run_and_those_that_rest_make_room(campaigns, walk, monkeypatch):
    names = [campaigns.enter(take_newest(walk, 400 - k), "walk", "fast", "mase")[0] for k in range(3)]
    running = {names[0], names[1]}
    kinds = type(campaigns._open[names[0]])
    state = kinds.status
    monkeypatch.setattr(
        kinds, "status", lambda one: state(one)._replace(state="running" if one.study_name in running else "idle")
    )
    campaigns.check_room(names[0])  # it runs already
    with pytest.raises(DomainError, match=f"2 campaigns are running on this server.*{names[0]}"):
        campaigns.check_room(names[2])
    for name in names:
        campaigns.leave(name)
    for k in range(3, MOST_OPEN + 1):
        campaigns.enter(take_newest(walk, 400 - k), "walk", "fast", "mase")
    assert set(names[:2]) <= set(campaigns._open) and names[2] not in campaigns._open
    running.clear()


def test_a_server_that_ends_waits_for_the_running_batch(campaigns, caplog):
    begun, going_on = threading.Event(), threading.Event()

    def slow(params):
        begun.set()
        going_on.wait(PATIENCE_S)
        return params["cusum_k"]

    space = {"cusum_k": SearchSpace("cusum_k", "float", (0.1, 1.0))}
    optimizer = AsyncMetaOptimizer(space, slow, study_name="slow", meta_config=campaigns.meta)
    campaigns._open["slow"] = optimizer
    optimizer.start(50)
    assert begun.wait(PATIENCE_S)
    threading.Thread(target=lambda: until(lambda: "running batch of slow" in caplog.text) and going_on.set()).start()
    campaigns.close()
    status = optimizer.status()
    assert optimizer.wait(0.0) and status.state == "stopped" and 0 < status.trials < 50


def test_names_are_safe_and_tell_what_is_tuned():
    assert campaign_name("Sea temperature, half-hourly", "fast", "mase", "ab12cd34ef") == (
        "sea-temperature-half-hourly-fast-mase-ab12cd34"
    )
    assert campaign_name("../../etc/passwd", "deep", "rmse", "0" * 64) == "passwd-deep-rmse-00000000"
    assert campaign_name("Ω", "fast", "crps", "0" * 64) == "series-fast-crps-00000000"


def test_the_newest_ticks_keep_their_times(walk):
    part = take_newest(walk, 100)
    assert len(part) == len(part.timestamps_ns) == len(part.time_coordinate) == 100
    assert part.values[-1] == walk.values[-1] and part.timestamps_ns[0] == walk.timestamps_ns[300]
    assert take_newest(walk, 0) is walk and take_newest(walk, 10_000) is walk


def test_sources_are_read_whole_or_refused(tmp_path):
    table = pd.DataFrame({"time": pd.date_range("2026-01-01", periods=30), "a": np.arange(30.0), "b": np.ones(30)})
    path = tmp_path / "two.csv"
    table.to_csv(path, index=False)
    series, title = read_whole_series(str(path), {"value": "a"})
    assert (len(series), title) == (30, "two.csv")
    assert read_whole_series(np.arange(9.0), {})[1] == "series"
    for source, options, reason in (
        (str(path), {"follow": True}, "leave out --follow"),
        ("http://127.0.0.1:1/ticks", {}, "cannot be tuned on"),
        (str(tmp_path / "none.csv"), {}, "no file"),
    ):
        with pytest.raises(DomainError, match=reason):
            read_whole_series(source, options)


def test_the_file_says_how_campaigns_run(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("[meta_optimization]\nn_trials = 7\n")
    assert meta_settings(path).n_trials == 7 and meta_settings(None) == MetaOptimizationConfig()


def test_every_metric_that_needs_no_labels_is_offered():
    assert set(TITLES.values()) == set(METRICS) and "alarm_delay" not in TITLES.values()
    assert next(iter(TITLES.values())) == "mase" and AMOUNTS["all of them"] == 0
