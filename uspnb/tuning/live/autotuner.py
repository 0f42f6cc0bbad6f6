"""`Autotuner`: the loop around one live predictor."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from typing import Any

from ...errors import DomainError
from ...model.records import PredictionResult, ProcessState
from ...predictor.reloading import ConfigReloadablePredictor
from ...predictor.universal import UniversalPredictor
from ...runtime.arguments import check_whole
from ...runtime.words import headline, pairs_table
from ..space import SearchSpace, Space, checked_space
from .changing import Hand
from .decisions import ADOPTED, CLOSED, OFF, ROLLED_BACK, AutotuneStatus, Decisions, LoopSettings
from .elsewhere import background_for
from .loop import Loop
from .proposing import CampaignOf, JudgeOf
from .reach import LOOP, space_named
from .watching import ASKED, Trigger


class Autotuner:
    """A live predictor that tunes its own configuration file while it runs; nothing in uspnb starts one by itself.

    It watches the skill, and the alarms with the entropy of the value function.  After a trigger it waits for
    `min_history` ticks of the new dynamics, has a campaign run on the first 70 % of them in a process of its own, and
    tests the winner against the settings in force on the last 30 %.  Only a significant improvement of at least
    `min_gain` is written to the file, within the limits of `mutate_config`, and put in force by a hot reload.  For
    `watch_ticks` ticks the settings before run on beside the new ones; where the error has risen by `error_rise` over
    theirs on the same ticks, file and predictor go back to where they would be without the change.  Every decision is
    a line of the audit log.

    Everything but the campaign happens in the thread that calls `step`, between two ticks.

    Args:
        predictor: the live one, a `ConfigReloadablePredictor`; only this tuner may step it.
        tier: what is varied: "loop" (memory and ridges of the kernels, and the depth of the log-signature), "fast"
            (seed 003), "traced" (all that compiles nothing) or "deep"; ranges come from `[meta_optimization]`.
        space: a search space in place of the tier's.
        enabled: whether it looks for triggers; `tuner.enabled` switches that at any time.
        background: whether campaigns run beside the live ticks; if not, `step` waits for them.
        audit: the audit log; by default `io/mutations.log` beside the file.
        folder: where the journals of campaigns are kept; none by default.
        clock: time of the lines of the audit log [ns since 1970].
        campaign, judge: in place of the campaign and the held-out test; they then run in this process.
        settings: fields of `LoopSettings`.

    Raises:
        DomainError: no `ConfigReloadablePredictor`; a setting outside its range; an unknown tier or a space that
            cannot be used.
    """

    def __init__(
        self,
        predictor: UniversalPredictor,
        *,
        tier: str = LOOP,
        space: Mapping[str, SearchSpace] | None = None,
        enabled: bool = True,
        background: bool = True,
        audit: str | os.PathLike[str] | None = None,
        folder: str | os.PathLike[str] | None = None,
        clock: Callable[[], int] = time.time_ns,
        campaign: CampaignOf | None = None,
        judge: JudgeOf | None = None,
        **settings: Any,
    ) -> None:
        if not isinstance(predictor, ConfigReloadablePredictor):
            raise DomainError(
                f"predictor has type {type(predictor).__name__}, expected ConfigReloadablePredictor: what is tuned is "
                "its configuration file"
            )
        self.predictor = predictor
        self.settings = _settings(settings)
        chosen = _chosen(tier, space)
        self._background = background_for(background, campaign, judge)
        hand = Hand(predictor, self.settings, audit, clock)
        self._loop = Loop(predictor, self.settings, chosen, hand, self._background, os.fspath(folder or ""))
        self._last_value = math.nan
        if not enabled:
            self.enabled = False

    @property
    def decisions(self) -> Decisions:
        """All decisions so far, the oldest first."""
        return self._loop.decisions

    @property
    def enabled(self) -> bool:
        """Whether it looks for triggers; switched off it gives up a running campaign, but ends a probation."""
        return self._loop.state not in (OFF, CLOSED) and not self._loop.last_round

    @enabled.setter
    def enabled(self, on: bool) -> None:
        self._refuse_closed()
        self._loop.switch(on)

    def step(self, tick: ProcessState) -> PredictionResult:
        """`predictor.step`, and after it what the loop has to do.

        Raises:
            DomainError: as `predictor.step`; or the tuner was closed.
        """
        self._refuse_closed()
        result = self.predictor.step(tick)
        telemetry = result.telemetry
        accepted, value = bool(telemetry.accepted), float(tick.magnitude)
        naive = abs(value - self._last_value) if accepted else math.nan
        error = abs(value - float(telemetry.prediction)) if accepted else math.nan
        if accepted:
            self._last_value = value
        self._loop.ring.append(tick.observation(self.predictor.clock()), accepted, error, naive)
        if self._loop.state != OFF:
            self._loop.after_tick(telemetry)
        return result

    def tune_now(self, ticks: int | None = None) -> None:
        """Start an attempt without a trigger, as if the dynamics had changed some ticks ago.

        Args:
            ticks: how many; by default `min_history`, so that the campaign begins at once where they are remembered.

        Raises:
            DomainError: an attempt is going on, the tuner is switched off or closed, or there are no such ticks.
        """
        self._refuse_closed()
        seen = self._loop.ring.seen
        most = self.settings.history
        ticks = check_whole("ticks", self.settings.min_history if ticks is None else ticks, 0, most, unit="(history)")
        if ticks > seen:
            raise DomainError(f"only {seen} ticks have been seen, not {ticks}; wait, or ask for fewer")
        self._loop.begin(Trigger(ASKED, seen - 1, seen - ticks, {"why": f"asked for, on the last {ticks} ticks"}))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the campaign that runs; its decision is taken after the next tick.

        Args:
            timeout: [s]; None waits as long as it takes.

        Returns:
            Whether none is running any more.
        """
        attempt = self._loop.attempt
        if attempt is None or attempt.future is None:
            return True
        return not wait([attempt.future], timeout).not_done

    def status(self) -> AutotuneStatus:
        """Where the loop stands."""
        loop = self._loop
        return AutotuneStatus(
            loop.state,
            loop.reason,
            loop.ring.seen,
            loop.left(),
            loop.attempts,
            loop.tests,
            len(loop.decisions.of(ADOPTED)),
            len(loop.decisions.of(ROLLED_BACK)),
            loop.watch.skill.fast,
            loop.watch.skill.slow,
            loop.watch.entropy_rise,
        )

    def close(self) -> None:
        """Give up a running campaign and let the predictor go; a change on probation stays.  Closing twice is fine."""
        if self._loop.state != CLOSED:
            self._loop.halt(CLOSED, "the tuner was closed")

    def __enter__(self) -> Autotuner:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        status = self.status()
        return f"Autotuner({status.state}, {status.ticks} ticks, {status.adopted} adopted, {status.rolled_back} undone)"

    def _repr_html_(self) -> str:
        status = self.status()
        told = {"state": status.state, "for": _left(status), "last": status.reason, "ticks seen": status.ticks}
        told |= {"campaigns": status.attempts, "held-out tests": status.tests}
        told |= {"adopted": status.adopted, "rolled back": status.rolled_back}
        told |= {"skill": status.skill, "skill before": status.skill_before, "entropy rise": status.entropy_rise}
        table = pairs_table("Autotuner", told)
        return headline("Autotuner", str(self.predictor.config_path)) + table + self.decisions._repr_html_()

    def _refuse_closed(self) -> None:
        if self._loop.state == CLOSED:
            raise DomainError("the tuner was closed; step the predictor itself, or make another Autotuner")


def _settings(given: Mapping[str, Any]) -> LoopSettings:
    known = LoopSettings.__dataclass_fields__
    unknown = [name for name in given if name not in known]
    if unknown:
        raise DomainError(f"unknown settings: {', '.join(unknown)}; known are {', '.join(known)}")
    return LoopSettings(**given)


def _chosen(tier: str, space: Mapping[str, SearchSpace] | None) -> Space | str:
    if space is not None:
        return checked_space(space)
    space_named(tier)
    return tier


def _left(status: AutotuneStatus) -> str:
    return "" if status.left is None else f"{status.left} more ticks"
