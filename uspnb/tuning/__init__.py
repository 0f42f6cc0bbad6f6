"""Resumable tuning campaigns: search spaces, a walk-forward objective, studies, results, reports.

A name is imported when it is first asked for, as Optuna and pandas take a second to load.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .background import AsyncMetaOptimizer
    from .calling import CallableObjective
    from .folds import Fold, walk_forward_split
    from .objective import Comparison, Evaluation, WalkForwardObjective
    from .report import html_report, text_report
    from .result import OptimizationResult
    from .space import SearchSpace, deep_space, fast_space, traced_space
    from .status import CampaignStatus
    from .study import BayesianMetaOptimizer

_WHERE = {
    "AsyncMetaOptimizer": "background",
    "BayesianMetaOptimizer": "study",
    "CallableObjective": "calling",
    "CampaignStatus": "status",
    "Comparison": "objective",
    "Evaluation": "objective",
    "Fold": "folds",
    "OptimizationResult": "result",
    "SearchSpace": "space",
    "WalkForwardObjective": "objective",
    "deep_space": "space",
    "fast_space": "space",
    "html_report": "report",
    "text_report": "report",
    "traced_space": "space",
    "walk_forward_split": "folds",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'uspnb.tuning' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value


__all__ = [
    "AsyncMetaOptimizer",
    "BayesianMetaOptimizer",
    "CallableObjective",
    "CampaignStatus",
    "Comparison",
    "Evaluation",
    "Fold",
    "OptimizationResult",
    "SearchSpace",
    "WalkForwardObjective",
    "deep_space",
    "fast_space",
    "html_report",
    "text_report",
    "traced_space",
    "walk_forward_split",
]
