"""Cheap objectives and campaigns for the tests of studies: nothing compiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from uspnb.config.meta_optimization import MetaOptimizationConfig
from uspnb.tuning.space import SearchSpace
from uspnb.tuning.study import BayesianMetaOptimizer

SPACE = {
    "x": SearchSpace("x", "float", (-5.0, 5.0)),
    "n": SearchSpace("n", "int", (1, 9)),
    "rate": SearchSpace("rate", "log_uniform", (1e-4, 1.0)),
    "kind": SearchSpace("kind", "categorical", ("a", "b")),
}


def bowl(params: dict[str, Any]) -> float:
    """Lowest at x = 1, n = 1, kind b."""
    return (params["x"] - 1.0) ** 2 + 0.1 * params["n"] + (params["kind"] == "a") + abs(params["rate"] - 0.01)


def interrupted(at: int) -> Callable[[dict[str, Any]], float]:
    """`bowl`, but its call of a number, counted from 1, is interrupted."""
    calls: list[Any] = []

    def objective(params: dict[str, Any]) -> float:
        calls.append(params)
        if len(calls) == at:
            raise KeyboardInterrupt
        return bowl(params)

    objective.__name__ = bowl.__name__  # a campaign knows its objective by its name
    return objective


def campaign(
    folder: Path,
    objective: Callable[[dict[str, Any]], Any] = bowl,
    space: dict[str, SearchSpace] | None = None,
    study_name: str = "bowl",
    storage: str | None = None,
    **settings: Any,
) -> BayesianMetaOptimizer:
    """A campaign whose files lie in `folder`; batches of 4, the first 6 trials at random."""
    meta = MetaOptimizationConfig(
        **{"batch_size": 4, "n_startup_trials": 6, "n_trials": 20, "checkpoint_path": str(folder)} | settings
    )
    return BayesianMetaOptimizer(
        SPACE if space is None else space,
        objective,
        study_name=study_name,
        meta_config=meta,
        storage=storage,
        progress=False,
    )


def sequence(optimizer: BayesianMetaOptimizer) -> list[tuple[Any, ...]]:
    """What a campaign tried and found, in order."""
    return [(t.number, t.state.name, dict(t.params), t.value, t.user_attrs["batch"]) for t in optimizer.trials]
