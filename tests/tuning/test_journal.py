"""The journal: torn records, damaged records, other programs, killed holders of its lock, a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from study_stubs import campaign, sequence

from uspnb.errors import IntegrityError
from uspnb.tuning.journal import JournalFile

# An entry of the journal, as another Optuna program writes it: without a checksum.
FOREIGN = b'{"op_code":2,"worker_id":"w-1","study_id":0,"user_attr":{"note":"seen"}}\n'
HOLDER = """
import sys
from filelock import FileLock
FileLock(sys.argv[1]).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of a campaign of 8 trials."""
    campaign(tmp_path).optimize(8)
    return tmp_path / "bowl.journal"


@pytest.mark.parametrize("tail", [b"{", b'{"op_code":4,"worker_id":"a-1","study_id"', b"\0" * 300, b"\xff\xfe"])
def test_a_torn_last_record_is_cut_off_and_the_campaign_goes_on(journal: Path, tail: bytes) -> None:
    whole = campaign(journal.parent / "whole")
    whole.optimize(12)
    with journal.open("ab") as file:
        file.write(tail)
    optimizer = campaign(journal.parent)
    assert optimizer.opened().trimmed == len(tail)
    optimizer.optimize(12)
    assert sequence(optimizer) == sequence(whole)


def test_a_record_torn_by_another_process_is_cut_off_before_the_next_is_appended(journal: Path) -> None:
    optimizer = campaign(journal.parent)
    optimizer.optimize(8)
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,"worker')
    optimizer.optimize(12)
    assert campaign(journal.parent).status().trials == 12


def test_a_journal_that_is_all_torn_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "bowl.journal").write_bytes(b'{"op_code"')
    assert campaign(tmp_path).optimize(4).total_iterations == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"value', b'"valve', "does not match its checksum"),
        (b"\n", b"\nnonsense\n", "this is no JSON"),
        (b"\n", b"\n[1, 2]\n", "no record of an Optuna journal"),
    ],
)
def test_a_damaged_journal_is_refused_with_its_line(journal: Path, old: bytes, new: bytes, message: str) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if i > 2 and old in line)
    lines[place] = lines[place].replace(old, new, 1)
    journal.write_bytes(b"".join(lines))
    line = place + 1 + (old == b"\n")
    with pytest.raises(IntegrityError, match=rf"bowl.journal, line {line}: .*{message}.*put the journal aside"):
        campaign(journal.parent).optimize(12)


def test_any_byte_that_flips_is_noticed(journal: Path) -> None:
    content = journal.read_bytes()
    for place in range(7, len(content) - 1, len(content) // 60):
        end = content.index(b"\n", place)
        if end - 19 <= place < end - 11 or place == end:
            continue  # the name of the checksum itself, or the end of a line: what was recorded is still whole
        journal.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(IntegrityError, match="line"):
            JournalFile(journal)
    journal.write_bytes(content)
    JournalFile(journal)


def test_records_of_other_optuna_programs_are_read(journal: Path) -> None:
    with journal.open("ab") as file:
        file.write(FOREIGN)
    optimizer = campaign(journal.parent)
    optimizer.optimize(12)
    assert optimizer.study.user_attrs["note"] == "seen"
    plain = optuna.load_study(study_name="bowl", storage=JournalStorage(JournalFileBackend(str(journal))))
    assert plain.best_value == optimizer.best_value


def test_the_lock_of_a_killed_process_holds_nobody_up(journal: Path) -> None:
    lock = journal.with_name(".bowl.journal.lock")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    holder.kill()
    holder.wait()
    # Optuna's own lock would be one of these names, left behind by the dead.
    os.symlink(journal, f"{journal}.lock")
    campaign(journal.parent).optimize(12)
    assert os.path.islink(f"{journal}.lock")  # where Optuna waits for a dead holder, and takes its lock from it


def test_a_failed_append_leaves_whole_records(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = JournalFile(journal)
    before = journal.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        file.append_logs([{"op_code": 2, "worker_id": "w", "study_id": 0, "user_attr": {"a": 1}}])
    assert journal.read_bytes() == before
