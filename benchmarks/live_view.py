"""What one sees of a running session: `python benchmarks/live_view.py [--hosts served jupyter --rates 200 600]`.

A replay of 10,000 ticks and more is watched in real headless Chromium, served by Panel and in JupyterLab.  Every frame
that reaches the browser is checked for missing ticks.  The delay runs from the moment at which Python hands a frame
over to the end of its drawing.  Run it on a quiet machine.

Settings and their defaults:

    --seconds 60.0  that each page is watched
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright
from tables import Table, parser, show

ROOT = Path(__file__).resolve().parent.parent
ROWS = 10_000
START_S = 120.0
FLAGS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip

SESSION = """
import threading, time
import uspnb
from uspnb.data import processes
session = uspnb.Session(processes.autoregression({length}, 7).values, name="autoregression", units="y")
session.seek({rows})
session.wait(until={rows}, timeout=300)
session.set_speed({rate})
"""
# The session's own publisher stops at thirty pushes a second; this thread asks for more, as a busier host would.
PUSHES = """
def push():
    while True:
        time.sleep({period})
        view._link.changed()
threading.Thread(target=push, daemon=True).start()
"""
SERVED = """
import panel as pn
from uspnb.widgets import LivePane
def page():
    global view
    view = LivePane(session)
{pushes}
    return pn.Column(view, sizing_mode="stretch_width")
pn.serve(page, port={port}, address="127.0.0.1", show=False, title="live view")
"""
NOTEBOOK = """
from uspnb.widgets import LiveView
view = LiveView(session)
{pushes}
view
"""
# Panel draws inside shadow roots, which querySelector does not enter.
FIND = """() => {
  const seek = (root) => {
    const found = root.querySelector(".uspnb-live");
    if (found) return found;
    for (const e of root.querySelectorAll("*")) {
      const inside = e.shadowRoot && seek(e.shadowRoot);
      if (inside) return inside;
    }
    return null;
  };
  window.watched = seek(document);
  return window.watched ? Number(window.watched.dataset.ticks || 0) : -1;
}"""
READ = """() => {
  const { dataset, uspnb } = window.watched;
  return { ticks: +dataset.ticks, gaps: +dataset.gaps, states: +dataset.states, phase: dataset.phase,
           delays: uspnb.delays.slice(), missing: uspnb.link.ring.missing };
}"""
IDLE = "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"

COLUMNS = {
    "host": "", "pushes/s asked": ".0f", "ticks/s": ".0f", "states/s": ".1f", "delay p50": ".0f", "delay p95": ".0f",
    "p95 last third": ".0f", "ticks missing": ".0f", "heap start": ".1f", "heap end": ".1f",
}  # fmt: skip


def pieces(rate: float, seconds: float) -> tuple[str, str]:
    """Source of the session and of the thread that pushes for a rate of `rate` ticks a second, ten a push."""
    length = int(ROWS + rate * (seconds + 60))
    return SESSION.format(length=length, rows=ROWS, rate=rate), PUSHES.format(period=10.0 / rate)


@contextlib.contextmanager
def served(rate: float, seconds: float, folder: Path) -> Iterator[str]:
    """A page served in a process of its own; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    session, pushes = pieces(rate, seconds)
    indented = "".join(f"    {line}\n" for line in pushes.strip().splitlines())
    script = folder / "page.py"
    script.write_text(session + SERVED.format(port=port, pushes=indented))
    environment = os.environ | {"BOKEH_RESOURCES": "server"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, str(script)], env=environment, stdout=log, stderr=log)
        try:
            address, began = f"http://127.0.0.1:{port}/", time.monotonic()
            while not answers(address):
                if process.poll() is not None or time.monotonic() - began > START_S:
                    raise RuntimeError(f"the page did not come up:\n{(folder / 'log').read_text()[-2000:]}")
                time.sleep(0.3)
            yield address
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def answers(address: str) -> bool:
    """Whether something listens there."""
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@contextlib.contextmanager
def in_jupyter(rate: float, seconds: float, folder: Path) -> Iterator[str]:
    """A notebook with the view in a JupyterLab of its own; yields its address."""
    sys.path.append(str(ROOT / "tests" / "support"))
    module = importlib.import_module("jupyter_server")
    session, pushes = pieces(rate, seconds)
    sources = [session, NOTEBOOK.format(pushes=pushes)]
    cells = [
        {"cell_type": "code", "id": f"c{k}", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
        for k, source in enumerate(sources)
    ]
    about = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = folder / "view.ipynb"
    notebook.write_text(json.dumps({"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}))
    with module.jupyter_server(folder) as server:
        yield server.open(notebook, "live_view")


def watch(page: Page, host: str, address: str, rate: float, seconds: float) -> list[Any]:
    """Open the view, let it run, and say what was seen."""
    page.goto(address, timeout=120_000)
    if host == "jupyter":
        page.wait_for_function(IDLE, timeout=120_000)
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(f"({FIND})() >= {ROWS}", timeout=300_000, polling=500)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")
    page.evaluate("window.watched.focus({ preventScroll: true })")
    page.keyboard.press(" ")
    page.wait_for_timeout(5_000)
    heap_before = heap(devtools)
    before = page.evaluate(READ)
    page.evaluate("window.watched.uspnb.delays.length = 0")
    began, delays, gaps, now = time.monotonic(), [], 0, before
    while time.monotonic() - began < seconds:
        page.wait_for_timeout(min(15_000, seconds * 250))
        now = page.evaluate(READ)
        delays += now["delays"]
        gaps += now["gaps"]
        page.evaluate("window.watched.uspnb.delays.length = 0")
    spent = time.monotonic() - began
    heap_after = heap(devtools)
    p50, p95 = np.quantile(delays, [0.5, 0.95])
    late = float(np.quantile(delays[-len(delays) // 3 :], 0.95))
    states, ticks = ((now[name] - before[name]) / spent for name in ("states", "ticks"))
    return [host, rate / 10, ticks, states, float(p50), float(p95), late, gaps, heap_before, heap_after]


def heap(devtools: Any) -> float:
    """Megabytes of JavaScript objects after a collection, buffers of numbers not counted."""
    devtools.send("HeapProfiler.collectGarbage")
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return next(m["value"] for m in metrics if m["name"] == "JSHeapUsedSize") / 1e6


def main() -> None:
    """Measure every host at every rate and print one table."""
    made = parser(__doc__)
    made.add_argument("--hosts", nargs="+", choices=("served", "jupyter"), default=["served", "jupyter"])
    made.add_argument("--rates", nargs="+", type=float, default=[200.0, 600.0], help="ticks a second, ten a push")
    options = made.parse_args()
    began, rows = time.perf_counter(), []
    with sync_playwright() as playwright:
        for host in options.hosts:
            for rate in options.rates:
                with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
                    open_host = served if host == "served" else in_jupyter
                    address = stack.enter_context(open_host(rate, options.seconds, Path(folder)))
                    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
                    stack.callback(browser.close)
                    page = browser.new_page(viewport={"width": 1280, "height": 800})
                    rows.append(watch(page, host, address, rate, options.seconds))
    note = f"{ROWS:,} rows in four panels, ten ticks a push; delays in milliseconds, heap in MB."
    show([Table("Live view in headless Chromium", COLUMNS, rows, note)], options, began)


if __name__ == "__main__":
    main()
