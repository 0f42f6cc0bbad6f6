"""States of a fleet in a store: bit for bit, one writer wins, nothing lost while the store is away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from small_fleet import ASSETS, first, ticked, ticks
from waiting import PATIENCE_S
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.errors import DomainError, IntegrityError
from uspnb.model.programs import trace_count
from uspnb.model.state import PredictorState
from uspnb.persistence.snapshots.codec import decode, encode
from uspnb.persistence.stores import DamagedStatesError, StateStore, Store
from uspnb.predictor.functional import FunctionalPredictor, observations
from uspnb.runtime.digest import sha256_pytree

CONFIG = PredictorConfig()
SECOND = 1_000_000_000


def odd_states(small_state: PredictorState, count: int) -> PredictorState:
    """Leaves of random bits: every NaN payload, -0.0, infinities and denormals among them."""
    rng = np.random.default_rng(7)

    def random(leaf: Any) -> Any:
        raw = rng.integers(0, 256, (count, *leaf.shape, leaf.dtype.itemsize), np.uint8)
        if leaf.dtype == bool:
            return (raw[..., 0] % 2).astype(bool)
        return np.ascontiguousarray(raw).view(leaf.dtype)[..., 0]

    return jax.tree.map(random, small_state)


def test_states_come_back_bit_for_bit(store: Store, small_state: PredictorState) -> None:
    """Whatever bits a layout is given, and the states of series that have seen a tick."""
    fleet = StateStore(store, small_state, CONFIG)
    bits = odd_states(small_state, 3)
    assert sha256_pytree(fleet.layout.unpack(fleet.layout.pack(bits))) == sha256_pytree(bits)
    odd = ticked(fleet.load(ASSETS)[0])
    saved = fleet.save(ASSETS, odd, np.zeros(3, np.int64))
    assert saved.assets == tuple(ASSETS) and (saved.conflicts, saved.pending, saved.problem) == ((), (), "")
    loaded, versions = StateStore(store, small_state, CONFIG).load(ASSETS)
    assert sha256_pytree(loaded) == sha256_pytree(odd) and versions.tolist() == saved.versions.tolist()
    assert fleet.assets() == sorted(ASSETS)
    part, _ = fleet.load([ASSETS[2], "unknown", ASSETS[0]])
    cold = jax.tree.map(lambda leaf: np.asarray(leaf)[None], small_state)
    expected = jax.tree.map(lambda m, c: np.concatenate([np.asarray(m)[2:], c, np.asarray(m)[:1]]), odd, cold)
    assert sha256_pytree(part) == sha256_pytree(expected)


@pytest.mark.parametrize("device", [True, False])
def test_a_series_without_a_state_begins_cold(device: bool, small_state: PredictorState, away: Any) -> None:
    like = jax.device_put(small_state) if device else small_state
    states, versions = StateStore(away, like, CONFIG).load(ASSETS)
    assert versions.tolist() == [0, 0, 0] and all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(states))
    one = jax.tree.map(lambda leaf: np.asarray(leaf)[1], states)
    assert sha256_pytree(one) == sha256_pytree(small_state)


def test_a_fleet_steps_through_a_store_bit_for_bit(kind: str, handles: Callable[..., list[Store]]) -> None:
    """Read, step and write at each tick, from a fresh `StateStore` each time, against states that stay in memory."""
    predictor = FunctionalPredictor()
    store = handles(kind)[0]
    assets = [*ASSETS, "bod\u00f8"]  # four, of which other tests compile the program
    y = random_walk((25, 4), 1)
    in_memory = predictor.init_state(4)
    traces = None
    for t in range(len(y)):
        tick = observations(y[t], np.full(4, (t + 1) * SECOND))
        in_memory, expected = predictor.step_batch(in_memory, tick)
        traces = trace_count("batch") if traces is None else traces
        fleet = StateStore(store, predictor.init_state(), predictor.config)
        states, versions = fleet.load(assets)
        states, result = predictor.step_batch(states, tick)
        assert fleet.save(assets, states, versions).conflicts == ()
        assert sha256_pytree(jax.tree.leaves(result)) == sha256_pytree(jax.tree.leaves(expected)), t
    stored, _ = StateStore(store, predictor.init_state(), predictor.config).load(assets)
    assert sha256_pytree(stored) == sha256_pytree(in_memory)
    assert trace_count("batch") == traces, "states from a store compile nothing anew"


def test_conflicts_are_told_by_series_and_the_others_are_written(
    kind: str, handles: Callable[..., list[Store]], small_state: PredictorState
) -> None:
    one, two = (StateStore(store, small_state, CONFIG) for store in handles(kind, 2))
    states, versions = one.load(ASSETS)
    theirs, _ = two.load(ASSETS[1:2])
    assert two.save(ASSETS[1:2], ticked(theirs, 5), versions[1:2]).conflicts == ()
    saved = one.save(ASSETS, ticked(states), versions)
    assert saved.conflicts == (ASSETS[1],) and saved.versions[1] == 0 and (saved.versions[[0, 2]] > 0).all()
    states, versions = one.load(ASSETS)
    assert ticks(states) == [1, 5, 1]
    assert one.save(ASSETS, ticked(states), versions).conflicts == ()


def test_two_writers_of_one_series_lose_no_tick(
    kind: str, handles: Callable[..., list[Store]], small_state: PredictorState
) -> None:
    """Each writer counts what it won; a lost round is read again.  The states hold exactly what was won."""
    stores, won = handles(kind, 2), [0, 0]
    gate = threading.Barrier(2, timeout=PATIENCE_S)

    def run(k: int) -> None:
        fleet = StateStore(stores[k], small_state, CONFIG)
        for _ in range(25):
            gate.wait()
            states, versions = fleet.load(ASSETS[:1])
            gate.wait()
            won[k] += not fleet.save(ASSETS[:1], ticked(states), versions).conflicts

    threads = [threading.Thread(target=run, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states, _ = StateStore(stores[0], small_state, CONFIG).load(ASSETS[:1])
    assert ticks(states) == [25] and sum(won) == 25


def test_damaged_states_are_named_and_the_others_can_be_read(away: Any, fleet: StateStore) -> None:
    states, versions = fleet.load(ASSETS)
    saved = fleet.save(ASSETS, ticked(states), versions)
    key = f"state/{ASSETS[1]}"
    good = away.get(key)
    assert good is not None and saved.versions[1] == good.version
    rng = np.random.default_rng(5)
    bad = [good.value[:length] for length in rng.integers(0, len(good.value), 100)]
    for place in rng.integers(0, len(good.value), 200):
        flipped = bytearray(good.value)
        flipped[place] ^= 1 << int(rng.integers(8))
        bad.append(bytes(flipped))
    for value in [*bad, b"", good.value + b"\x00"]:
        away.put(key, value)
        with pytest.raises(DamagedStatesError, match=r"1 series are damaged \(b/ergen\).*`forget` them") as refusal:
            fleet.load(ASSETS)
        assert refusal.value.assets == (ASSETS[1],) and isinstance(refusal.value, IntegrityError)
    assert ticks(fleet.load([ASSETS[0], ASSETS[2]])[0]) == [1, 1]
    assert fleet.forget(ASSETS[1]) and not fleet.forget(ASSETS[1]) and ticks(fleet.load(ASSETS)[0]) == [1, 0, 1]


def test_whole_files_that_hold_something_else_are_damaged_too(away: Any, fleet: StateStore) -> None:
    states, versions = fleet.load(ASSETS[:1])
    fleet.save(ASSETS[:1], ticked(states), versions)
    key = f"state/{ASSETS[0]}"
    held = away.get(key)
    assert held is not None
    payload = decode(held.value, kind="state")
    place = fleet.layout._places[fleet.layout._names.index(".modes.degraded")]
    two = bytearray(payload["state"])
    two[place.start] = 2
    for wrong, reason in (
        (payload | {"state": payload["state"][:-1]}, "the length of its layout"),
        (payload | {"state": "text"}, "the length of its layout"),
        (payload | {"layout": 3, "state": None}, "the length of its layout"),
        ({}, "the length of its layout"),
        (payload | {"state": bytes(two)}, "neither 0 nor 1"),
    ):
        away.put(key, encode(wrong, kind="state"))
        with pytest.raises(IntegrityError, match=reason):
            fleet.load(ASSETS[:1])
    away.put(key, encode(payload, kind="snapshot"))
    with pytest.raises(DamagedStatesError, match="a snapshot, not a state"):
        fleet.load(ASSETS[:1])


@pytest.mark.parametrize(
    ("leaf", "number"), [(".weight", np.nan), (".weight", 0.9), (".frame.scale", -1.0), (".modes.quantile", np.inf)]
)
def test_numbers_that_no_state_has_are_damage(fleet: StateStore, leaf: str, number: float) -> None:
    """Whoever can write to the store can compute a checksum, and so can a program whose state has gone bad."""
    states, versions = fleet.load(ASSETS)
    block, _, name = leaf.rpartition(".")
    held = states if not block else getattr(states, block.removeprefix("."))
    changed = np.array(getattr(held, name))
    changed[1] = number
    inner = held._replace(**{name: changed})
    fleet.save(ASSETS, inner if not block else states._replace(**{block.removeprefix("."): inner}), versions)
    with pytest.raises(DamagedStatesError, match=r"1 series are damaged \(b/ergen\)"):
        fleet.load(ASSETS)
    assert ticks(fleet.load([ASSETS[0], ASSETS[2]])[0]) == [0, 0]


def test_a_state_of_other_structural_settings_is_refused_with_the_difference(
    away: Any, fleet: StateStore, small_state: PredictorState
) -> None:
    states, versions = fleet.load(ASSETS[:1])
    fleet.save(ASSETS[:1], states, versions)
    wide = PredictorConfig(wtmm_buffer_size=192, holder_breaker="absolute")
    other = small_state._replace(frame=small_state.frame._replace(window=np.zeros(192)))
    with pytest.raises(
        DomainError, match=r"frame.window = float64\[128\] there and float64\[192\] here.*prefix"
    ) as refusal:
        StateStore(away, other, wide).load(ASSETS[:1])
    assert "holder_breaker = relative there and absolute here" in str(refusal.value)
    calmer = PredictorConfig(cusum_k=0.7, jax_platform="cpu", seed=1, snapshot_retention=2)
    assert StateStore(away, small_state, calmer).load(ASSETS[:1])[1].tolist() == [2]
    away.delete(f"layout/{fleet.layout.digest}")
    with pytest.raises(DomainError, match="its description is not in the store"):
        StateStore(away, other, wide).load(ASSETS[:1])
    away.put(f"layout/{fleet.layout.digest}", b"[no json")
    with pytest.raises(DomainError, match="cannot be read"):
        StateStore(away, other, wide).load(ASSETS[:1])


def test_tenants_have_prefixes(away: Any, small_state: PredictorState) -> None:
    one, two = (StateStore(away, small_state, CONFIG, prefix=f"tenant {k}/") for k in (1, 2))
    states, versions = one.load(ASSETS)
    one.save(ASSETS, ticked(states), versions)
    assert two.assets() == [] and ticks(two.load(ASSETS)[0]) == [0, 0, 0]
    with pytest.raises(DomainError, match="U\\+000A"):
        StateStore(away, small_state, CONFIG, prefix="a\n")


def test_what_does_not_fit_together_is_refused_and_writes_nothing(
    away: Any, fleet: StateStore, small_state: PredictorState
) -> None:
    states, versions = fleet.load(ASSETS)
    wide = states._replace(weight=np.zeros((3, 5)))
    single = states._replace(weight=np.zeros((3, 4), np.float32))
    for assets, bad, base, reason in (
        ([], states, versions, "at least one series"),
        (["a", "a", "b"], states, versions, "each once"),
        (["", "a", "b"], states, versions, "empty name"),
        (["a\n", "b", "c"], states, versions, "control character"),
        (["a" * 510, "b", "c"], states, versions, "1 to 512 characters"),
        (ASSETS, states, versions[:2], "3 series and versions of shape"),
        (ASSETS, first(states, 2), versions, "3 series and 2 states"),
        (ASSETS, wide, versions, r"leaf .weight is float64\[3, 5\]; it must be float64 with the axes"),
        (ASSETS, single, versions, "float32"),
        (ASSETS, states._replace(kernels=(np.zeros(3),)), versions, "other leaves"),
        (ASSETS, states, versions - 1, "version = -1"),
    ):
        with pytest.raises(DomainError, match=reason):
            fleet.save(assets, bad, base)
        assert away.list("state/") == []
    with pytest.raises(DomainError, match="batch axis"):
        StateStore(away, states, CONFIG)
    with pytest.raises(DomainError, match="no array of numbers"):
        StateStore(away, small_state._replace(weight=np.array(["text"])), CONFIG)


def test_a_call_is_one_round_trip_each_way(away: Any, fleet: StateStore) -> None:
    states, versions = fleet.load(ASSETS)
    saved = fleet.save(ASSETS, states, versions)
    before = away.calls
    states, versions = fleet.load(ASSETS)
    fleet.save(ASSETS, states, versions)
    assert away.calls == before + 2 and saved.problem == ""
