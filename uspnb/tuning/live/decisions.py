"""What the loop may do, what it has decided, and where it stands."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

from ...errors import DomainError
from ...runtime.arguments import check_number, check_whole
from ...runtime.words import columns_table
from ..metrics import METRICS

# Where the loop stands.
OFF, WATCHING, GATHERING, TUNING, REHEARSING, PROBATION, COOLDOWN, CLOSED = (
    "off", "watching", "gathering", "tuning", "rehearsing", "probation", "cooldown", "closed",
)  # fmt: skip
# What it has decided.
TRIGGERED, TESTING, KEPT, REFUSED, ADOPTED, CONFIRMED, ROLLED_BACK, FAILED, UNWATCHED = (
    "triggered", "tuning", "kept", "refused", "adopted", "confirmed", "rolled_back", "failed", "unwatched",
)  # fmt: skip
# Name: (least, largest, whether it is a whole number, unit).
_RANGES: dict[str, tuple[float, float, bool, str]] = {
    "n_trials": (1, 10_000, True, "trials"),
    "history": (600, 1_000_000, True, "ticks"),
    "min_history": (300, 1_000_000, True, "ticks"),
    "skill_fall": (0.01, 1.0, False, "of the skill"),
    "entropy_rise": (0.1, 100.0, False, "standard deviations"),
    "significance": (1e-9, 0.2, False, "probability"),
    "min_gain": (0.0, 0.9, False, "of the error"),
    "error_rise": (0.0, 100.0, False, "of the error"),
    "watch_ticks": (20, 1_000_000, True, "ticks"),
    "cooldown_ticks": (0, 10_000_000, True, "ticks"),
    "max_relative_change": (0.01, 10.0, False, "of the value"),
    "rate_limit_per_hour": (1, 10_000, True, "changes an hour"),
    "min_stability_ticks": (0, 10_000_000, True, "ticks"),
}


@dataclasses.dataclass(frozen=True)
class Decision:
    """One transition of the loop, as the audit log has it.

    Attributes:
        outcome: "triggered", "tuning", "kept" (the settings in force stay), "refused" (by the mutation policy),
            "adopted", "confirmed", "rolled_back", "failed", "unwatched" (closed while a change was on probation), or
            "watching" after the cooldown.
        tick: number of the tick after which it was taken.
        trigger: what had started the attempt: "regime", "skill", "unfinished", "asked".
        reason: a sentence.
        changes: (old, new) by field.
        details: the figures behind it.
    """

    outcome: str
    tick: int
    trigger: str
    reason: str
    changes: dict[str, tuple[Any, Any]] = dataclasses.field(default_factory=dict)
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    def text(self) -> str:
        """The same as a line."""
        told = ", ".join(f"{name} {_short(old)} -> {_short(new)}" for name, (old, new) in self.changes.items())
        return " ".join(filter(None, [f"tick {self.tick}: {self.outcome} [{self.trigger}]", told, f"({self.reason})"]))


class Decisions(list[Decision]):
    """All decisions of a tuner, the oldest first; a table in a notebook."""

    def of(self, outcome: str) -> list[Decision]:
        """Those of one outcome."""
        return [decision for decision in self if decision.outcome == outcome]

    def text(self) -> str:
        """One line for each."""
        return "\n".join(decision.text() for decision in self)

    def _repr_html_(self) -> str:
        rows = []
        for one in self:
            told = ", ".join(f"{name} {_short(old)} -> {_short(new)}" for name, (old, new) in one.changes.items())
            rows.append((one.tick, one.outcome, one.trigger, told, one.reason))
        return columns_table("Decisions", ("tick", "outcome", "trigger", "changes", "reason"), rows)


class AutotuneStatus(NamedTuple):
    """Where the loop stands.

    Attributes:
        state: "off", "watching", "gathering" (waiting for ticks after the change), "tuning", "rehearsing" (a new
            structure learns from the remembered ticks), "probation", "cooldown" or "closed".
        reason: in a sentence.
        ticks: seen so far.
        left: ticks until the state ends; None where no tick decides that.
        attempts: campaigns so far.
        tests: held-out tests so far.
        adopted, rolled_back: changes so far, and those that were taken back.
        skill, skill_before: of the last 100 ticks and of the 1,000 before; NaN where too few.
        entropy_rise: in slow standard deviations; NaN before 500 ticks.
    """

    state: str
    reason: str
    ticks: int
    left: int | None
    attempts: int
    tests: int
    adopted: int
    rolled_back: int
    skill: float
    skill_before: float
    entropy_rise: float


def level_of(test: int, significance: float) -> float:
    """Level of the k-th held-out test of a tuner: 6 / (pi^2 k^2) of the whole.

    The levels of all tests that there will ever be add up to `significance`, so that it bounds the probability of any
    false adoption (Bonferroni over a sequence without an end).
    """
    return significance * 6.0 / (math.pi * test) ** 2


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


@dataclasses.dataclass(frozen=True)
class LoopSettings:
    """When the loop acts and when it believes what it has found.

    Attributes:
        n_trials: of one campaign.
        metric: what a campaign minimises and the held-out test compares; one whose losses can be paired.
        history: ticks that are remembered.
        min_history: ticks after the change that a campaign waits for; the last 30 % of them are held out.
        skill_fall: fall of the skill, as a share of it, that starts a campaign.
        entropy_rise: rise of the value function's entropy above its slow mean, in slow standard deviations, that
            starts one together with an alarm.
        significance: bound of the probability that any campaign of this tuner is adopted by chance.
        min_gain: least held-out improvement, as a share of the error, that is worth a change.
        error_rise: rise of the error over that of the settings before, on the same ticks, that takes a change back.
        watch_ticks: ticks for which a change is on probation.
        cooldown_ticks: ticks without a look for triggers after a decision.
        max_relative_change, rate_limit_per_hour, min_stability_ticks: limits of a change, as of `mutate_config`.

    Raises:
        DomainError: a value outside its range, a metric without losses of single ticks, or a `min_history` that is
            longer than `history`.
    """

    __no_type_check__ = True  # the constructor judges what it is given, in words for a person

    n_trials: int = 50
    metric: str = "mase"
    history: int = 4000
    min_history: int = 1000
    skill_fall: float = 0.2
    entropy_rise: float = 2.0
    significance: float = 0.01
    min_gain: float = 0.02
    error_rise: float = 0.3
    watch_ticks: int = 500
    cooldown_ticks: int = 1000
    max_relative_change: float = 0.5
    rate_limit_per_hour: int = 10
    min_stability_ticks: int = 1000

    def __post_init__(self) -> None:
        for name, (low, high, whole, unit) in _RANGES.items():
            check: Any = check_whole if whole else check_number
            object.__setattr__(self, name, check(name, getattr(self, name), low, high, unit=f"({unit})"))
        if self.metric not in METRICS or not METRICS[self.metric].paired:
            paired = ", ".join(name for name, metric in METRICS.items() if metric.paired)
            raise DomainError(f"metric {self.metric!r} has no losses of ticks that a test could pair; choose {paired}")
        if self.min_history > self.history:
            raise DomainError(
                f"min_history = {self.min_history} exceeds history = {self.history}: so many ticks are never "
                "remembered; lengthen the history"
            )
