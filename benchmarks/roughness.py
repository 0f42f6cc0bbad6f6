"""The Holder exponent and the roughness breaker: `python benchmarks/roughness.py`.

The exponent is measured on windows of fractional Brownian motion whose H is known.  The breaker is counted on streams
that are not rough in its sense, and timed on a path whose H falls from 0.5 to 0.2.

Settings and their defaults:

    --windows 500  windows per exponent and length
    --ticks 3000   ticks of a stream
    --runs 16      runs of each stream
"""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np
from tables import Table, parser, show

import uspnb
from uspnb.data import processes
from uspnb.model.identification.wtmm import holder_exponent

FIRST_SEED = 7700
EXPONENTS, WINDOWS = (0.3, 0.5, 0.7), (128, 256)
EXPONENT_COLUMNS = {"window": "d", "H": ".1f", "bias": "+.3f", "sd": ".3f", "valid %": ".1f"}
BREAKER_COLUMNS = {"stream": "", "ticks in emergency %": ".2f", "found %": ".0f", "median delay": ".0f"}


def exponent_row(window: int, hurst: float, count: int) -> list:
    """Bias and spread of the estimate over independent windows."""
    config = uspnb.PredictorConfig(wtmm_buffer_size=window)
    paths = np.stack(
        [processes.fractional_brownian_motion(window, FIRST_SEED + s, hurst=hurst).values for s in range(count)]
    )
    measure = jax.jit(jax.vmap(lambda path: holder_exponent(path, jnp.asarray(window), config)))
    estimate = measure(jnp.asarray(paths))
    exponent, valid = np.asarray(estimate.exponent), np.asarray(estimate.valid)
    known = exponent[valid]
    return [window, hurst, float(known.mean() - hurst), float(known.std()), 100.0 * float(valid.mean())]


def streams(ticks: int, runs: int) -> dict[str, tuple[np.ndarray, str]]:
    """Batches of shape (time, run) without a change of roughness, and how their values are to be read."""

    def batch(make) -> np.ndarray:
        return np.stack([make(FIRST_SEED + 500 + s) for s in range(runs)], axis=1)

    return {
        "Brownian motion": (batch(lambda s: processes.random_walk(ticks, s).values), "levels"),
        "white noise, as increments": (batch(lambda s: processes.mean_shift(ticks, s, size=0.0).values), "increments"),
        "GARCH returns, as increments": (batch(lambda s: processes.garch(ticks, s).values), "increments"),
    }


def breaker_rows(ticks: int, runs: int) -> list[list]:
    """Share of ticks in emergency on quiet streams; delay on a real switch."""
    rows = []
    for name, (x, kind) in streams(ticks, runs).items():
        ds = uspnb.backtest(x, uspnb.PredictorConfig(input_kind=kind), progress=False)
        rows.append([name, 100.0 * float(ds["emergency"].values.mean()), None, None])
    at = ticks // 2
    x = np.stack([processes.holder_switch(ticks, FIRST_SEED + 900 + s).values for s in range(runs)], axis=1)
    emergency = uspnb.backtest(x, progress=False)["emergency"].transpose("time", "asset").values
    delays = [np.flatnonzero(emergency[at:, a]) for a in range(runs)]
    first = [int(hits[0]) for hits in delays if len(hits)]
    before = 100.0 * float(emergency[:at].mean())
    delay = float(np.median(first)) if first else None
    return [*rows, ["H falls from .5 to .2 (share: before)", before, 100.0 * len(first) / runs, delay]]


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    options = parser(__doc__).parse_args()
    exponents = [exponent_row(n, h, options.windows) for n in WINDOWS for h in EXPONENTS]
    tables = [
        Table("Holder exponent of fractional Brownian motion", EXPONENT_COLUMNS, exponents),
        Table("Roughness breaker", BREAKER_COLUMNS, breaker_rows(options.ticks, options.runs), NOTE),
    ]
    show(tables, options, began)


NOTE = "The delay is counted in ticks from the true switch to the opening of the breaker."

if __name__ == "__main__":
    main()
