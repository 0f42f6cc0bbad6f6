"""Proper scores of a probabilistic forecast and the Diebold-Mariano test, over the first axis of their arrays."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from ..array_types import Float


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
