"""The states of a track outside the process: snapshot files, a store, and the way back from there."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ..config.schema import STATIC_FIELDS, PredictorConfig
from ..errors import ConfigError, DomainError, UspnbError
from ..model.state import PredictorState
from ..persistence.snapshots import (
    Assets,
    Loaded,
    Progress,
    SnapshotFolder,
    config_from,
    progress_from,
    snapshot_of,
    states_from,
)
from ..persistence.stores.base import Store
from ..persistence.stores.state_store import StateStore
from ..predictor.shedding import DEPTHS
from ..sources import Ticks
from .computation import Computation
from .intake import NOTHING
from .outlets import numbers_of
from .timeline import Checkpoint

# What a state does not depend on: where it is computed, and whether the host raises.
BACKLOG = ("values", "stamps_ns", "proxies")  # columns of the ticks that a snapshot holds
_FREE = frozenset({"jax_platform", "strict_domain"})
_log = logging.getLogger("uspnb.engine")


class Moment(NamedTuple):
    """A state and what surrounds it, all of the same tick; any thread may keep it, nothing in it changes.

    Attributes:
        checkpoint: the state, with the engine's tick.
        source_ticks: ticks of the source that the state has seen.
        position: ticks taken from the present content of the source.
        stamp_ns: timestamp of the last tick [ns since 1970 UTC], None where nobody knows.
        source: what the series is called.
        config: the settings in force.
        depth: of the log-signature in use.
        emergency: whether the breaker was open, for any asset.
        assets: names of the assets, None for one series.
        row: of the last tick, None before the first.
        backlog: ticks that were accepted and not processed.
    """

    checkpoint: Checkpoint
    source_ticks: int
    position: int
    stamp_ns: int | None
    source: str
    config: PredictorConfig
    depth: int
    emergency: bool
    row: np.ndarray | None
    backlog: Ticks
    assets: tuple[str, ...] | None = None


def payload_of(
    moment: Moment, computation: Computation, settle: Callable[[], object] | None = None
) -> Callable[[], dict[str, Any]]:
    """A function that makes the payload of a snapshot of this very moment, whichever thread calls it.

    Args:
        moment: what is saved.
        computation: whose state it is.
        settle: see `Outlets`.
    """
    taken_ns = time.time_ns()

    def make() -> dict[str, Any]:
        if settle is not None:  # a restart goes on after this snapshot: nobody would write what is on its way now
            settle()
        state, depth = computation.states(moment.checkpoint.handle)
        stamp = int(np.max(state.gate.last_timestamp_ns)) if moment.stamp_ns is None else moment.stamp_ns
        tally = moment.checkpoint.tally
        extra: dict[str, Any] = {"position": moment.position, "depth": moment.depth, "emergency": moment.emergency}
        progress = Progress(moment.source_ticks, moment.source, stamp, extra | ({} if tally is None else tally.extra()))
        config = dataclasses.replace(moment.config, log_sig_depth=depth)
        assets = None
        if moment.assets is not None:
            assets = Assets(moment.assets, {} if tally is None else tally.by_asset())
        numbers = numbers_of(moment.row, computation.columns)
        payload = snapshot_of(state, config, progress=progress, telemetry=numbers, timestamp_ns=taken_ns, assets=assets)
        held = dict(zip(BACKLOG, moment.backlog[: len(BACKLOG)], strict=True))
        return payload | ({"backlog": held} if moment.backlog.values.size else {})

    return make


def resumed(
    folder: SnapshotFolder,
    config: PredictorConfig,
    like: Callable[[int], PredictorState],
    assets: tuple[str, ...] | None = None,
) -> tuple[Loaded, Ticks] | None:
    """The newest valid state of a folder and the ticks that were accepted and not finished; None where there is none.

    Args:
        folder: of one track.
        config: the settings in force; traced and host fields may differ from those of the snapshot.
        like: the cold state of a depth of the log-signature, by which every leaf is checked.
        assets: names of the assets, None for one series.

    Raises:
        ConfigError: the snapshot was taken under other structural settings.
        DomainError: it is of another layout, or nobody wrote down how far the source was.
    """
    with warnings.catch_warnings():  # a service tells its log
        warnings.simplefilter("ignore", UserWarning)
        snapshot = folder.newest_valid()
    if snapshot is None:
        if folder.paths():
            raise DomainError(
                f"none of the {len(folder.paths())} snapshots in {folder.folder} is whole; --fresh puts them aside and "
                "begins anew"
            )
        return None
    for path, reason in snapshot.skipped:
        _log.warning("%s cannot be used: %s; the one before it is", path.name, reason)
    then = config_from(snapshot.payload)
    _refuse_other(then, config, snapshot.path)
    progress = progress_from(snapshot.payload)
    if progress is None:
        raise DomainError(f"{snapshot.path} does not say how far its source was; it was not written by an engine")
    state, by_asset = states_from(snapshot.payload, like(then.log_sig_depth), assets)
    backlog = _backlog_of(snapshot.payload, snapshot.path)
    return Loaded(snapshot.path, state, progress, then, {}, by_asset), backlog


def _backlog_of(payload: dict[str, Any], path: Path) -> Ticks:
    block = payload.get("backlog")
    if block is None:
        return NOTHING
    columns = [block.get(name) for name in BACKLOG] if isinstance(block, dict) else []
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
        named = ", ".join(f"{name} was {getattr(then, name)!r} and is {getattr(now, name)!r}" for name in differing[:5])
        raise ConfigError(
            f"{path.name} was taken under other structural settings ({named}); set them as they were, or --fresh to "
            "put the snapshots aside and begin anew"
        )


class StoredStates:
    """The states of a track in a store: taken from there at the start, written over the version they are based on.

    A thread writes; of moments that come faster than the store takes them the newest counts.  Where another writer was
    there first, nothing more is written and `condition` says so.

    Args:
        store: remains the caller's to close.
        computation: whose states.
        names: of its assets, which are keys.
        prefix: beginning of all keys.
    """

    def __init__(self, store: Store, computation: Computation, names: Sequence[str], prefix: str = "") -> None:
        cold = computation.cold()
        self._several = len(computation.shape) > 1
        like = jax.tree.map(lambda leaf: leaf[0], cold) if self._several else cold
        self._states = StateStore(store, like, computation.config, prefix=prefix)
        self._computation, self._names = computation, list(names)
        self._versions = np.zeros(len(self._names), np.int64)
        self.condition: str | None = None
        self.saved = self.ticks = 0
        self._waiting: Moment | None = None
        self._changed = threading.Condition()
        self._busy = self._closed = False
        self._thread: threading.Thread | None = None

    def take(self) -> int:
        """Put the stored states into the computation; the most ticks that one of them has seen, 0 where none is there.

        Raises:
            DamagedStatesError, DomainError, StoreUnavailableError: see `StateStore.load`.
        """
        states, self._versions = self._states.load(self._names)
        if not self._versions.any():
            return 0
        self._computation.take(states if self._several else jax.tree.map(lambda leaf: leaf[0], states))
        self.ticks = int(np.max(np.asarray(states.ticks)))
        return self.ticks

    def offer(self, moment: Moment) -> None:
        """Have the state of a moment written; returns at once."""
        with self._changed:
            self._waiting = moment
            self._changed.notify_all()
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._write, name="uspnb-store", daemon=True)
                self._thread.start()

    def close(self, timeout: float | None = None) -> bool:
        """Write what was offered last, take nothing more; whether all of it is in the store in time [s]."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: self._waiting is None and not self._busy, timeout)
        return done and self.condition is None

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._closed)
                moment, self._waiting = self._waiting, None
                self._busy = moment is not None
            if moment is None:
                return
            try:
                self._save(moment)
            except (UspnbError, OSError) as error:
                self.condition = f"states cannot be stored: {error}"
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _save(self, moment: Moment) -> None:
        if self.condition is not None and self.condition.startswith("another"):
            return
        states, _ = self._computation.states(moment.checkpoint.handle)
        if not self._several:
            states = jax.tree.map(lambda leaf: np.asarray(leaf)[None], states)
        saved = self._states.save(self._names, states, self._versions)
        self._versions = saved.versions
        if saved.conflicts:
            named = ", ".join(saved.conflicts[:5])
            self.condition = f"another writer has the stored states of {named}; nothing more is written over them"
        else:
            self.condition = f"states wait for the store: {saved.problem}" if saved.pending else None
            self.saved += not saved.pending
            self.ticks = self.ticks if saved.pending else moment.source_ticks
