"""The store in one file: kills, damage, other people's files, a full disk."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from waiting import PATIENCE_S

from uspnb.errors import DomainError, IntegrityError
from uspnb.persistence.stores import SqliteStore, StoreUnavailableError

# The package without its `__init__`, which would bring JAX and seconds with it.
WRITER = """
import sys, types
package = sys.modules["uspnb"] = types.ModuleType("uspnb")
package.__path__ = [sys.argv[2]]
from uspnb.persistence.stores import SqliteStore
store = SqliteStore(sys.argv[1])
versions = [0] * 8
print("ready", flush=True)
sys.stdin.readline()
for k in range(1, 1_000_000):
    versions = store.set_many([(f"key {i}", b"%d " % k * 5000, version) for i, version in enumerate(versions)])
    print(k, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "states.db"


def test_it_outlives_the_process(path: Path) -> None:
    store = SqliteStore(path)
    version = store.put("a", b"kept")
    store.close()
    again = SqliteStore(path)
    held = again.get("a")
    assert held is not None and held == (b"kept", version) and again.put("b", b"") > version
    again.close()
    assert [left.name for left in path.parent.iterdir()] == ["states.db"]


def test_settings_that_survive_a_power_cut(path: Path) -> None:
    store = SqliteStore(path)
    assert store._database is not None
    assert store._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    store.close()


def test_killed_while_writing(path: Path, project_root: Path) -> None:
    """What was acknowledged is there, whole, and nothing is half there."""
    command = [sys.executable, "-c", WRITER, path, project_root / "uspnb"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None and child.stdout is not None
    try:
        assert child.stdout.readline() == b"ready\n"
        child.stdin.write(b"\n")
        child.stdin.flush()
        acknowledged = [int(child.stdout.readline()) for _ in range(5)]
    finally:
        child.send_signal(signal.SIGKILL)
    acknowledged += [int(number) for number in child.stdout.read().split()]
    child.wait()
    store = SqliteStore(path)
    entries = store.get_many(store.list("key"))
    values = {one.value for one in entries if one}
    assert len(entries) == 8 and len(values) == 1
    words = values.pop().split()
    assert len(words) == 5000 and len(set(words)) == 1
    assert int(words[0]) in (acknowledged[-1], acknowledged[-1] + 1)
    store.close()


def test_a_full_disk_leaves_what_was_there_and_clears_by_itself(path: Path) -> None:
    store = SqliteStore(path)
    before = store.put("a", b"kept")
    database = store._database
    assert database is not None
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages + 2}")  # what SQLite answers is what it answers to ENOSPC
    with pytest.raises(StoreUnavailableError, match="full; nothing was written"):
        store.set_many([("b", b"small", 0), ("a", bytes(1 << 20), before)])
    assert store.get("a") == (b"kept", before) and store.list() == ["a"]
    database.execute("PRAGMA max_page_count = 1000000")
    assert store.set_many([("a", bytes(1 << 20), before)])[0] is not None
    store.close()


def test_another_writer_that_does_not_finish(path: Path) -> None:
    store, other = SqliteStore(path, timeout_s=0.05), sqlite3.connect(path, isolation_level=None)
    version = store.put("a", b"kept")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="locked"):
        store.put("a", b"waits")
    assert store.get("a") == (b"kept", version)  # readers do not wait
    other.execute("ROLLBACK")
    assert store.put("a", b"now") > version
    other.close()
    store.close()


def test_a_new_file_opened_by_several_at_once(path: Path) -> None:
    gate, opened = threading.Barrier(4, timeout=PATIENCE_S), []

    def open_it() -> None:
        gate.wait()
        opened.append(SqliteStore(path))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    assert [opened[k].put("a", b"") for k in range(4)] == [1, 2, 3, 4]
    for store in opened:
        store.close()


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_file_that_vanishes_while_it_is_open(path: Path, how: str) -> None:
    """SQLite would go on writing to a file without a name, and all of it would be lost at the end."""
    store = SqliteStore(path)
    store.put("a", b"")
    for left in path.parent.iterdir():
        left.unlink()
    if how == "replaced":
        SqliteStore(path).close()
    with pytest.raises(StoreUnavailableError, match="removed or replaced while it was open"):
        store.put("a", b"into nowhere")
    store.close()


def test_what_is_no_store(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(IntegrityError, match="no database or a damaged one"):
        SqliteStore(path)
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE somebody (else_s TEXT)")
    other.close()
    with pytest.raises(DomainError, match="a database of something else"):
        SqliteStore(path)


def test_a_later_layout(path: Path) -> None:
    SqliteStore(path).close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 2")
    other.close()
    with pytest.raises(DomainError, match="layout version 2, and this program reads 1"):
        SqliteStore(path)


def test_damage_is_told(path: Path) -> None:
    store = SqliteStore(path)
    store.set_many([(f"key {i}", bytes([i]) * 50_000, 0) for i in range(20)])
    store.close()
    content = bytearray(path.read_bytes())
    content[3 * 16_384 :] = b"\xff" * (len(content) - 3 * 16_384)
    path.write_bytes(content)
    damaged = SqliteStore(path)
    with pytest.raises(IntegrityError, match="damaged"):
        damaged.get_many([f"key {i}" for i in range(20)])
    damaged.close()


def test_no_folder_and_no_time(tmp_path: Path, path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="unable to open"):
        SqliteStore(tmp_path / "missing" / "a.db")
    with pytest.raises(DomainError, match="timeout_s = -1"):
        SqliteStore(path, timeout_s=-1.0)
    assert not path.exists()
