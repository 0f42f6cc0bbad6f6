"""`ReplaySource`: a series that is known from its first tick to its last."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..data.series import read_series
from ..errors import DomainError
from ..runtime.arguments import check_whole
from .base import Ticks


class ReplaySource:
    """A replay of a list, NumPy array, pandas Series, xarray DataArray or `Series`.

    Args:
        data: the values, one series; NaN and infinities stay.
        times: one time per value where `data` has none.
        proxies: outside estimates of the dispersion of the next tick, (n,), above 0 or NaN.
        value, time, covariates: columns of a table, as `uspnb.backtest` takes them.
        name, units: of the series; those of `data` where left out.

    Raises:
        DomainError: not one series of real numbers, or as many times or proxies as do not fit.
    """

    live = False

    def __init__(
        self,
        data: Any,
        times: Any = None,
        *,
        proxies: Any = None,
        value: Any = None,
        time: Any = None,
        covariates: Any = (),
        name: str = "",
        units: str = "",
    ) -> None:
        series = read_series(data, times, value=value, time=time, covariates=covariates)
        values = series.values
        if values.ndim == 2 and values.shape[1] > 1:
            assets = ", ".join(map(str, (series.assets or ())[:6]))
            raise DomainError(
                f"the data hold {values.shape[1]} series ({assets}); choose one of them, a session replays one series"
            )
        self._ticks = Ticks(
            values.reshape(len(values)).copy(),
            series.timestamps_ns.copy(),
            _checked_proxies(proxies, len(values)).copy(),
        )
        self._covariates, self.covariate_names = series.covariates, series.covariate_names
        for column in self._ticks[:3]:
            column.flags.writeable = False  # who takes ticks gets views, and the user's array may change
        self.name, self.units = name or series.name, units or series.units
        self.time_is_grid, self.notes = not series.has_times, series.notes
        self._count = len(values)
        self.length: int | None = self._count
        self._next, self._closed = 0, False
        self._lock = threading.Lock()

    def start(self, wake: Callable[[], None]) -> None:
        """All ticks are there; see `Source.start`."""
        if self._closed:
            raise DomainError("the source was closed; open a new one")
        wake()

    def take(self, most: int) -> Ticks:
        """Up to `most` of the next ticks; see `Source.take`."""
        if most < 0:
            raise DomainError(f"take({most}) asks for fewer than 0 ticks")
        with self._lock:
            first = self._next
            self._next = min(first + most, self._count)
            known = () if self._covariates is None else self._covariates[first:]
            values, stamps, proxies = (column[first : self._next] for column in self._ticks[:3])
            return Ticks(values, stamps, proxies, known)

    @property
    def exhausted(self) -> bool:
        """Whether the last tick was taken."""
        return self._next >= self._count

    @property
    def waiting(self) -> int:
        """Ticks not yet taken."""
        return self._count - self._next

    def seek(self, k: Any) -> None:
        """Go to tick `k`, 0 the first, the number of ticks the end.

        Raises:
            DomainError: no whole number from 0 to the number of ticks.
        """
        tick = check_whole("k", k, 0, self._count, unit="ticks")
        with self._lock:
            self._next = tick

    def close(self) -> None:
        """Nothing reads; see `Source.close`."""
        self._closed = True

    def __repr__(self) -> str:
        return f"ReplaySource({self.name!r}, tick {self._next} of {self._count})"


def _checked_proxies(proxies: Any, length: int) -> np.ndarray:
    if proxies is None:
        return np.full(length, np.nan)
    array = np.asarray(proxies)
    if array.dtype.kind not in "fiu" or array.shape != (length,):
        raise DomainError(
            f"the proxies have shape {array.shape} and dtype {array.dtype}; give one real number per tick, ({length},)"
        )
    array = array.astype(np.float64)
    bad = np.flatnonzero(~np.isnan(array) & ~((array > 0) & np.isfinite(array)))
    if len(bad):
        raise DomainError(
            f"proxy {bad[0]} is {array[bad[0]]!r}; a proxy must be finite and above 0, NaN where it is unknown"
        )
    return array
