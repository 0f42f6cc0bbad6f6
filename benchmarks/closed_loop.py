"""Whether the closed loop is worth having: `python benchmarks/closed_loop.py`.

Streams whose dynamics change, with the loop and without it, and stationary streams, on which nothing may be adopted.
Campaigns run in this process and take no ticks; the table says how many seconds they took.

Settings and their defaults:

    --seeds 5             seeds of each stream that changes
    --stationary 20       stationary streams, the kinds taken in turn
    --ticks 6000          ticks of a stream that changes at tick 2000
    --quiet-ticks 20_000  ticks of a stationary stream
    --trials 50           trials of a campaign
    --min-history 1000    ticks after the change that a campaign waits for
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tables import Table, parser, show

import uspnb
from uspnb.config.load import config_to_toml
from uspnb.data import processes
from uspnb.tuning.live import Autotuner
from uspnb.tuning.objective import WalkForwardObjective
from uspnb.tuning.space import fast_space, traced_space

SECOND = 10**9
CHANGE = 2000
FIRST_SEED = 9100
WINDOW = 300

# What a long, steady stream asks for: everything is forgotten slowly.
SLOW_MEMORY = {
    "hilbert_forgetting": 0.9999,
    "hilbert_fast_forgetting": 0.995,
    "hilbert_score_forgetting": 0.999,
    "log_sig_forgetting": 0.9999,
    "score_forgetting": 0.999,
}


def mackey_glass(n: int, seed: int, *, delay: int = 17, stride: int = 3, noise: float = 0.02) -> np.ndarray:
    """x' = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x, every third unit of time, in noise (Mackey and Glass 1977)."""
    rng = np.random.default_rng(seed)
    parts = 10
    lag, burn = delay * parts, 500 * parts
    x = np.full(n * stride * parts + lag + burn, 1.2 + 0.05 * rng.standard_normal())
    for t in range(lag, len(x) - 1):
        old = x[t - lag]
        x[t + 1] = x[t] + (0.2 * old / (1.0 + old**10) - 0.1 * x[t]) / parts
    return x[lag + burn :: stride * parts][:n] + noise * rng.standard_normal(n)


def swinging(n: int, seed: int, *, period: float = 150.0) -> np.ndarray:
    """x_t = 0.9 sin(2 pi t / period) x_{t-1} + e_t: an autoregression whose coefficient swings."""
    noise, x = np.random.default_rng(seed).standard_normal(n), np.zeros(n)
    for t in range(1, n):
        x[t] = 0.9 * math.sin(2.0 * math.pi * t / period) * x[t - 1] + noise[t]
    return x


def joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """One stretch after the other, each with mean 0 and variance 1."""
    return np.concatenate([(part - part.mean()) / part.std() for part in (first, second)])


def sine(n: int, seed: int) -> np.ndarray:
    return processes.sine_in_noise(n, seed).values


def autoregression(n: int, seed: int) -> np.ndarray:
    return processes.autoregression(n, seed).values


def other_autoregression(n: int, seed: int) -> np.ndarray:
    return processes.autoregression(n, seed, coefficients=(-0.5, 0.3)).values


def demand(n: int, seed: int) -> np.ndarray:
    return processes.seasonal_demand(n, seed, per_day=24).values


Make = Callable[[int, int], np.ndarray]
# Name: what comes first, what comes then, the settings at the start.
CHANGES: dict[str, tuple[Make, Make, dict[str, float]]] = {
    "sine, then Mackey-Glass": (sine, mackey_glass, {}),
    "sine, then swinging AR": (sine, swinging, {}),
    "sine, then swinging AR, from slow memory": (sine, swinging, SLOW_MEMORY),
    "sine, then daily demand": (sine, demand, {}),
    "AR, then another AR": (autoregression, other_autoregression, {}),
}
STATIONARY: dict[str, Make] = {
    "AR(2)": autoregression,
    "Ornstein-Uhlenbeck": lambda n, seed: processes.ornstein_uhlenbeck(n, seed).values,
    "GARCH(1, 1)": lambda n, seed: processes.garch(n, seed).values,
    "daily demand": lambda n, seed: processes.seasonal_demand(n, seed).values,
    "switching AR": lambda n, seed: processes.regime_switching_autoregression(n, seed).values,
}
CHANGE_COLUMNS = {
    "stream": "",
    "varied": "",
    "seed": "d",
    "trigger": ".0f",
    "adopted": ".0f",
    "undone": "d",
    "MAE with": ".4f",
    "without": ".4f",
    "gain %": ".1f",
    "last 1000 %": ".1f",
    "there after": ".0f",
    "without it": ".0f",
    "campaigns": "d",
    "s each": ".0f",
    "changes": "",
}
QUIET_COLUMNS = {
    "stream": "",
    "seed": "d",
    "triggers": "d",
    "tests": "d",
    "best p": ".2g",
    "adopted": "d",
    "gain %": ".2f",
    "s": ".0f",
}


def run(values: np.ndarray, settings: dict[str, Any], tier: str, options: Any) -> tuple[Autotuner, np.ndarray]:
    """The stream tick by tick with the loop, and the forecast for each tick."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(config_to_toml(uspnb.PredictorConfig(**settings)), encoding="utf-8")
        predictor = uspnb.ConfigReloadablePredictor(path, clock=uspnb.replay_clock)
        forecasts = np.full(len(values), np.nan)
        wait = {"min_history": options.min_history}
        with Autotuner(predictor, tier=tier, background=False, n_trials=options.trials, **wait) as tuner:
            for k, value in enumerate(values):
                forecasts[k] = tuner.step(uspnb.ProcessState(value, k * SECOND)).telemetry.prediction
    return tuner, forecasts


def alone(values: np.ndarray, settings: dict[str, Any]) -> np.ndarray:
    """The forecasts of a predictor whose settings never change."""
    ds = uspnb.backtest(values, uspnb.PredictorConfig(**settings), progress=False)
    return ds["prediction"].values


def recovered(skill: np.ndarray, level: float) -> float:
    """Ticks after the change until the skill first reaches a level; NaN where it never does."""
    reached = np.flatnonzero(skill >= level)
    return float(reached[0] + WINDOW) if len(reached) else math.nan


def skills(values: np.ndarray, forecasts: np.ndarray) -> np.ndarray:
    """1 - MAE / MAE of last value over every `WINDOW` ticks that lie after the change."""
    error, naive = np.abs(values - forecasts)[CHANGE:], np.abs(np.diff(values))[CHANGE - 1 :]
    sums = [np.convolve(np.nan_to_num(part), np.ones(WINDOW), mode="valid") for part in (error, naive)]
    return 1.0 - sums[0] / sums[1]


def change_row(name: str, tier: str, seed: int, options: Any) -> list[Any]:
    """One stream that changes."""
    first, second, settings = CHANGES[name]
    values = joined(first(CHANGE, FIRST_SEED + seed), second(options.ticks - CHANGE, FIRST_SEED + 500 + seed))
    tuner, forecasts = run(values, settings, tier, options)
    still = alone(values, settings)
    own, other = skills(values, forecasts), skills(values, still)
    level = other[-1000:].mean()
    mae = [np.nanmean(np.abs(values - f)[CHANGE:]) for f in (forecasts, still)]
    late = [np.nanmean(np.abs(values - f)[-1000:]) for f in (forecasts, still)]
    told = tuner.decisions
    ticks = {what: [one.tick - CHANGE for one in told.of(what)] for what in ("triggered", "adopted")}
    seconds = [one.details["seconds"] for one in told if "seconds" in one.details]
    seconds = seconds or [math.nan]
    changed = "; ".join(
        ", ".join(f"{field} {new:.4g}" for field, (_, new) in one.changes.items()) for one in told.of("adopted")
    )
    return [
        name,
        tier,
        seed,
        next((float(t) for t in ticks["triggered"] if t >= 0), math.nan),
        float(ticks["adopted"][0]) if ticks["adopted"] else math.nan,
        len(told.of("rolled_back")),
        *mae,
        100.0 * (1.0 - mae[0] / mae[1]),
        100.0 * (1.0 - late[0] / late[1]),
        recovered(own, level),
        recovered(other, level),
        tuner.status().attempts,
        float(np.mean(seconds)),
        changed,
    ]


def quiet_row(name: str, seed: int, options: Any) -> list[Any]:
    """One stream that does not."""
    began = time.perf_counter()
    values = STATIONARY[name](options.quiet_ticks, FIRST_SEED + 2000 + seed)
    tuner, forecasts = run(values, {}, options.tiers[0], options)
    errors = [np.nanmean(np.abs(values - f)) for f in (forecasts, alone(values, {}))]
    found = [one.details["p_value"] for one in tuner.decisions if "level" in one.details]
    status = tuner.status()
    return [
        name,
        seed,
        len(tuner.decisions.of("triggered")),
        status.tests,
        min(found, default=math.nan),
        status.adopted,
        100.0 * (1.0 - errors[0] / errors[1]),
        time.perf_counter() - began,
    ]


def sensitivity_table() -> Table:
    """What each parameter that compiles nothing does to the error, at either end of its range."""
    fast, space = fast_space(), traced_space()
    ends = [{name: one.nearest(end)} for name, one in space.items() for end in (one.low, one.high)]
    effects = []
    for k, (first, second, _) in enumerate(CHANGES.values()):
        values = joined(first(500, FIRST_SEED + k), second(1000, FIRST_SEED + 500 + k))
        # Everything after the change is scored, what the predictor needs to learn the new dynamics included.
        found = WalkForwardObjective(values, n_folds=1, train_ratio=1 / 3).evaluate([{}, *ends])
        effects.append([100.0 * (1.0 - one.value / found[0].value) for one in found[1:]])
    rows = []
    for k, name in enumerate(space):
        low, high = np.array(effects)[:, 2 * k], np.array(effects)[:, 2 * k + 1]
        known = np.concatenate([low, high])
        rows.append([name, "fast" if name in fast else "deep", known.min(), known.max(), np.abs(known).max()])
    rows.sort(key=lambda row: -row[-1])
    return Table(
        "What one parameter does to the error",
        {"parameter": "", "tier": "", "worst %": ".2f", "best %": ".2f", "largest %": ".2f"},
        rows,
        f"Gain over the defaults at either end of its range, over {len(CHANGES)} streams that change, 1,000 ticks.",
    )


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    line = parser(__doc__)
    line.add_argument("--tiers", nargs="+", default=["loop"], help="what is varied: loop, fast, traced, deep")
    line.add_argument("--only", default="", help="part of the name of the streams that change")
    line.add_argument("--sensitivity", action="store_true", help="first tell what each parameter does to the error")
    options = line.parse_args()
    tables = [sensitivity_table()] if options.sensitivity else []
    names = [name for name in CHANGES if options.only in name]
    rows = [change_row(n, t, s, options) for n in names for t in options.tiers for s in range(options.seeds)]
    if rows:
        tables.append(Table("Streams that change", CHANGE_COLUMNS, rows, NOTE))
    kinds = list(STATIONARY)
    quiet = [quiet_row(kinds[s % len(kinds)], s, options) for s in range(options.stationary)]
    if quiet:
        clean = sum(row[5] == 0 for row in quiet)
        tables.append(
            Table("Stationary streams", QUIET_COLUMNS, quiet, f"Nothing adopted in {clean} of {len(quiet)} streams.")
        )
    show(tables, options, began)


NOTE = (
    "Ticks after the change.  MAE over all ticks after it; gain is 1 - with / without, also of the last 1,000 ticks.  "
    f"There after: the skill of {WINDOW} ticks first reaches what it is without the loop over the last 1,000 ticks."
)

if __name__ == "__main__":
    main()
