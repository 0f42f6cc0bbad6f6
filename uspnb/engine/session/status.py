"""What a session says about itself: `SessionStatus`, and the `Mark` that one can go back to."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

from ..live_status import HEALTHS, PHASES, SessionStatus

__all__ = ["HEALTHS", "PHASES", "Mark", "SessionStatus", "now_text"]


def now_text() -> str:
    """The present moment in UTC, to the millisecond, as events and marks carry it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


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
