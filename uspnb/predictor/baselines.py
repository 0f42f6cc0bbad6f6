"""What a user would pick instead: last value, a recursive autoregression and the value of a season ago, with honest
intervals, in plain NumPy.

Everything is causal: the forecast of y_t made h ticks ahead, its scale and its interval use y_0 to y_{t-h} only.  A
missing value teaches nothing; until a forecaster has what it needs it says last value.
"""

from __future__ import annotations

import dataclasses
from statistics import NormalDist

import numpy as np

from ..array_types import Bool, Float

LAGS = 5
FORGETTING = 0.995
RIDGE = 1e-4
WARM_UP = 20
SCALE_RATE = 0.03
CONFORMAL_RATE = 0.01
LEAST_MISS = 1e-4


@dataclasses.dataclass(frozen=True)
class Forecast:
    """A forecaster's output, (T, A) or (T,) [input units]; row t is about y_t and was made h ticks earlier."""

    mean: Float[np.ndarray, "time *asset"]
    scale: Float[np.ndarray, "time *asset"]
    lower: Float[np.ndarray, "time *asset"]
    upper: Float[np.ndarray, "time *asset"]


def last_value(y: Float[np.ndarray, "time asset"], ahead: int = 1) -> Float[np.ndarray, "time asset"]:
    """Forecast yhat_t = the newest finite value at `ahead` ticks before t or earlier; NaN before the first one."""
    return _made_before(newest(y, np.isfinite(y)), ahead)


def newest(values: np.ndarray, known: Bool[np.ndarray, "time asset"]) -> Float[np.ndarray, "time asset"]:
    """At each row the value of the newest row that is known; NaN before the first."""
    rows = np.maximum.accumulate(np.where(known, np.arange(len(values))[:, None], -1))
    return np.where(rows >= 0, np.take_along_axis(values, np.maximum(rows, 0), axis=0), np.nan)


def _made_before(values: np.ndarray, ahead: int) -> np.ndarray:
    """Row t is what was said at row t - `ahead`; NaN where that is none."""
    ahead = min(ahead, len(values))
    return np.concatenate([np.full((ahead, *values.shape[1:]), np.nan), values[: len(values) - ahead]])


def seasonal_naive(
    y: Float[np.ndarray, "time asset"], period: Float[np.ndarray, "time asset"], ahead: int = 1
) -> Float[np.ndarray, "time asset"]:
    """Forecast yhat_t = the value k periods before t, k = ceil(ahead / period) the fewest that are known by then.

    Args:
        y: observations.
        period: in use at the tick that the forecast is made at [ticks]; where it is NaN, last value is said.
        ahead: ticks.
    """
    rows = np.arange(len(y))[:, None]
    used = _made_before(period, ahead)
    back = np.where(np.isfinite(used), np.ceil(ahead / np.maximum(used, 1.0)) * used, len(y))
    place = rows - np.round(back).astype(int)
    held = np.take_along_axis(newest(y, np.isfinite(y)), np.maximum(place, 0), axis=0)
    return np.where(place >= 0, held, last_value(y, ahead))


def recursive_autoregression(
    y: Float[np.ndarray, "time asset"], ahead: int = 1, lags: int = LAGS, forgetting: float = FORGETTING
) -> Float[np.ndarray, "time asset"]:
    """Recursive least squares on an intercept and `lags` past values with exponential forgetting.

    In a frame z = (y - m)/s that the first 20 finite values fix, the forecast is
    zhat_t = z_{t-1} + w . [1, z_{t-1}, dz_{t-1}, ..., dz_{t-lags+1}], the same span as an intercept and `lags` values,
    and w solves (A + ridge I) w = b with A <- forgetting A + f f', b likewise.  The information form cannot wind up.
    The forgetting was fixed beforehand (an effective memory of 200 ticks), not chosen on the series.  Further ahead it
    is fed its own forecasts.

    Source: Haykin, Adaptive Filter Theory, chapter on RLS, information form.
    """
    total, assets = y.shape
    features = lags + 1
    weights, seen = np.full((total, assets, features), np.nan), np.zeros((total, assets, features))
    information, moment = np.zeros((assets, features, features)), np.zeros((assets, features, 1))
    ridge = RIDGE * np.eye(features)
    f, ready = np.zeros((assets, features)), np.zeros(assets, dtype=bool)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        centre, spread, started = _frame(y)
        z = (y - centre) / spread
        steps = np.diff(z, axis=0, prepend=np.full((1, assets), np.nan))
        for t in range(lags, total):
            target = steps[t]
            window = z[t - lags : t]
            f[:, 0], f[:, 1], f[:, 2:] = 1.0, window[-1], steps[t - lags + 1 : t][::-1].T
            ready = np.isfinite(window).all(axis=0) & (t >= started)
            if not ready.any():
                continue
            w = np.linalg.solve(information + ridge, moment)[..., 0]
            weights[t], seen[t] = np.where(ready[:, None], w, np.nan), f
            learn = (ready & np.isfinite(target) & (np.abs(f) < 1e100).all(axis=1) & (np.abs(target) < 1e100))[
                :, None, None
            ]
            g = np.where(learn[..., 0], f, 0.0)
            information = np.where(learn, forgetting, 1.0) * information + g[:, :, None] * g[:, None, :]
            moment = (
                np.where(learn, forgetting, 1.0) * moment
                + (g * np.where(learn[:, 0, 0], target, 0.0)[:, None])[..., None]
            )
        forecast = centre + spread * _made_before(_fed_back(weights, seen, ahead), ahead - 1)
    return np.where(np.isfinite(forecast), forecast, last_value(y, ahead))


def _fed_back(weights: np.ndarray, seen: np.ndarray, ahead: int) -> np.ndarray:
    """The value in the frame `ahead` ticks after each row's newest, (T, A), by as many steps of one regression."""
    row = seen.copy()
    for _ in range(ahead):
        step = (weights * row).sum(axis=-1)
        row[..., 1] += step
        row[..., 3:] = row[..., 2:-1]
        row[..., 2] = step
    return row[..., 1]


def _frame(y: Float[np.ndarray, "time asset"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre, spread and first row of use of the frame, each (T, A) or (A,); known at every row where it is used."""
    centre, spread = np.zeros(y.shape[1]), np.ones(y.shape[1])
    started = np.full(y.shape[1], len(y))
    for a, column in enumerate(y.T):
        rows = np.flatnonzero(np.isfinite(column))[:WARM_UP]
        if len(rows) == WARM_UP:
            centre[a], deviation = column[rows].mean(), column[rows].std()
            spread[a] = deviation if np.isfinite(deviation) and deviation > 0 else max(abs(centre[a]), 1e-300)
            started[a] = rows[-1] + 1
    return np.broadcast_to(centre, y.shape), np.broadcast_to(spread, y.shape), started


def with_interval(
    y: Float[np.ndarray, "time asset"], mean: Float[np.ndarray, "time asset"], level: float, ahead: int = 1
) -> Forecast:
    """A Gaussian interval on a moving scale, its level corrected online by clipped adaptive conformal inference.

    v_t = 0.97 v_{t-1} + 0.03 e_t^2, half width Phi^-1(1 - a_t/2) sqrt(v), a_{t+1} = a_t + 0.01 ((1 - level) - miss_t)
    with a clipped to [1e-4, 0.5] where it is used, so that no interval is infinite.  The interval of a forecast made
    `ahead` ticks before is that of the errors known by then.

    Source: Gibbs and Candes 2021, Adaptive Conformal Inference Under Distribution Shift.
    """
    total, assets = y.shape
    scale, half = np.full((total + ahead, assets), np.nan), np.full((total + ahead, assets), np.nan)
    quantile = np.vectorize(NormalDist().inv_cdf, otypes=[float])
    deviation, alpha = np.full(assets, np.nan), np.full(assets, 1.0 - level)
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(y - mean)
        error = np.where(np.isfinite(error), error, np.nan)
        for t in range(total):
            e = error[t]
            scored = np.isfinite(e)
            missed = np.where(np.isfinite(scale[t]) & scored, (1.0 - level) - (e > half[t]), 0.0)
            alpha = alpha + CONFORMAL_RATE * missed
            # hypot, not a sum of squares: 1e300 squared overflows
            moved = np.hypot(np.sqrt(1 - SCALE_RATE) * deviation, np.sqrt(SCALE_RATE) * e)
            deviation = np.where(scored, np.where(np.isfinite(deviation), moved, e), deviation)
            scale[t + ahead] = deviation
            half[t + ahead] = quantile(1.0 - np.clip(alpha, LEAST_MISS, 0.5) / 2.0) * deviation
        scale, half = scale[:total], half[:total]
        return Forecast(mean, scale, mean - half, mean + half)


# What each says at a tick of no more than the observations; beside them stands `seasonal_naive`, which needs a period.
BASELINES = {"last_value": last_value, "recursive_ar": recursive_autoregression}
