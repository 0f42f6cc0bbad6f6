"""Alarms on streams whose change is known, and false alarms where nothing changes: `python benchmarks/alarms.py`.

A stream changes in the middle of its run; it counts as detected where an alarm comes within 500 ticks, and the delay is
that of the first such alarm.  False alarms are counted from tick 500 to the change, or to the end of a quiet stream.

Settings and their defaults:

    --runs 24            runs of each scenario
    --ticks 2500         ticks of a run; a change comes in the middle
    --target-arl 5000.0  ticks between false alarms asked for
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np
import xarray as xr
from tables import Table, parser, show

import uspnb
from uspnb.data import processes
from uspnb.data.processes import Path

SETTLED, WINDOW = 500, 500
FIRST_SEED = 7500

CHANGES: dict[str, Callable[[int, int], Path]] = {
    "mean + 1 sigma": lambda n, seed: processes.mean_shift(n, seed, size=1.0),
    "variance x 2": lambda n, seed: processes.variance_shift(n, seed, ratio=math.sqrt(2.0)),
    "AR .2 to .8": lambda n, seed: processes.dependence_shift(n, seed, before=0.2, after=0.8),
}
QUIET: dict[str, Callable[[int, int], Path]] = {
    "Gauss": lambda n, seed: processes.mean_shift(n, seed, size=0.0),
    "Student t, 3 degrees": lambda n, seed: processes.student_noise(n, seed, degrees=3.0),
    "AR .8": lambda n, seed: processes.autoregression(n, seed, coefficients=(0.8,)),
    "GARCH(1, 1)": lambda n, seed: processes.garch(n, seed),
}
CHANGE_COLUMNS = {
    "change": "",
    "detected %": ".0f",
    "median delay": ".0f",
    "90 % delay": ".0f",
    "onset error": ".0f",
    "named by its own chart %": ".0f",
    "false per 10,000": ".1f",
}
QUIET_COLUMNS = {"quiet stream": "", "false per 10,000": ".1f", "mean": ".1f", "scale": ".1f", "dependence": ".1f"}


def replay(
    make: Callable[[int, int], Path], options, scenario: int
) -> tuple[xr.Dataset, int]:  # fmt: skip
    """All runs of a scenario as one batch, and the tick of the change."""
    paths = [make(options.ticks, FIRST_SEED + 1000 * scenario + s) for s in range(options.runs)]
    config = dataclasses.replace(uspnb.PredictorConfig(), cusum_target_arl=options.target_arl)
    ds = uspnb.backtest(np.stack([p.values for p in paths], axis=1), config, progress=False)
    return ds, (paths[0].changes or (options.ticks,))[0]


def change_row(name: str, chart: int, ds: xr.Dataset, at: int) -> list:
    """A row of the first table; the scenarios stand in the order of the charts."""
    alarm, onset, which = (ds[v].transpose("time", "asset").values for v in ("alarm", "change_onset", "alarm_chart"))
    delays, errors, named = [], [], []
    for a in range(alarm.shape[1]):
        hits = np.flatnonzero(alarm[at : at + WINDOW, a])
        if len(hits):
            delays.append(int(hits[0]))
            errors.append(abs(float(onset[at + hits[0], a]) - at))
            named.append(which[at + hits[0], a] == chart)
    before = alarm[SETTLED:at]
    found = 100.0 * len(delays) / alarm.shape[1]
    nothing = math.nan
    return [
        name,
        found,
        float(np.median(delays)) if delays else nothing,
        float(np.quantile(delays, 0.9)) if delays else nothing,
        float(np.median(errors)) if errors else nothing,
        100.0 * float(np.mean(named)) if named else nothing,
        1e4 * float(before.mean()),
    ]


def quiet_row(name: str, ds: xr.Dataset) -> list:
    """A row of the second table."""
    alarm = ds["alarm"].transpose("time", "asset").values[SETTLED:]
    which = ds["alarm_chart"].transpose("time", "asset").values[SETTLED:]
    return [name, 1e4 * float(alarm.mean()), *(1e4 * float((alarm & (which == chart)).mean()) for chart in range(3))]


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    options = parser(__doc__).parse_args()
    changes, quiet = [], []
    for chart, (name, make) in enumerate(CHANGES.items()):
        ds, at = replay(make, options, chart)
        changes.append(change_row(name, chart, ds, at))
    for k, (name, make) in enumerate(QUIET.items()):
        ds, _ = replay(make, options, 10 + k)
        quiet.append(quiet_row(name, ds))
    asked = f"False alarms asked for: {1e4 / options.target_arl:.1f} in 10,000 ticks."
    show(
        [Table("Changes", CHANGE_COLUMNS, changes, NOTE), Table("Quiet streams", QUIET_COLUMNS, quiet, asked)],
        options,
        began,
    )


NOTE = "Delays and onset errors in ticks; the onset error is the median distance of the estimated onset from the truth."

if __name__ == "__main__":
    main()
