"""Commands on their way to the worker thread, and whatever else wakes it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

Command = Callable[[], None]


class Mailbox:
    """Commands in their order, counted so that one can wait until they were obeyed."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._commands: deque[Command] = deque()
        self._woken = False
        self.issued = 0

    def put(self, command: Command) -> None:
        """Leave a command and wake the worker; never waits for it."""
        with self._condition:
            self._commands.append(command)
            self.issued += 1
            self._condition.notify_all()

    def wake(self) -> None:
        """Wake the worker: a source has something."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def collect(self) -> list[Command]:
        """The commands that are there; a later `wake` is not missed."""
        with self._condition:
            commands = list(self._commands)
            self._commands.clear()
            self._woken = False
            return commands

    def sleep(self, seconds: float | None) -> None:
        """Wait for a command or a wake-up since the last `collect`, at most so long; None for as long as it takes."""
        with self._condition:
            if not self._commands and not self._woken:
                self._condition.wait(seconds)
