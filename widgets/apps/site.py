"""What all pages of one server share: settings, the source that was named, and the one session of a live source."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn

from uspnb.config.schema import PredictorConfig
from uspnb.engine.session import Session
from uspnb.sources.opening import open_source

MOST_BYTES = 50_000_000


@dataclasses.dataclass
class Site:
    """One server.

    Attributes:
        app: which app `source` is meant for.
        config: settings of every predictor that a page starts.
        config_path: the file that they came from, which the tune app may change; None where there is none.
        source: what the server shows, None for the pages' own choice; anything that `open_source` takes, a
            saved run for `explore`, or a `Session` that runs already.
        source_options: how to open it.
        most_bytes: largest file that a page may be handed.
        warm: set once the programs of a session are compiled.
        shared: the session of a live source, None where every page replays for itself.
        client: of a Dask cluster that computes the fleet, None for this machine.
    """

    app: str = "live"
    config: PredictorConfig = dataclasses.field(default_factory=PredictorConfig)
    source: Any = None
    source_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    most_bytes: int = MOST_BYTES
    warm: threading.Event = dataclasses.field(default_factory=threading.Event)
    config_path: Path | None = None
    shared: Session | None = None
    client: Any = None
    _closing: list[Callable[[], None]] = dataclasses.field(default_factory=list)
    _pages: list[Callable[[Any], None]] = dataclasses.field(default_factory=list)
    _held: dict[str, Any] = dataclasses.field(default_factory=dict)

    def hold(self, name: str, make: Callable[[], Any]) -> Any:
        """What all pages of an app share: made for the first of them, closed with the server."""
        if name not in self._held:
            self._held[name] = shared = make()
            self.on_close(shared.close)
        return self._held[name]

    def on_close(self, act: Callable[[], None]) -> None:
        """Have something done when the server ends; last registered, first done."""
        self._closing.append(act)

    def close(self) -> None:
        """End the pages that are open, then what the server holds."""
        while self._pages:
            self._pages[-1](None)
        while self._closing:
            self._closing.pop()()

    def on_page_end(self, act: Callable[[], None]) -> None:
        """Have something done once, when the page that is being made is left, or when the server ends."""

        def once(session_context: Any) -> None:
            if once in self._pages:
                self._pages.remove(once)
                act()

        self._pages.append(once)
        pn.state.on_session_destroyed(once)

    def start_source(self) -> None:
        """Start the session that all pages share, if the source is one that cannot be replayed.

        Raises:
            DomainError: the source cannot be opened.
        """
        if self.source is None or self.app != "live":
            return
        if isinstance(self.source, Session):
            self.shared = self.source
            return
        source = open_source(self.source, **self.source_options)
        if source.length is not None:
            source.close()
            return
        self.shared = Session(source, self.config, autostart=True)
        self.on_close(self.shared.close)

    def own_session(self, series: Any = None, *, title: str = "", speed: float | None = None) -> Session:
        """A session for one page, which closes it.

        Args:
            series: what to replay; the server's source if it is left out.
            title: what the page calls it.
            speed: ticks a second.
        """
        source = open_source(self.source, **self.source_options) if series is None else open_source(series)
        return Session(source, self.config, speed=speed, name=title, autostart=True)
