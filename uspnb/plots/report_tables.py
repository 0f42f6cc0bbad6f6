"""The tables of a report: alarms, comparison, summary and settings, as frames and as HTML."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..config.load import parse_config
from ..config.schema import DECLARATIONS, DEFAULTS
from ..model.kernels.registry import kernel_label
from ..predictor.scores import watched
from ..runtime.words import counted, moment, number
from .style import onset_rows, season_text

MOST_ALARMS = 300


def alarm_table(ds: xr.Dataset) -> pd.DataFrame:
    """One row per alarm: time, chart, began (the estimated onset), observation, forecast; `asset` if several."""
    names = [str(m) for m in str(ds["alarm_chart"].attrs["flag_meanings"]).split()]
    first = int(np.asarray(ds["alarm_chart"].attrs["flag_values"])[0])
    rows = np.argwhere(ds["alarm"].values)
    at = tuple(rows.T)
    times = ds["time"].values
    columns = {
        "time": times[at[0]],
        "chart": [names[int(code) - first] for code in ds["alarm_chart"].values[at]],
        "began": _began(times, onset_rows(ds)[at]),
        "observation": ds["observation"].values[at],
        "forecast": ds["prediction"].values[at],
    }
    if "asset" in ds.dims:
        columns["asset"] = ds["asset"].values[at[1]]
    return pd.DataFrame(columns)


def _began(times: np.ndarray, onset: np.ndarray) -> pd.Series:
    began = pd.Series(times[np.where(np.isfinite(onset), onset, 0).astype(int)])
    whole = began.astype("Int64") if times.dtype.kind == "i" else began  # numbers of ticks stay whole beside a hole
    return whole.where(np.isfinite(onset))


def comparison_table(comparison: xr.Dataset, asset: Any = None) -> pd.DataFrame:
    """One row per forecaster, one column per metric: the score and, in brackets, its ratio to last value's.

    Where horizons were compared, there are such rows for each.
    """
    if "asset" in comparison.dims:
        comparison = comparison.isel(asset=0) if asset is None else comparison.sel(asset=asset)
    if "horizon" in comparison.dims:
        parts = {h: comparison_table(comparison.sel(horizon=h)) for h in comparison["horizon"].values.tolist()}
        return pd.concat([part.rename(lambda name, h=h: f"{name}, {h} ahead") for h, part in parts.items()])
    rows = {}
    for name in comparison["forecaster"].values:
        cells = {}
        for metric, title in zip(comparison["metric"].values, comparison["metric_name"].values, strict=True):
            score = float(comparison["score"].sel(forecaster=name, metric=metric))
            relative = float(comparison["relative"].sel(forecaster=name, metric=metric))
            if metric == "coverage":
                cells[str(title)] = f"{score:.1%}"
            else:
                cells[str(title)] = number(score) + (f" ({relative:.3f})" if np.isfinite(relative) else "")
        rows[str(name).replace("_", " ")] = cells
    return pd.DataFrame(rows).T


def summary_rows(ds: xr.Dataset, asset: Any = None) -> dict[str, str]:
    """What happened in a run, in words and numbers."""
    if "asset" in ds.dims:
        ds = ds.isel(asset=0) if asset is None else ds.sel(asset=asset)
    units = str(ds["observation"].attrs.get("units", ""))
    unit = "" if units == "input units" else f" {units}"
    held = [f"{float(ds[name].mean()):.1%} {name}" for name in ("degraded", "emergency")]
    return {
        "ticks": f"{ds.sizes['time']:,} from {moment(ds['time'].values[0])} to {moment(ds['time'].values[-1])}",
        "refused by the gate": f"{int(ds['rejected'].sum()):,}" + _imputed_words(ds),
        "alarms": f"{int(ds['alarm'].sum()):,}",
        **({"anomalies": f"{int(ds['anomaly'].sum()):,}"} if "anomaly" in ds else {}),
        **({"calibration": _calibration_words(ds)} if "pit" in ds else {}),
        "time in other modes": ", ".join(held),
        **({"seasons in use": season_text(ds) or "none"} if "season" in ds else {}),
        **_failed_words(ds),
        "next value": (
            f"{number(float(ds['next_prediction']))}{unit}, {float(ds.attrs['confidence_level']):.0%} interval "
            f"{number(float(ds['next_lower']))} to {number(float(ds['next_upper']))}"
        ),
    }


def _failed_words(ds: xr.Dataset) -> dict[str, str]:
    """Which kernels gave no finite forecast, and how often; nothing where none did."""
    if "kernel_failed" not in ds:
        return {}
    counts = ds["kernel_failed"].sum("time")
    failed = [(kernel_label(str(name)), int(count)) for name, count in zip(ds["kernel"].values, counts, strict=True)]
    words = [f"{name} at {counted(count, 'tick')}" for name, count in failed if count]
    return {"kernels that failed": ", ".join(words)} if words else {}


def _imputed_words(ds: xr.Dataset) -> str:
    """How often the forecast took the value's place; "" where never, and of a run from before it could."""
    count = int(ds["imputed"].sum()) if "imputed" in ds else 0
    return f"; in the place of {count:,} of them stands the forecast" if count else ""


def _calibration_words(ds: xr.Dataset) -> str:
    """At which horizons intervals no longer held what they promise."""
    _, lost = watched(ds)
    shares, at_end = lost[:, 0].mean(axis=0), lost[-1, 0]
    if not shares.any():
        return "held at every horizon"
    chosen = at_end if at_end.any() else shares > 0
    ahead = ds["horizon"].values[chosen].tolist()
    ticks = f"{', '.join(map(str, ahead))} {'tick' if ahead == [1] else 'ticks'} ahead"
    when = "at the end" if at_end.any() else "at times, not at the end,"
    return (
        f"lost {when} {ticks}, there for {shares[chosen].max():.1%} of the ticks{' at most' if len(ahead) > 1 else ''}"
    )


def changed_settings(ds: xr.Dataset) -> dict[str, tuple[Any, Any, str]]:
    """Fields whose value is not the default: value, default, meaning."""
    config = parse_config(str(ds.attrs["config"]), source="the configuration stored in the result")
    return {
        name: (getattr(config, name), default, DECLARATIONS[name].meaning)
        for name, default in DEFAULTS.items()
        if getattr(config, name) != default
    }


def html_table(frame: pd.DataFrame, index: bool = False, numeric: bool = True) -> str:
    """A frame as an HTML table, every cell escaped; wide ones scroll within their box."""
    columns = ([""] if index else []) + [str(c) for c in frame.columns]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = []
    for label, row in zip(frame.index, frame.itertuples(index=False), strict=True):
        cells = [f"<th scope='row'>{html.escape(str(label))}</th>"] if index else []
        cells += [f"<td>{html.escape(_cell(value))}</td>" for value in row]
        body.append(f"<tr>{''.join(cells)}</tr>")
    kind = "numbers" if numeric else "words"
    rows = f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
    # what scrolls must be reachable by keyboard
    box = "<div class='scroll' tabindex='0' role='group' aria-label='table'>"
    return f"{box}<table class='{kind}'>{rows}</table></div>"


def html_pairs(rows: dict[str, str]) -> str:
    """Names and what they are, as an HTML description list."""
    return "<dl>" + "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in rows.items()) + "</dl>"


def _cell(value: Any) -> str:
    if value is pd.NaT or value is pd.NA:
        return "not known"
    if isinstance(value, (np.datetime64, pd.Timestamp)):
        return moment(value)
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (float, np.floating)):
        return number(float(value))
    return str(value)
