"""The explore app: open a finished run, scrub through it, brush it, and compare it with another one."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import panel as pn
import param
import xarray as xr
from bokeh.models import Plot

from uspnb import plots
from uspnb.errors import UspnbError

from ..front_end import bundle
from .comparing import (
    DEMO,
    OTHER,
    alarms_of,
    compare_runs,
    demonstrate,
    facts_at,
    load_run,
    open_run,
    settings_that_differ,
)
from .opening import Upload, style_widget
from .page import WIDE, Alarms, AppPage, Element, page, schedule
from .site import Site
from .wording import MOST_ALARMS

TICKS = 2_000
NOBODY = "nothing"
LEGEND_ROW = 20
_LEAD = "Scrub through a finished run, select a stretch of it, compare two."


class Words(Element):
    """A table of words and numbers."""

    kind = param.String(default="table", constant=True)
    heading = param.String(default="", doc="its heading")
    note = param.String(default="", doc="a sentence above it")
    columns = param.List(default=[], doc="names of the columns, none for pairs")
    rows = param.List(default=[], doc="lists of texts")

    _esm = bundle("explore")


class Span(Element):
    """Which ticks are drawn, and the tick whose values are listed; acts: window, tick."""

    kind = param.String(default="span", constant=True)
    ticks = param.Integer(default=0, doc="ticks of the run")
    width = param.Integer(default=TICKS, doc="ticks drawn")
    tick = param.Integer(default=0, doc="the tick whose values are listed")
    start = param.Integer(default=0, doc="first tick drawn")

    _esm = bundle("explore")


class ExplorePage(AppPage):
    """The runs that a visitor has opened, the one that is shown, the one beside it."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.runs: dict[str, xr.Dataset | None] = {}
        self.run = style_widget(pn.widgets.Select, name="Run", width=280)
        self.other = style_widget(pn.widgets.Select, name="Compare with", width=280)
        self.upload = Upload(
            self._on_file,
            self.notice.refuse,
            label="or open a saved run",
            accept=".nc",
            most_bytes=site.most_bytes,
            sizing_mode=None,
        )
        self.span = Span(self._act)
        self.values = Words(heading="Values at the tick")
        self.alarms = Alarms(self._act)
        self.scores = Words(heading="Scores", visible=False)
        self.differing = Words(heading="Settings that differ", visible=False)
        self.others_alarms = Words(heading="Alarms of the other run", visible=False)
        self._place = pn.Column(**WIDE)
        self._beside = pn.Column(self.scores, self.differing, self.others_alarms, **WIDE)
        self.run.param.watch(lambda event: self.guard(self._choose), "value")
        self.other.param.watch(lambda event: self.guard(self._compare), "value")
        self.theme.param.watch(lambda *events: self.guard(self._draw), ["value", "narrow", "certain"])

    def template(self) -> pn.Template:
        """The page."""
        row = pn.FlexBox(self.run, self.other, self.upload, align_items="end", gap="10px 6px", **WIDE)
        for part in (self.alarms, self.scores, self.differing, self.others_alarms):
            part.margin = (12, 0, 0, 0)
        top = pn.Column(self.notice, self.span, **WIDE)
        side = pn.Column(self.values, self.alarms, **WIDE)
        return page(
            "explore", "Explore", _LEAD, self.theme, bar=row, main=[top, self._place], side=side, foot=self._beside
        )

    def start(self) -> None:
        """Open the first run once the page stands in the browser."""
        if self.site.app == "explore" and self.site.source is not None:
            path = Path(self.site.source)
            self.guard(lambda: self._add(path.name, load_run(path)))
        if not self.runs:
            self.runs = {DEMO: None, OTHER: None}
            self._offer(DEMO)

    def close(self) -> None:
        """The visitor has left."""
        super().close()
        self.upload.close()
        self.runs.clear()

    def _on_file(self, path: Path, name: str) -> None:
        self.read(open_run, path.read_bytes(), name, then=lambda ds: self._add(name, ds))

    def _add(self, name: str, ds: xr.Dataset) -> None:
        self.runs[name] = ds
        self.notice.tell("")
        self._offer(name)

    def _offer(self, name: str) -> None:
        """Show a run, and let every other one be set beside it."""
        again = self.run.value == name
        self.run.param.update(options=list(self.runs), value=name)
        if again:
            self._choose()

    def _choose(self) -> None:
        name = self.run.value
        if name not in self.runs:
            return
        others = [NOBODY, *(run for run in self.runs if run != name)]
        self.other.param.update(options=others, value=self.other.value if self.other.value in others else NOBODY)
        ds = self.runs[name]
        if ds is None:
            self._compute(name)
            return
        ticks = ds.sizes["time"]
        width = min(TICKS, ticks)
        self.span.param.update(ticks=ticks, width=width, start=ticks - width, tick=ticks - 1)
        alarms = alarms_of(ds)[::-1]
        self.alarms.param.update(rows=alarms[:MOST_ALARMS], total=len(alarms))
        self.values.rows = facts_at(ds, ticks - 1)
        self._draw()
        self._compare()

    def _compute(self, name: str) -> None:
        """Replay a run of the demonstration aside, and come back to it when it is there."""
        message = f"Computing {name!r}: compiling and replaying take some seconds the first time."
        self.notice.tell(message)

        def work() -> None:
            try:
                ds, reason = demonstrate(name, self.site.config), ""
            except UspnbError as error:
                ds, reason = None, str(error)
            if not self._closed:
                schedule(self._document, lambda: arrived(ds, reason))

        def arrived(ds: xr.Dataset | None, reason: str) -> None:
            if ds is None:
                self.notice.refuse(reason)
                return
            self.runs[name] = ds
            if self.notice.text == message:
                self.notice.tell("")
            self.guard(self._choose if self.run.value == name else self._compare)

        threading.Thread(target=work, name="uspnb-explore", daemon=True).start()

    def _shown(self) -> xr.Dataset | None:
        return self.runs.get(self.run.value)

    def _draw(self) -> None:
        ds = self._shown()
        if ds is not None and self.theme.certain:  # a picture takes a second; none is drawn on a guess
            window = window_of(ds, self.span.start, self.span.width)
            figures = plots.linked(window, theme=self.theme.value).bokeh()
            if self.theme.narrow:
                _narrowed(figures)
            self._place.objects = [pn.pane.Bokeh(figures, sizing_mode="stretch_width")]

    def _compare(self) -> None:
        first, name = self._shown(), self.other.value
        shown = (self.scores, self.differing, self.others_alarms)
        if first is None or name in (None, NOBODY):
            for part in shown:
                part.visible = False
            return
        second = self.runs[name]
        if second is None:
            self._compute(name)
            return
        rows, verdict = compare_runs(first, second)
        columns = [self.run.value, name]
        self.scores.param.update(columns=["score", *columns, "difference"], rows=rows, note=verdict, visible=True)
        differ = settings_that_differ(first, second)
        note = "" if differ else "Every setting is the same."
        self.differing.param.update(columns=["setting", *columns, "meaning"], rows=differ, note=note, visible=True)
        alarms = alarms_of(second)[::-1]
        note = f"{len(alarms_of(first)):,} alarms in {columns[0]}, {len(alarms):,} in {name}."
        cells = [[f"{row['tick']:,}", row["time"], row["chart"], row["began"]] for row in alarms[:MOST_ALARMS]]
        self.others_alarms.param.update(columns=["tick", "time", "chart", "began"], rows=cells, note=note, visible=True)

    def _act(self, request: dict[str, Any]) -> None:
        """Follow the reader's sliders and clicks."""
        ds = self._shown()
        if ds is None:
            return
        ticks = ds.sizes["time"]
        act = request.get("act")
        if act == "tick":
            self.values.rows = facts_at(ds, min(max(0, int(request["value"])), ticks - 1))
            return
        if act == "window":
            width = min(max(2, int(request["width"])), ticks)
            start = int(request["start"])
        elif act == "jump":
            width, tick = self.span.width, min(max(0, int(request["value"])), ticks - 1)
            start = tick - width // 2
            self.values.rows = facts_at(ds, tick)
            self.span.tick = tick
        else:
            return
        self.span.param.update(width=width, start=min(max(0, start), ticks - width))
        self.guard(self._draw)


def window_of(ds: xr.Dataset, start: int, width: int) -> xr.Dataset:
    """Some ticks of a run; estimated onsets before the first of them are no longer known."""
    part = ds.isel(time=slice(start, start + width))
    onset = part["change_onset"] - start
    return part.assign(change_onset=onset.where(onset >= 0).assign_attrs(part["change_onset"].attrs))


def _narrowed(figures: Any) -> None:
    """Legends in two columns with the height that they take, and times far apart: Bokeh breaks no line by itself."""
    for part in figures.select({"type": Plot}):
        for axis in part.xaxis:
            axis.ticker.desired_num_ticks = 3
        for legend in part.legend:
            legend.ncols = 2
            part.height = (part.height or 0) + LEGEND_ROW * ((len(legend.items) + 1) // 2 - 1)
