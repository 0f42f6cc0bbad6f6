"""`uspnb inspect` and `uspnb parity`: what they print, and exit codes that a script can ask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from uspnb.cli import main
from uspnb.config.schema import PredictorConfig
from uspnb.model.packing import layout_for, row_columns
from uspnb.persistence.snapshots import snapshot_of, write_snapshot
from uspnb.predictor.functional import FunctionalPredictor
from uspnb.sinks import ParityLog, Records


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    config = PredictorConfig(cusum_k=0.25)
    return write_snapshot(tmp_path / "s.msgpack", snapshot_of(FunctionalPredictor(config).init_state(), config)).path


def parity_log(path: Path, ticks: int, changed_at: int | None = None) -> Path:
    layout = layout_for(PredictorConfig().koopman_top_k)
    columns = row_columns(layout)
    rows = np.random.default_rng(5).random((ticks, layout.width))
    if changed_at is not None:
        rows[changed_at - 1, columns["weight"]] *= 1.0 + 1e-10
    log = ParityLog(path, 10)
    log.write(Records("tide", 1, np.arange(ticks), rows, columns))
    log.close()
    return path


def test_inspect_prints_a_table_and_verifies(snapshot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(snapshot)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("snapshot: valid") and "cusum_k = 0.25" in printed and "global.frame.window" in printed
    damaged = bytearray(snapshot.read_bytes())
    damaged[1000] ^= 4
    snapshot.write_bytes(damaged)
    assert main(["inspect", str(snapshot)]) == 1
    assert "NOT VALID" in capsys.readouterr().out
    assert main(["inspect", str(snapshot.parent / "missing")]) == 1
    assert "No such file" in capsys.readouterr().out


def test_parity_of_equal_runs_and_of_different_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = parity_log(tmp_path / "a.log", 100), parity_log(tmp_path / "b.log", 100)
    assert main(["parity", str(a), str(b)]) == 0
    printed = capsys.readouterr().out
    assert "intact" in printed and "10 ticks stand in both logs" in printed and "Exactly: no difference." in printed
    c = parity_log(tmp_path / "c.log", 100, changed_at=50)
    assert main(["parity", str(a), str(c)]) == 1
    printed = capsys.readouterr().out
    assert "Exactly: first different at tick 50" in printed and "To 9 digits: no difference." in printed


def test_parity_of_one_log_verifies_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = parity_log(tmp_path / "a.log", 100)
    assert main(["parity", str(log)]) == 0
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:4] + lines[5:]))
    assert main(["parity", str(log)]) == 1
    assert "NOT INTACT from line 5 on" in capsys.readouterr().out
    assert main(["parity", str(log), str(log), str(log)]) == 2
    assert "3 logs were named" in capsys.readouterr().err
    assert main(["parity", str(tmp_path / "missing.log")]) == 2
