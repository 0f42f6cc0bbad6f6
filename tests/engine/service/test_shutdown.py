"""Signals and the budget, in this process: nothing here ends it, for `leave` is a list."""

from __future__ import annotations

import signal
import threading
import time

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
        assert self.changed.wait(5.0)
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
        releaser = threading.Thread(target=lambda: (heard.changed.wait(5.0), blocked.release()))
        sender.start()
        releaser.start()
        began = time.monotonic()
        blocked.acquire()  # returns only because the signal was heard elsewhere
        assert 0.1 < time.monotonic() - began < 4.0
        assert heard.first == ["SIGTERM"]


def test_budget_ends_a_process_that_does_not_finish() -> None:
    heard = Heard()
    with heard.signals(0.3):
        signal.raise_signal(signal.SIGTERM)
        heard.wait()
        began = time.monotonic()
        heard.wait()
        assert heard.left == [1] and time.monotonic() - began < 2.0
        assert "budget" in heard.said[-1]


def test_nothing_is_heard_after_an_end_in_time() -> None:
    heard = Heard()
    with heard.signals(0.2):
        signal.raise_signal(signal.SIGTERM)
        heard.wait()
    time.sleep(0.4)
    assert heard.left == []


def test_deadline_counts_from_its_beginning() -> None:
    deadline = Deadline(10.0)
    time.sleep(0.02)
    assert (deadline.spent_s, deadline.left_s()) == (0.0, 10.0)
    deadline.begin()
    time.sleep(0.02)
    deadline.begin()  # a second one changes nothing
    assert 0.02 <= deadline.spent_s < 1.0
    assert deadline.left_s(0.5) == 5.0 - deadline.spent_s or abs(deadline.left_s(0.5) - 5.0 + deadline.spent_s) < 0.1
    assert Deadline(0.0).left_s() == 0.0
