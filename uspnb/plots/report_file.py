"""One self-contained HTML page about a run: figures, verdict, alarms, settings; it needs no network."""

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
from .report_page import PAGE, RUN, SCRIPT, STYLE
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
from .wording import moment

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
        return write_report(ds, comparison, path, title, theme, asset)
    checked_theme(theme)
    return Report(report_html(ds, comparison, title, theme, asset), _heading(ds, title))


def write_report(
    ds: xr.Dataset,
    comparison: xr.Dataset | None,
    path: Any,
    title: str = "",
    theme: str = "auto",
    asset: Any = None,
) -> Path:
    """Write the report of a run to one HTML file that appears whole or not at all.

    Args:
        ds: a result of `backtest` or `history`.
        comparison: a result of `compare`, None to leave it out.
        path: the file; its folder must exist.
        title: heading of the page; by default the title of the Dataset.
        theme: "light", "dark", or "auto" to follow the reader's setting.
        asset: which asset of several the figures show; the first where it is left out.

    Returns:
        The absolute path of the file.

    Raises:
        DomainError: an unknown theme or asset, a folder in place of the file, or no folder to write to.
    """
    target = checked_target(path, theme)
    write_atomic(target, report_html(ds, comparison, title, theme, asset))
    return target


def checked_target(path: Any, theme: str = "auto") -> Path:
    """The absolute path of a report that could be written there, so that a long run need not fail at its end.

    Raises:
        DomainError: as `write_report`.
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


def _heading(ds: xr.Dataset, title: str) -> str:
    return title or str(ds.attrs.get("title", "uspnb run"))


def report_html(
    ds: xr.Dataset, comparison: xr.Dataset | None, title: str = "", theme: str = "auto", asset: Any = None
) -> str:
    """The text of the page that `write_report` writes."""
    # drawing libraries take a second to import; who only reads tables does not wait for them
    from bokeh.models import Div
    from jinja2 import Template

    from .brushing import linked

    figures: Any = linked(ds, "dark" if theme == "dark" else "light", asset).bokeh()
    for part in figures.select({"type": Div}):
        part.styles = {"color": "inherit", "font-size": "14px"}
    drawing, places = drawn({"run": figures})
    variables = {
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
    return page_html(_heading(ds, title), verdict, Template(RUN).render(variables), drawing, theme)


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
    made = {name.removeprefix("version_"): str(v) for name, v in ds.attrs.items() if name.startswith("version_")}
    made |= {
        "computed on": f"{ds.attrs['platform']}, {ds.attrs['dtype']}",
        "configuration (SHA-256)": str(ds.attrs["config_sha256"]),
        "last tick": moment(ds["time"].values[-1]),
    }
    if ds.attrs.get("notes"):
        made["read as"] = str(ds.attrs["notes"])
    return made
