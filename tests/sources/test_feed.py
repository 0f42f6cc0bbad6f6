"""Feeding by hand: judged at once, bounded, safe from several threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from uspnb.errors import DomainError
from uspnb.sources import FeedSource

SHAPED = [None, "3", True, np.ones(2), np.ones(1), [1.0], 1j, object()]


@pytest.mark.parametrize("value", SHAPED, ids=lambda value: type(value).__name__)
def test_what_is_no_number_is_refused_at_once(value):
    source = FeedSource()
    with pytest.raises(DomainError, match="not one real number"):
        source.put(value)
    assert source.waiting == 0


@pytest.mark.parametrize("proxy", [0.0, -1.0, np.inf, np.nan, "x"])
def test_a_proxy_is_finite_and_above_zero(proxy):
    with pytest.raises(DomainError, match="dispersion proxy"):
        FeedSource().put(1.0, proxy=proxy)


def test_a_time_names_an_instant():
    with pytest.raises(DomainError, match="timestamp"):
        FeedSource().put(1.0, time="noon")


def test_value_time_and_proxy_arrive():
    source = FeedSource(clock=lambda: 77)
    source.put(1.5, time=10, proxy=0.5)
    source.put(np.nan)
    source.put(2, time=5)
    ticks = source.take(9)
    np.testing.assert_array_equal(ticks.values, [1.5, np.nan, 2.0])
    np.testing.assert_array_equal(ticks.stamps_ns, [10, 77, 5])
    np.testing.assert_array_equal(ticks.proxies, [0.5, np.nan, np.nan])


def test_a_full_feed_refuses_with_value_bound_and_remedy_and_keeps_what_it_has():
    source = FeedSource(capacity=3)
    for value in (1.0, 2.0, 3.0):
        source.put(value)
    with pytest.raises(DomainError, match=r"value = 4\.0 found 3 ticks waiting.*larger capacity"):
        source.put(4.0)
    assert source.take(9).values.tolist() == [1.0, 2.0, 3.0]
    source.put(5.0)
    assert source.take(9).values.tolist() == [5.0]


def test_a_closed_feed_refuses():
    source = FeedSource()
    source.close()
    source.close()
    with pytest.raises(DomainError, match="closed"):
        source.put(1.0)
    with pytest.raises(DomainError, match="closed"):
        source.start(lambda: None)


def test_each_tick_wakes_and_so_does_a_start_over_waiting_ticks():
    source, woken = FeedSource(), []
    source.put(1.0)
    source.start(lambda: woken.append(1))
    source.put(2.0)
    assert len(woken) == 2


def test_threads_that_feed_at_once_lose_nothing_and_times_go_forward():
    source = FeedSource()

    def feed(start):
        for i in range(500):
            source.put(start + i)

    threads = [threading.Thread(target=feed, args=(1000 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ticks = source.take(10_000)
    assert sorted(ticks.values) == sorted(1000.0 * k + i for k in range(4) for i in range(500))
    assert np.all(np.diff(ticks.stamps_ns) > 0)
