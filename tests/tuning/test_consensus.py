"""The middle of the best trials, and when it is recommended."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.tuning.consensus import consensus, judge
from uspnb.tuning.objective import Comparison, WalkForwardObjective
from uspnb.tuning.space import SearchSpace, default_params, fast_space

SPACE = {
    "cusum_k": SearchSpace("cusum_k", "float", (0.1, 1.0)),
    "sde_dt": SearchSpace("sde_dt", "log_uniform", (0.001, 0.1)),
    "log_sig_depth": SearchSpace("log_sig_depth", "int", (2, 5)),
}
BASE = default_params(SPACE, PredictorConfig())


class Judge:
    """An objective whose paired test says what a test wants."""

    def __init__(self, improvement: float, p_value: float) -> None:
        self.told = Comparison(-1.0, p_value, improvement, 0.5)

    def compare_many(self, candidates: Any, base: Any) -> list[Comparison]:
        assert base == BASE
        return [self.told for _ in candidates]


def trial(value: float, k: float, dt: float, depth: int) -> tuple[float, dict[str, Any]]:
    return value, {"cusum_k": k, "sde_dt": dt, "log_sig_depth": depth}


def test_means_are_taken_on_the_samplers_scale_within_the_commonest_structure() -> None:
    best = [trial(1.0, 0.2, 0.001, 4), trial(1.1, 0.4, 0.01, 4), trial(1.2, 0.6, 0.1, 4), trial(1.3, 0.9, 0.1, 2)]
    rest = [trial(9.0 + i, 1.0, 0.05, 5) for i in range(40)]
    middle = consensus(SPACE, [*rest, *best, trial(1.4, 0.8, 0.1, 2)])
    assert middle == {"cusum_k": pytest.approx(0.4), "sde_dt": pytest.approx(0.01), "log_sig_depth": 4}


def test_it_lies_nearer_to_the_optimum_than_the_luckiest_trial() -> None:
    # f = |x - x0|^2 over six parameters, measured with noise that dwarfs the differences near the optimum
    rng, space = np.random.default_rng(2), {n: SearchSpace(n, "float", (0.0, 1.0)) for n in "abcdef"}
    gains = []
    for _ in range(40):
        points = rng.uniform(size=(200, 6))
        true = ((points - 0.6) ** 2).sum(axis=1)
        trials = [
            (float(v), dict(zip("abcdef", map(float, x), strict=True)))
            for v, x in zip(true + 0.2 * rng.normal(size=200), points, strict=True)
        ]
        middle = np.array(list(consensus(space, trials).values()))
        luckiest = np.array(list(min(trials, key=lambda t: t[0])[1].values()))
        gains.append(((luckiest - 0.6) ** 2).sum() - ((middle - 0.6) ** 2).sum())
    assert np.mean(np.array(gains) > 0) > 0.9


def test_the_fast_tier_gives_a_valid_configuration() -> None:
    space = fast_space()
    rng = np.random.default_rng(0)
    trials = [
        (float(rng.normal()), {n: s.nearest(float(rng.uniform(s.low, s.high))) for n, s in space.items()})
        for _ in range(30)
    ]
    PredictorConfig(**consensus(space, trials))


@pytest.mark.parametrize(
    ("improvement", "p_value", "applied"),
    [(0.02, 0.005, True), (0.02, 0.02, False), (-0.01, 0.9, False), (0.02, math.nan, True)],
)
def test_recommended_only_where_it_is_more_than_chance(improvement: float, p_value: float, applied: bool) -> None:
    trials = [trial(1.0, 0.2, 0.01, 3)]
    of_best, recommendation = judge(SPACE, trials, BASE, 2.0, Judge(improvement, p_value))
    assert bool(recommendation.params) is applied
    assert (recommendation.improvement, recommendation.objective) == (improvement, 0.5)
    assert ("should stay" in recommendation.reason) is not applied
    assert (recommendation.p_value is None) is (of_best is None) is math.isnan(p_value)


def test_nothing_is_recommended_without_a_trial_or_a_difference() -> None:
    assert judge(SPACE, [], BASE, math.nan, Judge(1.0, 0.0))[1].params == {}
    recommendation = judge(SPACE, [(1.0, BASE)], BASE, 1.0, Judge(1.0, 0.0))[1]
    assert (recommendation.params, recommendation.improvement) == ({}, 0.0)


def test_of_a_users_own_function_the_best_trial_is_recommended() -> None:
    trials = [trial(1.0, 0.2, 0.01, 3), trial(0.5, 0.3, 0.02, 3)]
    p_value, recommendation = judge(SPACE, trials, BASE, 2.0, lambda params: 0.0)
    assert (p_value, recommendation.params, recommendation.improvement) == (None, trials[1][1], 0.75)
    assert judge(SPACE, trials, BASE, 0.4, lambda params: 0.0)[1].params == {}


def test_where_the_settings_in_force_have_no_value_the_best_trial_is_recommended() -> None:
    recommendation = judge(SPACE, [trial(1.0, 0.2, 0.01, 3)], BASE, math.nan, Judge(1.0, 0.0))[1]
    assert recommendation.params["cusum_k"] == 0.2 and math.isnan(recommendation.improvement)


def test_against_the_objective_itself(objective: WalkForwardObjective) -> None:
    worse = {"hilbert_forgetting": 0.91}
    space = {"hilbert_forgetting": SearchSpace("hilbert_forgetting", "float", (0.9, 1.0))}
    base = default_params(space, PredictorConfig())
    p_value, recommendation = judge(space, [(objective(worse), worse)], base, objective(base), objective)
    assert recommendation.params == {} and "should stay" in recommendation.reason
    assert recommendation.objective == objective(worse)
    assert p_value == objective.compare(worse, base).p_value
