"""What a table of many assets says to its fleet and the other way round, whichever host the table lives in."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from uspnb.engine.fleet import Fleet
from uspnb.engine.fleet.fleet_stream import SPARK_COLUMNS, SPARK_TICKS, SUMMARY_COLUMNS, FleetStream
from uspnb.engine.fleet.record import ALARM_NAMES
from uspnb.errors import DomainError, UspnbError
from uspnb.model.kernels.registry import KERNEL_NAMES

FOLDER = Path(__file__).parent
PARTS = ("live_theme", "nodes", "fleet_data", "fleet_rows", "fleet_view")
STATUS_PERIOD_S = 0.1
HEIGHT = (120, 4000)

Chosen = Callable[[Any], Any]


@cache
def esm() -> str:
    """The front end as one module that imports nothing."""
    return "\n".join((FOLDER / f"{part}.js").read_text(encoding="utf-8") for part in PARTS)


@cache
def css() -> str:
    """Its style sheet."""
    return (FOLDER / "fleet_view.css").read_text(encoding="utf-8")


def meta_of(fleet: Fleet) -> dict[str, Any]:
    """What the front end must know of a fleet beside its ticks, as JSON can hold it."""
    return {
        "assets": [str(asset) for asset in fleet.assets],
        "kernels": list(KERNEL_NAMES),
        "alarm_names": list(ALARM_NAMES),
        "spark_columns": list(SPARK_COLUMNS),
        "summary_columns": list(SUMMARY_COLUMNS),
        "ticks": min(SPARK_TICKS, fleet.record.ring),
        "units": fleet.units,
        "live": fleet.live,
    }


def checked_fleet(fleet: Any, height: Any) -> None:
    """Refuse what no table can be made of.

    Raises:
        DomainError: not a fleet, or a height out of range.
    """
    if not isinstance(fleet, Fleet):
        raise DomainError(f"a fleet view shows a uspnb.Fleet, not a {type(fleet).__name__}; make one: Fleet(table)")
    if not isinstance(height, int) or isinstance(height, bool) or not HEIGHT[0] <= height <= HEIGHT[1]:
        raise DomainError(f"height = {height!r} must be a whole number from {HEIGHT[0]} to {HEIGHT[1]:,} pixels")


class FleetLink:
    """Carries frames and status from a fleet to one widget, and commands back; any thread may call any method.

    Args:
        fleet: what is watched.
        post: sets a trait of the widget by name.
    """

    def __init__(self, fleet: Fleet, post: Callable[[str, Any], None]) -> None:
        self.fleet, self.meta = fleet, meta_of(fleet)
        self._post = post
        self._stream = FleetStream(fleet, lambda frame: post("frame", frame))
        self._chosen: list[Chosen] = []
        self._lock = threading.RLock()
        self._told: dict[str, Any] = {}
        self._told_at = -math.inf
        self._refused = ""
        self._done = 0
        self._closed = False
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def stream(self) -> FleetStream:
        """The frames on their way."""
        return self._stream

    def start(self) -> None:
        """Begin to listen to the fleet."""
        self._unsubscribe = self.fleet.subscribe(self.changed)

    def close(self) -> None:
        """Send no more; the fleet goes on."""
        self._closed = True
        self._unsubscribe()
        self._stream.close()

    def on_chosen(self, hook: Chosen) -> None:
        """Have `hook(asset)` called when a reader opens an asset, `hook(None)` when one is closed by the Escape key."""
        self._chosen.append(hook)

    def changed(self) -> None:
        """The fleet has something new."""
        self._stream.pump()
        self._tell()

    def receive(self, name: str, value: Any) -> None:
        """Take what the front end has set: "acknowledged", "hello", "command" or "chosen"."""
        if self._closed or not value:
            return
        if name == "acknowledged":
            self._stream.acknowledge(int(value))
        elif name == "hello":
            self._done = 0
            self._tell(at_once=True)
            self._stream.hello(value.get("client"))
        elif name == "command":
            self._take_commands(value)
        elif name == "chosen":
            place = int(value.get("place", -1))
            if -1 <= place < len(self.fleet.assets):
                for hook in self._chosen:
                    hook(None if place < 0 else self.fleet.assets[place])

    def _take_commands(self, given: dict[str, Any]) -> None:
        """Carry out what is new among a command and the ones before it: a host may have merged messages."""
        with self._lock:
            new = [one for one in given.get("recent") or [given] if int(one.get("id", 0)) > self._done]
            self._done = max([self._done, *(int(one.get("id", 0)) for one in new)])
        for one in new:
            try:
                self.fleet.command(str(one.get("name", "")), one.get("value"))
                self._refused = ""
            except UspnbError as error:
                self._refused = str(error)
            self._tell(at_once=True)

    def _tell(self, at_once: bool = False) -> None:
        """Post the status where it has changed: a new phase at once, other news at most ten times a second."""
        with self._lock:
            status = self.fleet.status.as_dict()
            status["message"] = self._refused or status["message"]
            now = time.monotonic()
            soon = now - self._told_at < STATUS_PERIOD_S and status["phase"] == self._told.get("phase")
            if self._closed or status == self._told or (soon and not at_once):
                return
            self._told, self._told_at = status, now
        self._post("status", status)
