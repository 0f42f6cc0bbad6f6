"""Sliders for the settings that act on the next tick, made from the configuration's own declarations."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets
import traitlets

from uspnb.config.schema import SECTIONS, declaration
from uspnb.errors import UspnbError

from .front_end import bundle
from .notices import Notice, Showing, button, heading, row

if TYPE_CHECKING:
    from uspnb.engine.session import Session
    from uspnb.engine.settings import Setting

# Tuning's fast tier has six settings, but two of them set shapes and are compiled in.  These two, which people ask
# for most, stand in their place: how often a false alarm, and how wide an interval.
FAVOURITES = ("cusum_target_arl", "confidence_level")
# A range so much wider than its default, either way, is walked through by factors.
WIDE = 200.0
POSITIONS = 200


def is_wide(setting: Setting) -> bool:
    """Whether a setting's slider is logarithmic: declared so, or a range of many powers of ten around the default."""
    if setting.log:
        return True
    if setting.low < 0 or setting.default <= 0:
        return False
    below = setting.default / setting.low if setting.low > 0 else 0.0
    return max(setting.high / setting.default, below) >= WIDE


def slider_step(setting: Setting) -> float:
    """The setting's step, or where that is no round number, the next that is: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(setting.step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= setting.step * (1 - 1e-9))


class SettingRow(ipywidgets.VBox):
    """A slider and a number box that stand for one setting.

    Args:
        setting: its name, range, unit and meaning.
        configure: takes the setting by name; raises `UspnbError` for a value that it refuses.
    """

    def __init__(self, setting: Setting, configure: Callable[..., Any]) -> None:
        self.setting, self._configure = setting, configure
        self._showing = Showing()
        self._wide, self._step = is_wide(setting), slider_step(setting)
        #: what the session was last given, or gave
        self.value = setting.value
        unit = f" [{setting.unit}]" if setting.unit else ""
        tooltip = f"{setting.meaning}{unit}; from {setting.low:g} to {setting.high:g}, default {setting.default:g}"
        self.slider = self._make_slider(tooltip)
        kind = ipywidgets.IntText if setting.integer else ipywidgets.FloatText
        self.box = kind(
            setting.value, tooltip=f"{setting.name}: {tooltip}", layout=ipywidgets.Layout(width="7em", flex="0 0 auto")
        )
        self.unit = ipywidgets.HTML(
            f'<span class="uspnb-control-unit">{html.escape(setting.unit)}</span>',
            layout=ipywidgets.Layout(width="5em", flex="0 0 auto"),
        )
        self.notice = Notice()
        self.slider.observe(self._on_slider, "value")
        self.box.observe(self._on_box, "value")
        # Where there is little room the box goes under the slider, together with its unit.
        line = row(self.slider, row(self.box, self.unit, flex="0 0 auto", flex_flow="row nowrap"))
        super().__init__([line, self.notice])
        self.show(setting.value)

    def show(self, value: float) -> None:
        """Show a value that is already in force."""
        self.value = value
        with self._showing.now():
            self.box.value = value
            self.slider.value = self._on_scale(value)

    def _make_slider(self, tooltip: str) -> Any:
        s = self.setting
        looks = {
            "description": s.name.replace("_", " "),
            "tooltip": tooltip,
            "continuous_update": False,
            "readout": False,
            "layout": ipywidgets.Layout(flex="1 1 220px", min_width="0", width="auto"),
            "style": {"description_width": "8.5em"},
        }
        if not self._wide:
            return ipywidgets.FloatSlider(float(s.value), min=float(s.low), max=float(s.high), step=self._step, **looks)
        # A range that starts at 0 has no logarithm there: its lowest position is 0, above it begins default / 1000.
        least = math.log10(s.low if s.low > 0 else max(s.default / 1000, 1.0 if s.integer else 0.0))
        most = math.log10(s.high)
        return ipywidgets.FloatLogSlider(
            self._clip(s.value, 10.0**least, s.high), min=least, max=most, step=(most - least) / POSITIONS, **looks
        )

    def _on_scale(self, value: float) -> float:
        if self._wide:
            return self._clip(float(value), 10.0**self.slider.min, 10.0**self.slider.max)
        return self._clip(float(value), self.slider.min, self.slider.max)

    @staticmethod
    def _clip(value: float, low: float, high: float) -> float:
        return min(max(value, low), high)

    def _from_scale(self, position: float) -> float:
        """The setting's value for where the slider stands, rounded as a person would write it, within its range."""
        s = self.setting
        if self._wide:
            bottom = position <= 10.0**self.slider.min * (1 + 1e-9)
            value = s.low if bottom else float(f"{position:.3g}")
        else:
            value = round(position, max(0, 1 - math.floor(math.log10(self._step))))
        value = self._clip(value, s.low, s.high)
        return round(value) if s.integer else value

    def _on_slider(self, change: dict[str, Any]) -> None:
        if not self._showing.active:
            self._set(self._from_scale(float(change["new"])))

    def _on_box(self, change: dict[str, Any]) -> None:
        if not self._showing.active:
            self._set(change["new"])

    def _set(self, value: float) -> None:
        try:
            self._configure(**{self.setting.name: value})
        except UspnbError as error:
            self.show(self.value)
            self.notice.complain(f"{error}; {self.setting.name} stays {self.value:g}")
            return
        self.notice.say("")
        self.show(value)


class CopyCode(anywidget.AnyWidget):
    """A button "Copy as code" and the code under it.

    Args:
        code: what the button copies; set the trait to change it.
    """

    _esm = bundle("copy_code")

    code = traitlets.Unicode("").tag(sync=True)


def in_front(name: str) -> bool:
    """Whether a setting stands before the others."""
    search = declaration(name).search
    return name in FAVOURITES or (search is not None and search.tier == "fast")


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
        self.code = CopyCode(code=session.settings_code())
        self.reset = button(
            "Reset to defaults",
            "Set every setting back to its default, from the next tick on",
            "undo",
            self._on_reset,
        )
        further = [s for s in settings if not in_front(s.name)]
        self.groups = {
            section: Disclosure(
                f"further {section} settings ({len(members)})",
                about,
                lambda members=members: [self._add(setting) for setting in members],
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

    def _add(self, setting: Setting) -> SettingRow:
        added = self.rows[setting.name] = self._row(setting)
        # The group may be opened long after the panel was made.
        added.show(getattr(self._session.config, setting.name))
        return added

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
