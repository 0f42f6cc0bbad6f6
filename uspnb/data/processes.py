"""Synthetic paths whose right answers are known, for notebooks, tests and benchmarks.

Every function takes the length and an explicit seed, and returns a `Path`: the values, the forecast that knowing the
model would give, the true parameters and the ticks at which the process really changes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..errors import DomainError
from ..runtime.arguments import check_whole

Series = Float[np.ndarray, "n"]


@dataclasses.dataclass(frozen=True, eq=False)
class Path:
    """One synthetic series and what is true about it.

    Attributes:
        name: name of the process.
        values: x_0 .. x_{n-1}.
        oracle: E[x_t | x_0 .. x_{t-1}] under the true model, NaN where it is not defined.
        known: true parameters and other closed-form facts.
        changes: ticks at which the law of the process changes, by design and known in advance.
        regime: the state in force at each tick, None where the process has only one.
    """

    name: str
    values: Series
    oracle: Series
    known: dict[str, Any]
    changes: tuple[int, ...] = ()
    regime: Int[np.ndarray, "n"] | None = None


def _generator(n: int, seed: int) -> np.random.Generator:
    check_whole("n", n, 2, unit="ticks")
    return np.random.default_rng(seed)


def _inside(name: str, value: float, low: float, high: float = math.inf, closed: bool = False) -> None:
    inside = low <= value <= high if closed else low < value < high
    if not (math.isfinite(value) and inside):
        left, right = "[]" if closed else "()"
        raise DomainError(f"{name} = {value!r} must be finite and inside {left}{low:g}, {high:g}{right}")


def _change_tick(at: int | None, n: int) -> int:
    tick = n // 2 if at is None else int(at)
    if not 0 < tick < n:
        raise DomainError(f"at = {at!r} must lie strictly between 0 and n = {n}: a change needs ticks on both sides")
    return tick


def _lagged(x: Series, first: float = math.nan) -> Series:
    return np.concatenate([[first], x[:-1]])


def ornstein_uhlenbeck(n: int, seed: int = 0, *, theta: float = 0.05, mean: float = 1.0, sigma: float = 0.3) -> Path:
    """dX = theta (mean - X) dt + sigma dW at unit steps, by its exact transition, started in its stationary law.

    Known: E[x_t | x_{t-1}] = mean + e^{-theta} (x_{t-1} - mean); stationary variance sigma^2 / (2 theta).
    """
    rng = _generator(n, seed)
    _inside("theta", theta, 0.0)
    _inside("sigma", sigma, 0.0)
    decay, deviation = math.exp(-theta), sigma / math.sqrt(2 * theta)
    step, noise = deviation * math.sqrt(-math.expm1(-2 * theta)), rng.standard_normal(n)
    x = np.empty(n)
    x[0] = mean + deviation * noise[0]
    for t in range(1, n):
        x[t] = mean + decay * (x[t - 1] - mean) + step * noise[t]
    known = {"theta": theta, "mean": mean, "sigma": sigma, "variance": deviation**2, "innovation_scale": step}
    return Path("ornstein_uhlenbeck", x, mean + decay * (_lagged(x, mean) - mean), known)


def autoregression(
    n: int, seed: int = 0, *, coefficients: Sequence[float] = (1.3, -0.5), sigma: float = 1.0, burn: int = 500
) -> Path:
    """x_t = sum_i phi_i x_{t-i} + sigma e_t, e_t ~ N(0, 1); a non-stationary set of coefficients is refused.

    Known: the one-step forecast sum_i phi_i x_{t-i}, of error variance sigma^2.
    """
    rng = _generator(n, seed)
    _inside("sigma", sigma, 0.0)
    phi = np.asarray(coefficients, float)
    order = len(phi)
    roots = np.roots(np.concatenate([[1.0], -phi]))
    if order == 0 or np.max(np.abs(roots)) >= 1.0:
        raise DomainError(f"coefficients = {tuple(coefficients)!r} must make a stationary autoregression")
    total = n + burn + order
    noise, x, oracle = sigma * rng.standard_normal(total), np.zeros(total), np.zeros(total)
    for t in range(order, total):
        oracle[t] = phi @ x[t - order : t][::-1]
        x[t] = oracle[t] + noise[t]
    known = {"coefficients": tuple(float(c) for c in phi), "innovation_scale": sigma}
    return Path("autoregression", x[-n:], oracle[-n:], known)


def _fgn_covariance(hurst: float, lags: int) -> Float[np.ndarray, "lags"]:
    k, power = np.arange(lags, dtype=float), 2 * hurst
    return 0.5 * (np.abs(k + 1) ** power - 2 * k**power + np.abs(k - 1) ** power)


def _davies_harte(rng: np.random.Generator, n: int, hurst: float) -> Series:
    covariance = _fgn_covariance(hurst, n + 1)
    eigenvalues = np.fft.fft(np.concatenate([covariance, covariance[1:-1][::-1]])).real.clip(0.0)
    noise = rng.standard_normal(2 * n) + 1j * rng.standard_normal(2 * n)
    return np.fft.fft(np.sqrt(eigenvalues / (2 * n)) * noise).real[:n]


def _gaussian_forecast(x: Series, covariance: Float[np.ndarray, "lags"], memory: int = 1000) -> Series:
    """E[x_t | past] of a zero-mean stationary Gaussian series by Durbin and Levinson, from at most `memory` ticks."""
    n = len(x)
    forecast, phi, variance = np.zeros(n), np.zeros(0), covariance[0]
    for t in range(1, min(n, memory + 1)):
        reflection = (covariance[t] - phi @ covariance[1:t][::-1]) / variance
        phi = np.concatenate([phi - reflection * phi[::-1], [reflection]])
        variance *= 1 - reflection**2
        forecast[t] = phi @ x[:t][::-1]
    if n > memory + 1:
        forecast[memory + 1 :] = np.convolve(x, phi, mode="valid")[1 : n - memory]
    return forecast


def fractional_gaussian_noise(n: int, seed: int = 0, *, hurst: float = 0.7, sigma: float = 1.0) -> Path:
    """Stationary increments of fractional Brownian motion, exact in law by circulant embedding (Davies and Harte 1987).

    Known: Cov(x_t, x_{t+k}) = sigma^2 (|k+1|^{2H} - 2|k|^{2H} + |k-1|^{2H}) / 2 and the Gaussian forecast from it,
    whose memory is cut at 1000 ticks.
    """
    rng = _generator(n, seed)
    _inside("hurst", hurst, 0.0, 1.0)
    _inside("sigma", sigma, 0.0)
    x = _davies_harte(rng, n, hurst)
    oracle = _gaussian_forecast(x, _fgn_covariance(hurst, min(n, 1001) + 1))
    return Path("fractional_gaussian_noise", sigma * x, sigma * oracle, {"hurst": hurst, "sigma": sigma})


def fractional_brownian_motion(n: int, seed: int = 0, *, hurst: float = 0.3, sigma: float = 1.0) -> Path:
    """B_t = sum of fractional Gaussian noise: E[(B_{t+k} - B_t)^2] = sigma^2 k^{2H}, Holder exponent H everywhere.

    Known: the forecast x_{t-1} + E[increment | past increments].
    """
    noise = fractional_gaussian_noise(n, seed, hurst=hurst, sigma=sigma)
    x = np.cumsum(noise.values)
    oracle = _lagged(x, 0.0) + noise.oracle
    return Path("fractional_brownian_motion", x, oracle, {**noise.known, "holder_exponent": hurst})


def jump_diffusion(
    n: int, seed: int = 0, *, drift: float = 0.0, sigma: float = 0.1, intensity: float = 0.01, jump_mean: float = 0.0,
    jump_scale: float = 1.0,
) -> Path:  # fmt: skip
    """x_t = x_{t-1} + drift + sigma e_t + sum of Poisson(intensity) jumps N(jump_mean, jump_scale^2) (Merton 1976).

    Known: E[x_t | past] = x_{t-1} + drift + intensity jump_mean; the ticks that hold a jump (`jump_ticks`).
    """
    rng = _generator(n, seed)
    for name, value in (("sigma", sigma), ("intensity", intensity), ("jump_scale", jump_scale)):
        _inside(name, value, 0.0, 1e300, closed=True)
    noise, count = rng.standard_normal(n), rng.poisson(intensity, n)
    jumps = jump_mean * count + jump_scale * np.sqrt(count) * rng.standard_normal(n)
    x = np.cumsum(drift + sigma * noise + jumps)
    known = {"drift": drift, "sigma": sigma, "intensity": intensity, "jump_mean": jump_mean, "jump_scale": jump_scale,
             "jump_ticks": tuple(np.flatnonzero(count).tolist())}  # fmt: skip
    return Path("jump_diffusion", x, _lagged(x, 0.0) + drift + intensity * jump_mean, known)


def garch(n: int, seed: int = 0, *, omega: float = 0.05, alpha: float = 0.1, beta: float = 0.85) -> Path:
    """Returns x_t = sqrt(h_t) e_t, h_t = omega + alpha x_{t-1}^2 + beta h_{t-1} (Bollerslev 1986).

    Known: mean forecast 0; variance omega / (1 - alpha - beta); `conditional_scale` sqrt(h_t) at every tick.
    """
    rng = _generator(n, seed)
    _inside("omega", omega, 0.0)
    for name, value in (("alpha", alpha), ("beta", beta), ("alpha + beta", alpha + beta)):
        _inside(name, value, 0.0, 1.0 - 1e-12, closed=True)
    burn, variance = 500, omega / (1 - alpha - beta)
    noise, x, scale, h = rng.standard_normal(n + burn), np.empty(n + burn), np.empty(n + burn), variance
    for t in range(n + burn):
        scale[t] = math.sqrt(h)
        x[t] = scale[t] * noise[t]
        h = omega + alpha * x[t] ** 2 + beta * h
    known = {"omega": omega, "alpha": alpha, "beta": beta, "variance": variance, "conditional_scale": scale[burn:]}
    return Path("garch", x[burn:], np.zeros(n), known)


def regime_switching_autoregression(
    n: int, seed: int = 0, *, regimes: Sequence[tuple[float, float, float]] = ((0.9, 0.0, 0.5), (-0.6, 1.0, 1.0)),
    switch_probability: float = 1 / 300,
) -> Path:  # fmt: skip
    """x_t = c_s + phi_s x_{t-1} + sd_s e_t, s a two-state Markov chain; regimes are (phi, c, sd).

    Known: E[x_t | past] by the filter of Hamilton (1989) and, for one who is told s_t, `oracle_given_regime`.
    """
    rng = _generator(n, seed)
    _inside("switch_probability", switch_probability, 0.0, 1.0)
    if len(regimes) != 2:
        raise DomainError(f"regimes holds {len(regimes)} entries; this chain has exactly two")
    phi, constant, deviation = np.asarray(regimes, float).T
    noise, switch = rng.standard_normal(n), rng.random(n) < switch_probability
    state = np.cumsum(switch) % 2
    x, conditional, oracle, belief = np.zeros(n), np.zeros(n), np.zeros(n), np.array([0.5, 0.5])
    for t in range(n):
        mean = constant + phi * x[t - 1] if t else np.zeros(2)
        belief = belief + switch_probability * (belief[::-1] - belief)
        conditional[t], oracle[t] = mean[state[t]], belief @ mean
        x[t] = conditional[t] + deviation[state[t]] * noise[t]
        score = np.log(belief) - np.log(deviation) - 0.5 * ((x[t] - mean) / deviation) ** 2
        belief = np.exp(score - score.max())
        belief = np.maximum(belief / belief.sum(), 1e-300)
    known = {"regimes": tuple(map(tuple, regimes)), "switch_probability": switch_probability,
             "oracle_given_regime": conditional}  # fmt: skip
    changes = tuple((np.flatnonzero(np.diff(state)) + 1).tolist())
    return Path("regime_switching_autoregression", x, oracle, known, changes, state)


def sine_in_noise(n: int, seed: int = 0, *, period: float = 40.0, amplitude: float = 1.0, sigma: float = 0.1) -> Path:
    """x_t = amplitude sin(2 pi t / period) + sigma e_t.  Known: the sine itself is the forecast."""
    rng = _generator(n, seed)
    _inside("period", period, 2.0)
    _inside("sigma", sigma, 0.0, 1e300, closed=True)
    clean = amplitude * np.sin(2 * np.pi * np.arange(n) / period)
    known = {"period": period, "frequency": 1 / period, "amplitude": amplitude, "innovation_scale": sigma}
    return Path("sine_in_noise", clean + sigma * rng.standard_normal(n), clean, known)


def logistic_map(n: int, seed: int = 0, *, rate: float = 4.0) -> Path:
    """x_t = rate x_{t-1} (1 - x_{t-1}) (1 - 1e-12): chaos without noise, started at a random point of (0.1, 0.9).

    The last factor keeps rounding from landing on the fixed point 0.  Known: the forecast is exact; at rate 4 the
    Lyapunov exponent is ln 2 and the mean 1/2.
    """
    rng = _generator(n, seed)
    _inside("rate", rate, 0.0, 4.0, closed=True)
    x = np.empty(n)
    x[0] = rng.uniform(0.1, 0.9)
    for t in range(1, n):
        x[t] = rate * x[t - 1] * (1 - x[t - 1]) * (1 - 1e-12)
    oracle = np.concatenate([[np.nan], x[1:]])
    return Path("logistic_map", x, oracle, {"rate": rate, "lyapunov": math.log(2) if rate == 4.0 else math.nan})


def mean_shift(n: int, seed: int = 0, *, at: int | None = None, size: float = 1.0, sigma: float = 1.0) -> Path:
    """x_t = size 1{t >= at} + sigma e_t.  Known: the change tick (by default n // 2) and the mean on each side."""
    rng = _generator(n, seed)
    tick = _change_tick(at, n)
    _inside("sigma", sigma, 0.0)
    regime = (np.arange(n) >= tick).astype(int)
    known = {"size": size, "sigma": sigma}
    return Path("mean_shift", size * regime + sigma * rng.standard_normal(n), size * regime, known, (tick,), regime)


def variance_shift(n: int, seed: int = 0, *, at: int | None = None, ratio: float = 2.0, sigma: float = 1.0) -> Path:
    """x_t = sigma e_t before the change and ratio sigma e_t from it on.  Known: the tick; the forecast stays 0."""
    rng = _generator(n, seed)
    tick = _change_tick(at, n)
    _inside("ratio", ratio, 0.0)
    _inside("sigma", sigma, 0.0)
    regime = (np.arange(n) >= tick).astype(int)
    x = sigma * np.where(regime == 1, ratio, 1.0) * rng.standard_normal(n)
    return Path("variance_shift", x, np.zeros(n), {"ratio": ratio, "sigma": sigma}, (tick,), regime)


def dependence_shift(n: int, seed: int = 0, *, at: int | None = None, before: float = 0.0, after: float = 0.6) -> Path:
    """x_t = phi_t x_{t-1} + sqrt(1 - phi_t^2) e_t, phi changing at a tick: mean 0 and variance 1 never change.

    Known: the tick and the forecast phi_t x_{t-1}.
    """
    rng = _generator(n, seed)
    tick = _change_tick(at, n)
    for name, value in (("before", before), ("after", after)):
        _inside(name, value, -1.0, 1.0)
    regime = (np.arange(n) >= tick).astype(int)
    phi, noise, x = np.where(regime == 1, after, before), rng.standard_normal(n), np.empty(n)
    x[0] = noise[0]
    for t in range(1, n):
        x[t] = phi[t] * x[t - 1] + math.sqrt(1 - phi[t] ** 2) * noise[t]
    known = {"before": before, "after": after, "variance": 1.0}
    return Path("dependence_shift", x, phi * _lagged(x, 0.0), known, (tick,), regime)


def holder_switch(n: int, seed: int = 0, *, at: int | None = None, before: float = 0.5, after: float = 0.2) -> Path:
    """A path of unit-variance increments whose Hurst exponent switches at a tick, the two stretches independent.

    Known: the tick, the Holder exponent on each side, and the forecast from the increments of the stretch in force.
    """
    rng = _generator(n, seed)
    tick = _change_tick(at, n)
    pieces, forecasts = [], []
    for name, hurst, length in (("before", before, tick), ("after", after, n - tick)):
        _inside(name, hurst, 0.0, 1.0)
        pieces.append(_davies_harte(rng, max(length, 2), hurst)[:length])
        forecasts.append(_gaussian_forecast(pieces[-1], _fgn_covariance(hurst, min(length, 1001) + 1)))
    x = np.cumsum(np.concatenate(pieces))
    regime = (np.arange(n) >= tick).astype(int)
    oracle = _lagged(x, 0.0) + np.concatenate(forecasts)
    return Path("holder_switch", x, oracle, {"before": before, "after": after}, (tick,), regime)


def binomial_cascade(n: int, seed: int = 0, *, weight: float = 0.3, shuffled: bool = False) -> Path:
    """Distribution function of the binomial measure: every dyadic cell gives `weight` of its mass to its left half.

    Built to the first power of two >= n and cut to n ticks; `shuffled` draws from the seed which half is the left one.
    Known: tau(q) = -log2(weight^q + (1 - weight)^q) (`known["tau"]` is that function), a proper multifractal.
    """
    rng = _generator(n, seed)
    _inside("weight", weight, 0.0, 1.0)
    mass = np.ones(1)
    for _ in range(math.ceil(math.log2(n))):
        left = np.where(rng.random(len(mass)) < 0.5, weight, 1 - weight) if shuffled else np.full(len(mass), weight)
        mass = np.stack([mass * left, mass * (1 - left)], axis=1).ravel()

    def tau(q: float) -> float:
        return -math.log2(weight**q + (1 - weight) ** q)

    known = {"weight": weight, "tau": tau}
    return Path("binomial_cascade", np.cumsum(mass)[:n], np.full(n, np.nan), known)


def random_walk(n: int, seed: int = 0, *, drift: float = 0.0, sigma: float = 1.0) -> Path:
    """x_t = x_{t-1} + drift + sigma e_t.  Known: last value plus drift is the best forecast; Holder exponent 1/2."""
    rng = _generator(n, seed)
    _inside("sigma", sigma, 0.0)
    x = np.cumsum(drift + sigma * rng.standard_normal(n))
    return Path("random_walk", x, _lagged(x, 0.0) + drift, {"drift": drift, "sigma": sigma, "holder_exponent": 0.5})


def student_noise(n: int, seed: int = 0, *, degrees: float = 3.0, scale: float = 1.0) -> Path:
    """x_t = scale T_t, T_t independent Student-t.  Known: forecast 0, variance scale^2 degrees / (degrees - 2)."""
    rng = _generator(n, seed)
    _inside("degrees", degrees, 0.0)
    _inside("scale", scale, 0.0)
    variance = scale**2 * degrees / (degrees - 2) if degrees > 2 else math.inf
    known = {"degrees": degrees, "scale": scale, "variance": variance}
    return Path("student_noise", scale * rng.standard_t(degrees, n), np.zeros(n), known)


def threshold_autoregression(
    n: int, seed: int = 0, *, low: float = 0.8, high: float = -0.6, threshold: float = 0.0, sigma: float = 0.5
) -> Path:
    """x_t = phi(x_{t-1}) x_{t-1} + sigma e_t with phi = `low` at or below the threshold and `high` above (Tong 1990).

    Known: the forecast, which no linear filter can reach.
    """
    rng = _generator(n, seed)
    for name, value in (("low", low), ("high", high)):
        _inside(name, value, -1.0, 1.0)
    _inside("sigma", sigma, 0.0)
    noise, x, oracle = sigma * rng.standard_normal(n), np.zeros(n), np.zeros(n)
    x[0] = noise[0]
    for t in range(1, n):
        oracle[t] = (low if x[t - 1] <= threshold else high) * x[t - 1]
        x[t] = oracle[t] + noise[t]
    regime = (_lagged(x, 0.0) > threshold).astype(int)
    known = {"low": low, "high": high, "threshold": threshold, "innovation_scale": sigma}
    return Path("threshold_autoregression", x, oracle, known, regime=regime)


def seasonal_demand(
    n: int, seed: int = 0, *, per_day: int = 48, level: float = 100.0, weekend: float = 0.7, noise: float = 3.0,
    persistence: float = 0.8,
) -> Path:  # fmt: skip
    """x_t = level w(day) (1 + 0.3 sin(2 pi (h - 1/3)) + 0.15 sin(4 pi h)) + u_t, u_t = persistence u_{t-1} + noise e_t.

    h is the fraction of the day gone; w is 1 on five days and `weekend` on two.  Known: the clean shape, and the
    forecast shape_t + persistence u_{t-1}, of error variance noise^2.
    """
    rng = _generator(n, seed)
    _inside("per_day", per_day, 2, 1e9, closed=True)
    _inside("noise", noise, 0.0)
    _inside("persistence", persistence, -1.0, 1.0)
    tick = np.arange(n)
    hour, weekday = (tick % per_day) / per_day, (tick // per_day) % 7
    daily = 1 + 0.3 * np.sin(2 * np.pi * (hour - 1 / 3)) + 0.15 * np.sin(4 * np.pi * hour)
    shape = level * np.where(weekday < 5, 1.0, weekend) * daily
    u, shocks = np.zeros(n), noise * rng.standard_normal(n)
    u[0] = shocks[0]
    for t in range(1, n):
        u[t] = persistence * u[t - 1] + shocks[t]
    known = {"per_day": per_day, "per_week": 7 * per_day, "shape": shape, "innovation_scale": noise}
    return Path("seasonal_demand", shape + u, shape + persistence * _lagged(u, 0.0), known)


CATALOGUE: dict[str, Callable[..., Path]] = {
    process.__name__: process
    for process in (
        ornstein_uhlenbeck, autoregression, fractional_brownian_motion, fractional_gaussian_noise, jump_diffusion,
        garch, regime_switching_autoregression, sine_in_noise, logistic_map, mean_shift, variance_shift,
        dependence_shift, holder_switch, binomial_cascade, random_walk, student_noise, threshold_autoregression,
        seasonal_demand,
    )
}  # fmt: skip
