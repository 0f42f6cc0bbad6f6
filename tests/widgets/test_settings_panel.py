"""Sliders and boxes of the settings: ranges, steps, what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.engine.settings import Setting, settings_of
from uspnb.errors import DomainError
from uspnb.widgets.settings_panel import SettingRow, is_wide, slider_step

SETTINGS = {setting.name: setting for setting in settings_of(PredictorConfig())}


def setting(name: str, **changed: Any) -> Setting:
    """A setting as its declaration has it, with some of it changed."""
    return dataclasses.replace(SETTINGS[name], **changed)


def test_every_setting_fits_its_slider():
    for name in SETTINGS:
        row = SettingRow(setting(name), lambda **values: None)
        s = row.setting
        for value in (s.low, s.default, s.high):
            row.show(value)
            assert row.box.value == value
            assert s.low <= row._from_scale(row.slider.value) <= s.high
        assert s.meaning in row.slider.tooltip and s.meaning in row.box.tooltip and name in row.box.tooltip


@pytest.mark.parametrize("name", list(SETTINGS))
def test_ends_of_the_slider_are_ends_of_the_range(name):
    values: dict[str, float] = {}
    row = SettingRow(setting(name), values.update)
    low, high = row.setting.low, row.setting.high
    row.slider.value = 10.0**row.slider.max if is_wide(row.setting) else row.slider.max
    assert values[name] == pytest.approx(high, rel=5e-3)
    row.slider.value = 10.0**row.slider.min if is_wide(row.setting) else row.slider.min
    assert values[name] == pytest.approx(low, rel=5e-3, abs=1e-12)


def test_slider_values_are_written_as_a_person_would():
    values: dict[str, float] = {}
    row = SettingRow(setting("cusum_k"), values.update)
    row.slider.value = 0.30000000000000004
    assert values == {"cusum_k": 0.3} and row.box.value == 0.3
    row = SettingRow(setting("cusum_target_arl"), values.update)
    row.slider.value = 1234.5678
    assert values["cusum_target_arl"] == 1230.0
    row = SettingRow(setting("grace_period_steps"), values.update)
    row.slider.value = 49.7
    assert values["grace_period_steps"] == 50 and isinstance(values["grace_period_steps"], int)


def test_a_value_out_of_range_is_explained_and_the_old_one_kept():
    def configure(**values: float) -> None:
        if values["cusum_k"] > 2:
            raise DomainError(f"cusum_k = {values['cusum_k']} is outside its range [0.05, 2]")

    row = SettingRow(setting("cusum_k"), configure)
    row.box.value = 7.0
    assert row.box.value == row.slider.value == row.value == 0.5
    assert row.notice.text == "cusum_k = 7.0 is outside its range [0.05, 2]; cusum_k stays 0.5"
    assert 'role="alert"' in row.notice.value and row.notice.layout.display == ""
    row.box.value = 0.7
    assert row.value == row.slider.value == 0.7 and row.notice.text == "" and row.notice.layout.display == "none"


def test_showing_a_value_orders_nothing():
    def configure(**values: float) -> None:
        raise AssertionError(f"the session was told {values}")

    SettingRow(setting("cusum_k"), configure).show(1.5)
    SettingRow(setting("epsilon"), configure).show(0.5)


@pytest.mark.parametrize(("wanted", "step"), [(0.00975, 0.01), (0.245, 0.5), (0.005, 0.005), (0.02, 0.02), (1.0, 1.0)])
def test_steps_are_round_numbers(wanted, step):
    assert slider_step(setting("cusum_k", step=wanted)) == pytest.approx(step)
