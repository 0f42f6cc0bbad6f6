"""The series that a campaign tunes on: one or several, each checked, with its folds and its own scale of errors."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..array_types import Float
from ..data.series import Series, read_series
from ..errors import DomainError
from .folds import Fold


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
    """

    name: str
    series: Series
    folds: tuple[Fold, ...]
    previous: Float[np.ndarray, "time"]
    units: tuple[float, ...]
    changes: np.ndarray


def prepared(name: str, series: Series, folds: list[Fold], changes: np.ndarray) -> Tuned:
    """A series with what its errors are measured by.

    Raises:
        DomainError: a training part that holds no change, so that errors have no scale.
    """
    previous = _held(series.values)
    units = tuple(_step(series.values[fold.train], name) for fold in folds)
    return Tuned(name, series, tuple(folds), previous, units, changes)


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
