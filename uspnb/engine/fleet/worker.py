"""The thread of a fleet: takes commands and rows, steps all assets, publishes where it stands."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from ...config.schema import PredictorConfig
from ...errors import DomainError, shown
from ...predictor.functional import FunctionalPredictor
from ...runtime.publishing import Publisher
from ..pacing import Pace, Rate
from .lanes import Lane, LaneFault, default_workers, kept_columns, open_lanes
from .record import FleetRecord
from .rows import Row, RowFault, Rows, TableRows
from .status import EVENTS_KEPT, FleetStatus, event

JOIN_S = 30.0


class FleetWorker:
    """One thread that owns the states of all assets and whatever changes with a tick; `Fleet` is its face.

    Args:
        rows: where ticks come from.
        assets: labels of the assets.
        config: settings of all of them.
        workers: processes that compute, None for as many as are worth it.
        ring: ticks of every asset that are kept.
        speed: ticks per second of a replay, None for as fast as it can.
        clock: time of processing [ns since 1970 UTC]; None from it is the row's own time.
    """

    def __init__(
        self,
        rows: Rows,
        assets: tuple[Any, ...],
        config: PredictorConfig | None,
        workers: int | None,
        ring: int,
        speed: float | None,
        clock: Callable[[], int | None],
    ) -> None:
        predictor = FunctionalPredictor(config)
        self.config, self.assets = predictor.config, assets
        self.workers = default_workers(len(assets)) if workers is None else workers
        self.record = FleetRecord(kept_columns(predictor.layout), len(assets), ring)
        self._rows, self._clock, self._since = rows, clock, 0
        self._pace, self._rate = Pace(speed), Rate()
        self._lanes: list[tuple[slice, Lane]] | None = None
        self._phase, self._message, self._error, self._steps, self._closing = "new", "", None, 0, False
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self._commands: deque[Callable[[], None]] = deque()
        self._woken, self._moved = threading.Event(), threading.Condition()
        self._publisher = Publisher(lambda text: self._tell("subscriber", text), "uspnb-fleet-publisher")
        self._thread = threading.Thread(target=self._work, name="uspnb-fleet", daemon=True)
        self._status = FleetStatus()
        self._publish()

    @property
    def status(self) -> FleetStatus:
        """The last one published."""
        return self._status

    def wait(self, until: int | None = None, timeout: float = 60.0, phase: str | None = None) -> FleetStatus:
        """Wait until so many ticks are done, a phase is reached, or else until it stands still; a fault ends any wait.

        Raises:
            TimeoutError: it took longer than `timeout` seconds.
        """

        def reached() -> bool:
            now = self._status
            ended = now.phase in ("finished", "faulted", "closed")
            if phase is not None:
                return now.phase == phase or now.phase in ("faulted", "closed")
            if until is not None:
                return now.ticks >= until or ended
            return now.at_rest and not self._steps and not self._commands

        with self._moved:
            if not self._moved.wait_for(reached, timeout):
                raise TimeoutError(f"after {timeout:g} s the fleet is {self._status.phase}, {self._status.ticks} ticks")
        return self._status

    def close(self) -> None:
        """End all threads and helper processes; what was computed stays readable."""
        self._closing = True
        self._rows.close()
        self._woken.set()
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            self._thread.join(timeout=JOIN_S)
        self._phase = "closed"
        self._publish()
        self._publisher.close()
        self._publisher.join(JOIN_S)

    def _ask(self, command: Callable[[], None]) -> None:
        if self._closing:
            raise DomainError("the fleet is closed; make a new one")
        self._commands.append(command)
        with self._moved:
            if self._thread.ident is None:
                self._thread.start()
        self._woken.set()

    def _enter(self, phase: str) -> None:
        if self._phase in ("finished", "faulted"):
            return
        self._phase, self._message = phase, ""
        if phase == "running":
            self._steps = 0
            self._pace.rebase(self._pace.speed)
        self._since = self._clock() or 0
        self._rate.clear()

    def _work(self) -> None:
        try:
            self._rows.start(self._woken.set)
            while not self._closing:
                self._woken.clear()
                while self._commands:
                    self._commands[0]()
                    self._publish()
                    with self._moved:  # only now: who waits for the command must not see the state before it
                        self._commands.popleft()
                        self._moved.notify_all()
                wait = self._advance()
                if wait is None or wait > 0.0:
                    self._woken.wait(wait)
        except LaneFault as error:
            self._fault(str(error))
        except Exception as error:  # nobody else would hear of it: a thread that ends must say why
            self._fault(f"{type(error).__name__}: {shown(str(error))}")
        finally:
            for _, lane in self._lanes or ():
                lane.close()

    def _advance(self) -> float | None:
        """Take the next tick, if it is due; seconds to wait for the next, None until something comes."""
        if self._closing or (self._phase != "running" and not self._steps):
            return None
        if self._lanes is None:
            self._start_lanes()
            return 0.0
        paced = not self._steps and not self._rows.live
        if paced and not self._pace.due(1):
            return self._pace.wait_s()
        row = self._rows.take()
        if row is None:
            if self._rows.exhausted:
                self._phase, self._message, self._steps = "finished", "", 0
                self._publish()
            return None
        if isinstance(row, RowFault):
            self._stumble(row)
            return 0.0
        self._compute(row)
        if paced:
            self._pace.did(1)
        self._steps = max(self._steps - 1, 0)
        self._rate.did(self.record.ticks)
        if self._rows.exhausted:
            self._phase, self._steps = "finished", 0
        self._publish()
        return 0.0

    def _start_lanes(self) -> None:
        asked, self._phase, self._message = self._phase, "starting", "compiling the program of this many assets"
        self._publish()
        self._lanes = open_lanes(self.config, len(self.assets), self.workers)
        for _, lane in self._lanes:  # one after the other: the second finds the first one's program on disk
            lane.warm()
        self._phase, self._message, self._since = asked, "", self._clock() or 0
        self._pace.rebase(self._pace.speed)
        self._publish()

    def _now(self, stamp_ns: int) -> int:
        """Time at which a row is processed: its own where it belongs to the past or waited while the fleet rested."""
        now = None if isinstance(self._rows, TableRows) else self._clock()
        return stamp_ns if now is None or stamp_ns < self._since else now

    def _compute(self, row: Row) -> None:
        lanes = self._lanes or []
        width = lanes[-1][0].stop
        values = np.concatenate([row.values, np.full(width - len(row.values), np.nan)])
        now = self._now(row.stamp_ns)
        for part, lane in lanes:
            lane.submit(values[part], row.stamp_ns, now)
        rows = np.concatenate([lane.collect() for _, lane in lanes])[: len(row.values)]
        for cell in row.wrong:
            self.record.scores.faults[cell.asset] += 1
            self._tell("cell", f"{self.assets[cell.asset]}: {cell.reason}")
        self.record.append(rows, row.stamp_ns)

    def _stumble(self, fault: RowFault) -> None:
        self._tell("row", fault.reason)
        self._steps, self._message, self._error = 0, fault.reason, fault.reason
        self._phase = "paused" if fault.can_continue else "faulted"
        self._publish()

    def _fault(self, text: str) -> None:
        self._tell("fault", text)
        self._phase, self._message, self._error, self._steps = "faulted", text, text, 0
        self._publish()

    def _tell(self, kind: str, text: str) -> None:
        self._events.append(event(kind, text, self.record.ticks))

    def _publish(self) -> None:
        scores, place, latest = self.record.scores, self.record.kept.place, self.record.latest()
        with self._moved:
            self._status = FleetStatus(
                phase=self._phase,
                message=self._message,
                assets=len(self.assets),
                workers=self.workers,
                ticks=self.record.ticks,
                total=self._rows.length,
                waiting=self._rows.waiting,
                speed=self._pace.speed,
                rate=self._rate.value,
                alarms=int(scores.alarms.sum()),
                rejected=int(scores.rejected.sum()),
                faults=int(scores.faults.sum()),
                degraded=int((latest[:, place["degraded"]] > 0).sum()),
                emergency=int((latest[:, place["emergency"]] > 0).sum()),
                error=self._error,
            )
            self._moved.notify_all()
        self._publisher.changed()
