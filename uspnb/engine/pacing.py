"""How fast ticks are taken: `Pace` says how many are due, `Rate` how many there really were."""

from __future__ import annotations

import math
import time
from collections import deque

SHORTEST_WAIT_S = 1 / 60
MOST_DEBT_S = 5.0
RATE_WINDOW_S = 1.0
SHORTEST_PORTION, LONGEST_PORTION = 16, 128
TOO_LONG_S, SHORT_S = 0.06, 0.03


def portion_after(took_s: float, portion: int) -> int:
    """How many ticks to process at once, so that a command waits for less than a tenth of a second on a busy machine.

    Args:
        took_s: how long the last batch took [s].
        portion: ticks that it was allowed.
    """
    if took_s > TOO_LONG_S:
        return max(SHORTEST_PORTION, portion // 2)
    return min(LONGEST_PORTION, 2 * portion) if took_s < SHORT_S else portion


class Pace:
    """Ticks that are due at a set speed: floor((now - t0) v) less those done since t0, so that it never drifts.

    A debt of more than five seconds (a suspended machine, a speed beyond what it can do) is let go.

    Args:
        speed: v [ticks/s], None for as many as there are.
    """

    def __init__(self, speed: float | None) -> None:
        self.speed = speed
        self._start, self._done = time.monotonic(), 0

    def rebase(self, speed: float | None) -> None:
        """Start counting now, at this speed."""
        self.speed = speed
        self._start, self._done = time.monotonic(), 0

    def due(self, most: int) -> int:
        """How many ticks may be taken now, `most` at the most."""
        if self.speed is None:
            return most
        elapsed = time.monotonic() - self._start
        behind = math.floor(elapsed * self.speed) - self._done
        allowed = max(math.ceil(MOST_DEBT_S * self.speed), 1)
        if behind > allowed:
            self._done += behind - allowed
            behind = allowed
        return max(0, min(most, behind))

    def did(self, ticks: int) -> None:
        """Count ticks that were taken."""
        self._done += ticks

    def wait_s(self) -> float:
        """Seconds until something is due, at least a sixtieth so that fast ones come in batches."""
        if self.speed is None:
            return 0.0
        left = self._start + (self._done + 1) / self.speed - time.monotonic()
        return max(left, SHORTEST_WAIT_S if self.speed > 1 / SHORTEST_WAIT_S else 0.0)


class Rate:
    """Ticks per second over about the last second, of ticks counted as they are done."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque(maxlen=256)

    def clear(self) -> None:
        """Forget what was measured: the ticks stand still or have moved."""
        self._points.clear()

    def did(self, ticks: int) -> None:
        """Note that `ticks` ticks are done in all."""
        now = time.monotonic()
        self._points.append((now, ticks))
        while len(self._points) > 2 and now - self._points[1][0] > RATE_WINDOW_S:
            self._points.popleft()

    @property
    def value(self) -> float:
        """Measured speed [ticks/s], 0 before two points are known."""
        if len(self._points) < 2:
            return 0.0
        (t0, n0), (t1, n1) = self._points[0], self._points[-1]
        return (n1 - n0) / (t1 - t0) if t1 > t0 else 0.0
