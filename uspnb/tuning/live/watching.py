"""What starts a campaign: a regime alarm with a rise of the entropy, or a fall of the skill over remembered ticks."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ...array_types import Bool, Float, Int
from ...engine.recording import Ring
from ...model.records import Observation, Telemetry
from .decisions import LoopSettings

WIDTH = 7
NS_PER_S = 10**9
REGIME, SKILL, UNFINISHED, ASKED = "regime", "skill", "unfinished", "asked"
FAST, SLOW = 100, 1000
LEAST_SLOW = 500
# Below this skill a fall is measured against it: a fifth of nothing is nothing.
LEAST_SKILL = 0.1
# How many standard errors a fall must exceed, alone and soon after an alarm; a false start costs a campaign, no more.
ERRORS, ERRORS_AFTER_ALARM = 3.5, 2.0
STRIDE = 10
ALARM_MEMORY = 100
ENTROPY_SLOW, ENTROPY_FAST = 0.002, 0.05
ENTROPY_FLOOR = 0.01
SETTLED = 500


class Stretch(NamedTuple):
    """Ticks in a row, oldest first.

    Attributes:
        ticks: columns of shape (time,).
        accepted: which of them passed the gate.
        error: |y_t - yhat_{t|t-1}| of the fusion [input units]; NaN where nothing could be compared.
        naive: |y_t - y_{t-1}|, the error of last value, finite on the same ticks.
    """

    ticks: Observation
    accepted: Bool[np.ndarray, "time"]
    error: Float[np.ndarray, "time"]
    naive: Float[np.ndarray, "time"]

    def series(self) -> tuple[Float[np.ndarray, "tick"], Int[np.ndarray, "tick"]]:
        """Values and timestamps of the accepted ticks."""
        return self.ticks.value[self.accepted], self.ticks.timestamp_ns[self.accepted]


class TickRing:
    """The last `limit` ticks, counted from the first that was ever appended.

    Args:
        limit: ticks kept.
    """

    def __init__(self, limit: int) -> None:
        self._ring = Ring(limit, WIDTH)

    @property
    def count(self) -> int:
        """Ticks that were ever appended."""
        return self._ring.count

    @property
    def start(self) -> int:
        """Number of the oldest tick that is kept."""
        return self._ring.first

    def append(self, tick: Observation, accepted: bool, error: float, naive: float) -> None:
        """Add a tick as the newest."""
        # A row is float64, in which nanoseconds since 1970 have no room.
        now_s, rest_ns = divmod(int(tick.now_ns), NS_PER_S)
        row = [tick.value, tick.dispersion_proxy, now_s, rest_ns, accepted, error, naive]
        self._ring.append(np.array([row], np.float64), np.array([tick.timestamp_ns], np.int64))

    def since(self, first: int, stop: int | None = None) -> Stretch:
        """Ticks from number `first` on, or from the oldest that is kept, up to and without `stop`."""
        rows, stamps = self._ring.read(*self._ring.span(first, self.count if stop is None else stop))
        value, proxy, now_s, rest_ns, accepted, error, naive = rows.T
        now_ns = now_s.astype(np.int64) * NS_PER_S + rest_ns.astype(np.int64)
        return Stretch(Observation(value, stamps, now_ns, proxy), accepted > 0, error, naive)


class Signs(NamedTuple):
    """What the loop reads of one tick's results, or of several as columns.

    Attributes:
        accepted: whether the tick passed the gate.
        prediction: yhat_{t|t-1} of the fusion [input units].
        alarm: whether a chart raised one.
        onset_ago: ticks since the change that it tells of is thought to have come.
        dgm_entropy: of the Deep Galerkin value function; NaN where it is not recorded.
    """

    accepted: Any
    prediction: Any
    alarm: Any
    onset_ago: Any
    dgm_entropy: Any


class Trigger(NamedTuple):
    """Why a campaign begins.

    Attributes:
        kind: "regime", "skill", "unfinished" (the last attempt was cut short by the limit of one change, or had too
            few ticks to be sure), or "asked" (by `Autotuner.tune_now`).
        tick: number of the tick at which it was seen.
        onset: number of the tick at which the change is thought to have come.
        details: the figures behind it.
    """

    kind: str
    tick: int
    onset: int
    details: dict[str, Any]


class Skill(NamedTuple):
    """1 - MAE of the fusion / MAE of last value, on the last ticks and on those before them; NaN where too few.

    Attributes:
        fast: of the last 100 ticks.
        slow: of the 1,000 ticks before those.
        error: standard error of their difference.
    """

    fast: float
    slow: float
    error: float


def skill_of(error: Float[np.ndarray, "tick"], naive: Float[np.ndarray, "tick"]) -> Skill:
    """The skill of the end of a stretch against that before it.

    With r = sum |e| / sum |b| over a window the skill is 1 - r.  The standard error of r is that of the mean of
    (|e| - r |b|) / mean |b| (delta method), with Newey and West's variance.

    Args:
        error, naive: |e| and |b|, oldest first; NaN is left out.
    """
    finite = np.isfinite(error) & np.isfinite(naive)
    error, naive = error[finite], naive[finite]
    (slow, slow_error), (fast, fast_error) = (
        _ratio(error[part], naive[part]) for part in (slice(-FAST - SLOW, -FAST), slice(-FAST, None))
    )
    if len(error) < FAST + LEAST_SLOW:
        slow, slow_error = math.nan, math.nan
    return Skill(1.0 - fast, 1.0 - slow, math.hypot(fast_error, slow_error))


def _ratio(error: np.ndarray, naive: np.ndarray) -> tuple[float, float]:
    n, total = len(error), float(naive.sum())
    if n < FAST or not total > 0:
        return math.nan, math.nan
    ratio = float(error.sum()) / total
    d = (error - ratio * naive) * (n / total)
    lags = math.floor(4.0 * (n / 100.0) ** (2.0 / 9.0))
    variance = float(d @ d) / n
    for lag in range(1, lags + 1):
        variance += 2.0 * (1.0 - lag / (lags + 1.0)) * float(d[lag:] @ d[:-lag]) / n
    return ratio, math.sqrt(max(variance, 0.0) / n)


class Watch:
    """Looks at every tick's telemetry for a reason to tune.

    - *regime*: an alarm was raised in the last 100 ticks, and the fast mean of the entropy of the Deep Galerkin value
      function (rate 1/20) lies `entropy_rise` standard deviations above its slow mean; slow mean and deviation have
      the rate 1/500, and 500 ticks must have been seen.
    - *skill*: with S_f the skill of the last 100 ticks, S_s that of the 1,000 before them (at least 500) and s the
      standard error of S_f - S_s, S_s - S_f > max(`skill_fall` * max(S_s, 0.1), k s), where k is 3.5, or 2 within 100
      ticks of an alarm.  Looked at every 10 ticks.

    Args:
        settings: of the loop.
        ring: whose last tick is the one that is observed.
    """

    def __init__(self, settings: LoopSettings, ring: TickRing) -> None:
        self._settings, self._ring = settings, ring
        self._alarm: tuple[int, int] | None = None  # tick and onset of the last one
        self._mean = self._variance = self._fast = math.nan
        self._entropies = 0
        self.skill = Skill(math.nan, math.nan, math.nan)

    @property
    def entropy_rise(self) -> float:
        """The fast mean of the entropy above the slow one, in slow standard deviations; NaN before 500 ticks."""
        if self._entropies < SETTLED:
            return math.nan
        return (self._fast - self._mean) / max(math.sqrt(self._variance), ENTROPY_FLOOR)

    def observe(self, telemetry: Telemetry | Signs) -> Trigger | None:
        """Take the newest tick; a trigger where there is one."""
        now = self._ring.count - 1
        if bool(telemetry.alarm):
            self._alarm = now, max(0, now - int(telemetry.onset_ago))
        self._take_entropy(float(telemetry.dgm_entropy))
        trigger = self._regime(now)
        if now % STRIDE == 0:
            stretch = self._ring.since(now + 1 - FAST - SLOW)
            self.skill = skill_of(stretch.error, stretch.naive)
            trigger = trigger or self._skill(now)
        return trigger

    def _take_entropy(self, entropy: float) -> None:
        if not math.isfinite(entropy):
            return
        if self._entropies == 0:
            self._mean = self._fast = entropy
            self._variance = 0.0
        self._entropies += 1
        rate = max(ENTROPY_SLOW, 1.0 / self._entropies)
        self._variance += rate * ((entropy - self._mean) ** 2 - self._variance)
        self._mean += rate * (entropy - self._mean)
        self._fast += max(ENTROPY_FAST, 1.0 / self._entropies) * (entropy - self._fast)

    def _regime(self, now: int) -> Trigger | None:
        if self._alarm is None or now - self._alarm[0] > ALARM_MEMORY:
            return None
        rise = self.entropy_rise
        if not rise >= self._settings.entropy_rise:
            return None
        return Trigger(REGIME, now, self._alarm[1], {"entropy_rise": rise, "alarm_tick": self._alarm[0]})

    def _skill(self, now: int) -> Trigger | None:
        fast, slow, error = self.skill
        alarm = self._alarm if self._alarm is not None and now - self._alarm[0] <= ALARM_MEMORY else None
        errors = ERRORS if alarm is None else ERRORS_AFTER_ALARM
        if not slow - fast > max(self._settings.skill_fall * max(slow, LEAST_SKILL), errors * error):
            return None
        onset = max(0, now - FAST) if alarm is None else alarm[1]
        return Trigger(SKILL, now, onset, {"skill": fast, "skill_before": slow, "standard_error": error})
