"""The trials of a campaign as rows, as frames and as words."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from stand_ins import campaign_status

from uspnb.widgets.tuning_trials import (
    FACTS,
    HEADER_LENGTH,
    TrialFrames,
    board_words,
    count_common,
    status_words,
    trial_rows,
    verdict_words,
)


def results(trials: int = 6) -> xr.Dataset:
    """A campaign with a parameter of words, a failure and a pruned trial."""
    value = np.array([0.9, 0.8, math.nan, 0.85, 0.7, 0.95])[:trials]
    state = np.array(["complete", "complete", "failed", "pruned", "complete", "complete"], dtype=object)[:trials]
    words = np.array(["plain", "rich", "rich", "", "plain", "rich"], dtype=object)[:trials]
    columns = {
        "value": value,
        "best_value": np.fmin.accumulate(np.where(state == "complete", value, np.nan)),
        "state": state,
        "batch": np.arange(trials) // 2,
        "seconds": np.full(trials, 0.5),
        "reason": np.where(state == "failed", "the losses are <not finite>", "").astype(object),
        "param_cusum_k": np.linspace(0.5, 0.9, trials),
        "param_kind": words,
    }
    each = {"importance": np.array([0.75, np.nan]), "default": np.array([0.5, np.nan])}
    return xr.Dataset(
        {name: ("trial", column) for name, column in columns.items()}
        | {name: ("parameter", column) for name, column in each.items()},
        {"trial": np.arange(trials), "parameter": ["cusum_k", "kind"]},
        {"study_name": "s", "tier": "fast", "metric": "mase", "importance_evaluator": "PED-ANOVA", "default_trial": 0},
    )


def test_rows_carry_words_states_and_numbers():
    rows, parameters = trial_rows(results())
    assert parameters == [
        {"name": "cusum_k", "default": 0.5},
        {"name": "kind", "default": "plain", "levels": ["plain", "rich"]},
    ]
    assert rows.shape == (6, len(FACTS) + 2)
    np.testing.assert_array_equal(rows[:, FACTS.index("state")], [1, 1, 3, 2, 1, 1])
    np.testing.assert_array_equal(rows[:, -1], [0, 1, 1, np.nan, 0, 1])
    np.testing.assert_array_equal(rows[:, FACTS.index("best")], [0.9, 0.8, 0.8, 0.8, 0.7, 0.7])


def test_only_what_changed_is_sent():
    trials = TrialFrames()
    rows, _ = trial_rows(results())

    def sent(now: np.ndarray, reset: bool = False) -> tuple[float, ...] | None:
        trials.put(now)
        frame = trials.next_frame(1, reset)
        return None if frame is None else tuple(np.frombuffer(frame)[1:4])

    assert trials.next_frame(1, True) is None  # nothing was read yet
    assert sent(rows[:2], reset=True) == (1, 0, 2)
    assert sent(rows[:2]) is None and sent(rows[:2].copy()) is None
    assert sent(rows[:4]) == (0, 2, 2)
    trials.put(rows)
    frame = np.frombuffer(trials.next_frame(7, False))
    assert frame[0] == 7 and tuple(frame[1:4]) == (0, 4, 2)
    np.testing.assert_array_equal(frame[HEADER_LENGTH:].reshape(2, -1), rows[4:])
    changed = rows.copy()
    changed[3, 1] = 1  # a trial that was running has ended
    assert sent(changed) == (0, 3, 3)
    assert sent(changed, reset=True) == (1, 0, 6)
    assert count_common(rows, rows[:0]) == 0 and count_common(rows, rows) == 6


def test_the_words_name_importance_best_and_failures():
    ds = results()
    board = board_words(ds, trial_rows(ds)[1], campaign_status())
    assert board["importance"]["evaluator"] == "PED-ANOVA"
    assert [(bar["name"], bar["share"]) for bar in board["importance"]["bars"]] == [("cusum_k", 0.75)]
    first, second = board["best"]["rows"]
    assert first["change"] == pytest.approx(0.64) and first["meaning"] and second["change"] is None
    assert "22.2 % better" in board["best"]["sentence"] and board["best"]["better"]
    assert board["failures"] == {"total": 1, "rows": [{"number": 2, "reason": "the losses are <not finite>"}]}
    worse = board_words(ds, trial_rows(ds)[1], campaign_status(best_value=0.9, best_params={"cusum_k": 0.5}))
    assert not worse["best"]["better"] and "is the best so far" in worse["best"]["sentence"]
    none = status_words(campaign_status(best_value=math.nan, default_value=math.nan, best_params={}))
    assert none["best_value"] is None and none["improvement"] is None  # JSON has no NaN


def test_a_recommendation_that_is_not_the_best_trial_is_told_apart():
    same = SimpleNamespace(recommendation="the best trial", recommended_params={"x": 1.0}, best_params={"x": 1.0})
    assert verdict_words(same) == {"recommendation": "the best trial", "recommended": {}}
    other = SimpleNamespace(recommendation="the middle", recommended_params={"x": 0.9}, best_params={"x": 1.0})
    assert verdict_words(other)["recommended"] == {"x": 0.9}
    none = SimpleNamespace(recommendation="they should stay", recommended_params={}, best_params={"x": 1.0})
    assert verdict_words(none)["recommended"] == {}
