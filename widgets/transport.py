"""Play, pause, step, speed, and the slider that looks back over the ticks and can go back to one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets

from .notices import Notice, Showing, button, heading, row

if TYPE_CHECKING:
    from uspnb.engine.session import Session
    from uspnb.engine.status import Status

LADDER: tuple[float, ...] = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
FASTEST = "max"


def rung(speed: float | None) -> float:
    """The step of the speed ladder [ticks/s] nearest to a speed on a logarithmic scale; infinity for None, no limit."""
    if speed is None:
        return math.inf
    return min(LADDER, key=lambda step: max(step / speed, speed / step))


class Transport(ipywidgets.VBox):
    """The buttons that drive a session.  Each of them only puts a command into the session's queue.

    Args:
        session: what they drive.
        notice: where a refusal is shown.
        jump: called with a tick when the slider looks back at it.
    """

    def __init__(self, session: Session, notice: Notice, jump: Callable[[int], None]) -> None:
        self._session, self._notice, self._jump = session, notice, jump
        self._showing = Showing()
        self._following = True
        self._make_buttons()
        self._make_scrubber()
        super().__init__(
            [
                row(self.play, self.step, self.step_size, self.speed),
                heading("Look back"),
                self.scrub,
                row(self.newest, self.go_back),
            ]
        )

    def _make_buttons(self) -> None:
        session, notice = self._session, self._notice
        self.play = button("Play", "Play: process ticks as they come", "play")
        self.play.on_click(lambda _: notice.attempt(session.toggle))
        self.step = button("Step", "Process the number of ticks beside this button, then pause", "step-forward")
        self.step.on_click(lambda _: notice.attempt(session.step, int(self.step_size.value)))
        self.step_size = ipywidgets.BoundedIntText(
            1, min=1, max=100_000, tooltip="Ticks of one step", layout=ipywidgets.Layout(width="5.5em")
        )
        self.speed = ipywidgets.SelectionSlider(
            options=[(f"{step:g}/s", float(step)) for step in LADDER] + [(FASTEST, math.inf)],
            value=rung(session.status.speed),
            description="Speed",
            tooltip="Ticks a second at which a replay runs; max is as fast as it can",
            continuous_update=False,
            layout=ipywidgets.Layout(flex="1 1 260px", min_width="0", width="auto"),
        )
        self.speed.observe(self._on_speed, "value")

    def _make_scrubber(self) -> None:
        self.scrub = ipywidgets.IntSlider(
            0,
            min=0,
            max=1,
            description="Tick",
            tooltip="Look back: the view shows this tick; the session itself goes on",
            layout=ipywidgets.Layout(width="100%"),
        )
        self.scrub.observe(self._on_scrub, "value")
        self.newest = button("Follow the newest", "Let the view follow the newest tick again", "fast-forward")
        self.newest.on_click(lambda _: self.follow())
        self.go_back = button("Go back here", "", "undo")
        self.go_back.on_click(lambda _: self._on_go_back())

    @property
    def following(self) -> bool:
        """Whether the slider stands at the newest tick and moves with it."""
        return self._following

    def follow(self) -> None:
        """Stand at the newest tick, and move the view there."""
        newest = max(self._session.status.ticks - 1, 0)
        self._following = True
        self._stand_at(newest)
        self._jump(newest)

    def look_at(self, tick: int) -> None:
        """Stand at a tick that was chosen elsewhere, the alarm table for example."""
        self._following = False
        self._stand_at(tick)
        self._show_go_back()

    def refresh(self, status: Status) -> None:
        """Show a status of the session."""
        running = status.phase in ("running", "starting")
        self.play.description = "Pause" if running else "Play"
        self.play.icon = "pause" if running else "play"
        self.play.tooltip = "Pause: no further tick is processed" if running else "Play: process ticks as they come"
        ended = status.phase == "closed"
        self.play.disabled = ended or status.phase == "finished"
        self.step.disabled = self.step_size.disabled = ended or running or status.phase == "finished"
        self.speed.disabled = ended or self._session.live
        with self._showing.now():
            self.speed.value = rung(status.speed)
        newest = max(status.ticks - 1, 0)
        with self._showing.now():
            self.scrub.max = max(newest, 1)
        if self._following or self.scrub.value >= newest:
            self._following = True
            self._stand_at(newest)
        self._show_go_back()

    def _stand_at(self, tick: int) -> None:
        with self._showing.now():
            self.scrub.max = max(self.scrub.max, tick)
            self.scrub.value = tick

    def _on_speed(self, change: dict[str, Any]) -> None:
        if not self._showing.active:
            speed = float(change["new"])
            self._notice.attempt(self._session.set_speed, speed if math.isfinite(speed) else None)

    def _on_scrub(self, change: dict[str, Any]) -> None:
        if self._showing.active:
            return
        tick = int(change["new"])
        self._following = tick >= self._session.status.ticks - 1
        self._jump(tick)
        self._show_go_back()

    def _on_go_back(self) -> None:
        if self._notice.attempt(self._session.seek, int(self.scrub.value) + 1):
            self._following = True

    def _show_go_back(self) -> None:
        status, seekable = self._session.status, self._session.seekable
        self.go_back.disabled = not seekable or self._following or status.phase == "closed"
        self.newest.disabled = self._following
        self.go_back.tooltip = (
            "Take the session back to this tick: later ones are forgotten and computed anew"
            if seekable
            else "Only a replay can go back: the ticks of this source cannot be had again"
        )
