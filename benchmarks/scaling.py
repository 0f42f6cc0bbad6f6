"""How the cost of a tick grows, and what stands beside a batch: `python benchmarks/scaling.py [--stages cost ...]`.

cost: a tick of one series over the window, over the lags of kernel A and over the number of kernels (the mean over the
four turns of their order, in which each kernel is there equally often), and a call of `step_batch` over the assets;
then the slope of log cost on log size by least squares.  The strides keep their defaults: every number is a mean over
whole strides.
batch: a batch in one process, by `step_batch`, and in two, as a `Fleet` replays it, beside as many models of river
(SNARIMAX) in a Python loop: some of them are measured and the time is scaled up in proportion.
large: a batch ten times as large: time per asset against that batch's, and memory against the size of the states.

Each stage runs in a process of its own.  The sizes of a scale are measured in turns after all have been compiled, and
the smallest of the repeats is taken.  Beside the time by the clock stands that of the processor, all threads and
helper processes together: on a machine that is shared it is the cost, and exponents are fitted to it.  A yardstick is
the time of a 64 x 64 Cholesky factorisation in NumPy between the runs.  `--plot FILE.svg` draws the costs (needs
Chromium on PATH).

Settings and their defaults:

    --ticks 512         ticks of a run of one series
    --calls 4           calls of a run of `step_batch`, in whole strides of 4
    --repeats 12        repeats of a run
    --batch 1000        assets of the stage batch
    --large 10_000      assets of the stage large
    --fleet-ticks 32    ticks of a run of the fleet
    --river-assets 50   assets that river is measured on
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import psutil
from gpu import MIB, SECOND, Peak, walks
from tables import Table, cholesky_seconds, parser, show

import uspnb
from uspnb.data import processes
from uspnb.engine.fleet import Fleet
from uspnb.predictor.functional import observations, scan_chunks

SEED = 7970
WARM_TICKS = 512
WARM_CALLS = 8
SERIES = 16  # whose states the assets of a batch take turns at
FLEET_WARM = 150
RIVER_ORDER = {"p": 5, "d": 0, "q": 0}  # an autoregression of order 5, refitted at every tick
RIVER_WARM, RIVER_TICKS = 64, 32
INSTALL = "pip install river==0.26.1"
KERNELS = uspnb.PredictorConfig().kernels
# Largest exponents allowed.
BARS = {"assets": 1.0, "window": 1.3, "lags": 2.2, "kernels": 1.0}
COST = {"scale": "", "size": ",d", "us": ",.1f", "processor us": ",.1f", "of": "", "yardsticks": ",.1f"}
EXPONENTS = {
    "scale": "", "from": ",d", "to": ",d", "sizes": "d", "exponent": ".2f", "bar": ".1f", "within": "",
}  # fmt: skip
BESIDE = {"what": "", "ms a step": ",.2f", "processor ms": ",.2f", "yardsticks": ",.0f", "of step_batch": ",.2f"}
LARGE = {"what": "", "value": ",.2f", "unit": "", "bar": ""}
COLUMNS = {"Cost": COST, "Exponents": EXPONENTS, "Beside a batch": BESIDE, "A large batch": LARGE}
DRAW = "() => [...Bokeh.index][0].export('svg').ctx.get_serialized_svg(true)"


def clocks(helpers: Sequence[psutil.Process] = ()) -> np.ndarray:
    """Seconds by the clock and of the processor, of this process and of helpers."""
    now, spent = time.perf_counter(), time.process_time()
    times = [helper.cpu_times() for helper in helpers]
    return np.array([now, spent + sum(each.user + each.system for each in times)])


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The slope of log cost on log size by least squares; NaN for fewer than two sizes."""
    if len(set(sizes)) < 2:
        return math.nan
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def in_turns(runs: Mapping[Any, Callable[[], np.ndarray]], repeats: int) -> tuple[dict[Any, np.ndarray], float]:
    """The smallest of both times of each run over some rounds, and the median yardstick between the rounds [s]."""
    taken: dict[Any, list[np.ndarray]] = {name: [] for name in runs}
    sticks = []
    for _ in range(repeats):
        sticks.append(cholesky_seconds())
        for name, run in runs.items():
            taken[name].append(run())
    return {name: np.min(spent, axis=0) for name, spent in taken.items()}, statistics.median(sticks)


def series_run(config: uspnb.PredictorConfig, ticks: int) -> Callable[[], np.ndarray]:
    """What measures a tick of one series by both clocks [s], compiled, its windows full; a run repeats its ticks."""
    predictor = uspnb.FunctionalPredictor(config)
    warm = max(WARM_TICKS, 2 * config.wtmm_buffer_size)
    y = processes.autoregression(warm + ticks, SEED).values
    whole = observations(y, (1 + np.arange(len(y))) * SECOND)
    before, after = (whole.at(part) for part in (slice(warm), slice(warm, None)))
    state, _ = scan_chunks(predictor, predictor.init_state(), before)

    def run() -> np.ndarray:
        began = clocks()
        scan_chunks(predictor, state, after)
        return (clocks() - began) / ticks

    run()
    return run


class Batch:
    """A batch whose windows are full, and its next ticks.

    Args:
        assets: how many series.
        calls: calls of a run.
    """

    def __init__(self, assets: int, calls: int) -> None:
        self._predictor, self._calls, self._done = uspnb.FunctionalPredictor(), calls, 0
        few = min(SERIES, assets)
        seen = walks(WARM_TICKS, few)
        columns = [seen.at((slice(None), k)) for k in range(few)]
        ends = [scan_chunks(self._predictor, self._predictor.init_state(), column)[0] for column in columns]
        turn = np.arange(assets) % few
        self._ahead = walks(4096 if assets <= 100 else 128, assets, seen.value[-1, turn], WARM_TICKS)
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *ends)
        self._states: Any = jax.tree.map(lambda leaf: jax.device_put(leaf[turn]), stacked)
        for _ in range(WARM_CALLS):
            self._call()

    def _call(self) -> None:
        k = self._done % len(self._ahead.value)
        tick = self._ahead.at(k)
        self._states, result = self._predictor.step_batch(self._states, tick)
        np.asarray(result.reference_prediction)
        self._done += 1

    def run(self) -> np.ndarray:
        """Seconds of a call by both clocks, the mean over a run."""
        began = clocks()
        for _ in range(self._calls):
            self._call()
        return (clocks() - began) / self._calls

    @property
    def bytes(self) -> int:
        """Size of the states."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self._states))


def turned(count: int) -> list[tuple[str, ...]]:
    """Choices of `count` kernels in which each is equally often: runs of the four in a ring, all of them once."""
    ring = [(KERNELS * 2)[k : k + count] for k in range(len(KERNELS))]
    return sorted({tuple(name for name in KERNELS if name in run) for run in ring})


def series_costs(scale: str, configs: Mapping[int, list[dict[str, Any]]], options: Any) -> list[list[Any]]:
    """Rows of a scale of one series: for each size the mean over some settings."""
    base = uspnb.PredictorConfig()
    runs = {
        (size, k): series_run(dataclasses.replace(base, **changes), options.ticks)
        for size, many in configs.items()
        for k, changes in enumerate(many)
    }
    cost, stick = in_turns(runs, options.repeats)
    rows = []
    for size, many in configs.items():
        seconds = np.mean([cost[size, k] for k in range(len(many))], axis=0)
        rows.append(cost_row(scale, size, seconds, "a tick of one series", stick))
    return rows


def cost_row(scale: str, size: int, seconds: np.ndarray, what: str, stick: float) -> list[Any]:
    """A row of the costs, in yardsticks by the processor."""
    return [scale, size, *(seconds * 1e6).tolist(), what, float(seconds[1]) / stick]


def asset_costs(options: Any) -> list[list[Any]]:
    """Rows of a call of `step_batch`, by its size."""
    # A run of a small batch is long enough that what the larger ones left in the caches does not count.
    runs = {assets: Batch(assets, options.calls * max(1, 64 // assets)).run for assets in options.assets}
    cost, stick = in_turns(runs, options.repeats)
    return [cost_row("assets", n, cost[n], "a call of step_batch", stick) for n in options.assets]


def cost_stage(options: Any) -> list[Table]:
    """Costs by size and their exponents."""
    windows = {w: [{"wtmm_buffer_size": w}] for w in options.windows}
    lags = {n: [{"hilbert_lags": n}] for n in options.lags}
    kernels = {n: [{"kernels": names} for names in turned(n)] for n in options.kernels}
    rows = asset_costs(options)
    for scale, configs in (("window", windows), ("lags", lags), ("kernels", kernels)):
        rows += series_costs(scale, configs, options)
    return [Table("Cost", COST, rows), Table("Exponents", EXPONENTS, exponents(rows))]


def exponents(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """A row for each scale of the costs that has two sizes or more."""
    fitted = []
    for scale, bar in BARS.items():
        sizes, costs = [row[1] for row in rows if row[0] == scale], [row[3] for row in rows if row[0] == scale]
        slope = exponent(sizes, costs)
        if math.isfinite(slope):
            fitted.append([scale, min(sizes), max(sizes), len(sizes), slope, bar, "yes" if slope <= bar else "no"])
    return fitted


def batch_stage(options: Any) -> list[Table]:
    """A batch in one process, in two, and river beside it."""
    assets = options.batch
    batch = Batch(assets, options.calls)
    before, first = in_turns({"batch": batch.run}, options.repeats)
    fleet = _fleet_seconds(assets, options)
    part = min(options.river_assets, assets)
    river = _river_seconds(part, options.repeats)
    after, last = in_turns({"batch": batch.run}, options.repeats)
    one, stick = np.minimum(before["batch"], after["batch"]), (first + last) / 2

    def row(what: str, seconds: np.ndarray) -> list[Any]:
        wall, processor = seconds.tolist()
        return [f"{assets:,} assets, {what}", wall * 1e3, processor * 1e3, wall / stick, wall / float(one[0])]

    rows = [row("step_batch, one process", one), row("replay of a Fleet, two processes", fleet)]
    if river is None:
        rows.append([f"river is not installed: {INSTALL}", None, None, None, None])
    else:
        orders = ", ".join(f"{name}={order}" for name, order in RIVER_ORDER.items())
        rows.append(row(f"river SNARIMAX({orders}) in a loop, from {part} of them", river * assets))
    note = f"A yardstick is {stick * 1e6:.1f} us; load average at the end {os.getloadavg()[0]:.1f}."
    return [Table("Beside a batch", BESIDE, rows, note)]


def _fleet_seconds(assets: int, options: Any) -> np.ndarray:
    """Seconds of a step of a fleet in two processes by both clocks, the smallest of the runs."""
    y = walks(FLEET_WARM + options.repeats * options.fleet_ticks, assets).value
    spent = []
    with Fleet(y, workers=2) as fleet:
        fleet.step(FLEET_WARM)
        fleet.wait(timeout=600.0)
        helpers = psutil.Process().children(recursive=True)
        for _ in range(options.repeats):
            began = clocks(helpers)
            fleet.step(options.fleet_ticks)
            fleet.wait(timeout=600.0)
            spent.append((clocks(helpers) - began) / options.fleet_ticks)
    return np.min(spent, axis=0)


def _river_seconds(assets: int, repeats: int) -> np.ndarray | None:
    """Seconds of a tick of one model of river, a forecast and what it learns; None where river is not installed."""
    try:
        snarimax = importlib.import_module("river.time_series").SNARIMAX
    except ModuleNotFoundError:
        return None
    models = [snarimax(**RIVER_ORDER) for _ in range(assets)]
    rows = walks(RIVER_WARM + repeats * RIVER_TICKS, assets).value.tolist()
    spent = []
    for k in range(len(rows) // RIVER_TICKS):
        began = clocks()
        for row in rows[k * RIVER_TICKS : (k + 1) * RIVER_TICKS]:
            for model, value in zip(models, row, strict=True):
                if k:
                    model.forecast(horizon=1)
                model.learn_one(value)
        spent.append((clocks() - began) / RIVER_TICKS / assets)
    return np.min(spent[RIVER_WARM // RIVER_TICKS :], axis=0)


def large_stage(options: Any) -> list[Table]:
    """Time per asset and memory of a batch ten times as large."""
    small = Batch(options.batch, options.calls)
    small.run()
    peak = Peak(jax.devices()[:1])
    large = Batch(options.large, options.calls)
    large.run()
    grown, states = peak.mib(), large.bytes / MIB
    cost, stick = in_turns({"small": small.run, "large": large.run}, max(2, options.repeats // 2))
    (call, processor), (_, small_call) = cost["large"].tolist(), cost["small"].tolist()
    each, each_small = processor / options.large, small_call / options.batch
    rows: list[list[Any]] = [
        [f"{options.large:,} assets, a call", call * 1e3, "ms", ""],
        ["a call, of the processor", processor * 1e3, "ms", ""],
        ["a call, of the processor", processor / stick, "yardsticks", ""],
        ["an asset of it", each * 1e6, "us", ""],
        [f"an asset of {options.batch:,}", each_small * 1e6, "us", ""],
        ["an asset of the large against one of the small", each / each_small, "times", "1"],
        ["states", states, "MiB", ""],
        ["growth of the peak of memory", grown, "MiB", ""],
        ["growth against the states", grown / states, "times", ""],
    ]
    return [Table("A large batch", LARGE, rows, f"Peak: {peak.kind()}.")]


STAGES: dict[str, Callable[[Any], list[Table]]] = {"cost": cost_stage, "batch": batch_stage, "large": large_stage}


def draw(rows: Sequence[Sequence[Any]], file: Path) -> None:
    """The costs over their sizes, both logarithmic, with the fitted lines.

    Raises:
        FileNotFoundError: Chromium, which turns the figure into SVG, is not on PATH.
    """
    import holoviews as hv
    from bokeh.embed import file_html
    from bokeh.resources import INLINE

    chromium = shutil.which("chromium")
    if chromium is None:
        raise FileNotFoundError("chromium is not on PATH; install Debian's package")
    sync_playwright = importlib.import_module("playwright.sync_api").sync_playwright
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as play:
        page_file = Path(scratch) / "scaling.html"
        page_file.write_text(file_html(hv.render(_figure(rows), backend="bokeh"), INLINE), encoding="utf-8")
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--headless"])
        page = browser.new_page()
        page.goto(page_file.as_uri())
        page.wait_for_function("() => globalThis.Bokeh && [...Bokeh.index].length > 0", timeout=60_000)
        file.write_text(page.evaluate(DRAW), encoding="utf-8")
        browser.close()


def _figure(rows: Sequence[Sequence[Any]]) -> Any:
    """Overlay of a fitted line and the points of each scale."""
    import holoviews as hv

    importlib.import_module("uspnb.plots.drawing")  # loads the backend
    style = importlib.import_module("uspnb.plots.style")

    colours = (*style.CHART_COLOURS.values(), style.ONSET)
    parts = []
    for colour, (scale, *_, slope, _, _) in zip(colours, exponents(rows), strict=False):
        sizes, costs = (np.array([row[k] for row in rows if row[0] == scale], float) for k in (1, 3))
        level = np.exp(np.mean(np.log(costs) - slope * np.log(sizes)))
        label = f"{scale}: exponent {slope:.2f}"
        line: Any = hv.Curve((sizes, level * sizes**slope), "size", "us", label=label)
        points: Any = hv.Scatter((sizes, costs), "size", "us", label=label)
        parts += [line.opts(color=colour, line_width=1.4), points.opts(color=colour, size=7)]
    shown: Any = hv.Overlay(parts)
    return shown.opts(
        hv.opts.Overlay(
            logx=True, logy=True, width=760, height=420, padding=0.06, legend_position="top_left", toolbar=None,
            xlabel="size: assets of a call, ticks of the window, lags, kernels", ylabel="processor time [us]",
            hooks=[style.themed("light"), _as_svg], title="",
        )
    )  # fmt: skip


def _as_svg(plot: Any, element: Any) -> None:
    plot.state.output_backend = "svg"


def chosen() -> argparse.Namespace:
    """The options."""
    made = parser(__doc__, STAGES)
    sizes = {
        "--assets": [1, 10, 100, 1000, 10_000],
        "--windows": [64, 96, 128, 192, 256, 512],
        "--lags": [4, 8, 15, 30, 60],
        "--kernels": [1, 2, 3, 4],
    }
    for name, default in sizes.items():
        made.add_argument(name, nargs="*", type=int, default=default, help="sizes of this scale, none to leave it out")
    made.add_argument("--plot", metavar="FILE.svg", help="draw the costs of the stage cost")
    options = made.parse_args()
    if options.plot and "cost" not in options.stages:
        made.error("--plot draws what the stage cost measures; name it in --stages")
    return options


def main() -> None:
    """Measure and print; a single stage runs here, several each in a process of its own."""
    began = time.perf_counter()
    options = chosen()
    if len(options.stages) == 1:
        tables = STAGES[options.stages[0]](options)
    else:
        tables = [table for stage in options.stages for table in _elsewhere(stage, options)]
    if options.plot:
        draw(tables[0].rows, Path(options.plot))
    show(tables, options, began)


def _elsewhere(stage: str, options: Any) -> list[Table]:
    words = []
    for name, value in vars(options).items():
        if name not in ("stages", "json", "plot"):
            words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    command = [sys.executable, __file__, "--json", *words, "--stages", stage]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [
        Table(told["title"], COLUMNS[told["title"]], [list(row.values()) for row in told["rows"]], told["note"])
        for told in json.loads(done.stdout)["tables"]
    ]


if __name__ == "__main__":
    main()
