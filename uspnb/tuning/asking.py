"""Asking for a batch, taking over a dead one, and telling what became of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from ..errors import IntegrityError
from .objective import Evaluation
from .ownership import Owner
from .sampling import Draws, Rules
from .storage import Store


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
        found = [trial for trial in trials if trial.user_attrs.get("batch") == index]
        first = found[0].number if found else len(trials)
        draws = Draws(rules, trials[:first])
        numbers, candidates = [], []
        for trial in found:
            draws.draw(trial.number, trial.params)
            numbers.append(trial.number)
            if store.is_abandoned(trial):
                store.storage.set_trial_user_attr(store.id_of(trial.number), "owner", owner.text())
        for number in range(len(trials), _end(found, len(trials), rules, target)):
            _add(store, rules, draws, number, index, owner)
            numbers.append(number)
        if not numbers:
            return None
        candidates = [draws.candidate(place) for place in range(len(numbers))]
        return Batch(index, numbers, candidates, draws, bool(found))


def _next_index(trials: Sequence[FrozenTrial]) -> int:
    return 1 + max((trial.user_attrs.get("batch", -1) for trial in trials), default=-1)


def _end(found: Sequence[FrozenTrial], count: int, rules: Rules, target: int) -> int:
    """One past the last trial of a batch of which some members may be there.

    A batch is completed only where its asking was cut off: nothing of it is finished and nothing follows it.
    """
    if found and (found[-1].number != count - 1 or any(trial.state.is_finished() for trial in found)):
        return count
    return max(count, min(count - len(found) + rules.batch_size, target))


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
        for number, found, reports in zip(batch.numbers, evaluations, batch.draws.reports, strict=True):
            _tell(store, number, found, reports)


def _tell(store: Store, number: int, found: Evaluation, reports: dict[int, float]) -> None:
    trial_id = store.id_of(number)
    trial = store.storage.get_trial(trial_id)
    if trial.state.is_finished():
        return
    value, reason = float(found.value), found.reason
    if not reason and not math.isfinite(value):
        reason = f"the value is {value}"
    attributes = {"folds": _plain(found.folds), "seconds": float(found.seconds)} | (
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
        elif found.pruned:
            store.study.tell(number, state=TrialState.PRUNED)
        else:
            store.study.tell(number, value)
    except UpdateFinishedTrialError:
        return  # an owner that was taken for dead has told it meanwhile: it counts once


def _plain(folds: Any) -> list[list[float | None]]:
    """Values of folds and series; JSON has no NaN."""
    table = np.atleast_2d(np.asarray(folds, float))
    return [[value if math.isfinite(value) else None for value in row] for row in table.tolist()]
