"""What it is worth that series know of one another: `python benchmarks/panels.py`.

Panels of series whose increments are b_i f_t + e_i, with an AR(1) factor f of a certain memory that makes a certain
share of the variance, and one of series of which half follow the mean of the others a tick later.  Root mean squared
error with the kernel `common_movement`, as `Fleet(shared=True)` adds it, over that without it: the geometric mean and
the worst series; beside it the same of the oracle, who knows the factor and the loadings.

Settings and their defaults:

    --assets 24    series of a panel
    --ticks 1500   of each, of which 500 are not counted
    --seed 8300    of the panels
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any

import numpy as np
from tables import Table, geometric_mean, parser, show

import uspnb
from uspnb.model.kernels.registry import COMMON

BURN_IN = 500
PANELS = ((0.5, 0.3), (0.8, 0.3), (0.8, 0.1), (0.95, 0.3), (0.0, 0.3), (0.0, 0.0))
COLUMNS = {"panel": "", "with over without": ".3f", "worst series": ".3f", "oracle": ".3f", "weight": ".2f"}


def factor_panel(memory: float, share: float, options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Levels, and the oracle's forecast of each increment."""
    rng = np.random.default_rng(options.seed)
    factor = np.zeros(options.ticks)
    for t in range(1, options.ticks):
        factor[t] = memory * factor[t - 1] + np.sqrt(1 - memory**2) * rng.normal()
    loading = np.sqrt(share) * rng.normal(1.0, 0.5, options.assets)
    moves = factor[:, None] * loading + np.sqrt(1 - share) * rng.normal(size=(options.ticks, options.assets))
    return moves.cumsum(axis=0), memory * factor[:-1, None] * loading


def following_panel(share: float, options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Half of the series lead, the other half do a tick later what the mean of those did."""
    rng = np.random.default_rng(options.seed)
    moves = rng.normal(size=(options.ticks, options.assets))
    moves[:, ::2] = np.sqrt(0.5) * (moves[:, ::2] + rng.normal(size=(options.ticks, 1)))
    known = np.zeros((options.ticks - 1, options.assets))
    known[:, 1::2] = np.sqrt(share / 0.5) * moves[:-1, ::2].mean(axis=1)[:, None]
    moves[1:, 1::2] = known[:, 1::2] + np.sqrt(1 - share) * moves[1:, 1::2]
    return moves.cumsum(axis=0), known


def row(name: str, values: np.ndarray, known: np.ndarray) -> list[Any]:
    """One line of the table."""
    config = uspnb.PredictorConfig()
    alone = uspnb.backtest(values, config, progress=False)
    ds = uspnb.backtest(values, dataclasses.replace(config, kernels=(*config.kernels, COMMON)), progress=False)
    oracle = (np.diff(values, axis=0) - known)[BURN_IN - 1 :]
    without, shared, best = (
        np.sqrt(np.mean(error**2, axis=0))
        for error in (alone["residual"].values[BURN_IN:], ds["residual"].values[BURN_IN:], oracle)
    )
    weight = float(ds["weight"].sel(kernel=COMMON)[BURN_IN:].mean())
    ratio = shared / without
    return [name, geometric_mean(ratio), float(ratio.max()), geometric_mean(best / without), weight]


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    options = parser(__doc__).parse_args()
    rows = []
    for memory, share in PANELS:
        rows.append(row(f"factor of memory {memory}, share {share}", *factor_panel(memory, share, options)))
    rows.append(row("half follow the others' mean, share 0.4", *following_panel(0.4, options)))
    note = "The weight is the kernel's mean in the fusion; a fifth is what it has where all forecast alike."
    show([Table("Series that know of one another", COLUMNS, rows, note)], options, began)


if __name__ == "__main__":
    main()
