"""`Controls`: everything that a person does to a session, for a notebook."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets

from .alarm_table import AlarmTable
from .archive_panel import Export, Marks
from .badges import Badges
from .notices import Notice
from .settings_panel import SettingsPanel
from .transport import Transport

if TYPE_CHECKING:
    from uspnb.engine.session import Session

    from .live_view import LiveView

REFRESH_S = 0.2


class Throttle:
    """Calls something at most once in `interval` seconds, and always once more after the last request.

    Args:
        action: what is called, one call at a time, in the requester's thread or in a timer's.
        interval: least time between two calls [s].
        clock: seconds that only grow.
    """

    def __init__(
        self, action: Callable[[], None], interval: float = REFRESH_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._action, self._interval, self._clock = action, interval, clock
        self._lock, self._acting = threading.Lock(), threading.Lock()
        self._last = -float("inf")
        self._timer: threading.Timer | None = None
        self._closed = False

    def __call__(self) -> None:
        """Ask for a call."""
        with self._lock:
            if self._closed or self._timer is not None:
                return
            left = self._last + self._interval - self._clock()
            if left > 0:
                self._timer = threading.Timer(left, self._late)
                self._timer.daemon = True
                self._timer.start()
                return
            self._last = self._clock()
        self._act()

    def close(self) -> None:
        """No call begins after this."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()

    def _late(self) -> None:
        with self._lock:
            self._timer, self._last = None, self._clock()
            if self._closed:
                return
        self._act()

    def _act(self) -> None:
        with self._acting:
            self._action()


class Controls(ipywidgets.VBox):
    """Play, pause, step, speed, look back, sensitivity, alarms, marks and export of one session.

    It holds no result and computes none: a control puts a command into the session's queue, and what is shown comes
    from the session's publisher, five times a second at the most.

    Args:
        session: the session that is driven and shown.
        view: a `LiveView` of the same session, which alarms and the slider move; it may be left out.
    """

    def __init__(self, session: Session, view: LiveView | None = None) -> None:
        self.session, self.view = session, view
        self.notice = Notice()
        self.badges = Badges()
        self.transport = Transport(session, self.notice, self._move_view)
        self.alarms = AlarmTable(self._jump, session.has_times)
        self.settings = SettingsPanel(session, self.notice)
        self.marks = Marks(session)
        self.export = Export(session)
        self._alarms_shown = (0, 0)
        style = ipywidgets.HTML(
            f"<style>{(Path(__file__).parent / 'controls.css').read_text(encoding='utf-8')}</style>",
            layout=ipywidgets.Layout(display="none"),
        )
        parts = (
            self._column("1 1 300px", self.transport, self.alarms),
            self._column("2 1 400px", self.settings),
            self._column("1 1 240px", self.marks, self.export),
        )
        super().__init__(
            [
                style,
                self.badges,
                self.notice,
                ipywidgets.Box(parts, layout=ipywidgets.Layout(display="flex", flex_flow="row wrap", width="100%")),
            ],
            layout=ipywidgets.Layout(width="100%", min_width="0"),
        )
        self.add_class("uspnb-controls")
        self.refresh()
        self._throttle = Throttle(self.refresh)
        self._unsubscribe = session.subscribe(self._throttle)

    def refresh(self) -> None:
        """Show the session as it stands now."""
        status = self.session.status
        self.badges.refresh(status)
        self.transport.refresh(status)
        self.settings.refresh()
        self.marks.refresh()
        self.marks.make.disabled = self.marks.save.disabled = status.phase == "closed"
        if (seen := (status.alarms, self.session.revision)) != self._alarms_shown:
            self._alarms_shown = seen
            self.alarms.has_times = self.session.has_times
            self.alarms.refresh(self.session.alarms())

    def command(self, name: str, value: Any = None) -> str:
        """What the view's own buttons ask of its host, "export" or "snapshot"; what came of it, in words."""
        if name == "export":
            self.export.export()
            return self.export.notice.text
        if name == "snapshot":
            self.marks.snapshot()
            return self.marks.notice.text
        return ""

    def close(self) -> None:
        """Let the session go on without these controls."""
        self._unsubscribe()
        self._throttle.close()
        super().close()

    def _move_view(self, tick: int) -> None:
        if self.view is not None:
            self.view.jump(tick)

    def _jump(self, tick: int) -> None:
        self.transport.look_at(tick)
        self._move_view(tick)

    @staticmethod
    def _column(flex: str, *children: ipywidgets.Widget) -> ipywidgets.VBox:
        return ipywidgets.VBox(
            children, layout=ipywidgets.Layout(flex=flex, min_width="0", padding="0 8px 8px 0", max_width="100%")
        )
