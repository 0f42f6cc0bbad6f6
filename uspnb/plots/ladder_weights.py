"""Which kernel carries which horizon: at one tick as a heat map, or at one horizon over the run as areas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import DomainError
from ..model.kernels.registry import kernel_label
from ..runtime.words import moment
from .drawing import hv
from .fans import row_at
from .panels import weights_plot
from .style import FORECAST, THEMES, check_theme, figure_options, one_series, time_label

SHADES = 16


def horizon_weights_data(ds: xr.Dataset, at: Any = None, horizon: int | None = None, asset: Any = None) -> pd.DataFrame:
    """Weights of the kernels beyond the next tick.

    Args:
        ds: a result of `backtest` or `history`.
        at: the tick whose forecasts they weighed, by its time or, on an axis of ticks, its number; the last where it is
            left out.
        horizon: one of the run's horizons [ticks]; then the weights of every tick are given.
        asset: which, of several.

    Returns:
        At a tick one row per horizon and kernel: horizon, kernel, weight; `attrs["tick"]` is its time.  With a
        `horizon` one row per tick: time and a column per kernel; `attrs["horizon"]`.

    Raises:
        DomainError: the run has no weights per horizon, no such tick or no such horizon, or both were asked for.
    """
    ds = one_series(ds, asset)
    if "horizon_weight" not in ds:
        raise DomainError("this run has no horizons; make it with backtest(..., horizons=...) of this version")
    shares = ds["horizon_weight"].transpose("time", "horizon", "kernel")
    kernels, horizons = [str(name) for name in ds["kernel"].values], ds["horizon"].values.tolist()
    if horizon is None:
        row = ds.sizes["time"] - 1 if at is None else row_at(ds, at)
        pairs = [(h, kernel) for h in horizons for kernel in kernels]
        frame = pd.DataFrame(pairs, columns=["horizon", "kernel"])
        frame["weight"] = shares.values[row].ravel()
        frame.attrs = {"tick": moment(ds["time"].values[row])}
        return frame
    if at is not None:
        raise DomainError(f"at = {at!r} and horizon = {horizon!r}; give one of them")
    if horizon not in horizons:
        raise DomainError(f"horizon = {horizon!r} is none of the run's, {', '.join(map(str, horizons))}")
    frame = pd.DataFrame(shares.sel(horizon=horizon).values, columns=kernels)
    frame.insert(0, "time", ds["time"].values)
    frame.attrs = {"xlabel": time_label(ds), "horizon": horizon}
    return frame


def horizon_weights_plot(data: pd.DataFrame, theme: str = "light", height: int = 240) -> hv.Overlay:
    """The figure of `horizon_weights_data`: a heat map of a tick, kernels upwards, or areas of one horizon."""
    if "horizon" in data.attrs:
        title = f"Weights of the kernels, {data.attrs['horizon']} ticks ahead"
        return weights_plot(data, theme, height=height, title=title)
    cells = [(f"{h:g}", kernel_label(name)) for h, name in zip(data["horizon"], data["kernel"], strict=True)]
    across, up = zip(*cells, strict=True)
    texts = [f"{share:.0%}" if np.isfinite(share) else "-" for share in data["weight"]]
    dims = [hv.Dimension("ahead", label="ticks ahead"), "kernel"]
    heat: Any = hv.HeatMap((across, up, data["weight"]), dims, hv.Dimension("weight", label="weight"))
    words: Any = hv.Labels((across, up, texts), dims, "text")
    heat = heat.opts(cmap=_shades(theme), clim=(0, 1), colorbar=False, line_alpha=0, backend="bokeh")
    words = words.opts(text_color=THEMES[theme]["text"], text_font_size="12px", backend="bokeh")
    title = f"Weights of the kernels by horizon, at {data.attrs['tick']}"
    look = {"default_tools": ["save"], "active_tools": [], "show_grid": False, "padding": 0, "xlabel": "ticks ahead"}
    figure: Any = heat * words
    return figure.opts(**figure_options(theme, title, height) | look | {"ylabel": ""})


def _shades(theme: str) -> list[str]:
    """From the ground of a theme, for no weight, towards the colour of a forecast; texts read on both."""
    ends = [np.array([int(c[k : k + 2], 16) for k in (1, 3, 5)]) for c in (THEMES[theme]["background"], FORECAST)]
    mixed = [ends[0] + (ends[1] - ends[0]) * share for share in np.linspace(0.04, 0.8, SHADES)]
    return ["#" + "".join(f"{round(part):02x}" for part in colour) for colour in mixed]


def horizon_weights(
    ds: xr.Dataset, at: Any = None, *, horizon: int | None = None, asset: Any = None, theme: str = "light"
) -> hv.Overlay:
    """Which kernel carries which horizon, at a tick or, of one `horizon`, over the run.

    Arguments and failures are those of `horizon_weights_data`.
    """
    check_theme(theme)
    return horizon_weights_plot(horizon_weights_data(ds, at, horizon, asset), theme)
