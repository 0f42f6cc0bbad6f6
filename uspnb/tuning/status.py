"""Where a campaign stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial

from .trials import STATES, best_of, params_of, value_of

IDLE, RUNNING, PAUSED, STOPPED, FINISHED, FAILED = "idle", "running", "paused", "stopped", "finished", "failed"


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
    told = [STATES[trial.state] for trial in trials]
    best = best_of(trials)
    done = {trial.user_attrs.get("batch") for trial in trials if trial.state.is_finished()}
    running = {trial.user_attrs.get("batch") for trial in trials if not trial.state.is_finished()}
    return CampaignStatus(
        state=state,
        trials=len(told) - told.count("running"),
        complete=told.count("complete"),
        pruned=told.count("pruned"),
        failed=told.count("failed"),
        target=target,
        best_value=math.nan if best is None else value_of(best),
        best_params={} if best is None else params_of(best),
        default_value=value_of(trials[0]) if trials and STATES[trials[0].state] == "complete" else math.nan,
        elapsed_s=elapsed_s,
        reason=reason,
        batch=len(done - running),
    )
