"""One battery for every kind of store: what a fleet may rely on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from waiting import PATIENCE_S

from uspnb.errors import DomainError, UspnbError
from uspnb.persistence.stores import ConflictError, Store, Stored
from uspnb.persistence.stores.base import MAX_VALUE_BYTES, checked_key, checked_prefix, checked_value, checked_version

ODD_KEYS = ("a", "a*", "a[b]", "a?b", "a\\b", "a:b", "a/b", " ", "%", "\u00e4\U0001f600", "x" * 512, "\u00e4" * 512)


def test_it_is_a_store(store: Store) -> None:
    assert isinstance(store, Store) and type(store).__name__ in repr(store)


def test_what_was_put_is_got(store: Store) -> None:
    assert store.get("a") is None
    first = store.put("a", b"one")
    assert first >= 1 and store.get("a") == Stored(b"one", first)
    second = store.put("a", b"two")
    assert second > first and store.get("a") == Stored(b"two", second)


@pytest.mark.parametrize("value", [b"", b"\x00", bytes(range(256)) * 5, np.random.default_rng(0).bytes(3 << 20)])
def test_values_come_back_byte_for_byte(store: Store, value: bytes) -> None:
    version = store.compare_and_set("a", value, 0)
    assert store.get("a") == Stored(value, version)
    assert store.get_many(["b", "a"]) == [None, Stored(value, version)]


def test_any_bytes_may_be_a_value(store: Store) -> None:
    numbers = np.arange(12, dtype=np.float64)
    store.put("array", numbers.data)
    store.put("every second", numbers[::2].data)
    mutable = bytearray(b"before")
    store.put("bytearray", mutable)
    mutable[:] = b"behind"
    values = [one.value for one in store.get_many(["array", "every second", "bytearray"]) if one]
    assert values == [numbers.tobytes(), numbers[::2].tobytes(), b"before"]
    assert all(type(value) is bytes for value in values)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_printable_text_may_be_a_key(store: Store, key: str) -> None:
    version = store.put(key, b"x")
    store.put("another", b"y")
    assert store.get(key) == Stored(b"x", version) and key in store.list() and store.list(key)[0] == key
    assert store.delete(key) and store.get(key) is None and store.list() == ["another"]


def test_a_write_needs_the_version_that_is_there(store: Store) -> None:
    first = store.compare_and_set("a", b"one", 0)
    with pytest.raises(ConflictError, match="was to be written over no value") as refusal:
        store.compare_and_set("a", b"other", 0)
    assert isinstance(refusal.value, UspnbError)
    assert (refusal.value.key, refusal.value.expected, refusal.value.found) == ("a", 0, first)
    second = store.compare_and_set("a", b"two", first)
    with pytest.raises(ConflictError, match=f"version {first}, but has version {second}"):
        store.compare_and_set("a", b"late", first)
    with pytest.raises(ConflictError, match="has no value"):
        store.compare_and_set("b", b"new", second)
    assert store.get("a") == Stored(b"two", second) and store.get("b") is None


def test_a_version_never_comes_again(store: Store) -> None:
    """Otherwise a writer who slept through deletion and rebirth would win (the ABA problem)."""
    old = store.put("a", b"old")
    assert store.delete("a")
    new = store.compare_and_set("a", b"new", 0)
    assert new > old and store.put("b", b"") > new
    with pytest.raises(ConflictError):
        store.compare_and_set("a", b"from the dead", old)
    assert store.get("a") == Stored(b"new", new)


def test_delete_says_whether_there_was_something(store: Store) -> None:
    store.put("a", b"")
    assert store.delete("a") is True and store.delete("a") is False


def test_list_is_by_beginning_and_in_order(store: Store) -> None:
    names = ["b", "a", "ab", "a*", "a\U0001f600", "a\uffee", "a[b]c", "A"]
    for name in names:
        store.put(name, b"")
    assert store.list() == sorted(names)
    for prefix in ("a", "a*", "a[", "", "A", "zz", "a\U0001f600"):
        assert store.list(prefix) == sorted(name for name in names if name.startswith(prefix)), prefix


def test_more_keys_than_a_page_of_a_scan_or_of_a_query(store: Store) -> None:
    names = [f"asset {i:05d}" for i in range(2500)]
    versions = store.set_many([(name, name.encode(), 0) for name in names])
    assert len(set(versions)) == 2500 and None not in versions and store.list("asset") == names
    entries = store.get_many(names[::-1])
    assert entries == [Stored(n.encode(), v) for n, v in zip(names[::-1], versions[::-1], strict=True) if v]


def test_many_at_once_are_judged_one_by_one_in_order(store: Store) -> None:
    one, two = store.put("one", b"1"), store.put("two", b"2")
    won = store.set_many(
        [("one", b"1b", one), ("two", b"lost", one), ("three", b"3", 0), ("one", b"lost", one), ("four", b"lost", two)]
    )
    assert won[1] is None and won[3] is None and won[4] is None
    assert won[0] is not None and won[2] is not None and two < won[0] < won[2]
    assert [one and one.value for one in store.get_many(["one", "two", "three", "four", "one"])] == [
        b"1b", b"2", b"3", None, b"1b",
    ]  # fmt: skip
    assert store.set_many([]) == [] and store.get_many([]) == []


@pytest.mark.parametrize("bad", ["", "x" * 513, "a\nb", "a\x00", "\x7f", "\x85", "\ud800"])
def test_what_is_no_key_is_refused(store: Store, bad: str) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: store.get(bad),
        lambda: store.put(bad, b""),
        lambda: store.delete(bad),
        lambda: store.compare_and_set(bad, b"", 0),
        lambda: store.get_many(["a", bad]),
        lambda: store.set_many([("a", b"", 0), (bad, b"", 0)]),
    ]
    for ask in calls:
        with pytest.raises(DomainError, match="key"):
            ask()
    assert store.list() == []


@pytest.mark.parametrize("bad", [-1, 2**53, True])
def test_what_is_no_version_is_refused_before_anything_is_written(store: Store, bad: int) -> None:
    with pytest.raises(DomainError, match="version"):
        store.compare_and_set("a", b"", bad)
    with pytest.raises(DomainError, match="version"):
        store.set_many([("a", b"", 0), ("b", b"", bad)])
    assert store.list() == []


def test_values_are_bytes_of_a_bounded_size(store: Store) -> None:
    with pytest.raises(DomainError, match=f"at most {MAX_VALUE_BYTES}"):
        store.set_many([("a", b"", 0), ("b", bytes(MAX_VALUE_BYTES + 1), 0)])
    assert store.list() == []


@pytest.mark.parametrize(
    ("check", "bad"), [(checked_key, 3), (checked_prefix, None), (checked_value, "text"), (checked_version, 1.0)]
)
def test_other_types_are_refused_by_name(check: Callable[[object], object], bad: object) -> None:
    with pytest.raises(DomainError, match=type(bad).__name__ if check is not checked_version else "1.0"):
        check(bad)


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    for ask in (lambda: store.get("a"), lambda: store.put("a", b""), lambda: store.list()):
        with pytest.raises(DomainError, match="closed"):
            ask()


def test_with_closes_it(store: Store) -> None:
    with store as opened:
        assert opened is store and opened.put("a", b"") >= 1
    with pytest.raises(DomainError, match="closed"):
        store.get("a")


def test_of_several_writers_one_wins(kind: str, handles: Callable[..., list[Store]]) -> None:
    """In each round four writers read the same version and write over it at once: exactly one of them wins."""
    stores, rounds = handles(kind, 4), 30
    stores[0].put("shared", b"-")
    gate = threading.Barrier(4, timeout=PATIENCE_S)
    winners: list[list[int]] = [[] for _ in range(rounds)]

    def write(writer: int) -> None:
        for k in range(rounds):
            gate.wait()
            held = stores[writer].get("shared")
            assert held is not None
            gate.wait()
            if k % 2:
                won = stores[writer].set_many([("shared", b"%d" % writer, held.version)]) != [None]
            else:
                try:
                    won = stores[writer].compare_and_set("shared", b"%d" % writer, held.version) > 0
                except ConflictError:
                    won = False
            if won:
                winners[k].append(writer)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(who) for who in winners] == [1] * rounds
    held = stores[0].get("shared")
    assert held is not None and held.value == b"%d" % winners[-1][0]


def test_handles_see_each_other(kind: str, handles: Callable[..., list[Store]]) -> None:
    a, b = handles(kind, 2)
    version = a.put("x", b"from a")
    assert b.get("x") == Stored(b"from a", version) and b.list() == ["x"]
    assert b.compare_and_set("x", b"from b", version) > version
    assert a.set_many([("x", b"late", version)]) == [None]
    assert a.delete("x") and b.get("x") is None


KEYS = st.sampled_from(["a", "b", "a*", "ab", "\u00e4"])
VALUES = st.binary(max_size=20)


class AgainstADictionary(RuleBasedStateMachine):
    """Any sequence of calls leaves a store as it leaves a dictionary with a counter."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, Stored] = {}
        self.newest = 0

    def wrote(self, key: str, value: bytes, version: int) -> None:
        assert version > self.newest
        self.newest = version
        self.held[key] = Stored(value, version)

    def version(self, key: str, off: int) -> int:
        return max(0, (self.held[key].version if key in self.held else 0) + off)

    @rule(key=KEYS, value=VALUES)
    def put(self, key: str, value: bytes) -> None:
        self.wrote(key, value, self.store.put(key, value))

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        assert self.store.delete(key) is (self.held.pop(key, None) is not None)

    @rule(key=KEYS, value=VALUES, off=st.sampled_from([0, 0, -1, 1]))
    def compare_and_set(self, key: str, value: bytes, off: int) -> None:
        version = self.version(key, off)
        if version == self.version(key, 0):
            self.wrote(key, value, self.store.compare_and_set(key, value, version))
        else:
            with pytest.raises(ConflictError):
                self.store.compare_and_set(key, value, version)

    @rule(writes=st.lists(st.tuples(KEYS, VALUES, st.sampled_from([0, 0, -1, 1])), max_size=5))
    def set_many(self, writes: list[tuple[str, bytes, int]]) -> None:
        based = [(key, value, self.version(key, off)) for key, value, off in writes]
        for (key, value, version), got in zip(based, self.store.set_many(based), strict=True):
            assert (got is not None) is (version == self.version(key, 0))
            if got is not None:
                self.wrote(key, value, got)

    @rule(keys=st.lists(KEYS, max_size=6))
    def get_many(self, keys: list[str]) -> None:
        assert list(self.store.get_many(keys)) == [self.held.get(key) for key in keys]

    @rule(prefix=st.sampled_from(["", "a", "a*"]))
    def list_them(self, prefix: str) -> None:
        assert self.store.list(prefix) == sorted(key for key in self.held if key.startswith(prefix))

    @invariant()
    def the_same(self) -> None:
        assert self.store.get("a") == self.held.get("a")


def test_any_calls_do_as_to_a_dictionary(kind: str, handles: Callable[..., list[Store]]) -> None:
    class Machine(AgainstADictionary):
        def __init__(self) -> None:
            super().__init__()
            self.store = handles(kind)[0]

    run_state_machine_as_test(Machine, settings=settings(max_examples=12, stateful_step_count=25))
