"""Ticks that come at their own pace: by hand, from iterators that go wrong, after silence, onto a full disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from waiting import stays, until
from walks import random_walk

from uspnb.engine.session import Session
from uspnb.engine.timeline import FIRST_STRIDE
from uspnb.errors import DomainError
from uspnb.model.records import ProcessState
from uspnb.predictor.universal import UniversalPredictor, replay_clock
from uspnb.sources import FeedSource, SourceFault, Ticks

Make = Callable[..., Session]
SECOND = 10**9
START = 1_771_675_200 * SECOND
WALK = random_walk(400, 2)


def test_ticks_fed_by_hand_are_those_of_a_predictor(make: Make) -> None:
    session, plain = make(), UniversalPredictor(clock=replay_clock)
    for k in range(300):
        session.feed(WALK[k], START + k * SECOND, dispersion_proxy=2.0 if k > 200 else None)
        plain.step(ProcessState(WALK[k], START + k * SECOND, dispersion_proxy=2.0 if k > 200 else None))
    until(lambda: session.status.waiting == 300)
    assert session.status.phase == "new" and session.status.total is None
    session.run()
    assert session.wait(until=300).phase == "running"
    ours, theirs = session.history(), plain.history()
    for name in theirs.variables:
        np.testing.assert_array_equal(ours[name].values, theirs[name].values, err_msg=str(name))
    session.feed(WALK[300], START + 300 * SECOND)
    assert session.wait(until=301).ticks == 301


def test_checkpoints_are_kept_only_of_what_can_be_replayed(make: Make) -> None:
    """Each is a state of several hundred kilobytes, and nobody goes back in a source that is not kept."""
    ticks = 2 * FIRST_STRIDE + 1
    values = random_walk(ticks, 3)
    live, replayed = make(), make(values)
    for value in values.tolist():
        live.feed(value)
    for session, least, most in ((live, 1, 1), (replayed, 2, 3)):
        session.run()
        session.wait(until=ticks)
        assert least <= len(session._worker.tracks[0].timeline.checkpoints) <= most


@pytest.mark.parametrize("value", [None, "1.0", True, [1.0], np.ones(2), 1j, {}], ids=repr)
def test_what_is_no_tick_is_refused_at_once(make: Make, value: Any) -> None:
    session = make()
    with pytest.raises(DomainError, match="is not one real number"):
        session.feed(value)
    assert session.source.waiting == 0


def test_nan_and_backward_times_are_ticks_that_the_gate_flags(make: Make) -> None:
    session = make()
    for value, second in [(1.0, 0), (np.nan, 1), (1.5, 2), (1.25, 1), (np.inf, 3), (1.75, 4)]:
        session.feed(value, START + second * SECOND)
    session.step(6)
    status = session.wait()
    assert (status.ticks, status.rejected, status.phase) == (6, 3, "paused")
    ds = session.history()
    np.testing.assert_array_equal(ds["rejected"], [False, True, False, True, True, False])
    np.testing.assert_array_equal(ds["out_of_order"], [False, False, False, True, False, False])


@pytest.mark.parametrize("bad", ["noon", 1.5, np.datetime64("NaT"), True])
def test_times_that_name_no_instant(make: Make, bad: Any) -> None:
    with pytest.raises(DomainError, match="timestamp"):
        make().feed(1.0, bad)


def test_a_full_buffer_says_so_and_keeps_what_it_has(make: Make) -> None:
    session = make(FeedSource(capacity=5))
    for k in range(5):
        session.feed(float(k), START + k)
    with pytest.raises(DomainError, match=r"value = 5\.0 found 5 ticks waiting, the bound"):
        session.feed(5.0)
    session.step(5)
    session.wait()
    np.testing.assert_array_equal(session.history()["observation"], np.arange(5.0))
    session.feed(5.0, START + 5)


def test_only_a_feed_is_fed(make: Make) -> None:
    with pytest.raises(DomainError, match=r"cannot be fed; make one with uspnb.Session\(\)"):
        make(WALK).feed(1.0)


def test_steps_wait_for_ticks_that_have_not_come(make: Make) -> None:
    session = make()
    session.step(3)
    session.feed(1.0)
    assert session.wait(until=1).phase == "running"
    with pytest.raises(TimeoutError, match=r"after 0.05 s the session is running at tick 1"):
        session.wait(timeout=0.05)
    session.feed(2.0)
    session.feed(3.0)
    session.feed(4.0)
    assert session.wait().ticks == 3
    until(lambda: session.status.waiting == 1)


def test_what_waited_for_the_session_is_not_stale(make: Make) -> None:
    session = make()
    session.step(1)
    session.feed(0.0)
    session.wait()
    for k in range(40):
        session.feed(WALK[k])
    time.sleep(0.7)  # beyond the least time to live, by the system's clock, which stamps the ticks
    session.run()
    session.wait(until=41)
    assert not session.history()["stale"].any()
    behind = time.time_ns()
    time.sleep(1.5)  # likewise
    session.feed(WALK[40], behind + SECOND // 10)  # old news while it ran
    session.wait(until=42)
    assert bool(session.history()["stale"][-1])


def test_silence_is_told_and_ends_by_itself(make: Make) -> None:
    session = make(silence_s=0.2)
    session.feed(1.0)
    session.run()
    session.wait(until=1)
    status = session.wait(phase="paused")
    assert status.message == "no tick for 0.2 s; it goes on by itself with the next one" and status.error is None
    session.feed(2.0)
    assert session.wait(phase="running").message == ""
    session.wait(until=2)
    assert [event["kind"] for event in session.events][:2] == ["silence", "silence"]
    session.wait(phase="paused")
    session.pause()
    session.wait()
    session.feed(3.0)
    # a pause asked for is not silence
    assert stays(lambda: session.status.phase == "paused" and session.status.ticks == 2)
    assert session.status.message == ""


def test_no_silence_where_none_is_asked_for(make: Make) -> None:
    session = make(silence_s=None)
    session.run()
    session.feed(1.0)
    session.wait(until=1)
    assert stays(lambda: session.status.phase == "running", 0.3)


def garbage() -> Iterator[Any]:
    for k in range(20):
        yield (float(WALK[k]), START + k * SECOND)
    yield "a line of text"
    for k in range(20, 40):
        yield (float(WALK[k]), START + k * SECOND)


def test_a_bad_item_pauses_and_nothing_else_is_lost(make: Make) -> None:
    session = make(garbage())
    session.run()
    status = session.wait()
    assert (status.phase, status.ticks, status.health) == ("paused", 20, "fault")
    assert "left out" in status.message and status.error == status.message
    assert session.events[-1]["kind"] == "fault" and session.events[-1]["tick"] == 20
    session.run()
    status = session.wait()
    assert (status.phase, status.ticks, status.error) == ("finished", 40, None)
    np.testing.assert_array_equal(session.history()["observation"], WALK[:40])


def test_an_iterator_that_raises_and_another_source(make: Make) -> None:
    def broken() -> Iterator[float]:
        yield 1.0
        raise ConnectionError("the cable is out")

    session = make(broken())
    session.run()
    status = session.wait()
    assert status.phase == "faulted" and status.ticks == 1 and "the cable is out" in status.message
    session.run()
    assert session.wait().phase in ("faulted", "finished")
    session.attach(None)
    assert session.wait().phase == "paused" and session.status.error is None
    session.feed(2.0)
    session.run()
    assert session.wait(until=2).ticks == 2
    assert [event["kind"] for event in session.events if event["kind"] == "source"] == ["source"]


class Flaky(FeedSource):
    """A live source whose start fails until its cable is in."""

    def __init__(self) -> None:
        super().__init__()
        self.plugged, self.starts = False, 0

    def start(self, wake: Callable[[], None]) -> None:
        self.starts += 1
        if not self.plugged:
            raise SourceFault("flaky", "the cable is out")
        super().start(wake)

    def take(self, most: int) -> Ticks:
        if not self.plugged:
            raise SourceFault("flaky", "the cable is out", can_continue=False)
        return super().take(most)


def test_run_tries_a_dead_source_again(make: Make) -> None:
    source = Flaky()
    session = make(source)
    source.put(1.0)
    session.run()
    assert session.wait().phase == "faulted"
    session.run()
    assert session.wait().phase == "faulted"
    source.plugged = True
    session.run()
    assert session.wait(until=1).phase == "running"
    source.plugged = False
    source.put(2.0)
    assert session.wait(phase="faulted").message == "flaky: the cable is out"
    source.plugged = True
    session.run()
    assert session.wait(until=2).ticks == 2 and source.starts == 4


def test_what_nobody_expected_is_told_and_the_thread_lives(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    session = make(WALK)
    session.step(10)
    session.wait()
    append = session._only.timeline.recording.append

    def fail(*_: object) -> None:
        raise MemoryError("no room for 128 rows")

    monkeypatch.setattr(session._only.timeline.recording, "append", fail)
    session.run()
    status = session.wait()
    assert (status.phase, status.ticks) == ("faulted", 10)
    assert status.message == "MemoryError: no room for 128 rows" == status.error
    assert "Traceback" in session.events[-1]["text"] and "MemoryError" in session.events[-1]["text"]
    monkeypatch.setattr(session._only.timeline.recording, "append", append)
    session.run()
    status = session.wait()
    assert (status.phase, status.ticks) == ("finished", 400)
    np.testing.assert_array_equal(session.history()["observation"], WALK)  # the ticks at hand were not lost


def test_a_fault_on_the_way_back_is_told_once_and_run_goes_on(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    session = make(WALK)
    session.run()
    session.wait()
    before, computation = session.history(), session._only.timeline
    recompute = computation.recompute

    def fail(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(computation, "recompute", fail)
    session.seek(300)
    assert session.wait().message == "MemoryError: no room" and session.status.phase == "faulted"
    assert stays(lambda: [event["kind"] for event in session.events] == ["seek", "fault"])
    monkeypatch.setattr(computation, "recompute", recompute)
    session.run()
    assert session.wait().phase == "finished"
    np.testing.assert_array_equal(session.history()["prediction"], before["prediction"])


def test_a_disk_that_is_full_pauses_the_session(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    session = make(random_walk(1500, 0), ring=256)
    archive = session._only.timeline.recording._archive
    assert archive is not None
    write = archive.write

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "write", full)
    session.run()
    status = session.wait()
    assert status.phase == "paused" and status.health == "fault" and 0 < status.ticks <= 256
    assert "archive of older ticks cannot be written (No space left on device)" in status.message
    assert "nothing is lost" in status.message and session.events[-1]["kind"] == "archive"
    assert session.history().sizes["time"] == status.ticks
    monkeypatch.setattr(archive, "write", write)
    session.run()
    assert session.wait().phase == "finished"
    assert session.history().sizes["time"] == 1500


def test_a_growing_file(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "grows.csv"
    rows = [f"{np.datetime64(START + k * SECOND, 'ns')},{WALK[k]!r}\n" for k in range(60)]
    path.write_text("time,value\n" + "".join(rows[:50]).replace("np.float64(", "").replace(")", ""))
    session = make(path, source_options={"follow": True, "poll_s": 0.05})
    session.run()
    assert session.wait(until=50).phase == "running"
    assert not session.history()["stale"].any()
    with path.open("a") as stream:
        stream.write("".join(rows[50:]).replace("np.float64(", "").replace(")", ""))
    assert session.wait(until=60).ticks == 60
    np.testing.assert_array_equal(session.history()["observation"], WALK[:60])


def test_a_mark_on_a_live_source(make: Make) -> None:
    session = make()
    for k in range(10):
        session.feed(WALK[k], START + k * SECOND)
    session.step(4)
    session.wait()
    early = session.mark("early")
    session.step(4)
    session.wait()
    late = session.mark("late")
    with pytest.raises(DomainError, match="is not kept and cannot be sought in"):
        session.seek(2)
    session.restore(early)
    assert session.wait().ticks == 4
    session.restore(late)
    status = session.wait()
    assert status.ticks == 4 and "lies beyond the end of history" in status.message
    session.run()
    session.wait(until=6)
    np.testing.assert_array_equal(session.history()["observation"], WALK[[0, 1, 2, 3, 8, 9]])
    assert not session.seekable and session.live and session.has_times
