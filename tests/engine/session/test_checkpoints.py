"""States kept for going back, and the settings that were in force when."""

from __future__ import annotations

import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.engine.timeline import MOST_CHANGES, Checkpoint, Checkpoints, SettingsRecord
from uspnb.model.state import PredictorState
from uspnb.predictor.functional import FunctionalPredictor

FUNCTIONAL = FunctionalPredictor()


@pytest.fixture(scope="module")
def state() -> PredictorState:
    return FUNCTIONAL.init_state()


def test_few_are_kept_however_long_it_runs(state: PredictorState) -> None:
    checkpoints = Checkpoints(most=8, stride=10)
    checkpoints.restart(Checkpoint(0, state))
    for tick in range(1, 5000):
        checkpoints.offer(Checkpoint(tick, state))
        assert len(checkpoints) <= 8
        latest = checkpoints.before(tick)
        assert latest.tick <= tick and tick - latest.tick <= 2 * checkpoints.stride
    assert checkpoints.before(0).tick == 0 and checkpoints.before(7).tick == 0
    assert 5000 / 8 <= checkpoints.stride <= 4 * 5000 / 8


def test_a_cut_forgets_what_came_later(state: PredictorState) -> None:
    checkpoints = Checkpoints(most=100, stride=10)
    checkpoints.restart(Checkpoint(5, state))
    for tick in range(6, 200):
        checkpoints.offer(Checkpoint(tick, state))
    checkpoints.cut(95)
    assert checkpoints.before(10**9).tick == 95
    checkpoints.cut(94)
    assert checkpoints.before(10**9).tick == 85
    checkpoints.restart(Checkpoint(300, state))
    assert len(checkpoints) == 1 and checkpoints.before(301).tick == 300


def test_none_is_kept_whose_ticks_are_gone(state: PredictorState) -> None:
    """Whatever batches the ticks come in, as those of a live source do."""
    checkpoints = Checkpoints()
    checkpoints.restart(Checkpoint(0, state))
    for tick in (*range(3, 400, 7), 401, 402, 700):
        checkpoints.offer_newest(Checkpoint(tick, state), 32, max(tick - 256, 0))
        assert checkpoints.first >= tick - 256 and checkpoints.before(tick).tick >= tick - 38


def settings(count: int) -> list[PredictorConfig]:
    """Settings that are told apart by identity."""
    return [PredictorConfig() for _ in range(count)]


def test_which_settings_were_in_force() -> None:
    a, b, c, d = settings(4)
    record = SettingsRecord(a)
    record.change(10, b)
    record.change(20, c)
    assert [record.at(tick) for tick in (0, 9, 10, 19, 20, 99)] == [
        (a, 10),
        (a, 10),
        (b, 20),
        (b, 20),
        (c, None),
        (c, None),
    ]
    record.change(20, d)  # nothing ran under c
    assert record.at(20) == (d, None) and record.at(19) == (b, 20)
    record.cut(15)  # what comes from 15 on runs under the present settings
    assert record.current is d and record.at(14) == (b, 15) and record.at(15) == (d, None)
    record.cut(15)
    record.cut(0)
    assert record.at(0) == (d, None)


def test_changes_are_bounded() -> None:
    record = SettingsRecord(settings(1)[0])
    for tick, config in enumerate(settings(MOST_CHANGES + 50), start=1):
        record.change(tick, config)
    assert len(record._starts) == len(record._configs) == MOST_CHANGES
    assert record.at(0)[0] is record._configs[0]
