"""`Fleet`: the engine of many series; one thread steps all of them each tick."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...config.schema import PredictorConfig
from ...data.times import timestamp_to_ns
from ...errors import DomainError, shown
from ...sources.items import ArrivalClock
from ..pacing import checked_speed
from .asset_view import AssetView
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
        if not isinstance(ring, int) or isinstance(ring, bool) or ring < 2:
            raise DomainError(f"ring = {ring!r} must be a whole number of at least 2 ticks")
        if workers is not None and (not isinstance(workers, int) or isinstance(workers, bool) or workers < 1):
            raise DomainError(f"workers = {workers!r} must be a whole number of at least 1")
        pace = checked_speed(speed)
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
        if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MOST_STEPS:
            raise DomainError(f"n = {n!r} must be a whole number from 1 to {MOST_STEPS:,}")

        def take() -> None:
            self._steps += n
            self._enter("paused")

        self._ask(take)

    def set_speed(self, speed: Any) -> None:
        """Ticks per second of a replay from now on, None for as fast as it can.

        Raises:
            DomainError: out of range.
        """
        wanted = checked_speed(speed)
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
            self.step(1 if value is None else value)
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
        if not callable(callback):
            raise DomainError(f"callback = {shown(callback)} cannot be called; give a function without arguments")
        return self._publisher.subscribe(callback)

    def table(self) -> pd.DataFrame:
        """One row per asset: value, forecast of the next tick with its interval, weights, mode, alarms, scores."""
        from .tables import fleet_table

        return fleet_table(self)

    def alarms(self) -> pd.DataFrame:
        """The newest 10,000 alarms of all assets: tick, time, asset, chart, onset_tick, observation."""
        from .tables import alarm_table

        return alarm_table(self)

    def window(self, asset: Any) -> xr.Dataset:
        """The ticks of one asset that are still kept, with the names that `backtest` gives them.

        Raises:
            DomainError: there is no such asset.
        """
        from .tables import asset_window

        return asset_window(self, self.place_of(asset))

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
