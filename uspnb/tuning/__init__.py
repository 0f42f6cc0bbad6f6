"""Resumable tuning campaigns: search spaces, a walk-forward objective, studies, results, reports.

A name is imported when it is first asked for, as Optuna and pandas take a second to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..runtime.later import import_later

if TYPE_CHECKING:
    from .background import AsyncMetaOptimizer
    from .folds import Fold, walk_forward_split
    from .objective import CallableObjective, Comparison, Evaluation, WalkForwardObjective
    from .report import html_report, text_report
    from .result import OptimizationResult
    from .space import SearchSpace, deep_space, fast_space, traced_space
    from .status import CampaignStatus
    from .study import BayesianMetaOptimizer

__getattr__ = import_later(
    __name__,
    {
        "background": "AsyncMetaOptimizer",
        "study": "BayesianMetaOptimizer",
        "status": "CampaignStatus",
        "objective": "CallableObjective Comparison Evaluation WalkForwardObjective",
        "folds": "Fold walk_forward_split",
        "result": "OptimizationResult",
        "space": "SearchSpace deep_space fast_space traced_space",
        "report": "html_report text_report",
    },
)


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
