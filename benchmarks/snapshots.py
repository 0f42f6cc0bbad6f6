"""What snapshots cost and withstand: `python benchmarks/snapshots.py [--stages sizes submit stall kill fuzz]`.

sizes: bytes, and what fetching, encoding, writing, reading and restoring take.
submit: how long the compute thread is kept by handing a snapshot over, while it steps.
stall: the time of one step with snapshots and telemetry over that without, blocks of both in turn in one process.
kill: runs that snapshot every 50 ticks are killed (tests/support/interrupted_run.py, SIGKILL).
fuzz: mutated snapshots, configuration files and telemetry lines; anything but the documented errors ends the stage.

Settings and their defaults:

    --submits 2_000  of the submit stage
    --ticks 10_000   with snapshots, and as many without, of each repeat of the stall stage
    --block 500      ticks with or without before the other comes
    --rate 5.0       snapshots a second of the stall stage
    --others 0.2     of a core that other processes may take; a block beside which they took more does not count;
                     as many as there are cores: every block counts
    --patience 120.0 longest wait of one repeat for blocks that count [s]
    --repeats 3      of the stall stage, whose figures are medians of those of the repeats
    --kills 200      how often
    --fuzz 100_000   mutated inputs, of all three kinds together
"""

from __future__ import annotations

import functools
import gc
import hashlib
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tables import parser, show_stages

import uspnb
from uspnb import FunctionalPredictor, PredictorConfig, UniversalPredictor
from uspnb.data import processes
from uspnb.errors import UspnbError
from uspnb.model.packing import row_columns
from uspnb.persistence.snapshots import (
    Progress,
    SnapshotFolder,
    SnapshotWriter,
    Written,
    config_from,
    decode,
    encode,
    progress_from,
    read_snapshot,
    snapshot_of,
    state_from,
    write_snapshot,
)
from uspnb.sinks import Consumer, JsonLinesSink, Metrics, MetricsSink, ParityLog, TelemetryBuffer

ROOT = Path(__file__).resolve().parent.parent
SEED = 4200
COLUMNS = {"stage": "", "what": "", "value": ",.3f", "unit": ""}
START_NS = 1_771_632_000 * 10**9
DISK_BYTES_PER_S = 1 << 20
DISK_SYNC_S = 0.05
CORES = os.cpu_count() or 1
Rows = list[list[Any]]
# Headers that promise much, nesting, and what text formats stumble over.
TRAPS = [bytes.fromhex(h) for h in ["ddffffffff", "df00100000", "c67fffffff", "c7ff01", "d6ff", "00"]] + [
    b"\x91" * 40, b"[" * 200, b'"\\ud800"', b"1e999", b"= {"
]  # fmt: skip


class ThrottledFolder(SnapshotFolder):
    """A folder on a disk of 1 MiB/s whose fsync takes 50 ms; the waits let other threads run, as system calls do."""

    def save(self, payload: dict[str, Any]) -> Written:
        """Write, then wait as long as such a disk would have."""
        written = super().save(payload)
        time.sleep(written.bytes / DISK_BYTES_PER_S + 2 * DISK_SYNC_S)
        return written


def learned(ticks: int = 512, telemetry: TelemetryBuffer | None = None) -> UniversalPredictor:
    """A predictor that has learned something and has compiled its program."""
    config = PredictorConfig(besov_nyquist_interval_ns=10**10)  # ticks of a second are no sparse ones
    predictor = UniversalPredictor(config, clock=uspnb.replay_clock, telemetry=telemetry)
    feed(predictor, processes.autoregression(ticks, SEED).values, 0)
    return predictor


def feed(predictor: UniversalPredictor, values: np.ndarray, first: int, after: Callable[[int], object] = int) -> Any:
    """Step through values; nanoseconds of each step, what is done after a tick included."""
    spent = np.empty(len(values), np.int64)
    for i, value in enumerate(values.tolist()):
        began = time.perf_counter_ns()
        predictor.step(uspnb.ProcessState(value, START_NS + (first + i) * 10**9))
        after(first + i)
        spent[i] = time.perf_counter_ns() - began
    return spent


def median_ms(function: Callable[[], object], times: int = 50) -> float:
    """Median of the time that a call takes [ms]."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent) * 1e3


def sizes_stage(options: Any) -> Rows:
    """What one snapshot is and takes."""
    predictor = learned()
    state, config = predictor.state, predictor.config
    payload = snapshot_of(state, config)
    rows: Rows = [["sizes", "fetch and arrange", median_ms(predictor._payload_maker()), "ms"]]
    with tempfile.TemporaryDirectory() as place:
        for name in ("none", "zstd"):
            path = Path(place) / name
            rows += [
                ["sizes", f"file, {name}", len(encode(payload, name)) / 1024, "KiB"],
                ["sizes", f"encode, {name}", median_ms(functools.partial(encode, payload, name)), "ms"],
                [
                    "sizes",
                    f"encode and write, {name}",
                    median_ms(lambda p=path, n=name: write_snapshot(p, payload, n)),
                    "ms",
                ],
                ["sizes", f"read and verify, {name}", median_ms(functools.partial(read_snapshot, path)), "ms"],
            ]
        rows.append(["sizes", "CPU time of one among ticks, in the writer's thread", cpu_ms(predictor, place), "ms"])
        rows.append(["sizes", "restore (state_from)", median_ms(lambda: state_from(payload, state)), "ms"])
    return rows


def cpu_ms(predictor: UniversalPredictor, place: str, times: int = 40, ticks: int = 600) -> float:
    """Median CPU time of making and saving a snapshot after some ticks, whose programs have the caches by then [ms]."""
    folder = SnapshotFolder(place)
    spent = []
    for k in range(times):
        feed(predictor, processes.autoregression(ticks, SEED + k).values, 512 + k * ticks)
        began = time.thread_time()
        folder.save(predictor._payload_maker()())
        spent.append(time.thread_time() - began)
    return statistics.median(spent) * 1e3


def submit_stage(options: Any) -> Rows:
    """The hand-over, as the compute thread sees it while it steps; on every tick the writer never rests."""
    return [row for every in (50, 10, 1) for row in submitted(every, options.submits)]


def submitted(every: int, count: int) -> Rows:
    """`count` snapshots, one each `every` ticks but for at most 10,000 ticks."""
    ticks = min(count * every, 10_000)
    predictor = learned()
    values = processes.autoregression(512 + ticks, SEED).values[512:]
    spent = []
    with tempfile.TemporaryDirectory() as place:
        writer = SnapshotWriter(SnapshotFolder(place))

        def hand_over(tick: int) -> None:
            if tick % every:
                return
            began = time.perf_counter_ns()
            writer.submit(predictor._payload_maker())
            spent.append(time.perf_counter_ns() - began)

        feed(predictor, values, 512, hand_over)
        writer.close()
        status = writer.status()
    return [
        ["submit", f"every {every} ticks: submits", float(len(spent)), ""],
        ["submit", f"every {every} ticks: median", statistics.median(spent) / 1e6, "ms"],
        ["submit", f"every {every} ticks: p99", float(np.percentile(spent, 99)) / 1e6, "ms"],
        ["submit", f"every {every} ticks: written", float(status.saved), ""],
        ["submit", f"every {every} ticks: dropped for a newer one", float(status.dropped), ""],
    ]


class Stalled(NamedTuple):
    """Times of steps [ns], snapshots handed over beside them, and how the writer stood at the end."""

    without: Any
    with_them: Any
    handed: int
    status: Any


def stall_stage(options: Any) -> Rows:
    """p50, p99 and p99.9 of a step with snapshots and telemetry over those without, per cadence and disk."""
    rows: Rows = []
    for rate, every, folder_type, disk in (
        (options.rate, 0, SnapshotFolder, "disk as it is"),
        (options.rate, 0, ThrottledFolder, "throttled disk"),
        (0.0, 1000, ThrottledFolder, "throttled disk"),  # the default of `snapshot_interval_steps`
        (0.0, 50, ThrottledFolder, "throttled disk"),
    ):
        name = f"{rate:g} a second, {disk}" if rate else f"every {every} ticks, {disk}"
        repeats = [stalled(rate, every, folder_type, options, SEED + repeat) for repeat in range(options.repeats)]
        repeats = [repeat for repeat in repeats if len(repeat.without) and len(repeat.with_them)]
        rows.append(["stall", f"{name}: ticks with", float(sum(len(repeat.with_them) for repeat in repeats)), ""])
        if not repeats:
            continue
        for share in (50, 99, 99.9):
            pairs = np.array([[np.percentile(spent, share) / 1e3 for spent in repeat[:2]] for repeat in repeats])
            ratios = pairs[:, 1] / pairs[:, 0]
            rows.append(["stall", f"{name}: p{share} without", float(np.median(pairs[:, 0])), "us"])
            rows.append(["stall", f"{name}: p{share} with", float(np.median(pairs[:, 1])), "us"])
            rows.append(["stall", f"{name}: p{share} with over without", float(np.median(ratios)), ""])
            rows.append(["stall", f"{name}: p{share} with over without, least", float(ratios.min()), ""])
            rows.append(["stall", f"{name}: p{share} with over without, most", float(ratios.max()), ""])
        seconds = sum(float(repeat.with_them.sum()) for repeat in repeats) / 1e9
        rows.append(["stall", f"{name}: handed over", sum(repeat.handed for repeat in repeats) / seconds, "1/s"])
        for word in ("saved", "dropped"):
            rows.append(["stall", f"{name}: {word}", float(sum(getattr(r.status, word) for r in repeats)), ""])
    return rows


def stalled(rate: float, every: int, folder_type: type[SnapshotFolder], options: Any, seed: int) -> Stalled:
    """Steps without and with snapshots and telemetry, in blocks that take turns.

    Snapshots are handed over `rate` times a second of the time that steps with them take, or each `every` ticks.  A
    block counts where other processes took at most `options.others` of a core beside it.
    """
    buffer = TelemetryBuffer(16_384)
    plain, watched = learned(), learned(telemetry=buffer)
    columns = row_columns(watched.functional.layout)
    spent: tuple[list[Any], list[Any]] = ([], [])
    handed = 0
    until = time.monotonic() + options.patience
    with tempfile.TemporaryDirectory() as place:
        writer = SnapshotWriter(folder_type(place))
        sinks = [JsonLinesSink(place), ParityLog(Path(place) / "parity.log", 100), MetricsSink(Metrics())]
        consumer = Consumer(buffer, sinks, columns, process=True)
        consumer.drain()

        taken = submits = 0  # of the ticks with snapshots alone
        left_s = 1 / rate if rate else np.inf
        before = time.perf_counter()

        def hand_over(tick: int) -> None:
            nonlocal left_s, before, taken, submits
            now = time.perf_counter()
            left_s, before = left_s - (now - before), now
            taken += 1
            if left_s <= 0 or (every and taken % every == 0):
                left_s += 1 / rate if rate else 0.0
                writer.submit(watched._payload_maker())
                submits += 1

        turns = itertools.cycle(((0, plain, int), (1, watched, hand_over)))
        for start in itertools.count(0, options.block):
            values = processes.autoregression(options.block, seed + start).values
            quiet, submitted = wait_for_quiet(consumer, options.others, until), submits
            k, predictor, after = next(turns)
            load, before = others_cpu_s(consumer), time.perf_counter()
            times = feed(predictor, values, 512 + start, after)
            taken_s, most_s = others_cpu_s(consumer) - load, options.others * (time.perf_counter() - before)
            if quiet and (taken_s <= most_s or options.others >= CORES):
                spent[k].append(times)
                handed += submits - submitted
            writer.wait()  # what is still being written must not be counted against the steps without
            consumer.drain()
            if min(map(len, spent)) * options.block >= options.ticks or time.monotonic() > until:
                break
        writer.close()
        consumer.close()
    without, with_them = (np.concatenate([np.empty(0, np.int64), *blocks]) for blocks in spent)
    return Stalled(without, with_them, handed, writer.status())


def wait_for_quiet(consumer: Consumer, others: float, until: float) -> bool:
    """Wait until other processes take no more than that of a core, and at most until then; whether it came true."""
    while others < CORES:
        load, before = others_cpu_s(consumer), time.perf_counter()
        time.sleep(0.05)
        if others_cpu_s(consumer) - load <= others * (time.perf_counter() - before):
            return True
        if time.monotonic() > until:
            return False
    return True


def others_cpu_s(consumer: Consumer) -> float:
    """CPU time that processes other than this one and its telemetry process have taken since the start [s]."""
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    jiffies = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    whole = (sum(jiffies) - jiffies[3] - jiffies[4]) * tick_s  # without idle and waiting for a disk
    child = Path(f"/proc/{consumer.status().pid}/stat").read_text().rpartition(")")[2].split()
    return whole - time.process_time() - (int(child[11]) + int(child[12])) * tick_s


def kill_stage(options: Any) -> Rows:
    """Runs that are killed."""
    script = ROOT / "tests" / "support" / "interrupted_run.py"
    command = [sys.executable, str(script), "--kills", str(options.kills), "--window", "1.0"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    seen = json.loads(done.stdout)
    return [["kill", name.replace("_", " "), float(seen[name]), ""] for name in seen if name != "digest"]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few changes of the kinds that break parsers: bits, lengths, headers, cuts, repetitions."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(len(made)) if made else 0
        kind = rng.randrange(7)
        if kind == 0 and made:
            made[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and made:
            made[at] = rng.randrange(256)
        elif kind == 2:
            del made[at : at + rng.choice((1, 2, 8, 64, 1000))]
        elif kind == 3:
            made[at:at] = rng.randbytes(rng.choice((1, 2, 8, 64)))
        elif kind == 4:
            made[at:at] = rng.choice(TRAPS)
        elif kind == 5:
            made[at:at] = made[at // 2 : at // 2 + rng.choice((10, 100, 1000))]
        else:
            del made[rng.randrange(len(made) + 1) :]
    return bytes(made)


def with_checksum(data: bytes) -> bytes:
    """Changed bytes whose checksum and length are right again, so that what lies behind them is reached."""
    body = data[18:-64]
    start = data[:10] + len(body).to_bytes(8, "little") + body
    return start + hashlib.sha256(start).hexdigest().encode()


def snapshot_target() -> tuple[list[bytes], Callable[[bytes, random.Random], object]]:
    """Whole files and what reads them, to the state."""
    predictor = learned(300)
    state, config = predictor.state, predictor.config
    progress = Progress(300, "fuzz", 0, {"a": 1})
    payload = snapshot_of(state, config, progress=progress)
    small = payload | {"global": {".ticks": payload["global"][".ticks"]}, "kernels": {}}  # denser in structure
    seeds = [encode(payload), encode(payload, "zstd"), encode(small)]

    def read(data: bytes, rng: random.Random) -> None:
        found = decode(with_checksum(data) if rng.random() < 0.8 and data[9:10] == b"\0" else data)
        progress_from(found)
        config_from(found)
        state_from(found, state)

    return seeds, read


def config_target() -> tuple[list[bytes], Callable[[bytes, random.Random], object]]:
    """Configuration files, whole and short, and what reads them."""
    whole = (ROOT / "config.toml").read_bytes()
    lines = [line for line in whole.splitlines() if line and not line.startswith(b"#")]
    short = b"\n".join(
        [*lines[:4], b"[sensitivity]", b"cusum_k = 0.5", b"besov_cone_c = 1.5", b'[io]\nsnapshot_path = "a"\n']
    )
    place = Path(tempfile.mkdtemp()) / "config.toml"

    def read(data: bytes, rng: random.Random) -> None:
        place.write_bytes(data)
        uspnb.load_config(place)

    return [short, short, short, short, short, short, short, short, short, whole], read


def telemetry_target() -> tuple[list[bytes], Callable[[bytes, random.Random], object]]:
    """Lines of the telemetry and parity logs, and what reads them."""
    from uspnb.sinks import RECORD_FIELDS, ParityLog, Records, parse_record, verify
    from uspnb.sinks.parity import parse_line
    from uspnb.sinks.records import record_lines

    place = Path(tempfile.mkdtemp())
    log = ParityLog(place / "parity.log", 1)
    for tick in range(5):
        log.observe("a", tick, np.full(4, 0.25), 0.5)
    log.close()
    columns = {name: slice(i, i + 1) for i, name in enumerate(RECORD_FIELDS)}
    table = np.random.default_rng(1).standard_normal((3, len(columns)))
    records = Records("a", 1, np.arange(3), table, columns)
    whole = (place / "parity.log").read_bytes()

    def read(data: bytes, rng: random.Random) -> None:
        if rng.random() < 0.05:
            (place / "changed.log").write_bytes(data)
            verify(place / "changed.log")
        elif data[:9] == b'{"asset":':
            parse_record(data)
        else:
            parse_line(data)

    return [*record_lines(records), *whole.splitlines(keepends=True), whole], read


TARGETS = {"snapshots": snapshot_target, "configuration files": config_target, "telemetry lines": telemetry_target}
SHARES = {"snapshots": 0.5, "configuration files": 0.2, "telemetry lines": 0.3}


def fuzz_stage(options: Any) -> Rows:
    """Mutated inputs; an exception outside the hierarchy of uspnb goes through and ends the benchmark."""
    rows: Rows = []
    for name, make in TARGETS.items():
        try:
            seeds, read = make()
        except ModuleNotFoundError as missing:
            rows.append(["fuzz", f"{name}: left out, {missing}", 0.0, ""])
            continue
        rows += fuzzed(name, seeds, read, int(options.fuzz * SHARES[name]))
    return rows


def fuzzed(name: str, seeds: list[bytes], read: Callable[[bytes, random.Random], object], cases: int) -> Rows:
    """Read that many mutations of the seeds."""
    rng = random.Random(SEED)
    accepted, refused, growth, slowest = 0, 0, 0.0, 0.0
    began = time.perf_counter()
    reset_peak()
    before = resident_mib()
    for i in range(cases):
        data = mutated(rng.choice(seeds), rng)
        start = time.perf_counter()
        try:
            read(data, rng)
            accepted += 1
        except UspnbError:
            refused += 1
        except BaseException:
            kept = Path(tempfile.gettempdir()) / f"uspnb_fuzz_{name.split()[0]}_{i}.bin"
            kept.write_bytes(data)
            print(f"{name}: case {i} is kept in {kept}", file=sys.stderr)
            raise
        slowest = max(slowest, time.perf_counter() - start)
        if i % 1000 == 0:
            gc.collect()
    growth = peak_mib() - before
    return [
        ["fuzz", f"{name}: cases", float(cases), ""],
        ["fuzz", f"{name}: refused with a documented error", float(refused), ""],
        ["fuzz", f"{name}: read", float(accepted), ""],
        ["fuzz", f"{name}: any other exception", 0.0, ""],
        ["fuzz", f"{name}: slowest", slowest * 1e3, "ms"],
        ["fuzz", f"{name}: peak of memory over the start", growth, "MiB"],
        ["fuzz", f"{name}: took", time.perf_counter() - began, "s"],
    ]


def _status_mib(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def resident_mib() -> float:
    """Memory of this process now [MiB]."""
    return _status_mib("VmRSS")


def peak_mib() -> float:
    """The most that it was since `reset_peak` [MiB]."""
    return _status_mib("VmHWM")


def reset_peak() -> None:
    """Forget the peak of memory so far."""
    Path("/proc/self/clear_refs").write_text("5")


STAGES = {
    "sizes": sizes_stage,
    "submit": submit_stage,
    "stall": stall_stage,
    "kill": kill_stage,
    "fuzz": fuzz_stage,
}


def main() -> None:
    """Run the stages that were asked for."""
    options = parser(__doc__, STAGES).parse_args()
    FunctionalPredictor(PredictorConfig())  # compiled programs are kept between runs
    show_stages("Snapshots", COLUMNS, STAGES, options)


if __name__ == "__main__":
    main()
