"""Proper scores of a probabilistic forecast, the Diebold-Mariano test, and calibration by horizon, also as time goes.

SciPy, which takes seconds to import, comes with the functions that need it: a live engine watches calibration without.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..array_types import Bool, Float
from ..errors import DomainError

if TYPE_CHECKING:
    import xarray as xr


def interval_score(
    y: Float[np.ndarray, "*shape"],
    lower: Float[np.ndarray, "*shape"],
    upper: Float[np.ndarray, "*shape"],
    level: float,
) -> Float[np.ndarray, "*shape"]:
    """Winkler's score S = (u - l) + 2/(1 - level) ((l - y)+ + (y - u)+) [input units]; lower is better.

    Source: Gneiting and Raftery 2007, Strictly Proper Scoring Rules, section 6.2.
    """
    miss = np.maximum(lower - y, 0.0) + np.maximum(y - upper, 0.0)
    return (upper - lower) + 2.0 / (1.0 - level) * miss


def gaussian_crps(
    y: Float[np.ndarray, "*shape"], mean: Float[np.ndarray, "*shape"], scale: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """Continuous ranked probability score of N(mean, scale^2) [input units]; lower is better.

    s (z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)) with z = (y - mean)/s, and |y - mean| where s = 0.

    Source: Gneiting and Raftery 2007, equation 21.
    """
    from scipy import special

    safe = np.where(scale > 0, scale, 1.0)
    error = np.abs(y - mean)
    # beyond 40 standard deviations s |z| is the error itself, and z as a ratio may overflow
    z = error / np.maximum(safe, error / 40.0)
    density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    score = error * (2.0 * special.ndtr(z) - 1.0) + safe * (2.0 * density - 1.0 / math.sqrt(math.pi))
    return np.where(scale > 0, score, error)


class DieboldMariano(NamedTuple):
    """Test of equal expected loss.

    Attributes:
        statistic: Student's t of the mean loss difference; negative where the first forecaster is better.
        p_value: two-sided; NaN where the losses do not differ or are too few to tell.
    """

    statistic: float
    p_value: float


def diebold_mariano(
    first: Float[np.ndarray, "time"], second: Float[np.ndarray, "time"], ahead: int = 1
) -> DieboldMariano:
    """Whether two series of losses differ in the mean, allowing for autocorrelation of their difference.

    t = mean(d) / sqrt(v/n) against Student's t with n - 1 degrees of freedom; v is the Newey-West variance of d with
    floor(4 (n/100)^(2/9)) lags.  Errors of forecasts `ahead` = h > 1 ticks long overlap: then at least h - 1 lags are
    taken with equal weights (with Newey-West's where those leave no positive variance), and t is multiplied by
    sqrt((n + 1 - 2h + h (h - 1)/n)/n).

    Args:
        first, second: losses of the same ticks in their order; pairs that are not finite are left out.
        ahead: ticks between a forecast and its outcome.

    Source: Diebold and Mariano 1995; Harvey, Leybourne and Newbold 1997, equations 5 and 9; Newey and West 1994.
    """
    from scipy import stats

    d = first - second
    d = d[np.isfinite(d)]
    n = len(d)
    largest = float(np.max(np.abs(d), initial=0.0))
    if n < max(10, 2 * ahead) or largest == 0.0:
        return DieboldMariano(math.nan, math.nan)
    d = d / largest
    mean, centred = d.mean(), d - d.mean()
    lags = max(ahead - 1, math.floor(4.0 * (n / 100.0) ** (2.0 / 9.0)))
    variance = _long_run_variance(centred, lags, tapered=ahead == 1)
    if ahead > 1 and not variance > 0.0:
        variance = _long_run_variance(centred, lags, tapered=True)
    if not variance > 0.0:
        return DieboldMariano(math.nan, math.nan)
    statistic = float(mean / math.sqrt(variance / n))
    if ahead > 1:
        statistic *= math.sqrt((n + 1 - 2 * ahead + ahead * (ahead - 1) / n) / n)
    return DieboldMariano(statistic, float(2.0 * stats.t.sf(abs(statistic), n - 1)))


def _long_run_variance(centred: Float[np.ndarray, "time"], lags: int, tapered: bool) -> float:
    """Sum of the autocovariances up to a lag, with weights that fall to 0 (Newey and West 1987) or all equal."""
    n = len(centred)
    variance = float(centred @ centred) / n
    for lag in range(1, lags + 1):
        weight = 1.0 - lag / (lags + 1.0) if tapered else 1.0
        variance += 2.0 * weight * float(centred[lag:] @ centred[:-lag]) / n
    return variance


# Ticks of one horizon in a moving share, at least; a longer horizon's errors overlap, and need more of them.
WINDOW, WINDOW_HORIZONS = 200, 20


def inside_share(pit: Float[np.ndarray, "*shape"], level: float) -> Float[np.ndarray, "*shape"]:
    """1 where an outcome with this PIT lies within the central interval of a level, 0 where not, NaN where unknown."""
    return np.where(np.isfinite(pit), (np.abs(pit - 0.5) <= 0.5 * level).astype(float), np.nan)


def rolling_share(values: Float[np.ndarray, "time"], window: int) -> Float[np.ndarray, "time"]:
    """Mean of the newest `window` known values at each row; NaN before there are so many."""
    known = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(values[known])])
    means = np.full(known.sum(), np.nan)
    means[window - 1 :] = (total[window:] - total[:-window]) / window if len(means) >= window else []
    out = np.full(len(values), np.nan)
    out[known] = means
    return out


def rolling_window(horizon: int) -> int:
    """Ticks of a moving share at a horizon."""
    return max(WINDOW, WINDOW_HORIZONS * horizon)


def binomial_band(level: float, ticks: int, horizon: int = 1) -> tuple[float, float]:
    """Ends between which the share of `ticks` outcomes inside lies 19 times in 20, where `level` of them are to be.

    Errors of h ticks share h - 1 shocks with the next, so that h of them tell no less than one: ticks / horizon count.
    """
    half = 1.96 * math.sqrt(level * (1.0 - level) * horizon / ticks)
    return max(level - half, 0.0), min(level + half, 1.0)


def uniformity(pit: Float[np.ndarray, "time"], horizon: int = 1) -> float:
    """p value of Kolmogorov and Smirnov's test that the PIT is uniform, on every h-th row, which share no shock.

    NaN where fewer than ten of them are known.
    """
    from scipy import stats

    apart = pit[::horizon]
    apart = apart[np.isfinite(apart)]
    return float(stats.kstest(apart, "uniform").pvalue) if len(apart) >= 10 else math.nan


# A shift of the mean of the PIT, or of its distance from a half, by twice this many standard deviations is found
# soonest, one by less than this never: errors twice as wide as their intervals move the distance by .71.
ALLOWANCE = 0.35
FALSE_TICKS = 10_000
CHARTS = 4


class CalibrationWatch:
    """Which horizons have lost their calibration, tick by tick: cumulative sums of the PIT (Page 1954).

    Where the forecast is calibrated u = PIT is uniform, and x = sqrt(12) (u - 1/2) and sqrt(12) (|2u - 1| - 1/2) have
    mean 0 and variance 1.  For both and both signs S <- max(S + (+-x - k)/sqrt(h), 0) with k = .35.  Errors of h ticks
    share h - 1 shocks: the variance of a long sum of x is at most h times that of as many independent ones (equal where
    every shock counts alike, Cauchy-Schwarz), which sqrt(h) makes good.  A horizon is lost from where one of its four
    sums exceeds the limit L at which Brownian motion of such drift would do so once in 40,000 ticks, so that calibrated
    forecasts of one horizon are called lost at most once in 10,000 ticks, until that sum has come back to 0.  No sum
    exceeds 2 L, so that a horizon is not held to what is long past.

        (exp(2 k L/sqrt(h)) - 1 - 2 k L/sqrt(h)) h / (2 k^2) = 40,000

    Args:
        horizons: ticks ahead.
        assets: series that are watched beside one another.

    Source: Siegmund 1985, Sequential Analysis, section X.2, for the limit.
    """

    def __init__(self, horizons: Sequence[int], assets: int = 1) -> None:
        self._root = np.sqrt(np.asarray(horizons, dtype=float))
        self._limit = np.array([_limit(h) for h in horizons])
        self._sums = np.zeros((CHARTS, assets, len(horizons)))
        self._beyond = np.zeros(self._sums.shape, bool)

    @property
    def lost(self) -> Bool[np.ndarray, "asset horizon"]:
        """After the newest tick."""
        return np.any(self._beyond, axis=0)

    def follow(self, pit: Float[np.ndarray, "time asset horizon"]) -> Bool[np.ndarray, "time asset horizon"]:
        """`lost` after each of these ticks; a PIT that is not known changes nothing."""
        place = math.sqrt(12.0) * (pit - 0.5)
        spread = math.sqrt(12.0) * (np.abs(2.0 * pit - 1.0) - 0.5)
        sums = np.stack([place, -place, spread, -spread], axis=1)
        sums = np.where(np.isfinite(sums), (sums - ALLOWANCE) / self._root, 0.0)
        newest, most = self._sums, 2.0 * self._limit
        for row in sums:
            row += newest
            np.clip(row, 0.0, most, out=row)
            newest = row
        self._sums = newest.copy()
        # A sum counts as beyond its limit from there until it is 0: whichever of the two was the case last.
        ticks = np.arange(1, len(sums) + 1)[:, None, None, None]
        above = np.maximum.accumulate(np.where(sums > self._limit, ticks, 0))
        back = np.maximum.accumulate(np.where(sums == 0.0, ticks, 0))
        beyond = (above > back) | ((above == back) & self._beyond)
        self._beyond = beyond[-1] if len(beyond) else self._beyond
        return np.any(beyond, axis=1)


def _limit(horizon: int) -> float:
    drift = ALLOWANCE / math.sqrt(horizon)
    low, high = 0.0, 100.0 / drift
    for _ in range(100):  # halves it to the last bit
        middle = 0.5 * (low + high)
        reach = 2.0 * drift * middle
        seldom = (math.expm1(reach) - reach) / (2.0 * drift * drift) > CHARTS * FALSE_TICKS
        low, high = (low, middle) if seldom else (middle, high)
    return high


def calibration_table(ds: xr.Dataset) -> xr.Dataset:
    """How well a run's intervals and distributions hold at each horizon, from its `pit`.

    Args:
        ds: a result of `backtest` or `history`.

    Returns:
        Dataset with dims `horizon` and `level` (and `asset`): `ticks` whose outcome is known, `inside`, the share of
        them within the interval of each level, `uniform_p_value` of `uniformity`, `lost_share` of ticks at which
        `CalibrationWatch` calls the horizon lost, and `lost` at the end.

    Raises:
        DomainError: the run has no PIT.
    """
    pit, lost = watched(ds)
    horizons = ds["horizon"].values.tolist()
    levels = np.sort([*ds["level"].values.tolist(), float(ds.attrs["confidence_level"])])
    inside = np.stack([_known_mean(inside_share(pit, level)) for level in levels], axis=-1)
    apart = [[uniformity(pit[:, a, i], h) for i, h in enumerate(horizons)] for a in range(pit.shape[1])]
    columns = {
        "ticks": (np.isfinite(pit).sum(axis=0), "ticks whose outcome is known", "tick"),
        "inside": (inside, "share of them within the interval", "1"),
        "uniform_p_value": (np.array(apart), "p value of the test that the PIT is uniform", "1"),
        "lost_share": (lost.mean(axis=0), "share of ticks at which calibration counts as lost", "1"),
        "lost": (lost[-1], "whether calibration counts as lost at the end", "1"),
    }
    several = "asset" in ds.dims
    coordinates = {"horizon": ds["horizon"], "level": levels} | ({"asset": ds["asset"]} if several else {})
    outer = ("asset", "horizon") if several else ("horizon",)
    variables = {}
    for name, (values, long_name, units) in columns.items():
        dims = (*outer, "level") if values.ndim > 2 else outer
        variables[name] = (dims, values if several else values[0], {"long_name": long_name, "units": units})
    return type(ds)(variables, coordinates)


def watched(
    ds: xr.Dataset,
) -> tuple[Float[np.ndarray, "time asset horizon"], Bool[np.ndarray, "time asset horizon"]]:
    """The PIT of a run, and at which of its ticks `CalibrationWatch` calls a horizon lost.

    Raises:
        DomainError: the run has no PIT.
    """
    if "pit" not in ds:
        raise DomainError("this run has no pit; make it with backtest(..., horizons=...) of this version")
    pit = ds["pit"].transpose("time", ..., "horizon").values.astype(float)
    pit = pit.reshape(len(pit), -1, pit.shape[-1])
    return pit, CalibrationWatch(ds["horizon"].values.tolist(), pit.shape[1]).follow(pit)


def _known_mean(values: Float[np.ndarray, "time asset horizon"]) -> Float[np.ndarray, "asset horizon"]:
    count = np.isfinite(values).sum(axis=0)
    return np.where(count > 0, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan)
