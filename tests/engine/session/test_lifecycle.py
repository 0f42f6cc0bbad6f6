"""How a session begins, is shared, told by name, watched, and ends."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from default_columns import VIEW_COLUMNS
from waiting import NewThreads, until
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.engine.session import Session
from uspnb.errors import DomainError
from uspnb.model.records import ProcessState
from uspnb.predictor.backtest import backtest
from uspnb.predictor.universal import UniversalPredictor, replay_clock
from uspnb.runtime.digest import sha256_pytree

Make = Callable[..., Session]
SECOND = 10**9
START = 1_771_675_200 * SECOND
WALK = random_walk(600, 2)


@pytest.fixture
def threads() -> NewThreads:
    """Those of the sessions that the test begins."""
    return NewThreads("uspnb-")


def test_close_while_it_runs(make: Make, threads: NewThreads) -> None:
    session = make(np.tile(WALK, 100))
    session.subscribe(lambda: None)
    session.run()
    session.wait(until=1)
    session.close()
    assert session.status.phase == "closed" and until(lambda: not threads.names())
    for command in (lambda: session.feed(1.0), lambda: session.attach(WALK)):
        with pytest.raises(DomainError, match="the session is closed"):
            command()
    assert session.wait(phase="running").phase == "closed"


def test_a_session_is_a_context(make: Make, threads: NewThreads) -> None:
    with make(WALK, autostart=True) as session:
        assert session.wait(phase="finished").ticks == 600
    assert session.status.phase == "closed" and until(lambda: not threads.names())


def test_a_session_that_is_let_go_ends_its_thread(threads: NewThreads) -> None:
    gc.collect()
    session = Session(WALK, speed=50.0)
    session.run()
    session.wait(until=2)
    assert "uspnb-session" in threads.names()
    del session
    gc.collect()
    until(lambda: not threads.names())


def test_a_program_that_forgets_to_close_ends(tmp_path: Path) -> None:
    program = (
        "import numpy as np, uspnb\n"
        f"s = uspnb.Session(np.arange(100_000.0), archive={str(tmp_path / 'rows')!r})\n"
        "s.subscribe(lambda: None)\n"
        "s.run()\n"
        "s.wait(until=1)\n"
        "print('done', flush=True)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")


def test_a_predictor_is_held_and_given_back(make: Make) -> None:
    predictor, plain = UniversalPredictor(clock=replay_clock, history_limit=300), UniversalPredictor(clock=replay_clock)
    for one in (predictor, plain):
        for k in range(50):
            one.step(ProcessState(WALK[k], START + k * SECOND))
    session = make(None, predictor=predictor, name="tide")
    with pytest.raises(DomainError, match="a session on tide holds this predictor"):
        make(WALK, predictor=predictor)
    with pytest.raises(DomainError, match="step must wait: a session on tide holds this predictor and moves it on; cl"):
        predictor.step(ProcessState(1.0, START + 50 * SECOND))
    for k in range(50, 250):
        session.feed(WALK[k], START + k * SECOND)
    session.configure(confidence_level=0.9)
    session.run()
    session.wait(until=200)
    session.close()
    assert predictor.config.confidence_level == 0.9
    times = START + np.arange(600) * SECOND
    expected = UniversalPredictor(clock=replay_clock)
    expected.change_settings(predictor.functional, plain.state)
    for k in range(50, 250):
        expected.step(ProcessState(WALK[k], int(times[k])))
    assert sha256_pytree(predictor.state) == sha256_pytree(expected.state)
    ds = predictor.history()
    np.testing.assert_array_equal(ds["observation"], WALK[:250])
    np.testing.assert_array_equal(ds["time"], times[:250].astype("datetime64[ns]"))
    assert predictor.last_result is not None and int(predictor.last_result.telemetry.ticks) == 250
    predictor.step(ProcessState(WALK[250], int(times[250])))
    with make(WALK, predictor=predictor) as second:  # free again
        second.step()
        second.wait()


def test_a_predictor_gets_back_the_tick_that_was_gone_to(make: Make) -> None:
    predictor = UniversalPredictor()
    session = make(WALK, predictor=predictor)
    session.run()
    session.wait()
    session.seek(130)
    session.close()  # before it is there
    assert int(predictor.state.ticks) == 130 and predictor.history().sizes["time"] == 130
    np.testing.assert_array_equal(predictor.history()["observation"], WALK[:130])


def test_a_session_that_did_nothing_gives_the_predictor_back(make: Make) -> None:
    predictor = UniversalPredictor(clock=replay_clock)
    predictor.step(ProcessState(1.0, START))
    before = sha256_pytree(predictor.state)
    make(predictor=predictor).close()
    assert sha256_pytree(predictor.state) == before
    predictor.step(ProcessState(1.5, START + SECOND))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"ring": 10}, r"ring = 10 must be a whole number from 256 to"),
        ({"ring": 1e6}, "ring"),
        ({"speed": 0}, r"speed = 0 must be a finite number from 0\.001 to"),
        ({"speed": -1.0}, "speed"),
        ({"speed": np.inf}, "speed"),
        ({"speed": "fast"}, "speed = 'fast' must be a finite number"),
        ({"silence_s": 0}, "silence_s"),
        ({"predictor": "p"}, "predictor has type str, expected UniversalPredictor"),
        ({"source": 5}, "an int is not a source of ticks|a int is not a source of ticks"),
        ({"source": np.ones((4, 2))}, "choose one of them"),
        ({"archive": __file__}, "cannot be made"),
        ({"source_options": {"poll": 1}}, "has no option 'poll'"),
    ],
    ids=str,
)
def test_what_cannot_be_begun(options: dict[str, Any], error: str, threads: NewThreads) -> None:
    before = threads.names()
    with pytest.raises(DomainError, match=error):
        Session(**options)
    assert threads.names() == before


def test_a_predictor_brings_its_settings() -> None:
    predictor = UniversalPredictor()
    with pytest.raises(DomainError, match="brings its own settings"):
        Session(WALK, PredictorConfig(), predictor=predictor)
    Session(WALK, predictor=predictor).close()


def test_what_it_says_of_itself(make: Make) -> None:
    session = make(WALK, name="<tide>", units="m")
    session.step(3)
    status = session.wait()
    assert (status.ticks, status.total, status.waiting) == (3, 600, 597)
    assert repr(session) == "Session('<tide>', paused, 3 of 600 ticks)"
    page = session._repr_html_()
    assert "&lt;tide&gt; [m]" in page and "3 of 600" in page and "uspnb.PredictorConfig()" in page
    assert session.confidence_level == 0.95 and session.holder_threshold == 0.4
    assert set(map(type, session.reasons.values())) == {str} and not session.has_times


def test_rows_of_a_view(make: Make) -> None:
    session = make(WALK, ring=256)
    assert session.view_rows(0, 10)[1].shape == (0, len(VIEW_COLUMNS))
    session.run()
    session.wait()
    reference = backtest(WALK, progress=False)
    for start, stop in [(0, 600), (590, 600), (100, 400), (400, 10_000), (-50, 20)]:
        ready, near = session.view_rows(start, stop)
        assert ready == min(max(start, 600 - 256), ready + len(near)) and len(near) <= 256
        first, rows = session.past_view_rows(start, stop)
        np.testing.assert_array_equal(near, rows[len(rows) - len(near) :])
        assert first == max(start, 0) and first + len(rows) == min(stop, 600)
        for name in ("observation", "prediction", "holder_exponent"):
            shown = rows[:, VIEW_COLUMNS.index(name)]
            np.testing.assert_array_equal(shown, reference[name][first : first + len(rows)])


def test_subscribers_are_told_by_one_thread_and_dropped_when_they_raise(make: Make) -> None:
    session, called, by = make(WALK, speed=400.0), [], set()

    def watch() -> None:
        called.append(session.status.ticks)
        by.add(threading.current_thread().name)

    def broken() -> None:
        raise KeyError("x")

    end_watch = session.subscribe(watch)
    session.subscribe(broken)
    session.run()
    assert session.wait().phase == "finished"
    assert by == {"uspnb-publisher"}
    assert 1 < len(called) < 600 and called == sorted(called)  # thirty times a second, not at each tick
    (event,) = [event for event in session.events if event["kind"] == "subscriber"]
    assert "a subscriber raised KeyError: 'x'; it is no longer called" in event["text"]
    end_watch()
    end_watch()
    later: list[int] = []
    session.subscribe(lambda: later.append(session.status.ticks))
    session.seek(10)
    until(lambda: 10 in later)
    before = len(called)
    session.seek(0)
    until(lambda: 0 in later)
    assert len(called) == before
    with pytest.raises(DomainError, match="callback has type str, which cannot be called"):
        session.subscribe("watch")


def test_a_subscriber_may_close_the_session(make: Make, threads: NewThreads) -> None:
    session = make(WALK, speed=100.0)
    session.subscribe(lambda: session.close() if session.status.ticks > 5 else None)
    session.run()
    assert session.wait(phase="closed").ticks > 5
    until(lambda: not threads.names())


def test_the_last_word_is_published(make: Make) -> None:
    session, phases = make(WALK), []
    session.subscribe(lambda: phases.append(session.status.phase))
    session.run()
    session.wait()
    session.close()
    assert phases[-1] == "closed"


def test_commands_from_many_threads(make: Make) -> None:
    """Whatever comes in whatever order, the record stays the replay's own."""
    session, errors = make(np.tile(WALK, 5)), []

    def meddle(seed: int) -> None:
        rng = np.random.default_rng(seed)
        commands = [
            session.run,
            session.pause,
            session.toggle,
            lambda: session.step(int(rng.integers(1, 300))),
            lambda: session.seek(int(rng.integers(0, 1500))),
            lambda: session.set_speed(None if rng.random() < 0.5 else 5000.0),
            lambda: session.history() if session.rows_ready else None,
            session.alarms,
        ]
        for _ in range(25):
            try:
                commands[rng.integers(len(commands))]()
            except DomainError as error:  # history that was cut while it was read
                if "history was read" not in str(error) and "no ticks" not in str(error):
                    errors.append(error)
            time.sleep(float(rng.random()) * 0.02)  # so that a command meets the session in every state

    meddlers = [threading.Thread(target=meddle, args=(seed,)) for seed in range(3)]
    for meddler in meddlers:
        meddler.start()
    for meddler in meddlers:
        meddler.join()
    session.pause()
    session.wait()
    session.seek(1200)
    session.set_speed(None)
    status = session.wait()
    assert not errors and status.error is None and status.ticks == 1200
    reference = backtest(np.tile(WALK, 2), progress=False)
    ours = session.history()
    for name in ("prediction", "weight", "alarm", "upper", "kernel_scale"):
        np.testing.assert_array_equal(ours[name], reference[name])
    assert status.alarms == int(reference["alarm"].sum())
