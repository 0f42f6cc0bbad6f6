"""Tomorrow from a state: the fan of the next ticks as a Dataset, joint paths of it, and probabilities on the way.

The paths agree with the fan at every tick, and from tick to tick as the errors of one origin do: their normal scores
are those of an autoregression of order two with the correlations that were found from horizon to horizon.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..array_types import Float
from ..config.schema import PredictorConfig
from ..errors import DomainError
from ..model.fields import INPUT_UNITS
from ..model.orchestration.ahead import Fan, fan_ahead
from ..model.orchestration.gate import grid_interval
from ..model.orchestration.horizons import within_support
from ..model.packing import StateRows, state_of
from ..model.programs import CPU_CODE, Program, joined
from ..runtime.arguments import check_number, check_whole
from .covariates import known_table

if TYPE_CHECKING:
    import xarray as xr

MOST_PATHS = 100_000
# Points of the search for each partial autocorrelation, and what a larger second one costs beside the fit.
GRID, PLAIN_FIT = 61, 1e-3


class Outlook(NamedTuple):
    """A fan on the host, and when its ticks are to come.

    Attributes:
        fan: as of `fan_ahead`, NumPy leaves.
        levels: coverages of its intervals, as of its last axis.
        last_ns: timestamp of the newest tick [ns since 1970 UTC].
        interval_ns: between two places of the time grid, 0 where it is not known.
    """

    fan: Fan
    levels: Float[np.ndarray, "level"]
    last_ns: int
    interval_ns: float


@functools.lru_cache(maxsize=16)
def _program(steps: int) -> Program:
    def run(static: PredictorConfig, knobs: Any, rows: StateRows, known: Any) -> Any:
        config, state = joined(static, knobs), state_of(rows)
        last_ns = state.gate.last_timestamp_ns * state.gate.clock_started
        fan = fan_ahead(config, state, steps, known)
        return fan, state.forecast.made, last_ns, grid_interval(config, state.gate)

    return Program(run, CPU_CODE)


def outlook(
    config: PredictorConfig, static: Any, knobs: Any, rows: StateRows, steps: Any, covariates: Any = None
) -> Outlook:
    """The fan of the next ticks.

    Args:
        config: settings.
        static, knobs: its two parts, as programs take them.
        rows: of a state.
        steps: how many ticks, up to the longest horizon of the configuration, which is what is given where left out.
        covariates: at those ticks, as `known_table` takes them.

    Raises:
        DomainError: more than that, none, or the state has seen no tick.
    """
    import jax

    longest = config.horizons[-1]
    steps = longest if steps is None else check_whole("steps", steps, 1, unit="ticks")
    if steps > max(longest, 1):
        raise DomainError(
            f"steps = {steps} is beyond the longest horizon, {longest} ticks, at which errors are scored; make the "
            f"predictor with PredictorConfig(horizons=(..., {steps}))"
        )
    wanted = bool(config.covariates) or covariates is not None
    known = known_table(config, covariates, steps) if wanted else None
    fan, made, last_ns, interval_ns = jax.device_get(_program(steps)(static, knobs, rows, known))
    if not made:
        raise DomainError("there is no forecast before the first tick; feed one, or call fit_history first")
    levels = np.array([config.confidence_level, *config.interval_levels], float)
    return Outlook(fan, levels, int(last_ns), float(interval_ns))


def to_fan(found: Outlook, config: PredictorConfig, units: str = "", *, grid: bool = False) -> xr.Dataset:
    """The outlook as a Dataset with dims `horizon` (ticks ahead), `level` and `kernel`.

    Args:
        found: from `outlook`.
        config: settings.
        units: of the series.
        grid: whether its timestamps stand for no times; then `valid_time` is left out.
    """
    import xarray as xr

    fan, unit = found.fan, units or INPUT_UNITS
    half = fan.half
    lower, upper = _supported(config, fan.mean[:, None] - half), _supported(config, fan.mean[:, None] + half)
    order = np.argsort(found.levels)
    in_units = {"units": unit}
    variables = {
        "prediction": ("horizon", fan.mean, in_units | {"long_name": "forecast"}),
        "lower": ("horizon", lower[:, 0], in_units | {"long_name": "lower end of the interval"}),
        "upper": ("horizon", upper[:, 0], in_units | {"long_name": "upper end of the interval"}),
        "scale": ("horizon", fan.scale, in_units | {"long_name": "standard deviation of the forecast"}),
        "level_lower": (("horizon", "level"), lower[:, order], in_units | {"long_name": "lower ends by level"}),
        "level_upper": (("horizon", "level"), upper[:, order], in_units | {"long_name": "upper ends by level"}),
        "weight": (("horizon", "kernel"), fan.weight, {"units": "1", "long_name": "weight of each kernel"}),
        "kernel_prediction": (("horizon", "kernel"), fan.kernel_mean, in_units | {"long_name": "kernels' forecasts"}),
    }
    ahead = np.arange(1, len(fan.mean) + 1)
    coordinates: dict[str, Any] = {
        "horizon": ("horizon", ahead, {"long_name": "ticks ahead", "units": "tick"}),
        "level": ("level", found.levels[order], {"long_name": "coverage of the interval", "units": "1"}),
        "kernel": ("kernel", list(config.kernels), {"long_name": "kernel"}),
    }
    if found.interval_ns > 0 and not grid:
        stamps = found.last_ns + np.round(ahead * found.interval_ns).astype(np.int64)
        coordinates["valid_time"] = ("horizon", stamps.astype("datetime64[ns]"), {"long_name": "time (UTC)"})
    attributes: dict[str, Any] = {"confidence_level": float(config.confidence_level), "title": "uspnb forecast"}
    if found.last_ns and not grid:
        attributes["made_at"] = str(np.datetime64(found.last_ns, "ns"))
    return xr.Dataset(variables, coordinates, attributes)


def simulated(found: Outlook, config: PredictorConfig, paths: Any, seed: Any) -> Float[np.ndarray, "path step"]:
    """Joint paths of the next ticks [y].

    The errors of a linear process are e_h = sum_{j<h} psi_j n_{h-j} with n white; their scores z_h = e_h / sd(e_h) are
    drawn so, with psi of `impulse_response`.  A score becomes an error by the inverse of what makes errors scores,
    straight lines through the conformal quantiles.

    Args:
        found: from `outlook`.
        config: settings.
        paths: how many, 1 to 100,000.
        seed: of the random draws, 0 or more.

    Raises:
        DomainError: no such number.
    """
    count = check_whole("paths", paths, 1, MOST_PATHS)
    rng = np.random.default_rng(check_whole("seed", seed, 0))
    fan, steps = found.fan, len(found.fan.mean)
    psi = impulse_response(config.steps, np.asarray(fan.correlation), steps)
    lag = np.arange(steps)[:, None] - np.arange(steps)
    response = np.where(lag >= 0, psi[np.maximum(lag, 0)], 0.0)
    response /= np.sqrt(np.sum(response**2, axis=1, keepdims=True))
    scores = rng.standard_normal((count, steps)) @ response.T
    return _supported(config, fan.mean + np.sign(scores) * error_of(np.abs(scores), found))


def impulse_response(
    rungs: tuple[int, ...], correlation: Float[np.ndarray, "horizon"], steps: int
) -> Float[np.ndarray, "step"]:
    """psi_0 = 1, psi_1, ... of the stationary autoregression of order two whose errors correlate most as was found.

    psi_j = phi_1 psi_{j-1} + phi_2 psi_{j-2}; the errors g and h ticks ahead of one origin have the correlation
    sum_{j<g} psi_j psi_{j+h-g} / sqrt(S_g S_h), S_h = sum_{j<h} psi_j^2, random walks among them.  Squared differences
    count 1/h, as errors that overlap tell less; a correlation below 0 was noted as 0.  The two partial
    autocorrelations are looked for on a grid, where errors tell little near order one.

    Args:
        rungs: 1 and the horizons of the ladder.
        correlation: of the errors at each horizon of the ladder and the rung before.
        steps: how many are wanted.
    """
    # A first one near 1 makes the most difference, so that the grid is finer there.
    first, second = np.meshgrid(1.0 - np.linspace(1.0, 0.0, GRID) ** 2, np.linspace(-0.98, 0.98, GRID))
    first, second = first.ravel(), second.ravel()
    psi = np.zeros((max(steps, rungs[-1]) + 1, first.size))
    psi[0] = 1.0
    for j in range(1, len(psi)):
        psi[j] = first * (1.0 - second) * psi[j - 1] + second * psi[j - 2]  # psi[-1] is still 0
    power = np.cumsum(psi**2, axis=0)
    loss = PLAIN_FIT * (second**2 + 0.01 * first**2)
    for g, h, known in zip(rungs[:-1], rungs[1:], correlation.tolist(), strict=True):
        both = np.sum(psi[:g] * psi[h - g : h], axis=0) / np.sqrt(power[g - 1] * power[h - 1])
        loss += (np.maximum(both, 0.0) - known) ** 2 / h
    return psi[:steps, np.argmin(loss)]


def _supported(config: PredictorConfig, values: Any) -> np.ndarray:
    return np.asarray(within_support(config, jnp.asarray(values))[0])


def error_of(score: Float[np.ndarray, "path step"], found: Outlook) -> Float[np.ndarray, "path step"]:
    """|error| of a normal score, 0 or more: straight lines through the half-widths, in proportion beyond [y]."""
    from scipy.special import ndtri

    normal = np.concatenate([[0.0], np.sort(ndtri(0.5 + 0.5 * found.levels))])
    widths = np.concatenate([np.zeros((len(found.fan.mean), 1)), np.sort(found.fan.half, axis=1)], axis=1)
    columns = [
        np.interp(score[:, h], normal, widths[h]) * np.maximum(score[:, h] / normal[-1], 1.0)
        for h in range(score.shape[1])
    ]
    return np.stack(columns, axis=1)


def crossing_probability(paths: Float[np.ndarray, "path step"], above: Any, below: Any) -> float:
    """Share of the paths that are above one value, or below another, at one of their ticks at least.

    Raises:
        DomainError: neither bound, or one that is no finite number.
    """
    crossed = np.zeros(len(paths), bool)
    if above is None and below is None:
        raise DomainError("give probability a bound: above=x, below=x or both")
    for name, bound, side in (("above", above, np.greater), ("below", below, np.less)):
        if bound is None:
            continue
        crossed |= side(paths, check_number(name, bound)).any(axis=1)
    return float(crossed.mean())
