"""The metrics against hand calculations and closed forms, and the alarm delay on charts drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from uspnb.errors import DomainError
from uspnb.tuning.metrics import METRICS, Forecasts, alarm_delays, alarm_level, check_mape, delays_of_fold


@pytest.fixture
def forecasts() -> Forecasts:
    y = np.array([2.0, 4.0, 4.0, 1.0])
    previous = np.array([1.0, 2.0, 4.0, 4.0])
    mean = np.array([3.0, 3.0, 4.0, 5.0])
    return Forecasts(y, previous, mean, np.ones(4), mean - 2, mean + 2, 0.9, 0.5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mase", (1 + 1 + 0 + 4) / 4 / 0.5),
        ("rmse", np.sqrt((1 + 1 + 0 + 16) / 4)),
        ("mape", 100 * (1 / 2 + 1 / 4 + 0 + 4 / 1) / 4),
        ("interval_score", (4 + 4 + 4 + (4 + 20 * 2)) / 4),
        # up and up: right; the third tick does not move; down, and up was forecast
        ("directional_accuracy", 1 / 3),
        ("p99_error", np.quantile([1, 1, 0, 4], 0.99)),
    ],
)
def test_by_hand(forecasts: Forecasts, name: str, expected: float) -> None:
    losses = METRICS[name].losses(forecasts)
    assert METRICS[name].summary(losses[np.isfinite(losses)]) == pytest.approx(expected)


def test_crps_is_the_integral_it_stands_for() -> None:
    # CRPS = integral of (F(x) - 1{x >= y})^2 (Gneiting and Raftery 2007, equation 20)
    y, mean, scale = np.array([0.3]), np.array([1.0]), np.array([0.7])
    losses = METRICS["crps"].losses(Forecasts(y, y, mean, scale, mean, mean, 0.9, 1.0))
    grid = np.linspace(-10, 12, 400_001)
    integral = np.trapezoid((stats.norm.cdf(grid, 1.0, 0.7) - (grid >= 0.3)) ** 2, grid)
    assert losses[0] == pytest.approx(integral, abs=1e-4)


@pytest.mark.parametrize("values", [[1.0, 0.0, 2.0], [100.0, 0.5, 90.0], [np.nan, np.nan]])
def test_mape_is_refused_near_zero(values: list[float]) -> None:
    with pytest.raises(DomainError, match="divides by the observation"):
        check_mape(np.array(values), "load")
    check_mape(np.array([5.0, -6.0, np.nan]), "load")


def test_the_alarm_level_meets_the_rate() -> None:
    rng = np.random.default_rng(0)
    ratio = np.abs(rng.normal(size=20_000)).cumsum() % 1.0  # many rises, all levels below 1
    quiet = np.ones(len(ratio), bool)
    for rate in (1e-3, 1e-2, 0.1):
        level = alarm_level(ratio, quiet, rate)
        above = ratio >= level
        rises = (above & ~np.concatenate([[False], above[:-1]])).sum()
        assert rises <= rate * len(ratio)


def test_delays_by_hand() -> None:
    ratio = np.array([0.1, 0.2, 0.1, 0.6, 0.9, 0.2, 0.1, 0.1, 0.8, 0.1])
    assert alarm_delays(ratio, np.array([2, 6]), 0.75, 4).tolist() == [2.0, 2.0]
    assert alarm_delays(ratio, np.array([5]), 0.95, 4).tolist() == [4.0]  # never: the horizon


def test_a_fold_without_a_change_has_no_delay() -> None:
    ratio = np.linspace(0.0, 1.0, 100)
    assert np.isnan(delays_of_fold(ratio, np.array([10]), slice(50, 100), 0.01, 20))
    delay = delays_of_fold(np.where(np.arange(100) == 63, 1.0, 0.1), np.array([60]), slice(50, 100), 0.01, 20)
    assert delay == 3.0
