"""What a table of many assets says to its fleet and the other way round."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from uspnb.engine.fleet import Fleet
from uspnb.engine.fleet.tables import SPARK_COLUMNS, summary_columns
from uspnb.engine.timeline import ALARM_CHARTS
from uspnb.errors import DomainError
from uspnb.runtime.arguments import check_choice, check_whole, read_json_number

from .link import Link, Post
from .live_link import THEMES, shown_kernels

HEIGHT = (120, 4000)
SPARK_TICKS = 100
HEADER_LENGTH = 10

Chosen = Callable[[Any], Any]


def check_fleet(fleet: Any, theme: Any, height: Any) -> None:
    """Refuse what no table can be made of.

    Raises:
        DomainError: not a fleet, an unknown theme, or a height out of range.
    """
    if not isinstance(fleet, Fleet):
        raise DomainError(f"a fleet view shows a uspnb.Fleet, not a {type(fleet).__name__}; make one: Fleet(table)")
    check_choice("theme", theme, THEMES)
    check_whole("height", height, *HEIGHT, unit="pixels")


class FleetLink(Link):
    """Carries frames and status from a fleet to one widget, and commands back.

    A frame is little-endian float64.  Header of 10: number, whether it replaces everything, first tick, ticks, assets,
    time of sending [ms since 1970], ticks done, spark columns, summary columns, 0.  Then one summary per asset, which
    is the present state, and for each tick and asset the spark columns.

    Args:
        fleet: what is watched.
        post: sets a trait of the widget by name.
    """

    inbound: ClassVar[tuple[str, ...]] = (*Link.inbound, "chosen")

    def __init__(self, fleet: Fleet, post: Post) -> None:
        self._ticks = min(SPARK_TICKS, fleet.ring)
        self._next, self._revision = 0, 0
        #: called with the asset that a reader opens, with None when the Escape key closes one
        self.hooks: list[Chosen] = []
        super().__init__(fleet, post, self._next_frame)

    def _next_frame(self, seq: int, reset: bool) -> bytes | None:
        """The ticks since the last frame; the newest sparklines after a cut of the history or a lag beyond them."""
        revision, ready = self.watched.status.revision, self.watched.rows_ready
        reset = reset or revision != self._revision or not 0 <= ready - self._next <= self._ticks
        if ready == self._next and not reset:
            return None
        first = max(0, ready - self._ticks) if reset else self._next
        real, rows = self.watched.columns(SPARK_COLUMNS, first, ready)
        reset = reset or real > first  # the worker has gone round the ring since: what is left is all that there is
        self._revision, self._next = revision, real + len(rows)
        present = self.watched.summaries()
        head = (
            seq, reset, real, len(rows), len(present), time.time() * 1e3, self._next, len(SPARK_COLUMNS),
            present.shape[1], 0.0,
        )  # fmt: skip
        return np.concatenate([head, present.ravel(), rows.ravel()]).astype("<f8").tobytes()

    def read_status(self) -> dict[str, Any]:
        """That of the fleet; why the last command was refused stands in place of its message."""
        status = super().read_status()
        return status | {"message": self.refused or status["message"]}

    def read_meta(self) -> dict[str, Any]:
        """Assets, columns, units, and whether it is live."""
        kernels = self.watched.config.kernels
        return {
            "assets": [str(asset) for asset in self.watched.assets],
            "kernels": shown_kernels(kernels),
            "alarm_names": list(ALARM_CHARTS),
            "spark_columns": list(SPARK_COLUMNS),
            "summary_columns": list(summary_columns(kernels)),
            "ticks": self._ticks,
            "units": self.watched.units,
            "live": self.watched.live,
        }

    def take(self, name: str, value: dict[str, Any]) -> None:
        """The row that a reader has "chosen", by its place, -1 for none."""
        if name != "chosen":
            return super().take(name, value)
        place = check_whole("place", read_json_number(value.get("place")), -1, len(self.watched.assets) - 1)
        for hook in self.hooks:
            hook(None if place < 0 else self.watched.assets[place])


class FleetFace:
    """What the table of a fleet offers beside its traits, in either host."""

    _link: FleetLink
    _set: Post

    @property
    def fleet(self) -> Fleet:
        """What is shown."""
        return self._link.watched

    def on_chosen(self, hook: Chosen) -> None:
        """Have `hook(asset)` called when a reader opens an asset."""
        self._link.hooks.append(hook)

    def mark_open(self, asset: Any = None) -> None:
        """Mark the row of the asset that is open, none where it is left out."""
        self._set("opened", {} if asset is None else {"place": self.fleet.place_of(asset)})
