"""Anomalies that people have labelled, scored by the rule of the Numenta benchmark.

    python benchmarks/anomalies.py --data FOLDER

The folder holds series as CSV (times and values in the last two columns) and a `windows.json` with the first and the
last tick of each labelled window by the name of the series.  Scored is the standard profile: the first detection in a
window earns up to 1, the earlier the more; a window without any costs 1; a detection outside costs up to .11, the
further behind a window the more; the first 15 % of a series (750 ticks at the most) do not count.  0 is to detect
nothing, 100 all windows at their first tick.  Thresholds are picked over all series at once, with the labels at hand,
but for those that are declared.  In a refractory period after a detection none counts.

The rival is the windowed Gaussian of the same benchmark: distance from the mean of the last ticks in standard
deviations.

Source: Lavin and Ahmad, Evaluating Real-time Anomaly Detection Algorithms - the Numenta Anomaly Benchmark (ICMLA 2015).

Settings and their defaults:

    --data            the folder
    --window 6400     ticks of the rival's window
    --stride 100      ticks by which it moves
    --refractory 48   ticks after a detection, where there are any
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
from uspnb.config.schema import DEFAULTS

PROBATION, LONGEST_PROBATION = 0.15, 750
COST_OUTSIDE, COST_MISSED = 0.11, 1.0
MOST_THRESHOLDS = 1500
COLUMNS = {
    "detector": "", "refractory": ",d", "score": ".1f", "threshold": ".6g", "detections": ",d", "windows": ",d",
}  # fmt: skip


class Labelled(NamedTuple):
    """A series and its windows.

    Attributes:
        times, values: of its ticks.
        windows: how many there are.
        earned: what a detection at each tick earns or costs.
        place: the window that each tick is in, -1 for none.
    """

    times: np.ndarray
    values: np.ndarray
    windows: int
    earned: np.ndarray
    place: np.ndarray


class Tally(NamedTuple):
    """A score, and what it was reached with."""

    score: float
    threshold: float
    detections: int
    found: int


def labelled(folder: Path) -> list[Labelled]:
    """The series of a folder that have windows."""
    series = []
    for name, windows in json.loads((folder / "windows.json").read_text()).items():
        with (folder / f"{name}.csv").open(newline="") as lines:
            *_, when, what = zip(*[list(row.values()) for row in csv.DictReader(lines)], strict=True)
        values = np.array([float(value) if value else np.nan for value in what])
        places = [(int(window["first"]), int(window["last"])) for window in windows]
        earned, place = rewards(len(values), places)
        series.append(Labelled(np.array(when, "datetime64[s]"), values, len(places), earned, place))
    return series


def sigmoid(y: float) -> float:
    """2 / (1 + e^5y) - 1: from 1 far ahead of a window's end over 0 there to -1 far behind it."""
    return float(2.0 / (1.0 + np.exp(5.0 * y)) - 1.0)


def rewards(ticks: int, windows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """What a detection at each tick earns or costs, and the window that the tick is in, -1 for none."""
    earned, place = np.empty(ticks), np.full(ticks, -1)
    for k, (first, last) in enumerate(windows):
        place[first : last + 1] = k
    for tick in range(len(earned)):
        if place[tick] >= 0:
            first, last = windows[place[tick]]
            earned[tick] = sigmoid(-(last - tick + 1) / (last - first + 1)) / sigmoid(-1.0)
            continue
        behind = [(tick - last) / (last - first) for first, last in windows if last < tick]
        earned[tick] = COST_OUTSIDE * (sigmoid(behind[-1]) if behind and behind[-1] <= 3.0 else -1.0)
    return earned, place


def detections(score: np.ndarray, threshold: float, refractory: int) -> np.ndarray:
    """Ticks whose score reaches the threshold, none within the refractory period of the one before."""
    ticks = []
    for tick in np.flatnonzero(score >= threshold):
        if not ticks or tick - ticks[-1] > refractory:
            ticks.append(int(tick))
    return np.array(ticks, int)


def tally(all_series: list[Labelled], scores: list[np.ndarray], threshold: float, refractory: int) -> Tally:
    """The score of all series together at one threshold, from 0 (nothing detected) to 100."""
    total, count, found = 0.0, 0, 0
    windows = sum(series.windows for series in all_series)
    for series, score in zip(all_series, scores, strict=True):
        earned, place = series.earned, series.place
        ticks = detections(score, threshold, refractory)
        ticks = ticks[ticks >= min(int(PROBATION * len(score)), LONGEST_PROBATION)]
        count += len(ticks)
        total += earned[ticks[place[ticks] < 0]].sum()
        for k in range(series.windows):
            inside = ticks[place[ticks] == k]
            found += len(inside) > 0
            total += earned[inside].max() if len(inside) else -COST_MISSED
    return Tally(100.0 * (total + COST_MISSED * windows) / ((1.0 + COST_MISSED) * windows), threshold, count, found)


def best(all_series: list[Labelled], scores: list[np.ndarray], refractory: int) -> Tally:
    """At the threshold that serves best over all of them."""
    candidates = np.unique(np.concatenate([score[np.isfinite(score)] for score in scores]))[-MOST_THRESHOLDS:]
    return max((tally(all_series, scores, float(c), refractory) for c in candidates), key=lambda one: one.score)


def windowed_gaussian(values: np.ndarray, window: int, stride: int) -> np.ndarray:
    """|y - mean| / standard deviation of the last `window` ticks, which move on by `stride`."""
    held: list[float] = []
    coming: list[float] = []
    score, mean, deviation = np.zeros(len(values)), 0.0, 0.0
    for tick, value in enumerate(values):
        if held:
            score[tick] = abs(value - mean) / max(deviation, 1e-6)
        if len(held) < window:
            held.append(value)
        else:
            coming.append(value)
            if len(coming) < stride:
                continue
            held, coming = held[stride:] + coming, []
        mean, deviation = float(np.mean(held)), float(np.std(held))
    return score


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    made = parser(__doc__)
    made.add_argument("--data", type=Path, required=True, help="folder of series with a windows.json")
    options = made.parse_args()
    series = labelled(options.data)
    runs = [uspnb.backtest(one.values, times=one.times, progress=False) for one in series]
    ours = [np.where(np.isfinite(ds["anomaly_score"]), ds["anomaly_score"], -1.0) for ds in runs]
    rival = [windowed_gaussian(one.values, options.window, options.stride) for one in series]
    flags = [ds["anomaly"].values.astype(float) for ds in runs]
    rows: list[list[Any]] = []
    for name, scores in (("windowed Gaussian", rival), ("uspnb", ours)):
        for refractory in (0, options.refractory):
            rows.append([name, refractory, *best(series, scores, refractory)])
    declared = tally(series, flags, 1.0, 0)._replace(threshold=DEFAULTS["anomaly_level"])
    rows.append(["uspnb, `anomaly` as it comes", DEFAULTS["anomaly_refractory"], *declared])
    windows = sum(one.windows for one in series)
    note = (
        f"{len(series)} series with {windows} windows; thresholds picked with the labels at hand but for the last row."
    )
    show([Table("Anomalies", COLUMNS, rows, note)], options, began)


if __name__ == "__main__":
    main()
