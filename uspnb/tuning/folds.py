"""Walk-forward folds: every fold is tested on ticks that come after all that it was trained on."""

from __future__ import annotations

from typing import NamedTuple, SupportsIndex

from ..errors import DomainError
from ..runtime.arguments import check_number, check_whole

SHORTEST_TRAIN = 64
SHORTEST_TEST = 8


class Fold(NamedTuple):
    """One fold: the predictor learns on `train` and is scored on `test`, which begins where `train` ends."""

    train: slice
    test: slice


def walk_forward_split(
    n: SupportsIndex, n_folds: SupportsIndex = 5, train_ratio: float = 0.7, max_memory: SupportsIndex | None = None
) -> list[Fold]:
    """Folds of a series of n ticks, strictly causal, whose tests follow one another and end with the series.

    With r = `train_ratio` and K folds a test has m = floor(n / (r/(1-r) + K)) ticks, so that the first fold is trained
    on the share r of its own ticks; later folds have all ticks before their test, or the last `max_memory` of them.

    Args:
        n: ticks of the series.
        n_folds: K, at least 1.
        train_ratio: r, share of training in the first fold, in (0, 1).
        max_memory: most ticks that a fold is trained on; None or 0 is everything since the start.

    Returns:
        K folds, oldest first.

    Raises:
        DomainError: an argument outside its range, or a series too short for such folds.

    Source: Tashman 2000, Out-of-sample tests of forecasting accuracy (rolling origin, recalibration window).
    """
    n, n_folds = check_whole("n", n, 0, unit="ticks"), check_whole("n_folds", n_folds, 1)
    train_ratio = check_number("train_ratio", train_ratio, above=0, below=1)
    memory = 0 if max_memory is None else check_whole("max_memory", max_memory, 0, unit="ticks")
    if memory and memory < SHORTEST_TRAIN:
        raise DomainError(f"max_memory = {memory} must be at least {SHORTEST_TRAIN} ticks, or 0 for all of them")
    test = int(n / (train_ratio / (1.0 - train_ratio) + n_folds))
    first = n - n_folds * test
    if test < SHORTEST_TEST or first < SHORTEST_TRAIN:
        raise DomainError(
            f"a series of {n} ticks is too short for {n_folds} folds with train_ratio {train_ratio:g}: they would test "
            f"{test} ticks each (least {SHORTEST_TEST}) after {first} of training (least {SHORTEST_TRAIN}); feed more "
            "ticks or ask for fewer folds"
        )
    starts = [first + k * test for k in range(n_folds)]
    return [Fold(slice(max(0, s - memory) if memory else 0, s), slice(s, s + test)) for s in starts]
