"""A tick's result as one row of float64, so that it crosses to the host in one transfer; `Ring` holds the newest rows.

Flags and counters fit float64 exactly; the columns are those of `fields.ROW`, and a row unpacks to the same dataclasses
with NumPy leaves.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..array_types import Array, Float, Int
from .fields import CHART_NAMES, FIELDS, ROW, Telemetry
from .kernels.registry import KERNEL_NAMES
from .records import PredictionResult


class Layout(NamedTuple):
    """Where each leaf of a result stands in a row.

    Attributes:
        structure: the tree structure of a `PredictionResult`.
        shapes, dtypes: of its leaves, in order.
        width: length of a row.
        kernels: labels of the dim "kernel".
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype, ...]
    width: int
    kernels: tuple[str, ...]


@functools.cache
def layout_for(modes: int, kernels: tuple[str, ...] = KERNEL_NAMES) -> Layout:
    """Layout of the predictor's result, by the table of `fields`; no program is traced for it.

    Args:
        modes: spectral modes reported (`koopman_top_k`).
        kernels: names of the kernels.
    """
    sizes = {"kernel": len(kernels), "chart": len(CHART_NAMES), "mode": modes}
    shapes = tuple(about.shape(sizes) for about in ROW.values())
    blank: Any = dict.fromkeys(FIELDS, 0)
    structure = jax.tree.structure(PredictionResult(0, 0, 0, 0, Telemetry(**blank), kernels=kernels))  # type: ignore[arg-type]
    dtypes = tuple(about.dtype for about in ROW.values())
    return Layout(structure, shapes, dtypes, sum(math.prod(shape) for shape in shapes), kernels)


@functools.cache
def row_columns(layout: Layout) -> dict[str, slice]:
    """Where each field of `fields.ROW` stands in a row."""
    columns, start = {}, 0
    for name, shape in zip(ROW, layout.shapes, strict=True):
        columns[name] = slice(start, start + math.prod(shape))
        start = columns[name].stop
    return columns


def pack(result: PredictionResult) -> Float[Array, "width"]:
    """One row holding every leaf of one tick's result."""
    return jnp.concatenate([jnp.ravel(leaf).astype(jnp.float64) for leaf in jax.tree.leaves(result)])


def unpack(rows: Float[np.ndarray, "... width"] | Float[Array, "... width"], layout: Layout) -> PredictionResult:
    """The result whose leaves have the leading axes of `rows`; of NumPy rows they are views where the dtype allows."""
    leaves, start = [], 0
    for shape, dtype in zip(layout.shapes, layout.dtypes, strict=True):
        stop = start + math.prod(shape)
        part = rows[..., start:stop].reshape(rows.shape[:-1] + shape)
        leaves.append(part if dtype == np.float64 else part.astype(dtype))
        start = stop
    return jax.tree.unflatten(layout.structure, leaves)


FIRST_ROWS = 256


class Ring:
    """Rows of float64 with a timestamp each, numbered from the first that was ever appended; holds no lock.

    Args:
        limit: most rows that are kept.
        shape: of one row, or its length.
        begin: number of the first row.

    Attributes:
        first, count: rows `first` to `count` are here; `count` is the number of the next one.
    """

    def __init__(self, limit: int, shape: int | tuple[int, ...], begin: int = 0) -> None:
        self.limit, self.shape = limit, (shape,) if isinstance(shape, int) else tuple(shape)
        self.first = self.count = begin
        self._rows = np.empty((min(limit, FIRST_ROWS), *self.shape))
        self._stamps = np.empty(len(self._rows), np.int64)

    def append(self, rows: Float[np.ndarray, "time *shape"], stamps: Int[np.ndarray, "time"]) -> None:
        """Add rows; of more than the limit the first ones are only counted."""
        self._grow(self.count - self.first + len(rows))
        beyond = max(len(rows) - self.limit, 0)
        if beyond:
            rows, stamps, self.count = rows[beyond:], stamps[beyond:], self.count + beyond
        coming, capacity = len(rows), len(self._rows)
        place = self.count % capacity
        ahead = min(coming, capacity - place)
        self._rows[place : place + ahead], self._rows[: coming - ahead] = rows[:ahead], rows[ahead:]
        self._stamps[place : place + ahead], self._stamps[: coming - ahead] = stamps[:ahead], stamps[ahead:]
        self.count += coming
        self.first = max(self.first, self.count - capacity)

    def cut(self, count: int) -> None:
        """Forget the rows from number `count` on."""
        self.count, self.first = count, min(self.first, count)

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """The part of rows `start` to `stop` that is here."""
        stop = max(self.first, min(stop, self.count))
        return min(max(start, self.first), stop), stop

    def read(self, start: int, stop: int, pick: tuple[Any, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
        """Copies of rows that are here, oldest first, and their timestamps.

        Args:
            start, stop: as `span` gives them.
            pick: index of the axes of a row, all of it where left out.
        """
        capacity, count = len(self._rows), max(stop - start, 0)
        place = start % capacity
        ahead = min(count, capacity - place)
        parts = (slice(place, place + ahead), slice(count - ahead))
        if count == ahead:
            return self._rows[(parts[0], *pick)].copy(), self._stamps[parts[0]].copy()
        rows = np.concatenate([self._rows[(part, *pick)] for part in parts])
        return rows, np.concatenate([self._stamps[part] for part in parts])

    def last(self) -> Float[np.ndarray, "*shape"] | None:
        """The newest row itself, no copy; None where there is none."""
        return self._rows[(self.count - 1) % len(self._rows)] if self.count > self.first else None

    def stamp(self, number: int) -> int | None:
        """Timestamp of a row [ns since 1970 UTC], None where it is not here."""
        return int(self._stamps[number % len(self._stamps)]) if self.first <= number < self.count else None

    def _grow(self, needed: int) -> None:
        capacity = len(self._rows)
        if needed <= capacity or capacity >= self.limit:
            return
        longer = min(self.limit, max(2 * capacity, needed))
        rows, stamps = np.empty((longer, *self.shape)), np.empty(longer, np.int64)
        numbers = np.arange(self.first, self.count)
        rows[numbers % longer] = self._rows[numbers % capacity]
        stamps[numbers % longer] = self._stamps[numbers % capacity]
        self._rows, self._stamps = rows, stamps
