"""What a tick costs: `python benchmarks/speed.py [--stages step cold ...]`.

Every number is a median of repeats, each stage in a process of its own, so that none warms another up.  Run it on a
quiet machine: on one that is shared the numbers are those of the neighbours too.

`--against FOLDER` measures another checkout (`git worktree add FOLDER COMMIT`) with the same installation, in turns
with this one, and prints the medians of both, their ratio, and the figures of this one in yardsticks: the time of a
64 x 64 Cholesky factorisation in NumPy between the runs, by which figures of different days can be compared.

Settings and their defaults:

    --ticks 10_000          ticks of the stages backtest and step
    --repeats 5             repeats of a stage
    --assets 1000           assets of the stage batch
    --memory-ticks 100_000  ticks of the stage memory
    --rounds 3              times that a stage runs here and there, with --against
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tables import Table, cholesky_seconds, parser, show

import uspnb
from uspnb.data import processes
from uspnb.model.programs import trace_count
from uspnb.model.records import Observation

SEED = 7900
SECOND = 1_000_000_000
WARM_TICKS = 300
COLUMNS = {"stage": "", "what": "", "value": ",.1f", "unit": ""}
COMPARED = {
    "stage": "", "what": "", "there": ",.1f", "here": ",.1f", "unit": "",
    "here / there": ".2f", "in yardsticks": ",.1f",
}  # fmt: skip
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
Rows = list[list[Any]]


def backtest_stage(options: Any) -> Rows:
    """Microseconds per tick of a replay after compilation."""
    y = processes.autoregression(options.ticks, SEED).values
    uspnb.backtest(y[:1024], progress=False)
    spent = []
    for _ in range(options.repeats):
        began = time.perf_counter()
        uspnb.backtest(y, progress=False)
        spent.append((time.perf_counter() - began) / len(y) * 1e6)
    return [["backtest", "a tick, median of repeats", statistics.median(spent), "us"],
            ["backtest", "traces of the program", float(trace_count("series")), ""]]  # fmt: skip


def step_stage(options: Any) -> Rows:
    """Latency of `UniversalPredictor.step`, host work included."""
    y = processes.autoregression(WARM_TICKS + options.ticks, SEED).values
    predictor = uspnb.UniversalPredictor(clock=uspnb.replay_clock)
    spent = np.empty(len(y))
    for t, value in enumerate(y):
        tick = uspnb.ProcessState(value, (t + 1) * SECOND)
        began = time.perf_counter()
        predictor.step(tick)
        spent[t] = time.perf_counter() - began
    steady = spent[WARM_TICKS:] * 1e6
    middle, high, highest = np.quantile(steady, [0.5, 0.95, 0.999])
    return [["step", "p50", float(middle), "us"], ["step", "p95", float(high), "us"],
            ["step", "p99.9", float(highest), "us"], ["step", "traces", float(trace_count("series")), ""]]  # fmt: skip


FIRST_PREDICTION = """
import time
began = time.perf_counter()
import uspnb
p = uspnb.UniversalPredictor(clock=uspnb.replay_clock)
p.step(uspnb.ProcessState(1.0, 1_000_000_000))
first = time.perf_counter() - began
p.step(uspnb.ProcessState(1.5, 2_000_000_000))
print(first, time.perf_counter() - began)
"""


def cold_stage(options: Any) -> Rows:
    """Seconds from starting Python to the first and to the second forecast, without and with compiled programs."""
    rows: Rows = []
    for name, repeats in (("empty cache", 1), ("warm cache", options.repeats)):
        with tempfile.TemporaryDirectory() as folder:
            if name == "warm cache":
                _first_prediction(folder)
            spent = [_first_prediction(folder if name == "warm cache" else f"{folder}/{k}") for k in range(repeats)]
        first, second = (statistics.median(times) for times in zip(*spent, strict=True))
        rows += [["cold", f"{name}, first forecast", first, "s"], ["cold", f"{name}, second forecast", second, "s"]]
    return rows


def _first_prediction(cache: str) -> tuple[float, float]:
    chosen = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"} | {"USPNB_CACHE_DIR": cache}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", FIRST_PREDICTION], env=chosen, check=True, capture_output=True, text=True
    )
    whole = time.perf_counter() - began
    first, second = map(float, done.stdout.split())
    # What the interpreter itself took to start and to end is shared out to neither; it counts for both.
    return first + (whole - second), whole


def batch_stage(options: Any) -> Rows:
    """One call of `step_batch` against a Python loop of `step` over the same assets."""
    assets = options.assets
    y = np.random.default_rng(SEED).standard_normal((WARM_TICKS, assets)).cumsum(axis=0)
    predictor = uspnb.FunctionalPredictor()
    states, state = predictor.init_state(assets), predictor.init_state()
    calls, loops = [], []
    for t in range(WARM_TICKS):
        began = time.perf_counter()
        states, result = predictor.step_batch(states, _observation(y[t], t))
        np.asarray(result.reference_prediction)
        calls.append(time.perf_counter() - began)
        began = time.perf_counter()
        state, alone = predictor.step(state, _observation(y[t, 0], t))
        np.asarray(alone.reference_prediction)
        loops.append(time.perf_counter() - began)
    # The first half fills the windows, so that every stage of the tick has work to do.
    call, loop = (statistics.median(spent[WARM_TICKS // 2 :]) for spent in (calls, loops))
    return [["batch", f"step_batch of {assets:,} assets, a call", call * 1e3, "ms"],
            ["batch", "slowest call", max(calls[WARM_TICKS // 2 :]) * 1e3, "ms"],
            ["batch", "a loop of step over as many", loop * assets * 1e3, "ms"],
            ["batch", "the loop over the batch", loop * assets / call, "times"]]  # fmt: skip


def _observation(values: Any, tick: int) -> Observation:
    shape = np.shape(values)
    stamp = np.full(shape, (tick + 1) * SECOND, np.int64)
    return Observation(np.asarray(values), stamp, stamp, np.full(shape, np.nan))  # type: ignore[arg-type]


def memory_stage(options: Any) -> Rows:
    """Growth of the process's memory while a predictor takes ticks, after its history is full."""
    predictor = uspnb.UniversalPredictor(clock=uspnb.replay_clock, history_limit=1000)
    noise = np.random.default_rng(SEED)
    level, marks = 0.0, {}
    for t in range(options.memory_ticks):
        level += noise.standard_normal()
        predictor.step(uspnb.ProcessState(level, (t + 1) * SECOND))
        if t in (options.memory_ticks // 10, options.memory_ticks - 1):
            marks[t] = (_resident_mib(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    (now_a, peak_a), (now_b, peak_b) = marks.values()
    what = f"over the last nine tenths of {options.memory_ticks:,} ticks"
    return [["memory", f"growth {what}", now_b - now_a, "MiB"],
            ["memory", f"growth of the peak {what}", peak_b - peak_a, "MiB"],
            ["memory", "peak", peak_b, "MiB"]]  # fmt: skip


def _resident_mib() -> float:
    status = Path("/proc/self/statm")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20


STAGES: dict[str, Callable[[Any], Rows]] = {
    "backtest": backtest_stage,
    "step": step_stage,
    "cold": cold_stage,
    "batch": batch_stage,
    "memory": memory_stage,
}


def main() -> None:
    """Measure and print; a single stage runs here, several each in a process of its own."""
    began = time.perf_counter()
    made = parser(__doc__, STAGES)
    made.add_argument(
        "--against", type=Path, metavar="FOLDER", help="another checkout to measure in turns with this one"
    )
    options = made.parse_args()
    if options.against is not None:
        table = Table("Speed against another checkout", COMPARED, compared(options))
    elif len(options.stages) == 1:
        table = Table("Speed", COLUMNS, STAGES[options.stages[0]](options))
    else:
        table = Table("Speed", COLUMNS, [row for stage in options.stages for row in _elsewhere(stage, options)])
    show([table], options, began)


def compared(options: Any) -> Rows:
    """Each stage in turns here and in the other checkout: medians, ratio, and this one in yardsticks."""
    here, there = Path(__file__).resolve().parents[1], options.against.resolve()
    rows = []
    for stage in options.stages:
        runs: dict[Path, list[Rows]] = {here: [], there: []}
        sticks = []
        for _ in range(options.rounds):
            for checkout, taken in runs.items():
                sticks.append(cholesky_seconds())
                taken.append(_elsewhere(stage, options, checkout))
        stick = statistics.median(sticks)
        for k, (name, what, _, unit) in enumerate(runs[here][0]):
            new, old = (statistics.median(run[k][2] for run in runs[checkout]) for checkout in (here, there))
            yardsticks = new * SECONDS[unit] / stick if unit in SECONDS else None
            rows.append([name, what, old, new, unit, new / old if unit in SECONDS else None, yardsticks])
        rows.append([stage, "yardstick", None, stick * 1e6, "us", None, None])
    return rows


def _elsewhere(stage: str, options: Any, checkout: Path | None = None) -> Rows:
    sizes = {k: v for k, v in vars(options).items() if k not in ("stages", "json", "against", "rounds")}
    words = [word for name, value in sizes.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    script = __file__ if checkout is None else str(checkout / "benchmarks" / "speed.py")
    command = [sys.executable, script, "--json", *words, "--stages", stage]
    surroundings = os.environ | ({} if checkout is None else {"PYTHONPATH": str(checkout)})
    # A program given with -c looks for packages where it runs first.
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=surroundings, cwd=checkout)
    return [list(row.values()) for row in json.loads(done.stdout)["tables"][0]["rows"]]


if __name__ == "__main__":
    main()
