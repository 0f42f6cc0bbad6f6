"""How far a reader walks: `python benchmarks/walk.py [--json]` traces warm calls through `uspnb/` and `widgets/`.

For each call: the files that it crosses and the Python frames that are entered there, in every thread.

step: one `UniversalPredictor.step`.
tick: a paused session's next tick, from the worker's wake-up to the view's new frame and status; without the command.
trial: `optimize` for one more trial of a campaign, its checkpoint and its result included.
batch: what of that is done again for every batch, from the end of one to the end of the next.
snapshot: one `save_snapshot_nonblocking`, the calling thread and the writer's until the file is there.
"""

from __future__ import annotations

import collections
import json
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from tables import Table, parser

import uspnb
from uspnb.widgets import LiveView

BARS: dict[str, int | None] = {"step": 5, "tick": 15, "trial": 28, "batch": None, "snapshot": 5}
PACKAGE = Path(uspnb.__file__).resolve().parent
WIDGETS = Path(sys.modules["uspnb.widgets"].__file__ or "").resolve().parent
VALUES = np.cumsum(np.random.default_rng(8500).standard_normal(400))
SEQ, LATEST_TICK = 0, 6  # places in the header of a frame
START_NS = 1_771_632_000 * 10**9

Walk = collections.Counter[str]


class Tracer:
    """Counts frames by file while it is `on`; threads that start after it are traced too."""

    def __init__(self) -> None:
        self.on = False
        self.entered: Walk = collections.Counter()
        self.elsewhere_only = False
        self._main = threading.get_ident()
        self._places: dict[str, str | None] = {}
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    def begin(self, *, elsewhere_only: bool = False) -> None:
        """Count from here on, on request in threads other than the main one alone."""
        self.entered, self.elsewhere_only, self.on = collections.Counter(), elsewhere_only, True

    def end(self) -> Walk:
        """Count no more; frames by file."""
        self.on = False
        return self.entered

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        if not self.on or event != "call":
            return
        if self.elsewhere_only and threading.get_ident() == self._main:
            return
        name = frame.f_code.co_filename
        if name not in self._places:
            self._places[name] = place_of(name)
        place = self._places[name]
        if place is not None:
            self.entered[place] += 1


def place_of(name: str) -> str | None:
    """A file of the package, relative to the project; None for any other."""
    path = Path(name).resolve()
    for root, shown in ((WIDGETS, "widgets"), (PACKAGE, "uspnb")):
        if path.is_relative_to(root):
            return f"{shown}/{path.relative_to(root)}"
    return None


def fed(ticks: int) -> uspnb.UniversalPredictor:
    """A predictor that has seen so many ticks."""
    predictor = uspnb.UniversalPredictor(clock=uspnb.replay_clock)
    for k in range(ticks):
        predictor.step(tick(k))
    return predictor


def tick(k: int) -> uspnb.ProcessState:
    """The k-th tick, one a second."""
    return uspnb.ProcessState(float(VALUES[k]), START_NS + k * 10**9)


def trace_step(tracer: Tracer) -> Walk:
    """One step of a predictor."""
    predictor, following = fed(20), tick(20)
    tracer.begin()
    predictor.step(following)
    return tracer.end()


def trace_tick(tracer: Tracer) -> Walk:
    """One tick of a session until its view has it."""
    changed = threading.Event()
    newest: dict[str, bytes] = {}

    def sent(*_: Any, buffers: Any = None, **rest: Any) -> None:
        # A frame goes past the trait, straight to the page.
        if rest.get("data", {}).get("buffer_paths") == [["frame"]]:
            newest["frame"] = bytes(buffers[0])
            changed.set()

    with uspnb.Session(VALUES) as session:
        view = LiveView(session)
        view.comm.send = sent
        view.observe(lambda _: changed.set(), "status")
        view.hello = {"client": "walk"}

        def advance(ticks: int) -> None:
            session.step(1)
            while not (shown(newest) == ticks == view.status.get("ticks") and session.status.at_rest):
                changed.wait(0.5)
                changed.clear()
            view.acknowledged = int(np.frombuffer(newest["frame"])[SEQ])

        for k in range(1, 21):
            advance(k)
        tracer.begin(elsewhere_only=True)
        advance(21)
        walk = tracer.end()
        view.close()
    return walk


def shown(newest: dict[str, bytes]) -> int:
    """Ticks that the newest frame knows of."""
    return int(np.frombuffer(newest["frame"])[LATEST_TICK]) if newest else 0


def trace_trial(tracer: Tracer) -> Walk:
    """`optimize` for one more trial of a campaign that has nine."""
    optimizer, folder = campaign()
    with folder:
        optimizer.optimize(9)
        tracer.begin()
        optimizer.optimize(10)
        return tracer.end()


def trace_batch(tracer: Tracer) -> Walk:
    """What of that is done again for every batch."""
    walks: list[Walk] = []

    def after_batch(status: Any) -> None:
        if status.trials == 7:
            tracer.begin()
        elif status.trials == 8:
            walks.append(tracer.end())

    optimizer, folder = campaign()
    with folder:
        optimizer.optimize(9, after_batch=after_batch)
    return walks[0]


def campaign() -> tuple[uspnb.BayesianMetaOptimizer, tempfile.TemporaryDirectory[str]]:
    """A campaign of batches of one trial, whose tenth writes a checkpoint, and its folder."""
    from uspnb.tuning import WalkForwardObjective

    folder = tempfile.TemporaryDirectory()
    space = {"cusum_k": uspnb.SearchSpace("cusum_k", "float", (0.1, 1.0))}
    meta = uspnb.MetaOptimizationConfig(n_startup_trials=4, batch_size=1, n_folds=2, checkpoint_path=folder.name)
    objective = WalkForwardObjective(VALUES[:300], n_folds=2)
    return uspnb.BayesianMetaOptimizer(space, objective, meta_config=meta, progress=False), folder


def trace_snapshot(tracer: Tracer) -> Walk:
    """One snapshot that nobody waits for."""
    predictor = fed(20)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("first", "second"):
            tracer.begin()
            predictor.save_snapshot_nonblocking(Path(folder) / name).result()
            walk = tracer.end()
    return walk


def main() -> None:
    """Trace every call and print the table and the files."""
    options = parser(__doc__).parse_args()
    tracer = Tracer()
    traced = (trace_step, trace_tick, trace_trial, trace_batch, trace_snapshot)
    walks = {trace.__name__.removeprefix("trace_"): trace(tracer) for trace in traced}
    sys.setprofile(None)
    threading.setprofile(None)
    if options.json:
        print(json.dumps(walks, indent=1))
        return
    rows: list[list[Any]] = [[name, len(walk), BARS[name], walk.total()] for name, walk in walks.items()]
    print(Table("A reader's walk", {"call": "", "files": "d", "bar": "d", "frames": "d"}, rows).markdown())
    for name, walk in walks.items():
        print(f"\n{name}:")
        print("\n".join(f"{count:7d}  {place}" for place, count in walk.most_common()))


if __name__ == "__main__":
    main()
