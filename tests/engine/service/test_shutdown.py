"""Signals and the budget, in this process: nothing here ends it, for `leave` is a list."""

from __future__ import annotations

import signal
import threading

from waiting import PATIENCE_S, until

from uspnb.engine.service.shutdown import Deadline, StopSignals


class Heard:
    """What the signals caused."""

    def __init__(self) -> None:
        self.first: list[str] = []
        self.said: list[str] = []
        self.left: list[int] = []
        self.changed = threading.Event()

    def signals(self, budget_s: float) -> StopSignals:
        """The signals of a service with this budget."""

        def on_first(name: str) -> None:
            self.first.append(name)
            self.changed.set()

        def leave(code: int) -> None:
            self.left.append(code)
            self.changed.set()

        return StopSignals(Deadline(budget_s), on_first, self.said.append, leave)

    def wait(self) -> None:
        """Until the next thing is heard."""
        assert self.changed.wait(PATIENCE_S)
        self.changed.clear()


def test_first_signal_asks_and_the_second_ends() -> None:
    heard = Heard()
    before = signal.getsignal(signal.SIGTERM)
    with heard.signals(60.0):
        signal.raise_signal(signal.SIGTERM)
        heard.wait()
        assert (heard.first, heard.left) == (["SIGTERM"], [])
        signal.raise_signal(signal.SIGINT)
        heard.wait()
        assert (heard.first, heard.left) == (["SIGTERM"], [1])
        assert heard.said[-1] == "SIGINT again: leaving at once with what is on the disk"
    assert signal.getsignal(signal.SIGTERM) is before


def test_signal_is_heard_while_the_main_thread_is_inside_foreign_code() -> None:
    """A lock held in C stands for a compiler: Python runs no handler in there, and yet the signal is heard."""
    heard = Heard()
    blocked = threading.Lock()
    blocked.acquire()
    with heard.signals(60.0):
        sender = threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGTERM))
        releaser = threading.Thread(target=lambda: (heard.changed.wait(PATIENCE_S), blocked.release()))
        sender.start()
        releaser.start()
        blocked.acquire()  # returns only because the signal was heard elsewhere
        assert heard.first == ["SIGTERM"]


def test_budget_ends_a_process_that_does_not_finish() -> None:
    heard = Heard()
    with heard.signals(0.3):
        signal.raise_signal(signal.SIGTERM)
        heard.wait()
        heard.wait()
        assert heard.left == [1]
        assert "budget" in heard.said[-1]


def test_nothing_is_heard_after_an_end_in_time() -> None:
    heard = Heard()
    with heard.signals(60.0):
        signal.raise_signal(signal.SIGTERM)
        heard.wait()
    until(lambda: all(thread.name != "uspnb-signals" for thread in threading.enumerate()))
    assert heard.left == []


def test_deadline_counts_from_its_beginning() -> None:
    deadline = Deadline(10.0)
    assert (deadline.spent_s, deadline.left_s()) == (0.0, 10.0)
    deadline.begin()
    until(lambda: deadline.spent_s >= 0.02)
    deadline.begin()  # a second one changes nothing
    spent_s = deadline.spent_s
    assert spent_s >= 0.02 and deadline.left_s(0.5) <= 5.0 - spent_s
    assert Deadline(0.0).left_s() == 0.0
