"""A frame of ticks on its way to a notebook's front end."""

from __future__ import annotations

from typing import Any


def send_frame(comm: Any, frame: bytes) -> None:
    """Send the value of the trait `frame` past the trait, where there is a front end.

    While another thread holds notifications back, two frames set one after the other would be merged into one.

    Args:
        comm: of the widget, None where it has none.
        frame: as `ViewStream` makes it.
    """
    if comm is not None:
        comm.send(data={"method": "update", "state": {}, "buffer_paths": [["frame"]]}, buffers=[frame])
