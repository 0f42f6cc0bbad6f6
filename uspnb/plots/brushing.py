"""What a stretch of a run amounts to: ticks, error, coverage and alarms, summed so that a browser can add them up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from bokeh.layouts import column, gridplot
from bokeh.models import (
    BoxAnnotation,
    BoxSelectTool,
    BoxZoomTool,
    Column,
    ColumnDataSource,
    CustomJS,
    DatetimeTickFormatter,
    Div,
    HoverTool,
    PanTool,
    Range1d,
    ResetTool,
    SaveTool,
    Toolbar,
    WheelZoomTool,
)
from bokeh.plotting import figure

from ..runtime.words import counted, moment, number
from .drawing import hv, pn, show_inline, thin_lines
from .panels import forecast_data, overview
from .style import FORECAST, LEFT_BORDER, OBSERVED, THEMES, check_theme, one_series, unit_of

MOST_BINS = 20_000


def selection_data(ds: xr.Dataset, asset: Any = None, most: int = MOST_BINS) -> pd.DataFrame:
    """Sums per tick, or per bin of ticks in a run of more than `most`.

    Columns: time (of the bin's first tick), ticks, errors (how many forecasts met an observation), squared (their
    squared errors, in units of the largest), judged (ticks with an interval), covered (those inside it), alarms.
    `attrs`: `scale` the largest error [input units], `unit`, `level` of the interval, `exact` (a bin is one tick).
    """
    ds = one_series(ds, asset)
    observed, lower, upper = (ds[name].values.astype(np.float64) for name in ("observation", "lower", "upper"))
    with np.errstate(over="ignore", invalid="ignore"):
        error = observed - ds["prediction"].values
    scored, judged = np.isfinite(error), np.isfinite(observed) & np.isfinite(lower) & np.isfinite(upper)
    scale = float(np.max(np.abs(error), where=scored, initial=0.0)) or 1.0
    size = max(-(-len(observed) // most), 1)
    starts = np.arange(0, len(observed), size)
    sums = {
        "ticks": np.ones(len(observed)),
        "errors": scored.astype(np.float64),
        "squared": np.where(scored, error / scale, 0.0) ** 2,
        "judged": judged.astype(np.float64),
        "covered": (judged & (observed >= lower) & (observed <= upper)).astype(np.float64),
        "alarms": ds["alarm"].values.astype(np.float64),
    }
    frame = pd.DataFrame({name: np.add.reduceat(column, starts) for name, column in sums.items()})
    frame.insert(0, "time", ds["time"].values[starts])
    level = float(ds.attrs.get("confidence_level", np.nan))
    frame.attrs = {"scale": scale, "unit": unit_of(ds["observation"]), "level": level, "exact": size == 1}
    return frame


def selection_text(data: pd.DataFrame, start: Any = None, stop: Any = None) -> str:
    """One sentence about the ticks from `start` to `stop`, both included; about the whole run where they are left out.

    The script of `linked` says the same in the browser.
    """
    times = data["time"].to_numpy()
    inside = np.ones(len(data), bool) if start is None else (times >= start) & (times <= stop)
    part = data[inside]
    ticks = int(part["ticks"].sum())
    if not ticks:
        return "Selection: no tick lies in it."
    shown = pd.Series(times[inside])
    head = "Whole run" if start is None else f"Selection, {moment(shown.iloc[0])} to {moment(shown.iloc[-1])}"
    errors, judged, alarms = (int(part[name].sum()) for name in ("errors", "judged", "alarms"))
    rmse = data.attrs["scale"] * float(np.sqrt(part["squared"].sum() / errors)) if errors else float("nan")
    tail = f" {data.attrs['unit']}" if data.attrs["unit"] and errors else ""
    share = f"{part['covered'].sum() / judged:.1%}" if judged else "not known"
    level = f"{data.attrs['level']:.0%} " if np.isfinite(data.attrs["level"]) else ""
    return (
        f"{head}: {counted(ticks, 'tick')}; RMSE {number(rmse)}{tail}; {share} inside the {level}interval; "
        f"{counted(alarms, 'alarm')}."
    )


NOWHERE: dict[str, Any] = dict.fromkeys(("left", "right", "top", "bottom"), np.nan) | {
    "visible": False,
    "syncable": False,
}
SELECT = """
const g = cb_obj.geometry, t = ticks.data, n = t.time.length;
if (!cb_obj.final || g == null || g.type !== "rect") return;
const x0 = Math.min(g.x0, g.x1), x1 = Math.max(g.x0, g.x1);
for (const box of before) box.setv({right: x0, visible: true});
for (const box of after) box.setv({left: x1, visible: true});
let first = -1, last = -1;
const sum = {ticks: 0, errors: 0, squared: 0, judged: 0, covered: 0, alarms: 0};
for (let i = 0; i < n; i++) {
  if (t.time[i] < x0 || t.time[i] > x1) continue;
  if (first < 0) first = i;
  last = i;
  for (const name in sum) sum[name] += t[name][i];
}
function moment(x) {
  if (!about.tags[0].has_times) return String(x);
  const text = new Date(x).toISOString().replace("T", " ");
  return text.slice(0, x % 1000 === 0 ? 19 : 23);
}
function number(x) { return String(Number(x.toPrecision(5))); }
function counted(n, word) { return n.toLocaleString("en-US") + " " + word + (n === 1 ? "" : "s"); }
const told = about.tags[0];
let text = "Selection: no tick lies in it.";
if (first >= 0) {
  const rmse = sum.errors ? number(told.scale * Math.sqrt(sum.squared / sum.errors)) + told.unit : "not known";
  const share = sum.judged ? (100 * sum.covered / sum.judged).toFixed(1) + "%" : "not known";
  text = `Selection, ${moment(t.time[first])} to ${moment(t.time[last])}: ${counted(sum.ticks, "tick")}; ` +
    `RMSE ${rmse}; ${share} inside the ${told.level}interval; ${counted(sum.alarms, "alarm")}.`;
}
about.text = told.before + text.replaceAll("&", "&amp;").replaceAll("<", "&lt;") + told.after;
"""
CLEAR = """
for (const box of [...before, ...after]) box.visible = false;
about.text = about.tags[0].before + about.tags[0].whole + about.tags[0].after;
"""
FOLLOW = "window.setv({left: shown.start, right: shown.end});"
ZOOM = """
const g = cb_obj.geometry;
if (cb_obj.final && g.type === "rect" && g.x0 !== g.x1)
  shown.setv({start: Math.min(g.x0, g.x1), end: Math.max(g.x0, g.x1)});
"""


class LinkedPanels:
    """Forecast, weights, roughness and charts of a run, with a selection that shows in all of them.

    It displays itself in a notebook and takes its place in a Panel layout; `bokeh()` gives the Bokeh layout.
    """

    def __init__(self, ds: xr.Dataset, theme: str = "light", asset: Any = None) -> None:
        check_theme(theme)
        self.dataset, self.theme, self.asset = ds, theme, asset
        self.data = selection_data(ds, asset)
        self.strip = forecast_data(ds, asset)

    def bokeh(self) -> Column:
        """The Bokeh layout, made anew at each call: one document can hold it only once."""
        panels: Any = hv.render(overview(self.dataset, self.theme, self.asset), backend="bokeh")
        figures = [part for part, *_ in panels.children]
        strip = _strip(self.strip, figures[0].x_range, self.theme)
        about = _summary(self.data, self.theme)
        _brush([*figures, strip], figures, about, _source(self.data), self.theme)
        options = {"merge_tools": True, "toolbar_options": {"logo": None}, "sizing_mode": "stretch_width"}
        grid: Any = gridplot([[part] for part in figures], toolbar_location="right", **options)
        for part in figures:  # not before: gridplot warns where each panel names an active tool of its own
            part.toolbar.active_drag = part.tools[0]
        grid.toolbar.active_drag = next(t for t in grid.toolbar.tools if figures[0].tools[0] in getattr(t, "tools", ()))
        return column(about, grid, strip, sizing_mode="stretch_width")

    def __repr__(self) -> str:
        return f"LinkedPanels({int(self.data['ticks'].sum()):,} ticks, theme={self.theme!r})"

    def __panel__(self) -> Any:
        return pn.pane.Bokeh(self.bokeh(), sizing_mode="stretch_width")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return show_inline(self)


def linked(ds: xr.Dataset, theme: str = "light", asset: Any = None) -> LinkedPanels:
    """The panels of `overview` with tooltips and a selection of time that all of them share.

    Drag in a panel to select; a double click, or the reset tool, clears.  Drag in the strip below to zoom.

    Arguments and failures are those of `overview`.
    """
    return LinkedPanels(ds, theme, asset)


def _source(data: pd.DataFrame) -> ColumnDataSource:
    """Counts as small integers: a page carries them for every tick."""
    largest = max(float(data["ticks"].max()), 1.0)
    count = np.uint8 if largest < 256 else np.uint32
    columns = {name: data[name].to_numpy().astype(count) for name in ("ticks", "errors", "judged", "covered", "alarms")}
    return ColumnDataSource({"time": data["time"].to_numpy(), "squared": data["squared"].to_numpy()} | columns)


def _summary(data: pd.DataFrame, theme: str) -> Div:
    attrs = data.attrs
    tags = {
        "has_times": data["time"].dtype.kind == "M",
        "scale": attrs["scale"],
        "unit": f" {attrs['unit']}" if attrs["unit"] else "",
        "level": f"{attrs['level']:.0%} " if np.isfinite(attrs["level"]) else "",
        "whole": selection_text(data).replace("&", "&amp;").replace("<", "&lt;"),
        "before": "<p role='status' style='margin:0;min-height:2.8em;line-height:1.4'>",
        "after": "<br><span style='opacity:.8'>Drag in a panel to select, double-click to clear; drag in the strip "
        "below to zoom.</span></p>",
    }
    styles: Any = {"color": THEMES[theme]["text"], "background": THEMES[theme]["background"], "font-size": "13px"}
    text = f"{tags['before']}{tags['whole']}{tags['after']}"
    return Div(text=text, name="selection", tags=[tags], styles=styles, sizing_mode="stretch_width", syncable=False)


def _brush(boxed: list[Any], figures: list[Any], about: Div, ticks: ColumnDataSource, theme: str) -> None:
    """Give every panel the tools, the two dimming boxes and the scripts that move all boxes at once."""
    # nothing here is for the kernel or the server to know, which would hear of every move
    quiet = {"visible": False, "syncable": False, "tags": ["dim"]}
    shade = {"fill_color": THEMES[theme]["background"], "fill_alpha": 0.72, "line_color": None} | quiet
    before = [BoxAnnotation(right=np.nan, **shade) for _ in boxed]
    after = [BoxAnnotation(left=np.nan, **shade) for _ in boxed]
    for part, left, right in zip(boxed, before, after, strict=True):
        part.add_layout(left)
        part.add_layout(right)
    args = {"before": before, "after": after, "about": about, "ticks": ticks}
    select, clear = CustomJS(args=args, code=SELECT), CustomJS(args=args, code=CLEAR)
    for part in figures:
        overlay = BoxAnnotation(**NOWHERE, fill_color=FORECAST, fill_alpha=0.08, line_color=FORECAST, level="overlay")
        hovers = [tool for tool in part.tools if isinstance(tool, HoverTool)]
        tools = [
            # not continuous: five panels painted anew at every move of the pointer cost a second each in JupyterLab
            BoxSelectTool(dimensions="width", renderers=[], overlay=overlay),
            PanTool(dimensions="width"),
            BoxZoomTool(),
            WheelZoomTool(dimensions="width"),
            ResetTool(),
            SaveTool(),
            *hovers,
        ]
        part.toolbar = Toolbar(tools=tools, logo=None, active_drag=None)
        part.js_on_event("selectiongeometry", select)
        part.js_on_event("doubletap", clear)
        part.js_on_event("reset", clear)


def _strip(data: pd.DataFrame, shown: Range1d, theme: str) -> figure:
    """The whole run, small, with a window that sets what the panels show."""
    colours = THEMES[theme]
    lines = thin_lines(data, ["observation"], most=2000)
    timed = data["time"].dtype.kind == "M"
    part = figure(
        height=72,
        min_width=280,
        sizing_mode="stretch_width",
        x_axis_type="datetime" if timed else "linear",
        x_range=Range1d(*lines["time"].to_numpy()[[0, -1]]),
        tools="",
        toolbar_location=None,
        min_border_left=LEFT_BORDER,
        min_border_right=42,
        background_fill_color=colours["background"],
        border_fill_color=colours["background"],
        outline_line_color=colours["grid"],
        name="strip",
    )
    part.line(lines["time"].to_numpy(), lines["observation"].to_numpy(), color=OBSERVED, line_width=1)
    part.yaxis.visible = False
    part.xgrid.grid_line_color = part.ygrid.grid_line_color = colours["grid"]
    part.xaxis.major_label_text_color, part.xaxis.axis_line_color = colours["muted"], colours["axis"]
    part.xaxis.major_tick_line_color, part.xaxis.minor_tick_line_color = colours["axis"], None
    if timed:
        part.xaxis.formatter = DatetimeTickFormatter(years="%Y", months="%b %Y", days="%d %b", hours="%H:%M")
    _zoom(part, shown)
    return part


def _zoom(part: figure, shown: Any) -> None:
    """A drag in the strip shows that stretch in the panels; a double click shows everything again."""
    # not Bokeh's RangeTool: its window covers the whole strip at first, and a drag in a window moves it
    window = BoxAnnotation(left=shown.start, right=shown.end, fill_color=FORECAST, fill_alpha=0.15, line_color=FORECAST)
    part.add_layout(window)
    follow = CustomJS(args={"window": window, "shown": shown}, code=FOLLOW)
    for end in ("start", "end"):
        shown.js_on_change(end, follow)
    overlay = BoxAnnotation(**NOWHERE, fill_color=FORECAST, fill_alpha=0.3, line_color=FORECAST, level="overlay")
    tool = BoxSelectTool(dimensions="width", renderers=[], overlay=overlay)
    part.add_tools(tool)
    part.toolbar.active_drag = tool
    args = {"shown": shown, "whole": [shown.start, shown.end]}
    part.js_on_event("selectiongeometry", CustomJS(args=args, code=ZOOM))
    part.js_on_event("doubletap", CustomJS(args=args, code="shown.setv({start: whole[0], end: whole[1]});"))
