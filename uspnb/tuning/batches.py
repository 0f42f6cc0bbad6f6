"""The batches of a campaign: what is tried next, taking over a dead owner's batch, writing what became of one.

What is tried is a function of the seed, the trial's number and the finished trials before its batch, of nothing else,
so that a campaign that was interrupted proposes exactly what it would have proposed.  The trials that a batch may know
of are copied into memory; there its members are drawn, one after another, and judged fold by fold.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from ..array_types import Bool, Float
from ..config.meta_optimization import MetaOptimizationConfig
from ..errors import IntegrityError
from .objective import Evaluation
from .space import SearchSpace, decoded, structural_names
from .storage import Owner, Store, quiet_optuna

WARMUP_FOLDS = 1


@dataclasses.dataclass(frozen=True)
class Rules:
    """What proposals depend on.

    Attributes:
        space: the parameters.
        defaults: the parameters of trial 0.
        meta: its seed, `n_startup_trials`, `multivariate` and `batch_size`.
    """

    space: dict[str, SearchSpace]
    defaults: dict[str, Any]
    meta: MetaOptimizationConfig

    def sampler(self, number: int, held: Mapping[str, Any]) -> TPESampler:
        """The sampler of one trial; a fresh one for every number.

        Args:
            number: of the trial.
            held: parameters that are not drawn.
        """
        seed = int(np.random.SeedSequence([self.meta.seed, number]).generate_state(1)[0])
        drawn = {name: one.distribution() for name, one in sorted(self.space.items()) if name not in held}
        return _StaticSampler(drawn, self.meta.n_startup_trials, self.meta.multivariate, seed)


class _StaticSampler(TPESampler):
    """The tree-structured Parzen estimator (Bergstra et al. 2011; multivariate: Falkner et al. 2018) over parameters
    that are known beforehand, where Optuna's own finds them out anew from all trials."""

    def __init__(
        self, drawn: Mapping[str, BaseDistribution], n_startup_trials: int, multivariate: bool, seed: int
    ) -> None:
        super().__init__(n_startup_trials=n_startup_trials, multivariate=multivariate, seed=seed)
        self._drawn = {name: one for name, one in drawn.items() if multivariate and not one.single()}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that the estimator draws jointly."""
        return dict(self._drawn)


class _Shared(dict[Any, Any]):
    """A dict that never changes, so that a copy is the dict itself; Optuna copies every trial that it gets."""

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
        pruner = MedianPruner(n_startup_trials=rules.meta.n_startup_trials, n_warmup_steps=WARMUP_FOLDS)
        self._study = quiet_study([trial for trial in earlier if trial.state != TrialState.WAITING], pruner)
        self._members: list[Trial] = []
        self._numbers: list[int] = []
        self._structure: dict[str, Any] = {}
        self._going: list[bool] = []
        self._answers: dict[int, np.ndarray] = {}
        self.reports: list[dict[int, float]] = []

    def draw(self, number: int, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The parameters of the next member.

        Args:
            number: of the trial.
            params: those that it has already.

        Returns:
            Parameters as the sampler's distributions know them; `decoded` makes settings of them.
        """
        if params is None:
            params = self._rules.defaults if number == 0 else {}
        held = {**self._structure, **params}
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


class Batch(NamedTuple):
    """Candidates that are evaluated together.

    Attributes:
        index: which batch of the campaign.
        numbers: of its trials.
        candidates: settings of each.
        draws: what judges them fold by fold.
        adopted: whether another process asked for it, and died.
    """

    index: int
    numbers: list[int]
    candidates: list[dict[str, Any]]
    draws: Draws
    adopted: bool


def next_batch(store: Store, rules: Rules, owner: Owner, target: int, fresh: bool = True) -> Batch | None:
    """Take over a batch whose owner is dead, or ask for a new one.

    One process at a time does this, so that no two draw the same trial and the study never grows beyond `target`.

    Args:
        store, rules: of the campaign.
        owner: who asks.
        target: trials that there are to be in all.
        fresh: whether a new batch may be asked for.

    Returns:
        The batch; None where none is abandoned, and none may be asked for or all trials are there.
    """
    with store.turn():
        trials = store.trials()
        left = [trial for trial in trials if store.is_abandoned(trial)]
        if not left and not fresh:
            return None
        index = left[0].user_attrs["batch"] if left else _next_index(trials)
        members = [trial for trial in trials if trial.user_attrs.get("batch") == index]
        first = members[0].number if members else len(trials)
        draws = Draws(rules, trials[:first])
        numbers, candidates = [], []
        for trial in members:
            draws.draw(trial.number, trial.params)
            numbers.append(trial.number)
            if store.is_abandoned(trial):
                store.storage.set_trial_user_attr(store.id_of(trial.number), "owner", owner.text())
        for number in range(len(trials), _end(members, len(trials), rules, target)):
            _add(store, rules, draws, number, index, owner)
            numbers.append(number)
        if not numbers:
            return None
        candidates = [draws.candidate(place) for place in range(len(numbers))]
        return Batch(index, numbers, candidates, draws, bool(members))


def _next_index(trials: Sequence[FrozenTrial]) -> int:
    return 1 + max((trial.user_attrs.get("batch", -1) for trial in trials), default=-1)


def _end(members: Sequence[FrozenTrial], count: int, rules: Rules, target: int) -> int:
    """One past the last trial of a batch of which some members may be there.

    A batch is completed only where its asking was cut off: nothing of it is finished and nothing follows it.
    """
    if members and (members[-1].number != count - 1 or any(trial.state.is_finished() for trial in members)):
        return count
    return max(count, min(count - len(members) + rules.meta.batch_size, target))


def _add(store: Store, rules: Rules, draws: Draws, number: int, index: int, owner: Owner) -> None:
    params = draws.draw(number)
    attributes = {"batch": index, "owner": owner.text(), "params": draws.candidate(len(draws.reports) - 1)}
    store.add(
        create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions={name: one.distribution() for name, one in rules.space.items()},
            user_attrs=attributes,
        )
    )


def tell(store: Store, batch: Batch, evaluations: Sequence[Evaluation]) -> None:
    """Write what became of a batch, in the order of its numbers; what was told before an interruption stays.

    Raises:
        IntegrityError: the objective returned another number of evaluations than there are candidates.
    """
    if len(evaluations) != len(batch.numbers):
        raise IntegrityError(
            f"the objective returned {len(evaluations)} evaluations of {len(batch.numbers)} candidates; it must "
            "return one for each"
        )
    with store.together():
        for number, evaluation, reports in zip(batch.numbers, evaluations, batch.draws.reports, strict=True):
            _tell(store, number, evaluation, reports)


def _tell(store: Store, number: int, evaluation: Evaluation, reports: dict[int, float]) -> None:
    trial_id = store.id_of(number)
    trial = store.storage.get_trial(trial_id)
    if trial.state.is_finished():
        return
    value, reason = float(evaluation.value), evaluation.reason
    if not reason and not math.isfinite(value):
        reason = f"the value is {value}"
    attributes = {"folds": _plain(evaluation.folds), "seconds": float(evaluation.seconds)} | (
        {"reason": reason} if reason else {}
    )
    try:
        for step, report in reports.items():
            if step not in trial.intermediate_values:
                store.storage.set_trial_intermediate_value(trial_id, step, report)
        for name, attribute in attributes.items():
            store.storage.set_trial_user_attr(trial_id, name, attribute)
        if reason:
            store.study.tell(number, state=TrialState.FAIL)
        elif evaluation.pruned:
            store.study.tell(number, state=TrialState.PRUNED)
        else:
            store.study.tell(number, value)
    except UpdateFinishedTrialError:
        return  # an owner that was taken for dead has told it meanwhile: it counts once


def _plain(folds: Any) -> list[list[float | None]]:
    """Values of folds and series; JSON has no NaN."""
    table = np.atleast_2d(np.asarray(folds, float))
    return [[value if math.isfinite(value) else None for value in row] for row in table.tolist()]
