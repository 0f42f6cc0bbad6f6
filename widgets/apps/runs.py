"""The runs that the explore page offers: saved ones, uploaded ones, and two of the demonstration to compare."""

from __future__ import annotations

import dataclasses
import functools
import threading
from pathlib import Path
from typing import Any

import xarray as xr

from uspnb.config.schema import PredictorConfig
from uspnb.data.samples import demo_series
from uspnb.predictor.backtest import backtest
from uspnb.predictor.results import load

from .comparing import checked_run

DEMO_TICKS = 6_000
DEMO, OTHER = "Sea temperature", "Sea temperature, quicker to forget"
_computing = threading.Lock()


@functools.lru_cache(maxsize=4)
def _replayed(config: PredictorConfig) -> xr.Dataset:
    return backtest(demo_series(DEMO_TICKS), config, progress=False)


def demonstration(name: str, config: PredictorConfig) -> xr.Dataset:
    """One of the two runs of the demonstration, computed once per server; it takes some seconds."""
    if name == OTHER:
        config = dataclasses.replace(config, score_forgetting=0.9, cusum_target_arl=50_000.0)
    with _computing:
        return _replayed(config)


def saved(path: Any, name: str = "") -> xr.Dataset:
    """A run that was saved.

    Raises:
        DomainError: nothing there, another suffix, or no run in it.
        IntegrityError: the archive is broken.
    """
    return checked_run(load(path), name or Path(path).name)
