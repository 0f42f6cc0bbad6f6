"""The start of a series: intervals from the 30th tick on, and short histories."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import uspnb
from uspnb.data import processes
from uspnb.model.packing import unpack
from uspnb.predictor.functional import FunctionalPredictor, observations, scan_chunks

TICKS, SEEDS = 200, 24
KINDS: dict[str, Callable[[int], np.ndarray]] = {
    "autoregression": lambda seed: processes.autoregression(TICKS, seed).values,
    "ornstein_uhlenbeck": lambda seed: processes.ornstein_uhlenbeck(TICKS, seed).values,
    "garch": lambda seed: processes.garch(TICKS, seed).values,
    "student_noise": lambda seed: processes.student_noise(TICKS, seed).values,
    "sine_in_noise": lambda seed: processes.sine_in_noise(TICKS, seed).values,
    "seasonal_demand": lambda seed: processes.seasonal_demand(TICKS, seed, per_day=12).values,
    "counts": lambda seed: np.random.default_rng(seed).poisson(3.0, TICKS).astype(float),
}


def test_coverage_is_nominal_from_the_thirtieth_tick_on() -> None:
    """Over 24 paths of each of seven kinds; a kind alone has 4,000 ticks or less, which are not independent."""
    values = np.stack([make(600 + seed) for make in KINDS.values() for seed in range(SEEDS)], axis=1)
    predictor = FunctionalPredictor()
    stamps = np.repeat(np.arange(TICKS)[:, None] * 10**9, values.shape[1], axis=1)
    _, rows = scan_chunks(predictor, predictor.init_state(values.shape[1]), observations(values, stamps))
    telemetry = unpack(rows, predictor.layout).telemetry
    inside = (values >= np.asarray(telemetry.lower)) & (values <= np.asarray(telemetry.upper))
    for first, last in ((30, 60), (60, 100), (100, 200)):
        assert 0.94 <= inside[first:last].mean() <= 0.965, (first, last)
    by_kind = inside[30:].reshape(TICKS - 30, len(KINDS), SEEDS).mean(axis=(0, 2))
    assert by_kind.min() >= 0.93 and by_kind.max() <= 0.975, dict(zip(KINDS, by_kind, strict=True))


@pytest.mark.parametrize("seasons", [None, (12,)])
def test_sixty_monthly_values_are_served(seasons: tuple[int, ...] | None) -> None:
    """Sales with a yearly shape and a trend: finite forecasts of sensible width, a comparison that says what it saw."""
    months = pd.date_range("2020-01-01", periods=60, freq="MS", tz="UTC")
    rng = np.random.default_rng(9)
    shape = 20.0 * np.sin(2 * np.pi * np.arange(60) / 12)
    sales = pd.Series(200.0 + np.arange(60) + shape + 4.0 * rng.standard_normal(60), index=months, name="sales")
    ds = uspnb.backtest(sales, seasons=seasons, progress=False)
    later = ds.isel(time=slice(24, None))
    assert all(np.isfinite(ds[name][1:]).all() for name in ("prediction", "lower", "upper"))
    assert not ds["rejected"].any() and not ds["degraded"].values[3:].any()
    covered = ((later["observation"] >= later["lower"]) & (later["observation"] <= later["upper"])).mean()
    assert 0.86 <= float(covered) <= 1.0
    width = later["upper"] - later["lower"]
    assert float(width.max()) < 2.0 * float(np.ptp(sales)) and float(width.mean()) < 8.0 * float(np.std(np.diff(sales)))
    naive = np.diff(sales.to_numpy())[23:]
    assert float(np.sqrt(np.mean(later["residual"] ** 2))) < 1.05 * np.sqrt(np.mean(naive**2))
    comparison = uspnb.compare(sales, dataset=ds)
    assert "of 54 ticks: as promised" in comparison.attrs["verdict"]
    assert np.isfinite(comparison["score"].sel(forecaster="uspnb")).all()
