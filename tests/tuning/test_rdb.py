"""Campaigns in a database: several askers, workers of a cluster that die, and nothing counted twice or lost."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import killed_campaigns
import psycopg
import pytest
from distributed import Client
from study_stubs import bowl, campaign, sequence
from waiting import PATIENCE_S, until

from uspnb.errors import DomainError
from uspnb.tuning.storage import open_store

SHARED = """
import json, pathlib, sys
folder, here, storage = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
sys.path.insert(0, here)
import killed_campaigns
print(json.dumps(killed_campaigns.shared(folder, 3, True, storage)))
"""


def programs() -> Path:
    """The folder of PostgreSQL's programs, which Debian keeps out of the PATH."""
    program = shutil.which("initdb") or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
    if program is None:
        pytest.skip("there is no PostgreSQL server on this machine; `make postgres` installs one (.ci/postgres.sh)")
    return Path(program).resolve().parent


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of our own, on a socket in a folder that nobody else may enter."""
    folder = Path(tempfile.mkdtemp(prefix="uspnb-postgres-"))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")
    with contextlib.ExitStack() as after:
        after.callback(shutil.rmtree, folder)
        at, data = programs(), folder / "data"
        make = [at / "initdb", "-D", data, "-U", "tuner", "--auth=trust", "--no-sync", "--locale=C", "-E", "UTF8"]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)
        run = [at / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        server = subprocess.Popen(run, cwd=folder, stderr=subprocess.DEVNULL, **user)
        after.callback(server.wait)
        after.callback(server.send_signal, signal.SIGINT)  # ends sessions that are still open
        until(lambda: answers(folder) or server.poll() is not None)
        assert server.poll() is None, "postgres did not start"
        yield f"postgresql+psycopg://tuner@/postgres?host={folder}"


def answers(folder: Path) -> bool:
    try:
        psycopg.connect(host=str(folder), user="tuner", dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each kind, or at least one without the studies of this test."""
    return f"sqlite:///{tmp_path}/studies.db" if request.param == "sqlite" else request.getfixturevalue("postgres")


# First, while there are no tables.
def test_a_database_may_be_opened_by_many_at_once(storage: str, tmp_path: Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda k: open_store(storage, "many", tmp_path), range(8)))
    assert {store.study.study_name for store in opened} == {"many"}
    for store in opened:
        store.close()


def dying(mark: Path, victim: dict[str, Any]) -> Callable[[dict[str, Any]], float]:
    """`bowl`, but the first call with certain parameters kills its process."""
    lowest = bowl

    def objective(params: dict[str, Any]) -> float:
        if params == victim and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return lowest(params)

    objective.__name__ = lowest.__name__  # a campaign knows its objective by its name
    return objective


def test_a_killed_worker_changes_nothing_in_a_database(two_workers: Client, postgres: str, tmp_path: Path) -> None:
    whole = campaign(tmp_path / "whole", n_trials=12)
    whole.optimize()
    victim = whole.trials[6].user_attrs["params"]
    killing = campaign(tmp_path, dying(tmp_path / "killed", victim), study_name="killed", storage=postgres, n_trials=12)
    result = killing.optimize(client=two_workers)
    assert (tmp_path / "killed").exists()
    assert sequence(killing) == sequence(whole)
    assert (result.total_iterations, result.failed, result.best_objective) == (12, 0, whole.best_value)
    again = campaign(tmp_path, study_name="killed", storage=postgres, n_trials=12)
    assert sequence(again) == sequence(whole)


def test_two_askers_share_a_study_and_a_cluster(two_workers: Client, storage: str, tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=PATIENCE_S)
    met: set[int] = set()

    def meet(status: Any) -> None:
        if threading.get_ident() not in met:  # neither takes all batches before the other has told one
            met.add(threading.get_ident())
            both.wait()

    def ask(asker: Any) -> Any:
        return asker.optimize(client=two_workers, after_batch=meet)

    askers = [campaign(tmp_path, study_name="shared", storage=storage, n_trials=24) for _ in range(2)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(ask, askers))
    trials = campaign(tmp_path, study_name="shared", storage=storage).trials
    assert [trial.number for trial in trials] == list(range(24))
    assert all(trial.state.name == "COMPLETE" and trial.value == bowl(trial.params) for trial in trials)
    assert len({json.loads(trial.user_attrs["owner"])["run"] for trial in trials}) == 2  # it was shared
    assert min(result.best_objective for result in results) == min(bowl(trial.params) for trial in trials)


def test_processes_share_a_study_and_one_is_killed(postgres: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SHARED, str(tmp_path), str(Path(killed_campaigns.__file__).parent), postgres]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["codes"][1:] == [0, 0]
    assert [trial[0] for trial in outcome["trials"]] == list(range(30))
    assert {trial[1] for trial in outcome["trials"]} <= {"COMPLETE", "PRUNED", "FAIL"}
    assert len({json.dumps(trial[2]) for trial in outcome["trials"]}) == 30  # nobody drew what another had drawn


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    address = f"postgresql+psycopg://tuner:secret@/studies?host={tmp_path}"
    with pytest.raises(DomainError, match="cannot be opened") as refusal:
        campaign(tmp_path, storage=address).optimize(4)
    assert "secret" not in str(refusal.value) and str(tmp_path) in str(refusal.value)
