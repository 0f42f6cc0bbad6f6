"""The columns of the calendar against pandas' civil times, and the configuration that asks for them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from uspnb import PredictorConfig
from uspnb.model.calendar import calendar_columns, column_effects

NOW = pd.Timestamp("2026-01-07T11:00:00Z")


def columns(config: PredictorConfig, times: pd.DatetimeIndex) -> np.ndarray:
    stamps = times.as_unit("ns").asi8
    return np.asarray(calendar_columns(config, jnp.asarray(NOW.value), jnp.asarray(stamps)))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata", "Australia/Lord_Howe"])
def test_hours_and_weekdays_are_those_of_the_zone(zone: str) -> None:
    config = PredictorConfig(calendar=("hour", "weekday"), calendar_zone=zone)
    times = pd.date_range("1999-12-30", "2030-01-02", freq="37h", tz="UTC")
    local = times.tz_convert(zone)
    found = columns(config, times)
    phase = 2 * np.pi * (local.hour + local.minute / 60).to_numpy() / 24
    np.testing.assert_allclose(found[:, 0], np.sin(phase), atol=1e-9)
    np.testing.assert_allclose(found[:, 3], np.cos(phase), atol=1e-9)
    days = found[:, 6:12]
    expected = pd.get_dummies(local.day_of_week).to_numpy(float)
    np.testing.assert_array_equal(days, expected[:, :6] - expected[:, 6:])
    weekend = found[:, 18:]
    np.testing.assert_allclose(weekend[:, 0], np.where(local.day_of_week >= 5, np.sin(phase), 0.0), atol=1e-9)
    assert found.shape[1] == len(column_effects(config)) == 24


def test_a_holiday_is_a_day_of_the_zone_of_the_tick_and_of_the_one_it_is_forecast_from() -> None:
    config = PredictorConfig(holidays=("2026-12-25", "2026-01-07"), calendar_zone="America/New_York")
    times = pd.DatetimeIndex(["2026-12-25T04:00Z", "2026-12-25T06:00Z", "2026-12-26T04:59Z", "2026-12-26T05:00Z"])
    np.testing.assert_array_equal(columns(config, times), [[0, 1], [1, 1], [1, 1], [0, 1]])
    assert config.effects == ("holiday",) and list(column_effects(config)) == [0, 0]


def test_the_year_has_one_course() -> None:
    config = PredictorConfig(calendar=("month",))
    times = pd.DatetimeIndex(["2020-03-01T00:00Z", "2021-03-01T00:00Z", "2020-09-01T00:00Z"])
    found = columns(config, times)
    np.testing.assert_allclose(found[0], found[1], atol=0.03)
    assert np.abs(found[0] - found[2]).max() > 1.0


def test_every_column_belongs_to_one_effect() -> None:
    config = PredictorConfig(covariates=("t",), calendar=("month", "hour", "weekday"), holidays=("2026-01-01",))
    places = column_effects(config)
    assert config.effects == ("t", "month", "hour", "weekday", "holiday")
    assert set(places) == {1, 2, 3, 4} and columns(config, pd.DatetimeIndex([NOW])).shape == (1, len(places))
