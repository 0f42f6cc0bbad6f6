"""Campaigns: proposals against Optuna's own, batches, limits, failures, interruptions."""

from __future__ import annotations

import math
import threading
import types
from pathlib import Path
from typing import Any, cast

import killed_campaigns
import numpy as np
import optuna
import pytest
from study_stubs import SPACE, bowl, campaign, interrupted, sequence
from waiting import PATIENCE_S

from uspnb.config.meta_optimization import MetaOptimizationConfig
from uspnb.config.schema import PredictorConfig
from uspnb.errors import DomainError
from uspnb.tuning.space import SearchSpace, structural_names
from uspnb.tuning.study import BayesianMetaOptimizer

FoldObjective = killed_campaigns.FoldObjective


def test_a_campaign_one_by_one_is_optunas_own_sampler_seeded_anew_for_every_trial(tmp_path: Path) -> None:
    optimizer = campaign(tmp_path, batch_size=1, n_trials=14)
    optimizer.optimize()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize")
    spaces = {name: one.distribution() for name, one in SPACE.items()}
    study.enqueue_trial(optimizer.rules.defaults)
    for number in range(14):
        seed = int(np.random.SeedSequence([optimizer.meta_config.seed, number]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=6, multivariate=True, seed=seed)
        trial = study.ask(spaces)
        study.tell(trial, bowl(trial.params))
    assert [trial.params for trial in optimizer.trials] == [trial.params for trial in study.trials]
    assert optimizer.best_value == study.best_value


def test_trial_0_is_the_base_configuration_and_a_batch_shares_its_structure(tmp_path: Path) -> None:
    base = PredictorConfig(cusum_k=0.31)
    meta = MetaOptimizationConfig(n_trials=30, batch_size=5, n_startup_trials=6, checkpoint_path=str(tmp_path))
    optimizer = BayesianMetaOptimizer(objective=FoldObjective(0.0), meta_config=meta, base_config=base, progress=False)
    result = optimizer.optimize()
    first = optimizer.trials[0]
    assert first.user_attrs["params"] == {name: getattr(base, name) for name in optimizer.search_space}
    assert result.default_objective == first.value
    names = structural_names(optimizer.search_space)
    assert names
    for batch in range(6):
        members = [trial for trial in optimizer.trials if trial.user_attrs["batch"] == batch]
        assert [trial.number for trial in members] == list(range(5 * batch, 5 * batch + 5))
        assert len({tuple(trial.params[name] for name in names) for trial in members}) == 1
        assert len({trial.params["cusum_k"] for trial in members}) == 5
    structures = {tuple(trial.params[name] for name in names) for trial in optimizer.trials}
    assert len(structures) > 2


def test_hopeless_candidates_are_pruned_as_optunas_median_rule_says(tmp_path: Path) -> None:
    meta = MetaOptimizationConfig(n_trials=30, batch_size=5, n_startup_trials=6, checkpoint_path=str(tmp_path))
    optimizer = BayesianMetaOptimizer(objective=FoldObjective(0.0), meta_config=meta, progress=False)
    result = optimizer.optimize()
    pruned = [trial for trial in optimizer.trials if trial.state.name == "PRUNED"]
    assert result.pruned == len(pruned) > 0
    for trial in optimizer.trials:
        earlier = [t for t in optimizer.trials if t.user_attrs["batch"] < trial.user_attrs["batch"]]
        complete = [t for t in earlier if t.state.name == "COMPLETE"]
        # after fold 1 (after fold 0 nobody is pruned), against the complete trials before the batch
        if trial.state.name == "FAIL":
            continue
        worse = len(complete) >= 6 and min(trial.intermediate_values.values()) > np.median(
            [t.intermediate_values[1] for t in complete]
        )
        assert (trial.state.name == "PRUNED") == (worse and trial.number > 0)
        assert sorted(trial.intermediate_values) == [0, 1]
        if worse:
            assert trial.value == trial.intermediate_values[1] and trial.user_attrs["folds"][2] == [None]


def test_going_on_in_calls_of_any_length_of_whole_batches_gives_the_same_campaign(tmp_path: Path) -> None:
    whole = campaign(tmp_path / "whole")
    whole.optimize()
    parts = campaign(tmp_path / "parts")
    assert parts.optimize(4).total_iterations == 4
    parts.optimize(12)
    again = campaign(tmp_path / "parts")
    assert again.optimize().total_iterations == 20
    assert sequence(again) == sequence(whole)
    before = (tmp_path / "parts" / "bowl.journal").stat().st_size
    assert again.optimize(15) == again.optimize(20).model_copy(
        update={"timestamp_utc": again.optimize(15).timestamp_utc}
    )
    assert (tmp_path / "parts" / "bowl.journal").stat().st_size == before


def test_what_goes_wrong_with_a_candidate_is_its_reason_and_the_campaign_goes_on(tmp_path: Path) -> None:
    wrong: dict[int, Any] = {1: math.nan, 2: math.inf, 3: "0.3", 4: np.ones(2), 5: [0.1], 6: None, 7: True}
    calls = []

    def objective(params: dict[str, Any]) -> Any:
        calls.append(params)
        if len(calls) == 9:
            raise ZeroDivisionError("a day without ticks")
        return wrong.get(len(calls) - 1, np.float32(0.25) if len(calls) == 11 else bowl(params))

    optimizer = campaign(tmp_path, objective)
    result = optimizer.optimize(12)
    states = [trial.state.name for trial in optimizer.trials]
    assert states == ["COMPLETE", *["FAIL"] * 8, "COMPLETE", "COMPLETE", "COMPLETE"]
    reasons = [trial.user_attrs.get("reason", "") for trial in optimizer.trials]
    words = [
        "",
        "nan",
        "inf",
        "'0.3' (str)",
        "shape (2,)",
        "[0.1] (list)",
        "None",
        "True (bool)",
        "ZeroDivisionError: a day",
    ]
    assert all(word in reason for word, reason in zip(words, reasons[:9], strict=True))
    assert result.failed == 8 and optimizer.trials[10].value == 0.25
    assert optimizer.results["reason"].values.tolist() == reasons


def test_a_campaign_without_a_complete_trial_says_so(tmp_path: Path) -> None:
    result = campaign(tmp_path, lambda params: math.nan).optimize(4)
    assert result.best_params == {} and math.isnan(result.best_objective) and result.failed == 4
    with pytest.raises(DomainError, match="no complete trial"):
        result.to_config()


def test_patience_ends_a_campaign_and_it_stays_ended(tmp_path: Path) -> None:
    optimizer = campaign(tmp_path, lambda params: 1.0)
    result = optimizer.optimize(40, early_stopping_patience=6)
    # trial 0 improves on nothing; six more make patience run out within the second batch, judged at its end
    assert result.early_stopped and result.total_iterations == 8
    assert optimizer.status().state == "finished" and "no improvement in 6 trials" in optimizer.status().reason
    assert campaign(tmp_path, lambda params: 1.0).optimize(40, early_stopping_patience=6).total_iterations == 8


def test_an_improvement_below_delta_counts_as_none(tmp_path: Path) -> None:
    falling = iter(1.0 - 0.01 * np.arange(100))
    result = campaign(tmp_path, lambda params: next(falling)).optimize(
        40, early_stopping_patience=7, early_stopping_delta=0.1
    )
    assert result.early_stopped and result.total_iterations == 8
    falling = iter(1.0 - 0.01 * np.arange(100))
    result = campaign(tmp_path / "b", lambda params: next(falling)).optimize(
        40, early_stopping_patience=12, early_stopping_delta=0.1
    )
    assert not result.early_stopped and result.total_iterations == 40
    assert result.convergence_delta == pytest.approx(0.12)


def test_time_and_stop_end_a_campaign_after_the_running_batch(tmp_path: Path) -> None:
    optimizer = campaign(tmp_path)
    assert optimizer.optimize(20, timeout_s=1e-9).total_iterations == 0
    assert "time limit" in optimizer.status().reason
    statuses = []

    def after(status: Any) -> None:
        statuses.append(status)
        if status.trials == 8:
            optimizer.stop()

    assert optimizer.optimize(20, after_batch=after).total_iterations == 8
    assert optimizer.status().state == "stopped"
    assert [(s.state, s.trials, s.batch, s.target) for s in statuses] == [("running", 4, 1, 20), ("running", 8, 2, 20)]
    assert optimizer.optimize(20).total_iterations == 20


def test_an_interrupt_leaves_a_study_that_goes_on_exactly(tmp_path: Path) -> None:
    whole = campaign(tmp_path / "whole")
    whole.optimize()
    optimizer = campaign(tmp_path / "cut", interrupted(10))
    with pytest.raises(KeyboardInterrupt):
        optimizer.optimize()
    status = optimizer.status()
    assert (status.state, status.reason, status.trials) == ("stopped", "interrupted", 8)
    optimizer.optimize()
    assert sequence(optimizer) == sequence(whole)


def test_a_campaign_that_runs_is_not_run_twice(tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    def waiting(params: dict[str, Any]) -> float:
        entered.set()
        leave.wait(PATIENCE_S)
        return bowl(params)

    optimizer = campaign(tmp_path, waiting)
    thread = threading.Thread(target=optimizer.optimize, args=(4,))
    thread.start()
    assert entered.wait(PATIENCE_S)
    with pytest.raises(DomainError, match="runs already"):
        optimizer.optimize(4)
    assert optimizer.status().state == "running"
    leave.set()
    thread.join()
    assert optimizer.status().trials == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_trials": 0}, "n_trials = 0 must be a whole number of at least 1"),
        ({"n_trials": -3}, "n_trials = -3"),
        ({"n_trials": True}, "n_trials = True"),
        ({"checkpoint_interval": 0}, "checkpoint_interval = 0"),
        ({"early_stopping_patience": 0}, "early_stopping_patience = 0"),
        ({"early_stopping_delta": -0.1}, "early_stopping_delta = -0.1"),
        ({"timeout_s": math.nan}, "timeout_s = nan"),
    ],
)
def test_limits_that_are_none_are_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DomainError, match=message):
        campaign(tmp_path).optimize(**arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tier": "medium"}, "tier 'medium' is not one of fast, deep"),
        ({"objective": "mse"}, "metric 'mse' is not one of"),
        ({"objective": "mase"}, "needs a series"),
        ({"objective": 3.0}, "neither the name of a metric"),
        ({"objective": bowl, "series": [1.0]}, "brings its own data"),
        ({"objective": types.SimpleNamespace(evaluate=bowl, metric="m", n_folds=1)}, "no fingerprint, series_names"),
        ({"study_name": "a/b", "objective": bowl}, "must be 1 to 100 letters"),
        ({"study_name": "", "objective": bowl}, "must be 1 to 100 letters"),
        ({"search_space": {}, "objective": bowl}, "holds no parameter"),
        ({"search_space": {"seed": SearchSpace("seed", "int", (1, 2), locked=True)}, "objective": bowl}, "locked"),
        ({"search_space": {"k": SearchSpace("k", "float", (0.0, 1.0))}, "objective": FoldObjective()}, "unknown"),
        ({"max_iterations": 0, "objective": bowl}, "n_trials = 0"),
        ({"tier": "deep", "max_iterations": 501, "objective": bowl}, "max_deep_tuning_iterations = 500"),
    ],
)
def test_campaigns_that_cannot_be_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DomainError, match=message):
        BayesianMetaOptimizer(**cast(Any, {"objective": None} | arguments))


def test_tiers_and_trials_are_those_of_the_seeds() -> None:
    assert BayesianMetaOptimizer(bowl).status().target == 50
    deep = BayesianMetaOptimizer(bowl, tier="deep")
    assert deep.status().target == 500 and len(deep.search_space) >= 23
    meta = MetaOptimizationConfig(enable_deep_tuning=True, n_trials=80)
    assert BayesianMetaOptimizer(bowl, meta_config=meta).tier == "deep"


def test_the_study_is_optunas_and_reading_it_does_not_hold_the_campaign_up(tmp_path: Path) -> None:
    optimizer = campaign(tmp_path)
    counts: list[int] = []
    optimizer.optimize(8, after_batch=lambda status: counts.append(len(optimizer.study.trials)))
    assert counts == [4, 8]
    assert isinstance(optimizer.study, optuna.Study) and optimizer.study.best_value == optimizer.best_value
    assert optimizer.study.best_params == optimizer.best_params


def test_checkpoints_lie_beside_a_journal_that_was_named(tmp_path: Path) -> None:
    optimizer = BayesianMetaOptimizer(
        {"x": SearchSpace("x", "float", (-1.0, 1.0))},
        lambda params: params["x"] ** 2,
        study_name="named",
        storage=tmp_path / "named.journal",
        progress=False,
    )
    optimizer.optimize(10, 5)
    assert (tmp_path / "named_best.json").is_file()
