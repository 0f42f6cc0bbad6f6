"""`TuningMonitor`: a tuning campaign in a notebook, watched and driven."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from uspnb.errors import DomainError

from .live_esm import bundle, style
from .notebook_frame import send_frame
from .tuning_applying import CONFIG, Place
from .tuning_link import Driven, TuningLink, checked_campaign

# Echoes of what the front end has set would double the messages, and nobody reads them.
_FROM_PAGE = {"sync": True, "echo_update": False}


class TuningMonitor(anywidget.AnyWidget):
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

    frame = traitlets.Bytes(b"").tag(sync=True)
    status = traitlets.Dict().tag(sync=True)
    board = traitlets.Dict().tag(sync=True)
    meta = traitlets.Dict().tag(sync=True)
    reply = traitlets.Dict().tag(sync=True)
    download = traitlets.Dict().tag(sync=True)
    acknowledged = traitlets.Int(0).tag(**_FROM_PAGE)
    hello = traitlets.Dict().tag(**_FROM_PAGE)
    command = traitlets.Dict().tag(**_FROM_PAGE)
    theme = traitlets.Unicode("auto").tag(sync=True)

    _link: TuningLink | None = None

    def __init__(self, optimizer: Driven, path: Any = CONFIG, theme: str = "auto", **rest: Any) -> None:
        checked_campaign(optimizer, theme)
        link = self._link = TuningLink(optimizer, self._set, Place("file", path))
        self.shown: Any = optimizer
        super().__init__(meta=link.meta, theme=theme, **rest)
        self.observe(self._heard, ["acknowledged", "hello", "command"])
        link.start()

    @property
    def optimizer(self) -> Driven:
        """What is shown."""
        if self._link is None:
            raise DomainError("the monitor was closed before it was made")
        return self._link.campaign

    def _repr_mimebundle_(self, **rest: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live widget; where no kernel is, on a static page, the optimizer's own summary stands for it."""
        optimizer: Any = self.optimizer
        static = {"text/plain": repr(optimizer)}
        if hasattr(optimizer, "_repr_html_"):
            static["text/html"] = optimizer._repr_html_()
        data, about = super()._repr_mimebundle_(**rest) or ({}, {})
        return data | static, about

    def close(self) -> None:
        """Take the monitor off the page; the campaign goes on."""
        if self._link is not None:  # ipywidgets closes what could not be made, too
            self._link.close()
        super().close()

    def _set(self, name: str, value: Any) -> None:
        if name == "frame":
            send_frame(self.comm, value)
        else:
            setattr(self, name, value)

    def _heard(self, change: Any) -> None:
        if self._link is not None:
            self._link.receive(change["name"], change["new"])
