"""States that wait while the store is away: none is lost, none is written twice, no other writer is overwritten."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from small_fleet import ASSETS, first, ticked, ticks

from uspnb.config.schema import PredictorConfig
from uspnb.errors import DomainError
from uspnb.model.state import PredictorState
from uspnb.persistence.stores import MemoryStore, StateStore, StoreUnavailableError
from uspnb.persistence.stores.base import Write

CONFIG = PredictorConfig()


@pytest.mark.parametrize("when", ["before", "after"])
def test_states_wait_here_while_the_store_is_away(when: str, away: Any, fleet: StateStore) -> None:
    states, versions = fleet.load(ASSETS)
    first = fleet.save(ASSETS, ticked(states), versions)
    away.away = when
    lost = fleet.save(ASSETS, ticked(states, 2), first.versions)
    assert lost.pending == tuple(ASSETS) == fleet.pending and "gone" in lost.problem and lost.conflicts == ()
    away.away = "before"
    again = fleet.save(ASSETS, ticked(states, 3), lost.versions)
    assert again.pending == tuple(ASSETS) and again.versions.tolist() == first.versions.tolist()
    waiting, versions = fleet.load(ASSETS)  # read from here: the store is away
    assert ticks(waiting) == [3, 3, 3] and versions.tolist() == first.versions.tolist()
    with pytest.raises(StoreUnavailableError):
        fleet.load([*ASSETS, "another"])
    away.away = None
    back = fleet.flush()
    assert back.assets == tuple(ASSETS) and (back.conflicts, back.pending, back.problem) == ((), (), "")
    assert fleet.pending == () and ticks(fleet.load(ASSETS)[0]) == [3, 3, 3]
    assert fleet.save(ASSETS, ticked(states, 4), back.versions).conflicts == ()
    assert fleet.flush().assets == ()


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_next_save_brings_what_waited(when: str, away: Any, fleet: StateStore) -> None:
    states, versions = fleet.load(ASSETS)
    away.away = when
    lost = fleet.save(ASSETS[:2], first(ticked(states), 2), versions[:2])
    away.away = None
    alone = fleet.save(ASSETS[2:], ticked(jax.tree.map(lambda leaf: leaf[2:], states)), versions[2:])
    assert fleet.pending == tuple(ASSETS[:2]), "versions that nobody is told would be conflicts later"
    saved = fleet.save(ASSETS, ticked(states, 2), np.append(lost.versions, alone.versions))
    assert saved.conflicts == () == saved.pending and (saved.versions > 0).all()
    assert ticks(fleet.load(ASSETS)[0]) == [2, 2, 2]


@pytest.mark.parametrize("when", ["before", "after"])
def test_another_writer_while_a_state_waited_is_a_conflict_and_the_state_is_kept(
    when: str, away: Any, fleet: StateStore, small_state: PredictorState
) -> None:
    states, versions = fleet.load(ASSETS)
    away.away = when
    fleet.save(ASSETS, ticked(states), versions)
    away.away = None
    other = StateStore(away, small_state, CONFIG)
    theirs, base = other.load(ASSETS[:1])
    other.save(ASSETS[:1], ticked(theirs, 10), base)
    back = fleet.flush()
    assert back.conflicts == (ASSETS[0],) and fleet.pending == ()
    refused = fleet.refused()
    assert list(refused) == [ASSETS[0]] and refused[ASSETS[0]].ticks == 1 and refused[ASSETS[0]].frame.window.ndim == 1
    after, versions = fleet.load(ASSETS)
    assert ticks(after) == [10 if when == "before" else 11, 1, 1]
    fleet.save(ASSETS, ticked(after), versions)
    assert fleet.refused() == {}


def test_a_save_over_a_waiting_state_tells_the_conflict_too(
    away: Any, fleet: StateStore, small_state: PredictorState
) -> None:
    states, versions = fleet.load(ASSETS)
    away.away = "before"
    fleet.save(ASSETS, ticked(states), versions)
    away.away = None
    StateStore(away, small_state, CONFIG).save(ASSETS[:1], ticked(first(states, 1), 10), versions[:1])
    saved = fleet.save(ASSETS, ticked(states, 2), versions)
    assert saved.conflicts == (ASSETS[0],) and saved.pending == () and fleet.refused() == {}
    assert ticks(fleet.load(ASSETS)[0]) == [10, 2, 2]


def test_identical_states_of_two_writers_do_not_pass_for_one_another(
    away: Any, fleet: StateStore, small_state: PredictorState
) -> None:
    states, versions = fleet.load(ASSETS[:1])
    versions = fleet.save(ASSETS[:1], states, versions).versions
    away.away = "before"
    fleet.save(ASSETS[:1], ticked(states), versions)
    away.away = None
    StateStore(away, small_state, CONFIG).save(ASSETS[:1], ticked(states), versions)
    assert fleet.flush().conflicts == (ASSETS[0],)


def test_any_order_of_failures_loses_and_doubles_nothing(away: Any, fleet: StateStore) -> None:
    """A fleet of its own goes on through 400 calls of a store that is there, away, or away with the answer."""
    rng = np.random.default_rng(3)
    states, versions = fleet.load(ASSETS)
    done = np.zeros(3, int)
    failures: set[str | None] = set()
    for _ in range(400):
        away.away = [None, None, "before", "after"][rng.integers(4)]
        failures.add(away.away)
        if rng.random() < 0.2:
            flushed = fleet.flush()
            at = dict(zip(flushed.assets, flushed.versions.tolist(), strict=True))
            versions = np.array([at.get(asset, old) for asset, old in zip(ASSETS, versions.tolist(), strict=True)])
            assert flushed.conflicts == ()
            continue
        some = np.sort(rng.choice(3, rng.integers(1, 4), replace=False))
        states = states._replace(ticks=np.asarray(states.ticks) + np.isin(np.arange(3), some))
        done[some] += 1
        part = jax.tree.map(lambda leaf, some=some: np.asarray(leaf)[some], states)
        saved = fleet.save([ASSETS[k] for k in some], part, versions[some])
        assert saved.conflicts == ()
        versions[some] = saved.versions
    away.away = None
    fleet.flush()
    assert fleet.pending == () and failures == {None, "before", "after"}
    assert ticks(fleet.load(ASSETS)[0]) == done.tolist()


def test_a_late_write_between_reading_and_writing_is_known_as_our_own(
    away: Any, fleet: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt hangs in a line and reaches the store only after `flush` has looked: no conflict with it."""
    states, versions = fleet.load(ASSETS[:1])
    sent: list[list[Write]] = []

    def hang(writes: Any) -> Any:
        sent.append(list(writes))
        raise StoreUnavailableError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(away, "set_many", hang)
        fleet.save(ASSETS[:1], ticked(states), versions)
    real = away.set_many

    def after_the_late_one(writes: Any) -> Any:
        if sent:
            MemoryStore.set_many(away, sent.pop())
        return real(writes)

    monkeypatch.setattr(away, "set_many", after_the_late_one)
    saved = fleet.save(ASSETS[:1], ticked(states, 2), versions)
    assert saved.conflicts == () == saved.pending and ticks(fleet.load(ASSETS[:1])[0]) == [2]


def test_a_pending_state_waits_with_its_version(away: Any, fleet: StateStore) -> None:
    states, versions = fleet.load(ASSETS)
    away.away = "before"
    fleet.save(ASSETS, states, versions)
    with pytest.raises(DomainError, match="'oslo' waits to be written over version 0, not 7"):
        fleet.save(ASSETS, states, versions + 7)
    away.away = None
    assert fleet.forget(ASSETS[0]) and fleet.pending == tuple(ASSETS[1:])
