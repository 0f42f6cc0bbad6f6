"""The parts of the controls that follow a session: badges, the buttons that drive it, looking back, its alarms."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets

from uspnb.runtime.words import counted

from .notices import Notice, Showing, button, heading, row

if TYPE_CHECKING:
    import pandas as pd

    from uspnb.engine.session import Session
    from uspnb.engine.status import Status

LADDER: tuple[float, ...] = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
FASTEST = "max"
ROWS = 6
# What a word means to a person: the badge's tooltip.  The colours are defined for both themes in controls.css.
PHASES: dict[str, tuple[str, str, str]] = {
    "new": ("wait", "○", "nothing was run yet"),
    "starting": ("wait", "◌", "the step is being compiled"),
    "running": ("good", "▶", "ticks are processed as they come"),
    "paused": ("wait", "❚❚", "no tick is processed until you play or step"),
    "finished": ("good", "■", "the source has no more ticks"),
    "faulted": ("bad", "✕", "the source failed; nothing that it gave was lost"),
    "closed": ("wait", "■", "the session has ended; its history can still be read"),
}
MODES: dict[str, tuple[str, str, str]] = {
    "inference": ("good", "✓", "forecasts are in full use"),
    "calibration": ("doubt", "!", "the input is doubtful, so the weights are held"),
    "diagnostic": ("bad", "!!", "the roughness breaker is open: all weight lies on the robust kernel"),
}
HEALTH: dict[str, tuple[str, str, str]] = {
    "ok": ("good", "✓", "the input is fresh and the process calm"),
    "doubtful": ("doubt", "!", "the input is stale, frozen, sparse or refused"),
    "emergency": ("bad", "!!", "the path has turned rougher than it ever was"),
    "fault": ("bad", "✕", "the source failed; see the message"),
}


def badge(what: str, word: str, table: dict[str, tuple[str, str, str]]) -> str:
    """One badge as HTML.

    Args:
        what: what the word is about, "health" for example.
        word: the word shown; one that the table does not know is shown plainly.
        table: for each word its kind ("good", "wait", "doubt", "bad"), its sign and its meaning.
    """
    kind, sign, meaning = table.get(word, ("wait", "·", word))
    return (
        f'<span class="uspnb-control-badge uspnb-control-{kind}" title="{html.escape(f"{what}: {meaning}")}">'
        f'<span aria-hidden="true">{sign}</span> {html.escape(what)}: <b>{html.escape(word)}</b></span>'
    )


def progress_text(status: Status) -> str:
    """How far the session is, in words: "tick 1,200 of 3,000, 480 ticks a second, 3 alarms, 2 refused"."""
    of = f" of {status.total:,}" if status.total is not None else ""
    parts = [f"tick {status.ticks:,}{of}"]
    if status.phase == "running":
        parts.append(f"{status.rate:,.0f} ticks a second" if status.rate >= 10 else f"{status.rate:.1f} ticks a second")
    if status.waiting and status.total is None:  # what a replay has not given yet is no queue
        parts.append(f"{status.waiting:,} waiting")
    parts.append(counted(status.alarms, "alarm"))
    parts.append(f"{status.rejected:,} refused")
    return ", ".join(parts)


def badges_html(status: Status) -> str:
    """The three badges of a session side by side."""
    return (
        '<div class="uspnb-control-badges">'
        + badge("session", status.phase, PHASES)
        + badge("mode", status.mode or "unknown", MODES)
        + badge("health", status.health, HEALTH)
        + "</div>"
    )


class Badges(ipywidgets.VBox):
    """Badges, how far the session is, and the session's own message."""

    def __init__(self) -> None:
        self.badges = ipywidgets.HTML(layout=ipywidgets.Layout(margin="0"))
        self.progress = ipywidgets.HTML(layout=ipywidgets.Layout(margin="0"))
        self.message = ipywidgets.HTML(layout=ipywidgets.Layout(margin="0", display="none"))
        super().__init__([self.badges, self.progress, self.message])

    def refresh(self, status: Status) -> None:
        """Show a status of the session."""
        self.badges.value = badges_html(status)
        self.progress.value = f'<div class="uspnb-control-progress">{html.escape(progress_text(status))}</div>'
        text = status.error or status.message
        role = "alert" if status.error else "status"
        self.message.value = (
            f'<div class="uspnb-control-notice uspnb-control-{role}" role="{role}">{html.escape(text)}</div>'
        )
        self.message.layout.display = "" if text else "none"


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
        #: whether the slider stands at the newest tick and moves with it
        self.following = True
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
        self.play = button("Play", "Play: process ticks as they come", "play", lambda: notice.attempt(session.toggle))
        self.step = button(
            "Step",
            "Process the number of ticks beside this button, then pause",
            "step-forward",
            lambda: notice.attempt(session.step, int(self.step_size.value)),
        )
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
        self.newest = button(
            "Follow the newest", "Let the view follow the newest tick again", "fast-forward", self.follow
        )
        self.go_back = button("Go back here", "", "undo", self._on_go_back)

    def follow(self) -> None:
        """Stand at the newest tick, and move the view there."""
        newest = max(self._session.status.ticks - 1, 0)
        self.following = True
        self._stand_at(newest)
        self._jump(newest)

    def look_at(self, tick: int) -> None:
        """Stand at a tick that was chosen elsewhere, the alarm table for example."""
        self.following = False
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
        newest = max(status.ticks - 1, 0)
        with self._showing.now():
            self.speed.value = rung(status.speed)
            self.scrub.max = max(newest, 1)
        if self.following or self.scrub.value >= newest:
            self.following = True
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
        self.following = tick >= self._session.status.ticks - 1
        self._jump(tick)
        self._show_go_back()

    def _on_go_back(self) -> None:
        if self._notice.attempt(self._session.seek, int(self.scrub.value) + 1):
            self.following = True

    def _show_go_back(self) -> None:
        status, seekable = self._session.status, self._session.seekable
        self.go_back.disabled = not seekable or self.following or status.phase == "closed"
        self.newest.disabled = self.following
        self.go_back.tooltip = (
            "Take the session back to this tick: later ones are forgotten and computed anew"
            if seekable
            else "Only a replay can go back: the ticks of this source cannot be had again"
        )


class AlarmTable(ipywidgets.VBox):
    """The newest alarms first, `ROWS` of them at a time.

    Args:
        jump: called with the tick of the row that was chosen.
        has_times: whether the session's ticks carry times; if not, no time is shown.
    """

    def __init__(self, jump: Callable[[int], None], has_times: bool = True) -> None:
        self._jump, self.has_times, self._first = jump, has_times, 0
        self._ticks: list[int] = []
        self._texts: list[tuple[str, str]] = []
        # A fixed set of buttons, filled anew: no widget is made while the session runs.
        self.rows = tuple(self._row(k) for k in range(ROWS))
        self.head = ipywidgets.HTML()
        self.newer = button("Newer", "Show newer alarms", "arrow-up", lambda: self._turn(-ROWS))
        self.older = button("Older", "Show older alarms", "arrow-down", lambda: self._turn(ROWS))
        super().__init__([heading("Alarms"), self.head, *self.rows, row(self.newer, self.older)])
        self._show()

    @property
    def ticks(self) -> tuple[int, ...]:
        """Ticks of the rows that are shown, newest first."""
        return tuple(self._ticks[self._first : self._first + ROWS])

    def refresh(self, alarms: pd.DataFrame) -> None:
        """Show these alarms: columns `tick`, `time`, `chart` and `onset_tick`, oldest first."""
        newest_first = alarms.iloc[::-1]
        columns = (newest_first[name] for name in ("tick", "time", "chart", "onset_tick"))
        grown = len(newest_first) - len(self._ticks)
        self._ticks, self._texts = [], []
        for tick, time, chart, onset in zip(*columns, strict=True):
            self._ticks.append(int(tick))
            self._texts.append(self._describe(int(tick), time, str(chart).replace("_", " "), onset))
        # Who reads older rows keeps them in sight while newer ones come.
        self._first += grown if self._first > 0 and grown > 0 else 0
        self._show()

    def _describe(self, tick: int, time: object, chart: str, onset: float) -> tuple[str, str]:
        when = f"{time:%Y-%m-%d %H:%M}" if self.has_times else ""
        began = f"began {int(onset)}" if onset == onset else ""
        short = f"{tick:>7}  {chart:<13} {began:<13} {when}".rstrip()
        spoken = f"Alarm at tick {tick}{f', {when}' if when else ''}, {chart} chart{f', {began}' if began else ''}"
        return short, f"{spoken}. Choose it to see that tick."

    def _row(self, place: int) -> ipywidgets.Button:
        alarm = button("", "", "", lambda: self._choose(place))
        alarm.add_class("uspnb-control-alarm")
        alarm.layout.width = "100%"
        return alarm

    def _choose(self, place: int) -> None:
        if place < len(self.ticks):
            self._jump(self.ticks[place])

    def _turn(self, by: int) -> None:
        self._first += by
        self._show()

    def _show(self) -> None:
        count = len(self._ticks)
        self._first = max(0, min(self._first, (count - 1) // ROWS * ROWS if count else 0))
        shown = self._texts[self._first : self._first + ROWS]
        for place, alarm in enumerate(self.rows):
            alarm.layout.display = "" if place < len(shown) else "none"
            if place < len(shown):
                alarm.description, alarm.tooltip = shown[place]
        last = self._first + len(shown)
        text = (
            f"{self._first + 1} to {last} of {count}, newest first; choose one to see its tick" if count else "none yet"
        )
        self.head.value = f'<div class="uspnb-control-progress">{text}</div>'
        self.newer.disabled, self.older.disabled = self._first == 0, last >= count
        for turn in (self.newer, self.older):
            turn.layout.display = "" if count > ROWS else "none"
