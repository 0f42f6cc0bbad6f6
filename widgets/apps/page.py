"""The frame of every served page: header, navigation, colours, and the places where an app puts its parts.

Everything comes from this machine: one style sheet, one script and one icon under `style/`, and the files of Panel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import panel as pn
import param

from .reach import APPS

FOLDER = Path(__file__).parent
STATIC_FILES = ("page.css", "page.js", "icon.svg")
THEMES = ("light", "dark")


class ThemeLink(pn.custom.JSComponent):
    """Tells Python how the page looks: `value` is "light" or "dark", `narrow` whether it is as on a phone."""

    value = param.Selector(default="light", objects=list(THEMES), doc="the colours that the page shows now")
    narrow = param.Boolean(default=False, doc="whether the page is at most 600 pixels wide")
    told = param.Boolean(default=False, doc="whether the page has said so, or all this is a guess yet")

    _esm = """
    export function render({ model }) {
      const narrow = window.matchMedia("(max-width: 600px)");
      const tell = () => {
        model.value = document.documentElement.dataset.theme;
        model.narrow = narrow.matches;
        model.told = true;
      };
      window.addEventListener("uspnb-theme", tell);
      narrow.addEventListener("change", tell);
      tell();
      return document.createElement("span");
    }
    """

    def __init__(self, **params: Any) -> None:
        # the cookie of an earlier visit spares the page a redraw
        known = (pn.state.cookies or {}).get("uspnb_theme", "light")
        super().__init__(value=known if known in THEMES else "light", width=0, height=0, margin=0, **params)


class Notice(pn.custom.JSComponent):
    """One plain sentence for the reader: an error, or what a page is doing; empty shows nothing."""

    text = param.String(doc="the sentence")
    kind = param.Selector(default="info", objects=["info", "error"], doc="an error is read out at once")

    _esm = """
    export function render({ model }) {
      const box = document.createElement("div");
      const show = () => {
        box.className = "telling " + model.kind;
        box.setAttribute("role", model.kind === "error" ? "alert" : "status");
        box.textContent = model.text;
        box.hidden = !model.text;
      };
      model.on(["text", "kind"], show);
      show();
      return box;
    }
    """
    _stylesheets: ClassVar[list[Any]] = [FOLDER / "elements.css"]

    def __init__(self, **params: Any) -> None:
        super().__init__(**{"sizing_mode": "stretch_width", "margin": 0} | params)

    def tell(self, text: str) -> None:
        """Show a sentence."""
        self.param.update(text=text, kind="info")

    def refuse(self, text: str) -> None:
        """Show why something was not done."""
        self.param.update(text=text, kind="error")


def page(
    app: str,
    title: str,
    lead: str,
    theme: ThemeLink,
    *,
    main: pn.viewable.Viewable | Sequence[pn.viewable.Viewable],
    side: pn.viewable.Viewable | None = None,
    bar: pn.viewable.Viewable | None = None,
    foot: pn.viewable.Viewable | None = None,
) -> pn.Template:
    """A whole page.

    Args:
        app: which of `APPS` it belongs to; the navigation marks it.
        title: the heading, and the title of the browser's tab.
        lead: one sentence below the heading, "" for none.
        theme: the page's link to the reader's choice of colours.
        main: the content; each of several parts is laid out by itself, which figures that come later need: Bokeh lays
            out a grid that is put into a nested column in no width at all.
        side: a column beside it, below it on narrow screens.
        bar: a row above both.
        foot: what stands below the content, and on narrow screens below the side.
    """
    made = pn.Template((FOLDER / "page.html").read_text(encoding="utf-8"))
    parts = {"bar": bar, "side": side, "foot": foot}
    for number, part in enumerate(main if isinstance(main, Sequence) else [main]):
        parts[f"main_{number}"] = part
    for name, part in parts.items():
        if part is not None:
            made.add_panel(name, part)
    made.add_panel("theme", theme)
    variables = {
        "app": app,
        "apps": {name: words[0] for name, words in APPS.items()},
        "heading": title,
        "lead": lead,
        "has": [name for name, part in parts.items() if part is not None],
        "apple_icon": "",
    }
    for name, value in variables.items():
        made.add_variable(name, value)
    return made


def soon(document: Any, act: Callable[[], None]) -> None:
    """Have a page do something on its own thread, called from any other; nothing where the page has gone meanwhile."""
    # Bokeh takes a document apart when its page is left, whoever still holds it
    with contextlib.suppress(AttributeError):
        document.add_next_tick_callback(act)


def error_page(app: str, text: str) -> pn.Template:
    """A page that says in one sentence why it cannot show what was asked for."""
    return page(app, APPS[app][0], "", ThemeLink(), main=Notice(text=text, kind="error"))
