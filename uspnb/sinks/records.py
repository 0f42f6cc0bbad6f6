"""A telemetry record as it leaves the machine: which fields may, and one line of JSON for each tick.

Neither the signal nor anything in its units is among the fields: a log may be read by people who must not see the
data (seed 004, section 1.2).  Nothing here imports JAX, for the consumer process reads this file.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..errors import IntegrityError
from ..model.fields import logged_fields
from ..runtime.files import parse_json_line, shown

FLAG_FIELDS, COUNT_FIELDS, NUMBER_FIELDS = logged_fields("flag"), logged_fields("count"), logged_fields("number")
RECORD_FIELDS: tuple[str, ...] = (*FLAG_FIELDS, *COUNT_FIELDS, *NUMBER_FIELDS)

_PLAIN: dict[str, type] = {**dict.fromkeys(FLAG_FIELDS, bool), **dict.fromkeys(COUNT_FIELDS, int)}


@dataclasses.dataclass(frozen=True, slots=True)
class Records:
    """Consecutive ticks of one series on the host, as a sink gets them.

    Attributes:
        asset: name of the series.
        first_tick: number of the first of them.
        stamps_ns: timestamps [ns since 1970 UTC].
        rows: packed results.
        columns: where each field stands in a row.
    """

    asset: str
    first_tick: int
    stamps_ns: Int[np.ndarray, "tick"]
    rows: Float[np.ndarray, "tick width"]
    columns: Mapping[str, slice]

    def __len__(self) -> int:
        return len(self.stamps_ns)


def record_lines(records: Records, fields: tuple[str, ...] = RECORD_FIELDS) -> list[bytes]:
    """One line of JSON for each tick: asset, tick, timestamp_ns, then the fields; what is not finite is null."""
    plan = [
        (name, records.columns[name].start, records.columns[name].stop, _PLAIN.get(name, float))
        for name in fields
        if name in records.columns
    ]
    lines = []
    stamps = records.stamps_ns.tolist()
    for i, row in enumerate(records.rows.tolist()):
        record: dict[str, Any] = {"asset": records.asset, "tick": records.first_tick + i, "timestamp_ns": stamps[i]}
        for name, start, stop, plain in plan:
            values = [plain(value) if math.isfinite(value) else None for value in row[start:stop]]
            record[name] = values[0] if stop - start == 1 else values
        lines.append(json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n")
    return lines


def parse_record(line: bytes | str) -> dict[str, Any]:
    """A record from its line.

    Args:
        line: as `record_lines` writes it, with or without the newline.

    Returns:
        name -> bool, int, float, None or a list of them; "asset", "tick" and "timestamp_ns" are always there.

    Raises:
        IntegrityError: the line is none of ours: too long, no JSON, a field or a type that no record has.
    """
    record = parse_json_line(line)
    for name, kind in (("asset", str), ("tick", int), ("timestamp_ns", int)):
        if type(record.get(name)) is not kind:
            raise IntegrityError(f"a telemetry line without {name!r} as {kind.__name__}: {shown(line)}")
    for name, value in record.items():
        if name not in _FIELD_KINDS:
            raise IntegrityError(f"a telemetry line with a field {name[:40]!r} that no record has: {shown(line)}")
        for entry in value if isinstance(value, list) else (value,):
            if entry is not None and type(entry) not in _FIELD_KINDS[name]:
                raise IntegrityError(f"a telemetry line with {name} = {str(entry)[:40]}: {shown(line)}")
    return record


_FIELD_KINDS: dict[str, tuple[type, ...]] = {
    "asset": (str,),
    "tick": (int,),
    "timestamp_ns": (int,),
    **dict.fromkeys(FLAG_FIELDS, (bool,)),
    **dict.fromkeys(COUNT_FIELDS, (int,)),
    **dict.fromkeys(NUMBER_FIELDS, (int, float)),
}
