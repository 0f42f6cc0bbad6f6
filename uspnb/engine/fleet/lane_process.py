"""The helper process of a lane, `python -m uspnb.engine.fleet.lane_process`: ticks in, rows out."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

import numpy as np

from ...config.load import parse_config
from .lanes import HEADER, LocalLane


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Compute ticks until the source ends.

    The first message holds the number of assets and the settings as TOML; every further one two times [ns] and a
    value per asset.  Times of -1 ask for compilation alone.
    """
    assets, length = HEADER.unpack(source.read(HEADER.size))
    config = parse_config(source.read(length).decode())
    lane = LocalLane(config, assets)
    blank = np.full((assets, lane.width), np.nan).tobytes()
    size = HEADER.size + 8 * assets
    while len(message := source.read(size)) == size:
        stamp, now = HEADER.unpack(message[: HEADER.size])
        if stamp == now == -1:
            lane.warm()
            sink.write(blank)
        else:
            lane.submit(np.frombuffer(message, offset=HEADER.size), stamp, now)
            sink.write(np.ascontiguousarray(lane.collect()).tobytes())
        sink.flush()


def main() -> None:
    """Serve on the standard streams; whatever else prints goes to standard error."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        serve(sys.stdin.buffer, sink)
    except (BrokenPipeError, KeyboardInterrupt):
        return  # the parent is gone, or ends us together with itself


if __name__ == "__main__":
    main()
