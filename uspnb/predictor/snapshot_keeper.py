"""What a predictor or a session needs of snapshots: save, save without waiting, load and verify."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from ..config.schema import HOST_FIELDS, PredictorConfig
from ..errors import DomainError
from ..model.state import PredictorState
from ..persistence.snapshots import (
    Progress,
    SnapshotFolder,
    SnapshotStatus,
    SnapshotWriter,
    Written,
    assets_from,
    config_from,
    fleet_states_from,
    progress_from,
    read_snapshot,
    snapshot_of,
    state_from,
    write_snapshot,
)
from ..persistence.snapshots.dumps import safe_name
from ..persistence.snapshots.payload import Payload

Where = str | os.PathLike[str]
Maker = Callable[[], dict[str, Any]]


class Loaded(NamedTuple):
    """A state that was read from a snapshot.

    Attributes:
        path: the file.
        state: bit for bit what was saved.
        progress: how far its series had come.
        config: the settings under which it came about.
        differing: settings that are others now, with the value then and now; the future differs with them.
        by_asset: of a fleet's snapshot, what is kept of each asset beside its state.
    """

    path: Path
    state: PredictorState
    progress: Progress
    config: PredictorConfig
    differing: dict[str, tuple[Any, Any]]
    by_asset: Mapping[str, np.ndarray] = MappingProxyType({})


class SnapshotKeeper:
    """Saves the states of one series under the `[io]` settings of its configuration."""

    def __init__(self) -> None:
        self._writer: SnapshotWriter | None = None
        self._lock = threading.Lock()

    def save(self, path: Where | None, config: PredictorConfig, make: Maker) -> Written:
        """Write a snapshot and wait for the disk.

        Args:
            path: a file; left out, the next one of the folder `snapshot_path`.
            config: the settings in force.
            make: gives the payload.

        Raises:
            DomainError: the path is a folder.
            OSError: the disk does not take it; what was there before is untouched.
        """
        target = _file(path)
        if target is None:
            return _folder(config).save(make())
        return write_snapshot(target, make(), config.snapshot_compression)

    def submit(self, path: Where | None, config: PredictorConfig, make: Maker) -> Future[Written]:
        """`save` in a thread of its own; returns at once.

        Where more than `snapshot_queue_maxlen` wait for the disk the oldest is dropped, its future cancelled.

        Raises:
            DomainError: the path is a folder.
        """
        target = _file(path)
        with self._lock:
            wanted = _folder(config)
            if self._writer is None or _settings(self._writer) != (vars(wanted), config.snapshot_queue_maxlen):
                before, self._writer = self._writer, SnapshotWriter(wanted, queue_maxlen=config.snapshot_queue_maxlen)
                if before is not None:
                    before.close(0)
            return self._writer.submit(make, path=target)

    def status(self) -> SnapshotStatus | None:
        """How those without waiting stand, None before the first."""
        return None if self._writer is None else self._writer.status()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is pending; whether it was in time."""
        return self._writer is None or self._writer.wait(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Take nothing more and wait for what was submitted; whether all is written within `timeout` [s]."""
        return self._writer is None or self._writer.close(timeout)


def payload_maker(
    state: PredictorState,
    config: PredictorConfig,
    *,
    source: str = "",
    ticks: int | None = None,
    last_timestamp_ns: int | None = None,
    telemetry: Mapping[str, Any] | None = None,
    extra: dict[str, str | int | float | bool] | None = None,
) -> Maker:
    """A function that makes the payload of a snapshot of this very state, whichever thread calls it.

    The arrays of a state are immutable, so that keeping a reference copies nothing and waits for nothing.

    Args:
        state, config: what is saved.
        source: what the series is called.
        ticks: ticks of the source that the state has seen; all that it has judged where left out.
        last_timestamp_ns: of the last of them; of the last accepted one where left out.
        telemetry: of the last tick, by the names of `Telemetry`.
        extra: what else the reader needs back.
    """
    taken_ns = time.time_ns()

    def make() -> dict[str, Any]:
        stamp = int(state.gate.last_timestamp_ns) if last_timestamp_ns is None else last_timestamp_ns
        progress = Progress(int(state.ticks) if ticks is None else ticks, source, stamp, dict(extra or {}))
        return snapshot_of(state, config, progress=progress, telemetry=telemetry, timestamp_ns=taken_ns)

    return make


def load_state(
    path: Where | None,
    config: PredictorConfig,
    like: Callable[[PredictorConfig], PredictorState],
    *,
    folder: Where | None = None,
    only: str | None = None,
    current: PredictorState | None = None,
    assets: tuple[str, ...] | None = None,
) -> Loaded:
    """Read a state, once its checksum, schema version and the shape and dtype of every leaf are found right.

    Args:
        path: a snapshot file, or a folder of them, whose newest valid one is taken.
        config: the settings of the predictor that is to go on with it.
        like: makes the cold state of a snapshot's settings, by which every leaf is checked.
        folder: the folder that is meant where the path is left out, by default `snapshot_path`.
        only: a kernel's name, or its letter, takes that kernel's block alone and leaves the rest of `current`.
        current: the state that a partial restore changes.
        assets: names of the assets of a fleet, whose snapshot it must be; None for one series.

    Raises:
        IntegrityError: the file is damaged.
        DomainError: there is no snapshot, or it belongs to other settings or another schema version.
        OSError: the file cannot be read.
    """
    given = Path(path or folder or config.snapshot_path)
    if path is None or given.is_dir():
        found = SnapshotFolder(given).newest_valid()
        if found is None:
            raise DomainError(f"{given}: there is no valid snapshot in this folder; name a file, or save one first")
        place, payload = found.path, found.payload
    else:
        place, payload = given, read_snapshot(given)
    then, now = config_from(payload), config
    if only is None:
        state, by_asset = states_from(payload, like(then), assets)
    else:
        state, by_asset = state_from(payload, like(then), only=only, current=current), {}
    names = [name for name in now.__dataclass_fields__ if name not in HOST_FIELDS]
    differing = {n: (getattr(then, n), getattr(now, n)) for n in names if getattr(then, n) != getattr(now, n)}
    progress = progress_from(payload) or Progress(int(state.ticks), "", int(state.gate.last_timestamp_ns), {})
    return Loaded(place, state, progress, then, differing, by_asset)


def states_from(
    payload: Payload, like: PredictorState, assets: tuple[str, ...] | None
) -> tuple[PredictorState, dict[str, np.ndarray]]:
    """The state of a payload, of a fleet's that of the named assets in their order, with what is kept of each.

    Args:
        payload: of a snapshot.
        like: a state of the same shapes, stacked for a fleet.
        assets: names, None for one series.

    Raises:
        DomainError: it is of another kind, layout or schema version, or has not all of these assets.
    """
    found = assets_from(payload)
    if assets is None:
        if found is not None:
            raise DomainError(
                f"this is the snapshot of a fleet of {len(found.labels)} assets, not of one series; a fleet loads it"
            )
        return state_from(payload, like), {}
    states = fleet_states_from(payload, jax.tree.map(lambda leaf: leaf[0], like), assets)
    if found is None:  # which the line before has refused
        return states, {}
    places = {name: place for place, name in enumerate(found.labels)}
    rows = np.array([places[name] for name in assets])
    return states, {name: column[rows] for name, column in found.columns.items()}


def series_folder(config: PredictorConfig, name: str) -> Path:
    """The folder of one series below `snapshot_path`, where a service keeps its snapshots too."""
    return Path(config.snapshot_path) / safe_name(name or "series")


def _file(path: Where | None) -> Path | None:
    if path is None:
        return None
    if Path(path).is_dir():
        raise DomainError(
            f"{path} is a folder; name a file in it, or set snapshot_path to it and leave the path out, which keeps "
            "the newest ones"
        )
    return Path(path)


def _folder(config: PredictorConfig) -> SnapshotFolder:
    return SnapshotFolder(config.snapshot_path, config.snapshot_retention, config.snapshot_compression)


def _settings(writer: SnapshotWriter) -> tuple[dict[str, Any], int]:
    return vars(writer.folder), writer.queue_maxlen
