"""What campaigns withstand and cost: `python benchmarks/campaigns.py [--stages kills cuts shared ...]`.

kills: campaigns with five seeds are hit by SIGKILL, SIGTERM and SIGINT at random moments, some of their journals torn
as well, until each is through (tests/support/killed_campaigns.py); each must equal the undisturbed campaign exactly.
cuts: a journal is cut off at every end of a record and at random bytes; what goes on must equal the undisturbed one.
shared: four processes on one study, left alone and with one of them killed.
overhead: what a trial of the deep tier costs beside its evaluation, over 500 trials.
saves: `save_study_async` at 500 trials, and the ticks per second of a predictor with telemetry while saves are written.
real: campaigns on the walk-forward objective of a real series, killed in their evaluation.

Settings and their defaults:

    --kills 50    SIGKILLs; half as many of each other kind
    --cuts 60     cuts at random bytes, beside those at every record
    --rounds 5    of the processes on one study
    --trials 500  of the deep tier
    --saves 200   saves that are timed
    --ticks 8000  of the predictor beside saves
    --block 200   ticks with saves and without in turn
    --real 4      campaigns on a real series
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from snapshots import feed, learned
from tables import parser, show_stages

from uspnb.config.meta_optimization import MetaOptimizationConfig
from uspnb.data import processes
from uspnb.tuning import AsyncMetaOptimizer, BayesianMetaOptimizer

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests" / "support"))
killed_campaigns = importlib.import_module("killed_campaigns")
COLUMNS = {"stage": "", "what": "", "value": ",.3f", "unit": ""}
SEED = 4300
Rows = list[list[Any]]


def kills_stage(options: Any) -> Rows:
    """Signals at random moments."""
    counted: dict[str, list[int]] = {}
    for seed in range(1, 6):
        with tempfile.TemporaryDirectory() as place:
            made = ran(place, "--kills", str(options.kills // 5), "--seed", str(seed), "--campaign-seed", str(seed))
        for how in ("killed", "torn", "terminated", "interrupted"):
            counts = counted.setdefault(how, [0, 0, 0])
            counts[0] += len(made[how]["codes"])
            counts[1] += len(made[how]["campaigns"])
            counts[2] += sum(one != made["whole"] for one in made[how]["campaigns"])
    rows: Rows = []
    for how, (signals, campaigns, different) in counted.items():
        rows.append(["kills", f"{how}: signals that hit", float(signals), ""])
        rows.append(["kills", f"{how}: campaigns", float(campaigns), ""])
        rows.append(["kills", f"{how}: campaigns that differ from the undisturbed one", float(different), ""])
    return rows


def cuts_stage(options: Any) -> Rows:
    """Prefixes of a journal: every crash that there can be."""
    rng, different = random.Random(SEED), 0
    with tempfile.TemporaryDirectory() as place:
        whole = killed_campaigns.campaign(Path(place) / "whole", fold_s=0.0)
        whole.optimize()
        expected = killed_campaigns.told(whole)
        content = (Path(place) / "whole" / "campaign.journal").read_bytes()
        ends = [i + 1 for i, byte in enumerate(content) if byte == 10]
        cuts = ends + rng.sample(range(len(content)), options.cuts)
        for number, cut in enumerate(cuts):
            folder = Path(place) / str(number)
            folder.mkdir()
            (folder / "campaign.journal").write_bytes(content[:cut])
            optimizer = killed_campaigns.campaign(folder, fold_s=0.0)
            optimizer.optimize()
            different += killed_campaigns.told(optimizer) != expected
    return [
        ["cuts", "journals cut off", float(len(cuts)), ""],
        ["cuts", "campaigns that differ from the undisturbed one", float(different), ""],
    ]


def shared_stage(options: Any) -> Rows:
    """Four processes on one study."""
    rows: Rows = []
    for how in ("shared", "bereft"):
        wrong = left = 0
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as place:
                found = ran(place, "--shared", "4")[how]
            trials = found["trials"]
            wrong += [trial[0] for trial in trials] != list(range(30)) or any(t[1] == "RUNNING" for t in trials)
            left += found["left"]
        rows += [
            ["shared", f"{how}: campaigns of 30 trials by 4 processes", float(options.rounds), ""],
            ["shared", f"{how}: with a number missing, twice, beyond the target or not told", float(wrong), ""],
            ["shared", f"{how}: trials that the next call took over", float(left), ""],
        ]
    return rows


def ran(place: str, *given: str) -> dict[str, Any]:
    """What `killed_campaigns.py` says."""
    done = subprocess.run(
        [sys.executable, str(killed_campaigns.__file__), place, *given], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def deep_campaign(folder: Path, trials: int) -> BayesianMetaOptimizer:
    """A campaign of the deep tier whose evaluation costs nothing."""
    meta = MetaOptimizationConfig(
        n_trials=trials, enable_deep_tuning=True, early_stopping_patience=10_000, checkpoint_path=str(folder)
    )
    return BayesianMetaOptimizer(
        objective=killed_campaigns.FoldObjective(0.0), meta_config=meta, study_name="deep", progress=False
    )


def overhead_stage(options: Any) -> Rows:
    """Asking, telling and checkpoints."""
    with tempfile.TemporaryDirectory() as place:
        optimizer = deep_campaign(Path(place), options.trials)
        at: list[tuple[int, float]] = []
        began, used = time.perf_counter(), time.process_time()
        optimizer.optimize(after_batch=lambda status: at.append((status.trials, time.perf_counter())))
        took, used = time.perf_counter() - began, time.process_time() - used
        last = (at[-1][1] - at[-4][1]) / (at[-1][0] - at[-4][0])
        journal = (Path(place) / "deep.journal").stat().st_size
        files = sum(path.stat().st_size for path in Path(place).glob("*.json"))
        began = time.perf_counter()
        deep_campaign(Path(place), options.trials).status()
        opened = time.perf_counter() - began
        began = time.perf_counter()
        _ = optimizer.results
        dataset = time.perf_counter() - began
    return [
        ["overhead", f"{options.trials} trials of {len(optimizer.search_space)} parameters", took, "s"],
        ["overhead", "processor time of these", used, "s"],
        ["overhead", "a trial at the end", 1e3 * last, "ms"],
        ["overhead", "journal", journal / 2**20, "MiB"],
        ["overhead", "checkpoints, all of them", files / 2**20, "MiB"],
        ["overhead", "opening the campaign", 1e3 * opened, "ms"],
        ["overhead", "results as a Dataset, importance included", 1e3 * dataset, "ms"],
    ]


def saves_stage(options: Any) -> Rows:
    """Handing a save over, and what saves do to a predictor beside them."""
    with tempfile.TemporaryDirectory() as place:
        optimizer = deep_campaign(Path(place) / "c", options.trials)
        optimizer.optimize()
        target = Path(place) / "saved.json"
        began = time.perf_counter()
        optimizer.save_study(target)
        whole, size = time.perf_counter() - began, target.stat().st_size
        with AsyncMetaOptimizer(optimizer=optimizer) as background:
            spent = [handed_over(background, target) for _ in range(options.saves)]
            background.wait_all_saves()
            plain, saving, written = stepped(background, Path(place), options.ticks, options.block)
    return [
        ["saves", "file", size / 2**20, "MiB"],
        ["saves", "save_study, waiting", 1e3 * whole, "ms"],
        ["saves", "save_study_async: median", 1e3 * statistics.median(spent), "ms"],
        ["saves", "save_study_async: p99", 1e3 * float(np.percentile(spent, 99)), "ms"],
        ["saves", "ticks per second without saves", 1 / plain, "1/s"],
        ["saves", "ticks per second with saves over without", plain / saving, ""],
        ["saves", "saves written meanwhile", float(written), ""],
    ]


def handed_over(background: AsyncMetaOptimizer, target: Path) -> float:
    """Seconds until the call returns; then the save is waited for."""
    began = time.perf_counter()
    future = background.save_study_async(target)
    spent = time.perf_counter() - began
    future.result()
    return spent


def stepped(background: AsyncMetaOptimizer, place: Path, ticks: int, block: int) -> tuple[float, float, int]:
    """Median seconds of a tick without and with saves, in blocks in turn, and how many saves were written."""
    from uspnb.sinks import TelemetryBuffer

    predictor = learned(telemetry=TelemetryBuffer(65_536))
    values = processes.autoregression(512 + ticks, SEED).values[512:]
    spent: tuple[list[float], list[float]] = ([], [])
    futures = []
    for number, first in enumerate(range(0, ticks, block)):
        saving = number % 2

        def after(tick: int, saving: int = saving, start: int = 512 + first) -> None:
            if saving and tick == start:
                futures.append(background.save_study_async(place / f"beside{tick % 3}.json"))

        began = time.perf_counter()
        feed(predictor, values[first : first + block], 512 + first, after)
        spent[saving].append((time.perf_counter() - began) / block)
        background.wait_all_saves()
    written = sum(1 for one in futures if not one.cancelled())
    return statistics.median(spent[0]), statistics.median(spent[1]), written


def real_stage(options: Any) -> Rows:
    """Kills while JAX evaluates: the bits must be the same."""
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place) / "whole"
        run_real(whole)
        expected, size = real_sequence(whole), (whole / "real.journal").stat().st_size
        rng, hits, different = random.Random(SEED), 0, 0
        for number in range(options.real):
            folder = Path(place) / str(number)
            for share in (0.1, 0.4, 0.7):
                # in the middle of a batch: what was asked for lies in the journal, what comes of it does not
                hits += run_real(folder, rng.uniform(share, share + 0.2) * size, rng.uniform(0.0, 0.2)) != 0
            run_real(folder)
            different += real_sequence(folder) != expected
    return [
        ["real", "campaigns", float(options.real), ""],
        ["real", "kills that hit", float(hits), ""],
        ["real", "campaigns that differ in any bit", float(different), ""],
    ]


REAL = """
import sys
from uspnb.config.meta_optimization import MetaOptimizationConfig
from uspnb.data.samples import demo_series
from uspnb.tuning import BayesianMetaOptimizer
meta = MetaOptimizationConfig(n_trials=24, batch_size=6, n_startup_trials=6, n_folds=3, checkpoint_path=sys.argv[1])
BayesianMetaOptimizer(None, "mase", series=demo_series(600), study_name="real", meta_config=meta).optimize()
"""


def run_real(folder: Path, kill_at: float = 0.0, later_s: float = 0.0) -> int:
    """A campaign on a real series in a process of its own, killed once its journal is so long; its exit code."""
    process = subprocess.Popen([sys.executable, "-c", REAL, str(folder)], stderr=subprocess.DEVNULL)
    journal = folder / "real.journal"
    while kill_at and process.poll() is None:
        if journal.exists() and journal.stat().st_size >= kill_at:
            time.sleep(later_s)
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    return process.wait()


def real_sequence(folder: Path) -> list[Any]:
    """All that its journal says of the trials but times and owners."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(folder / "real.journal")))
    trials = storage.get_all_trials(storage.get_study_id_from_name("real"))
    return [
        (t.number, t.state, t.params, t.value, t.intermediate_values, t.user_attrs["folds"], t.user_attrs["batch"])
        for t in trials
    ]


STAGES = {
    "kills": kills_stage,
    "cuts": cuts_stage,
    "shared": shared_stage,
    "overhead": overhead_stage,
    "saves": saves_stage,
    "real": real_stage,
}


def main() -> None:
    """Run the stages that were asked for."""
    options = parser(__doc__, STAGES).parse_args()
    show_stages("Campaigns", COLUMNS, STAGES, options)


if __name__ == "__main__":
    main()
