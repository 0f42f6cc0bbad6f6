"""The bounded queue: what it keeps, what it drops, and that it always adds up."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import PATIENCE_S

from uspnb.errors import DomainError
from uspnb.sinks import CallbackSink, Consumer, Records, TelemetryBuffer

PAGE = os.sysconf("SC_PAGE_SIZE")


def _ticks(buffer: TelemetryBuffer, most: int) -> list[int]:
    """Numbers of the taken records; each row holds its own number, so a mix-up shows."""
    got: list[int] = []
    for batch in buffer.take(most, 0.0):
        rows, stamps = batch.fetched()
        assert batch.count == len(rows) == len(stamps)
        numbers = list(range(batch.first_tick, batch.first_tick + batch.count))
        assert rows[:, 0].tolist() == numbers and stamps.tolist() == numbers
        got += numbers
    return got


def _emit(buffer: TelemetryBuffer, first: int, count: int) -> None:
    numbers = np.arange(first, first + count)
    buffer.emit("a", first, np.repeat(numbers[:, None].astype(float), 3, axis=1), numbers)


@given(
    maxlen=st.integers(1, 12),
    acts=st.lists(st.tuples(st.sampled_from(["emit", "take"]), st.integers(1, 20)), max_size=30),
)
def test_keeps_the_newest_and_counts_the_rest(maxlen: int, acts: list[tuple[str, int]]) -> None:
    """A list that is cut at its start is the model; every record is in exactly one of the four counts."""
    buffer, model, emitted, taken, dropped = TelemetryBuffer(maxlen), [], 0, 0, 0
    for act, count in acts:
        if act == "emit":
            _emit(buffer, emitted + 1, count)
            model += range(emitted + 1, emitted + count + 1)
            emitted += count
            dropped += max(0, len(model) - maxlen)
            model = model[-maxlen:]
        else:
            wanted, model = model[:count], model[count:]
            taken += len(wanted)
            assert _ticks(buffer, count) == wanted
        assert tuple(buffer.counts()) == (emitted, taken, dropped, len(model))
    assert _ticks(buffer, 1000) == model


def test_a_million_records_with_a_stalled_consumer(columns: dict[str, slice]) -> None:
    """Memory stays flat, the drops are exact, and what is left are the newest, once the consumer goes on."""
    maxlen, batch, total = 16_384, 20, 1_000_000
    width = max(place.stop for place in columns.values())
    rows, stamps = np.zeros((batch, width)), np.arange(batch)
    stalled, release, ticks = threading.Event(), threading.Event(), []

    def slow(records: Records) -> None:
        stalled.set()
        release.wait(PATIENCE_S)
        ticks.append((records.first_tick, len(records)))

    buffer = TelemetryBuffer(maxlen)
    consumer = Consumer(buffer, [CallbackSink(slow)], columns, period_s=0.0)
    buffer.emit("a", 1, rows.copy(), stamps)
    assert stalled.wait(PATIENCE_S)
    sizes = []
    for first in range(batch + 1, total + 1, batch):
        buffer.emit("a", first, rows.copy(), stamps)
        if first % 50_000 < batch:
            sizes.append(_resident())
    counts = buffer.counts()
    assert counts == (total, batch, total - batch - maxlen, maxlen)
    # From the moment at which the queue is full; what leaked of these 850,000 records would be 790 MB.
    assert max(sizes[3:]) - sizes[3] < 4 << 20
    release.set()
    assert consumer.close(30)
    assert buffer.counts() == (total, batch + maxlen, total - batch - maxlen, 0)
    assert sum(count for _, count in ticks) == batch + maxlen
    assert ticks[1][0] == total - maxlen + 1
    assert consumer.status().sinks["callback"].written == batch + maxlen


def test_many_producers_and_a_consumer() -> None:
    """No record is lost or doubled between threads, and each series stays in order."""
    buffer, got, each = TelemetryBuffer(500), [], 3000
    done = threading.Event()

    def produce(asset: str) -> None:
        for tick in range(1, each + 1):
            buffer.emit(asset, tick, np.full((1, 2), float(tick)), np.array([tick]))

    def consume() -> None:
        while not (done.is_set() and buffer.depth == 0):
            got.extend(
                (batch.asset, batch.first_tick + i) for batch in buffer.take(64, 0.01) for i in range(batch.count)
            )

    producers = [threading.Thread(target=produce, args=(name,)) for name in "abcd"]
    consumer = threading.Thread(target=consume)
    consumer.start()
    for thread in producers:
        thread.start()
    for thread in producers:
        thread.join()
    done.set()
    consumer.join()
    counts = buffer.counts()
    assert counts.emitted == 4 * each == counts.taken + counts.dropped and counts.taken == len(got)
    for name in "abcd":
        ticks = [tick for asset, tick in got if asset == name]
        assert ticks == sorted(set(ticks))


class _Device:
    """Rows as a device has them: they can be fetched, which here is counted, and nothing else."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows, self.fetched = rows, 0

    def __len__(self) -> int:
        return len(self.rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        self.fetched += 1
        return self.rows


def test_rows_of_a_device_are_fetched_by_the_taker_alone() -> None:
    """Neither handing over nor dropping touches them; padding after the last timestamp is left out."""
    buffer = TelemetryBuffer(3)
    rows = _Device(np.arange(8.0)[:, None])
    buffer.emit("a", 1, rows, np.arange(5))
    assert buffer.counts() == (5, 0, 2, 3) and rows.fetched == 0
    (batch,) = buffer.take(10, 0.0)
    assert rows.fetched == 0 and batch.first_tick == 3
    assert batch.fetched()[0].ravel().tolist() == [2.0, 3.0, 4.0] and rows.fetched == 1


def test_a_view_does_not_keep_what_it_was_cut_from() -> None:
    """One row of a large table would otherwise hold all of it."""
    buffer, table = TelemetryBuffer(10), np.ones((1000, 50))
    buffer.emit("a", 1, table[:1], np.arange(1000)[:1])
    (batch,) = buffer.take(1, 0.0)
    assert batch.rows.base is None and batch.stamps_ns.base is None
    table[:] = 2.0
    assert batch.fetched()[0].tolist() == [[1.0] * 50]


def test_a_closed_buffer_takes_nothing_in_and_gives_out_what_it_has() -> None:
    """What comes late is counted as dropped, and nobody waits for more."""
    buffer = TelemetryBuffer(10)
    _emit(buffer, 1, 4)
    buffer.close()
    _emit(buffer, 5, 3)
    assert buffer.closed and buffer.counts() == (7, 0, 3, 4)
    assert _ticks(buffer, 10) == [1, 2, 3, 4]
    assert buffer.take(10, 1e6) == []


def test_a_waiting_taker_wakes_when_something_comes_or_the_time_is_over() -> None:
    """An empty take comes back after its time, and not before."""
    buffer = TelemetryBuffer(10)
    began = time.monotonic()
    assert buffer.take(1, 0.05) == [] and time.monotonic() - began >= 0.05
    threading.Timer(0.05, _emit, (buffer, 1, 1)).start()
    assert [batch.first_tick for batch in buffer.take(1, PATIENCE_S)] == [1]


def test_what_cannot_be_is_refused() -> None:
    """A buffer of nothing, and timestamps without rows; no records at all are fine."""
    with pytest.raises(DomainError, match="maxlen = 0"):
        TelemetryBuffer(0)
    buffer = TelemetryBuffer(1)
    with pytest.raises(DomainError, match="1 rows came with 2"):
        buffer.emit("a", 1, np.zeros((1, 2)), np.zeros(2, np.int64))
    buffer.emit("a", 1, np.zeros((0, 2)), np.zeros(0, np.int64))
    assert buffer.emitted == buffer.taken == buffer.dropped == buffer.depth == 0


def _resident() -> int:
    """Memory of this process [bytes]."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
