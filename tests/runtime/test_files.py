"""A file is replaced whole or not at all, whatever fails and whoever else writes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock
from waiting import PATIENCE_S

from uspnb.runtime import child as child_module
from uspnb.runtime import files
from uspnb.runtime.files import lock_path, write_atomic

posix_only = pytest.mark.skipif(os.name != "posix", reason="permissions, links and signals of POSIX")


def leftovers(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.name.endswith(".tmp")]


def test_writes_bytes_and_text(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    assert write_atomic(path, b"\x00\r\n\xff") == path.resolve()
    assert path.read_bytes() == b"\x00\r\n\xff"
    write_atomic(str(path), "Hölder\n")
    assert path.read_bytes() == "Hölder\n".encode()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("failing", ["fsync", "replace", "chmod"])
def test_failure_keeps_the_old_content(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    path.write_text("old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, failing, fail)
        with pytest.raises(OSError, match="No space left"):
            write_atomic(path, "new")
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == []
    write_atomic(path, "new")
    assert path.read_text() == "new"


def test_failure_mid_write_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    path.write_text("old")

    def half(temporary: Path, content: bytes, mode: int | None) -> None:
        temporary.write_bytes(content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "_write_through", half)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, "new" * 1000)
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == []


def test_first_write_that_fails_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_atomic(tmp_path / "state", "new")
    assert [entry.name for entry in tmp_path.iterdir()] in ([], [".state.lock"])


def test_bytes_reach_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        calls.append("fsync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync file")
        real_fsync(descriptor)

    def replace(source: Path, target: Path) -> None:
        calls.append("replace")
        real_replace(source, target)

    monkeypatch.setattr(files.os, "fsync", fsync)
    monkeypatch.setattr(files.os, "replace", replace)
    write_atomic(tmp_path / "state", b"x")
    assert calls[:2] == ["fsync file", "replace"]
    assert calls[2:] == (["fsync folder"] if hasattr(os, "O_DIRECTORY") else [])


def test_missing_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        write_atomic(tmp_path / "absent" / "state", b"x")
    assert list(tmp_path.iterdir()) == []


def test_target_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with pytest.raises(OSError):
        write_atomic(tmp_path / "state", b"x")
    assert leftovers(tmp_path) == []


def test_lock_held_elsewhere_times_out(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("old")
    with FileLock(lock_path(path)), pytest.raises(TimeoutError):
        write_atomic(path, "new", lock_timeout_s=0.1)
    assert path.read_text() == "old"


@posix_only
def test_permissions_and_links_survive(tmp_path: Path) -> None:
    path, link = tmp_path / "secret", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_atomic(link, "new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_concurrent_writers_end_with_one_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "state"
    contents = [bytes([65 + writer]) * (20_000 + writer) for writer in range(6)]
    write_atomic(path, contents[0])
    torn: list[int] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            content = path.read_bytes()
            if content not in contents:
                torn.append(len(content))

    def write(content: bytes) -> None:
        for _ in range(10):
            write_atomic(path, content)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert torn == []
    assert path.read_bytes() in contents
    assert leftovers(tmp_path) == []


# Importing JAX would take seconds, so that the packages are empty ones.
_CHILD = """
import importlib.util, os, signal, sys
spec = importlib.util.spec_from_file_location("child", sys.argv[1])
child = importlib.util.module_from_spec(spec)
spec.loader.exec_module(child)
child.empty_packages()
from uspnb.runtime import files as module
if sys.argv[4] == "die":
    module.os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
for _ in range(5):
    module.write_atomic(sys.argv[2], sys.argv[3] * 50_000)
"""


def child(path: Path, letter: str, fate: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _CHILD, str(child_module.__file__), str(path), letter, fate])


@posix_only
def test_writer_killed_before_the_rename_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("old")
    assert child(path, "n", "die").wait() == -9
    assert path.read_text() == "old"
    # Its lock died with it: the next writer does not wait.
    write_atomic(path, "new", lock_timeout_s=PATIENCE_S)
    assert path.read_text() == "new"


def test_writers_in_several_processes(tmp_path: Path) -> None:
    path = tmp_path / "state"
    children = [child(path, letter, "live") for letter in "abc"]
    assert [process.wait() for process in children] == [0, 0, 0]
    content = path.read_text()
    assert len(content) == 50_000
    assert len(set(content)) == 1
    assert leftovers(tmp_path) == []
