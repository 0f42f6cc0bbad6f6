"""One attempt of the loop: a campaign on the first 70 % of the ticks since the change, a test on the last 30 %.

The campaign never sees the held-out ticks.  Both replay the stretch from some ticks before the change on, as the live
predictor lived through it, and score what lies after it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...array_types import Float, Int
from ...config.meta_optimization import MetaOptimizationConfig
from ...config.schema import PredictorConfig
from ...errors import DomainError
from ..evaluation import CPU_LANES
from ..objective import Evaluation, WalkForwardObjective
from ..space import Space
from ..study import BayesianMetaOptimizer
from .reach import at_limit, reachable

HELD_OUT = 0.3
# Share of the campaign's ticks that are scored; before them the predictor learns the new dynamics.
SCORED = 0.6
FOLDS = 3
# A changed parameter stays where without it more than this share of the gain is lost.
LEAST_SHARE = 0.05
# What all that was dropped may cost together.
MOST_LOST = 0.2


@dataclasses.dataclass(frozen=True, eq=False)
class CampaignTask:
    """What one attempt works on.

    Attributes:
        values, stamps: accepted ticks, oldest first [input units, ns since 1970].
        change: index of the first tick after the change; those before only warm the predictor up.
        config: the settings in force.
        space: what may be varied, before it is cut to what one change may reach.
        metric: what is minimised.
        n_trials: of the campaign.
        seed: of its sampler.
        min_gain: least gain worth a held-out test.
        share: limit of one change.
        number: of the attempt; names the study.
        folder: where the campaign's journal stays; "" keeps none.
    """

    values: Float[np.ndarray, "time"]
    stamps: Int[np.ndarray, "time"]
    change: int
    config: PredictorConfig
    space: Space
    metric: str
    n_trials: int
    seed: int
    min_gain: float
    share: float
    number: int = 1
    folder: str = ""

    @property
    def held_out(self) -> int:
        """Ticks at the end that the campaign does not see."""
        return math.floor(HELD_OUT * (len(self.values) - self.change))


class Found(NamedTuple):
    """What a campaign has come to.

    Attributes:
        params: the best settings, those that make no difference left out.
        gain: 1 - their value / value of the settings in force, on the campaign's own ticks; NaN is not judged.
        trials: told, of which `failed` failed.
        failed: likewise.
        seconds: that it took.
    """

    params: dict[str, Any]
    gain: float
    trials: int
    failed: int
    seconds: float


class Verdict(NamedTuple):
    """The held-out test.

    Attributes:
        improvement: 1 - loss of the candidate / loss of the settings in force.
        p_value: one-sided, of the candidate being better by chance (Diebold and Mariano); NaN where nothing differs.
        ticks: that were compared.
    """

    improvement: float
    p_value: float
    ticks: int


class Proposal(NamedTuple):
    """What an attempt leaves for the thread of the predictor to decide about.

    Attributes:
        changes: new values by field; empty where nothing is proposed.
        found: the campaign.
        verdict: the held-out test, None where the campaign did not earn one.
        reason: why nothing is proposed.
        cut: changed parameters that stand at the limit of one change.
    """

    changes: dict[str, Any]
    found: Found
    verdict: Verdict | None
    reason: str = ""
    cut: tuple[str, ...] = ()


Evaluate = Callable[[Sequence[Mapping[str, Any]]], list[Evaluation]]
CampaignOf = Callable[[CampaignTask], Found | Mapping[str, Any]]
JudgeOf = Callable[[CampaignTask, Mapping[str, Any]], Verdict]


def search(task: CampaignTask) -> Found:
    """A campaign on the ticks that are not held out.

    Raises:
        DomainError: the ticks or the space do not allow one.
    """
    began = time.perf_counter()
    tuned = len(task.values) - task.held_out
    scored = max(FOLDS, math.floor(SCORED * (tuned - task.change)))
    objective = _objective(task, tuned, scored, FOLDS)
    with _folder(task.folder) as folder:
        optimizer = BayesianMetaOptimizer(
            reachable(task.space, task.config, task.share),
            objective,
            study_name=f"autotune-{task.number}",
            meta_config=MetaOptimizationConfig(
                n_trials=task.n_trials,
                n_folds=FOLDS,
                metric=task.metric,
                batch_size=CPU_LANES,
                early_stopping_patience=task.n_trials,
                checkpoint_interval=task.n_trials,
                checkpoint_path=str(folder),
                seed=task.seed,
            ),
            base_config=task.config,
            storage=folder / f"autotune-{task.number}.journal",
            progress=False,
        )
        status = optimizer.optimize()
    if not status.best_params:
        raise DomainError(f"none of {status.total_iterations} trials has a value")
    params, gain = without_idle(objective.evaluate, _changed(status.best_params, task.config))
    return Found(params, gain, status.total_iterations, status.failed, time.perf_counter() - began)


def held_out(task: CampaignTask, changes: Mapping[str, Any]) -> Verdict:
    """The candidate against the settings in force on the ticks that the campaign has not seen.

    Raises:
        DomainError: one of them fails there.
    """
    objective = _objective(task, len(task.values), task.held_out, 1)
    comparison = objective.compare(dict(changes), {})
    return Verdict(comparison.improvement, comparison.p_value, task.held_out)


def propose(task: CampaignTask, campaign: CampaignOf = search, judge: JudgeOf = held_out) -> Proposal:
    """The best that a campaign finds, and how it does on the held-out ticks.

    Args:
        task: what to work on.
        campaign: finds the candidate: a `Found`, or settings by name.
        judge: tests it.
    """
    output = campaign(task)
    result = output if isinstance(output, Found) else Found(dict(output), math.nan, 0, 0, 0.0)
    changes = _changed(result.params, task.config)
    if not changes:
        return Proposal({}, result, None, "no settings were found that are better than those in force")
    if result.gain < task.min_gain:
        reason = f"the campaign's own gain {result.gain:.2%} is below {task.min_gain:.2%}: no test was spent on it"
        return Proposal({}, result, None, reason)
    cut = at_limit(task.space, changes, task.config, task.share)
    return Proposal(changes, result, judge(task, changes), "", cut)


def _objective(task: CampaignTask, stop: int, scored: int, folds: int) -> WalkForwardObjective:
    """The error over the last `scored` ticks before `stop`, in folds of equal length."""
    # Half a tick more than whole, so that rounding cannot lose one.
    shares = stop / (scored // folds + 0.5) - folds
    return WalkForwardObjective(
        task.values[:stop],
        task.metric,
        n_folds=folds,
        train_ratio=shares / (1.0 + shares),
        base_config=task.config,
        times=task.stamps[:stop].astype("datetime64[ns]"),
    )


def without_idle(evaluate: Evaluate, params: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """The candidate without the changes that earn next to nothing, and its gain over the settings in force.

    A campaign sets every parameter to something, whether it matters or not.  Each is put back alone; those that cost
    less than `LEAST_SHARE` of the gain stay back, where all of them together cost less than `MOST_LOST` of it.
    """
    if not params:
        return {}, 0.0
    fewer = [{other: params[other] for other in params if other != name} for name in params]
    base, full, *without = (evaluation.value for evaluation in evaluate([{}, params, *fewer]))
    if not full < base:
        return {}, 0.0
    needed = {
        name: params[name]
        for name, value in zip(params, without, strict=True)
        if not value <= full + LEAST_SHARE * (base - full)
    }
    if needed and len(needed) < len(params):
        value = evaluate([needed])[0].value
        if value <= full + MOST_LOST * (base - full):
            return needed, 1.0 - value / base
    return params, 1.0 - full / base


def _changed(params: Mapping[str, Any], config: PredictorConfig) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value != getattr(config, name)}


@contextlib.contextmanager
def _folder(named: str) -> Iterator[Path]:
    if named:
        Path(named).mkdir(parents=True, exist_ok=True)
        yield Path(named)
        return
    with tempfile.TemporaryDirectory(prefix="uspnb-autotune-") as scratch:
        yield Path(scratch)
