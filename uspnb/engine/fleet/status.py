"""What a fleet says about itself."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

EVENTS_KEPT = 1000


def event(kind: str, text: str, tick: int) -> dict[str, Any]:
    """An entry of the event list, with the present time in UTC."""
    return {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "tick": tick, "kind": kind, "text": text}


@dataclasses.dataclass(frozen=True)
class FleetStatus:
    """Where a fleet stands; a new one is published after every tick and every command.

    Attributes:
        phase: "new", "starting", "running", "paused", "finished", "faulted" or "closed".
        message: why it stands so, in a plain sentence; "" where the phase says it all.
        assets: how many.
        workers: processes that compute.
        ticks: ticks done so far.
        total: ticks that the source has in all, None where nobody knows.
        waiting: rows that are here and not yet taken.
        speed: set speed [ticks/s], None for as fast as possible.
        rate: measured speed [ticks/s].
        alarms, rejected, faults: over all assets: alarms, ticks that the gate refused, cells that were no numbers.
        degraded, emergency: how many assets stand so now.
        error: what stopped the fleet, None where nothing did.
    """

    phase: str = "new"
    message: str = ""
    assets: int = 0
    workers: int = 1
    ticks: int = 0
    total: int | None = None
    waiting: int = 0
    speed: float | None = None
    rate: float = 0.0
    alarms: int = 0
    rejected: int = 0
    faults: int = 0
    degraded: int = 0
    emergency: int = 0
    error: str | None = None

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves until somebody asks for it."""
        return self.phase not in ("starting", "running")

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values that JSON can hold."""
        return dataclasses.asdict(self)
