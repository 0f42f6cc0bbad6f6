"""What is measured where it is due: the same for one series, for a batch in step and for one out of step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.model.cadence import on_stride, where_due


def measured(due: jax.Array, value: jax.Array, held: jax.Array) -> jax.Array:
    return where_due(due, lambda value, _: jnp.cumsum(value), lambda _, held: held, value, held)


@pytest.mark.parametrize("due", [[True] * 5, [False] * 5, [True, False, False, True, False]])
def test_members_of_a_batch_are_measured_as_alone(due: list[bool]) -> None:
    rng = np.random.default_rng(0)
    value, held = jnp.asarray(rng.normal(size=(5, 3))), jnp.asarray(rng.normal(size=(5, 3)))
    together = jax.jit(jax.vmap(measured))(jnp.asarray(due), value, held)
    for k, turn in enumerate(due):
        expected = np.cumsum(value[k]) if turn else held[k]
        np.testing.assert_array_equal(together[k], expected)
        np.testing.assert_array_equal(measured(jnp.asarray(turn), value[k], held[k]), expected)


def test_a_batch_pays_for_a_measurement_only_where_a_member_is_due() -> None:
    """The condition stays one: a batch in step skips the whole branch."""
    lowered = jax.make_jaxpr(jax.vmap(measured))(jnp.zeros(4, bool), jnp.zeros((4, 3)), jnp.zeros((4, 3)))
    text = str(lowered)
    assert "cumsum" in text and "cond[" in text


def test_a_turn_comes_every_stride_and_at_every_young_tick() -> None:
    assert [t for t in range(1, 17) if on_stride(jnp.asarray(t), 4, 6)] == [1, 2, 3, 4, 5, 8, 12, 16]
    assert all(on_stride(jnp.asarray(t), 1) for t in range(9))
