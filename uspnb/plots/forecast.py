"""Observation, forecast and its interval, with alarms and where the changes that they signal began."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .drawing import hv
from .hover import hover_line, hover_rows, with_ends, with_unit
from .style import ALARM, FORECAST, OBSERVED, ONSET, figure_options, label, one_series, time_label, unit_of
from .thinning import thin_band, thin_lines
from .wording import moment


def forecast_data(ds: xr.Dataset, asset: Any = None) -> pd.DataFrame:
    """One row per tick: time, observation, prediction, lower, upper, alarm, onset_time; labels in `attrs`."""
    ds = one_series(ds, asset)
    names = ("observation", "prediction", "lower", "upper", "alarm", "onset_time")
    frame = pd.DataFrame({"time": ds["time"].values} | {name: ds[name].values for name in names})
    frame["alarm"] = frame["alarm"].astype(bool)
    frame.attrs = {
        "ylabel": label(ds["observation"], "value"),
        "xlabel": time_label(ds),
        "unit": unit_of(ds["observation"]),
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
            color=OBSERVED, line_width=1.5, backend="bokeh"
        ),
        hv.Curve((lines["time"], lines["prediction"]), "time", value, label="forecast").opts(
            color=FORECAST, line_width=1.2, backend="bokeh"
        ),
        hv.Points((at_onset.index.to_numpy(), at_onset.to_numpy()), ["time", value], label="change began").opts(
            marker="diamond", size=9, fill_alpha=0, line_width=1.6, color=ONSET, backend="bokeh"
        ),
        hv.Points((alarms["time"], alarms["observation"]), ["time", value], label="alarm").opts(
            marker="inverted_triangle", size=9, color=ALARM, backend="bokeh"
        ),
        _tooltips(data, value, interval),
    ]
    parts = [part for part in parts if len(part)]  # the legend names no mark that is not there
    options = figure_options(theme, "Forecast", height, last)
    options["xlabel"] = data.attrs["xlabel"] if last else ""
    figure: Any = hv.Overlay(parts)
    return figure.opts(ylabel=data.attrs["ylabel"], ylim=value_range(data), **options)


def _tooltips(data: pd.DataFrame, value: hv.Dimension, interval: str) -> hv.Curve:
    rows = hover_rows(len(data), data["alarm"].to_numpy())
    at, unit = data.iloc[rows], data.attrs["unit"]
    began = zip(at["alarm"], at["onset_time"], strict=True)
    told = {
        "observation": with_unit(at["observation"], unit),
        "forecast": with_unit(at["prediction"], unit),
        interval: with_ends(at["lower"], at["upper"], unit),
        "alarm": [(f"yes, change began {moment(t)}" if pd.notna(t) else "yes") if flag else "no" for flag, t in began],
    }
    height = np.where(np.isfinite(at["observation"]), at["observation"], at["prediction"])
    return hover_line(data, rows, height, told, value)


def value_range(
    data: pd.DataFrame, lower: tuple[str, ...] = ("lower",), upper: tuple[str, ...] = ("upper",)
) -> tuple[float | None, float | None]:
    """What the value axis shows at first: every observation, and the interval but for the widest 4 % of its ends.

    The first intervals of a run are wide because little is known; they would press everything else flat.
    """
    shares = [("observation", 0.0), ("observation", 1.0), *((n, 0.04) for n in lower), *((n, 0.96) for n in upper)]
    known = ((data[name].to_numpy(), share) for name, share in shares)
    ends = [float(np.quantile(v[np.isfinite(v)], share)) for v, share in known if np.isfinite(v).any()]
    if not ends or not np.isfinite(max(ends) - min(ends)):
        return None, None
    margin = 0.05 * (max(ends) - min(ends)) or 1.0
    return min(ends) - margin, max(ends) + margin
