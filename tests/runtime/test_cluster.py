"""Tasks on a cluster of real processes: workers that are killed, tasks that fail, clusters that go away."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from waiting import until

from uspnb.errors import DomainError, UspnbError
from uspnb.runtime import cluster
from uspnb.runtime.cluster import Outcome, alone, checked_client, outcomes, worker_threads


@pytest.fixture
def nobody() -> Iterator[Client]:
    """The client of a cluster without workers."""
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        contextlib.closing(Client(cluster, set_as_default=False)) as client,
    ):
        yield client


def deadly(folder: Path, deaths: int) -> Callable[[int], int]:
    """A task that kills its worker the first times that it runs with 3, and counts its runs in files."""

    def task(number: int) -> int:
        runs = len(list(folder.glob(f"{number}-*")))
        (folder / f"{number}-{runs}").touch()
        if number == 3 and runs < deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        return number * number

    return task


def test_outcomes_come_in_the_order_of_their_calls(two_workers: Client, tmp_path: Path) -> None:
    def task(number: int) -> int:
        until(lambda: number != 0 or (tmp_path / "1").exists())
        (tmp_path / str(number)).touch()
        return number * number

    ended: list[int] = []
    results = outcomes(two_workers, task, [(number,) for number in range(7)], ended.append)
    assert results == [Outcome(number * number, "", False) for number in range(7)]
    assert sorted(ended) == list(range(7))
    assert outcomes(two_workers, task, []) == []


def test_both_workers_work(two_workers: Client, tmp_path: Path) -> None:
    def task(number: int) -> int:
        (tmp_path / str(number)).touch()
        until(lambda: len(list(tmp_path.iterdir())) == 2)
        return os.getpid()

    first, second = (outcome.value for outcome in outcomes(two_workers, task, [(0,), (1,)]))
    assert first != second and os.getpid() not in (first, second)
    assert worker_threads(two_workers) == 2


def test_what_a_worker_lacks_is_sent_after(two_workers: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "Lacks", bytearray)  # workers need not import uspnb for it

    def task(number: int, data: bytes | None) -> int | bytearray:
        return bytearray() if data is None and number else number + len(data or b"")

    calls: list[tuple[Any, ...]] = [(number, None) for number in range(4)]
    ended: list[int] = []
    results = outcomes(two_workers, task, calls, ended.append, lambda call: (call, b"four"))
    assert [outcome.value for outcome in results] == [0, 5, 6, 7]
    assert sorted(ended) == [0, 1, 2, 3]


def test_what_a_task_raises_is_its_own_failure(two_workers: Client) -> None:
    results = outcomes(two_workers, lambda number: 6 // number, [(2,), (0,), (3,)])
    assert results[::2] == [Outcome(3, "", False), Outcome(2, "", False)]
    assert results[1].value is None and results[1].reason.startswith("ZeroDivisionError: ") and not results[1].killed


def test_the_task_of_a_killed_worker_runs_elsewhere_and_no_other_runs_twice(
    two_workers: Client, tmp_path: Path
) -> None:
    results = outcomes(two_workers, deadly(tmp_path, deaths=1), [(number,) for number in range(8)])
    assert results == [Outcome(number * number, "", False) for number in range(8)]
    runs = {number: len(list(tmp_path.glob(f"{number}-*"))) for number in range(8)}
    assert runs.pop(3) == 2
    assert set(runs.values()) == {1}


def test_a_task_under_which_workers_die_again_and_again_is_given_up(
    two_workers: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster_of: Any = two_workers.cluster
    monkeypatch.setattr(cluster_of.scheduler, "allowed_failures", 1)
    task = deadly(tmp_path, deaths=99)
    results = outcomes(two_workers, task, [(number,) for number in range(6)])
    assert [outcome.killed for outcome in results] == [number == 3 for number in range(6)]
    assert results[3].reason == "2 workers died while they ran it"
    assert alone(two_workers, task, (3,)).killed


def test_an_interrupt_calls_off_what_has_not_run(two_workers: Client, tmp_path: Path) -> None:
    def interrupt(call: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcomes(two_workers, deadly(tmp_path, deaths=0), [(number,) for number in range(20)], interrupt)
    assert alone(two_workers, len, ("abc",)) == Outcome(3, "", False)
    assert len(list(tmp_path.iterdir())) < 20


def test_a_cluster_that_goes_away_is_said_to_be_lost(monkeypatch: pytest.MonkeyPatch, nobody: Client) -> None:
    monkeypatch.setattr(cluster, "POLL_S", 0.01)
    monkeypatch.setattr(cluster, "WORKER_PATIENCE_S", 0.05)
    with pytest.raises(UspnbError, match=r"all workers are gone and none came back within 0\.05 s"):
        alone(nobody, len, ("abc",))
    with pytest.raises(DomainError, match=r"the cluster has had no worker for 0\.05 s; start one"):
        checked_client(nobody)
    nobody.close()
    with pytest.raises(UspnbError, match="the client of the Dask cluster is closed; run it again"):
        alone(nobody, len, ("abc",))
    with pytest.raises(DomainError, match="client is closed; connect a new one"):
        checked_client(nobody)


def test_a_scheduler_that_goes_away_is_said_to_be_lost() -> None:
    cluster: Any = LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0")
    with cluster:
        client = Client(cluster.scheduler_address, set_as_default=False)
        leaving = threading.Timer(0.3, cluster.close)
        leaving.start()
        with pytest.raises(UspnbError, match=r"lost|closed"):
            alone(client, len, ("abc",))
        leaving.join()
        client.close()


@pytest.mark.parametrize("client", ["tcp://127.0.0.1:8786", 3])
def test_what_is_no_client_is_refused(client: Any) -> None:
    with pytest.raises(DomainError, match=rf"client has type {type(client).__name__}, expected distributed\.Client"):
        checked_client(client)


def test_an_asynchronous_client_is_refused(two_workers: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "asynchronous", property(lambda self: True))
    with pytest.raises(DomainError, match="client is asynchronous"):
        checked_client(two_workers)


def test_without_distributed_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DomainError, match=r"needs the package distributed; install it with: pip install 'uspnb\[clu"):
        checked_client("tcp://127.0.0.1:8786")


def test_waiting_in_two_threads_leaves_the_settings_of_dask_alone(two_workers: Client, tmp_path: Path) -> None:
    import dask.config as settings

    def held(number: int) -> None:
        (tmp_path / f"began {number}").touch()
        until((tmp_path / f"end {number}").exists)

    before = settings.get("scheduler", None)
    threads = [threading.Thread(target=alone, args=(two_workers, held, (k,))) for k in range(2)]
    for k, thread in enumerate(threads):
        thread.start()
        until((tmp_path / f"began {k}").exists)
    scheduler = settings.get("scheduler", None)
    for k, thread in enumerate(threads):  # in the order in which they began, not as blocks within one another
        (tmp_path / f"end {k}").touch()
        thread.join()
    assert scheduler == settings.get("scheduler", None) == before
