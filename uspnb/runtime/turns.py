"""`Turns`: a lock that threads get in the order in which they ask for it."""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """A reentrant lock that is first come, first served.

    The standard library's locks let a thread that has just released one take it again before those that wait; ticks
    that several threads feed would then arrive out of their order.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[tuple[int, threading.Lock]] = deque()
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        own, gate = threading.get_ident(), threading.Lock()
        with self._guard:
            if self._owner in (own, None) and (self._owner == own or not self._waiting):
                self._owner, self._depth = own, self._depth + 1
                return
            gate.acquire()
            self._waiting.append((own, gate))
        try:
            gate.acquire()
        except BaseException:  # an interrupt while it waits
            with self._guard:
                waits = (own, gate) in self._waiting
                if waits:
                    self._waiting.remove((own, gate))
            if not waits:
                self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        with self._guard:
            self._depth -= 1
            if self._depth:
                return
            self._owner = None
            if self._waiting:
                self._owner, gate = self._waiting.popleft()
                self._depth = 1
                gate.release()
