"""`uspnb config`: print, check, look back at and take back the settings of a file."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import ConfigError

INTACT, DAMAGED = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command; without a subcommand it shows the values."""
    _add_config(parser, default=None)
    parser.set_defaults(work=_show)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    show = commands.add_parser("show", help="print the values (this is what happens without a command)")
    show.set_defaults(work=_show)
    template = commands.add_parser("template", help="print the values with comments")
    template.set_defaults(work=_template)
    for printing in (show, template):
        # Named before or after the command; what is left out after it must not undo what stands before.
        _add_config(printing, default=argparse.SUPPRESS)
    validate = commands.add_parser("validate", help="check a file and name everything that is wrong in it")
    validate.set_defaults(work=_validate)
    history = commands.add_parser("history", help="what was changed when and by whom, and whether the log is intact")
    history.set_defaults(work=_history)
    rollback = commands.add_parser("rollback", help="put a backup in the place of a file; that can be taken back too")
    rollback.set_defaults(work=_rollback)
    rollback.add_argument(
        "--to", metavar="WHICH", help="name, time or SHA-256 of a backup, the beginning is enough; else the newest"
    )
    for named in (validate, history, rollback):
        named.add_argument("file", type=Path, metavar="FILE.toml", help="the configuration file")
        add_plugin_argument(named)
    for audited in (history, rollback):
        audited.add_argument("--audit", type=Path, metavar="LOG", help="its audit log; by default io/mutations.log")


def run(options: argparse.Namespace) -> int:
    """Do what was asked for and return the exit code.

    Raises:
        ConfigError: a file that cannot be used, or a rollback that is refused.
    """
    return options.work(options)


def _add_config(parser: argparse.ArgumentParser, default: object) -> None:
    meaning = "settings to print; the defaults if left out"
    parser.add_argument("--config", type=Path, metavar="FILE.toml", default=default, help=meaning)
    add_plugin_argument(parser)


def add_plugin_argument(parser: argparse.ArgumentParser) -> None:
    """`--plugin`, for every command that reads settings or opens what a user may have brought."""
    parser.add_argument(
        "--plugin",
        action="append",
        default=argparse.SUPPRESS,  # so that none after a subcommand leaves those before it
        metavar="MODULE",
        help="import a module first, which registers kernels, sources, sinks or stores of your own; may be repeated",
    )


def import_plugins(modules: Sequence[str]) -> None:
    """Import what `--plugin` names, from where Python looks and from the folder that we are in.

    Raises:
        ConfigError: a module cannot be found or imported.
    """
    for name in modules:
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # at the end: nothing there takes the place of what is installed
        try:
            importlib.import_module(name)
        except (ImportError, TypeError, ValueError) as error:  # TypeError: a relative name; ValueError: an empty one
            raise ConfigError(
                f"--plugin {name!r} cannot be imported ({error}); name a module as Python does, package.module, that "
                "is installed, lies in this folder or in one of PYTHONPATH"
            ) from error


def _show(options: argparse.Namespace) -> int:
    from .load import config_to_toml, load_config
    from .schema import PredictorConfig

    config = PredictorConfig() if options.config is None else load_config(options.config)
    print(config_to_toml(config, every=True), end="")
    return INTACT


def _template(options: argparse.Namespace) -> int:
    from .load import load_config
    from .meta_optimization import load_meta_optimization_config
    from .template import render_template

    if options.config is None:
        text = render_template()
    else:
        text = render_template(load_config(options.config), load_meta_optimization_config(options.config))
    print(text, end="")
    return INTACT


def _validate(options: argparse.Namespace) -> int:
    from .load import config_hash, load_config
    from .schema import DEFAULTS

    config = load_config(options.file)
    changed = [name for name, default in DEFAULTS.items() if getattr(config, name) != default]
    summary = f"{len(changed)} settings differ from their defaults{': ' if changed else ''}{', '.join(changed)}"
    print(f"{options.file}: valid, {summary}\nSHA-256 of the settings: {config_hash(config)}")
    return INTACT


def _history(options: argparse.Namespace) -> int:
    from .mutation import collect_history
    from .mutation_place import MutationPlace, checked_request

    place = MutationPlace(options.file, options.audit)
    records, check = place.log.read()
    history = collect_history(place, records, checked_request("history", None, False, None))
    if not records and check.ok:
        print(f"{options.file}: no changes; there is nothing in {place.log.path}")
        return INTACT
    rows = [("when", "trigger", "outcome", "changes")]
    for record in history:
        what = " ".join(filter(None, (record.changes_text(), f"({record.reason})" if record.reason else "")))
        outcome = f"{record.outcome}, limit lifted" if record.override else record.outcome
        rows.append((record.time[:19].replace("T", " ") + "Z", record.trigger, outcome, what))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip())
    check = place.log.read()[1]
    print(f"\n{place.log.path}: {check.text()}")
    return INTACT if check.ok else DAMAGED


def _rollback(options: argparse.Namespace) -> int:
    from .mutation import rollback

    done = rollback(options.file, options.to, trigger="uspnb config rollback", audit=options.audit)
    print(done.text())
    if done.changed and done.backup is not None:
        print(f"To take this back: uspnb config rollback {options.file} --to {done.backup.name}")
    return INTACT
