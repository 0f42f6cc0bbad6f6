"""uspnb against what a user would pick instead, on the same ticks: `compare` and its plain-language `verdict`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
import xarray as xr

from ..array_types import Float, Int
from ..config.load import parse_config
from ..config.schema import PredictorConfig
from ..data.series import Series, read_series
from ..errors import DomainError
from ..model.fields import INPUT_UNITS
from ..model.orchestration.gate import CLOSED, OFF_GRID, ON_GRID
from ..runtime.arguments import check_whole
from ..runtime.words import counted
from .backtest import backtest, with_horizons
from .baselines import BASELINES, Forecast, newest, seasonal_naive, with_interval
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
SEASONAL = "seasonal_naive"
LABELS = {
    "last_value": "last value",
    "recursive_ar": "a recursive autoregression",
    SEASONAL: "the value of a season ago",
}
BURN_IN = 300
SIGNIFICANT = 0.05
COVERAGE_SLACK = 0.02
# A gap that comes so often, each time within this factor of one length, is closed hours.
USUAL_GAPS, ALIKE = 3, 2.0


def compare(
    series: Any,
    config: PredictorConfig | None = None,
    baselines: Sequence[str] | None = None,
    burn_in: SupportsIndex | None = None,
    dataset: xr.Dataset | None = None,
    *,
    times: Any = None,
    seasons: Any = None,
    horizons: Any = None,
    value: Any = None,
    time: Any = None,
    covariates: Any = (),
    progress: bool | None = None,
) -> xr.Dataset:
    """Score uspnb's forecasts beside those of simple rivals, all on the same ticks: of the next tick, or by horizon.

    A tick counts where it is finite, after the burn-in, and every forecaster has said a mean and an interval for it.
    Rivals forecast further ahead by what they are: last value stays, the autoregression is fed its own forecasts, the
    seasonal rival repeats the longest period that is declared or, at the tick it is made at, found.

    Args:
        series: anything that `backtest` reads.
        config: uspnb's settings; they also set the nominal coverage.
        baselines: names among "last_value", "recursive_ar" and "seasonal_naive"; the first two where left out, and
            with `horizons` the third too where there is a period.
        burn_in: ticks at the start that are not scored; by default 300, or a tenth of a series shorter than 3000.
        dataset: the result of `backtest` on the same series, where there is one; it is then not run again.
        times, seasons, progress: as in `backtest`; of the rivals the seasonal one alone knows of seasons.
        horizons: ticks ahead, as in `backtest`; left out, the next tick alone is compared.
        value, time, covariates: columns of a table, as in `backtest`; the rivals know of no covariates.

    Returns:
        Dataset with dims `forecaster` and `metric` (and `horizon`, and `asset`): `score` [input units, coverage 1],
        `relative` (score over last value's; NaN for coverage), `dm_statistic` and `dm_p_value` (uspnb's squared error
        against each rival's; below 0 where uspnb is better), `scored_ticks`, `missed_ticks`; the attribute `verdict`.
        By horizon there is no metric `crps`, and a tick is a place on the time grid.

    Raises:
        DomainError: an unknown baseline, a burn-in that leaves nothing to score, a Dataset of other ticks or horizons,
            a seasonal rival without a period.
    """
    read = read_series(series, times, value=value, time=time, covariates=covariates)
    config = PredictorConfig() if config is None else config
    start = _checked_burn_in(burn_in, len(read))
    wanted = _checked_baselines(baselines)
    if dataset is None:
        dataset = backtest(read, config, seasons=seasons, horizons=horizons, progress=progress)
    ladder = _checked_horizons(horizons, config, dataset)
    _check_ticks(dataset, read)
    names = _with_seasonal(wanted, dataset, by_default=baselines is None and bool(ladder))
    if not ladder:
        every = np.arange(len(read))
        return _finished(_compared(dataset, read, names, start, every, 0))
    places = grid_places(read, parse_config(str(dataset.attrs["config"])))
    parts = [_compared(dataset, read, names, start, places, h, ladder[-1]) for h in ladder]
    ahead = xr.DataArray(list(ladder), dims="horizon", attrs={"long_name": "ticks ahead", "units": "tick"})
    joined = xr.concat(parts, dim="horizon", combine_attrs="override", coords="minimal", compat="override")
    # A horizon's Dataset has an interval and no scale, so that nothing is known of the tails between.
    joined = joined.assign_coords(horizon=ahead).drop_sel(metric="crps")
    return _finished(joined.transpose("forecaster", "metric", "horizon", ...))


def _checked_baselines(baselines: Sequence[str] | None) -> tuple[str, ...]:
    if baselines is None:
        return tuple(BASELINES)
    names = (baselines,) if isinstance(baselines, str) else tuple(baselines)
    known = (*BASELINES, SEASONAL)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DomainError(f"unknown baseline {unknown[0]!r}; choose among {', '.join(known)}")
    return ("last_value", *(name for name in dict.fromkeys(names) if name != "last_value"))


def _checked_horizons(horizons: Any, config: PredictorConfig, ds: xr.Dataset) -> tuple[int, ...]:
    """The horizons to compare at; none where none was asked for."""
    if horizons is None:
        return ()
    settled = with_horizons(config, horizons)
    ladder = () if settled is None else settled.horizons
    held = ds["horizon"].values.tolist() if "horizon_prediction" in ds else []
    lacking = [h for h in ladder if h not in held]
    if lacking:
        raise DomainError(
            f"the Dataset has no forecasts {lacking[0]} ticks ahead, only {', '.join(map(str, held)) or 'the next'}; "
            "leave `dataset` out, or make it with backtest(..., horizons=...)"
        )
    return ladder


def _with_seasonal(names: tuple[str, ...], ds: xr.Dataset, by_default: bool) -> tuple[str, ...]:
    """The rivals, the seasonal one among them where it is asked for or can be had.

    Raises:
        DomainError: it is asked for, and there is no period.
    """
    if not by_default and SEASONAL not in names:
        return names
    if np.isfinite(_periods(ds)).any():
        return names if SEASONAL in names else (*names, SEASONAL)
    if by_default:
        return names
    raise DomainError(f"{SEASONAL} has no period: none is declared and none was found; declare one with `seasons`")


def _periods(ds: xr.Dataset) -> Float[np.ndarray, "time asset"]:
    """The longest period declared, else in use at each tick [ticks]; NaN where there is none."""
    rows, config = ds.sizes["time"], parse_config(str(ds.attrs["config"]))
    assets = ds["observation"].values.reshape(rows, -1).shape[1]
    declared = max(config.season_first, config.season_second) if config.season_slots else 0
    if declared:
        return np.full((rows, assets), float(declared))
    if "season" not in ds or not ds.sizes["season_slot"]:
        return np.full((rows, assets), np.nan)
    slots = ds["season"].transpose("time", ..., "season_slot").values.reshape(rows, assets, -1)
    # Of a tick that was not taken in nothing is known; the period stays in use.
    taken = ~ds["rejected"].values.reshape(rows, assets)
    return newest(np.fmax.reduce(slots, axis=-1), taken)


def grid_places(series: Series, config: PredictorConfig) -> Int[np.ndarray, "time"]:
    """Place of each row on the time grid, about as the gate counts them: closed hours, and what is no grid, have none.

    Args:
        series: rows.
        config: of the run; only a declared interval of ticks is read.
    """
    steps = np.ones(len(series) - 1, dtype=np.int64)
    elapsed = np.diff(series.timestamps_ns)
    positive = elapsed[elapsed > 0]
    if series.has_times and len(positive):
        interval = float(config.tick_interval_ns or np.quantile(positive, 0.25, method="lower"))
        ratio = elapsed / interval
        whole = (ratio > 0.5) & (np.abs(ratio - np.round(ratio)) <= OFF_GRID)
        if config.tick_interval_ns or whole.mean() >= ON_GRID:
            steps = np.maximum(np.round(ratio), 1).astype(np.int64)
            gaps = np.sort(steps[steps >= CLOSED])
            alike = np.searchsorted(gaps, steps * ALIKE, "right") - np.searchsorted(gaps, steps / ALIKE)
            steps[(steps >= CLOSED) & (alike >= USUAL_GAPS)] = 1
            # Beyond what is remembered of seasons a hole may be of any length.
            steps = np.minimum(steps, config.season_capacity)
    return np.concatenate([[0], np.cumsum(steps)])


def _checked_burn_in(burn_in: SupportsIndex | None, ticks: int) -> int:
    if burn_in is None:
        return min(BURN_IN, ticks // 10)
    return check_whole("burn_in", burn_in, 0, ticks - 2, unit=f"for {ticks} ticks")


def _check_ticks(ds: xr.Dataset, series: Series) -> None:
    observed = ds["observation"].values
    if not np.array_equal(observed, series.values, equal_nan=True):
        raise DomainError(
            f"the Dataset holds other ticks (shape {observed.shape}) than the series (shape {series.values.shape}); "
            "leave `dataset` out, or give the one that `backtest` made from this series"
        )


def _compared(
    ds: xr.Dataset,
    series: Series,
    names: tuple[str, ...],
    start: int,
    places: Int[np.ndarray, "time"],
    horizon: int,
    longest: int = 1,
) -> xr.Dataset:
    """The comparison at one horizon.

    Args:
        ds: the run.
        series: its ticks.
        names: rivals.
        start: row of the first tick that is scored, so many ticks later as the longest horizon is longer than one.
        places: of the rows on the time grid.
        horizon: ticks ahead, 0 for the forecasts of the next tick as the run has them.
        longest: of the horizons [ticks].
    """
    level, ahead = float(ds.attrs["confidence_level"]), max(horizon, 1)

    def on_grid(rows: np.ndarray, shift: int = 0) -> np.ndarray:
        grid = np.full((places[-1] + 1, np.prod(rows.shape[1:], dtype=int)), np.nan)
        inside = places + shift < len(grid)
        grid[places[inside] + shift] = rows[inside].reshape(inside.sum(), -1)
        return grid

    y = on_grid(series.values)
    if horizon:
        own = ds.sel(horizon=horizon)
        columns = (own[f"horizon_{name}"].values for name in ("prediction", "lower", "upper"))
        mean, lower, upper = (on_grid(values, horizon) for values in columns)
        forecasts = {OWN: Forecast(mean, upper - lower, lower, upper)}
    else:
        parts = ("prediction", "scale", "lower", "upper")
        forecasts = {OWN: Forecast(*(on_grid(ds[name].values.astype(np.float64)) for name in parts))}
    for name in names:
        said = seasonal_naive(y, on_grid(_periods(ds)), ahead) if name == SEASONAL else BASELINES[name](y, ahead)
        forecasts[name] = with_interval(y, said, level, ahead)
    first = int(places[start]) + longest - 1
    usable = _usable(y, forecasts, first)
    if not usable.any(axis=0).all():
        raise DomainError(
            f"no tick after the burn-in of {start} has a value and every forecast"
            + (f" {ahead} ticks ahead" if horizon else "")
            + "; shorten `burn_in` or feed more ticks"
        )
    return _dataset(y, forecasts, usable, level, series, start, first, ahead)


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
    y: np.ndarray,
    forecasts: dict[str, Forecast],
    usable: np.ndarray,
    level: float,
    series: Series,
    start: int,
    first: int,
    ahead: int,
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
            test = diebold_mariano((errors[OWN] / unit) ** 2, (errors[name] / unit) ** 2, ahead)
            statistic[i, a], p_value[i, a] = test
    reference = score[names.index("last_value")]
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(reference > 0, score / reference, np.nan)
    relative[:, list(METRICS).index("coverage")] = np.nan
    missed = (np.isfinite(y) & ~np.isfinite(forecasts[OWN].mean))[first:].sum(axis=0)
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
    return xr.Dataset(columns, coords, {"confidence_level": level, "burn_in": start, "series": series.name})


def _finished(ds: xr.Dataset) -> xr.Dataset:
    ds.attrs["verdict"] = verdict(ds)
    return ds


def verdict(ds: xr.Dataset) -> str:
    """What a comparison says in plain language: who wins by how much, is that chance, is the coverage right."""
    if "asset" in ds.dims and ds.sizes["asset"] == 1:
        ds = ds.isel(asset=0)
    if "horizon" in ds.dims:
        return _verdict_by_horizon(ds)
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
    rival_name = LABELS[rival] + ("" if rival == "last_value" else " (the best rival here)")
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
        sentences.append(
            f"Against {LABELS[rival]}, uspnb's RMSE is {_difference(float(np.median(ratios)))} in the median of "
            f"{assets} assets and its interval score {_difference(float(np.median(scores)))}; it is significantly "
            f"better on {int((clear & (ratios < 1)).sum())} and significantly worse on "
            f"{int((clear & (ratios > 1)).sum())} (Diebold-Mariano at 5 %)."
        )
    covered = ds["score"].sel(forecaster=OWN, metric="coverage").values
    sentences.append(
        f"Its {float(ds.attrs['confidence_level']):.0%} interval held {covered.min():.1%} to {covered.max():.1%} of an "
        "asset's ticks."
    )
    return " ".join(sentences)


def _verdict_by_horizon(ds: xr.Dataset) -> str:
    ahead = ds["horizon"].values.tolist()
    several = f" of {ds.sizes['asset']} assets" if "asset" in ds.dims else ""
    sentences = []
    for rival in [str(name) for name in ds["forecaster"].values if name != OWN]:
        own, other = (ds["score"].sel(metric="rmse", forecaster=name) for name in (OWN, rival))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (own / other).where(other > 0, np.where(own > 0, math.inf, 1.0)).transpose("horizon", ...)
        clear = ds["dm_p_value"].sel(forecaster=rival).transpose("horizon", ...).values < SIGNIFICANT
        middle = np.median(ratio.values.reshape(len(ahead), -1), axis=1)
        ends = f"{_difference(float(middle[0]))} at {_ticks_ahead(ahead[0])}"
        if len(ahead) > 1:
            ends += f" and {_difference(float(middle[-1]))} at {_ticks_ahead(ahead[-1])}"
        sentences.append(
            f"Against {LABELS[rival]}, uspnb's RMSE is {ends}{' in the median' + several if several else ''}; of "
            f"{clear.size} {'comparisons' if several else 'horizons'} it is significantly better at "
            f"{int((clear & (ratio.values < 1)).sum())} and significantly worse at "
            f"{int((clear & (ratio.values > 1)).sum())} (Diebold-Mariano at 5 %, errors that overlap allowed for)."
        )
    covered = ds["score"].sel(forecaster=OWN, metric="coverage").values
    sentences.append(
        f"Its {float(ds.attrs['confidence_level']):.0%} intervals held {covered.min():.1%} to {covered.max():.1%} of "
        "a horizon's ticks."
    )
    return " ".join(sentences)


def _ticks_ahead(horizon: int) -> str:
    return f"{counted(horizon, 'tick')} ahead"
