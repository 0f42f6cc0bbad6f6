"""What every engine can: one battery over a session, a fleet and a service."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import xarray as xr
from default_columns import VIEW_COLUMNS
from running_service import Running
from waiting import stays

import uspnb
from uspnb.config.schema import PredictorConfig
from uspnb.engine.control import Control
from uspnb.engine.fleet import Fleet
from uspnb.engine.service import Service
from uspnb.engine.session import Session
from uspnb.engine.status import PHASES
from uspnb.engine.track import Advance
from uspnb.errors import ConfigError, DomainError
from uspnb.persistence.snapshots import read_dump
from uspnb.persistence.stores import MemoryStore
from uspnb.sinks import TelemetryBuffer
from uspnb.sources import FeedSource, ReplaySource

LENGTH = 120
SECOND = 1_000_000_000
LONG_S = 600.0  # a bound that a loaded machine does not meet by being slow; what is waited for takes a second
VALUES = np.cumsum(np.random.default_rng(11).standard_normal((LENGTH, 2)), axis=0)
VALUES[70:] *= 6.0  # a change of scale, which is an alarm
NAMES = ("a", "b")


def stamps_of(values: np.ndarray) -> np.ndarray:
    """A tick a second [ns since 1970 UTC]."""
    return np.arange(1, len(values) + 1) * SECOND


class Engine(Protocol):
    """A face under test.

    Attributes:
        control: the engine.
        series: how many series `status.ticks` counts separately.
    """

    control: Control
    series: int

    def one(self) -> Control:
        """The readings of series a."""
        ...

    def end(self) -> None:
        """Close it, as its user does."""
        ...


class OfSession:
    """A session of series a."""

    series = 1

    def __init__(self, config: PredictorConfig, live: bool, values: np.ndarray = VALUES, **abilities: Any) -> None:
        source = FeedSource(name="a") if live else values[:, 0]
        options = {} if live else {"times": stamps_of(values).astype("datetime64[ns]")}
        self.control: Control = Session(source, config, name="a", source_options=options, **abilities)

    def one(self) -> Control:
        """The session itself."""
        return self.control

    def feed(self, value: float) -> None:
        """A tick."""
        self.control.source.put(value)  # type: ignore[attr-defined]

    def end(self) -> None:
        """Close it."""
        self.control.close()


class OfFleet:
    """A fleet of the assets a and b."""

    series = 1

    def __init__(self, config: PredictorConfig, live: bool, values: np.ndarray = VALUES, **abilities: Any) -> None:
        source = None if live else values
        times = None if live else stamps_of(values).astype("datetime64[ns]")
        self.control: Control = Fleet(source, config, assets=NAMES, times=times, workers=1, ring=LENGTH, **abilities)

    def one(self) -> Control:
        """Asset a."""
        return self.control.open("a")

    def feed(self, value: float) -> None:
        """A tick of both."""
        assert isinstance(self.control, Fleet)
        self.control.feed([value, value])

    def end(self) -> None:
        """Close it."""
        self.control.close()


class OfService:
    """A service of the series a and b, in a thread; telemetry, dumps and snapshots are always on."""

    series = 2

    def __init__(
        self, config: PredictorConfig, live: bool, values: np.ndarray = VALUES, *, store: Any = None, **abilities: Any
    ) -> None:
        sources = [
            FeedSource(name=name) if live else ReplaySource(values[:, k], stamps_of(values), name=name)
            for k, name in enumerate(NAMES)
        ]
        self.sources = sources
        self.service = Service(
            config, dict(zip(NAMES, sources, strict=True)), autostart=False, own_process=False, store=store
        )
        self._running = Running(self.service).ready()
        self.control: Control = self.service.control
        if "speed" in abilities:
            self.control.set_speed(abilities["speed"])

    def one(self) -> Control:
        """Series a."""
        return self.control.open("a")

    def feed(self, value: float) -> None:
        """A tick of both."""
        for source in self.sources:
            assert isinstance(source, FeedSource)
            source.put(value)

    def end(self) -> None:
        """Stop it and wait for its end."""
        self._running.end()


FACES = {"session": OfSession, "fleet": OfFleet, "service": OfService}
Begin = Callable[..., Any]
MakeConfig = Callable[..., PredictorConfig]


@pytest.fixture(params=list(FACES))
def face(request: pytest.FixtureRequest) -> str:
    """Which engine."""
    return request.param


@pytest.fixture
def begin(face: str, make_config: MakeConfig) -> Iterator[Begin]:
    """Begins engines of the face, and ends those that are left."""
    begun: list[Any] = []

    def start(config: PredictorConfig | None = None, *, live: bool = False, **abilities: Any) -> Any:
        begun.append(FACES[face](make_config() if config is None else config, live, **abilities))
        return begun[-1]

    yield start
    for engine in begun:
        engine.end()


def reach(engine: Any, ticks: int) -> None:
    """Have it process up to so many ticks of every series, and stand still."""
    control = engine.control
    done = control.status.ticks // engine.series
    if ticks > done:
        control.step(ticks - done)
    status = control.wait(timeout=LONG_S)
    assert (status.ticks, status.error) == (ticks * engine.series, None)


def numbers(ds: xr.Dataset) -> dict[str, np.ndarray]:
    """What is compared of a history."""
    return {name: ds[name].values for name in ("observation", "prediction", "lower", "upper", "weight", "alarm")}


def assert_alike(ours: xr.Dataset, theirs: xr.Dataset) -> None:
    """The same numbers, to the bit."""
    for name, values in numbers(theirs).items():
        np.testing.assert_array_equal(numbers(ours)[name], values, err_msg=name)


@pytest.fixture
def whole(begin: Begin, make_config: MakeConfig) -> xr.Dataset:
    """The history of series a of an engine that ran through."""
    engine = begin(make_config("whole"))
    engine.control.run()
    engine.control.wait(timeout=LONG_S)
    return engine.one().history()


def test_it_begins_by_standing_still(begin: Begin) -> None:
    engine = begin()
    status = engine.control.status
    assert (status.phase, status.ticks, status.total) == ("new", 0, LENGTH * engine.series)
    assert status.at_rest and status.error is None and status.health == "ok"


def test_run_goes_to_the_end(begin: Begin) -> None:
    engine = begin()
    engine.control.run()
    status = engine.control.wait(timeout=LONG_S)
    assert (status.phase, status.ticks, status.waiting) == ("finished", LENGTH * engine.series, 0)
    assert "come to its end" in status.message


def test_steps_add_up_and_the_last_one_is_seen(begin: Begin) -> None:
    engine = begin()
    for count in (5, 7, 3):
        engine.control.step(count)
    status = engine.control.wait(timeout=LONG_S)
    assert (status.ticks, status.phase) == (15 * engine.series, "paused")
    one = engine.one()
    assert one.rows_ready == 15
    first, rows = one.view_rows(0, 15)
    assert first == 0 and rows[:, VIEW_COLUMNS.index("tick")].tolist() == list(range(15))


def test_pause_and_toggle(begin: Begin) -> None:
    engine = begin(speed=2.0)
    control = engine.control
    control.run()
    control.wait(phase="running", timeout=LONG_S)
    control.pause()
    assert control.wait(timeout=LONG_S).phase == "paused"
    control.toggle()
    assert control.wait(phase="running", timeout=LONG_S).phase == "running"
    control.toggle()
    stood = control.wait(timeout=LONG_S)
    assert stood.phase == "paused" and stood.ticks < LENGTH * engine.series
    assert stays(lambda: control.status.ticks == stood.ticks)


def test_speed_changes_when_and_not_what(begin: Begin, whole: xr.Dataset) -> None:
    engine = begin(speed=0.001)
    control = engine.control
    control.run()
    control.wait(phase="running", timeout=LONG_S)
    assert control.status.speed == 0.001 and control.status.ticks < LENGTH
    control.set_speed(None)
    assert control.wait(timeout=LONG_S).speed is None
    assert_alike(engine.one().history(), whole)


def test_seek_back_and_on_gives_the_same_numbers(begin: Begin, whole: xr.Dataset) -> None:
    engine = begin()
    assert engine.control.seekable and not engine.control.live
    reach(engine, 90)
    engine.control.seek(30)
    assert engine.control.wait(timeout=LONG_S).ticks == 30 * engine.series
    engine.control.seek(100)
    assert engine.control.wait(timeout=LONG_S).ticks == 100 * engine.series
    engine.control.run()
    engine.control.wait(timeout=LONG_S)
    assert engine.one().revision >= 1
    assert_alike(engine.one().history(), whole)


def test_a_mark_is_gone_back_to(begin: Begin, whole: xr.Dataset) -> None:
    engine = begin()
    reach(engine, 50)
    mark = engine.control.mark("early")
    assert [one.label for one in engine.control.marks] == ["early"]
    assert mark.as_dict()["tick"] == 50 * engine.series
    reach(engine, 80)
    engine.control.restore("early")
    assert engine.control.wait(timeout=LONG_S).ticks == 50 * engine.series
    engine.control.run()
    engine.control.wait(timeout=LONG_S)
    assert_alike(engine.one().history(), whole)


def opened(engine: Any, face: str) -> Control:
    """What snapshots are taken of: all assets of a fleet, one series of a service."""
    return engine.one() if face == "service" else engine.control


def test_a_snapshot_is_gone_on_from(begin: Begin, face: str, whole: xr.Dataset, tmp_path: Path) -> None:
    engine = begin()
    reach(engine, 60)
    of = opened(engine, face)
    path = of.save_snapshot(tmp_path / "state.msgpack")
    assert path.exists()
    written = of.save_snapshot_nonblocking().result(timeout=LONG_S)
    assert written.path in of.snapshots() and written.path.parent == of.snapshot_folder
    reach(engine, 90)
    loaded = of.load_snapshot(path)
    assert loaded.progress.ticks == 60
    engine.control.wait(timeout=LONG_S)
    assert of.rows_ready == 60
    engine.control.run()
    engine.control.wait(timeout=LONG_S)
    assert_alike(engine.one().history(), whole)


def test_a_killed_engine_goes_on_where_its_newest_snapshot_stands(
    begin: Begin, face: str, make_config: MakeConfig, whole: xr.Dataset
) -> None:
    killed = begin(make_config("killed"), snapshots=True)
    reach(killed, 100)
    of = opened(killed, face)
    (track,) = [track for track in killed.control._worker.tracks if track.name == of._only.name]
    assert track.keeper.wait(LONG_S)
    # What a kill leaves is what the disk holds at that moment.
    here, there = Path(make_config("killed").snapshot_path), Path(make_config("after").snapshot_path)
    for path in here.glob("*/snapshot_*"):
        (there / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, there / path.parent.name / path.name)
    again = begin(make_config("after"), snapshots=True)
    assert again.one().rows_ready == 80  # the last multiple of the interval
    again.control.run()
    assert again.control.wait(timeout=LONG_S).phase == "finished"
    ours, theirs = again.one().history(), whole.isel(time=slice(80, None))
    for name in ("observation", "prediction", "upper", "weight"):
        np.testing.assert_array_equal(ours[name].values, theirs[name].values, err_msg=name)


def test_settings_act_on_the_next_tick(begin: Begin, whole: xr.Dataset) -> None:
    engine = begin()
    reach(engine, 60)
    engine.control.configure(confidence_level=0.5)
    assert engine.control.config.confidence_level == 0.5
    assert "confidence_level=0.5" in engine.control.settings_code()
    assert {s.name: s.value for s in engine.control.settings}["confidence_level"] == 0.5
    reach(engine, 100)
    ours = engine.one().history()
    np.testing.assert_array_equal(ours["upper"][:60], whole["upper"][:60])
    assert (ours["upper"].values[65:100] < whole["upper"].values[65:100]).all()
    assert [e["kind"] for e in engine.control.events if e["kind"] == "settings"][:1] == ["settings"]


def test_settings_that_cannot_change_are_refused(begin: Begin) -> None:
    control = begin().control
    for settings in ({"koopman_top_k": 3}, {"no_such": 1}, {"confidence_level": 2.0}, {"confidence_level": True}):
        with pytest.raises(ConfigError):
            control.configure(**settings)
    assert control.config.confidence_level == 0.95


@pytest.mark.parametrize("suffix", [".zarr", ".nc", ".html"])
def test_export(begin: Begin, whole: xr.Dataset, tmp_path: Path, suffix: str) -> None:
    engine = begin()
    reach(engine, LENGTH)
    path = engine.one().export(tmp_path / f"run{suffix}")
    if suffix == ".html":
        assert path.read_text().startswith("<!DOCTYPE html") or "<html" in path.read_text()[:500]
    else:
        assert_alike(uspnb.load(path), whole)
    with pytest.raises(DomainError):
        engine.one().export(tmp_path / "run.txt")


def test_alarms_are_listed(begin: Begin, whole: xr.Dataset) -> None:
    engine = begin()
    reach(engine, LENGTH)
    ticks = np.flatnonzero(whole["alarm"].values)
    assert len(ticks)
    assert engine.one().alarms()["tick"].tolist() == ticks.tolist()
    assert engine.one().status.alarms == len(ticks)
    every = engine.control.alarms()
    assert len(every) == engine.control.status.alarms >= len(ticks)


def test_telemetry_has_every_tick(begin: Begin, face: str) -> None:
    buffer = TelemetryBuffer(10_000)
    engine = begin(telemetry=buffer)
    reach(engine, 50)
    if face == "service":
        assert engine.service.series[0].options.outlets.telemetry.emitted == 100
        return
    got = buffer.take(10_000, 0.0)
    ours = [batch for batch in got if batch.asset == "a"]
    assert ours[0].first_tick == 1 and sum(batch.count for batch in ours) == 50
    assert {batch.asset for batch in got} == ({"a"} if face == "session" else set(NAMES))


def test_an_emergency_leaves_a_dump(begin: Begin, face: str, make_config: MakeConfig) -> None:
    config = make_config(holder_baseline_sigmas=0.0, holder_threshold=0.9, holder_persistence=1)
    rng = np.random.default_rng(12)
    rough = rng.standard_normal((300, 2))
    smooth = np.cumsum(rng.standard_normal((300, 2)), axis=0)
    values = np.concatenate([smooth, smooth[-1] + np.cumsum(0.1 * rough, axis=0) + 3.0 * rough])
    engine = begin(config, values=values, dumps=True)
    engine.control.run()
    engine.control.wait(timeout=LONG_S)
    track = engine.control._worker.tracks[0]
    assert track.options.outlets.dumps is not None and track.options.outlets.dumps.wait(LONG_S)
    folder = Path(config.emergency_dump_path)
    dumps = sorted(folder.glob("*.msgpack"))
    dumped = [read_dump(path) for path in dumps]
    assert sorted(dump["asset"] for dump in dumped) == sorted(engine.control.series)  # one a minute
    assert folder.stat().st_mode & 0o777 == 0o700 and {path.stat().st_mode & 0o777 for path in dumps} == {0o600}
    rows, columns = dumped[0]["history"]["rows"], list(dumped[0]["history"]["columns"])
    assert rows[:, columns.index("emergency")].any() and not rows[0, columns.index("emergency")]
    assert any(event["kind"] == "emergency" for event in engine.control.events)


def test_a_broken_source_is_told(face: str, begin: Begin, make_config: MakeConfig) -> None:
    def broken() -> Iterator[Any]:
        for k in range(10):
            yield [float(k), float(k)] if face == "fleet" else float(k)
        raise ValueError("the cable is out")

    engine: OfService | None = None
    if face == "session":
        control: Control = Session(broken(), make_config(), name="a")
    elif face == "fleet":
        control = Fleet(broken(), make_config(), assets=NAMES, workers=1)
    else:
        engine = OfService(make_config(), live=True)
        control = engine.control
        control.open("a")._only.intake.source = uspnb.sources.open_source(broken())
    try:
        control.run()
        if face == "service":  # one series of several: it ends alone, and its condition says why
            track = control.open("a")._only
            with control._worker.changed:
                assert control._worker.changed.wait_for(lambda: track.conditions()["sources"] is not None, LONG_S)
            assert "the cable is out" in str(track.conditions()["sources"])
            assert control.open("b").status.phase == "running"
        else:
            status = control.wait(phase="faulted", timeout=LONG_S)
            assert (status.phase, status.ticks, status.health) == ("faulted", 10, "fault")
            assert "the cable is out" in str(status.error) and status.error == status.message
    finally:
        if engine is not None:
            engine.end()
        control.close()


def test_two_subscribers_are_told_and_one_that_raises_is_dropped(begin: Begin) -> None:
    engine, called, dropped = begin(), threading.Event(), threading.Event()

    def broken() -> None:
        raise KeyError("x")

    end = engine.control.subscribe(called.set)
    engine.control.subscribe(broken)
    engine.control.subscribe(lambda: any(e["kind"] == "subscriber" for e in engine.control.events) and dropped.set())
    reach(engine, 5)
    assert called.wait(LONG_S)
    while not dropped.is_set():
        engine.control.set_speed(None)  # a change, of which the others are told
        dropped.wait(0.05)
    (event,) = [event for event in engine.control.events if event["kind"] == "subscriber"]
    assert "KeyError" in event["text"]
    end()
    end()


def test_waiting_ends_in_time_or_says_where_it_stands(begin: Begin) -> None:
    control = begin(speed=0.001).control
    control.run()
    control.wait(phase="running", timeout=LONG_S)
    with pytest.raises(TimeoutError, match=r"after 0\.05 s .* is running at tick"):
        control.wait(until=LENGTH, timeout=0.05)
    with pytest.raises(DomainError, match="phase = 'done' is not one of 'new', 'starting'"):
        control.wait(phase="done")
    control.pause()
    assert control.wait(until=LENGTH, timeout=LONG_S).phase == "paused"


def test_close_twice(begin: Begin) -> None:
    engine = begin()
    reach(engine, 10)
    engine.control.subscribe(lambda: None)
    engine.end()
    status = engine.control.status
    worker = engine.control._worker
    assert status.phase == "closed" and not {worker._thread, worker.publisher._thread} & set(threading.enumerate())
    engine.end()
    engine.control.close()
    assert engine.control.status == status
    assert engine.one().history().sizes["time"] == 10  # what is in memory can still be read
    for command in (engine.control.run, engine.control.pause, engine.control.step, engine.control.mark):
        with pytest.raises(DomainError, match="is closed"):
            command()


def test_commands_by_name(begin: Begin) -> None:
    engine = begin()
    control = engine.control
    control.command("step", 20.0)
    assert control.wait(timeout=LONG_S).ticks == 20 * engine.series
    control.command("mark", "here")
    control.command("speed", 500)
    control.command("configure", {"cusum_k": 0.75})
    control.command("seek", 30)
    control.wait(timeout=LONG_S)
    control.command("restore", "here")
    status = control.wait(timeout=LONG_S)
    assert (status.ticks, status.speed, control.config.cusum_k) == (20 * engine.series, 500.0, 0.75)
    control.command("toggle")
    control.command("pause")
    assert control.wait(timeout=LONG_S).phase == "paused"
    control.command("run")


def test_numpy_numbers_are_numbers(begin: Begin) -> None:
    engine = begin()
    control = engine.control
    control.set_speed(np.int64(1000))
    assert control.wait(timeout=LONG_S).speed == 1000.0
    control.set_speed(None)
    control.step(np.int64(3))
    assert control.wait(until=np.int32(3), timeout=np.float32(600)).ticks >= 3
    control.wait(timeout=LONG_S)
    control.seek(np.int16(2))
    control.wait(timeout=LONG_S)
    assert engine.one().rows_ready == 2
    control.configure(cusum_k=np.float64(0.6))
    assert control.config.cusum_k == 0.6


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("explode", None, "unknown command 'explode'; known are run, pause, toggle"),
        (None, None, "unknown command None"),
        *(("step", n, f"n = {n!r} must be a whole number") for n in (0, 2.5, True, "3")),
        *(("speed", v, f"speed = {v!r} must be a finite number") for v in (0, 1e-9, 1e7, np.nan, True, "5", "fast")),
        *(("seek", k, f"k = {k!r} must be a whole number from 0 to {LENGTH}") for k in (-1, LENGTH + 1, 2.5, True)),
        *(("seek", k, f"k = {k!r}") for k in (None, "5", np.nan)),
        *(("restore", mark, f"there is no mark {mark!r}; there are: none") for mark in ("nowhere", 7, None)),
        ("mark", 5, "label = 5"),
        ("configure", [1], "must be a mapping of names"),
        ("configure", {"cusum_k": 99}, "outside its range"),
    ],
)
def test_what_is_refused_changes_nothing(bare: Control, name: Any, value: Any, reason: str) -> None:
    with pytest.raises((DomainError, ConfigError), match=re.escape(reason)):
        bare.command(name, value)
    assert bare.status.phase == "new"


@pytest.fixture(scope="module", params=list(FACES))
def bare(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """An engine that nothing was asked of, of each face."""
    folder = tmp_path_factory.mktemp("bare")
    paths: dict[str, Any] = {
        name: str(folder / name) for name in ("snapshot_path", "telemetry_path", "emergency_dump_path")
    }
    engine: Any = FACES[request.param](PredictorConfig(metrics_port=0, **paths), False)
    yield engine.control
    engine.end()


def test_what_it_says_of_itself_is_json(begin: Begin) -> None:
    engine = begin()
    reach(engine, 5)
    plain = json.loads(json.dumps(engine.control.status.as_dict()))
    assert plain["phase"] in PHASES and plain["ticks"] == 5 * engine.series
    json.dumps(engine.control.events)
    assert "paused" in repr(engine.control) and "<" in engine.control._repr_html_()


def test_history_is_that_of_a_backtest(begin: Begin, face: str, whole: xr.Dataset) -> None:
    reference = uspnb.backtest(VALUES[:, 0], progress=False)
    for name, values in numbers(reference).items():
        if face == "fleet":  # another program, which rounds otherwise
            np.testing.assert_allclose(whole[name].values, values, rtol=1e-9, atol=1e-9, err_msg=name)
        else:
            np.testing.assert_array_equal(whole[name].values, values, err_msg=name)


def test_a_window_of_history(begin: Begin, whole: xr.Dataset) -> None:
    engine = begin()
    reach(engine, LENGTH)
    window = engine.one().history(30, -20)
    np.testing.assert_array_equal(window["prediction"], whole["prediction"][30:-20])
    np.testing.assert_array_equal(window["time"], whole["time"][30:-20])
    assert engine.one().history(-10).sizes["time"] == 10 and engine.one().history(100, 5000).sizes["time"] == 20
    with pytest.raises(DomainError, match="no ticks from 30 to 20"):
        engine.one().history(30, 20)


def test_rows_of_a_view(begin: Begin, whole: xr.Dataset) -> None:
    engine = begin()
    reach(engine, LENGTH)
    one = engine.one()
    for rows_of in (one.view_rows, one.past_view_rows):
        first, rows = rows_of(10, 60)
        assert (first, rows.shape) == (10, (50, len(VIEW_COLUMNS)))
        np.testing.assert_array_equal(rows[:, VIEW_COLUMNS.index("prediction")], whole["prediction"][10:60])
    assert one.has_times and one.title == "a" and set(map(type, one.reasons.values())) == {str}


def test_one_series_of_an_engine(begin: Begin, face: str) -> None:
    engine = begin()
    reach(engine, 20)
    names = ("a",) if face == "session" else NAMES
    assert engine.control.series == names
    for k, name in enumerate(names):
        one = engine.control.open(name)
        assert (one.status.assets, one.status.ticks, one.status.phase, one.title) == (1, 20, "paused", name)
        np.testing.assert_array_equal(one.history()["observation"], VALUES[:20, k])
    with pytest.raises(DomainError):
        engine.control.open("nobody")
    engine.one().step(5)  # a command of one is a command of all
    assert engine.control.wait(timeout=LONG_S).ticks == 25 * engine.series


def test_a_store_holds_the_states_for_the_next_engine(begin: Begin, make_config: MakeConfig, whole: xr.Dataset) -> None:
    store = MemoryStore()
    first = begin(make_config("first"), store=store)
    reach(first, 80)
    first.end()
    assert len(store.list("state/a")) == 1
    second = begin(make_config("second"), store=store)  # another folder: nothing is taken from snapshots
    assert second.one().rows_ready == 80
    second.control.run()
    second.control.wait(timeout=LONG_S)
    ours = second.one().history()
    np.testing.assert_array_equal(ours["prediction"].values, whole["prediction"].values[80:])


def test_a_store_that_another_writer_holds_is_left_to_it(begin: Begin, make_config: MakeConfig) -> None:
    store = MemoryStore()
    engine = begin(make_config("mine"), store=store)
    reach(engine, 40)
    tracks = engine.control._worker.tracks
    stored = tracks[0].stored
    assert stored is not None
    key = "state/a"
    while not store.list(key):
        stored._changed.acquire()
        stored._changed.wait(0.05)
        stored._changed.release()
    store.put(key, b"another writer's")
    reach(engine, 80)
    engine.end()
    assert "another writer" in str(tracks[0].conditions()["snapshots"])
    entry = store.get(key)
    assert entry is not None and entry.value == b"another writer's"


def test_an_observer_is_told_of_every_tick_and_may_change_settings(begin: Begin) -> None:
    engine = begin()
    observed: list[tuple[int, float]] = []

    def watch(advance: Advance) -> None:
        column = advance.track.timeline.columns["observation"].start
        row = advance.rows[0] if advance.rows.ndim == 2 else advance.rows[0, 0]
        observed.append((advance.first, float(row[column])))
        assert len(advance.rows) == len(advance.taken.ticks) == 1
        if advance.first == 9:
            advance.track.configure(uspnb.PredictorConfig(**{**vars_of(advance.track.config), "confidence_level": 0.5}))

    end = engine.one().observe(watch, every=1)
    reach(engine, 20)
    assert observed == [(k, VALUES[k, 0]) for k in range(20)]
    assert engine.one().config.confidence_level == 0.5
    end()
    reach(engine, 25)
    assert len(observed) == 20


def vars_of(config: PredictorConfig) -> dict[str, Any]:
    """The fields of a configuration."""
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


def test_an_observer_that_raises_is_dropped(begin: Begin) -> None:
    engine = begin()

    def broken(advance: Advance) -> None:
        raise KeyError("x")

    engine.one().observe(broken)
    reach(engine, 30)
    texts = [event["text"] for event in engine.control.events if event["kind"] == "observer"]
    assert len(texts) == 1 and "KeyError" in texts[0]
    with pytest.raises(DomainError):
        engine.control.observe("watch")


def test_load_is_shed_where_ticks_come_live(begin: Begin, face: str, make_config: MakeConfig) -> None:
    if face == "fleet":
        pytest.skip("the lanes of a fleet are one compiled program: all assets have the depth of the settings")
    # A tick interval of a nanosecond: every latency is overload.
    engine = begin(make_config(load_shedding=True, shedding_min_steps=5, tick_interval_ns=1), live=True)
    engine.control.run()
    for k in range(30):
        engine.feed(float(np.sin(k)))
    engine.control.wait(until=30 * engine.series, timeout=LONG_S)
    track = engine.one()._only
    assert track.timeline.computation.depth == 2
    assert any("depth lowered from 3 to 2" in event["text"] for event in engine.control.events)


def test_latency_is_measured(begin: Begin, make_config: MakeConfig) -> None:
    engine = begin(make_config(load_shedding=True, tick_interval_ns=10 * SECOND), live=True)
    engine.control.run()
    for k in range(25):
        engine.feed(float(k % 3))
    engine.control.wait(until=25 * engine.series, timeout=LONG_S)
    reading = engine.one()._only.aftermath.meter.reading()
    assert reading.ticks == 25 and reading.latency_ewma_ns > 0 and not engine.control.seekable and engine.control.live


class Counting:
    """A source of a user's own: it counts, and needs nothing of the package."""

    name, units, live, length, time_is_grid, notes = "counts", "", False, None, True, ()

    def __init__(self, stop: int) -> None:
        self._next, self._stop = 0, stop

    @property
    def exhausted(self) -> bool:
        return self._next >= self._stop

    @property
    def waiting(self) -> int:
        return self._stop - self._next

    def start(self, wake: Callable[[], None]) -> None:
        wake()

    def take(self, most: int) -> Any:
        from uspnb.sources import Ticks

        first, self._next = self._next, min(self._next + most, self._stop)
        count = np.arange(first, self._next)
        return Ticks(count.astype(float), count + 1, np.full(len(count), np.nan))

    def seek(self, k: int) -> None:
        raise ValueError("it only counts on")

    def close(self) -> None:
        self._stop = self._next


class CountingRows(Counting):
    """The same for two assets at once."""

    def take(self, most: int) -> Any:
        ticks = super().take(most)
        return type(ticks)(np.repeat(ticks.values[:, None], 2, axis=1), ticks.stamps_ns, ticks.proxies)


def test_a_source_of_ones_own(face: str, make_config: MakeConfig) -> None:
    if face == "fleet":
        with Fleet(CountingRows(40), make_config(), assets=NAMES, workers=1) as fleet:
            fleet.run()
            assert fleet.wait(timeout=LONG_S).ticks == 40
            np.testing.assert_array_equal(fleet.open("b").history()["observation"], np.arange(40.0))
        return
    if face == "session":
        with Session(Counting(40), make_config(), name="a") as session:
            session.run()
            assert session.wait(timeout=LONG_S).ticks == 40
            np.testing.assert_array_equal(session.history()["observation"], np.arange(40.0))
        return
    service = Service(make_config(), {"a": Counting(40)}, once=True, own_process=False)
    assert service.run() == 0 and service.series[0].ticks == 40
