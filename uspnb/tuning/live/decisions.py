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

    def changes_text(self) -> str:
        """The changes in a few words."""
        return ", ".join(f"{name} {_short(old)} -> {_short(new)}" for name, (old, new) in self.changes.items())

    def text(self) -> str:
        """The decision as a line."""
        parts = [f"tick {self.tick}: {self.outcome} [{self.trigger}]", self.changes_text(), f"({self.reason})"]
        return " ".join(filter(None, parts))


class Decisions(list[Decision]):
    """All decisions of a tuner, the oldest first; a table in a notebook."""

    def of(self, outcome: str) -> list[Decision]:
        """The decisions of one outcome, oldest first."""
        return [decision for decision in self if decision.outcome == outcome]

    def text(self) -> str:
        """One line for each."""
        return "\n".join(decision.text() for decision in self)

    def _repr_html_(self) -> str:
        rows = [(one.tick, one.outcome, one.trigger, one.changes_text(), one.reason) for one in self]
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


def _setting(default: float, low: float, high: float, unit: str) -> Any:
    """A number of `LoopSettings`, whole where its default is."""
    return dataclasses.field(default=default, metadata={"least": low, "most": high, "unit": f"({unit})"})


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

    n_trials: int = _setting(50, 1, 10_000, "trials")
    metric: str = "mase"
    history: int = _setting(4000, 600, 1_000_000, "ticks")
    min_history: int = _setting(1000, 300, 1_000_000, "ticks")
    skill_fall: float = _setting(0.2, 0.01, 1.0, "of the skill")
    entropy_rise: float = _setting(2.0, 0.1, 100.0, "standard deviations")
    significance: float = _setting(0.01, 1e-9, 0.2, "probability")
    min_gain: float = _setting(0.02, 0.0, 0.9, "of the error")
    error_rise: float = _setting(0.3, 0.0, 100.0, "of the error")
    watch_ticks: int = _setting(500, 20, 1_000_000, "ticks")
    cooldown_ticks: int = _setting(1000, 0, 10_000_000, "ticks")
    max_relative_change: float = _setting(0.5, 0.01, 10.0, "of the value")
    rate_limit_per_hour: int = _setting(10, 1, 10_000, "changes an hour")
    min_stability_ticks: int = _setting(1000, 0, 10_000_000, "ticks")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if field.metadata:
                check: Any = check_whole if isinstance(field.default, int) else check_number
                value = check(field.name, getattr(self, field.name), **field.metadata)
                object.__setattr__(self, field.name, value)
        if self.metric not in METRICS or not METRICS[self.metric].paired:
            paired = ", ".join(name for name, metric in METRICS.items() if metric.paired)
            raise DomainError(f"metric {self.metric!r} has no losses of ticks that a test could pair; choose {paired}")
        if self.min_history > self.history:
            raise DomainError(
                f"min_history = {self.min_history} exceeds history = {self.history}: so many ticks are never "
                "remembered; lengthen the history"
            )
