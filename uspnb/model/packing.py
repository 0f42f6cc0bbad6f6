"""A tick's result as one row of float64, so that it crosses to the host in one transfer.

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

from ..array_types import Array, Float
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
