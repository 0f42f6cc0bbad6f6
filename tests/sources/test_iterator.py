"""Iterators and async iterators of every temper."""

from __future__ import annotations

import asyncio
import itertools
import threading
from datetime import UTC, datetime

import numpy as np
import pytest
from waiting import PATIENCE_S, until

from uspnb.errors import DomainError
from uspnb.model.records import ProcessState
from uspnb.sources import IteratorSource

NOON = datetime(2026, 2, 21, 12, tzinfo=UTC)
NOON_NS = 1_771_675_200_000_000_000


def test_numbers_pairs_and_process_states(drain):
    items = [1, 2.5, np.float32(3.5), np.int16(4), np.array(5.0), (6.0, NOON), [7, np.datetime64(NOON_NS, "ns")]]
    items.append(ProcessState(8.0, NOON, dispersion_proxy=0.25))
    taken = drain(IteratorSource(iter(items), clock=itertools.count(100).__next__)).to_the_end()
    assert taken.values == [1.0, 2.5, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0] and taken.faults == []
    assert taken.stamps == [100, 101, 102, 103, 104, NOON_NS, NOON_NS, NOON_NS]
    np.testing.assert_array_equal(taken.proxies, [np.nan] * 7 + [0.25])


def test_backward_and_equal_times_are_ticks_for_the_gate(drain):
    taken = drain(IteratorSource(iter([(1.0, 30), (2.0, 20), (3.0, 20)]))).to_the_end()
    assert taken.stamps == [30, 20, 20] and taken.faults == []


def test_arrival_times_go_forward_although_the_clock_does_not(drain):
    clock = iter([50, 50, 10, 60]).__next__
    assert drain(IteratorSource(iter([1.0, 2.0, 3.0, 4.0]), clock=clock)).to_the_end().stamps == [50, 51, 52, 60]


GARBAGE = {
    "None": (None, "of type NoneType; use NaN where a value is missing"),
    "text": ("3.5", "of type str"),
    "bool": (True, "of type bool"),
    "numpy bool": (np.bool_(True), "of type bool"),
    "complex": (1j, "of type complex"),
    "array": (np.ones(3), r"ndarray of shape \(3,\)"),
    "array of one": (np.ones(1), r"ndarray of shape \(1,\)"),
    "array of objects": (np.array(None), "of type ndarray"),
    "three": ((1.0, 2, 3), "a tuple of 3"),
    "bad value in a pair": (("x", 5), "of type str"),
    "naive time": ((1.0, datetime(2026, 2, 21)), "naive"),
    "text as time": ((1.0, "noon"), "type str"),
    "huge": (10**400, "does not fit a float"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_an_item_that_is_no_tick_is_left_out_and_told_of(drain, name):
    item, reason = GARBAGE[name]
    taken = drain(IteratorSource(iter([1.0, item, 2.0]))).to_the_end()
    assert taken.values == [1.0, 2.0]
    ((place, fault),) = taken.faults
    assert place == 1 and fault.can_continue and len(fault.item) <= 80
    with pytest.raises(type(fault), match=reason):
        raise fault


def test_an_item_whose_repr_fails_is_told_of_too(drain):
    class Rude:
        def __repr__(self):
            raise RuntimeError("no")

    ((_, fault),) = drain(IteratorSource(iter([Rude()]))).to_the_end().faults
    assert "Rude" in fault.item


def test_a_generator_that_raises_is_dead_after_its_ticks(drain):
    def break_off():
        yield 1.0
        yield 2.0
        raise OSError("cable pulled")

    source = IteratorSource(break_off())
    taken = drain(source).to_the_end()
    assert taken.values == [1.0, 2.0] and source.name == "break_off"
    ((place, fault),) = taken.faults
    assert place == 2 and not fault.can_continue and "raised OSError: cable pulled" in fault.reason
    source.start(taken.woken.set)
    assert source.exhausted and len(source.take(5)) == 0


def test_an_iterator_that_raises_is_asked_again_after_a_new_start(drain):
    class Flaky:
        count = 0

        def __next__(self):
            self.count += 1
            if self.count == 3:
                raise TimeoutError("sensor")
            if self.count == 6:
                raise StopIteration
            return self.count

    source = IteratorSource(Flaky())
    taken = drain(source).until(ticks=2, faults=1)
    assert taken.faults[0][1].can_continue and not source.exhausted
    source.start(taken.woken.set)
    assert taken.to_the_end().values == [1.0, 2.0, 4.0, 5.0]


def test_an_async_generator_that_raises_is_dead_after_its_ticks(drain):
    async def break_off():
        yield 1.0
        await asyncio.sleep(0)
        raise ValueError("bad frame")

    taken = drain(IteratorSource(break_off())).to_the_end()
    assert taken.values == [1.0] and "ValueError: bad frame" in taken.faults[0][1].reason
    assert not taken.faults[0][1].can_continue


def test_sys_exit_in_an_iterator_is_a_fault_and_no_silent_end(drain):
    def leave():
        yield 1.0
        raise SystemExit(3)

    assert "SystemExit" in drain(IteratorSource(leave())).to_the_end().faults[0][1].reason


def test_tasks_of_an_async_iterator_run_while_the_buffer_is_full():
    beats = []

    async def heart():
        while True:
            beats.append(1)
            await asyncio.sleep(0.002)

    async def numbers():
        beating = asyncio.create_task(heart())
        try:
            for i in range(100):
                yield float(i)
        finally:
            beating.cancel()

    source = IteratorSource(numbers(), capacity=2)
    source.start(lambda: None)
    until(lambda: source.waiting == 2)
    before = len(beats)
    until(lambda: len(beats) > before + 10)
    source.close()


def test_close_runs_what_an_async_generator_has_to_clean_up():
    cleaned = threading.Event()

    async def numbers():
        try:
            yield 1.0
            await asyncio.sleep(3600)
        finally:
            cleaned.set()

    source = IteratorSource(numbers())
    source.start(lambda: None)
    until(lambda: source.waiting == 1)
    source.close()
    assert cleaned.wait(PATIENCE_S)


def test_close_does_not_wait_for_a_next_that_waits():
    gate = threading.Event()

    def stuck():
        yield 1.0
        gate.wait(PATIENCE_S)
        yield 2.0

    source = IteratorSource(stuck(), name="stuck")
    source.start(lambda: None)
    until(lambda: source.waiting == 1)
    source.close()
    assert not gate.is_set()
    left = [thread for thread in threading.enumerate() if thread.name == "uspnb source stuck"]
    assert all(thread.daemon for thread in left)
    gate.set()
    until(lambda: not any(thread.is_alive() for thread in left))
    assert source.take(5).values.tolist() == [1.0]


def test_a_past_series_can_be_declared_so():
    assert IteratorSource(iter([])).live and not IteratorSource(iter([]), live=False).live


@pytest.mark.parametrize("what", [5, None, "1,2", b"12", {1.0: 2}, {1.0}, object()])
def test_what_is_no_iterator_of_ticks_is_refused(what):
    with pytest.raises(DomainError, match="gives no ticks one after another"):
        IteratorSource(what)
