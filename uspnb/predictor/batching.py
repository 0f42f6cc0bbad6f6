"""Assets as a batch axis: stacked states, several devices, chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ..model.programs import SERIES_LENGTH
from ..model.records import Observation
from ..model.state import PredictorState
from .functional import FunctionalPredictor, filled

LONGEST_CHUNK = 256
SHORTEST_CHUNK = 16
ROWS_PER_CHUNK = 32_768


def chunk_length(assets: int | None) -> int:
    """Ticks per compiled call: the series program's own length, or fewer for many assets, so that memory is bounded."""
    if assets is None:
        return SERIES_LENGTH
    bounded = min(LONGEST_CHUNK, max(SHORTEST_CHUNK, ROWS_PER_CHUNK // max(assets, 1)))
    return 1 << (bounded.bit_length() - 1)


def shard_assets(tree: Any, axis: int = 0) -> Any:
    """Spread arrays with an asset axis over the devices, where there are several and they divide it evenly."""
    devices = jax.devices()
    leaves = jax.tree.leaves(tree)
    if len(devices) < 2 or leaves[0].shape[axis] % len(devices):
        return tree
    mesh = Mesh(np.array(devices), ("asset",))

    def place(leaf: Any) -> Any:
        spec = PartitionSpec(*(["asset" if k == axis else None for k in range(leaf.ndim)]))
        return jax.device_put(leaf, NamedSharding(mesh, spec))

    return jax.tree.map(place, tree)


def scan_chunks(
    predictor: FunctionalPredictor,
    state: PredictorState,
    ticks: Observation,
    after_chunk: Callable[[int], None] = lambda done: None,
) -> tuple[PredictorState, np.ndarray]:
    """Run ticks of shape (T,) or (T, A) through the predictor in chunks of one compiled shape.

    The last chunk is filled up with ticks that are never processed; they touch neither state nor rows.

    Args:
        predictor: whose programs to run.
        state: the state to start from.
        ticks: observations, on the host.
        after_chunk: called with the number of ticks done.

    Returns:
        The last state and packed results of shape (T, width) or (T, A, width).
    """
    batched = np.ndim(ticks.value) == 2
    total = np.shape(ticks.value)[0]
    length = chunk_length(np.shape(ticks.value)[1] if batched else None)
    if batched:
        state = shard_assets(state)
    rows = []
    for start in range(0, total, length):
        real = min(length, total - start)
        piece = Observation(*(filled(column[start : start + real], length) for column in ticks))
        state, packed = predictor.advance(state, piece, real)
        rows.append(packed)
        after_chunk(start + real)
    return state, np.concatenate(rows)
