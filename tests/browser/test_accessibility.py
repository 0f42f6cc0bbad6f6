"""axe-core on the served pages, and pictures of them in both themes and both widths for somebody to look at."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Page

pytestmark = [pytest.mark.timeout(280), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

AXE = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js"))
GRAVE = ("serious", "critical")
SIZES = {"wide": (1280, 800), "narrow": (390, 844)}
LOOKS = [("light", "wide"), ("dark", "wide"), ("light", "narrow"), ("dark", "narrow")]
LONG_MS = 180_000


def live(page: Page) -> None:
    page.get_by_role("button", name=re.compile("Jump to tick")).first.wait_for(timeout=LONG_MS)


def fleet(page: Page) -> None:
    page.locator(".uspnb-fleet .row .value", has_text=re.compile(r"\d")).first.wait_for(timeout=LONG_MS)
    page.wait_for_timeout(3_000)


def explore(page: Page) -> None:
    page.get_by_text("Drag in a panel to select").wait_for(timeout=LONG_MS)
    page.get_by_label("Compare with").select_option(label="Sea temperature, quicker to forget")
    page.get_by_role("region", name="Scores").wait_for(timeout=LONG_MS)
    page.wait_for_timeout(800)


READY: dict[str, Callable[[Page], None]] = {"live": live, "fleet": fleet, "explore": explore}


def grave_findings(page: Page) -> list[str]:
    """What axe finds serious or critical; the rest is printed."""
    page.add_script_tag(path=str(AXE))
    found: list[dict[str, Any]] = page.evaluate("axe.run()")["violations"]
    told = [f"{v['impact']}: {v['id']}, {v['help']}: {[node['target'] for node in v['nodes']][:4]}" for v in found]
    print("\n".join(told))
    return [text for text in told if text.startswith(GRAVE)]


@pytest.mark.parametrize("app", list(READY))
def test_pages_are_accessible_and_nothing_lies_over_anything(app, new_page, live_server, screenshots, overlaps):
    for theme, size in LOOKS:
        wide, high = SIZES[size]
        page = new_page(viewport={"width": wide, "height": high}, color_scheme=theme)
        page.goto(f"{live_server.address}/{app}")
        READY[app](page)
        page.screenshot(path=str(screenshots / f"{app}-{theme}-{size}.png"))
        page.screenshot(path=str(screenshots / f"{app}-{theme}-{size}-whole.png"), full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= wide, f"{app} is wider than {size}"
        assert page.evaluate(overlaps) == []
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


def test_front_page_and_sign_in_are_accessible(new_page, serving, screenshots):
    with serving("live", "--password-env", "UNDER_TEST", environment={"UNDER_TEST": "open sesame"}) as server:
        page = new_page(color_scheme="dark")
        page.goto(f"{server.address}/live")
        page.screenshot(path=str(screenshots / "sign-in-dark.png"))
        assert grave_findings(page) == []
        page.get_by_label("Password").fill("open sesame")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(re.compile(r"/(live)?$"))
        page.goto(server.address)
        page.screenshot(path=str(screenshots / "front-dark.png"))
        assert grave_findings(page) == []
