"""What crosses between host and program: a tick's result as one row of float64, a state as a few rows.

Flags and counters fit float64 exactly; the columns of a result are those of `fields.ROW`, and a row unpacks to the same
dataclasses with NumPy leaves.  A state has some 140 leaves, most of them scalars, and each costs the host a microsecond
or two at every call of a program: between the ticks of one series it is kept as `StateRows`.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..array_types import Array, Float
from ..config.schema import DEFAULTS
from .fields import CHART_NAMES, FIELDS, ROW, Telemetry
from .kernels.registry import KERNEL_NAMES
from .records import PredictionResult
from .state import PredictorState

SLOTS, HORIZONS, LEVELS = DEFAULTS["season_slots"], len(DEFAULTS["horizons"]), len(DEFAULTS["interval_levels"])
LARGE = 512  # elements of a leaf that has a row of its own


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
def layout_for(
    modes: int,
    kernels: tuple[str, ...] = KERNEL_NAMES,
    slots: int = SLOTS,
    horizons: int = HORIZONS,
    levels: int = LEVELS,
    covariates: int = 0,
) -> Layout:
    """Layout of the predictor's result, by the table of `fields`; no program is traced for it.

    Args:
        modes: spectral modes reported (`koopman_top_k`).
        kernels: names of the kernels.
        slots: season slots.
        horizons: how many there are.
        levels: how many there are beside `confidence_level`.
        covariates: how many there are, the calendar's among them.
    """
    sizes = {
        "kernel": len(kernels),
        "chart": len(CHART_NAMES),
        "mode": modes,
        "season_slot": slots,
        "covariate": covariates,
        "horizon": horizons,
        "level": levels,
    }
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
    leading = rows.shape[:-1]
    parts = (
        rows[..., start] if shape == () else rows[..., start:stop].reshape(leading + shape)
        for start, stop, shape in _places(layout)
    )
    leaves = [part if kept else part.astype(dtype) for part, (kept, dtype) in zip(parts, _kinds(layout), strict=True)]
    return jax.tree.unflatten(layout.structure, leaves)


@functools.cache
def _places(layout: Layout) -> tuple[tuple[int, int, tuple[int, ...]], ...]:
    """Of each leaf of a result: where it begins and ends in a row, and its shape."""
    stops = list(itertools.accumulate(math.prod(shape) for shape in layout.shapes))
    return tuple(zip([0, *stops], stops, layout.shapes, strict=False))


@functools.cache
def _kinds(layout: Layout) -> tuple[tuple[bool, np.dtype], ...]:
    """Of each leaf of a result: whether a row holds it as it is, and its dtype."""
    return tuple((dtype == np.float64, dtype) for dtype in layout.dtypes)


class StateLayout(NamedTuple):
    """Where each leaf of a state stands in its rows.

    Attributes:
        structure: the tree structure of the state.
        leaves: of each leaf, in order: its row, where it begins there, its shape.
    """

    structure: Any
    leaves: tuple[tuple[int, int, tuple[int, ...]], ...]


@jax.tree_util.register_pytree_node_class
class StateRows:
    """A state of one series in a few rows: one for each dtype, and one for each large leaf.

    JAX builds trees of placeholders too: a check that refused one would give the program another name in the cache of
    compiled programs than it has without the check.

    Attributes:
        rows: the arrays.
        layout: where the leaves stand in them.
    """

    __slots__ = ("layout", "rows")

    def __init__(self, rows: tuple[Any, ...], layout: StateLayout) -> None:
        self.rows, self.layout = rows, layout

    def tree_flatten(self) -> tuple[tuple[Any, ...], StateLayout]:
        """The rows, and the layout as what a program is compiled for."""
        return self.rows, self.layout

    @classmethod
    def tree_unflatten(cls, layout: StateLayout, rows: tuple[Any, ...]) -> StateRows:
        """The inverse."""
        return cls(tuple(rows), layout)


def state_rows(state: PredictorState) -> StateRows:
    """The rows of a state of one series, within a program."""
    leaves, structure = jax.tree.flatten(state)
    rows: dict[Any, list[Array]] = {}
    order: dict[Any, int] = {}
    ends: dict[Any, int] = {}
    places = []
    for place, leaf in enumerate(leaves):
        key = place if leaf.size > LARGE else leaf.dtype
        start = ends.get(key, 0)
        places.append((order.setdefault(key, len(order)), start, leaf.shape))
        rows.setdefault(key, []).append(jnp.ravel(leaf))
        ends[key] = start + leaf.size
    return StateRows(tuple(map(jnp.concatenate, rows.values())), StateLayout(structure, tuple(places)))


def state_of(rows: StateRows) -> PredictorState:
    """The state that the rows hold, within a program."""
    leaves = [
        rows.rows[row][start : start + math.prod(shape)].reshape(shape) for row, start, shape in rows.layout.leaves
    ]
    return jax.tree.unflatten(rows.layout.structure, leaves)


def host_state(rows: StateRows) -> PredictorState:
    """The state that the rows hold as NumPy views of them: a few transfers and no program."""
    fetched = jax.device_get(rows.rows)
    leaves = [fetched[row][start : start + math.prod(shape)].reshape(shape) for row, start, shape in rows.layout.leaves]
    return jax.tree.unflatten(rows.layout.structure, leaves)
