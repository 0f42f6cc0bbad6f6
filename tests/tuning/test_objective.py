"""The objective against `backtest`, its causality with a planted leak, its many ways to say no."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

import uspnb
from uspnb.errors import DomainError
from uspnb.model.programs import trace_count
from uspnb.predictor.scores import diebold_mariano, interval_score
from uspnb.tuning.evaluation import CPU_LANES, Lane, LaneRunner, structure_of
from uspnb.tuning.objective import WalkForwardObjective

SETTINGS: list[dict[str, Any]] = [{}, {"hilbert_forgetting": 0.99}, {"score_forgetting": 0.95, "cusum_k": 0.3}]


def test_values_are_those_of_a_backtest(values: np.ndarray, objective: WalkForwardObjective) -> None:
    evaluations = objective.evaluate(SETTINGS)
    for params, evaluation in zip(SETTINGS, evaluations, strict=True):
        ds = uspnb.backtest(values, dataclasses.replace(uspnb.PredictorConfig(), **params))
        error = np.abs(ds["residual"].values)
        for k, fold in enumerate(objective.folds[0]):
            unit = np.abs(np.diff(values[fold.train])).mean()
            # another program of the same step: vectorised over lanes it may round otherwise
            assert evaluation.folds[k, 0] == pytest.approx(error[fold.test].mean() / unit, rel=1e-7)
        assert evaluation.value == pytest.approx(evaluation.folds.mean(), rel=1e-12)
        assert (evaluation.reason, evaluation.pruned) == ("", False)


def test_limited_memory_begins_each_fold_anew(values: np.ndarray) -> None:
    limited = WalkForwardObjective(values, n_folds=3, max_memory=100)
    evaluation = limited.evaluate([SETTINGS[1]])[0]
    config = dataclasses.replace(uspnb.PredictorConfig(), **SETTINGS[1])
    for k, fold in enumerate(limited.folds[0]):
        ds = uspnb.backtest(values[fold.train.start : fold.test.stop], config)
        unit = np.abs(np.diff(values[fold.train])).mean()
        error = np.abs(ds["residual"].values[100:]).mean() / unit
        assert evaluation.folds[k, 0] == pytest.approx(error, rel=1e-7)
    # side by side or one after another: the same
    assert limited.evaluate([SETTINGS[1]], keep=lambda fold, running: running < np.inf)[0].value == evaluation.value


@pytest.mark.parametrize("max_memory", [None, 100])
@pytest.mark.parametrize("metric", ["mase", "interval_score"])
def test_a_horizon_is_scored_as_a_backtest_forecasts_it(
    values: np.ndarray, metric: str, max_memory: int | None
) -> None:
    config, ahead = uspnb.PredictorConfig(horizons=(1, 6)), 6
    objective = WalkForwardObjective(values, metric, n_folds=2, base_config=config, ahead=ahead, max_memory=max_memory)
    evaluation = objective.evaluate([SETTINGS[1]])[0]
    for k, fold in enumerate(objective.folds[0]):
        ds = uspnb.backtest(values[fold.train.start : fold.test.stop], dataclasses.replace(config, **SETTINGS[1]))
        y, test = values[fold.test], slice(-(fold.test.stop - fold.test.start) - ahead, -ahead)
        said = [ds[f"horizon_{n}"].values[test, 1] for n in ("prediction", "lower", "upper")]
        unit = np.abs(np.diff(values[fold.train])).mean()
        losses = np.abs(y - said[0]) / unit if metric == "mase" else interval_score(y, said[1], said[2], 0.95)
        assert evaluation.folds[k, 0] == pytest.approx(losses.mean(), rel=1e-7)
    # side by side or one after another, and gone on with elsewhere: the same
    assert objective.evaluate([SETTINGS[1]], keep=lambda fold, running: running < np.inf)[0].value == evaluation.value
    first = objective.walk([SETTINGS[1]])
    first.advance([0])
    second = objective.walk([SETTINGS[1]])
    second.resume(pickle.loads(pickle.dumps(first.parts(0.0))))
    second.advance([1])
    assert second.evaluations(0.0)[0].value == evaluation.value


def test_rows_that_are_not_there_put_no_forecast_at_another_tick(values: np.ndarray) -> None:
    config, index = uspnb.PredictorConfig(horizons=(1, 6)), pd.date_range("2026-01-01", periods=400, freq="1h")
    kept = np.delete(np.arange(400), [350, 351])
    objective = WalkForwardObjective(
        pd.Series(values, index).iloc[kept], n_folds=1, base_config=config, ahead=6, train_ratio=0.5
    )
    losses = objective.losses({})
    missed = np.isnan(losses)
    # the first six after the hole have no row six places before, or another one there
    test = kept[objective.folds[0][0].test]
    np.testing.assert_array_equal(missed, ~np.isin(test - 6, kept) | ((test > 351) & (test <= 357)))


def test_one_compilation_serves_candidates_folds_and_neighbours(values: np.ndarray) -> None:
    objective = WalkForwardObjective(values, n_folds=3)
    alone = objective.evaluate([SETTINGS[2]])[0].value
    before = trace_count("candidates")
    many = [{"cusum_k": 0.1 + 0.01 * k} for k in range(CPU_LANES + 2)]
    evaluations = objective.evaluate([*many, SETTINGS[2]])
    # a candidate's value does not depend on who runs beside it, to the bit
    assert evaluations[-1].value == alone
    # what only the simulation of paths reads needs no program of its own
    assert objective.evaluate([{"sde_numel_integrations": 77}])[0].value == objective.evaluate([{}])[0].value
    assert trace_count("candidates") == before
    assert structure_of(uspnb.PredictorConfig(sde_numel_integrations=77)) == structure_of(uspnb.PredictorConfig())


def test_several_series_of_different_length(values: np.ndarray) -> None:
    both = WalkForwardObjective({"a": values, "b": 1000 * values[:350]}, n_folds=2, metric="rmse")
    evaluation = both.evaluate([{}])[0]
    single = [WalkForwardObjective(one, n_folds=2, metric="rmse") for one in (values, 1000 * values[:350])]
    for s, own in enumerate(single):
        expected = own.evaluate([{}])[0].folds[:, 0]
        units = own._task.tuned[0].units
        assert evaluation.folds[:, s] == pytest.approx(expected / units, rel=1e-9)
    assert both.series_names == ("a", "b")
    assert both.ticks == 750


# --- causality


def future_changed(values: np.ndarray, start: int) -> np.ndarray:
    changed = values.copy()
    changed[start:] = changed[start:][::-1] + 3.0
    return changed


def leaks(make: Any, values: np.ndarray) -> list[int]:
    """The folds whose value changes with ticks that come after them."""
    before = make(values).evaluate([{}])[0].folds[:, 0]
    leaking = []
    for k, fold in enumerate(make(values).folds[0][:-1]):
        after = make(future_changed(values, fold.test.stop)).evaluate([{}])[0].folds[:, 0]
        if not np.array_equal(before[: k + 1], after[: k + 1]):
            leaking.append(k)
    return leaking


def test_no_fold_sees_what_comes_after_it(values: np.ndarray) -> None:
    assert leaks(lambda y: WalkForwardObjective(y, n_folds=3), values) == []


def test_a_planted_leak_is_caught(values: np.ndarray) -> None:
    def standardised_by_the_whole(y: np.ndarray) -> WalkForwardObjective:
        # the classic leak: a level and a scale that know the future
        return WalkForwardObjective((y - y.mean()) / y.std(), n_folds=3, metric="rmse")

    assert leaks(standardised_by_the_whole, values) == [0, 1]


# --- pruning, failing


def test_pruned_candidates_stop_and_keep_what_they_have(objective: WalkForwardObjective) -> None:
    questions = []

    def keep(fold: int, running: np.ndarray) -> np.ndarray:
        questions.append((fold, running.copy()))
        return np.array([True, fold > 0, False])

    evaluations = objective.evaluate(SETTINGS, keep=keep)
    whole = objective.evaluate(SETTINGS)
    assert [e.pruned for e in evaluations] == [False, True, True]
    assert [np.isfinite(e.folds).sum() for e in evaluations] == [3, 1, 1]
    assert evaluations[0].value == whole[0].value
    assert evaluations[1].value == whole[1].folds[0, 0] == questions[0][1][1]
    assert len(questions) == 2  # there is nothing to save after the last fold
    assert np.isnan(questions[1][1][1:]).all()


def test_a_bad_candidate_is_a_reason_not_an_exception(objective: WalkForwardObjective) -> None:
    evaluations = objective.evaluate([{"cusum_k": 99.0}, {}, {"no_such_field": 1.0}, {"stiffness_low": 2000.0}])
    assert "cusum_k = 99.0 is outside its range" in evaluations[0].reason
    assert "no_such_field" in evaluations[2].reason
    assert "must be below" in evaluations[3].reason
    assert evaluations[1].reason == "" and np.isfinite(evaluations[1].value)
    assert all(np.isnan(evaluations[k].value) for k in (0, 2, 3))
    with pytest.raises(DomainError, match="outside its range"):
        objective({"cusum_k": 99.0})


def test_missing_ticks_are_left_out(values: np.ndarray) -> None:
    holes = values.copy()
    holes[::9] = np.nan
    evaluation = WalkForwardObjective(holes, n_folds=3).evaluate([{}])[0]
    assert evaluation.reason == "" and np.isfinite(evaluation.folds).all()


def test_comparison_is_a_paired_test(objective: WalkForwardObjective) -> None:
    first, second = SETTINGS[1], SETTINGS[0]
    comparison = objective.compare(first, second)
    expected = diebold_mariano(objective.losses(first), objective.losses(second))
    assert comparison.statistic == pytest.approx(expected.statistic)
    half = expected.p_value / 2
    assert comparison.p_value == pytest.approx(half if expected.statistic < 0 else 1 - half)
    assert comparison.improvement == pytest.approx(1 - objective(first) / objective(second))
    assert objective.compare(second, first).p_value == pytest.approx(1 - comparison.p_value)
    same = objective.compare(first, first)
    assert np.isnan(same.p_value) and same.improvement == 0.0


def test_alarm_delay_sees_a_labelled_change() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=700)
    y[500:] += 4.0
    objective = WalkForwardObjective(y, "alarm_delay", n_folds=2, changes=[500], false_alarm_rate=0.01, horizon=80)
    evaluation = objective.evaluate([{}])[0]
    fold = next(k for k, f in enumerate(objective.folds[0]) if f.test.start <= 500 < f.test.stop)
    assert 0 <= evaluation.folds[fold, 0] < 40
    assert np.isnan(np.delete(evaluation.folds[:, 0], fold)).all()
    with pytest.raises(DomainError, match="nothing can be paired"):
        objective.losses({})
    assert np.isnan(objective.compare({}, {}).p_value)


def test_the_fingerprint_knows_all_that_matters(values: np.ndarray) -> None:
    base = WalkForwardObjective(values, n_folds=3).fingerprint
    assert WalkForwardObjective(list(values), n_folds=3).fingerprint == base
    others = [
        WalkForwardObjective(values + 1e-12, n_folds=3),
        WalkForwardObjective(values, n_folds=2),
        WalkForwardObjective(values, "rmse", n_folds=3),
        WalkForwardObjective(values, n_folds=3, max_memory=64),
        WalkForwardObjective(values, n_folds=3, base_config=uspnb.PredictorConfig(cusum_k=0.4)),
        WalkForwardObjective(values, n_folds=3, ahead=4),
    ]
    assert len({base, *(one.fingerprint for one in others)}) == 1 + len(others)


@pytest.mark.parametrize(
    ("data", "rest", "message"),
    [
        (np.arange(50.0), {}, "too short"),
        (np.ones(400), {}, "hold no change"),
        (np.full(400, np.nan), {}, "hold no change"),
        ({}, {}, "empty"),
        ([np.ones((400, 2)), np.arange(400.0)], {}, r"of shape \(time,\)"),
        (None, {"metric": "accuracy"}, "'accuracy' is not one of"),
        (None, {"metric": "mape", "shift": -20.0}, "divides by the observation"),
        (None, {"metric": "alarm_delay"}, "needs `changes`"),
        (None, {"metric": "alarm_delay", "changes": [400]}, "labelled change = 400 must be a whole number from 0 to"),
        (None, {"metric": "alarm_delay", "changes": [1.5]}, "labelled change = 1.5 must be a whole number"),
        (None, {"metric": "alarm_delay", "changes": [3]}, "no labelled change lies in a test"),
        (None, {"metric": "alarm_delay", "changes": [[300], [300]]}, "2 lists"),
        (None, {"false_alarm_rate": 0.0}, "false_alarm_rate"),
        (None, {"horizon": 0}, "horizon"),
        (None, {"ahead": 0}, "ahead = 0 must be a whole number"),
        (None, {"ahead": 3}, "ahead = 3 is none of the configuration's horizons, 1, 2, 4"),
        (None, {"ahead": 4, "metric": "alarm_delay", "changes": [300]}, "alarm_delay is measured on alarms"),
        (
            None,
            {"ahead": 70, "max_memory": 64, "base_config": uspnb.PredictorConfig(horizons=(1, 70))},
            "ahead = 70 must be less than the ticks a fold is trained on, 64",
        ),
    ],
)
def test_what_cannot_be_tuned_on_is_refused(values: np.ndarray, data: Any, rest: dict, message: str) -> None:
    shift = rest.pop("shift", 0.0)
    with pytest.raises(DomainError, match=message):
        WalkForwardObjective(values + shift if data is None else data, **{"n_folds": 3, **rest})


def test_lanes_of_one_call_have_a_length(values: np.ndarray) -> None:
    runner = LaneRunner([uspnb.data.series.read_series(values)], uspnb.PredictorConfig())
    lanes = [Lane(0, 0, 0, 90), Lane(1, 0, 10, 100), Lane(0, 0, 0, 30)]
    rows = runner.run(runner.configs([{}, {"cusum_k": 0.2}]), lanes)
    assert {lane: len(own) for lane, own in rows.items()} == {lane: lane.stop - lane.start for lane in lanes}
    assert np.array_equal(rows[lanes[0]][:30], rows[lanes[2]], equal_nan=True)
