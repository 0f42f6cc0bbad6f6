"""Whether the intervals hold, by horizon: histograms of the PIT, and moving coverage with the band of chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import DomainError
from ..predictor.scores import binomial_band, inside_share, rolling_share, rolling_window, watched
from .drawing import hover_line, hover_rows, hv, level_line, line, panel, stacked, thin_lines
from .style import ALARM, CHART_COLOURS, FORECAST, OBSERVED, ONSET, check_theme, one_series, spans, time_label

BINS, MOST_SHOWN = 10, 4
COLOURS = (FORECAST, CHART_COLOURS["scale"], CHART_COLOURS["dependence"], ONSET)


def _shown(ds: xr.Dataset, horizons: Any) -> tuple[int, ...]:
    """The horizons to show: those given, else at most four from the first to the last."""
    held = ds["horizon"].values.tolist()
    if horizons is None:
        places = np.unique(np.linspace(0, len(held) - 1, min(len(held), MOST_SHOWN)).round().astype(int))
        return tuple(held[k] for k in places)
    wanted = tuple(np.atleast_1d(horizons).tolist())
    lacking = [h for h in wanted if h not in held]
    if lacking or not 0 < len(wanted) <= MOST_SHOWN:
        raise DomainError(
            f"horizons = {horizons!r:.80} must be one to {MOST_SHOWN} of those of the run, {', '.join(map(str, held))}"
        )
    return wanted


def pit_data(ds: xr.Dataset, asset: Any = None, horizons: Any = None) -> pd.DataFrame:
    """One row per bin of the PIT: its `left` and `right` end and, in a column for each horizon, its density.

    `attrs["bands"]` has the ends between which the density of calibrated forecasts lies 19 times in 20, by horizon.
    """
    shown, ds = _shown(ds, horizons), one_series(ds, asset)
    pit, _ = watched(ds)
    edges = np.linspace(0.0, 1.0, BINS + 1)
    frame, bands = pd.DataFrame({"left": edges[:-1], "right": edges[1:]}), {}
    for h in shown:
        values = pit[:, 0, ds["horizon"].values.tolist().index(h)]
        known = values[np.isfinite(values)]
        count = max(len(known), 1)
        frame[str(h)] = np.histogram(known, edges)[0] * BINS / count
        low, high = binomial_band(1.0 / BINS, count, h)
        bands[str(h)] = (low * BINS, high * BINS)
    frame.attrs = {"bands": bands}
    return frame


def pit_plot(data: pd.DataFrame, theme: str = "light", height: int = 220) -> hv.Overlay:
    """The figure of `pit_data`: flat at 1 where calibrated, a bowl where intervals are too narrow, a hill where too
    wide, a slope where forecasts are too high or too low; dotted the band of chance of the shortest horizon."""
    density = hv.Dimension("density", label="density")
    names = [name for name in data.columns if name not in ("left", "right")]
    across = np.stack([data["left"], data["right"]], axis=1).ravel()
    ends = np.array([0.0, 1.0])
    parts = [_over_pit(ends, [1.0, 1.0], density, "calibrated", OBSERVED, line_dash="dashed")]
    for end in data.attrs["bands"][names[0]]:
        parts.append(_over_pit(ends, [end, end], density, f"band, {_ahead(names[0])}", OBSERVED, line_dash="dotted"))
    for name, colour in zip(names, COLOURS, strict=False):
        parts.append(_over_pit(across, np.repeat(data[name], 2), density, _ahead(name), colour, line_width=1.8))
    top = max(1.5, float(np.nanmax(data[names].to_numpy())) * 1.1)
    look = {"ylabel": "density", "ylim": (0.0, top)}
    return panel(parts, theme, "Where outcomes fell in their forecast distribution", height, True, "PIT", **look)


def _over_pit(across: Any, up: Any, vertical: hv.Dimension, label: str, colour: str, **look: Any) -> hv.Curve:
    curve: Any = hv.Curve((across, np.asarray(up)), "pit", vertical, label=label)
    return curve.opts(color=colour, backend="bokeh", **look)


def coverage_data(ds: xr.Dataset, asset: Any = None, horizons: Any = None, level: float | None = None) -> pd.DataFrame:
    """One row per tick: time, in a column for each horizon the share of the newest outcomes inside, and `lost`.

    Args:
        ds: a result of `backtest` or `history`.
        asset: which, of several.
        horizons: to show; at most four of them.
        level: of the interval; the run's `confidence_level` where left out.

    Returns:
        `attrs` has the level, and by horizon the window [ticks] and the band of chance; `lost` says where one of the
        horizons that are shown has lost its calibration.

    Raises:
        DomainError: no such horizon or asset, or the run has no PIT.
    """
    shown, ds = _shown(ds, horizons), one_series(ds, asset)
    wanted = float(ds.attrs["confidence_level"]) if level is None else level
    if not 0.0 < wanted < 1.0:
        raise DomainError(f"level = {level!r} must lie between 0 and 1, for example 0.8")
    pit, lost = watched(ds)
    places = [ds["horizon"].values.tolist().index(h) for h in shown]
    windows = {str(h): min(rolling_window(h), max(ds.sizes["time"] // 4, 1)) for h in shown}
    frame = pd.DataFrame({"time": ds["time"].values})
    for h, place in zip(shown, places, strict=True):
        frame[str(h)] = rolling_share(inside_share(pit[:, 0, place], wanted), windows[str(h)])
    frame["lost"] = np.any(lost[:, 0, places], axis=1)
    frame.attrs = {
        "level": wanted,
        "windows": windows,
        "bands": {str(h): binomial_band(wanted, windows[str(h)], h) for h in shown},
        "xlabel": time_label(ds),
    }
    return frame


def coverage_plot(data: pd.DataFrame, theme: str = "light", height: int = 240) -> hv.Overlay:
    """The figure of `coverage_data`: a pale band for each horizon, shaded where calibration is lost."""
    share = hv.Dimension("share", label="share inside")
    names = [name for name in data.columns if name not in ("time", "lost")]
    lines, level, ends = thin_lines(data, names), data.attrs["level"], data["time"].iloc[[0, -1]]
    parts: list[Any] = []
    shaded = spans(data["time"].to_numpy(), data["lost"].to_numpy())
    if len(shaded):
        lost = hv.VSpans((shaded["start"], shaded["end"]), kdims=["time", "lost_end"], label="calibration lost")
        parts.append(lost.opts(color=ALARM, alpha=0.15, line_alpha=0, backend="bokeh"))
    for name, colour in zip(names, COLOURS, strict=False):
        low, high = data.attrs["bands"][name]
        band: Any = hv.Area((ends, [low, low], [high, high]), "time", [share, "upper"], label=_ahead(name))
        parts.append(band.opts(color=colour, alpha=0.1, line_alpha=0, backend="bokeh"))
    for name, colour in zip(names, COLOURS, strict=False):
        parts.append(line(lines["time"], lines[name], share, _ahead(name), colour))
    parts.append(level_line(data, level, share, f"{level:.0%}"))
    rows = hover_rows(len(data), data["lost"].to_numpy())
    texts = {
        _ahead(name): [_words(v, data.attrs["windows"][name]) for v in data[name].to_numpy()[rows]] for name in names
    }
    texts["calibration"] = ["lost" if flag else "held" for flag in data["lost"].to_numpy()[rows]]
    parts.append(hover_line(data, rows, np.full(len(rows), level), texts, share))
    known = np.append(data[names].to_numpy().ravel(), [end for band in data.attrs["bands"].values() for end in band])
    low, high = float(np.nanmin(known)), float(np.nanmax(known))
    look = {"ylabel": "share inside", "ylim": (low - 0.02, min(high + 0.02, 1.02))}
    title = f"Coverage of the {level:.0%} interval over the newest outcomes"
    return panel(parts, theme, title, height, True, data.attrs["xlabel"], **look)


def _words(share: float, window: int) -> str:
    return f"{share:.1%} of {window}" if np.isfinite(share) else "too few yet"


def _ahead(name: str) -> str:
    return f"{name} ahead"


def calibration(
    ds: xr.Dataset, *, asset: Any = None, horizons: Any = None, level: float | None = None, theme: str = "light"
) -> hv.Layout:
    """Histograms of the PIT above the moving coverage; arguments are those of `coverage_data`.

    A PIT, the probability that the forecast made so many ticks before gave to less than the outcome, is uniform where
    the forecast is calibrated.
    """
    check_theme(theme)
    figures = [
        pit_plot(pit_data(ds, asset, horizons), theme),
        coverage_plot(coverage_data(ds, asset, horizons, level), theme),
    ]
    return stacked(figures)
