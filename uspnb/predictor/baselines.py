"""What a user would pick instead: last value and a recursive autoregression, with honest intervals, in plain NumPy.

Everything is causal: the forecast of y_t, its scale and its interval use y_0 to y_{t-1} only.  A missing value teaches
nothing; until a forecaster has what it needs it says last value.
"""

from __future__ import annotations

import dataclasses
from statistics import NormalDist

import numpy as np

from ..array_types import Float

LAGS = 5
FORGETTING = 0.995
RIDGE = 1e-4
WARM_UP = 20
SCALE_RATE = 0.03
CONFORMAL_RATE = 0.01
LEAST_MISS = 1e-4


@dataclasses.dataclass(frozen=True)
class Forecast:
    """A forecaster's output, (T, A) or (T,) [input units]; row t is about y_t and was made one tick earlier."""

    mean: Float[np.ndarray, "time *asset"]
    scale: Float[np.ndarray, "time *asset"]
    lower: Float[np.ndarray, "time *asset"]
    upper: Float[np.ndarray, "time *asset"]


def last_value(y: Float[np.ndarray, "time asset"]) -> Float[np.ndarray, "time asset"]:
    """Forecast yhat_t = the newest finite value before t; NaN before the first one."""
    finite = np.isfinite(y)
    rows = np.where(finite, np.arange(len(y))[:, None], -1)
    newest = np.maximum.accumulate(rows, axis=0)
    held = np.where(newest >= 0, np.take_along_axis(y, np.maximum(newest, 0), axis=0), np.nan)
    return np.concatenate([np.full((1, y.shape[1]), np.nan), held[:-1]])


def recursive_autoregression(
    y: Float[np.ndarray, "time asset"], lags: int = LAGS, forgetting: float = FORGETTING
) -> Float[np.ndarray, "time asset"]:
    """Recursive least squares on an intercept and `lags` past values with exponential forgetting.

    In a frame z = (y - m)/s that the first 20 finite values fix, the forecast is
    zhat_t = z_{t-1} + w . [1, z_{t-1}, dz_{t-1}, ..., dz_{t-lags+1}], the same span as an intercept and `lags` values,
    and w solves (A + ridge I) w = b with A <- forgetting A + f f', b likewise.  The information form cannot wind up.
    The forgetting was fixed beforehand (an effective memory of 200 ticks), not chosen on the series.

    Source: Haykin, Adaptive Filter Theory, chapter on RLS, information form.
    """
    total, assets = y.shape
    naive = last_value(y)
    out = naive.copy()
    features = lags + 1
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
            forecast = centre[t] + spread[t] * (z[t - 1] + (w * f).sum(axis=1))
            out[t] = np.where(ready & np.isfinite(forecast), forecast, naive[t])
            learn = (ready & np.isfinite(target) & (np.abs(f) < 1e100).all(axis=1) & (np.abs(target) < 1e100))[
                :, None, None
            ]
            g = np.where(learn[..., 0], f, 0.0)
            information = np.where(learn, forgetting, 1.0) * information + g[:, :, None] * g[:, None, :]
            moment = (
                np.where(learn, forgetting, 1.0) * moment
                + (g * np.where(learn[:, 0, 0], target, 0.0)[:, None])[..., None]
            )
    return out


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


def with_interval(y: Float[np.ndarray, "time asset"], mean: Float[np.ndarray, "time asset"], level: float) -> Forecast:
    """A Gaussian interval on a moving scale, its level corrected online by clipped adaptive conformal inference.

    v_t = 0.97 v_{t-1} + 0.03 e_t^2, half width Phi^-1(1 - a_t/2) sqrt(v), a_{t+1} = a_t + 0.01 ((1 - level) - miss_t)
    with a clipped to [1e-4, 0.5] where it is used, so that no interval is infinite.

    Source: Gibbs and Candes 2021, Adaptive Conformal Inference Under Distribution Shift.
    """
    total, assets = y.shape
    scale, half = np.full((total, assets), np.nan), np.full((total, assets), np.nan)
    quantile = np.vectorize(NormalDist().inv_cdf, otypes=[float])
    deviation, alpha = np.full(assets, np.nan), np.full(assets, 1.0 - level)
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(y - mean)
        error = np.where(np.isfinite(error), error, np.nan)
        for t in range(total):
            scaled = np.isfinite(deviation)
            scale[t] = deviation
            half[t] = quantile(1.0 - np.clip(alpha, LEAST_MISS, 0.5) / 2.0) * deviation
            e = error[t]
            scored = np.isfinite(e)
            alpha = alpha + np.where(scaled & scored, CONFORMAL_RATE * ((1.0 - level) - (e > half[t])), 0.0)
            # hypot, not a sum of squares: 1e300 squared overflows
            moved = np.hypot(np.sqrt(1 - SCALE_RATE) * deviation, np.sqrt(SCALE_RATE) * e)
            deviation = np.where(scored, np.where(scaled, moved, e), deviation)
        return Forecast(mean, scale, mean - half, mean + half)


BASELINES = {"last_value": last_value, "recursive_ar": recursive_autoregression}
