"""axe-core on the served pages, and pictures of them in both themes and both widths for somebody to look at."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from browser import OVERLAPS, SIZES, STILL
from playwright.sync_api import Page, expect

from uspnb.plots.style import THEMES

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

# a page is opened once in each width, in one theme, and then changed to the other
LOOKS = {"wide": ("light", "dark"), "narrow": ("dark", "light")}
# the explore page draws its figures anew, on another ground
ON_GROUND = """(ground) => {
  const figures = Bokeh.documents.flatMap((d) => [...d._all_models.values()].filter((m) => m.center && m.x_range));
  return figures.length && figures.every((figure) => figure.background_fill_color === ground);
}"""


def live(page: Page) -> None:
    page.get_by_label("Speed", exact=True).select_option("300 ticks a second")
    page.get_by_role("button", name=re.compile("Jump to tick")).first.wait_for()


def fleet(page: Page) -> None:
    page.locator(".uspnb-fleet .row .value", has_text=re.compile(r"\d")).first.wait_for()
    expect(page.locator(".uspnb-fleet")).to_have_attribute("data-states", re.compile(r"\d\d"))


def explore(page: Page) -> None:
    page.get_by_text("Drag in a panel to select").wait_for()
    page.get_by_label("Compare with").select_option(label="Sea temperature, quicker to forget")
    page.get_by_role("region", name="Scores").wait_for()
    page.get_by_text("alarms in Sea temperature").wait_for()
    page.evaluate(STILL)


def tune(page: Page) -> None:
    """As it stands before anything is run: a campaign writes to the disk of the server."""
    page.get_by_role("heading", level=2, name=re.compile("sea-temperature-half-hourly-fast-mase-")).wait_for()
    page.get_by_role("button", name="Start", exact=True).wait_for()
    page.evaluate(STILL)


def change_theme(page: Page, app: str, theme: str) -> None:
    """Until the page and the view on it have the colours."""
    page.get_by_role("button", name=theme.capitalize(), exact=True).click()
    expect(page.locator("html")).to_have_attribute("data-theme", theme)
    if app == "explore":
        page.wait_for_function(ON_GROUND, arg=THEMES[theme]["background"])
        page.evaluate(STILL)
    else:
        view = {"live": ".uspnb-live", "fleet": ".uspnb-fleet", "tune": ".uspnb-tuning"}[app]
        expect(page.locator(view)).to_have_attribute("data-theme", theme)


READY: dict[str, Callable[[Page], None]] = {"live": live, "fleet": fleet, "explore": explore, "tune": tune}


@pytest.mark.parametrize("app", list(READY))
def test_pages_are_accessible_and_nothing_lies_over_anything(app, new_page, live_server, screenshots, grave_findings):
    for size, themes in LOOKS.items():
        wide, high = SIZES[size]
        page = new_page(viewport={"width": wide, "height": high}, color_scheme=themes[0])
        page.goto(f"{live_server.address}/{app}")
        READY[app](page)
        for theme in themes:
            if theme != themes[0]:
                change_theme(page, app, theme)
            page.screenshot(path=str(screenshots / f"{app}-{theme}-{size}.png"))
            page.screenshot(path=str(screenshots / f"{app}-{theme}-{size}-whole.png"), full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= wide, f"{app} is wider than {size}"
            assert page.evaluate(OVERLAPS) == [], (app, theme, size)
            if size == "wide":  # what axe judges depends on the colours, not on the width
                assert grave_findings(page) == [], (app, theme, size)
        page.close()


def test_the_structure_of_a_page(chromium_page, live_server):
    for app in READY:
        chromium_page.goto(f"{live_server.address}/{app}")
        assert chromium_page.locator("html").get_attribute("lang") == "en"
        assert chromium_page.title().endswith("- uspnb")
        for role in ("banner", "navigation", "main"):
            assert chromium_page.get_by_role(role).count() == 1
        chromium_page.keyboard.press("Tab")
        assert chromium_page.evaluate("document.activeElement.textContent") == "Skip to the content"
        assert chromium_page.get_by_role("heading", level=1).count() == 1


def test_the_front_page_is_accessible(new_page, live_server, screenshots, grave_findings):
    page = new_page(color_scheme="dark")
    page.goto(live_server.address)
    page.screenshot(path=str(screenshots / "front-dark.png"))
    assert grave_findings(page) == []
