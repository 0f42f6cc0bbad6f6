"""Numbers and instants as a reader wants them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def number(value: float) -> str:
    """A number with five significant digits."""
    return "not known" if np.isnan(value) else f"{value:.5g}"


def moment(value: Any) -> str:
    """A time coordinate's entry: an instant to the second (finer where it has a fraction), or a tick's number."""
    if not isinstance(value, (np.datetime64, pd.Timestamp)):
        return str(value)
    stamp = pd.Timestamp(value)
    if stamp is pd.NaT:
        return "not known"
    return stamp.isoformat(sep=" ", timespec="auto" if stamp.microsecond or stamp.nanosecond else "seconds")
