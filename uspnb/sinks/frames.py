"""How records cross the pipe to the consumer process, and how it answers.

To the process: a length and the order of work as JSON, then a frame for each `Records`.  From it: after each frame a
line of JSON with the records it has dealt with so far and the status of each sink.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from .records import Records
from .sinks import SinkStatus

_LENGTH = struct.Struct("<q")
_HEADER = struct.Struct("<qqqq")  # bytes of the name, first tick, records, width


class Answer(NamedTuple):
    """What the process says.

    Attributes:
        received: records that it has dealt with since it started.
        sinks: status of each sink, in the order of work.
    """

    received: int
    sinks: tuple[SinkStatus, ...]


def write_order(stream: BinaryIO, sinks: list[dict[str, object]], columns: Mapping[str, slice]) -> None:
    """Say which sinks to make, and where fields stand in the rows that will come."""
    places = {name: [place.start, place.stop] for name, place in columns.items()}
    text = json.dumps({"sinks": sinks, "columns": places}).encode()
    stream.write(_LENGTH.pack(len(text)) + text)
    stream.flush()


def read_order(stream: BinaryIO) -> tuple[list[dict[str, Any]], dict[str, slice]]:
    """The sinks to make, and the columns."""
    (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
    told = json.loads(stream.read(length))
    return told["sinks"], {name: slice(*place) for name, place in told["columns"].items()}


def write_frame(stream: BinaryIO, records: Records) -> None:
    """Send records; waits while the pipe is full."""
    name = records.asset.encode()
    header = _HEADER.pack(len(name), records.first_tick, len(records), records.rows.shape[1])
    stamps = np.ascontiguousarray(records.stamps_ns, "<i8").tobytes()
    stream.write(header + name + stamps + np.ascontiguousarray(records.rows, "<f8").tobytes())
    stream.flush()


def read_frames(stream: BinaryIO, columns: Mapping[str, slice]) -> Iterator[Records]:
    """Records until the pipe ends, in the middle of a frame or after one."""
    while len(header := stream.read(_HEADER.size)) == _HEADER.size:
        named, first, count, width = _HEADER.unpack(header)
        size = named + 8 * count * (1 + width)
        body = stream.read(size)
        if len(body) < size:
            return
        stamps = np.frombuffer(body, "<i8", count, named)
        rows = np.frombuffer(body, "<f8", count * width, named + 8 * count).reshape(count, width)
        yield Records(body[:named].decode(), first, stamps, rows, columns)


def answer_line(received: int, sinks: list[SinkStatus]) -> bytes:
    """What the process says, as a line."""
    return json.dumps([received, [list(status) for status in sinks]]).encode() + b"\n"


def parse_answer(line: bytes) -> Answer:
    """What the process said."""
    received, sinks = json.loads(line)
    return Answer(received, tuple(SinkStatus(*status) for status in sinks))
