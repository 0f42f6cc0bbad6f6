"""What a known covariate is worth, and what one costs that says nothing: `python benchmarks/covariates.py`.

A load that follows a law of the temperature, with errors that are an AR(1): a heating and cooling curve, a parabola
under a temperature that wanders, and a straight line under white noise.  Mean absolute error at each horizon over that
of the law (true curve, true memory of the errors), with the temperature known ahead and without; beside them what noise
in its place costs, over the run without.  And a course of the week, with and without `calendar=("hour", "weekday")`.

Settings and their defaults:

    --ticks 4000    of each series, of which 1000 are not counted
    --seed 8400     of the first of three series of each law
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd
from tables import Table, geometric_mean, parser, show

import uspnb

BURN_IN, SERIES = 1000, 3
HORIZONS = (1, 4, 24)
MEMORY = 0.8
COLUMNS = {"law": "", "ticks ahead": "d", "told over law": ".3f", "untold over law": ".3f", "noise over untold": ".4f"}
WEEK = {"series": "", "ticks ahead": "d", "calendar over without": ".3f", "seasons found over without": ".3f"}


def heating(rng: np.random.Generator, ticks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A temperature with a day of 48 ticks and a slow course, and a load that rises below 12 and above 18 degrees."""
    slow = 5 * np.sin(2 * np.pi * ticks / (48 * 17.3))
    temperature = 15 + slow + 5 * np.sin(2 * np.pi * ticks / 48) + rng.normal(0, 1.0, len(ticks))
    return temperature, 50 + 1.5 * np.maximum(temperature - 18, 0) + 2.0 * np.maximum(12 - temperature, 0)


def parabola(rng: np.random.Generator, ticks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A temperature that wanders about a mean."""
    wander = np.zeros(len(ticks))
    for k in range(1, len(ticks)):
        wander[k] = 0.995 * wander[k - 1] + rng.normal(0, 0.5)
    temperature = 20 + 4 * np.sin(2 * np.pi * ticks / 24) + wander
    return temperature, 100 + 0.15 * (temperature - 20) ** 2


def line(rng: np.random.Generator, ticks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A price that is white noise, and a demand in proportion to it."""
    price = rng.normal(0, 1, len(ticks))
    return price, -2.0 * price


LAWS = {"heating and cooling": heating, "parabola": parabola, "line": line}


def mean_error(ds: Any, truth: np.ndarray, ahead: int) -> float:
    """Mean absolute error so many ticks ahead, of ticks past the burn-in."""
    made = ds["horizon_prediction"].sel(horizon=ahead).values[BURN_IN:-ahead]
    return float(np.abs(made - truth[BURN_IN + ahead :]).mean())


def law_rows(name: str, options: argparse.Namespace) -> list[list[Any]]:
    """Lines of one law, a horizon each: geometric means over its series."""
    found: dict[int, list[tuple[float, float, float]]] = {ahead: [] for ahead in HORIZONS}
    for k in range(SERIES):
        rng = np.random.default_rng(options.seed + k)
        covariate, law = LAWS[name](rng, np.arange(options.ticks))
        error = np.zeros(options.ticks)
        for t in range(1, options.ticks):
            error[t] = MEMORY * error[t - 1] + rng.normal()
        load = law + error
        frame = pd.DataFrame({"load": load, "known": covariate})
        runs = [
            uspnb.backtest(frame, value="load", covariates=["known"], horizons=HORIZONS, progress=False),
            uspnb.backtest(load, horizons=HORIZONS, progress=False),
            uspnb.backtest(
                frame.assign(known=rng.normal(size=options.ticks)),
                value="load",
                covariates=["known"],
                horizons=HORIZONS,
                progress=False,
            ),
        ]
        for ahead in HORIZONS:
            best = float(np.abs(error[BURN_IN + ahead :] - MEMORY**ahead * error[BURN_IN:-ahead]).mean())
            told, untold, noise = (mean_error(ds, load, ahead) for ds in runs)
            found[ahead].append((told / best, untold / best, noise / untold))
    return [[name, ahead, *map(geometric_mean, np.array(found[ahead]).T)] for ahead in HORIZONS]


def week_rows(options: argparse.Namespace) -> list[list[Any]]:
    """A load of working hours, whose weekends are flat."""
    rng = np.random.default_rng(options.seed)
    when = pd.date_range("2026-01-05", periods=options.ticks, freq="h", tz="Europe/Berlin")
    shape = 10 * np.exp(-0.5 * ((when.hour - 13) / 3.0) ** 2)
    load = np.where(when.day_of_week < 5, shape, 0.0) + rng.normal(size=options.ticks)
    series = pd.Series(load, when)
    told = uspnb.PredictorConfig(calendar=("hour", "weekday"), calendar_zone="Europe/Berlin", season_slots=0)
    runs = [
        uspnb.backtest(series, told, horizons=HORIZONS, progress=False),
        uspnb.backtest(series, horizons=HORIZONS, progress=False),
        uspnb.backtest(series, seasons=(), horizons=HORIZONS, progress=False),
    ]
    rows = []
    for ahead in HORIZONS:
        calendar, seasons, without = (mean_error(ds, load, ahead) for ds in runs)
        rows.append(["working hours", ahead, calendar / without, seasons / without])
    return rows


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    options = parser(__doc__).parse_args()
    rows = [row for name in LAWS for row in law_rows(name, options)]
    tables = [
        Table("A covariate that is known ahead", COLUMNS, rows, "The law's error is what no forecast falls below."),
        Table("The calendar", WEEK, week_rows(options), "Seasons are looked for, as they are by default."),
    ]
    show(tables, options, began)


if __name__ == "__main__":
    main()
