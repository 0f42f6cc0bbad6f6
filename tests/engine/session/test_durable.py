"""A session's states on disk: another session goes on from them, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.engine.session import Session
from uspnb.errors import DomainError, IntegrityError
from uspnb.runtime.digest import sha256_pytree
from uspnb.sinks import TelemetryBuffer

Make = Callable[..., Session]
LENGTH = 600
VALUES = random_walk(LENGTH, 5)


@pytest.fixture
def config(tmp_path: Path) -> PredictorConfig:
    return PredictorConfig(snapshot_path=str(tmp_path / "snapshots"), snapshot_retention=3)


def test_another_session_goes_on_where_the_first_one_was_killed(make: Make, config: PredictorConfig) -> None:
    first = make(VALUES, config, name="North sea / buoy 7")
    first.step(400)
    first.wait()
    saved = first.save_snapshot()
    assert saved.parent == first.snapshot_folder and saved.parent.name.startswith("North_sea")
    first.run()
    first.wait()
    second = make(VALUES, config, name="North sea / buoy 7")
    loaded = second.load_snapshot()
    assert loaded.path == saved and (loaded.progress.ticks, loaded.progress.source) == (400, "North sea / buoy 7")
    second.run()
    status = second.wait()
    assert (status.ticks, status.total, status.phase) == (200, 200, "finished")
    whole, rest = first.history(400), second.history()
    for name in whole.data_vars:
        if name != "change_onset":  # counted from the session's own first tick
            np.testing.assert_array_equal(rest[name], whole[name], err_msg=str(name))
    assert [event["kind"] for event in second.events] == ["restore"]
    assert f"goes on from the snapshot {saved.name} of North sea / buoy 7" in second.events[0]["text"]


def test_a_session_that_has_come_further_goes_back(make: Make, config: PredictorConfig) -> None:
    session = make(VALUES, config)
    session.step(150)
    session.wait()
    session.save_snapshot_nonblocking().result()
    state = session._only.latest
    session.step(300)
    session.wait()
    before = session.history(0, 150)
    session.load_snapshot()
    status = session.wait()
    assert (status.ticks, status.total) == (150, LENGTH)
    assert state is not None and session._only.latest is not None
    assert sha256_pytree(session._only.latest.checkpoint.handle.state) == sha256_pytree(state.checkpoint.handle.state)
    np.testing.assert_array_equal(session.history()["prediction"], before["prediction"])
    session.seek(100)
    assert session.wait().ticks == 100
    session.run()
    assert session.wait().ticks == LENGTH


def test_after_a_snapshot_of_later_ticks_one_can_go_back_to_it_but_not_beyond(
    make: Make, config: PredictorConfig, tmp_path: Path
) -> None:
    first = make(VALUES, config)
    first.step(300)
    first.wait()
    path = first.save_snapshot(tmp_path / "s.msgpack")
    second = make(VALUES, config)
    second.load_snapshot(path)
    second.step(200)
    second.wait()
    last = second.history(150, 200)["prediction"].values
    second.seek(50)
    second.seek(200)
    second.wait()
    np.testing.assert_array_equal(second.history(150, 200)["prediction"], last)
    with pytest.raises(DomainError, match="k = -1"):
        second.seek(-1)
    with pytest.raises(DomainError, match="k = 301"):
        second.seek(301)


def test_a_live_source_goes_on_with_what_comes(make: Make, config: PredictorConfig, tmp_path: Path) -> None:
    first = make(VALUES, config)
    first.step(300)
    first.wait()
    path = first.save_snapshot(tmp_path / "s.msgpack")
    live = make(None, config)
    live.load_snapshot(path)
    live.wait()
    live.run()
    live.feed(VALUES[300])
    assert live.wait(until=1).ticks == 1
    computation: Any = live._only.timeline.computation
    assert int(computation.state.ticks) == 301


def test_the_ticks_of_another_source_are_not_taken_for_its_own(
    make: Make, config: PredictorConfig, tmp_path: Path
) -> None:
    times = np.datetime64("2026-02-21T09:00", "ns") + np.arange(LENGTH) * np.timedelta64(60, "s")
    first = make(VALUES, config, source_options={"times": times})
    first.step(200)
    first.wait()
    path = first.save_snapshot(tmp_path / "s.msgpack")
    other = make(VALUES, config, source_options={"times": times + np.timedelta64(1, "D")})
    other.load_snapshot(path)
    status = other.wait()
    assert status.ticks == 0 and "was not taken: its last tick has another time" in status.message
    short = make(VALUES[:100], config)
    with pytest.raises(DomainError, match="taken after 200 ticks, and this source has 100"):
        short.load_snapshot(path)


def test_what_cannot_be_saved_or_loaded_is_said(make: Make, config: PredictorConfig, tmp_path: Path) -> None:
    session = make(VALUES, config)
    with pytest.raises(DomainError, match="there is no state yet"):
        session.save_snapshot()
    with pytest.raises(DomainError, match="no valid snapshot in this folder"):
        session.load_snapshot()
    assert session.snapshots() == [] and session.snapshot_status() is None
    (tmp_path / "junk").write_bytes(b"x" * 200)
    with pytest.raises(IntegrityError):
        session.load_snapshot(tmp_path / "junk")
    session.close()
    with pytest.raises(DomainError, match="closed"):
        session.load_snapshot(tmp_path / "junk")


def test_telemetry_of_a_session_names_ticks_as_the_source_counts_them(make: Make, config: PredictorConfig) -> None:
    buffer = TelemetryBuffer(10_000)
    first = make(VALUES, config, name="tide", telemetry=buffer)
    first.step(300)
    first.wait()
    first.save_snapshot()
    second = make(VALUES, config, name="tide", telemetry=buffer)
    second.load_snapshot()
    second.step(5)
    second.wait()
    batches = buffer.take(10_000, 0.0)
    assert sum(b.count for b in batches) == 305 and {b.asset for b in batches} == {"tide"}
    assert batches[0].first_tick == 1 and batches[-1].first_tick + batches[-1].count == 306
