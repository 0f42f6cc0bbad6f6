"""Kernel B, deep_galerkin: the conditional mean and variance as solutions of the backward Kolmogorov equation.

At every tick the drift and the diffusion of the series are estimated online (`drift`), the equation
V_t + b V_z + 1/2 s^2 V_zz = 0 is solved on one tick with the features of a trained network (`trunk`, `galerkin`), for
the terminal values z and z^2, and the entropy of the solution is watched (`entropy`, `ladder`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from ....array_types import Array, Count, Flag, Float, Key, Scalar
from ....config.schema import PredictorConfig
from ..base import KernelInputs, KernelOutput
from .drift import Estimate, MomentState, estimate, learn, moments_init
from .entropy import entropy_report
from .galerkin import Tables, held_out_residual, load_tables, solve, value_at
from .ladder import LadderState, ladder_init, next_rung, update_ladder
from .trunk import check_shipped

CALIBRATION_RATE = 0.03
CALIBRATION_BOUNDS = (0.1, 10.0)
WINDOW_MARGIN = 2.0
LEAST_SCALE = 1e-6


class State(NamedTuple):
    """What the kernel carries from tick to tick.

    Attributes:
        moments: conditional moments of the increments.
        ladder: entropy baseline and rung.
        calibration: running mean of squared standardised errors, 1 where the equation's variance is right.
        mean, variance: forecast of the next increment and the equation's variance of it [s_t, s_t^2].
    """

    moments: MomentState
    ladder: LadderState
    calibration: Scalar
    mean: Scalar
    variance: Scalar


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


class Solution(NamedTuple):
    """The value function of a tick where it is needed.

    Attributes:
        mean, square: E[z_T | z] [z] and E[z_T^2 | z] [z^2] at the newest value.
        start, middle: V(0, .) and V(T/2, .) on the entropy's grid [xi].
        residual: of the equation at points outside the solve [z per tick].
    """

    mean: Scalar
    square: Scalar
    start: Float[Array, "edges"]
    middle: Float[Array, "edges"]
    residual: Scalar


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
    load_tables(config.dgm_width_size, config.dgm_depth, config.dgm_entropy_num_bins)
    return State(moments_init(), ladder_init(), jnp.ones(()), jnp.zeros(()), jnp.ones(()))


def solve_tick(tables: Tables, fitted: Estimate, z: Scalar) -> Solution:
    """Solve the equation of a tick and read the solution where it is needed.

    Args:
        tables: of the trunk to use.
        fitted: drift and diffusion.
        z: the newest value [z].
    """
    layers = solve(tables, fitted.drift, fitted.diffusion)
    mean, square = value_at(tables, layers, z)
    return Solution(
        mean=mean,
        square=square,
        start=jnp.asarray(tables.grid) + tables.grid_start @ layers[:, 0],
        middle=jnp.asarray(tables.grid) + 0.5 * (tables.grid_middle @ layers[:, 0]),
        residual=held_out_residual(tables, layers, fitted.drift, fitted.diffusion),
    )


def _solve_on_rung(config: PredictorConfig, raised: Flag, fitted: Estimate, z: Scalar) -> Solution:
    cells = config.dgm_entropy_num_bins
    base = load_tables(config.dgm_width_size, config.dgm_depth, cells)
    above = next_rung(config) if config.dgm_adaptive_architecture else None
    if above is None:
        return solve_tick(base, fitted, z)
    return _rung_solver(base, load_tables(*above, cells))(raised, fitted, z)


def _rung_solver(base: Tables, larger: Tables) -> Callable[[Flag, Estimate, Scalar], Solution]:
    """The solve on the trunk that a flag names; a batch pays for the larger trunk only while a member is raised.

    Under vmap a `cond` on a batched flag becomes a selection between both branches at every tick.  The rule below keeps
    a scalar condition: whether any member of the batch is raised.
    """

    @custom_vmap
    def on_rung(raised: Flag, fitted: Estimate, z: Scalar) -> Solution:
        return jax.lax.cond(
            raised, lambda *rest: solve_tick(larger, *rest), lambda *rest: solve_tick(base, *rest), fitted, z
        )

    @on_rung.def_vmap
    def _(size: int, batched: Any, raised: Flag, fitted: Estimate, z: Scalar) -> tuple[Solution, Solution]:
        def spread(leaf: Array, is_batched: bool) -> Array:
            return leaf if is_batched else jnp.broadcast_to(leaf, (size, *leaf.shape))

        raised, fitted, z = jax.tree.map(spread, (raised, fitted, z), tuple(batched))
        low = jax.vmap(partial(solve_tick, base))(fitted, z)

        def mixed() -> Solution:
            high = jax.vmap(partial(solve_tick, larger))(fitted, z)

            def choose(a: Array, b: Array) -> Array:
                return jnp.where(raised.reshape(raised.shape + (1,) * (a.ndim - 1)), a, b)

            return jax.tree.map(choose, high, low)

        return jax.lax.cond(jnp.any(raised), mixed, lambda: low), jax.tree.map(lambda _: True, low)

    return on_rung


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
    solution = _solve_on_rung(config, state.ladder.raised, fitted, z)
    cell = 2.0 / config.dgm_entropy_num_bins
    report = entropy_report(solution.start, solution.middle, cell, fitted.theta)
    ladder, ratio = update_ladder(state.ladder, report.start, config.entropy_scaling_trigger, inputs.learn)
    mean, variance, clipped = _forecast(solution, fitted, z, inputs)
    diagnostics = Diagnostics(
        drift_slope=-fitted.theta,
        diffusion=fitted.variance * fitted.diffusion_ratio,
        residual=solution.residual,
        entropy=report.start,
        mean_entropy=report.average,
        terminal_entropy=report.terminal,
        expected_entropy=report.expected,
        entropy_ratio=ratio,
        rung=state.ladder.raised.astype(jnp.int32),
        clipped=clipped,
    )
    scale = jnp.maximum(jnp.sqrt(variance * calibration), LEAST_SCALE)
    return State(moments, ladder, calibration, mean, variance), KernelOutput(mean[None], scale[None], diagnostics)


def _calibrate(state: State, inputs: KernelInputs) -> Scalar:
    """Follow the squared error of the last forecast over the equation's variance, bounded, where it may be learned."""
    error = jnp.where(inputs.learn, inputs.increment, 0.0) - state.mean
    ratio = jnp.minimum(error * error / jnp.maximum(state.variance, LEAST_SCALE**2), CALIBRATION_BOUNDS[1])
    moved = state.calibration + CALIBRATION_RATE * (ratio - state.calibration)
    return jnp.where(inputs.learn, jnp.clip(moved, *CALIBRATION_BOUNDS), state.calibration)


def _forecast(solution: Solution, fitted: Estimate, z: Scalar, inputs: KernelInputs) -> tuple[Scalar, Scalar, Flag]:
    raw = fitted.spread * (solution.mean - z)
    mean = jnp.clip(raw, jnp.min(inputs.path) - WINDOW_MARGIN, jnp.max(inputs.path) + WINDOW_MARGIN)
    # V2 - V^2 cancels where the innovation is small against the spread: the regression's own variance bounds it.
    spread_square = fitted.spread**2 * (solution.square - solution.mean**2)
    variance = jnp.clip(spread_square, 0.5 * fitted.variance, 2.0 * fitted.variance)
    return mean, variance, mean != raw
