"""What a fleet remembers, as pandas and xarray objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from ...model.fields import FIELDS, INPUT_UNITS
from ...model.kernels.registry import KERNEL_NAMES
from ...model.records import CHART_NAMES, OperatingMode
from .record import ALARM_NAMES

if TYPE_CHECKING:
    from .fleet import Fleet


def fleet_table(fleet: Fleet) -> pd.DataFrame:
    """One row per asset, indexed by its label; see `Fleet.table`."""
    record = fleet.record
    with record.lock:
        rows, scores, known = record.latest().copy(), record.scores, record.ticks > 0
        place = record.kept.place
        weights = rows[:, place["weight"]]
        leader = [KERNEL_NAMES[k] if known else "" for k in np.argmax(np.nan_to_num(weights), axis=1)]
        columns: dict[str, Any] = {
            "value": rows[:, place["observation"]],
            "forecast": rows[:, place["next_prediction"]],
            "lower": rows[:, place["next_lower"]],
            "upper": rows[:, place["next_upper"]],
            "leader": leader,
        }
        columns |= {f"weight_{name}": weights[:, k] for k, name in enumerate(KERNEL_NAMES)}
        modes = rows[:, place["operating_mode"]]
        columns |= {
            "mode": [OperatingMode.to_string(mode) if known else "" for mode in modes],
            "last_alarm_tick": scores.last_alarm.copy(),
            "last_alarm_chart": [ALARM_NAMES[k] if k >= 0 else "" for k in scores.last_chart],
            "alarms": scores.alarms.copy(),
            "rejected": scores.rejected.copy(),
            "faults": scores.faults.copy(),
            "rmse": scores.rmse,
            "rmse_last_value": scores.rmse_last_value,
            "skill": scores.skill,
            "coverage": scores.coverage,
        }
    return pd.DataFrame(columns, index=pd.Index(list(fleet.assets), name="asset"))


def alarm_table(fleet: Fleet) -> pd.DataFrame:
    """One row per alarm, oldest first; see `Fleet.alarms`."""
    with fleet.record.lock:
        found = list(fleet.record.alarms)
    stamps = np.array([alarm.stamp_ns for alarm in found], np.int64)
    ticks = np.array([alarm.tick for alarm in found], np.int64)
    return pd.DataFrame(
        {
            "tick": ticks,
            "time": stamps.astype("datetime64[ns]") if fleet.has_times else ticks,
            "asset": [fleet.assets[alarm.asset] for alarm in found],
            "chart": [alarm.chart for alarm in found],
            "onset_tick": np.array([alarm.onset for alarm in found], np.int64),
            "observation": np.array([alarm.observation for alarm in found], np.float64),
        }
    )


def asset_window(fleet: Fleet, place: int) -> xr.Dataset:
    """The kept ticks of one asset; see `Fleet.window`."""
    record = fleet.record
    first, rows, stamps = record.rows_of(place, 0, record.ticks)
    units = fleet.units or INPUT_UNITS
    made: dict[str, Any] = {}
    for name, columns in record.kept.place.items():
        about = FIELDS.get(name)
        if about is None or about.variable is None:
            continue
        values = rows[:, columns]
        values = values.astype(bool) if about.kind == "flag" else about.stored(values)
        attrs = {"units": units if about.units == "y" else about.units, "long_name": about.long_name}
        made[about.variable] = (("time", *about.dims), values, attrs)
    ticks = np.arange(first, first + len(rows))
    ago = rows[:, record.kept.place["onset_ago"]]
    onset = np.where(made["alarm"][1], np.maximum(ticks - ago, 0.0), np.nan)
    made["change_onset"] = ("time", onset, {"units": "tick", "long_name": "tick at which the signalled change began"})
    for name in ("next_prediction", "next_lower", "next_upper"):
        last = rows[-1, record.kept.place[name]] if len(rows) else np.nan
        made[name] = ((), np.float64(last), {"units": units, "long_name": "for the tick after the last"})
    coordinates = {
        "time": ("time", stamps.astype("datetime64[ns]") if fleet.has_times else ticks),
        "tick": ("time", ticks),
        "kernel": ("kernel", list(KERNEL_NAMES)),
        "chart": ("chart", list(CHART_NAMES)),
    }
    level = float(fleet.config.confidence_level)
    return xr.Dataset(made, coordinates, {"title": str(fleet.assets[place]), "confidence_level": level})
