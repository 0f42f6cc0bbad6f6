"""Chunks of one compiled shape, whatever the length of the run, and assets over several devices."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.model.programs import SERIES_LENGTH, trace_count
from uspnb.predictor.functional import (
    LONGEST_CHUNK,
    ROWS_PER_CHUNK,
    SHORTEST_CHUNK,
    FunctionalPredictor,
    chunk_length,
    observations,
    scan_chunks,
)
from uspnb.runtime.digest import sha256_pytree


@pytest.mark.parametrize("assets", [1, 2, 3, 63, 64, 65, 100, 1000, 2048, 10_000, 1_000_000])
def test_chunks_are_powers_of_two_of_bounded_memory(assets: int) -> None:
    length = chunk_length(assets)
    assert length & (length - 1) == 0 and SHORTEST_CHUNK <= length <= LONGEST_CHUNK
    assert length * assets <= ROWS_PER_CHUNK or length == SHORTEST_CHUNK
    assert length in (LONGEST_CHUNK, SHORTEST_CHUNK) or 2 * length * assets > ROWS_PER_CHUNK


def test_the_cut_into_chunks_changes_nothing() -> None:
    predictor = FunctionalPredictor(PredictorConfig())
    values = random_walk(700, 0)
    ticks = observations(values, np.arange(700) * 10**9)
    progress: list[int] = []
    state, rows = scan_chunks(predictor, predictor.init_state(), ticks, progress.append)
    assert progress == [*range(SERIES_LENGTH, 700, SERIES_LENGTH), 700] and rows.shape[0] == 700
    traces = trace_count("series")
    other, pieces = predictor.init_state(), []
    for start, stop in ((0, 1), (1, 90), (90, 602), (602, 700)):
        piece = ticks.at(slice(start, stop))
        other, part = scan_chunks(predictor, other, piece)
        pieces.append(part)
    np.testing.assert_array_equal(np.concatenate(pieces), rows)
    assert sha256_pytree(other) == sha256_pytree(state)
    assert trace_count("series") == traces


def test_filling_repeats_the_last_tick_and_is_never_processed() -> None:
    predictor = FunctionalPredictor(PredictorConfig())
    ticks = observations(np.array([1.0, 2.0, 4.0]), np.arange(3))
    state, rows = scan_chunks(predictor, predictor.init_state(), ticks)
    assert rows.shape[0] == 3 and int(state.ticks) == 3
    assert int(state.gate.last_timestamp_ns) == 2


SHARDING = """
import jax, numpy as np
from uspnb.predictor import functional
assert len(jax.devices()) == 4
tree = {"a": np.ones((8, 2)), "b": np.ones(8)}
assert functional.shard_assets(tree) is tree
functional.platform = lambda: "gpu"
even = functional.shard_assets(tree)
assert len(even["a"].sharding.device_set) == 4 and even["a"].addressable_shards[0].data.shape == (2, 2)
odd = np.ones((6, 2))
assert functional.shard_assets(odd) is odd
"""


def test_assets_spread_over_accelerators_that_divide_them() -> None:
    """Devices of the host stand in for them; left as what they are, nothing is spread over them."""
    surroundings = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    surroundings.pop("PJRT_NPROC", None)
    done = subprocess.run(
        [sys.executable, "-c", SHARDING], env=surroundings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
