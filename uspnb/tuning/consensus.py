"""What to apply after a campaign: the middle of its best trials, and only where it is better than chance.

The best of many trials is best partly by luck on the ticks that it was judged by, and such luck does not last.  The
middle of the best tenth has less of it: single trials scatter around the region that is good, their mean lies in it.
On ticks that no campaign had seen it was worth more than the best trial, and lost less where nothing can be won
(`python benchmarks/tuning.py --stages pays`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .objective import Comparison
from .space import SearchSpace, decoded, structural_names

SHARE = 0.1
FEWEST = 5
SIGNIFICANCE = 0.05


class Recommendation(NamedTuple):
    """What a campaign says should be applied.

    Attributes:
        params: the settings; empty where the base settings should stay.
        objective: value of the consensus, NaN where there is none.
        improvement: 1 - objective / value of the base settings.
        p_value: of a paired, one-sided test against the base settings on the same folds; None where none can be made.
        reason: the sentence that says why.
    """

    params: dict[str, Any]
    objective: float
    improvement: float
    p_value: float | None
    reason: str


def consensus(
    space: Mapping[str, SearchSpace], trials: Sequence[tuple[float, Mapping[str, Any]]], share: float = SHARE
) -> dict[str, Any]:
    """The middle of the best trials: means (of logarithms on logarithmic scales), and the commonest choices.

    Structural parameters are compiled together and so are taken together: the commonest combination among the best
    decides, and only the trials that have it are averaged.

    Args:
        space: the search space.
        trials: value and parameters of every complete trial, at least one.
        share: share of them that count as the best; five at least, where there are five.
    """
    count = min(max(FEWEST, math.ceil(share * len(trials))), len(trials))
    best = [params for _, params in sorted(trials, key=lambda trial: trial[0])[:count]]
    structural = structural_names(space)
    # Of equally common ones the first in the order of their values: Counter keeps the order of insertion.
    commonest = Counter(tuple(params[name] for name in structural) for params in best).most_common(1)[0][0]
    alike = [params for params in best if tuple(params[name] for name in structural) == commonest]
    return decoded(space, {name: _middle(one, [params[name] for params in alike]) for name, one in space.items()})


def _middle(one: SearchSpace, values: Sequence[Any]) -> Any:
    if one.choices or len(set(values)) == 1:
        return Counter(values).most_common(1)[0][0]
    if one.param_type == "log_uniform":
        return math.exp(math.fsum(math.log(value) for value in values) / len(values))
    return one.nearest(math.fsum(values) / len(values))


def recommend(
    space: Mapping[str, SearchSpace],
    trials: Sequence[tuple[float, Mapping[str, Any]]],
    base: Mapping[str, Any],
    base_value: float,
    objective: Any,
) -> Recommendation:
    """The consensus of a campaign where it beats the base settings on the folds by more than chance, else the base.

    A user's own function may be costly and has no paired test: its best trial is recommended where it is better.

    Args:
        space: the search space.
        trials: value and parameters of every complete trial.
        base: the base settings of the space's parameters.
        base_value: their value, NaN where unknown.
        objective: what the campaign minimised.
    """
    if not trials:
        return Recommendation({}, math.nan, math.nan, None, "no trial is complete")
    if not hasattr(objective, "compare"):
        return _best_trial(space, trials, base_value)
    middle = consensus(space, trials)
    value = float(objective.evaluate([middle])[0].value)
    if middle == dict(base):
        return Recommendation({}, value, 0.0, None, "the best trials are the settings in force")
    found: Comparison = objective.compare(middle, base)
    p = None if math.isnan(found.p_value) else found.p_value
    told = f"the middle of the best trials is {found.improvement:+.2%} better on the folds than the settings in force"
    told += "" if p is None else f" (p = {p:.2g})"
    if found.improvement <= 0 or (p is not None and p > SIGNIFICANCE):
        return Recommendation({}, value, found.improvement, p, f"{told}: they should stay")
    return Recommendation(middle, value, found.improvement, p, told)


def _best_trial(
    space: Mapping[str, SearchSpace], trials: Sequence[tuple[float, Mapping[str, Any]]], base_value: float
) -> Recommendation:
    value, params = min(trials, key=lambda trial: trial[0])
    improvement = 1.0 - value / base_value if base_value > 0 else math.nan
    if base_value <= value:
        return Recommendation({}, value, improvement, None, "no trial is better than the settings in force")
    return Recommendation(decoded(space, params), value, improvement, None, "the best trial; nothing can be paired")
