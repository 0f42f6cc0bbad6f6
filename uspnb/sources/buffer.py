"""`TickBuffer`: ticks and faults between the thread that reads and the one that takes, in order and bounded."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

from ..errors import DomainError
from ..runtime.arguments import check_whole
from .base import SourceFault, Ticks

MOST_FAULTS = 100


class TickBuffer:
    """A ring of ticks, and the faults between them.

    The reader waits while it is full, so nothing is lost.

    Args:
        capacity: ticks that it holds.

    Raises:
        DomainError: a capacity that is no whole number of at least 1.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = check_whole("capacity", capacity, 1, unit="ticks")
        self._values, self._proxies = np.empty(self.capacity), np.empty(self.capacity)
        self._stamps = np.empty(self.capacity, np.int64)
        self._put = self._taken = 0  # ticks ever put and ever taken
        self._faults: deque[tuple[int, SourceFault]] = deque()  # each with the ticks put before it
        self._changed = threading.Condition()
        self._stopped = False

    def offer(self, value: float, stamp_ns: int, proxy: float = np.nan) -> bool:
        """Put one tick in if there is room for it, and say whether there was."""
        with self._changed:
            if self._full():
                return False
            self._store(value, stamp_ns, proxy)
            return True

    def offer_fault(self, fault: SourceFault) -> bool:
        """Put a fault behind the ticks if there are fewer than 100, and say whether there were."""
        with self._changed:
            if self._full_of_faults():
                return False
            self._faults.append((self._put, fault))
            return True

    def put(self, value: float, stamp_ns: int, proxy: float = np.nan) -> bool:
        """Put one tick in as soon as there is room; False where `stop` came first."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not self._full())
            if self._stopped:
                return False
            self._store(value, stamp_ns, proxy)
            return True

    def put_fault(self, fault: SourceFault) -> bool:
        """Put a fault in as soon as there is room; False where `stop` came first."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not self._full_of_faults())
            if self._stopped:
                return False
            self._faults.append((self._put, fault))
            return True

    def _full(self) -> bool:
        return self._put - self._taken >= self.capacity

    def _full_of_faults(self) -> bool:
        return len(self._faults) >= MOST_FAULTS

    def _store(self, value: float, stamp_ns: int, proxy: float) -> None:
        place = self._put % self.capacity
        self._values[place], self._stamps[place], self._proxies[place] = value, stamp_ns, proxy
        self._put += 1

    def take(self, most: int) -> Ticks:
        """Up to `most` ticks, oldest first, none where there are none.

        Raises:
            SourceFault: the next in order is a fault.
            DomainError: `most` is below 0.
        """
        if most < 0:
            raise DomainError(f"take({most}) asks for fewer than 0 ticks")
        with self._changed:
            before_fault = self._faults[0][0] if self._faults else self._put
            count = min(most, before_fault - self._taken)
            if self._faults and before_fault == self._taken:
                fault = self._faults.popleft()[1]
                self._changed.notify_all()
                raise fault
            places = np.arange(self._taken, self._taken + count) % self.capacity
            ticks = Ticks(self._values[places], self._stamps[places], self._proxies[places])
            self._taken += count
            self._changed.notify_all()
            return ticks

    def stop(self) -> None:
        """Let go of whoever waits for room; what is in the buffer stays."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def put_count(self) -> int:
        """Ticks ever put in."""
        return self._put

    @property
    def taken_count(self) -> int:
        """Ticks ever taken."""
        return self._taken

    def __len__(self) -> int:
        return self._put - self._taken

    @property
    def empty(self) -> bool:
        """Whether neither a tick nor a fault is left."""
        with self._changed:
            return self._put == self._taken and not self._faults
