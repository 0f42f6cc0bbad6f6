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
    kept = Checkpoints(most=8, stride=10)
    kept.restart(Checkpoint(0, state))
    for tick in range(1, 5000):
        kept.offer(Checkpoint(tick, state))
        assert len(kept) <= 8
        found = kept.before(tick)
        assert found.tick <= tick and tick - found.tick <= 2 * kept.stride
    assert kept.before(0).tick == 0 and kept.before(7).tick == 0
    assert 5000 / 8 <= kept.stride <= 4 * 5000 / 8


def test_a_cut_forgets_what_came_later(state: PredictorState) -> None:
    kept = Checkpoints(most=100, stride=10)
    kept.restart(Checkpoint(5, state))
    for tick in range(6, 200):
        kept.offer(Checkpoint(tick, state))
    kept.cut(95)
    assert kept.before(10**9).tick == 95
    kept.cut(94)
    assert kept.before(10**9).tick == 85
    kept.restart(Checkpoint(300, state))
    assert len(kept) == 1 and kept.before(301).tick == 300


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
    for tick, made in enumerate(settings(MOST_CHANGES + 50), start=1):
        record.change(tick, made)
    assert len(record._starts) == len(record._configs) == MOST_CHANGES
    assert record.at(0)[0] is record._configs[0]
