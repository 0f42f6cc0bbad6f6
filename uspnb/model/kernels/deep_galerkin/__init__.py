"""Kernel B, deep_galerkin: the conditional mean and variance as solutions of the backward Kolmogorov equation.

At every tick the drift and the diffusion of the series are estimated online (`drift`).  Every `dgm_stride` ticks the
equation V_t + b V_z + 1/2 s^2 V_zz = 0 is solved on one tick with the features of a trained network (`trunk`,
`galerkin`), for the terminal values z and z^2; its solution is read at every tick, and its entropy is watched
(`entropy`, `ladder`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ....array_types import Array, Count, Flag, Float, Key, Scalar
from ....config.schema import PredictorConfig
from ...cadence import on_stride, where_due
from ..base import KernelInputs, KernelOutput
from .drift import Estimate, MomentState, estimate, frame_of, learn, moments_ahead, moments_init
from .entropy import entropy_report
from .galerkin import Tables, held_out_residual, load_tables, solve, value_at
from .ladder import LadderState, ladder_init, next_rung, update_ladder
from .trunk import check_shipped

CALIBRATION_RATE = 0.03
CALIBRATION_BOUNDS = (0.1, 10.0)
WINDOW_MARGIN = 2.0
LEAST_SCALE = 1e-6
# While the estimates are young the equation is solved at every tick.
SETTLED = 64


class Solution(NamedTuple):
    """The solution of the equation when it was last solved.

    Attributes:
        layers: output layers for the terminal values z and z^2, zero beyond the features of the trunk.
        residual: of the equation at points outside the solve [z per tick].
        start, average, terminal, expected: the entropies of `entropy.EntropyReport`.
        trunk: 1 for the configured trunk, 2 for the next larger one, 0 before the first solve.
    """

    layers: Float[Array, "features 2"]
    residual: Scalar
    start: Scalar
    average: Scalar
    terminal: Scalar
    expected: Scalar
    trunk: Count


class State(NamedTuple):
    """What the kernel carries from tick to tick.

    Attributes:
        moments: conditional moments of the increments.
        ladder: entropy baseline and rung.
        calibration: running mean of squared standardised errors, 1 where the equation's variance is right.
        mean, variance: forecast of the next increment and the equation's variance of it [s_t, s_t^2].
        solution: of the equation, from the last tick on which it was solved.
        drift, diffusion: coefficients of the equation at the newest tick, as of `drift.Estimate`.
    """

    moments: MomentState
    ladder: LadderState
    calibration: Scalar
    mean: Scalar
    variance: Scalar
    solution: Solution
    drift: Float[Array, "4"]
    diffusion: Float[Array, "3"]


class Diagnostics(NamedTuple):
    """What the kernel says about itself at a tick.

    Attributes:
        drift_slope: -theta, the mean slope of b over the states visited [1/tick].
        diffusion: s^2 at the newest value [s_t^2 per tick].
        residual: root mean square of the equation's residual at points outside the solve [z per tick].
        entropy: H[V(0, .)] over the grid [nats, in cells of the z grid].
        mean_entropy: H[V(t, .)] averaged over the tick; a healthy solution has it near `expected_entropy`.
        terminal_entropy: H[g].
        expected_entropy: H[g] - theta / 2.
        entropy_ratio: kappa, entropy over its own slow baseline.
        rung: 0 for the configured trunk, 1 for the next larger one.
        clipped: whether the forecast was held to the window's range.
    """

    drift_slope: Scalar
    diffusion: Scalar
    residual: Scalar
    entropy: Scalar
    mean_entropy: Scalar
    terminal_entropy: Scalar
    expected_entropy: Scalar
    entropy_ratio: Scalar
    rung: Count
    clipped: Flag


def check(config: PredictorConfig) -> None:
    """Refuse a size of the trunk that is not shipped.

    Raises:
        ConfigError: the message names the sizes that there are.
    """
    check_shipped(config.dgm_width_size, config.dgm_depth)


def init(config: PredictorConfig, key: Key) -> State:
    """State before the first tick; loads and verifies the trunk.

    Raises:
        ConfigError: no trunk of the configured size is shipped.
        IntegrityError: the trunk's file is damaged.
    """
    del key
    layers = jnp.zeros((max(trunk.feature_count for trunk in _trunks(config)), 2))
    residual, start, average, terminal, expected = (jnp.zeros(()) for _ in range(5))
    unsolved = Solution(layers, residual, start, average, terminal, expected, jnp.zeros((), jnp.int64))
    return State(
        moments_init(), ladder_init(), jnp.ones(()), jnp.zeros(()), jnp.ones(()), unsolved, jnp.zeros(4), jnp.zeros(3)
    )


def solve_tick(tables: Tables, fitted: Estimate) -> Solution:
    """Solve the equation of a tick.

    Args:
        tables: of the trunk to use.
        fitted: drift and diffusion.
    """
    layers = solve(tables, fitted.drift, fitted.diffusion)
    start = jnp.asarray(tables.grid) + tables.grid_start @ layers[:, 0]
    middle = jnp.asarray(tables.grid) + 0.5 * (tables.grid_middle @ layers[:, 0])
    report = entropy_report(start, middle, 2.0 / (len(tables.grid) - 1), fitted.theta)
    residual = held_out_residual(tables, layers, fitted.drift, fitted.diffusion)
    return Solution(layers, residual, *report, jnp.ones((), jnp.int64))


def _trunks(config: PredictorConfig) -> tuple[Tables, ...]:
    """The tables of the configured trunk, and of the next larger one where the architecture adapts."""
    above = next_rung(config) if config.dgm_adaptive_architecture else None
    sizes = [(config.dgm_width_size, config.dgm_depth), *([] if above is None else [above])]
    return tuple(load_tables(*size, config.dgm_entropy_num_bins) for size in sizes)


def _solve_where_due(config: PredictorConfig, state: State, fitted: Estimate, ticks: Count) -> Solution:
    """The solution every `dgm_stride` ticks, and where the trunk has changed; else the last one."""
    trunks, held = _trunks(config), state.solution
    width = held.layers.shape[0]

    def on(trunk: int) -> Callable[..., Solution]:
        def solved(*leaves: Array) -> Solution:
            solution = solve_tick(trunks[trunk], Estimate(*leaves[: len(fitted)]))
            layers = jnp.pad(solution.layers, ((0, width - solution.layers.shape[0]), (0, 0)))
            return solution._replace(layers=layers, trunk=solution.trunk + trunk)

        return solved

    def anew(raised: Flag, *leaves: Array) -> Solution:
        return on(0)(*leaves) if len(trunks) == 1 else where_due(raised, on(1), on(0), *leaves)

    def last(_: Flag, *leaves: Array) -> Solution:
        return Solution(*leaves[len(fitted) :])

    raised = state.ladder.raised & (len(trunks) > 1)
    due = on_stride(ticks, config.dgm_stride, SETTLED) | (held.trunk != 1 + raised.astype(jnp.int64))
    return where_due(due, anew, last, raised, *fitted, *held)


def _value(config: PredictorConfig, solution: Solution, z: Scalar) -> tuple[Scalar, Scalar]:
    """E[z_T | z] [z] and E[z_T^2 | z] [z^2] at the newest value."""
    trunks = _trunks(config)

    def on(trunk: int) -> Callable[..., tuple[Scalar, Scalar]]:
        tables = trunks[trunk]
        return lambda layers, z: value_at(tables, layers[: tables.feature_count], z)

    if len(trunks) == 1:
        return on(0)(solution.layers, z)
    return where_due(solution.trunk > 1, on(1), on(0), solution.layers, z)


def step(config: PredictorConfig, state: State, inputs: KernelInputs, key: Key) -> tuple[State, KernelOutput]:
    """Learn from the realised increment, solve V_t + b V_z + 1/2 s^2 V_zz = 0 and forecast the next increment.

    mean = spread (V_z(0, z) - z) for g = z, held to the window's range and a margin of 2 s_t; the variance is
    V_square(0, z) - V(0, z)^2 times a running calibration by the kernel's own errors.

    Args:
        config: sizes of the trunk and of the entropy's grid, ridge, trigger.
        state: from `init` or the last `step`.
        inputs: the frame of this tick.
        key: unused; the kernel draws nothing.

    Returns:
        The new state and the forecast with `Diagnostics`.

    Source: seed 003, sections 2 and 10.2; Sirignano and Spiliopoulos (2018); MATH.md, deep_galerkin.
    """
    del key
    calibration = _calibrate(state, inputs)
    moments = learn(state.moments, inputs.increment, inputs.learn)
    moments, fitted, z = estimate(moments, inputs.level, inputs.spread, config.kernel_ridge_lambda)
    solution = _solve_where_due(config, state, fitted, inputs.ticks)
    value, square = _value(config, solution, z)
    ladder, ratio = update_ladder(state.ladder, solution.start, config.entropy_scaling_trigger, inputs.learn)
    mean, variance, clipped = _forecast(value, square, fitted, z, inputs)
    diagnostics = Diagnostics(
        drift_slope=-fitted.theta,
        diffusion=fitted.variance * fitted.diffusion_ratio,
        residual=solution.residual,
        entropy=solution.start,
        mean_entropy=solution.average,
        terminal_entropy=solution.terminal,
        expected_entropy=solution.expected,
        entropy_ratio=ratio,
        rung=state.ladder.raised.astype(jnp.int32),
        clipped=clipped,
    )
    scale = jnp.maximum(jnp.sqrt(variance * calibration), LEAST_SCALE)
    state = State(moments, ladder, calibration, mean, variance, solution, fitted.drift, fitted.diffusion)
    if not config.ladder:
        return state, KernelOutput(mean[None], scale[None], diagnostics)
    path, spread = moments_ahead(fitted.drift, fitted.diffusion, z, config.ladder)
    means = jnp.concatenate([mean[None], _held(fitted.spread * (path - z), inputs, config.ladder)])
    scales = jnp.sqrt(jnp.maximum(fitted.spread**2 * spread * calibration, LEAST_SCALE**2))
    return state, KernelOutput(means, jnp.concatenate([scale[None], scales]), diagnostics)


def ahead(config: PredictorConfig, state: State, inputs: KernelInputs, steps: tuple[int, ...]) -> Float[Array, "step"]:
    """Conditional mean of the increment beyond the next tick, by `drift.moments_ahead` from the newest value."""
    del config
    spread, z = frame_of(inputs.level, inputs.spread)
    path, _ = moments_ahead(state.drift, state.diffusion, z, steps)
    return _held(spread * (path - z), inputs, steps)


def _held(means: Float[Array, "step"], inputs: KernelInputs, steps: tuple[int, ...]) -> Float[Array, "step"]:
    margin = WINDOW_MARGIN * np.sqrt(np.array(steps, float))
    return jnp.clip(means, jnp.min(inputs.path) - margin, jnp.max(inputs.path) + margin)


def _calibrate(state: State, inputs: KernelInputs) -> Scalar:
    """Follow the squared error of the last forecast over the equation's variance, bounded, where it may be learned."""
    error = jnp.where(inputs.learn, inputs.increment, 0.0) - state.mean
    ratio = jnp.minimum(error * error / jnp.maximum(state.variance, LEAST_SCALE**2), CALIBRATION_BOUNDS[1])
    moved = state.calibration + CALIBRATION_RATE * (ratio - state.calibration)
    return jnp.where(inputs.learn, jnp.clip(moved, *CALIBRATION_BOUNDS), state.calibration)


def _forecast(
    value: Scalar, square: Scalar, fitted: Estimate, z: Scalar, inputs: KernelInputs
) -> tuple[Scalar, Scalar, Flag]:
    raw = fitted.spread * (value - z)
    mean = jnp.clip(raw, jnp.min(inputs.path) - WINDOW_MARGIN, jnp.max(inputs.path) + WINDOW_MARGIN)
    # V2 - V^2 cancels where the innovation is small against the spread: the regression's own variance bounds it.
    spread_square = fitted.spread**2 * (square - value**2)
    variance = jnp.clip(spread_square, 0.5 * fitted.variance, 2.0 * fitted.variance)
    return mean, variance, mean != raw
