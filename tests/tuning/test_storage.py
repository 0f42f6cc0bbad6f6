"""Where campaigns are kept: torn and damaged journals, other campaigns, databases, owners that live and die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import create_engine, text
from study_stubs import SPACE, campaign, interrupted, sequence
from waiting import until

from uspnb.errors import DomainError
from uspnb.tuning.space import SearchSpace
from uspnb.tuning.storage import GRACE_S, Owner, active_run, is_alive, open_store, owner_of


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of a campaign of 8 trials."""
    campaign(tmp_path).optimize(8)
    return tmp_path / "bowl.journal"


def test_two_campaigns_under_one_name_are_refused_with_what_differs(journal: Path) -> None:
    folder = journal.parent
    narrow = SPACE | {"x": SearchSpace("x", "float", (0.0, 1.0))}
    for other, reason in (
        (campaign(folder, seed=3), "seed 20260221, not 3"),
        (campaign(folder, batch_size=8), "batch_size 4, not 8"),
        (campaign(folder, lambda params: 0.0), "objective 'bowl', not '<lambda>'"),
        (campaign(folder, space=narrow), r"x ranges over \[-5.0, 5.0\], not \[0.0, 1.0\]"),
        (campaign(folder, space={"x": SPACE["x"]}), "n is there too"),
    ):
        with pytest.raises(
            DomainError, match=rf"holds another campaign \(.*{reason}.*give this one another study_name"
        ):
            other.optimize(12)
    assert campaign(folder).status().trials == 8
    # but two names share a journal
    shared = campaign(folder, seed=3, study_name="other", storage=str(journal))
    assert shared.optimize(4).total_iterations == 4 and campaign(folder).status().trials == 8


def test_a_study_of_another_version_or_of_no_campaign_is_refused(journal: Path) -> None:
    store = open_store(str(journal), "bowl", journal.parent)
    store.set_identity(store.identity() | {"version": 2})
    with pytest.raises(DomainError, match="has version 2 and this program reads version 1"):
        campaign(journal.parent).optimize(12)
    foreign = open_store(str(journal), "foreign", journal.parent).study
    foreign.tell(foreign.ask(), 1.0)
    with pytest.raises(DomainError, match="no campaign of uspnb made"):
        campaign(journal.parent, study_name="foreign", storage=str(journal)).status()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("{folder}", "is a folder"),
        ("{folder}/missing/a.journal", "there is no folder"),
        ("sqlite:///{folder}/missing/a.db", "there is no folder"),
        ("sqlite://", "a campaign is kept in a journal file"),
        ("mysql://host/name", "a campaign is kept in a journal file"),
        ("nonsense://me:secret@host", "a campaign is kept"),
        ("post gres://me:secret@host", "is no address of a database"),
        ("postgresql+psycopg://nobody:secret@127.0.0.1:1/none", "cannot be opened|needs the package"),
    ],
)
def test_places_that_cannot_be_used_are_refused(tmp_path: Path, place: str, message: str) -> None:
    with pytest.raises(DomainError, match=message) as refused:
        campaign(tmp_path, storage=place.format(folder=tmp_path)).optimize(4)
    assert "secret" not in str(refused.value)


def test_a_database_gives_the_same_campaign_as_a_journal(tmp_path: Path) -> None:
    place = f"sqlite:///{tmp_path}/campaigns.db"
    whole = campaign(tmp_path)
    whole.optimize(12)
    with pytest.raises(KeyboardInterrupt):
        campaign(tmp_path, interrupted(10), storage=place).optimize(12)
    optimizer = campaign(tmp_path, storage=place)
    optimizer.optimize(12)
    assert sequence(optimizer) == sequence(whole)
    assert optimizer.study.best_value == whole.best_value


def test_of_another_machine_only_the_heartbeat_says_that_it_is_gone(tmp_path: Path) -> None:
    place = f"sqlite:///{tmp_path}/campaigns.db"
    running = half_run(tmp_path, place, Owner("elsewhere", 7, 0.0, "r"))
    assert campaign(tmp_path, storage=place).optimize(4).total_iterations == 0
    assert not running.is_abandoned(running.trials()[0])
    engine = create_engine(place)
    with engine.begin() as connection:
        late = f"-{GRACE_S + 10} seconds"
        connection.execute(text(f"UPDATE trial_heartbeats SET heartbeat = datetime('now', '{late}')"))
    engine.dispose()
    assert running.is_abandoned(running.trials()[0])
    running.close()
    assert campaign(tmp_path, storage=place).optimize(4).total_iterations == 4


def test_of_another_machine_with_the_same_journal_only_a_person_says_that_it_is_gone(tmp_path: Path) -> None:
    half_run(tmp_path, "", Owner("elsewhere", 7, 0.0, "r"))
    optimizer = campaign(tmp_path)
    assert optimizer.optimize(4).total_iterations == 0
    optimizer.disown("elsewhere")
    assert optimizer.optimize(4).total_iterations == 4


def test_owners_are_told_by_process_start_and_call(tmp_path: Path) -> None:
    me = psutil.Process()
    with active_run() as owner:
        assert is_alive(owner) and owner_of(owner.text()) == owner
        assert not is_alive(owner._replace(run="an earlier cell"))
    assert not is_alive(owner)
    parent = psutil.Process(me.ppid())
    alive = Owner(owner.host, parent.pid, parent.create_time(), "r")
    assert is_alive(alive)
    assert not is_alive(alive._replace(started=alive.started - 100.0))  # the number was used again
    ended = subprocess.Popen([sys.executable, "-c", ""])
    began = psutil.Process(ended.pid).create_time()
    until(lambda: psutil.Process(ended.pid).status() == psutil.STATUS_ZOMBIE)
    assert not is_alive(Owner(owner.host, ended.pid, began, "r"))
    ended.wait()
    assert not is_alive(Owner(owner.host, ended.pid, began, "r"))
    assert is_alive(owner._replace(host="elsewhere")) is None and owner_of("") is None


def half_run(folder: Path, place: str, owner: Owner) -> Any:
    """The storage of a campaign whose first batch is asked for by somebody."""
    with pytest.raises(KeyboardInterrupt):
        campaign(folder, interrupted(1), storage=place).optimize(4)
    store = open_store(place, "bowl", folder)
    for trial in store.trials():
        assert json.loads(trial.user_attrs["owner"])["pid"] == os.getpid()
        store.storage.set_trial_user_attr(store.id_of(trial.number), "owner", owner.text())
    return store
