"""The published status of a session, put together from what the worker knows."""

from __future__ import annotations

from ...model.records import OperatingMode
from ...sources import Source
from .computation import Computation
from .standing import Standing
from .status import SessionStatus


def described(
    made: Computation,
    standing: Standing,
    source: Source,
    base: int,
    speed: float | None,
    rate: float,
    phase: str = "",
    message: str = "",
) -> SessionStatus:
    """The status at this moment.

    Args:
        made: what is computed.
        standing: what was asked for and what is in the way.
        source: where ticks come from.
        base: tick of the session at which the source began.
        speed, rate: set and measured speed [ticks/s].
        phase, message: said instead of what the standing says.
    """
    first = made.last_row is None
    degraded, emergency = (not first and made.value(name) > 0 for name in ("degraded", "emergency"))
    doubts = "emergency" if emergency else "doubtful" if degraded else "ok"
    return SessionStatus(
        phase=phase or standing.phase(made.behind > 0),
        message=message or _told(made, standing),
        ticks=made.ticks,
        total=None if source.length is None else base + source.length,
        waiting=source.waiting,
        speed=speed,
        rate=rate,
        alarms=made.alarm_count,
        rejected=made.rejected_count,
        mode=OperatingMode.NAMES[0 if first else int(made.value("operating_mode"))],
        degraded=degraded,
        emergency=emergency,
        health="fault" if standing.error is not None else doubts,
        source=source.name or type(source).__name__,
        error=standing.error,
        revision=made.recording.revision,
    )


def _told(made: Computation, standing: Standing) -> str:
    if made.behind and not standing.faulted:
        return f"going back to tick {made.ticks}"
    return standing.message if standing.goal is None else f"going on to tick {standing.goal}"
