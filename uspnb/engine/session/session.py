"""`Session`: one series, alive: run, pause, step, go back, change settings, look on and export."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config.schema import PredictorConfig
from ...errors import DomainError
from ...predictor.functional import FunctionalPredictor
from ...predictor.universal import UniversalPredictor, clock_forgotten
from ...sinks import TelemetryBuffer
from ...sources import Source, open_source
from .archive_folder import ArchiveFolder
from .arguments import checked_number, checked_speed, checked_whole
from .computation import Computation
from .durable import Durable
from .engine import Engine
from .history import History
from .page import session_html
from .reasons import PHRASES
from .recording import LARGEST_RING, SMALLEST_RING, Recording
from .settings import Setting, settings_code, settings_of
from .status import SessionStatus
from .steering import CLOSE_S, labels_of
from .view_columns import view_columns

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_alive: weakref.WeakSet[Engine] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Ends all sessions: a thread inside JAX must not outlive the interpreter."""
    engines = list(_alive)
    for engine in engines:
        engine.close()
    for engine in engines:
        engine.join(CLOSE_S)


class Session(Durable):
    """The engine behind every live view of one series.

    A thread of its own computes; every command returns at once and is obeyed within a batch of ticks.  Close it, use
    it as a context manager, or let go of it: its thread ends then.

    Ticks of a live source are processed at the clock's time, but those measured while the session did not run belong
    to the past and are processed at their own.

    Args:
        source: whatever `uspnb.sources.open_source` opens: an array, a series, a path, an address, an iterator; left
            out, ticks come by `feed`.
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
    ) -> None:
        checked_whole("ring", ring, SMALLEST_RING, LARGEST_RING)
        silence = None if silence_s is None else checked_number("silence_s", silence_s, 1e9, ", or None for never")
        pace = checked_speed(speed)
        if predictor is not None and not isinstance(predictor, UniversalPredictor):
            raise DomainError(f"predictor has type {type(predictor).__name__}, expected UniversalPredictor")
        if predictor is not None and config is not None:
            raise DomainError("the predictor brings its own settings; leave config out, and change them by configure()")
        functional = FunctionalPredictor(config) if predictor is None else predictor.functional
        opened = open_source(source, **(source_options or {}))
        labels = labels_of(opened, name, units)
        folder = ArchiveFolder(archive, tuple(row_columns(functional.layout)))
        state = None
        if predictor is not None:
            predictor.hold(f"a session on {labels.name or 'a series without a name'}")
            state = clock_forgotten(predictor.state) if opened.time_is_grid else predictor.state
        recording = Recording(ring, functional.layout.width, folder)
        computation = Computation(functional, state, recording)
        engine = Engine(computation, opened, labels, pace, silence, _Ending(predictor, folder), telemetry)
        super().__init__(engine, functional.config, name, units)
        _alive.add(engine)
        weakref.finalize(self, Engine.close, engine).atexit = False
        if autostart:
            self.run()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def status(self) -> SessionStatus:
        """The last published status; never waits."""
        return self._engine.status

    @property
    def config(self) -> PredictorConfig:
        """The settings, those included that a command on its way brings."""
        return self._config

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Every setting that `configure` takes, with its value, range and meaning."""
        return settings_of(self._config)

    def settings_code(self) -> str:
        """The Python expression that makes the present settings."""
        return settings_code(self._config)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What happened beside the ticks, oldest first: time, tick, kind, text."""
        return self._engine.events.all()

    def alarms(self) -> pd.DataFrame:
        """The newest alarms, oldest first: tick, time, chart, onset_tick, onset_time, observation."""
        return self._engine.computation.alarms.table(self._engine.labels.grid)

    def history(self, start: int | None = None, stop: int | None = None) -> xr.Dataset:
        """Ticks start..stop, all by default, as the Dataset that `backtest` returns; ends as those of a slice.

        The attribute `events` holds the events as JSON, `config` the present settings.

        Raises:
            DomainError: no such ticks; or, after the close, ticks of a temporary archive.
        """
        past = self._past()
        first, last, _ = slice(start, stop).indices(past.ticks)
        return past.window(first, last)

    def export(self, path: Any) -> Path:
        """Write the whole session: .zarr and .nc as `uspnb.load` reads them, .html as a report to look at.

        Raises:
            DomainError: another suffix, no folder to write to, nothing processed yet, or too much for netCDF.
        """
        return self._past().write(path)

    def _past(self) -> History:
        made = self._engine.computation
        return History(made.recording, made.layout, self._config, self._engine.labels, self.events)

    # what views need

    @property
    def rows_ready(self) -> int:
        """Ticks that can be seen."""
        return self._engine.computation.ticks

    @property
    def revision(self) -> int:
        """How often ticks that could be seen were cut away."""
        return self._engine.computation.recording.revision

    def view_rows(self, first: int, stop: int) -> tuple[int, np.ndarray]:
        """The columns `VIEW_COLUMNS` of the ticks first..stop that are still in memory, and the real first."""
        return self._viewed(*self._engine.computation.recording.newest(int(first), int(stop)))

    def past_view_rows(self, first: int, stop: int) -> tuple[int, np.ndarray]:
        """As `view_rows`, but older ticks are read from the archive, the newest 50,000 of those asked for."""
        return self._viewed(*self._engine.computation.recording.seen(int(first), int(stop)))

    def _viewed(self, first: int, rows: np.ndarray, stamps: np.ndarray) -> tuple[int, np.ndarray]:
        engine = self._engine
        return first, view_columns(rows, stamps, first, engine.computation.layout, engine.labels.grid)

    def subscribe(self, callback: Any) -> Callable[[], None]:
        """Have `callback()` called after changes, about 30 times a second, by a thread of the session's own.

        One that raises is dropped, and an event says why.

        Returns:
            A function that ends the subscription.
        """
        if not callable(callback):
            raise DomainError(f"a {type(callback).__name__} cannot be called; subscribe a function without arguments")
        return self._engine.publisher.subscribe(callback)

    @property
    def reasons(self) -> dict[int, str]:
        """Sentences that the codes of the column `reason` pick."""
        return dict(PHRASES)

    @property
    def title(self) -> str:
        """What the series is called."""
        return self._engine.labels.name or "session"

    @property
    def units(self) -> str:
        """Unit of the series, "" if unknown."""
        return self._engine.labels.units

    @property
    def has_times(self) -> bool:
        """Whether the time axis holds times; otherwise it counts ticks."""
        return not self._engine.labels.grid

    @property
    def source(self) -> Source:
        """What ticks are read from."""
        return self._engine.source

    @property
    def live(self) -> bool:
        """Whether ticks come at their own pace, so that a speed means nothing."""
        return bool(self._engine.source.live)

    @property
    def seekable(self) -> bool:
        """Whether one can go to any tick of the source."""
        return self._engine.source.length is not None

    @property
    def holder_threshold(self) -> float:
        """Holder exponent below which the path counts as rough."""
        return float(self._config.holder_threshold)

    @property
    def confidence_level(self) -> float:
        """Nominal coverage of the interval."""
        return float(self._config.confidence_level)

    def __repr__(self) -> str:
        status = self.status
        of = "" if status.total is None else f" of {status.total}"
        return f"Session({self.title!r}, {status.phase}, {status.ticks}{of} ticks)"

    def _repr_html_(self) -> str:
        return session_html(self.title, self.units, self.status, self.settings_code())


class _Ending:
    """What becomes of the predictor and of the archive when a session ends; called by its worker."""

    def __init__(self, predictor: UniversalPredictor | None, folder: ArchiveFolder) -> None:
        self._predictor, self._folder = predictor, folder

    def __call__(self, engine: Engine) -> None:
        try:
            if self._predictor is not None:
                self._give_back(self._predictor, engine)
            if self._folder.kept:
                engine.computation.recording.spill_all()
                self._folder.describe({"events": engine.events.all(), "name": engine.labels.name})
        finally:
            self._folder.close()

    def _give_back(self, predictor: UniversalPredictor, engine: Engine) -> None:
        made = engine.computation
        try:
            while made.behind:
                engine.recompute()
            rows, stamps = made.recording.read(max(0, made.ticks - predictor.history_limit), made.ticks)
            predictor.release(made.settings.current, made.state, rows, stamps, grid=engine.labels.grid)
        finally:
            predictor.let_go()
