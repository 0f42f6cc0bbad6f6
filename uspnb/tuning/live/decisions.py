"""What the loop has decided, and where it stands."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

from ...runtime.html_tables import columns_table

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
