"""`FleetPane`: the table of a fleet on a served page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import param
from panel.custom import AnyWidgetComponent

from uspnb.engine.fleet import Fleet

from .fleet_link import Chosen, FleetLink, checked_fleet
from .live_esm import bundle, style
from .page_thread import on_page

if TYPE_CHECKING:
    from bokeh.document import Document


class FleetPane(AnyWidgetComponent):
    """A row for each asset: the last ticks with their intervals, forecast, weights, mode, alarms, scores.

    Rows exist in the browser only where they can be seen, so that thousands of assets cost no more than twenty.

    Args:
        fleet: a `uspnb.Fleet`.
        theme: "auto" follows the page; "light" or "dark".
        height: of the rows in sight [px].

    Raises:
        DomainError: not a fleet, or a height out of range.
    """

    frame = param.Bytes(default=b"")
    status = param.Dict(default={})
    meta = param.Dict(default={})
    opened = param.Dict(default={})
    acknowledged = param.Integer(default=0)
    hello = param.Dict(default={})
    command = param.Dict(default={})
    chosen = param.Dict(default={})
    theme = param.Selector(default="auto", objects=["auto", "light", "dark"])
    table_height = param.Integer(default=560)

    _esm = bundle("fleet")
    _stylesheets = [style("fleet_view")]  # noqa: RUF012  Panel reads it as it stands
    _debounce = 0
    _busy__ignore = ["acknowledged", "hello", "command", "chosen"]  # noqa: RUF012  as above

    def __init__(self, fleet: Fleet, theme: str = "auto", height: int = 560, **rest: Any) -> None:
        checked_fleet(fleet, height)
        self._link = FleetLink(fleet, self._set)
        self._shown_in: list[Document] = []
        rest = {"sizing_mode": "stretch_width"} | rest
        super().__init__(meta=self._link.meta, theme=theme, table_height=height, **rest)
        self.param.watch(self._heard, ["acknowledged", "hello", "command", "chosen"])
        self._link.start()

    @property
    def fleet(self) -> Fleet:
        """What is shown."""
        return self._link.fleet

    def on_chosen(self, hook: Chosen) -> None:
        """Have `hook(asset)` called when a reader opens an asset."""
        self._link.on_chosen(hook)

    def mark_open(self, asset: Any = None) -> None:
        """Mark the row of the asset that is open, none where it is left out."""
        self.opened = {} if asset is None else {"place": self.fleet.place_of(asset)}

    def close(self) -> None:
        """Send no more; the fleet goes on."""
        self._link.close()

    def _get_model(self, doc: Document, root: Any = None, parent: Any = None, comm: Any = None) -> Any:
        if doc.session_context is not None and doc not in self._shown_in:
            self._shown_in.append(doc)
            doc.on_session_destroyed(lambda _: self._gone(doc))
        return super()._get_model(doc, root, parent, comm)

    def _gone(self, doc: Document) -> None:
        self._shown_in = [kept for kept in self._shown_in if kept is not doc]
        if not self._shown_in:
            self.close()

    def _set(self, name: str, value: Any) -> None:
        """Set a parameter, on the page's own thread where there is a page."""
        on_page(self._shown_in, lambda: self._put(name, value))

    def _put(self, name: str, value: Any) -> None:
        self.param.update(**{name: value})

    def _heard(self, *events: Any) -> None:
        for event in events:
            self._link.receive(event.name, event.new)
