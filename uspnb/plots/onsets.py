"""Which row of a result's time axis an alarm's change began at, where that can be known."""

from __future__ import annotations

import numpy as np
import xarray as xr


def onset_rows(ds: xr.Dataset) -> np.ndarray:
    """`change_onset` of a result, all NaN where its rows are not those of this time axis.

    A slice of a result keeps the row numbers of the whole run.  An onset never lies after its alarm, so that one that
    does gives the slice away; then no onset is drawn, rather than one at a wrong instant.
    """
    rows = ds["change_onset"].transpose("time", ...).values.astype(np.float64)
    own = np.arange(len(rows)).reshape((-1,) + (1,) * (rows.ndim - 1))
    return np.full(rows.shape, np.nan) if (rows > own).any() else rows
