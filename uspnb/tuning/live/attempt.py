"""One attempt of the loop: what it works on, and what its test amounts to."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

from ...config.meta_optimization import load_meta_optimization_config
from ...config.mutation import Mutation
from ...predictor.reloading import ConfigReloadablePredictor
from ..space import Space
from .decisions import level_of
from .off_stage import OffStage
from .probation import Probation, Standing
from .proposing import CampaignTask, Proposal
from .reach import space_named
from .settings import LoopSettings
from .tick_ring import TickRing
from .watching import Trigger

WARM_UP = 500


@dataclasses.dataclass
class Attempt:
    """One attempt, from its trigger to its decision.

    Attributes:
        trigger: what started it.
        task: what the campaign works on.
        first: number of its first tick in the ring.
        future: what the background leaves.
        proposal: what it left.
        ruling: what its test amounts to.
        rehearsal: the proposed structure, learning from the remembered ticks.
        mutation: the change, once written.
        probation: of it.
        details: figures of the campaign and of its test, for the log.
    """

    trigger: Trigger
    task: CampaignTask | None = None
    first: int = 0
    future: Future[Proposal] | None = None
    proposal: Proposal | None = None
    ruling: Ruling | None = None
    rehearsal: OffStage | None = None
    mutation: Mutation | None = None
    probation: Probation | None = None
    details: dict[str, Any] = dataclasses.field(default_factory=dict)


class Ruling(NamedTuple):
    """What the held-out test of a proposal amounts to.

    Attributes:
        adopt: whether it is significant, and the gain worth a change.
        promising: whether the gain alone would be.
        told: the same as a sentence.
        details: the figures.
    """

    adopt: bool
    promising: bool
    told: str
    details: dict[str, Any]


def ruling_on(proposal: Proposal, test: int, settings: LoopSettings) -> Ruling:
    """Judge a proposal that was tested.

    Args:
        proposal: with its verdict.
        test: how many held-out tests there were, this one included.
        settings: of the loop.
    """
    verdict = proposal.verdict
    assert verdict is not None
    level = level_of(test, settings.significance)
    told = (
        f"held-out improvement {verdict.improvement:.2%} on {verdict.ticks} ticks, p = {verdict.p_value:.2g} "
        f"(level {level:.2g}, least {settings.min_gain:.2%})"
    )
    worth = verdict.improvement >= settings.min_gain
    return Ruling(worth and verdict.p_value < level, worth, told, {**verdict._asdict(), "level": level, "test": test})


def task_of(
    trigger: Trigger,
    ring: TickRing,
    predictor: ConfigReloadablePredictor,
    settings: LoopSettings,
    space: Space | str,
    number: int,
    folder: str,
) -> tuple[CampaignTask, int]:
    """What a campaign works on, and the number of its first tick in the ring.

    Raises:
        ConfigError: the file of the predictor cannot be read.
    """
    meta = load_meta_optimization_config(predictor.config_path)
    # Where the ring has let the change go, its oldest ticks warm the predictor up.
    onset = max(trigger.onset, ring.start + WARM_UP) if ring.start else trigger.onset
    first = max(ring.start, onset - WARM_UP)
    stretch = ring.since(first)
    values, stamps = stretch.series()
    task = CampaignTask(
        values=values,
        stamps=stamps,
        change=int(np.count_nonzero(stretch.accepted[: onset - first])),
        config=predictor.config,
        space=space_named(space, meta) if isinstance(space, str) else space,
        metric=settings.metric,
        n_trials=settings.n_trials,
        seed=(meta.seed + number) % 2**31,
        min_gain=settings.min_gain,
        share=settings.max_relative_change,
        number=number,
        folder=folder,
    )
    return task, first


def why(trigger: Trigger) -> str:
    figures = trigger.details
    if "why" in figures:
        return str(figures["why"])
    if "entropy_rise" in figures:
        return f"an alarm, and the entropy {figures['entropy_rise']:.1f} standard deviations above its slow mean"
    return f"the skill fell from {figures['skill_before']:.3f} to {figures['skill']:.3f}"


def figures(standing: Standing) -> dict[str, Any]:
    return {"ticks": standing.ticks, "rise": standing.rise, "p_value": standing.p_value}
