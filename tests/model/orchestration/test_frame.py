"""The causal frame against weighted means in closed form, exact scale equivariance and hard inputs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.model.orchestration.frame import hold_scales, push
from uspnb.model.orchestration.step import initialize_state

FLOOR = 1e-12
EMPTY = initialize_state(PredictorConfig()).frame
WINDOW = EMPTY.window.shape[0]


@jax.jit
def _scan(values, released):
    def tick(frame, row):
        new = push(frame, row[0], row[1], FLOOR)
        return new, new

    return jax.lax.scan(tick, EMPTY, (values, released))[1]


def _frames(values, released_at: int | None = None):
    values = np.asarray(values, float)
    frames = _scan(jnp.asarray(values), jnp.arange(len(values)) == (-1 if released_at is None else released_at))
    return jax.tree.map(np.asarray, frames)


def test_the_window_holds_the_last_ticks_and_before_them_the_first_one():
    values = np.random.default_rng(0).normal(size=200)
    frames = _frames(values)
    np.testing.assert_array_equal(frames.window[9], np.concatenate([np.full(WINDOW - 10, values[0]), values[:10]]))
    np.testing.assert_array_equal(frames.window[-1], values[-WINDOW:])
    np.testing.assert_array_equal(frames.count, np.arange(1, 201))


def test_the_first_scales_are_the_running_mean_square_of_the_increments():
    """The first increment stands for two; until the rate reaches its floor every later one has the same weight."""
    values = random_walk(20, 1)
    squares = np.diff(values) ** 2
    expected = np.sqrt((squares[0] + np.cumsum(squares)) / np.arange(2, 21))
    np.testing.assert_allclose(_frames(values).scale[1:], expected, rtol=1e-12)


def test_scale_and_spread_of_noise_are_its_standard_deviations():
    # The scale's memory is about 50 ticks, so single values scatter by a tenth; their root mean square does not.
    values = 3.0 + 2.0 * np.random.default_rng(2).normal(size=8000)
    frames = _frames(values)
    settled = slice(2000, None)
    assert np.sqrt(np.mean(frames.scale[settled] ** 2)) == pytest.approx(2.0 * np.sqrt(2.0), rel=0.04)
    assert np.mean(frames.spread[settled]) == pytest.approx(2.0, rel=0.08)
    assert np.mean(frames.level[settled]) == pytest.approx(3.0, abs=0.15)


@pytest.mark.parametrize("exponent", [950, -900])
def test_the_unit_of_the_input_does_not_matter_down_to_the_last_bit(exponent):
    """Powers of two near 1e286 and 1e-271: no square of an input may be formed on the way."""
    values = random_walk(300, 3)
    frames, scaled = _frames(values), _frames(np.ldexp(values, exponent))
    for name in ("level", "spread", "scale"):
        np.testing.assert_array_equal(np.ldexp(getattr(frames, name), exponent), getattr(scaled, name))


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(200),
        np.full(200, 7.0),
        np.full(200, -1e300),
        1e300 * np.random.default_rng(4).normal(size=200),
        1e-300 * np.random.default_rng(4).normal(size=200),
        np.where(np.arange(200) % 2 == 0, 1e305, -1e305),
        np.where(np.arange(200) == 100, 1e300, 0.0),
        np.exp(3.0 * np.arange(200)),
        np.exp(-3.0 * np.arange(200)),
    ],
    ids=["zero", "constant", "huge constant", "huge", "tiny", "extremes", "spike", "exploding", "vanishing"],
)
def test_every_series_leaves_a_frame_that_divides(values):
    frames = _frames(values)
    for name in ("window", "level", "spread", "scale"):
        assert np.isfinite(getattr(frames, name)).all(), name
    assert (frames.scale > 0).all() and (frames.spread > 0).all()


def test_noise_on_a_large_offset_keeps_a_scale_with_a_memory():
    values = np.random.default_rng(5).normal(size=3000)
    offset = _frames(1e8 + values)
    # The offset costs the values 8 of their 16 digits, no more.
    np.testing.assert_allclose(offset.scale[100:], _frames(values).scale[100:], rtol=1e-6)


def test_one_wild_tick_barely_moves_a_warm_frame():
    values = np.random.default_rng(6).normal(size=300)
    spiked = values.copy()
    spiked[200] = 1e9
    before, after = _frames(values), _frames(spiked)
    # Two increments, winsorised at 4: at most 1 + .02 (16 - 1) = 1.3 in the square each.
    assert after.scale[201] <= 1.3 * before.scale[199] * 1.0001
    assert abs(after.level[200] - before.level[199]) <= 4.0 * before.spread[199]


def test_a_new_level_shifts_the_past_and_learns_anew():
    values = np.random.default_rng(7).normal(size=300)
    values[200:] += 1e4
    frames = _frames(values, released_at=200)
    shift = values[200] - values[199]
    np.testing.assert_allclose(frames.window[200][:-1], frames.window[199][1:] + shift, rtol=1e-12)
    assert abs(frames.level[200] - frames.level[199] - shift) < 1.0
    assert abs(frames.scale[200] / frames.scale[199] - 1.0) < 0.2
    assert frames.age[200] < frames.age[199]
    # After a hundred ticks the level is that of the new values, although its slow rate would take a thousand.
    assert frames.level[299] == pytest.approx(1e4, abs=0.6)


def test_scales_stand_still_where_asked():
    frames = _frames(np.random.default_rng(8).normal(size=50))
    old = jax.tree.map(lambda leaf: jnp.asarray(leaf[-2]), frames)
    new = jax.tree.map(lambda leaf: jnp.asarray(leaf[-1]), frames)
    held = hold_scales(new, old, jnp.asarray(True))
    assert (held.scale, held.spread, held.level) == (old.scale, old.spread, old.level)
    np.testing.assert_array_equal(held.window, new.window)
    free = hold_scales(new, old, jnp.asarray(False))
    assert free.scale == new.scale != old.scale
    first = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), frames)
    assert hold_scales(first, EMPTY, jnp.asarray(True)).level == first.level
