"""What a tick of many series costs on the default device: `python benchmarks/gpu.py [--assets 100 1000] [--sharded]`.

A step is a tick of the whole batch within a call of `run_batch`, everything on the device; a call hands over one tick
from the host and brings its results back.  Every number is a median of repeats after warm-up.  On a CPU the sizes are
smaller.  A size that would pass `--seconds` or the memory is not run, and the output says so.

`--sharded` spreads the batch over all devices.  Without a GPU it is tried on two devices of the host:

    XLA_FLAGS=--xla_force_host_platform_device_count=2 PJRT_NPROC=4 python benchmarks/gpu.py --sharded

There the program waits for ever where XLA has fewer host threads than two a device, so that is refused; with more it
may do so too (jaxlib 0.10), the more likely the larger the batch.

Settings and their defaults:

    --ticks 8      ticks of a call of the program
    --repeats 5    repeats of a call
    --seconds 300  wall time [s] after which no further size is begun
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import os
import re
import resource
import statistics
import sys
import time
from typing import Any, NamedTuple

import jax
import numpy as np
import psutil
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding
from tables import Table, cholesky_seconds, parser, show

import uspnb
from uspnb.model.packing import unpack
from uspnb.model.programs import initial_state, run_batch, traced_part
from uspnb.model.records import Observation
from uspnb.predictor.functional import filled, observations, scan_chunks

SEED = 7950
SECOND = 1_000_000_000
MIB = 2**20
SIZES = {True: [100, 1000], False: [100, 1000, 10_000, 100_000]}  # on a CPU, elsewhere
SMALL = 100  # assets of the batch that parity is measured on, at most
ALONE = 16  # series of it that are also stepped one by one
SETTLED = 192  # ticks that fill every window
WARM_CALLS = 2
COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
EQUAL = 1e-9
# The specification's: on an A100, and what it aims at [ms a step].
MARKS, AIMS = {100: 8.0, 1000: 18.0}, {100: 0.5, 1000: 1.0}
STEP_COLUMNS = {"assets": ",d", "ms a step": ",.3f", "us per asset": ",.2f", "ms a call": ",.3f", "peak MiB": ",.1f",
                "program MiB": ",.1f", "trace s": ".1f", "compile s": ".1f", "Choleskys a step": ",.0f",
                "A100 ms": ".0f", "aim ms": ".1f"}  # fmt: skip
PARITY_COLUMNS = {"between": "", "series": "d", "ticks": "d", "weights": ".1e", "forecasts, relative": ".1e",
                  "states": ".1e", "results": ".1e", "largest in": "", f"forecasts, states within {EQUAL:.0e}": "",
                  f"results within {EQUAL:.0e}": ""}  # fmt: skip
PARITY_NOTE = (
    "Largest differences: of weights; of forecasts over the forecast; of last states and of all results, relative "
    "where above 1. The results of the transport (its plan, cost, free energies and error) are exact to the tolerance "
    "at which Sinkhorn's iteration stops, and rounding can end it an iteration sooner or later."
)


class Place(NamedTuple):
    """Where a batch lies.

    Attributes:
        states: sharding of arrays with a leading axis of series.
        ticks: of those whose second axis it is.
        devices: all of them.
    """

    states: Sharding
    ticks: Sharding
    devices: list[Any]


def place_on(device: Any) -> Place:
    """All of the batch on one device."""
    alone = SingleDeviceSharding(device)
    return Place(alone, alone, [device])


def place_across(devices: list[Any]) -> Place:
    """An equal share of the series on each device."""
    mesh = Mesh(np.array(devices), ("asset",))
    return Place(
        NamedSharding(mesh, PartitionSpec("asset")), NamedSharding(mesh, PartitionSpec(None, "asset")), devices
    )


@functools.cache
def predictor() -> uspnb.FunctionalPredictor:
    """The default predictor, whose program is measured."""
    return uspnb.FunctionalPredictor()


@dataclasses.dataclass(frozen=True)
class Program:
    """`run_batch`, compiled for a place and a shape.

    Attributes:
        compiled: the executable.
        place: where its arguments lie.
        assets, length: series of the batch and ticks of its buffer.
        knobs: the traced settings.
        trace_s, compile_s: what it took [s].
    """

    compiled: Any
    place: Place
    assets: int
    length: int
    knobs: np.ndarray
    trace_s: float
    compile_s: float

    def __call__(self, states: Any, ticks: Observation, count: int) -> tuple[Any, jax.Array]:
        """States after `count` ticks, and packed results of shape (length, series, width), both ready."""
        new, rows = self.compiled(self.knobs, states, jax.device_put(ticks, self.place.ticks), np.int64(count))
        if len(self.place.devices) > 1:  # what the compiler spread otherwise
            new = jax.device_put(new, self.place.states)
        return jax.block_until_ready((new, rows))

    def memory(self) -> int:
        """What XLA plans for a device: arguments, results and temporaries [bytes]; 0 where it does not say."""
        plan = self.compiled.memory_analysis()
        if plan is None:
            return 0
        return plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes

    def collectives(self) -> str:
        """The operations in which devices wait for one another, each kind with its count."""
        text = self.compiled.as_text()
        counts = {name: len(re.findall(rf" {name}(?:-start)?\(", text)) for name in COLLECTIVES}
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none"


def compile_program(place: Place, assets: int, length: int) -> Program:
    """The program for ticks of shape (length, assets), compiled without making an array of that size."""
    static, knobs = predictor().static, traced_part(predictor().config)

    def blank(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((assets, *leaf.shape), leaf.dtype, sharding=place.states)

    def column(kind: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((length, assets), kind, sharding=place.ticks)

    states = jax.tree.map(blank, jax.eval_shape(lambda key: initial_state(static, key), jax.random.PRNGKey(0)))
    ticks = Observation(column(np.float64), column(np.int64), column(np.int64), column(np.float64))
    began = time.perf_counter()
    lowered = run_batch.jitted.lower(static, knobs, states, ticks, np.int64(0))
    traced = time.perf_counter()
    compiled = lowered.compile()
    return Program(compiled, place, assets, length, knobs, traced - began, time.perf_counter() - traced)


def walks(ticks: int, assets: int, start: Any = 100.0, first: int = 0) -> Observation:
    """Random walks of unit steps, a tick a second: columns of shape (ticks, assets) on the host.

    They begin far from zero, so that the error of a forecast relative to it means something.
    """
    rng = np.random.default_rng([SEED, assets, first])
    values = start + rng.standard_normal((ticks, assets)).cumsum(axis=0)
    return observations(values, (first + 1 + np.arange(ticks)) * SECOND)


def piece(ticks: Observation, start: int, length: int, count: int) -> Observation:
    """A buffer of `length` ticks of which the first `count` are those from `start`."""
    return jax.tree.map(lambda column: filled(column[start : start + count], length), ticks)


def follow(program: Program, states: Any, ticks: Observation) -> tuple[Any, np.ndarray]:
    """The states after all ticks, and their packed results of shape (ticks, series, width)."""
    states = jax.device_put(states, program.place.states)
    rows = []
    for start in range(0, len(ticks.value), program.length):
        count = min(program.length, len(ticks.value) - start)
        states, packed = program(states, piece(ticks, start, program.length, count), count)
        rows.append(np.asarray(packed)[:count])
    return states, np.concatenate(rows)


def largest_difference(a: Any, b: Any, floor: float = math.inf) -> float:
    """max |a - b| / max(|b|, floor), absolute without a floor; infinite where only one of them is NaN."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if not a.size:
        return 0.0
    scale = np.maximum(np.abs(b), floor) if math.isfinite(floor) else 1.0
    with np.errstate(invalid="ignore"):
        apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b) / scale)
    return float(np.where(np.isnan(apart), np.inf, apart).max())


def parity_row(between: str, one: tuple[Any, np.ndarray], other: tuple[Any, np.ndarray]) -> list[Any]:
    """Largest differences between two programs.

    Args:
        between: which.
        one, other: of each the last states, and packed results of shape (ticks, series, width).
    """
    layout, largest_relative = predictor().layout, functools.partial(largest_difference, floor=1.0)
    (states, rows), (other_states, other_rows) = one, other
    mine, others = unpack(rows, layout), unpack(other_rows, layout)
    weights = largest_difference(mine.telemetry.weight, others.telemetry.weight)
    tiny = float(np.finfo(float).tiny)
    forecasts = largest_difference(mine.reference_prediction, others.reference_prediction, tiny)
    state = max(map(largest_relative, jax.tree.leaves(states), jax.tree.leaves(other_states)))
    named = zip(jax.tree_util.tree_leaves_with_path(mine), jax.tree.leaves(others), strict=True)
    result, path = max((largest_relative(a, b), jax.tree_util.keystr(at).lstrip(".")) for (at, a), b in named)
    agreed = ["yes" if apart <= EQUAL else "no" for apart in (max(weights, forecasts, state), result)]
    return [between, rows.shape[1], rows.shape[0], weights, forecasts, state, result, path, *agreed]


def parity(small: Program, ticks: Observation) -> tuple[Any, list[list[Any]], str]:
    """Compare programs over the ticks of a small batch, from cold states on.

    Returns:
        States on the host that have seen the ticks; rows of the table; what was not compared, and why.
    """
    key = jax.random.PRNGKey(predictor().config.seed)
    one = initial_state(predictor().static, key)
    cold = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf)[None], small.assets, axis=0), one)
    here = follow(small, cold, ticks)
    rows, devices, backend = [], small.place.devices, jax.default_backend()
    left_out = ""
    if backend == "cpu":
        rows.append(parity_row("a batch and a loop over single series, both on the CPU", *with_singles(here, ticks)))
    else:
        try:
            host = jax.devices("cpu")[0]
        except RuntimeError as error:
            left_out = f"Parity with the CPU was not measured: {error}."
        else:
            other = compile_program(place_on(host), small.assets, small.length)
            rows.append(parity_row(f"{backend} and CPU", here, follow(other, cold, ticks)))
    if len(devices) > 1:
        alone = compile_program(place_on(devices[0]), small.assets, small.length)
        rows.append(parity_row(f"{len(devices)} devices and one", here, follow(alone, cold, ticks)))
    return here[0], rows, left_out


def with_singles(batch: tuple[Any, np.ndarray], ticks: Observation) -> tuple[Any, Any]:
    """The first series of a batch, states and results, and the same stepped one by one."""
    count = min(ALONE, batch[1].shape[1])
    columns = [ticks.at((slice(None), k)) for k in range(count)]
    singles = [scan_chunks(predictor(), predictor().init_state(), column) for column in columns]
    ends = jax.tree.map(lambda *leaves: np.stack(leaves), *(end for end, _ in singles))
    first = jax.tree.map(lambda leaf: leaf[:count], batch[0])
    return (first, batch[1][:, :count]), (ends, np.stack([rows for _, rows in singles], axis=1))


class Peak:
    """The largest use of memory while a size is measured, of one device where it tells, else of the process."""

    def __init__(self, devices: list[Any]) -> None:
        self._devices = devices if all(device.memory_stats() for device in devices) else []
        self._sharing = 1 if self._devices else len(devices)
        self._process = psutil.Process()
        self._before, self._highest_before = self._process.memory_info().rss, _highest()
        self._most = self._before

    def look(self) -> None:
        """Note what is in use now."""
        self._most = max(self._most, self._process.memory_info().rss)

    def mib(self) -> float:
        """The peak [MiB]; of a device since the process started, so of the largest program so far."""
        if self._devices:
            return max(device.memory_stats()["peak_bytes_in_use"] for device in self._devices) / MIB
        highest = _highest()
        most = max(self._most, highest) if highest > self._highest_before else self._most
        return (most - self._before) / MIB

    def kind(self) -> str:
        """What `mib` is."""
        return "memory_stats of the device" if self._devices else "growth of the resident memory of the process"

    def free(self) -> float:
        """What a device can still take; of the host's memory its share of that [bytes]."""
        stats = [device.memory_stats() for device in self._devices]
        if not stats:
            return psutil.virtual_memory().available / self._sharing
        return min(held.get("bytes_limit", math.inf) - held["bytes_in_use"] for held in stats)


def _highest() -> int:
    """The largest resident set so far [bytes]; the system counts it in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def step_row(program: Program, settled: Any, seen: Observation, options: Any, peak: Peak) -> tuple[list[Any], float]:
    """A row of the table, and the yardstick during its repeats [s].

    Args:
        program: for the size of the row.
        settled: states of a small batch, on the host; the series of the row go on from these in turn.
        seen: the ticks that they have seen.
        options: of the command line.
        peak: made before anything of this size was.
    """
    assets, length = program.assets, program.length
    turn = np.arange(assets) % seen.value.shape[1]
    states = jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)[turn], program.place.states), settled)
    runs = WARM_CALLS + options.repeats
    ticks = walks(runs * (length + 1), assets, seen.value[-1, turn], len(seen.value))
    steps, calls, sticks = [], [], []
    for run in range(runs):
        many = jax.device_put(piece(ticks, run * length, length, length), program.place.ticks)
        began = time.perf_counter()
        states, rows = program(states, many, length)
        steps.append((time.perf_counter() - began) / length)
        peak.look()
        sticks.append(cholesky_seconds())
    for run in range(runs):
        one = piece(ticks, runs * length + run, length, 1)
        began = time.perf_counter()
        states, rows = program(states, one, 1)
        np.asarray(rows[0])
        calls.append(time.perf_counter() - began)
        peak.look()
    step, call, stick = (statistics.median(spent[-options.repeats :]) for spent in (steps, calls, sticks))
    return [assets, step * 1e3, step / assets * 1e6, call * 1e3, peak.mib(), program.memory() / MIB, program.trace_s,
            program.compile_s, step / stick, MARKS.get(assets), AIMS.get(assets)], stick  # fmt: skip


def step_rows(
    small: Program, settled: Any, seen: Observation, options: Any, began: float
) -> tuple[list[list[Any]], list[float], list[str]]:
    """The sizes in order, as far as time and memory reach.

    Returns:
        Rows of the table, the yardstick during each [s], and sentences on what peak memory is and what was not run.
    """
    rows: list[list[Any]] = []
    sticks, program, spent = [], small, 0.0
    remarks = [f"Peak memory: {Peak(small.place.devices).kind()}."]
    for k, assets in enumerate(options.assets):
        rest = f"Not run: {', '.join(f'{size:,}' for size in options.assets[k:])} assets"
        anew = assets != program.assets
        left = options.seconds - (time.perf_counter() - began)
        expected = anew * (program.trace_s + program.compile_s) + spent * assets / program.assets
        if expected > left:
            remarks.append(f"{rest}; {assets:,} would take about {expected:.0f} s, and {max(left, 0):.0f} of the "
                           f"{options.seconds} s of --seconds are left.")  # fmt: skip
            break
        program = compile_program(small.place, assets, options.ticks) if anew else program
        peak = Peak(small.place.devices)
        if program.memory() > peak.free():
            remarks.append(f"{rest}; {assets:,} take {program.memory() / MIB:,.0f} MiB on a device, and "
                           f"{peak.free() / MIB:,.0f} are free.")  # fmt: skip
            break
        started = time.perf_counter()
        row, stick = step_row(program, settled, seen, options, peak)
        spent = time.perf_counter() - started
        rows.append(row)
        sticks.append(stick)
    return rows, sticks, remarks


def chosen() -> argparse.Namespace:
    """The options; sizes sorted, by default those of the platform."""
    made = parser(__doc__)
    made.add_argument("--assets", nargs="+", type=int, help="sizes of the batch, by default those of the platform")
    made.add_argument("--sharded", action="store_true", help="spread the batch over all devices")
    made.add_argument("--cached", action="store_true", help="take compiled programs from the cache, if they are there")
    options = made.parse_args()
    options.assets = options.assets or SIZES[jax.default_backend() == "cpu"]
    if min(*options.assets, options.ticks, options.repeats) < 1:
        made.error("--assets, --ticks and --repeats must be at least 1")
    threads, devices = int(os.environ["PJRT_NPROC"]), jax.device_count()
    if options.sharded and jax.default_backend() == "cpu" and devices > 1 and threads < 2 * devices:
        made.error(f"--sharded over {devices} devices of the host waits for ever with PJRT_NPROC={threads}; "
                   f"set it to {2 * devices} or more")  # fmt: skip
    return options


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    options = chosen()
    jax.config.update("jax_enable_compilation_cache", options.cached)
    devices = jax.devices() if options.sharded else jax.devices()[:1]
    options.assets = sorted({_shared_out(size, devices) for size in options.assets})
    size = min(options.assets[0], _shared_out(SMALL, devices))
    small = compile_program(place_across(devices) if options.sharded else place_on(devices[0]), size, options.ticks)
    seen = walks(SETTLED, size)
    settled, pairs, left_out = parity(small, seen)
    rows, sticks, remarks = step_rows(small, settled, seen, options, began)
    if len(devices) > 1:
        remarks.append(f"Sizes are multiples of {len(devices)}; operations of the program of {size} "
                       f"assets in which devices wait for one another: {small.collectives()}.")  # fmt: skip
    elif options.sharded:
        remarks.append("There is one device: nothing was spread.")
    where = f"{len(devices)} x {devices[0].device_kind} ({jax.default_backend()})"
    yardstick = [["Cholesky, 64 x 64, NumPy, median between the runs", statistics.median(sticks or [math.nan]), "s"]]
    tables = [
        Table(f"Steps of a batch on {where}", STEP_COLUMNS, rows, " ".join(remarks)),
        Table("Parity", PARITY_COLUMNS, pairs, f"{left_out} {PARITY_NOTE}".strip()),
        Table("Yardstick", {"what": "", "value": ".3e", "unit": ""}, yardstick),
    ]
    show(tables, options, began)


def _shared_out(assets: int, devices: list[Any]) -> int:
    """The next size of which every device has an equal share."""
    return math.ceil(assets / len(devices)) * len(devices)


if __name__ == "__main__":
    main()
