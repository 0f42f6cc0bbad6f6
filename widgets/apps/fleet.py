"""The fleet app: a table of many series on one axis of ticks, and any one of them opened beside it."""

from __future__ import annotations

import html
import threading
from typing import TYPE_CHECKING, Any

import panel as pn

from uspnb.config.schema import PredictorConfig
from uspnb.data.times import GRID_NOTE
from uspnb.engine.fleet import Fleet

from ..page_views import FleetPane, LivePane
from .choices import open_fleet
from .page import WIDE, AppPage, page

if TYPE_CHECKING:
    from .site import Site

TABLE_HEIGHT, VIEW_HEIGHT = 616, 640
_NOT_HERE = "A fleet keeps the last ticks only; open the series on the live page for that."
_LEAD = "Many series at once: which are well predicted, which have just changed."
_SIDE_BY_SIDE = """
:host { flex: 1 1 380px !important; min-width: 0 !important; width: auto !important; }
@media (max-width: 1100px) { :host(.opened) { display: none !important; } }
"""
_DETAIL = ":host { flex: 2.1 1 560px !important; min-width: min(100%, 320px) !important; width: auto !important; }"
_BACK = """
.bk-btn.bk-btn-default { font: 14px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  min-height: 32px; padding: 3px 12px; border-radius: 6px; border: 1px solid var(--line) !important;
  background: var(--card) !important;
  color: var(--text) !important; box-shadow: none; }
.bk-btn.bk-btn-default:hover { border-color: var(--accent) !important; }
.bk-btn.bk-btn-default:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; }
"""


class SharedFleet:
    """The one fleet that all pages of a server look at; it rests while nobody looks.

    Args:
        source: see `open_fleet`.
        config: settings of all assets.
        client: see `open_fleet`.
    """

    def __init__(self, source: Any, config: PredictorConfig | None, client: Any = None) -> None:
        self._source, self._config, self._client = source, config, client
        self._lock = threading.Lock()
        self._fleet: Fleet | None = None
        self._about, self._pages, self._resting = "", 0, False

    def enter(self) -> tuple[Fleet, str]:
        """A page has come: the fleet, running unless a reader paused it, and what it is.

        Raises:
            DomainError: the source cannot be opened.
        """
        with self._lock:
            over = self._fleet is not None and self._fleet.status.phase in ("finished", "faulted")
            if over and not isinstance(self._source, Fleet) and not self._pages and self._fleet is not None:
                self._fleet.close()
                self._fleet = None
            if self._fleet is None:
                self._fleet, self._about = open_fleet(self._source, self._config, self._client)
                self._resting = self._fleet.status.phase == "new"
            self._pages += 1
            if self._resting:
                self._fleet.run()
            self._resting = False
            return self._fleet, self._about

    def leave(self) -> None:
        """A page has gone."""
        with self._lock:
            self._pages -= 1
            fleet = self._fleet
            if not self._pages and fleet is not None and not fleet.live and not fleet.status.at_rest:
                fleet.pause()
                self._resting = True

    def close(self) -> None:
        """The server ends; a fleet that was handed over goes on."""
        if self._fleet is not None and self._fleet is not self._source:
            self._fleet.close()


class FleetPage(AppPage):
    """The table of the server's fleet, and the series that a visitor has opened."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        source = site.source if site.app == "fleet" else None
        self._shared: SharedFleet = site.hold("fleet", lambda: SharedFleet(source, site.config, site.client))
        self._entered = False
        self.fleet: Fleet | None = None
        self.table: FleetPane | None = None
        self.back = pn.widgets.Button(name="Back to all series", stylesheets=[_BACK], margin=(0, 0, 8, 0))
        self.back.on_click(lambda _: self.open_asset(None))
        self._table_place = pn.Column(**WIDE, stylesheets=[_SIDE_BY_SIDE], min_height=TABLE_HEIGHT)
        self._detail = pn.Column(**WIDE, stylesheets=[_DETAIL], visible=False)
        self._about = pn.pane.HTML("", **WIDE)
        self._body = pn.FlexBox(self._table_place, self._detail, gap="14px", align_items="flex-start", **WIDE)

    def template(self) -> pn.Template:
        """The page."""
        main = pn.Column(self.notice, self._body, self._about, **WIDE)
        return page("fleet", "Fleet", _LEAD, self.theme, main=main)

    def start(self) -> None:
        """Show the fleet, which runs from now on."""
        if not self._closed and not self._entered:
            self.guard(self._enter)

    def _enter(self) -> None:
        self.fleet, about = self._shared.enter()
        self._entered = True
        self.table = FleetPane(self.fleet, theme=self.theme.value, height=TABLE_HEIGHT - 100)
        self.table.on_chosen(self.open_asset)
        self._table_place.objects = [self.table]
        text = " ".join([about, *(note for note in self.fleet.notes if note != GRID_NOTE)]).strip()
        self._about.object = f'<p style="color:var(--muted);margin:10px 2px 0;max-width:110ch">{html.escape(text)}</p>'

    def open_asset(self, asset: Any) -> None:
        """Show one series beside the table; None closes it."""
        if self.fleet is None or self.table is None:
            return
        if self.view is not None:
            self.view.close()
            self.view = None
        opened = asset is not None
        if opened:
            session: Any = self.fleet.open(asset)
            rows = self.fleet.ring
            self.view = LivePane(session, rows=rows, theme=self.theme.value, height=VIEW_HEIGHT)
            self.view.on_command(lambda name, value=None: _NOT_HERE)
            self._detail.objects = [self.back, self.view]
        else:
            self._detail.objects = []
        self._detail.visible = opened
        self._table_place.css_classes = ["opened"] if opened else []
        self.table.mark_open(asset)

    def close(self) -> None:
        """The visitor has left."""
        super().close()
        for part in (self.view, self.table):
            if part is not None:
                part.close()
        if self._entered:
            self._entered = False
            self._shared.leave()

    def _dress(self) -> None:
        super()._dress()
        if self.table is not None:
            self.table.theme = self.theme.value
