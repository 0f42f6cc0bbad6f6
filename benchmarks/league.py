"""A league table: uspnb beside StatsForecast and river, one step and 24 ahead: `python benchmarks/league.py`.

    python benchmarks/league.py --install      make the rivals' environment in build/league (statsforecast, river)
    python benchmarks/league.py --quick        tiny series, without a wait

Root mean squared errors and interval scores (95 %) of the same origins, over those of the last value, whose interval is
the 2.5 and 97.5 % quantiles of the last 500 changes over as many steps; the seconds are those of 1,000 origins.  The
rivals live in an environment of their own, as their pins are not ours, and run in a process there.  StatsForecast's
models are fitted on the last 500 values at every 50th origin and carried on to the origins between with the parameters
of then (`forward`).  They are told the seasons, but AutoARIMA and AutoETS none above 24 ticks, where a fit takes
minutes.  River's model learns from every value.  uspnb stands there twice: as it comes, and told the same seasons.

Settings and their defaults:

    --ticks 1200   of every series
    --first 500    ticks before the first origin
    --every 5      ticks from one origin to the next
    --refit 50     origins from one fit of a rival to the next
    --seed 8200    of the synthetic series
"""

from __future__ import annotations

import argparse
import csv
import inspect
import json
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tables import Table, geometric_mean, parser, sample_series, show

import uspnb
from uspnb.data import processes

PINS = ("statsforecast==2.0.2", "river==0.26.1")
HORIZONS, LADDER = (1, 24), (1, 2, 4, 8, 16, 24)
LEVEL, MEMORY = 0.95, 500
HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE.parent / "build" / "league"
BASELINE = "last value"
COLUMNS = {
    "series": "", "method": "", "error, 1": ".3f", "score, 1": ".3f", "error, 24": ".3f", "score, 24": ".3f",
    "s per 1,000": ",.2f",
}  # fmt: skip


class Known(NamedTuple):
    """A series and the periods after which it resembles itself, none where it does not."""

    name: str
    values: np.ndarray
    seasons: tuple[int, ...]


class Forecasts(NamedTuple):
    """What a method said of one series.

    Attributes:
        rows: mean, lower and upper end of each horizon, shape (origin, 3, horizon); NaN where it does not say.
        seconds: of one origin.
    """

    rows: np.ndarray
    seconds: float


def known_series(ticks: int, seed: int, folder: Path | None) -> list[Known]:
    """The bundled series, synthetic ones, and those of a folder with a manifest."""
    seasons = {"sea temperature, 30 min": (48,)}
    found = [Known(name, values, seasons.get(name, ())) for name, values in sample_series(ticks).items()]
    for day in (12, 24):
        demand = processes.seasonal_demand(ticks, seed, per_day=day)
        found.append(Known(f"demand, {day} ticks a day", demand.values, (day, 7 * day)))
    kinds = (
        processes.autoregression, processes.ornstein_uhlenbeck, processes.regime_switching_autoregression,
        processes.garch, processes.random_walk,
    )  # fmt: skip
    found += [Known(kind.__name__.replace("_", " "), kind(ticks, seed).values, ()) for kind in kinds]
    for entry in json.loads((folder / "manifest.json").read_text())["series"] if folder else ():
        if "forecast" in entry["task"]:
            with (folder / entry["file"]).open(newline="") as lines:
                values = [float(row["value"]) if row["value"] else np.nan for row in csv.DictReader(lines)]
            found.append(Known(entry["name"], np.array(values[-ticks:]), tuple(entry.get("seasons") or ())))
    return found


def origins_of(known: Known, options: argparse.Namespace) -> np.ndarray:
    """Places of the last known value: a value stands there and at every horizon after it."""
    places = np.arange(options.first, len(known.values) - HORIZONS[-1], options.every)
    there = np.isfinite(known.values)
    return places[there[places] & np.all([there[places + h] for h in HORIZONS], axis=0)]


def last_value(known: Known, origins: np.ndarray) -> Forecasts:
    """The last value, and where the last changes over as many steps ended."""
    filled, began = carried_on(known.values), time.perf_counter()
    rows = np.empty((len(origins), 3, len(HORIZONS)))
    for k, origin in enumerate(origins):
        window = filled[max(0, origin + 1 - MEMORY) : origin + 1]
        for j, h in enumerate(HORIZONS):
            low, high = np.quantile(window[h:] - window[:-h], [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
            rows[k, :, j] = filled[origin] + np.array([0.0, low, high])
    return Forecasts(rows, (time.perf_counter() - began) / len(origins))


def carried_on(values: np.ndarray) -> np.ndarray:
    """The values with the last one in place of what is missing."""
    present = np.isfinite(values)
    return values[np.maximum.accumulate(np.where(present, np.arange(len(values)), np.argmax(present)))]


def ours(known: Known, origins: np.ndarray, seasons: Sequence[int]) -> Forecasts:
    """A backtest; the horizons beyond the next tick where this version has them."""
    config = uspnb.PredictorConfig().with_seasons(*seasons)
    further: dict[str, Any] = {"horizons": LADDER} if "horizons" in inspect.signature(uspnb.backtest).parameters else {}
    uspnb.backtest(known.values[: len(known.values) // 2], config, progress=False, **further)  # compiles
    began = time.perf_counter()
    ds: Any = uspnb.backtest(known.values, config, progress=False, **further)
    seconds = (time.perf_counter() - began) / len(known.values)
    rows = np.full((len(origins), 3, len(HORIZONS)), np.nan)
    for part, name in enumerate(("prediction", "lower", "upper")):
        rows[:, part, 0] = ds[name].values[origins + 1]
        if further:
            rows[:, part, 1:] = ds[f"horizon_{name}"].sel(horizon=list(HORIZONS[1:])).values[origins]
    return Forecasts(rows, seconds)


def rivals(
    series: Sequence[Known], origins: Sequence[np.ndarray], options: argparse.Namespace
) -> tuple[dict[str, dict[int, Forecasts]], str]:
    """The forecasts of each rival by the place of the series, and what could not be had."""
    python = options.environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not python.exists():
        return {}, f"No rivals: there is no environment in {options.environment.name}; make one with --install."
    given: dict[str, Any] = {"refit": options.refit, "horizons": np.array(HORIZONS)}
    for k, (known, places) in enumerate(zip(series, origins, strict=True)):
        given |= {f"values_{k}": carried_on(known.values), f"origins_{k}": places}
        given[f"seasons_{k}"] = np.array(known.seasons, int)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "given.npz", Path(folder) / "made.json"
        np.savez(source, **given)
        subprocess.run([str(python), str(HERE / "league_rivals.py"), str(source), str(target)], check=True)
        answer: Mapping[str, Mapping[str, Any]] = json.loads(target.read_text())
    made: dict[str, dict[int, Forecasts]] = {}
    problems = []
    for name, by_series in answer.items():
        for k, found in by_series.items():
            if "problem" in found:
                problems.append(f"{name} on {series[int(k)].name}: {found['problem']}")
                continue
            rows = np.array(found["rows"])
            made.setdefault(name, {})[int(k)] = Forecasts(rows, found["seconds"] / len(rows))
    return made, "".join(f"Failed: {problem}.  " for problem in problems)


def scores(known: Known, origins: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """RMSE and mean interval score by horizon, shape (2, horizon); NaN where there are no intervals."""
    truth = np.stack([known.values[origins + h] for h in HORIZONS], axis=1)
    mean, low, high = rows[:, 0], rows[:, 1], rows[:, 2]
    outside = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    return np.array(
        [np.sqrt(np.mean((mean - truth) ** 2, axis=0)), np.mean(high - low + 2 / (1 - LEVEL) * outside, axis=0)]
    )


def tables_of(
    series: Sequence[Known],
    origins: Sequence[np.ndarray],
    made: Mapping[str, Mapping[int, Forecasts]],
    note: str,
) -> list[Table]:
    """The means over the series, and every series."""
    by_series, ratios = [], {name: [] for name in made}
    for k, (known, places) in enumerate(zip(series, origins, strict=True)):
        base = scores(known, places, made[BASELINE][k].rows)
        for name, found in made.items():
            if k not in found:
                continue
            ratio = (scores(known, places, found[k].rows) / base).T.ravel()
            ratios[name].append((k, *ratio, 1000 * found[k].seconds))
            by_series.append([known.name, name, *map(float, ratio), 1000 * found[k].seconds])
    groups: dict[str, Sequence[int]] = {"all": range(len(series))}
    for title, seasonal in (("with a season", True), ("without one", False)):
        groups[title] = [k for k, known in enumerate(series) if bool(known.seasons) == seasonal]
    means = []
    for title, places in groups.items():
        for name, rows in ratios.items():
            chosen = np.array([row[1:] for row in rows if row[0] in places])
            if len(chosen) == len(places) > 0:
                means.append([f"{title} ({len(chosen)})", name, *(geometric_mean(column) for column in chosen.T)])
    return [
        Table("League table: geometric means over the series", COLUMNS, means, note),
        Table("League table: every series", COLUMNS, by_series),
    ]


def install(folder: Path) -> None:
    """The rivals' environment."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([str(python), "-m", "pip", "install", *PINS], check=True)


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    made = parser(__doc__)
    made.add_argument("--data", type=Path, help="folder of series with a manifest.json, beside the others")
    made.add_argument("--environment", type=Path, default=ENVIRONMENT, help="of the rivals; by default build/league")
    made.add_argument("--install", action="store_true", help="make the rivals' environment and end")
    made.add_argument("--quick", action="store_true", help="two short series, for a look at whether it runs")
    options = made.parse_args()
    if options.install:
        install(options.environment)
        return
    if options.quick:
        options.ticks, options.first = 360, 240
    series = known_series(options.ticks, options.seed, options.data)
    series = (
        [known for known in series if known.name in ("demand, 12 ticks a day", "autoregression")]
        if options.quick
        else series
    )
    series = [known for known in series if len(known.values) > options.first + 2 * HORIZONS[-1]]
    origins = [origins_of(known, options) for known in series]
    found: dict[str, dict[int, Forecasts]] = {BASELINE: {}, "uspnb": {}, "uspnb, seasons told": {}}
    for k, (known, places) in enumerate(zip(series, origins, strict=True)):
        found[BASELINE][k] = last_value(known, places)
        found["uspnb"][k] = ours(known, places, ())
        found["uspnb, seasons told"][k] = ours(known, places, known.seasons) if known.seasons else found["uspnb"][k]
    others, note = rivals(series, origins, options)
    options.data = options.data and options.data.name
    options.environment = options.environment.name
    show(tables_of(series, origins, found | others, note), options, began)


if __name__ == "__main__":
    main()
