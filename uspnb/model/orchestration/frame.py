"""The causal frame: rolling window, level, spread and scale, updated after a tick has been scored.

Its long memory is a ring of values by their place on the time grid, in which a season stands where it was a period ago,
whatever was missing in between.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ...array_types import Array, Count, Flag, Float, Scalar
from ..cadence import most_of_batch
from ..kernels.base import Sparing
from ..state import FrameState, SeasonRing

SCALE_RATE = 0.02
LEVEL_RATE = 0.001
WINSOR = 4.0
WARM_UP = 20
WARM_UP_WINSOR = 1e4
RESTART_AGE = 8
UNSET = 10.0
REACH = 50.0


def push(
    frame: FrameState,
    value: Scalar,
    released: Flag,
    floor: float | Scalar,
    slots: Count | None = None,
    taken: Flag | bool = True,
) -> FrameState:
    """Take an accepted tick into the window and move level, spread and scale towards it.

    Scales are updated through their ratio to the new value, s <- s sqrt(1 + r ((d/s)^2 - 1)), so that no square of an
    input is ever formed and 1e300 is as good as 1.  |d/s| is winsorised at 4 once the frame is warm.

    Args:
        frame: the frame before the tick.
        value: y_t, finite [y].
        released: the tick opens a new level; the past is shifted to it and the rates start anew.
        floor: smallest scale relative to the values [1].
        slots: places on the time grid since the last tick of the window; needed for its ring, where there is one.
        taken: whether the tick comes in; if not, all but the ring's values is for the caller to leave as it was.

    Returns:
        The frame that knows the tick.
    """
    first = frame.count == 0
    shift = jnp.where(released, value - frame.window[-1], 0.0)
    window = jnp.where(first, value, frame.window + shift)
    level = jnp.where(first, value, frame.level + shift)
    age = jnp.where(released, RESTART_AGE, frame.age)

    smallest = jnp.maximum(floor * jnp.maximum(jnp.abs(value), jnp.abs(level)), 1e-306)
    bound = jnp.where(age < WARM_UP, WARM_UP_WINSOR, WINSOR)
    increment = value - window[-1]
    unset = frame.scale <= UNSET * smallest
    scale = jnp.where(unset, jnp.maximum(jnp.abs(increment), smallest), frame.scale)
    scale = jnp.maximum(_follow(scale, increment, jnp.maximum(1.0 / (age + 1.0), SCALE_RATE), bound), smallest)

    deviation = value - level
    spread = jnp.where(frame.spread <= UNSET * smallest, jnp.maximum(jnp.abs(deviation), scale), frame.spread)
    rate = jnp.maximum(1.0 / (age + 1.0), LEVEL_RATE)
    spread = jnp.maximum(_follow(spread, deviation, rate, bound), smallest)
    level = level + rate * jnp.clip(deviation, -bound * spread, bound * spread)
    window = jnp.concatenate([window[1:], value[None]])
    level, spread, scale = _within_reach(window, level, spread, scale)
    return FrameState(
        window=window,
        count=frame.count + 1,
        level=level,
        spread=spread,
        scale=scale,
        age=age + 1,
        season=frame.season
        if slots is None or not frame.season
        else _push_season(frame.season, value, shift, slots, jnp.asarray(taken)),
    )


def _within_reach(
    window: Float[Array, "window"], level: Scalar, spread: Scalar, scale: Scalar
) -> tuple[Scalar, Scalar, Scalar]:
    """Level, spread and scale held to what the window can account for.

    A scale falls by one percent a tick at the most, so after values of 1e300 it would need 69,000 ticks to come back to
    one.  No scale of increments exceeds the largest increment of the window; a slow level and spread may lie outside
    its range, on a trend, but not by many times.
    """
    low, high = jnp.min(window), jnp.max(window)
    reach = high - low
    moving = (reach > 0) & jnp.isfinite(reach)
    largest = jnp.max(jnp.abs(window[1:] - window[:-1]))
    room = REACH * reach
    return (
        jnp.where(moving, jnp.clip(level, low - room, high + room), level),
        jnp.where(moving, jnp.minimum(spread, room), spread),
        jnp.where(moving, jnp.minimum(scale, largest), scale),
    )


def hold_scales(new: FrameState, old: FrameState, hold: Flag) -> FrameState:
    """The new frame, with the old level, spread and scale where the signal is frozen."""
    keep = hold & (old.count > 0)
    return new._replace(
        level=jnp.where(keep, old.level, new.level),
        spread=jnp.where(keep, old.spread, new.spread),
        scale=jnp.where(keep, old.scale, new.scale),
    )


def _follow(scale: Scalar, deviation: Scalar, rate: Scalar, bound: Scalar) -> Scalar:
    ratio = jnp.clip(deviation / scale, -bound, bound)
    return scale * jnp.sqrt(1.0 + rate * (ratio * ratio - 1.0))


def _push_season(ring: SeasonRing, value: Scalar, shift: Scalar, slots: Count, taken: Flag) -> SeasonRing:
    """Take a tick in at its place, so many slots after the one before; slots in between lie on the line to it.

    A tick in the slot of the one before replaces it.

    Args:
        ring: before the tick.
        value: y_t [y].
        shift: what the past is moved by [y], other than 0 where a new level begins.
        slots: places on the time grid since the last tick of the window, 0 or more.
        taken: whether the tick comes in at all.
    """
    first = ring.place < 0
    entries = ring.values.entries
    capacity = entries.shape[0]
    place = jnp.where(first, 0, ring.place + slots)
    base = jnp.where(first, 0.0, ring.base + shift)
    newest = value - base
    before = entries[jnp.maximum(ring.place, 0) % capacity]
    between = jnp.where(taken & ~first, jnp.minimum(slots, capacity) - 1, 0)

    def fill(behind: Count, entries: Float[Array, "capacity"]) -> Float[Array, "capacity"]:
        at = (place - behind) % capacity
        level = newest + (before - newest) * behind / jnp.maximum(slots, 1)
        return entries.at[at].set(jnp.where(behind <= between, level, entries[at]))

    entries = jax.lax.fori_loop(1, most_of_batch(between) + 1, fill, entries)
    at = place % capacity
    entries = entries.at[at].set(jnp.where(taken, newest, entries[at]))
    return ring._replace(values=Sparing(entries), base=base, place=place)
