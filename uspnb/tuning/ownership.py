"""Whose trial is it: a trial that runs belongs to one call of `optimize`, and only a dead owner's is taken over."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import psutil

# Two readings of one process's start differ by the rounding of the boot time.
START_TOLERANCE_S = 2.0
_active: set[str] = set()
_lock = threading.Lock()


class Owner(NamedTuple):
    """One call of `optimize`.

    Attributes:
        host, pid: the machine and the process.
        started: when the process began [s since 1970], since numbers of processes are used again.
        run: names the call within its process.
    """

    host: str
    pid: int
    started: float
    run: str

    def text(self) -> str:
        """As a trial's attribute holds it."""
        return json.dumps(self._asdict(), separators=(",", ":"))


def owner_of(text: str) -> Owner | None:
    """The owner that a trial names; None where it names none."""
    return Owner(**json.loads(text)) if text else None


@contextlib.contextmanager
def active_run() -> Iterator[Owner]:
    """The owner of what this call asks for; when it ends, whatever still runs may be taken over."""
    process = psutil.Process()
    owner = Owner(socket.gethostname(), os.getpid(), process.create_time(), uuid.uuid4().hex)
    with _lock:
        _active.add(owner.run)
    try:
        yield owner
    finally:
        with _lock:
            _active.discard(owner.run)


def is_alive(owner: Owner) -> bool | None:
    """Whether an owner still works; None where it is on another machine, so that this one cannot tell."""
    if owner.host != socket.gethostname():
        return None
    if owner.pid == os.getpid():
        with _lock:
            return owner.run in _active
    try:
        process = psutil.Process(owner.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(process.create_time() - owner.started) < START_TOLERANCE_S
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # something runs under this number, and it is not ours to look into
