"""The window in the frequency domain: its strongest modes, and how regular its spectrum is."""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from ...array_types import Array, Bool, Flag, Float, Scalar
from ...config.schema import PredictorConfig
from ..cadence import where_due
from . import centred_path

# Traced settings that a spectrum is made with; they travel as arguments of what is computed where it is due.
_SETTINGS = ("koopman_min_power", "signal_sampling_interval", "paley_wiener_integral_max")


class KoopmanSpectrum(NamedTuple):
    """The strongest spectral modes of a window, strongest first.

    Attributes:
        frequency: of each mode [cycles per unit of `signal_sampling_interval`], NaN where masked.
        power: share of the window's variance about its mean that the mode carries, NaN where masked.
        mask: which modes are stronger than `koopman_min_power`.
    """

    frequency: Float[Array, "modes"]
    power: Float[Array, "modes"]
    mask: Bool[Array, "modes"]


class WindowSpectrum(NamedTuple):
    """The spectrum of the window when it was last measured.

    Attributes:
        frequency, power: of the strongest modes, NaN where there are fewer [1/tick; share of the variance].
        paley_wiener_integral: of the window, NaN before the first.
    """

    frequency: Float[Array, "mode"]
    power: Float[Array, "mode"]
    paley_wiener_integral: Scalar


class PaleyWienerTest(NamedTuple):
    """Paley-Wiener integral of the window's spectrum and whether it is small enough for a causal factorisation."""

    integral: Scalar
    regular: Flag


@functools.lru_cache(maxsize=16)
def _hann(window: int) -> Float[np.ndarray, "window"]:
    return np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2


def tapered_spectrum(path: Float[Array, "window"]) -> tuple[Float[Array, "frequencies"], Flag]:
    """Power |FFT|^2 of the centred, Hann-tapered window, of sum one, without frequency zero, and whether there is any.

    `koopman_spectrum` and `paley_wiener_integral` both start here; inside one jit the compiler computes it once.
    """
    window = path.shape[0]
    clean, sound = centred_path(path, jnp.asarray(window))
    taper = jnp.asarray(_hann(window), path.dtype)
    centred = (clean - jnp.sum(taper * clean) / jnp.sum(taper)) * taper
    coefficient = jnp.fft.rfft(centred)[1:]
    power = coefficient.real**2 + coefficient.imag**2
    total = jnp.sum(power)
    valid = sound & (total > 0.0)
    return jnp.where(valid, power / jnp.where(valid, total, 1.0), 0.0), valid


def koopman_spectrum(path: Float[Array, "window"], config: PredictorConfig) -> KoopmanSpectrum:
    """The top-k peaks of the window's spectrum: the Koopman modes of a stationary process on the unit circle.

        p(w) = |sum_t h_t (x_t - mean) e^{-i w t}|^2 / sum over w,   modes = the k largest local maxima of p

    Peaks, not bins: one sinusoid is one mode.  A parabola through the logarithms of three bins places it between bins
    (Hann taper; error below 0.02 bins on a clean sinusoid), and the mode's power is the sum of the three.

    Args:
        path: the window, oldest first [any units].
        config: `koopman_top_k` (static), `koopman_min_power` [share], `signal_sampling_interval`.

    Returns:
        Frequencies, shares of power, mask; all masked for a constant or non-finite window.

    Source: Mezic, Nonlinear Dynamics 41, 309 (2005), section 3 (harmonic averages).
    """
    window = path.shape[0]
    power, valid = tapered_spectrum(path)
    before, after = jnp.pad(power, (1, 0))[:-1], jnp.pad(power, (0, 1))[1:]
    peak = (power > before) & (power >= after)
    strength = jnp.where(peak, before + power + after, 0.0)
    modes = min(config.koopman_top_k, power.shape[0])
    strongest, where = lax.top_k(strength, modes)
    floor = jnp.finfo(path.dtype).tiny
    low, mid, high = (jnp.log(jnp.maximum(p[where], floor)) for p in (before, power, after))
    bend = low - 2.0 * mid + high
    inner = (where > 0) & (where < power.shape[0] - 1) & (bend < 0.0)
    shift = jnp.where(inner, 0.5 * (low - high) / jnp.where(inner, bend, 1.0), 0.0)
    frequency = (where + 1 + jnp.clip(shift, -0.5, 0.5)) / (window * config.signal_sampling_interval)
    mask = valid & (strongest > config.koopman_min_power) & (strongest > 0.0)
    spare = config.koopman_top_k - modes
    return KoopmanSpectrum(
        jnp.pad(jnp.where(mask, frequency, jnp.nan), (0, spare), constant_values=jnp.nan),
        jnp.pad(jnp.where(mask, strongest, jnp.nan), (0, spare), constant_values=jnp.nan),
        jnp.pad(mask, (0, spare)),
    )


def paley_wiener_integral(path: Float[Array, "window"], config: PredictorConfig) -> PaleyWienerTest:
    """Paley-Wiener integral of the spectrum, whose finiteness is what makes a process predictable from its past alone.

        integral = int_{|w| <= pi} |log S(w)| / (1 + w^2) dw

    S is the tapered periodogram, of mean one over the band, averaged over 3 neighbouring bins, floored at the smallest
    normal number so that a spectral hole is large but finite.  In 128 ticks white noise gives about 1.6 and a clean
    sinusoid 28.

    Args:
        path: the window, oldest first [any units].
        config: `paley_wiener_integral_max`.

    Returns:
        The integral (NaN for a constant or non-finite window) and whether it is below the maximum.

    Source: Paley and Wiener, Fourier Transforms in the Complex Domain (1934), theorem XII; seed 002, section 2.1.
    """
    power, valid = tapered_spectrum(path)
    bins = power.shape[0]
    smooth = (jnp.pad(power, (1, 0), mode="edge")[:-1] + power + jnp.pad(power, (0, 1), mode="edge")[1:]) / 3.0
    density = jnp.maximum(smooth * bins, jnp.finfo(path.dtype).tiny)
    w = 2.0 * np.pi * np.arange(1, bins + 1) / path.shape[0]
    edges = np.concatenate([[0.0], (w[1:] + w[:-1]) / 2, [np.pi]])
    weight = 2.0 * np.diff(np.arctan(edges))
    integral = jnp.sum(weight * jnp.abs(jnp.log(density)))
    return PaleyWienerTest(jnp.where(valid, integral, jnp.nan), valid & (integral <= config.paley_wiener_integral_max))


def spectrum_where_due(
    path: Float[Array, "window"], config: PredictorConfig, held: WindowSpectrum, due: Flag
) -> WindowSpectrum:
    """Modes and Paley-Wiener integral of the window where they are due, else those that were measured last."""

    def measured(path: Array, *rest: Array) -> WindowSpectrum:
        own = dataclasses.replace(config, **dict(zip(_SETTINGS, rest, strict=False)))
        modes = koopman_spectrum(path, own)
        return WindowSpectrum(modes.frequency, modes.power, paley_wiener_integral(path, own).integral)

    def kept(_: Array, *rest: Array) -> WindowSpectrum:
        return WindowSpectrum(*rest[len(_SETTINGS) :])

    settings = (jnp.asarray(getattr(config, name), path.dtype) for name in _SETTINGS)
    return where_due(due, measured, kept, path, *settings, *held)
