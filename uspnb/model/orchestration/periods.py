"""The periods of the seasons in a stretch of values, by their spectral lines.

A season is a set of spectral lines at the multiples of 1/p that stand above a smooth background.  The periodogram of
the differences is divided by its own local level, which takes out whatever colour the noise has; what a pseudo-cycle
spreads over many frequencies is part of that level.  The autocorrelation of what is left, summed over the multiples of
p, is the mean of its lines; under no season it is the mean of K exponential numbers, whose upper tail is bounded by
exp(-K (x - 1 - log x)) (Chernoff).  What exceeds u > 0 of each is a compound Poisson number of rate r = K exp(-u), and
the tail of their sum S is bounded by exp(-(sqrt S - sqrt r)^2).  The larger exponent is the evidence for a period; both
prefer the fundamental, since a multiple has more lines and no more energy.

Source: Percival and Walden, Spectral Analysis for Physical Applications (1993), section 10 (tests for periodicity).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...array_types import Array, Count, Float, Int, Scalar
from ..cadence import where_due

WINSOR = 4.0
TAPERED = 12
# Half the band that is the local level of the spectrum, in frequencies that the length of the series tells apart.
BAND = 12
ROUNDS = 3
# A line is narrower than this, a pseudo-cycle is not [same unit].
RING_FROM, RING_TO = 1.8, 3.2
# Frequencies that make one block of the level.
BLOCK = 8
# Level beyond which a line is counted by itself: a smooth season has few of them.
HIGH = 4.0
# A season is in use once so many of its periods have been seen; proposed before, lest a part of it is taken for it.
PERIODS_TO_FIND, PERIODS_TO_PROPOSE = 5, 4
# Lines over their level that set a period, how far from the one with the most evidence, by how many multiples.
LINE, FARTHEST, MULTIPLES = 8.0, 14, 48
# Two periods are refined together: by so many of the strongest of so many lines of each, in so many steps, in a series
# thinned by so much; a line that is too fast for that needs no such care.
STRONGEST, HARMONICS, STEPS, COARSE = 5, 24, 2, 8
# How far over its level the first line must be for that, and how fast this grows with the logarithm of its number: what
# the n-th line says of the period goes with n^2, also where it is but noise.
CLEAR, STEEP = 4.0, 3.0
# What repeats faster, the other filters see.
SHORTEST = 4
EVIDENCE = 11.0
# Of a short ring more is asked: a pseudo-cycle goes round there a few times as a season does [ticks].
YOUNG = 25.0
# What a period in use has over another.
BONUS, INERTIA = 3.0, 1.15
LARGEST_RATIO, LARGEST_PART = 16, 48
# Share of the energy of a period's lines that the lines of one of its parts must have to be preferred: of any part, and
# of a seventh, which may be a day of a week; a season has strong harmonics by itself.
PART_SHARE, DAY_SHARE = 0.9, 0.5
# A part is a season of its own where its first line has so much of the energy of the longer one's lines before it and
# twice the one after it, and it is no shorter than a week of days.
OWN = 0.7
# Evidence by which two periods must outdo a multiple of the one that comes near the other.
APART = 5.0
# Standard errors by which a series must resemble itself so many periods ago, and more so than at another number of
# them: seven periods, or what is in use, and any other number; so many of the longer period must have been seen.
LIKENESS, MARGIN, SEEN = (3.2, 8.0), (1.5, 4.0), 1.45
# Where there are so many ticks in what looks like a day, a week is smoothed until it can be judged, after so many of
# them.
WEEK, DAYS, JUDGED = 7, np.array((24, 48, 96)), 2.2
# Hours, days, weeks and years in usual ticks: of periods that are as good as one another, these are likelier
# by so much in the logarithm.
COMMON, LIKELIER = np.array((4, 7, 12, 24, 48, 52, 60, 96, 144, 168, 288, 336)), 2.0


class Spectrum(NamedTuple):
    """The whitened periodogram of the ring.

    Attributes:
        power: over the local level and over what is near, about 1 or less where there is no line.
        raw: of the differences; a line has its own shape there.
        level: the local level.
        slow: every `COARSE`-th of the tapered differences without what is too fast for that, the newest last.
        taper: what these were multiplied by, 0 where there is no difference.
        count: differences that it was taken from.
    """

    power: Float[Array, "frequency"]
    raw: Float[Array, "frequency"]
    level: Float[Array, "frequency"]
    slow: Float[Array, "coarse"]
    taper: Float[Array, "coarse"]
    count: Count


def _block_mean(blocks: Float[Array, "kind block"], half: Count) -> Float[Array, "kind block"]:
    """Mean over `half` blocks to either side, over fewer at the ends."""
    last = blocks.shape[1] - 1
    place = np.arange(last + 1)
    sums = jnp.pad(jnp.cumsum(blocks, axis=1), ((0, 0), (1, 0)))
    above, below = jnp.minimum(place + half, last), jnp.maximum(place - half, 0)
    return (sums[:, above + 1] - sums[:, below]) / (above + 1 - below)[None, :]


def _local_level(power: Float[Array, "kind frequency"], half: Count) -> Float[Array, "kind frequency"]:
    """Level of the background within so many blocks, which lines of less than half the band do not raise much."""
    kinds, size = power.shape

    def blocks(values: Float[Array, "kind frequency"]) -> Float[Array, "kind block"]:
        return jnp.mean(values.reshape(kinds, -1, BLOCK), axis=2)

    def spread(values: Float[Array, "kind block"]) -> Float[Array, "kind frequency"]:
        return jnp.broadcast_to(values[:, :, None], (*values.shape, BLOCK)).reshape(kinds, size)

    # exp(mean log) of exponential numbers is .5615 of their mean, the mean of min(x, 1) is .632.
    level = spread(jnp.exp(_block_mean(blocks(jnp.log(power)), half)) / 0.5615)
    for _ in range(ROUNDS):
        level = spread(_block_mean(blocks(jnp.minimum(power, level)), half) / 0.632)
    return level


def _about(power: Float[Array, "frequency"], inner: Count, outer: Count) -> Float[Array, "frequency"]:
    """Mean over frequencies `inner` to `outer` away, on both sides."""
    last = power.shape[0] - 1
    place = np.arange(last + 1)
    sums = jnp.pad(jnp.cumsum(power), (1, 0))

    def total(half: Count) -> tuple[Float[Array, "frequency"], Float[Array, "frequency"]]:
        above, below = jnp.minimum(place + half, last), jnp.maximum(place - half, 0)
        return sums[above + 1] - sums[below], above + 1.0 - below

    (wide, wide_count), (narrow, narrow_count) = total(outer), total(inner - 1)
    return (wide - narrow) / (wide_count - narrow_count)


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
    taper = jnp.pad(jnp.where(known, 0.5 - 0.5 * jnp.cos(jnp.pi * edge), 0.0), (0, 1))
    # Frequency 1/2 is left out, which makes the number of frequencies one of whole blocks.
    transformed = jnp.fft.rfft(differences * taper[:-1], size)[:-1]
    power = jnp.square(transformed.real) + jnp.square(transformed.imag)
    power = power + 1e-9 * jnp.mean(power) + 1e-300
    coarse = capacity // COARSE
    slow = jnp.fft.irfft(transformed[: coarse + 1], 2 * coarse)[:coarse] / COARSE
    bin_width = size / number
    half = jnp.clip(BAND * bin_width / BLOCK, 2, capacity // (8 * BLOCK)).astype(jnp.int32)
    # Flat where the series walks, and flat over the gain of a difference where its levels are noise.
    gain = jnp.maximum(4.0 * np.sin(np.pi * np.arange(capacity) / size) ** 2, (2.0 * np.pi / number) ** 2)
    levels = _local_level(jnp.stack([power, power / gain]), half)
    level = jnp.minimum(levels[0], gain * levels[1]) / 0.95
    inner, outer = (RING_FROM * bin_width).astype(jnp.int32), (RING_TO * bin_width).astype(jnp.int32)
    return Spectrum(
        power / jnp.maximum(level, _about(power, inner, outer)), power, level, slow, taper[::COARSE], number
    )


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
    return capacity // PERIODS_TO_FIND


def _multiples(capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Every multiple of every period within the ring, one after the other, and the period's number of each."""
    runs = [np.arange(period, capacity, period) for period in range(2, longest(capacity) + 1)]
    return np.concatenate(runs), np.repeat(np.arange(len(runs)), [len(run) for run in runs])


def lines_of(spectrum: Spectrum, capacity: int) -> Lines:
    """Evidence and energy of each period."""
    size = 2 * capacity
    periods = np.arange(2, longest(capacity) + 1)
    few = jnp.maximum(spectrum.power - HIGH, 0.0)
    # What goes round less than a few times is no line, and would count as one of every period's at frequency 0.
    stacked = jnp.where(
        (np.arange(capacity) < 3 * size / spectrum.count)[None, :], 0.0, jnp.stack([spectrum.power, few])
    )
    covariance = jnp.fft.irfft(jnp.pad(stacked, ((0, 0), (0, 1))), size)[:, :capacity]
    covariance = jnp.where((np.arange(capacity) < spectrum.count)[None, :], covariance, 0.0)
    places, owner = _multiples(capacity)
    sums = jax.ops.segment_sum(covariance[:, places].T, owner, num_segments=len(periods), indices_are_sorted=True).T
    # The sum over the multiples is the mean over the lines up to 1/2.
    lines = np.floor(periods / 2.0)
    total, high = (covariance[:, :1] + 2.0 * sums) * (periods / 2.0)[None, :]
    mean = jnp.maximum(total / lines, 1.0)
    many = lines * (mean - 1.0 - jnp.log(mean))
    rate = lines * np.exp(-HIGH)
    some = jnp.where(high > rate, jnp.square(jnp.sqrt(jnp.maximum(high, 0.0)) - np.sqrt(rate)), 0.0)
    usable = (PERIODS_TO_PROPOSE * periods <= spectrum.count + 1) & (periods >= SHORTEST)
    return Lines(jnp.where(usable, jnp.maximum(many, some), 0.0), total - lines)


def without_lines(spectrum: Spectrum, period: Count) -> Spectrum:
    """The spectrum with the lines of a period taken down to the level."""
    size = 2 * spectrum.power.shape[0]
    line = np.arange(spectrum.power.shape[0]) * (period / size)
    away = jnp.abs(line - jnp.round(line)) / period * spectrum.count
    taken = away < 1.5
    raw = jnp.where(taken, jnp.minimum(spectrum.raw, spectrum.level), spectrum.raw)
    power = jnp.where(taken, jnp.minimum(spectrum.power, 1.0), spectrum.power)
    return spectrum._replace(power=power, raw=raw)


def _favoured(evidence: Float[Array, "period"], held: Int[Array, "slot"]) -> Float[Array, "period"]:
    periods = np.arange(2, evidence.shape[0] + 2)
    mine = jnp.any(held[:, None] == periods[None, :], axis=0)
    return jnp.where(mine, INERTIA * evidence + BONUS, evidence)


def _standing_out(spectrum: Spectrum, period: Count) -> Float[Array, "part"]:
    """Energy of a period's 2nd, 3rd, ... line over that of all before it and twice the one after it, in the levels.

    The lines of one smooth season fall off with their number; one that does not is the first of another season.
    """
    capacity = spectrum.raw.shape[0]
    at = jnp.round(np.arange(1, LARGEST_PART + 2) * (2.0 * capacity) / period).astype(jnp.int32)
    near = jnp.clip(at[None, :] + np.array([[-1], [0], [1]]), 1, capacity - 1)
    gain = 4.0 * np.sin(np.pi * np.arange(capacity) / (2 * capacity)) ** 2
    over = jnp.max(jnp.maximum(spectrum.raw - spectrum.level, 0.0)[near] / jnp.asarray(gain)[near], axis=0)
    others = jnp.cumsum(over)[:-2] + 2.0 * over[2:]
    return over[1:-1] / jnp.maximum(others, 1e-300)


def _fundamental(spectrum: Spectrum, lines: Lines, period: Count, held: Int[Array, "slot"]) -> Count:
    """The shortest part of a period that has most of its energy or is a season of its own, else the period."""
    parts = np.arange(2, LARGEST_PART + 1)
    part = jnp.round(period / parts).astype(period.dtype)
    place = jnp.maximum(part - 2, 0)
    share = lines.energy[place] / jnp.maximum(lines.energy[period - 2], 1e-9)
    needed = np.where(parts == WEEK, DAY_SHARE, PART_SHARE)
    # One in use stays so, though its share falls a little.
    needed = jnp.where(jnp.any(held[:, None] == part[None, :], axis=0), 0.8 * needed, needed)
    exact = (part * parts == period) & (share >= needed)
    whole = (jnp.abs(part * parts - period) <= parts // 2) & (part >= WEEK) & (parts >= 3)
    fits = (part >= SHORTEST) & (exact | (whole & (_standing_out(spectrum, period) >= OWN)))
    fits = fits & (lines.evidence[place] >= EVIDENCE)
    return jnp.where(jnp.any(fits), jnp.min(jnp.where(fits, part, period)), period)


def _strongest_part(lines: Lines, period: Count) -> Count:
    """The part of a period with the most evidence, 0 where none has enough."""
    parts = np.arange(2, LARGEST_PART + 1)
    part = period // parts
    evidence = jnp.where((part >= SHORTEST) & (part * parts == period), lines.evidence[jnp.maximum(part - 2, 0)], 0.0)
    strongest = jnp.argmax(evidence)
    return jnp.where(evidence[strongest] >= EVIDENCE, part[strongest], 0)


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
    needed = needed_of(spectrum.count)
    best, evidence = _best(spectrum, lines, held)
    first = jnp.where(evidence >= needed, _fundamental(spectrum, lines, best, held), 0)
    if held.shape[0] == 1:
        return first[None], evidence

    def pair(*arguments: Array) -> tuple[Count, Count, Scalar]:
        """First, second and the evidence for the second, 0 where there is none."""
        *parts, evidence, best, first, held = arguments
        spectrum, lines = Spectrum(*parts[:-2]), Lines(*parts[-2:])
        other = _strongest_part(lines, best)

        def second_of(first: Count) -> tuple[Count, Scalar, Spectrum]:
            """The second beside a first, its evidence, and the spectrum without the lines of the first."""
            left = without_lines(spectrum, first)
            rest = lines_of(left, capacity)
            period, evidence = _best(left, rest, held)
            multiple, likeness = _likest_multiple(left, first, held)
            early = likeness > 0.0
            period = jnp.where(early, multiple, _fundamental(left, rest, period, held))
            evidence = jnp.where(evidence >= needed_of(left.count), evidence, 0.0)
            return period, jnp.where(early, likeness, evidence), left

        other = jnp.where(other > 0, _fundamental(spectrum, lines, other, held), 0)
        options = jnp.stack([first, jnp.maximum(other, 2)])
        seconds, gained, lefts = jax.vmap(second_of)(options)
        # A period of many lines may come near those of two; that of which it is a multiple is then one of them.
        own = lines.evidence[options[1] - 2]
        ratio = jnp.round(best / seconds[1])
        better = (other > 0) & (gained[1] > 0) & (jnp.abs(ratio * seconds[1] - best) > jnp.where(ratio > 1, 2, 1))
        better = better & (own + gained[1] > evidence + gained[0] + APART)
        chosen = better.astype(jnp.int32)
        found = (gained[chosen] > 0) & ~near(seconds[chosen], options[chosen])
        left = jax.tree.map(lambda leaf: leaf[chosen], lefts)
        both = jnp.stack([options[chosen], jnp.where(found, seconds[chosen], 0)])
        first, second = _refined(spectrum, left, both, held)
        return first, second, jnp.where(found, gained[chosen], 0.0)

    def none(*arguments: Array) -> tuple[Count, Count, Scalar]:
        first = arguments[-2]
        return first, jnp.zeros_like(first), jnp.zeros(())

    # Most series have no season: there is then no second one to look for.
    first, second, other = where_due(first > 0, pair, none, *spectrum, *lines, evidence, best, first, held)
    evidence = jnp.where(second > 0, jnp.minimum(evidence, other), evidence)
    week = WEEK * first
    trial = jnp.any(first == DAYS) & (second == 0) & (count < JUDGED * week) & (first + week <= capacity // 2)
    second = jnp.where(trial, week, second)
    short = jnp.where(second > 0, jnp.minimum(first, second), first)
    return jnp.stack([short, jnp.where(second > 0, jnp.maximum(first, second), 0)]), evidence


def near(period: Array, other: Array) -> Array:
    """Whether two periods are the same as far as a look can tell."""
    return jnp.abs(period - other) <= 1 + period // 30


def needed_of(count: Count) -> Scalar:
    """The evidence that a ring of so many values must give."""
    return EVIDENCE * (1.0 + YOUNG / count)


def _likest_multiple(left: Spectrum, first: Count, held: Int[Array, "slot"]) -> tuple[Count, Scalar]:
    """How many of the first season a longer one is, as the week is of days; and the evidence for it.

    What the lines of the first leave resembles itself so many of its periods ago, and at no other number of them.

    Args:
        left: the spectrum without the lines of the first.
        first: its period.
        held: periods in use.

    Returns:
        The longer period and the evidence, 0 where there is no such number.
    """
    capacity = left.raw.shape[0]
    whitened = jnp.where(np.arange(capacity) > 0, left.raw / left.level, 0.0)
    covariance = jnp.fft.irfft(jnp.pad(whitened, (0, 1)), 2 * capacity)[:capacity]
    numbers = np.arange(2, LARGEST_RATIO + 1)
    lags = numbers * first
    seen = (SEEN * lags <= left.count) & (lags + first <= capacity // 2)
    score = covariance[jnp.minimum(lags, capacity - 1)] / covariance[0] * jnp.sqrt(jnp.maximum(left.count - lags, 1.0))
    score = jnp.where(seen, score, 0.0)
    chosen = jnp.argmax(score >= 0.85 * jnp.max(score))
    others = numbers % (chosen + 2) != 0
    margin = score[chosen] - jnp.max(jnp.where(others & seen, score, 0.0))
    # Seven is what one looks for, the rest is what one comes upon.
    likely = (chosen + 2 == WEEK) | jnp.any(held == lags[chosen])
    fits = (score[chosen] >= jnp.where(likely, *LIKENESS)) & (margin >= jnp.where(likely, *MARGIN))
    evidence = jnp.maximum(0.5 * jnp.square(score[chosen]), needed_of(left.count))
    return lags[chosen].astype(first.dtype), jnp.where(fits, evidence, 0.0)


def _best(spectrum: Spectrum, lines: Lines, held: Int[Array, "slot"]) -> tuple[Count, Scalar]:
    """The period with the most evidence, set by its lines alone; and the evidence."""
    favoured = _favoured(lines.evidence, held)
    best = jnp.argmax(favoured)
    return _sharpest(spectrum, best + 2, held), favoured[best]


def _sharpest(spectrum: Spectrum, period: Count, held: Int[Array, "slot"]) -> Count:
    """Of a period and its neighbours the one with the most energy in those lines that stand out, by their own levels.

    The likelihood of a sum of sinusoids in noise of a known spectrum; a level that slopes would move the peaks.
    """
    capacity = spectrum.raw.shape[0]
    size = 2 * capacity
    ratio = size / period
    line = jnp.round(np.arange(capacity) / ratio)
    at = jnp.clip(jnp.round(line * ratio).astype(jnp.int32), 1, capacity - 2)
    over = spectrum.raw / spectrum.level
    peak = jnp.maximum(over, jnp.maximum(jnp.roll(over, 1), jnp.roll(over, -1)))
    chosen = jnp.where((line >= 1) & (peak[at] >= LINE), spectrum.raw / spectrum.level[at], 0.0)
    covariance = jnp.fft.irfft(jnp.pad(chosen, (0, 1)), size)[:capacity]
    offsets = np.arange(-FARTHEST, FARTHEST + 1)
    candidates = jnp.maximum(period + offsets, SHORTEST)
    lags = candidates[:, None] * np.arange(1, MULTIPLES + 1)[None, :]
    sums = jnp.sum(jnp.where(lags < spectrum.count, covariance[jnp.minimum(lags, capacity - 1)], 0.0), axis=1)
    energy = (covariance[0] + 2.0 * sums) * candidates / 2.0
    energy = energy + jnp.where(jnp.any(held[:, None] == candidates[None, :], axis=0), 1.0, 0.0)
    energy = energy + jnp.where(jnp.any(COMMON[:, None] == candidates[None, :], axis=0), LIKELIER, 0.0)
    close = near(period, period + offsets) & (lags[:, 0] * PERIODS_TO_PROPOSE <= spectrum.count + 1)
    return candidates[jnp.argmax(jnp.where(close, energy, -1.0))]


def _strongest_lines(spectrum: Spectrum, period: Count) -> tuple[Int[Array, "line"], Float[Array, "line"]]:
    """Which of a period's lines stand out most, 0 where fewer do, and the level at each."""
    capacity = spectrum.raw.shape[0]
    number = np.arange(1, HARMONICS + 1)
    at = jnp.round(number * (2.0 * capacity) / jnp.maximum(period, 2)).astype(jnp.int32)
    at = jnp.clip(at, 1, capacity - 2)
    level = spectrum.level[at]
    over = jnp.max(spectrum.raw[at[None, :] + np.array([[-1], [0], [1]])], axis=0) / level
    slow = 1.1 * 2 * COARSE * number < period
    clear = slow & (over >= CLEAR + STEEP * np.log(number))
    strength, chosen = jax.lax.top_k(jnp.where(clear, over, 0.0), STRONGEST)
    return jnp.where(strength > 0, chosen + 1, 0), level[chosen]


def _refined(
    spectrum: Spectrum, left: Spectrum, periods: Int[Array, "slot"], held: Int[Array, "slot"]
) -> Int[Array, "slot"]:
    """Two periods set by the least squares of their strongest lines together, which the lines of neither then bias.

    Gauss and Newton's method for the logarithms of the periods, the amplitudes solved for at each step; a line's part
    in the normal equations is weighted by its own level.  Of the whole numbers near the estimate the likeliest is
    taken.

    Source: Golub and Pereyra, Separable nonlinear least squares: the variable projection method and its applications,
    Inverse Problems 19 (2003); the frequencies, Quinn and Hannan, The Estimation and Tracking of Frequency (2001).

    Args:
        spectrum: with all lines.
        left: without those of the first period.
        periods: the first and the second, which is 0 where there is none.
        held: periods in use.
    """
    numbers, levels = jax.vmap(_strongest_lines)(jax.tree.map(lambda *a: jnp.stack(a), spectrum, left), periods)
    used = (numbers > 0) & (periods > 0)[:, None]
    weight = jnp.where(used, COARSE * COARSE * jnp.sum(jnp.square(spectrum.taper)) / levels, 0.0)
    size = spectrum.slow.shape[0]
    time = COARSE * np.arange(size) - COARSE * size + 0.5 * spectrum.count
    ridge = jnp.diag(jnp.where(jnp.concatenate([used, used]).reshape(-1), 1e-6 * size, 1.0))

    def newton(_: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        logarithm, _ = carry
        omega = jnp.where(used, 2.0 * jnp.pi * numbers * jnp.exp(-logarithm)[:, None], 0.0)
        phase = omega[:, :, None] * time[None, None, :]
        cosine, sine = (
            jnp.where(used[:, :, None], f(phase), 0.0) * spectrum.taper[None, None, :] for f in (jnp.cos, jnp.sin)
        )
        waves = jnp.concatenate([cosine, sine]).reshape(-1, size)
        factor = jax.scipy.linalg.cho_factor(waves @ waves.T + ridge)
        fitted = jax.scipy.linalg.cho_solve(factor, waves @ spectrum.slow)
        a, b = fitted.reshape(2, *used.shape, 1)
        slopes = omega[:, :, None] * (a * sine - b * cosine) * time[None, None, :]
        slope, tool = jnp.sum(slopes, axis=1), jnp.sum(weight[:, :, None] * slopes, axis=1)
        # What the amplitudes can take up says nothing of the periods.
        tool = tool - jax.scipy.linalg.cho_solve(factor, waves @ tool.T).T @ waves
        ((aa, ab), (ba, bb)), (c, d) = tool @ slope.T + 1e-3 * jnp.eye(2), tool @ (spectrum.slow - fitted @ waves)
        determinant = aa * bb - ab * ba
        delta = jnp.stack([bb * c - ab * d, aa * d - ba * c]) / determinant
        most = 0.3 * jnp.exp(logarithm) / (spectrum.count * jnp.maximum(jnp.max(numbers, axis=1), 1))
        return logarithm + jnp.clip(delta, -most, most), jnp.abs(jnp.stack([bb, aa]) / determinant)

    start = jnp.log(jnp.maximum(periods, 2.0))
    logarithm, variance = jax.lax.fori_loop(0, STEPS, newton, (start, jnp.ones(2)))
    best = jnp.exp(logarithm)[:, None]
    whole = jnp.round(best).astype(periods.dtype) + np.arange(-3, 4)[None, :]
    likelihood = -0.5 * jnp.square(whole / best - 1.0) / variance[:, None]
    # What is in use, hours to years, and the week of a day are likelier.
    likelihood += BONUS * jnp.any(held[:, None, None] == whole[None], axis=0)
    likelihood += LIKELIER * jnp.any(COMMON[:, None, None] == whole[None], axis=0)
    likelihood += LIKELIER * (whole == WEEK * periods[0])
    chosen = jnp.take_along_axis(whole, jnp.argmax(likelihood, axis=1)[:, None], axis=1)[:, 0]
    return jnp.where(jnp.any(used, axis=1), chosen, periods)
