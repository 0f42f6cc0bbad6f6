"""The series that the demonstration replays: half-hourly sea temperature off New Hampshire, two years of it."""

from __future__ import annotations

import dataclasses
import importlib

from ..errors import DomainError
from ..runtime.arguments import check_whole
from .series import Series, read_series


def demo_series(ticks: int | None = None) -> Series:
    """Sea surface temperature [degC] every half hour, from the package `bokeh_sampledata` (NERACOOS data).

    Args:
        ticks: how many of its 19,226 rows to take, from the first; all by default.

    Raises:
        DomainError: the package is not installed, or fewer than two ticks are asked for.
    """
    try:
        table = importlib.import_module("bokeh.sampledata.sea_surface_temperature").sea_surface_temperature
    except (ImportError, RuntimeError) as error:
        raise DomainError(
            "the demonstration replays a series of the package bokeh_sampledata, which is not installed; "
            "install it with: pip install 'uspnb[demo]'"
        ) from error
    if ticks is not None:
        ticks = check_whole("ticks", ticks, 2)
    series = read_series(table["temperature"].iloc[:ticks].rename("sea surface temperature"))
    return dataclasses.replace(series, units="degC")
