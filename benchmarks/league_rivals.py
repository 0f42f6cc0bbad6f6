"""The rivals of `league.py`, in an environment that has them and not uspnb: `python league_rivals.py IN.npz OUT.json`.

IN has `refit` and `horizons`, and for each series k its values `values_k`, its `seasons_k` and the `origins_k`: the
places of the last value that is known.  OUT has for each method and series the forecasts (origin, horizon), the ends of
their 95 % intervals, NaN where a method has none, and the seconds that it took.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

MEMORY = 500  # values that a model is fitted on
# A seasonal ARIMA takes ten seconds a fit at 24 and minutes at 48; ETS has no longer season.
LONGEST_SEASON = 24
LEVEL = 95


def statistical(make: Callable[[Any, Sequence[int]], Any]) -> Callable[..., np.ndarray]:
    """A model of StatsForecast: fitted every so often, carried on to every origin with its parameters as they are."""

    def forecasts(
        values: np.ndarray, seasons: Sequence[int], origins: np.ndarray, refit: int, ahead: int
    ) -> np.ndarray:
        models = importlib.import_module("statsforecast.models")
        model, rows = make(models, seasons), []
        for k, origin in enumerate(origins):
            known = values[max(0, origin + 1 - MEMORY) : origin + 1]
            if k % refit == 0:
                model = make(models, seasons).fit(known)
            made = model.forward(y=known, h=ahead, level=[LEVEL])
            rows.append([made["mean"], made[f"lo-{LEVEL}"], made[f"hi-{LEVEL}"]])
        return np.array(rows, float)

    return forecasts


def snarimax(values: np.ndarray, seasons: Sequence[int], origins: np.ndarray, refit: int, ahead: int) -> np.ndarray:
    """River's model, which learns from every value; it has no intervals."""
    series, linear = importlib.import_module("river.time_series"), importlib.import_module("river.linear_model")
    season = seasons[0] if seasons else 1
    model = series.SNARIMAX(
        p=5, d=0, q=0, m=season, sp=2 if seasons else 0, regressor=linear.BayesianLinearRegression(smoothing=0.99)
    )
    rows, wanted, scale = [], set(origins.tolist()), float(np.std(values[:MEMORY])) or 1.0
    center = float(np.mean(values[:MEMORY]))
    for t, value in enumerate(values):
        model.learn_one((value - center) / scale)
        if t in wanted:
            mean = center + scale * np.array(model.forecast(horizon=ahead))
            rows.append([mean, np.full(ahead, np.nan), np.full(ahead, np.nan)])
    return np.array(rows, float)


def short(seasons: Sequence[int]) -> int:
    """The shortest season where it is short enough, else none."""
    return seasons[0] if seasons and seasons[0] <= LONGEST_SEASON else 1


METHODS: dict[str, Callable[..., np.ndarray]] = {
    "AutoARIMA": statistical(lambda m, s: m.AutoARIMA(season_length=short(s), approximation=True)),
    "AutoETS": statistical(lambda m, s: m.AutoETS(season_length=short(s))),
    "MSTL": statistical(lambda m, s: m.MSTL(season_length=[p for p in s if 2 * p < MEMORY])),
    "Theta": statistical(lambda m, s: m.Theta(season_length=s[0] if s else 1)),
    "river SNARIMAX": snarimax,
}


def main(source: str, target: str) -> None:
    """Forecast every series with every method that is installed."""
    warnings.simplefilter("ignore")
    given = np.load(source)
    horizons, refit = given["horizons"], int(given["refit"])
    count = sum(name.startswith("values_") for name in given.files)
    made: dict[str, Any] = {}
    for name, method in METHODS.items():
        for k in range(count):
            values, seasons, origins = (given[f"{what}_{k}"] for what in ("values", "seasons", "origins"))
            if name == "MSTL" and not any(2 * season < MEMORY for season in seasons):
                continue  # without a season it is AutoETS
            began = time.perf_counter()
            try:
                rows = method(values, seasons.tolist(), origins, refit, int(horizons[-1]))
            except Exception as error:  # whatever a library raises on a series
                made.setdefault(name, {})[k] = {"problem": f"{type(error).__name__}: {error}"[:200]}
                continue
            seconds = time.perf_counter() - began
            made.setdefault(name, {})[k] = {"rows": rows[:, :, horizons - 1].tolist(), "seconds": seconds}
    Path(target).write_text(json.dumps(made))


if __name__ == "__main__":
    main(*sys.argv[1:])
