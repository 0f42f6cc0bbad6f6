"""What a live session costs: `python benchmarks/session.py [--stages throughput long] [--million 1000000]`.

throughput: a replay at full speed through the session, a view attached that acknowledges every frame, against
`backtest` of the same ticks, alternating in one process; the ratio of the medians.
long: one replay of a million ticks with a view attached; memory over the run, and whether the history is whole.

Settings and their defaults:

    --ticks 20_000       of a replay in the throughput stage
    --repeats 5          how often
    --million 1_000_000  ticks of the long stage
    --window 20_000      ticks read back at a time
"""

from __future__ import annotations

import os
import resource
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from tables import parser, show_stages

import uspnb
from uspnb.data import processes
from uspnb.widgets.link import Frames
from uspnb.widgets.live_link import TickFrames

SEED = 8300
MIB = 2**20
COLUMNS = {"stage": "", "what": "", "value": ",.2f", "unit": ""}
Rows = list[list[Any]]


class PromptView:
    """A front end that acknowledges every frame at once, from a thread of its own, and counts what it saw."""

    def __init__(self, session: uspnb.Session) -> None:
        self.next_tick, self.gaps, self.frames = 0, 0, 0
        self._inbox: list[bytes] = []
        self._filled = threading.Condition()
        self._open = True
        self.stream = Frames(TickFrames(session, 10_000).next_frame, self._receive)
        self._unsubscribe = session.subscribe(self.stream.pump)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.stream.hello("benchmark")

    def _receive(self, frame: bytes) -> None:
        with self._filled:
            self._inbox.append(frame)
            self._filled.notify()

    def _read(self) -> None:
        while True:
            with self._filled:
                self._filled.wait_for(lambda: self._inbox or not self._open)
                if not self._inbox:
                    return
                frame = self._inbox.pop(0)
            sequence, reset, first, count = np.frombuffer(frame, "<f8", 4)
            if not reset:
                self.gaps += int(first) - self.next_tick
            self.next_tick = int(first + count)
            self.frames += 1
            self.stream.acknowledge(int(sequence))

    def close(self) -> None:
        """Detach from the session."""
        self._unsubscribe()
        self.stream.close()
        with self._filled:
            self._open = False
            self._filled.notify()
        self._thread.join()


def throughput_stage(options: Any) -> Rows:
    """Microseconds a tick of a replay through the session and of `backtest`, in turn."""
    y = processes.autoregression(options.ticks, SEED).values
    uspnb.backtest(y[:1024], progress=False)
    direct, through = [], []
    for _ in range(options.repeats):
        began = time.perf_counter()
        uspnb.backtest(y, progress=False)
        direct.append((time.perf_counter() - began) / len(y) * 1e6)
        with uspnb.Session(y) as session:
            view = PromptView(session)
            began = time.perf_counter()
            session.run()
            session.wait(until=len(y), timeout=600)
            through.append((time.perf_counter() - began) / len(y) * 1e6)
            view.close()
    ratio = statistics.median(through) / statistics.median(direct)
    return [
        ["throughput", "backtest, a tick", statistics.median(direct), "us"],
        ["throughput", "session with a view, a tick", statistics.median(through), "us"],
        ["throughput", "ratio of the medians", ratio, ""],
    ]


def resident() -> float:
    """Memory of this process now [MiB]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def long_stage(options: Any) -> Rows:
    """Memory and completeness over one long replay."""
    period = processes.autoregression(50_000, SEED + 1).values
    y = np.resize(period, options.million)
    with tempfile.TemporaryDirectory() as folder, uspnb.Session(y, archive=Path(folder) / "spill.zarr") as session:
        view = PromptView(session)
        session.step(5000)
        session.wait(until=5000, timeout=600)
        start, highest = resident(), 0.0
        began = time.perf_counter()
        session.run()
        while session.status.ticks < len(y):
            time.sleep(0.5)
            highest = max(highest, resident())
            if session.status.phase == "faulted":
                raise RuntimeError(session.status.message)
        spent = time.perf_counter() - began
        session.wait(until=len(y), timeout=600)
        view.close()
        equal, read = 0, 0
        for first in range(0, len(y), options.window):
            part = session.history(first, min(first + options.window, len(y)))
            equal += int((part["observation"].values == y[first : first + options.window]).sum())
            read += part.sizes["time"]
            highest = max(highest, resident())
        on_disk = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return [
        ["long", "ticks", float(len(y)), ""],
        ["long", "a tick", spent / (len(y) - 5000) * 1e6, "us"],
        ["long", "memory after 5,000 ticks", start, "MiB"],
        ["long", "highest later, reading the history back included", highest, "MiB"],
        ["long", "growth", highest - start, "MiB"],
        ["long", "ticks that the history gave back", float(read), ""],
        ["long", "of them with the observation that was fed", float(equal), ""],
        ["long", "ticks that the view missed", float(view.gaps), ""],
        ["long", "archive on disk", on_disk / MIB, "MiB"],
        ["long", "highest resident set (getrusage)", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MiB"],
    ]


STAGES = {"throughput": throughput_stage, "long": long_stage}


def main() -> None:
    """Run the stages that were asked for."""
    options = parser(__doc__, STAGES).parse_args()
    show_stages("A live session", COLUMNS, STAGES, options)


if __name__ == "__main__":
    main()
