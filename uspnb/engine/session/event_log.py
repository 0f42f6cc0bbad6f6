"""What happened to a session beside its ticks: faults, changed settings, moves in time."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from .status import now_text

MOST_EVENTS = 2000


class EventLog:
    """The newest `MOST_EVENTS` events, oldest first; any thread may add and read."""

    def __init__(self) -> None:
        self._events: deque[dict[str, Any]] = deque(maxlen=MOST_EVENTS)
        self._lock = threading.Lock()

    def add(self, tick: int, kind: str, text: str) -> None:
        """Keep one event.

        Args:
            tick: ticks processed when it happened.
            kind: one word: "fault", "settings", "seek", "restore", "source", "silence", "archive", "subscriber".
            text: what happened, for a person.
        """
        with self._lock:
            self._events.append({"time": now_text(), "tick": tick, "kind": kind, "text": text})

    def all(self) -> list[dict[str, Any]]:
        """Copies of the events, oldest first."""
        with self._lock:
            return [dict(event) for event in self._events]
