"""The table that the fleet page replays when it is given none: stretches of real series and synthetic paths."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pandas as pd

from uspnb.data import processes
from uspnb.errors import DomainError

ASSETS, TICKS = 500, 1500
SHARES = {"AAPL": 0.08, "IBM": 0.08, "MSFT": 0.08, "GOOG": 0.04, "sea": 0.26, "glucose": 0.26}
ABOUT = (
    "What runs here: stretches of real series, each from another start, all laid on one axis of ticks. Log daily "
    "closes of AAPL, IBM, MSFT and GOOG (2000 to 2013), half-hourly sea temperature off New Hampshire, five-minute "
    "glucose of one person; stretches of one series overlap, so they are not independent. The rest, named process, are "
    "synthetic paths of uspnb.data.processes. The data come with the package bokeh_sampledata."
)
KINDS = (
    "ornstein_uhlenbeck", "fractional_brownian_motion", "jump_diffusion", "garch", "regime_switching_autoregression",
    "mean_shift", "variance_shift", "dependence_shift", "seasonal_demand", "threshold_autoregression",
)  # fmt: skip


def demo_table(assets: int = ASSETS, ticks: int = TICKS) -> pd.DataFrame:
    """A table (tick, asset) of stretches of real series and of synthetic paths, see `ABOUT`.

    Args:
        assets: how many columns, at least 10.
        ticks: length of each stretch, 50 to 2000.

    Raises:
        DomainError: out of range, or bokeh_sampledata is not installed.
    """
    if not 10 <= assets <= 5000 or not 50 <= ticks <= 2000:
        raise DomainError(f"assets = {assets} and ticks = {ticks} must lie in 10 to 5000 and 50 to 2000")
    columns: dict[str, np.ndarray] = {}
    for name, series in real_series().items():
        columns |= _stretches(name, series, round(SHARES[name] * assets), ticks)
    k = 0
    while len(columns) < assets:
        kind = KINDS[k % len(KINDS)]
        path = processes.CATALOGUE[kind](ticks, seed=k)
        columns[f"process {kind.replace('_', ' ')} {k // len(KINDS) + 1}"] = path.values
        k += 1
    return pd.DataFrame(columns)


def real_series() -> dict[str, Any]:
    """The real series by name, each with its times.

    Raises:
        DomainError: bokeh_sampledata is not installed.
    """
    try:
        sea, stocks, glucose = (
            importlib.import_module(f"bokeh.sampledata.{name}")
            for name in ("sea_surface_temperature", "stocks", "glucose")
        )
    except (ImportError, RuntimeError) as error:
        raise DomainError(
            "the demonstration needs the package bokeh_sampledata, which is not installed; install it with: "
            "pip install 'uspnb[demo]', or name a table: --source table.csv"
        ) from error
    closes: pd.DataFrame = stocks.data
    made: dict[str, Any] = {
        str(ticker): np.log(one.set_index(pd.DatetimeIndex(one["date"]))["adj_close"].astype(float))
        for ticker, one in closes.groupby("ticker")
        if ticker in SHARES
    }
    made["sea"] = sea.sea_surface_temperature["temperature"].astype(float)
    made["glucose"] = pd.to_numeric(glucose.data["glucose"], errors="coerce").dropna().astype(float)
    return {name: made[name] for name in SHARES}


def _stretches(name: str, series: Any, count: int, ticks: int) -> dict[str, np.ndarray]:
    starts = np.unique(np.linspace(0, len(series) - ticks, count).astype(int))
    values, made = series.to_numpy(), {}
    for start in starts:
        when = pd.Timestamp(series.index[start])
        label = f"{name} {when:%Y-%m-%d}"
        made[f"{label} {when:%H:%M}" if label in made else label] = values[start : start + ticks]
    return made
