"""The alarm charts, each divided by its threshold: an alarm is where one reaches 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .drawing import hv
from .hover import hover_line, hover_rows
from .style import ALARM, CHART_COLOURS, OBSERVED, figure_options, one_series, time_label
from .thinning import thin_lines
from .wording import number


def charts_data(ds: xr.Dataset, asset: Any = None) -> pd.DataFrame:
    """One row per tick: time, one column per chart (its sum over its threshold), alarm."""
    ds = one_series(ds, asset)
    names = [str(c) for c in ds["chart"].values]
    threshold = ds["chart_threshold"].transpose("time", "chart").values
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(threshold > 0, ds["chart_statistic"].transpose("time", "chart").values / threshold, np.nan)
    frame = pd.DataFrame(share, columns=names)
    frame.insert(0, "time", ds["time"].values)
    frame["alarm"] = ds["alarm"].values.astype(bool)
    frame.attrs = {"xlabel": time_label(ds)}
    return frame


def charts_plot(data: pd.DataFrame, theme: str = "light", last: bool = True, height: int = 190) -> hv.Overlay:
    """The figure of `charts_data`."""
    share = hv.Dimension("share", label="sum / threshold")
    names = [name for name in data.columns if name not in ("time", "alarm")]
    lines = thin_lines(data, names)
    alarms = data.loc[data["alarm"], "time"].to_numpy()
    parts: list[Any] = [
        hv.Curve((lines["time"], lines[name]), "time", share, label=name).opts(
            color=CHART_COLOURS.get(name, OBSERVED), line_width=1.2, backend="bokeh"
        )
        for name in names
    ]
    parts.append(
        hv.Curve((data["time"].iloc[[0, -1]], [1.0, 1.0]), "time", share, label="threshold").opts(
            color=OBSERVED, line_dash="dashed", line_width=1.4, backend="bokeh"
        )
    )
    if len(alarms):  # the legend names no mark that is not there
        parts.append(
            hv.Points((alarms, np.ones(len(alarms))), ["time", share], label="alarm").opts(
                marker="inverted_triangle", size=9, color=ALARM, backend="bokeh"
            )
        )
    rows = hover_rows(len(data), data["alarm"].to_numpy())
    shares = data[names].to_numpy(dtype=np.float64)[rows]
    told = {name: [f"{number(float(v))} of its threshold" for v in shares[:, i]] for i, name in enumerate(names)}
    told["alarm"] = ["yes" if flag else "no" for flag in data["alarm"].to_numpy()[rows]]
    parts.append(hover_line(data, rows, np.fmax.reduce(shares, axis=1), told, share))
    options = figure_options(theme, "Alarm charts", height, last)
    options["xlabel"] = data.attrs["xlabel"] if last else ""
    figure: Any = hv.Overlay(parts)
    return figure.opts(ylabel="sum / threshold", **options)
