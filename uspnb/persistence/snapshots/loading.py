"""Snapshots read again: a state for who goes on with it, a table for a person, damaged or not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ...config.schema import DEFAULTS, HOST_FIELDS, PredictorConfig
from ...errors import DomainError, IntegrityError, UspnbError
from ...model.state import PredictorState
from .codec import checksum_of, decode, read_header
from .files import SnapshotFolder, Where, read_bounded, read_snapshot
from .payload import (
    SCHEMA_VERSION,
    Progress,
    config_from,
    progress_from,
    state_from,
    states_from,
)
from .ranges import check_numbers

_SUMMARY_TEXT = 160
_NOT_IN_SUMMARY = ("config", "global", "kernels")


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
    place = Path(path or folder or config.snapshot_path)
    if path is None or place.is_dir():
        newest = SnapshotFolder(place).newest_valid()
        if newest is None:
            raise DomainError(f"{place}: there is no valid snapshot in this folder; name a file, or save one first")
        place, payload = newest.path, newest.payload
    else:
        payload = read_snapshot(place)
    then, now = config_from(payload), config
    if only is None:
        state, by_asset = states_from(payload, like(then), assets)
    else:
        state, by_asset = state_from(payload, like(then), only=only, current=current), {}
    names = [name for name in now.__dataclass_fields__ if name not in HOST_FIELDS]
    differing = {n: (getattr(then, n), getattr(now, n)) for n in names if getattr(then, n) != getattr(now, n)}
    progress = progress_from(payload) or Progress(int(state.ticks), "", int(state.gate.last_timestamp_ns), {})
    return Loaded(place, state, progress, then, differing, by_asset)


class Leaf(NamedTuple):
    """One array of a file.

    Attributes:
        name: where it stands in the payload.
        dtype, shape: of it.
        bytes: its size.
        least, most: its smallest and largest number that is not NaN; NaN where there is none.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    least: float
    most: float


class Inspection(NamedTuple):
    """What a file is.

    Attributes:
        kind: "snapshot", "dump", "state", or "unknown".
        valid: whether checksum, format, structure and, but for a dump, the numbers of the state hold.
        problem: what does not, "" where all holds.
        summary: what it says about itself.
        leaves: its arrays.
    """

    kind: str
    valid: bool
    problem: str
    summary: dict[str, str]
    leaves: list[Leaf]

    def text(self) -> str:
        """The whole as a table."""
        lines = [f"{self.kind}: {'valid' if self.valid else 'NOT VALID: ' + self.problem}"]
        width = max((len(name) for name in self.summary), default=0)
        lines += [f"  {name.ljust(width)}  {value}" for name, value in self.summary.items()]
        if self.leaves:
            rows = [("array", "dtype", "shape", "bytes", "least", "most")]
            for leaf in self.leaves:
                shape = "x".join(map(str, leaf.shape)) or "-"
                rows.append((leaf.name, leaf.dtype, shape, str(leaf.bytes), f"{leaf.least:.6g}", f"{leaf.most:.6g}"))
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            lines += ["", *("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)]
        return "\n".join(lines)


def inspect_file(path: str | os.PathLike[str]) -> Inspection:
    """What a file is and whether it is whole; damage is told, not raised.

    Args:
        path: of a snapshot, a dump or an exported state.
    """
    try:
        data = read_bounded(path)
    except (IntegrityError, OSError) as problem:
        return Inspection("unknown", False, str(problem), {"file": str(path)}, [])
    summary = {"file": str(path), "bytes": str(len(data))}
    kind = "unknown"
    try:
        header = read_header(data)
        kind = header.kind
        summary |= {"compression": header.compression, "body bytes": str(header.body_bytes)}
        summary["checksum"] = checksum_of(data)
        payload = decode(data, kind=kind)
    except IntegrityError as problem:
        return Inspection(kind, False, str(problem), summary, [])
    problem = "" if kind == "dump" else _problem_of(payload)  # a dump may show a state that has gone bad
    return Inspection(kind, not problem, problem, summary | _summary(payload), list(_leaves(payload)))


def _problem_of(payload: dict[str, Any]) -> str:
    """What no predictor could go on with, "" where there is nothing."""
    try:
        check_numbers(payload)
    except IntegrityError as problem:
        return str(problem)
    return ""


def _summary(payload: dict[str, Any]) -> dict[str, str]:
    """The small values of a payload, and what of its configuration is not the default."""
    summary = {
        name: _short(value)
        for name, value in _flat(payload)
        if not isinstance(value, np.ndarray) and name.partition(".")[0] not in _NOT_IN_SUMMARY
    }
    instant = payload.get("timestamp")
    if isinstance(instant, int) and -(2**63) < instant < 2**63:
        summary["timestamp"] = f"{instant} ({np.datetime64(instant, 'ns')} UTC)"
    if isinstance(payload.get("config"), dict):
        try:
            config = config_from(payload)
        except UspnbError as problem:
            summary["config"] = f"cannot be used: {problem}"
        else:
            other = [
                f"{n} = {getattr(config, n)!r}" for n in DEFAULTS if not np.array_equal(getattr(config, n), DEFAULTS[n])
            ]
            summary["config"] = _short(", ".join(other) or "all defaults")
    if payload.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        summary["schema_version"] += f" (this program reads {SCHEMA_VERSION})"
    return summary


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value below the maps of a payload by its path; lists count as values."""
    if not isinstance(value, dict):
        yield name, value
        return
    for key, member in value.items():
        yield from _flat(member, f"{name}{'' if key.startswith('.') or not name else '.'}{key}")


def _short(value: Any) -> str:
    # What a hostile file says must not steer a terminal.
    text = "".join(c if c.isprintable() else "?" for c in str(value)[: _SUMMARY_TEXT + 1])
    return text if len(text) <= _SUMMARY_TEXT else text[:_SUMMARY_TEXT] + "..."


def _leaves(payload: dict[str, Any]) -> Iterator[Leaf]:
    for name, value in _flat(payload):
        if isinstance(value, np.ndarray):
            present = value[~np.isnan(value)] if value.dtype.kind == "f" else value.reshape(-1)
            least = float(present.min()) if present.size else np.nan
            most = float(present.max()) if present.size else np.nan
            yield Leaf(_short(name), value.dtype.name, value.shape, value.nbytes, least, most)
