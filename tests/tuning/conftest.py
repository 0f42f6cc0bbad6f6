"""A short seasonal series and the objective on it, shared by the tests of tuning."""

from __future__ import annotations

import numpy as np
import pytest

from uspnb.tuning.objective import WalkForwardObjective


@pytest.fixture(scope="session")
def values() -> np.ndarray:
    """400 ticks of a noisy sine on a slow walk."""
    rng = np.random.default_rng(5)
    t = np.arange(400)
    return 20 + np.sin(t / 6) + 0.1 * rng.normal(size=400) + 0.02 * rng.normal(size=400).cumsum()


@pytest.fixture(scope="session")
def objective(values: np.ndarray) -> WalkForwardObjective:
    """Three folds of it, everything since the start remembered."""
    return WalkForwardObjective(values, n_folds=3)
