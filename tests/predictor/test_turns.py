"""A lock that is first come, first served."""

from __future__ import annotations

import threading

import pytest
from waiting import until

from uspnb.predictor.universal import Turns


def test_threads_get_it_in_the_order_in_which_they_asked() -> None:
    turns, order, threads = Turns(), [], []

    def take(place: int) -> None:
        with turns:
            order.append(place)

    with turns:
        for place in range(8):
            threads.append(threading.Thread(target=take, args=(place,)))
            threads[-1].start()
            until(lambda waiting=place + 1: len(turns._waiting) == waiting)
        assert order == []
    for thread in threads:
        thread.join()
    assert order == list(range(8))


def test_its_owner_may_take_it_again_while_others_wait() -> None:
    turns, done = Turns(), threading.Event()

    def take() -> None:
        with turns:
            done.set()

    with turns, turns:
        thread = threading.Thread(target=take)
        thread.start()
        until(lambda: len(turns._waiting) == 1)
        with turns:
            assert not done.is_set()
    thread.join()
    assert done.is_set()


def test_an_error_lets_go() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="inside"), turns:
        raise ValueError("inside")
    with turns:
        assert turns._depth == 1


def test_one_who_is_interrupted_while_waiting_leaves_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, place = Turns(), {}

    class Interrupted:
        """A gate whose second acquisition is interrupted, as by Ctrl-C."""

        def acquire(self) -> None:
            if place.setdefault("taken", 0):
                raise KeyboardInterrupt
            place["taken"] = 1

    def wait() -> None:
        monkeypatch.setattr("uspnb.predictor.universal.threading.Lock", Interrupted)
        with pytest.raises(KeyboardInterrupt), turns:
            pass
        place["left"] = True

    with turns:
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
        assert place["left"] and not turns._waiting
    with turns:
        pass
