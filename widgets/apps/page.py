"""The frame of every served page, and the parts of a page that Panel's own widgets cannot give.

Everything comes from this machine: one style sheet, one script and one icon under `style/`, and the files of Panel.
Panel's sliders have no accessible name and its tables no rows in the eyes of a screen reader, so the parts are native
HTML elements, drawn by `js/controls/controls.js`; `model.send_msg` of the page arrives at `on_act`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import panel as pn
import param

from uspnb.errors import UspnbError

from ..front_end import bundle
from .reach import APPS
from .reading import Reader

if TYPE_CHECKING:
    from .site import Site

FOLDER = Path(__file__).parent
STATIC_FILES = ("page.css", "page.js", "icon.svg")
THEMES = ("light", "dark")
MOST_TEXT = 600
WIDE: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0}

Act = Callable[[dict[str, Any]], None]


class Part(pn.custom.JSComponent):
    """A part of a page with the page's styles, as wide as its place."""

    _stylesheets: ClassVar[list[Any]] = [FOLDER / "elements.css"]

    def __init__(self, **params: Any) -> None:
        super().__init__(**WIDE | params)


class ThemeLink(pn.custom.JSComponent):
    """Tells Python how the page looks: `value` is "light" or "dark", `narrow` whether it is as on a phone."""

    value = param.Selector(default="light", objects=list(THEMES), doc="the colours that the page shows now")
    narrow = param.Boolean(default=False, doc="whether the page is at most 600 pixels wide")
    certain = param.Boolean(default=False, doc="whether the page has said so, or all this is a guess yet")

    _esm = """
    export function render({ model }) {
      const narrow = window.matchMedia("(max-width: 600px)");
      const tell = () => {
        model.value = document.documentElement.dataset.theme;
        model.narrow = narrow.matches;
        model.certain = true;
      };
      window.addEventListener("uspnb-theme", tell);
      narrow.addEventListener("change", tell);
      tell();
      return document.createElement("span");
    }
    """

    def __init__(self, **params: Any) -> None:
        # the cookie of an earlier visit spares the page a redraw
        cookie = (pn.state.cookies or {}).get("uspnb_theme", "light")
        super().__init__(value=cookie if cookie in THEMES else "light", width=0, height=0, margin=0, **params)


class Notice(Part):
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

    def tell(self, text: str) -> None:
        """Show a sentence."""
        self.param.update(text=cut(text), kind="info")

    def refuse(self, text: str) -> None:
        """Show why something was not done."""
        self.param.update(text=cut(text), kind="error")


def cut(text: str) -> str:
    """A text that may hold what a visitor's file holds, so long that it can be read and no longer."""
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 3]}..."


class PageTemplate(pn.Template):
    """A template whose parts Panel does not write out again as each is added, a fifth of the time a page takes."""

    def __repr__(self) -> str:
        return type(self).__name__


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
    template = PageTemplate((FOLDER / "page.html").read_text(encoding="utf-8"))
    parts = {"bar": bar, "side": side, "foot": foot}
    for number, part in enumerate(main if isinstance(main, Sequence) else [main]):
        parts[f"main_{number}"] = part
    for name, part in parts.items():
        if part is not None:
            template.add_panel(name, part)
    template.add_panel("theme", theme)
    variables = {
        "app": app,
        "apps": {name: words[0] for name, words in APPS.items()},
        "heading": title,
        "lead": lead,
        "has": [name for name, part in parts.items() if part is not None],
        "apple_icon": "",
    }
    for name, value in variables.items():
        template.add_variable(name, value)
    return template


def schedule(document: Any, act: Callable[[], object]) -> None:
    """Have a page do something on its own thread, called from any other; nothing where the page has gone meanwhile."""
    # Bokeh takes a document apart when its page is left, whoever still holds it
    with contextlib.suppress(AttributeError):
        document.add_next_tick_callback(act)


class AppPage:
    """One visitor's page of an app, until the visitor leaves or the server ends.

    An app's own has `template()`, which lays it out, and `start()`, called once it stands in the browser, so that what
    is only fetched, by a robot for one, computes nothing.

    Args:
        site: the server.
    """

    def __init__(self, site: Site) -> None:
        self.site, self.theme, self.notice = site, ThemeLink(), Notice()
        #: the view of a session or of a campaign, while there is one
        self.view: Any = None
        self._closed = False
        self._document = pn.state.curdoc
        self.theme.param.watch(lambda event: self._dress(), "value")

    def open(self, series: Any, title: str) -> None:
        """Show a series in place of what is shown, where an app shows one.

        Raises:
            DomainError: it is no series.
        """
        raise NotImplementedError

    def close(self) -> None:
        """The visitor has left."""
        self._closed = True

    def guard(self, act: Callable[[], object]) -> None:
        """Do something, or tell the reader why it was not done."""
        try:
            act()
        except (UspnbError, OSError) as error:
            self.notice.refuse(str(error))

    def read(
        self, function: Callable[..., Any], content: bytes, name: str, *more: Any, then: Callable[[Any], None]
    ) -> None:
        """Read an uploaded file in the server's helper process, and do something with what it holds.

        Args:
            function: of a module; called in the helper with the path of the file, its name and what is in `more`.
            content: of the file.
            name: what the visitor calls it.
            more: arguments that a pickle can hold.
            then: called with what the function has made of it, on the page's own thread.
        """
        reader: Reader = self.site.hold("reader", Reader)
        self.notice.tell(f"Reading {name}.")

        def work() -> None:
            try:
                outcome = reader.read(function, content, name, *more)
            except (UspnbError, OSError) as error:
                reason = str(error)
                schedule(self._document, lambda: self.notice.refuse(reason))
            else:
                schedule(self._document, lambda: self.guard(lambda: self._closed or then(outcome)))

        threading.Thread(target=work, name="uspnb-page-read", daemon=True).start()

    def _dress(self) -> None:
        """Follow the reader's choice of colours."""
        if self.view is not None:
            self.view.theme = self.theme.value


def error_page(app: str, text: str) -> pn.Template:
    """A page that says in one sentence why it cannot show what was asked for."""
    return page(app, APPS[app][0], "", ThemeLink(), main=Notice(text=text, kind="error"))


class Element(Part):
    """What the controls share: the script, and where the reader's acts go."""

    kind = param.String(doc="which function of controls.js draws it")

    _esm = bundle("controls")

    def __init__(self, on_act: Act | None = None, **params: Any) -> None:
        self._on_act = on_act
        super().__init__(**params)

    def _handle_msg(self, data: Any) -> None:
        if self._on_act is not None and isinstance(data, dict):
            self._on_act(data)


class Badges(Element):
    """Phase, mode, health, ticks and rate of a session, and its message in words."""

    kind = param.String(default="badges", constant=True)
    status = param.Dict(default={}, doc="of `SessionStatus.as_dict`, with texts")


class Transport(Element):
    """Where in the run the reader looks, and how fast it goes; acts: look, newest, seek, speed."""

    kind = param.String(default="transport", constant=True)
    status = param.Dict(default={}, doc="of `SessionStatus.as_dict`")
    speeds = param.List(default=[], doc="pairs of the value that comes back and its text")
    seekable = param.Boolean(default=False, doc="whether the run can be taken up again from an earlier tick")
    paced = param.Boolean(default=False, doc="whether the speed can be chosen")


class Alarms(Element):
    """The table of alarms, the newest first; act: jump."""

    kind = param.String(default="alarms", constant=True)
    rows = param.List(default=[], doc="dicts of tick, time, chart, began")
    total = param.Integer(default=0, doc="alarms in all, of which the newest are rows")


class Sensitivity(Element):
    """A slider and a number for each traced setting; acts: configure, defaults."""

    kind = param.String(default="settings", constant=True)
    settings = param.List(default=[], doc="dicts of the fields of `Setting`; `first` ones are not folded away")
    values = param.Dict(default={}, doc="values in force")
    code = param.String(default="", doc="the settings as Python")
    wrong = param.String(default="", doc="why the last change was refused")


class Keeping(Element):
    """Marks to come back to, and exports; acts: mark, restore, export."""

    kind = param.String(default="keeping", constant=True)
    marks = param.List(default=[], doc="dicts of key and text")
    formats = param.List(default=[], doc="pairs of the kind that comes back and the text of its button")
    busy = param.Boolean(default=False, doc="whether an export is being written")
    outcome = param.String(default="", doc="what became of the last act")
    download = param.Dict(default={}, doc="url and name of a file that the browser fetches now")
