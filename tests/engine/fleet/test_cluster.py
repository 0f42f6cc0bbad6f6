"""A fleet on a Dask cluster: the bits of a local one whatever becomes of the workers, and what is refused."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from distributed import Client, LocalCluster
from own_kernel import SMALL, Mean, registered
from waiting import until
from walks import random_walk

import uspnb
from uspnb.config.schema import PredictorConfig
from uspnb.engine.fleet import Fleet
from uspnb.engine.fleet import cluster as cluster_module
from uspnb.engine.fleet import lanes as lanes_module
from uspnb.engine.fleet.cluster import ClusterHosts, ClusterLink, Shard
from uspnb.engine.fleet.lanes import FleetComputation, LaneFault
from uspnb.engine.service import command
from uspnb.errors import DomainError, ResourceBusyError, UspnbError
from uspnb.runtime import cluster
from uspnb.runtime.cluster import Hosted, WorkerLost, worker_addresses
from uspnb.sources import Ticks

WIDTH, ASSETS, TICKS, SECOND, PATIENCE_S = 4, 15, 90, 1_000_000_000, 120.0


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes of four assets, the width that the other tests compile; the moment moves on every few ticks."""
    monkeypatch.setattr(lanes_module, "WIDEST_LANE", WIDTH)
    monkeypatch.setattr(cluster_module, "REPLAYED_TICKS", 16)


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    y = random_walk((TICKS, ASSETS), 11)
    y[20:24, 5] = np.nan
    return y


class Both:
    """The same steps by a computation here and by one on a cluster, with the bits compared after each."""

    def __init__(self, client: Any, table: np.ndarray) -> None:
        self.table = table
        self.here = FleetComputation(PredictorConfig(), ASSETS, 1)
        self.there = FleetComputation(PredictorConfig(), ASSETS, hosts=ClusterHosts(client))

    def advance(self, start: int, stop: int, most: int = 4) -> None:
        for first in range(start, stop, most):
            last = min(first + most, stop)
            stamps = np.arange(first, last) * SECOND
            ticks = Ticks(self.table[first:last], stamps, np.full(last - first, np.nan))
            here, there = (one.advance(ticks, stamps) for one in (self.here, self.there))
            np.testing.assert_array_equal(here, there)

    def keep(self) -> tuple[Any, Any]:
        return self.here.keep(), self.there.keep()

    def put(self, handles: tuple[Any, Any]) -> None:
        self.here.put(handles[0])
        self.there.put(handles[1])

    def check_states(self, handles: tuple[Any, Any]) -> None:
        here, there = (one.states(handle)[0] for one, handle in zip((self.here, self.there), handles, strict=True))
        jax.tree.map(np.testing.assert_array_equal, here, there)

    def links(self) -> list[ClusterLink]:
        lanes: list[Any] = [lane for _, lane in self.there.lanes]
        return [lane._link for lane in lanes]

    def addresses(self) -> list[str]:
        return [link._hosted.address for link in self.links() if link._hosted is not None]


@pytest.fixture
def both(two_workers: Client, table: np.ndarray) -> Iterator[Both]:
    one = Both(two_workers, table)
    yield one
    one.there.close()


def kill(client: Any, address: str) -> None:
    """End a worker as a machine that fails would."""
    os.kill(client.run(os.getpid, workers=[address])[address], signal.SIGKILL)


def test_the_bits_are_those_of_a_local_fleet_and_the_shares_lie_on_all_workers(both: Both) -> None:
    both.there.prepare()
    both.advance(0, 40)
    assert both.there.workers == 2 and [part.stop - part.start for part, _ in both.there.lanes] == [4, 4, 4, 4]
    assert sorted(both.addresses()) == sorted(2 * list(set(both.addresses())))
    both.check_states(both.keep())
    both.here.forget_clock()
    both.there.forget_clock()
    both.advance(0, 4)


def test_a_worker_that_is_lost_costs_no_tick_and_what_was_kept_can_be_put_back(both: Both, two_workers: Client) -> None:
    first = both.keep()  # before there is a lane
    both.advance(0, 10)
    old = both.keep()  # before the moment, fetched when it moves on
    both.advance(10, 30)
    recent = both.keep()  # since the moment, kept by the worker alone
    both.advance(30, 32)
    settings = PredictorConfig(confidence_level=0.5)
    both.here.configure(settings)
    both.there.configure(settings)
    both.advance(32, 40)
    kill(two_workers, both.addresses()[0])
    both.advance(40, 50)
    for handles in (recent, old):
        both.check_states(handles)
        both.put(handles)
        both.check_states(both.keep())
        both.advance(50, 60)
    kill(two_workers, both.addresses()[0])
    both.put(recent)
    both.advance(60, 70)
    both.put(first)
    both.advance(0, 5)


def test_shares_come_back_to_a_worker_that_is_started_anew(both: Both, two_workers: Client) -> None:
    both.advance(0, 4)
    kill(two_workers, both.addresses()[0])
    both.advance(4, 8)
    assert len(set(both.addresses())) == 1
    two_workers.wait_for_workers(2, timeout=PATIENCE_S)
    both.advance(8, 30)  # has an actor made ready there
    ready = [link._ready for link in both.links() if link._ready is not None]
    assert len(ready) == 2 and len(set(both.addresses())) == 1
    both.there.configure(PredictorConfig(confidence_level=0.5))
    both.here.configure(PredictorConfig(confidence_level=0.5))
    for one in ready:
        one.result(timeout=PATIENCE_S)
    both.advance(30, 70)
    assert sorted(both.addresses()) == sorted(2 * list(set(both.addresses())))
    kill(two_workers, both.addresses()[0])
    both.advance(70, 74)


def test_a_worker_killed_in_the_middle_of_a_tick_is_made_good(both: Both, two_workers: Client) -> None:
    both.advance(0, 20)
    for _, lane in both.there.lanes:
        lane.submit(np.zeros((4, WIDTH)), np.arange(20, 24) * SECOND, np.arange(20, 24) * SECOND)
    kill(two_workers, both.addresses()[0])
    rows = np.concatenate([lane.collect() for _, lane in both.there.lanes], axis=1)[:, :ASSETS]
    stamps = np.arange(20, 24) * SECOND
    here = both.here.advance(Ticks(np.zeros((4, ASSETS)), stamps, np.full(4, np.nan)), stamps)
    np.testing.assert_array_equal(rows[:, : ASSETS - 1], here[:, : ASSETS - 1])
    both.check_states(both.keep())


def test_a_fleet_with_a_store_records_every_tick_once_although_workers_are_lost(
    two_workers: Client, table: np.ndarray, tmp_path: Path
) -> None:
    config = PredictorConfig(snapshot_interval_steps=10)
    shown = ("observation", "prediction", "next_lower", "next_upper")
    with Fleet(table, config, workers=1) as alone:
        alone.run()
        alone.wait(timeout=PATIENCE_S)
        expected = alone.columns(shown, 0, TICKS)[1]
    with Fleet(table, config, client=two_workers, store=tmp_path / "states.db") as fleet:
        for goal in (30, 60):
            fleet.seek(goal)
            fleet.wait(until=goal, timeout=PATIENCE_S)
            kill(two_workers, worker_addresses(two_workers)[0])
        fleet.run()
        assert fleet.wait(phase="finished", timeout=PATIENCE_S).ticks == TICKS
        assert fleet.workers == 2
        np.testing.assert_array_equal(fleet.columns(shown, 0, TICKS)[1], expected)
        until(lambda: fleet.stored == TICKS)
        fleet.seek(35)
        fleet.wait(until=35, timeout=PATIENCE_S)
        fleet.step(1)
        fleet.wait(until=36, timeout=PATIENCE_S)
        np.testing.assert_array_equal(fleet.columns(shown, 0, 36)[1], expected[:36])


def test_a_fleet_of_the_command_line_takes_up_its_store_on_a_cluster(
    two_workers: Any, table: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = argparse.ArgumentParser()
    command.add_arguments(line)
    source, names = tmp_path / "walks.csv", [f"w{k}" for k in range(ASSETS)]
    options = line.parse_args(
        f"--fleet --source {source} --scheduler {two_workers.scheduler.address} --once --store states.db".split()
    )
    config = PredictorConfig(snapshot_interval_steps=10)
    for ticks in (20, 30):
        lines = [",".join("" if np.isnan(cell) else repr(float(cell)) for cell in row) for row in table[:ticks]]
        source.write_text("\n".join([",".join(names), *lines]))
        assert command._serve_fleet(options, config) == 0
    with Fleet(table[:30], workers=1) as alone, Fleet(table, assets=names, config=config, store="states.db") as later:
        assert later.status.ticks == 30
        alone.run()
        alone.wait(timeout=PATIENCE_S)
        states = [
            one._only.timeline.computation.states(one._only.timeline.computation.keep()) for one in (alone, later)
        ]
    jax.tree.map(np.testing.assert_array_equal, states[0], states[1])
    options.scheduler = "tcp://127.0.0.1:9"
    monkeypatch.setattr(cluster, "CONNECT_S", 0.2)
    with pytest.raises(ResourceBusyError, match=r"no scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        command._serve_fleet(options, config)
    options.scheduler = "somewhere://x"
    with pytest.raises(DomainError, match="is no address of a scheduler"):
        command._serve_fleet(options, config)


def test_states_that_nobody_holds_any_more_are_let_go(both: Both) -> None:
    both.advance(0, 4)
    handles = both.keep()
    both.advance(4, 24)
    (held, *_) = [link._held for link in both.links()]
    assert len(held) == 1
    del handles
    both.advance(24, 28)
    assert not held


def test_workers_that_die_again_and_again_end_the_fleet_with_a_sentence(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.advance(0, 4)

    def dies(self: Hosted, name: str, *arguments: Any) -> Any:
        raise WorkerLost("the worker tcp://one is gone")

    monkeypatch.setattr(Hosted, "call", dies)
    monkeypatch.setattr(cluster_module, "SUSPICION_S", 0.1)
    for _ in range(2):
        with pytest.raises(LaneFault, match=r"4 assets cannot go on: 6 workers in a row were lost .*the store is kept"):
            both.there.advance(Ticks(both.table[4:5], np.array([4 * SECOND]), np.full(1, np.nan)), np.array([4]))
        both.there.keep()


def test_what_is_installed_on_a_worker_must_be_what_is_installed_here(
    two_workers: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "versions", lambda: {"uspnb": "0.0.1", "jax": "1", "platform": "cpu"})
    with pytest.raises(
        LaneFault, match=rf"has uspnb '{uspnb.__version__}' and not '0\.0\.1', jax .* would give other bits"
    ):
        ClusterHosts(two_workers).host(None)


def test_a_call_that_is_not_the_next_one_is_refused() -> None:
    with pytest.raises(WorkerLost, match="call 3 came where 0 was due"):
        Shard().do(3, [], [])


def test_what_cannot_be_is_refused(two_workers: Client, table: np.ndarray) -> None:
    with pytest.raises(DomainError, match="workers = 2 is for this machine's processes"):
        Fleet(table, client=two_workers, workers=2)
    with pytest.raises(DomainError, match=r"client has type str, expected distributed\.Client"):
        Fleet(table, client="tcp://127.0.0.1:8786")


def test_an_object_on_a_worker_and_what_keeps_it_from_being_there(
    two_workers: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ModuleNotFoundError("No module named 'uspnb'")

    address = worker_addresses(two_workers)[0]
    with pytest.raises(DomainError, match=r"cannot load it \(ModuleNotFoundError: .*install there"):
        Hosted(two_workers, broken, address)
    with pytest.raises(WorkerLost, match=r"tcp://127\.0\.0\.1:9 is gone"):
        Hosted(two_workers, dict, "tcp://127.0.0.1:9")
    hosted = Hosted(two_workers, dict, address)
    with pytest.raises(KeyError, match="x"):
        hosted.call("pop", "x")
    assert hosted.call("setdefault", "x", 3) == 3
    monkeypatch.setattr(two_workers, "direct_to_workers", False)  # through the scheduler
    assert hosted.call("pop", "x") == 3
    hosted.release()


def test_clusters_without_workers_and_without_a_scheduler_end_the_fleet_with_a_sentence(
    table: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "WORKER_PATIENCE_S", 1.0)
    made: Any = LocalCluster(
        n_workers=1,
        processes=False,
        threads_per_worker=1,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    )
    with made, contextlib.closing(Client(made, set_as_default=False)) as client:
        fleets = [Fleet(table, client=client) for _ in range(2)]
        for fleet in fleets:
            fleet.step(2)
            assert fleet.wait(timeout=PATIENCE_S).ticks == 2
        made.sync(made.workers[0].close)
        fleets[0].step(1)
        status = fleets[0].wait(timeout=PATIENCE_S)
        assert status.phase == "faulted" and "all workers of the cluster are gone" in status.message
        client.close()
        fleets[1].step(1)
        status = fleets[1].wait(timeout=PATIENCE_S)
        assert status.phase == "faulted" and "the client of the Dask cluster is closed" in status.message
        for fleet in fleets:
            assert len(fleet.table()) == ASSETS
            fleet.close()
        with pytest.raises(UspnbError, match="closed"):
            worker_addresses(client)


def test_workers_of_a_cluster_know_a_kernel_of_an_importable_module(two_workers: Client, table: np.ndarray) -> None:
    config = PredictorConfig(kernels=("ito_levy", "mine"), **SMALL)
    stamps = np.arange(12) * SECOND
    ticks = Ticks(table[:12], stamps, np.full(12, np.nan))
    with registered():
        here = FleetComputation(config, ASSETS, 1)
        there = FleetComputation(config, ASSETS, hosts=ClusterHosts(two_workers))
        with contextlib.closing(there):
            np.testing.assert_array_equal(here.advance(ticks, stamps), there.advance(ticks, stamps))
        uspnb.register_kernel("mine", type("Cell", (Mean,), {"__module__": "__main__"}))
        with pytest.raises(DomainError, match="cannot import the registered kernel mine"):
            FleetComputation(config, ASSETS, hosts=ClusterHosts(two_workers))
