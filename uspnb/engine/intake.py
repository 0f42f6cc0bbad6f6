"""How ticks come in: from where in a source, at what time of processing, how fast, and what happens to its faults."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..array_types import Int
from ..errors import DomainError
from ..sources import Source, SourceFault, Ticks

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
PATIENCE_S = 10.0
SKIPPED_AT_ONCE = 4096
SHORTEST_WAIT_S = 1 / 60
MOST_DEBT_S = 5.0
RATE_WINDOW_S = 1.0
SHORTEST_PORTION, LONGEST_PORTION = 16, 128
TOO_LONG_S, SHORT_S = 0.06, 0.03
NOTHING = Ticks(np.empty(0), np.empty(0, np.int64), np.empty(0))
_log = logging.getLogger("uspnb.engine")


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


class Taken(NamedTuple):
    """Ticks for the predictor.

    Attributes:
        ticks: oldest first.
        now_ns: the time of processing of each: the clock's for what is live, else its own.
        live: whether they come at their own pace.
    """

    ticks: Ticks
    now_ns: Int[np.ndarray, "tick"]
    live: bool


class Intake:
    """A source as one track reads it.

    After a restart a source that can be sought in goes to the position; a growing file is read again from its first
    row up to there; of every other source what was missed is gone.

    Args:
        name: of the series.
        source: where ticks come from.
        retry: whether what breaks is taken up again by itself, after a pause that grows; else `take` raises.
        clock: time of processing of what comes live [ns since 1970 UTC]; None from it is a tick's own time.

    Attributes:
        started: whether the source reads.
        position: ticks taken from the present content of the source.
        last_stamp_ns: timestamp of the last of them [ns since 1970 UTC].
        condition: what keeps ticks from coming, a sentence; None where nothing does.
        failed: whether the source is dead.
        backlog: ticks that were accepted before a restart and are taken before any of the source.
    """

    def __init__(
        self, name: str, source: Source, *, retry: bool = False, clock: Callable[[], int | None] = time.time_ns
    ) -> None:
        self.name, self.source, self.retry, self._clock = name, source, retry, clock
        self.position, self.started = 0, False
        self.condition: str | None = None
        self.failed = False
        self.backlog = NOTHING
        self._wake: Callable[[], None] | None = None
        self._skip = 0
        self.last_stamp_ns: int | None = None
        self._retry_at: float | None = None
        self._pause_s = FIRST_PAUSE_S
        self._patient_until = 0.0
        self._awake_ns = self._clock() or 0
        self._held: Taken | None = None
        self._closed = False

    @property
    def reread(self) -> bool:
        """Whether the source can be read again after a restart, so that what waits in it is not lost by leaving it."""
        return self.source.length is not None or _is_file(self.source)

    @property
    def finished(self) -> bool:
        """Whether no tick will come again."""
        return self.failed or (self.source.exhausted and not self.backlog.values.size)

    def resume(self, position: int, last_stamp_ns: int | None, backlog: Ticks = NOTHING) -> None:
        """Stand where a snapshot left off; before `start`.

        Args:
            position: ticks that were taken.
            last_stamp_ns: timestamp of the last of them [ns since 1970 UTC], None where nobody knows it.
            backlog: what was accepted beyond; a source that can be read again gives it itself.

        Raises:
            DomainError: the source ends before, or has another tick there.
        """
        self.position, self.last_stamp_ns = position, last_stamp_ns
        if not self.reread:
            self.backlog = backlog
        if position == 0:
            return
        if self.source.length is not None:
            if position > self.source.length:
                raise DomainError(
                    f"{self.name}: the snapshot was taken after {position:,} ticks, but the source has "
                    f"{self.source.length:,}; give the source that it was taken from, or --fresh to begin anew"
                )
            self.source.seek(position - 1)
            self._check(int(self.source.take(1).stamps_ns[0]))
        elif _is_file(self.source):
            self._skip = position

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to read, once; `wake` is called when something waits.

        Raises:
            SourceFault, DomainError, OSError: it cannot begin, and nothing is to be retried.
        """
        self._wake = wake
        if not self.started and not self._closed and self._retry_at is None:
            self._patient_until = time.monotonic() + PATIENCE_S
            self._begin()

    def awake(self) -> None:
        """From now on ticks are taken as they come; what was measured before belongs to the past."""
        self._awake_ns = self._clock() or 0

    def seek(self, k: int) -> None:
        """Have tick `k` of the source come next, and forget what was put back."""
        self.source.seek(k)
        self.position, self._held = k, None

    def put_back(self, taken: Taken) -> None:
        """Give back what was taken last and not processed; the next `take` gives it again."""
        self._held = taken

    def take(self, most: int) -> Taken | None:
        """Up to `most` ticks that are here now, but at least what was put back; None where there are none.

        Raises:
            SourceFault: see `Source.take`, where nothing is to be retried.
        """
        if self._held is not None:
            held, self._held = self._held, None
            return held
        if self.backlog.values.size:
            ticks, self.backlog = _split(self.backlog, most)
            self.last_stamp_ns = int(ticks.stamps_ns[-1])
            return Taken(ticks, ticks.stamps_ns, False)
        if self.failed:
            return None
        if self._retry_at is not None:
            if time.monotonic() < self._retry_at:
                return None
            self._begin()
        try:
            while self._skip:
                if not self._skip_some():
                    return None
            live = self.source.live
            ticks = self.source.take(most)
        except SourceFault as fault:
            if not self.retry:
                raise
            self._meet(fault)
            return None
        except DomainError as error:  # of the skipping: another file lies there
            self.condition, self.failed, self._skip = str(error), True, 0
            _log.error("%s", error)
            return None
        if not ticks.values.size:
            return None
        self.position += len(ticks.values)
        self.last_stamp_ns = int(ticks.stamps_ns[-1])
        self._pause_s, self.condition = FIRST_PAUSE_S, None
        # What was measured while nobody could take it is history: at its own time it is not stale.
        missed, clock_ns = ticks.stamps_ns < self._awake_ns, self._clock() if live else None
        now_ns = ticks.stamps_ns if clock_ns is None else np.where(missed, ticks.stamps_ns, clock_ns)
        return Taken(ticks, now_ns, live)

    def wait_s(self) -> float | None:
        """Seconds until it is worth looking again, None where the source will wake us."""
        if self._retry_at is not None:
            return max(self._retry_at - time.monotonic(), 0.0)
        return PATIENCE_S / 10 if self._skip else None

    def close(self) -> int:
        """Accept nothing more; how many ticks were accepted and wait."""
        self._closed = True
        self.source.close()
        return self.waiting

    @property
    def waiting(self) -> int:
        """Accepted ticks that are nowhere else to be had and were not taken yet."""
        return 0 if self.reread else self.backlog.values.size + self.source.waiting

    def keep_rest(self) -> int:
        """After `close`: make what waits the backlog, for a snapshot to hold; how many ticks there are."""
        parts = [self.backlog]
        while not self.reread and self.source.waiting:
            try:
                parts.append(self.source.take(self.source.waiting))
            except SourceFault as fault:
                _log.warning("%s", fault)
        self.backlog = Ticks(*(np.concatenate(column) for column in zip(*(part[:3] for part in parts), strict=True)))
        return self.backlog.values.size

    def _begin(self) -> None:
        self._retry_at = None
        try:
            self.source.start(self._wake or _nobody)
            self.started = True
        except (DomainError, OSError, SourceFault) as error:
            if not self.retry:
                raise
            if isinstance(error, SourceFault):
                self._meet(error)
            else:
                self._later(str(error))

    def _meet(self, fault: SourceFault) -> None:
        if not fault.can_continue:
            self.condition, self.failed = str(fault), True
            _log.error("%s; this series is at its end", fault)
        elif fault.item:  # one item was left out, and reading goes on
            _log.warning("%s", fault)
            if self._wake is not None:
                self._wake()
        else:
            self._later(str(fault))

    def _later(self, reason: str) -> None:
        """Reading broke: it is taken up again after a pause that grows, a file from its first row."""
        _log.warning("%s; trying again in %.1f s", reason, self._pause_s)
        self.condition = reason
        self._retry_at = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        if _is_file(self.source):
            self.position = self._skip = 0

    def _skip_some(self) -> bool:
        """Leave out rows that the snapshot knows; whether there were any."""
        ticks = self.source.take(min(self._skip, SKIPPED_AT_ONCE))
        self._skip -= len(ticks.values)
        if ticks.values.size and self._skip == 0:
            self._check(int(ticks.stamps_ns[-1]))
            self.condition = None
        elif not ticks.values.size and time.monotonic() > self._patient_until and self.condition is None:
            self.condition = (
                f"{self.name}: the file has {self._skip:,} rows fewer than the {self.position:,} that the snapshot "
                "knows; if it was begun anew, restart with --fresh"
            )
            _log.warning("%s", self.condition)
        return bool(ticks.values.size)

    def _check(self, stamp_ns: int) -> None:
        if self.last_stamp_ns is not None and stamp_ns != self.last_stamp_ns:
            there, expected = (np.datetime64(stamp, "ns") for stamp in (stamp_ns, self.last_stamp_ns))
            raise DomainError(
                f"{self.name}: tick {self.position:,} of the source is of {there}, but the snapshot knows it as of "
                f"{expected}; give the source that it was taken from, or --fresh to begin anew"
            )


def _split(ticks: Ticks, most: int) -> tuple[Ticks, Ticks]:
    return Ticks(*(column[:most] for column in ticks[:3])), Ticks(*(column[most:] for column in ticks[:3]))


def _is_file(source: Source) -> bool:
    from ..sources import CsvTailSource  # brings pandas with it, which nothing else here needs

    return isinstance(source, CsvTailSource)


def _nobody() -> None:
    """Who is woken before `start`."""
