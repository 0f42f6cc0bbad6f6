"""What every kernel must do, whatever it is: run over all of them."""

from __future__ import annotations

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.model.kernels.base import KERNEL_NAMES, KernelInputs

CONFIG = PredictorConfig()
KEY = jax.random.PRNGKey(0)
N = 400


@pytest.fixture(params=KERNEL_NAMES)
def kernel(request):
    return importlib.import_module(f"uspnb.model.kernels.{request.param}")


def _inputs(seed: int = 0, learn: bool = True) -> KernelInputs:
    rng = np.random.default_rng(seed)
    path = np.cumsum(rng.normal(size=CONFIG.wtmm_buffer_size))
    numbers = [rng.normal(), 0.4 * rng.normal(), 2.0 + rng.random(), 0.9 + 0.2 * rng.random(), 1.0, 0.5, 100.0, 1000.0]
    increment, level, spread, ratio, volatility, holder, low, high = map(jnp.asarray, numbers)
    count = jnp.asarray(CONFIG.wtmm_buffer_size)
    return KernelInputs(
        jnp.asarray(path - path[-1]), count, increment, jnp.asarray(learn), level, spread, ratio, volatility,
        holder, low, high, jnp.asarray(False),
    )  # fmt: skip


def _warm(kernel, ticks: int = 40):
    """A state that has learned something."""
    state, advance = kernel.init(CONFIG, KEY), jax.jit(kernel.step)
    for seed in range(ticks):
        state, _ = advance(CONFIG, state, _inputs(seed), KEY)
    return state


def _finite(tree) -> bool:
    return all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(tree))


def _assert_close(a, b, tolerance: float) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def _streams() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.normal(size=N))
    spiked = walk.copy()
    spiked[200] += 1e6
    return {
        "walk": walk,
        "constant": np.full(N, 3.0),
        "almost constant": np.where(np.arange(N) == 200, 1.0, 0.0),
        "ramp": np.arange(N, dtype=float),
        "exponential": np.exp(0.2 * np.arange(N)),
        "spike of a million": spiked,
        "huge": 1e290 * walk,
        "tiny": 1e-290 * walk,
        "alternating": np.where(np.arange(N) % 2 == 0, 1.0, -1.0),
    }


def test_the_state_keeps_its_structure(kernel):
    state = kernel.init(CONFIG, KEY)
    after, output = jax.eval_shape(kernel.step, CONFIG, state, _inputs(), KEY)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (old.shape, old.dtype) == (new.shape, new.dtype)
    assert output.mean.shape == output.scale.shape == ()
    assert hasattr(output.diagnostics, "_fields")


def test_no_two_leaves_share_an_array(kernel):
    leaves = jax.tree.leaves(kernel.init(CONFIG, KEY))
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)


@pytest.mark.parametrize("name", list(_streams()))
def test_outputs_and_state_stay_finite(kernel, drive, name):
    run = drive(kernel, CONFIG, _streams()[name])
    assert np.isfinite(run.output.mean).all()
    assert np.isfinite(run.output.scale).all() and (run.output.scale > 0).all()
    assert _finite(run.state)


def test_a_stream_without_learning_stays_finite(kernel, drive):
    """That nothing is learned from it is asked of single ticks below."""
    values = _streams()["walk"]
    run = drive(kernel, CONFIG, values, learn=np.zeros(N, bool))
    assert np.isfinite(run.output.mean).all() and (run.output.scale > 0).all()
    assert _finite(run.state)


def test_an_increment_that_must_not_be_learned_changes_nothing(kernel):
    """Where `learn` is False the increment may be anything: state and forecast are the same."""
    state, advance = _warm(kernel), jax.jit(kernel.step)
    inputs = _inputs(99, learn=False)
    quiet = advance(CONFIG, state, inputs, KEY)
    for wild in (1e6, -3.0):
        other = advance(CONFIG, state, inputs._replace(increment=jnp.asarray(wild)), KEY)
        _assert_close(quiet[0], other[0], 0.0)
        _assert_close((quiet[1].mean, quiet[1].scale), (other[1].mean, other[1].scale), 0.0)


def test_standing_still_keeps_what_was_learned(kernel):
    """Many ticks without learning, then the same inputs: the forecast is the one made before them."""
    state, advance = _warm(kernel), jax.jit(kernel.step)
    inputs = _inputs(5, learn=False)._replace(scale_ratio=jnp.asarray(1.0))
    once, first = advance(CONFIG, state, inputs, KEY)
    last = first
    for _ in range(20):
        once, last = advance(CONFIG, once, inputs, KEY)
    np.testing.assert_allclose(first.mean, last.mean, rtol=1e-9, atol=1e-12)


def test_learning_changes_the_forecast(kernel):
    """The counterpart of the two above: a kernel that never learned would pass them."""
    state, advance = _warm(kernel), jax.jit(kernel.step)
    outputs = []
    for increment in (-2.0, 2.0):
        moved = state
        for seed in range(30):
            moved, _ = advance(CONFIG, moved, _inputs(seed)._replace(increment=jnp.asarray(increment)), KEY)
        outputs.append(float(advance(CONFIG, moved, _inputs(30), KEY)[1].mean))
    assert outputs[0] != pytest.approx(outputs[1], abs=1e-6)


def test_jit_is_eager(kernel):
    state, inputs = _warm(kernel, 20), _inputs(7)
    _assert_close(jax.jit(kernel.step)(CONFIG, state, inputs, KEY), kernel.step(CONFIG, state, inputs, KEY), 1e-9)


def test_vmap_is_a_loop(kernel):
    states = [_warm(kernel, ticks) for ticks in (5, 15, 25)]
    inputs = [_inputs(seed) for seed in (1, 2, 3)]
    stack = lambda trees: jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)  # noqa: E731
    together = jax.jit(jax.vmap(kernel.step, (None, 0, 0, None)))(CONFIG, stack(states), stack(inputs), KEY)
    alone = [jax.jit(kernel.step)(CONFIG, s, i, KEY) for s, i in zip(states, inputs, strict=True)]
    _assert_close(together, stack(alone), 1e-9)


def test_the_unit_of_the_series_does_not_matter(kernel, drive):
    values = _streams()["walk"]
    run, scaled = drive(kernel, CONFIG, values), drive(kernel, CONFIG, 1024.0 * values)
    np.testing.assert_allclose(scaled.output.mean, run.output.mean, rtol=1e-9, atol=1e-9)


def test_a_random_walk_costs_little(kernel, drive):
    values = np.cumsum(np.random.default_rng(8).normal(size=2000))
    assert drive(kernel, CONFIG, values).relative_rmse(values) < 1.03
