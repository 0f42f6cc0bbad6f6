"""Ring and archive against one long array: whatever is appended, cut and read."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from uspnb.engine.recording import MOST_VIEWED, ArchiveFolder, Recording
from uspnb.errors import DomainError, IntegrityError

WIDTH = 3


class MemoryArchive:
    """An archive in a dict, that fails when it is told to."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[np.ndarray, int]] = {}
        self.full = False

    def write(self, start: int, rows: np.ndarray, stamps: np.ndarray) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        for k, (row, stamp) in enumerate(zip(rows, stamps, strict=True)):
            self.rows[start + k] = row.copy(), int(stamp)

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        stored = [self.rows[k] for k in range(start, stop)]
        return np.array([row for row, _ in stored]), np.array([stamp for _, stamp in stored], np.int64)


def block(rng: np.random.Generator, length: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((length, WIDTH)), rng.integers(-(2**60), 2**60, length)


@pytest.mark.parametrize("limit", [256, 300, 5000])
@pytest.mark.parametrize("disk", [False, True])
def test_a_recording_is_an_array(tmp_path: Path, limit: int, disk: bool) -> None:
    """Appends of 1 to 128 rows, cuts to anywhere, and reads of any stretch, against a plain array."""
    rng = np.random.default_rng(limit)
    archive = ArchiveFolder(tmp_path / "rows", ("a", "b", "c")) if disk else MemoryArchive()
    recording = Recording(limit, WIDTH, archive)
    rows, stamps = np.empty((0, WIDTH)), np.empty(0, np.int64)
    for turn in range(60):
        more, when = block(rng, int(rng.integers(1, 129)))
        recording.make_room(128)
        recording.append(more, when)
        rows, stamps = np.concatenate([rows, more]), np.concatenate([stamps, when])
        assert recording.first <= recording.spilled or recording.spilled == 0 == recording.first
        if turn % 11 == 10:
            cut = int(rng.integers(0, len(rows) + 1))
            recording.cut(cut)
            rows, stamps = rows[:cut], stamps[:cut]
        assert recording.count == len(rows)
        start, stop = sorted(rng.integers(0, len(rows) + 1, 2).tolist())
        for reader in (recording.read, lambda a, b: recording.read_view(a, b)[1:]):
            ours, ours_stamps = reader(start, stop)
            np.testing.assert_array_equal(ours, rows[start:stop])
            np.testing.assert_array_equal(ours_stamps, stamps[start:stop])
        first, newest, _ = recording.newest(0, len(rows))
        np.testing.assert_array_equal(newest, rows[first:])
        assert len(newest) <= limit
    if limit < 1000:
        assert recording.spilled > 0
    recording.spill_all()
    assert recording.spilled == recording.count


def test_a_disk_that_is_full_loses_nothing() -> None:
    rng, archive = np.random.default_rng(1), MemoryArchive()
    recording = Recording(256, WIDTH, archive)
    rows, stamps = block(rng, 256)
    recording.append(rows, stamps)
    archive.full = True
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            recording.make_room(128)
    np.testing.assert_array_equal(recording.read(0, 256)[0], rows)
    archive.full = False
    recording.make_room(128)
    more, when = block(rng, 128)
    recording.append(more, when)
    np.testing.assert_array_equal(recording.read(0, 384)[0], np.concatenate([rows, more]))


def test_a_reader_beside_the_writer_sees_whole_rows() -> None:
    recording = Recording(256, WIDTH, MemoryArchive())
    torn: list[int] = []

    def read() -> None:
        while recording.count < 20_000:
            first, rows, stamps = recording.newest(recording.count - 100, recording.count)
            expected = np.arange(first, first + len(rows))
            if not (rows == expected[:, None]).all() or not (stamps == expected).all():
                torn.append(first)

    reader = threading.Thread(target=read)
    reader.start()
    while recording.count < 20_000:
        ticks = np.arange(recording.count, recording.count + 100)
        recording.make_room(128)
        recording.append(np.repeat(ticks[:, None].astype(float), WIDTH, axis=1), ticks)
    reader.join()
    assert not torn


def test_a_view_is_given_the_newest_of_too_many() -> None:
    recording = Recording(256, WIDTH, MemoryArchive())
    while recording.count < MOST_VIEWED + 1000:
        recording.make_room(128)
        recording.append(np.full((128, WIDTH), float(recording.count)), np.zeros(128, np.int64))
    first, rows, _ = recording.read_view(0, recording.count)
    assert len(rows) == MOST_VIEWED and first == recording.count - MOST_VIEWED


def test_history_that_is_cut_while_it_is_read_is_refused() -> None:
    archive = MemoryArchive()
    recording = Recording(256, WIDTH, archive)
    for _ in range(8):
        recording.make_room(128)
        recording.append(*block(np.random.default_rng(0), 128))
    read = archive.read

    def cut_meanwhile(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        recording.revision += 1  # what `cut` does, which waits for the reader's turn to end
        return read(start, stop)

    archive.read = cut_meanwhile  # type: ignore[method-assign]
    with pytest.raises(DomainError, match="went back in time while its history was read"):
        recording.read(0, 500)


@pytest.mark.parametrize("spoilt", ["filled", "file", "below a file"])
def test_an_archive_folder_that_cannot_be_used(tmp_path: Path, spoilt: str) -> None:
    target = tmp_path / "archive"
    if spoilt == "filled":
        target.mkdir()
        (target / "thesis.txt").write_text("mine")
    else:
        target.write_text("a file")
    folder = target / "rows" if spoilt == "below a file" else target
    with pytest.raises(DomainError, match=r"not empty|cannot be made"):
        ArchiveFolder(folder, ())


def test_rows_that_someone_removed_are_missed(tmp_path: Path) -> None:
    archive = ArchiveFolder(tmp_path / "rows", ("a", "b", "c"))
    archive.write(0, *block(np.random.default_rng(0), 300))
    shutil.rmtree(tmp_path / "rows" / "rows" / "c")
    with pytest.raises(IntegrityError, match="no longer in the archive"):
        archive.read(0, 300)


def test_a_temporary_archive_goes_and_a_named_one_stays(tmp_path: Path) -> None:
    rows, stamps = block(np.random.default_rng(0), 300)
    named, temporary = ArchiveFolder(tmp_path / "rows", ("a", "b", "c")), ArchiveFolder(None, ("a", "b", "c"))
    for archive in (named, temporary):
        archive.write(0, rows, stamps)
        np.testing.assert_array_equal(archive.read(100, 200)[0], rows[100:200])
        archive.close()
    np.testing.assert_array_equal(named.read(100, 200)[1], stamps[100:200])
    assert temporary.folder is not None and not temporary.folder.exists()
    with pytest.raises(DomainError, match="removed when the session was closed"):
        temporary.read(0, 10)
