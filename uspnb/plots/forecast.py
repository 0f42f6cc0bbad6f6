"""Observation, forecast and its interval, with alarms and where the changes that they signal began."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import xarray as xr

from .style import ALARM, FORECAST, OBSERVED, ONSET, figure_options, label, one_series, time_label
from .thinning import thin_band, thin_lines


def forecast_data(ds: xr.Dataset, asset: Any = None) -> pd.DataFrame:
    """One row per tick: time, observation, prediction, lower, upper, alarm, onset_time; labels in `attrs`."""
    ds = one_series(ds, asset)
    names = ("observation", "prediction", "lower", "upper", "alarm", "onset_time")
    frame = pd.DataFrame({"time": ds["time"].values} | {name: ds[name].values for name in names})
    frame["alarm"] = frame["alarm"].astype(bool)
    frame.attrs = {
        "ylabel": label(ds["observation"], "value"),
        "xlabel": time_label(ds),
        "level": float(ds.attrs.get("confidence_level", np.nan)),
    }
    return frame


def forecast_plot(data: pd.DataFrame, theme: str = "light", last: bool = True, height: int = 300) -> hv.Overlay:
    """The figure of `forecast_data`; long series are thinned to the extremes of each bin."""
    value = hv.Dimension("value", label=data.attrs["ylabel"])
    band = thin_band(data, "lower", "upper").dropna()
    lines = thin_lines(data, ["observation", "prediction"])
    interval = f"{data.attrs['level']:.0%} interval" if np.isfinite(data.attrs["level"]) else "interval"
    alarms = data[data["alarm"] & np.isfinite(data["observation"])]
    began = data.loc[data["alarm"], "onset_time"].dropna().drop_duplicates()
    at_onset = data.drop_duplicates("time").set_index("time")["observation"].ffill().reindex(began).dropna()
    parts = [
        hv.Area((band["time"], band["lower"], band["upper"]), "time", [value, "upper"], label=interval).opts(
            color=FORECAST, alpha=0.25, line_alpha=0, backend="bokeh"
        ),
        hv.Curve((lines["time"], lines["observation"]), "time", value, label="observation").opts(
            color=OBSERVED, line_width=1.5, tools=["hover"], backend="bokeh"
        ),
        hv.Curve((lines["time"], lines["prediction"]), "time", value, label="forecast").opts(
            color=FORECAST, line_width=1.2, backend="bokeh"
        ),
        hv.Points((at_onset.index.to_numpy(), at_onset.to_numpy()), ["time", value], label="change began").opts(
            marker="diamond", size=9, fill_alpha=0, line_width=1.6, color=ONSET, backend="bokeh"
        ),
        hv.Points((alarms["time"], alarms["observation"]), ["time", value], label="alarm").opts(
            marker="inverted_triangle", size=9, color=ALARM, tools=["hover"], backend="bokeh"
        ),
    ]
    options = figure_options(theme, "Forecast", height, last)
    options["xlabel"] = data.attrs["xlabel"] if last else ""
    figure: Any = hv.Overlay(parts)
    return figure.opts(ylabel=data.attrs["ylabel"], ylim=_value_range(data), **options)


def _value_range(data: pd.DataFrame) -> tuple[float | None, float | None]:
    """What the value axis shows at first: every observation, and the interval but for the widest 4 % of its ends.

    The first intervals of a run are wide because little is known; they would press everything else flat.
    """
    shares = (("observation", 0.0), ("observation", 1.0), ("lower", 0.04), ("upper", 0.96))
    known = ((data[name].to_numpy(), share) for name, share in shares)
    ends = [float(np.quantile(v[np.isfinite(v)], share)) for v, share in known if np.isfinite(v).any()]
    if not ends or not np.isfinite(max(ends) - min(ends)):
        return None, None
    margin = 0.05 * (max(ends) - min(ends)) or 1.0
    return min(ends) - margin, max(ends) + margin
