"""What a fleet costs: `python benchmarks/fleet.py [--assets 500 --stages engine page]`.

The stage engine measures ticks per second of a replay as fast as it can, with one process and with two, and the
processor time of a tick.  The stage page serves the fleet page, opens it in a headless Chromium and reads there how
many states a reader saw and how old they were.

Settings and their defaults:

    --assets 500  series
    --ticks 200   ticks of the stage engine
    --seconds 30  length of the stage page
"""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import threading
import time
from typing import Any

import numpy as np
from tables import Table, parser, show

from uspnb.engine.fleet import Fleet

COLUMNS = {"stage": "", "what": "", "value": ",.1f", "unit": ""}
BROWSER = (
    "--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
WARM_TICKS = 150
SPEED = 10.0
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


STAGES = {"engine": engine_stage, "page": page_stage}


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
