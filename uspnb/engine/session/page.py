"""How a session shows itself at the end of a notebook cell."""

from __future__ import annotations

from ...runtime.html_tables import pairs_table
from .status import SessionStatus


def session_html(title: str, units: str, status: SessionStatus, code: str) -> str:
    """A small table; it takes its colours from the page, light or dark."""
    of = "" if status.total is None else f" of {status.total:,}"
    rows = {
        "series": title + (f" [{units}]" if units else ""),
        "phase": status.phase + (f": {status.message}" if status.message else ""),
        "ticks": f"{status.ticks:,}{of}, {status.waiting:,} waiting",
        "speed": f"{status.rate:,.0f} ticks/s",
        "alarms": f"{status.alarms:,}; {status.rejected:,} ticks refused",
        "mode": f"{status.mode}, health {status.health}",
        "settings": code,
    }
    return pairs_table("uspnb Session", rows)
