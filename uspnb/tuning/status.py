"""Where a campaign stands, read from its trials, and the limits at which it ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from ..array_types import Float
from ..config.meta_optimization import MetaOptimizationConfig
from ..errors import DomainError
from ..runtime.arguments import check_number, check_whole

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}
IDLE, RUNNING, PAUSED, STOPPED, FINISHED, FAILED = "idle", "running", "paused", "stopped", "finished", "failed"
TRIALS = {"fast": 50, "deep": 500}


def value_of(trial: FrozenTrial) -> float:
    """A trial's value; NaN where it failed or runs."""
    return math.nan if trial.value is None else float(trial.value)


def params_of(trial: FrozenTrial) -> dict[str, Any]:
    """The settings that a trial tried."""
    return dict(trial.user_attrs.get("params", trial.params))


def finished(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that ended."""
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
    """Trials that ended since the last one that improved the best value by more than `delta`."""
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
    finite = best[~np.isnan(best)]
    return float((finite[0] if math.isnan(before) else before) - best[-1])


class CampaignStatus(NamedTuple):
    """Where a campaign stands.

    Attributes:
        state: "idle", "running", "paused", "stopped" (asked to, or by a limit), "finished" or "failed".
        trials: told so far, of which `complete`, `pruned` and `failed`.
        target: how many there are to be.
        best_value: NaN where none is complete.
        best_params: settings of the best.
        default_value: of the base configuration; NaN where it failed or is not told yet.
        elapsed_s: since the present or last call of `optimize` began [s].
        reason: why it ended, or what went wrong.
        batch: batches told so far.
    """

    state: str
    trials: int
    complete: int
    pruned: int
    failed: int
    target: int
    best_value: float
    best_params: dict[str, Any]
    default_value: float
    elapsed_s: float
    reason: str
    batch: int


def status_of(
    trials: Sequence[FrozenTrial], state: str = IDLE, target: int = 0, elapsed_s: float = 0.0, reason: str = ""
) -> CampaignStatus:
    """The status that trials add up to."""
    states = [STATES[trial.state] for trial in trials]
    best = best_of(trials)
    done = {trial.user_attrs.get("batch") for trial in trials if trial.state.is_finished()}
    running = {trial.user_attrs.get("batch") for trial in trials if not trial.state.is_finished()}
    return CampaignStatus(
        state=state,
        trials=len(states) - states.count("running"),
        complete=states.count("complete"),
        pruned=states.count("pruned"),
        failed=states.count("failed"),
        target=target,
        best_value=math.nan if best is None else value_of(best),
        best_params={} if best is None else params_of(best),
        default_value=value_of(trials[0]) if trials and STATES[trials[0].state] == "complete" else math.nan,
        elapsed_s=elapsed_s,
        reason=reason,
        batch=len(done - running),
    )


class Limits(NamedTuple):
    """The limits of one call of `optimize`.

    Attributes:
        target: trials in all, those of earlier calls included.
        interval: trials between two checkpoints.
        patience: trials without an improvement after which the campaign ends.
        delta: fall of the best value that counts as one.
        timeout_s: 0 sets no limit [s].
    """

    target: int
    interval: int
    patience: int
    delta: float
    timeout_s: float


def checked_limits(
    meta: MetaOptimizationConfig,
    tier: str,
    n_trials: Any = None,
    checkpoint_interval: Any = None,
    early_stopping_patience: Any = None,
    early_stopping_delta: Any = None,
    timeout_s: Any = None,
) -> Limits:
    """Limits from what was said, and from the campaign's settings where nothing was.

    Raises:
        DomainError: a number of trials that is no whole number of at least 1, a deep campaign beyond its limit, a
            negative or non-finite delta or time.
    """

    def chosen(name: str, limit: Any) -> Any:
        return getattr(meta, name) if limit is None else limit

    def whole(name: str, limit: Any) -> int:
        return check_whole(name, chosen(name, limit), 1)

    target = whole("n_trials", n_trials)
    most = meta.max_deep_tuning_iterations
    if tier == "deep" and target > most:
        raise DomainError(f"n_trials = {target} exceeds max_deep_tuning_iterations = {most} of tier deep")
    return Limits(
        target,
        whole("checkpoint_interval", checkpoint_interval),
        whole("early_stopping_patience", early_stopping_patience),
        check_number("early_stopping_delta", chosen("early_stopping_delta", early_stopping_delta), 0),
        check_number("timeout_s", chosen("timeout_s", timeout_s), 0, unit="seconds"),
    )
