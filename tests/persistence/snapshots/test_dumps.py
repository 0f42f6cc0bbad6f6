"""Emergency dumps are private, rare and whole; a look at any file tells what it is."""

from __future__ import annotations

import dataclasses
import os
import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from waiting import PATIENCE_S

from uspnb import PredictorConfig
from uspnb.errors import DomainError, IntegrityError
from uspnb.model.state import PredictorState
from uspnb.persistence.snapshots import (
    EmergencyDumps,
    config_from,
    dumps,
    encode,
    inspect_file,
    read_dump,
    read_snapshot,
    state_from,
    write_snapshot,
)
from uspnb.persistence.snapshots.files import safe_name
from uspnb.runtime.digest import sha256_pytree

ROWS = np.arange(12.0).reshape(4, 3)
COLUMNS = ("cusum_up", "cusum_down", "observation")
LAST = {"kurtosis": np.float64(9.0), "emergency": np.bool_(True), "alarm": False, "weight": np.full(4, 0.25)}


def test_a_dump_holds_what_led_there_and_can_be_resumed(
    learned: PredictorState, config: PredictorConfig, tmp_path: Path
) -> None:
    dumps = EmergencyDumps(tmp_path / "emergency", 60.0)
    path = dumps.offer("EURUSD", learned, config, LAST, ROWS, COLUMNS, 0.0)
    assert path is not None
    held = read_dump(path)
    assert held["asset"] == "EURUSD"
    assert np.array_equal(held["buffers"]["window"], np.asarray(learned.frame.window))
    assert np.array_equal(held["cusum"]["up"], np.asarray(learned.charts.up))
    assert held["cusum"].keys() == set(learned.charts._fields)
    assert np.array_equal(held["weights"], np.asarray(learned.weight))
    assert held["telemetry"]["emergency"] is True
    assert held["telemetry"]["kurtosis"] == 9.0
    assert np.array_equal(held["telemetry"]["weight"], LAST["weight"])
    assert (held["history"]["columns"], held["history"]["rows"].tolist()) == (list(COLUMNS), ROWS.tolist())
    assert held["flags"]["emergency"] is bool(learned.roughness.emergency)
    assert sha256_pytree(state_from(held, learned)) == sha256_pytree(learned)
    assert config_from(held) == config
    with pytest.raises(IntegrityError, match="a dump, not a snapshot"):
        read_snapshot(path)


def test_nobody_else_can_read_them(learned: PredictorState, config: PredictorConfig, tmp_path: Path) -> None:
    before = os.umask(0)  # the widest
    try:
        dumps = EmergencyDumps(tmp_path / "made" / "emergency", 0.0)
        path = dumps.offer("a", learned, config, {}, None, ())
    finally:
        os.umask(before)
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert dumps.condition is None


def test_it_is_never_readable_by_others_while_it_is_written(
    learned: PredictorState, config: PredictorConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    real = os.fsync

    def look(descriptor: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        real(descriptor)

    monkeypatch.setattr(dumps.os, "fsync", look)
    EmergencyDumps(tmp_path / "emergency", 0.0).offer("a", learned, config, {}, None, ())
    assert modes[0] == 0o600


def test_a_folder_that_is_open_to_others_is_told(
    learned: PredictorState, config: PredictorConfig, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    dumps = EmergencyDumps(tmp_path, 0.0)
    assert dumps.offer("a", learned, config, {}, None, ()) is not None
    assert "open to others (mode 755); chmod 700" in str(dumps.condition)
    tmp_path.chmod(0o700)
    dumps.offer("a", learned, config, {}, None, ())
    assert dumps.condition is None


def test_one_dump_in_an_interval_for_each_series(
    learned: PredictorState, config: PredictorConfig, tmp_path: Path
) -> None:
    dumps = EmergencyDumps(tmp_path / "e", 60.0)
    offered = [(asset, second) for second in (0.0, 59.9, 60.0, 100.0, 120.0) for asset in ("a", "b")]
    written = [dumps.offer(asset, learned, config, {}, None, (), second) is not None for asset, second in offered]
    assert written == [True, True, False, False, True, True, False, False, True, True]
    assert (dumps.written, dumps.withheld) == (6, 4)
    assert len(list((tmp_path / "e").iterdir())) == 6


def test_the_number_of_dumps_and_of_remembered_series_is_bounded(
    learned: PredictorState, config: PredictorConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dumps, "MOST_ASSETS_REMEMBERED", 2)
    folder = EmergencyDumps(tmp_path / "e", 60.0, retention=3)
    (tmp_path / "e").mkdir(mode=0o700)
    (tmp_path / "e" / "notes.txt").write_text("mine")
    old = tmp_path / "e" / ".emergency_a_1.msgpack.tmp"
    old.write_bytes(b"left by a killed writer")
    os.utime(old, (1, 1))
    written = [folder.offer(asset, learned, config, {}, None, (), 0.0) for asset in "abcde"]
    assert sorted(path.name for path in (tmp_path / "e").iterdir()) == sorted(
        ["notes.txt", *(path.name for path in written[2:] if path is not None)]
    )
    assert folder.offer("e", learned, config, {}, None, (), 1.0) is None
    assert folder.offer("a", learned, config, {}, None, (), 1.0) is not None  # forgotten, so it may again


def test_a_disk_that_refuses_never_raises(learned: PredictorState, config: PredictorConfig, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    dumps = EmergencyDumps(tmp_path / "taken", 0.0)
    assert dumps.offer("a", learned, config, {}, None, ()) is None
    assert (dumps.failed, dumps.written) == (1, 0)
    assert "could not be written" in str(dumps.condition)
    (tmp_path / "taken").unlink()
    assert dumps.offer("a", learned, config, {}, None, ()) is not None
    assert dumps.condition is None


def test_in_the_background_it_returns_at_once_and_keeps_the_rows_of_that_moment(
    learned: PredictorState, config: PredictorConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    real = dumps.encode

    def slow(*values: object, **named: object) -> bytes:
        assert go_on.wait(PATIENCE_S)
        return real(*values, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(dumps, "encode", slow)
    folder = EmergencyDumps(tmp_path / "e", 0.0, background=True)
    rows = ROWS.copy()
    paths = [folder.offer("a", learned, config, {}, rows, COLUMNS) for _ in range(dumps.MOST_WAITING + 2)]
    assert [path is None for path in paths] == [False] * dumps.MOST_WAITING + [True, True]
    assert (folder.written, folder.withheld) == (0, 2)
    rows[:] = -1.0
    assert not folder.wait(0.01)
    go_on.set()
    assert folder.wait(PATIENCE_S)
    assert folder.written == dumps.MOST_WAITING
    assert paths[0] is not None
    assert np.array_equal(read_dump(paths[0])["history"]["rows"], ROWS)
    folder.offer("b", learned, config, {"bad": object()}, None, ())  # cannot be held by the format
    assert folder.wait(PATIENCE_S)
    assert folder.failed == 1
    assert "could not be made" in str(folder.condition)


def test_rows_that_do_not_fit_their_columns_are_refused(
    learned: PredictorState, config: PredictorConfig, tmp_path: Path
) -> None:
    with pytest.raises(DomainError, match="2 columns"):
        EmergencyDumps(tmp_path, 0.0).offer("a", learned, config, {}, ROWS, COLUMNS[:2])


def test_names_of_series_are_safe_and_stay_apart(tmp_path: Path) -> None:
    hostile = [
        "../../etc/passwd",
        "/abs",
        "a/b",
        "a\\b",
        "..",
        "",
        "x" * 500,
        "nul\0",
        "new\nline",
        "a b",
        "a_b",
        "\ud800",
    ]
    names = [safe_name(asset) for asset in hostile]
    assert len(set(names)) == len(names)
    for name in names:
        assert (tmp_path / f"emergency_{name}_1.msgpack").parent == tmp_path
        assert name == os.path.basename(name)
        assert len(name) < 100
        assert name.isascii() and name.isprintable()
    assert safe_name("eur-usd.x_1") == "eur-usd.x_1"
    assert safe_name("EUR-USD.x_1") not in (safe_name("eur-usd.x_1"), "EUR-USD.x_1")  # a disk may not tell capitals


def test_a_snapshot_as_a_table(payload: dict, tmp_path: Path) -> None:
    path = write_snapshot(tmp_path / "a.msgpack", payload, "zstd").path
    inspection = inspect_file(path)
    assert (inspection.kind, inspection.valid, inspection.problem) == ("snapshot", True, "")
    assert inspection.summary["progress.ticks"] == "384"
    assert "2026-02-21T00:00:00" in inspection.summary["timestamp"]
    assert inspection.summary["config"] == "all defaults"
    window = next(leaf for leaf in inspection.leaves if leaf.name == "global.frame.window")
    expected = payload["global"][".frame.window"]
    assert window[1:] == ("float64", (128,), 1024, expected.min(), expected.max())
    residuals = next(leaf for leaf in inspection.leaves if leaf.name == "global.score.residuals")
    assert np.isfinite([residuals.least, residuals.most]).all()  # NaN before the first residuals is passed over
    text = inspection.text()
    assert text.startswith("snapshot: valid\n")
    assert len(text.splitlines()) > len(inspection.leaves)


def test_a_look_tells_changed_settings_and_old_schemas(payload: dict, config: PredictorConfig, tmp_path: Path) -> None:
    changed = payload["config"] | {"cusum_k": 0.25}
    path = write_snapshot(tmp_path / "a.msgpack", payload | {"config": changed}).path
    assert inspect_file(path).summary["config"] == "cusum_k = 0.25"
    assert dataclasses.replace(config, cusum_k=0.25) == config_from(read_snapshot(path))
    path = write_snapshot(tmp_path / "b.msgpack", payload | {"schema_version": "0.1"}).path
    inspection = inspect_file(path)
    assert inspection.valid
    assert "this program reads 1.0" in inspection.summary["schema_version"]
    assert "cannot be used" in inspection.summary["config"]


def test_damage_is_told_not_raised(payload: dict, tmp_path: Path) -> None:
    path = tmp_path / "a.msgpack"
    data = encode(payload)
    whats = {"checksum": data[:-1] + b"?", "too few": b"", "first bytes": b"x" * 500, "damaged or cut": data[:-200]}
    for reason, content in whats.items():
        path.write_bytes(content)
        inspection = inspect_file(path)
        assert not inspection.valid
        assert reason in inspection.problem
        assert f"NOT VALID: {inspection.problem}" in inspection.text()
    assert not inspect_file(tmp_path / "none").valid
    assert not inspect_file(tmp_path).valid


def test_a_look_at_a_hostile_file_does_not_steer_the_terminal(tmp_path: Path) -> None:
    hostile = {
        "asset": "\x1b[2J\x07" + "x" * 1000,
        "\x1b[31m": np.zeros(2),
        "timestamp": 2**64 - 1,
        "config": {"a": [1]},
    }
    path = tmp_path / "a.msgpack"
    path.write_bytes(encode(hostile, kind="dump"))
    text = inspect_file(path).text()
    assert "\x1b" not in text
    assert "\x07" not in text
    assert max(map(len, text.splitlines())) < 400
