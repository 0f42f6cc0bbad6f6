"""The parts of a served page that Panel's own widgets cannot give without failing an accessibility check.

Panel's sliders have no accessible name and its tables no rows in the eyes of a screen reader, so these are native HTML
elements, drawn by `js/controls/controls.js`; `model.send_msg` of the page arrives at `on_act`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import panel as pn
import param

from ..live_esm import bundle
from .page import FOLDER

Act = Callable[[dict[str, Any]], None]


class Element(pn.custom.JSComponent):
    """What all of them share: the script, the styles, and where the reader's acts go."""

    kind = param.String(doc="which function of controls.js draws it")

    _esm = bundle("controls")
    _stylesheets: ClassVar[list[Any]] = [FOLDER / "elements.css"]

    def __init__(self, on_act: Act | None = None, **params: Any) -> None:
        self._on_act = on_act
        super().__init__(**{"sizing_mode": "stretch_width", "margin": 0} | params)

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
    said = param.String(default="", doc="what became of the last act")
    download = param.Dict(default={}, doc="url and name of a file that the browser fetches now")
