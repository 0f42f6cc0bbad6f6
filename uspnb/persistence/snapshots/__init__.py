"""Snapshots: a state on the disk, bit for bit, verified, written without the compute thread waiting."""

from .codec import decode, encode
from .dumps import EmergencyDumps, dump_of, read_dump
from .files import (
    Found,
    SnapshotFolder,
    SnapshotKeeper,
    SnapshotStatus,
    SnapshotWriter,
    Where,
    Written,
    read_snapshot,
    series_folder,
    write_snapshot,
)
from .loading import Inspection, Loaded, inspect_file, load_state
from .payload import (
    Assets,
    Payload,
    Progress,
    assets_from,
    config_from,
    fleet_states_from,
    progress_from,
    register_migration,
    snapshot_of,
    state_from,
    states_from,
)

__all__ = [
    "Assets",
    "EmergencyDumps",
    "Found",
    "Inspection",
    "Loaded",
    "Payload",
    "Progress",
    "SnapshotFolder",
    "SnapshotKeeper",
    "SnapshotStatus",
    "SnapshotWriter",
    "Where",
    "Written",
    "assets_from",
    "config_from",
    "decode",
    "dump_of",
    "encode",
    "fleet_states_from",
    "inspect_file",
    "load_state",
    "progress_from",
    "read_dump",
    "read_snapshot",
    "register_migration",
    "series_folder",
    "snapshot_of",
    "state_from",
    "states_from",
    "write_snapshot",
]
