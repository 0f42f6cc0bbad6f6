"""The report in a real browser: nothing is fetched, a selection shows in all panels, axe finds nothing grave."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import OVERLAPS, SIZES, STILL
from playwright.sync_api import Browser, Page, expect

IDLE = "window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle"
FIGURES = """
  const found = [];
  const visit = part => { if (Array.isArray(part)) visit(part[0]); else if (part.children) part.children.forEach(visit);
    else if (part.center) found.push(part); };
  Bokeh.documents[0].roots().forEach(visit);
"""
BOXES = f"""() => {{ {FIGURES}
  return found.slice(0, 5).map(f => f.center.filter(a => a.type === "BoxAnnotation" && a.tags.includes("dim"))
    .map(a => a.visible ? [a.left, a.right].find(x => typeof x === "number" && !isNaN(x)) : null)); }}"""
RANGES = f"() => {{ {FIGURES} return found.slice(0, 4).map(f => [f.x_range.start, f.x_range.end]); }}"
WINDOW = f"""() => {{ {FIGURES}
  return found[4].center.filter(a => a.type === "BoxAnnotation" && !a.tags.length).map(a => [a.left, a.right])[0]; }}"""
WRITE = """
import sys
import numpy as np
import pandas as pd
import uspnb
from uspnb import plots
rng = np.random.default_rng(5)
values = np.cumsum(rng.standard_normal(3000)) + np.where(np.arange(3000) > 1800, 25.0, 0.0)
index = pd.date_range("2026-01-01", periods=3000, freq="h", tz="UTC")
ds = uspnb.backtest(pd.Series(values, index=index, name="made <b>up</b>"), progress=False)
ds["observation"].attrs["units"] = "m & <i>m</i>"
plots.report(ds, sys.argv[1], comparison=uspnb.compare(pd.Series(values, index=index), dataset=ds))
data = plots.selection_data(ds)
for line in sys.stdin:
    start, stop = (np.datetime64(int(part), "ms") for part in line.split())
    print(plots.selection_text(data, start, stop), flush=True)
"""

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Teller:
    """A process that writes the report and then says what any stretch of it amounts to.

    Playwright's own loop runs in this one, and JAX shall not fork beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        command = [sys.executable, "-c", WRITE, str(path)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"JAX_PLATFORMS": "cpu"}
        )
        self.whole = self.sum_up(0, 4_000_000_000_000)  # waits until the page is there

    def sum_up(self, start: float, stop: float) -> str:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{int(start)} {int(stop)}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="module")
def teller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teller]:
    process = Teller(tmp_path_factory.mktemp("report") / "report.html")
    yield process
    process.close()


@pytest.fixture
def opened(chromium: Browser, teller: Teller) -> Iterator[Any]:
    """A function that opens the page; at the end it must have asked for nothing and reported no error."""
    contexts, addresses, errors = [], [], []

    def show(size: str = "wide", theme: Any = "light") -> Page:
        width, height = SIZES[size]
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, service_workers="block", offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: addresses.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(teller.path.as_uri())
        page.wait_for_function(IDLE)
        page.wait_for_function("document.documentElement.dataset.theme")
        page.evaluate(STILL)
        return page

    yield show
    for context in contexts:
        context.close()
    assert [url for url in addresses if not url.startswith(("file:", "data:", "blob:"))] == []
    assert errors == []


def canvas_of(page: Page, panel: int) -> Any:
    """The canvas of a panel, the strip being the fifth; before them stands the fan, which is not linked with them."""
    return page.locator(".bk-Canvas").nth(1 + panel)


def drag(page: Page, panel: int, start: float, stop: float) -> None:
    """Drag over a panel between two shares of its plotted width."""
    part = canvas_of(page, panel)
    part.scroll_into_view_if_needed()
    box = part.bounding_box()
    assert box is not None
    left, right, y = (
        box["x"] + 72,
        box["x"] + box["width"] - 14,
        box["y"] + box["height"] * (0.65 if panel < 4 else 0.35),
    )
    page.mouse.move(left + start * (right - left), y)
    page.mouse.down()
    page.mouse.move(left + stop * (right - left), y, steps=6)
    page.mouse.up()


def select(page: Page, panel: int, start: float, stop: float) -> None:
    """Drag, until the selection is summed up."""
    drag(page, panel, start, stop)
    expect(page.locator("p[role=status]")).to_contain_text("Selection, 2026-0")


def move(page: Page, panel: int, start: float, stop: float) -> list[list[float]]:
    """Drag, until the panels show another stretch: the ends of it."""
    before = page.evaluate(RANGES)
    drag(page, panel, start, stop)
    page.wait_for_function(f"(before) => JSON.stringify(({RANGES})()) !== JSON.stringify(before)", arg=before)
    page.evaluate(STILL)
    return page.evaluate(RANGES)


def summary(page: Page) -> str:
    return page.locator("p[role=status]").inner_text().splitlines()[0]


@pytest.mark.parametrize("panel", [0, 1, 2, 3])
def test_a_selection_in_any_panel_shows_in_all_and_is_summed_up(opened: Any, teller: Teller, panel: int) -> None:
    page = opened()
    before = page.evaluate(RANGES)
    whole = summary(page)
    assert whole.startswith("Whole run: 3,000 ticks; RMSE ") and "m & <i>m</i>" in whole
    select(page, panel, 0.3, 0.7)
    boxes = page.evaluate(BOXES)
    assert len(boxes) == 5 and all(pair == boxes[0] for pair in boxes)
    start, stop = boxes[0]
    assert before[0][0] < start < stop < before[0][1]
    assert summary(page) == teller.sum_up(-(-start // 1), stop)
    assert page.evaluate(RANGES) == before
    box = canvas_of(page, panel).bounding_box()
    assert box is not None
    page.mouse.dblclick(box["x"] + 0.5 * box["width"], box["y"] + 0.65 * box["height"])
    page.wait_for_function(f"() => JSON.stringify(({BOXES})()) === '{'[' + ','.join(['[null,null]'] * 5) + ']'}'")
    assert summary(page) == whole


def test_the_pointer_is_answered_in_every_panel(opened: Any) -> None:
    page = opened()
    for panel, word in enumerate(("95% interval:", "deep galerkin:", "Holder exponent:", "of its threshold")):
        canvas = canvas_of(page, panel)
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"])
        page.mouse.move(box["x"] + 0.61 * box["width"], box["y"] + 0.6 * box["height"])
        tip = page.locator(".bk-Tooltip:visible", has_text=word)
        tip.wait_for()
        text = tip.evaluate("tip => [...tip.shadowRoot.querySelectorAll('div')].map(d => d.innerText).join(' ')")
        assert "time (UTC): 2026-0" in text and "@" not in text and "???" not in text
        if panel == 0:
            assert "m & <i>m</i>" in text  # a unit is text, never markup
        assert page.locator(".bk-Tooltip:visible").count() == 1


def test_the_strip_zooms_and_a_chosen_tool_takes_the_drag(opened: Any) -> None:
    page = opened()
    before = page.evaluate(RANGES)
    zoomed = move(page, 4, 0.2, 0.5)
    assert zoomed[0][1] - zoomed[0][0] < 0.6 * (before[0][1] - before[0][0])
    assert all(pair == zoomed[0] for pair in zoomed) and summary(page).startswith("Whole run")
    assert page.evaluate(WINDOW) == zoomed[0]
    page.locator("[data-root-id]").nth(1).locator(".bk-ToolButton, .bk-OnOffButton").first.click()  # pan
    assert move(page, 0, 0.6, 0.4)[0][0] > zoomed[0][0] and summary(page).startswith("Whole run")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_it_fits_and_is_accessible(opened: Any, screenshots: Path, grave_findings: Any, size: str, theme: str) -> None:
    page = opened(size, theme)
    select(page, 0, 0.4, 0.6)
    page.mouse.move(2, 2)
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert page.evaluate(OVERLAPS) == []
    page.screenshot(path=screenshots / f"report-{theme}-{size}.png", full_page=True)
    assert grave_findings(page) == []


def test_a_click_changes_the_theme_of_page_and_figures(opened: Any) -> None:
    page = opened()
    page.get_by_role("button", name="switch between light and dark").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    shades = page.evaluate(f"""() => {{ {FIGURES}
      return found.flatMap(f => f.center.filter(a => a.tags.includes("dim")).map(a => a.fill_color)); }}""")
    assert set(shades) == {"#15181c"}
