"""The store on a server: answers that are lost, a server that is killed, full, guarded or somebody else's."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import redis
from waiting import stays, until

from uspnb.config.schema import PredictorConfig
from uspnb.errors import IntegrityError
from uspnb.model.state import PredictorState
from uspnb.persistence.stores import ConflictError, RedisStore, StateStore, StoreUnavailableError
from uspnb.persistence.stores.redis_store import PASSWORD

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
SECRET = "hunter2"


@pytest.fixture
def direct(redis_server: Any, request: pytest.FixtureRequest) -> RedisStore:
    """A store without the line between, of the namespace of the test."""
    return RedisStore(redis_server.url, namespace=request.node.name.replace(":", "-")[:100])


@pytest.fixture
def through(line: Any, direct: RedisStore) -> RedisStore:
    """The same store over a line that can be cut."""
    store = RedisStore(line.url, namespace=direct.namespace)
    store.get("connected")
    return store


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_lost_line_is_tried_again_and_the_write_made_once(
    lost: str, line: Any, through: RedisStore, direct: RedisStore
) -> None:
    """Without the mark of the write, its second sending would meet its own version and report a conflict."""
    first = direct.put("a", b"0")
    line.lose_next(lost)
    second = through.compare_and_set("a", b"1", first)
    assert line.lost == 1 and second == first + 1 and direct.get("a") == (b"1", second)
    line.lose_next(lost)
    many = through.set_many([("a", b"2", second), ("b", b"2", 0), ("c", b"2", 99)])
    assert line.lost == 2 and many == [second + 1, second + 2, None]
    line.lose_next(lost)
    assert through.put("a", b"3") == second + 3
    line.lose_next(lost)
    assert through.delete("a") is True and line.lost == 4 and direct.get("a") is None
    line.lose_next(lost, b"HMGET")
    assert through.get("b") == (b"2", second + 2) and line.lost == 5


def test_nothing_stays_staged(redis_server: Any, line: Any, through: RedisStore) -> None:
    for lost in ("request", "answer"):
        line.lose_next(lost)
        through.set_many([(lost, b"x", 0), (lost, b"y", 0)])
    with redis.Redis(port=redis_server.port) as client:
        keys = sorted(client.scan_iter(match=f"{through.namespace}:*".replace("[", "\\[")))
    names = [name.decode().removeprefix(through.namespace) for name in keys]  # type: ignore[union-attr]
    assert names == [":entry:answer", ":entry:request", ":version"]


def test_another_writer_between_two_sendings_wins(line: Any, through: RedisStore, direct: RedisStore) -> None:
    base = direct.put("a", b"0")
    line.lose_next("request")
    overtaken = threading.Event()
    ask = through._pipeline

    def overtake(*commands: Any, **named: Any) -> Any:
        if line.lost and not overtaken.is_set():
            overtaken.set()
            direct.compare_and_set("a", b"theirs", base)
        return ask(*commands, **named)

    through._pipeline = overtake
    with pytest.raises(ConflictError, match=f"over version {base}"):
        through.compare_and_set("a", b"mine", base)
    held = direct.get("a")
    assert overtaken.is_set() and held is not None and held.value == b"theirs"


def test_a_command_that_the_server_reads_late_changes_nothing(own_server: Callable[..., Any]) -> None:
    """A paused server answers nothing, so everything is sent twice; when it wakes it reads all of it."""
    server = own_server()
    store = RedisStore(server.url, timeout_s=0.2, retries=8)
    base = store.put("a", b"0")
    server.pause(True)
    wake = threading.Timer(0.7, server.pause, (False,))
    wake.start()
    after = store.compare_and_set("a", b"1", base)
    wake.join()
    later = store.put("a", b"2")
    assert (after, later) == (base + 1, base + 2)
    assert stays(lambda: store.get("a") == (b"2", later))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have waited between two attempts [s], wait after wait."""
    seconds: list[float] = []
    monkeypatch.setattr("redis.retry.sleep", seconds.append)
    return seconds


def test_a_server_that_stays_lost_is_told_and_does_not_hold_up(
    own_server: Callable[..., Any], waits: list[float]
) -> None:
    server = own_server()
    store = RedisStore(server.url, retries=2)
    version = store.put("a", b"0")
    server.kill()
    with pytest.raises(StoreUnavailableError, match=rf"redis://127\.0\.0\.1:{server.port}/0 cannot be reached") as lost:
        store.get("a")
    assert lost.value.__cause__ is None
    assert len(waits) == 2
    for _ in range(5):
        with pytest.raises(StoreUnavailableError):
            store.compare_and_set("a", b"1", version)
    assert len(waits) == 2, "once it is known to be lost, a call asks once and does not wait"
    server.start()
    assert store.get("a") is None and store.put("a", b"again") == 1  # nothing was kept on a disk


def test_waits_grow_while_the_server_is_gone(own_server: Callable[..., Any], waits: list[float]) -> None:
    server = own_server()
    store = RedisStore(server.url, retries=6)
    server.kill()
    with pytest.raises(StoreUnavailableError):
        store.get("a")
    bounds = [min(1.0, 0.05 * 2.0**k) for k in range(1, 7)]
    assert len(waits) == 6
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))


def test_killed_and_started_again_in_mid_run(own_server: Callable[..., Any], small_state: PredictorState) -> None:
    """Two fleets count ticks in states on a server that is killed five times: each acknowledged tick is there once.

    The last kills leave the server dead for longer than the store is patient, so that states wait here meanwhile.
    """
    server = own_server(*DURABLE)
    assets = [f"asset {i}" for i in range(6)]
    fleets = [StateStore(RedisStore(server.url, retries=2), small_state, PredictorConfig()) for _ in range(2)]
    mine = [assets[:3], assets[3:]]
    done, finished, waited = [0, 0], threading.Event(), [0, 0]

    def run(k: int) -> None:
        states, versions = fleets[k].load(mine[k])
        while not finished.wait(0.002):
            states = states._replace(ticks=states.ticks + 1)
            saved = fleets[k].save(mine[k], states, versions)
            assert saved.conflicts == ()
            versions, done[k] = saved.versions, done[k] + 1
            waited[k] += bool(saved.pending)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()

    def reach(count: Callable[[], int], more: int) -> None:
        goal = count() + more
        until(lambda: count() >= goal or not all(thread.is_alive() for thread in threads))

    for patience in ("enough", "enough", "enough", "too little", "too little"):
        reach(lambda: min(done), 12)
        server.kill()
        if patience == "too little":
            reach(lambda: sum(waited), 1)
        server.start()
    reach(lambda: min(done), 12)
    finished.set()
    for thread in threads:
        thread.join()
    assert all(fleet.flush().problem == "" and fleet.pending == () for fleet in fleets)
    states, _ = StateStore(RedisStore(server.url), small_state, PredictorConfig()).load(assets)
    assert np.asarray(states.ticks).tolist() == [done[0]] * 3 + [done[1]] * 3
    assert min(done) > 0 and max(waited) > 0


def test_a_guarded_server(own_server: Callable[..., Any], waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    server = own_server("--requirepass", SECRET)
    for password in ("", "wrong-" + SECRET):
        monkeypatch.setenv(PASSWORD, password)
        store = RedisStore(server.url)
        with pytest.raises(StoreUnavailableError, match="credentials; check USPNB_STORE_PASSWORD") as refusal:
            store.put("a", b"")
        assert SECRET not in str(refusal.value) + repr(store) and waits == []
    monkeypatch.setenv(PASSWORD, SECRET)
    store = RedisStore(server.url)
    assert store.put("a", b"") == 1 and SECRET not in repr(store)


def test_a_server_that_takes_no_more(own_server: Callable[..., Any]) -> None:
    """The refusal names the server's reason and nothing of what was to be stored; it ends when there is room."""
    server = own_server("--maxmemory", "4mb", "--maxmemory-policy", "noeviction")
    store = RedisStore(server.url)
    before = store.put("a", b"kept")
    with pytest.raises(StoreUnavailableError, match="refuses") as refusal:
        for k in range(100):
            store.put(f"raw {k}", b"RAW SIGNAL " * 10_000)
    assert "RAW" not in str(refusal.value) and "memory" in str(refusal.value)
    assert store.get("a") == (b"kept", before)
    with pytest.raises(StoreUnavailableError, match="refuses"):
        store.set_many([("a", b"lost", before), ("raw", b"RAW SIGNAL " * 10_000, 0)])
    with redis.Redis(port=server.port) as client:
        client.config_set("maxmemory", "100mb")
    assert store.set_many([("a", b"now", before)])[0] is not None


def test_entries_that_no_store_wrote(redis_server: Any, direct: RedisStore) -> None:
    with redis.Redis(port=redis_server.port) as client:
        client.hset(f"{direct.namespace}:entry:odd", mapping={"version": "three", "value": b""})
        client.hset(f"{direct.namespace}:entry:half", mapping={"version": "3"})
        client.set(f"{direct.namespace}:entry:text", b"")
    for key in ("odd", "half"):
        with pytest.raises(IntegrityError, match=f"{key!r} was not written by a store"):
            direct.get(key)
    with pytest.raises(StoreUnavailableError, match="WRONGTYPE"):
        direct.get("text")


def test_tenants_do_not_see_each_other(redis_server: Any) -> None:
    a, b = (RedisStore(redis_server.url, namespace=f"tenant {name}") for name in ("x*", "xy"))
    a.put("key", b"a")
    b.put("other", b"b")
    assert (a.list(), b.list(), b.get("key")) == (["key"], ["other"], None)


def test_a_large_batch_goes_in_pieces(redis_server: Any, direct: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uspnb.persistence.stores.redis_store.PIPELINE_BYTES", 1000)
    sent: list[int] = []
    ask = direct._pipeline

    def counted(commands: Any, **named: Any) -> Any:
        sent.append(len(commands))
        return ask(commands, **named)

    direct._pipeline = counted
    keys = [*map(str, range(5)), "large"]
    versions = direct.set_many([(key, bytes(3000 if key == "large" else 400), 0) for key in keys])
    assert len(set(versions)) == 6 and None not in versions
    assert sent == [4, 4, 2, 7], "values with their expiry, then the last value and a script for each"
    with redis.Redis(port=redis_server.port) as client:
        assert {client.ttl(f"{direct.namespace}:entry:{key}") for key in keys} == {-1}, "none of them expires"


@pytest.mark.parametrize("trips", range(3))
def test_a_writer_killed_between_round_trips_leaves_all_entries_as_they_were(
    trips: int, redis_server: Any, direct: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The states of a fleet are of one tick, however many round trips they take."""
    monkeypatch.setattr("uspnb.persistence.stores.redis_store.PIPELINE_BYTES", 1000)
    keys = [f"{k}" for k in range(6)]  # two to a round trip
    versions = direct.set_many([(key, bytes(400), 0) for key in keys])
    before, ask, sent = direct.get_many(keys), direct._pipeline, itertools.count()

    def end_early(*commands: Any, **named: Any) -> Any:
        if next(sent) == trips:
            raise KeyboardInterrupt
        return ask(*commands, **named)

    writes = [(key, bytes([1]) * 400, version or 0) for key, version in zip(keys, versions, strict=True)]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(direct, "_pipeline", end_early)
        direct.set_many(writes)
    assert direct.get_many(keys) == before
    with redis.Redis(port=redis_server.port) as client:
        staged = list(client.scan_iter(match=f"{direct.namespace}:staged:*".replace("[", "\\[")))
        assert len(staged) == 2 * trips and all(client.ttl(name) > 0 for name in staged), "the server forgets them"
    assert None not in direct.set_many(writes)
    assert {stored.value for stored in direct.get_many(keys) if stored} == {bytes([1]) * 400}


def test_no_server_at_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    store = RedisStore(f"redis://127.0.0.1:{port}", retries=1)
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        store.list()
    store.close()


def test_a_state_on_the_server_is_a_plain_hash(redis_server: Any, small_state: PredictorState) -> None:
    """Another program can read it: version, mark and value, the value a file of kind "state"."""
    fleet = StateStore(RedisStore(redis_server.url, namespace="plain"), small_state, PredictorConfig())
    states = jax.tree.map(lambda leaf: np.asarray(leaf)[None], small_state)
    fleet.save(["one"], states, np.zeros(1, np.int64))
    with redis.Redis(port=redis_server.port) as client:
        held: Any = client.hgetall("plain:entry:state/one")
    assert set(held) == {b"version", b"mark", b"value"} and held[b"value"].startswith(b"USPNBSTA")
