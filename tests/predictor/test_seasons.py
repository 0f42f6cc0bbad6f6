"""`seasons=`: periods in ticks or as durations, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

import uspnb
from uspnb.config.load import config_to_toml, parse_config
from uspnb.errors import ConfigError, DomainError

HOURS = 400
SERIES = pd.Series(
    np.sin(np.arange(HOURS) * np.pi / 12) + 0.1 * np.random.default_rng(0).standard_normal(HOURS),
    index=pd.date_range("2026-01-01", periods=HOURS, freq="h"),
)


@pytest.mark.parametrize("seasons", [(24,), [24], 24, "1D", ("1D",), ("24h",), np.array([24]), pd.Timedelta("1D")])
def test_a_period_is_a_number_of_ticks_or_a_duration(seasons: Any) -> None:
    told = uspnb.backtest(SERIES, seasons=seasons, progress=False)
    plain = uspnb.backtest(SERIES, uspnb.PredictorConfig().with_seasons(24), progress=False)
    np.testing.assert_array_equal(told.prediction, plain.prediction)


@pytest.mark.parametrize(
    ("seasons", "message"),
    [
        ((0,), "has a period of 0"),
        ((1,), "a period is 2 ticks or more"),
        ((-3,), "season_first = -3"),
        ((24, 24), "both 24"),
        ((24, 168, 5), "3 periods; give at most 2"),
        ((100_000,), "season_first = 100000"),
        (("a day",), "neither a whole number of ticks nor a duration"),
        ((2.5,), "neither a whole number of ticks nor a duration"),
        ((True,), "neither a whole number of ticks nor a duration"),
        (("35min",), "is 0.583333 ticks of 3600 s, no whole number"),
    ],
)
def test_what_is_no_season_is_refused_by_name(seasons: Any, message: str) -> None:
    with pytest.raises(DomainError, match=message):
        uspnb.backtest(SERIES, seasons=seasons, progress=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"season_slots": 0, "season_first": 5}, "needs season_slots = 1"),
        ({"season_slots": 1, "season_second": 5}, "needs season_slots = 2"),
        ({"season_slots": 2, "season_second": 5}, "without season_first"),
        ({"season_slots": 1, "season_first": 1100}, "raise season_capacity"),
        ({"season_first": 900, "season_second": 400}, "more than half of season_capacity"),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        uspnb.PredictorConfig(**settings)


def test_room_is_made_for_a_long_period_and_seasons_can_be_taken_back() -> None:
    config = uspnb.PredictorConfig().with_seasons(336, 1500)
    assert (config.season_slots, config.season_capacity) == (2, 4096)
    assert parse_config(config_to_toml(config)) == config
    assert config.with_seasons().season_slots == 0
    assert dataclasses.replace(config.finding_seasons(), season_capacity=2048) == uspnb.PredictorConfig()


def test_a_comparison_takes_them_too() -> None:
    told = uspnb.compare(SERIES, seasons="1D", progress=False)
    assert float(told.score.sel(forecaster="uspnb", metric="rmse")) > 0.0
