"""What a fleet costs: `python benchmarks/fleet.py [--assets 500 --stages engine page]`.

The stage engine measures ticks per second of a replay as fast as it can, with one process and with two, and the
processor time of a tick.  The stage page serves the fleet page, opens it in a headless Chromium and reads there how
many states a reader saw and how old they were.  The stage cluster computes on a Dask cluster of one worker process with
one thread, then of two.  The stage lost ends a worker with SIGKILL again and again while a fleet with a store runs, and
compares what was recorded with a fleet that computes here.

Settings and their defaults:

    --assets 500   series
    --ticks 200    ticks of the stages engine and cluster
    --seconds 30   length of the stage page
    --hosted 2000  series of the stages cluster and lost
    --kills 5      of the stage lost
"""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tables import Table, parser, show

from uspnb.config.schema import PredictorConfig
from uspnb.engine.fleet import Fleet

COLUMNS = {"stage": "", "what": "", "value": ",.1f", "unit": ""}
BROWSER = (
    "--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
WARM_TICKS = 150
SPEED = 10.0
PATIENCE_S = 600.0
LOST_EVERY, LOST_AFTER_S = 50, 0.3  # ticks between two kills; a while into a tick
SHOWN = ("observation", "prediction", "next_prediction", "lower", "upper", "next_lower", "next_upper", "alarm")
Rows = list[list[Any]]

READ = """
() => {
  const find = (root) => {
    for (const one of root.querySelectorAll("*")) {
      if (one.classList?.contains("uspnb-fleet")) return one;
      const inside = one.shadowRoot && find(one.shadowRoot);
      if (inside) return inside;
    }
    return null;
  };
  const table = find(document);
  if (!table) return null;
  return { ...table.dataset, delays: table.uspnb.delays.slice(-2000) };
}
"""


def processor_s() -> float:
    """Seconds of processor time of this process and of its helpers that have ended."""
    own, ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def engine_stage(options: Any) -> Rows:
    """Ticks per second of a replay, by number of processes, after the windows are full."""
    rng = np.random.default_rng(0)
    y = rng.standard_normal((WARM_TICKS + options.ticks, options.assets)).cumsum(axis=0)
    rows: Rows = []
    bits = []
    for workers in (1, 2):
        with Fleet(y, workers=workers) as fleet:
            began = time.perf_counter()
            fleet.step(1)
            fleet.wait(timeout=600.0)
            start = time.perf_counter() - began
            fleet.step(WARM_TICKS - 1)
            fleet.wait(timeout=600.0)
            began, spent = time.perf_counter(), processor_s()
            fleet.run()
            fleet.wait(phase="finished", timeout=600.0)
            took, spent = time.perf_counter() - began, processor_s() - spent
            bits.append(fleet.table().to_numpy(object))
        name = f"{workers} process" + ("es" if workers > 1 else "")
        rows.append(["engine", f"{options.assets:,} assets, {name}", options.ticks / took, "ticks/s"])
        rows.append(["engine", f"first tick, {name}", start, "s"])
        if workers == 1:
            rows.append(["engine", "processor time of a tick", spent / options.ticks * 1e3, "ms"])
    same = repr(bits[0].tolist()) == repr(bits[1].tolist())
    return [*rows, ["engine", "results of both equal to the bit", float(same), "yes = 1"]]


def page_stage(options: Any) -> Rows:
    """States that a reader saw each second, and their age when they were drawn."""
    sync_playwright = importlib.import_module("playwright.sync_api").sync_playwright
    server = importlib.import_module("uspnb.widgets.apps.server")
    site_module = importlib.import_module("uspnb.widgets.apps.site")
    demo = importlib.import_module("uspnb.widgets.apps.choices")
    with Fleet(demo.demo_table(options.assets), speed=SPEED, workers=options.workers) as fleet:
        site = site_module.Site(app="fleet", source=fleet)
        built = server.build(site, port=0, address="127.0.0.1")
        thread = threading.Thread(target=built.io_loop.start, daemon=True)
        built.start()
        thread.start()
        fleet.run()
        fleet.wait(until=5, timeout=600.0)
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=list(BROWSER))
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(f"http://127.0.0.1:{built.port}/fleet")
            page.wait_for_function(f"() => Number(({READ})()?.frames ?? 0) > 10", timeout=120_000)
            first, done, began = page.evaluate(READ), fleet.status.ticks, time.perf_counter()
            page.wait_for_timeout(1000 * options.seconds)
            last, took = page.evaluate(READ), time.perf_counter() - began
            ticks = fleet.status.ticks - done
            browser.close()
        built.io_loop.add_callback(built.io_loop.stop)
        thread.join(timeout=10.0)
        built.stop()
    states = (int(last["states"]) - int(first["states"])) / took
    seen = last["delays"][len(first["delays"]) :] or last["delays"]
    middle, high = np.quantile(seen, [0.5, 0.95])
    return [
        ["page", f"{options.assets:,} assets, ticks computed", ticks / took, "ticks/s"],
        ["page", "states drawn in the browser", states, "1/s"],
        ["page", "delay, p50", float(middle), "ms"],
        ["page", "delay, p95", float(high), "ms"],
        ["page", "ticks that the browser missed", float(last["gaps"]), ""],
    ]


@contextlib.contextmanager
def workers(count: int) -> Iterator[Any]:
    """The client of so many worker processes of one thread each."""
    import dask.config
    from distributed import Client, LocalCluster

    # Else a worker that takes longer than 15 s to start anew is given up.
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1 h"}),
        LocalCluster(
            n_workers=count, processes=True, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        contextlib.closing(Client(cluster, set_as_default=False)) as client,
    ):
        client.wait_for_workers(count)
        yield client


def cluster_stage(options: Any) -> Rows:
    """Ticks per second on the workers of a cluster, and of one process here, after the windows are full."""
    rng = np.random.default_rng(0)
    y = rng.standard_normal((WARM_TICKS + options.ticks, options.hosted)).cumsum(axis=0)
    rows: Rows = []
    rates, bits = {}, []
    for count in (0, 1, 2):
        with (
            contextlib.nullcontext() if count == 0 else workers(count) as client,
            Fleet(y, client=client, workers=None if count else 1) as fleet,
        ):
            fleet.step(WARM_TICKS)
            fleet.wait(timeout=PATIENCE_S)
            began, spent = time.perf_counter(), processor_s()
            fleet.run()
            fleet.wait(phase="finished", timeout=PATIENCE_S)
            rates[count] = options.ticks / (time.perf_counter() - began)
            spent = processor_s() - spent
            bits.append(fleet.table().to_numpy(object))
        name = {0: "this process", 1: "one worker", 2: "two workers"}[count]
        rows.append(["cluster", f"{options.hosted:,} assets, {name}", rates[count], "ticks/s"])
        rows.append(["cluster", f"processor time of a tick in this process, {name}", spent / options.ticks * 1e3, "ms"])
    same = all(repr(one.tolist()) == repr(bits[0].tolist()) for one in bits)
    return [
        *rows,
        ["cluster", "two workers against one", rates[2] / rates[1], "times"],
        ["cluster", "one worker against this process", rates[1] / rates[0], "times"],
        ["cluster", "results of all equal to the bit", float(same), "yes = 1"],
    ]


def lost_stage(options: Any) -> Rows:
    """What is lost or doubled when workers are killed under a fleet, and how long it stands still."""
    rng = np.random.default_rng(1)
    ticks = LOST_EVERY * (options.kills + 1)
    y = rng.standard_normal((ticks, options.hosted)).cumsum(axis=0)
    pauses, steps, acknowledged = [], [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        workers(2) as client,
        Fleet(
            y, PredictorConfig(snapshot_interval_steps=20), client=client, ring=ticks, store=Path(folder, "states.db")
        ) as fleet,
    ):
        fleet.step(1)
        fleet.wait(timeout=PATIENCE_S)
        fleet.run()
        for kill in range(options.kills):
            goal, began = LOST_EVERY * (kill + 1), time.perf_counter()
            fleet.wait(until=goal, timeout=PATIENCE_S)
            steps.append((time.perf_counter() - began) / LOST_EVERY)
            client.wait_for_workers(2, timeout=PATIENCE_S)
            pids = client.run(os.getpid)
            time.sleep(rng.uniform(0.0, LOST_AFTER_S))
            os.kill(pids[sorted(pids)[kill % 2]], signal.SIGKILL)
            seen, began = fleet.status.ticks, time.perf_counter()
            acknowledged.append(seen)
            fleet.wait(until=seen + 2, timeout=PATIENCE_S)  # the next one may have been computed already
            pauses.append(time.perf_counter() - began)
        fleet.wait(phase="finished", timeout=PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        while fleet.stored != ticks and time.monotonic() < deadline:
            time.sleep(0.1)
        stored, done = fleet.stored, fleet.status.ticks
        _, recorded = fleet.columns(SHOWN, 0, ticks)
        stamps = fleet._only.timeline.recording.read(0, ticks, (slice(0, 1),))[1]
    with Fleet(y, ring=ticks, workers=1) as local:
        local.run()
        local.wait(phase="finished", timeout=PATIENCE_S)
        _, expected = local.columns(SHOWN, 0, ticks)
    equal = [np.array_equal(a, b, equal_nan=True) for a, b in zip(recorded, expected, strict=False)]
    return [
        ["lost", f"{options.hosted:,} assets, ticks of the table", float(ticks), ""],
        ["lost", "workers killed", float(len(pauses)), ""],
        ["lost", "ticks recorded", float(done), ""],
        ["lost", "ticks recorded twice or out of order", float(np.count_nonzero(np.diff(stamps) <= 0)), ""],
        ["lost", "ticks that differ from those of a local fleet", float(ticks - sum(equal)), ""],
        ["lost", "ticks in the store at the end", float(stored or 0), ""],
        ["lost", "longest time from a kill to the second new tick", max(pauses), "s"],
        ["lost", "mean of them", float(np.mean(pauses)), "s"],
    ]


STAGES = {"engine": engine_stage, "page": page_stage, "cluster": cluster_stage, "lost": lost_stage}


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    line = parser(__doc__, STAGES)
    line.add_argument("--workers", type=int, default=None, help="processes of the stage page")
    options = line.parse_args()
    os.environ.setdefault("BOKEH_RESOURCES", "server")
    rows = [row for stage in options.stages for row in STAGES[stage](options)]
    load = f"Load average of the machine at the end: {os.getloadavg()[0]:.1f}."
    show([Table("Fleet", COLUMNS, rows, load)], options, began)


if __name__ == "__main__":
    main()
