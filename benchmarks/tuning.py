"""What tuning costs and brings: `python benchmarks/tuning.py [--stages fast deep pays] [--data FOLDER]`.

fast: 50 trials, 5 folds, 5,000 ticks from a cold start (a new process, an empty compilation cache), against the same 50
trials one after another, each compiled for itself (`--alone N` of them, the rest projected).
deep: 50 trials of the deep tier on 3,000 ticks, likewise cold, and what 500 would take; the share of compilation.
pays: real series; the first 70 % are tuned on, the last 30 % are untouched until the end.  What a campaign recommends
(the middle of its best trials, or the settings in force where that is not better than chance), and for comparison its
best trial, against the default settings on the untouched ticks, with a paired test (Diebold-Mariano, one-sided).

Settings and their defaults:

    --alone 50        trials of the fast stage that are run alone
    --deep-trials 50  trials of the deep stage
    --trials 200      of the stage pays
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tables import Table, parser, sample_series, show

COST_COLUMNS = {"what": "", "value": ",.2f", "unit": ""}
PAYS_COLUMNS = {
    "series": "",
    "tuned on": ",d",
    "held out": ",d",
    "default": ".4f",
    "recommended": "",
    "gain on the folds %": "+.2f",
    "gain held out %": "+.2f",
    "p": ".3f",
    "best trial, held out %": "+.2f",
    "its p": ".3f",
    "seconds": ",.0f",
}
LONGEST = 5000


def stream(ticks: int) -> np.ndarray:
    """The series of the cost stages: two regimes of an autoregression with a season."""
    rng = np.random.default_rng(4)
    y = np.zeros(ticks)
    for t in range(1, ticks):
        pull = 0.9 if (t // 700) % 2 else 0.4
        y[t] = pull * y[t - 1] + np.sin(t / 8) * 0.3 + rng.normal(0, 0.5)
    return 20 + y


CAMPAIGN = """
import json, sys, time
began = time.perf_counter()
import numpy as np, jax
compiling = [0.0]
def heard(name, seconds, **rest):
    if "compile" in name and "time_saved" not in name and "retrieval" not in name:
        compiling[0] += seconds
jax.monitoring.register_event_duration_secs_listener(heard)
from uspnb.tuning import BayesianMetaOptimizer
from uspnb.model.programs import trace_count
tier, trials, source, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
y = np.load(source)
made = BayesianMetaOptimizer(series=y, objective="mase", tier=tier, storage=folder + "/study.journal", progress=False)
at = []
note = lambda status: at.append(time.perf_counter() - began)
result = made.optimize(trials, early_stopping_patience=10_000, after_batch=note)
print(json.dumps({"compiling": compiling[0], "structures": trace_count("candidates"), "trials": result.total_iterations,
    "pruned": result.pruned, "improvement": result.improvement, "batches": at}))
"""

ALONE = """
import dataclasses, json, sys, time
import jax, numpy as np
import uspnb
from uspnb.config.schema import PredictorConfig
y = np.load(sys.argv[1])
seconds = []
for params in json.loads(sys.argv[2]):
    jax.clear_caches()
    began = time.perf_counter()
    uspnb.backtest(y, dataclasses.replace(PredictorConfig(), **params), progress=False)
    seconds.append(time.perf_counter() - began)
print(json.dumps({"seconds": seconds}))
"""


def fresh(script: str, *arguments: str) -> dict[str, Any]:
    """A script in a new process with an empty compilation cache; what it printed, and its whole time."""
    with tempfile.TemporaryDirectory() as cache:
        places = {"JAX_COMPILATION_CACHE_DIR": cache, "USPNB_CACHE_DIR": cache}
        if script is ALONE:
            places["JAX_ENABLE_COMPILATION_CACHE"] = "false"
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], env=os.environ | places, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return json.loads(done.stdout.splitlines()[-1]) | {"wall": time.perf_counter() - began}


def fast(options: Any) -> Table:
    """The fast tier cold, against the same trials alone."""
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/y.npy"
        np.save(source, stream(5000))
        told = fresh(CAMPAIGN, "fast", "50", source, folder)
        from uspnb.tuning import BayesianMetaOptimizer

        study = BayesianMetaOptimizer(
            series=np.load(source), objective="mase", storage=f"{folder}/study.journal", progress=False
        )
        trials = study.trials[:: max(1, 50 // options.alone)][: options.alone]
        alone = fresh(ALONE, source, json.dumps([trial.user_attrs["params"] for trial in trials]))["seconds"]
    one_by_one = float(np.mean(alone)) * 50
    rows: list[list[Any]] = [
        ["50 trials in batches, from a cold start", told["wall"], "s"],
        ["of which compiling", told["compiling"], "s"],
        ["structures compiled", float(told["structures"]), ""],
        ["trials pruned", float(told["pruned"]), ""],
        [f"the same one after another, each compiled for itself ({len(alone)} measured)", one_by_one, "s"],
        ["ratio", one_by_one / told["wall"], "times"],
    ]
    return Table("Fast tier: 50 trials, 5 folds, 5,000 ticks", COST_COLUMNS, rows)


def deep(options: Any) -> Table:
    """Fifty trials of the deep tier and the projection."""
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/y.npy"
        np.save(source, stream(3000))
        told = fresh(CAMPAIGN, "deep", str(options.deep_trials), source, folder)
    trials, batches = told["trials"], told["batches"]
    # The first batch waits for imports and for the default structure; the others are what a longer campaign repeats.
    steady = (batches[-1] - batches[0]) / max(trials - trials / len(batches), 1)
    rows: list[list[Any]] = [
        [f"{trials} trials, from a cold start", told["wall"], "s"],
        ["structures compiled", float(told["structures"]), ""],
        ["share of compiling", 100 * told["compiling"] / told["wall"], "%"],
        ["a trial after the first batch", steady, "s"],
        ["projection for 500 trials", (batches[0] + 500 * steady) / 60, "min"],
    ]
    return Table("Deep tier: 3,000 ticks, 5 folds", COST_COLUMNS, rows)


def real_series(folder: Path | None) -> dict[str, np.ndarray]:
    """The series to tune: those of a folder with a manifest, else `bokeh_sampledata`'s."""
    if folder is None:
        return sample_series(LONGEST)
    found = {}
    for entry in json.loads((folder / "manifest.json").read_text())["series"]:
        if "forecast" not in entry["task"]:
            continue
        with (folder / entry["file"]).open(newline="") as lines:
            values = [float(row["value"]) if row["value"] else np.nan for row in csv.DictReader(lines)]
        found[entry["name"]] = np.asarray(values)
    return found


def pays(options: Any) -> Table:
    """Held-out gains of a campaign on each series."""
    from uspnb.tuning import BayesianMetaOptimizer
    from uspnb.tuning.objective import WalkForwardObjective
    from uspnb.tuning.space import tier_space, traced_space

    space = traced_space() if options.space == "traced" else tier_space(options.space)
    rows: list[list[Any]] = []
    for name, y in real_series(options.data).items():
        n = int(0.7 * len(y))
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            study = BayesianMetaOptimizer(
                space, WalkForwardObjective(y[:n]), tier="deep", storage=f"{folder}/study.journal", progress=False
            )
            result = study.optimize(options.trials, early_stopping_patience=10_000)
            seconds = time.perf_counter() - began
        untouched = WalkForwardObjective(y, n_folds=1, train_ratio=n / len(y))
        best = untouched.compare(dict(result.best_params), {})
        kept = not result.recommended_params
        told = untouched.compare(dict(result.recommended_params), {})
        rows.append(
            [
                name,
                n,
                len(y) - n,
                untouched({}),
                "the default" if kept else "the middle",
                100 * result.recommended_improvement,
                0.0 if kept else 100 * told.improvement,
                None if kept else told.p_value,
                100 * best.improvement,
                best.p_value,
                seconds,
            ]
        )
        print(f"{name} done in {seconds:.0f} s", file=sys.stderr, flush=True)
    gains, raw = (np.array([row[k] for row in rows]) for k in (6, 8))
    note = (
        f"Held out: median {np.median(gains):+.2f} %, worst {gains.min():+.2f} %; the single best trial: median "
        f"{np.median(raw):+.2f} %, worst {raw.min():+.2f} %."
    )
    return Table(
        f"It pays: {options.trials} trials, {len(space)} parameters ({options.space})", PAYS_COLUMNS, rows, note
    )


def main() -> None:
    """Run the stages that were asked for."""
    made = parser(__doc__)
    made.add_argument("--stages", nargs="+", choices=("fast", "deep", "pays"), default=["fast", "deep", "pays"])
    made.add_argument("--space", choices=("fast", "traced", "deep"), default="traced", help="of the stage pays")
    made.add_argument("--data", type=Path, help="folder of series with a manifest.json; bokeh_sampledata if left out")
    options = made.parse_args()
    began = time.perf_counter()
    stages = {"fast": fast, "deep": deep, "pays": pays}
    show([stages[name](options) for name in options.stages], options, began)


if __name__ == "__main__":
    main()
