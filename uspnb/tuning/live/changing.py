"""The hand of the loop: writes the configuration, has the predictor follow it, and brings both back."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

from ...config.load import load_config
from ...config.mutation import AuditRecord, Mutation, mutate_config, record_decision, rollback
from ...config.schema import PredictorConfig
from ...errors import ConfigMutationError
from ...model.state import PredictorState
from ...predictor.reloading import ConfigReloadablePredictor
from .decisions import LoopSettings
from .probation import OffStage


class Hand:
    """Changes the file of one predictor, and the predictor with it.

    Args:
        predictor: follows the file.
        settings: limits of a change.
        audit: the log; beside the file where left out.
        clock: time of the lines of the log [ns since 1970].
    """

    def __init__(
        self,
        predictor: ConfigReloadablePredictor,
        settings: LoopSettings,
        audit: str | os.PathLike[str] | None,
        clock: Callable[[], int],
    ) -> None:
        self._predictor, self._settings, self._audit, self._clock = predictor, settings, audit, clock
        self._changed_at: int | None = None

    @property
    def path(self) -> str:
        """The configuration file."""
        return os.fspath(self._predictor.config_path)

    def check_in_force(self, config: PredictorConfig) -> None:
        """See that file and predictor both have these settings.

        Raises:
            ConfigMutationError: one of them has others.
            ConfigError: the file cannot be read.
        """
        if self._predictor.config != config:
            raise ConfigMutationError("the predictor was given other settings meanwhile, which were not tested")
        if load_config(self._predictor.config_path) != config:
            raise ConfigMutationError(
                f"{self.path} holds settings that are not in force; have the predictor reload it, or undo the edit"
            )

    def note(
        self,
        outcome: str,
        trigger: str,
        reason: str,
        changes: Mapping[str, tuple[Any, Any]],
        details: Mapping[str, Any],
    ) -> AuditRecord:
        """A line about a decision that leaves the file as it is.

        Raises:
            ConfigMutationError: the log is damaged, or cannot be written.
        """
        return record_decision(
            self.path,
            outcome,
            trigger,
            details,
            reason=reason,
            changes=changes,
            audit=self._audit,
            now_ns=self._clock(),
        )

    def change(
        self,
        changes: Mapping[str, Any],
        learned: PredictorState | None,
        tick: int,
        trigger: str,
        details: Mapping[str, Any],
    ) -> tuple[Mutation, OffStage]:
        """Write new settings and have them act on the next tick.

        Args:
            changes: new values by field.
            learned: a state of the new structure that has seen the last ticks; None keeps the predictor's own.
            tick: number of the next tick.
            trigger, details: for the log.

        Returns:
            The mutation, and the predictor as it was before, to run on beside the changed one.

        Raises:
            ConfigMutationError: the policy or the disk refuses it, or it does not come into force; file and predictor
                are as they were.
        """
        before = OffStage(self._predictor.functional, self._predictor.state, tick)
        mutation = mutate_config(
            self.path,
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
        wanted = dataclasses.replace(before.functional.config, **changes)
        self._predictor.check_and_reload_config()
        if self._predictor.config != wanted:
            # Somebody wrote the file in the same moment: what is in force now was never tested.
            self.take_back(mutation, before, trigger, {"why": "another edit came in between"})
            raise ConfigMutationError(f"{self.path}: another edit came in between; the change was taken back")
        self._changed_at = tick
        if learned is not None:
            self._predictor.change_settings(self._predictor.functional, learned)
        return mutation, before

    def take_back(self, mutation: Mutation, before: OffStage, trigger: str, details: Mapping[str, Any]) -> Mutation:
        """Bring the file back byte for byte, and the predictor to where it would be without the change.

        Raises:
            ConfigMutationError: the file was edited since, or cannot be written; nothing was changed.
        """
        undone = rollback(
            self.path,
            mutation.old_hash,
            trigger=trigger,
            expected_hash=mutation.new_hash,
            audit=self._audit,
            details=details,
            now_ns=self._clock(),
        )
        self._predictor.check_and_reload_config()
        self._predictor.change_settings(before.functional, before.state)
        return undone
