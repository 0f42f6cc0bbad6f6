"""A run that is killed (SIGKILL) loses nothing that was acknowledged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import interrupted_run
import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forked")
def test_a_killed_run_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    # Two kills, because every run starts JAX anew; `python benchmarks/snapshots.py --stages kill` does 200.
    command = [sys.executable, interrupted_run.__file__, "--kills", "2", "--window", "0.4", "--no-reference"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["kills"] == 2
    assert outcome["restarts_before_an_acknowledged_snapshot"] == 0
    assert outcome["damaged_files"] == 0
    assert outcome["resumed_at"] > 0  # there was something to go on from
    assert outcome["digest"] == digest_of_the_run_that_nobody_kills(tmp_path, outcome["last"])


def digest_of_the_run_that_nobody_kills(folder: Path, last: int) -> str:
    with (folder / "told").open("w+b") as told:
        interrupted_run.run(folder / "snapshots", last, told.fileno())
        told.seek(0)
        return told.read().decode().split()[-1]
