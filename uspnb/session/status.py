"""What a session says about itself: `SessionStatus`, and the `Mark` that one can go back to."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

PHASES = ("new", "starting", "running", "paused", "finished", "faulted", "closed")
HEALTHS = ("ok", "doubtful", "emergency", "fault")


def now_text() -> str:
    """The present moment in UTC, to the millisecond, as events and marks carry it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


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


@dataclasses.dataclass(frozen=True)
class Mark:
    """A moment of a session that `Session.restore` returns to.

    Attributes:
        label: what it is called.
        tick: ticks that had been processed then.
        time: when it was made (UTC, ISO 8601).
        session, source: numbers of the session and of its source, which it belongs to.
        kept: the state itself.
    """

    label: str
    tick: int
    time: str
    session: int = 0
    source: int = 0
    kept: Any = dataclasses.field(default=None, repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Label, tick and time, as JSON can hold them."""
        return {"label": self.label, "tick": self.tick, "time": self.time}
