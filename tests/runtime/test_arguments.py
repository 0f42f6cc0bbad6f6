"""The argument checks: what each takes, what it gives back, and what the refusal says."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from walks import random_walk

from uspnb.config.meta_optimization import MetaOptimizationConfig
from uspnb.engine.fleet import Fleet
from uspnb.engine.session import Session
from uspnb.errors import DomainError
from uspnb.persistence.snapshots import SnapshotFolder, SnapshotWriter
from uspnb.predictor.comparison import compare
from uspnb.predictor.functional import FunctionalPredictor
from uspnb.predictor.universal import UniversalPredictor
from uspnb.runtime import arguments
from uspnb.sinks import JsonLinesSink, ParityLog, TelemetryBuffer
from uspnb.sources.replay import ReplaySource
from uspnb.tuning.folds import walk_forward_split
from uspnb.tuning.live.decisions import LoopSettings
from uspnb.tuning.status import checked_limits

WHOLE = [3, np.int64(3), np.int32(3), np.uint8(3), 10**30]
NO_WHOLE = [3.0, np.float64(3.0), True, np.True_, "3", None, np.array([3]), [3], float("nan"), 3 + 0j]
REAL = [3, 3.5, np.float32(3.5), np.float64(3.5), np.int64(3), Fraction(7, 2)]
NO_REAL = ["3", None, True, np.False_, float("nan"), float("inf"), -np.inf, 10**400, np.array(3.5), 3 + 0j]


@pytest.mark.parametrize("value", WHOLE, ids=repr)
def test_a_whole_number_comes_back_as_an_int(value: Any) -> None:
    checked = arguments.check_whole("n", value)
    assert type(checked) is int and checked == value


@pytest.mark.parametrize("value", NO_WHOLE, ids=repr)
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(DomainError, match=r"^n = .* must be a whole number$"):
        arguments.check_whole("n", value)


@pytest.mark.parametrize("value", REAL, ids=repr)
def test_a_number_comes_back_as_a_float(value: Any) -> None:
    checked = arguments.check_number("x", value)
    assert type(checked) is float and checked == value


@pytest.mark.parametrize("value", NO_REAL, ids=lambda value: repr(value)[:20])
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(DomainError, match=r"^x = .* must be a finite number$"):
        arguments.check_number("x", value)


@pytest.mark.parametrize(
    ("check", "bounds", "allowed", "refused", "message"),
    [
        ("check_whole", {"least": 1}, (1, 10**9), (0, -1), "x = 0 must be a whole number of at least 1"),
        ("check_whole", {"least": 0, "most": 65_535}, (0, 65_535), (65_536, -1), "a whole number from 0 to 65,535"),
        ("check_whole", {"most": 5}, (-7, 5), (6,), "a whole number of at most 5"),
        ("check_number", {"least": 0.0}, (0, 1e300), (-1e-300,), "a finite number of at least 0"),
        ("check_number", {"above": 0, "most": 1e9}, (1e-300, 1e9), (0.0, 2e9), "above 0 and at most 1e+09"),
        ("check_number", {"above": 0.0, "below": 0.5}, (0.25,), (0.0, 0.5), "above 0 and below 0.5"),
        ("check_number", {"least": 0.001, "most": 5}, (0.001, 5), (0.0009, 5.1), "a finite number from 0.001 to 5"),
    ],
)
def test_bounds(check: str, bounds: dict[str, Any], allowed: Any, refused: Any, message: str) -> None:
    for value in allowed:
        assert getattr(arguments, check)("x", value, **bounds) == value
    for value in refused:
        with pytest.raises(DomainError) as caught:
            getattr(arguments, check)("x", value, **bounds)
        assert str(caught.value).startswith(f"x = {value!r} must be ")
    with pytest.raises(DomainError) as caught:
        getattr(arguments, check)("x", refused[0], **bounds)
    assert message in str(caught.value)


def test_a_refusal_names_value_bound_unit_and_remedy() -> None:
    with pytest.raises(DomainError) as caught:
        arguments.check_whole("ring", 10, 256, 20_000, unit="ticks", remedy="leave it out for 20,000")
    assert str(caught.value) == "ring = 10 must be a whole number from 256 to 20,000 ticks; leave it out for 20,000"
    with pytest.raises(DomainError) as caught:
        arguments.check_number("x", "y" * 1000, above=0)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("speed", [0.001, 1_000_000, np.int64(10), np.float32(2.5), 60])
def test_speeds(speed: Any) -> None:
    checked = arguments.check_speed(speed)
    assert type(checked) is float and checked == speed


def test_no_speed_is_as_fast_as_possible() -> None:
    assert arguments.check_speed(None) is None


@pytest.mark.parametrize("speed", [0, -1.0, 1e-9, 1e7, float("nan"), float("inf"), "fast", True])
def test_speeds_that_are_refused(speed: Any) -> None:
    with pytest.raises(DomainError) as caught:
        arguments.check_speed(speed)
    assert str(caught.value) == (
        f"speed = {speed!r} must be a finite number from 0.001 to 1,000,000 ticks per second; None runs as fast as "
        "possible"
    )


def test_text() -> None:
    assert arguments.check_text("label", " before the flood ") == "before the flood"
    assert arguments.check_text("label", "x" * 200) == "x" * 200
    for value in ("x" * 201, 5, None, b"x"):
        with pytest.raises(DomainError, match=r"^label = .* must be text of at most 200 characters$"):
            arguments.check_text("label", value)


def test_choices() -> None:
    assert arguments.check_choice("theme", "dark", ("light", "dark")) == "dark"
    assert type(arguments.check_choice("depth", np.int64(3), (2, 3, 5))) is int
    for value in ("sepia", None, ["dark"], np.array(["dark"])):
        with pytest.raises(DomainError, match=r"^theme = .* is not one of 'light', 'dark'$"):
            arguments.check_choice("theme", value, ("light", "dark"))


def test_functions() -> None:
    assert arguments.check_function("callback", print, "give a function") is print
    with pytest.raises(DomainError, match=r"^callback has type int, which cannot be called; give a function$"):
        arguments.check_function("callback", 5, "give a function")


@pytest.mark.parametrize(
    ("sent", "read"), [(20.0, 20), (2.5, 2.5), (True, True), ("5", "5"), (None, None), (float("inf"), float("inf"))]
)
def test_json_numbers(sent: Any, read: Any) -> None:
    got = arguments.read_json_number(sent)
    assert got == read and type(got) is type(read)


WALK = random_walk(400, 5)


def _seek(k: Any) -> int:
    source = ReplaySource(WALK)
    source.seek(k)
    return len(WALK) - source.waiting


def _length(part: slice) -> int:
    return part.stop - part.start


def _snapshot_writer(maxlen: Any) -> int:
    writer = SnapshotWriter(None, queue_maxlen=maxlen)
    writer.close()
    return writer.queue_maxlen


# Public faces that take a whole number: what takes it and gives back what it made of it, one it takes, one it refuses.
FACES: dict[str, tuple[Callable[[Any], Any], int, int]] = {
    "history_limit": (lambda n: UniversalPredictor(history_limit=n).history_limit, 300, 0),
    "batch": (lambda n: FunctionalPredictor().init_state(n).ticks.shape[0], 3, 0),
    "burn_in": (lambda n: compare(WALK, baselines=(), burn_in=n).attrs["burn_in"], 30, -1),
    "n_folds": (lambda n: len(walk_forward_split(400, n)), 3, 0),
    "n of a split": (lambda n: walk_forward_split(n)[-1].test.stop, 400, -1),
    "max_memory": (lambda n: _length(walk_forward_split(400, max_memory=n)[-1].train), 99, -1),
    "k of a replay": (_seek, 17, 401),
    "retention": (lambda n: SnapshotFolder("never made", n).retention, 3, 0),
    "queue_maxlen": (_snapshot_writer, 2, 0),
    "maxlen": (lambda n: TelemetryBuffer(n).maxlen, 20, 0),
    "rotate_bytes": (lambda n: JsonLinesSink("never made", n).order()["rotate_bytes"], 100, 0),
    "interval": (lambda n: ParityLog("never made", n).interval, 10, -1),
    "n_trials of a loop": (lambda n: LoopSettings(n_trials=n).n_trials, 20, 0),
    "n_trials": (lambda n: checked_limits(MetaOptimizationConfig(), "fast", n).target, 20, 0),
}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("kind", [int, np.int64, np.int32])
def test_every_face_takes_whole_numbers_of_numpy(face: str, kind: Any) -> None:
    call, taken, _ = FACES[face]
    result = call(kind(taken))
    assert type(result) is int and result == taken


@pytest.mark.parametrize("face", FACES)
def test_every_face_refuses_bools_and_what_is_beyond_its_bound(face: str) -> None:
    call, _, beyond = FACES[face]
    for value in (beyond, np.int64(beyond), True):
        with pytest.raises(DomainError, match=re.escape(f" = {value!r} must be a whole number")):
            call(value)


def _session(**settings: Any) -> Session:
    return Session(WALK, **settings)


def _fleet(**settings: Any) -> Fleet:
    return Fleet(np.column_stack([WALK, WALK]), **settings)


@pytest.mark.parametrize("live", [_session, _fleet])
def test_a_session_and_a_fleet_take_and_refuse_the_same(live: Callable[..., Any]) -> None:
    engine = live(ring=np.int64(300), speed=np.int64(10))
    try:
        assert engine.status.speed == 10.0
        engine.set_speed(np.float32(2.5))
        engine.set_speed(None)
        engine.step(np.int64(3))
        assert engine.wait(timeout=600).ticks == 3
        for value in (0, True, 1.0, "3", 2_000_000_000):
            with pytest.raises(DomainError, match=r"^n = .* must be a whole number from 1 to"):
                engine.step(value)
        for value in (1e-9, 1e7, 0, True, "fast", float("nan")):
            with pytest.raises(DomainError, match=r"^speed = .* from 0\.001 to 1,000,000 ticks per second; None runs"):
                engine.set_speed(value)
    finally:
        engine.close()
    for settings in ({"ring": True}, {"ring": 1}, {"ring": 300.0}, {"speed": 1e-9}, {"speed": np.True_}):
        with pytest.raises(DomainError, match=f"^{next(iter(settings))} = .* must be a "):
            live(**settings)
