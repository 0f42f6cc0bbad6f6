"""One setting: a slider, a box to type an exact value into, and the sentence that says why a value is refused."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets

from uspnb.errors import UspnbError

from .notices import Notice, Showing, row

if TYPE_CHECKING:
    from uspnb.engine.settings import Setting

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
        self._value = setting.value
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

    @property
    def value(self) -> float:
        """The value that the session was last given, or gave."""
        return self._value

    def show(self, value: float) -> None:
        """Show a value that is already in force."""
        self._value = value
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
            self.show(self._value)
            self.notice.complain(f"{error}; {self.setting.name} stays {self._value:g}")
            return
        self.notice.say("")
        self.show(value)
