"""Frames of a fleet: layout, credits, coalescing, and one asset with the face of a session."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from uspnb.engine.fleet import Fleet, FleetStream
from uspnb.engine.fleet.fleet_stream import HEADER_LENGTH, SPARK_COLUMNS, SUMMARY_COLUMNS
from uspnb.errors import DomainError
from uspnb.model.packing import unpack

TICKS = 130


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    y = np.random.default_rng(5).standard_normal((TICKS, 3)).cumsum(axis=0)
    with Fleet(y) as made:
        made.step(40)
        made.wait(timeout=240.0)
        yield made


def parts(frame: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = np.frombuffer(frame, "<f8")
    head = values[:HEADER_LENGTH]
    count, assets = int(head[3]), int(head[4])
    edge = HEADER_LENGTH + assets * len(SUMMARY_COLUMNS)
    summary = values[HEADER_LENGTH:edge].reshape(assets, len(SUMMARY_COLUMNS))
    return head, summary, values[edge:].reshape(count, assets, len(SPARK_COLUMNS))


def test_hello_brings_the_whole_window_and_news_only_what_is_new(fleet: Fleet) -> None:
    frames: list[bytes] = []
    stream = FleetStream(fleet, frames.append)
    stream.pump()
    assert not frames  # nobody is there to see it
    stream.hello("page")
    head, summary, sparks = parts(frames[-1])
    assert head[:5].tolist() == [1.0, 1.0, 0.0, 40.0, 3.0] and head[6] == 40.0
    np.testing.assert_array_equal(sparks[:, 1, 0], fleet.window(1)["observation"])
    np.testing.assert_array_equal(sparks[:, 1, 1], fleet.window(1)["prediction"])
    row = fleet.table().loc[2]
    names = dict(zip(SUMMARY_COLUMNS, summary[2], strict=True))
    assert (names["value"], names["forecast"], names["skill"]) == (row["value"], row["forecast"], row["skill"])
    stream.acknowledge(1)
    fleet.step(2)
    fleet.wait(timeout=30.0)
    stream.pump()
    head, _, sparks = parts(frames[-1])
    assert head[:4].tolist() == [2.0, 0.0, 40.0, 2.0] and len(sparks) == 2


def test_two_credits_and_then_ticks_coalesce_without_a_gap(fleet: Fleet) -> None:
    frames: list[bytes] = []
    stream = FleetStream(fleet, frames.append)
    stream.hello("page")
    for _ in range(5):
        fleet.step(3)
        fleet.wait(timeout=30.0)
        stream.pump()
    assert len(frames) == 2 and stream.in_flight == 2
    stream.acknowledge(1)
    heads = [parts(frame)[0] for frame in frames]
    assert [(int(h[2]), int(h[3])) for h in heads] == [(0, 40), (40, 3), (43, 12)]
    stream.close()
    stream.acknowledge(3)
    assert len(frames) == 3


def test_a_front_end_too_far_behind_is_given_the_newest_window(fleet: Fleet) -> None:
    frames: list[bytes] = []
    stream = FleetStream(fleet, frames.append, rows=20, credits=1)
    stream.hello("page")
    fleet.step(60)
    fleet.wait(timeout=60.0)
    stream.acknowledge(1)
    head, _, sparks = parts(frames[-1])
    assert (head[1], head[2], len(sparks)) == (1.0, 80.0, 20)


def test_no_frame_holds_more_than_numbers_can(fleet: Fleet) -> None:
    for rows, credits in ((1, 2), (10, 0)):
        with pytest.raises(DomainError):
            FleetStream(fleet, lambda frame: None, rows=rows, credits=credits)


def test_one_asset_has_the_face_of_a_session(fleet: Fleet) -> None:
    view = fleet.open(2)
    first, rows, stamps = view.packed(10, 1000)
    assert (first, len(rows), len(stamps), view.rows_ready) == (10, 30, 30, 40)
    result = unpack(rows, view.layout)
    np.testing.assert_array_equal(result.telemetry.prediction, fleet.window(2)["prediction"][10:])
    np.testing.assert_array_equal(result.telemetry.weight, fleet.window(2)["weight"][10:])
    status = view.status.as_dict()
    assert status["ticks"] == 40 and status["phase"] == "paused" and status["health"] == "ok"
    view.command("step", 1)
    fleet.wait(timeout=30.0)
    assert view.rows_ready == 41
    with pytest.raises(DomainError, match="no command"):
        view.command("seek", 3)
