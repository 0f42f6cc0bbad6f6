"""`uspnb run`: the deployment runner."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ... import runtime
from ...config.load import load_config
from ...config.schema import PredictorConfig
from ...data.command import add_group_argument, add_reading_arguments, reading_of
from ...errors import ConfigError, DomainError, ResourceBusyError
from ...persistence.stores.base import Store, StoreUnavailableError
from ...runtime.cluster import connected
from ...runtime.credentials import INTEGRITY_KEY, integrity_key
from ...sources import Source, open_source
from .shutdown import UNFINISHED, Deadline, StopSignals

TEMPORARY_FAILURE = 75  # EX_TEMPFAIL of sysexits.h, which Windows does not define: a supervisor may try again
TABLES = (".csv", ".tsv", ".txt")
LOOK_S = 0.2
_NAMED = re.compile(r"([A-Za-z0-9_.-]+)=(.+)", re.DOTALL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `uspnb run`."""
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; the defaults if left out")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="[NAME=]WHAT",
        help="CSV file, saved run (.nc, .zarr), ws:// or http:// address, or sea; may be given several times",
    )
    parser.add_argument("--follow", action="store_true", help="CSV files are still being written to")
    add_reading_arguments(parser, "several become series")
    add_group_argument(parser)
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute")
    parser.add_argument("--pool-size", type=int, default=100, metavar="N", help="the most series to serve")
    parser.add_argument(
        "--monitor-interval", type=float, default=300.0, metavar="S", help="seconds between two looks at GPU memory"
    )
    parser.add_argument("--once", action="store_true", help="end when all sources are at their end")
    parser.add_argument("--fresh", action="store_true", help="begin anew; the snapshots there are put aside")
    parser.add_argument(
        "--store", metavar="URL", help="keep the states there too: sqlite:FILE, a path that ends in .db, redis://..."
    )
    parser.add_argument(
        "--fleet",
        action="store_true",
        help="the columns of one CSV file are the assets of a fleet, stepped together",
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="have the workers of a Dask cluster compute the fleet: tcp://HOST:PORT"
    )
    parser.add_argument("--deterministic", action="store_true", help="the same bits in every process")
    parser.add_argument(
        "--allow-public", action="store_true", help="metrics_address may be reached from other machines"
    )


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT.

    Returns:
        0 where everything that was accepted is safe, 1 where it is not, 75 where a port, a folder or a store is not to
        be had at present, so that another try may succeed.

    Raises:
        ConfigError, DomainError, OSError: a setting, a source, a vault or a snapshot that cannot be used.
    """
    try:
        return _serve(options)
    except (ResourceBusyError, StoreUnavailableError) as error:
        print(f"uspnb: not now: {error}", file=sys.stderr)
        return TEMPORARY_FAILURE


def _serve(options: argparse.Namespace) -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("jax", "jaxlib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    config = PredictorConfig() if options.config is None else load_config(options.config)
    device = None if options.device == "auto" else options.device
    try:
        settings = runtime.configure(options.deterministic, device=device or config.jax_platform)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(str(error)) from error
    logging.info("deterministic: %s; XLA_FLAGS: %s", settings.deterministic, settings.xla_flags or "none")
    if config.credentials_vault_path:
        from .vault import unlock

        names, present = unlock(config.credentials_vault_path)
        logging.info("vault: %d names set, %d were in the environment already", len(names), len(present))
    if integrity_key() is None and config.snapshot_integrity_hash_algorithm != "sha256":
        raise ConfigError(
            f"snapshot_integrity_hash_algorithm = {config.snapshot_integrity_hash_algorithm!r} needs a key: put it "
            f"into {INTEGRITY_KEY}, in the environment or in the vault"
        )
    if options.scheduler is not None and not options.fleet:
        raise DomainError("--scheduler is for a fleet, whose assets are shared out to workers; add --fleet")
    if options.fleet:
        return _serve_fleet(options, config)
    sources = open_sources(options.source, follow=options.follow, **reading_of(options))
    store = None
    if options.store is not None:
        from ...persistence.stores import open_store

        store = open_store(options.store)
    from .service import Service

    service = Service(
        config,
        sources,
        device=device,
        pool_size=options.pool_size,
        monitor_interval_s=options.monitor_interval,
        once=options.once,
        fresh=options.fresh,
        allow_public=options.allow_public,
        store=store,
    )
    code = service.run(signals=True)
    if store is not None:
        store.close()
    logging.shutdown()
    if code:
        # A thread that hangs on a disk would be waited for without end; what it writes is written whole or not at all.
        os._exit(code)
    return code


def _serve_fleet(options: argparse.Namespace, config: PredictorConfig) -> int:
    """A replay of a table by a `Fleet` until its end, with --once, or until a signal."""
    from ...data.csv import read_csv
    from ...data.table import ALL
    from ...persistence.stores import open_store
    from ..fleet import Fleet

    for option in ("follow", "fresh"):
        if getattr(options, option):
            raise DomainError(f"--{option} is for series; a fleet of the command line replays a table that is whole")
    prefix, what = _split(options.source[0]) if len(options.source) == 1 else ("", "")
    if not what or not _is_table(what):
        raise DomainError("--fleet is for one --source, a CSV file with a column for each asset")
    reading: dict[str, Any] = {"value": ALL} | reading_of(options)
    table = read_csv(what, **reading)
    with contextlib.ExitStack() as held:
        client = None if options.scheduler is None else held.enter_context(connected(options.scheduler))
        store: Store | None = None if options.store is None else held.enter_context(open_store(options.store))
        stopping = threading.Event()
        deadline = Deadline(config.shutdown_budget_s)
        held.enter_context(StopSignals(deadline, lambda reason: stopping.set(), logging.warning))
        fleet = Fleet(table, config, client=client, snapshots=True, store=store, name=prefix or Path(what).stem)
        held.callback(fleet.close)
        began = fleet.status.ticks
        logging.info("a fleet of %d assets from tick %d on, %d processes", len(fleet.assets), began, fleet.workers)
        fleet.run()
        at_end = False
        while not stopping.wait(LOOK_S) and not (at_end and options.once) and fleet.status.phase != "faulted":
            if not at_end and fleet.status.phase == "finished":
                at_end = True
                logging.info("the table is at its end%s", "" if options.once else "; waiting for a signal to stop")
        fault = fleet.status.error
        fleet.close()
        saved = fleet.snapshot_status()
        done = fleet.status.ticks
        whole = fault is None and fleet.stored in (None, done) and (saved is None or saved.last_ticks in (None, done))
        logging.info("ended after tick %d%s", done, "" if whole else f", not everything was finished: {fault}")
    return 0 if whole else UNFINISHED


def open_sources(texts: list[str], *, follow: bool = False, **reading: Any) -> dict[str, Source]:
    """The sources that were asked for, by the names of their series.

    Args:
        texts: `WHAT` as `open_source` takes it, or `NAME=WHAT`.
        follow: whether tables grow; other sources are as they are.
        reading: of tables, as `read_csv` takes it; several columns of values, separated by commas, are as many series.

    Raises:
        DomainError: none, no source of ticks, two series of one name, or options of tables and no table.
    """
    if not texts:
        raise DomainError("no --source was given; name a CSV file, a saved run, an address, or sea")
    if (follow or reading) and not any(_is_table(_split(text)[1]) for text in texts):
        option = "follow" if follow else next(iter(reading)).replace("_", "-")
        raise DomainError(f"--{option} is for CSV files, and no --source is one")  # an address may hold a secret
    sources: dict[str, Source] = {}
    for text in texts:
        for name, source in _opened(text, follow, reading):
            if name in sources:
                raise DomainError(f"two series are called {name!r}; tell them apart with --source NAME={text}")
            sources[name] = source
    return sources


def _split(text: str) -> tuple[str, str]:
    """`NAME=WHAT` as its two parts; the name is "" where there is none."""
    match = None if Path(text).exists() else _NAMED.fullmatch(text)
    return (match[1], match[2]) if match else ("", text)


def _is_table(what: str) -> bool:
    return "://" not in what and Path(what).suffix.lower() in TABLES


def _opened(text: str, follow: bool, reading: dict[str, Any]) -> Iterator[tuple[str, Source]]:
    prefix, what = _split(text)
    if not _is_table(what):
        source = open_source(what)
        yield prefix or source.name or Path(what).stem, source
        return
    yield from _followed(prefix, what, reading) if follow else _replayed(prefix, what, reading)


def _followed(prefix: str, what: str, reading: dict[str, Any]) -> Iterator[tuple[str, Source]]:
    if "group" in reading:
        raise DomainError("--group is for files that are whole; without --follow, or with one file for each series")
    columns = [part.strip() for part in reading.get("value", "").split(",") if part.strip()] or [None]
    for column in columns:
        tail = open_source(what, follow=True, **reading | {"value": column})
        yield _called(prefix, tail.name, len(columns) > 1) or Path(what).stem, tail


def _replayed(prefix: str, what: str, reading: dict[str, Any]) -> Iterator[tuple[str, Source]]:
    import dataclasses

    from ...data.csv import read_csv

    series = read_csv(what, **reading)
    if series.assets is None:
        yield prefix or series.name or Path(what).stem, open_source(series)
        return
    for place, column in enumerate(map(str, series.assets)):
        one = dataclasses.replace(series, values=series.values[:, place], assets=None, name=column)
        yield _called(prefix, column, True), open_source(one)


def _called(prefix: str, column: str, several: bool) -> str:
    return f"{prefix}.{column}" if prefix and several else prefix or column
