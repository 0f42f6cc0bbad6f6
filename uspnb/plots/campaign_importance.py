"""How much of the difference between trials each parameter accounts for."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import DomainError
from .drawing import hv
from .hover import BOX, LINE
from .style import FORECAST, check_theme, figure_options
from .trials import nothing_to_draw

ROW_HEIGHT = 20
TOOLS = ["save", "reset"]


def tuning_importance_data(ds: xr.Dataset) -> pd.DataFrame:
    """One row per parameter whose importance is known: parameter, importance (shares that sum to 1), largest first.

    `attrs`: `evaluator`, `note` (why nothing is known, "" where it is).

    Raises:
        DomainError: not the results of a campaign.
    """
    if "importance" not in ds:
        raise DomainError("the Dataset has no variable 'importance'; pass the `results` of an optimizer")
    shares = ds["importance"].values.astype(np.float64)
    frame = pd.DataFrame({"parameter": [str(name) for name in ds["parameter"].values], "importance": shares})
    frame = frame[np.isfinite(shares)].sort_values("importance", ascending=False, kind="stable", ignore_index=True)
    note = str(ds.attrs.get("importance_note", "") or "the trials are too few or too much alike")
    frame.attrs = {"evaluator": str(ds.attrs.get("importance_evaluator", "")), "note": "" if len(frame) else note}
    return frame


def tuning_importance_plot(data: pd.DataFrame, theme: str = "light") -> hv.Overlay:
    """The figure of `tuning_importance_data`: one bar per parameter, the evaluator in the title."""
    evaluator = f" ({data.attrs['evaluator']})" if data.attrs["evaluator"] else ""
    if data.empty:
        told = textwrap.shorten(f"Importance is not known: {data.attrs['note']}", 110, placeholder=" ...")
        return nothing_to_draw(theme, told)
    shown = data.iloc[::-1]  # the first bar stands lowest
    share = hv.Dimension("importance", label="share of the importance")
    told = "".join(LINE.format(text, name) for text, name in (("parameter", "parameter"), ("importance", "told")))
    frame = shown.assign(told=[f"{value:.1%}" for value in shown["importance"]])
    bars: Any = hv.Bars(frame, "parameter", [share, "told"]).opts(
        color=FORECAST,
        line_color=None,
        bar_width=0.7,
        invert_axes=True,
        default_tools=TOOLS,
        active_tools=[],
        tools=["hover"],
        hover_tooltips=BOX.format(told),
        backend="bokeh",
    )
    options = figure_options(theme, f"Importance of the parameters{evaluator}", 70 + ROW_HEIGHT * len(data))
    options |= {"xlabel": "", "ylabel": share.label, "padding": (0, 0), "show_legend": False}
    options |= {"default_tools": TOOLS, "active_tools": []}
    figure: Any = hv.Overlay([bars])
    return figure.opts(ylim=(0, 1.04 * max(float(data["importance"].max()), 1e-9)), **options)


def tuning_importance(ds: xr.Dataset, theme: str = "light") -> hv.Overlay:
    """The importance of each parameter, largest first, the evaluator that says so in the title.

    Args:
        ds: the `results` of an optimizer.
        theme: "light" or "dark".

    Raises:
        DomainError: an unknown theme, or not the results of a campaign.
    """
    check_theme(theme)
    return tuning_importance_plot(tuning_importance_data(ds), theme)
