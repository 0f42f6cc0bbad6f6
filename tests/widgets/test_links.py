"""One battery over the three links: credits, clients, commands, status, errors, bad messages, close.

Each link stands on a stand-in, see stand_ins.py; what only one of them does is tested beside its view.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from stand_ins import Posts, StandInCampaign, StandInFleet, StandInSession, campaign_status
from waiting import until

from uspnb.widgets import link, tuning_link
from uspnb.widgets.fleet_link import FleetLink
from uspnb.widgets.link import CREDITS, Frames, Link
from uspnb.widgets.live_link import LiveLink
from uspnb.widgets.tuning_link import TuningLink


class Case:
    """One link, what it watches, and what a front end hears.

    `commands` are two that are accepted, with their values; `refused` is one that is not.
    """

    commands: tuple[tuple[str, Any], tuple[str, Any]] = (("step", 1), ("pause", None))
    refused = "bad"
    watched: Any
    link: Link

    def __init__(self) -> None:
        self.posts = Posts()
        self._numbers = itertools.count(1)

    def grow(self) -> None:
        """One tick or trial more."""
        self.watched.rows_ready += 1
        self.watched.values["ticks"] = self.watched.rows_ready
        self.watched.publish()

    def enter(self, phase: str) -> None:
        """Another phase, which no other news comes with."""
        self.watched.values["phase"] = phase
        self.watched.publish()

    def cut(self, to: int) -> None:
        """Take the ticks or trials back."""
        self.watched.cut(to)
        self.watched.publish()

    def count(self, status: dict[str, Any]) -> int:
        """Ticks or trials of a status."""
        return status["ticks"]

    def until_read(self, count: int) -> None:
        """Until a link that works in a thread of its own has read so many ticks or trials."""
        until(lambda: self.count(self.link.read_status()) == count)

    def settle(self) -> None:
        """Until a link that works in a thread of its own has nothing left to do."""

    def spans(self) -> list[tuple[bool, int, int]]:
        """Of each frame: whether it replaces everything, its first tick or trial, and how many."""
        heads = [np.frombuffer(frame, "<f8")[:4] for frame in self.posts.of("frame")]
        return [(bool(reset), int(first), int(count)) for _, reset, first, count in heads]

    def hello(self, client: str) -> None:
        self.link.receive("hello", {"client": client, "id": next(self._numbers)})
        self.settle()

    def command(self, client: str, *numbered: tuple[int, str, Any]) -> None:
        """The last of these commands, with those before it."""
        recent = [{"id": number, "name": name, "value": value} for number, name, value in numbered]
        self.link.receive("command", recent[-1] | {"client": client, "recent": recent})


class LiveCase(Case):
    def __init__(self) -> None:
        super().__init__()
        self.watched = StandInSession()
        self.link = LiveLink(self.watched, self.posts, rows=1_000)
        self.grow()


class FleetCase(Case):
    def __init__(self) -> None:
        super().__init__()
        self.watched = StandInFleet()
        self.link = FleetLink(self.watched, self.posts)
        self.grow()


class TuningCase(Case):
    commands = (("start", 40), ("pause", None))
    refused = "resume"

    def __init__(self) -> None:
        super().__init__()
        self.watched = StandInCampaign()
        self.watched.trials = 0
        self.link = TuningLink(self.watched, self.posts)
        self.grow()

    def grow(self) -> None:
        self.watched.trials += 1
        self.watched.now = self.watched.now._replace(trials=self.watched.trials)
        self.watched.publish()

    def cut(self, to: int) -> None:
        self.watched.trials = to
        self.watched.now = self.watched.now._replace(trials=to)
        self.watched.publish()

    def enter(self, phase: str) -> None:
        self.watched.now = campaign_status(state=phase, trials=self.watched.trials)
        self.watched.publish()
        self.settle()

    def count(self, status: dict[str, Any]) -> int:
        return status["trials"]

    def settle(self) -> None:
        # An act comes first in each round of the link's thread: at the second reply the first round is over.
        for _ in range(2 if self.watched.callbacks else 0):
            before = len(self.posts.of("reply"))
            self.command("settling", (next(self._numbers), "undo", None))
            self.posts.until("reply", lambda _, before=before: len(self.posts.of("reply")) > before)


@pytest.fixture(params=[LiveCase, FleetCase, TuningCase])
def case(request, monkeypatch) -> Iterator[Case]:
    monkeypatch.setattr(tuning_link, "BOARD_PERIOD_S", 0.0)
    opened: Case = request.param()
    opened.link.start()
    yield opened
    opened.link.close()


# -- frames -------------------------------------------------------------------------------------------------------


def test_nothing_is_sent_before_a_front_end_says_hello(case: Case) -> None:
    case.grow()
    case.settle()
    assert case.spans() == []
    case.hello("a")
    assert case.spans() == [(True, 0, 2)]


def test_credits_bound_what_is_under_way_and_the_rest_travels_together(case: Case) -> None:
    case.hello("a")
    for _ in range(7):
        case.grow()
        case.settle()
    assert case.spans() == [(True, 0, 1), (False, 1, 1)]
    assert case.link.frames.in_flight == CREDITS
    case.link.receive("acknowledged", 1)
    assert case.spans()[2:] == [(False, 2, 6)] and case.link.frames.in_flight == CREDITS


def test_an_acknowledgement_covers_all_frames_before_it_and_nothing_new_sends_nothing(case: Case) -> None:
    case.hello("a")
    case.grow()
    case.settle()
    case.link.receive("acknowledged", 2)
    assert case.link.frames.in_flight == 0
    case.watched.publish()
    case.settle()
    assert len(case.spans()) == 2


def test_a_new_front_end_is_sent_everything_and_late_acknowledgements_free_nothing(case: Case) -> None:
    case.hello("a")
    case.grow()
    case.settle()
    assert case.link.frames.in_flight == 2
    case.hello("b")
    assert case.spans()[2:] == [(True, 0, 2)] and case.link.frames.in_flight == 1
    case.link.receive("acknowledged", 2)
    assert case.link.frames.in_flight == 1
    assert case.link.frames.client == "b"


def test_history_that_was_taken_back_is_shown_so(case: Case) -> None:
    case.hello("a")
    for _ in range(5):
        case.grow()
        case.settle()
        case.link.receive("acknowledged", 100)
    case.cut(3)
    case.settle()
    _, first, count = case.spans()[-1]
    assert first + count == 3
    if isinstance(case, TuningCase):
        return
    case.watched.cut(2)
    case.grow()  # as many as the front end has, of another history
    assert case.spans()[-1] == (True, 0, 3)


# -- commands -----------------------------------------------------------------------------------------------------


def test_merged_and_repeated_commands_are_carried_out_once_each(case: Case) -> None:
    case.hello("a")
    (first, value), (second, other) = case.commands
    one, two = (1, first, value), (2, second, other)
    case.command("a", one)
    case.command("a", one, two)
    case.command("a", one, two)
    assert case.watched.commands == list(case.commands)


def test_each_front_end_has_its_own_counter(case: Case) -> None:
    """After one front end sent commands 1 to 5, command 1 of another is no repetition."""
    first, second = case.commands
    case.hello("a")
    case.command("a", *((number, *first) for number in range(1, 6)))
    case.command("b", (1, *second))
    assert case.watched.commands == [first] * 5 + [second]


def test_a_front_end_that_says_hello_again_repeats_nothing(case: Case) -> None:
    first, second = case.commands
    case.hello("a")
    case.command("a", (1, *first), (2, *first))
    case.hello("b")
    case.hello("a")
    case.command("a", (1, *first), (2, *first), (3, *second))
    assert case.watched.commands == [first, first, second]


def test_a_refused_command_is_answered_to_its_sender_and_the_next_one_clears_it(case: Case) -> None:
    first, _ = case.commands
    case.hello("a")
    case.command("b", (1, case.refused, None))
    notice = case.posts.until("status", lambda status: status and status["notice"])["notice"]
    assert notice["client"] == "b" and notice["refused"] and notice["text"] == case.link.refused
    assert "bad" in notice["text"] or "not paused" in notice["text"]
    case.command("b", (2, *first))
    assert case.link.refused == "" and case.watched.commands == [first]


def test_a_ping_is_answered_and_reaches_nobody_else(case: Case) -> None:
    case.command("a", (4, "ping", None))
    case.command("a", (4, "ping", None), (5, "ping", None))
    answered = [status["pong"][0] for status in case.posts.of("status") if status["pong"]]
    assert list(dict.fromkeys(answered)) == [4, 5] and case.watched.commands == []


def test_commands_of_many_threads_are_carried_out_once_each(case: Case) -> None:
    first, _ = case.commands
    gate = threading.Barrier(4)

    def send(client: str) -> None:
        gate.wait()
        for number in range(1, 26):
            case.command(client, *((k, *first) for k in range(max(1, number - 3), number + 1)))

    threads = [threading.Thread(target=send, args=(client,)) for client in ("a", "b", "a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert case.watched.commands == [first] * 50


# -- status -------------------------------------------------------------------------------------------------------


def test_a_new_phase_is_told_at_once(case: Case) -> None:
    name = "state" if isinstance(case, TuningCase) else "phase"
    for phase in ("running", "paused", "stopped"):
        case.enter(phase)
        assert case.posts.last("status")[name] == phase


def test_a_burst_is_told_once_when_the_pause_is_over(case: Case, monkeypatch) -> None:
    case.hello("a")
    case.enter("running")
    monkeypatch.setattr(case.link._throttle, "_interval", 3600.0)
    before = len(case.posts.of("status"))
    for _ in range(20):
        case.grow()
    case.until_read(21)
    assert len(case.posts.of("status")) == before
    case.link._throttle._late()
    assert [case.count(status) for status in case.posts.of("status")[before:]] == [21]


def test_the_last_status_always_arrives(case: Case) -> None:
    case.hello("a")
    case.enter("running")
    for _ in range(20):
        case.grow()
    case.posts.until("status", lambda status: case.count(status) == 21)


def test_what_json_cannot_say_is_none(case: Case) -> None:
    if isinstance(case, TuningCase):
        case.watched.now = campaign_status(state="running", best_value=float("nan"))
        case.watched.publish()
        case.settle()
        assert case.posts.last("status")["best_value"] is None
        return
    case.watched.values |= {"rate": float("nan"), "speed": float("inf")}
    case.enter("running")
    status = case.posts.last("status")
    assert status["rate"] is None and status["speed"] is None


# -- bad messages and the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("acknowledged", "much"),
        ("acknowledged", -1),
        ("hello", ["a"]),
        ("hello", {"id": 1}),
        ("command", "step"),
        ("command", {"client": "a", "name": "step", "id": "one"}),
        ("command", {"client": "a", "name": 7, "id": 1}),
        ("command", {"client": {}, "name": "step", "id": 1}),
        ("command", {"client": "a", "recent": {"name": "step", "id": 1}}),
        ("command", {"client": "a", "recent": [{"name": "step", "id": 1}, 3]}),
        ("colour", {"name": "red"}),
    ],
)
def test_a_bad_message_is_refused_in_words_and_does_no_harm(case: Case, name: str, value: Any) -> None:
    first, _ = case.commands
    case.hello("a")
    case.link.receive(name, value)
    notice = case.posts.until("status", lambda status: status and status["notice"])["notice"]
    assert "was not understood" in notice["text"] and case.watched.commands == []
    case.command("a", (1, *first))
    assert case.watched.commands == [first]


def test_a_closed_link_is_silent_and_no_longer_called(case: Case) -> None:
    case.hello("a")
    case.watched.publish()
    case.link.close()
    assert case.watched.callbacks == []
    before = len(case.posts.all)
    case.link.changed()
    case.link.tell(at_once=True)
    case.link.notice("too late")
    case.link.receive("hello", {"client": "b", "id": 9})
    case.command("a", (1, *case.commands[0]))
    case.link.start()
    assert len(case.posts.all) == before and case.watched.commands == [] and case.watched.callbacks == []


def test_a_timer_that_runs_out_after_the_close_tells_nothing(case: Case) -> None:
    case.enter("running")
    case.link.close()
    before = len(case.posts.all)
    case.link._throttle._late()
    assert len(case.posts.all) == before


# -- frames by themselves -----------------------------------------------------------------------------------------


def test_there_is_at_least_one_credit() -> None:
    with pytest.raises(link.DomainError, match="credits = 0"):
        Frames(lambda seq, reset: None, lambda frame: None, credits=0)


def test_a_frame_that_was_asked_for_takes_a_number_and_no_credit() -> None:
    sent: list[bytes] = []
    frames = Frames(lambda seq, reset: b"news" if reset else None, sent.append)
    frames.send_aside(lambda seq: b"nobody looks")
    frames.hello("a")
    frames.send_aside(lambda seq: f"aside {seq}".encode())
    assert sent == [b"news", b"aside 2"] and frames.in_flight == 1
    frames.close()
    frames.send_aside(lambda seq: b"closed")
    frames.hello("b")
    assert len(sent) == 2 and frames.in_flight == 0


def test_the_counters_of_clients_of_long_ago_are_let_go() -> None:
    commands = link.Commands()
    for number in range(10 * link.MOST_CLIENTS):
        assert len(commands.take_new(f"client {number}", [link.Command(1, "step")])) == 1
    assert len(commands._done) == link.MOST_CLIENTS
