"""What the figures of a tuning campaign share: its trials as a table, its parameters on axes, marks with tooltips."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import DomainError
from ..runtime.words import number
from .drawing import BOX, LINE, hv, panel
from .style import ALARM, FORECAST, OBSERVED, ONSET, THEMES, check_theme, figure_options

# marker and colour of a trial by how it ended: told apart by shape as well
STATES = {
    "complete": ("circle", FORECAST),
    "pruned": ("triangle", OBSERVED),
    "failed": ("x", ALARM),
    "running": ("square", ONSET),
}
BEST, DEFAULT = "#14a37f", "#e69f00"
LONGEST_REASON = 160


class ParameterAxis(NamedTuple):
    """One parameter of a campaign, its values as numbers.

    Attributes:
        name: what it is called.
        values: one per trial, NaN where the trial had none; a choice is the number of its label.
        low, high: ends of its range, widened to hold every value.
        log: whether the space draws it on a logarithmic scale.
        labels: the choices of a parameter that is no number, in the order of their numbers; else empty.
        importance: its share, NaN where unknown.
    """

    name: str
    values: np.ndarray
    low: float
    high: float
    log: bool
    labels: tuple[str, ...]
    importance: float

    def place(self, values: np.ndarray) -> np.ndarray:
        """Where values lie between the ends of the range: 0 at `low`, 1 at `high`."""
        low, high = (np.log(self.low), np.log(self.high)) if self.log else (self.low, self.high)
        with np.errstate(invalid="ignore", divide="ignore"):
            shown = np.log(values) if self.log else values
        return np.asarray((shown - low) / (high - low)) if high > low else np.full(np.shape(values), 0.5)

    def text(self, value: float) -> str:
        """A value as a reader wants it."""
        is_choice = self.labels and np.isfinite(value)
        return self.labels[int(value)] if is_choice else number(value)


def trials_data(ds: xr.Dataset) -> pd.DataFrame:
    """One row per trial: trial (its number), value and best_value (NaN where none), state, reason.

    `attrs`: `metric`, `best` and `default` (rows of the best complete trial and of the default's, -1 where none).

    Raises:
        DomainError: not the results of a campaign.
    """
    missing = [name for name in ("trial", "value", "best_value", "state", "reason") if name not in ds.variables]
    if missing:
        raise DomainError(f"the Dataset has no variable {missing[0]!r}; pass the `results` of an optimizer")
    frame = pd.DataFrame({"trial": ds["trial"].values})
    for name in ("value", "best_value"):
        values = ds[name].values.astype(np.float64)
        frame[name] = np.where(np.isfinite(values), values, np.nan)
    for name in ("state", "reason"):
        frame[name] = [str(text) for text in ds[name].values]
    complete = frame["value"].where(frame["state"] == "complete").to_numpy(dtype=np.float64)
    at = np.flatnonzero(frame["trial"].to_numpy() == int(ds.attrs.get("default_trial", 0)))
    frame.attrs = {
        "metric": str(ds.attrs.get("metric", "") or "objective"),
        "best": int(np.nanargmin(complete)) if np.isfinite(complete).any() else -1,
        "default": int(at[0]) if len(at) else -1,
    }
    return frame


def parameter_axes(ds: xr.Dataset, constants: bool = False) -> list[ParameterAxis]:
    """The parameters of a campaign, the important ones first; those that never varied only where `constants`."""
    names = [str(name) for name in ds["parameter"].values]
    axes = [_axis(ds, row, name) for row, name in enumerate(names) if f"param_{name}" in ds]
    if not constants:
        axes = [axis for axis in axes if len(np.unique(axis.values[np.isfinite(axis.values)])) > 1]
    return sorted(axes, key=lambda axis: -axis.importance if np.isfinite(axis.importance) else 1.0)


def _axis(ds: xr.Dataset, row: int, name: str) -> ParameterAxis:
    def about(variable: str) -> float:
        return float(ds[variable].values[row]) if variable in ds else np.nan

    column = ds[f"param_{name}"]
    values, labels = _numbers(column.values)
    ends = [] if labels else [about("low"), about("high")]
    finite = [value for value in (*ends, *values.tolist()) if np.isfinite(value)] or [np.nan]
    low, high = min(finite), max(finite)
    log = bool(column.attrs.get("log", False)) and low > 0
    return ParameterAxis(name, values, low, high, log, labels, about("importance"))


def _numbers(column: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Values as floats; choices as the numbers of their labels, and the labels."""
    if column.dtype.kind in "biuf":
        values = column.astype(np.float64)
        return np.where(np.isfinite(values), values, np.nan), ()
    unset = np.array([value is None or value == "" or value != value for value in column], bool)
    texts = np.array([str(value) for value in column], dtype=object)
    labels = sorted(set(texts[~unset]))
    numbers = [np.nan if hole else float(labels.index(text)) for text, hole in zip(texts, unset, strict=True)]
    return np.array(numbers, dtype=np.float64), tuple(labels)


def shown_range(values: np.ndarray) -> tuple[float, float]:
    """What a value axis shows at first: everything down to the least, and upwards as far as most trials reach.

    One hopeless candidate's loss would press all others flat; it is drawn at the upper edge instead.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, most = float(finite.min()), float(np.quantile(finite, 0.8))
    high = min(float(finite.max()), low + 3.0 * (most - low)) if most > low else float(finite.max())
    margin = 0.07 * (high - low) or 0.07 * abs(high) or 1.0
    return low - margin, high + margin


def trial_texts(data: pd.DataFrame) -> dict[str, list[str]]:
    """Texts of a trial's tooltip by their labels."""
    texts = {
        "trial": [str(trial) for trial in data["trial"]],
        data.attrs["metric"]: [number(float(value)) for value in data["value"]],
        "state": data["state"].tolist(),
    }
    reasons = data["reason"].tolist()
    if any(reasons):
        texts["reason"] = [text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..." for text in reasons]
    return texts


def tooltip_points(
    across: Any, up: Any, dims: Sequence[Any], label: str, texts: Mapping[str, Sequence[str]], **look: Any
) -> Any:
    """Marks whose tooltips show texts, each a row of them."""
    columns = {f"told{i}": list(column) for i, column in enumerate(texts.values())}
    lines = "".join(LINE.format(html.escape(text), name) for text, name in zip(texts, columns, strict=True))
    names = [dim.name if isinstance(dim, hv.Dimension) else dim for dim in dims]
    frame = pd.DataFrame({names[0]: np.asarray(across), names[1]: np.asarray(up)} | columns)
    marks: Any = hv.Points(frame, list(dims), list(columns), label=label)
    # of marks with the same tooltip HoloViews lets only the first answer to the pointer
    tooltip = f"<div data-marks='{html.escape(label)}'>{BOX.format(lines)}</div>"
    return marks.opts(tools=["hover"], hover_tooltips=tooltip, backend="bokeh", **look)


def state_marks(
    data: pd.DataFrame, column: str, up: np.ndarray, dims: Sequence[Any], texts: Callable[[pd.DataFrame], Any]
) -> list[Any]:
    """The trials as marks with tooltips, one kind of mark for each way to end that occurs.

    Args:
        data: one row per trial.
        column: what stands across.
        up: what stands upwards, one per row.
        dims: the two dimensions.
        texts: makes the tooltips of some rows.
    """
    parts = []
    for state, (marker, colour) in STATES.items():
        rows = np.flatnonzero(data["state"] == state)
        if len(rows):  # the legend names no mark that is not there
            at = data.iloc[rows]
            look = {"marker": marker, "size": mark_size(data), "color": colour, "fill_alpha": 0.55, "line_width": 1.4}
            parts.append(tooltip_points(at[column], up[rows], dims, state, texts(at), **look))
    return parts


def ring(across: Any, up: Any, dims: Sequence[Any], label: str, colour: str) -> hv.Points:
    """A ring around one trial."""
    points: Any = hv.Points((across, up), list(dims), label=label)
    look = {"marker": "circle", "size": 14, "fill_alpha": 0.0, "line_width": 2.2, "color": colour}
    return points.opts(**look, backend="bokeh")


def nothing_to_draw(theme: str, title: str, height: int = 90) -> hv.Overlay:
    """A frame that says in its title why it is empty."""
    unseen: Any = hv.Points(([0.0], [0.0])).opts(alpha=0.0, backend="bokeh")
    options = figure_options(theme, title, height, last=False) | {"toolbar": None, "default_tools": []}
    options |= {"active_tools": [], "hooks": [*options["hooks"], _without_grid]}
    figure: Any = hv.Overlay([unseen])
    return figure.opts(xaxis=None, yaxis=None, **options)


def _without_grid(plot: Any, element: Any) -> None:
    for grid in (*plot.state.xgrid, *plot.state.ygrid):
        grid.grid_line_color = None


def mark_size(data: pd.DataFrame) -> int:
    """Diameter of a mark [pixels]: smaller where there are many."""
    return 7 if len(data) <= 200 else 5


def colour_bar(theme: str) -> dict[str, Any]:
    """How the scale of colours beside a figure looks in a theme."""
    colours = THEMES[theme]
    return {
        "background_fill_alpha": 0.0,
        "major_label_text_color": colours["muted"],
        "title_text_color": colours["muted"],
        "title_text_font_style": "normal",
        "major_tick_line_color": None,
        "bar_line_color": None,
        "width": 10,
        "padding": 4,
    }


def tuning_history_data(ds: xr.Dataset) -> pd.DataFrame:
    """One row per trial: trial, value, best_value (the best complete one so far), state, reason.

    `attrs`: `metric`, `best` and `default` (rows of the best and of the default's trial, -1 where none).

    Raises:
        DomainError: not the results of a campaign.
    """
    return trials_data(ds)


def tuning_history_plot(data: pd.DataFrame, theme: str = "light", last: bool = True, height: int = 260) -> hv.Overlay:
    """The figure of `tuning_history_data`; trials without a value stand at the upper edge, as do hopeless ones."""
    value = hv.Dimension("value", label=data.attrs["metric"])
    low, high = shown_range(data["value"].to_numpy(dtype=np.float64))
    edge = high - 0.03 * (high - low)
    parts = [*_lines(data, value), *_marks(data, value, edge)]
    ends = (-0.5, float(data["trial"].max()) + 0.5) if len(data) else (-0.5, 0.5)
    look = {"ylabel": data.attrs["metric"], "xlim": ends, "ylim": (low, high)}
    return panel(parts, theme, f"Trials{_remarks(data, high)}", height, last, "trial", **look)


def _remarks(data: pd.DataFrame, high: float) -> str:
    above, row = int((data["value"] > high).sum()), data.attrs["default"]
    remarks = [f"{above} above the range shown"] * bool(above)
    if row >= 0 and data["value"].iloc[row] > high:
        remarks.append(f"the default's {number(float(data['value'].iloc[row]))} among them")
    if data.attrs["best"] < 0:
        remarks.append("none is complete")
    return f": {', '.join(remarks)}" if remarks else ""


def _lines(data: pd.DataFrame, value: hv.Dimension) -> list[Any]:
    """The default's value and the best so far; no line where there is none."""
    parts: list[Any] = []
    row = data.attrs["default"]
    default = float(data["value"].iloc[row]) if row >= 0 else np.nan
    if np.isfinite(default):
        ends = data["trial"].iloc[[0, -1]].to_numpy() + np.array([-0.5, 0.5])
        line = hv.Curve((ends, [default, default]), "trial", value, label="default configuration")
        parts.append(line.opts(color=DEFAULT, line_dash="dashed", line_width=1.6, backend="bokeh"))
    if data["best_value"].notna().any():
        ends = np.append(data["trial"].to_numpy(), data["trial"].iloc[-1] + 0.5)
        best = np.append(data["best_value"].to_numpy(), data["best_value"].iloc[-1])
        line = hv.Curve((ends, best), "trial", value, label="best so far")
        parts.append(line.opts(color=BEST, line_width=2.0, interpolation="steps-post", backend="bokeh"))
    return parts


def _marks(data: pd.DataFrame, value: hv.Dimension, edge: float) -> list[Any]:
    heights = np.minimum(data["value"].fillna(edge).to_numpy(dtype=np.float64), edge)
    parts = state_marks(data, "trial", heights, ["trial", value], trial_texts)
    if data.attrs["best"] >= 0:
        at = data.iloc[[data.attrs["best"]]]
        parts.append(ring(at["trial"], at["value"], ["trial", value], "best", BEST))
    return parts or [hv.Points([], ["trial", value]).opts(backend="bokeh")]


def tuning_history(ds: xr.Dataset, theme: str = "light") -> hv.Overlay:
    """Every trial by how it ended, the best so far and the default configuration's value.

    Args:
        ds: the `results` of an optimizer.
        theme: "light" or "dark".

    Raises:
        DomainError: an unknown theme, or not the results of a campaign.
    """
    check_theme(theme)
    return tuning_history_plot(tuning_history_data(ds), theme)


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
        words = textwrap.shorten(f"Importance is not known: {data.attrs['note']}", 110, placeholder=" ...")
        return nothing_to_draw(theme, words)
    shown = data.iloc[::-1]  # the first bar stands lowest
    share = hv.Dimension("importance", label="share of the importance")
    words = "".join(LINE.format(text, name) for text, name in (("parameter", "parameter"), ("importance", "told")))
    frame = shown.assign(told=[f"{value:.1%}" for value in shown["importance"]])
    bars: Any = hv.Bars(frame, "parameter", [share, "told"]).opts(
        color=FORECAST,
        line_color=None,
        bar_width=0.7,
        invert_axes=True,
        default_tools=TOOLS,
        active_tools=[],
        tools=["hover"],
        hover_tooltips=BOX.format(words),
        backend="bokeh",
    )
    options = figure_options(theme, f"Importance of the parameters{evaluator}", 70 + ROW_HEIGHT * len(data))
    options |= {"xlabel": "", "ylabel": share.label, "padding": (0, 0), "show_legend": False}
    options |= {"default_tools": TOOLS, "active_tools": []}
    figure: Any = hv.Overlay([bars])
    return figure.opts(ylim=(0, 1.04 * max(float(data["importance"].max()), 1e-9)), **options)


def tuning_importance(ds: xr.Dataset, theme: str = "light") -> hv.Overlay:
    """The importance of each parameter, largest first, the evaluator that says so in the title.

    Arguments and failures are those of `tuning_history`.
    """
    check_theme(theme)
    return tuning_importance_plot(tuning_importance_data(ds), theme)
