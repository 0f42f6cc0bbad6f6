"""`Durable`: the states of a session on disk, and the way back from there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from ...config.schema import PredictorConfig
from ...errors import DomainError
from ...persistence.snapshots import SnapshotFolder, SnapshotStatus, Written
from ...predictor.snapshot_keeper import Loaded, SnapshotKeeper, Where, load_state, payload_maker, series_folder
from .steering import Steering


class Durable(Steering):
    """Snapshots of a session; see `Session`.  The record of ticks is not part of them: `export` writes that."""

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self._keeper = SnapshotKeeper()

    @property
    def snapshot_folder(self) -> Path:
        """Where snapshots go that name no file: a folder of the series' own below `snapshot_path`."""
        return series_folder(self._config, self._engine.labels.name)

    def snapshots(self) -> list[Path]:
        """The snapshot files of that folder, oldest first, whoever wrote them."""
        return SnapshotFolder(self.snapshot_folder).paths()

    def save_snapshot(self, path: Where | None = None) -> Path:
        """Write the state after the ticks that are done, whole or not at all, and wait until it is there.

        Args:
            path: the file; left out, the next one of `snapshot_folder`, which keeps the newest.

        Raises:
            DomainError: there is no state yet, or the path is a folder.
            OSError: the disk does not take it; what was there before is untouched.
        """
        return self._keeper.save(path, self._kept_here(), self._snapshot()).path

    def save_snapshot_nonblocking(self, path: Where | None = None) -> Future[Written]:
        """`save_snapshot` in a thread of its own; neither the session nor the caller waits for a disk."""
        return self._keeper.submit(path, self._kept_here(), self._snapshot())

    def snapshot_status(self) -> SnapshotStatus | None:
        """How the snapshots without waiting stand, None before the first."""
        return self._keeper.status()

    def load_snapshot(self, path: Where | None = None) -> Loaded:
        """Go on from a snapshot, bit for bit as the run that wrote it.

        A replayed source is set to the tick that the state has reached; where this session has come as far, its record
        ends there, else it goes on from here.  A live source goes on with what comes.  Settings stay as they are now.

        Args:
            path: a file, or a folder whose newest valid snapshot is taken; `snapshot_folder` where left out.

        Raises:
            IntegrityError: the file is damaged.
            DomainError: it belongs to settings of other shapes, another schema version or a longer source.
            OSError: it cannot be read.
        """
        self._refuse_closed()
        engine = self._engine
        loaded = load_state(path, engine.functional, folder=self.snapshot_folder)
        length, ticks = engine.source.length, loaded.progress.ticks
        if length is not None and ticks > length:
            raise DomainError(f"{loaded.path} was taken after {ticks} ticks, and this source has {length}")
        self._send(lambda: engine.on_load(loaded))
        return loaded

    def _kept_here(self) -> PredictorConfig:
        return dataclasses.replace(self._config, snapshot_path=str(self.snapshot_folder))

    def _snapshot(self) -> Callable[[], dict[str, Any]]:
        self._refuse_closed()
        engine, kept = self._engine, self._engine.latest
        if kept is None:
            raise DomainError("there is no state to save yet, or it is just going back; run, step or wait first")
        stamp = engine.computation.recording.stamp(kept.tick - 1) if kept.tick else None
        return payload_maker(
            kept.state,
            self._config,
            source=engine.labels.name,
            ticks=kept.tick - engine.base,
            last_timestamp_ns=stamp,
            extra={"alarms": kept.alarms, "rejected": kept.rejected},
        )
