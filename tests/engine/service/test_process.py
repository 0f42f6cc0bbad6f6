"""The service as a process of its own: killed, stopped, started again, stopped twice."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from waiting import until

from uspnb.config.load import load_config
from uspnb.data.processes import autoregression
from uspnb.engine.service import Service
from uspnb.persistence.snapshots import SnapshotFolder, progress_from, read_snapshot
from uspnb.sinks import compare, verify
from uspnb.sources import open_source

CODE = """
import argparse, sys
from uspnb.engine.service import command
parser = argparse.ArgumentParser()
command.add_arguments(parser)
sys.exit(command.run(parser.parse_args()))
"""
ROWS = 4000


class Process:
    """A service of its own, its log in a file."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.log = folder / "service.log"
        with self.log.open("a") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-c", CODE, "--config", str(folder / "c.toml"), *arguments],
                cwd=folder,
                env=os.environ | {"JAX_PLATFORMS": "cpu"} | environment,
                stdout=file,
                stderr=file,
            )

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something while the process lives."""
        until(lambda: condition() or self._process.poll() is not None)
        assert self._process.poll() is None, self.log.read_text()[-3000:]

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        self._process.send_signal(number)

    def end(self) -> int:
        """Its exit code."""
        try:
            return self._process.wait()
        finally:
            if self._process.poll() is None:
                self._process.kill()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with settings and a table."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "c.toml").write_text(
        "[io]\nmetrics_port = 0\nsnapshot_interval_steps = 150\n[security]\ntelemetry_hash_interval_steps = 50\n"
    )
    values = autoregression(ROWS, 77).values
    times = np.datetime64("2024-01-01T00:00:00") + np.arange(ROWS).astype("timedelta64[s]")
    rows = "".join(f"{time}Z,{value!r}\n" for time, value in zip(times, values.tolist(), strict=True))
    (folder / "table.csv").write_text("time,value\n" + rows)
    return folder


def newest_ticks(folder: SnapshotFolder) -> int:
    """Ticks of the newest snapshot, by its name."""
    paths = folder.paths()
    return int(paths[-1].name.split("_")[1]) if paths else 0


def test_killed_stopped_and_resumed_is_an_uninterrupted_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = SnapshotFolder(home / "io/snapshots/a")
    killed = Process(home, "--source", "a=table.csv")
    killed.until(lambda: newest_ticks(snapshots) >= 450)
    killed.send(signal.SIGKILL)
    assert killed.end() == -signal.SIGKILL
    after_kill = newest_ticks(snapshots)

    stopped = Process(home, "--source", "a=table.csv")
    stopped.until(lambda: newest_ticks(snapshots) >= after_kill + 450)
    stopped.send(signal.SIGTERM)
    assert stopped.end() == 0
    log = stopped.log.read_text()
    # At most one snapshot was under way at the kill; its file is whole or not there.
    assert re.search(rf"resumes after tick ({after_kill}|{after_kill + 150})\b", log)
    done = [int(ticks) for ticks in re.findall(r"a: (\d+) ticks, snapshot after \1\b", log)]
    assert len(done) == 1 and done[0] == newest_ticks(snapshots) < ROWS
    progress = progress_from(read_snapshot(snapshots.paths()[-1]))
    assert progress is not None and progress.ticks == done[0]

    # The rest of it in this process, and all of it in another folder.
    alone = home / "alone"
    alone.mkdir()
    config = load_config(home / "c.toml")
    for folder, begins_at in ((home, done[0]), (alone, 0)):
        monkeypatch.chdir(folder)
        service = Service(config, {"a": open_source(home / "table.csv")}, once=True, own_process=False)
        assert service.run() == 0
        assert (service.series[0].resumed_at, service.series[0].ticks) == (begins_at, ROWS)
    compared = compare(home / "io/telemetry/parity.log", alone / "io/telemetry/parity.log")
    assert compared.equal and compared.compared == ROWS // 50, compared.text()
    assert verify(home / "io/telemetry/parity.log").ok


def test_second_signal_ends_at_once_even_inside_the_compiler(home: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[io]\nmetrics_port = 0\n")
    nothing_compiled = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path), "USPNB_CACHE_DIR": str(tmp_path)}
    process = Process(tmp_path, "--source", f"a={home / 'table.csv'}", **nothing_compiled)
    process.until(lambda: "health, status and metrics" in process.log.read_text())
    time.sleep(1.0)  # into the compiler, which shows nothing and needs ten seconds or more
    assert "running" not in process.log.read_text()
    process.send(signal.SIGTERM)
    process.until(lambda: "SIGTERM: finishing" in process.log.read_text())
    process.send(signal.SIGTERM)
    assert process.end() == 1
    assert "leaving at once" in process.log.read_text()
