"""The hands of the loop: what changes the settings of a live predictor, and brings them back."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from ...config.load import load_config
from ...config.meta_optimization import MetaOptimizationConfig, load_meta_optimization_config
from ...config.mutation import Mutation, mutate_config, record_decision, rollback
from ...config.mutation_policy import refused_name, too_far, too_often
from ...config.schema import STATIC_FIELDS, PredictorConfig
from ...engine.track import Track
from ...errors import ConfigMutationError
from ...model.state import PredictorState
from ...predictor.functional import FunctionalPredictor
from ...predictor.reloading import ConfigReloadablePredictor
from .decisions import Decision, LoopSettings
from .probation import OffStage

Values = Mapping[str, Any]


class Change(NamedTuple):
    """A change that is in force.

    Attributes:
        changes: (old, new) by field.
        before: the predictor as it was before, to run on beside the changed one.
        mutation: of the configuration file, None where there is none.
    """

    changes: Mapping[str, tuple[Any, Any]]
    before: OffStage
    mutation: Mutation | None = None


@runtime_checkable
class Hand(Protocol):
    """What the loop changes: settings and state of one live predictor.

    `change` and `take_back` are called between two ticks only, by whoever computes them.

    Attributes:
        traced_only: whether it changes what compiles nothing, and nothing else.
    """

    traced_only: bool

    @property
    def config(self) -> PredictorConfig:
        """The settings in force."""
        ...

    def meta(self) -> MetaOptimizationConfig:
        """The ranges of a campaign, and its seed.

        Raises:
            ConfigError: they cannot be read.
        """
        ...

    def check_in_force(self, config: PredictorConfig) -> None:
        """See that these settings are in force.

        Raises:
            ConfigMutationError: others are.
            ConfigError: the file cannot be read.
        """

    def note(self, decision: Decision, trigger: str) -> None:
        """Write a decision down that changes nothing.

        Raises:
            ConfigMutationError: it cannot be written.
        """

    def change(self, changes: Values, rehearsal: OffStage | None, tick: int, trigger: str, details: Values) -> Change:
        """Have new settings act on the next tick.

        Args:
            changes: new values by field.
            rehearsal: the new structure with a state that has seen the last ticks; None keeps the predictor's own.
            tick: number of the next tick.
            trigger, details: for the log.

        Raises:
            ConfigMutationError: the policy or the disk refuses it, or it does not come into force; all is as it was.
        """
        ...

    def take_back(self, change: Change, trigger: str, details: Values) -> None:
        """Bring the predictor to where it would be without the change.

        Raises:
            ConfigMutationError: the settings were changed since, or cannot be written; nothing was changed.
        """


class FileHand:
    """Changes the file of one predictor, and the predictor with it; the file comes back byte for byte.

    Args:
        predictor: follows the file.
        settings: limits of a change.
        audit: the log; beside the file where left out.
        clock: time of the lines of the log [ns since 1970].
    """

    traced_only = False

    def __init__(
        self,
        predictor: ConfigReloadablePredictor,
        settings: LoopSettings,
        audit: str | os.PathLike[str] | None,
        clock: Callable[[], int],
    ) -> None:
        self._predictor, self._settings, self._audit, self._clock = predictor, settings, audit, clock
        self._path = predictor.config_path
        self._changed_at: int | None = None

    @property
    def config(self) -> PredictorConfig:
        """Settings of the predictor."""
        return self._predictor.config

    def meta(self) -> MetaOptimizationConfig:
        """Section `[meta_optimization]` of the file."""
        return load_meta_optimization_config(self._path)

    def check_in_force(self, config: PredictorConfig) -> None:
        """See that file and predictor both have these settings."""
        if self._predictor.config != config:
            raise ConfigMutationError("the predictor was given other settings meanwhile, which were not tested")
        if load_config(self._path) != config:
            raise ConfigMutationError(
                f"{self._path} holds settings that are not in force; have the predictor reload it, or undo the edit"
            )

    def note(self, decision: Decision, trigger: str) -> None:
        """A line of the audit log."""
        record_decision(
            self._path,
            decision.outcome,
            trigger,
            {"tick": decision.tick, **decision.details},
            reason=decision.reason,
            changes=decision.changes,
            audit=self._audit,
            now_ns=self._clock(),
        )

    def change(self, changes: Values, rehearsal: OffStage | None, tick: int, trigger: str, details: Values) -> Change:
        """Write new settings to the file and have the predictor reload it."""
        before = OffStage(self._predictor.functional, self._predictor.state, tick)
        mutation = mutate_config(
            self._path,
            changes,
            trigger=trigger,
            max_relative_change=self._settings.max_relative_change,
            rate_limit_per_hour=self._settings.rate_limit_per_hour,
            min_stability_ticks=self._settings.min_stability_ticks,
            ticks_since_last=None if self._changed_at is None else tick - self._changed_at,
            audit=self._audit,
            details=details,
            now_ns=self._clock(),
        )
        change = Change(mutation.changes, before, mutation)
        wanted = dataclasses.replace(before.functional.config, **changes)
        self._predictor.check_and_reload_config()
        if self._predictor.config != wanted:
            # Somebody wrote the file in the same moment: what is in force now was never tested.
            self.take_back(change, trigger, {"why": "another edit came in between"})
            raise ConfigMutationError(f"{self._path}: another edit came in between; the change was taken back")
        self._changed_at = tick
        if rehearsal is not None:
            learned = rehearsal.state_with(int(before.state.ticks))
            self._predictor.change_settings(self._predictor.functional, learned)
        return change

    def take_back(self, change: Change, trigger: str, details: Values) -> None:
        """Bring file and predictor back."""
        assert change.mutation is not None
        rollback(
            self._path,
            change.mutation.old_hash,
            trigger=trigger,
            expected_hash=change.mutation.new_hash,
            audit=self._audit,
            details=details,
            now_ns=self._clock(),
        )
        self._predictor.check_and_reload_config()
        self._predictor.change_settings(change.before.functional, change.before.state)


class EngineHand:
    """Changes the traced settings of a running engine between two of its ticks, and notes decisions as its events.

    Where the change is taken back the series goes on from the state that it would have had without it; the other assets
    of a fleet, which share its settings, keep their states.

    Args:
        track: whose settings are changed.
        place: the asset that is watched, None where the track has one series.
        settings: limits of a change.
        meta: ranges of a campaign, and its seed.
        clock: for the limit of changes an hour [ns].
    """

    traced_only = True

    def __init__(
        self,
        track: Track,
        place: int | None,
        settings: LoopSettings,
        meta: MetaOptimizationConfig,
        clock: Callable[[], int],
    ) -> None:
        self._track, self._place, self._settings, self._meta, self._clock = track, place, settings, meta, clock
        self._changed_at: int | None = None
        self._changed_ns: list[int] = []

    @property
    def config(self) -> PredictorConfig:
        """Settings of the track."""
        return self._track.config

    def meta(self) -> MetaOptimizationConfig:
        """The ranges and the seed of the constructor."""
        return self._meta

    def check_in_force(self, config: PredictorConfig) -> None:
        """See that the track has these settings."""
        if self._track.config != config:
            raise ConfigMutationError("the engine was given other settings meanwhile, which were not tested")

    def note(self, decision: Decision, trigger: str) -> None:
        """An event of the engine."""
        self._track.tell("loop", f"{trigger}: {decision.text()}")

    def change(self, changes: Values, rehearsal: OffStage | None, tick: int, trigger: str, details: Values) -> Change:
        """Configure the track."""
        config, now_ns = self._track.config, self._clock()
        self._check_limits(config, changes, tick, now_ns)
        snapshot = self._track.timeline.computation.keep()
        state, _ = self._track.timeline.computation.states(snapshot)
        before = OffStage(FunctionalPredictor(config), self._own(state), tick)
        self._track.configure(dataclasses.replace(config, **changes), changes)
        self._changed_at = tick
        self._changed_ns.append(now_ns)
        self._track.tell("loop", f"{trigger}: adopted, on probation")
        return Change({name: (getattr(config, name), value) for name, value in changes.items()}, before)

    def take_back(self, change: Change, trigger: str, details: Values) -> None:
        """Configure the track as before, and give the series the state of the settings before."""
        before, computation = change.before.functional.config, self._track.timeline.computation
        wanted = dataclasses.replace(before, **{name: new for name, (_, new) in change.changes.items()})
        if self._track.config != wanted:
            raise ConfigMutationError("the settings were changed since; they stay")
        self._track.tell("loop", f"{trigger}: rolled_back")
        if computation.depth != before.log_sig_depth:
            self._track.configure(before)  # under load: a state of the full depth does not fit
            return
        state = change.before.state
        if self._place is not None:
            every, _ = computation.states(computation.keep())
            state = jax.tree.map(self._with_own, every, state)
        self._track.adopt(before, state)

    def _own(self, state: PredictorState) -> PredictorState:
        if self._place is None:
            return state
        return jax.tree.map(lambda leaf: leaf[self._place], state)

    def _with_own(self, every: Any, own: Any) -> Any:
        changed = np.array(every)
        changed[self._place] = own
        return changed

    def _check_limits(self, config: PredictorConfig, changes: Mapping[str, Any], tick: int, now_ns: int) -> None:
        limits = self._settings
        problems = [reason for name in changes if (reason := refused_name(name)) is not None]
        problems += [f"{name} is compiled in, and the engine runs" for name in changes if name in STATIC_FIELDS]
        if not problems:
            moved = (too_far(n, getattr(config, n), new, limits.max_relative_change) for n, new in changes.items())
            problems += [reason for reason in moved if reason is not None]
        since = None if self._changed_at is None else tick - self._changed_at
        problems += too_often(self._changed_ns, now_ns, limits.rate_limit_per_hour, since, limits.min_stability_ticks)
        if problems:
            raise ConfigMutationError("; ".join(problems))
