"""A session's ticks as frames, against a model of a front end that counts every tick."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest
from stand_ins import StandInSession

from uspnb.errors import DomainError
from uspnb.widgets.link import Frames
from uspnb.widgets.live_link import HEADER, LIVE, WINDOW, TickFrames


class Page:
    """A front end: keeps what has come, counts what has not, acknowledges when told to."""

    def __init__(self) -> None:
        self.frames: list[dict[str, float]] = []
        self.windows: list[np.ndarray] = []
        self.next: int | None = None
        self.ticks: list[int] = []
        self.gaps = 0

    def receive(self, frame: bytes) -> None:
        numbers = np.frombuffer(frame, "<f8")
        header: dict[str, float] = dict(zip(HEADER, numbers[: len(HEADER)].tolist(), strict=True))
        rows = numbers[len(HEADER) :].reshape(int(header["count"]), int(header["columns"]))
        if header["kind"] == WINDOW:
            self.windows.append(rows)
            return
        assert header["kind"] == LIVE
        assert not self.frames or header["seq"] > self.frames[-1]["seq"]
        self.frames.append(header)
        if header["reset"]:
            self.next, self.ticks = int(header["first_tick"]), []
        assert self.next is not None, "the first frame after a hello starts afresh"
        if header["first_tick"] != self.next:
            self.gaps += int(header["first_tick"]) - self.next
        np.testing.assert_array_equal(rows[:, 0], header["first_tick"] + np.arange(len(rows)))
        self.ticks += rows[:, 0].astype(int).tolist()
        self.next = int(header["first_tick"]) + len(rows)

    def acknowledge(self, stream: Frames) -> None:
        stream.acknowledge(int(self.frames[-1]["seq"]))


class Stream(Frames):
    """Frames of a session's ticks."""

    def __init__(self, session: Any, page: Page, rows: int) -> None:
        self.ticks = TickFrames(session, rows)
        super().__init__(self.ticks.next_frame, page.receive)

    def window(self, first: int) -> None:
        self.send_aside(self.ticks.window(first))


def watched(ring: int = 1_000, rows: int = 100) -> tuple[StandInSession, Page, Stream]:
    session, page = StandInSession(ring), Page()
    return session, page, Stream(session, page, rows)


def test_a_new_front_end_gets_the_window_and_no_more() -> None:
    session, page, stream = watched(rows=100)
    session.rows_ready = 750
    stream.hello("a")
    assert page.ticks == list(range(650, 750))
    assert page.gaps == 0


def test_an_older_window_takes_no_credit_and_leaves_the_live_ticks_alone() -> None:
    session, page, stream = watched(ring=1_000, rows=100)
    session.rows_ready = 900
    stream.hello("a")
    session.rows_ready = 905
    stream.pump()
    assert stream.in_flight == 2
    stream.window(200)
    stream.window(-7)
    stream.window(10_000)
    assert [(rows[0, 0], len(rows)) for rows in page.windows] == [(200, 100), (0, 100), (904, 1)]
    assert stream.in_flight == 2
    page.acknowledge(stream)
    session.rows_ready = 910
    stream.pump()
    assert page.ticks == list(range(800, 910)) and page.gaps == 0


def test_a_lag_beyond_the_memory_of_the_session_is_counted_not_hidden() -> None:
    session, page, stream = watched(ring=50, rows=100)
    session.rows_ready = 10
    stream.hello("a")
    session.rows_ready = 11
    stream.pump()
    session.rows_ready = 500
    stream.pump()
    page.acknowledge(stream)
    assert page.ticks[-50:] == list(range(450, 500))
    assert page.gaps == stream.ticks.missing == 450 - 11
    assert page.frames[-1]["missing"] == 450 - 11


def test_a_long_lag_travels_in_frames_of_bounded_length() -> None:
    session, page, stream = watched(ring=1_000, rows=100)
    stream.hello("a")
    session.rows_ready = 950
    while page.next != 950:
        stream.pump()
        page.acknowledge(stream)
    assert max(header["count"] for header in page.frames) == 100
    assert page.ticks == list(range(950)) and page.gaps == 0


def test_a_cut_of_history_resets_the_page_even_where_it_has_been_outrun() -> None:
    session, page, stream = watched(rows=100)
    session.rows_ready = 60
    stream.hello("a")
    page.acknowledge(stream)
    session.cut(to=20)
    session.rows_ready = 80
    stream.pump()
    assert page.frames[-1]["reset"] == 1
    assert page.ticks == list(range(80))
    assert page.gaps == 0


def test_sizes_must_make_sense() -> None:
    with pytest.raises(DomainError, match="rows = 0"):
        TickFrames(StandInSession(), rows=0)  # type: ignore[arg-type]


def test_many_threads_lose_no_tick_and_repeat_none() -> None:
    session, page, stream = watched(ring=100_000, rows=500)
    stream.hello("a")
    done = threading.Event()
    failures: list[BaseException] = []

    def guarded(action) -> threading.Thread:
        def run() -> None:
            try:
                action()
            except BaseException as error:
                failures.append(error)

        return threading.Thread(target=run)

    def publish() -> None:
        for ready in range(1, 4_001):
            session.rows_ready = ready
            if ready % 3 == 0:
                stream.pump()
        done.set()

    def pump_too() -> None:
        while not done.is_set():
            stream.pump()

    def acknowledge() -> None:
        draw = random.Random(5)
        while not done.is_set() or page.next != 4_000:
            if draw.random() < 0.5:
                page.acknowledge(stream)
            stream.pump()

    threads = [guarded(action) for action in (publish, pump_too, pump_too, acknowledge, acknowledge)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert page.ticks == list(range(4_000))
    assert page.gaps == 0
