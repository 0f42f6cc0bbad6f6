"""Whether the whole forecast distribution holds: `python benchmarks/distribution.py [--data FOLDER]`.

Coverage: the share of outcomes inside the intervals of 50, 80 and 95 % that were out h ticks before, on series of a
folder and on synthetic ones, from tick 300 on (half of a short series).  PIT: the p value of Kolmogorov and Smirnov's
test that the probability integral transform is uniform, on every h-th tick.  Lost: the share of ticks at which the
sequential test on it (`CalibrationWatch`) calls a horizon lost, and how often it began to.  Crossings: the mean
probability, from 4,000 simulated paths at each origin, that a bound is crossed within 24 ticks, beside how often it
was; the bounds are ends of the intervals that are out for the 24th tick, and the origins lie 24 ticks apart.

Settings and their defaults:

    --ticks 6000    of a series at the most
    --origins 500   of crossings
    --data          a folder of series with a manifest.json
    --seed 8300     of the synthetic series
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from tables import Table, parser, show

import uspnb
from uspnb.data import processes
from uspnb.predictor.scores import uniformity, watched

HORIZONS, WITHIN, BURN_IN = (1, 3, 12, 36), 24, 300
LEVELS = (0.5, 0.8, 0.95)
SYNTHETIC = (processes.autoregression, processes.ornstein_uhlenbeck, processes.garch)
# Coverage and probability from what they should be; the least p value of a PIT.
BAR, LEAST_P = 0.03, 0.01
COVERED = {"series": "", "ticks": ",d", "level": ".2f"} | {f"h = {h}": ".3f" for h in HORIZONS} | {"within .03": ""}
UNIFORM = {"series": "", "seed": "d"} | {f"p, h = {h}": ".3f" for h in HORIZONS} | {"above .01": ""}
LOST = {"series": "", "ticks": ",d"} | {f"lost, h = {h}": ".3f" for h in HORIZONS} | {"began": "d"}
CROSSED = {
    "series": "", "origins": ",d", "bound": "", "probability": ".3f", "frequency": ".3f", "difference": "+.3f",
    "standard error": ".3f", "within .03": "",
}  # fmt: skip


def open_series(folder: Path | None, ticks: int) -> dict[str, np.ndarray]:
    """The first values of the forecasting series of a folder, by name."""
    if folder is None:
        return {}
    found = {}
    for entry in json.loads((folder / "manifest.json").read_text())["series"]:
        if "forecast" in entry["task"]:
            with (folder / entry["file"]).open(newline="") as lines:
                values = [float(row["value"]) if row["value"] else np.nan for row in csv.DictReader(lines)]
            found[entry["name"]] = np.asarray(values)[:ticks]
    return found


def coverage_rows(name: str, values: np.ndarray, ds: xr.Dataset) -> list[list[Any]]:
    """A row of coverages for each level."""
    first = min(BURN_IN, len(values) // 2)
    rows = []
    for level in LEVELS:
        shares = []
        for h in HORIZONS:
            ahead = ds.sel(horizon=h)
            lower, upper = ahead["horizon_lower"].values, ahead["horizon_upper"].values
            if level != ds.attrs["confidence_level"]:
                half = ahead["horizon_level_width"].sel(level=level).values
                mean = ahead["horizon_prediction"].values
                lower, upper = mean - half, mean + half
            outcome, made = values[first + h :], slice(first, len(values) - h)
            known = np.isfinite(outcome) & np.isfinite(lower[made])
            shares.append(float(np.mean(((outcome >= lower[made]) & (outcome <= upper[made]))[known])))
        held = all(abs(share - level) <= BAR for share in shares)
        rows.append([name, len(values), level, *shares, "yes" if held else "no"])
    return rows


def lost_row(name: str, ds: xr.Dataset) -> list[Any]:
    """How long calibration was lost at each horizon, and how often it began to be at any."""
    lost = watched(ds)[1][:, 0]
    return [name, len(lost), *lost.mean(axis=0), int((lost[1:] & ~lost[:-1]).sum())]


def crossing_rows(name: str, values: np.ndarray, origins: int) -> list[list[Any]]:
    """A row for each bound: mean probability and frequency of crossing it."""
    count = min(origins, (len(values) - BURN_IN - 1) // WITHIN)
    predictor = uspnb.UniversalPredictor(clock=uspnb.replay_clock)
    predictor.fit_history(values[:BURN_IN])
    bounds = {f"{side} end, {level:.0%}": (side, level) for side in ("upper", "lower") for level in (0.5, 0.8)}
    said = {bound: np.empty((count, 2)) for bound in bounds}
    stamp = np.datetime64("2026-01-01T00:00:00")
    for k in range(count):
        at = BURN_IN + k * WITHIN
        fan, paths = predictor.forecast(WITHIN), predictor.simulate(WITHIN, paths=4000, seed=k)
        outcome = values[at : at + WITHIN]
        for bound, (side, level) in bounds.items():
            value = float(fan[f"level_{side}"].sel(level=level)[-1])
            beyond = np.greater if side == "upper" else np.less
            said[bound][k] = beyond(paths, value).any(axis=1).mean(), beyond(outcome, value).any()
        for t, value in enumerate(outcome, at):
            predictor.step(uspnb.ProcessState(float(value), stamp + np.timedelta64(t, "s")))
    rows = []
    for bound, pairs in said.items():
        probability, frequency = pairs.mean(axis=0)
        error = math.sqrt(probability * (1.0 - probability) / count)
        held = abs(probability - frequency) <= BAR
        rows.append(
            [name, count, bound, probability, frequency, frequency - probability, error, "yes" if held else "no"]
        )
    return rows


def coverage(options: argparse.Namespace) -> list[Table]:
    """Coverages and losses, and the uniformity of the PIT on three synthetic kinds and three seeds of each."""
    covered, uniform, lost = [], [], []
    for make in SYNTHETIC:
        for seed in range(options.seed, options.seed + 3):
            values = make(options.ticks, seed).values
            ds = uspnb.backtest(values, horizons=HORIZONS, progress=False)
            pit = ds["pit"].values[BURN_IN:]
            p = [uniformity(pit[:, i], h) for i, h in enumerate(HORIZONS)]
            uniform.append([make.__name__, seed, *p, "yes" if min(p) > LEAST_P else "no"])
            if seed == options.seed:
                covered += coverage_rows(make.__name__, values, ds)
                lost.append(lost_row(make.__name__, ds))
    for name, values in open_series(options.data, options.ticks).items():
        ds = uspnb.backtest(values, horizons=HORIZONS, progress=False)
        covered += coverage_rows(name, values, ds)
        lost.append(lost_row(name, ds))
    return [
        Table("Coverage of 50, 80 and 95 % by horizon", COVERED, covered),
        Table("Uniformity of the PIT by horizon", UNIFORM, uniform),
        Table("Calibration lost by horizon", LOST, lost),
    ]


def crossings(options: argparse.Namespace) -> list[Table]:
    """Probabilities of crossings beside their frequency."""
    ticks = BURN_IN + options.origins * WITHIN + 1
    made = {make.__name__: make(ticks, options.seed).values for make in SYNTHETIC}
    rows = [row for name, values in made.items() for row in crossing_rows(name, values, options.origins)]
    note = "The standard error is that of the frequency of independent origins, were the probability right."
    return [Table(f"Crossings within {WITHIN} ticks", CROSSED, rows, note)]


STAGES = {"coverage": coverage, "crossings": crossings}


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    made = parser(__doc__, STAGES)
    made.add_argument("--data", type=Path, help="folder of series with a manifest.json")
    options = made.parse_args()
    show([table for stage in options.stages for table in STAGES[stage](options)], options, began)


if __name__ == "__main__":
    main()
