"""Random walks, the series that most tests are content with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def random_walk(shape: int | tuple[int, ...], seed: int) -> np.ndarray:
    """Sums of standard normal steps along the first axis."""
    return np.cumsum(np.random.default_rng(seed).standard_normal(shape), axis=0)


def write_walk(path: Path, rows: int = 400) -> Path:
    """A CSV file of times, a minute apart, and one column of values, `flow`."""
    times = pd.date_range("2026-01-01", periods=rows, freq="min", tz="UTC")
    table = pd.DataFrame({"time": times.strftime("%Y-%m-%dT%H:%M:%SZ"), "flow": random_walk(rows, 1)})
    table.to_csv(path, index=False)
    return path


def thinned_counts(ticks: int, seed: int, mean: float = 2.0, survival: float = 0.6) -> np.ndarray:
    """INAR(1): a binomial share of the last count and Poisson arrivals; its law is Poisson (Al-Osh and Alzaid 1987)."""
    rng = np.random.default_rng(seed)
    counts = [rng.poisson(mean)]
    for arrivals in rng.poisson(mean * (1 - survival), ticks - 1):
        counts.append(rng.binomial(counts[-1], survival) + arrivals)
    return np.array(counts, float)
