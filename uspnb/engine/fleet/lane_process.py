"""The helper process of a lane, `python -m uspnb.engine.fleet.lane_process ASSETS EVERY`: requests in, replies out."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

import numpy as np

from ...config.load import parse_config
from ...model.state import PredictorState
from ...persistence.stores.state_layout import StateLayout
from ...predictor.functional import FunctionalPredictor
from .lanes import HEADER, Ask, LocalLane


def serve(source: BinaryIO, sink: BinaryIO, assets: int, every: bool) -> None:
    """Do what `ProcessLane` asks for until the source ends; the first request brings the settings."""
    _, length = HEADER.unpack(source.read(HEADER.size))
    config = parse_config(source.read(length).decode())
    lane = LocalLane(config, assets, every)
    packed = StateLayout(FunctionalPredictor(config).init_state(), config)
    kept: dict[int, PredictorState] = {}
    while len(header := source.read(HEADER.size)) == HEADER.size:
        kind, length = HEADER.unpack(header)
        request = source.read(length)
        if kind == Ask.TICKS:
            count = length // (8 * (assets + 2))
            stamps, now = np.frombuffer(request, np.int64, 2 * count).reshape(2, count)
            lane.submit(np.frombuffer(request, offset=16 * count).reshape(count, assets), stamps, now)
            sink.write(np.ascontiguousarray(lane.collect()).tobytes())
        elif kind == Ask.WARM:
            lane.warm()
            sink.write(b"w")
        elif kind == Ask.TAKE:
            lane.take(packed.unpack(np.frombuffer(request, np.uint8).reshape(assets, -1)))
        elif kind == Ask.CONFIGURE:
            lane.configure(parse_config(request.decode()))
        else:
            _serve_kept(lane, packed, sink, kind, HEADER.unpack(request)[0], kept)
        sink.flush()


def _serve_kept(
    lane: LocalLane, packed: StateLayout, sink: BinaryIO, kind: int, number: int, kept: dict[int, PredictorState]
) -> None:
    if kind == Ask.KEEP:
        kept[number] = lane.keep()
    elif kind == Ask.PUT:
        lane.put(kept[number])
    elif kind == Ask.STATES:
        sink.write(packed.pack(lane.states(kept[number])).tobytes())
    elif kind == Ask.DROP:
        kept.pop(number, None)


def main() -> None:
    """Serve on the standard streams; whatever else prints goes to standard error."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        serve(sys.stdin.buffer, sink, int(sys.argv[1]), sys.argv[2] == "1")
    except (BrokenPipeError, KeyboardInterrupt):
        return  # the parent is gone, or ends us together with itself


if __name__ == "__main__":
    main()
