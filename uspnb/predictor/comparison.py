"""uspnb against what a user would pick instead, on the same ticks: `compare` and its plain-language `verdict`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
import xarray as xr

from ..array_types import Float
from ..config.schema import PredictorConfig
from ..data.series import Series, read_series
from ..errors import DomainError
from ..model.fields import INPUT_UNITS
from ..runtime.arguments import check_whole
from .backtest import backtest
from .baselines import BASELINES, Forecast, with_interval
from .scores import diebold_mariano, gaussian_crps, interval_score

OWN = "uspnb"
METRICS: dict[str, str] = {
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
    "interval_score": "interval score (Winkler)",
    "crps": "continuous ranked probability score",
    "coverage": "share of ticks inside the interval",
    "width": "mean width of the interval",
}
BURN_IN = 300
SIGNIFICANT = 0.05
COVERAGE_SLACK = 0.02


def compare(
    series: Any,
    config: PredictorConfig | None = None,
    baselines: Sequence[str] = ("last_value", "recursive_ar"),
    burn_in: SupportsIndex | None = None,
    dataset: xr.Dataset | None = None,
    *,
    times: Any = None,
    seasons: Any = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Score uspnb's one-step forecasts beside those of simple rivals, all on the same ticks.

    A tick counts where it is finite, after the burn-in, and every forecaster has said a mean and an interval for it.

    Args:
        series: anything that `backtest` reads.
        config: uspnb's settings; they also set the nominal coverage.
        baselines: names among "last_value" and "recursive_ar".
        burn_in: ticks at the start that are not scored; by default 300, or a tenth of a series shorter than 3000.
        dataset: the result of `backtest` on the same series, where there is one; it is then not run again.
        times, seasons, progress: as in `backtest`; the rivals know of no seasons.

    Returns:
        Dataset with dims `forecaster` and `metric` (and `asset`): `score` [input units, coverage 1], `relative` (score
        over last value's; NaN for coverage), `dm_statistic` and `dm_p_value` (uspnb's squared error against each
        rival's; below 0 where uspnb is better), `scored_ticks`, `missed_ticks`; the attribute `verdict`.

    Raises:
        DomainError: an unknown baseline, a burn-in that leaves nothing to score, a Dataset of other ticks.
    """
    read = read_series(series, times)
    config = PredictorConfig() if config is None else config
    names = _checked_baselines(baselines)
    start = _checked_burn_in(burn_in, len(read))
    if dataset is None:
        dataset = backtest(read, config, seasons=seasons, progress=progress)
    level = float(dataset.attrs["confidence_level"])
    y = read.values.reshape(len(read), -1)
    forecasts = {OWN: _own_forecast(dataset, read)}
    forecasts |= {name: with_interval(y, BASELINES[name](y), level) for name in names}
    usable = _usable(y, forecasts, start)
    if not usable.any(axis=0).all():
        raise DomainError(
            f"no tick after the burn-in of {start} has a value and every forecast; shorten `burn_in` or feed more ticks"
        )
    return _dataset(y, forecasts, usable, level, read, start)


def _checked_baselines(baselines: Sequence[str]) -> tuple[str, ...]:
    names = (baselines,) if isinstance(baselines, str) else tuple(baselines)
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        raise DomainError(f"unknown baseline {unknown[0]!r}; choose among {', '.join(BASELINES)}")
    return ("last_value", *(name for name in dict.fromkeys(names) if name != "last_value"))


def _checked_burn_in(burn_in: SupportsIndex | None, ticks: int) -> int:
    if burn_in is None:
        return min(BURN_IN, ticks // 10)
    return check_whole("burn_in", burn_in, 0, ticks - 2, unit=f"for {ticks} ticks")


def _own_forecast(ds: xr.Dataset, series: Series) -> Forecast:
    observed = ds["observation"].values
    if not np.array_equal(observed, series.values, equal_nan=True):
        raise DomainError(
            f"the Dataset holds other ticks (shape {observed.shape}) than the series (shape {series.values.shape}); "
            "leave `dataset` out, or give the one that `backtest` made from this series"
        )
    names = ("prediction", "scale", "lower", "upper")
    return Forecast(*(ds[name].values.astype(np.float64).reshape(len(series), -1) for name in names))


def _usable(y: np.ndarray, forecasts: dict[str, Forecast], start: int) -> np.ndarray:
    usable = np.isfinite(y)
    usable[:start] = False
    for forecast in forecasts.values():
        for part in (forecast.mean, forecast.scale, forecast.lower, forecast.upper):
            usable &= np.isfinite(part)
    return usable


def score_forecast(y: np.ndarray, f: Forecast, level: float) -> Float[np.ndarray, "metric"]:
    error = y - f.mean
    largest = float(np.max(np.abs(error), initial=0.0)) or 1.0
    inside = (y >= f.lower) & (y <= f.upper)
    return np.array(
        [
            largest * math.sqrt(float(np.mean((error / largest) ** 2))),
            np.mean(np.abs(error)),
            np.mean(interval_score(y, f.lower, f.upper, level)),
            np.mean(gaussian_crps(y, f.mean, f.scale)),
            np.mean(inside),
            np.mean(f.upper - f.lower),
        ]
    )


def _dataset(
    y: np.ndarray, forecasts: dict[str, Forecast], usable: np.ndarray, level: float, series: Series, start: int
) -> xr.Dataset:
    assets, names = y.shape[1], list(forecasts)
    score = np.full((len(names), len(METRICS), assets), np.nan)
    statistic, p_value = np.full((len(names), assets), np.nan), np.full((len(names), assets), np.nan)
    for a in range(assets):
        rows = usable[:, a]
        errors = {}
        for i, (name, f) in enumerate(forecasts.items()):
            part = Forecast(*(array[rows, a] for array in (f.mean, f.scale, f.lower, f.upper)))
            score[i, :, a] = score_forecast(y[rows, a], part, level)
            errors[name] = y[rows, a] - part.mean
        # errors are scaled before they are squared: the test does not depend on the unit, and 1e300 would overflow
        unit = float(score[:, 0, a].max()) or 1.0
        for i, name in enumerate(names[1:], start=1):
            test = diebold_mariano((errors[OWN] / unit) ** 2, (errors[name] / unit) ** 2)
            statistic[i, a], p_value[i, a] = test
    reference = score[names.index("last_value")]
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(reference > 0, score / reference, np.nan)
    relative[:, list(METRICS).index("coverage")] = np.nan
    missed = (np.isfinite(y) & ~np.isfinite(forecasts[OWN].mean))[start:].sum(axis=0)
    return _labelled(score, relative, statistic, p_value, usable.sum(axis=0), missed, names, series, level, start)


def _labelled(
    score: np.ndarray,
    relative: np.ndarray,
    statistic: np.ndarray,
    p_value: np.ndarray,
    scored: np.ndarray,
    missed: np.ndarray,
    names: list[str],
    series: Series,
    level: float,
    start: int,
) -> xr.Dataset:
    several = series.assets is not None
    tail = ("asset",) if several else ()

    def column(dims: tuple[str, ...], array: np.ndarray, long_name: str, units: str = "1") -> tuple[Any, ...]:
        return dims + tail, array if several else array[..., 0], {"long_name": long_name, "units": units}

    both, units = ("forecaster", "metric"), series.units or INPUT_UNITS
    columns = {
        "score": column(both, score, "score; lower is better, but for coverage", f"{units}; coverage 1"),
        "relative": column(both, relative, "score relative to last value's"),
        "dm_statistic": column(("forecaster",), statistic, "Diebold-Mariano statistic, below 0 where uspnb is better"),
        "dm_p_value": column(("forecaster",), p_value, "two-sided p value of the Diebold-Mariano test"),
        "scored_ticks": column((), scored, "ticks that were scored", "tick"),
        "missed_ticks": column((), missed, "ticks after the burn-in that uspnb made no forecast for", "tick"),
    }
    coords: dict[str, Any] = {
        "forecaster": names,
        "metric": list(METRICS),
        "metric_name": ("metric", list(METRICS.values())),
    }
    if several:
        coords["asset"] = list(series.assets or ())
    ds = xr.Dataset(columns, coords, {"confidence_level": level, "burn_in": start, "series": series.name})
    ds.attrs["verdict"] = verdict(ds)
    return ds


def verdict(ds: xr.Dataset) -> str:
    """What a comparison says in plain language: who wins by how much, is that chance, is the coverage right."""
    if "asset" in ds.dims and ds.sizes["asset"] == 1:
        ds = ds.isel(asset=0)
    return _verdict_over_assets(ds) if "asset" in ds.dims else _verdict_of_one(ds)


def _verdict_of_one(ds: xr.Dataset) -> str:
    rivals = [str(name) for name in ds["forecaster"].values if name != OWN]
    best = min(rivals, key=lambda name: float(ds["score"].sel(forecaster=name, metric="rmse")))
    sentences = [_against(ds, rival) for rival in dict.fromkeys(("last_value", best))]
    sentences.append(_coverage(ds))
    missed = int(ds["missed_ticks"])
    if missed:
        sentences.append(f"It made no forecast for {missed} ticks after the burn-in.")
    return " ".join(sentences)


def _ratio(ds: xr.Dataset, rival: str, metric: str) -> float:
    own, other = (float(ds["score"].sel(forecaster=name, metric=metric)) for name in (OWN, rival))
    return own / other if other > 0 else (1.0 if own == other else math.inf)


def _difference(ratio: float) -> str:
    if not math.isfinite(ratio):
        return "worse (the rival makes no error at all)"
    if abs(ratio - 1.0) < 5e-4:
        return "equal"
    return f"{abs(1.0 - ratio):.1%} {'lower' if ratio < 1.0 else 'higher'}"


def _against(ds: xr.Dataset, rival: str) -> str:
    ratio, p = _ratio(ds, rival, "rmse"), float(ds["dm_p_value"].sel(forecaster=rival))
    rival_name = "last value" if rival == "last_value" else "a recursive autoregression (the best rival here)"
    if not p < SIGNIFICANT:
        lead, tail = f"uspnb and {rival_name} cannot be told apart by squared error", "is not significant"
    else:
        lead, tail = f"uspnb {'beats' if ratio < 1.0 else 'loses to'} {rival_name}", "is significant"
    p_text = "no p value, the errors agree" if math.isnan(p) else ("p < 0.0001" if p < 1e-4 else f"p = {p:.2g}")
    interval = _difference(_ratio(ds, rival, "interval_score"))
    return (
        f"{lead}: its RMSE is {_difference(ratio)}, its interval score {interval}; "
        f"the difference in squared error {tail} (Diebold-Mariano, {p_text})."
    )


def _coverage(ds: xr.Dataset) -> str:
    level, ticks = float(ds.attrs["confidence_level"]), int(ds["scored_ticks"])
    covered = float(ds["score"].sel(forecaster=OWN, metric="coverage"))
    slack = max(COVERAGE_SLACK, 3.0 * math.sqrt(level * (1.0 - level) / ticks))
    judged = (
        "as promised" if abs(covered - level) <= slack else ("too few" if covered < level else "more than promised")
    )
    return f"Its {level:.0%} interval held {covered:.1%} of {ticks:,} ticks: {judged}."


def _verdict_over_assets(ds: xr.Dataset) -> str:
    assets = ds.sizes["asset"]
    sentences = []
    for rival in [str(name) for name in ds["forecaster"].values if name != OWN]:
        parts = [ds.isel(asset=a) for a in range(assets)]
        ratios = np.array([_ratio(part, rival, "rmse") for part in parts])
        scores = np.array([_ratio(part, rival, "interval_score") for part in parts])
        clear = ds["dm_p_value"].sel(forecaster=rival).values < SIGNIFICANT
        label = "last value" if rival == "last_value" else "a recursive autoregression"
        sentences.append(
            f"Against {label}, uspnb's RMSE is {_difference(float(np.median(ratios)))} in the median of {assets} "
            f"assets and its interval score {_difference(float(np.median(scores)))}; it is significantly better on "
            f"{int((clear & (ratios < 1)).sum())} and significantly worse on {int((clear & (ratios > 1)).sum())} "
            "(Diebold-Mariano at 5 %)."
        )
    covered = ds["score"].sel(forecaster=OWN, metric="coverage").values
    sentences.append(
        f"Its {float(ds.attrs['confidence_level']):.0%} interval held {covered.min():.1%} to {covered.max():.1%} of an "
        "asset's ticks."
    )
    return " ".join(sentences)
