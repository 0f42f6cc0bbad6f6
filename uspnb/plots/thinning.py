"""Fewer points for the same picture: extremes per bin for lines, means per bin for shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

MOST_POINTS = 4000


def thin_lines(frame: pd.DataFrame, columns: Sequence[str], most: int = MOST_POINTS) -> pd.DataFrame:
    """Each column's least and largest value of every bin of rows, in the order in which they came.

    A line through them covers the same pixels as the line through all points, as long as a bin is narrower than a
    pixel; no spike is lost.

    Args:
        frame: a column `time` and those named.
        columns: the lines.
        most: points of a line at the most; a shorter frame is returned whole.
    """
    if len(frame) <= most:
        return frame.filter(["time", *columns])
    bins = most // 2
    size = -(-len(frame) // bins)
    made = {"time": _bin_times(frame["time"].to_numpy(), size)}
    for name in columns:
        rows = _binned(frame[name].to_numpy(dtype=np.float64), size)
        known = np.isfinite(rows)
        least = np.where(known, rows, np.inf)
        largest = np.where(known, rows, -np.inf)
        low_first = least.argmin(axis=1) <= largest.argmax(axis=1)
        low = np.where(known.any(axis=1), least.min(axis=1), np.nan)
        high = np.where(known.any(axis=1), largest.max(axis=1), np.nan)
        made[name] = np.stack([np.where(low_first, low, high), np.where(low_first, high, low)], axis=1).ravel()
    return pd.DataFrame(made)


def thin_band(frame: pd.DataFrame, lower: str, upper: str, most: int = MOST_POINTS) -> pd.DataFrame:
    """The envelope of a band: the least lower and the largest upper value of every bin of rows."""
    if len(frame) <= most:
        return frame.filter(["time", lower, upper])
    size = -(-len(frame) // most)
    low = _binned(frame[lower].to_numpy(dtype=np.float64), size)
    high = _binned(frame[upper].to_numpy(dtype=np.float64), size)
    low, high = (
        np.where(np.isfinite(low), low, np.inf).min(axis=1),
        np.where(np.isfinite(high), high, -np.inf).max(axis=1),
    )
    empty = np.isinf(low) | np.isinf(high)
    made = {
        "time": frame["time"].to_numpy()[::size],
        lower: np.where(empty, np.nan, low),
        upper: np.where(empty, np.nan, high),
    }
    return pd.DataFrame(made)


def thin_means(frame: pd.DataFrame, columns: Sequence[str], most: int = MOST_POINTS) -> pd.DataFrame:
    """Means of every bin of rows; shares that sum to one still do."""
    if len(frame) <= most:
        return frame.filter(["time", *columns])
    size = -(-len(frame) // most)
    starts = np.arange(0, len(frame), size)
    rows = np.diff(starts, append=len(frame))
    made = {name: np.add.reduceat(frame[name].to_numpy(dtype=np.float64), starts) / rows for name in columns}
    return pd.DataFrame({"time": frame["time"].to_numpy()[::size]} | made)


def _binned(values: np.ndarray, size: int) -> np.ndarray:
    padding = -len(values) % size
    return np.concatenate([values, np.full(padding, np.nan)]).reshape(-1, size)


def _bin_times(times: np.ndarray, size: int) -> np.ndarray:
    starts = np.arange(0, len(times), size)
    middles = np.minimum(starts + size // 2, len(times) - 1)
    return np.stack([times[starts], times[middles]], axis=1).ravel()
