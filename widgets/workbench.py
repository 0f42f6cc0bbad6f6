"""`Workbench`: the live view of a session and its controls, together in one cell; `show` for whatever can be shown."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import ipywidgets

from .controls import Controls
from .live_view import LiveView

if TYPE_CHECKING:
    from uspnb.engine.session import Session

    from .tuning_monitor import TuningMonitor

_open: weakref.WeakValueDictionary[int, Workbench | TuningMonitor] = weakref.WeakValueDictionary()


class Workbench(ipywidgets.VBox):
    """A session's view with its controls under it; where there is little room the parts stand below one another.

    Args:
        session: the session to show.
        rest: arguments of `LiveView`: `rows`, `theme`, `height`.
    """

    def __init__(self, session: Session, **rest: Any) -> None:
        self.session = self.shown = session
        self.view = LiveView(session, **rest)
        self.controls = Controls(session, self.view)
        self.view.on_command(self.controls.command)
        self.view.observe(self._on_selected, "selected")
        super().__init__([self.view, self.controls], layout=ipywidgets.Layout(width="100%", min_width="0"))

    def _repr_mimebundle_(self, **rest: Any) -> dict[str, Any]:
        """The live widget; where no kernel is, on a static page, the session's own summary stands for it."""
        static: dict[str, Any] = {"text/plain": repr(self.session), "text/html": self.session._repr_html_()}
        return (super()._repr_mimebundle_(**rest) or {}) | static

    def _on_selected(self, change: dict[str, Any]) -> None:
        """A tick that was clicked in the view: the slider stands there, ready to go back to it."""
        tick = change["new"].get("tick")
        if isinstance(tick, int) and 0 <= tick < self.session.status.ticks:
            self.controls.transport.look_at(tick)

    def close(self) -> None:
        """Close view and controls; the session goes on."""
        self.view.close()
        self.controls.close()
        super().close()


def show(shown: Any, **rest: Any) -> Workbench | TuningMonitor:
    """The workbench of a session or the monitor of a tuning campaign: the one that is open already, or a new one.

    Args:
        shown: a session; an `AsyncMetaOptimizer`; or a `BayesianMetaOptimizer`, which then runs in the background.
        rest: arguments of `LiveView` or of `TuningMonitor` for a new one.
    """
    known = _open.get(id(shown))
    if known is not None and known.shown is shown and known.comm is not None:
        return known
    made = _open[id(shown)] = _monitor(shown, rest) if hasattr(shown, "optimize") else Workbench(shown, **rest)
    return made


def _monitor(optimizer: Any, rest: dict[str, Any]) -> TuningMonitor:
    from .tuning_monitor import TuningMonitor

    if not hasattr(optimizer, "subscribe"):
        from uspnb.tuning.background import AsyncMetaOptimizer

        made = TuningMonitor(AsyncMetaOptimizer(optimizer=optimizer), **rest)
        made.shown = optimizer
        return made
    return TuningMonitor(optimizer, **rest)
