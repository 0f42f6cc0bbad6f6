"""The command line: `uspnb demo`, `backtest`, `tune`, `serve`, `lab`, `run`, `warm`, `inspect`, `parity`, ...

A command imports what it needs when it runs, so that help and errors come at once.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import command as config_command
from .data.command import add_covariates_argument, add_group_argument, add_reading_arguments, reading_of
from .errors import DomainError, UspnbError
from .runtime.arguments import check_whole

if TYPE_CHECKING:
    import xarray as xr

    from .config.schema import PredictorConfig
    from .data.series import Series

INTERRUPTED = 130
REFUSED = 2
DIFFERS = 1
APPS = ("live", "fleet", "explore", "tune")
PORT = 5006
MOST_ASSETS = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        Exit code: 0 done, 2 refused (one line on stderr says why), 130 interrupted.
    """
    options = _parser().parse_args(argv)
    try:
        if plugins := getattr(options, "plugin", ()):
            config_command.import_plugins(plugins)
        return options.run(options)
    except (UspnbError, OSError) as error:
        print(f"uspnb: error: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("uspnb: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="uspnb", description="Online probabilistic prediction: forecasts with intervals, weights and alarms."
    )
    parser.add_argument("--version", action="version", version=f"uspnb {metadata.version('uspnb')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="replay a real series (half-hourly sea temperature) and write a report")
    _add_output(demo, default="uspnb_report.html")
    demo.add_argument("--ticks", type=int, metavar="N", help="replay the first N ticks only")
    demo.add_argument("--serve", action="store_true", help="then serve the live app on the series, until Ctrl-C")
    demo.add_argument("--serve-seconds", type=float, metavar="S", help="serve for so long, without a terminal too")
    demo.add_argument("--port", type=int, help=f"where to serve; {PORT}, or a free one if that is taken")
    demo.set_defaults(run=_demo)

    backtest = commands.add_parser("backtest", help="run the predictor over a CSV file and write a report")
    backtest.add_argument("file", metavar="FILE.csv", help="table with a first line of column names")
    add_reading_arguments(backtest)
    add_group_argument(backtest)
    add_covariates_argument(backtest)
    backtest.add_argument("--asset", metavar="COL", help="which of several assets the report shows")
    _add_output(backtest, default=None)
    backtest.set_defaults(run=_backtest)

    serve = commands.add_parser("serve", help="serve the live, fleet, explore and tune apps to a browser")
    _add_serve(serve)
    lab = commands.add_parser("lab", help="open JupyterLab on the notebooks, on this machine alone")
    lab.add_argument("--port", type=int, default=8888, help="where it listens; the next free one if that is taken")
    lab.add_argument("--no-browser", action="store_true", help="print the address and open nothing")
    lab.set_defaults(run=_lab)

    from .engine.service.command import add_arguments, run

    service = commands.add_parser("run", help="serve series until SIGTERM: snapshots, telemetry, metrics, clean stops")
    add_arguments(service)
    service.set_defaults(run=run)
    inspect = commands.add_parser("inspect", help="verify a snapshot or an emergency dump and print it as a table")
    inspect.add_argument("files", nargs="+", metavar="FILE", help="what `uspnb run` or save_snapshot wrote")
    inspect.set_defaults(run=_inspect)
    parity = commands.add_parser("parity", help="verify one parity log, or say where two runs first differ")
    parity.add_argument("logs", nargs="+", metavar="A.log", help="one log, or two")
    parity.set_defaults(run=_parity)

    warm = commands.add_parser("warm", help="compile what forecasts need, so that later processes start at once")
    warm.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; the defaults if left out")
    warm.add_argument(
        "--batch", type=int, nargs="+", default=[], metavar="N", help="for N series at once too, by step and backtest"
    )
    warm.set_defaults(run=_warm)

    from .tuning import command as tuning

    tune = commands.add_parser("tune", help="search for settings that forecast a series better; goes on after any stop")
    tuning.add_arguments(tune)
    tune.set_defaults(run=tuning.run)

    from .model.kernels.registry import trained_kernel

    trained = trained_kernel()
    trunk = commands.add_parser("train-trunk", help=f"train a trunk network of the {trained.name} kernel anew")
    trunk.add_argument("--width", type=int, default=32, help="units of a hidden layer")
    trunk.add_argument("--depth", type=int, default=2, help="hidden layers")
    trunk.add_argument("--seed", type=int, default=0, help="of the weights and of every batch")
    trunk.add_argument("--steps", type=int, metavar="N", help="optimiser steps; the trainer's own number if left out")
    trunk.add_argument("--out", type=Path, default="trunks", metavar="FOLDER", help="folder of the weights file")
    trunk.set_defaults(run=_train_trunk, training=trained.training)

    config = commands.add_parser("config", help="print, check, look back at or take back the settings")
    config_command.add_arguments(config)
    config.set_defaults(run=config_command.run)
    for reading in (demo, backtest, serve, service, warm, tune):
        config_command.add_plugin_argument(reading)
    return parser


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", nargs="?", choices=APPS, default="live", help="what --source is for, and what opens")
    parser.add_argument("--port", type=int, default=PORT, help=f"by default {PORT}; 0 takes a free one")
    parser.add_argument("--address", default="127.0.0.1", help="where to listen; by default on this machine alone")
    parser.add_argument(
        "--source", metavar="WHAT", help="CSV file, saved run (.nc, .zarr), ws:// or http:// address, or sea"
    )
    parser.add_argument("--follow", action="store_true", help="the CSV file is still being written to")
    add_reading_arguments(parser, "")
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; the defaults if left out")
    parser.add_argument(
        "--allow-origin", action="append", default=[], metavar="HOST[:PORT]", help="a proxy's name, may be repeated"
    )
    parser.add_argument(
        "--password-env", metavar="NAME", help="environment variable that holds the password visitors must type"
    )
    parser.add_argument(
        "--behind-proxy", action="store_true", help="the proxy says who asks: X-Real-IP and X-Forwarded-Proto"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="have the workers of a Dask cluster compute the fleet: tcp://HOST:PORT"
    )
    parser.add_argument("--open", action="store_true", help="open the page in this machine's browser")
    parser.add_argument("--serve-seconds", type=float, metavar="S", help="end after so long")
    parser.set_defaults(run=_serve)


def _add_output(parser: argparse.ArgumentParser, default: str | None) -> None:
    place = "no report if left out" if default is None else f"by default {default}"
    parser.add_argument(
        "--out", type=Path, default=default, metavar="FILE.html", help=f"where to write the report; {place}"
    )
    parser.add_argument("--save", type=Path, metavar="RUN.zarr|RUN.nc", help="where to write the whole result")
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; the defaults if left out")
    parser.add_argument("--theme", choices=("auto", "light", "dark"), default="auto", help="colours of the report")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _demo(options: argparse.Namespace) -> int:
    from .data.samples import demo_series

    code = _replay(demo_series(options.ticks), "Half-hourly sea temperature", options)
    if not options.serve and options.serve_seconds is None:
        return code
    if options.serve_seconds is None and _is_automated():
        print("Not served, as CI is set and nobody would end it; --serve-seconds N or uspnb serve does it anywhere.")
        return code
    settings = {"config": _settings(options.config), "seconds": options.serve_seconds}
    _server().serve("live", port=_port_for_demo(options.port), announce=_say, **settings)
    return code


def _is_automated() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true")


def _port_for_demo(wanted: int | None) -> int:
    """The port asked for; without one the usual port, or a free one where that is taken."""
    if wanted is not None:
        return wanted
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return 0
    return PORT


def _server() -> Any:
    """The module that serves; the widgets stand above this room, so that it is fetched by its name."""
    try:
        return importlib.import_module("uspnb.widgets.apps.server")
    except ModuleNotFoundError as error:
        raise DomainError(f"serving needs the package {error.name}, which is not installed") from error


def _say(text: str) -> None:
    print(text, flush=True)


def _serve(options: argparse.Namespace) -> int:
    from .runtime.cluster import connected

    password = None
    if options.password_env is not None:
        password = os.environ.get(options.password_env, "")
        if not password:
            raise DomainError(
                f"the environment variable {options.password_env} holds no password; set it before serving"
            )
    chosen = ({"follow": True} if options.follow else {}) | reading_of(options)
    if chosen and not str(options.source or "").lower().endswith((".csv", ".tsv", ".txt")):
        raise DomainError(
            f"--{next(iter(chosen)).replace('_', '-')} is for a CSV file; name one with --source FILE.csv"
        )
    if options.scheduler is not None and options.app != "fleet":
        raise DomainError(f"--scheduler is for the app fleet, not for {options.app}; other pages compute here")
    # refused before the libraries of the pages are loaded
    importlib.import_module("uspnb.widgets.apps.reach").check_reach(
        options.app, options.address, options.port, password
    )
    with nullcontext() if options.scheduler is None else connected(options.scheduler) as client:
        _server().serve(
            options.app,
            port=options.port,
            address=options.address,
            source=options.source,
            config=_settings(options.config),
            config_path=options.config,
            allow_origin=options.allow_origin,
            password=password,
            behind_proxy=options.behind_proxy,
            open_browser=options.open,
            source_options=chosen,
            seconds=options.serve_seconds,
            announce=_say,
            client=client,
        )
    return 0


def _lab(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("jupyterlab") is None:
        raise DomainError("JupyterLab is not installed; install it with: pip install 'uspnb[demo]'")
    port = check_whole("port", options.port, 0, 65_535)
    command = [sys.executable, "-m", "jupyterlab", *lab_arguments(_notebooks(), port, options.no_browser)]
    with subprocess.Popen(command) as lab:
        while True:
            try:
                return lab.wait()
            except KeyboardInterrupt:
                continue  # the interrupt has reached JupyterLab too, which ends its kernels first


def lab_arguments(folder: Path, port: int, no_browser: bool) -> list[str]:
    """What JupyterLab is started with: on the loopback address, asking nobody for news, updates or extensions."""
    arguments = [
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.answer_yes=True",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")  # a container's only user; nobody else can reach the loopback address
    return [*arguments, "--no-browser"] if no_browser else arguments


def _notebooks() -> Path:
    """The folder of notebooks of a checkout, here or where the package stands; else the folder we are in."""
    for folder in (Path.cwd() / "notebooks", Path(__file__).resolve().parent.parent / "notebooks"):
        if any(folder.glob("*.ipynb")):
            return folder
    return Path.cwd()


def _backtest(options: argparse.Namespace) -> int:
    from .data.csv import read_csv

    series = read_csv(options.file, **reading_of(options))
    for note in series.notes:
        print(f"note: {note}")
    return _replay(series, Path(options.file).name, options, asset=_chosen_asset(series, options.asset))


def _chosen_asset(series: Series, asset: str | None) -> Any:
    if asset is None:
        return None
    if asset not in (series.assets or ()):
        raise DomainError(
            f"--asset {asset!r} is not among the assets: {', '.join(map(str, series.assets or ('none',)))}"
        )
    return asset


def _replay(series: Series, title: str, options: argparse.Namespace, asset: Any = None) -> int:
    from . import runtime
    from .plots import report_file
    from .predictor import results
    from .predictor.backtest import backtest
    from .predictor.comparison import compare

    config = _settings(options.config)
    if options.out is not None:
        report_file.checked_target(options.out, options.theme)
    if options.save is not None:
        results.checked_archive(options.save)
    runtime.enable_compilation_cache()
    ds = backtest(series, config, progress=not options.quiet)
    comparison = compare(series, config, dataset=ds)
    print(_comparison_text(comparison))
    print(f"\n{comparison.attrs['verdict']}")
    alarms, refused, imputed = (int(ds[name].sum()) for name in ("alarm", "rejected", "imputed"))
    print(f"{alarms:,} alarms, {refused:,} ticks refused, {imputed:,} imputed.")
    if options.save is not None:
        print(f"Result: {results.save(ds, options.save).absolute()}")
    if options.out is not None:
        report = report_file.run_report(ds, comparison, title, options.theme, asset)
        print(f"Report: {report.write(options.out)}")
    return 0


def _settings(path: Path | None) -> PredictorConfig:
    from .config.load import load_config
    from .config.schema import PredictorConfig

    return PredictorConfig() if path is None else load_config(path)


def _comparison_text(comparison: xr.Dataset) -> str:
    from .plots.report_tables import comparison_table

    several = "asset" in comparison.dims
    labels = comparison["asset"].values.tolist() if several else [None]
    blocks = []
    for name in labels[:MOST_ASSETS]:
        table = comparison_table(comparison, name)
        table.columns = [str(metric).replace("_", " ") for metric in comparison["metric"].values]
        blocks.append((f"{name}\n" if several else "") + table.to_string())
    if len(labels) > MOST_ASSETS:
        blocks.append(f"... and {len(labels) - MOST_ASSETS} more assets")
    return "\n\n".join(blocks) + "\n(in brackets: relative to last value, below 1 is better)"


def _inspect(options: argparse.Namespace) -> int:
    from .persistence.snapshots import inspect_file

    inspections = [inspect_file(file) for file in options.files]
    print("\n\n".join(about.text() for about in inspections))
    return 0 if all(about.valid for about in inspections) else DIFFERS


def _parity(options: argparse.Namespace) -> int:
    from .sinks import compare, verify

    if len(options.logs) > 2:
        raise DomainError(f"{len(options.logs)} logs were named; name one to verify it, or two to compare them")
    verified = [verify(path) for path in options.logs]
    for path, about in zip(options.logs, verified, strict=True):
        state = "intact" if about.ok else f"NOT INTACT from line {about.first_bad_line} on"
        print(f"{path}: {about.lines} lines, {state}{'; ' if about.reason else ''}{about.reason}")
    whole = all(about.ok for about in verified)
    if len(options.logs) == 1:
        return 0 if whole else DIFFERS
    comparison = compare(*options.logs)
    print(comparison.text())
    return 0 if whole and comparison.equal else DIFFERS


def _warm(options: argparse.Namespace) -> int:
    from .predictor.warming import warm_programs
    from .runtime import enable_compilation_cache

    for program in warm_programs(_settings(options.config), options.batch):
        _say(f"{program.name:<32} {program.seconds:7.2f} s  {program.outcome}")
    print(f"Cache: {enable_compilation_cache()}")
    return 0


def _train_trunk(options: argparse.Namespace) -> int:
    training = importlib.import_module(options.training)
    steps = training.DEFAULT_STEPS if options.steps is None else options.steps
    entry = training.train_trunk(options.width, options.depth, options.seed, steps, options.out)
    print(json.dumps(entry, indent=2))
    print(f"Weights: {options.out.absolute()}")
    return 0
