"""The pieces that a campaign's report is made of, and the campaign as they read it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from ..errors import DomainError
from .result import OptimizationResult


class Table(NamedTuple):
    """Named columns and rows of texts; in a `numeric` one all columns but the first hold numbers."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    numeric: bool = True


class Code(NamedTuple):
    """Lines to copy into a cell or a shell."""

    lines: tuple[str, ...]


Block = str | dict[str, str] | Table | Code


class Section(NamedTuple):
    """A heading, what stands below it, and the figures that the page shows there."""

    title: str
    blocks: list[Block]
    figures: tuple[str, ...] = ()


class Campaign(NamedTuple):
    """A campaign's results as the sections read them.

    Attributes:
        ds: the results, their trials in the order of their numbers.
        result: what was found.
        complete: which trials are complete and have a value.
        best, default: rows of the best complete trial and of the default's, None where there is no such.
    """

    ds: xr.Dataset
    result: OptimizationResult
    complete: np.ndarray
    best: int | None
    default: int | None


def read_campaign(ds: xr.Dataset, result: OptimizationResult) -> Campaign:
    """The results and what was found in them.

    Raises:
        DomainError: not the results of a campaign, or of another one than the result's.
    """
    for name in ("trial", "value", "state", "reason", "best_value"):
        if name not in ds.variables:
            raise DomainError(f"the Dataset has no variable {name!r}; pass the `results` of an optimizer")
    known = str(ds.attrs.get("study_name", result.study_name))
    if known != result.study_name:
        raise DomainError(f"the results are of the campaign {known!r}, the result is of {result.study_name!r}")
    ds = ds.sortby("trial")
    value = ds["value"].values.astype(np.float64)
    complete = (ds["state"].values.astype(str) == "complete") & np.isfinite(value)
    best = int(np.where(complete, value, np.inf).argmin()) if complete.any() else None
    at = np.flatnonzero(ds["trial"].values == int(ds.attrs.get("default_trial", 0)))
    return Campaign(ds, result, complete, best, int(at[0]) if len(at) else None)
