"""`FeedSource`: ticks that a program or a cell puts in one by one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ..data.times import timestamp_to_ns
from ..errors import DomainError
from .items import Clock, real_proxy, real_value
from .reader import BufferedSource

CAPACITY = 100_000


class FeedSource(BufferedSource):
    """A source that is fed by hand.

    Args:
        capacity: ticks that may wait; `put` refuses the one beyond.
        name, units: of the series.
        live: False for ticks that are each processed at their own timestamp.
        clock: gives the time of a tick that comes without one [ns since 1970 UTC].
    """

    kind = "a feed"

    def __init__(
        self,
        capacity: int = CAPACITY,
        *,
        name: str = "",
        units: str = "",
        live: bool = True,
        clock: Clock = time.time_ns,
    ) -> None:
        super().__init__(name, units, capacity, live, clock)
        self._wake: Callable[[], None] | None = None
        self._closed = False
        self._order = threading.Lock()  # two feeding threads: times and ticks keep one order

    def put(self, value: Any, time: Any = None, proxy: Any = None) -> None:
        """Feed one tick; it never waits.

        Args:
            value: y [input units]; NaN passes and is flagged by the gate.
            time: aware datetime, numpy.datetime64 or integer of ns since 1970; the clock's where left out.
            proxy: an outside estimate of the next tick's dispersion, above 0.

        Raises:
            DomainError: no real number, no instant, a full buffer, a closed source.
        """
        number, width = real_value(value), real_proxy(proxy)
        stamp = None if time is None else timestamp_to_ns(time)
        with self._order:
            if self._closed:
                raise DomainError(f"value = {number!r} came after the source was closed; open a new one")
            if not self._buffer.offer(number, self._arrival() if stamp is None else stamp, width):
                raise DomainError(
                    f"value = {number!r} found {self._buffer.capacity} ticks waiting, the bound of the buffer; feed "
                    "more slowly, let the session run, or give the source a larger capacity"
                )
        if self._wake is not None:
            self._wake()

    def start(self, wake: Callable[[], None]) -> None:
        """Have `wake` called for every tick; see `Source.start`."""
        if self._closed:
            raise DomainError("the source was closed; open a new one")
        self._wake = wake
        if len(self._buffer):
            wake()

    @property
    def exhausted(self) -> bool:
        """Whether the source was closed and all ticks were taken."""
        return self._closed and self._buffer.empty

    def close(self) -> None:
        """End the feed; see `Source.close`."""
        with self._order:
            self._closed = True
        self._buffer.stop()

    def __repr__(self) -> str:
        return f"FeedSource({self.name!r}, {len(self._buffer)} waiting)"
