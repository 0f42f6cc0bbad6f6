"""A stand-in for JupyterLab and Panel: a front end's module in a bare page, which is pushed frames and heard."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from playwright.sync_api import ViewportSize

from uspnb.widgets.front_end import bundle, style

WIDE = ViewportSize(width=1280, height=900)
NARROW = ViewportSize(width=390, height=844)
HOST = """
async ([source, style, values, root]) => {
  document.documentElement.lang = "en";
  document.title = "under test";
  document.body.innerHTML = "<main><h1>A front end</h1></main>";
  document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const module = await import(url);
  const watchers = {};
  window.sent = [];
  window.host = {
    get: (name) => values[name],
    set: (name, value) => { values[name] = value; window.sent.push([name, value]); },
    save_changes() {},
    on: (name, callback) => (watchers[name] ??= []).push(callback),
    off(name, callback) { watchers[name] = watchers[name].filter((kept) => kept !== callback); },
    push(name, value) {
      values[name] = value;
      for (const callback of watchers[`change:${name}`] ?? []) callback();
    },
    frame(text) {
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      // Hosts hand over a view into a larger buffer, not always at a multiple of eight.
      const shifted = new Uint8Array(bytes.length + 5);
      shifted.set(bytes, 5);
      this.push("frame", new DataView(shifted.buffer, 5));
    },
  };
  const widget = module.default();
  widget.initialize({ model: window.host });
  window.show = () => {
    const el = document.createElement("div");
    document.querySelector("main").append(el);
    return widget.render({ model: window.host, el });
  };
  window.unshow = window.show();
  window.view = document.querySelector(root);
}
"""


class ModuleHost:
    """What JupyterLab or Panel is to a module.

    Args:
        page: an empty page.
    """

    name: ClassVar[str]
    sheet: ClassVar[str]
    root: ClassVar[str]

    def __init__(self, page: Any) -> None:
        self.page, self.seq, self.faults = page, 0, []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda message: self.faults.append(message.text) if message.type == "error" else None)

    def load(self, values: dict[str, Any], prepare: str = "() => {}") -> None:
        """Open the module in a page of its own, with the values that its model has from the start."""
        self.page.goto("about:blank")
        self.page.evaluate(prepare)
        self.page.evaluate(HOST, [bundle(self.name), style(self.sheet), {"theme": "auto"} | values, self.root])

    def frame(self, frame: bytes) -> None:
        """Push a frame."""
        self.page.evaluate("text => window.host.frame(text)", base64.b64encode(frame).decode())

    def push(self, name: str, value: Any) -> None:
        """Set a trait as Python would."""
        self.page.evaluate("([name, value]) => window.host.push(name, value)", [name, value])
        self.settle()

    def settle(self) -> None:
        """Wait until what was pushed is drawn."""
        self.page.evaluate("() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")

    def sent(self, name: str) -> list[Any]:
        """What the front end has set under a name."""
        return [value for sent, value in self.page.evaluate("window.sent") if sent == name]

    def commands(self) -> list[tuple[str, Any]]:
        """Its commands; pings go without saying."""
        return [(one["name"], one["value"]) for one in self.sent("command") if one["name"] != "ping"]

    def data(self, name: str) -> str:
        """What the view writes about itself for tests."""
        return self.page.evaluate("name => window.view.dataset[name]", name)
