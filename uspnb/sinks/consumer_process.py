"""The process in which the file sinks of a `Consumer` live: reads frames, writes files, ends with its pipe.

It is started as a script, `python -P consumer_process.py`, and not with `-m`: importing the package would import JAX,
whose four seconds and hundreds of megabytes nothing here needs.  So it puts empty packages in the place of `uspnb`,
`uspnb.sinks`, `uspnb.runtime` and `uspnb.model`, from which the modules named below, and they alone, are imported.
"""

from __future__ import annotations

import os
import signal
import sys
import types
from pathlib import Path


def name_packages() -> None:
    """Make the packages known without running them."""
    here = Path(__file__).resolve().parent
    for name in ("uspnb", "uspnb.sinks", "uspnb.runtime", "uspnb.model"):
        package = types.ModuleType(name)
        package.__path__ = [str(here.parent.parent / name.replace(".", "/"))]
        sys.modules[name] = package


def main() -> None:
    """Serve on the standard streams; whatever else prints goes to standard error."""
    # The service that started this decides when it ends, by closing the pipe; a Ctrl-C or a stop of the whole unit
    # reaches both, and what the service still sends must reach the disk.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    name_packages()
    from uspnb.sinks.file_sinks import serve

    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
