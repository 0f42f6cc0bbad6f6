"""`Fleet`: the engine of many series; one thread steps all of them each tick."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...array_types import Float, Int
from ...config.schema import PredictorConfig
from ...data.times import timestamp_to_ns
from ...errors import DomainError
from ...model.packing import Layout
from ...model.records import OperatingMode
from ...runtime.arguments import check_function, check_speed, check_whole, read_json_number
from ...sources.base import shown
from ...sources.items import ArrivalClock
from ..live_status import SessionStatus
from .rows import FedRows, Row, open_rows, read_row
from .worker import FleetWorker

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

RING = 256
MOST_STEPS = 1_000_000


class Fleet(FleetWorker):
    """Many series on one tick axis, each with its own state, stepped together by one worker thread.

    A NaN cell is a missing tick of that asset alone, and so is a cell that is no number, which `events` tells.

    Args:
        source: a table (time, asset): array, DataFrame or DataArray, which is replayed; an iterator of rows, or of
            pairs (row, time), where a row is an array, a list or {asset: value}; nothing for `feed`.
        config: settings of all assets; the default configuration where left out.
        assets: how many, or their names; needed for an iterator and for `feed`, read off a table.
        times: times of the rows of a table that has none.
        speed: ticks per second of a replay, None for as fast as it can; other rows are taken as they come.
        ring: ticks of every asset that are kept.
        workers: processes that compute; by default one for each core, up to one for every lane of 256 assets.
        clock: time of processing [ns since 1970 UTC] of rows that are not of a table; `uspnb.replay_clock` for the
            rows' own times.
        name, units: of the values.
        autostart: whether to run at once.

    Raises:
        DomainError: a source or numbers that cannot be used.
    """

    def __init__(
        self,
        source: Any = None,
        config: PredictorConfig | None = None,
        *,
        assets: Any = None,
        times: Any = None,
        speed: Any = None,
        ring: Any = RING,
        workers: Any = None,
        clock: Callable[[], int | None] = time.time_ns,
        name: str = "",
        units: str = "",
        autostart: bool = False,
    ) -> None:
        ring = check_whole("ring", ring, 2, unit="ticks")
        workers = None if workers is None else check_whole("workers", workers, 1, unit="processes")
        pace = check_speed(speed)
        opened = open_rows(source, assets, times)
        self.name, self.units = name or opened.name, units or opened.units
        self.has_times, self.notes = opened.has_times, opened.notes
        self._places = {label: k for k, label in enumerate(opened.assets)}
        self._arrival = ArrivalClock()
        super().__init__(opened.rows, opened.assets, config, workers, ring, pace, clock)
        if autostart:
            self.run()

    # commands, from any thread

    def run(self) -> None:
        """Go on from where it stands."""
        self._ask(lambda: self._enter("running"))

    def pause(self) -> None:
        """Stand still after the tick that is being computed."""
        self._ask(lambda: self._enter("paused"))

    def toggle(self) -> None:
        """Run where it stands, pause where it runs."""
        self._ask(lambda: self._enter("paused" if self._phase == "running" else "running"))

    def step(self, n: Any = 1) -> None:
        """Take `n` ticks, then pause.

        Raises:
            DomainError: not a whole number from 1 to 1,000,000.
        """
        count = check_whole("n", n, 1, MOST_STEPS, unit="ticks")

        def take() -> None:
            self._steps += count
            self._enter("paused")

        self._ask(take)

    def set_speed(self, speed: Any) -> None:
        """Ticks per second of a replay from now on, None for as fast as it can.

        Raises:
            DomainError: out of range.
        """
        wanted = check_speed(speed)
        self._ask(lambda: self._pace.rebase(wanted))

    def command(self, name: str, value: Any = None) -> None:
        """A command by name, as front ends send it: run, pause, toggle, step, speed.

        Raises:
            DomainError: there is no such command, or its value is wrong.
        """
        plain: dict[str, Callable[[], None]] = {"run": self.run, "pause": self.pause, "toggle": self.toggle}
        if name in plain:
            plain[name]()
        elif name == "step":
            self.step(1 if value is None else read_json_number(value))
        elif name == "speed":
            self.set_speed(value)
        else:
            raise DomainError(f"a fleet has no command {shown(name)}; it has run, pause, toggle, step and speed")

    def feed(self, row: Any, time: Any = None) -> tuple[Any, ...]:
        """Hand over one tick of all assets; returns at once.

        Args:
            row: {asset: value}, where an asset left out is a missing tick, or one value for each asset.
            time: when it was measured; the clock's time where left out.

        Returns:
            The assets whose value was no number: a missing tick each, told in `events`.

        Raises:
            DomainError: unknown assets, another number of values, no instant, a fleet that does not take `feed`, or one
                whose buffer of 10,000 rows is full.
        """
        if type(self._rows) is not FedRows:
            raise DomainError("this fleet has a source of its own; feed() is for a fleet made without one")
        values, wrong = read_row(row, self._places)
        self._rows.put(Row(values, self._arrival() if time is None else timestamp_to_ns(time), wrong))
        return tuple(self.assets[cell.asset] for cell in wrong)

    stop = FleetWorker.close

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # readings, from any thread

    @property
    def events(self) -> list[dict[str, Any]]:
        """Faults, wrong cells, dropped subscribers: the newest 1000, each with time, tick, kind and text."""
        return list(self._events)

    @property
    def live(self) -> bool:
        """Whether rows come at their own pace."""
        return self._rows.live

    def subscribe(self, callback: Any) -> Callable[[], None]:
        """Have `callback()` called from one publisher thread, at about 30 Hz while something changes.

        Returns:
            What ends the subscription.

        Raises:
            DomainError: it cannot be called.
        """
        return self._publisher.subscribe(check_function("callback", callback, "give a function without arguments"))

    def table(self) -> pd.DataFrame:
        """One row per asset: value, forecast of the next tick with its interval, weights, mode, alarms, scores."""
        from .tables import fleet_table

        return fleet_table(self.record, self.assets)

    def alarms(self) -> pd.DataFrame:
        """The newest 10,000 alarms of all assets: tick, time, asset, chart, onset_tick, observation."""
        from .tables import alarm_table

        return alarm_table(self.record, self.assets, self.has_times)

    def window(self, asset: Any) -> xr.Dataset:
        """The ticks of one asset that are still kept, with the names that `backtest` gives them.

        Raises:
            DomainError: there is no such asset.
        """
        from .tables import asset_window

        place = self.place_of(asset)
        attributes = {"title": str(self.assets[place]), "confidence_level": float(self.config.confidence_level)}
        return asset_window(self.record, place, self.units, self.has_times, attributes)

    def open(self, asset: Any) -> AssetView:
        """One asset with the face of a session, for a live view.

        Raises:
            DomainError: there is no such asset.
        """
        return AssetView(self, self.place_of(asset))

    def place_of(self, asset: Any) -> int:
        """Place of an asset among `assets`.

        Raises:
            DomainError: there is no such asset.
        """
        if asset not in self._places:
            named = ", ".join(map(str, self.assets[:5])) + (", ..." if len(self.assets) > 5 else "")
            raise DomainError(f"there is no asset {shown(asset)}; the {len(self.assets)} assets are {named}")
        return self._places[asset]

    def __repr__(self) -> str:
        now = self._status
        return f"Fleet({len(self.assets)} assets, {now.ticks} ticks, {now.phase})"

    def _repr_html_(self) -> str:
        return f"<b>{self!r}</b>" + self.table().head(10).to_html(float_format="{:.4g}".format)


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
            mode=OperatingMode.to_string(row[place["mode"]]) if known else "inference",
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
