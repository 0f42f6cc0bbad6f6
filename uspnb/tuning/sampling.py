"""What is tried next: a function of the seed, the trial's number and the finished trials before its batch, of nothing
else.

So a campaign that was interrupted proposes exactly what it would have proposed.  The trials that a batch may know of
are copied into memory; there its members are drawn, one after another, and judged fold by fold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from ..array_types import Bool, Float
from ..config.meta_optimization import MetaOptimizationConfig
from ..config.schema import PredictorConfig
from .space import SearchSpace, decoded, default_params, structural_names
from .storage import quiet_optuna

WARMUP_FOLDS = 1


@dataclasses.dataclass(frozen=True)
class Rules:
    """What proposals depend on.

    Attributes:
        space: the parameters.
        defaults: the parameters of trial 0.
        seed, n_startup_trials, multivariate, batch_size: of `MetaOptimizationConfig`.
    """

    space: dict[str, SearchSpace]
    defaults: dict[str, Any]
    seed: int
    n_startup_trials: int
    multivariate: bool
    batch_size: int

    def sampler(self, number: int, held: Mapping[str, Any]) -> TPESampler:
        """The sampler of one trial; a fresh one for every number.

        Args:
            number: of the trial.
            held: parameters that are not drawn.
        """
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        drawn = {name: one.distribution() for name, one in sorted(self.space.items()) if name not in held}
        return _StaticSampler(drawn, self.n_startup_trials, self.multivariate, seed)


class _StaticSampler(TPESampler):
    """The tree-structured Parzen estimator (Bergstra et al. 2011; multivariate: Falkner et al. 2018) over parameters
    that are known beforehand, where Optuna's own finds them out anew from all trials."""

    def __init__(
        self, drawn: Mapping[str, BaseDistribution], n_startup_trials: int, multivariate: bool, seed: int
    ) -> None:
        super().__init__(n_startup_trials=n_startup_trials, multivariate=multivariate, seed=seed)
        self._drawn = {name: one for name, one in drawn.items() if multivariate and not one.single()}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """What is drawn together."""
        return dict(self._drawn)


class _Shared(dict[Any, Any]):
    """A dict that nobody changes, so that a copy is the dict itself; Optuna copies every trial that it is given."""

    def __deepcopy__(self, memo: Any) -> _Shared:
        return self


def quiet_study(trials: Sequence[FrozenTrial], pruner: BasePruner | None = None) -> optuna.Study:
    """A study in memory of trials that will not change, without their attributes."""
    with quiet_optuna():
        study = optuna.create_study(direction="minimize", pruner=pruner)
    for trial in trials:
        study.add_trial(
            FrozenTrial(
                number=trial.number,
                state=trial.state,
                value=trial.value,
                datetime_start=trial.datetime_start,
                datetime_complete=trial.datetime_complete,
                params=_Shared(trial.params),
                distributions=_Shared(trial.distributions),
                user_attrs={},
                system_attrs={},
                intermediate_values=_Shared(trial.intermediate_values),
                trial_id=trial.number,
            )
        )
    return study


class Draws:
    """The members of one batch, drawn and judged.

    All members share the structural parameters of the first, so that the batch is one compiled program.

    Args:
        rules: of the campaign.
        earlier: the trials that the batch may know of, in the order of their numbers.
    """

    def __init__(self, rules: Rules, earlier: Sequence[FrozenTrial]) -> None:
        self._rules = rules
        self._distributions = {name: one.distribution() for name, one in rules.space.items()}
        pruner = MedianPruner(n_startup_trials=rules.n_startup_trials, n_warmup_steps=WARMUP_FOLDS)
        self._study = quiet_study([trial for trial in earlier if trial.state != TrialState.WAITING], pruner)
        self._members: list[Trial] = []
        self._numbers: list[int] = []
        self._structure: dict[str, Any] = {}
        self._going: list[bool] = []
        self._answers: dict[int, np.ndarray] = {}
        self.reports: list[dict[int, float]] = []

    def draw(self, number: int, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The parameters of the next member.

        Args:
            number: of the trial.
            known: parameters that it has already.

        Returns:
            Parameters as the sampler's distributions know them; `decoded` makes settings of them.
        """
        if known is None:
            known = self._rules.defaults if number == 0 else {}
        held = {**self._structure, **known}
        self._study.sampler = self._rules.sampler(number, held)
        if held:
            self._study.enqueue_trial(held)
        trial = self._study.ask(self._distributions)
        self._members.append(trial)
        self._numbers.append(number)
        self._going.append(True)
        self.reports.append({})
        if not self._structure:
            self._structure = {name: trial.params[name] for name in structural_names(self._rules.space)}
        return trial.params

    def candidate(self, place: int) -> dict[str, Any]:
        """The settings of a member."""
        return decoded(self._rules.space, self._members[place].params)

    def keep(self, fold: int, running: Float[np.ndarray, "candidate"]) -> Bool[np.ndarray, "candidate"]:
        """Which members go on after a fold: those that are not worse than the median of the complete trials before
        the batch; the default settings always do.

        Args:
            fold: that was just scored.
            running: value of each member so far, NaN where it failed or was given up.
        """
        if fold not in self._answers:  # a batch that is sent to another worker asks again
            for place, value in enumerate(running):
                if self._going[place] and np.isfinite(value):
                    self._judge(place, fold, float(value))
            self._answers[fold] = np.array(self._going, bool)
        return self._answers[fold]

    def _judge(self, place: int, fold: int, value: float) -> None:
        trial = self._members[place]
        trial.report(value, fold)
        self.reports[place][fold] = value
        self._going[place] = self._numbers[place] == 0 or not trial.should_prune()


def rules_of(space: dict[str, SearchSpace], base: PredictorConfig, meta: MetaOptimizationConfig) -> Rules:
    """The rules of a campaign."""
    return Rules(
        space, default_params(space, base), meta.seed, meta.n_startup_trials, meta.multivariate, meta.batch_size
    )
