"""A run without the engine: telemetry of the right shapes, filled from a known process, for everything downstream."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.data.series import Series, read_series
from uspnb.model.fields import FIELDS
from uspnb.model.kernels.registry import KERNEL_NAMES
from uspnb.model.records import CHART_NAMES, Telemetry
from uspnb.predictor.results import to_dataset

SIZES = {"kernel": 4, "chart": 3, "mode": 5, "season_slot": 2, "covariate": 0, "horizon": 7, "level": 2}
TRAILING = {name: about.shape(SIZES) for name, about in FIELDS.items()}
INTEGERS = ("alarm_chart", "onset_ago", "solver", "operating_mode", "ticks")


def synthetic_telemetry(values: np.ndarray, seed: int = 7) -> Telemetry:
    """Telemetry of a forecaster that repeats half of the last increment; alarms at rows 400 and 700."""
    rng = np.random.default_rng(seed)
    lead = values.shape
    rows = np.arange(len(values)).reshape(-1, *[1] * (len(lead) - 1))
    flags = {f.name for f in dataclasses.fields(Telemetry) if f.type == "Flag"} | {"clipped", "kernel_failed"}
    made: dict[str, np.ndarray] = {}
    for field in dataclasses.fields(Telemetry):
        shape = lead + TRAILING[field.name]
        if field.name in flags:
            made[field.name] = np.zeros(shape, dtype=bool)
        elif field.name in INTEGERS:
            made[field.name] = np.zeros(shape, dtype=np.int64)
        else:
            made[field.name] = np.abs(rng.standard_normal(shape)) + 0.1
    steps = np.diff(values, axis=0, prepend=values[:1])
    prediction = np.full(lead, np.nan)
    prediction[1:] = (values + 0.5 * steps)[:-1]
    raw = np.exp(np.cumsum(0.1 * rng.standard_normal((*lead, 4)), axis=0).clip(-3, 3))
    weight = raw / raw.sum(-1, keepdims=True)
    alarm = np.zeros(lead, dtype=bool)
    alarm[[row for row in (400, 700) if row < len(values)]] = True
    made |= {
        "observation": values, "prediction": prediction, "lower": prediction - 2.0, "upper": prediction + 2.0,
        "scale": np.where(np.isnan(prediction), np.nan, 1.0), "residual": values - prediction, "weight": weight,
        "target_weight": weight, "alarm": alarm, "alarm_chart": np.where(alarm, 1, -1),
        "onset_ago": np.where(alarm, 12, 0), "accepted": np.isfinite(values), "rejected": ~np.isfinite(values),
        "holder_exponent": np.broadcast_to(0.5 + 0.1 * np.sin(rows / 60), lead).copy(),
        "chart_threshold": np.full((*lead, 3), 8.0),
        "chart_statistic": 3.0 * np.abs(rng.standard_normal((*lead, 3))),
    }  # fmt: skip
    made["emergency"][500:560] = True
    made["holder_valid"][64:] = True
    assert len(KERNEL_NAMES) == 4 and len(CHART_NAMES) == 3
    return stacked(made)


def stacked(fields: dict[str, np.ndarray]) -> Telemetry:
    """A `Telemetry` with leading axes, as a scan returns it, past a constructor that is typed for one tick."""
    telemetry = object.__new__(Telemetry)
    for name, value in fields.items():
        object.__setattr__(telemetry, name, value)
    return telemetry


def synthetic_run(series: Series, config: PredictorConfig | None = None):
    """The Dataset of that telemetry."""
    last = series.values[-1]
    following = (last, last - 2.0, last + 2.0)
    return to_dataset(synthetic_telemetry(series.values), following, series, config or PredictorConfig())


def random_walk(ticks: int = 1000, assets: int | None = None) -> np.ndarray:
    """Increments AR(1) with coefficient .5: half of the last increment is the best forecast of the next."""
    rng = np.random.default_rng(11)
    shape = (ticks,) if assets is None else (ticks, assets)
    noise, steps = rng.standard_normal(shape), np.zeros(shape)
    for t in range(1, ticks):
        steps[t] = 0.5 * steps[t - 1] + noise[t]
    return np.cumsum(steps, axis=0)


@pytest.fixture(scope="session")
def one_series() -> Series:
    values = random_walk()
    values[50] = np.nan
    index = pd.date_range("2026-02-21T09:30", periods=1000, freq="30min", tz="UTC")
    return read_series(pd.Series(values, index=index, name="sea"))


@pytest.fixture(scope="session")
def several_series() -> Series:
    return read_series(pd.DataFrame(random_walk(600, 2), columns=["north", "south"]))


@pytest.fixture
def run(one_series):
    return synthetic_run(one_series)


@pytest.fixture
def run_of_several(several_series):
    return synthetic_run(several_series)


@pytest.fixture(scope="session")
def make_run():
    return synthetic_run


@pytest.fixture(scope="session")
def make_telemetry():
    return synthetic_telemetry
