"""Making the sinks that write files from an order of work, and serving them on a pipe."""

from __future__ import annotations

import contextlib
from typing import Any, BinaryIO

from ..errors import DomainError
from .frames import answer_line, read_frames, read_order
from .json_lines import JsonLinesSink
from .parity import ParityLog
from .sinks import FileSink


def sink_from(order: dict[str, Any]) -> FileSink:
    """The sink of an order (`FileSink.order`).

    Raises:
        DomainError: an unknown kind.
    """
    kind = order["kind"]
    if kind == "json_lines":
        return JsonLinesSink(order["folder"], order["rotate_bytes"], order["retention"], name=order["name"])
    if kind == "parity":
        digits = tuple(order["digits"])
        return ParityLog(order["path"], order["interval"], digits, order["config_hash"], name=order["name"])
    raise DomainError(f"there is no sink of kind {kind!r}")


def serve(source: BinaryIO, answers: BinaryIO) -> None:
    """Write what comes until the pipe ends, answering after each frame."""
    orders, columns = read_order(source)
    sinks = [sink_from(order) for order in orders]
    received = 0
    for records in read_frames(source, columns):
        for sink in sinks:
            sink.write(records)
        received += len(records)
        _answer(answers, received, sinks)
    for sink in sinks:
        sink.close()
    _answer(answers, received, sinks)


def _answer(answers: BinaryIO, received: int, sinks: list[FileSink]) -> None:
    # The other end may be gone before everything is written; then nobody listens, and the writing goes on.
    with contextlib.suppress(BrokenPipeError):
        answers.write(answer_line(received, [sink.status() for sink in sinks]))
        answers.flush()
