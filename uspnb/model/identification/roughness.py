"""Cross-checks of the Holder exponent, and what would mislead it: a Whittle estimate, jumps, stationarity."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ...array_types import Array, Count, Flag, Float, Scalar
from ...config.schema import PredictorConfig
from . import centred_path, real_ticks

JUMP_MADS = 5.0
MAD_FACTOR = 1.4826
# 5 % point of the level-stationarity statistic (Kwiatkowski et al. 1992, table 1).
KPSS_CRITICAL = 0.463
_GRID = np.linspace(0.02, 0.98, 33)
_ALIASES = 50
_DENSE_UP_TO = 256


class WhittleEstimate(NamedTuple):
    """Whittle's Hurst exponent of the increments and whether the window has one (NaN where not)."""

    exponent: Scalar
    valid: Flag


class JumpTest(NamedTuple):
    """Whether the newest increment is a jump, and |increment| over the median absolute increment of the window."""

    flag: Flag
    statistic: Scalar


class StationarityTest(NamedTuple):
    """Whether level stationarity is rejected at 5 %, and the KPSS statistic (NaN for a constant window)."""

    rejected: Flag
    statistic: Scalar


def fractional_noise_spectrum(frequency: Float[np.ndarray, "frequencies"], hurst: float) -> np.ndarray:
    """Spectral density of unit-variance fractional Gaussian noise, up to a factor that depends on H alone.

        f(w) ~ (1 - cos w) sum_j |w + 2 pi j|^{-2H - 1}

    The sum runs over |j| <= 50 and ends in its integral; the error is below 1e-7.

    Source: Beran, Statistics for Long-Memory Processes (1994), equation 2.17.
    """
    power = 2.0 * hurst + 1.0
    j = np.arange(1, _ALIASES + 1)[None, :]
    w = np.asarray(frequency, float)[:, None]
    total = w[:, 0] ** -power + np.sum((2 * np.pi * j + w) ** -power + (2 * np.pi * j - w) ** -power, axis=1)
    edge = 2 * np.pi * (_ALIASES + 0.5)
    tail = ((edge + w[:, 0]) ** (1 - power) + (edge - w[:, 0]) ** (1 - power)) / (2 * np.pi * (power - 1))
    return 2 * np.sin(w[:, 0] / 2) ** 2 * (total + tail)


@functools.lru_cache(maxsize=16)
def _whittle_table(length: int) -> tuple[Float[np.ndarray, "grid frequencies"], Float[np.ndarray, "grid"]]:
    """1 / f and mean log f on the grid of exponents at the Fourier frequencies of `length` increments."""
    frequency = 2 * np.pi * np.arange(1, (length - 1) // 2 + 1) / length
    density = np.stack([fractional_noise_spectrum(frequency, h) for h in _GRID])
    return 1.0 / density, np.mean(np.log(density), axis=1)


@functools.lru_cache(maxsize=16)
def _fourier_rows(length: int) -> Float[np.ndarray, "rows length"]:
    """Cosines, then sines, of the Fourier frequencies of `length` increments."""
    phase = 2 * np.pi * np.outer(np.arange(1, (length - 1) // 2 + 1), np.arange(length)) / length
    return np.concatenate([np.cos(phase), np.sin(phase)])


def _power(noise: Float[Array, "increments"]) -> Float[Array, "frequencies"]:
    """Periodogram at the Fourier frequencies; a product is faster than an FFT of a short, often prime length."""
    length = noise.shape[0]
    if length <= _DENSE_UP_TO:
        return jnp.sum((_fourier_rows(length) @ noise).reshape(2, -1) ** 2, axis=0)
    spectrum = jnp.fft.rfft(noise)[1 : (length - 1) // 2 + 1]
    return spectrum.real**2 + spectrum.imag**2


def whittle_exponent(path: Float[Array, "window"], config: PredictorConfig) -> WhittleEstimate:
    """Hurst exponent by Whittle's likelihood of fractional Gaussian noise, on every Fourier frequency.

        H = argmin  log( mean_j I(w_j) / f_H(w_j) ) + mean_j log f_H(w_j)

    The likelihood is read on a grid of 33 exponents and its minimum placed by a parabola through three of them, which
    is within 0.002 of the exact minimum; no iteration, no branch.

    Args:
        path: the window, oldest first [any units]; increments of it, or the window itself where `input_kind` is
            "increments", are taken as the noise.
        config: `input_kind` (static).

    Returns:
        The exponent, in [0.02, 0.98], and whether there is one: a constant or non-finite window has none.

    Source: Whittle (1953); Beran (1994), section 6.1.
    """
    count = jnp.asarray(path.shape[0])
    clean, sound = centred_path(path, count)
    noise = clean if config.input_kind == "increments" else clean[1:] - clean[:-1]
    inverse, log_mean = _whittle_table(noise.shape[0])
    power = _power(noise)
    total = jnp.sum(power)
    share = jnp.maximum(inverse @ power / jnp.maximum(total, jnp.finfo(path.dtype).tiny), jnp.finfo(path.dtype).tiny)
    score = jnp.log(share) + log_mean
    best = jnp.clip(jnp.argmin(score), 1, len(_GRID) - 2)
    low, mid, high = score[best - 1], score[best], score[best + 1]
    bend = jnp.maximum(low - 2.0 * mid + high, jnp.finfo(path.dtype).tiny)
    shift = jnp.clip(0.5 * (low - high) / bend, -1.0, 1.0)
    exponent = jnp.asarray(_GRID, path.dtype)[best] + shift * (_GRID[1] - _GRID[0])
    valid = sound & (total > jnp.finfo(path.dtype).eps ** 1.5)
    return WhittleEstimate(jnp.where(valid, exponent, jnp.nan), valid)


def jump_test(path: Float[Array, "window"]) -> JumpTest:
    """Whether the newest increment stands out of the window's own increments.

        statistic = |x_t - x_{t-1}| / (1.4826 median_s |x_s - x_{s-1}|) > 5

    1.4826 makes the denominator a standard deviation under Gaussian increments.  Where more than half of the
    increments are zero the denominator is their mean modulus instead.

    Args:
        path: the window, oldest first [any units].

    Returns:
        Flag and statistic; no jump and NaN where the window is constant or not finite.
    """
    clean, sound = centred_path(path, jnp.asarray(path.shape[0]))
    size = jnp.abs(clean[1:] - clean[:-1])
    tiny = jnp.finfo(path.dtype).tiny
    middle, mean = MAD_FACTOR * jnp.median(size), jnp.mean(size)
    width = jnp.where(middle > 0.0, middle, mean)
    statistic = size[-1] / jnp.maximum(width, tiny)
    valid = sound & (width > 0.0)
    flag = statistic > JUMP_MADS
    if len(size) % 2 == 1:
        # The median lies below a bound where more than half of the increments do: the flag alone needs no sort.
        most = len(size) // 2
        moving = jnp.sum(size > 0.0) > most
        flag = jnp.where(
            moving,
            jnp.sum(JUMP_MADS * jnp.maximum(MAD_FACTOR * size, tiny) < size[-1]) > most,
            size[-1] > JUMP_MADS * jnp.maximum(mean, tiny),
        )
        valid = sound & (moving | (mean > 0.0))
    return JumpTest(valid & flag, jnp.where(valid, statistic, jnp.nan))


def stationarity_indicator(path: Float[Array, "window"], count: Count) -> StationarityTest:
    """KPSS test that the window is stationary about a level.

        statistic = sum_t S_t^2 / (n^2 s^2(l)),   S_t = sum_{i <= t} (x_i - mean)

    s^2(l) is Newey and West's long-run variance with Bartlett weights and l = 4 (n / 100)^{1/4} lags, n being the
    window.  Above 0.463 stationarity is rejected at 5 %.

    Args:
        path: the window, oldest first [any units].
        count: how many of its newest entries are real ticks.

    Returns:
        Whether it is rejected and the statistic; not rejected and NaN for a constant, non-finite or shorter than
        8-tick window.

    Source: Kwiatkowski, Phillips, Schmidt and Shin, J. Econometrics 54, 159 (1992).
    """
    window = path.shape[0]
    clean, sound = centred_path(path, count)
    real, number = real_ticks(window, count), jnp.clip(count, 1, window).astype(path.dtype)
    deviation = jnp.where(real, clean - jnp.sum(clean) / number, 0.0)
    partial = jnp.cumsum(deviation)
    lags = int(4 * (window / 100.0) ** 0.25)
    variance = jnp.sum(deviation**2)
    for lag in range(1, lags + 1):
        variance = variance + 2.0 * (1 - lag / (lags + 1)) * jnp.sum(deviation[lag:] * deviation[:-lag])
    valid = sound & (count >= 8) & (variance > jnp.finfo(path.dtype).eps)
    statistic = jnp.sum(jnp.where(real, partial, 0.0) ** 2) / (number * jnp.where(valid, variance, 1.0))
    return StationarityTest(valid & (statistic > KPSS_CRITICAL), jnp.where(valid, statistic, jnp.nan))
