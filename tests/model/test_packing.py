"""Packing a result into one row and back loses nothing."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.model.orchestration.step import initialize_state, orchestrate_step
from uspnb.model.packing import Layout, pack, unpack
from uspnb.model.programs import result_layout
from uspnb.model.records import Observation, PredictionResult, Telemetry


@pytest.fixture(scope="module")
def layout() -> Layout:
    return result_layout(PredictorConfig())


def filled(layout: Layout, seed: int) -> PredictionResult:
    """A result with a different value in every leaf: flags, counters and numbers, extreme ones among them."""
    rng = np.random.default_rng(seed)
    leaves = []
    for shape, dtype in zip(layout.shapes, layout.dtypes, strict=True):
        if dtype.kind == "b":
            leaves.append(rng.integers(0, 2, shape).astype(bool))
        elif dtype.kind == "i":
            leaves.append(rng.integers(-(2**31), 2**31, shape).astype(dtype))
        else:
            leaves.append(rng.choice([np.nan, np.inf, -np.inf, 1e300, -1e-300, -0.0, 0.1], shape).astype(dtype))
    return jax.tree.unflatten(layout.structure, [jax.numpy.asarray(leaf) for leaf in leaves])


def test_layout_counts_every_leaf(layout: Layout) -> None:
    assert layout.width == sum(int(np.prod(shape)) for shape in layout.shapes)
    assert len(layout.shapes) == len(dataclasses.fields(Telemetry)) + 4


@pytest.mark.parametrize("seed", range(4))
def test_a_result_survives_to_the_bit(layout: Layout, seed: int) -> None:
    result = filled(layout, seed)
    row = np.asarray(jax.jit(pack)(result))
    assert row.shape == (layout.width,) and row.dtype == np.float64
    for back in (unpack(row, layout), jax.jit(lambda r: unpack(r, layout))(row)):
        assert jax.tree.structure(back) == layout.structure
        for before, after in zip(jax.tree.leaves(result), jax.tree.leaves(back), strict=True):
            assert np.asarray(after).dtype == before.dtype and after.shape == before.shape
            # Bytes, because NaN differs from itself and 0.0 equals -0.0.
            assert np.asarray(after).tobytes() == np.asarray(before).tobytes()


def test_the_largest_counter_is_exact(layout: Layout) -> None:
    place = int(unpack(np.arange(layout.width, dtype=np.float64), layout).telemetry.ticks)
    row = np.zeros(layout.width)
    row[place] = 2.0**53 - 1
    assert int(unpack(row, layout).telemetry.ticks) == 2**53 - 1


def test_leading_axes_stay(layout: Layout) -> None:
    rows = np.arange(2 * 3 * layout.width, dtype=np.float64).reshape(2, 3, layout.width)
    result = unpack(rows, layout)
    for leaf, shape in zip(jax.tree.leaves(result), layout.shapes, strict=True):
        assert leaf.shape == (2, 3, *shape)
    np.testing.assert_array_equal(result.reference_prediction, rows[..., 0])
    assert np.shares_memory(result.telemetry.weight, rows)


def test_the_layout_follows_static_fields_alone() -> None:
    base = result_layout(PredictorConfig())
    assert result_layout(PredictorConfig(cusum_k=0.25)) is base
    assert result_layout(PredictorConfig(koopman_top_k=7)).width == base.width + 4


def test_the_layout_of_the_table_is_that_of_a_traced_step() -> None:
    """`result_layout` traces nothing; this traces the step once and compares every shape and dtype."""
    config = PredictorConfig()
    number, whole = jax.ShapeDtypeStruct((), jnp.float64), jax.ShapeDtypeStruct((), jnp.int64)
    state = jax.eval_shape(initialize_state, config)
    _, result = jax.eval_shape(orchestrate_step, config, state, Observation(number, whole, whole, number))
    layout = result_layout(config)
    assert jax.tree.structure(result) == layout.structure
    leaves = jax.tree.leaves(result)
    assert tuple(leaf.shape for leaf in leaves) == layout.shapes
    assert tuple(np.dtype(leaf.dtype) for leaf in leaves) == layout.dtypes
