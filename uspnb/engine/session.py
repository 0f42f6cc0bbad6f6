"""`Session`: one series, alive: run, pause, step, go back, change settings, look on and export."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..array_types import Float
from ..config.schema import PredictorConfig
from ..errors import DomainError
from ..persistence.stores.base import Store
from ..predictor.forecasting import Outlook, crossing_probability, outlook, simulated, to_fan
from ..predictor.functional import FunctionalPredictor
from ..predictor.universal import UniversalPredictor, clock_forgotten
from ..runtime.arguments import check_number, check_speed, check_whole
from ..sinks import TelemetryBuffer
from ..sources import FeedSource, Source, open_source
from .computation import SeriesComputation
from .control import Control
from .outlets import Outlets, dumps_of, names_of_columns
from .recording import LARGEST_RING, SMALLEST_RING, ArchiveFolder, Recording
from .status import Labels
from .timeline import Timeline
from .track import Track, TrackOptions
from .worker import Worker

if TYPE_CHECKING:
    import xarray as xr

LONGEST_SILENCE_S = 1e9


class Session(Control):
    """The engine behind every live view of one series.

    A thread of its own computes; every command returns at once and is obeyed within a batch of ticks.  Close it, use
    it as a context manager, or let go of it: its thread ends then.

    Ticks of a live source are processed at the clock's time, but those measured while the session did not run belong
    to the past and are processed at their own.

    Args:
        source: whatever `uspnb.sources.open_source` opens: an array, a series, a path, an address, an iterator, an
            object of one's own with the methods of a `Source`; left out, ticks come by `feed`.
        config: settings; the default configuration where left out.
        predictor: a `UniversalPredictor` to go on with; it is held until the session is closed, and then has its state.
        speed: ticks per second of a replay, None for as fast as possible; live ticks are taken as they come.
        ring: ticks kept in memory at full resolution; older ones go to the archive.
        archive: folder of the older ticks; a temporary one, removed at the close, where left out.
        name, units: of the series; the source's own where left out.
        autostart: whether to run at once.
        silence_s: seconds without a tick after which a live source is reported silent, None for never.
        source_options: further options of `open_source`.
        telemetry: a buffer that takes the results of every tick, for a `uspnb.sinks.Consumer` to watch or log.
        dumps: whether the state is written to `emergency_dump_path` when the breaker opens.
        snapshots: whether a snapshot is written every `snapshot_interval_steps` ticks and at the close; what is there
            already is taken up.
        store: takes the state at the same ticks, under the name of the series; it is taken from there at the start.

    Raises:
        DomainError: something that no ticks come from, a predictor that another session holds, a number out of range.
    """

    def __init__(
        self,
        source: Any = None,
        config: PredictorConfig | None = None,
        *,
        predictor: Any = None,
        speed: Any = None,
        ring: Any = 20_000,
        archive: Any = None,
        name: str = "",
        units: str = "",
        autostart: bool = False,
        silence_s: Any = 30.0,
        source_options: dict[str, Any] | None = None,
        telemetry: TelemetryBuffer | None = None,
        dumps: bool = False,
        snapshots: bool = False,
        store: Store | None = None,
    ) -> None:
        limit = check_whole("ring", ring, SMALLEST_RING, LARGEST_RING, unit="ticks")
        silence = _checked_silence(silence_s)
        pace = check_speed(speed)
        held = _checked_predictor(predictor, config)
        opened = open_source(source, **(source_options or {}))
        labels = labels_of(opened, name, units)
        self._name, self._units = name, units
        if held is not None:
            _refuse_other_covariates(held.config.covariates, opened)
        settings = FunctionalPredictor(_with_covariates(config, opened)).config if held is None else held.config
        self._covariates = settings.covariates
        state = None
        if held is not None:
            held.hold(f"a session on {labels.name or 'a series without a name'}")
            state = clock_forgotten(held.state) if opened.time_is_grid else held.state
        computation = SeriesComputation(settings, state, shedding=held is None and settings.load_shedding)
        try:
            names = names_of_columns(computation.columns, computation.layout.width)
            folder = ArchiveFolder(archive, tuple(names))
            timeline = Timeline(computation, Recording(limit, computation.shape, folder), correctable=limit)
            options = TrackOptions(
                speed=pace,
                silence_s=silence,
                outlets=Outlets(telemetry, dumps=dumps_of(settings) if dumps else None),
                snapshots=snapshots,
                store=store,
            )
            track = Track(timeline, opened, labels, options=options, ended=partial(_end, held, folder))
            if snapshots or store is not None:
                track.resume()
        except BaseException:
            if held is not None:
                held.let_go()
            raise
        super().__init__(Worker((track,)), noun="session")
        if autostart:
            self.run()

    def feed(self, value: Any, time: Any = None, dispersion_proxy: Any = None) -> None:
        """Hand over one tick; it is processed when the session runs.

        Args:
            value: y [input units]; NaN is a missing value, which the gate flags.
            time: aware datetime, numpy.datetime64 or integer of ns since 1970; the clock's where left out.
            dispersion_proxy: an outside estimate of the next tick's dispersion, above 0.

        Raises:
            DomainError: no real number, no instant, 100,000 ticks are waiting, or the session reads another source.
        """
        self._refuse_closed()
        source = self.source
        if not isinstance(source, FeedSource):
            raise DomainError(
                f"this session reads {source.name or type(source).__name__!r} and cannot be fed; make one with "
                "uspnb.Session() and no source, or attach(None)"
            )
        source.put(value, time, dispersion_proxy)
        self._worker.mailbox.wake()

    def forecast(self, steps: Any = None, *, covariates: Any = None) -> xr.Dataset:
        """The fan of the ticks after the newest one that is done, as of `UniversalPredictor.forecast`.

        Raises:
            DomainError: before the first tick, or beyond the longest horizon.
        """
        found, config = self._outlook(steps, covariates)
        return to_fan(found, config, self._only.labels.units, grid=self._only.labels.grid)

    def simulate(
        self, steps: Any = None, *, paths: Any = 500, seed: Any = 0, covariates: Any = None
    ) -> Float[np.ndarray, "path step"]:
        """Joint paths of those ticks, as of `UniversalPredictor.simulate` [input units]."""
        return simulated(*self._outlook(steps, covariates), paths, seed)

    def probability(
        self, *, above: Any = None, below: Any = None, within: Any, paths: Any = 4000, covariates: Any = None
    ) -> float:
        """Probability that one of them at least is above a value, or below another."""
        return crossing_probability(self.simulate(within, paths=paths, covariates=covariates), above, below)

    def _outlook(self, steps: Any, covariates: Any) -> tuple[Outlook, PredictorConfig]:
        moment = self._moment()
        config = dataclasses.replace(moment.config, log_sig_depth=moment.depth)
        functional = FunctionalPredictor(config)
        rows = moment.checkpoint.handle.rows
        return outlook(config, functional.static, functional.knobs, rows, steps, covariates), config

    def attach(self, source: Any, **options: Any) -> None:
        """Read another source from here on, with the state as it is.

        Raises:
            DomainError: something that no ticks come from, or whose covariates are others than those of the settings.
        """
        self._refuse_closed()
        opened = open_source(source, **options)
        _refuse_other_covariates(self._covariates, opened)
        labels = labels_of(opened, self._name, self._units)
        self._send(lambda track: track.attach(opened, labels))


def _end(predictor: UniversalPredictor | None, folder: ArchiveFolder, track: Track) -> None:
    """What becomes of the predictor and of the archive when a session ends; called by its worker."""
    try:
        if predictor is not None:
            _give_back(predictor, track)
    finally:
        folder.complete(track.timeline.recording, track.about())


def _give_back(predictor: UniversalPredictor, track: Track) -> None:
    timeline = track.timeline
    try:
        while timeline.behind:
            track.recompute()
        computation = timeline.computation
        assert isinstance(computation, SeriesComputation)
        rows, stamps = timeline.recording.read(max(0, timeline.ticks - predictor.history_limit), timeline.ticks)
        predictor.release(computation.functional, computation.state, rows, stamps, grid=track.labels.grid)
    finally:
        predictor.let_go()


def _with_covariates(config: PredictorConfig | None, source: Source) -> PredictorConfig:
    """The configuration with the covariates that a source brings, unless it names its own."""
    names = getattr(source, "covariate_names", ())
    config = PredictorConfig() if config is None else config
    if names and not config.covariates:
        config = dataclasses.replace(config, covariates=names)
    _refuse_other_covariates(config.covariates, source)
    return config


def _refuse_other_covariates(own: tuple[str, ...], source: Source) -> None:
    """One column must not be taken for another; a source without any leaves them unknown."""
    names = getattr(source, "covariate_names", ())
    if names and names != own:
        raise DomainError(
            f"the configuration names the covariates {', '.join(own) or 'none'}, the source has "
            f"{', '.join(names)}; name the same, in the same order"
        )


def labels_of(source: Source, name: str = "", units: str = "") -> Labels:
    """What a source's series is called, unless the user calls it otherwise."""
    return Labels(name or source.name, units or source.units, source.time_is_grid, tuple(source.notes))


def _checked_silence(silence_s: Any) -> float | None:
    if silence_s is None:
        return None
    return check_number(
        "silence_s", silence_s, above=0.0, most=LONGEST_SILENCE_S, unit="seconds", remedy="None is for never"
    )


def _checked_predictor(predictor: Any, config: PredictorConfig | None) -> UniversalPredictor | None:
    if predictor is not None and not isinstance(predictor, UniversalPredictor):
        raise DomainError(f"predictor has type {type(predictor).__name__}, expected UniversalPredictor")
    if predictor is not None and config is not None:
        raise DomainError("the predictor brings its own settings; leave config out, and change them by configure()")
    return predictor
