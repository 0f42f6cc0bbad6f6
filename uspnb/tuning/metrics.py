"""What a campaign minimises: error measures of one-step forecasts on a fold, each by its name, and how long the alarm
charts take to see labelled changes at a fixed rate of false alarms.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..array_types import Float
from ..data.series import Series
from ..errors import DomainError
from ..predictor.scores import gaussian_crps, interval_score
from ..runtime.arguments import check_whole
from .folds import Fold

NEAR_ZERO = 0.01


class Forecasts(NamedTuple):
    """One-step forecasts of some ticks, (time,) each [input units]; row t was made one tick before y_t.

    Attributes:
        y: observations; NaN is missing.
        previous: the newest finite observation before each.
        mean, scale, lower, upper: the forecast.
        level: nominal coverage of the interval.
        unit: mean absolute step of last value on the fold's training ticks, the scale of MASE.
    """

    y: Float[np.ndarray, "time"]
    previous: Float[np.ndarray, "time"]
    mean: Float[np.ndarray, "time"]
    scale: Float[np.ndarray, "time"]
    lower: Float[np.ndarray, "time"]
    upper: Float[np.ndarray, "time"]
    level: float
    unit: float


def _mean(losses: np.ndarray) -> float:
    return float(np.mean(losses))


def _root_mean(losses: np.ndarray) -> float:
    return float(np.sqrt(np.mean(losses)))


def _p99(losses: np.ndarray) -> float:
    return float(np.quantile(losses, 0.99))


class Metric(NamedTuple):
    """An error measure: losses of single ticks and how a fold's value comes from them.

    Attributes:
        name: as users write it.
        title: in words.
        losses: of each tick, finite where the observation and the forecast are.
        summary: of a fold's losses.
        has_unit: whether it is in the input's units, so that several series are compared relative to their own step.
        paired: whether the mean of its losses is what it measures, so that two runs can be tested tick by tick.
    """

    name: str
    title: str
    losses: Callable[[Forecasts], np.ndarray]
    summary: Callable[[np.ndarray], float] = _mean
    has_unit: bool = False
    paired: bool = True


def _absolute(f: Forecasts) -> np.ndarray:
    return np.abs(f.y - f.mean)


def _missed_direction(f: Forecasts) -> np.ndarray:
    # No step is no direction: such ticks are left out.
    step = f.y - f.previous
    missed = np.sign(f.mean - f.previous) != np.sign(step)
    return np.where((step != 0) & np.isfinite(step) & np.isfinite(f.mean), missed, np.nan)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("mase", "mean absolute scaled error", lambda f: _absolute(f) / f.unit),
        Metric("rmse", "root mean squared error", lambda f: _absolute(f) ** 2, _root_mean, True),
        Metric("mape", "mean absolute percentage error", lambda f: 100.0 * np.abs((f.y - f.mean) / f.y)),
        Metric(
            "interval_score",
            "interval score (Winkler)",
            lambda f: interval_score(f.y, f.lower, f.upper, f.level),
            has_unit=True,
        ),
        Metric(
            "crps",
            "continuous ranked probability score",
            lambda f: gaussian_crps(f.y, f.mean, f.scale),
            has_unit=True,
        ),
        Metric("directional_accuracy", "1 - directional accuracy", _missed_direction),
        Metric("p99_error", "99th percentile of the absolute error", _absolute, _p99, True, False),
    )
}
ALARM_DELAY = "alarm_delay"
METRIC_NAMES = (*METRICS, ALARM_DELAY)


def check_mape(y: np.ndarray, name: str) -> None:
    """Refuse MAPE where it means nothing.

    Raises:
        DomainError: a value of the series is zero or nearly so, against the series' own size.
    """
    finite = np.abs(y[np.isfinite(y)])
    typical, least = (float(np.median(finite)), float(finite.min())) if len(finite) else (0.0, 0.0)
    if typical == 0.0 or least < NEAR_ZERO * typical:
        raise DomainError(
            f"MAPE divides by the observation, and {name} comes as close to zero as {least:g} (typical size "
            f"{typical:g}); use mase, rmse or crps"
        )


def alarm_level(ratio: np.ndarray, quiet: np.ndarray, rate: float) -> float:
    """The least level whose upcrossings by the chart ratio in quiet ticks come at most `rate` times a tick.

    Args:
        ratio: largest chart statistic over its threshold, (time,); NaN where there is none.
        quiet: ticks that no labelled change lies before, within the horizon.
        rate: false alarms a tick that are allowed.
    """
    heights = np.where(np.isfinite(ratio), ratio, 0.0)
    allowed = rate * int(quiet.sum())
    levels = np.unique(np.quantile(heights[quiet], np.linspace(0.5, 1.0, 513))) if quiet.any() else np.array([1.0])

    def crossings(level: float) -> int:
        above = heights >= level
        rises = above & ~np.concatenate([[False], above[:-1]])
        return int((rises & quiet).sum())

    counts = np.array([crossings(level) for level in levels])
    meets = counts <= allowed
    # Upcrossings first grow and then fall with the level; what counts is the falling end.
    last_bad = np.flatnonzero(~meets)
    first = 0 if len(last_bad) == 0 else int(last_bad[-1]) + 1
    return float(levels[first]) if first < len(levels) else float(np.nextafter(levels[-1], np.inf))


def alarm_delays(ratio: np.ndarray, changes: np.ndarray, level: float, horizon: int) -> np.ndarray:
    """Ticks from each labelled change to the first tick at or above the level; `horizon` where there is none within."""
    delays = np.full(len(changes), float(horizon))
    for k, change in enumerate(changes):
        hits = np.flatnonzero(ratio[change : change + horizon] >= level)
        if len(hits):
            delays[k] = float(hits[0])
    return delays


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
    finite = np.isfinite(ratio[: test.stop])
    quiet = finite.copy()
    for change in changes[changes < test.stop]:
        quiet[change : change + horizon] = False
    level = alarm_level(ratio[: test.stop], quiet, rate)
    return float(alarm_delays(ratio[: test.stop], own, level, horizon).mean())
