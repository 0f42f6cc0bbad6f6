"""A tick's result as one row of float64, so that it crosses to the host in one transfer and history is one table.

Flags and counters fit float64 exactly; the layout is that of `PredictionResult`'s leaves, found once by abstract
evaluation, and a row unpacks to the same dataclasses with NumPy leaves.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..array_types import Array, Float
from .kernels.base import KERNEL_NAMES
from .records import CHART_NAMES, PredictionResult, Telemetry


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


@functools.cache
def layout_for(modes: int) -> Layout:
    """Layout of the predictor's result, read off the annotations of `Telemetry`; no program is traced for it.

    Args:
        modes: spectral modes reported (`koopman_top_k`), the only length that settings change.
    """
    sizes = {"kernel": len(KERNEL_NAMES), "chart": len(CHART_NAMES), "mode": modes}

    def shape_of(annotation: str) -> tuple[int, ...]:
        named = re.search(r"""Array, ['"]([a-z ]*)['"]""", annotation)
        return tuple(sizes[name] for name in named.group(1).split()) if named else ()

    def like(name: str, annotation: str) -> np.ndarray:
        kind = annotation.partition("[")[0]
        whole = np.int32 if name == "operating_mode" else np.int64
        dtype = {"Flag": np.bool_, "Bool": np.bool_, "Count": np.int64, "Int": whole}.get(kind, np.float64)
        return np.zeros(shape_of(annotation), dtype)

    telemetry = {field.name: like(field.name, str(field.type)) for field in dataclasses.fields(Telemetry)}
    scalar: Any = np.zeros(())
    mode: Any = telemetry["operating_mode"]
    made: Any = Telemetry(**telemetry)  # type: ignore[arg-type]
    return layout_of(PredictionResult(scalar, scalar, scalar, mode, made))


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
