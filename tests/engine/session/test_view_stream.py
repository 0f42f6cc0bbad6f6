"""The credit protocol against a model of a front end that counts every tick."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import pytest

from uspnb.engine import frames as view_stream
from uspnb.engine.frames import HEADER, LIVE, WINDOW, ViewStream
from uspnb.engine.views import VIEW_COLUMNS
from uspnb.errors import DomainError

WIDTH = len(VIEW_COLUMNS)


class Ticks:
    """A session that only counts: row t holds t in its first column and the revision in its second."""

    def __init__(self, ring: int = 1_000) -> None:
        self.ring, self.rows_ready, self.revision = ring, 0, 0

    def view_rows(self, first: int, stop: int) -> tuple[int, np.ndarray]:
        ready = self.rows_ready
        first = max(first, ready - self.ring, 0)
        tick = np.arange(first, max(first, min(stop, ready)), dtype=float)
        rows = np.zeros((len(tick), WIDTH))
        rows[:, 0], rows[:, 1] = tick, self.revision
        return first, rows

    def cut(self, to: int) -> None:
        self.rows_ready = to
        self.revision += 1


class Page:
    """A front end: keeps what has come, counts what has not, acknowledges when told to."""

    def __init__(self) -> None:
        self.frames: list[dict[str, float]] = []
        self.windows: list[np.ndarray] = []
        self.next: int | None = None
        self.seen: list[int] = []
        self.gaps = 0
        self.most_in_flight = 0
        self.acknowledged = 0

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
        self.most_in_flight = max(self.most_in_flight, int(header["seq"]) - self.acknowledged)
        if header["reset"]:
            self.next, self.seen = int(header["first_tick"]), []
        assert self.next is not None, "the first frame after a hello starts afresh"
        if header["first_tick"] != self.next:
            self.gaps += int(header["first_tick"]) - self.next
        np.testing.assert_array_equal(rows[:, 0], header["first_tick"] + np.arange(len(rows)))
        self.seen += rows[:, 0].astype(int).tolist()
        self.next = int(header["first_tick"]) + len(rows)

    def acknowledge(self, stream: ViewStream) -> None:
        self.acknowledged = int(self.frames[-1]["seq"])
        stream.acknowledge(self.acknowledged)


def watched(ring: int = 1_000, rows: int = 100) -> tuple[Ticks, Page, ViewStream]:
    session, page = Ticks(ring), Page()
    return session, page, ViewStream(session, page.receive, rows=rows)


def test_nothing_is_sent_before_a_front_end_says_hello() -> None:
    session, page, stream = watched()
    session.rows_ready = 5
    stream.pump()
    assert page.frames == []
    stream.hello("a")
    assert page.seen == [0, 1, 2, 3, 4]
    assert page.frames[0]["reset"] == 1 and page.frames[0]["latest_tick"] == 5


def test_a_new_front_end_gets_the_window_and_no_more() -> None:
    session, page, stream = watched(rows=100)
    session.rows_ready = 750
    stream.hello("a")
    assert page.seen == list(range(650, 750))
    assert page.gaps == 0


def test_two_frames_are_out_at_most_and_the_ticks_of_the_meantime_travel_together() -> None:
    session, page, stream = watched()
    stream.hello("a")
    for ready in range(1, 51):
        session.rows_ready = ready
        stream.pump()
    assert len(page.frames) == 2 and stream.in_flight == 2
    assert page.seen == [0]
    page.acknowledge(stream)
    assert len(page.frames) == 3
    assert page.frames[-1]["count"] == 49
    assert page.seen == list(range(50))
    assert page.most_in_flight == 2


def test_an_acknowledgement_covers_all_frames_before_it_and_an_old_one_covers_nothing() -> None:
    session, _, stream = watched()
    stream.hello("a")
    session.rows_ready = 1
    stream.pump()
    assert stream.in_flight == 2
    stream.acknowledge(2)
    assert stream.in_flight == 0
    session.rows_ready = 2
    stream.pump()
    stream.acknowledge(1)
    assert stream.in_flight == 1


def test_nothing_new_sends_nothing() -> None:
    session, page, stream = watched()
    session.rows_ready = 3
    stream.hello("a")
    for _ in range(5):
        stream.pump()
        page.acknowledge(stream)
    assert len(page.frames) == 1


def test_hello_in_mid_flight_starts_afresh_and_late_acknowledgements_free_nothing() -> None:
    session, page, stream = watched(rows=100)
    session.rows_ready = 10
    stream.hello("a")
    session.rows_ready = 20
    stream.pump()
    assert stream.in_flight == 2
    stream.hello("b")
    assert stream.client == "b"
    assert page.frames[-1]["reset"] == 1 and page.seen == list(range(20))
    assert stream.in_flight == 1
    stream.acknowledge(2)  # from the page that has gone
    assert stream.in_flight == 1
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
    assert page.seen == list(range(800, 910)) and page.gaps == 0


def test_a_lag_beyond_the_memory_of_the_session_is_counted_not_hidden() -> None:
    session, page, stream = watched(ring=50, rows=100)
    session.rows_ready = 10
    stream.hello("a")
    session.rows_ready = 11
    stream.pump()
    session.rows_ready = 500
    stream.pump()
    page.acknowledge(stream)
    assert page.seen[-50:] == list(range(450, 500))
    assert page.gaps == stream.missing == 450 - 11
    assert page.frames[-1]["missing"] == 450 - 11


def test_a_long_lag_travels_in_frames_of_bounded_length() -> None:
    session, page, stream = watched(ring=1_000, rows=100)
    stream.hello("a")
    session.rows_ready = 950
    while page.next != 950:
        stream.pump()
        page.acknowledge(stream)
    assert max(header["count"] for header in page.frames) == 100
    assert page.seen == list(range(950)) and page.gaps == 0


@pytest.mark.parametrize("outrun", [False, True])
def test_a_cut_of_history_resets_the_page_even_where_it_has_been_outrun(outrun: bool) -> None:
    session, page, stream = watched(rows=100)
    session.rows_ready = 60
    stream.hello("a")
    page.acknowledge(stream)
    session.cut(to=20)
    if outrun:
        session.rows_ready = 80
    stream.pump()
    assert page.frames[-1]["reset"] == 1
    assert page.seen == list(range(80 if outrun else 20))
    assert page.gaps == 0


def test_a_frame_that_is_never_acknowledged_is_called_lost_and_a_hello_mends_it(monkeypatch) -> None:
    session, page, stream = watched()
    session.rows_ready = 5
    stream.hello("a")
    session.rows_ready = 6
    stream.pump()
    assert not stream.lost
    began = time.monotonic()
    monkeypatch.setattr(view_stream.time, "monotonic", lambda: began + 11.0)
    session.rows_ready = 9
    stream.pump()
    assert stream.lost and len(page.frames) == 2
    stream.hello("a")
    assert not stream.lost and page.seen == list(range(9))


def test_a_closed_stream_is_silent() -> None:
    session, page, stream = watched()
    stream.hello("a")
    stream.close()
    session.rows_ready = 9
    stream.pump()
    stream.window(0)
    stream.hello("b")
    assert len(page.frames) == 1


def test_sizes_must_make_sense() -> None:
    with pytest.raises(DomainError, match="rows = 0"):
        ViewStream(Ticks(), print, rows=0)


def test_many_threads_lose_no_tick_and_repeat_none() -> None:
    session = Ticks(ring=100_000)
    page = Page()
    stream = ViewStream(session, page.receive, rows=500)
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
            time.sleep(0)

    threads = [guarded(action) for action in (publish, pump_too, pump_too, acknowledge, acknowledge)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert failures == []
    assert page.seen == list(range(4_000))
    assert page.gaps == 0
