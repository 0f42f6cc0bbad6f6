"""`WalkForwardObjective`: how well settings forecast ticks that they have not seen, over folds, candidates and series.

The predictor learns online, so that a fold's training is the replay of its training ticks.  Without a limit of memory
every fold begins with the first tick; one replay then serves all folds, and their tests are read off it.
"""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..array_types import Float
from ..config.load import config_hash
from ..config.schema import PredictorConfig
from ..digest import sha256_bytes, sha256_pytree
from ..errors import DomainError
from ..scores import diebold_mariano
from ..series import Series, read_series
from ..state import PredictorState
from .evaluation import Lane, LaneRunner
from .folds import Fold, walk_forward_split
from .labels import checked_changes, delays_of_fold
from .metrics import ALARM_DELAY, METRIC_NAMES, METRICS, Forecasts, check_mape

MOST_MISSED = 0.1
COLUMNS = 5
# Whether candidates go on after a fold: (fold, running value of each candidate) -> mask.
Keep = Callable[[int, np.ndarray], np.ndarray]


class Evaluation(NamedTuple):
    """What one candidate has come to.

    Attributes:
        value: the objective, the mean over folds and series; NaN where it failed.
        folds: value of each fold and series, NaN where none was reached.
        reason: why it failed, "" where it did not.
        pruned: whether it was given up after an early fold.
        seconds: its share of the time.
    """

    value: float
    folds: Float[np.ndarray, "fold series"]
    reason: str
    pruned: bool
    seconds: float


class Comparison(NamedTuple):
    """One candidate against another on the same ticks.

    Attributes:
        statistic: Diebold-Mariano's, negative where the first is better; NaN where the metric has no losses of ticks.
        p_value: one-sided, of the first being better by chance; NaN likewise.
        improvement: 1 - value of the first / value of the second.
    """

    statistic: float
    p_value: float
    improvement: float


class WalkForwardObjective:
    """The error of settings on walk-forward folds of one series or several, strictly causal; lower is better.

    The value is the mean over folds and series of the metric on each fold's test.  With several series a metric that
    has a unit is divided by each series' own mean absolute step in training, so that none drowns the others.

    Args:
        series: array, pandas or xarray object of shape (time,) or (time, series); or a list or dict of single series,
            whose lengths may differ.
        metric: one of `METRIC_NAMES`.
        n_folds, train_ratio, max_memory: see `walk_forward_split`.
        base_config: settings that candidates change; the defaults where left out.
        changes: labelled changes for `alarm_delay`: indices of ticks, or one such list for each series.
        false_alarm_rate: false alarms a tick at which delays are compared.
        horizon: ticks after a change in which an alarm counts as its own.
        times: timestamps, for a series that carries none.

    Raises:
        DomainError: an unknown metric, a series that is too short, constant in a training part, or near zero for MAPE;
            missing or misplaced labels.
    """

    def __init__(
        self,
        series: Any,
        metric: str = "mase",
        *,
        n_folds: int = 5,
        train_ratio: float = 0.7,
        max_memory: int | None = None,
        base_config: PredictorConfig | None = None,
        changes: Any = None,
        false_alarm_rate: float = 1e-3,
        horizon: int = 200,
        times: Any = None,
    ) -> None:
        if metric not in METRIC_NAMES:
            raise DomainError(f"metric {metric!r} is not one of {', '.join(METRIC_NAMES)}")
        self.metric, self.n_folds = metric, n_folds
        self.base_config = PredictorConfig() if base_config is None else base_config
        self.series_names, self._series = _single_series(series, times)
        self.max_memory = max_memory or None
        self._folds = [walk_forward_split(len(one), n_folds, train_ratio, max_memory) for one in self._series]
        self._previous = [_held(one.values) for one in self._series]
        self._units = [
            [_step(one.values[fold.train], name) for fold in folds]
            for name, one, folds in zip(self.series_names, self._series, self._folds, strict=True)
        ]
        self.false_alarm_rate, self.horizon = _checked_rate(false_alarm_rate), _checked_horizon(horizon)
        self._changes = checked_changes(changes, metric, self._series, self._folds)
        if metric == "mape":
            for name, one in zip(self.series_names, self._series, strict=True):
                check_mape(one.values, name)
        self._runner = LaneRunner(self._series, self.base_config)

    @property
    def ticks(self) -> int:
        """Ticks that one candidate is replayed over, all folds together."""
        if self.max_memory is None:
            return sum(folds[-1].test.stop for folds in self._folds)
        return sum(fold.test.stop - fold.train.start for folds in self._folds for fold in folds)

    @property
    def folds(self) -> list[list[Fold]]:
        """The folds of each series."""
        return [list(folds) for folds in self._folds]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that a value depends on beside the candidate: ticks, folds, metric, labels, base settings."""
        parts = {
            "ticks": [(one.values, one.timestamps_ns) for one in self._series],
            "folds": np.array([[(f.train.start, f.test.start, f.test.stop) for f in fs] for fs in self._folds]),
            "changes": [np.asarray(c, np.int64) for c in self._changes],
            "alarms": np.array([self.false_alarm_rate, float(self.horizon)]),
        }
        told = f"{self.metric}\n{config_hash(self.base_config)}\n{sha256_pytree(parts)}"
        return sha256_bytes(told.encode())

    def __call__(self, params: Mapping[str, Any]) -> float:
        """The value of one candidate.

        Raises:
            DomainError: the candidate has no value; the message says why.
        """
        found = self.evaluate([params])[0]
        if found.reason:
            raise DomainError(f"candidate {dict(params)!r}: {found.reason}")
        return found.value

    def evaluate(self, candidates: Sequence[Mapping[str, Any]], *, keep: Keep | None = None) -> list[Evaluation]:
        """The values of many candidates, in compiled calls over folds, candidates and series.

        Args:
            candidates: settings by name, each a change of the base configuration.
            keep: asked after each fold which candidates go on; the others are pruned.  Without it all folds of a
                limited memory run side by side.

        Returns:
            One evaluation for each candidate; a failure is a reason, never an exception.
        """
        began = time.perf_counter()
        run = _Run(self, candidates)
        waves = [[k] for k in range(self.n_folds)]
        if keep is None and self.max_memory is not None:
            waves = [list(range(self.n_folds))]
        for wave in waves:
            run.advance(wave)
            if keep is not None and wave[-1] < self.n_folds - 1:
                run.prune(np.asarray(keep(wave[-1], run.running())))
        share = (time.perf_counter() - began) / max(len(candidates), 1)
        return run.evaluations(share)

    def losses(self, params: Mapping[str, Any]) -> Float[np.ndarray, "tick"]:
        """Losses of the ticks of all tests in their order, series after series; those of a paired test.

        Raises:
            DomainError: the metric has no losses of single ticks, or the candidate fails.
        """
        metric = METRICS.get(self.metric)
        if metric is None or not metric.paired:
            raise DomainError(f"{self.metric} has no losses of single ticks, so that nothing can be paired")
        return self._finished([params]).losses_of(0)

    def compare(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> Comparison:
        """Whether the first candidate forecasts better than the second, by a paired test over the tests' ticks.

        Raises:
            DomainError: one of them fails.
        """
        run = self._finished([first, second])
        a, b = _means(run.values)
        improvement = 1.0 - a / b if b > 0 else (0.0 if a == b else -math.inf)
        metric = METRICS.get(self.metric)
        if metric is None or not metric.paired:
            return Comparison(math.nan, math.nan, float(improvement))
        test = diebold_mariano(run.losses_of(0), run.losses_of(1))
        half = test.p_value / 2.0
        return Comparison(test.statistic, half if test.statistic < 0 else 1.0 - half, float(improvement))

    def _finished(self, candidates: Sequence[Mapping[str, Any]]) -> _Run:
        run = _Run(self, candidates)
        for k in range(self.n_folds):
            run.advance([k])
        for params, reason in zip(candidates, run.reasons, strict=True):
            if reason:
                raise DomainError(f"candidate {dict(params)!r}: {reason}")
        return run


class _Run:
    """One call of `evaluate`: how far each candidate has come."""

    def __init__(self, objective: WalkForwardObjective, candidates: Sequence[Mapping[str, Any]]) -> None:
        self.of = objective
        self.configs = objective._runner.configs(candidates)
        self.reasons = [config if isinstance(config, str) else "" for config in self.configs]
        self.alive = np.array([not reason for reason in self.reasons], bool)
        self.pruned = np.zeros(len(self.configs), bool)
        self.values = np.full((len(self.configs), objective.n_folds, len(objective._series)), np.nan)
        self.losses: dict[tuple[int, int, int], np.ndarray] = {}
        self._states: dict[tuple[int, int], PredictorState] = {}
        self._rows = {
            (c, s): np.full((len(one), COLUMNS), np.nan)
            for c in range(len(self.configs))
            for s, one in enumerate(objective._series)
        }

    def advance(self, wave: list[int]) -> None:
        """Run the folds of a wave and score their tests."""
        carried = self.of.max_memory is None
        lanes: dict[Lane, int] = {}
        for k in wave:
            for c in np.flatnonzero(self.alive):
                for s, folds in enumerate(self.of._folds):
                    start = folds[k].train.start if not carried or k == 0 else folds[k].test.start
                    lanes[Lane(int(c), s, start, folds[k].test.stop)] = k
        found = self.of._runner.run(self.configs, list(lanes), self._states if carried else None)
        for lane, rows in found.items():
            k, kept = lanes[lane], self._rows[lane.candidate, lane.series]
            # Ticks that another fold's training replays keep the rows of the test that they belong to.
            first = lane.start if carried or k == 0 else self.of._folds[lane.series][k].test.start
            kept[first : lane.stop] = rows[first - lane.start :]
        for lane, k in sorted(lanes.items(), key=lambda item: item[1]):
            self._score(lane.candidate, k, lane.series)

    def _score(self, c: int, k: int, s: int) -> None:
        test, rows = self.of._folds[s][k].test, self._rows[c, s]
        if self.of.metric == ALARM_DELAY:
            self.values[c, k, s] = delays_of_fold(
                rows[:, 4], self.of._changes[s], test, self.of.false_alarm_rate, self.of.horizon
            )
            return
        metric = METRICS[self.of.metric]
        y, previous = self.of._series[s].values[test], self.of._previous[s][test]
        mean, scale, lower, upper = rows[test, :4].T
        missed = np.isfinite(y) & ~np.isfinite(mean)
        if missed.sum() > MOST_MISSED * max(np.isfinite(y).sum(), 1):
            self._fail(c, f"no finite forecast for {int(missed.sum())} of {len(y)} ticks of fold {k}")
            return
        # A missed forecast counts as last value's, an interval that was missed as none at all.
        held = [np.where(np.isfinite(part), part, previous) for part in (mean, lower, upper)]
        scale = np.where(np.isfinite(scale), scale, 0.0)
        level, unit = self.of.base_config.confidence_level, self.of._units[s][k]
        losses = metric.losses(Forecasts(y, previous, held[0], scale, held[1], held[2], level, unit))
        self.losses[c, k, s] = losses
        usable = losses[np.isfinite(losses)]
        if not len(usable):
            self._fail(c, f"no tick of fold {k} of {self.of.series_names[s]} could be scored")
            return
        value = metric.summary(usable)
        self.values[c, k, s] = value / unit if metric.has_unit and len(self.of._series) > 1 else value

    def _fail(self, c: int, reason: str) -> None:
        self.alive[c] = False
        self.reasons[c] = self.reasons[c] or reason

    def losses_of(self, c: int) -> np.ndarray:
        """Losses of all tests of a candidate, series after series."""
        series = range(len(self.of._series))
        return np.concatenate([self.losses[c, k, s] for s in series for k in range(self.of.n_folds)])

    def running(self) -> np.ndarray:
        """The mean over what each candidate has reached; NaN where it has failed or was pruned."""
        return np.where(self.alive, _means(self.values), np.nan)

    def prune(self, keep: np.ndarray) -> None:
        self.pruned |= self.alive & ~keep.astype(bool)
        self.alive &= keep.astype(bool)

    def evaluations(self, seconds: float) -> list[Evaluation]:
        found = []
        for c, value in enumerate(_means(self.values)):
            reason = self.reasons[c]
            if not reason and not math.isfinite(value):
                reason = f"the value is {value}"
            found.append(
                Evaluation(math.nan if reason else float(value), self.values[c], reason, bool(self.pruned[c]), seconds)
            )
        return found


def _means(values: np.ndarray) -> np.ndarray:
    """Mean over folds and series of what is there."""
    flat = values.reshape(len(values), -1)
    known = np.isfinite(flat)
    total = np.where(known, flat, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def _single_series(data: Any, times: Any) -> tuple[tuple[str, ...], list[Series]]:
    if isinstance(data, Mapping):
        if not data:
            raise DomainError("the collection of series is empty; give at least one")
        return tuple(map(str, data)), [_single(one, str(name), times) for name, one in data.items()]
    if isinstance(data, (list, tuple)) and data and not isinstance(data[0], numbers.Real):
        named = [getattr(one, "name", None) or f"series {k}" for k, one in enumerate(data)]
        return tuple(map(str, named)), [_single(one, name, times) for one, name in zip(data, named, strict=True)]
    read = read_series(data, times)
    if read.assets is None:
        return (read.name or "series",), [read]
    columns = [read_series(read.values[:, a], read.timestamps_ns) for a in range(len(read.assets))]
    return tuple(map(str, read.assets)), columns


def _single(data: Any, name: Any, times: Any) -> Series:
    read = read_series(data, times)
    if read.assets is not None:
        raise DomainError(f"{name}: of several series each must be of shape (time,), got {read.values.shape}")
    return read


def _held(y: np.ndarray) -> np.ndarray:
    """The newest finite value before each tick; NaN before the first."""
    places = np.maximum.accumulate(np.where(np.isfinite(y), np.arange(len(y)), -1))
    held = np.where(places >= 0, y[np.maximum(places, 0)], np.nan)
    return np.concatenate([[np.nan], held[:-1]])


def _step(train: np.ndarray, name: str) -> float:
    """Mean absolute step of last value on training ticks (Hyndman and Koehler 2006), the scale of MASE."""
    steps = np.abs(train - _held(train))
    usable = steps[np.isfinite(steps)]
    unit = float(usable.mean()) if len(usable) else 0.0
    if not (math.isfinite(unit) and unit > 0):
        raise DomainError(
            f"{name}: the {len(train)} training ticks of a fold hold no change, so that errors have no scale; "
            "leave the constant stretch out, or use fewer folds or more memory"
        )
    return unit


def _checked_rate(rate: Any) -> float:
    if isinstance(rate, bool) or not isinstance(rate, numbers.Real) or not 0.0 < float(rate) < 0.5:
        raise DomainError(f"false_alarm_rate = {rate!r} must lie between 0 and 0.5 false alarms a tick")
    return float(rate)


def _checked_horizon(horizon: Any) -> int:
    if isinstance(horizon, bool) or not isinstance(horizon, numbers.Integral) or int(horizon) < 1:
        raise DomainError(f"horizon = {horizon!r} must be a whole number of at least 1 tick")
    return int(horizon)
