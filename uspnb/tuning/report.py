"""The report of a campaign, as text for a terminal and as one HTML page with its figures that needs no network."""

from __future__ import annotations

import html
import textwrap
from typing import Any

import pandas as pd
import xarray as xr

from ..plots.report_file import checked_theme, drawn, page_html
from ..plots.report_tables import html_pairs, html_table
from ..runtime.words import one_line
from .report_content import Block, Code, Section, Table, read_campaign, sections, verdict
from .result import OptimizationResult

WIDTH = 96
GAP = "  "
# small figures side by side scroll on a telephone, by keyboard too
FIGURE = "<div style='margin-top:16px;overflow-x:auto' tabindex='0' role='group' aria-label='figure'>{}</div>"


def text_report(ds: xr.Dataset, result: OptimizationResult) -> str:
    """The report as text of fewer than 100 columns.

    It tells the campaign, the best parameters against the defaults, the objective on the held-out folds with its
    spread, the importance of the parameters, the convergence, what failed, and how to apply and to undo the result.

    Args:
        ds: the `results` of the optimizer.
        result: what it found.

    Raises:
        DomainError: not the results of a campaign, or of another one than the result's.
    """
    campaign = read_campaign(ds, result)
    title = _wrapped(f"Tuning campaign {one_line(result.study_name)}")
    parts = [title, "=" * min(len(title), WIDTH), _wrapped(verdict(campaign))]
    for section in sections(campaign):
        parts += ["", section.title, "-" * len(section.title)]
        for block, following in zip(section.blocks, [*section.blocks[1:], None], strict=True):
            parts += [_text_of(block)] + [""] * (isinstance(block, Table) and following is not None)
    return "\n".join(parts) + "\n"


def html_report(
    ds: xr.Dataset,
    result: OptimizationResult,
    theme: str = "auto",
    *,
    forecasts: tuple[xr.Dataset, xr.Dataset] | None = None,
) -> str:
    """The report as one HTML page with figures; it needs no network.

    Args:
        ds: the `results` of the optimizer.
        result: what it found.
        theme: "light", "dark", or "auto" to follow the reader's setting.
        forecasts: results of `backtest` of one series with the best and with the default configuration, to be shown
            against one another; None leaves that figure out.

    Raises:
        DomainError: an unknown theme, not the results of a campaign or of another one, two backtests of different
            series.
    """
    checked_theme(theme)
    campaign = read_campaign(ds, result)
    drawing, places = drawn(_figures(ds, "dark" if theme == "dark" else "light", forecasts))
    body = "".join(_html_of(section, places) for section in sections(campaign))
    return page_html(f"Tuning campaign {one_line(result.study_name)}", verdict(campaign), body, drawing, theme)


def _figures(ds: xr.Dataset, theme: str, forecasts: tuple[xr.Dataset, xr.Dataset] | None) -> dict[str, Any]:
    """The figures by the names that sections know them by, as Bokeh objects."""
    # the drawing libraries take seconds to import; a report in text does not wait for them
    import holoviews as hv

    from .. import plots

    made = {
        "history": plots.tuning_history(ds, theme),
        "importance": plots.tuning_importance(ds, theme),
        "parallel": plots.tuning_parallel(ds, theme),
        "slice": plots.tuning_slice(ds, theme=theme),
    }
    if forecasts is not None:
        made["forecasts"] = plots.best_against_default(*forecasts, theme)
    return {name: hv.render(figure, backend="bokeh") for name, figure in made.items()}


def _html_of(section: Section, places: dict[str, str]) -> str:
    figures = [FIGURE.format(places[name]) for name in section.figures if name in places]
    blocks = [_html_block(block) for block in section.blocks]
    return f"<h2>{html.escape(section.title)}</h2>\n" + "\n".join(blocks + figures) + "\n"


def _html_block(block: Block) -> str:
    if isinstance(block, Table):
        return html_table(pd.DataFrame(block.rows, columns=list(block.columns)), numeric=block.numeric)
    if isinstance(block, Code):
        return f"<pre tabindex='0'>{html.escape(chr(10).join(block.lines))}</pre>"
    if isinstance(block, dict):
        return html_pairs(block)
    return f"<p>{html.escape(block)}</p>"


def _text_of(block: Block) -> str:
    if isinstance(block, Table):
        return _text_table(block)
    if isinstance(block, Code):
        return "\n".join(f"    {line}" for line in block.lines)
    if isinstance(block, dict):
        return _columns([(name, told) for name, told in block.items()], [False, False])
    return _wrapped(block)


def _text_table(table: Table) -> str:
    right = [table.numeric and place > 0 for place in range(len(table.columns))]
    return _columns([table.columns, *table.rows], right, ruled=True)


def _columns(rows: list[tuple[str, ...]], right: list[bool], ruled: bool = False) -> str:
    """Aligned columns; the widest one is wrapped where a row would be too long."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    widest = widths.index(max(widths))
    widths[widest] = min(widths[widest], WIDTH - sum(widths) + widths[widest] - len(GAP) * (len(widths) - 1))
    lines = []
    for number, row in enumerate(rows):
        cells = [textwrap.wrap(cell, max(widths[i], 8)) or [""] for i, cell in enumerate(row)]
        for k in range(max(map(len, cells))):
            texts = [cell[k] if k < len(cell) else "" for cell in cells]
            pairs = zip(texts, widths, right, strict=True)
            lines.append(GAP.join(t.rjust(w) if r else t.ljust(w) for t, w, r in pairs).rstrip())
        if ruled and not number:
            lines.append(GAP.join("-" * width for width in widths))
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH)
