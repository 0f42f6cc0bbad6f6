"""Walk-forward folds, each tested on ticks after all that it was trained on, and the series that they divide."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from ..array_types import Float, Int
from ..config.schema import PredictorConfig
from ..data.series import Series, read_series
from ..errors import DomainError
from ..predictor.comparison import grid_places
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


@dataclasses.dataclass(frozen=True)
class Tuned:
    """One series of a campaign.

    Attributes:
        name: what it is called.
        series: its ticks, of shape (time,).
        folds: its walk-forward folds.
        previous: the newest finite value before each tick; NaN before the first.
        units: mean absolute step of last value on each fold's training ticks, the scale of MASE [input units].
        changes: labelled changes, sorted indices.
        places: of the ticks on the time grid.
    """

    name: str
    series: Series
    folds: tuple[Fold, ...]
    previous: Float[np.ndarray, "time"]
    units: tuple[float, ...]
    changes: np.ndarray
    places: Int[np.ndarray, "time"]


def prepared(name: str, series: Series, folds: list[Fold], changes: np.ndarray, config: PredictorConfig) -> Tuned:
    """A series with what its errors are measured by.

    Raises:
        DomainError: a training part that holds no change, so that errors have no scale.
    """
    previous = _held(series.values)
    units = tuple(_step(series.values[fold.train], name) for fold in folds)
    return Tuned(name, series, tuple(folds), previous, units, changes, grid_places(series, config))


def single_series(data: Any, times: Any) -> list[tuple[str, Series]]:
    """What a user hands over as one series or several, as named series of shape (time,).

    Raises:
        DomainError: an empty collection, or a member of it that is no single series.
    """
    if isinstance(data, Mapping):
        if not data:
            raise DomainError("the collection of series is empty; give at least one")
        return [(str(name), _single(one, str(name), times)) for name, one in data.items()]
    if isinstance(data, (list, tuple)) and data and not isinstance(data[0], numbers.Real):
        named = [str(getattr(one, "name", None) or f"series {k}") for k, one in enumerate(data)]
        return [(name, _single(one, name, times)) for one, name in zip(data, named, strict=True)]
    read = read_series(data, times)
    if read.assets is None:
        return [(read.name or "series", read)]
    stamps = read.timestamps_ns
    return [(str(asset), read_series(read.values[:, a], stamps)) for a, asset in enumerate(read.assets)]


def _single(data: Any, name: str, times: Any) -> Series:
    read = read_series(data, times)
    if read.assets is not None:
        raise DomainError(f"{name}: of several series each must be of shape (time,), got {read.values.shape}")
    return read


def _held(y: Float[np.ndarray, "time"]) -> Float[np.ndarray, "time"]:
    places = np.maximum.accumulate(np.where(np.isfinite(y), np.arange(len(y)), -1))
    held = np.where(places >= 0, y[np.maximum(places, 0)], np.nan)
    return np.concatenate([[np.nan], held[:-1]])


def _step(train: Float[np.ndarray, "time"], name: str) -> float:
    """Mean absolute step of last value (Hyndman and Koehler 2006)."""
    steps = np.abs(train - _held(train))
    usable = steps[np.isfinite(steps)]
    unit = float(usable.mean()) if len(usable) else 0.0
    if not (math.isfinite(unit) and unit > 0):
        raise DomainError(
            f"{name}: the {len(train)} training ticks of a fold hold no change, so that errors have no scale; "
            "leave the constant stretch out, or use fewer folds or more memory"
        )
    return unit
