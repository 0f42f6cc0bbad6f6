"""A run that is killed (SIGKILL) loses nothing that was acknowledged."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("interrupted_run.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forked")
def test_a_killed_run_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    # Two kills, because every run starts JAX anew; `python benchmarks/snapshots.py --stages kill` does 200.
    command = [sys.executable, str(SCRIPT), "--kills", "2", "--window", "0.4", "--no-reference"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["kills"] == 2
    assert seen["restarts_before_an_acknowledged_snapshot"] == 0
    assert seen["damaged_files"] == 0
    assert seen["resumed_at"] > 0  # there was something to go on from
    assert seen["digest"] == digest_of_the_run_that_nobody_kills(tmp_path, seen["last"])


def digest_of_the_run_that_nobody_kills(folder: Path, last: int) -> str:
    spec = importlib.util.spec_from_file_location("interrupted_run", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with (folder / "told").open("w+b") as told:
        script.run(folder / "snapshots", last, told.fileno())
        told.seek(0)
        return told.read().decode().split()[-1]
