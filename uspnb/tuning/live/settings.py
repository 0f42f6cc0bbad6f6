"""How the closed loop behaves: its limits, each with its range."""

from __future__ import annotations

import dataclasses
from typing import Any

from ...errors import DomainError
from ...runtime.arguments import check_number, check_whole
from ..metrics import METRICS

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
