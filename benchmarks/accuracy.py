"""One-step accuracy and intervals on synthetic processes and real series: `python benchmarks/accuracy.py`.

Each series goes once through `uspnb.compare`: uspnb, last value and a recursive autoregression of five lags, all
scored on the same ticks after the burn-in.  The oracle knows the process's true law; no forecaster can beat it but
by chance.  Synthetic processes are drawn from several seeds and their ratios averaged geometrically.

Settings and their defaults:

    --ticks 3000       ticks of a synthetic series
    --real-ticks 6000  ticks of a real series at the most
    --seeds 2          paths of each synthetic process
    --burn-in 500      first ticks that are not scored
"""

from __future__ import annotations

import math
import time

import numpy as np
from tables import Table, geometric_mean, parser, sample_series, show

import uspnb
from uspnb.data import processes

PROCESSES = (
    "ornstein_uhlenbeck",
    "autoregression",
    "threshold_autoregression",
    "regime_switching_autoregression",
    "sine_in_noise",
    "seasonal_demand",
    "logistic_map",
    "fractional_brownian_motion",
    "fractional_gaussian_noise",
    "random_walk",
    "jump_diffusion",
    "garch",
    "student_noise",
)
FIRST_SEED = 7100
COLUMNS = {
    "series": "",
    "ticks": ",d",
    "uspnb / last": ".3f",
    "AR / last": ".3f",
    "oracle / last": ".3f",
    "uspnb / AR": ".3f",
    "coverage": ".3f",
    "interval score / last": ".3f",
    "interval score / AR": ".3f",
    "missed": ",d",
}


def scores(y: np.ndarray, burn_in: int) -> list[float]:
    """RMSE ratios to last value (uspnb, AR), coverage, interval score over last value's and AR's, missed ticks."""
    ds = uspnb.compare(y, burn_in=burn_in, progress=False)
    rmse, interval = ds["relative"].sel(metric="rmse"), ds["score"].sel(metric="interval_score")
    own = float(interval.sel(forecaster="uspnb"))
    return [
        float(rmse.sel(forecaster="uspnb")),
        float(rmse.sel(forecaster="recursive_ar")),
        float(ds["score"].sel(forecaster="uspnb", metric="coverage")),
        own / float(interval.sel(forecaster="last_value")),
        own / float(interval.sel(forecaster="recursive_ar")),
        float(ds["missed_ticks"]),
    ]


def oracle_ratio(path: processes.Path, burn_in: int) -> float:
    """RMSE of the forecast that knows the true law over last value's."""
    y, rows = path.values, slice(burn_in, None)
    naive = np.concatenate([[np.nan], y[:-1]])
    return float(np.sqrt(np.mean((y - path.oracle)[rows] ** 2) / np.mean((y - naive)[rows] ** 2)))


def row_of(name: str, ticks: int, runs: list[list[float]], oracle: list[float]) -> list[object]:
    """A row of the table from one run or from several seeds."""
    own, ar, coverage, score_last, score_ar, missed = np.array(runs).T
    # A ratio of exactly zero, as the logistic map's oracle has, is no number for a geometric mean.
    truth = math.nan if not oracle else (0.0 if max(oracle) == 0.0 else geometric_mean(oracle))
    ratios = [geometric_mean(own), geometric_mean(ar), truth, geometric_mean(own / ar)]
    return [name, ticks, *ratios, float(coverage.mean()), geometric_mean(score_last), geometric_mean(score_ar),
            int(missed.sum())]  # fmt: skip


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    options = parser(__doc__).parse_args()
    rows = []
    for name in PROCESSES:
        paths = [processes.CATALOGUE[name](options.ticks, FIRST_SEED + s) for s in range(options.seeds)]
        runs = [scores(path.values, options.burn_in) for path in paths]
        rows.append(row_of(name, options.ticks, runs, [oracle_ratio(p, options.burn_in) for p in paths]))
    synthetic = len(rows)
    for name, y in sample_series(options.real_ticks).items():
        rows.append(row_of(name, len(y), [scores(y, options.burn_in)], []))
    show([Table("One-step accuracy", COLUMNS, rows + summary(rows, synthetic), NOTE)], options, began)


def summary(rows: list[list], synthetic: int) -> list[list]:
    """Geometric means over groups of rows."""
    groups = {
        "geometric mean, synthetic": rows[:synthetic],
        "the same without logistic_map": [row for row in rows[:synthetic] if row[0] != "logistic_map"],
        "geometric mean, real": rows[synthetic:],
    }
    made = []
    for name, group in groups.items():
        means = {i: geometric_mean([row[i] for row in group]) for i in (2, 3, 5, 7, 8)}
        coverage, missed = float(np.mean([row[6] for row in group])), sum(row[9] for row in group)
        made.append([name, None, means[2], means[3], None, means[5], coverage, means[7], means[8], missed])
    return made


NOTE = (
    "RMSE and interval score (at 95 %) as ratios, below 1 is better; coverage is to be 0.95; missed counts ticks after "
    "the burn-in for which uspnb made no forecast."
)

if __name__ == "__main__":
    main()
