"""What a campaign minimises: `WalkForwardObjective`, or a user's own function.

The predictor learns online, so that a fold's training is the replay of its training ticks.  Without a limit of memory
every fold begins with the first tick; one replay then serves all folds, and their tests are read off it.
"""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from ..array_types import Float
from ..config.load import config_hash
from ..config.meta_optimization import MetaOptimizationConfig
from ..config.schema import PredictorConfig
from ..errors import DomainError
from ..predictor.backtest import with_covariates
from ..predictor.scores import diebold_mariano
from ..runtime.arguments import check_number, check_whole
from ..runtime.digest import sha256_bytes, sha256_pytree
from .evaluation import Evaluation, LaneRunner, Task, Walk
from .folds import Fold, prepared, single_series, walk_forward_split
from .metrics import METRIC_NAMES, METRICS, check_mape, checked_changes

# Whether candidates go on after a fold: (fold, running value of each candidate) -> mask.
Keep = Callable[[int, np.ndarray], np.ndarray]


class Comparison(NamedTuple):
    """One candidate against another on the same ticks.

    Attributes:
        statistic: Diebold-Mariano's, negative where the first is better; NaN where the metric has no losses of ticks.
        p_value: one-sided, of the first being better by chance; NaN likewise.
        improvement: 1 - value of the first / value of the second.
        value: of the first.
    """

    statistic: float
    p_value: float
    improvement: float
    value: float = math.nan


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
        ahead: ticks from a forecast to its outcome, 1 or one of the horizons of `base_config`.

    Raises:
        DomainError: an unknown metric, a series that is too short, constant in a training part, or near zero for MAPE;
            missing or misplaced labels; `ahead` is no horizon, longer than training, or asked for alarms.
    """

    def __init__(
        self,
        series: Any,
        metric: str = "mase",
        *,
        n_folds: SupportsIndex = 5,
        train_ratio: float = 0.7,
        max_memory: int | None = None,
        base_config: PredictorConfig | None = None,
        changes: Any = None,
        false_alarm_rate: float = 1e-3,
        horizon: SupportsIndex = 200,
        times: Any = None,
        ahead: SupportsIndex = 1,
    ) -> None:
        if metric not in METRIC_NAMES:
            raise DomainError(f"metric {metric!r} is not one of {', '.join(METRIC_NAMES)}")
        self.metric, self.n_folds = metric, check_whole("n_folds", n_folds, 1)
        self.base_config = PredictorConfig() if base_config is None else base_config
        self.max_memory = max_memory or None
        self._paired = metric in METRICS and METRICS[metric].paired
        named = single_series(series, times)
        for _, one in named:
            self.base_config = with_covariates(self.base_config, one)
        folds = [walk_forward_split(len(one), self.n_folds, train_ratio, max_memory) for _, one in named]
        self.ahead = _checked_ahead(ahead, metric, self.base_config, folds)
        labels = checked_changes(changes, metric, [one for _, one in named], folds)
        tuned = [
            prepared(name, one, f, c, self.base_config) for (name, one), f, c in zip(named, folds, labels, strict=True)
        ]
        if metric == "mape":
            for one in tuned:
                check_mape(one.series.values, one.name)
        self._task = Task(
            tuple(tuned),
            metric,
            self.n_folds,
            self.max_memory is None,
            self.base_config.confidence_level,
            check_number("false_alarm_rate", false_alarm_rate, above=0, below=0.5, unit="false alarms a tick"),
            check_whole("horizon", horizon, 1, unit="ticks"),
            self.ahead,
        )
        self._runner = LaneRunner([one.series for one in tuned], self.base_config, self.ahead)

    @property
    def series_names(self) -> tuple[str, ...]:
        """What the series are called."""
        return tuple(one.name for one in self._task.tuned)

    @property
    def folds(self) -> list[list[Fold]]:
        """The folds of each series."""
        return [list(one.folds) for one in self._task.tuned]

    @property
    def ticks(self) -> int:
        """Ticks that one candidate is replayed over, all folds together."""
        if self._task.carried:
            return sum(folds[-1].test.stop for folds in self.folds)
        return sum(fold.test.stop - fold.train.start for folds in self.folds for fold in folds)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that a value depends on beside the candidate: ticks, folds, metric, labels, base settings."""
        parts = {
            "ticks": [(one.series.values, one.series.timestamps_ns) for one in self._task.tuned],
            "folds": np.array([[(f.train.start, f.test.start, f.test.stop) for f in folds] for folds in self.folds]),
            "changes": [one.changes for one in self._task.tuned],
            "alarms": np.array([self._task.false_alarm_rate, float(self._task.horizon)]),
        }
        if self.ahead > 1:  # what is measured of the next tick is what it was before there was more
            parts["ahead"] = np.array([self.ahead])
        if self.base_config.covariates:
            parts["covariates"] = [one.series.covariates for one in self._task.tuned]
        text = f"{self.metric}\n{config_hash(self.base_config)}\n{sha256_pytree(parts)}"
        return sha256_bytes(text.encode())

    def __call__(self, params: Mapping[str, Any]) -> float:
        """The value of one candidate.

        Raises:
            DomainError: the candidate has no value; the message says why.
        """
        evaluation = self.evaluate([params])[0]
        if evaluation.reason:
            raise DomainError(f"candidate {dict(params)!r}: {evaluation.reason}")
        return evaluation.value

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
        run = self.walk(candidates)
        for wave in self.waves(keep is not None):
            run.advance(wave)
            if keep is not None and wave[-1] < self.n_folds - 1:
                run.prune(np.asarray(keep(wave[-1], run.running())))
        share = (time.perf_counter() - began) / max(len(candidates), 1)
        return run.evaluations(share)

    def walk(self, candidates: Sequence[Mapping[str, Any]]) -> Walk:
        """Candidates before the first fold."""
        return Walk(self._task, self._runner, candidates)

    def waves(self, pruning: bool) -> list[list[int]]:
        """The folds that run side by side, in order: all of a limited memory where nothing is pruned in between."""
        every = list(range(self.n_folds))
        return [[k] for k in every] if pruning or self.max_memory is None else [every]

    def losses(self, params: Mapping[str, Any]) -> Float[np.ndarray, "tick"]:
        """Losses of the ticks of all tests in their order, series after series; those of a paired test.

        Raises:
            DomainError: the metric has no losses of single ticks, or the candidate fails.
        """
        if not self._paired:
            raise DomainError(f"{self.metric} has no losses of single ticks, so that nothing can be paired")
        return self._finished([params]).losses_of(0)

    def compare(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> Comparison:
        """Whether the first candidate forecasts better than the second, by a paired test over the tests' ticks.

        Raises:
            DomainError: one of them fails.
        """
        return self.compare_many([first], second)[0]

    def compare_many(self, candidates: Sequence[Mapping[str, Any]], base: Mapping[str, Any]) -> list[Comparison]:
        """`compare` of each of several candidates with one, in the calls that one comparison takes.

        Raises:
            DomainError: one of them fails.
        """
        run = self._finished([*candidates, base])
        last, means = len(candidates), run.means()
        comparisons = []
        for c in range(last):
            a, b = float(means[c]), float(means[last])
            improvement = 1.0 - a / b if b > 0 else (0.0 if a == b else -math.inf)
            statistic, p_value = math.nan, math.nan
            if self._paired:
                statistic, two_sided = diebold_mariano(run.losses_of(c), run.losses_of(last), self.ahead)
                p_value = two_sided / 2.0 if statistic < 0 else 1.0 - two_sided / 2.0
            comparisons.append(Comparison(statistic, p_value, improvement, a))
        return comparisons

    def _finished(self, candidates: Sequence[Mapping[str, Any]]) -> Walk:
        run = self.walk(candidates)
        for k in range(self.n_folds):
            run.advance([k])
        for params, reason in zip(candidates, run.reasons, strict=True):
            if reason:
                raise DomainError(f"candidate {dict(params)!r}: {reason}")
        return run


def _checked_ahead(ahead: Any, metric: str, config: PredictorConfig, folds: Sequence[Sequence[Fold]]) -> int:
    count = check_whole("ahead", ahead, 1, unit="ticks")
    if count == 1:
        return 1
    if metric not in METRICS:
        raise DomainError(f"ahead = {count}: {metric} is measured on alarms, not on forecasts; leave ahead out")
    if count not in config.horizons:
        held = ", ".join(map(str, config.horizons))
        raise DomainError(
            f"ahead = {count} is none of the configuration's horizons, {held}; tune one of them, or set horizons"
        )
    shortest = min(fold.train.stop - fold.train.start for own in folds for fold in own)
    if count >= shortest:
        raise DomainError(f"ahead = {count} must be less than the ticks a fold is trained on, {shortest}; feed more")
    return count


class CallableObjective:
    """Candidates one after another through a function; what goes wrong with one is that one's reason.

    Args:
        function: ``{"name": value, ...} -> number``, lower is better.

    Attributes:
        metric: the function's name.
        fingerprint: empty: nothing tells two functions apart.

    Raises:
        DomainError: it cannot be called.
    """

    n_folds = 1
    fingerprint = ""
    series_names = ("objective",)

    def __init__(self, function: Any) -> None:
        if not callable(function):
            raise DomainError(
                f"objective {function!r} is neither the name of a metric, nor a WalkForwardObjective, nor a function "
                "of a dict of parameters"
            )
        self.function = function
        self.metric = str(getattr(function, "__name__", type(function).__name__))

    def __call__(self, params: Mapping[str, Any]) -> float:
        """The value of one candidate.

        Raises:
            DomainError: the candidate has no value; the message says why.
        """
        evaluation = self.evaluate([params])[0]
        if evaluation.reason:
            raise DomainError(f"candidate {dict(params)!r}: {evaluation.reason}")
        return evaluation.value

    def evaluate(self, candidates: Sequence[Mapping[str, Any]], *, keep: Keep | None = None) -> list[Evaluation]:
        """The values of candidates; there is one fold, so that `keep` is never asked."""
        return [self._evaluated(dict(params)) for params in candidates]

    def _evaluated(self, params: dict[str, Any]) -> Evaluation:
        began = time.perf_counter()
        value = math.nan
        try:
            value, reason = _number(self.function(params))
        except Exception as error:  # it is the user's own code: whatever it raises is this candidate's failure only
            reason = f"{type(error).__name__}: {error}"
        return Evaluation(value, np.full((1, 1), value), reason, False, time.perf_counter() - began)


def _number(output: Any) -> tuple[float, str]:
    """What a function returned as a finite number, or why it is none."""
    if hasattr(output, "__array__"):
        array = np.asarray(output)
        if array.ndim:
            return math.nan, f"the objective returned an array of shape {array.shape}; it must return one number"
        output = array.item()
    if isinstance(output, bool) or not isinstance(output, numbers.Real):
        return math.nan, f"the objective returned {output!r:.80} ({type(output).__name__}); it must return one number"
    value = float(output)
    return (value, "") if math.isfinite(value) else (math.nan, f"the objective returned {value}")


def objective_for(
    objective: Any, series: Any, meta: MetaOptimizationConfig, base_config: PredictorConfig | None
) -> Any:
    """What a campaign minimises.

    Args:
        objective: the name of a metric, None for that of `meta`, an object with `evaluate`, or a function of a dict.
        series: what a named metric is measured on.
        meta: folds and metric.
        base_config: settings that candidates change.

    Raises:
        DomainError: an unknown metric, a metric without a series, or something that is no objective.
    """
    if objective is None or isinstance(objective, str):
        metric = meta.metric if objective is None else objective
        if metric not in METRIC_NAMES:
            raise DomainError(f"metric {metric!r} is not one of {', '.join(METRIC_NAMES)}")
        if series is None:
            raise DomainError(f"metric {metric!r} needs a series to be measured on; pass series=")
        return WalkForwardObjective(
            series,
            metric,
            n_folds=meta.n_folds,
            train_ratio=meta.train_ratio,
            max_memory=meta.max_memory,
            base_config=base_config,
            ahead=meta.ahead,
        )
    if series is not None:
        raise DomainError("series= belongs to the name of a metric; this objective brings its own data")
    if not hasattr(objective, "evaluate"):
        return CallableObjective(objective)
    lacking = [name for name in ("metric", "fingerprint", "n_folds", "series_names") if not hasattr(objective, name)]
    if lacking:
        raise DomainError(f"objective {objective!r} has evaluate but no {', '.join(lacking)}; see WalkForwardObjective")
    own = getattr(objective, "base_config", None)
    if base_config is not None and own is not None and own != base_config:
        raise DomainError("base_config differs from the objective's own base_config; leave it out")
    return objective
