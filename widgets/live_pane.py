"""`LivePane`: the live view of a session on a served page."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import param
from panel.custom import AnyWidgetComponent

from .live_arguments import THEMES, Shown, checked_view
from .live_esm import bundle, style
from .live_link import Hook, LiveLink
from .page_thread import on_page

if TYPE_CHECKING:
    from bokeh.document import Document


class LivePane(AnyWidgetComponent):
    """The view of `LiveView` on a page of Panel's: the same module, the same traits.

    It stretches to the width it is given; it stops when the page that shows it is closed.

    Args:
        session: a `uspnb.Session`.
        rows: ticks shown at most while everything is shown, 100 to 20,000.
        theme: "auto" follows the page; "light" or "dark".
        height: of the whole [px], 300 to 4000; on a narrow page the readings stand below it.
        toolbar: whether the buttons are shown.

    Raises:
        DomainError: an argument out of range.
    """

    frame = param.Bytes(default=b"")
    status = param.Dict(default={})
    meta = param.Dict(default={})
    target = param.Dict(default={})
    acknowledged = param.Integer(default=0)
    hello = param.Dict(default={})
    window = param.Dict(default={})
    command = param.Dict(default={})
    selected = param.Dict(default={})
    theme = param.Selector(default="auto", objects=list(THEMES))
    toolbar = param.Boolean(default=True)
    # Panel's own `height` would fix the box, and on a narrow page the readings below would lie over what follows.
    canvas_height = param.Integer(default=640)

    _esm = bundle("live")
    _stylesheets = [style("live_view")]  # noqa: RUF012  Panel reads it as it stands
    # An acknowledgement that waits for others to come costs a frame each time.
    _debounce = 0
    _busy__ignore = ["acknowledged", "hello", "window", "command", "selected"]  # noqa: RUF012  as above

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
        self._pages: list[Document] = []
        rest = {"sizing_mode": "stretch_width"} | rest
        super().__init__(meta=self._link.meta, theme=theme, canvas_height=height, toolbar=toolbar, **rest)
        self.param.watch(self._heard, ["acknowledged", "hello", "window", "command"])
        self._link.start()

    @property
    def session(self) -> Shown:
        """What is shown."""
        return self._link.session

    def jump(self, tick: int) -> None:
        """Show the stretch round a tick and set the crosshair on it."""
        self._set("target", {"tick": int(tick), "id": next(self._jumps)})

    def follow(self) -> None:
        """Show the newest tick, and those that come."""
        self._set("target", {"tick": None, "id": next(self._jumps)})

    def on_command(self, hook: Hook) -> None:
        """Have `hook(name, value)` carry out "export" and "snapshot"; a string that it returns is shown in the view."""
        self._link.on_command(hook)

    def close(self) -> None:
        """Send no more; the session goes on."""
        self._link.close()

    def _get_model(self, doc: Document, root: Any = None, parent: Any = None, comm: Any = None) -> Any:
        if doc.session_context is not None and doc not in self._pages:
            self._pages.append(doc)
            doc.on_session_destroyed(lambda _: self._gone(doc))
        return super()._get_model(doc, root, parent, comm)

    def _gone(self, doc: Document) -> None:
        self._pages = [kept for kept in self._pages if kept is not doc]
        if not self._pages:
            self.close()

    def _set(self, name: str, value: Any) -> None:
        """Set a parameter, on the page's own thread where there is a page."""

        def apply() -> None:
            self.param.update(**{name: value})

        on_page(self._pages, apply)

    def _heard(self, *events: Any) -> None:
        for event in events:
            self._link.receive(event.name, event.new)
