"""Snapshots: a state on the disk, bit for bit, verified, written without the compute thread waiting."""

from .codec import decode, encode
from .dumps import EmergencyDumps, dump_of, read_dump
from .files import Found, SnapshotFolder, Written, read_snapshot, write_snapshot
from .inspection import Inspection, inspect_file
from .payload import (
    Assets,
    Progress,
    assets_from,
    config_from,
    fleet_states_from,
    progress_from,
    register_migration,
    snapshot_of,
    state_from,
)
from .writer import SnapshotStatus, SnapshotWriter

__all__ = [
    "Assets",
    "EmergencyDumps",
    "Found",
    "Inspection",
    "Progress",
    "SnapshotFolder",
    "SnapshotStatus",
    "SnapshotWriter",
    "Written",
    "assets_from",
    "config_from",
    "decode",
    "dump_of",
    "encode",
    "fleet_states_from",
    "inspect_file",
    "progress_from",
    "read_dump",
    "read_snapshot",
    "register_migration",
    "snapshot_of",
    "state_from",
    "write_snapshot",
]
