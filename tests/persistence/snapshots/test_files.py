"""Files and folders of snapshots: the newest valid one stays, whatever the disk does."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from uspnb.errors import DomainError, IntegrityError
from uspnb.persistence.snapshots import (
    Progress,
    SnapshotFolder,
    codec,
    encode,
    files,
    progress_from,
    read_snapshot,
    write_snapshot,
)
from uspnb.runtime import files as whole_file


def at(payload: dict, ticks: int, instant: int | None = None) -> dict:
    progress = Progress(ticks, "s", 0, {})._asdict()
    return payload | {"progress": progress, "timestamp": 10**18 + ticks if instant is None else instant}


def ticks(path: Path) -> int:
    progress = progress_from(read_snapshot(path))
    assert progress is not None
    return progress.ticks


def strangers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not (p.name.startswith("snapshot_") and p.suffix == ".msgpack"))


def test_a_file_says_what_was_written(payload: dict, tmp_path: Path) -> None:
    for compression in ("none", "zstd"):
        written = write_snapshot(tmp_path / f"{compression}.msgpack", payload, compression)
        content = written.path.read_bytes()
        assert (written.bytes, written.checksum) == (len(content), content[-64:].decode())
        assert written.seconds > 0
        assert read_snapshot(written.path)["timestamp"] == payload["timestamp"]
    assert (tmp_path / "zstd.msgpack").stat().st_size < (tmp_path / "none.msgpack").stat().st_size


def test_the_newest_are_kept_in_order(payload: dict, tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path / "made" / "when needed", retention=3)
    assert folder.paths() == []
    assert folder.newest_valid() is None
    for n in range(7):
        folder.save(at(payload, 50 * n))
    assert [ticks(path) for path in folder.paths()] == [200, 250, 300]
    newest = folder.newest_valid()
    assert newest is not None
    assert (ticks(newest.path), newest.skipped) == (300, [])
    assert strangers(folder.folder) == [".snapshots.lock"]
    assert folder.paths()[-1].name == f"snapshot_{300:012d}_{10**18 + 300}.msgpack"


def test_a_damaged_one_is_passed_over_and_named(payload: dict, tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path)
    for n in range(4):
        folder.save(at(payload, n))
    cut, flipped = folder.paths()[3], folder.paths()[2]
    cut.write_bytes(cut.read_bytes()[:-1])
    damaged = bytearray(flipped.read_bytes())
    damaged[500] ^= 4
    flipped.write_bytes(damaged)
    with pytest.warns(UserWarning, match=r"2 snapshots cannot be used .*the newest valid one is snapshot_0{11}1_"):
        newest = folder.newest_valid()
    assert newest is not None
    assert ticks(newest.path) == 1
    assert [path for path, _ in newest.skipped] == [cut, flipped]
    assert all("checksum" in reason for _, reason in newest.skipped)
    for path in folder.paths():
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="none of the folder is valid"):
        assert folder.newest_valid() is None


def test_retention_never_removes_the_only_valid_one(payload: dict, tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, retention=2)
    folder.save(at(payload, 1))
    for n in range(2, 6):  # files that look newer and are not whole, even by a clock that was wrong
        (tmp_path / f"snapshot_{n:012d}_{3 * 10**18 + n}.msgpack").write_bytes(b"cut")
    folder.save(at(payload, 6))  # nothing is removed but by a save, and the one just saved is whole
    assert len(folder.paths()) == 2
    newest = folder.newest_valid()
    assert newest is not None
    assert (ticks(newest.path), newest.skipped) == (6, [])


def test_a_clock_set_back_does_not_make_an_old_one_the_newest(payload: dict, tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, retention=2)
    for n, instant in enumerate((9000, 9001, 4000, 4000, 4001)):
        folder.save(at(payload, n, instant))
    assert [ticks(path) for path in folder.paths()] == [3, 4]


def test_a_series_begun_again_is_newer_than_the_ticks_of_the_old(payload: dict, tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, retention=2)
    folder.save(at(payload, 9_999_999, 5000))
    folder.save(at(payload, 50, 6000))
    newest = folder.newest_valid()
    assert newest is not None
    assert ticks(newest.path) == 50


def test_what_a_killed_writer_left_is_cleaned_and_nothing_else(payload: dict, tmp_path: Path) -> None:
    ours = ".snapshot_000000000001_5.msgpack.0123456789abcdef0123456789abcdef.tmp"
    for name in (ours, ".snapshot_000000000001_5.msgpack.lock", "notes.txt", ".other.tmp", "snapshot_x.msgpack"):
        (tmp_path / name).write_bytes(b"x")
    folder = SnapshotFolder(tmp_path)
    folder.save(at(payload, 2))
    assert strangers(tmp_path) == [".other.tmp", ".snapshots.lock", "notes.txt"]
    assert (tmp_path / "snapshot_x.msgpack").exists()
    assert len(folder.paths()) == 1


def test_a_vanished_folder_is_made_again(payload: dict, tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path / "a" / "b")
    folder.save(at(payload, 1))
    shutil.rmtree(tmp_path / "a")
    assert folder.paths() == []
    folder.save(at(payload, 2))
    assert [ticks(path) for path in folder.paths()] == [2]


def test_a_file_in_the_place_of_the_folder_is_told(payload: dict, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    folder = SnapshotFolder(tmp_path / "taken")
    with pytest.raises(FileExistsError):
        folder.save(at(payload, 1))
    assert folder.paths() == []


def test_too_little_space_is_found_out_before_anything_is_written(
    payload: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SnapshotFolder(tmp_path)
    folder.save(at(payload, 1))
    needed = len(encode(at(payload, 2))) + files.SPARE_BYTES
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage._replace(free=needed - 1))
    monkeypatch.setattr(whole_file, "_write_through", lambda *_: pytest.fail("it wrote"))
    with pytest.raises(OSError, match=f"{needed - 1} are free") as refused:
        folder.save(at(payload, 2))
    assert refused.value.errno == errno.ENOSPC
    assert [ticks(path) for path in folder.paths()] == [1]


def test_a_full_disk_leaves_the_last_valid_one(
    payload: dict, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SnapshotFolder(small_disk / "snapshots")
    folder.save(at(payload, 1))
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 40_000))
    # As if the space had gone between the look and the write: the disk itself refuses half-way.
    monkeypatch.setattr(files, "check_space", lambda *_: None)
    with pytest.raises(OSError, match="No space left") as refused:
        folder.save(at(payload, 2))
    assert refused.value.errno == errno.ENOSPC
    assert [ticks(path) for path in folder.paths()] == [1]
    assert not [name for name in os.listdir(folder.folder) if name.endswith(".tmp")]
    monkeypatch.undo()
    with pytest.raises(OSError, match="are free"):
        folder.save(at(payload, 2))
    filler.unlink()
    folder.save(at(payload, 2))
    assert [ticks(path) for path in folder.paths()] == [1, 2]


def test_a_read_only_disk_leaves_the_last_valid_one(payload: dict, small_disk: Path) -> None:
    # Root ignores the mode of a folder, but not a file system that is mounted read-only.
    folder = SnapshotFolder(small_disk / "snapshots")
    folder.save(at(payload, 1))
    remount(small_disk, "ro")
    with pytest.raises(OSError, match="Read-only") as refused:
        folder.save(at(payload, 2))
    assert refused.value.errno == errno.EROFS
    newest = folder.newest_valid()
    assert newest is not None
    assert ticks(newest.path) == 1
    remount(small_disk, "rw")
    folder.save(at(payload, 2))
    assert [ticks(path) for path in folder.paths()] == [1, 2]


def remount(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True, capture_output=True)


@pytest.mark.parametrize("failing", ["fsync", "replace", "open"])
def test_an_error_of_the_disk_leaves_the_last_valid_one(
    payload: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    folder = SnapshotFolder(tmp_path)
    folder.save(at(payload, 1))

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    real = os.open

    def fail_to_make(path: object, flags: int, mode: int = 0o777, **rest: object) -> int:
        return fail() if str(path).endswith(".tmp") else real(path, flags, mode, **rest)  # type: ignore

    monkeypatch.setattr(whole_file.os, failing, fail_to_make if failing == "open" else fail)
    with pytest.raises(OSError, match="Input/output"):
        folder.save(at(payload, 2))
    monkeypatch.undo()
    assert [ticks(path) for path in folder.paths()] == [1]
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def test_an_old_one_that_cannot_be_removed_does_not_spoil_the_new(
    payload: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SnapshotFolder(tmp_path, retention=1)
    folder.save(at(payload, 1))
    old = folder.paths()[0]
    real = os.unlink

    def unlink(path: str | Path, **rest: object) -> None:
        if Path(path) == old:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        real(path, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(files.os, "unlink", unlink)
    folder.save(at(payload, 2))
    assert [ticks(path) for path in folder.paths()] == [1, 2]
    monkeypatch.undo()
    folder.save(at(payload, 3))
    assert [ticks(path) for path in folder.paths()] == [3]


def test_two_writers_of_one_folder_take_turns(payload: dict, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def write(first: int) -> None:
        folder = SnapshotFolder(tmp_path, retention=3)
        try:
            for n in range(first, first + 20, 2):
                folder.save(at(payload, n))
        except BaseException as problem:
            failures.append(problem)

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    folder = SnapshotFolder(tmp_path)
    assert not failures
    assert len(folder.paths()) == 3
    for path in folder.paths():
        read_snapshot(path)


def test_what_is_no_file_of_ours_is_refused_without_reading_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(IntegrityError, match="no regular file"):
            read_snapshot(path)
    with pytest.raises(IsADirectoryError):
        read_snapshot(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_snapshot(tmp_path / "none")
    huge = tmp_path / "huge"
    with huge.open("wb") as stream:
        stream.truncate(codec.most_file_bytes(codec.MAGIC["snapshot"]) + 1)
    with pytest.raises(IntegrityError, match="at most"):
        read_snapshot(huge)
    with huge.open("r+b") as stream:
        stream.write(codec.MAGIC["fleet"])
        stream.truncate(codec.most_file_bytes(codec.MAGIC["fleet"]) + 1)
    with pytest.raises(IntegrityError, match="at most"):
        read_snapshot(huge)


def test_a_payload_without_an_instant_or_a_bad_retention_is_refused(payload: dict, tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="timestamp"):
        SnapshotFolder(tmp_path).save(payload | {"timestamp": None})
    with pytest.raises(DomainError, match="retention"):
        SnapshotFolder(tmp_path, retention=0)
