"""What it costs to keep a fleet's states in a store: `python benchmarks/stores.py [--assets 1000 --calls 10]`.

Each call reads all states, steps them by one tick and writes them back over the versions that were read.  The stage
fleet measures that per store; the server of Redis is started here, on a free loopback port, once without persistence
and once with `appendonly yes` and `appendfsync always`, or named by `--redis-url`.  The stage parts splits the time of
a store into the work on bytes (packing, checksums) and the store's own.

Settings and their defaults:

    --assets 1000  series
    --calls 10     calls that are measured
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tables import Table, parser, show

from uspnb import FunctionalPredictor
from uspnb.persistence.snapshots.codec import decode, encode
from uspnb.persistence.stores import StateStore, Store, open_store
from uspnb.persistence.stores.state_layout import StateLayout
from uspnb.predictor.functional import observations

SECOND = 1_000_000_000
WARM_CALLS = 2
FLEET_COLUMNS = {
    "store": "", "read [ms]": ".1f", "step [ms]": ".1f", "write [ms]": ".1f", "call [ms]": ".1f", "in the store": ".0%",
    "states/s": ",.0f",
}  # fmt: skip
PARTS_COLUMNS = {"part": "", "time [ms]": ".1f", "MB/s": ",.0f"}
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
Rows = list[list[Any]]


@contextlib.contextmanager
def redis_server(*settings: str) -> Iterator[str]:
    """A server of our own on a free loopback port, gone afterwards."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("there is no redis-server on the PATH; run .ci/redis.sh, or leave redis out of --stores")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="uspnb-redis-") as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", *settings]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=30)


@contextlib.contextmanager
def opened(kind: str, redis_url: str | None) -> Iterator[Store]:
    """A store of a kind, with all that it needs."""
    with contextlib.ExitStack() as after:
        if kind == "memory":
            url = "memory:"
        elif kind == "sqlite":
            url = str(Path(after.enter_context(tempfile.TemporaryDirectory())) / "states.db")
        else:
            settings = DURABLE if kind == "redis, always on disk" else ()
            url = redis_url or after.enter_context(redis_server(*settings))
        store = open_store(url)
        after.callback(store.close)
        yield store


def fleet_stage(options: Any) -> Table:
    """Read, step and write all states, per store; medians over the calls."""
    predictor = FunctionalPredictor()
    assets = [f"asset {i:06d}" for i in range(options.assets)]
    rng = np.random.default_rng(0)
    y = rng.standard_normal((WARM_CALLS + options.calls, len(assets))).cumsum(axis=0)
    rows: Rows = []
    for kind in options.stores:
        with opened(kind, options.redis_url) as store:
            states_of = StateStore(store, predictor.init_state(), predictor.config)
            spent = np.array([_call(states_of, predictor, assets, y[t], t) for t in range(len(y))])[WARM_CALLS:]
        read, step, write = np.median(spent, axis=0) * 1e3
        call = float(np.median(spent.sum(axis=1))) * 1e3
        rows.append([kind, read, step, write, call, (read + write) / (read + step + write), len(assets) / call * 1e3])
    size = StateLayout(predictor.init_state(), predictor.config).row_bytes
    note = f"{len(assets):,} states of {size:,} bytes; load average at the end {os.getloadavg()[0]:.1f}."
    return Table("A fleet's call through a store", FLEET_COLUMNS, rows, note)


def _call(states_of: StateStore, predictor: FunctionalPredictor, assets: list[str], y: Any, t: int) -> list[float]:
    times = [time.perf_counter()]
    states, versions = states_of.load(assets)
    times.append(time.perf_counter())
    states, _ = predictor.step_batch(states, observations(y, np.full(len(assets), (t + 1) * SECOND)))
    jax.block_until_ready(states)
    times.append(time.perf_counter())
    saved = states_of.save(assets, states, versions)
    times.append(time.perf_counter())
    if saved.conflicts or saved.pending:
        raise SystemExit(f"not all was written: {saved.problem or saved.conflicts[:3]}")
    return np.diff(times).tolist()


def parts_stage(options: Any) -> Table:
    """The work on bytes alone."""
    predictor = FunctionalPredictor()
    layout = StateLayout(predictor.init_state(), predictor.config)
    states = predictor.init_state(options.assets)
    packed = layout.pack(states)
    records = [encode({"state": row.tobytes()}, kind="state") for row in packed]
    named = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(states)}
    first = {name: np.asarray(leaf)[0] for name, leaf in named.items()}
    parts: dict[str, tuple[Callable[[], Any], int]] = {
        "leaves to rows": (lambda: layout.pack(states), options.assets),
        "rows to leaves": (lambda: layout.unpack(packed), options.assets),
        "rows to records, checksum": (
            lambda: [encode({"state": row.tobytes()}, kind="state") for row in packed],
            options.assets,
        ),
        "records verified": (lambda: [decode(record, kind="state") for record in records], options.assets),
        "leaf by leaf instead: to records": (lambda: [encode(first, kind="state") for _ in range(20)], 20),
    }
    rows: Rows = []
    for name, (work, count) in parts.items():
        spent = []
        for _ in range(options.calls):
            began = time.perf_counter()
            work()
            spent.append(time.perf_counter() - began)
        per_fleet = float(np.median(spent)) * options.assets / count
        rows.append([name, per_fleet * 1e3, options.assets * layout.row_bytes / per_fleet / 1e6])
    return Table("The work on bytes", PARTS_COLUMNS, rows, f"For {options.assets:,} states.")


STAGES = {"fleet": fleet_stage, "parts": parts_stage}
STORES = ("memory", "sqlite", "redis", "redis, always on disk")


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    line = parser(__doc__, STAGES)
    line.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES), help="where the states lie")
    line.add_argument("--redis-url", default=None, help="a server that runs already, instead of one started here")
    options = line.parse_args()
    show([STAGES[stage](options) for stage in options.stages], options, began)


if __name__ == "__main__":
    main()
