"""What a second worker is worth, and what losing one costs: `python benchmarks/fanout.py [--candidates 32 --series 8]`.

The stage batch evaluates one batch of candidates of everything that is tuned without compiling, the stage replay a
collection by `backtest_many`: in this process, with one worker of a Dask cluster, and with several.  Programs are
loaded before the clock starts.  The stage loss kills a worker in the midst of a trial, of a campaign whose trials take
a fixed time, and counts what was done twice.  Workers are processes on this machine: with more of them than idle cores
the ratio is that of the cores.

Settings and their defaults:

    --workers 2      of the larger cluster, at least 2
    --ticks 2000     of each series
    --candidates 32  of the batch
    --series 8       of the collection
    --repeats 2      the fastest counts
    --trials 16      of each campaign of the stage loss
    --trial-s 1.0    time of each of its trials [s]
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from distributed import Client, LocalCluster
from tables import Table, parser, sample_series, show

import uspnb
from uspnb.config.meta_optimization import MetaOptimizationConfig
from uspnb.tuning.fanout import FannedOut
from uspnb.tuning.objective import WalkForwardObjective
from uspnb.tuning.space import SearchSpace, decoded, traced_space
from uspnb.tuning.study import BayesianMetaOptimizer

WARM_TICKS = 400
SPEED_COLUMNS = {"where": "", "wall time [s]": ".2f", "against one worker": ".2f", "against this process": ".2f"}
LOSS_COLUMNS = {
    "campaign": "", "wall time [s]": ".2f", "trials": ",d", "complete": ",d", "calls": ",d", "more [s]": ".2f",
}  # fmt: skip


@contextlib.contextmanager
def workers(count: int) -> Iterator[Client | None]:
    """The client of so many worker processes; None for no cluster."""
    if not count:
        yield None
        return
    started = LocalCluster(
        n_workers=count, processes=True, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    )
    with started as cluster, Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(count)
        yield client


def measured(options: Any, warm: Callable[[Client | None], Any], work: Callable[[Client | None], Any]) -> list[Any]:
    """Rows of the wall time of some work here, on one worker and on several; and what came of each run."""
    spent: dict[int, float] = {}
    found = []
    for count in (0, 1, options.workers):
        with workers(count) as client:
            warm(client)
            times = []
            for _ in range(options.repeats):
                began = time.perf_counter()
                found.append(work(client))
                times.append(time.perf_counter() - began)
        spent[count] = min(times)
    names = {0: "this process", 1: "one worker"} | {n: f"{n} workers" for n in spent if n > 1}
    return [[[names[n], s, spent[1] / s, spent[0] / s] for n, s in spent.items()], found]


def fanned_out(objective: WalkForwardObjective, client: Any) -> Any:
    """What evaluates candidates: this process where there is no client."""
    return objective if client is None else FannedOut(objective, client)


def batch_stage(options: Any) -> Table:
    """One batch of candidates, without pruning."""
    values = next(iter(sample_series(options.ticks).values()))
    space = traced_space()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=5))
    distributions = {name: one.distribution() for name, one in space.items()}
    candidates = [decoded(space, study.ask(distributions).params) for _ in range(options.candidates)]
    short, long = WalkForwardObjective(values[:WARM_TICKS]), WalkForwardObjective(values)
    rows, found = measured(
        options,
        lambda client: fanned_out(short, client).evaluate(candidates[:16]),
        lambda client: fanned_out(long, client).evaluate(candidates),
    )
    tables = [repr([one.value for one in evaluations]) for evaluations in found]
    same = "equal to the last bit" if len(set(tables)) == 1 else "NOT EQUAL"
    note = f"{len(candidates)} candidates, {len(values):,} ticks, {len(space)} parameters; all values {same}."
    return Table("A batch of candidates", SPEED_COLUMNS, rows, note + load())


def replay_stage(options: Any) -> Table:
    """A collection of series."""
    rng = np.random.default_rng(3)
    series = {f"series {k}": rng.normal(size=options.ticks).cumsum() for k in range(options.series)}
    short = {name: values[:WARM_TICKS] for name, values in series.items()}
    rows, found = measured(
        options,
        lambda client: uspnb.backtest_many(short, client=client),
        lambda client: uspnb.backtest_many(series, client=client),
    )
    same = all(one[name].identical(found[0][name]) for one in found for name in series)
    told = "identical" if same else "NOT IDENTICAL"
    note = f"{len(series)} series of {options.ticks:,} ticks; all Datasets {told}."
    return Table("backtest_many", SPEED_COLUMNS, rows, note + load())


def loss_stage(options: Any) -> Table:
    """Campaigns of trials that take a fixed time, one of them with a worker killed in the midst of a trial."""
    rows: list[list[Any]] = []
    sequences = []
    for name, kill in (("untouched", False), ("a worker killed", True)):
        with workers(options.workers) as client, tempfile.TemporaryDirectory() as folder:
            calls = Path(folder) / "calls"
            calls.mkdir()
            made = campaign(folder, sleeping(calls, options.trial_s, kill), options)
            made.optimize(1, client=client)  # workers import what they need
            began = time.perf_counter()
            made.optimize(options.trials, client=client)
            wall = time.perf_counter() - began
            status = made.status()
            more = wall - rows[0][1] if rows else None
            rows.append([name, wall, status.trials, status.complete, len(list(calls.iterdir())), more])
            sequences.append([(trial.params, trial.value) for trial in made.trials])
    told = "the same" if sequences[0] == sequences[1] else "NOT THE SAME"
    note = f"Trials of {options.trial_s:g} s on {options.workers} workers; the trials of both campaigns are {told}."
    return Table("A lost worker", LOSS_COLUMNS, rows, note + load())


def sleeping(calls: Path, trial_s: float, kill: bool) -> Callable[[dict[str, Any]], float]:
    """A function that takes a fixed time, counts its calls, and in the midst of the fifth kills its process."""

    def objective(params: dict[str, Any]) -> float:
        call = len(list(calls.iterdir()))
        (calls / f"{call}-{os.getpid()}-{params['x']!r}").touch()
        if kill and call == 5:
            time.sleep(trial_s / 2)
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(trial_s)
        return params["x"] ** 2

    return objective


def campaign(folder: str, objective: Callable[[dict[str, Any]], float], options: Any) -> BayesianMetaOptimizer:
    """A campaign whose batches are as large as it is."""
    meta = MetaOptimizationConfig(batch_size=options.trials, n_trials=options.trials, checkpoint_path=folder)
    space = {"x": SearchSpace("x", "float", (-1.0, 1.0))}
    return BayesianMetaOptimizer(space, objective, meta_config=meta, progress=False)


def load() -> str:
    """What else the machine did."""
    return f"  {os.cpu_count()} cores; load average at the end {os.getloadavg()[0]:.1f}."


STAGES = {"batch": batch_stage, "replay": replay_stage, "loss": loss_stage}


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    options = parser(__doc__, STAGES).parse_args()
    show([STAGES[stage](options) for stage in options.stages], options, began)


if __name__ == "__main__":
    main()
