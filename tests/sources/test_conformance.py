"""One battery for every kind of source: what a session may rely on."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import numpy as np
import pytest
from waiting import NewThreads, stays, until

from uspnb.errors import DomainError
from uspnb.sources import (
    CsvTailSource,
    FeedSource,
    IteratorSource,
    LineSource,
    ReplaySource,
    Source,
    SourceFault,
    open_source,
    register_source,
)

from .user_source import open_numbers

READING = ("generator", "async", "csv", "http", "ws", "user")
ENDING = ("replay", "generator", "async", "http", "ws", "user")
ALL = ("replay", "feed", *READING)


@pytest.fixture
def make(tmp_path, servers):
    """Open a source of a kind over numbers and pieces of garbage (None); afterwards it ends or is silent."""
    opened = []

    def open_kind(kind, items, *, capacity=1000, silent=False):
        opened.append(_open(kind, items, capacity, silent, tmp_path, servers))
        return opened[-1]

    yield open_kind
    for source in opened:
        source.close()


def _open(kind, items, capacity, silent, folder, servers) -> Source:
    if kind == "replay":
        return ReplaySource(items)
    if kind == "feed":
        source = FeedSource(capacity)
        for item in items:
            source.put(item)
        return source
    if kind == "generator":
        return IteratorSource(_numbers(items, silent), capacity=capacity)
    if kind == "async":
        return IteratorSource(_numbers_in_a_loop(items, silent), capacity=capacity)
    lines = ["oops" if item is None else json.dumps(item) for item in items]
    if kind == "user":
        path = folder / "numbers.txt"
        path.write_text("".join(f"{line}\n" for line in lines))
        register_source("numbers", open_numbers)
        return open_source(f"numbers://{path}", stay=silent, capacity=capacity)
    if kind == "csv":
        path = folder / "grows.csv"
        path.write_text("".join(f"{line}\n" for line in ["value", *lines]))
        return CsvTailSource(path, poll_s=0.01, value="value", capacity=capacity)
    server = servers[kind]
    server.lines, server.then = lines, "silence" if silent else "end"
    return LineSource(server.url, capacity=capacity)


def _numbers(items, silent):
    yield from items
    while silent:
        time.sleep(0.01)  # a sensor's pace; a generator can only be left at a yield
        yield float("inf")


async def _numbers_in_a_loop(items, silent):
    for item in items:
        yield item
    while silent:
        await asyncio.sleep(3600)


@pytest.mark.parametrize("kind", ALL)
def test_it_is_a_source_and_says_what_of(make, kind):
    source = make(kind, [1.0, 2.0])
    assert isinstance(source, Source)
    assert isinstance(source.name, str) and isinstance(source.units, str) and isinstance(source.notes, tuple)
    assert source.length == (2 if kind == "replay" else None)
    assert not source.exhausted and type(source).__name__ in repr(source)


@pytest.mark.parametrize("kind", ALL)
def test_ticks_come_in_order_whole_and_once(make, drain, kind):
    values = np.random.default_rng(3).normal(size=300).tolist()
    taken = drain(make(kind, values)).until(ticks=300)
    assert taken.values == values and taken.faults == []
    assert np.all(np.diff(taken.stamps) > 0) and np.all(np.isnan(taken.proxies))
    assert taken.woken.is_set()


@pytest.mark.parametrize("kind", ALL)
def test_nan_and_infinity_are_ticks(make, drain, kind):
    taken = drain(make(kind, [1.0, float("nan"), 2.0])).until(ticks=3)
    np.testing.assert_array_equal(taken.values, [1.0, np.nan, 2.0])


@pytest.mark.parametrize("kind", ("feed", *READING))
def test_take_never_waits(make, kind):
    source = make(kind, [], silent=True)  # a take that waited for a tick would never return
    assert len(source.take(10)) == 0
    source.start(lambda: None)
    assert kind == "generator" or len(source.take(10)) == 0


@pytest.mark.parametrize("kind", ALL)
def test_take_gives_no_more_than_asked(make, drain, kind):
    source = make(kind, [1.0, 2.0, 3.0, 4.0])
    source.start(lambda: None)
    until(lambda: source.waiting == 4)
    assert source.take(0).values.tolist() == [] and source.take(3).values.tolist() == [1.0, 2.0, 3.0]
    assert source.waiting == 1
    with pytest.raises(DomainError, match="fewer than 0"):
        source.take(-1)


@pytest.mark.parametrize("kind", READING)
def test_a_reader_waits_where_nobody_takes_and_loses_nothing(make, drain, kind):
    values = [float(i) for i in range(500)]
    source = make(kind, values, capacity=10)
    source.start(lambda: None)
    until(lambda: source.waiting == 10)
    assert stays(lambda: source.waiting == 10)
    assert drain(source).until(ticks=500).values == values


@pytest.mark.parametrize("kind", ENDING)
def test_a_source_that_ends_is_exhausted_once_all_was_taken(make, drain, kind):
    source = make(kind, [1.0, 2.0])
    taken = drain(source, most=1).to_the_end()
    assert taken.values == [1.0, 2.0] and taken.faults == []
    assert len(source.take(5)) == 0 and source.waiting == 0


@pytest.mark.parametrize("kind", ("feed", "csv"))
def test_a_source_without_an_end_is_exhausted_once_closed_and_taken(make, kind):
    source = make(kind, [1.0, 2.0])
    source.start(lambda: None)
    until(lambda: source.waiting == 2)
    source.close()
    assert not source.exhausted and source.take(9).values.tolist() == [1.0, 2.0] and source.exhausted


@pytest.mark.parametrize("kind", READING)
def test_close_ends_the_thread_at_once_and_may_be_called_again(make, kind):
    readers = NewThreads("uspnb source")
    source = make(kind, [1.0], silent=True)
    source.start(lambda: None)
    until(lambda: source.waiting >= 1)
    assert readers.names() and all(t.daemon for t in threading.enumerate() if t.name in readers.names())
    source.close()
    until(lambda: not readers.names())
    source.close()
    with pytest.raises(DomainError, match="closed"):
        source.start(lambda: None)


@pytest.mark.parametrize("kind", READING)
def test_close_frees_a_reader_that_waits_for_room(make, kind):
    readers = NewThreads("uspnb source")
    source = make(kind, [1.0, 2.0, 3.0], capacity=1)
    source.start(lambda: None)
    until(lambda: source.waiting == 1)
    source.close()
    until(lambda: not readers.names())


@pytest.mark.parametrize("kind", READING)
def test_garbage_is_a_fault_in_its_place_and_reading_goes_on(make, drain, kind):
    taken = drain(make(kind, [1.0, 2.0, None, 3.0, None, None, 4.0])).until(ticks=4, faults=3)
    assert taken.values == [1.0, 2.0, 3.0, 4.0]
    assert [place for place, _ in taken.faults] == [2, 3, 3]
    for _, fault in taken.faults:
        assert fault.can_continue and fault.source == taken.source.name and "left out" in fault.reason
        assert fault.item in ("None", "'oops'") and fault.reason in str(fault)


@pytest.mark.parametrize("kind", READING)
def test_much_garbage_is_bounded_too(make, drain, kind):
    source = make(kind, [None] * 150 + [1.0])
    source.start(lambda: None)
    assert drain(source).until(ticks=1, faults=150).values == [1.0]


@pytest.mark.parametrize("kind", READING)
def test_starting_again_while_it_reads_changes_nothing(make, drain, kind):
    source = make(kind, [1.0, 2.0], silent=True)
    source.start(lambda: None)
    before = threading.active_count()
    source.start(lambda: None)
    assert threading.active_count() <= before
    assert drain(source).until(ticks=2).values[:2] == [1.0, 2.0]


@pytest.mark.parametrize("kind", ("feed", *READING))
def test_what_is_not_kept_cannot_be_sought(make, kind):
    with pytest.raises(DomainError, match=r"tick 3, because what it gave is not kept; restore a mark.*replay"):
        make(kind, [1.0, 2.0]).seek(3)


@pytest.mark.parametrize("bad", [0, -1, True])
@pytest.mark.parametrize("kind", ("feed", *READING))
def test_a_capacity_is_a_whole_number(make, kind, bad):
    with pytest.raises(DomainError, match="capacity"):
        make(kind, [], capacity=bad)


def test_a_fault_is_an_exception_of_ours_with_a_short_item():
    fault = SourceFault("tank", "broke", "x" * 500, can_continue=True)
    assert str(fault) == "tank: broke" and len(fault.item) == 80 and fault.can_continue


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_of_a_reader_is_a_fault_and_no_silence(drain, monkeypatch):
    monkeypatch.setattr(IteratorSource, "_read", lambda self: 1 // 0)
    fault = drain(IteratorSource(iter([1.0]))).to_the_end().faults[0][1]
    assert "reader failed" in fault.reason and not fault.can_continue
