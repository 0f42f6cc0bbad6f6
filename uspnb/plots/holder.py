"""The Holder exponent of the path with its threshold; emergencies are shaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .drawing import hv
from .hover import hover_line, hover_rows
from .style import ALARM, FORECAST, OBSERVED, figure_options, one_series, spans, time_label
from .thinning import thin_lines
from .wording import number


def holder_data(ds: xr.Dataset, asset: Any = None) -> pd.DataFrame:
    """One row per tick: time, exponent (NaN before the first valid one), emergency; the threshold in `attrs`."""
    ds = one_series(ds, asset)
    valid = np.maximum.accumulate(ds["holder_valid"].values.astype(bool)) if "holder_valid" in ds else True
    frame = pd.DataFrame(
        {
            "time": ds["time"].values,
            "exponent": np.where(valid, ds["holder_exponent"].values, np.nan),
            "emergency": ds["emergency"].values.astype(bool),
        }
    )
    frame.attrs = {"threshold": float(ds["holder_exponent"].attrs["threshold"]), "xlabel": time_label(ds)}
    return frame


def holder_plot(data: pd.DataFrame, theme: str = "light", last: bool = True, height: int = 170) -> hv.Overlay:
    """The figure of `holder_data`."""
    exponent = hv.Dimension("exponent", label="Holder exponent")
    lines = thin_lines(data, ["exponent"])
    ends = data["time"].iloc[[0, -1]]
    threshold = data.attrs["threshold"]
    parts: list[Any] = [
        hv.Curve((lines["time"], lines["exponent"]), "time", exponent, label="exponent").opts(
            color=FORECAST, line_width=1.4, backend="bokeh"
        ),
        hv.Curve((ends, [threshold] * 2), "time", exponent, label=f"rough below {threshold:g}").opts(
            color=OBSERVED, line_dash="dashed", line_width=1.4, backend="bokeh"
        ),
    ]
    shaded = spans(data["time"].to_numpy(), data["emergency"].to_numpy())
    if len(shaded):
        emergency = hv.VSpans((shaded["start"], shaded["end"]), kdims=["time", "emergency_end"], label="emergency")
        parts.insert(0, emergency.opts(color=ALARM, alpha=0.2, line_alpha=0, backend="bokeh"))
    rows = hover_rows(len(data), np.zeros(len(data), bool))
    exponents = data["exponent"].to_numpy()[rows]
    told = {
        "Holder exponent": [number(float(v)) for v in exponents],
        "rough below": [f"{threshold:g}"] * len(rows),
        "emergency": ["yes" if flag else "no" for flag in data["emergency"].to_numpy()[rows]],
    }
    parts.append(hover_line(data, rows, exponents, told, exponent))
    options = figure_options(theme, "Roughness of the path", height, last)
    options["xlabel"] = data.attrs["xlabel"] if last else ""
    seen = np.append(data["exponent"].to_numpy()[np.isfinite(data["exponent"])], threshold)
    margin = 0.05 + 0.05 * float(np.ptp(seen))
    figure: Any = hv.Overlay(parts)
    return figure.opts(
        ylabel="Holder exponent", ylim=(float(seen.min()) - margin, float(seen.max()) + margin), **options
    )
