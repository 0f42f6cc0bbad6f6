"""Many visitors who open pages of a server at the same moment, while somebody looks whether it answers."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from typing import NamedTuple

from waiting import PATIENCE_S

PAUSE_S = 0.02  # between two looks


class Openings(NamedTuple):
    """What became of them.

    Attributes:
        statuses: how many were answered with which status; 0 without an answer.
        polls: how often `/health` was asked meanwhile.
        slowest_poll_s: the longest of its answers [s].
        seconds: from the first opening to the last answer [s].
    """

    statuses: Counter[int]
    polls: int
    slowest_poll_s: float
    seconds: float


def open_at_once(address: str, count: int, path: str = "/live") -> Openings:
    """Open pages at the same moment and ask `/health` until the last one is answered.

    Args:
        address: of the server.
        count: how many pages.
        path: of each.
    """
    statuses: Counter[int] = Counter()
    lock, together = threading.Lock(), threading.Barrier(count + 1)

    def open_one() -> None:
        together.wait()
        status = fetched_status(address + path)
        with lock:
            statuses[status] += 1

    visitors = [threading.Thread(target=open_one, daemon=True) for _ in range(count)]
    for visitor in visitors:
        visitor.start()
    together.wait()
    began, polls, slowest = time.perf_counter(), 0, 0.0
    while any(visitor.is_alive() for visitor in visitors):
        asked = time.perf_counter()
        assert fetched_status(address + "/health") == 200
        slowest, polls = max(slowest, time.perf_counter() - asked), polls + 1
        time.sleep(PAUSE_S)
    return Openings(statuses, polls, slowest, time.perf_counter() - began)


def fetched_status(url: str) -> int:
    """The status of an answer that is read to its end; 0 where none came."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as refusal:
        refusal.read()
        return refusal.code
    except OSError:
        return 0
