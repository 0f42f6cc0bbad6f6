"""Telemetry files: rotation, what a kill leaves, and disks that refuse."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from uspnb.errors import DomainError, IntegrityError
from uspnb.runtime.files import AppendFile
from uspnb.sinks import JsonLinesSink, Records, read_records

Make = Callable[[int, int], Records]


@pytest.fixture
def make(make_rows: Callable[..., np.ndarray], columns: dict[str, slice]) -> Make:
    """`count` records from tick `first` on."""

    def make(first: int, count: int) -> Records:
        return Records("a", first, np.arange(first, first + count), make_rows(count, first), columns)

    return make


def _numbers(folder: Path) -> list[int]:
    return [record["tick"] for record in read_records(folder)]


def test_files_rotate_and_the_oldest_go(tmp_path: Path, make: Make) -> None:
    """No file is longer than asked, ticks go on without a gap across them, and `retention` closed ones stay."""
    sink = JsonLinesSink(tmp_path / "t", rotate_bytes=10_000, retention=3)
    for first in range(1, 101, 7):
        sink.write(make(first, 7))
    sink.close()
    paths = sink.paths()
    assert len(paths) == 4 and all(path.stat().st_size <= 10_000 for path in paths)
    assert [int(path.stem[-8:]) for path in paths] == list(range(paths_end(paths) - 3, paths_end(paths) + 1))
    numbers = _numbers(tmp_path / "t")
    assert numbers == list(range(numbers[0], 106)) and 1 < numbers[0] < 106
    assert sink.status() == (105, 0, None)


def paths_end(paths: list[Path]) -> int:
    """Number of the newest file."""
    return int(paths[-1].stem[-8:])


def test_a_line_longer_than_a_file_has_one_of_its_own(tmp_path: Path, make: Make) -> None:
    """Rotation never cuts a line."""
    sink = JsonLinesSink(tmp_path, rotate_bytes=1, retention=100)
    sink.write(make(1, 5))
    sink.close()
    assert len(sink.paths()) == 5 and _numbers(tmp_path) == [1, 2, 3, 4, 5]


def test_a_file_is_continued_and_an_unfinished_line_is_cut_off(tmp_path: Path, make: Make) -> None:
    """At every length that a kill may have left, what was whole stays and what comes after is readable."""
    sink = JsonLinesSink(tmp_path / "whole")
    sink.write(make(1, 3))
    sink.close()
    (path,) = sink.paths()
    content = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == 10]
    for length in range(0, len(content) + 1, 97):
        folder = tmp_path / f"cut{length}"
        folder.mkdir()
        (folder / path.name).write_bytes(content[:length])
        again = JsonLinesSink(folder)
        again.write(make(4, 1))
        again.close()
        assert _numbers(folder) == [*range(1, 1 + sum(end <= length for end in ends)), 4]


def test_an_unfinished_last_line_is_passed_over_by_the_reader(tmp_path: Path, make: Make) -> None:
    """A log is readable while it is written."""
    sink = JsonLinesSink(tmp_path)
    sink.write(make(1, 2))
    sink.close()
    with sink.paths()[0].open("ab") as stream:
        stream.write(b'{"asset":"a","ti')
    assert _numbers(tmp_path) == [1, 2]


def test_an_endless_line_is_refused(tmp_path: Path) -> None:
    """Nobody reads a gigabyte to find its end."""
    (tmp_path / "telemetry_00000001.jsonl").write_bytes(b"x" * (1 << 20))
    with pytest.raises(IntegrityError, match="longer than any"):
        _numbers(tmp_path)


def test_a_full_disk_loses_what_does_not_fit_and_clears_by_itself(small_disk: Path, make: Make) -> None:
    """The count is exact, no line is cut, the condition is told, and goes when there is room again."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 500_000)
    sink = JsonLinesSink(small_disk / "t")
    for first in range(1, 61):
        sink.write(make(first, 1))
    written, lost, condition = sink.status()
    assert written + lost == 60 and written > 3 and lost > 3
    assert condition is not None and "No space left" in condition
    assert len(_numbers(small_disk / "t")) == written
    ballast.unlink()
    sink.write(make(61, 1))
    assert sink.status() == (written + 1, lost, None)
    sink.close()
    assert _numbers(small_disk / "t")[-1] == 61


def test_a_write_that_breaks_off_leaves_nothing_of_itself(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system takes half of a piece, then refuses: the half is cut off again."""
    sink = JsonLinesSink(tmp_path)
    sink.write(make(1, 2))
    whole, write = sink.paths()[0].read_bytes(), os.write
    calls = []

    def broken(descriptor: int, data: memoryview) -> int:
        calls.append(len(data))
        if len(calls) == 1:
            return write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", broken)
        sink.write(make(3, 4))
    assert len(calls) == 2 and sink.paths()[0].read_bytes() == whole
    assert sink.status()[:2] == (2, 4)
    sink.write(make(7, 1))
    sink.close()
    assert _numbers(tmp_path) == [1, 2, 7] and sink.status() == (3, 4, None)


def test_a_folder_that_cannot_be_is_told_and_comes_back(tmp_path: Path, make: Make) -> None:
    """A file stands where the folder should; root may write into read-only folders, so this is what can be tested."""
    folder = tmp_path / "t"
    folder.write_text("in the way")
    sink = JsonLinesSink(folder)
    sink.write(make(1, 2))
    written, lost, condition = sink.status()
    assert (written, lost) == (0, 2) and condition is not None and str(folder) in condition
    folder.unlink()
    sink.write(make(3, 1))
    assert sink.status() == (1, 2, None)
    sink.close()
    assert _numbers(folder) == [3]


def test_a_folder_that_vanishes_is_made_again(tmp_path: Path, make: Make) -> None:
    """Otherwise records would go on into a file that nobody can find."""
    sink = JsonLinesSink(tmp_path / "t")
    sink.write(make(1, 2))
    (path,) = sink.paths()
    path.unlink()
    (tmp_path / "t" / ".telemetry.lock").unlink()
    (tmp_path / "t").rmdir()
    sink.write(make(3, 2))
    sink.close()
    assert _numbers(tmp_path / "t") == [3, 4] and sink.status().condition is None


def test_two_services_do_not_write_into_one_folder(tmp_path: Path, make: Make) -> None:
    """The second says so, loses nothing of the first, and goes on when the first has ended."""
    first, second = JsonLinesSink(tmp_path), JsonLinesSink(tmp_path)
    first.write(make(1, 1))
    second.write(make(2, 1))
    condition = second.status().condition
    assert condition is not None and "another service" in condition and second.status().lost == 1
    first.write(make(3, 1))
    first.close()
    second.write(make(4, 1))
    second.close()
    assert _numbers(tmp_path) == [1, 3, 4] and second.status().condition is None


def test_what_another_adds_is_not_left_inside(tmp_path: Path) -> None:
    """A file that is longer than what was written is cut back before the next line."""
    file = AppendFile(tmp_path / "log")
    file.append(b"one\n")
    with (tmp_path / "log").open("ab") as stream:
        stream.write(b"half a li")
    file.append(b"two\n")
    file.close()
    file.close()
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
    assert oct((tmp_path / "log").stat().st_mode & 0o007) == "0o0"  # strangers read nothing


@pytest.mark.parametrize(("rotate", "retention", "name"), [(0, 1, "a"), (1, 0, "a"), (1, 1, "../a"), (1, 1, "")])
def test_bad_arguments_are_refused(tmp_path: Path, rotate: int, retention: int, name: str) -> None:
    """A name must not leave the folder."""
    with pytest.raises(DomainError):
        JsonLinesSink(tmp_path, rotate, retention, name=name)
