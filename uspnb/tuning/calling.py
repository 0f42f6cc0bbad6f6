"""A user's own objective: any function of a dict of parameters, evaluated as the walk-forward objective is."""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..config.meta_optimization import MetaOptimizationConfig
from ..config.schema import PredictorConfig
from ..errors import DomainError
from .metrics import METRIC_NAMES
from .objective import Evaluation, Keep, WalkForwardObjective


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
        found = self.evaluate([params])[0]
        if found.reason:
            raise DomainError(f"candidate {dict(params)!r}: {found.reason}")
        return found.value

    def evaluate(self, candidates: Sequence[Mapping[str, Any]], *, keep: Keep | None = None) -> list[Evaluation]:
        """The values of candidates; there is one fold, so that `keep` is never asked."""
        return [self._evaluated(dict(params)) for params in candidates]

    def _evaluated(self, params: dict[str, Any]) -> Evaluation:
        began = time.perf_counter()
        value, reason = math.nan, ""
        try:
            value, reason = _number(self.function(params))
        except Exception as error:  # it is the user's own code: whatever it raises is this candidate's failure only
            reason = f"{type(error).__name__}: {error}"
        return Evaluation(value, np.full((1, 1), value), reason, False, time.perf_counter() - began)


def _number(found: Any) -> tuple[float, str]:
    """What a function returned as a finite number, or why it is none."""
    if isinstance(found, np.ndarray) or (hasattr(found, "__array__") and not isinstance(found, (str, bytes))):
        array = np.asarray(found)
        if array.ndim:
            return math.nan, f"the objective returned an array of shape {array.shape}; it must return one number"
        found = array.item()
    if isinstance(found, bool) or not isinstance(found, numbers.Real):
        return math.nan, f"the objective returned {found!r:.80} ({type(found).__name__}); it must return one number"
    value = float(found)
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
