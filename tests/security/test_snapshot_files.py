"""Snapshots on the disk: whose they are, what they are called, and what a spell of a bad disk leaves."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from uspnb import FunctionalPredictor, PredictorConfig
from uspnb.engine.service import Service
from uspnb.errors import ResourceBusyError
from uspnb.persistence.snapshots import SnapshotFolder, SnapshotWriter, files, series_folder, snapshot_of
from uspnb.persistence.snapshots.files import safe_name
from uspnb.persistence.snapshots.payload import Payload
from uspnb.sources import FeedSource

CONFIG = PredictorConfig()
NOW = 1_771_632_000_000_000_000


@pytest.fixture(scope="module")
def payload() -> Payload:
    """Of a cold state."""
    return snapshot_of(FunctionalPredictor(CONFIG).init_state(), CONFIG, timestamp_ns=NOW)


def mode_of(path: Path) -> int:
    """Its permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def test_snapshots_are_their_owners_alone(payload: Payload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    real = os.open

    def noting(path: Any, flags: int, mode: int = 0o777, **rest: Any) -> int:
        if str(path).endswith(".tmp"):
            opened.append(mode)
        return real(path, flags, mode, **rest)

    monkeypatch.setattr(os, "open", noting)
    before = os.umask(0o000)
    try:
        written = SnapshotFolder(tmp_path / "a").save(payload)
    finally:
        os.umask(before)
    assert mode_of(written.path) == 0o600 and mode_of(tmp_path / "a") == 0o700
    assert opened == [0o600]  # not even while it is being written


def test_the_folder_of_a_service_is_its_owners_alone(make_config: Any, begin: Any) -> None:
    config = make_config()
    feed = FeedSource(name="a")
    running = begin(config, {"a": feed}).ready()
    feed.put(1.0)
    running.until(lambda: running.service.series[0].ticks == 1)
    assert running.end() == 0
    root = Path(config.snapshot_path)
    assert mode_of(root) == mode_of(root / "a") == 0o700
    assert all(mode_of(path) == 0o600 for path in (root / "a").glob("snapshot_*"))


@pytest.mark.parametrize("digits", ["9999999999999999999", "9223372036854775807", "9223372036854775806"])
def test_a_stray_file_does_not_hide_the_next_snapshot(payload: Payload, tmp_path: Path, digits: str) -> None:
    stray = tmp_path / f"snapshot_000000000000_{digits}.msgpack"
    stray.write_bytes(b"")
    folder = SnapshotFolder(tmp_path, retention=1)
    for k in range(3):
        written = folder.save(payload | {"timestamp": NOW + k})
        newest = folder.newest_valid()
        assert newest is not None and newest.path == written.path and folder.paths() == [written.path]
    assert stray.exists()  # it is none of ours to remove


NAMES = [
    "a",
    "A",
    "b.c",
    "B.c",
    "con",
    "CON",
    "nul.txt",
    "aux",
    "com1",
    "lpt9.log",
    "x y",
    "X y",
    "ß",
    "ẞ",
    "é",
    "",
    "..",
    "a.",
]


def test_names_stay_apart_on_a_disk_that_ignores_case() -> None:
    folders = [safe_name(name) for name in NAMES]
    assert len({folder.lower() for folder in folders}) == len(NAMES)
    reserved = {"con", "prn", "aux", "nul", "com1", "lpt9"}
    assert not any(folder.lower().partition(".")[0] in reserved or folder.endswith(".") for folder in folders)
    assert safe_name("buoy-7.sea") == "buoy-7.sea"


def test_a_folder_that_an_earlier_version_made_is_gone_on_with(tmp_path: Path) -> None:
    config = PredictorConfig(snapshot_path=str(tmp_path))
    assert series_folder(config, "AAPL").name == safe_name("AAPL") != "AAPL"
    (tmp_path / "AAPL").mkdir()
    assert series_folder(config, "AAPL") == tmp_path / "AAPL"
    assert series_folder(config, "aapl") == tmp_path / "aapl"
    assert series_folder(config, "Aapl") != tmp_path / "AAPL"


def test_a_spell_of_a_full_disk_leaves_a_line_at_its_beginning_and_its_end(
    payload: Payload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    writer = SnapshotWriter(SnapshotFolder(tmp_path), queue_maxlen=10)

    def full(folder: Path, needed: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    with monkeypatch.context() as patched:
        patched.setattr(files, "check_space", full)
        for k in range(3):
            writer.submit(lambda k=k: payload | {"timestamp": NOW + k})
        assert writer.wait(60.0)
    assert writer.status().failed == 3
    writer.submit(lambda: payload).result(60.0)
    writer.close()
    said = [record.getMessage() for record in caplog.records if record.name == "uspnb.persistence"]
    assert len(said) == 2 and "No space left" in said[0] and str(tmp_path) in said[0] and "written again" in said[1]


def test_a_folder_that_vanishes_does_not_let_a_second_service_in(make_config: Any, begin: Any) -> None:
    config = make_config()
    running = begin(config, {"a": FeedSource(name="a")}).ready()
    shutil.rmtree(config.snapshot_path)
    with pytest.raises(ResourceBusyError, match="another service runs on"):
        Service(config, {"a": FeedSource(name="a")}, own_process=False).run()
    assert running.end() == 0
