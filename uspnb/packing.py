"""A tick's result as one row of float64, so that it crosses to the host in one transfer and history is one table.

Flags and counters fit float64 exactly; the layout is that of `PredictionResult`'s leaves, found once by abstract
evaluation, and a row unpacks to the same dataclasses with NumPy leaves.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .array_types import Array, Float
from .records import PredictionResult


class Layout(NamedTuple):
    """Where each leaf of a result stands in a row.

    Attributes:
        structure: the tree structure of a `PredictionResult`.
        shapes, dtypes: of its leaves, in order.
        width: length of a row.
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype, ...]
    width: int


def layout_of(result: PredictionResult) -> Layout:
    """Layout of one tick's result, of arrays or of abstract shapes."""
    leaves, structure = jax.tree.flatten(result)
    shapes = tuple(tuple(leaf.shape) for leaf in leaves)
    dtypes = tuple(np.dtype(leaf.dtype) for leaf in leaves)
    return Layout(structure, shapes, dtypes, sum(math.prod(shape) for shape in shapes))


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
