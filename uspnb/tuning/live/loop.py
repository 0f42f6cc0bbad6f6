"""The state machine of the loop: watching, gathering, tuning, rehearsing, probation, cooldown, watching."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

from ...config.schema import STATIC_FIELDS
from ...errors import ConfigError, DomainError
from ...model.records import Observation
from ...predictor.functional import FunctionalPredictor
from ..space import Space
from . import decisions as d
from .changing import Change, Hand
from .decisions import Decision, Decisions, LoopSettings, level_of
from .elsewhere import Background
from .probation import FAILED, PASSED, Assessment, OffStage, Probation
from .proposing import CampaignTask, Proposal
from .reach import space_named
from .watching import UNFINISHED, Signs, TickRing, Trigger, Watch

Changes = Mapping[str, tuple[Any, Any]]
Details = Mapping[str, Any]

WARM_UP = 500
# Ticks of the past that a new structure learns from at each live tick, until it has caught up: some milliseconds.
CATCH_UP = 16
_log = logging.getLogger("uspnb.tuning.live")


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
        change: once in force.
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
    change: Change | None = None
    probation: Probation | None = None
    details: dict[str, Any] = dataclasses.field(default_factory=dict)


class Ruling(NamedTuple):
    """What the held-out test of a proposal amounts to.

    Attributes:
        adopt: whether it is significant, and the gain worth a change.
        promising: whether the gain alone would be.
        sentence: the same in words.
        details: the figures.
    """

    adopt: bool
    promising: bool
    sentence: str
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
    sentence = (
        f"held-out improvement {verdict.improvement:.2%} on {verdict.ticks} ticks, p = {verdict.p_value:.2g} "
        f"(level {level:.2g}, least {settings.min_gain:.2%})"
    )
    worth = verdict.improvement >= settings.min_gain
    details = {**verdict._asdict(), "level": level, "test": test}
    return Ruling(worth and verdict.p_value < level, worth, sentence, details)


def why(trigger: Trigger) -> str:
    figures = trigger.details
    if "why" in figures:
        return str(figures["why"])
    if "entropy_rise" in figures:
        return f"an alarm, and the entropy {figures['entropy_rise']:.1f} standard deviations above its slow mean"
    return f"the skill fell from {figures['skill_before']:.3f} to {figures['skill']:.3f}"


def figures(assessment: Assessment) -> dict[str, Any]:
    return {"ticks": assessment.ticks, "rise": assessment.rise, "p_value": assessment.p_value}


class Loop:
    """Decides, after every tick or batch of ticks, in the thread that computes them, what to do next.

    Args:
        settings: of the loop.
        space: what a campaign varies, or the name of a space.
        hand: changes the live predictor.
        background: runs campaigns.
        folder: where journals of campaigns stay; "" keeps none.
    """

    def __init__(
        self,
        settings: LoopSettings,
        space: Space | str,
        hand: Hand,
        background: Background,
        folder: str,
    ) -> None:
        self._settings, self._space, self._hand = settings, space, hand
        self._background, self._folder = background, folder
        self.ring = TickRing(settings.history)
        self.watch = Watch(settings, self.ring)
        self.decisions = Decisions()
        self.state, self.reason = d.WATCHING, ""
        self.attempts = self.tests = 0
        self.last_round = False
        self.attempt: Attempt | None = None
        self._rest_until = 0
        self._next: Trigger | None = None
        self._last_value = math.nan

    def take(self, ticks: Observation, signs: Signs) -> None:
        """Remember ticks that the live predictor has processed, look at them, and act.

        Args:
            ticks: columns, oldest first.
            signs: of the same ticks.
        """
        trigger, looking = None, self.state != d.OFF
        plain = (ticks.value, ticks.timestamp_ns, ticks.now_ns, ticks.dispersion_proxy)
        for tick, signed in zip(zip(*plain, strict=True), zip(*signs, strict=True), strict=True):
            one, sign = Observation(*tick), Signs(*signed)
            accepted, value, error, naive = bool(sign.accepted), float(one.value), math.nan, math.nan
            if accepted:
                error, naive = abs(value - float(sign.prediction)), abs(value - self._last_value)
                self._last_value = value
            self.ring.append(one, accepted, error, naive)
            if looking:
                trigger = trigger or self.watch.observe(sign)
        if looking:
            self._act(trigger)

    def _act(self, trigger: Trigger | None) -> None:
        if self.state == d.WATCHING and trigger is not None:
            self.begin(trigger)
        elif self.state == d.TUNING and self._now.future is not None and self._now.future.done():
            self._decide(self._now.future)
        elif self.state == d.REHEARSING:
            self._rehearse()
        elif self.state == d.PROBATION:
            self._judge()
        elif self.state == d.COOLDOWN and self.ring.count >= self._rest_until:
            self._wake()
        if self.state == d.GATHERING and self.left() == 0:
            self._tune()

    def left(self) -> int | None:
        """Ticks until the present state ends; None where no tick decides that."""
        total = self.ring.count
        if self.state == d.GATHERING:
            return max(0, self._now.trigger.onset + self._settings.min_history - total)
        if self.state == d.REHEARSING and self._now.rehearsal is not None:
            return -(-self._now.rehearsal.behind(self.ring) // (CATCH_UP - 1))
        if self.state == d.PROBATION and self._now.probation is not None:
            return max(0, self._settings.watch_ticks - self._now.probation.count)
        return max(0, self._rest_until - total) if self.state == d.COOLDOWN else None

    def halt(self, state: str, reason: str) -> None:
        """End what is going on; a change on probation stays, and a line records that its probation was cut short."""
        if self.state == d.PROBATION:
            self._note(d.UNWATCHED, f"{reason}; the change stays")
        self._background.stop()
        self.attempt = self._next = None
        self.state, self.reason = state, reason

    def start_over(self, reason: str) -> None:
        """Forget the ticks: those that come do not follow on them."""
        if self.state not in (d.OFF, d.CLOSED):
            off = self.last_round
            self.halt(d.OFF if off else d.WATCHING, reason)
        self.last_round, self._rest_until, self._last_value = False, 0, math.nan
        self.ring = TickRing(self._settings.history)
        self.watch = Watch(self._settings, self.ring)

    def switch(self, on: bool) -> None:
        """Look for triggers or not; a probation is ended first."""
        if self.state == d.PROBATION:
            self.last_round = not on
        elif on and self.state == d.OFF:
            self.state, self.reason = d.WATCHING, ""
        elif not on:
            self.halt(d.OFF, "switched off")

    def begin(self, trigger: Trigger) -> None:
        """Start an attempt as after a trigger.

        Raises:
            DomainError: one is going on, or the loop is switched off.
        """
        if self.state not in (d.WATCHING, d.COOLDOWN):
            raise DomainError(f"the loop stands at {self.state!r}; an attempt begins from watching or cooldown")
        self._next = None
        self._start(trigger)
        if self.state == d.GATHERING and self.left() == 0:
            self._tune()

    @property
    def _now(self) -> Attempt:
        assert self.attempt is not None
        return self.attempt

    # transitions

    def _start(self, trigger: Trigger) -> None:
        self.attempt = Attempt(trigger)
        self.state = d.GATHERING
        self._note(d.TRIGGERED, why(trigger), details={"onset": trigger.onset, **trigger.details})

    def _tune(self) -> None:
        """Hand the remembered ticks to the background."""
        attempt = self._now
        self.state = d.TUNING
        self.attempts += 1
        try:
            task, attempt.first = self._next_task(attempt.trigger)
            self._hand.check_in_force(task.config)
        except (ConfigError, ValueError) as error:
            self._rest(d.FAILED, str(error))
            return
        attempt.task = task
        held, space = task.held_out, ", ".join(task.space)
        self._note(
            d.TESTING,
            f"{task.n_trials} trials on {len(task.values) - held} ticks, {held} held out",
            details={"trials": task.n_trials, "ticks": len(task.values), "held_out": held, "space": space},
        )
        if self.state == d.TUNING:
            attempt.future = self._background.submit(task)

    def _next_task(self, trigger: Trigger) -> tuple[CampaignTask, int]:
        """What a campaign works on, and the number of its first tick in the ring.

        Raises:
            ConfigError: the configuration file cannot be read.
        """
        ring, settings, meta = self.ring, self._settings, self._hand.meta()
        space = space_named(self._space, meta) if isinstance(self._space, str) else self._space
        if self._hand.traced_only:
            space = {name: one for name, one in space.items() if name not in STATIC_FIELDS}
        # Where the ring has let the change go, its oldest ticks warm the predictor up.
        onset = max(trigger.onset, ring.start + WARM_UP) if ring.start else trigger.onset
        first = max(ring.start, onset - WARM_UP)
        stretch = ring.since(first)
        values, stamps = stretch.series()
        task = CampaignTask(
            values=values,
            stamps=stamps,
            change=int(np.count_nonzero(stretch.accepted[: onset - first])),
            config=self._hand.config,
            space=space,
            metric=settings.metric,
            n_trials=settings.n_trials,
            seed=(meta.seed + self.attempts) % 2**31,
            min_gain=settings.min_gain,
            share=settings.max_relative_change,
            number=self.attempts,
            folder=self._folder,
        )
        return task, first

    def _decide(self, future: Future[Proposal]) -> None:
        """Decide about the campaign's proposal, or note its failure."""
        error = future.exception()
        if error is not None:
            _log.warning("the campaign failed", exc_info=error)
            self._rest(d.FAILED, f"{type(error).__name__}: {error}")
            return
        proposal = self._now.proposal = future.result()
        campaign = proposal.found
        details = self._now.details
        details |= {name: getattr(campaign, name) for name in ("trials", "failed", "gain", "seconds")}
        if proposal.verdict is None:
            self._rest(d.KEPT, proposal.reason, details=details)
            return
        self.tests += 1
        ruling = self._now.ruling = ruling_on(proposal, self.tests, self._settings)
        details |= ruling.details
        if not ruling.adopt:
            if ruling.promising:  # twice the ticks may tell what these could not
                self._next = self._again("the held-out test was promising, but not significant")
            self._rest(d.KEPT, ruling.sentence, self._pairs(proposal.changes), details)
        elif proposal.changes.keys() & set(STATIC_FIELDS) and not self._hand.traced_only:
            functional = FunctionalPredictor(dataclasses.replace(self._hand.config, **proposal.changes))
            self._now.rehearsal = OffStage(functional, functional.init_state(), self._now.first)
            self.state = d.REHEARSING
        else:
            self._adopt()

    def _rehearse(self) -> None:
        """Let the proposed structure learn from some more of the past."""
        rehearsal = self._now.rehearsal
        assert rehearsal is not None
        rehearsal.advance(self.ring, CATCH_UP)
        if rehearsal.behind(self.ring) == 0:
            self._adopt()

    def _adopt(self) -> None:
        """Write what was proposed, and begin its probation."""
        attempt = self._now
        task, proposal, ruling, rehearsal = attempt.task, attempt.proposal, attempt.ruling, attempt.rehearsal
        assert task is not None and proposal is not None and ruling is not None
        pairs, details = self._pairs(proposal.changes), {**attempt.details, "tick": self._tick}
        try:
            self._hand.check_in_force(task.config)
            change = self._hand.change(proposal.changes, rehearsal, self.ring.count, self._label(), details)
        except ConfigError as error:
            self._next = self._again("the change was refused")
            self._rest(d.REFUSED, str(error), pairs, details)
            return
        attempt.change, attempt.probation = change, Probation(self._settings, change.before)
        self.state = d.PROBATION
        self._tell(Decision(d.ADOPTED, self._tick, attempt.trigger.kind, ruling.sentence, pairs, details))

    def _judge(self) -> None:
        """One more tick of probation, or several."""
        attempt = self._now
        assert attempt.probation is not None and attempt.proposal is not None
        assessment = attempt.probation.observe(self.ring)
        if assessment.state == FAILED:
            self._take_back(assessment)
        elif assessment.state == PASSED:
            if attempt.proposal.cut:
                self._next = self._again(f"{', '.join(attempt.proposal.cut)} stopped at the limit of one change")
            self._rest(d.CONFIRMED, assessment.reason, details=figures(assessment))

    def _take_back(self, assessment: Assessment) -> None:
        attempt = self._now
        assert attempt.change is not None
        try:
            self._hand.take_back(attempt.change, self._label(), figures(assessment))
        except ConfigError as error:
            self._rest(d.FAILED, f"{assessment.reason}, and the change cannot be taken back: {error}")
            return
        pairs = {name: (new, old) for name, (old, new) in attempt.change.changes.items()}
        kind, details = attempt.trigger.kind, figures(assessment)
        self._tell(Decision(d.ROLLED_BACK, self._tick, kind, assessment.reason, pairs, details))
        self._sleep()

    def _wake(self) -> None:
        """Watch again, or go on with what the last attempt has left open."""
        follow, self._next = self._next, None
        if follow is not None:
            self._start(follow._replace(tick=self._tick))
            return
        self._note(d.WATCHING, "the cooldown is over")
        if self.state == d.COOLDOWN:
            self.state, self.attempt = d.WATCHING, None

    # what transitions share

    @property
    def _tick(self) -> int:
        return self.ring.count - 1

    def _again(self, why: str) -> Trigger | None:
        """One more attempt on the same change, unless this was one already that led nowhere."""
        trigger = self._now.trigger
        if trigger.kind == UNFINISHED and self._now.change is None:
            return None
        return Trigger(UNFINISHED, self._tick, trigger.onset, {"why": why})

    def _rest(self, outcome: str, reason: str, changes: Changes | None = None, details: Details | None = None) -> None:
        self._note(outcome, reason, changes, details)
        self._sleep()

    def _sleep(self) -> None:
        if self.state in (d.OFF, d.CLOSED):
            return
        self.state = d.COOLDOWN
        if self.last_round:
            self.last_round = False
            self.halt(d.OFF, "switched off")
        self._rest_until = self.ring.count + self._settings.cooldown_ticks

    def _note(self, outcome: str, reason: str, changes: Changes | None = None, details: Details | None = None) -> None:
        """Write a decision down; where that fails nothing may be decided any more."""
        kind = self._now.trigger.kind
        decision = Decision(outcome, self._tick, kind, reason, dict(changes or {}), dict(details or {}))
        self._tell(decision)
        try:
            self._hand.note(decision, self._label())
        except ConfigError as error:
            _log.warning("the loop ends, as its decisions cannot be written down: %s", error)
            self._background.stop()
            self.state, self.reason = d.OFF, str(error)

    def _tell(self, decision: Decision) -> None:
        self.decisions.append(decision)
        self.reason = decision.reason
        _log.info("%s", decision.text())

    def _label(self) -> str:
        return f"autotune: {self._now.trigger.kind}"

    def _pairs(self, changes: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        return {name: (getattr(self._hand.config, name), value) for name, value in changes.items()}
