"""Candidates on a cluster of two processes, against the same candidates evaluated here."""

from __future__ import annotations

import importlib
import math
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client
from own_kernel import SMALL, Mean, registered
from study_stubs import bowl, campaign, sequence
from waiting import until

import uspnb
from uspnb.config.schema import PredictorConfig
from uspnb.errors import DomainError, UspnbError
from uspnb.runtime.cluster import Outcome
from uspnb.tuning import fanout
from uspnb.tuning.evaluation import Walk
from uspnb.tuning.fanout import FannedOut, share_size
from uspnb.tuning.objective import CallableObjective, Evaluation, WalkForwardObjective
from uspnb.tuning.space import SearchSpace

CANDIDATES = [{"volatility_alpha": alpha, "cusum_k": 4 * alpha} for alpha in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)]


def same(evaluations: Sequence[Evaluation], expected: Sequence[Evaluation]) -> bool:
    """Equal but for the time that it took, to the last bit."""
    return [plain(one) for one in evaluations] == [plain(one) for one in expected]


def plain(one: Evaluation) -> tuple[Any, ...]:
    return repr(one.value), one.folds.tobytes(), one.folds.shape, one.reason, one.pruned


def dying(folder: Path, number: int) -> Callable[[dict[str, Any]], float]:
    """`bowl` that counts its calls in files, and of which the first call with a certain n kills its process."""
    lowest = bowl

    def objective(params: dict[str, Any]) -> float:
        name = f"{params['x']!r}-{params['n']}"
        before = len(list(folder.glob(f"{name}-*")))
        (folder / f"{name}-{before}").touch()
        if params["n"] == number and len(list(folder.glob(f"*-{number}-*"))) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return lowest(params)

    return objective


def half(fold: int, running: np.ndarray) -> np.ndarray:
    """Keeps the better half; NaN is no better than anything."""
    return running <= np.nanmedian(running)


@pytest.mark.parametrize(
    ("settings", "keep"),
    [({}, half), ({"metric": "alarm_delay", "changes": [200, 260, 340]}, half), ({"max_memory": 120}, None)],
    ids=["pruned", "looking back", "side by side"],
)
def test_values_and_pruning_are_those_of_a_run_without_a_cluster(
    two_workers: Client, values: np.ndarray, settings: dict[str, Any], keep: Any
) -> None:
    objective = WalkForwardObjective(values, n_folds=3, **settings)
    candidates = [*CANDIDATES, {"volatility_alpha": -1.0}, {"no_such_setting": 1}, {}, {"cusum_k": 0.3}]
    questions: dict[str, list[tuple[int, str]]] = {"here": [], "there": []}

    def noted(where: str) -> Any:
        def ask(fold: int, running: np.ndarray) -> np.ndarray:
            questions[where].append((fold, repr(running.tolist())))
            return keep(fold, running)

        return None if keep is None else ask

    here = objective.evaluate(candidates, keep=noted("here"))
    there = FannedOut(objective, two_workers).evaluate(candidates, keep=noted("there"))
    assert same(there, here)
    assert questions["there"] == questions["here"]
    assert len({one.value for one in here[:6]}) > 1  # else equality would show nothing
    assert any(one.pruned for one in here) is (keep is not None) and sum(bool(one.reason) for one in here) >= 2
    assert all(one.seconds > 0 for one in there)


def test_a_campaign_is_the_same_with_and_without_a_cluster(
    two_workers: Client, objective: WalkForwardObjective, tmp_path: Path
) -> None:
    # Of the ridges some are far worse than others, and are pruned.
    space = {"hilbert_filter_ridge": SearchSpace("hilbert_filter_ridge", "log_uniform", (1e-6, 10.0))}
    sequences, results = [], []
    for place, client in (("here", None), ("there", two_workers)):
        optimizer = campaign(tmp_path / place, objective, space, batch_size=4, n_startup_trials=2)
        results.append(optimizer.optimize(10, client=client))
        reports = [(trial.intermediate_values, trial.user_attrs["folds"]) for trial in optimizer.trials]
        sequences.append((sequence(optimizer), reports))
    assert sequences[0] == sequences[1]
    assert {state for _, state, *_ in sequences[0][0]} == {"COMPLETE", "PRUNED"}
    free = {"seconds", "timestamp_utc"}
    assert results[0].model_dump(exclude=free) == results[1].model_dump(exclude=free)


def test_what_a_function_does_wrong_is_told_as_it_is_here(two_workers: Client) -> None:
    def odd(params: dict[str, Any]) -> Any:
        return {"raises": lambda: 1 / 0, "nan": lambda: math.nan, "text": lambda: "low", "fine": lambda: 1.5}[
            params["how"]
        ]()

    candidates = [{"how": how} for how in ("raises", "nan", "text", "fine")]
    objective = CallableObjective(odd)
    there = FannedOut(objective, two_workers).evaluate(candidates)
    assert same(there, objective.evaluate(candidates))
    assert there[0].reason == "ZeroDivisionError: division by zero" and there[3].value == 1.5


def test_one_candidate_that_breaks_its_share_fails_alone(two_workers: Client, objective: WalkForwardObjective) -> None:
    class Fragile(WalkForwardObjective):
        def walk(self, candidates: Sequence[Any]) -> Walk:
            if CANDIDATES[3] in candidates:
                raise MemoryError("no room")
            return super().walk(candidates)

    fragile = object.__new__(Fragile)
    vars(fragile).update(vars(objective))
    there = FannedOut(fragile, two_workers).evaluate(CANDIDATES, keep=lambda fold, running: running < np.inf)
    assert [one.reason for one in there] == ["", "", "", "MemoryError: no room", "", ""]
    rest = [0, 1, 2, 4, 5]
    assert same([there[k] for k in rest], objective.evaluate([CANDIDATES[k] for k in rest]))


def test_what_is_killed_beside_others_is_tried_alone_and_what_is_killed_alone_has_failed(
    two_workers: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = CallableObjective(bowl)
    candidates = [{"x": float(n), "n": n, "kind": "b", "rate": 0.01} for n in range(4)]
    alone_with: list[Any] = []

    def died(*call: Any, **settings: Any) -> list[Outcome]:
        return [
            *run(*call, **settings)[:2],
            Outcome(None, "4 workers died", True),
            Outcome(None, "4 workers died", True),
        ]

    def again(client: Client, work: Any, arguments: tuple[Any, ...]) -> Outcome:
        alone_with.append(arguments[2].candidates)
        if candidates[3] in arguments[2].candidates:
            return Outcome(None, "4 workers died", True)
        return Outcome(work(*arguments), "", False)

    spread = FannedOut(objective, two_workers)
    run = fanout.outcomes
    monkeypatch.setattr(fanout, "outcomes", died)
    monkeypatch.setattr(fanout, "alone", again)
    evaluations = spread.evaluate(candidates)
    assert alone_with == [[candidates[2]], [candidates[3]]]
    assert [one.value for one in evaluations[:3]] == [objective(params) for params in candidates[:3]]
    assert math.isnan(evaluations[3].value) and evaluations[3].reason == "4 workers died" and evaluations[3].seconds > 0


def test_an_objective_with_an_evaluate_of_its_own_keeps_it(
    two_workers: Client, objective: WalkForwardObjective
) -> None:
    class Doubled(WalkForwardObjective):
        def evaluate(self, candidates: Sequence[Any], *, keep: Any = None) -> list[Evaluation]:
            return [one._replace(value=2 * one.value) for one in super().evaluate(candidates, keep=keep)]

    doubled = object.__new__(Doubled)
    vars(doubled).update(vars(objective))
    (there,) = FannedOut(doubled, two_workers).evaluate([{}])
    assert there.value == 2 * objective({})


def test_workers_are_not_sent_what_they_have(
    two_workers: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def pid(params: dict[str, Any]) -> float:
        (tmp_path / str(params["k"])).touch()
        until(lambda: len(list(tmp_path.iterdir())) >= 2)  # two run at once, and so in two workers
        return float(os.getpid())

    objective = CallableObjective(pid)
    spread = FannedOut(objective, two_workers)
    sent: list[int] = []
    run = fanout.outcomes

    def counted(*call: Any, whole: Any = None) -> Any:
        def noted(k: int) -> Any:
            sent.append(k)
            return whole(k)

        return run(*call, whole=noted)

    monkeypatch.setattr(fanout, "outcomes", counted)
    candidates = [{"k": k} for k in range(4)]
    assert len({one.value for one in spread.evaluate(candidates)}) == 2
    assert sent  # one worker was sent it when it was tried, the other when it lacked it
    two_workers.run(fanout.hold, spread._name, objective)
    sent.clear()
    spread.evaluate(candidates)
    assert not sent


def test_an_objective_that_cannot_travel_is_refused_at_the_start(two_workers: Client, tmp_path: Path) -> None:
    lock = threading.Lock()

    def locked(params: dict[str, Any]) -> float:
        with lock:
            return 1.0

    optimizer = campaign(tmp_path, locked)
    with pytest.raises(
        DomainError, match=r"cannot be sent to other processes \(.*lock.*\); make it a function of data"
    ):
        optimizer.optimize(4, client=two_workers)
    assert optimizer.status().state == "idle" and not optimizer.trials


def test_an_objective_that_workers_cannot_load_is_refused_at_the_start(two_workers: Client) -> None:
    class Elsewhere:
        def __call__(self, params: dict[str, Any]) -> float:
            return 1.0

        def __reduce__(self) -> tuple[Any, ...]:
            return importlib.import_module, ("no_such_module",)

    with pytest.raises(DomainError, match=r"workers cannot load the objective \(.*no_such_module.*\); install there"):
        FannedOut(CallableObjective(Elsewhere()), two_workers)


def test_a_client_that_is_none_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    optimizer = campaign(tmp_path)
    with pytest.raises(DomainError, match=r"client has type str, expected distributed\.Client"):
        optimizer.optimize(4, client="tcp://127.0.0.1:8786")
    assert not list(tmp_path.iterdir())


def test_a_campaign_whose_cluster_is_lost_goes_on_without_it(
    two_workers: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = campaign(tmp_path / "whole")
    whole.optimize(12)
    optimizer = campaign(tmp_path / "lost")

    def lost(*call: Any, **settings: Any) -> Any:
        raise UspnbError("the Dask cluster was lost")

    def lose(status: Any) -> None:
        monkeypatch.setattr(fanout, "outcomes", lost)

    with pytest.raises(UspnbError, match="was lost"):
        optimizer.optimize(12, client=two_workers, after_batch=lose)
    assert optimizer.status().state == "failed" and optimizer.status().trials == 4
    optimizer.optimize(12)
    assert sequence(optimizer) == sequence(whole)


# Last of those on the cluster, since workers that are started anew load their programs anew.
def test_the_trial_of_a_killed_worker_is_evaluated_elsewhere_and_counts_once(
    two_workers: Client, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    calls.mkdir()
    whole = campaign(tmp_path / "whole")
    whole.optimize(12)
    killing = campaign(tmp_path / "killing", dying(calls, number=whole.trials[5].params["n"]))
    assert killing.optimize(12, client=two_workers).failed == 0
    assert sequence(killing) == sequence(whole)
    assert [trial.number for trial in killing.trials] == list(range(12))
    runs = [len(list(calls.glob(f"{trial.params['x']!r}-*"))) for trial in killing.trials]
    assert sorted(runs) == [1] * 11 + [2]


@pytest.mark.parametrize(
    ("count", "lanes", "width", "threads", "size"),
    [
        (16, 1, 8, 2, 8),  # one full call each
        (32, 1, 8, 2, 8),  # two each, in shares of one
        (16, 3, 8, 2, 8),  # three full calls each
        (7, 1, 8, 2, 4),  # one call each is the least, the smaller share the better
        (16, 1, 8, 4, 4),  # nobody idle
        (16, 1, 4096, 2, 8),  # a GPU each
        (5, 1, 8, 1, 5),
        (1, 6, 8, 2, 1),
        (0, 1, 8, 2, 1),
    ],
)
def test_shares_keep_every_worker_busy(count: int, lanes: int, width: int, threads: int, size: int) -> None:
    assert share_size(count, lanes, width, threads) == size


def test_workers_know_a_kernel_of_an_importable_module_and_one_of_a_cell_is_refused(
    two_workers: Client, values: np.ndarray
) -> None:
    with registered():
        config = PredictorConfig(kernels=("ito_levy", "mine"), **SMALL)
        objective = WalkForwardObjective(values, n_folds=2, base_config=config)
        here = objective.evaluate(CANDIDATES[:2])
        assert same(FannedOut(objective, two_workers).evaluate(CANDIDATES[:2]), here)
        assert np.isfinite([one.value for one in here]).all()
        uspnb.register_kernel("mine", type("Cell", (Mean,), {"__module__": "__main__"}))
        with pytest.raises(DomainError, match=r"worker of the cluster cannot import the registered kernel mine"):
            FannedOut(objective, two_workers)
