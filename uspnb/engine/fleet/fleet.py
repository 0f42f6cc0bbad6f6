"""`Fleet`: many series on one tick axis, one engine."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...array_types import Float
from ...config.schema import PredictorConfig
from ...data.times import timestamp_to_ns
from ...errors import DomainError, shown
from ...model.kernels.registry import COMMON
from ...persistence.stores import Store, open_store
from ...persistence.stores.state_layout import StateLayout
from ...predictor.covariates import refuse_covariates
from ...predictor.functional import FunctionalPredictor
from ...runtime.arguments import check_speed, check_whole
from ...sinks import TelemetryBuffer
from ...sources.items import ArrivalClock
from ..control import Control, named
from ..outlets import Outlets, dumps_of, names_of_columns
from ..recording import ArchiveFolder, Recording
from ..status import Labels
from ..timeline import Checkpoints, Timeline
from ..track import Advance, Track, TrackOptions
from ..worker import Worker
from .cluster import ClusterHosts
from .lanes import FleetComputation
from .rows import FedRows, open_rows, read_row

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from .tables import FleetTally

RING, SMALLEST_RING, LARGEST_RING = 256, 2, 1_000_000
CHECKPOINT_BYTES = 256 << 20
FEWEST_CHECKPOINTS, MOST_CHECKPOINTS, STRIDE = 4, 128, 128


class Fleet(Control):
    """Many series on one tick axis, each with its own state, stepped together by one worker thread.

    A NaN cell is a missing tick of that asset alone, and so is a cell that is no number, which `events` tells.

    Args:
        source: a table (time, asset): array, DataFrame or DataArray, which is replayed; an iterator of rows, or of
            pairs (row, time), where a row is an array, a list or {asset: value}; an object of one's own with the
            methods of `uspnb.sources.Source`, whose values have the shape (tick, asset); nothing for `feed`.
        config: settings of all assets; the default configuration where left out.
        assets: how many, or their names; needed for all but a table.
        times: times of the rows of a table that has none.
        speed: ticks per second of a replay, None for as fast as it can; other rows are taken as they come.
        ring: ticks of every asset that are kept in memory.
        workers: processes that compute; by default one for each core, up to one for every lane of 256 assets, and one
            alone where a kernel of `uspnb.register_kernel` stands in a notebook's cell or a script, which others cannot
            import.
        clock: time of processing [ns since 1970 UTC] of rows that are not of a table; `uspnb.replay_clock` for the
            rows' own times.
        name, units: of the values.
        autostart: whether to run at once.
        archive: folder of the ticks that leave the ring; they are gone where left out.
        telemetry: a buffer that takes the results of every asset at every tick, with all their columns.
        dumps: whether the state of an asset is written to `emergency_dump_path` when its breaker opens.
        snapshots: whether a snapshot of all assets is written every `snapshot_interval_steps` ticks and at the close.
        store: keeps the states of all assets at the same ticks, and gives them at the start; a `Store`, or what
            `uspnb.persistence.stores.open_store` takes.
        client: of a Dask cluster, ``distributed.Client``, whose workers compute in place of this machine's processes;
            what a lost worker computed goes on elsewhere, with the same results.
        shared: whether every asset is offered the others' common movement, by the kernel `common_movement`.  Assets
            know of those in their lane: of all where there are fewer than 200, else of up to 256 that stand together.

    Raises:
        DomainError: a source, numbers, a store or a client that cannot be used, or `workers` beside a client.
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
        archive: Any = None,
        telemetry: TelemetryBuffer | None = None,
        dumps: bool = False,
        snapshots: bool = False,
        store: Store | str | os.PathLike[str] | None = None,
        client: Any = None,
        shared: bool = False,
    ) -> None:
        from .tables import FleetTally

        limit = check_whole("ring", ring, SMALLEST_RING, LARGEST_RING, unit="ticks")
        processes = None if workers is None else check_whole("workers", workers, 1, unit="processes")
        pace = check_speed(speed)
        refuse_covariates(config, "a fleet")
        if shared:
            config = _with_common_movement(PredictorConfig() if config is None else config)
        if client is not None and processes is not None:
            raise DomainError(
                f"workers = {processes} is for this machine's processes, and the client's cluster has workers of its "
                "own; leave one of the two out"
            )
        rows, self.assets = open_rows(source, assets, times)
        self._places = {label: k for k, label in enumerate(self.assets)}
        self._arrival = ArrivalClock()
        labels = Labels(name or rows.name, units or rows.units, rows.time_is_grid, tuple(rows.notes))
        every = telemetry is not None
        hosts = None if client is None else ClusterHosts(client)
        computation = FleetComputation(config, len(self.assets), processes, every, limit, hosts)
        folder = None
        if archive is not None:
            folder = ArchiveFolder(archive, tuple(names_of_columns(computation.columns, computation.shape[1])))
        self._opened = None if store is None or isinstance(store, Store) else open_store(store)
        options = TrackOptions(
            speed=pace,
            outlets=Outlets(telemetry, dumps=dumps_of(computation.config) if dumps else None),
            snapshots=snapshots,
            store=store if isinstance(store, Store) else self._opened,
            clock=clock,
        )
        recording = Recording(limit, computation.shape, folder)
        timeline = Timeline(computation, recording, FleetTally(len(self.assets)), _checkpoints(computation))
        track = Track(
            timeline,
            rows,
            labels,
            assets=self.assets,
            options=options,
            ended=lambda track: folder and folder.complete(recording, track.about()),
        )
        if snapshots or store is not None:
            track.resume()
        super().__init__(Worker((track,), name="uspnb-fleet"), noun="fleet")
        self.observe(_count_wrong_cells)
        if autostart:
            self.run()

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
        self._refuse_closed()
        rows = self._only.source
        if type(rows) is not FedRows:
            raise DomainError("this fleet has a source of its own; feed() is for a fleet made without one")
        values, wrong = read_row(row, self._places)
        rows.put(values, self._arrival() if time is None else timestamp_to_ns(time), wrong)
        return tuple(self.assets[cell.asset] for cell in wrong)

    def close(self) -> None:
        """End the threads and helper processes; what was computed can still be read."""
        super().close()
        if self._opened is not None:
            self._opened.close()

    stop = close

    # readings, from any thread

    @property
    def name(self) -> str:
        """Of the values."""
        return self._only.labels.name

    @property
    def notes(self) -> tuple[str, ...]:
        """Readings of the table that the user should know of."""
        return self._only.labels.notes

    @property
    def ring(self) -> int:
        """Ticks of every asset that are kept in memory."""
        return self._only.timeline.recording.limit

    @property
    def workers(self) -> int:
        """Processes that compute."""
        return self._only.timeline.computation.workers

    @property
    def stored(self) -> int | None:
        """Ticks whose states are in the store for certain, so that a fleet that is killed now loses none of them; None
        without a store."""
        stored = self._only.stored
        return None if stored is None else stored.ticks

    def table(self) -> pd.DataFrame:
        """One row per asset: value, forecast of the next tick with its interval, weights, mode, alarms, scores."""
        from .tables import fleet_table

        rows, tally = self._latest()
        return fleet_table(rows, self._only.timeline.columns, tally, self.assets, self.config.kernels)

    def summaries(self) -> Float[np.ndarray, "asset column"]:
        """The numbers of the present state of every asset, columns as `tables.summary_columns` names them."""
        from .tables import summaries

        rows, tally = self._latest()
        return summaries(rows, self._only.timeline.columns, tally)

    def columns(
        self, names: tuple[str, ...], first: int, stop: int
    ) -> tuple[int, Float[np.ndarray, "time asset column"]]:
        """Scalar columns of every asset over the ticks first..stop that are in memory, and the first of them."""
        place = self._only.timeline.columns
        numbers = np.array([place[name].start for name in names])
        first, rows, _ = self._only.timeline.recording.newest(first, stop, (slice(None), numbers))
        return first, rows

    def window(self, asset: Any) -> xr.Dataset:
        """The ticks of one asset that are still kept, with the names that `backtest` gives them.

        Raises:
            DomainError: there is no such asset.
        """
        place = self.place_of(asset)
        ds = self._dataset(place, place + 1).isel(asset=0, drop=True)
        return ds.assign_attrs(title=str(asset), confidence_level=self.confidence_level)

    def export(self, path: Any) -> Path:
        """Write the kept ticks of all assets: .zarr and .nc as `uspnb.load` reads them; `open(asset).export` writes
        those of one, .html as a report to look at.

        Raises:
            DomainError: another suffix, no folder to write to, nothing processed yet.
        """
        if Path(path).suffix.lower() == ".html":
            raise DomainError("a report shows one series; write that of an asset: fleet.open(asset).export('x.html')")
        if not self.rows_ready:
            raise DomainError("the fleet has processed no tick yet; run() or step() first, then export")
        from ...predictor.results import save

        return save(self._dataset(0, len(self.assets)), path)

    def place_of(self, asset: Any) -> int:
        """Place of an asset among `assets`.

        Raises:
            DomainError: there is no such asset.
        """
        if asset not in self._places:
            raise DomainError(
                f"there is no asset {shown(asset)}; the {len(self.assets)} assets are {named(self.assets)}"
            )
        return self._places[asset]

    def open(self, series: Any) -> Control:
        """One asset with the face of a session, for a live view, its history, its alarms and its report; commands act
        on the whole fleet.

        Raises:
            DomainError: there is no such asset.
        """
        return Control(self._worker, self._only, self.place_of(series), noun="fleet", owner=self)

    def __repr__(self) -> str:
        now = self.status
        return f"Fleet({len(self.assets)} assets, {now.ticks} ticks, {now.phase})"

    def _repr_html_(self) -> str:
        return f"<b>{self!r}</b>" + self.table().head(10).to_html(float_format="{:.4g}".format)

    def _latest(self) -> tuple[Float[np.ndarray, "asset field"] | None, FleetTally]:
        """The last row of every asset and the counts up to there, of one moment where the worker has published one."""
        moment, timeline = self._only.latest, self._only.timeline
        tally: Any = timeline.tally if moment is None else moment.checkpoint.tally
        tick = timeline.ticks if moment is None else moment.checkpoint.tick
        _, rows, _ = timeline.recording.newest(tick - 1, tick)
        return rows[0] if len(rows) else timeline.last_row, tally

    def _dataset(self, first: int, stop: int) -> xr.Dataset:
        """The kept ticks of the assets at places first..stop."""
        from .tables import fleet_dataset

        timeline, labels = self._only.timeline, self._only.labels
        recording = timeline.recording
        begin = recording.oldest
        rows, stamps = recording.read(begin, recording.count, (slice(first, stop),))
        return fleet_dataset(
            begin,
            rows,
            stamps,
            timeline.columns,
            self.assets[first:stop],
            labels.units,
            not labels.grid,
            self.config.kernels,
        )


def _with_common_movement(config: PredictorConfig) -> PredictorConfig:
    return config if COMMON in config.kernels else dataclasses.replace(config, kernels=(*config.kernels, COMMON))


def _checkpoints(computation: FleetComputation) -> Checkpoints:
    """As many as fit into `CHECKPOINT_BYTES`: one holds the states of all assets."""
    functional = FunctionalPredictor(computation.config)
    size = computation.assets * StateLayout(functional.init_state(), functional.config).row_bytes
    return Checkpoints(max(FEWEST_CHECKPOINTS, min(MOST_CHECKPOINTS, CHECKPOINT_BYTES // size)), STRIDE)


def _count_wrong_cells(advance: Advance) -> None:
    track: Any = advance.track
    source = track.source
    for cell in source.wrong_cells() if isinstance(source, FedRows) else ():
        track.timeline.tally.counts["faults"][cell.asset] += 1
        track.tell("cell", f"{track.assets[cell.asset]}: {cell.reason}")
