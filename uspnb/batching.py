"""Assets as a batch axis: stacked states, several devices, chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .config.schema import PredictorConfig
from .functional import donating_scan_rows
from .records import Observation
from .state import PredictorState

LONGEST_CHUNK = 512
SHORTEST_CHUNK = 16
ROWS_PER_CHUNK = 32_768


def chunk_length(assets: int) -> int:
    """Ticks per compiled call: one shape for a single series, fewer ticks for many, so that memory stays bounded."""
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
    config: PredictorConfig,
    state: PredictorState,
    ticks: Observation,
    after_chunk: Callable[[int], None] = lambda done: None,
) -> tuple[PredictorState, np.ndarray]:
    """Run ticks of shape (T,) or (T, A) through the predictor in chunks of one compiled shape.

    The last chunk is filled up with ticks that are never processed; they touch neither state nor rows.

    Args:
        config: settings.
        state: the state to start from; it is donated.
        ticks: observations, on the host.
        after_chunk: called with the number of ticks done.

    Returns:
        The last state and packed results of shape (T, width) or (T, A, width).
    """
    batched = np.ndim(ticks.value) == 2
    total = np.shape(ticks.value)[0]
    length = chunk_length(np.shape(ticks.value)[1] if batched else 1)
    if batched:
        state = shard_assets(state)
    rows = []
    for start in range(0, total, length):
        real = min(length, total - start)
        piece = Observation(*(_filled(column[start : start + real], length) for column in ticks))
        state, packed = donating_scan_rows(config, state, piece, np.int64(real))
        rows.append(np.asarray(packed)[:real])
        after_chunk(start + real)
    return state, np.concatenate(rows)


def _filled(column: np.ndarray, length: int) -> np.ndarray:
    """The column with its last row repeated up to `length`."""
    column = np.asarray(column)
    return np.concatenate([column, np.repeat(column[-1:], length - column.shape[0], axis=0)])
