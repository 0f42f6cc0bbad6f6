"""`uspnb tune`: a campaign from the command line."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.meta_optimization import METRICS, MetaOptimizationConfig, load_meta_optimization_config
from ..config.schema import PredictorConfig
from ..data.command import add_group_argument, add_reading_arguments, reading_of
from ..errors import DomainError
from ..runtime.arguments import check_whole
from .status import TRIALS

if TYPE_CHECKING:
    from ..data.series import Series
    from .result import OptimizationResult
    from .study import BayesianMetaOptimizer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `uspnb tune`."""
    parser.add_argument("data", metavar="DATA", help="CSV file, or sea for the sample series")
    add_reading_arguments(parser, "several are tuned together")
    add_group_argument(parser)
    parser.add_argument("--ticks", type=int, metavar="N", help="the first N ticks only")
    parser.add_argument("--tier", choices=("fast", "deep"), default="fast", help="six parameters, or all of them")
    parser.add_argument("--trials", type=int, metavar="N", help="in all, those of earlier calls included")
    parser.add_argument("--metric", choices=METRICS, metavar="NAME", help=f"what is minimised: {', '.join(METRICS)}")
    parser.add_argument(
        "--ahead", type=int, metavar="N", help="of forecasts N ticks ahead, one of horizons; 1 if left out"
    )
    parser.add_argument("--folds", type=int, metavar="N", help="folds of the walk-forward split")
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="settings that are changed, and how to tune")
    parser.add_argument("--name", help="of the campaign and its files; by default from DATA and the tier")
    parser.add_argument("--storage", metavar="PATH|URL", help="journal file or database; by default below io/tuning")
    parser.add_argument("--resume", action="store_true", help="go on with the campaign of this name")
    parser.add_argument("--timeout", type=float, metavar="S", help="begin no batch later than this")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="where to write the report as a page")
    parser.add_argument("--apply", action="store_true", help="write the best settings into the file of --config")
    parser.add_argument("--override-limit", action="store_true", help="with --apply: however far a setting moves")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(options: argparse.Namespace) -> int:
    """Tune, print the report, and apply the best settings where that was asked for.

    Returns:
        0.

    Raises:
        ConfigError, DomainError, IntegrityError, OSError: data, settings, a storage or a file that cannot be used.
        KeyboardInterrupt: the user interrupted; the campaign can be resumed.
    """
    _check_options(options)
    config, meta = _settings(options)
    series = _series(options)
    for note in series.notes:
        print(f"note: {note}")
    optimizer = _optimizer(options, config, meta, series)
    _check_resuming(options, optimizer)
    again = f"The campaign goes on with the same command and --resume. It lies in {optimizer.place}"
    try:
        result = optimizer.optimize(options.trials, timeout_s=options.timeout)
    except (KeyboardInterrupt, SystemExit):
        print(again)
        raise
    print(optimizer.generate_optimization_report())
    if optimizer.status().state == "stopped":
        print(f"Stopped: {optimizer.status().reason}. {again}")
    _write(options, optimizer, result)
    return 0


def _check_options(options: argparse.Namespace) -> None:
    if options.apply and options.config is None:
        raise DomainError("--apply needs the file to write to; name it with --config FILE.toml")
    if options.override_limit and not options.apply:
        raise DomainError("--override-limit belongs to --apply")
    if options.report is not None:
        from ..plots.report_file import checked_target

        checked_target(options.report, "auto")


def _settings(options: argparse.Namespace) -> tuple[PredictorConfig, MetaOptimizationConfig]:
    from ..config.load import load_config

    config, meta = PredictorConfig(), MetaOptimizationConfig()
    if options.config is not None:
        config, meta = load_config(options.config), load_meta_optimization_config(options.config)
    chosen = {"n_folds": options.folds, "metric": options.metric, "ahead": options.ahead}
    return config, dataclasses.replace(meta, **{name: value for name, value in chosen.items() if value is not None})


def _series(options: argparse.Namespace) -> Series:
    if options.data == "sea":
        from ..data.samples import demo_series

        if reading_of(options):
            raise DomainError(
                f"--{next(iter(reading_of(options))).replace('_', '-')} is for CSV files, and sea is none"
            )
        return demo_series(options.ticks)
    from ..data.csv import read_csv

    series = read_csv(options.data, **reading_of(options))
    if options.ticks is None:
        return series
    ticks = check_whole("--ticks", options.ticks, 2)
    parts = {name: getattr(series, name)[:ticks] for name in ("values", "timestamps_ns", "time_coordinate")}
    return dataclasses.replace(series, **parts)


def _optimizer(
    options: argparse.Namespace, config: PredictorConfig, meta: MetaOptimizationConfig, series: Series
) -> BayesianMetaOptimizer:
    from .study import BayesianMetaOptimizer

    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(options.data).stem).strip("-._") or "series"
    return BayesianMetaOptimizer(
        study_name=options.name or f"{stem[:80]}-{options.tier}",
        tier=options.tier,
        base_config=config,
        series=series,
        storage=options.storage,
        meta_config=meta,
        max_iterations=TRIALS[options.tier] if options.config is None else None,
        progress=not options.quiet,
    )


def _check_resuming(options: argparse.Namespace, optimizer: BayesianMetaOptimizer) -> None:
    """Refuse to go on with an earlier campaign without --resume."""
    status = optimizer.status()
    target = optimizer.limits(options.trials).target
    if status.trials and status.trials < target and not options.resume:
        raise DomainError(
            f"{optimizer.place} holds the campaign {optimizer.study_name!r} with {status.trials} of {target} trials; "
            "go on with it by --resume, or begin another with --name"
        )
    if options.resume:
        print(
            f"{status.trials} of {target} trials are there." if status.trials else "Nothing to resume: a new campaign."
        )


def _write(options: argparse.Namespace, optimizer: BayesianMetaOptimizer, result: OptimizationResult) -> None:
    from ..runtime.files import write_atomic

    print(f"Campaign: {optimizer.place}")
    print(f"Checkpoints: {optimizer.folder.absolute()}")
    if options.report is not None:
        print(f"Report: {write_atomic(options.report, optimizer.generate_optimization_report(html=True))}")
    if options.apply and result.recommendation and not result.recommended_params:
        print(f"Nothing applied: {result.recommendation}")
    elif options.apply:
        mutation = result.export_to_toml(options.config, override_limit=options.override_limit)
        print(
            f"Applied to {options.config}: {mutation.outcome}; taken back with: uspnb config rollback {options.config}"
        )
