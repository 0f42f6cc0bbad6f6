"""Sliders for the settings that act on the next tick, made from the configuration's own declarations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets

from uspnb.config.schema import SECTIONS, declaration

from .copy_code import CopyCode
from .notices import Notice, button, heading, row
from .setting_row import SettingRow

if TYPE_CHECKING:
    from uspnb.engine.session import Session
    from uspnb.engine.settings import Setting

# Tuning's fast tier has six settings, but two of them set shapes and are compiled in.  These two, which people ask
# for most, stand in their place: how often a false alarm, and how wide an interval.
ASKED_FOR = ("cusum_target_arl", "confidence_level")


def in_front(name: str) -> bool:
    """Whether a setting stands before the others."""
    search = declaration(name).search
    return name in ASKED_FOR or (search is not None and search.tier == "fast")


class SettingsPanel(ipywidgets.VBox):
    """The settings of a session: the six that matter most, the others on demand, reset, and copy as code.

    Args:
        session: whose settings they are.
        notice: where a refusal that belongs to no single setting is shown.
    """

    def __init__(self, session: Session, notice: Notice) -> None:
        self._session, self._notice = session, notice
        self._config: Any = session.config
        settings = session.settings
        self.rows: dict[str, SettingRow] = {s.name: self._row(s) for s in settings if in_front(s.name)}
        self.code = CopyCode(session.settings_code())
        self.reset = button("Reset to defaults", "Set every setting back to its default, from the next tick on", "undo")
        self.reset.on_click(lambda _: self._on_reset())
        further = [s for s in settings if not in_front(s.name)]
        self.groups = {
            section: Disclosure(
                f"further {section} settings ({len(members)})",
                about,
                lambda members=members: [self._keep(setting) for setting in members],
            )
            for section, about in SECTIONS.items()
            if (members := [s for s in further if s.section == section])
        }
        front = list(self.rows.values())
        super().__init__(
            [
                heading("Sensitivity, from the next tick on"),
                *front,
                *self.groups.values(),
                row(self.reset),
                self.code,
            ]
        )

    def refresh(self) -> None:
        """Follow settings that were changed elsewhere."""
        if self._session.config is self._config:
            return
        self._config = self._session.config
        values = {setting.name: setting.value for setting in self._session.settings}
        for name, shown in list(self.rows.items()):
            shown.show(values[name])
        self.code.code = self._session.settings_code()

    def _row(self, setting: Setting) -> SettingRow:
        return SettingRow(setting, self._session.configure)

    def _keep(self, setting: Setting) -> SettingRow:
        made = self.rows[setting.name] = self._row(setting)
        # The group may be opened long after the panel was made.
        made.show(getattr(self._session.config, setting.name))
        return made

    def _on_reset(self) -> None:
        defaults = {setting.name: setting.default for setting in self._session.settings}
        if self._notice.attempt(self._session.configure, **defaults):
            for name, shown in self.rows.items():
                shown.show(defaults[name])


class Disclosure(ipywidgets.VBox):
    """A button that shows or hides what is under it, made when it is first opened.

    ipywidgets' accordion cannot be opened from the keyboard; a button can.
    """

    def __init__(self, title: str, about: str, make: Callable[[], list[Any]]) -> None:
        self._title, self._about, self._make = title, about, make
        self.opener = ipywidgets.ToggleButton(
            False, icon="caret-right", layout=ipywidgets.Layout(width="100%", margin="2px 0")
        )
        self.opener.add_class("uspnb-control-opener")
        self.body = ipywidgets.VBox([], layout=ipywidgets.Layout(display="none"))
        super().__init__([self.opener, self.body])
        self.opener.observe(lambda _: self._show(), "value")
        self._show()

    def _show(self) -> None:
        opened = bool(self.opener.value)
        if opened and not self.body.children:
            self.body.children = tuple(self._make())
        self.body.layout.display = "" if opened else "none"
        self.opener.icon = "caret-down" if opened else "caret-right"
        self.opener.description = f"{'Hide' if opened else 'Show'} {self._title}"
        self.opener.tooltip = f"{self.opener.description}: {self._about}"
