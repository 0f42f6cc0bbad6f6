"""Taking a series up again from its newest snapshot: which one, whether it fits, and what it held."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...config.schema import STATIC_FIELDS, PredictorConfig
from ...errors import ConfigError, DomainError
from ...model.state import PredictorState
from ...persistence.snapshots import Progress, SnapshotFolder, config_from, progress_from, state_from
from ...predictor.shedding import DEPTHS
from ...sources import Ticks
from .intake import NOTHING

# What a state does not depend on: where it is computed, and whether the host raises.
_FREE = frozenset({"jax_platform", "strict_domain"})
_log = logging.getLogger("uspnb.service")


class Resumed(NamedTuple):
    """A state from the disk.

    Attributes:
        state: S_t.
        depth: of its log-signature.
        progress: what surrounded it.
        path: the file.
        backlog: ticks that were accepted and not finished.
    """

    state: PredictorState
    depth: int
    progress: Progress
    path: Path
    backlog: Ticks


def resumed(folder: SnapshotFolder, config: PredictorConfig, like: Callable[[int], PredictorState]) -> Resumed | None:
    """The newest valid state of a folder, None where there is none.

    Args:
        folder: of one series.
        config: the settings in force; traced and host fields may differ from those of the snapshot.
        like: the cold state of a depth of the log-signature, by which every leaf is checked.

    Raises:
        ConfigError: the snapshot was taken under other structural settings.
        DomainError: it is of another layout, or nobody wrote down how far the source was.
    """
    with warnings.catch_warnings():  # a service tells its log
        warnings.simplefilter("ignore", UserWarning)
        found = folder.newest_valid()
    if found is None:
        if folder.paths():
            raise DomainError(
                f"none of the {len(folder.paths())} snapshots in {folder.folder} is whole; --fresh puts them aside and "
                "begins anew"
            )
        return None
    for path, reason in found.skipped:
        _log.warning("%s cannot be used: %s; the one before it is", path.name, reason)
    then = config_from(found.payload)
    _refuse_other(then, config, found.path)
    progress = progress_from(found.payload)
    if progress is None:
        raise DomainError(f"{found.path} does not say how far its source was; it was not written by a service")
    state = state_from(found.payload, like(then.log_sig_depth))
    return Resumed(state, then.log_sig_depth, progress, found.path, _backlog_of(found.payload, found.path))


def with_backlog(payload: dict[str, Any], backlog: Ticks) -> dict[str, Any]:
    """The payload of a snapshot that also holds ticks which were accepted and not finished."""
    return payload | {"backlog": dict(backlog._asdict())} if len(backlog) else payload


def _backlog_of(payload: dict[str, Any], path: Path) -> Ticks:
    block = payload.get("backlog")
    if block is None:
        return NOTHING
    columns = [block.get(name) for name in Ticks._fields] if isinstance(block, dict) else []
    shapes = {column.shape for column in columns if isinstance(column, np.ndarray) and column.ndim == 1}
    kinds = [getattr(column, "dtype", None) for column in columns]
    if len(shapes) != 1 or kinds != [np.float64, np.int64, np.float64]:
        raise DomainError(f"{path} holds ticks that are not finished, but not as values, times and proxies")
    return Ticks(*(np.array(column) for column in columns))


def set_aside(folder: Path) -> Path | None:
    """Rename a folder of snapshots, so that nothing in it is taken up or lost; its new name, None where there is none.

    Raises:
        OSError: it cannot be renamed.
    """
    if not folder.is_dir():
        return None
    aside = folder.with_name(f"{folder.name}.before-{time.time_ns()}")
    os.replace(folder, aside)
    return aside


def _refuse_other(then: PredictorConfig, now: PredictorConfig, path: Path) -> None:
    free = _FREE | ({"log_sig_depth"} if now.load_shedding and then.log_sig_depth in DEPTHS else frozenset())
    differing = [name for name in STATIC_FIELDS if name not in free and getattr(then, name) != getattr(now, name)]
    if differing:
        told = ", ".join(f"{name} was {getattr(then, name)!r} and is {getattr(now, name)!r}" for name in differing[:5])
        raise ConfigError(
            f"{path.name} was taken under other structural settings ({told}); set them as they were, or --fresh to put "
            "the snapshots aside and begin anew"
        )
