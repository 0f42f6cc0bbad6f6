"""The periods of the seasons, looked for in the frame's ring as the series goes.

A season is a set of spectral lines at the multiples of 1/p that stand above a smooth background.  The periodogram of
the differences is divided by its own local level, which takes out whatever colour the noise has; what a pseudo-cycle
spreads over many frequencies is part of that level.  The autocorrelation of what is left, summed over the multiples of
p, is the mean of its lines; under no season it is the mean of K exponential numbers, whose upper tail is bounded by
exp(-K (x - 1 - log x)) (Chernoff).  That exponent is the evidence for a period, and it prefers the fundamental: a
multiple has more lines and no more energy.

Source: Percival and Walden, Spectral Analysis for Physical Applications (1993), section 10 (tests for periodicity).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...array_types import Array, Count, Flag, Float, Int, Scalar
from ...config.schema import PERIODS_NEEDED, SEASON_FIELDS, PredictorConfig
from ..cadence import where_due
from ..kernels.base import NEIGHBOURS, SeasonInputs
from ..state import SeasonRing

# Ticks between two looks, and between those at a ring of fewer than `SETTLED`.
STRIDE, YOUNG_STRIDE, SETTLED = 128, 16, 512
ROW_BOUND = 100.0
WINSOR = 4.0
TAPERED = 8
# Half the band that is the local level of the spectrum, in frequencies that the length of the series tells apart.
BAND = 12
ROUNDS = 4
# A line is narrower than this, a pseudo-cycle is not [same unit].
RING_FROM, RING_TO = 1.75, 3.25
# Frequencies [1/tick] up to which lines are counted: a smooth season has few.
CUTOFFS = (0.5, 1.0 / 16, 1.0 / 64)
EVIDENCE = 18.0
# At once, without a second look.
STRONG = 30.0
# What a period in use has over another.
BONUS, INERTIA = 3.0, 1.15
LARGEST_RATIO = 16
# Share of the energy of a period's lines that the lines of its half, and of its k-th part, must have to be preferred.
HALF_SHARE, PART_SHARE = 0.8, 0.45


class Spectrum(NamedTuple):
    """The whitened periodogram of the ring.

    Attributes:
        power: over the local level, about 1 where there is no line.
        count: differences that it was taken from.
    """

    power: Float[Array, "frequency"]
    count: Count


def _smoothed(power: Float[Array, "frequency"], half: Count) -> Float[Array, "frequency"]:
    """Mean over `half` frequencies to either side, over fewer at the ends."""
    last = power.shape[0] - 1
    place = np.arange(last + 1)
    sums = jnp.concatenate([jnp.zeros(1), jnp.cumsum(power)])
    above, below = jnp.minimum(place + half, last), jnp.maximum(place - half, 0)
    return (sums[above + 1] - sums[below]) / (above + 1 - below)


def _local_level(power: Float[Array, "frequency"], half: Count) -> Float[Array, "frequency"]:
    """Level of the background, which lines of less than half the band do not raise much."""
    # exp(mean log) of exponential numbers is .5615 of their mean, the mean of min(x, 1) is .632.
    level = jnp.exp(_smoothed(jnp.log(power), half)) / 0.5615
    for _ in range(ROUNDS):
        level = _smoothed(jnp.minimum(power, level), half) / 0.632
    return level


def _about(power: Float[Array, "frequency"], inner: Count, outer: Count) -> Float[Array, "frequency"]:
    """Mean over frequencies `inner` to `outer` away, on both sides."""
    wide, narrow = 2 * outer + 1, 2 * inner - 1
    return (_smoothed(power, outer) * wide - _smoothed(power, inner - 1) * narrow) / (wide - narrow)


def whitened_spectrum(values: Float[Array, "capacity"], count: Count) -> Spectrum:
    """The periodogram of the differences over its local level.

    Args:
        values: oldest first, the last `count` of them are known [y].
        count: known values.
    """
    capacity = values.shape[0]
    size = 2 * capacity
    place = np.arange(capacity - 1) - (capacity - count)
    known = place >= 0
    number = jnp.maximum(count - 1, 2)
    differences = jnp.where(known, values[1:] - values[:-1], 0.0)
    # In the unit of the largest, so that no square overflows.
    differences = differences / jnp.maximum(jnp.max(jnp.abs(differences)), 1e-300)
    for _ in range(2):
        bound = WINSOR * jnp.sqrt(jnp.sum(differences**2) / number)
        differences = jnp.clip(differences, -bound, bound)
    differences = jnp.where(known, differences - jnp.sum(differences) / number, 0.0)
    edge = jnp.clip(TAPERED * jnp.minimum(place + 0.5, number - 0.5 - place) / number, 0.0, 1.0)
    tapered = differences * jnp.where(known, 0.5 - 0.5 * jnp.cos(jnp.pi * edge), 0.0)
    transformed = jnp.fft.rfft(tapered, size)
    power = jnp.square(transformed.real) + jnp.square(transformed.imag)
    power = power + 1e-9 * jnp.mean(power) + 1e-300
    bin_width = size / number
    half = jnp.clip(BAND * bin_width, 2 * BAND, size // 16).astype(jnp.int32)
    # Flat where the series walks, and flat over the gain of a difference where its levels are noise.
    gain = jnp.maximum(4.0 * np.sin(np.pi * np.arange(capacity + 1) / size) ** 2, (2.0 * np.pi / number) ** 2)
    level = jnp.minimum(_local_level(power, half), gain * _local_level(power / gain, half)) / 0.95
    inner, outer = (RING_FROM * bin_width).astype(jnp.int32), (RING_TO * bin_width).astype(jnp.int32)
    level = jnp.maximum(level, _about(power, inner, outer))
    return Spectrum(power / level, number)


class Lines(NamedTuple):
    """What the lines of each period have, for periods 2, 3, ... places.

    Attributes:
        evidence: -log of a bound of the probability of such lines without a season.
        energy: of all lines above the level.
    """

    evidence: Float[Array, "period"]
    energy: Float[Array, "period"]


def longest(capacity: int) -> int:
    """The longest period [ticks] that a ring of so many places can show often enough."""
    return capacity // PERIODS_NEEDED


def _multiples(capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Every multiple of every period within the ring, one after the other, and the period's number of each."""
    runs = [np.arange(period, capacity, period) for period in range(2, longest(capacity) + 1)]
    return np.concatenate(runs), np.repeat(np.arange(len(runs)), [len(run) for run in runs])


def lines_of(spectrum: Spectrum, capacity: int) -> Lines:
    """Evidence and energy of each period."""
    size = 2 * capacity
    periods = np.arange(2, longest(capacity) + 1)
    frequency = np.arange(capacity + 1) / size
    below = (frequency[None, :] <= np.array(CUTOFFS)[:, None]) & (frequency > 0)[None, :]
    covariance = jnp.fft.irfft(jnp.where(below, spectrum.power[None, :], 0.0), size)[:, :capacity]
    covariance = jnp.where(np.arange(capacity) < spectrum.count, covariance, 0.0)
    places, owner = _multiples(capacity)
    sums = jax.ops.segment_sum(covariance[:, places].T, owner, num_segments=len(periods), indices_are_sorted=True).T
    count = np.floor(np.array(CUTOFFS)[:, None] * periods[None, :])
    # The sum over the multiples is the mean over the lines up to 1/2, of which `count` are below the cutoff.
    mean = (covariance[:, :1] + 2.0 * sums) * (periods / 2.0)[None, :] / np.maximum(count, 1.0)
    high = jnp.maximum(mean, 1.0)
    exponent = jnp.where(count >= 1, count * (high - 1.0 - jnp.log(high)), 0.0)
    usable = PERIODS_NEEDED * periods <= spectrum.count + 1
    return Lines(jnp.where(usable, jnp.max(exponent, axis=0), 0.0), count[0] * (mean[0] - 1.0))


def without_lines(spectrum: Spectrum, period: Count) -> Spectrum:
    """The spectrum with the lines of a period taken down to the level."""
    size = 2 * (spectrum.power.shape[0] - 1)
    line = np.arange(spectrum.power.shape[0]) * (period / size)
    away = jnp.abs(line - jnp.round(line)) / period * spectrum.count
    return spectrum._replace(power=jnp.where(away < 1.5, jnp.minimum(spectrum.power, 1.0), spectrum.power))


def _favoured(evidence: Float[Array, "period"], held: Int[Array, "slot"]) -> Float[Array, "period"]:
    periods = np.arange(2, evidence.shape[0] + 2)
    mine = jnp.any(held[:, None] == periods[None, :], axis=0)
    return jnp.where(mine, INERTIA * evidence + BONUS, evidence)


def _fundamental(lines: Lines, period: Count, held: Int[Array, "slot"]) -> Count:
    """The shortest part of a period that has most of its energy, else the period."""
    parts = np.arange(2, LARGEST_RATIO + 1)
    part = jnp.round(period / parts).astype(period.dtype)
    place = jnp.maximum(part - 2, 0)
    share = lines.energy[place] / jnp.maximum(lines.energy[period - 2], 1e-9)
    needed = np.where(parts == 2, HALF_SHARE, PART_SHARE)
    # One in use stays so, though its share falls a little.
    needed = jnp.where(jnp.any(held[:, None] == part[None, :], axis=0), 0.8 * needed, needed)
    fits = (part >= 2) & (jnp.abs(part * parts - period) <= 1) & (share >= needed)
    fits = fits & (lines.evidence[place] >= EVIDENCE)
    return jnp.where(jnp.any(fits), jnp.min(jnp.where(fits, part, period)), period)


def find_periods(
    values: Float[Array, "capacity"], count: Count, held: Int[Array, "slot"]
) -> tuple[Int[Array, "slot"], Scalar]:
    """The periods that the ring gives evidence of, the shorter one first, 0 where there is none.

    Args:
        values: oldest first, the last `count` of them are known [y].
        count: known values.
        held: periods in use, which another must outdo.

    Returns:
        The periods, and the least evidence of one of them.
    """
    capacity = values.shape[0]
    spectrum = whitened_spectrum(values, count)
    lines = lines_of(spectrum, capacity)
    favoured = _favoured(lines.evidence, held)
    best = jnp.argmax(favoured)
    evidence = favoured[best]
    first = jnp.where(evidence >= EVIDENCE, _fundamental(lines, best + 2, held), 0)
    slots = held.shape[0]
    if slots == 1:
        return first[None], evidence
    left = _favoured(lines_of(without_lines(spectrum, jnp.maximum(first, 2)), capacity).evidence, held)
    other = jnp.argmax(left)
    second = jnp.where((first > 0) & (left[other] >= EVIDENCE) & (other + 2 != first), other + 2, 0)
    evidence = jnp.where(second > 0, jnp.minimum(evidence, left[other]), evidence)
    short = jnp.where(second > 0, jnp.minimum(first, second), first)
    return jnp.stack([short, jnp.where(second > 0, jnp.maximum(first, second), 0)]), evidence


def with_periods(config: PredictorConfig, ring: SeasonRing, ticks: Count, counted: Flag) -> SeasonRing:
    """The ring with the periods that are in use from this tick on: the declared ones, else those found.

    Args:
        ring: with the newest tick.
        ticks: accepted ticks so far.
        counted: whether this tick is one of them.
    """
    declared = _declared(config)
    given = jnp.any(declared > 0)
    stride = jnp.where(ticks < SETTLED, YOUNG_STRIDE, STRIDE)
    due = counted & ~given & (ticks % stride == 0)
    found, proposed = where_due(
        due, _look, lambda values, place, held, before: (held, before), ring.values, ring.place, ring.periods,
        ring.proposed,
    )  # fmt: skip
    return ring._replace(periods=jnp.where(given, declared, found), proposed=proposed)


def _declared(config: PredictorConfig) -> Int[Array, "slot"]:
    names = SEASON_FIELDS[: config.season_slots]
    return jnp.stack([jnp.asarray(getattr(config, name), jnp.int64) for name in names])


def _look(
    values: Float[Array, "capacity"], place: Count, held: Int[Array, "slot"], before: Int[Array, "slot"]
) -> tuple[Int[Array, "slot"], Int[Array, "slot"]]:
    """Periods in use and the proposal, from those of before: what is proposed twice or beyond doubt comes into use."""
    capacity = values.shape[0]
    known = jnp.minimum(place + 1, capacity)
    chronological = values[(place + 1 + np.arange(capacity)) % capacity]
    proposed, evidence = find_periods(chronological, known, held)
    grows = jnp.all((held == 0) | jnp.any(held[:, None] == proposed[None, :], axis=1))
    taken = jnp.all(proposed == before) | (grows & (evidence >= STRONG))
    return jnp.where(taken, proposed, held), proposed


def season_inputs(config: PredictorConfig, before: SeasonRing, ring: SeasonRing, scale: Scalar) -> SeasonInputs:
    """What a kernel is told of the seasons.

    Args:
        before: the ring of the tick before.
        ring: with the newest tick.
        scale: s_t [y].
    """
    capacity = ring.values.shape[0]
    periods = ring.periods
    usable = jnp.maximum(periods, 2)
    origin = ring.place - usable
    # A short period's future neighbours would lie beyond the newest tick.
    ahead = jnp.minimum(np.array(NEIGHBOURS)[None, :], usable[:, None])
    values = ring.values[jnp.concatenate([origin[:, None], origin[:, None] + ahead], axis=1) % capacity]
    rows = jnp.concatenate([values[:, 1:], ring.values[ring.place % capacity] * jnp.ones((len(values), 1))], axis=1)
    awake = (periods >= 2) & (ring.place + 1 >= PERIODS_NEEDED * periods)
    rows = jnp.clip((rows - values[:, :1]) / scale, -ROW_BOUND, ROW_BOUND)
    return SeasonInputs(
        rows=jnp.where(awake[:, None], rows, 0.0),
        periods=periods,
        awake=awake,
        place=ring.place,
        declared=jnp.any(_declared(config) > 0),
        begun=jnp.any(periods != before.periods) & (ring.place > 0),
        ring=ring.values,
        unit=scale,
    )
