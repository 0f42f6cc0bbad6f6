"""Random walks, the series that most tests are content with."""

from __future__ import annotations

import numpy as np


def random_walk(shape: int | tuple[int, ...], seed: int) -> np.ndarray:
    """Sums of standard normal steps along the first axis."""
    return np.cumsum(np.random.default_rng(seed).standard_normal(shape), axis=0)
