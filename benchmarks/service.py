"""What a service stands: `python benchmarks/service.py [--stages shutdown kill determinism overhead] [--count 50]`.

shutdown: SIGTERM at random moments under a live feed that is faster than the predictor; whether it ended with 0 within
the budget, and whether every tick that the feed was told is accepted is in the final snapshot.
kill: SIGKILL at random moments of a replay that snapshots every 50 ticks, started again each time; what had to be
replayed, and whether the parity log equals that of an uninterrupted run.
determinism: hashes of two processes that compile anew, each with a cache of its own.
overhead: a replay through the service, telemetry, parity log and snapshots on, against the same ticks alone.

Settings and their defaults:

    --count 50      SIGTERMs of the shutdown stage
    --kills 20      SIGKILLs of the kill stage
    --ticks 20_000  of a replay in the kill and overhead stages
    --repeats 3     how often
"""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from tables import parser, show_stages

from uspnb import runtime
from uspnb.config.schema import PredictorConfig
from uspnb.data.processes import autoregression
from uspnb.engine.service import Service
from uspnb.errors import DomainError
from uspnb.persistence.snapshots import SnapshotFolder, progress_from, read_snapshot
from uspnb.predictor.functional import FunctionalPredictor, observations
from uspnb.sinks import compare, verify
from uspnb.sources import FeedSource, ReplaySource, Source

COLUMNS = {"stage": "", "what": "", "value": ",.2f", "unit": ""}
SEED = 9100
FEED_RATE = 8000.0
SECOND = 1_000_000_000
Rows = list[list[Any]]


def config_in(folder: Path, interval: int) -> PredictorConfig:
    """Default settings with everything below one folder."""
    return PredictorConfig(
        snapshot_path=str(folder / "snapshots"),
        telemetry_path=str(folder / "telemetry"),
        emergency_dump_path=str(folder / "emergency"),
        metrics_port=0,
        snapshot_interval_steps=interval,
        telemetry_hash_interval_steps=50,
    )


def replay_of(ticks: int) -> ReplaySource:
    """The series of the kill and overhead stages."""
    return ReplaySource(autoregression(ticks, SEED).values, np.arange(1, ticks + 1) * SECOND, name="a")


class Feeder:
    """Feeds ticks from a thread, `FEED_RATE` a second, until they are refused; `accepted` counts the others."""

    def __init__(self, feed: FeedSource) -> None:
        self.accepted = 0
        self._feed = feed
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        generator = np.random.default_rng(SEED)
        value, began = 0.0, time.monotonic()
        while True:
            due = int((time.monotonic() - began) * FEED_RATE) - self.accepted
            for noise in generator.standard_normal(max(due, 0)).tolist():
                value = 0.9 * value + noise
                try:
                    self._feed.put(value)
                except DomainError:
                    return
                self.accepted += 1
            time.sleep(0.001)


def child(kind: str, folder: Path, ticks: int) -> int:
    """The service of one process: "feed" serves a live feed, "replay" a series to its end."""
    feed = FeedSource(name="a", capacity=10**6)
    source: Source = feed if kind == "feed" else replay_of(ticks)
    service = Service(config_in(folder, 50 if kind == "replay" else 200), {"a": source}, once=kind == "replay")
    feeder = Feeder(feed)

    def begin() -> None:
        while service.phase != "running":
            time.sleep(0.005)
        if kind == "feed":
            feeder.thread.start()
        print("running", flush=True)

    threading.Thread(target=begin, daemon=True).start()
    code = service.run(signals=True)
    if kind == "feed":
        feeder.thread.join(5.0)
    one = service.series[0]
    told = {"accepted": feeder.accepted, "ticks": one.ticks, "resumed": one.resumed_at, "residual": service.residual}
    print(json.dumps(told), flush=True)
    return code


def started(kind: str, folder: Path, ticks: int = 0) -> subprocess.Popen[str]:
    """A child that takes ticks."""
    folder.mkdir(parents=True, exist_ok=True)
    line = [sys.executable, __file__, "--child", kind, "--folder", str(folder), "--ticks", str(ticks)]
    with (folder / "service.log").open("a") as log:
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    while (said := process.stdout.readline()) != "running\n":
        if not said:
            raise RuntimeError((folder / "service.log").read_text()[-2000:])
    return process


def shutdown_stage(options: Any) -> Rows:
    """SIGTERM under load."""
    moments = random.Random(SEED)
    clean, whole, seconds, residuals, unfinished, lost = 0, 0, [], [], [], 0
    with tempfile.TemporaryDirectory() as root:
        for trial in range(options.count):
            folder = Path(root) / str(trial)
            process = started("feed", folder)
            time.sleep(moments.uniform(0.05, 2.0))
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=60)
            seconds.append(time.monotonic() - began)
            told = json.loads(out.splitlines()[-1]) if out else {"accepted": -1, "residual": 0}
            payload = read_snapshot(SnapshotFolder(folder / "snapshots" / "a").paths()[-1])
            progress, backlog = progress_from(payload), payload.get("backlog", {"values": ()})
            kept = (0 if progress is None else progress.ticks) + len(backlog["values"])
            unfinished.append(len(backlog["values"]))
            clean += process.returncode == 0 and seconds[-1] < PredictorConfig().shutdown_budget_s
            whole += kept == told["accepted"]
            lost += told["accepted"] - kept
            residuals.append(told["residual"])
    return [
        ["shutdown", "SIGTERM under load", float(options.count), ""],
        ["shutdown", "exit 0 within the budget", float(clean), ""],
        ["shutdown", "every accepted tick in the final snapshot", float(whole), ""],
        ["shutdown", "accepted ticks that were lost", float(lost), ""],
        ["shutdown", "ticks that waited, median", statistics.median(residuals), ""],
        ["shutdown", "ticks that waited, most", float(max(residuals)), ""],
        ["shutdown", "of them kept in the snapshot for the restart, most", float(max(unfinished)), ""],
        ["shutdown", "time to the end, median", statistics.median(seconds), "s"],
        ["shutdown", "time to the end, longest", max(seconds), "s"],
    ]


def kill_stage(options: Any) -> Rows:
    """SIGKILL again and again over one replay."""
    moments = random.Random(SEED + 1)
    damaged, resumed, behind = 0, [], []
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "killed"
        snapshots = SnapshotFolder(folder / "snapshots" / "a")
        for _ in range(options.kills):
            process = started("replay", folder, options.ticks)
            time.sleep(moments.uniform(0.0, 0.3))
            process.kill()
            process.communicate()
            found = snapshots.newest_valid()
            damaged += 0 if found is None else len(found.skipped)
            resumed.append(0 if found is None else int(found.payload["progress"]["ticks"]))
        process = started("replay", folder, options.ticks)
        out, _ = process.communicate(timeout=600)
        behind.append(json.loads(out.splitlines()[-1])["resumed"] - resumed[-1])
        alone = Path(root) / "alone"
        Service(config_in(alone, 0), {"a": replay_of(options.ticks)}, once=True).run()
        compared = compare(folder / "telemetry" / "parity.log", alone / "telemetry" / "parity.log")
        intact = verify(folder / "telemetry" / "parity.log").ok
    return [
        ["kill", "SIGKILL at random moments", float(options.kills), ""],
        ["kill", "damaged snapshots", float(damaged), ""],
        ["kill", "furthest tick that a kill left in a snapshot", float(max(resumed)), ""],
        ["kill", "restarts behind their newest snapshot", float(sum(b != 0 for b in behind)), ""],
        ["kill", "parity lines in both logs", float(compared.compared), ""],
        ["kill", "parity lines that differ, or that one log lacks", float(0 if compared.equal else 1), ""],
        ["kill", "parity log intact (1 = yes)", float(intact), ""],
    ]


HASHES = """
from uspnb import runtime
runtime.configure(deterministic=True)
import numpy as np, uspnb
from uspnb.predictor.functional import observations
from uspnb.data.processes import autoregression
from uspnb.sinks.parity import exact_hash
functional = uspnb.FunctionalPredictor()
ticks = observations(autoregression(2000, 11).values, np.arange(2000) * 10**9)
_, result = functional.scan(functional.init_state(), ticks)
print(exact_hash(np.asarray(result.telemetry.weight).ravel()), exact_hash(np.asarray(result.telemetry.transport_cost)))
"""


def determinism_stage(options: Any) -> Rows:
    """Two processes, two compilations."""
    said = []
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_COMPILATION", "XLA"))}
    for _ in range(2):
        with tempfile.TemporaryDirectory() as cache:
            line, environment = [sys.executable, "-c", HASHES], kept | {"USPNB_CACHE_DIR": cache}
            done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
            said.append(done.stdout)
    return [["determinism", "parity hashes of two compilations equal (1 = yes)", float(said[0] == said[1]), ""]]


def overhead_stage(options: Any) -> Rows:
    """Microseconds a tick, alternating."""
    ticks = options.ticks
    functional = FunctionalPredictor()
    values, times = autoregression(ticks, SEED).values, np.arange(1, ticks + 1) * SECOND
    functional.scan(functional.init_state(), observations(values[:256], times[:256]))
    alone, through = [], []
    for _ in range(options.repeats):
        began = time.perf_counter()
        functional.scan(functional.init_state(), observations(values, times))
        alone.append((time.perf_counter() - began) / ticks * 1e6)
        with tempfile.TemporaryDirectory() as root:
            through.append(_served(Path(root), ticks))
    return [
        ["overhead", "scan alone, a tick", statistics.median(alone), "us"],
        ["overhead", "in the service, a tick", statistics.median(through), "us"],
        ["overhead", "ratio of the medians", statistics.median(through) / statistics.median(alone), ""],
    ]


def _served(root: Path, ticks: int) -> float:
    """Microseconds a tick from the first to the last, starting and closing left out."""
    service = Service(config_in(root, 1000), {"a": replay_of(ticks)}, once=True)
    began: list[float] = []

    def watch() -> None:
        while service.phase != "running":
            time.sleep(0.002)
        began.append(time.perf_counter())

    threading.Thread(target=watch, daemon=True).start()
    service.run()
    return (time.perf_counter() - service.deadline.spent_s - began[0]) / ticks * 1e6


STAGES = {
    "shutdown": shutdown_stage,
    "kill": kill_stage,
    "determinism": determinism_stage,
    "overhead": overhead_stage,
}


def main() -> None:
    """Run the stages that were asked for."""
    line = parser(__doc__, STAGES)
    line.add_argument("--child", choices=("feed", "replay"), help="be the service of a stage")
    line.add_argument("--folder", type=Path, help="of that service")
    options = line.parse_args()
    if options.child:
        runtime.enable_compilation_cache()
        sys.exit(child(options.child, options.folder, options.ticks))
    show_stages("A service", COLUMNS, STAGES, options)


if __name__ == "__main__":
    main()
