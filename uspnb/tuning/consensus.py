"""What to apply after a campaign: the middle of its best trials, and only where it is better than chance.

The best of many trials is best partly by luck on the ticks that it was judged by, and such luck does not last.  Single
trials scatter around the region that is good; the middle of the best tenth lies in it.
`python benchmarks/tuning.py --stages pays` shows both on ticks that no campaign had seen; which of them does better
differs from series to series.  What protects where nothing can be won is the paired test.
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
# Strict, because the test is made on the folds that the trials were picked by.
SIGNIFICANCE = 0.01


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


def judge(
    space: Mapping[str, SearchSpace],
    trials: Sequence[tuple[float, Mapping[str, Any]]],
    base: Mapping[str, Any],
    base_value: float,
    objective: Any,
) -> tuple[float | None, Recommendation]:
    """What a campaign comes to: whether its best trial beats the base settings, and what should be applied.

    That is the consensus where it beats the base settings on the folds by more than chance, else the base.  A user's
    own function may be costly and has no paired test: its best trial is recommended where it is better.

    Args:
        space: the search space.
        trials: value and parameters of every complete trial, in the order of their numbers.
        base: the base settings of the space's parameters.
        base_value: their value, NaN where unknown.
        objective: what the campaign minimised.

    Returns:
        The p-value of a paired, one-sided test of the best trial against the base settings, None where there is none;
        and the recommendation.
    """
    if not trials:
        return None, Recommendation({}, math.nan, math.nan, None, "no trial is complete")
    _, best = min(trials, key=lambda trial: trial[0])
    if not hasattr(objective, "compare_many"):
        return None, _best_trial(space, trials, base_value, "nothing can be paired")
    if not math.isfinite(base_value):
        return None, _best_trial(space, trials, base_value, "the settings in force have no value on these ticks")
    middle = consensus(space, trials)
    of_best, of_middle = objective.compare_many([best, middle], base)
    return _nan_as_none(of_best.p_value), _recommended(middle, dict(base), of_middle)


def _recommended(middle: dict[str, Any], base: dict[str, Any], comparison: Comparison) -> Recommendation:
    p = _nan_as_none(comparison.p_value)
    if middle == base:
        return Recommendation({}, comparison.value, 0.0, p, "the best trials are the settings in force")
    gain = f"{comparison.improvement:+.2%} better on the folds"
    sentence = f"the middle of the best trials is {gain} than the settings in force"
    sentence += "" if p is None else f" (p = {p:.2g})"
    if comparison.improvement <= 0 or (p is not None and p > SIGNIFICANCE):
        return Recommendation({}, comparison.value, comparison.improvement, p, f"{sentence}: they should stay")
    return Recommendation(middle, comparison.value, comparison.improvement, p, sentence)


def _best_trial(
    space: Mapping[str, SearchSpace], trials: Sequence[tuple[float, Mapping[str, Any]]], base_value: float, why: str
) -> Recommendation:
    value, params = min(trials, key=lambda trial: trial[0])
    improvement = 1.0 - value / base_value if base_value > 0 else math.nan
    if base_value <= value:
        return Recommendation({}, value, improvement, None, "no trial is better than the settings in force")
    return Recommendation(decoded(space, params), value, improvement, None, f"the best trial: {why}")


def _nan_as_none(p_value: float) -> float | None:
    return None if math.isnan(p_value) else p_value
