"""One attempt: what the campaign sees, what it leaves out, how the held-out ticks are tested; the helper process."""

from __future__ import annotations

import dataclasses
import math
import threading
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from own_kernel import SMALL, Mean, registered

import uspnb
from uspnb.config.load import config_to_toml
from uspnb.config.schema import PredictorConfig
from uspnb.data.processes import logistic_map
from uspnb.errors import DomainError
from uspnb.predictor.reloading import ConfigReloadablePredictor
from uspnb.tuning.live import Autotuner
from uspnb.tuning.live.elsewhere import HelperError, propose_elsewhere
from uspnb.tuning.live.proposing import CampaignTask, Found, Verdict, held_out, propose, search, without_idle
from uspnb.tuning.live.reach import loop_space
from uspnb.tuning.objective import Evaluation, WalkForwardObjective
from uspnb.tuning.space import Space

SECOND = 10**9
TRACED = ("kernel_ridge_lambda", "hilbert_fast_forgetting")
STIFF = PredictorConfig(kernel_ridge_lambda=3e-2)


def task_on(values: np.ndarray, change: int, config: PredictorConfig | None = None, **rest: Any) -> CampaignTask:
    """A small task that compiles nothing but the default structure."""
    space: Space = {name: loop_space()[name] for name in TRACED}
    stamps = np.arange(len(values)) * SECOND
    settings = {"n_trials": 8, "seed": 1, "min_gain": 0.02, "share": 3.0} | rest
    return CampaignTask(values, stamps, change, config or PredictorConfig(), space, "mase", **settings)


def chaos(n: int) -> np.ndarray:
    return logistic_map(n, 3, rate=3.9).values + 0.02 * np.random.default_rng(1).standard_normal(n)


def test_the_campaign_never_sees_the_held_out_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    task, objectives = task_on(chaos(700), 200), []

    def remembered(self: WalkForwardObjective, *arguments: Any, **settings: Any) -> None:
        original(self, *arguments, **settings)
        objectives.append((len(arguments[0]), self.folds[0]))
        raise InterruptedError

    original = WalkForwardObjective.__init__
    monkeypatch.setattr(WalkForwardObjective, "__init__", remembered)
    for part in (lambda: search(task), lambda: held_out(task, {})):
        with pytest.raises(InterruptedError):
            part()
    (ticks, folds), (whole, tests) = objectives
    assert task.held_out == 150 and ticks == 550 and whole == 700
    assert folds[-1].test.stop == 550 and folds[0].test.start == 550 - 210, "60 % of the 350 ticks are scored"
    assert [fold.test for fold in tests] == [slice(550, 700)], "the test begins where the campaign has ended"


def values_of(effects: Mapping[str, float], together: float = 0.0) -> Any:
    """An objective of 1 plus the effects of what is changed; a failure where nothing has an effect."""

    def evaluate(candidates: Sequence[Mapping[str, Any]]) -> list[Evaluation]:
        values = [1.0 + sum(effects[name] for name in one) + together * (len(one) == 1) for one in candidates]
        return [Evaluation(value, np.zeros((1, 1)), "", False, 0.0) for value in values]

    return evaluate


def test_changes_that_earn_next_to_nothing_are_left_out() -> None:
    effects = {"good": -0.2, "idle": 0.0, "slight": -0.004, "bad": 0.03, "fair": -0.05}
    params, gain = without_idle(values_of(effects), dict.fromkeys(effects, 1))
    assert params == {"good": 1, "fair": 1} and gain == pytest.approx(0.25)
    assert without_idle(values_of({"bad": 0.1}), {"bad": 1}) == ({}, 0.0)
    assert without_idle(values_of({}), {}) == ({}, 0.0)


def test_what_is_idle_alone_stays_where_all_of_it_together_is_not() -> None:
    effects = {"good": -0.2, "first": 0.0, "second": 0.0}
    params, gain = without_idle(values_of(effects, together=0.15), dict.fromkeys(effects, 1))
    assert set(params) == set(effects) and gain == pytest.approx(0.2)


def test_no_held_out_test_is_spent_on_nothing_or_on_too_little() -> None:
    task = task_on(np.zeros(400), 0)

    def never(task: CampaignTask, changes: Mapping[str, Any]) -> Verdict:
        raise AssertionError("a test was spent")

    same = propose(task, lambda _: {"cusum_k": 0.5}, never)
    assert same.changes == {} and same.verdict is None and "no settings were found" in same.reason
    little = propose(task, lambda _: Found({"cusum_k": 0.6}, 0.01, 8, 0, 1.0), never)
    assert little.changes == {} and little.verdict is None and "1.00% is below 2.00%" in little.reason
    tested = propose(task, lambda _: {"cusum_k": 0.6}, lambda *_: Verdict(0.1, 1e-4, 120))
    assert tested.changes == {"cusum_k": 0.6} and tested.verdict == Verdict(0.1, 1e-4, 120)
    assert math.isnan(tested.found.gain)


def test_settings_that_do_not_fit_the_stream_are_found_out_and_the_gain_holds_on_held_out_ticks() -> None:
    """A ridge four orders too large hides the parabola of the logistic map: removing it must halve the error."""
    proposal = propose(task_on(chaos(500), 100, STIFF))
    assert proposal.verdict is not None and "kernel_ridge_lambda" in proposal.changes
    assert proposal.changes["kernel_ridge_lambda"] < 1e-3
    assert proposal.verdict.improvement > 0.3 and proposal.verdict.p_value < 1e-6 and proposal.verdict.ticks == 120


@pytest.mark.parametrize("kernels", [None, ("hilbert", "mine")], ids=["the seeds' kernels", "a registered one"])
def test_a_helper_process_finds_the_same(kernels: tuple[str, ...] | None) -> None:
    config = STIFF if kernels is None else dataclasses.replace(STIFF, kernels=kernels, **SMALL)
    task = task_on(chaos(500), 100, config, n_trials=4)
    with registered():
        here, there = propose(task), propose_elsewhere(task, threading.Event())
    assert there.changes == here.changes and there.cut == here.cut
    assert there.verdict == here.verdict and there.found.gain == here.found.gain


def test_a_helper_process_that_is_stopped_says_so() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(HelperError, match="was stopped"):
        propose_elsewhere(task_on(chaos(500), 100), stop)


class Cell(Mean):
    """A kernel as a cell of a notebook defines it."""

    __module__ = "__main__"


def test_a_kernel_that_no_other_process_can_import_is_refused_at_once(predictor: ConfigReloadablePredictor) -> None:
    class Nested(Mean):
        """A kernel that a function defines."""

    for kernel in (Cell, Nested):
        with registered():
            uspnb.register_kernel("own", kernel)
            config = PredictorConfig(kernels=("hilbert", "own"))
            predictor.config_path.write_text(config_to_toml(config), encoding="utf-8")
            followed = ConfigReloadablePredictor(predictor.config_path)
            with pytest.raises(DomainError, match=r"cannot import the registered kernel own .*background=False"):
                Autotuner(followed)
            Autotuner(followed, background=False).close()


def test_what_the_helper_process_cannot_import_is_told_with_the_remedy() -> None:
    missing = types.ModuleType("no_such_module")
    vars(missing).update(init=Mean.init, step=Mean.step)
    with registered(), pytest.raises(HelperError, match=r"cannot import .*no_such_module.*put it into a module"):
        uspnb.register_kernel("own", missing)
        config = dataclasses.replace(STIFF, kernels=("hilbert", "own"))
        propose_elsewhere(task_on(chaos(500), 100, config), threading.Event())
