"""A batch in blocks: the same numbers, wherever a series stands, and each in its place."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.model.programs import WIDEST_BLOCK, run_batch, run_candidates, static_part, traced_part
from uspnb.model.records import Observation
from uspnb.predictor.functional import FunctionalPredictor, observations

SERIES, TICKS = 2 * WIDEST_BLOCK + 3, 60
WIDTH = -(-SERIES // 3)
# Each begins where no block does, but the last; the last two blocks share series.
PARTS = (slice(0, WIDTH), slice(7, 7 + WIDTH), slice(SERIES - WIDTH, SERIES))


@pytest.fixture(scope="module")
def ticks() -> Observation:
    values = np.stack([random_walk(TICKS, seed) for seed in range(SERIES)], axis=1)
    values[11, ::5] = np.nan
    return observations(values, np.arange(TICKS) * 10**9)


def of(tree: Any, part: slice, axis: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[(slice(None),) * axis + (part,)], tree)


def same(found: Any, expected: Any) -> None:
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=jax.tree_util.keystr(path))


def test_a_series_has_the_same_results_in_any_block(ticks: Observation) -> None:
    predictor = FunctionalPredictor(PredictorConfig())
    static, count = predictor.static, np.int64(TICKS)
    states, rows = run_batch(static, predictor.knobs, predictor.init_state(SERIES), ticks, count)
    assert rows.shape[:2] == (TICKS, SERIES)
    for part in PARTS:
        alone = run_batch(static, predictor.knobs, predictor.init_state(WIDTH), of(ticks, part, 1), count)
        same((of(states, part, 0), of(rows, part, 1)), alone)


def test_each_candidate_keeps_its_own_settings(ticks: Observation) -> None:
    config = PredictorConfig()
    predictor, static, count = FunctionalPredictor(config), static_part(config), np.int64(TICKS)
    levels = np.linspace(0.5, 0.99, SERIES)
    knobs = jnp.asarray(
        np.stack([traced_part(dataclasses.replace(config, confidence_level=float(level))) for level in levels])
    )
    states, rows = run_candidates(static, knobs, predictor.init_state(SERIES), ticks, count)
    width = np.asarray(rows)[-1, :, 3] - np.asarray(rows)[-1, :, 2]
    assert np.corrcoef(levels, width / np.asarray(rows)[-1, :, 1])[0, 1] > 0.9
    for part in PARTS:
        alone = run_candidates(static, knobs[part], predictor.init_state(WIDTH), of(ticks, part, 1), count)
        same((of(states, part, 0), of(rows, part, 1)), alone)
