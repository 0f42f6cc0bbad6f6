"""`TuningPane`: a tuning campaign on a served page, watched and driven."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import param
from panel.custom import AnyWidgetComponent

from .live_esm import bundle, style
from .page_thread import on_page
from .tuning_applying import Place
from .tuning_link import THEMES, Driven, TuningLink, checked_campaign

if TYPE_CHECKING:
    from bokeh.document import Document


class TuningPane(AnyWidgetComponent):
    """The monitor of `TuningMonitor` on a page of Panel's: the same module, the same traits.

    Args:
        optimizer: an `AsyncMetaOptimizer`.
        place: where the best may be written; by default nowhere, and the reader can download it.
        theme: "auto" follows the page; "light" or "dark".
        may_start: raises `DomainError` where the campaign must not run now.

    Raises:
        DomainError: not an optimizer that runs in the background, or an unknown theme.
    """

    frame = param.Bytes(default=b"")
    status = param.Dict(default={})
    board = param.Dict(default={})
    meta = param.Dict(default={})
    reply = param.Dict(default={})
    download = param.Dict(default={})
    acknowledged = param.Integer(default=0)
    hello = param.Dict(default={})
    command = param.Dict(default={})
    theme = param.Selector(default="auto", objects=list(THEMES))

    _esm = bundle("tuning")
    _stylesheets = [style("tuning_view")]  # noqa: RUF012  Panel reads it as it stands
    _debounce = 0
    _busy__ignore = ["acknowledged", "hello", "command"]  # noqa: RUF012  as above

    def __init__(
        self,
        optimizer: Driven,
        place: Place | None = None,
        theme: str = "auto",
        may_start: Callable[[], None] | None = None,
        **rest: Any,
    ) -> None:
        checked_campaign(optimizer, theme)
        self._link = TuningLink(optimizer, self._set, Place("download") if place is None else place, may_start)
        self._shown_in: list[Document] = []
        rest = {"sizing_mode": "stretch_width"} | rest
        super().__init__(meta=self._link.meta, theme=theme, **rest)
        self.param.watch(self._heard, ["acknowledged", "hello", "command"])
        self._link.start()

    @property
    def optimizer(self) -> Driven:
        """What is shown."""
        return self._link.campaign

    def close(self) -> None:
        """Send no more; the campaign goes on."""
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
