"""Where a live series stands: what the engines of one series and of many tell the views."""

from __future__ import annotations

import dataclasses
from typing import Any

PHASES = ("new", "starting", "running", "paused", "finished", "faulted", "closed")
HEALTHS = ("ok", "doubtful", "emergency", "fault")


@dataclasses.dataclass(frozen=True)
class SessionStatus:
    """Where a session stands; a new one is published after every batch of ticks and every command.

    Attributes:
        phase: one of `PHASES`.
        message: why it stands so, in a plain sentence; "" where the phase says it all.
        ticks: ticks processed so far, which is the index of the next one.
        total: ticks that the source has in all, None where nobody knows.
        waiting: ticks that the source has read and the session has not yet taken.
        speed: set speed [ticks/s], None for as fast as possible.
        rate: measured speed [ticks/s] over about the last second.
        alarms, rejected: how many ticks raised an alarm, how many the gate refused.
        mode: name of the operating mode of the last tick.
        degraded, emergency: flags of the last tick.
        health: "ok", "doubtful" (degraded), "emergency", or "fault" (the session cannot go on by itself).
        source: what the source calls itself.
        error: what stopped the session, None where nothing did.
        revision: how often history has been cut back; rows read under another revision may have been replaced.
    """

    phase: str = "new"
    message: str = ""
    ticks: int = 0
    total: int | None = None
    waiting: int = 0
    speed: float | None = None
    rate: float = 0.0
    alarms: int = 0
    rejected: int = 0
    mode: str = "inference"
    degraded: bool = False
    emergency: bool = False
    health: str = "ok"
    source: str = ""
    error: str | None = None
    revision: int = 0

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves until somebody or something asks for it."""
        return self.phase not in ("starting", "running")

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values that JSON can hold."""
        return dataclasses.asdict(self)
