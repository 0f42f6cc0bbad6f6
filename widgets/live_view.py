"""`LiveView`: the live view of a session in a notebook."""

from __future__ import annotations

import itertools
from typing import Any

import anywidget
import traitlets

from .live_arguments import Shown, checked_view
from .live_esm import bundle, style
from .live_link import Hook, LiveLink
from .notebook_frame import send_frame

# Echoes of what the front end has set would double the messages, and nobody reads them.
_FROM_PAGE = {"sync": True, "echo_update": False}


class LiveView(anywidget.AnyWidget):
    """Forecast, weights, Holder exponent and alarm charts of a session on one time axis, as the ticks come.

    The space bar plays and pauses, arrows step and look back, ? lists the rest.  The view survives a reload of the
    page; closing it leaves the session alone.

    Args:
        session: a `uspnb.Session`.
        rows: ticks shown at most while everything is shown, 100 to 20,000.
        theme: "auto" follows the notebook; "light" or "dark".
        height: of the whole [px], 300 to 4000.
        toolbar: whether the buttons are shown.

    Raises:
        DomainError: an argument out of range.
    """

    _esm = bundle("live")
    _css = style("live_view")

    frame = traitlets.Bytes(b"").tag(sync=True)
    status = traitlets.Dict().tag(sync=True)
    meta = traitlets.Dict().tag(sync=True)
    target = traitlets.Dict().tag(sync=True)
    acknowledged = traitlets.Int(0).tag(**_FROM_PAGE)
    hello = traitlets.Dict().tag(**_FROM_PAGE)
    window = traitlets.Dict().tag(**_FROM_PAGE)
    command = traitlets.Dict().tag(**_FROM_PAGE)
    selected = traitlets.Dict().tag(**_FROM_PAGE)
    theme = traitlets.Unicode("auto").tag(sync=True)
    toolbar = traitlets.Bool(True).tag(sync=True)
    height = traitlets.Int(640).tag(sync=True)

    def __init__(
        self,
        session: Shown,
        rows: int = 10_000,
        theme: str = "auto",
        height: int = 640,
        toolbar: bool = True,
        **rest: Any,
    ) -> None:
        checked_view(session, rows, theme, height)
        self._link = LiveLink(session, self._set, rows)
        self._jumps = itertools.count(1)
        super().__init__(meta=self._link.meta, theme=theme, height=height, toolbar=toolbar, **rest)
        self.observe(self._heard, ["acknowledged", "hello", "window", "command"])
        self._link.start()

    @property
    def session(self) -> Shown:
        """What is shown."""
        return self._link.session

    def jump(self, tick: int) -> None:
        """Show the stretch round a tick and set the crosshair on it."""
        self.target = {"tick": int(tick), "id": next(self._jumps)}

    def follow(self) -> None:
        """Show the newest tick, and those that come."""
        self.target = {"tick": None, "id": next(self._jumps)}

    def on_command(self, hook: Hook) -> None:
        """Have `hook(name, value)` carry out "export" and "snapshot"; a string that it returns is shown in the view."""
        self._link.on_command(hook)

    def close(self) -> None:
        """Take the view off the page; the session goes on."""
        if "_link" in vars(self):  # ipywidgets closes what was refused, too
            self._link.close()
        super().close()

    def _set(self, name: str, value: Any) -> None:
        if name == "frame":
            send_frame(self.comm, value)
        else:
            setattr(self, name, value)

    def _heard(self, change: Any) -> None:
        self._link.receive(change["name"], change["new"])
