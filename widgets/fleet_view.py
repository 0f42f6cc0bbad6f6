"""`FleetView`: the table of a fleet in a notebook."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from uspnb.engine.fleet import Fleet
from uspnb.errors import DomainError

from .fleet_link import Chosen, FleetLink, checked_fleet
from .live_esm import bundle, style
from .notebook_frame import send_frame

# Echoes of what the front end has set would double the messages, and nobody reads them.
_FROM_PAGE = {"sync": True, "echo_update": False}


class FleetView(anywidget.AnyWidget):
    """The table of `FleetPane` in a notebook: the same module, the same traits.

    Args:
        fleet: a `uspnb.Fleet`.
        theme: "auto" follows the notebook; "light" or "dark".
        height: of the rows in sight [px].

    Raises:
        DomainError: not a fleet, or a height out of range.
    """

    _esm = bundle("fleet")
    _css = style("fleet_view")

    frame = traitlets.Bytes(b"").tag(sync=True)
    status = traitlets.Dict().tag(sync=True)
    meta = traitlets.Dict().tag(sync=True)
    opened = traitlets.Dict().tag(sync=True)
    acknowledged = traitlets.Int(0).tag(**_FROM_PAGE)
    hello = traitlets.Dict().tag(**_FROM_PAGE)
    command = traitlets.Dict().tag(**_FROM_PAGE)
    chosen = traitlets.Dict().tag(**_FROM_PAGE)
    theme = traitlets.Unicode("auto").tag(sync=True)
    table_height = traitlets.Int(420).tag(sync=True)

    _link: FleetLink | None = None

    def __init__(self, fleet: Fleet, theme: str = "auto", height: int = 420, **rest: Any) -> None:
        checked_fleet(fleet, height)
        link = self._link = FleetLink(fleet, self._set)
        super().__init__(meta=link.meta, theme=theme, table_height=height, **rest)
        self.observe(self._heard, ["acknowledged", "hello", "command", "chosen"])
        link.start()

    @property
    def fleet(self) -> Fleet:
        """What is shown."""
        return self._linked.fleet

    @property
    def _linked(self) -> FleetLink:
        if self._link is None:
            raise DomainError("the table was closed before it was made")
        return self._link

    def on_chosen(self, hook: Chosen) -> None:
        """Have `hook(asset)` called when a reader opens an asset."""
        self._linked.on_chosen(hook)

    def mark_open(self, asset: Any = None) -> None:
        """Mark the row of the asset that is open, none where it is left out."""
        self.opened = {} if asset is None else {"place": self.fleet.place_of(asset)}

    def close(self) -> None:
        """Take the table off the page; the fleet goes on."""
        if self._link is not None:  # ipywidgets closes what could not be made, too
            self._link.close()
        super().close()

    def _set(self, name: str, value: Any) -> None:
        if name == "frame":
            send_frame(self.comm, value)
        else:
            setattr(self, name, value)

    def _heard(self, change: Any) -> None:
        self._linked.receive(change["name"], change["new"])
