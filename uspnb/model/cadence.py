"""What is measured every few ticks only: a condition on the tick's number that stays one in a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

from ..array_types import Array, Count, Flag, PyTree


class Sparing(NamedTuple):
    """An array of which a tick writes a few entries, and none where it is not taken.

    So no pass over the whole is needed to leave it as it was, as there is for every other leaf of a state.
    """

    entries: Array


def on_stride(ticks: Count, stride: int, settled: int = 0) -> Flag:
    """Whether it is a tick's turn: every `stride` of them, and each before `settled`, while estimates are young."""
    return (ticks % stride == 0) | (ticks < settled)


def most_of_batch(number: Count) -> Count:
    """The largest of a batch's numbers, one for all its members: how often a loop goes round that they share."""

    @custom_vmap
    def run(number: Array) -> Array:
        return number

    @run.def_vmap
    def _(size: int, batched: list[bool], number: Array) -> tuple[Array, bool]:
        return jnp.max(number), False

    return run(number)


def where_due(
    due: Flag,
    measure: Callable[..., PyTree],
    otherwise: Callable[..., PyTree],
    *arguments: Array,
) -> Any:
    """`measure(*arguments)` where it is due, else `otherwise(*arguments)`.

    Under vmap a `cond` on a batched flag would measure every member at every tick.  The rule here keeps a scalar
    condition, whether any member is due: members in step are measured together, of those out of step the ones that are
    not due keep what `otherwise` gives them.

    Args:
        due: whether to measure.
        measure, otherwise: functions of the arguments alone, of equal structure, shapes and dtypes.
        arguments: arrays; a function must not close over a traced one.
    """

    @custom_vmap
    def run(due: Array, *arguments: Array) -> PyTree:
        return lax.cond(due, measure, otherwise, *arguments)

    @run.def_vmap
    def _(size: int, batched: list[bool], *arguments: Array) -> tuple[PyTree, PyTree]:
        due, *full = (
            a if b else jnp.broadcast_to(a, (size, *a.shape)) for a, b in zip(arguments, batched, strict=True)
        )
        held = jax.vmap(otherwise)(*full)

        def mixed() -> PyTree:
            def choose(new: Array, old: Array) -> Array:
                return jnp.where(due.reshape((size,) + (1,) * (new.ndim - 1)), new, old)

            return jax.tree.map(choose, jax.vmap(measure)(*full), held)

        return lax.cond(jnp.any(due), mixed, lambda: held), jax.tree.map(lambda _: True, held)

    return run(jnp.asarray(due), *arguments)
