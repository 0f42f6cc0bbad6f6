"""The weights of the four kernels as a stacked area."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..model.kernels.registry import kernel_colour
from .drawing import hv
from .hover import hover_line, hover_rows
from .style import figure_options, one_series, time_label
from .thinning import thin_means


def weights_data(ds: xr.Dataset, asset: Any = None) -> pd.DataFrame:
    """One row per tick: time and one column of weights per kernel."""
    ds = one_series(ds, asset)
    shares = ds["weight"].transpose("time", "kernel")
    frame = pd.DataFrame(shares.values, columns=[str(k) for k in shares["kernel"].values])
    frame.insert(0, "time", ds["time"].values)
    frame.attrs = {"xlabel": time_label(ds)}
    return frame


def weights_plot(
    data: pd.DataFrame,
    theme: str = "light",
    last: bool = True,
    height: int = 190,
    title: str = "Weights of the kernels",
) -> hv.Overlay:
    """The figure of `weights_data`; long series are thinned to the mean of each bin."""
    kernels = [name for name in data.columns if name != "time"]
    thinned = thin_means(data, kernels)
    tops = np.cumsum(thinned[kernels].to_numpy(), axis=1)
    bottoms = tops - thinned[kernels].to_numpy()
    share = hv.Dimension("weight", label="weight")
    parts: list[Any] = [
        hv.Area(
            (thinned["time"], bottoms[:, i], tops[:, i]), "time", [share, "top"], label=name.replace("_", " ")
        ).opts(color=kernel_colour(name), alpha=0.85, line_alpha=0, backend="bokeh")
        for i, name in enumerate(kernels)
    ]
    rows = hover_rows(len(data), np.zeros(len(data), bool))
    shares = data[kernels].to_numpy(dtype=np.float64)[rows]
    told = {name.replace("_", " "): [f"{v:.1%}" for v in shares[:, i]] for i, name in enumerate(kernels)}
    parts.append(hover_line(data, rows, np.full(len(rows), 0.5), told, share))
    options = figure_options(theme, title, height, last)
    options["xlabel"] = data.attrs.get("xlabel", "time") if last else ""
    figure: Any = hv.Overlay(parts)
    return figure.opts(ylabel="weight", ylim=(0, 1), **options)
