"""Coverage, width and interval score at four levels: `python benchmarks/intervals.py`.

The rival is a recursive autoregression with a Gaussian interval that clipped adaptive conformal inference corrects.

Settings and their defaults:

    --ticks 3000       ticks of a synthetic series
    --real-ticks 4000  ticks of a real series at the most
    --burn-in 500      first ticks that are not scored
"""

from __future__ import annotations

import time

import numpy as np
import xarray as xr
from tables import Table, geometric_mean, parser, sample_series, show

import uspnb
from uspnb.data import processes

LEVELS = (0.80, 0.90, 0.95, 0.99)
PROCESSES = (
    "autoregression",
    "regime_switching_autoregression",
    "jump_diffusion",
    "garch",
    "student_noise",
    "random_walk",
)
FIRST_SEED = 7300
COLUMNS = {
    "level": ".2f",
    "series": "",
    "coverage": ".3f",
    "coverage, AR": ".3f",
    "width / last": ".3f",
    "width / AR": ".3f",
    "interval score / last": ".3f",
    "interval score / AR": ".3f",
}


def all_series(ticks: int, real_ticks: int) -> dict[str, np.ndarray]:
    """Synthetic and real series by name."""
    made = {name: processes.CATALOGUE[name](ticks, FIRST_SEED + i).values for i, name in enumerate(PROCESSES)}
    real = sample_series(real_ticks)
    return made | {name: y for name, y in real.items() if "AAPL" not in name and "MSFT" not in name}


def row_of(level: float, name: str, ds: xr.Dataset) -> list:
    """A row of the table from one comparison."""
    ratios = []
    for metric in ("width", "interval_score"):
        score = ds["score"].sel(metric=metric)
        own = float(score.sel(forecaster="uspnb"))
        ratios += [own / float(score.sel(forecaster=rival)) for rival in ("last_value", "recursive_ar")]
    coverage = ds["score"].sel(metric="coverage")
    covered = [float(coverage.sel(forecaster=who)) for who in ("uspnb", "recursive_ar")]
    return [level, name, *covered, *ratios]


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    options = parser(__doc__).parse_args()
    series = all_series(options.ticks, options.real_ticks)
    rows, means = [], []
    for level in LEVELS:
        config = uspnb.PredictorConfig(confidence_level=level)
        part = [
            row_of(level, name, uspnb.compare(y, config, burn_in=options.burn_in, progress=False))
            for name, y in series.items()
        ]
        covered = [[float(np.mean([row[i] for row in part])) for i in (2, 3)]]
        means.append(
            [level, "mean of all", *covered[0], *(geometric_mean([row[i] for row in part]) for i in range(4, 8))]
        )
        rows += part
    summary = Table("Intervals, mean over series", COLUMNS, means, NOTE)
    show([summary, Table("Intervals, series by series", COLUMNS, rows)], options, began)


NOTE = "Coverage is to equal the level; width and interval score as ratios to a rival's, below 1 is better."

if __name__ == "__main__":
    main()
