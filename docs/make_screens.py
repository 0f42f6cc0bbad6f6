"""Photograph every view for the docs, light and dark, wide and narrow: `python docs/make_screens.py [VIEW ...]`.

Views: live fleet explore tune workbench report; all of them where none is named.  Everything runs on this machine: the
apps are served on the loopback interface, JupyterLab has folders of its own, and the browser is Debian's Chromium.  The
launchers are those of the browser tests.
"""

from __future__ import annotations

import argparse
import importlib
import io
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
SCREENS = ROOT / "docs" / "screens"
THEMES = ("light", "dark")
LARGEST = 250_000  # bytes of a picture
LONG_MS = 240_000
KERNEL_IDLE = "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"


def main() -> int:
    """Make the pictures that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("views", nargs="*", metavar="VIEW", help=f"among {', '.join(VIEWS)}; all if left out")
    views = parser.parse_args().views or list(VIEWS)
    unknown = [view for view in views if view not in VIEWS]
    if unknown:
        parser.error(f"there is no view {unknown[0]!r}")
    SCREENS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        launching = _launcher("browser")
        browser = playwright.chromium.launch(executable_path=launching.chromium_path(), args=launching.FLAGS)
        for view in views:
            VIEWS[view](browser)
        browser.close()
    return 0


def _launcher(name: str) -> Any:
    sys.path.append(str(ROOT / "tests" / "support"))
    return importlib.import_module(name)


def _pages(browser: Browser) -> Iterator[tuple[str, Page]]:
    """A page for each look, with the end of its picture's name."""
    for theme in THEMES:
        for size, (wide, high) in _launcher("browser").SIZES.items():
            context = browser.new_context(viewport={"width": wide, "height": high}, color_scheme=theme)
            yield f"{theme}_{size}", context.new_page()
            context.close()


def _keep(page: Page, name: str) -> None:
    """Write what the page shows: all its colours where that fits the largest size, else as many as do."""
    whole = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for colours in (None, 256, 128, 64, 32):
        packed = io.BytesIO()
        kind = Image.Quantize.MAXCOVERAGE  # keeps small marks in their own colour
        picture = whole if colours is None else whole.quantize(colours, method=kind, dither=Image.Dither.NONE)
        picture.save(packed, "PNG", optimize=True)
        if packed.tell() <= LARGEST:
            break
    (SCREENS / f"{name}.png").write_bytes(packed.getvalue())
    print(f"docs/screens/{name}.png: {packed.tell() / 1000:.0f} kB")


def _live_ready(page: Page) -> None:
    page.get_by_role("button", name=re.compile("Jump to tick")).first.wait_for(timeout=LONG_MS)
    page.wait_for_timeout(3_000)


def _fleet_ready(page: Page) -> None:
    page.locator(".uspnb-fleet .row", has_text="inference").first.wait_for(timeout=LONG_MS)
    page.wait_for_timeout(20_000)  # until the rows have a history to show


def _explore_ready(page: Page) -> None:
    page.get_by_text("Drag in a panel to select").wait_for(timeout=LONG_MS)
    page.get_by_label("Compare with").select_option(label="Sea temperature, quicker to forget")
    page.get_by_role("region", name="Scores").wait_for(timeout=LONG_MS)
    page.wait_for_timeout(2_000)


def _served(app: str, ready: Callable[[Page], None]) -> Callable[[Browser], None]:
    def photograph(browser: Browser) -> None:
        with _launcher("browser").served(app) as server:
            server.wait_until_warm()
            for look, page in _pages(browser):
                page.goto(f"{server.address}/{app}")
                ready(page)
                _keep(page, f"{app}_{look}")

    return photograph


def _tune(browser: Browser) -> None:
    """A campaign on the sample series, run once; it is kept aside, so that the next pictures begin anew."""
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "config.toml"
        config.write_text(f'[meta_optimization]\nn_trials = 64\ncheckpoint_path = "{scratch}"\n')
        with _launcher("browser").served("tune", "--config", str(config)) as server:
            server.wait_until_warm()
            for look, page in _pages(browser):
                page.goto(f"{server.address}/tune")
                start = page.get_by_role("button", name="Start", exact=True)
                page.locator(".uspnb-tuning:is([data-state=idle], [data-state=finished])").wait_for(timeout=LONG_MS)
                if start.is_visible() and start.is_enabled():
                    start.click()
                page.locator(".uspnb-tuning[data-state=finished]").wait_for(timeout=4 * LONG_MS)
                page.get_by_text("Recommendation: the", exact=False).wait_for(timeout=LONG_MS)
                page.wait_for_timeout(2_000)
                _keep(page, f"tune_{look}")


def _workbench(browser: Browser) -> None:
    """Notebook 05 in JupyterLab, whose own layout is for wide screens."""
    notebook = ROOT / "notebooks" / "05_live_in_the_notebook.ipynb"
    with tempfile.TemporaryDirectory() as scratch, _launcher("jupyter_server").jupyter_server(Path(scratch)) as lab:
        for theme in THEMES:
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.goto(lab.open(notebook, f"live_{theme}"))
            page.wait_for_function(KERNEL_IDLE, timeout=LONG_MS)
            name = "JupyterLab Dark" if theme == "dark" else "JupyterLab Light"
            page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
            page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
            view = page.locator(".jp-OutputArea-output .uspnb-live").first
            view.wait_for(timeout=LONG_MS)
            page.wait_for_function(KERNEL_IDLE, timeout=LONG_MS)
            view.scroll_into_view_if_needed()
            page.wait_for_timeout(3_000)
            _keep(page, f"workbench_{theme}_wide")
            page.close()


def _report(browser: Browser) -> None:
    """The report of a part of the sea temperature, a stretch of it selected."""
    import uspnb
    from uspnb import plots
    from uspnb.data.samples import demo_series

    series = demo_series(6000)
    ds = uspnb.backtest(series, progress=False)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "report.html"
        plots.report(ds, path, comparison=uspnb.compare(series, dataset=ds), title="Half-hourly sea temperature")
        for look, page in _pages(browser):
            page.goto(path.as_uri())
            page.wait_for_function("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
            page.get_by_role("heading", name="Overview").evaluate("heading => heading.scrollIntoView()")
            page.wait_for_timeout(500)
            box = page.locator(".bk-Canvas").nth(1).bounding_box()  # the first is the fan's
            assert box is not None
            y = box["y"] + 0.65 * box["height"]
            page.mouse.move(box["x"] + 0.45 * box["width"], y)
            page.mouse.down()
            page.mouse.move(box["x"] + 0.75 * box["width"], y, steps=5)
            page.mouse.up()
            page.mouse.move(2, 2)
            page.evaluate("document.querySelector('h2').scrollIntoView()")
            page.wait_for_timeout(800)
            _keep(page, f"report_{look}")


VIEWS: dict[str, Callable[[Browser], None]] = {
    "live": _served("live", _live_ready),
    "fleet": _served("fleet", _fleet_ready),
    "explore": _served("explore", _explore_ready),
    "tune": _tune,
    "workbench": _workbench,
    "report": _report,
}


if __name__ == "__main__":
    raise SystemExit(main())
