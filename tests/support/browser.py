"""Chromium for the tests, without a network, and a served app in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from waiting import PATIENCE_S, until

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "build" / "screenshots"
FLAGS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE [::1]",
]
SIZES = {"wide": (1280, 800), "narrow": (390, 844)}
HOME = re.compile(r"^(?:(?:https?|wss?)://(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?(?:/|$)|data:|blob:|about:)")
# Pairs of texts or controls that lie over one another, seen through open shadow roots.  What is hidden, part of the
# other, or scrolled out of a box does not count; a head that stays in place while rows pass under it neither.
OVERLAPS = """(root) => {
  const boxes = [];
  const above = (e) => e.assignedSlot || e.parentElement || (e.getRootNode().host ?? null);
  function seen(e) {
    let { left, right, top, bottom } = e.getBoundingClientRect();
    for (let up = above(e); up; up = above(up)) {
      if (getComputedStyle(up).overflow === "visible") continue;
      const frame = up.getBoundingClientRect();
      left = Math.max(left, frame.left); right = Math.min(right, frame.right);
      top = Math.max(top, frame.top); bottom = Math.min(bottom, frame.bottom);
    }
    return { left, right, top, bottom };
  }
  (function walk(root) {
    for (const e of root.querySelectorAll("*")) {
      if (e.shadowRoot) walk(e.shadowRoot);
      const tags = /^(BUTTON|INPUT|SELECT|LABEL|H1|H2|P|TD|TH|OUTPUT|SUMMARY|A|PRE|LI|SPAN)$/;
      if (!tags.test(e.tagName) && !e.matches(".noUi-target, .widget-readout, .widget-html")) continue;
      const ways = { visibilityProperty: true, opacityProperty: true, contentVisibilityAuto: true };
      if (!e.checkVisibility(ways)) continue;
      if (e.closest(".skip, caption, .bk-Figure, thead, [aria-hidden=true]")) continue;
      const box = seen(e);
      const said = e.tagName === "INPUT" || e.tagName === "SELECT" || e.textContent.trim();
      if (said && box.right - box.left > 1 && box.bottom - box.top > 1) boxes.push([e, box]);
    }
  })(root ?? document);
  const inside = (a, b) => { for (let e = b; e; e = above(e)) if (e === a) return true; return false; };
  const found = [];
  for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
    const [a, p] = boxes[i], [b, q] = boxes[j];
    const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (wide > 2 && high > 3 && !inside(a, b) && !inside(b, a))
      found.push([a.outerHTML.slice(0, 140), b.outerHTML.slice(0, 140)]);
  }
  return found;
}"""

# Once every box of a page, seen through open shadow roots, has stood still for twenty frames.
STILL = """() => new Promise((done) => {
  let [before, frames] = ["", 0];
  (function look() {
    const boxes = [];
    (function walk(root) {
      for (const e of root.querySelectorAll("*")) {
        if (e.shadowRoot) walk(e.shadowRoot);
        const { x, y, width, height } = e.getBoundingClientRect();
        boxes.push(x, y, width, height);
      }
    })(document);
    frames = boxes.join() === before ? frames + 1 : 0;
    before = boxes.join();
    if (frames === 20) done();
    else requestAnimationFrame(look);
  })();
})"""


def until_so(page: Any, condition: Callable[[], bool], message: str) -> None:
    """Look ten times a second until a condition holds, while the page goes on."""
    last = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < last, message
        page.wait_for_timeout(100)  # between two looks


def chromium_path() -> str | None:
    """The system's Chromium; None where Playwright's own has to serve."""
    paths = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    return next(filter(None, paths), None)


class Watched:
    """A page of a fresh browser context whose requests and errors are written down.

    Attributes:
        page: Playwright's page.
        requests: addresses that it asked for.
        errors: exceptions that its scripts did not catch.
    """

    def __init__(self, browser: Any, **options: Any) -> None:
        wide, high = SIZES["wide"]
        settings = {"viewport": {"width": wide, "height": high}, "accept_downloads": True} | options
        self.context = browser.new_context(**settings)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def close(self) -> None:
        """Close it and say what it did that it should not have done."""
        self.context.close()
        strangers = [url for url in self.requests if not HOME.match(url)]
        assert not strangers, f"the page asked other machines: {strangers}"
        assert not self.errors, f"the page's scripts failed: {self.errors}"


class Served:
    """`uspnb serve` as a process.

    Attributes:
        address: scheme, host and port.
        lines: what it printed so far.
    """

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "uspnb", "serve", *arguments, "--port", "0"]
        surroundings = os.environ | {"PYTHONUNBUFFERED": "1"} | (environment or {})
        surroundings.pop("JAX_NUMPY_RANK_PROMOTION", None)
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = self._wait_for_address()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    def _wait_for_address(self) -> str:
        def address() -> str | None:
            line = re.search(r"served at (http://[^/ ]+)/", "".join(self.lines))
            return line and line[1]

        until(lambda: address() or self.process.poll() is not None)
        if (there := address()) is None:
            self.end()
            raise AssertionError(f"the server did not come up: {''.join(self.lines)}")
        return there

    def status(self) -> dict[str, Any]:
        """What the server says about itself to who may see its pages."""
        with urllib.request.urlopen(f"{self.address}/status", timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    def wait_until(self, what: str, at_most: int) -> None:
        """Wait until a figure of `status` has fallen to a bound."""
        until(lambda: self.status()[what] <= at_most)

    def wait_until_warm(self) -> None:
        """Wait until nothing compiles any more in the background."""

        def warm() -> bool:
            with contextlib.suppress(urllib.error.URLError):
                return self.status()["warm"]
            return False

        until(warm)

    def end(self) -> int:
        """Interrupt it as Ctrl-C does, and say with which code it ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join()
        return self.process.returncode


@contextlib.contextmanager
def served(*arguments: str, environment: dict[str, str] | None = None) -> Iterator[Served]:
    """A server that ends with the block, without a traceback."""
    server = Served(*arguments, environment=environment)
    try:
        yield server
    finally:
        code = server.end()
    output = "".join(server.lines)
    assert code in (0, 130) and "Traceback" not in output, output
