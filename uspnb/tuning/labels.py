"""Labelled changes, and how long the alarm charts take to see them at a fixed rate of false alarms."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data.series import Series
from ..errors import DomainError
from ..runtime.arguments import check_whole
from .folds import Fold
from .metrics import ALARM_DELAY, alarm_delays, alarm_level


def checked_changes(
    changes: Any, metric: str, series: Sequence[Series], folds: Sequence[Sequence[Fold]]
) -> list[np.ndarray]:
    """The labelled changes of each series as sorted indices.

    Raises:
        DomainError: none for a metric that needs them, as many lists as do not fit the series, an index that is no
            tick, or no label within any test.
    """
    if metric != ALARM_DELAY:
        return [np.zeros(0, np.int64) for _ in series]
    if changes is None:
        raise DomainError("alarm_delay needs `changes`: the indices of the ticks at which the process changed")
    lists = list(changes)
    if lists and isinstance(lists[0], numbers.Real):
        lists = [lists]
    if len(lists) != len(series):
        raise DomainError(f"{len(lists)} lists of changes were given for {len(series)} series; give one for each")
    checked = [_indices(own, len(one)) for own, one in zip(lists, series, strict=True)]
    if not any(
        ((own >= fs[0].test.start) & (own < fs[-1].test.stop)).any() for own, fs in zip(checked, folds, strict=True)
    ):
        first = min(fs[0].test.start for fs in folds)
        raise DomainError(
            f"no labelled change lies in a test (tick {first} on); label some, or test more of the series"
        )
    return checked


def _indices(own: Any, ticks: int) -> np.ndarray:
    return np.unique([check_whole("labelled change", change, 0, ticks - 1) for change in own]).astype(np.int64)


def delays_of_fold(ratio: np.ndarray, changes: np.ndarray, test: slice, rate: float, horizon: int) -> float:
    """Mean delay of a fold's changes [ticks], the alarm level set on all quiet ticks up to the fold's end.

    Returns:
        The mean delay, misses counted as `horizon`; NaN where no change lies in the fold.
    """
    own = changes[(changes >= test.start) & (changes < test.stop)]
    if not len(own):
        return math.nan
    seen = np.isfinite(ratio[: test.stop])
    quiet = seen.copy()
    for change in changes[changes < test.stop]:
        quiet[change : change + horizon] = False
    level = alarm_level(ratio[: test.stop], quiet, rate)
    return float(alarm_delays(ratio[: test.stop], own, level, horizon).mean())
