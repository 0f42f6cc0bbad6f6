"""When a campaign ends, and how often it is written down."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..config.meta_optimization import MetaOptimizationConfig
from ..errors import DomainError
from ..runtime.arguments import check_number, check_whole

TRIALS = {"fast": 50, "deep": 500}


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
    target = check_whole("n_trials", meta.n_trials if n_trials is None else n_trials, 1)
    most = meta.max_deep_tuning_iterations
    if tier == "deep" and target > most:
        raise DomainError(f"n_trials = {target} exceeds max_deep_tuning_iterations = {most} of tier deep")
    return Limits(
        target,
        check_whole(
            "checkpoint_interval", meta.checkpoint_interval if checkpoint_interval is None else checkpoint_interval, 1
        ),
        check_whole(
            "early_stopping_patience",
            meta.early_stopping_patience if early_stopping_patience is None else early_stopping_patience,
            1,
        ),
        check_number(
            "early_stopping_delta",
            meta.early_stopping_delta if early_stopping_delta is None else early_stopping_delta,
            0,
        ),
        check_number("timeout_s", meta.timeout_s if timeout_s is None else timeout_s, 0, unit="seconds"),
    )
