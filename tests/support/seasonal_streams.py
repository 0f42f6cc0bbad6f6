"""Streams with known periods and without, and what a look finds in them."""

from __future__ import annotations

import jax
import numpy as np

from uspnb.config.schema import PredictorConfig
from uspnb.model.orchestration.periods import find_periods

CAPACITY = PredictorConfig().season_capacity
NONE = np.zeros(2, np.int64)
find = jax.jit(find_periods)


def chronological(values: np.ndarray) -> tuple[np.ndarray, int]:
    """The newest values at the end of a ring's length, and how many they are."""
    newest = values[-CAPACITY:]
    padded = np.zeros(CAPACITY)
    padded[len(padded) - len(newest) :] = newest
    return padded, len(newest)


def found(values: np.ndarray) -> tuple[int, ...]:
    periods, _ = find(*chronological(values), NONE)
    return tuple(int(period) for period in periods if period)


def seasonal(rng: np.random.Generator, periods: tuple[int, ...], share: float, length: int) -> np.ndarray:
    """A sine and a few random harmonics for each period, and white noise; `share` of the variance is theirs."""
    season = np.zeros(length)
    for period in periods:
        shape = np.zeros(period)
        for harmonic in range(1, min(5, period // 2) + 1):
            phase = 2 * np.pi * (harmonic * np.arange(period) / period + rng.random())
            size = 1.0 if harmonic == 1 else rng.standard_normal() / harmonic
            shape += size * np.cos(phase)
        season += (shape / shape.std())[np.arange(length) % period]
    noise = rng.standard_normal(length)
    return np.sqrt(share) * season / season.std() + np.sqrt(1 - share) * noise


def draw(seed: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """A stream of six times the longest of one or two periods between 7 and 340, and 256 ticks at least."""
    rng = np.random.default_rng(seed)
    periods = (int(rng.integers(7, 341)),)
    if rng.random() < 0.4:
        periods = tuple(sorted({int(rng.integers(7, max(8, periods[0] // 2))), periods[0]}))
    return seasonal(rng, periods, rng.uniform(0.3, 0.9), max(6 * periods[-1], 256)), periods


def matches(seen: tuple[int, ...], periods: tuple[int, ...]) -> bool:
    """Whether the periods are those of a stream, within a tick."""
    return len(seen) == len(periods) and all(abs(a - b) <= 1 for a, b in zip(seen, periods, strict=True))


def pseudo_cycle(length: int, period: float, radius: float, seed: int) -> np.ndarray:
    """An autoregression whose roots are complex: it goes round, and forgets its phase."""
    noise = np.random.default_rng(seed).standard_normal(length)
    x = np.zeros(length)
    for t in range(2, length):
        x[t] = 2 * radius * np.cos(2 * np.pi / period) * x[t - 1] - radius**2 * x[t - 2] + noise[t]
    return x
