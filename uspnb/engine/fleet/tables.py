"""What a fleet counts of every asset, and its rows as tables: pandas, xarray, and the numbers that its page draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ...array_types import Float, Int
from ...model.fields import INPUT_UNITS, SPARK, shown_fields, variables
from ...model.records import CHART_NAMES, OperatingMode
from ..timeline import ALARM_CHARTS, Tally

COUNTS = ("scored", "covered", "rejected", "faults", "alarms")
SPARK_COLUMNS = shown_fields(SPARK)
NEXT = ("next_prediction", "next_lower", "next_upper")

Columns = Mapping[str, slice]


def summary_columns(kernels: tuple[str, ...]) -> tuple[str, ...]:
    """Columns of the present state of an asset, by the names of the kernels."""
    return (
        "value", "forecast", "lower", "upper", *(f"weight_{name}" for name in kernels), "mode", "degraded",
        "emergency", "rejected", "alarms", "last_alarm_tick", "last_alarm_chart", "skill", "coverage", "faults",
    )  # fmt: skip


class FleetTally(Tally):
    """Counts and scores of every asset since its first tick, in memory that does not grow.

    The root of a sum of squares is carried by `hypot`, which neither overflows nor underflows.

    Args:
        assets: how many.
    """

    def __init__(self, assets: int) -> None:
        super().__init__()
        self.counts = {name: np.zeros(assets, np.int64) for name in COUNTS}
        self.last_alarm = np.full(assets, np.nan)
        self.last_chart = np.full(assets, -1, np.int64)
        self.error, self.naive = np.zeros(assets), np.zeros(assets)
        self.last = np.full(assets, np.nan)

    def add(self, first: int, rows: Float[np.ndarray, "time asset field"], columns: Columns) -> None:
        """See `Tally.add`."""
        for k, row in enumerate(rows):
            self._add(first + k, row, columns)

    def _add(self, tick: int, rows: Float[np.ndarray, "asset field"], columns: Columns) -> None:
        y, forecast, lower, upper, accepted, alarm, chart = (
            rows[:, columns[name].start]
            for name in ("observation", "prediction", "lower", "upper", "accepted", "alarm", "alarm_chart")
        )
        accepted, alarm, counts = accepted > 0, alarm > 0, self.counts
        with np.errstate(over="ignore", invalid="ignore"):
            inside = (lower <= y) & (y <= upper)
            error, naive = y - forecast, y - self.last
        counted = accepted & np.isfinite(error) & np.isfinite(naive)
        self.error[counted] = np.hypot(self.error[counted], error[counted])
        self.naive[counted] = np.hypot(self.naive[counted], naive[counted])
        counts["scored"] += counted
        counts["covered"] += counted & inside
        counts["rejected"] += ~accepted
        counts["alarms"] += alarm
        self.last_alarm[alarm] = tick
        self.last_chart[alarm] = chart[alarm].astype(np.int64)
        self.last = np.where(accepted, y, self.last)

    def by_asset(self) -> dict[str, np.ndarray]:
        """Everything, by name, one value for each asset, as a snapshot keeps it; `begun` takes it."""
        numbers = {name: getattr(self, name) for name in ("last_alarm", "last_chart", "error", "naive", "last")}
        return {name: values.copy() for name, values in (self.counts | numbers).items()}

    def begun(self, extra: Mapping[str, Any]) -> FleetTally:
        """A new one that goes on from `by_asset`; what is not there begins anew."""
        tally = FleetTally(len(self.last))
        for name, fresh in tally.by_asset().items():
            values = np.array(extra.get(name, fresh))
            if name in COUNTS:
                tally.counts[name] = values
            else:
                setattr(tally, name, values)
        return tally

    def extra(self) -> dict[str, int]:
        """Nothing: all is by asset."""
        return {}

    @property
    def rmse(self) -> Float[np.ndarray, "asset"]:
        """Root mean squared error of the forecasts [y]; NaN before the first."""
        return self.error / np.sqrt(self._scored)

    @property
    def rmse_last_value(self) -> Float[np.ndarray, "asset"]:
        """The same of the last value as a forecast, on the same ticks [y]."""
        return self.naive / np.sqrt(self._scored)

    @property
    def skill(self) -> Float[np.ndarray, "asset"]:
        """1 - rmse / rmse of the last value: above 0 is better than it; NaN where that made no error."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.naive > 0, 1.0 - self.error / self.naive, np.nan)

    @property
    def coverage(self) -> Float[np.ndarray, "asset"]:
        """Share of scored ticks inside their interval; NaN before the first."""
        return self.counts["covered"] / self._scored

    @property
    def _scored(self) -> Float[np.ndarray, "asset"]:
        return np.where(self.counts["scored"] > 0, self.counts["scored"], np.nan)


def fleet_table(
    rows: Float[np.ndarray, "asset field"] | None,
    columns: Columns,
    tally: FleetTally,
    assets: tuple[Any, ...],
    kernels: tuple[str, ...],
) -> pd.DataFrame:
    """One row per asset, indexed by its label; see `Fleet.table`.

    Args:
        rows: of the last tick, None before the first.
        columns: where each field stands in them.
        tally: counts up to there.
        assets: labels.
        kernels: names, as in the configuration.
    """
    has_ticks = rows is not None
    values = np.full((len(assets), max(place.stop for place in columns.values())), np.nan) if rows is None else rows
    weights = values[:, columns["weight"]]
    table: dict[str, Any] = {
        "value": values[:, columns["observation"].start],
        "forecast": values[:, columns["next_prediction"].start],
        "lower": values[:, columns["next_lower"].start],
        "upper": values[:, columns["next_upper"].start],
        "leader": [kernels[k] if has_ticks else "" for k in np.argmax(np.nan_to_num(weights), axis=1)],
    }
    table |= {f"weight_{name}": weights[:, k] for k, name in enumerate(kernels)}
    modes = values[:, columns["next_mode"].start]
    table |= {
        "mode": [OperatingMode.to_string(mode) if has_ticks else "" for mode in modes],
        "last_alarm_tick": tally.last_alarm,
        "last_alarm_chart": [ALARM_CHARTS[k] if k >= 0 else "" for k in tally.last_chart],
        "alarms": tally.counts["alarms"],
        "rejected": tally.counts["rejected"],
        "faults": tally.counts["faults"],
        "rmse": tally.rmse,
        "rmse_last_value": tally.rmse_last_value,
        "skill": tally.skill,
        "coverage": tally.coverage,
    }
    return pd.DataFrame(table, index=pd.Index(list(assets), name="asset"))


def summaries(
    rows: Float[np.ndarray, "asset field"] | None, columns: Columns, tally: FleetTally
) -> Float[np.ndarray, "asset column"]:
    """The present state of every asset, columns as of `summary_columns`; arguments as those of `fleet_table`."""
    names = ("observation", *NEXT, "weight", "next_mode", "degraded", "emergency", "rejected")
    counts = tally.counts
    scores = (
        counts["alarms"], tally.last_alarm, tally.last_chart, tally.skill, tally.coverage, counts["faults"]
    )  # fmt: skip
    if rows is None:
        rows = np.full((len(tally.last), max(place.stop for place in columns.values())), np.nan)
    return np.concatenate([*(rows[:, columns[name]] for name in names), np.stack(scores, axis=1)], axis=1)


def fleet_dataset(
    first: int,
    rows: Float[np.ndarray, "time asset field"],
    stamps_ns: Int[np.ndarray, "time"],
    columns: Columns,
    assets: tuple[Any, ...],
    units: str,
    has_times: bool,
    kernels: tuple[str, ...],
) -> xr.Dataset:
    """Ticks in the ring as a Dataset with dims time and asset, and the names that `backtest` gives them.

    Args:
        first: tick of the first row.
        rows: kept columns.
        stamps_ns: when they were measured.
        columns: where each field stands.
        assets: labels.
        units: of the values, "" if unknown.
        has_times: whether the time axis holds times.
        kernels: names, as in the configuration.
    """
    units = units or INPUT_UNITS
    contents: dict[str, Any] = {}
    for name, about in variables().items():
        if about.name not in columns:
            continue
        values = rows[..., columns[about.name]] if about.dims else rows[..., columns[about.name].start]
        values = values.astype(bool) if about.kind == "flag" else about.stored(values)
        attributes = {"units": units if about.units == "y" else about.units, "long_name": about.long_name}
        contents[name] = (("time", "asset", *about.dims), values, attributes)
    ticks = np.arange(first, first + len(rows))
    ago = rows[..., columns["onset_ago"].start]
    onset = np.where(contents["alarm"][1], np.maximum(ticks[:, None] - ago, 0.0), np.nan)
    about_onset = {"units": "tick", "long_name": "tick at which the signalled change began"}
    contents["change_onset"] = (("time", "asset"), onset, about_onset)
    for name in NEXT:
        last = rows[-1, :, columns[name].start] if len(rows) else np.full(len(assets), np.nan)
        contents[name] = (("asset",), last, {"units": units, "long_name": "for the tick after the last"})
    coordinates = {
        "time": ("time", stamps_ns.astype("datetime64[ns]") if has_times else ticks),
        "tick": ("time", ticks),
        "asset": ("asset", list(assets)),
        "kernel": ("kernel", list(kernels)),
        "chart": ("chart", list(CHART_NAMES)),
    }
    return xr.Dataset(contents, coordinates)
