"""What sources share whose ticks come one by one: the `TickBuffer` that they fill, and a reader in a thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import DomainError
from ..runtime.arguments import check_whole
from .base import SourceFault, Ticks
from .items import ArrivalClock, Clock, Tick

JOIN_S = 0.4
MOST_WORDS = 300
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
            return not self._full() and self._store(value, stamp_ns, proxy)

    def offer_fault(self, fault: SourceFault) -> bool:
        """Put a fault behind the ticks if there are fewer than 100, and say whether there were."""
        with self._changed:
            return not self._full_of_faults() and self._store_fault(fault)

    def put(self, value: float, stamp_ns: int, proxy: float = np.nan) -> bool:
        """Put one tick in as soon as there is room; False where `stop` came first."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not self._full())
            return not self._stopped and self._store(value, stamp_ns, proxy)

    def put_fault(self, fault: SourceFault) -> bool:
        """Put a fault in as soon as there is room; False where `stop` came first."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not self._full_of_faults())
            return not self._stopped and self._store_fault(fault)

    def _full(self) -> bool:
        return self._put - self._taken >= self.capacity

    def _full_of_faults(self) -> bool:
        return len(self._faults) >= MOST_FAULTS

    def _store(self, value: float, stamp_ns: int, proxy: float) -> bool:
        place = self._put % self.capacity
        self._values[place], self._stamps[place], self._proxies[place] = value, stamp_ns, proxy
        self._put += 1
        return True

    def _store_fault(self, fault: SourceFault) -> bool:
        self._faults.append((self._put, fault))
        return True

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


class BufferedSource:
    """What sources share whose ticks come one by one and wait in a buffer; none of them can be sought in.

    Args:
        name, units: of the series.
        capacity: ticks that may wait.
        live: False for ticks that are each processed at their own timestamp.
        clock: gives the time of a tick that comes without one [ns since 1970 UTC].
    """

    kind = "this source"
    length: int | None = None
    time_is_grid = False

    def __init__(self, name: str, units: str, capacity: int, live: bool = True, clock: Clock = time.time_ns) -> None:
        self.name, self.units, self._live = name, units, live
        self._buffer = TickBuffer(capacity)
        self._arrival = ArrivalClock(clock)

    @property
    def notes(self) -> tuple[str, ...]:
        """None by default; see `Source`."""
        return ()

    @property
    def live(self) -> bool:
        """See `Source`."""
        return self._live

    @property
    def waiting(self) -> int:
        """See `Source.waiting`."""
        return len(self._buffer)

    def take(self, most: int) -> Ticks:
        """See `Source.take`."""
        return self._buffer.take(most)

    def seek(self, k: int) -> None:
        """Refused: what came is not kept.

        Raises:
            DomainError: always.
        """
        raise DomainError(not_replayable(self.kind, k))


class ReadingSource(BufferedSource):
    """A source whose subclass reads in a daemon thread: it puts ticks and faults, and returns at the end.

    The reader waits while `capacity` ticks are there; arguments are those of `BufferedSource`.
    """

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self._stop = threading.Event()
        self._state = "new"  # then reading; broken (a new start takes it up), ended, or closed
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake: Callable[[], None] = _nobody

    def _read(self) -> None:
        """Read until the end or until `_stop` is set; runs in the reader's thread."""
        raise NotImplementedError

    def _interrupt(self) -> None:
        """Free the reader from what it waits for; called by `close`, in any thread."""

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to read, or take up again what broke; see `Source.start`."""
        with self._lock:
            if self._state == "closed":
                raise DomainError(f"{self.kind} {self.name!r} was closed; open it again")
            self._wake = wake
            if self._state in ("new", "broken"):
                self._state, before = "reading", self._thread
                self._thread = threading.Thread(
                    target=self._run, args=(before,), name=f"uspnb source {self.name}", daemon=True
                )
                self._thread.start()
        if not self._buffer.empty:
            wake()

    def _run(self, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()  # it has said its last word and is about to end
        returned = False
        try:
            self._read()
            returned = True
        finally:
            if not returned:  # a defect of ours; the source must not seem silent
                self._break("the reader failed; the log has its traceback", can_continue=False)
        if self._leave_reading("ended"):
            self._wake()

    def _put(self, tick: Tick) -> bool:
        """Hand a tick over once there is room; False where the source was closed meanwhile."""
        done = self._buffer.put(*tick)
        self._wake()
        return done

    def _skip(self, reason: str, item: str) -> bool:
        """Tell of an item that is no tick; reading goes on."""
        done = self._buffer.put_fault(SourceFault(self.name, reason, item, can_continue=True))
        self._wake()
        return done

    def _break(self, reason: str, can_continue: bool, item: str = "") -> None:
        """Tell that reading ended; `_read` returns after it."""
        if self._stop.is_set():
            return  # closing looks like a broken connection from inside
        fault = SourceFault(self.name, reason, item, can_continue)
        if can_continue:
            # Before the fault: who takes it may start again at once.
            self._leave_reading("broken")
            self._buffer.put_fault(fault)
        else:
            # After the fault: a source is not exhausted before its last fault was taken.
            self._buffer.put_fault(fault)
            self._leave_reading("ended")
        self._wake()

    def _leave_reading(self, state: str) -> bool:
        with self._lock:
            left = self._state == "reading"
            if left:
                self._state = state
            return left

    @property
    def exhausted(self) -> bool:
        """Whether the reader is at its end for good and all was taken."""
        return self._state in ("ended", "closed") and self._buffer.empty

    def close(self) -> None:
        """End the reader's thread within half a second; see `Source.close`."""
        with self._lock:
            self._state = "closed"
            thread = self._thread
        self._stop.set()
        self._buffer.stop()
        self._interrupt()
        if thread is not None and thread is not threading.current_thread():
            thread.join(JOIN_S)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self._state}, {self.waiting} waiting)"


def _nobody() -> None:
    """The callback before `start` gives one."""


def error_text(error: BaseException) -> str:
    """An exception as words: its type and what it says."""
    text = str(error)[:MOST_WORDS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def not_replayable(kind: str, k: Any) -> str:
    """Why a source that is not kept cannot go to tick `k`, and what to do."""
    return (
        f"{kind} cannot go to tick {k!r}, because what it gave is not kept; restore a mark of the session, or replay "
        "the series as an array, a CSV file or a saved run"
    )
