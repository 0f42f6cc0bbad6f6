"""Kills, bad disks, many writers, careless editors: the file is the old or the new one, and the log is true."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import interrupted_mutations
import pytest
from filelock import FileLock

from uspnb.config import audit, mutation_place
from uspnb.config.load import load_config
from uspnb.config.mutation import history, mutate_config, record_decision, rollback, verify_audit
from uspnb.errors import ConfigMutationError, ConfigWriteError
from uspnb.runtime import files
from uspnb.runtime.files import lock_path, replace_content

NOW = 1_771_664_400_000_000_000
CHANGE = {"cusum_k": 0.6}


def change(path: Path, changes: dict[str, Any] = CHANGE, **rest: Any) -> Any:
    return mutate_config(path, changes, **{"trigger": "test", "now_ns": NOW, **rest})


def left(folder: Path) -> list[str]:
    """What lies in a folder beside the file, its lock and its log."""
    return sorted(set(os.listdir(folder)) - {"config.toml", ".config.toml.lock", "io"})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the changes are forked")
def test_killed_in_each_phase_and_many_at_once() -> None:
    # One process for all, because each pays the imports; `python benchmarks/mutation.py` kills more often.
    stages = ["phases", "kills", "writers", "--kills", "3", "--limit", "20"]
    command = [sys.executable, interrupted_mutations.__file__, *stages]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    phases, kills, writers = outcome["phases"], outcome["kills"], outcome["writers"]
    # Before every call of a change, and within each of its two lines of the log.
    assert phases["calls"] == phases["left the old file"] + phases["left the new file"] >= 30
    assert phases["left the new file"] >= 3 and phases["lines left unfinished"] == 2
    assert phases["settled as abandoned"] >= 10 and phases["settled as accepted"] >= 3
    assert kills["temporary files left"] == 0
    # One of the twenty changes of the hour is the one that made the file.
    assert writers["accepted"] == writers["accepted by the log"] == 19
    assert writers["refused"] == writers["refused by the log"] == 8 * 3 - 19
    assert writers["agree"] and writers["invalid reads"] == 0 and writers["reads"] > 0


@pytest.mark.parametrize("failing", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("call", range(1, 8))
def test_whatever_the_disk_refuses_the_file_is_old_or_new(
    path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, call: int
) -> None:
    change(path, {"cusum_k": 0.55})
    before, names = path.read_bytes(), left(path.parent)
    calls, real, sealing = 0, getattr(os, failing), False

    def fail(*arguments: Any) -> Any:
        nonlocal calls
        calls += not sealing
        if calls == call and not sealing:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    def seal(*arguments: Any) -> None:
        """A seal that is not written is late, and nothing else (tests/security/test_integrity_key.py)."""
        nonlocal sealing
        sealing = True
        replace_content(*arguments)
        sealing = False

    raised = done = None
    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        patch.setattr(audit, "replace_content", seal)
        try:
            done = change(path)
        except ConfigWriteError as error:
            raised = error
    if raised is not None:
        assert str(raised) == f"{path} cannot be changed: No space left on device; the file is as it was"
        assert raised.errno == errno.ENOSPC and isinstance(raised, (OSError, ConfigMutationError))
        assert path.read_bytes() == before and left(path.parent) == names
    else:
        assert done is not None and done.changed and load_config(path).cusum_k == 0.6
        assert calls < call or failing == "fsync"
        assert bool(done.record.reason) is (calls >= call)
    assert verify_audit(path.parent / "io" / "mutations.log").ok
    accepted = [record.changes["cusum_k"][1] for record in history(path) if record.outcome == "accepted"]
    assert accepted == ([0.55] if raised else [0.55, 0.6])
    assert change(path, {"cusum_k": 0.65}).changed


def test_a_disk_that_is_full(small_disk: Path, path: Path) -> None:
    path = Path(shutil.copyfile(path, small_disk / "config.toml"))
    change(path, {"cusum_k": 0.55})
    before, names = path.read_bytes(), left(small_disk)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space left"):
        while True:
            stream.write(b"x" * 4096)
    for call in (lambda: change(path), lambda: rollback(path)):
        with pytest.raises(ConfigWriteError, match="No space left on device; the file is as it was"):
            call()
    assert path.read_bytes() == before
    filler.unlink()
    assert left(small_disk) == names
    assert verify_audit(small_disk / "io" / "mutations.log").ok
    assert change(path).changed and [r.outcome for r in history(path) if r.outcome == "accepted"] == ["accepted"] * 2


def test_a_disk_that_is_read_only(small_disk: Path, path: Path) -> None:
    path = Path(shutil.copyfile(path, small_disk / "config.toml"))
    change(path, {"cusum_k": 0.55})
    before, names = path.read_bytes(), left(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    calls: list[Callable[[], Any]] = [
        lambda: change(path),
        lambda: rollback(path),
        lambda: record_decision(path, "watching", "test"),
    ]
    for call in calls:
        with pytest.raises(ConfigMutationError, match=r"(?i)read-only"):
            call()
    assert path.read_bytes() == before and left(small_disk) == names
    assert [record.outcome for record in history(path)] == ["accepted"]
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert change(path).changed


def test_a_log_that_cannot_be_written_stops_the_change(path: Path) -> None:
    (path.parent / "io").write_text("a file where the folder of the log would be")
    before = path.read_bytes()
    with pytest.raises(ConfigWriteError, match="the file is as it was"):
        change(path)
    with pytest.raises(ConfigMutationError, match=r"is locked \(and the audit log .* cannot be written: "):
        change(path, {"float_precision": 64})
    assert path.read_bytes() == before and left(path.parent) == []


def test_the_outcome_that_the_log_did_not_take_is_added_by_the_next_call(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = mutation_place.AuditLog.append

    def append(log: Any, record: Any, **rest: Any) -> Any:
        if record.outcome == "accepted":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(log, record, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(mutation_place.AuditLog, "append", append)
        done = change(path)
    assert done.changed and "the next call adds it" in done.text()
    (logged,) = history(path)
    assert (logged.outcome, logged.reason) == ("accepted", "interrupted after the file was replaced")
    assert logged.after == done.new_hash and len(history(path)) == 1


def test_a_file_edited_after_a_kill_is_not_guessed_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    real = mutation_place.replace_content

    def die(target: Path, *rest: Any) -> None:
        if target == path.resolve():  # a copy of it was written before
            raise Killed
        real(target, *rest)

    for edited, outcome in ((False, "abandoned"), (True, "unknown")):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(mutation_place, "replace_content", die)
            change(path)
        if edited:
            path.write_text(path.read_text() + "# by hand\n")
        assert history(path)[-1].outcome == outcome
    assert "whether it had been replaced cannot be known" in history(path)[-1].reason
    assert change(path).changed


def test_a_rollback_that_was_killed_is_settled_as_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    real = mutation_place.replace_content

    def die_after(target: Path, *rest: Any) -> None:
        real(target, *rest)
        if target == path.resolve():
            raise Killed

    change(path)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(mutation_place, "replace_content", die_after)
        rollback(path)
    assert load_config(path).cusum_k == 0.5
    record = history(path)[-1]
    assert (record.outcome, record.reason) == ("rolled_back", "interrupted after the file was replaced")


def test_an_editor_that_saves_meanwhile_wins(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = mutation_place.make_backup

    def slow(*arguments: Any) -> Path:
        path.write_text("# by hand\n")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(mutation_place, "make_backup", slow)
        with pytest.raises(ConfigMutationError, match="was edited meanwhile, so that nothing was changed; try again"):
            change(path)
    assert path.read_text() == "# by hand\n"
    assert [record.outcome for record in history(path)] == ["abandoned"]
    assert [name for name in left(path.parent) if name != "config.toml.bak"] == []


def test_a_lock_held_elsewhere_is_said(path: Path) -> None:
    place = mutation_place.MutationPlace(path)
    with FileLock(lock_path(path)):
        with pytest.raises(ConfigWriteError, match="another writer holds the lock"), place.held(0.05):
            pass
        assert history(path) == []  # a reader waits for nobody


def test_what_a_killed_writer_left_is_removed_and_nothing_else(path: Path) -> None:
    stale = ".config.toml.bak.20260221T090000.000000000Z." + "0" * 32 + ".tmp"
    others = [".other.toml." + "0" * 32 + ".tmp", ".config.toml.mine.tmp", "config.toml.tmp"]
    for name in (stale, ".config.toml." + "f" * 32 + ".tmp", *others):
        path.with_name(name).write_text("")
    change(path, {})
    assert left(path.parent) == sorted(others)
    files.remove_temporaries(path)
    assert left(path.parent) == sorted(others)


def test_a_damaged_log_stops_changes_but_not_a_rollback(path: Path) -> None:
    first = path.read_bytes()
    change(path)
    log = path.parent / "io" / "mutations.log"
    log.write_bytes(log.read_bytes().replace(b"test", b"best"))
    damaged = log.read_bytes()
    with pytest.raises(ConfigMutationError, match=r"the audit log .* is damaged .* nothing is changed automatically"):
        change(path, {"cusum_k": 0.65})
    assert load_config(path).cusum_k == 0.6 and log.read_bytes() == damaged
    rollback(path, now_ns=NOW + 5)
    assert path.read_bytes() == first
    (record,) = history(path)
    aside = log.with_name(f"mutations.log.damaged-{NOW + 5}")
    assert record.details["damaged_log"] == aside.name and aside.read_bytes() == damaged
    assert change(path, {"cusum_k": 0.65}).changed
