"""The series that a page offers: real ones of `bokeh_sampledata`, and synthetic ones whose changes are known."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from uspnb.data import processes
from uspnb.data.samples import demo_series
from uspnb.data.series import Series, read_series
from uspnb.errors import DomainError

SEA = "sea"
SYNTHETIC_TICKS = 20_000
STOCKS = ("AAPL", "GOOG", "IBM", "MSFT")


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


def _glucose() -> Series:
    table = _sample("glucose").data
    return dataclasses.replace(read_series(table["glucose"].rename("blood glucose")), units="mg/dL")


def _stock(name: str) -> Callable[[], Series]:
    def make() -> Series:
        table = getattr(_sample("stocks"), name)
        dates = pd.DatetimeIndex(pd.to_datetime(table["date"]), tz="UTC")
        prices = pd.Series(
            np.asarray(table["adj_close"], dtype=float), dates, name=f"{name} closing price"
        ).sort_index()
        return dataclasses.replace(read_series(prices), units="USD")

    return make


def _sample(module: str) -> Any:
    try:
        return importlib.import_module(f"bokeh.sampledata.{module}")
    except (ImportError, RuntimeError) as error:
        raise DomainError(
            "this series comes with the package bokeh_sampledata, which is not installed; install it with: "
            "pip install 'uspnb[demo]', or choose a synthetic series"
        ) from error


def _synthetic(process: Callable[..., processes.Path], **settings: Any) -> Callable[[], Series]:
    def make() -> Series:
        path = process(SYNTHETIC_TICKS, seed=20260221, **settings)
        return dataclasses.replace(read_series(path.values), name=path.name)

    return make


_REAL, _MADE = "Measured", "Synthetic, the truth known"
_SYNTHETIC: tuple[tuple[str, str, Callable[[], Series]], ...] = (
    ("mean-shift", "Mean shifts by 2 standard deviations", _synthetic(processes.mean_shift, size=2.0, at=3_000)),
    ("variance-shift", "Variance grows fourfold", _synthetic(processes.variance_shift, at=3_000)),
    ("dependence-shift", "Dependence appears", _synthetic(processes.dependence_shift, at=3_000)),
    ("holder-switch", "Path turns rough", _synthetic(processes.holder_switch, at=3_000)),
    ("regimes", "Switching between two regimes", _synthetic(processes.regime_switching_autoregression)),
    ("ornstein-uhlenbeck", "Mean reversion (Ornstein-Uhlenbeck)", _synthetic(processes.ornstein_uhlenbeck)),
    ("jumps", "Diffusion with jumps", _synthetic(processes.jump_diffusion)),
    ("garch", "Clustered volatility (GARCH)", _synthetic(processes.garch)),
    ("rough", "Rough path (fractional Brownian motion)", _synthetic(processes.fractional_brownian_motion)),
    ("sine", "Sine in noise", _synthetic(processes.sine_in_noise)),
)

CHOICES: dict[str, Choice] = {
    choice.key: choice
    for choice in (
        Choice(SEA, "Sea temperature, half-hourly", _REAL, demo_series),
        Choice("glucose", "Blood glucose, every 5 minutes", _REAL, _glucose),
        *(Choice(name.lower(), f"{name} stock, daily close", _REAL, _stock(name)) for name in STOCKS),
        *(Choice(key, title, _MADE, make) for key, title, make in _SYNTHETIC),
    )
}


def grouped() -> dict[str, dict[str, str]]:
    """Titles and keys under their headings, as a chooser shows them."""
    groups: dict[str, dict[str, str]] = {}
    for choice in CHOICES.values():
        groups.setdefault(choice.group, {})[choice.title] = choice.key
    return groups


def chosen(key: str) -> Choice:
    """The choice of that key.

    Raises:
        DomainError: there is none.
    """
    if key not in CHOICES:
        raise DomainError(f"there is no series {key!r}; choose among {', '.join(CHOICES)}")
    return CHOICES[key]
