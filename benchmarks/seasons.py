"""What seasons, declared and found, and imputation are worth: `python benchmarks/seasons.py [--data FOLDER]`.

Root mean squared errors of one-step forecasts over that of the last value, from tick 300 on (half of a short series):
without seasons; with its seasons declared; with them found; with one value in ten missing, where the window closes over
the hole, where the forecast takes its place, and with both.  Kinds without a season stand there for what it costs.

Settings and their defaults:

    --ticks 4000  of a synthetic series
    --data        a folder of series with a manifest.json that names their seasons
    --seed 8100   of the synthetic series and of what is missing
"""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tables import Table, parser, show

import uspnb
from uspnb.data import processes

BURN_IN, MISSING = 300, 0.1
# A series without a season is told this one.
NONE_SUCH = (24,)
COLUMNS = {
    "series": "", "ticks": ",d", "seasons": "", "plain": ".3f", "seasons told": ".3f", "found": ".3f",
    "10 % missing, closed over": ".3f", "imputed": ".3f", "imputed, seasons told": ".3f",
    "imputed, found": ".3f", "coverage": ".3f",
}  # fmt: skip


class Known(NamedTuple):
    """A series, and the periods after which it resembles itself."""

    name: str
    values: np.ndarray
    seasons: tuple[int, ...]


def synthetic(ticks: int, seed: int) -> list[Known]:
    """Days in weeks of three sizes, and series without any season."""
    found = [
        Known(f"demand, {day} ticks a day", processes.seasonal_demand(ticks, seed, per_day=day).values, (day, 7 * day))
        for day in (12, 24, 48)
    ]
    for make in (processes.autoregression, processes.ornstein_uhlenbeck, processes.random_walk, processes.garch):
        found.append(Known(f"{make.__name__}, no season", make(ticks, seed).values, NONE_SUCH))
    return found


def real(folder: Path | None) -> list[Known]:
    """The series of a folder whose manifest names seasons."""
    if folder is None:
        return []
    found = []
    for entry in json.loads((folder / "manifest.json").read_text())["series"]:
        if "forecast" not in entry["task"] or not entry.get("seasons"):
            continue
        with (folder / entry["file"]).open(newline="") as lines:
            values = [float(row["value"]) if row["value"] else np.nan for row in csv.DictReader(lines)]
        found.append(Known(entry["name"], np.asarray(values), tuple(entry["seasons"])))
    return found


def measured(values: np.ndarray, first: int, seasons: Any = (), **settings: Any) -> tuple[float, float]:
    """Error over that of the last value, where there is one, and coverage."""
    ds = uspnb.backtest(values, uspnb.PredictorConfig(**settings), seasons=seasons, progress=False)
    counted = np.isfinite(values) & (np.arange(len(values)) >= first)
    last = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), 0))
    naive = values - np.concatenate([[np.nan], values[last][:-1]])
    error = values - ds.prediction.values
    inside = (values >= ds.lower.values) & (values <= ds.upper.values)
    ratio = np.sqrt(np.nanmean(error[counted] ** 2) / np.nanmean(naive[counted] ** 2))
    return float(ratio), float(np.mean(inside[counted]))


def row(known: Known, seed: int) -> list[Any]:
    """One line of the table."""
    values, first = known.values, min(BURN_IN, len(known.values) // 2)
    gone = np.random.default_rng(seed).random(len(values)) < MISSING
    gone[: first // 2] = False
    holed = np.where(gone, np.nan, values)
    both, coverage = measured(holed, first, "auto")
    return [
        known.name, len(values), " ".join(map(str, known.seasons)),
        measured(values, first)[0], measured(values, first, known.seasons)[0],
        measured(values, first, "auto")[0],
        measured(holed, first, impute=False)[0], measured(holed, first)[0],
        measured(holed, first, known.seasons)[0], both, coverage,
    ]  # fmt: skip


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    made = parser(__doc__)
    made.add_argument("--data", type=Path, help="folder of series with a manifest.json")
    options = made.parse_args()
    rows = [row(known, options.seed) for known in (*synthetic(options.ticks, options.seed), *real(options.data))]
    note = "The coverage is that of the last error; of a kind without a season the season told is 24 ticks."
    show([Table("Seasons and missing ticks", COLUMNS, rows, note)], options, began)


if __name__ == "__main__":
    main()
