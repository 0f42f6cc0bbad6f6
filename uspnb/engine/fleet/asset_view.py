"""One asset of a running fleet with the face of a session, so that a live view can be opened on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...array_types import Float, Int
from ...config.schema import PredictorConfig
from ...model.packing import Layout
from ...model.records import OperatingMode
from ..live_status import SessionStatus

if TYPE_CHECKING:
    from .fleet import Fleet


class AssetView:
    """What a live view asks of a session, answered from the fleet's ring; commands act on the whole fleet.

    Args:
        fleet: the engine.
        place: which of its assets.
    """

    live = False
    seekable = False
    marks: tuple[Any, ...] = ()
    revision = 0

    def __init__(self, fleet: Fleet, place: int) -> None:
        self._fleet, self._place = fleet, place
        self.asset = fleet.assets[place]
        self.title = str(self.asset)
        self.units, self.has_times = fleet.units, fleet.has_times

    @property
    def config(self) -> PredictorConfig:
        """Settings of the fleet."""
        return self._fleet.config

    @property
    def layout(self) -> Layout:
        """Layout of the rows that `packed` gives."""
        return self._fleet.record.kept.layout

    @property
    def holder_threshold(self) -> float:
        """Holder exponent below which the breaker may open."""
        return float(self.config.holder_threshold)

    @property
    def confidence_level(self) -> float:
        """Level of the intervals."""
        return float(self.config.confidence_level)

    @property
    def rows_ready(self) -> int:
        """Ticks that can be asked for, but for those that have left the ring."""
        return self._fleet.record.ticks

    @property
    def status(self) -> SessionStatus:
        """Where the asset stands."""
        now, record = self._fleet.status, self._fleet.record
        row, place = record.latest()[self._place], record.kept.place
        known = record.ticks > 0
        degraded = known and bool(row[place["degraded"]])
        emergency = known and bool(row[place["emergency"]])
        health = "emergency" if emergency else "doubtful" if degraded else "ok"
        return SessionStatus(
            phase=now.phase,
            message=now.message,
            ticks=now.ticks,
            total=now.total,
            waiting=now.waiting,
            speed=now.speed,
            rate=now.rate,
            alarms=int(record.scores.alarms[self._place]),
            rejected=int(record.scores.rejected[self._place]),
            mode=OperatingMode.to_string(row[place["operating_mode"]]) if known else "inference",
            degraded=degraded,
            emergency=emergency,
            health="fault" if now.phase == "faulted" else health,
            source=self._fleet.name,
            error=now.error,
        )

    @property
    def events(self) -> list[dict[str, Any]]:
        """Those of the fleet."""
        return self._fleet.events

    def packed(self, first: int, stop: int) -> tuple[int, Float[np.ndarray, "time width"], Int[np.ndarray, "time"]]:
        """Packed rows of the ticks still kept, the tick of the first of them, and their times [ns since 1970 UTC]."""
        first, rows, stamps = self._fleet.record.rows_of(self._place, first, stop)
        return first, self._fleet.record.kept.full_rows(rows), stamps

    def command(self, name: str, value: Any = None) -> None:
        """A command for the whole fleet.

        Raises:
            DomainError: a fleet has no such command.
        """
        self._fleet.command(name, value)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """As the fleet's."""
        return self._fleet.subscribe(callback)

    def alarms(self) -> Any:
        """Alarms of this asset, as `Session.alarms` gives them."""
        every = self._fleet.alarms()
        return every[every["asset"] == self.asset].drop(columns="asset").reset_index(drop=True)
