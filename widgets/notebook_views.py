"""The views in a notebook: one host, and on it the live view, the table of a fleet, the monitor of a campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from uspnb.engine.fleet import Fleet

from .fleet_link import FleetFace, FleetLink, check_fleet
from .front_end import bundle, style
from .link import Link
from .live_link import LiveFace
from .tuning_applying import CONFIG, Place
from .tuning_link import TuningFace, TuningLink, check_campaign

if TYPE_CHECKING:
    from uspnb.tuning.background import AsyncMetaOptimizer

# Echoes of what the front end has set would double the messages, and nobody reads them.
FROM_PAGE = {"sync": True, "echo_update": False}


class NotebookView(anywidget.AnyWidget):
    """What every view in a notebook does: its link sets the traits, and hears of those that the front end sets.

    Args:
        link: made with `self._set`.
        traits: of the widget.
    """

    frame = traitlets.Bytes(b"").tag(sync=True)
    status = traitlets.Dict().tag(sync=True)
    meta = traitlets.Dict().tag(sync=True)
    theme = traitlets.Unicode("auto").tag(sync=True)
    acknowledged = traitlets.Int(0).tag(**FROM_PAGE)
    hello = traitlets.Dict().tag(**FROM_PAGE)
    command = traitlets.Dict().tag(**FROM_PAGE)

    _link: Any = None

    def __init__(self, link: Link, **traits: Any) -> None:
        self._link = link
        super().__init__(meta=link.meta, **traits)
        self.observe(self._receive, list(link.inbound))
        link.start()

    def close(self) -> None:
        """Take the view off the page; what it shows goes on."""
        if self._link is not None:  # ipywidgets closes what could not be made, too
            self._link.close()
        super().close()

    def _set(self, name: str, value: Any) -> None:
        if name != "frame":
            setattr(self, name, value)
        elif self.comm is not None:
            # Past the trait: while another thread holds notifications back, two frames would be merged into one.
            self.comm.send(data={"method": "update", "state": {}, "buffer_paths": [["frame"]]}, buffers=[value])

    def _receive(self, change: Any) -> None:
        if self._link is not None:
            self._link.receive(change["name"], change["new"])


class LiveView(LiveFace, NotebookView):
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

    target = traitlets.Dict().tag(sync=True)
    toolbar = traitlets.Bool(True).tag(sync=True)
    height = traitlets.Int(640).tag(sync=True)
    window = traitlets.Dict().tag(**FROM_PAGE)
    selected = traitlets.Dict().tag(**FROM_PAGE)


class FleetView(FleetFace, NotebookView):
    """The table of `FleetPane` in a notebook: the same module, the same traits.

    Args:
        fleet: a `uspnb.Fleet`.
        theme: "auto" follows the notebook; "light" or "dark".
        height: of the rows in sight [px], 120 to 4000.

    Raises:
        DomainError: not a fleet, an unknown theme, or a height out of range.
    """

    _esm = bundle("fleet")
    _css = style("fleet_view")

    opened = traitlets.Dict().tag(sync=True)
    table_height = traitlets.Int(420).tag(sync=True)
    chosen = traitlets.Dict().tag(**FROM_PAGE)

    def __init__(self, fleet: Fleet, theme: str = "auto", height: int = 420, **rest: Any) -> None:
        check_fleet(fleet, theme, height)
        super().__init__(FleetLink(fleet, self._set), theme=theme, table_height=height, **rest)


class TuningMonitor(TuningFace, NotebookView):
    """The history of a campaign, what matters, the best against the default, and buttons to drive, apply and undo.

    It holds no result and computes none; a campaign goes on when its monitor is closed.

    Args:
        optimizer: an `AsyncMetaOptimizer`.
        path: the configuration file that "Apply" offers to write.
        theme: "auto" follows the notebook; "light" or "dark".

    Raises:
        DomainError: not an optimizer that runs in the background, or an unknown theme.
    """

    _esm = bundle("tuning")
    _css = style("tuning_view")

    board = traitlets.Dict().tag(sync=True)
    reply = traitlets.Dict().tag(sync=True)
    download = traitlets.Dict().tag(sync=True)

    def __init__(self, optimizer: AsyncMetaOptimizer, path: Any = CONFIG, theme: str = "auto", **rest: Any) -> None:
        check_campaign(optimizer, theme)
        self.shown: Any = optimizer
        super().__init__(TuningLink(optimizer, self._set, Place("file", path)), theme=theme, **rest)

    def _repr_mimebundle_(self, **rest: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live widget; where no kernel is, on a static page, the optimizer's own summary stands for it."""
        optimizer: Any = self.optimizer
        static = {"text/plain": repr(optimizer)}
        if hasattr(optimizer, "_repr_html_"):
            static["text/html"] = optimizer._repr_html_()
        data, about = super()._repr_mimebundle_(**rest) or ({}, {})
        return data | static, about
