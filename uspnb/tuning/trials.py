"""Reading a campaign's trials: the best, what was improved when, and whether that still happens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from ..array_types import Float

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}


def value_of(trial: FrozenTrial) -> float:
    """A trial's value; NaN where it failed or runs."""
    return math.nan if trial.value is None else float(trial.value)


def params_of(trial: FrozenTrial) -> dict[str, Any]:
    """The settings that a trial tried."""
    return dict(trial.user_attrs.get("params", trial.params))


def finished(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that were told."""
    return [trial for trial in trials if trial.state.is_finished()]


def best_of(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The complete trial of the lowest value, the first of several; None where none is complete."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return min(complete, key=lambda trial: (value_of(trial), trial.number), default=None)


def running_best(trials: Sequence[FrozenTrial]) -> Float[np.ndarray, "trial"]:
    """The lowest value of the complete trials up to each; NaN before the first."""
    values = [value_of(trial) if trial.state == TrialState.COMPLETE else math.nan for trial in trials]
    return np.fmin.accumulate(np.array(values, float)) if values else np.array([], float)


def stale_for(trials: Sequence[FrozenTrial], delta: float) -> int:
    """How many trials have been told since the last that improved the best value by more than `delta`."""
    best, since = math.inf, 0
    for trial in finished(trials):
        since += 1
        if trial.state == TrialState.COMPLETE and value_of(trial) < best - (delta if best < math.inf else 0.0):
            since = 0
            best = value_of(trial)
    return since


def recent_gain(trials: Sequence[FrozenTrial], window: int) -> float:
    """By how much the best value fell over the last `window` trials; NaN where none is complete."""
    best = running_best(finished(trials))
    if not len(best) or math.isnan(best[-1]):
        return math.nan
    before = best[max(len(best) - 1 - window, 0)]
    known = best[~np.isnan(best)]
    return float((known[0] if math.isnan(before) else before) - best[-1])
