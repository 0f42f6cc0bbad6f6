"""The views on a served page: one host, and on it the live view, the table of a fleet, the monitor of a campaign."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import param
from panel.custom import AnyWidgetComponent

from uspnb.engine.fleet import Fleet

from .fleet_link import FleetFace, FleetLink, check_fleet
from .front_end import bundle, style
from .link import Link
from .live_link import THEMES, LiveFace
from .tuning_applying import Place
from .tuning_link import TuningFace, TuningLink, check_campaign

if TYPE_CHECKING:
    from bokeh.document import Document

    from uspnb.tuning.background import AsyncMetaOptimizer

FROM_PAGE = ["acknowledged", "hello", "command"]


def on_page(pages: Sequence[Document], act: Callable[[], None]) -> None:
    """Have the thread of the first page call `act()`; without a page call it here, for one that was left not at all.

    Args:
        pages: documents that show the component.
        act: sets what the page shall see.
    """
    page = next(iter(pages), None)
    if page is None:
        act()
        return
    try:
        page.add_next_tick_callback(act)
    except AttributeError:
        # Bokeh takes the document of a page that was left apart, attribute by attribute, in another thread than this
        # one, its context first; what was on its way there is for nobody any more.
        if page.session_context is not None:
            raise


class PageView(AnyWidgetComponent):
    """What every view on a page of Panel's does: its link sets the parameters, and hears of those of the front end.

    It stretches to the width it is given; it stops when the page that shows it is closed.

    Args:
        link: made with `self._set`.
        parameters: of the component.
    """

    frame = param.Bytes(default=b"")
    status = param.Dict(default={})
    meta = param.Dict(default={})
    theme = param.Selector(default="auto", objects=list(THEMES))
    acknowledged = param.Integer(default=0)
    hello = param.Dict(default={})
    command = param.Dict(default={})

    # An acknowledgement that waits for others to come costs a frame each time.
    _debounce = 0
    _busy__ignore = FROM_PAGE

    def __init__(self, link: Link, **parameters: Any) -> None:
        self._link: Any = link
        self._pages: list[Document] = []
        super().__init__(**{"sizing_mode": "stretch_width", "meta": link.meta} | parameters)
        self.param.watch(self._receive, list(link.inbound))
        link.start()

    def close(self) -> None:
        """Send no more; what it shows goes on."""
        self._link.close()

    def _get_model(self, doc: Document, root: Any = None, parent: Any = None, comm: Any = None) -> Any:
        if doc.session_context is not None and doc not in self._pages:
            self._pages.append(doc)
            doc.on_session_destroyed(lambda _: self._leave(doc))
        return super()._get_model(doc, root, parent, comm)

    def _leave(self, doc: Document) -> None:
        self._pages = [page for page in self._pages if page is not doc]
        if not self._pages:
            self.close()

    def _set(self, name: str, value: Any) -> None:
        """Set a parameter, on the page's own thread where there is a page."""
        on_page(self._pages, lambda: setattr(self, name, value))

    def _receive(self, *events: Any) -> None:
        for event in events:
            self._link.receive(event.name, event.new)


class LivePane(LiveFace, PageView):
    """The view of `LiveView` on a page of Panel's: the same module, the same traits.

    Args:
        session: a `uspnb.Session`.
        rows: ticks shown at most while everything is shown, 100 to 20,000.
        theme: "auto" follows the page; "light" or "dark".
        height: of the whole [px], 300 to 4000; on a narrow page the readings stand below it.
        toolbar: whether the buttons are shown.

    Raises:
        DomainError: an argument out of range.
    """

    target = param.Dict(default={})
    window = param.Dict(default={})
    selected = param.Dict(default={})
    toolbar = param.Boolean(default=True)
    # Panel's own `height` would fix the box, and on a narrow page the readings below would lie over what follows.
    canvas_height = param.Integer(default=640)
    _height = "canvas_height"

    _esm = bundle("live")
    _stylesheets = [style("live_view")]  # noqa: RUF012  Panel reads it as it stands
    _busy__ignore = [*FROM_PAGE, "window", "selected"]  # noqa: RUF012  as above


class FleetPane(FleetFace, PageView):
    """A row for each asset: the last ticks with their intervals, forecast, weights, mode, alarms, scores.

    Rows exist in the browser only where they can be seen, so that thousands of assets cost no more than twenty.

    Args:
        fleet: a `uspnb.Fleet`.
        theme: "auto" follows the page; "light" or "dark".
        height: of the rows in sight [px], 120 to 4000.

    Raises:
        DomainError: not a fleet, an unknown theme, or a height out of range.
    """

    opened = param.Dict(default={})
    chosen = param.Dict(default={})
    table_height = param.Integer(default=560)

    _esm = bundle("fleet")
    _stylesheets = [style("fleet_view")]  # noqa: RUF012  Panel reads it as it stands
    _busy__ignore = [*FROM_PAGE, "chosen"]  # noqa: RUF012  as above

    def __init__(self, fleet: Fleet, theme: str = "auto", height: int = 560, **rest: Any) -> None:
        check_fleet(fleet, theme, height)
        super().__init__(FleetLink(fleet, self._set), theme=theme, table_height=height, **rest)


class TuningPane(TuningFace, PageView):
    """The monitor of `TuningMonitor` on a page of Panel's: the same module, the same traits.

    Args:
        optimizer: an `AsyncMetaOptimizer`.
        place: where the best may be written; by default nowhere, and the reader can download it.
        theme: "auto" follows the page; "light" or "dark".
        may_start: raises `DomainError` where the campaign must not run now.

    Raises:
        DomainError: not an optimizer that runs in the background, or an unknown theme.
    """

    board = param.Dict(default={})
    reply = param.Dict(default={})
    download = param.Dict(default={})

    _esm = bundle("tuning")
    _stylesheets = [style("tuning_view")]  # noqa: RUF012  Panel reads it as it stands

    def __init__(
        self,
        optimizer: AsyncMetaOptimizer,
        place: Place | None = None,
        theme: str = "auto",
        may_start: Callable[[], None] | None = None,
        **rest: Any,
    ) -> None:
        check_campaign(optimizer, theme)
        place = Place("download") if place is None else place
        super().__init__(TuningLink(optimizer, self._set, place, may_start), theme=theme, **rest)
