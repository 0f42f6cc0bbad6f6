"""`Autotuner`: the loop around one live predictor, or beside one series of an engine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from typing import Any

import jax
import numpy as np

from ...config.meta_optimization import MetaOptimizationConfig
from ...engine.control import Control
from ...engine.track import Advance
from ...errors import DomainError
from ...model.records import Observation, PredictionResult, ProcessState
from ...predictor.reloading import ConfigReloadablePredictor
from ...predictor.universal import UniversalPredictor
from ...runtime.arguments import check_choice, check_whole
from ...runtime.words import headline, pairs_table
from ..space import SearchSpace, Space, checked_space
from .changing import EngineHand, FileHand, Hand
from .decisions import ADOPTED, CLOSED, OFF, ROLLED_BACK, AutotuneStatus, Decisions, LoopSettings
from .elsewhere import background_for
from .loop import Loop
from .probation import STRIDE
from .proposing import CampaignOf, JudgeOf
from .reach import LOOP, space_named
from .watching import ASKED, Signs, Trigger


class Autotuner:
    """A live predictor that tunes its own settings while it runs; nothing in uspnb starts one by itself.

    It watches the skill, and the alarms with the entropy of the value function.  After a trigger it waits for
    `min_history` ticks of the new dynamics, has a campaign run on the first 70 % of them in a process of its own, and
    tests the winner against the settings in force on the last 30 %.  Only a significant improvement of at least
    `min_gain` is put in force, within the limits of `mutate_config`.  For `watch_ticks` ticks the settings before run
    on beside the new ones; where the error has risen by `error_rise` over theirs on the same ticks, the predictor goes
    back to where it would be without the change.

    Around a `ConfigReloadablePredictor` a change is written to its file and put in force by a hot reload, and every
    decision is a line of the audit log; only this tuner may step it.  Everything but the campaign happens in the thread
    that calls `step`, between two ticks.

    Beside an engine it watches what the engine computes, in the engine's thread, and changes by `configure`, so that
    only traced settings are varied; decisions are events of the engine.  The assets of a fleet share their settings: a
    change that one of them earns acts on all, and is judged by that one.  A fleet keeps no entropy of the value
    function unless it has telemetry, so that there the skill alone starts an attempt.  An engine that goes to another
    tick, by `seek` or `restore`, has the tuner forget what it remembered.

    Args:
        predictor: the live one, a `ConfigReloadablePredictor`; or an engine: a `Session`, a `Fleet`, the `control` of
            a service.
        series: of an engine with several series, which one: what its `open` takes.
        tier: what is varied: "loop" (memory and ridges of the kernels, and the depth of the log-signature), "fast"
            (seed 003), "traced" (all that compiles nothing) or "deep"; ranges come from `[meta_optimization]`.
        space: a search space in place of the tier's.
        enabled: whether it looks for triggers; `tuner.enabled` switches that at any time.
        background: whether campaigns run beside the live ticks; if not, `step` waits for them.
        audit: the audit log; by default `io/mutations.log` beside the file.  An engine has none.
        folder: where the journals of campaigns are kept; none by default.
        clock: time of the lines of the audit log [ns since 1970].
        meta_config: ranges and seed of an engine's campaigns; those of a file stand in the file.
        campaign, judge: in place of the campaign and the held-out test; they then run in this process.
        settings: fields of `LoopSettings`.

    Raises:
        DomainError: neither a `ConfigReloadablePredictor` nor an engine, or no such series of it; a setting outside
            its range; an unknown tier or a space that cannot be used; a registered kernel
            that the process of the campaigns cannot import.
    """

    def __init__(
        self,
        predictor: UniversalPredictor | Control,
        *,
        series: Any = None,
        tier: str = LOOP,
        space: Mapping[str, SearchSpace] | None = None,
        enabled: bool = True,
        background: bool = True,
        audit: str | os.PathLike[str] | None = None,
        folder: str | os.PathLike[str] | None = None,
        clock: Callable[[], int] = time.time_ns,
        meta_config: MetaOptimizationConfig | None = None,
        campaign: CampaignOf | None = None,
        judge: JudgeOf | None = None,
        **settings: Any,
    ) -> None:
        self.predictor = predictor
        self.settings = _settings(settings)
        chosen = _chosen(tier, space)
        self._lock = threading.RLock()  # an engine's thread takes ticks, any thread asks
        self._background = background_for(background, campaign, judge)
        self._place: int | None = None
        self._next_tick: int | None = None
        hand: Hand
        if isinstance(predictor, Control):
            hand = self._hand_of(predictor, series, audit, meta_config or MetaOptimizationConfig(), clock)
        elif isinstance(predictor, ConfigReloadablePredictor):
            if series is not None or meta_config is not None:
                raise DomainError("series= and meta_config= are for an engine; the file of a predictor says the latter")
            hand = FileHand(predictor, self.settings, audit, clock)
        else:
            raise DomainError(
                f"predictor has type {type(predictor).__name__}, expected ConfigReloadablePredictor, whose "
                "configuration file is tuned, or an engine such as a Session"
            )
        self._background.check(hand.config)
        self._loop = Loop(self.settings, chosen, hand, self._background, os.fspath(folder or ""))
        if not enabled:
            self.enabled = False
        self._end: Callable[[], None] = lambda: None
        if isinstance(predictor, Control):
            watched = predictor if series is None else predictor.open(series)
            self._end = watched.observe(self._observed, every=STRIDE)

    def _hand_of(
        self,
        engine: Control,
        series: Any,
        audit: Any,
        meta: MetaOptimizationConfig,
        clock: Callable[[], int],
    ) -> EngineHand:
        if audit is not None:
            raise DomainError("audit= is the log of a configuration file; an engine tells decisions as its events")
        names = engine.series
        if series is None and len(names) > 1:
            raise DomainError(f"the engine has {len(names)} series; say which one is watched by series=")
        number = 0 if series is None else names.index(check_choice("series", series, names))
        track = engine.tracks[number if len(engine.tracks) > 1 else 0]
        self._place = None if track.assets is None else number
        return EngineHand(track, self._place, self.settings, meta, clock)

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
        with self._lock:
            self._refuse_closed()
            self._loop.switch(on)

    def step(self, tick: ProcessState) -> PredictionResult:
        """`predictor.step`, and after it what the loop has to do.

        Raises:
            DomainError: as `predictor.step`; the tuner was closed, or stands beside an engine, which takes its own
                ticks.
        """
        self._refuse_closed()
        if not isinstance(self.predictor, ConfigReloadablePredictor):
            raise DomainError("the engine takes its own ticks; run() or step() it")
        result = self.predictor.step(tick)
        telemetry = result.telemetry
        observation = tick.observation(self.predictor.clock())
        signs = Signs(*([getattr(telemetry, name)] for name in Signs._fields))
        self._loop.take(jax.tree.map(lambda leaf: [leaf], observation), signs)
        return result

    def _observed(self, advance: Advance) -> None:
        """Ticks of the engine, in its thread."""
        with self._lock:
            if self._loop.state == CLOSED:
                return
            if self._next_tick is not None and advance.first != self._next_tick:
                self._loop.start_over(f"the engine went from tick {self._next_tick} to tick {advance.first}")
            self._next_tick = advance.first + len(advance.rows)
            self._loop.take(*_columns_of(advance, self._place))

    def tune_now(self, ticks: int | None = None) -> None:
        """Start an attempt without a trigger, as if the dynamics had changed some ticks ago.

        Args:
            ticks: how many; by default `min_history`, so that the campaign begins at once where they are remembered.

        Raises:
            DomainError: an attempt is going on, the tuner is switched off or closed, or there are no such ticks.
        """
        ticks = self.settings.min_history if ticks is None else ticks
        count = check_whole("ticks", ticks, 0, self.settings.history, unit="(history)")
        with self._lock:
            self._refuse_closed()
            total = self._loop.ring.count
            if count > total:
                raise DomainError(f"only {total} ticks have been seen, not {count}; wait, or ask for fewer")
            self._loop.begin(Trigger(ASKED, total - 1, total - count, {"why": f"asked for, on the last {count} ticks"}))

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
        """State of the loop, counts of its attempts, and the figures that it watches."""
        loop = self._loop
        return AutotuneStatus(
            loop.state,
            loop.reason,
            loop.ring.count,
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
        self._end()
        with self._lock:
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
        rows = {"state": status.state, "for": _left(status), "last": status.reason, "ticks seen": status.ticks}
        rows |= {"campaigns": status.attempts, "held-out tests": status.tests}
        rows |= {"adopted": status.adopted, "rolled back": status.rolled_back}
        rows |= {"skill": status.skill, "skill before": status.skill_before, "entropy rise": status.entropy_rise}
        table = pairs_table("Autotuner", rows)
        of = self.predictor
        place = str(of.config_path) if isinstance(of, ConfigReloadablePredictor) else repr(of)
        return headline("Autotuner", place) + table + self.decisions._repr_html_()

    def _refuse_closed(self) -> None:
        if self._loop.state == CLOSED:
            raise DomainError("the tuner was closed; step the predictor itself, or make another Autotuner")


def _columns_of(advance: Advance, place: int | None) -> tuple[Observation, Signs]:
    """What the loop remembers of a batch of an engine's ticks."""
    ticks, columns = advance.taken.ticks, advance.track.timeline.columns
    rows = advance.rows if place is None else advance.rows[:, place]
    values = ticks.values if place is None else ticks.values[:, place]
    nothing = np.full(len(rows), np.nan)
    signs = Signs(*(rows[:, columns[name].start] if name in columns else nothing for name in Signs._fields))
    proxies = nothing if place is not None or ticks.proxies is None else ticks.proxies
    return Observation(values, ticks.stamps_ns, advance.taken.now_ns, proxies), signs


def _settings(settings: Mapping[str, Any]) -> LoopSettings:
    fields = LoopSettings.__dataclass_fields__
    unknown = [name for name in settings if name not in fields]
    if unknown:
        raise DomainError(f"unknown settings: {', '.join(unknown)}; known are {', '.join(fields)}")
    return LoopSettings(**settings)


def _chosen(tier: str, space: Mapping[str, SearchSpace] | None) -> Space | str:
    if space is not None:
        return checked_space(space)
    space_named(tier)
    return tier


def _left(status: AutotuneStatus) -> str:
    return "" if status.left is None else f"{status.left} more ticks"
