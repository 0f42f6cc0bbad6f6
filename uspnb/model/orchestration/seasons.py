"""Seasons: periods in use, looked for in the frame's ring as the series goes, and what kernels see of them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from ...array_types import Array, Count, Flag, Float, Int, Scalar
from ...config.schema import PERIODS_NEEDED, SEASON_FIELDS, PredictorConfig
from ..cadence import where_due
from ..kernels.base import NEIGHBOURS, SeasonInputs
from ..state import SeasonRing
from .periods import PERIODS_TO_FIND, find_periods, near, needed_of

# Ticks between two looks, up to so many ticks of the series, and after them.
STRIDES, SETTLED = (8, 16, 64, 128, 256), (128, 512, 1024, 2048)
ROW_BOUND = 100.0
# So many times the evidence that is needed is enough without a second look.
STRONG = 2.0
# A period that was found is read by seasonal rows once it has been seen so often.
READ = 2.6


def with_periods(config: PredictorConfig, ring: SeasonRing, ticks: Count, counted: Flag) -> SeasonRing:
    """The ring with the periods that are in use from this tick on: the declared ones, else those found.

    Args:
        ring: with the newest tick.
        ticks: accepted ticks so far.
        counted: whether this tick is one of them.
    """
    declared = _declared(config)
    given = jnp.any(declared > 0)
    stride = jnp.asarray(STRIDES)[jnp.sum(ticks > np.array(SETTLED))]
    due = counted & ~given & (ticks % stride == 0)
    found, proposed = where_due(
        due, _look, lambda values, place, held, before: (held, before), ring.values.entries, ring.place, ring.periods,
        ring.proposed,
    )  # fmt: skip
    return ring._replace(periods=jnp.where(given, declared, found), proposed=proposed)


def _declared(config: PredictorConfig) -> Int[Array, "slot"]:
    names = SEASON_FIELDS[: config.season_slots]
    return jnp.stack([jnp.asarray(getattr(config, name), jnp.int64) for name in names])


def _look(
    values: Float[Array, "capacity"], place: Count, held: Int[Array, "slot"], before: Int[Array, "slot"]
) -> tuple[Int[Array, "slot"], Int[Array, "slot"]]:
    """Periods in use and the proposal, from those of before: what is proposed twice or beyond doubt comes into use.

    Two proposals are the same where they are near; a period comes into use once it has been seen often enough.
    """
    capacity = values.shape[0]
    known = jnp.minimum(place + 1, capacity)
    chronological = values[(place + 1 + np.arange(capacity)) % capacity]
    proposed, evidence = find_periods(chronological, known, held)
    # A multiple of the shorter one need not have been seen so often.
    multiple = (proposed > proposed[0]) & (proposed % jnp.maximum(proposed[0], 1) == 0)
    ripe = (PERIODS_TO_FIND * proposed[0] <= known) & ((PERIODS_TO_FIND * proposed <= known) | multiple)
    strong = evidence >= STRONG * needed_of(known)
    ready = jnp.where((proposed > 0) & ripe & (strong | _has_near(before, proposed)), proposed, 0)
    ready = jnp.where(ready[0] > 0, ready, jnp.roll(ready, -1))
    alike = jnp.all(near(proposed, before))
    grows = jnp.all((held == 0) | _has_near(ready, held))
    # One in use that is still proposed stays, though it may not be ready by itself.
    lost = jnp.any((held > 0) & _has_near(proposed, held) & ~_has_near(ready, held))
    taken = jnp.where(jnp.any(proposed > 0), jnp.any(ready > 0) & (alike | grows) & ~lost, alike)
    return jnp.where(taken, ready, held), proposed


def _has_near(others: Int[Array, "slot"], periods: Int[Array, "slot"]) -> Array:
    """Of each period whether one of the others is near."""
    return jnp.any(near(periods[:, None], others[None, :]), axis=1)


def season_inputs(
    config: PredictorConfig, before: SeasonRing, ring: SeasonRing, scale: Scalar, taken: Flag
) -> SeasonInputs:
    """What a kernel is told of the seasons.

    Args:
        before: the ring of the tick before.
        ring: with the newest tick.
        scale: s_t [y].
        taken: whether the newest tick comes in.
    """
    entries = ring.values.entries
    capacity = entries.shape[0]
    periods = ring.periods
    usable = jnp.maximum(periods, 2)
    origin = ring.place - usable
    # A short period's future neighbours would lie beyond the newest tick.
    ahead = jnp.minimum(np.array(NEIGHBOURS)[None, :], usable[:, None])
    values = entries[jnp.concatenate([origin[:, None], origin[:, None] + ahead], axis=1) % capacity]
    rows = jnp.concatenate([values[:, 1:], entries[ring.place % capacity] * jnp.ones((len(values), 1))], axis=1)
    given = jnp.any(_declared(config) > 0)
    needed = jnp.where(given, PERIODS_NEEDED, READ)
    awake, was = ((r.periods >= 2) & (r.place + 1 >= needed * r.periods) for r in (ring, before))
    rows = jnp.clip((rows - values[:, :1]) / scale, -ROW_BOUND, ROW_BOUND)
    return SeasonInputs(
        rows=jnp.where(awake[:, None], rows, 0.0),
        periods=periods,
        awake=awake,
        place=ring.place,
        declared=given,
        begun=jnp.any(periods != before.periods) & (ring.place > 0),
        woken=jnp.any(awake & ~was),
        taken=taken,
        ring=entries,
        unit=scale,
    )


def periods_awake(season: SeasonInputs) -> Float[Array, "slot"]:
    """Periods that have been seen often enough [ticks], NaN where a slot has none."""
    return jnp.where(season.awake, season.periods, jnp.nan)
