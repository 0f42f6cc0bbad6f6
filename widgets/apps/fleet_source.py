"""What the fleet page may be given to show, as a `Fleet`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from uspnb.config.schema import PredictorConfig
from uspnb.engine.fleet import Fleet
from uspnb.errors import DomainError
from uspnb.predictor import results

from .fleet_demo import ABOUT, demo_table

SPEED = 10.0


def open_fleet(source: Any, config: PredictorConfig | None) -> tuple[Fleet, str]:
    """The fleet of a source, not yet running, and a sentence about what it is.

    Args:
        source: a `Fleet`, a table (time, asset), the path of a CSV file with one column per asset, that of a saved run
            of several assets, or None for the demonstration.
        config: settings of all assets.

    Raises:
        DomainError: it cannot be read as a table.
    """
    if source is None:
        return Fleet(demo_table(), config, speed=SPEED, name="demonstration"), ABOUT
    if isinstance(source, Fleet):
        return source, ""
    if isinstance(source, (str, Path)):
        path = Path(source)
        return Fleet(read_table(path), config, speed=SPEED, name=path.name), f"Replay of {path.name}."
    if isinstance(source, xr.Dataset):
        source = _observations(source, "the Dataset")
    return Fleet(source, config, speed=SPEED), ""


def read_table(path: Path) -> pd.DataFrame | xr.DataArray:
    """A table (time, asset) from a CSV file with one column per asset, or from a saved run.

    A first column that holds dates becomes the times; other columns must hold numbers.

    Raises:
        DomainError: no such file, another kind of file, or columns that hold no numbers.
    """
    if path.suffix in (".nc", ".zarr"):
        return _observations(results.load(path), path.name)
    if path.suffix != ".csv":
        raise DomainError(f"{path.name!r} is no table; give a .csv file with one column per asset, or a saved run")
    try:
        table = pd.read_csv(path, encoding="utf-8-sig")
    except FileNotFoundError:
        raise DomainError(f"there is no file {path.name!r}") from None
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise DomainError(f"{path.name!r} cannot be read as CSV: {error}") from error
    if len(table.columns) and not pd.api.types.is_numeric_dtype(table.dtypes.iloc[0]):
        first = table.columns[0]
        try:
            times = pd.to_datetime(table[first], utc=True, format="mixed")
            table = table.set_index(pd.DatetimeIndex(times)).drop(columns=first)
        except (ValueError, TypeError) as error:
            raise DomainError(f"column {first!r} of {path.name!r} holds neither numbers nor times") from error
    if not len(table.columns):
        raise DomainError(f"{path.name!r} has no column of values; give one column per asset")
    return table


def _observations(ds: xr.Dataset, name: str) -> xr.DataArray:
    if "observation" not in ds or "asset" not in ds["observation"].dims:
        raise DomainError(f"{name} is no run of several assets; make one with backtest(table)")
    return ds["observation"]
