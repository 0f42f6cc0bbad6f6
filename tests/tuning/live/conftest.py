"""A tuner on a chaotic stream, with short times and planted campaigns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uspnb.config.load import config_to_toml
from uspnb.config.schema import PredictorConfig
from uspnb.data.processes import logistic_map
from uspnb.model.records import ProcessState
from uspnb.predictor.reloading import ConfigReloadablePredictor
from uspnb.predictor.universal import replay_clock
from uspnb.tuning.live import Autotuner, CampaignTask, Verdict

SECOND = 10**9
START = 1_771_675_200 * SECOND
SHORT = {"min_history": 300, "history": 900, "watch_ticks": 100, "cooldown_ticks": 50, "min_stability_ticks": 0}


@pytest.fixture(scope="session")
def ticks() -> list[ProcessState]:
    """A logistic map in noise, which a predictor that forgets at once cannot learn."""
    values = logistic_map(1500, 1, rate=3.9).values + 0.02 * np.random.default_rng(0).standard_normal(1500)
    return [ProcessState(value, START + k * SECOND) for k, value in enumerate(values)]


@pytest.fixture
def predictor(tmp_path: Path) -> ConfigReloadablePredictor:
    """A predictor that follows a file of the user's own."""
    path = tmp_path / "config.toml"
    path.write_text("# mine\n" + config_to_toml(PredictorConfig()), encoding="utf-8")
    return ConfigReloadablePredictor(path, clock=replay_clock)


Planted = Callable[..., Autotuner]


@pytest.fixture
def planted(predictor: ConfigReloadablePredictor) -> Planted:
    """Makes a tuner whose campaign finds `changes` and whose held-out test says what it is told to."""

    def make(
        changes: Mapping[str, Any] | None, p_value: float = 1e-12, improvement: float = 0.5, **settings: Any
    ) -> Autotuner:
        def campaign(task: CampaignTask) -> Mapping[str, Any]:
            assert changes is not None, "a campaign was begun"
            return dict(changes)  # as they are then

        def judge(task: CampaignTask, params: Mapping[str, Any]) -> Verdict:
            return Verdict(improvement, p_value, task.held_out)

        return Autotuner(predictor, campaign=campaign, judge=judge, **{"background": False, **SHORT, **settings})

    return make
