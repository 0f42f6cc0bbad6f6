"""A browser for each test that wants one, whose page must stay on this machine and must not fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import browser as launching
import live_host as live
import pytest
from module_host import ModuleHost
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from waiting import PATIENCE_S

PATIENCE_MS = 1e3 * PATIENCE_S
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser per file of tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=launching.chromium_path(), args=launching.FLAGS)
        make = browser.new_context

        def patient(**options: Any) -> BrowserContext:
            context = make(**options)
            context.set_default_timeout(PATIENCE_MS)
            return context

        browser.new_context = patient
        yield browser
        browser.close()


@pytest.fixture
def chromium_page(chromium: Browser) -> Iterator[Page]:
    """A fresh page; the test fails if it asked another machine for anything, or if one of its scripts failed."""
    watched = launching.Watched(chromium)
    yield watched.page
    watched.close()


@pytest.fixture
def new_host(chromium: Browser) -> Iterator[Callable[..., Any]]:
    """Makes a kind of host in a bare page: a stand-in for JupyterLab and Panel; the test fails if a module does."""
    contexts, hosts = [], []

    def make(kind: type[ModuleHost], held_clock: bool = False, **options: Any) -> Any:
        contexts.append(chromium.new_context(**{"viewport": live.WIDE, "color_scheme": "light"} | options))
        page = contexts[-1].new_page()
        if held_clock:
            page.clock.install()
        hosts.append(kind(page))
        return hosts[-1]

    yield make
    for context in contexts:
        context.close()
    assert [fault for host in hosts for fault in host.faults] == []


@pytest.fixture
def host(new_host: Callable[..., Any]) -> Any:
    """The live view's module."""
    return new_host(live.Host)


@pytest.fixture
def new_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Makes watched pages with options of their own: `viewport`, `color_scheme`, `permissions`."""
    opened: list[Any] = []

    def make(**options: Any) -> Page:
        opened.append(launching.Watched(chromium, **options))
        return opened[-1].page

    yield make
    for watched in opened:
        watched.close()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures go that somebody shall look at."""
    launching.PICTURES.mkdir(parents=True, exist_ok=True)
    return launching.PICTURES


@pytest.fixture(scope="module")
def live_server() -> Iterator[Any]:
    """`uspnb serve`, warm, for the tests of one file."""
    with launching.served() as server:
        server.wait_until_warm()
        yield server


@pytest.fixture(scope="session")
def grave_findings() -> Callable[[Page], list[str]]:
    """What axe finds serious or critical on a page, shadow roots included; the rest is printed."""
    script = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js"))

    def find(page: Page) -> list[str]:
        page.evaluate(script.read_text(encoding="utf-8"))  # no tag, which the pages' policy refuses
        violations: list[dict[str, Any]] = page.evaluate("axe.run()")["violations"]
        lines = [f"{v['impact']}: {v['id']}, {v['help']}: {[n['target'] for n in v['nodes']][:4]}" for v in violations]
        print("\n".join(lines))
        return [line for line in lines if line.startswith(("serious", "critical"))]

    return find
