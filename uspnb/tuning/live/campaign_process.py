"""The helper process, `python -m uspnb.tuning.live.campaign_process`: reads a task, writes a proposal, ends."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import BinaryIO

from ...errors import UspnbError
from .elsewhere import answer_of, error_of, read_task
from .proposing import propose

NICE = 10


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Read a task, work on it, answer."""
    task = read_task(source)
    # The parent never writes again: the end of the pipe is the end of the parent, or of its interest.
    threading.Thread(target=_end_with, args=(source,), daemon=True).start()
    try:
        line = answer_of(propose(task))
    except UspnbError as error:
        line = error_of(error)
    sink.write(line)
    sink.flush()


def _end_with(source: BinaryIO) -> None:
    # Not by the buffered reader, whose lock the interpreter would wait for at its end.
    os.read(source.fileno(), 1)
    os._exit(1)


def main() -> None:
    """Serve on the standard streams; whatever else prints goes to standard error."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if hasattr(os, "nice"):
        os.nice(NICE)
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):  # the parent is gone, or ends us with itself
        serve(sys.stdin.buffer, sink)


if __name__ == "__main__":
    main()
