"""The page of a report: its frame, its styles, the script that follows the reader's theme, and the body about a run."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from ..errors import DomainError
from ..runtime.files import write_atomic
from ..runtime.words import moment
from .report_tables import (
    MOST_ALARMS,
    alarm_table,
    changed_settings,
    comparison_table,
    html_pairs,
    html_table,
    summary_rows,
)
from .style import THEMES

STYLE = """
:root { --bg: #ffffff; --text: #24292f; --muted: #57606a; --line: #dfe3e7; --card: #f6f8fa; --accent: #1f6fb2; }
:root[data-theme="dark"] {
  --bg: #15181c; --text: #dde2e8; --muted: #a5adb6; --line: #2f353d; --card: #1c2026; --accent: #6db3ec; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 20px 24px 48px; }
header { display: flex; align-items: baseline; justify-content: space-between; gap: 16px; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 32px 0 8px; }
p.lead { margin: 4px 0 16px; padding: 12px 14px; background: var(--card); border-left: 4px solid var(--accent); }
p.note, .muted { color: var(--muted); font-size: .875rem; margin: 4px 0; }
button { font: inherit; font-size: .875rem; color: var(--text); background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; padding: 4px 12px; cursor: pointer; white-space: nowrap; }
button:focus-visible, summary:focus-visible, .scroll:focus-visible, pre:focus-visible {
  outline: 2px solid var(--accent); outline-offset: 2px; }
.scroll { overflow-x: auto; max-height: 420px; overflow-y: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
th, td { padding: 6px 12px; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
tbody tr:last-child > * { border-bottom: 0; }
thead th { position: sticky; top: 0; background: var(--card); font-weight: 600; }
tbody th { white-space: nowrap; } table.numbers td { font-variant-numeric: tabular-nums; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; margin: 0; font-size: .9375rem; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--card); padding: 12px; overflow-x: auto; font-size: .8125rem; border-radius: 6px; }
details { margin-top: 12px; } summary { cursor: pointer; }
@media (max-width: 600px) { main { padding: 14px 12px 32px; } h1 { font-size: 1.2rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 8px; } th, td { padding: 5px 8px; } }
@media print { button { display: none; } .scroll { max-height: none; } }
"""

SCRIPT = """
(function () {
  const themes = __THEMES__, asked = "__THEME__", root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 600px)");
  const heights = new Map();
  let chosen = asked === "auto" ? null : asked;
  function figures() {
    const found = [];
    function visit(part) {
      if (Array.isArray(part)) visit(part[0]);
      else if (part.children) part.children.forEach(visit);
      else if (part.center) found.push(part);
    }
    for (const doc of (window.Bokeh ? Bokeh.documents : [])) doc.roots().forEach(visit);
    return found;
  }
  function dress(figure, c) {
    heights.set(figure, heights.get(figure) ?? figure.height);
    const tall = narrow.matches && figure.name !== "strip";
    figure.setv({height: heights.get(figure) + (tall ? 50 : 0)});
    if (figure.title) figure.title.setv({text_color: c.text});
    for (const part of [...figure.left, ...figure.below, ...figure.above, ...figure.right, ...figure.center]) {
      if (part.type.endsWith("Axis")) {
        part.setv({axis_label_text_color: c.muted, major_label_text_color: c.muted,
          axis_line_color: c.axis, major_tick_line_color: c.axis});
        if (figure.below.includes(part) && "desired_num_ticks" in part.ticker)
          part.ticker.setv({desired_num_ticks: narrow.matches ? 3 : 6});
      }
      else if (part.type === "Grid") part.setv({grid_line_color: c.grid});
      else if (part.type === "BoxAnnotation" && part.tags.includes("dim")) part.setv({fill_color: c.background});
      else if (part.type === "ColorBar") part.setv({title_text_color: c.muted, major_label_text_color: c.muted});
      else if (part.type === "Legend") part.setv({label_text_color: c.text, ncols: narrow.matches ? 2 : "auto"});
    }
  }
  function apply() {
    const theme = chosen || (system.matches ? "dark" : "light");
    root.dataset.theme = theme;
    root.style.colorScheme = theme;
    const button = document.getElementById("theme");
    if (button) button.textContent = theme === "dark" ? "Light" : "Dark";
    for (const figure of figures()) dress(figure, themes[theme]);
  }
  apply();
  system.addEventListener("change", apply);
  narrow.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", function () {
    document.getElementById("theme").addEventListener("click", function () {
      chosen = root.dataset.theme === "dark" ? "light" : "dark";
      apply();
    });
    let left = 200;
    (function wait() { if (figures().length) apply(); else if (left-- > 0) setTimeout(wait, 25); })();
  });
})();
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ heading|e }}</title>
<style>{{ style }}</style>
<script>{{ script }}</script>
{% for part in library %}<script>{{ part }}</script>
{% endfor %}
</head>
<body>
<main>
<header><h1>{{ heading|e }}</h1>
<button id="theme" type="button" aria-label="switch between light and dark">Dark</button></header>
{% if verdict %}<p class="lead">{{ verdict|e }}</p>{% endif %}
{{ body }}
</main>
{{ drawing }}
</body>
</html>
"""

RUN = """{{ summary }}
{% if fan %}<h2>The next {{ reach }} ticks</h2>
<p class="note">Shaded: intervals of {{ levels|e }} from the last tick on; dots: the horizons forecast,
between which it is drawn straight. Before it: what led there.</p>
{{ fan }}{% endif %}
<h2>Overview</h2>
<p class="note">{{ shown|e }}What is selected in one figure shows in all; so does every zoom.
A click on a legend's entry hides it.</p>
{{ place }}
{% if comparison %}<h2>Against simpler forecasters</h2>
{{ comparison }}
<p class="note">In brackets: relative to last value, below 1 is better. All on the same ticks.</p>{% endif %}
<h2>Alarms</h2>
{{ alarms }}
<h2>Settings</h2>
{{ settings }}
<details><summary>The whole configuration</summary><pre tabindex="0">{{ config|e }}</pre></details>
<h2>Made with</h2>
{{ versions }}
"""


FRAME = "<iframe title='{title}' srcdoc=\"{page}\" style='width:100%;height:900px;border:0'></iframe>"


class Report:
    """A report that has not been written: a notebook shows it, `write` puts it into a file.

    Attributes:
        html: the text of the page.
    """

    def __init__(self, page: str, title: str) -> None:
        self.html, self.title = page, title

    def write(self, path: Any) -> Path:
        """Write the page to a file that appears whole or not at all.

        Raises:
            DomainError: a folder in place of the file, or no folder to write to.
        """
        target = checked_target(path)
        write_atomic(target, self.html)
        return target

    def __repr__(self) -> str:
        return f"Report({self.title!r}, {len(self.html) / 1e6:.1f} MB)"

    def _repr_html_(self) -> str:
        return FRAME.format(title=html.escape(self.title, quote=True), page=html.escape(self.html, quote=True))


def report(
    ds: xr.Dataset,
    path: Any = None,
    *,
    comparison: xr.Dataset | None = None,
    title: str = "",
    theme: str = "auto",
    asset: Any = None,
) -> Path | Report:
    """The report of a run: one HTML page with figures whose selection works inside it; it needs no network.

    Args:
        ds: a result of `backtest` or `history`.
        path: the file to write; its folder must exist.  Left out, the page is returned for a notebook to show.
        comparison: a result of `compare`, None to leave it out.
        title: heading of the page; by default the title of the Dataset.
        theme: "light", "dark", or "auto" to follow the reader's setting.
        asset: which asset of several the figures show; the first where it is left out.

    Returns:
        The absolute path of the file, or the `Report` where none was named.

    Raises:
        DomainError: an unknown theme or asset, a folder in place of the file, or no folder to write to.
    """
    if path is not None:
        checked_target(path, theme)
    page = run_report(ds, comparison, title, theme, asset)
    return page if path is None else page.write(path)


def checked_target(path: Any, theme: str = "auto") -> Path:
    """The absolute path of a report that could be written there, so that a long run need not fail at its end.

    Raises:
        DomainError: as `report`.
    """
    target = Path(path).absolute()
    checked_theme(theme)
    if target.is_dir():
        raise DomainError(f"{target} is a folder; name a file to write the report to")
    if not target.parent.is_dir():
        raise DomainError(f"the folder {target.parent} does not exist; make it first")
    return target


def checked_theme(theme: str) -> None:
    """Refuse a theme that no page has.

    Raises:
        DomainError: neither "auto" nor "light" nor "dark".
    """
    if theme not in ("auto", "light", "dark"):
        raise DomainError(f"theme {theme!r} is not one of 'auto', 'light', 'dark'")


def run_report(
    ds: xr.Dataset, comparison: xr.Dataset | None = None, title: str = "", theme: str = "auto", asset: Any = None
) -> Report:
    """The report of a run, not yet written; arguments and failures as of `report`."""
    checked_theme(theme)
    # drawing libraries take a second to import; who only reads tables does not wait for them
    from bokeh.models import Div
    from jinja2 import Template

    from .brushing import linked
    from .drawing import hv
    from .fans import fan_plot, newest_fan

    figures: Any = linked(ds, "dark" if theme == "dark" else "light", asset).bokeh()
    for part in figures.select({"type": Div}):
        part.styles = {"color": "inherit", "font-size": "14px"}
    fan, colours = newest_fan(ds, asset), "dark" if theme == "dark" else "light"
    shown = {} if fan is None else {"fan": hv.render(fan_plot(fan, colours), backend="bokeh")}
    drawing, places = drawn({"run": figures} | shown)
    variables = {
        "fan": places.get("fan", ""),
        "reach": 0 if fan is None else int(fan["ahead"].iloc[-1]),
        "levels": "" if fan is None else ", ".join(f"{level:.0%}" for level in fan.attrs["levels"]),
        "summary": html_pairs(summary_rows(ds, asset)),
        "shown": _shown(ds, asset),
        "comparison": html_table(comparison_table(comparison, asset), index=True) if comparison is not None else "",
        "alarms": _alarms(ds),
        "settings": _settings(ds),
        "config": str(ds.attrs["config"]),
        "versions": html_pairs(_versions(ds)),
        "place": places["run"],
    }
    verdict = comparison.attrs["verdict"] if comparison is not None else ""
    heading = title or str(ds.attrs.get("title", "uspnb run"))
    return Report(page_html(heading, verdict, Template(RUN).render(variables), drawing, theme), heading)


def drawn(figures: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The script that draws Bokeh figures into a page of `page_html`, and the HTML of each one's place by its name."""
    from bokeh.embed import components
    from bokeh.models import Plot, Toolbar

    for figure in figures.values():
        for part in figure.select({"type": Plot}):
            # the page shows through; repainting a white figure dark would leave a seam of fractional pixels
            part.background_fill_color = part.border_fill_color = None
            part.output_backend = "canvas"
        for bar in figure.select({"type": Toolbar}):
            bar.logo = None
    return components(dict(figures))


def page_html(heading: str, verdict: str, body: str, drawing: str = "", theme: str = "auto") -> str:
    """A page that needs no network and follows the reader's light or dark setting.

    Args:
        heading: its title, not yet escaped.
        verdict: the sentence below it, not yet escaped; "" for none.
        body: HTML, inserted as it is.
        drawing: the script of `drawn`, "" where nothing is drawn.
        theme: "light", "dark", or "auto" to follow the reader's setting.

    Raises:
        DomainError: an unknown theme.
    """
    from bokeh.resources import Resources
    from jinja2 import Template

    checked_theme(theme)
    script = SCRIPT.replace("__THEMES__", json.dumps(THEMES)).replace("__THEME__", theme)
    # the library's own page template would add a script from elsewhere for every extension that happens to be loaded
    library = Resources(mode="inline", components=["bokeh", "bokeh-widgets"]).js_raw if drawing else []
    variables = {"heading": heading, "verdict": verdict, "body": body, "drawing": drawing, "library": library}
    return Template(PAGE).render(variables | {"style": STYLE, "script": script})


def _shown(ds: xr.Dataset, asset: Any) -> str:
    if "asset" not in ds.dims:
        return ""
    chosen = ds["asset"].values.tolist()[0] if asset is None else asset
    return f"Asset {chosen}, one of {ds.sizes['asset']}. "


def _alarms(ds: xr.Dataset) -> str:
    table = alarm_table(ds)
    if table.empty:
        return "<p class='note'>No alarm was raised.</p>"
    note = "" if len(table) <= MOST_ALARMS else f"<p class='note'>The first {MOST_ALARMS} of {len(table):,}.</p>"
    return html_table(table.head(MOST_ALARMS)) + note


def _settings(ds: xr.Dataset) -> str:
    changed = changed_settings(ds)
    if not changed:
        return "<p class='note'>Every setting has its default.</p>"
    rows = [(name, value, default, meaning) for name, (value, default, meaning) in changed.items()]
    return html_table(pd.DataFrame(rows, columns=["setting", "value", "default", "meaning"]), numeric=False)


def _versions(ds: xr.Dataset) -> dict[str, str]:
    versions = {name.removeprefix("version_"): str(v) for name, v in ds.attrs.items() if name.startswith("version_")}
    versions |= {
        "computed on": f"{ds.attrs['platform']}, {ds.attrs['dtype']}",
        "configuration (SHA-256)": str(ds.attrs["config_sha256"]),
        "last tick": moment(ds["time"].values[-1]),
    }
    if ds.attrs.get("notes"):
        versions["read as"] = str(ds.attrs["notes"])
    return versions
