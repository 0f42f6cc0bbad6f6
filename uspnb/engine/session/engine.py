"""What the commands of a session do, in the worker thread that obeys them."""

from __future__ import annotations

import dataclasses
from typing import Any

from ...config.schema import PredictorConfig
from ...predictor.functional import FunctionalPredictor
from ...predictor.snapshot_keeper import Loaded
from ...predictor.universal import clock_forgotten
from ...sources import Source
from .checkpoints import Checkpoint
from .history import Labels
from .status import Mark
from .worker import Worker


class Engine(Worker):
    """A worker that obeys; the methods are put into its mailbox and called by its thread only."""

    def on_run(self) -> None:
        if not self._standing.active or self._standing.silent:
            self._begin()
        self._standing.ask(playing=True)

    def on_step(self, count: int) -> None:
        self._standing.ask(steps=count)
        self._begin()

    def on_pause(self) -> None:
        self._standing.begun = True
        self._standing.stand_still()
        if not self._standing.faulted and not self._standing.finished:
            self._standing.clear()

    def on_toggle(self) -> None:
        if self._standing.active and not self._standing.silent:
            self.on_pause()
        else:
            self.on_run()

    def on_speed(self, speed: float | None) -> None:
        self._pace.rebase(speed)

    def on_seek(self, tick: int) -> None:
        done = self.computation.ticks
        if tick > done:
            self._standing.ask(goal=tick)
            self._begin()
            return
        if tick < done:
            self.computation.cut_to(tick)
            self.events.add(tick, "seek", f"went back from tick {done} to tick {tick}")
        self._moved()

    def on_restore(self, mark: Mark) -> None:
        done = self.computation.ticks
        if mark.tick <= done:
            self.computation.restore(mark.kept)
            self.events.add(mark.tick, "restore", f"went from tick {done} to mark {mark.label!r} at tick {mark.tick}")
            self._moved()
        elif self.source.length is not None:
            self.on_seek(mark.tick)
        else:
            told = f"mark {mark.label!r} at tick {mark.tick} lies beyond the end of history, which was cut; it is gone"
            self._standing.message = told
            self.events.add(done, "restore", told)

    def on_load(self, loaded: Loaded) -> None:
        while self.computation.behind:
            self.recompute()
        done, ticks = self.computation.ticks, loaded.progress.ticks
        where = f"the snapshot {loaded.path.name} of {loaded.progress.source or 'a series without a name'}"
        if not self._continues(loaded):
            told = f"{where} was not taken: its last tick has another time than tick {ticks} of this source"
            self._standing.message = told
            self.events.add(done, "restore", told)
            return
        place, replayed = ticks + self.base, self.source.length is not None
        if replayed and 0 <= place <= done:
            counts = (int(loaded.progress.extra.get(name, 0)) for name in ("alarms", "rejected"))
            self.computation.restore(Checkpoint(place, loaded.state, *counts))
        else:
            self.computation.restart_here(loaded.state)
            self.base = done - ticks if replayed else self.base
        self.events.add(self.computation.ticks, "restore", f"goes on from {where}, taken after {ticks} ticks")
        self._moved()

    def _continues(self, loaded: Loaded) -> bool:
        """Whether a replayed source has the snapshot's last tick where the snapshot says."""
        ticks = loaded.progress.ticks
        if self.source.length is None or ticks == 0:
            return True
        self.source.seek(ticks - 1)
        last = self.source.take(1)
        self.source.seek(self.computation.ticks - self.base)
        self._held = None
        return len(last) == 1 and int(last.stamps_ns[0]) == loaded.progress.last_timestamp_ns

    def on_configure(self, config: PredictorConfig, changes: dict[str, Any]) -> None:
        self.computation.configure(FunctionalPredictor(config))
        told = ", ".join(f"{name} = {value!r}" for name, value in changes.items())
        self.events.add(self.computation.ticks, "settings", told)

    def on_attach(self, source: Source, labels: Labels) -> None:
        while self.computation.behind:
            self.recompute()
        old, self.source = self.source, source
        old.close()
        # Once ticks were counted, their times and those of other sources have no common axis.
        counted = self.labels.grid and self.computation.ticks > 0
        self.labels = dataclasses.replace(labels, grid=labels.grid or counted)
        self.base, self.source_number = self.computation.ticks, self.source_number + 1
        if self._prepared:
            state = self.computation.state
            forget = old.time_is_grid or source.time_is_grid
            self.computation.restart_here(clock_forgotten(state) if forget else state)
        self._standing.finished = self._started = False
        self._standing.clear()
        self._begin()
        self.events.add(self.base, "source", f"reads from {source.name or type(source).__name__} from here on")

    def _moved(self) -> None:
        """The record ends elsewhere now: the source goes there too, and whatever was in the way is over."""
        if self.source.length is not None:
            self.source.seek(self.computation.ticks - self.base)
            self._held = None
        self._standing.begun, self._standing.finished = True, False
        self._standing.goal, self._standing.steps = None, 0
        self._standing.clear()
        self._begin()
