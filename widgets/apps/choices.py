"""What the pages offer and take: real series of `bokeh_sampledata`, synthetic ones whose changes are known, tables.

One series for the live and the tune page, a table of many for the fleet page.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from uspnb.config.schema import PredictorConfig
from uspnb.data import processes
from uspnb.data.csv import read_csv
from uspnb.data.samples import demo_series
from uspnb.data.series import Series, read_series
from uspnb.data.table import ALL
from uspnb.engine.fleet import Fleet
from uspnb.errors import DomainError
from uspnb.predictor import results

SEA = "sea"
SYNTHETIC_TICKS = 20_000
STOCKS = ("AAPL", "GOOG", "IBM", "MSFT")
FLEET_SPEED = 10.0
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


@dataclasses.dataclass(frozen=True)
class Choice:
    """One series on offer.

    Attributes:
        key: what a URL calls it.
        title: what the page calls it.
        group: heading under which it stands.
        make: reads or draws it.
    """

    key: str
    title: str
    group: str
    make: Callable[[], Series]


def _read_glucose() -> Series:
    table = _sample("glucose").data
    return dataclasses.replace(read_series(table["glucose"].rename("blood glucose")), units="mg/dL")


def _read_stock(name: str) -> Series:
    return dataclasses.replace(read_series(_read_closes(name)), units="USD")


def _read_closes(name: str) -> pd.Series:
    table = getattr(_sample("stocks"), name)
    dates = pd.DatetimeIndex(pd.to_datetime(table["date"]), tz="UTC")
    return pd.Series(np.asarray(table["adj_close"], dtype=float), dates, name=f"{name} closing price").sort_index()


def _sample(module: str, instead: str = "choose a synthetic series") -> Any:
    try:
        return importlib.import_module(f"bokeh.sampledata.{module}")
    except (ImportError, RuntimeError) as error:
        raise DomainError(
            "the measured series come with the package bokeh_sampledata, which is not installed; install it with: "
            f"pip install 'uspnb[demo]', or {instead}"
        ) from error


def _draw(process: Callable[..., processes.Path], **settings: Any) -> Series:
    path = process(SYNTHETIC_TICKS, seed=20260221, **settings)
    return dataclasses.replace(read_series(path.values), name=path.name)


_MEASURED, _DRAWN = "Measured", "Synthetic, the truth known"
_SYNTHETIC: tuple[tuple[str, str, Callable[[], Series]], ...] = (
    ("mean-shift", "Mean shifts by 2 standard deviations", partial(_draw, processes.mean_shift, size=2.0, at=3_000)),
    ("variance-shift", "Variance grows fourfold", partial(_draw, processes.variance_shift, at=3_000)),
    ("dependence-shift", "Dependence appears", partial(_draw, processes.dependence_shift, at=3_000)),
    ("holder-switch", "Path turns rough", partial(_draw, processes.holder_switch, at=3_000)),
    ("regimes", "Switching between two regimes", partial(_draw, processes.regime_switching_autoregression)),
    ("ornstein-uhlenbeck", "Mean reversion (Ornstein-Uhlenbeck)", partial(_draw, processes.ornstein_uhlenbeck)),
    ("jumps", "Diffusion with jumps", partial(_draw, processes.jump_diffusion)),
    ("garch", "Clustered volatility (GARCH)", partial(_draw, processes.garch)),
    ("rough", "Rough path (fractional Brownian motion)", partial(_draw, processes.fractional_brownian_motion)),
    ("sine", "Sine in noise", partial(_draw, processes.sine_in_noise)),
)

CHOICES: dict[str, Choice] = {
    choice.key: choice
    for choice in (
        Choice(SEA, "Sea temperature, half-hourly", _MEASURED, demo_series),
        Choice("glucose", "Blood glucose, every 5 minutes", _MEASURED, _read_glucose),
        *(Choice(name.lower(), f"{name} stock, daily close", _MEASURED, partial(_read_stock, name)) for name in STOCKS),
        *(Choice(key, title, _DRAWN, make) for key, title, make in _SYNTHETIC),
    )
}


def group_choices() -> dict[str, dict[str, str]]:
    """Titles and keys under their headings, as a chooser shows them."""
    groups: dict[str, dict[str, str]] = {}
    for choice in CHOICES.values():
        groups.setdefault(choice.group, {})[choice.title] = choice.key
    return groups


def find_choice(key: str) -> Choice:
    """The choice of that key.

    Raises:
        DomainError: there is none.
    """
    if key not in CHOICES:
        raise DomainError(f"there is no series {key!r}; choose among {', '.join(CHOICES)}")
    return CHOICES[key]


def open_fleet(source: Any, config: PredictorConfig | None, client: Any = None) -> tuple[Fleet, str]:
    """The fleet of a source, not yet running, and a sentence about what it is.

    Args:
        source: a `Fleet`, a table (time, asset), the path of a CSV file with one column per asset, that of a saved run
            of several assets, or None for the demonstration.
        config: settings of all assets.
        client: of a Dask cluster that computes a fleet made here.

    Raises:
        DomainError: it cannot be read as a table.
    """
    if source is None:
        return Fleet(demo_table(), config, speed=FLEET_SPEED, name="demonstration", client=client), ABOUT
    if isinstance(source, Fleet):
        return source, ""
    if isinstance(source, (str, Path)):
        path = Path(source)
        return Fleet(
            read_table(path), config, speed=FLEET_SPEED, name=path.name, client=client
        ), f"Replay of {path.name}."
    if isinstance(source, xr.Dataset):
        source = _observations(source, "the Dataset")
    return Fleet(source, config, speed=FLEET_SPEED, client=client), ""


def read_table(path: Path) -> Series | xr.DataArray:
    """A table (time, asset) from a CSV file with one column per asset, or from a saved run.

    Raises:
        DomainError: no such file, another kind of file, or one that `read_csv` refuses.
    """
    if path.suffix in (".nc", ".zarr"):
        return _observations(results.load(path), path.name)
    if path.suffix != ".csv":
        raise DomainError(f"{path.name!r} is no table; give a .csv file with one column per asset, or a saved run")
    return read_csv(path, value=ALL)


def _observations(ds: xr.Dataset, name: str) -> xr.DataArray:
    if "observation" not in ds or "asset" not in ds["observation"].dims:
        raise DomainError(f"{name} is no run of several assets; make one with backtest(table)")
    return ds["observation"]


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
    for name, series in read_real_series().items():
        columns |= _stretches(name, series, round(SHARES[name] * assets), ticks)
    k = 0
    while len(columns) < assets:
        kind = KINDS[k % len(KINDS)]
        path = processes.CATALOGUE[kind](ticks, seed=k)
        columns[f"process {kind.replace('_', ' ')} {k // len(KINDS) + 1}"] = path.values
        k += 1
    return pd.DataFrame(columns)


def read_real_series() -> dict[str, Any]:
    """The real series by name, each with its times.

    Raises:
        DomainError: bokeh_sampledata is not installed.
    """
    sea, _, glucose = (
        _sample(name, "name a table: --source table.csv") for name in ("sea_surface_temperature", "stocks", "glucose")
    )
    real: dict[str, Any] = {name: np.log(_read_closes(name)) for name in STOCKS}
    real["sea"] = sea.sea_surface_temperature["temperature"].astype(float)
    real["glucose"] = pd.to_numeric(glucose.data["glucose"], errors="coerce").dropna().astype(float)
    return {name: real[name] for name in SHARES}


def _stretches(name: str, series: Any, count: int, ticks: int) -> dict[str, np.ndarray]:
    starts = np.unique(np.linspace(0, len(series) - ticks, count).astype(int))
    values, stretches = series.to_numpy(), {}
    for start in starts:
        when = pd.Timestamp(series.index[start])
        label = f"{name} {when:%Y-%m-%d}"
        stretches[f"{label} {when:%H:%M}" if label in stretches else label] = values[start : start + ticks]
    return stretches
