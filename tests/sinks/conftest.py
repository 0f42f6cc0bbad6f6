"""Rows of packed results as the predictor makes them, without a predictor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from uspnb.model.packing import layout_for, row_columns

MakeRows = Callable[..., np.ndarray]


@pytest.fixture(scope="session")
def columns() -> dict[str, slice]:
    """Where each field stands in a row of the default configuration."""
    return row_columns(layout_for(5))


@pytest.fixture
def make_rows(columns: dict[str, slice]) -> MakeRows:
    """A function that makes `count` plausible rows: accepted ticks, no alarm, weights that add up to 1."""
    width = max(place.stop for place in columns.values())
    flags = ("rejected", "not_finite", "outlier", "out_of_order", "stale", "sparse", "frozen", "released", "alarm")

    def made(count: int, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(count, width))
        for name in (*flags, "emergency", "degraded", "mode_collapse_warning", "onset_ago", "operating_mode"):
            rows[:, columns[name]] = 0.0
        rows[:, columns["accepted"]] = 1.0
        rows[:, columns["alarm_chart"]] = -1.0
        rows[:, columns["weight"]] = rng.dirichlet(np.ones(4), size=count)
        rows[:, columns["ticks"]] = np.arange(1, count + 1)[:, None]
        return rows

    return made
