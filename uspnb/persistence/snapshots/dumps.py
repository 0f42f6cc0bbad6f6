"""What is kept for the inquest when the breaker opens: everything that led there, for its owner alone."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from ...config.schema import PredictorConfig
from ...errors import DomainError
from ...model.state import PredictorState
from ...runtime.files import Writer, sync_folder
from .codec import decode, encode
from .files import check_space, read_bounded, safe_name
from .payload import Payload, snapshot_of

MOST_ASSETS_REMEMBERED = 10_000
MOST_WAITING = 4
LEFTOVER_NS = 3_600 * 10**9


def dump_of(
    asset: str,
    state: PredictorState,
    config: PredictorConfig,
    telemetry: Mapping[str, Any],
    rows: np.ndarray | None,
    columns: Sequence[str],
    *,
    timestamp_ns: int | None = None,
) -> Payload:
    """The payload of an emergency dump: a snapshot's blocks, and beside them what one looks for first.

    Args:
        asset: name of the series.
        state, config, telemetry: as `snapshot_of` takes them; all numbers and arrays of the telemetry are kept.
        rows: the last ticks' packed results, oldest first, None where there are none.
        columns: what each of their columns is called.
        timestamp_ns: when the breaker opened [ns since 1970 UTC]; now where left out.

    Raises:
        DomainError: rows that are no table of as many columns as there are names.
    """
    table = _table(rows, columns)
    payload = snapshot_of(state, config, telemetry=telemetry, timestamp_ns=timestamp_ns)
    leaves = payload["global"]
    named = {name.rpartition(".")[2]: leaf for name, leaf in leaves.items() if name.startswith(".charts.")}
    return payload | {
        "asset": asset,
        "weights": leaves[".weight"],
        "buffers": {
            "window": leaves[".frame.window"],
            "residuals": leaves[".score.residuals"],
            "intervals_ns": leaves[".gate.intervals_ns"],
        },
        "cusum": named,
        "history": {"columns": list(columns), "rows": table},
        "telemetry": payload["telemetry"] | {name: _plain(value) for name, value in telemetry.items()},
    }


def read_dump(path: str | os.PathLike[str]) -> Payload:
    """The payload of an emergency dump, verified; `state_from` and `config_from` read it as they read a snapshot.

    Raises:
        IntegrityError: damaged, cut, no dump, or no regular file of a bounded size.
        OSError: the file cannot be read.
    """
    return decode(read_bounded(path), kind="dump")


class EmergencyDumps:
    """A private folder of dumps, at most one in an interval for each series.

    The disk never makes `offer` raise: `condition` says why there is no dump.

    Args:
        folder: made when the first dump is written, readable by its owner alone.
        interval_s: least time between two dumps of one series [s].
        background: whether they are written in a thread ("dump_io"), so that `offer` returns at once.
        retention: dumps kept in the folder, of all series.

    Attributes:
        written, failed, withheld: dumps on disk; that could not be written; that came too soon after another.
        condition: why the last dump could not be written as it should, None where it could.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        interval_s: float,
        *,
        background: bool = False,
        retention: int = 1000,
    ) -> None:
        self.folder, self.interval_s = Path(folder), interval_s
        self.retention = max(retention, 1)
        self.written, self.failed, self.withheld = 0, 0, 0
        self.condition: str | None = None
        self._last: dict[str, float] = {}
        self._writer = Writer("dump_io", MOST_WAITING) if background else None
        self._lock = threading.Lock()

    def offer(
        self,
        asset: str,
        state: PredictorState,
        config: PredictorConfig,
        telemetry: Mapping[str, Any],
        rows: np.ndarray | None,
        columns: Sequence[str],
        now_s: float | None = None,
    ) -> Path | None:
        """Write a dump, unless this series has left one just now.

        Args:
            asset, state, config, telemetry, rows, columns: as `dump_of` takes them; rows are copied.
            now_s: a clock that only moves forward [s]; the machine's own where left out.

        Returns:
            The file, or where it will be once `wait` says that it is written; None where there is none to be.

        Raises:
            DomainError: rows that are no table of the columns.
        """
        table = _table(rows, columns)
        if not self._is_due(asset, time.monotonic() if now_s is None else now_s):
            return None
        instant = time.time_ns()
        path = self.folder / f"emergency_{safe_name(asset)}_{instant}.msgpack"

        def write() -> bool:
            payload = dump_of(asset, state, config, telemetry, table, columns, timestamp_ns=instant)
            return self._write(path, asset, payload)

        if self._writer is None:
            return path if write() else None
        with self._lock:
            if self._writer.status().pending >= MOST_WAITING:
                self.withheld += 1
                return None
            # The first dumps are those that led here: none gives way to a later one.
            future = self._writer.submit(write, may_be_dropped=False)
        future.add_done_callback(self._judge)
        return path

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every dump that was offered has been dealt with; whether that came true within `timeout` [s]."""
        return self._writer is None or self._writer.wait(timeout)

    def _judge(self, future: Future[bool]) -> None:
        problem = future.exception()
        if problem is not None:
            self.failed += 1
            self.condition = f"an emergency dump could not be made: {problem}"

    def _write(self, path: Path, asset: str, payload: Payload) -> bool:
        data = encode(payload, kind="dump")
        try:
            loose = _private_folder(self.folder)
            check_space(self.folder, len(data))
            _write_private(path, data)
            _remove_old(self.folder, self.retention)
        except OSError as problem:
            self.failed += 1
            self.condition = f"an emergency dump of {asset!r} could not be written: {problem}"
            return False
        self.written += 1
        self.condition = loose
        return True

    def _is_due(self, asset: str, now: float) -> bool:
        with self._lock:
            last = self._last.get(asset)
            if last is not None and now - last < self.interval_s:
                self.withheld += 1
                return False
            # Named anew at the end, so that the first ones are the longest ago.
            self._last.pop(asset, None)
            self._last[asset] = now
            while len(self._last) > MOST_ASSETS_REMEMBERED:
                del self._last[next(iter(self._last))]
            return True


def _table(rows: np.ndarray | None, columns: Sequence[str]) -> np.ndarray:
    """A copy of the rows, of float64: the caller's table goes on while the dump is being written."""
    table = np.zeros((0, len(columns))) if rows is None else np.array(rows, np.float64)
    if table.ndim != 2 or table.shape[1] != len(columns):
        raise DomainError(f"rows of shape {table.shape} are no table of the {len(columns)} columns that are named")
    return table


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    array = np.asarray(value)
    return array.item() if array.ndim == 0 else array


def _private_folder(folder: Path) -> str | None:
    """Make the folder for its owner alone; a sentence where one that was there is open to others."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & 0o77:
        return None
    # It is not ours to close a folder that somebody else may use; the files are private in any case.
    return f"the folder {folder} of the emergency dumps is open to others (mode {mode:o}); chmod 700 it"


def _write_private(path: Path, data: bytes) -> None:
    """As `write_atomic`, but never readable by others, not even while it is being written."""
    temporary = path.with_name(f".{path.name}.tmp")  # names carry an instant, so that no two dumps share one
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _remove_old(folder: Path, most: int) -> None:
    """Dumps beyond the number that is kept, the longest ago first, and what a killed writer left an hour ago."""
    dumps: list[tuple[int, Path]] = []
    for entry in os.scandir(folder):
        if not entry.name.startswith(("emergency_", ".emergency_")):
            continue
        with contextlib.suppress(FileNotFoundError):
            changed = entry.stat().st_mtime_ns
            if entry.name.endswith(".msgpack"):
                dumps.append((changed, Path(entry.path)))
            elif entry.name.endswith(".tmp") and time.time_ns() - changed > LEFTOVER_NS:
                os.unlink(entry.path)
    for _, path in sorted(dumps)[:-most]:
        path.unlink(missing_ok=True)
