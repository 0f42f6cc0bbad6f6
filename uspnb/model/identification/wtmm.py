"""Holder exponent of a path by wavelet transform modulus maxima (WTMM).

The second derivative of a Gaussian sees neither a level nor a line, so its modulus follows the singularities alone.
Maxima of the modulus are joined across scales into lines; along each line the supremum over finer scales is taken,
and the exponent is the growth of its mean logarithm with the logarithm of the scale: H = tau'(0).

Source: Muzy, Bacry and Arneodo, Phys. Rev. E 47, 875 (1993); Arneodo, Bacry and Muzy, Physica A 213, 232 (1995).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from ...array_types import Array, Bool, Count, Flag, Float, Int, Scalar
from ...config.schema import PredictorConfig
from ..cadence import where_due

LEAST_TICKS = 64
LEAST_LINES = 4
FLATNESS = 1e-12
FAINTEST = 1e-9
# Between equal weights (least bias on fBm) and the number of lines (least variance).
LINE_WEIGHT = 0.75
_DENSE_UP_TO = 256
_WORD = 32


class HolderEstimate(NamedTuple):
    """A measured Holder exponent.

    Attributes:
        exponent: H of the path, NaN where not valid.  The supremum along lines
            never falls with scale, so H >= 0: white noise taken as a path reads about 0.14 in 128 ticks.
        valid: whether the window has an exponent: 64 real finite ticks, not constant, not linear, 4 lines of maxima.
        lines: lines of maxima at the finest scale.
    """

    exponent: Scalar
    valid: Flag
    lines: Count


class MaximaLines(NamedTuple):
    """Lines of modulus maxima that reach the finest scale.

    Attributes:
        log_supremum: log of the supremum of the modulus along the line that passes here, over this and all finer
            scales; -inf where no line passes.
        log_scale: natural logarithm of the scales, finest first [log ticks].
        sound: whether the window is finite, long enough, neither constant nor linear.
    """

    log_supremum: Float[Array, "scales window"]
    log_scale: Float[Array, "scales"]
    sound: Flag


def wavelet_scales(window: int, count: int) -> Float[np.ndarray, "scales"]:
    """`count` scales, log-spaced from 1 tick to an eighth of the window."""
    return np.geomspace(1.0, window / 8.0, count)


@functools.lru_cache(maxsize=16)
def _sine_transform(window: int) -> Float[np.ndarray, "inner inner"]:
    """Orthonormal symmetric matrix of the discrete sine transform (DST-I): its own inverse."""
    k = np.arange(1, window - 1)
    return np.sqrt(2.0 / (window - 1)) * np.sin(np.pi * np.outer(k, k) / (window - 1))


@functools.lru_cache(maxsize=16)
def _wavelet_filter(window: int, count: int) -> Float[np.ndarray, "scales inner"]:
    """Fourier transform (a w)^2 exp(-(a w)^2 / 2) of the L1-normalised wavelet at the sine transform's frequencies."""
    frequency = np.pi * np.arange(1, window - 1) / (window - 1)
    phase = (wavelet_scales(window, count)[:, None] * frequency[None, :]) ** 2
    return phase * np.exp(-phase / 2.0)


def _transform_modulus(inner: Float[Array, "inner"], count: int) -> Float[Array, "scales window"]:
    """|W(a, b)| of a path that vanishes at both ends, odd about them; the transform vanishes there as well.

    An odd extension about both ends is a sine series, so reflection and convolution are two products with the sine
    matrix and one with the wavelet's Fourier transform; long windows take the FFT of the extended path instead.
    """
    window = inner.shape[0] + 2
    response = _wavelet_filter(window, count)
    if window <= _DENSE_UP_TO:
        sine = _sine_transform(window)
        modulus = jnp.abs((response * (sine @ inner)[None, :]) @ sine)
    else:
        end = jnp.zeros(1, inner.dtype)
        spectrum = jnp.fft.rfft(jnp.concatenate([end, inner, end, -inner[::-1]]))
        filtered = jnp.fft.irfft(np.pad(response, ((0, 0), (1, 1))) * spectrum[None, :], n=2 * (window - 1), axis=1)
        modulus = jnp.abs(filtered[:, 1 : window - 1])
    return jnp.pad(modulus, ((0, 0), (1, 1)))


def _nearest(mask: Bool[Array, "scales window"]) -> tuple[Int[Array, "scales window"], Int[Array, "scales window"]]:
    """Position of the last True at or before, and of the first True at or after, every position.

    Positions are packed into 32-bit words: within a word the answer is a count of leading zeros, across words a
    maximum over a handful.  A cumulative maximum over the window would cost an order more.  Where there is none the
    answer lies three windows outside.
    """
    scales, window = mask.shape
    words = -(-window // _WORD)
    far, full = 3 * window, jnp.uint32(0xFFFFFFFF)
    bit = jnp.arange(_WORD, dtype=jnp.uint32)
    base = jnp.arange(words, dtype=jnp.int32)[None, :, None] * _WORD
    packed = jnp.pad(mask, ((0, 0), (0, words * _WORD - window))).reshape(scales, words, _WORD).astype(jnp.uint32)
    word = jnp.sum(packed << bit[None, None, :], axis=2, dtype=jnp.uint32)[:, :, None]

    def highest(w: Array) -> Array:
        return base + 31 - lax.clz(w).astype(jnp.int32)

    def lowest(w: Array) -> Array:
        return base + lax.population_count((w & (~w + jnp.uint32(1))) - jnp.uint32(1)).astype(jnp.int32)

    last = jnp.where(word != 0, highest(word), -far)[:, :, 0]
    first = jnp.where(word != 0, lowest(word), far)[:, :, 0]
    order = np.arange(words)
    earlier, later = (order[None, :] < order[:, None])[None], (order[None, :] > order[:, None])[None]
    before = jnp.max(jnp.where(earlier, last[:, None, :], -far), axis=2)[:, :, None]
    after = jnp.min(jnp.where(later, first[:, None, :], far), axis=2)[:, :, None]
    at_or_before, at_or_after = word & (full >> (31 - bit))[None, None, :], word & (full << bit)[None, None, :]
    left = jnp.where(at_or_before != 0, highest(at_or_before), before)
    right = jnp.where(at_or_after != 0, lowest(at_or_after), after)
    return left.reshape(scales, -1)[:, :window], right.reshape(scales, -1)[:, :window]


def _link(
    mask: Bool[Array, "scales window"], cone: Float[Array, "links"]
) -> tuple[Bool[Array, "links window"], Int[Array, "links window"]]:
    """Join each maximum to one at the next finer scale: nearest to each other, and inside the cone.

    Two points of two sets on a line are each other's nearest only if no third lies nearer to either.  With f the
    finer maximum nearest to c, at distance d, that is: the next coarse maximum beyond f lies further than d from f.
    """
    window = mask.shape[1]
    left, right = _nearest(mask)
    position = jnp.arange(window, dtype=jnp.int32)[None, :]
    leftwards = position - left[:-1] <= right[:-1] - position
    finer = jnp.where(leftwards, left[:-1], right[:-1])
    distance = jnp.abs(position - finer)
    previous = jnp.pad(left[1:], ((0, 0), (1, 0)), constant_values=-3 * window)[:, :window]
    following = jnp.pad(right[1:], ((0, 0), (0, 1)), constant_values=3 * window)[:, 1:]
    mutual = jnp.where(leftwards, previous < finer - distance, following > finer + distance) | (distance == 0)
    linked = mask[1:] & mutual & (distance < cone[:, None])
    return linked, jnp.clip(finer, 0, window - 1)


def _prepare(
    path: Float[Array, "window"], count: Count, increments: bool
) -> tuple[Float[Array, "inner"], Int[Array, ""], Flag]:
    """The path without its line from end to end, of greatest size one, odd about the first real tick before it."""
    window = path.shape[0]
    position = jnp.arange(window)
    start = window - jnp.clip(count, 1, window)
    real = position >= start
    finite = jnp.all(jnp.isfinite(path) | ~real)
    clean = jnp.where(real & jnp.isfinite(path), path, 0.0)
    clean = clean / jnp.maximum(jnp.max(jnp.abs(clean)), jnp.finfo(path.dtype).tiny)
    if increments:
        mean = jnp.sum(clean) / jnp.clip(count, 1, window)
        clean = jnp.cumsum(jnp.where(real, clean - mean, 0.0))
    clean = clean - clean[start]
    mirrored = -clean[jnp.clip(2 * start - position, 0, window - 1)]
    extended = jnp.where(real, clean, mirrored)
    size = jnp.maximum(jnp.max(jnp.abs(extended)), jnp.finfo(path.dtype).tiny)
    slope = (extended[-1] - extended[0]) / (window - 1)
    inner = (extended - extended[0] - slope * position)[1:-1] / size
    height = jnp.max(jnp.abs(inner))
    sound = finite & (count >= LEAST_TICKS) & (height > FLATNESS)
    return jnp.where(sound, inner / jnp.maximum(height, FLATNESS), 0.0), start, sound


def maxima_lines(
    path: Float[Array, "window"], count: Count, cone_c: Scalar, scales: int, increments: bool
) -> MaximaLines:
    """Lines of modulus maxima of one window, with the supremum along each line from fine to coarse.

    Args:
        path: the window, oldest first [any units].
        count: how many of its newest entries are real ticks.
        cone_c: half-width C of the cone |b' - b| < C a in which maxima are linked [scales].
        scales: number of scales.
        increments: whether the window holds increments, whose centred sum is then the path.

    Returns:
        The lines; none at all where the window is not sound.
    """
    window = path.shape[0]
    scale = wavelet_scales(window, scales)
    inner, start, sound = _prepare(path, count, increments)
    modulus = _transform_modulus(inner, scales)
    after = jnp.pad(modulus, ((0, 0), (0, 1)))[:, 1:]
    before = jnp.pad(modulus, ((0, 0), (1, 0)))[:, :window]
    inside = (jnp.arange(window) >= start)[None, :]
    mask = (modulus > before) & (modulus >= after) & (modulus > FAINTEST) & inside
    height = jnp.where(mask, jnp.log(jnp.where(mask, modulus, 1.0)), -jnp.inf)
    linked, finer = _link(mask, cone_c * scale[1:])

    def climb(below: Array, level: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        own, joined, parent = level
        line = below.at[parent].get(mode="promise_in_bounds")
        here = jnp.where(joined & (line > -jnp.inf), jnp.maximum(own, line), -jnp.inf)
        return here, here

    _, higher = lax.scan(climb, height[0], (height[1:], linked, finer))
    return MaximaLines(jnp.concatenate([height[:1], higher]), jnp.asarray(np.log(scale), path.dtype), sound)


def weighted_slope(x: Float[Array, "points"], y: Float[Array, "points"], weight: Float[Array, "points"]) -> Scalar:
    """Slope of the weighted least squares line of y on x, 0 where fewer than two points carry weight."""
    total = jnp.maximum(jnp.sum(weight), jnp.finfo(x.dtype).tiny)
    centred = x - jnp.sum(weight * x) / total
    return jnp.sum(weight * centred * y) / jnp.maximum(jnp.sum(weight * centred**2), jnp.finfo(x.dtype).tiny)


def _measure(
    path: Float[Array, "window"], count: Count, cone_c: Scalar, *, scales: int, increments: bool
) -> HolderEstimate:
    lines = maxima_lines(path, count, cone_c, scales, increments)
    alive = lines.log_supremum > -jnp.inf
    number = jnp.sum(alive, axis=1)
    lived = number.astype(path.dtype)
    mean = jnp.sum(jnp.where(alive, lines.log_supremum, 0.0), axis=1) / jnp.maximum(lived, 1.0)
    slope = weighted_slope(lines.log_scale, mean, lived**LINE_WEIGHT)
    valid = lines.sound & (number[0] >= LEAST_LINES) & (jnp.sum(number > 0) >= scales // 2)
    return HolderEstimate(jnp.where(valid, slope, jnp.nan), valid, number[0])


def _nothing(*_: Array) -> HolderEstimate:
    return HolderEstimate(jnp.full((), jnp.nan), jnp.zeros((), bool), jnp.zeros((), jnp.int64))


def holder_exponent(
    path: Float[Array, "window"], count: Count, config: PredictorConfig, due: Flag | bool = True
) -> HolderEstimate:
    """Holder exponent H of the newest `count` ticks of a window, by WTMM.

        W(a, b) = 1/a sum_k x_k psi((k - b) / a),   psi(u) = (1 - u^2) exp(-u^2 / 2) / sqrt(2 pi)
        H = slope over log a of  mean over lines of  log sup_{a' <= a} |W(a', b(a'))|   ( = tau'(0) )

    on log-spaced scales from 1 to window / 8, odd reflection at both ends, every scale weighted by (number of
    its lines)^0.75.

    Args:
        path: the window, oldest first [any units]; older entries than the newest `count` are ignored.
        count: how many entries are real ticks.
        config: `wtmm_scales`, `input_kind` (static), `besov_cone_c` (traced).
        due: whether to measure at all; where not, the estimate is not valid and costs nothing.

    Returns:
        Exponent, validity flag and number of lines.  Nothing raises: a constant, linear, non-finite or too short
        window is not valid and its exponent NaN.
    """
    single = functools.partial(_measure, scales=config.wtmm_scales, increments=config.input_kind == "increments")
    cone_c = jnp.asarray(config.besov_cone_c, path.dtype)
    count = jnp.asarray(count, jnp.int64)
    return where_due(jnp.asarray(due), single, _nothing, path, count, cone_c)
