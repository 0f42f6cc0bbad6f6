"""The alarms of a session as a table whose rows are buttons: a click, or Enter, jumps to the tick."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import ipywidgets

from .notices import button, heading, row

if TYPE_CHECKING:
    import pandas as pd

ROWS = 6


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
        self.newer = button("Newer", "Show newer alarms", "arrow-up")
        self.older = button("Older", "Show older alarms", "arrow-down")
        self.newer.on_click(lambda _: self._turn(-ROWS))
        self.older.on_click(lambda _: self._turn(ROWS))
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
        made = button("", "")
        made.add_class("uspnb-control-alarm")
        made.layout.width = "100%"
        made.on_click(lambda _: self._choose(place))
        return made

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
        for place, made in enumerate(self.rows):
            made.layout.display = "" if place < len(shown) else "none"
            if place < len(shown):
                made.description, made.tooltip = shown[place]
        last = self._first + len(shown)
        text = (
            f"{self._first + 1} to {last} of {count}, newest first; choose one to see its tick" if count else "none yet"
        )
        self.head.value = f'<div class="uspnb-control-progress">{text}</div>'
        self.newer.disabled, self.older.disabled = self._first == 0, last >= count
        for made in (self.newer, self.older):
            made.layout.display = "" if count > ROWS else "none"
