"""Ticks on their way to one front end: at most so many frames in flight, everything since the last one in the next.

A frame is little-endian float64: a header of ten numbers, then rows of `VIEW_COLUMNS`.  The front end acknowledges a
frame when it has drawn it; until then no more than `credits` are out, and the ticks of the meantime travel together in
the next one.  So a slow page slows itself down, never the session, and no tick is left out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..errors import DomainError
from .views import VIEW_COLUMNS

HEADER = ("seq", "reset", "first_tick", "count", "columns", "sent_ms", "latest_tick", "kind", "missing", "revision")
LIVE, WINDOW = 0, 1
LOST_AFTER_S = 10.0


@runtime_checkable
class Viewable(Protocol):
    """What a stream reads of a session."""

    @property
    def rows_ready(self) -> int:
        """Ticks that can be seen, counted from the start of the series."""
        ...

    @property
    def revision(self) -> int:
        """How often ticks that could already be seen were cut or replaced."""
        ...

    def view_rows(self, first: int, stop: int) -> tuple[int, np.ndarray]:
        """Rows of the ticks `first` to `stop` that are still kept, and the index of the first of them."""
        ...


class ViewStream:
    """Frames of a session's ticks for one front end.

    Any thread may call any method; frames leave in the order of their numbers.

    Args:
        session: what is watched.
        send: takes a frame to the front end; called with the stream locked, so it must not wait for another thread
            that uses the stream.
        rows: ticks that a front end is given when it appears, and at most in one frame.
        credits: frames that may be under way unacknowledged.
    """

    def __init__(self, session: Viewable, send: Callable[[bytes], None], rows: int = 10_000, credits: int = 2) -> None:
        if rows < 1 or credits < 1:
            raise DomainError(f"rows = {rows} and credits = {credits} must each be at least 1")
        self._session, self._send, self._rows, self._credits = session, send, rows, credits
        self._lock = threading.RLock()
        self._seq = 0
        self._in_flight: dict[int, float] = {}
        self._client: Any = None
        self._next = 0
        self._revision = -1
        self._reset = True
        self._missing = 0
        self._closed = False

    @property
    def in_flight(self) -> int:
        """Frames sent and not yet acknowledged."""
        return len(self._in_flight)

    @property
    def missing(self) -> int:
        """Ticks that left the session's memory before they could be sent, since the last hello."""
        return self._missing

    @property
    def client(self) -> Any:
        """The front end that last said hello, None before."""
        return self._client

    @property
    def lost(self) -> bool:
        """Whether a frame has been out for so long that the front end must have gone; its next hello mends it."""
        sent = min(self._in_flight.values(), default=None)
        return sent is not None and time.monotonic() - sent > LOST_AFTER_S

    def hello(self, client: Any) -> None:
        """A front end has (re)appeared: whatever was under way counts no more and it is sent the whole window."""
        with self._lock:
            self._client, self._missing, self._reset = client, 0, True
            self._in_flight.clear()
            self.pump()

    def acknowledge(self, seq: int) -> None:
        """The front end has drawn frame `seq`, and with it all before."""
        with self._lock:
            for number in [number for number in self._in_flight if number <= seq]:
                del self._in_flight[number]
            self.pump()

    def pump(self) -> None:
        """Send all rows since the last frame, if there are any, a front end to see them and a credit to spend."""
        with self._lock:
            while self._client is not None and not self._closed and len(self._in_flight) < self._credits:
                if not self._send_next():
                    return

    def window(self, first: int) -> None:
        """Send a stretch of older ticks, from `first` on; it takes no credit and does not touch what is live."""
        ready, revision = self._session.rows_ready, self._session.revision
        first = max(0, min(int(first), ready - 1))
        # A session may still have on disk what has left its memory; the live ticks must not wait for that.
        read = getattr(self._session, "past_view_rows", self._session.view_rows)
        first, rows = read(first, min(first + self._rows, ready))
        with self._lock:
            if not self._closed and self._client is not None:
                self._dispatch(rows, first, ready, reset=True, kind=WINDOW, revision=revision)

    def close(self) -> None:
        """Send no more."""
        with self._lock:
            self._closed = True
            self._in_flight.clear()

    def _send_next(self) -> bool:
        revision, ready = self._session.revision, self._session.rows_ready
        cut = revision != self._revision or ready < self._next
        reset = self._reset or cut
        first = max(0, ready - self._rows) if reset else self._next
        stop = min(ready, first + self._rows)
        if stop <= first and not reset:
            return False
        real, rows = self._session.view_rows(first, stop)
        while len(rows) == 0 and stop < ready:  # so far behind that none of them is kept any more
            real, rows = self._session.view_rows(stop, min(ready, stop + self._rows))
            stop = min(ready, stop + self._rows)
        if self._session.revision != revision or (len(rows) == 0 and stop > first):
            return False  # a cut came between the questions; its own push follows
        if not reset:
            self._missing += real - first
        self._revision, self._reset, self._next = revision, False, real + len(rows)
        self._dispatch(rows, real, ready, reset=reset, kind=LIVE, revision=revision)
        return True

    def _dispatch(self, rows: np.ndarray, first: int, ready: int, *, reset: bool, kind: int, revision: int) -> None:
        self._seq += 1
        frame = np.empty(len(HEADER) + rows.size, dtype="<f8")
        frame[: len(HEADER)] = (
            self._seq,
            reset,
            first,
            len(rows),
            len(VIEW_COLUMNS),
            time.time() * 1e3,
            ready,
            kind,
            self._missing,
            revision,
        )
        frame[len(HEADER) :] = np.ravel(rows)
        if kind == LIVE:
            self._in_flight[self._seq] = time.monotonic()
        self._send(frame.tobytes())
