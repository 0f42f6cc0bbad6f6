"""The conformance battery of a kernel, for one's own before it is registered: `check_kernel(module)`.

    uspnb.testing.check_kernel(my_kernel)

Every demand is a function of a kernel and a configuration that raises `AssertionError` where the kernel does not meet
it; the package's own kernels are tested by the same ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .array_types import Array, Flag, Float, PyTree, Scalar
from .config.schema import PredictorConfig
from .model.kernels.base import HorizonInputs, KernelInputs, KernelOutput, no_season, nothing_due, slot_offsets
from .model.kernels.guard import output_problem, state_problem

SCALE_RATE, LEVEL_RATE, WINSOR = 0.02, 0.01, 4.0
TICKS = 400
LEARNED_TICKS = 40
# RMSE over that of the last value on a random walk, which nothing can forecast.
COST_OF_NOTHING = 1.03

Demand = Callable[[Any, PredictorConfig], None]


def check_kernel(kernel: Any, config: PredictorConfig | None = None) -> None:
    """Everything that a kernel must do, whatever it forecasts.

    Args:
        kernel: a module, a class or an object with `init` and `step`, as `uspnb.register_kernel` takes it.
        config: the settings to check it under; the default configuration where left out.

    Raises:
        AssertionError: a demand is not met, or the kernel raised while it was tried; the message begins with the
            demand's name.
    """
    kernel = kernel() if isinstance(kernel, type) else kernel
    for demand in DEMANDS:
        try:
            demand(kernel, PredictorConfig() if config is None else config)
        except AssertionError as error:
            raise AssertionError(f"{demand.__name__}: {error}") from error
        except Exception as error:  # whatever a user's function raises
            raise AssertionError(f"{demand.__name__}: the kernel raised {type(error).__name__}: {error}") from error


class Frame(NamedTuple):
    """Rolling quantities of a series, all known at t: the last values, their scale, level and spread, and how many.

    `scales` are those of the last values, for what comes due many ticks later.
    """

    buffer: Float[Array, "window"]
    scales: Float[Array, "window"]
    scale: Scalar
    level: Scalar
    deviation: Scalar
    count: Any


class Driven(NamedTuple):
    """A kernel's run over a series.

    Attributes:
        prediction, scale: forecast of each value, made one tick earlier, and its standard deviation [y].
        output: of every tick, mean and scale of the next tick alone, shape (time,).
        state: after the last tick.
        ahead: means of every step that the kernel gives, shape (time, step) [units of s_t].
    """

    prediction: np.ndarray
    scale: np.ndarray
    output: KernelOutput
    state: PyTree
    ahead: np.ndarray

    def relative_rmse(self, values: np.ndarray, burn: int = 500) -> float:
        """RMSE over that of the last value, after `burn` ticks."""
        error = (self.prediction - values)[burn:]
        return float(np.sqrt(np.mean(error**2) / np.mean(np.diff(values)[burn - 1 :] ** 2)))


def drive_kernel(kernel: Any, config: PredictorConfig, values: Any, learn: Any = None) -> Driven:
    """Run a kernel over a series in a minimal causal frame, in one scan.

    Args:
        kernel: an object with `init` and `step`.
        config: settings.
        values: the series, shape (time,).
        learn: ticks that may be learned from; all of them where left out.
    """
    values = jnp.asarray(values, dtype=float)
    allowed = jnp.ones(values.shape[0], bool) if learn is None else jnp.asarray(learn, dtype=bool)
    state, (forecast, scale, outputs, rest), (first, begun) = _runner(kernel)(config, values, allowed)
    outputs = jax.tree.map(lambda a, b: np.concatenate([np.asarray(a)[None], np.asarray(b)]), first, outputs)
    prediction = np.concatenate([[float(values[0])], [float(values[0])], np.asarray(forecast)[:-1]])
    scale = np.concatenate([[0.0], [0.0], np.asarray(scale)[:-1]])
    return Driven(prediction, scale, outputs, state, np.concatenate([begun[None], rest]))


@functools.lru_cache(maxsize=8)
def _runner(kernel: Any) -> Any:
    """One compiled program per kernel, so that runs of the same length share it."""

    @jax.jit
    def run(config: PredictorConfig, values: Any, allowed: Any) -> Any:
        key = jax.random.PRNGKey(config.seed)

        def advance(state: PyTree, inputs: KernelInputs, key: Any) -> tuple[PyTree, KernelOutput, Array]:
            state, output = kernel.step(config, state, inputs, key)
            return state, output._replace(mean=output.mean[0], scale=output.scale[0]), output.mean

        window = config.wtmm_buffer_size
        start = Frame(
            jnp.full(window, values[0]), jnp.zeros(window), jnp.zeros(()), values[0], jnp.zeros(()), jnp.asarray(1)
        )
        inputs = _frame_inputs(config, start, start, jnp.asarray(False))
        state, first, begun = advance(kernel.init(config, key), inputs, key)

        def tick(carry: Any, row: Any) -> Any:
            before, state = carry
            y, may_learn, i = row
            frame = _next_frame(before, y)
            inputs = _frame_inputs(config, frame, before, may_learn & (before.scale > 0))
            state, output, ahead = advance(state, inputs, jax.random.fold_in(key, i))
            forecast = y + jnp.maximum(frame.scale, 1e-300) * output.mean
            return (frame, state), (forecast, frame.scale * output.scale, output, ahead)

        rows = (values[1:], allowed[1:], jnp.arange(1, values.shape[0]))
        (_, state), rest = jax.lax.scan(tick, (start, state), rows)
        return state, rest, (first, begun)

    return run


def _next_frame(frame: Frame, y: Scalar) -> Frame:
    """Push y; the scale is a winsorised EMA of squared increments, corrected for its start."""
    dy = y - frame.buffer[-1]
    rate = jnp.maximum(SCALE_RATE, 1.0 / frame.count)
    bounded = jnp.where(frame.count > 10, jnp.clip(dy, -WINSOR * frame.scale, WINSOR * frame.scale), dy)
    scale = jnp.sqrt((1 - rate) * frame.scale**2 + rate * bounded**2)
    rate = jnp.maximum(LEVEL_RATE, 1.0 / (frame.count + 1))
    level = frame.level + rate * (y - frame.level)
    deviation = frame.deviation + rate * (jnp.abs(y - level) - frame.deviation)
    buffer, scales = jnp.append(frame.buffer[1:], y), jnp.append(frame.scales[1:], scale)
    return Frame(buffer, scales, scale, level, deviation, frame.count + 1)


def _horizon_inputs(config: PredictorConfig, frame: Frame, learn: Flag) -> HorizonInputs:
    """What comes due of horizons within the window."""
    ladder = np.array(config.ladder, int)
    back, place = np.minimum(ladder + 1, frame.buffer.shape[0]), jnp.asarray(frame.count, jnp.int64) - 1
    unit = frame.scales[-back]
    due = (place >= ladder) & (unit > 0) & (back == ladder + 1) & learn
    increment = jnp.where(due, frame.buffer[-1] - frame.buffer[-back], 0.0) / jnp.where(due, unit, 1.0)
    longest = max(config.ladder, default=1)
    row = (place - ladder) % longest
    slot = jnp.asarray(slot_offsets(config.ladder)) + place % np.maximum(ladder, 1)
    return HorizonInputs(jnp.clip(increment, -1e6, 1e6), due, due, slot, row, place % longest)


def _frame_inputs(config: PredictorConfig, frame: Frame, before: Frame, learn: Flag) -> KernelInputs:
    """What a kernel is told; `before` is the frame one tick earlier."""
    y, window = frame.buffer[-1], frame.buffer.shape[0]
    floor = jnp.asarray(1e-300)
    scale, old = jnp.maximum(frame.scale, floor), jnp.maximum(before.scale, floor)
    return KernelInputs(
        path=jnp.clip((frame.buffer - y) / scale, -1e6, 1e6),
        count=jnp.minimum(frame.count, window),
        ticks=jnp.asarray(frame.count, jnp.int64),
        increment=jnp.clip((y - before.buffer[-1]) / old, -1e6, 1e6),
        learn=learn,
        level=jnp.clip((frame.level - y) / scale, -1e6, 1e6),
        spread=jnp.clip(1.2533 * frame.deviation / scale, 1e-3, 1e6),
        scale_ratio=jnp.clip(scale / old, 1e-6, 1e6),
        volatility=jnp.asarray(1.0),
        holder_exponent=jnp.asarray(0.5),
        stiffness_low=jnp.asarray(100.0),
        stiffness_high=jnp.asarray(1000.0),
        volatile=jnp.asarray(False),
        season=no_season(config),
        horizon=_horizon_inputs(config, frame, learn),
    )


def _inputs(config: PredictorConfig, seed: int = 0, learn: bool = True) -> KernelInputs:
    """One tick of a random walk."""
    rng = np.random.default_rng(seed)
    path, window = np.cumsum(rng.normal(size=config.wtmm_buffer_size)), jnp.asarray(config.wtmm_buffer_size)
    numbers = [rng.normal(), 0.4 * rng.normal(), 2.0 + rng.random(), 0.9 + 0.2 * rng.random(), 1.0, 0.5, 100.0, 1000.0]
    increment, level, spread, ratio, volatility, holder, low, high = map(jnp.asarray, numbers)
    return KernelInputs(
        jnp.asarray(path - path[-1]), window, window, increment, jnp.asarray(learn), level,
        spread, ratio, volatility, holder, low, high, jnp.asarray(False), season=no_season(config),
        horizon=nothing_due(config),
    )  # fmt: skip


def _key(config: PredictorConfig) -> Any:
    return jax.random.PRNGKey(config.seed)


def _learned(kernel: Any, config: PredictorConfig, ticks: int = LEARNED_TICKS) -> PyTree:
    """A state that has learned from so many ticks."""
    state, advance = kernel.init(config, _key(config)), _compiled(kernel)
    for seed in range(ticks):
        state, _ = advance(config, state, _inputs(config, seed), _key(config))
    return state


@functools.lru_cache(maxsize=8)
def _compiled(kernel: Any) -> Any:
    return jax.jit(kernel.step)


def _demand(holds: Any, message: str) -> None:
    if not bool(holds):
        raise AssertionError(message)


def _demand_close(a: PyTree, b: PyTree, tolerance: float) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def _demand_equal(a: PyTree, b: PyTree, message: str) -> None:
    same = jax.tree.structure(a) == jax.tree.structure(b) and all(
        np.array_equal(x, y, equal_nan=True) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )
    _demand(same, message)


def _own(kernel: Any) -> dict[str, tuple[Any, int]]:
    """What a kernel holds itself, by name, with the length of what can grow; modules come as they are imported."""
    held = getattr(kernel, "__dict__", {}).items()
    return {
        name: (value, len(value) if isinstance(value, (list, dict, set)) else 0)
        for name, value in held
        if not name.startswith("__") and not isinstance(value, ModuleType)
    }


def _demand_finite(run: Driven, what: str) -> None:
    _demand(np.isfinite(run.output.mean).all(), f"a mean is not finite on {what}")
    _demand((np.isfinite(run.output.scale) & (run.output.scale > 0)).all(), f"a scale is not finite and > 0 on {what}")
    finite = all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(run.state))
    _demand(finite, f"the state is not finite after {what}")


def streams() -> dict[str, Float[np.ndarray, "time"]]:
    """Series that a kernel must survive: mild, constant, steep, huge and tiny ones."""
    walk = np.cumsum(np.random.default_rng(1).normal(size=TICKS))
    spiked = walk.copy()
    spiked[TICKS // 2] += 1e6
    return {
        "a random walk": walk,
        "a constant": np.full(TICKS, 3.0),
        "an almost constant series": np.where(np.arange(TICKS) == TICKS // 2, 1.0, 0.0),
        "a ramp": np.arange(TICKS, dtype=float),
        "an exponential": np.exp(0.2 * np.arange(TICKS)),
        "a walk with a spike of a million": spiked,
        "a walk of huge numbers": 1e290 * walk,
        "a walk of tiny numbers": 1e-290 * walk,
        "an alternating series": np.where(np.arange(TICKS) % 2 == 0, 1.0, -1.0),
    }


def keeps_the_structure_of_its_state(kernel: Any, config: PredictorConfig) -> None:
    """Leaves keep shape and dtype; the output has one mean and scale for each horizon, or for the next tick alone, and
    named diagnostics."""
    state = kernel.init(config, _key(config))
    after, output = jax.eval_shape(kernel.step, config, state, _inputs(config), _key(config))
    problem = state_problem(jax.eval_shape(lambda: state), after) or output_problem(output, len(config.steps))
    _demand(not problem, problem)


def has_no_state_of_its_own(kernel: Any, config: PredictorConfig) -> None:
    """What `step` returns hangs on its arguments alone, to the bit, and neither function changes the kernel."""
    before = _own(kernel)
    state, key = kernel.init(config, _key(config)), _key(config)
    _demand_equal(kernel.init(config, key), state, "init gives two states for the same arguments")
    first = kernel.step(config, state, _inputs(config, 1), key)
    kernel.step(config, first[0], _inputs(config, 2), key)
    again = kernel.step(config, state, _inputs(config, 1), key)
    _demand_equal(again, first, "step gives two results for the same arguments")
    unknown = (before, 0)
    changed = [
        name
        for name, (value, length) in _own(kernel).items()
        if before.get(name, unknown)[0] is not value or before[name][1] != length
    ]
    _demand(not changed, f"init or step changes the kernel's own {', '.join(changed)}; the state is where it belongs")


def shares_no_array_between_leaves(kernel: Any, config: PredictorConfig) -> None:
    """A caller may donate a state, whose leaves then must be arrays of their own."""
    leaves = jax.tree.leaves(kernel.init(config, _key(config)))
    _demand(all(isinstance(leaf, jax.Array) for leaf in leaves), "a leaf of the state is no JAX array")
    _demand(len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves), "two leaves share an array")


def stays_finite(kernel: Any, config: PredictorConfig) -> None:
    """On every series of `streams`."""
    for name, values in streams().items():
        _demand_finite(drive_kernel(kernel, config, values), name)


def stays_finite_without_learning(kernel: Any, config: PredictorConfig) -> None:
    """Where no tick may be learned from."""
    values = streams()["a random walk"]
    _demand_finite(drive_kernel(kernel, config, values, learn=np.zeros(TICKS, bool)), "a walk that is not learned from")


def ignores_an_increment_that_must_not_be_learned(kernel: Any, config: PredictorConfig) -> None:
    """Where `learn` is False the increment may be anything: state and forecast are the same to the bit."""
    state, advance = _learned(kernel, config), _compiled(kernel)
    inputs = _inputs(config, 99, learn=False)
    quiet = advance(config, state, inputs, _key(config))
    for wild in (1e6, -3.0):
        other = advance(config, state, inputs._replace(increment=jnp.asarray(wild)), _key(config))
        _demand_close(quiet[0], other[0], 0.0)
        _demand_close((quiet[1].mean, quiet[1].scale), (other[1].mean, other[1].scale), 0.0)


def keeps_what_it_learned_while_it_stands_still(kernel: Any, config: PredictorConfig) -> None:
    """After many ticks without learning the same inputs give the same forecast."""
    state, advance = _learned(kernel, config), _compiled(kernel)
    inputs = _inputs(config, 5, learn=False)._replace(scale_ratio=jnp.asarray(1.0))
    state, first = advance(config, state, inputs, _key(config))
    last = first
    for _ in range(20):
        state, last = advance(config, state, inputs, _key(config))
    np.testing.assert_allclose(first.mean, last.mean, rtol=1e-9, atol=1e-12)


def learns(kernel: Any, config: PredictorConfig) -> None:
    """Other increments, other forecasts: a kernel that never learned would meet the two demands before this one."""
    state, advance = _learned(kernel, config), _compiled(kernel)
    forecasts = []
    for increment in (-2.0, 2.0):
        moved = state
        for seed in range(30):
            inputs = _inputs(config, seed)._replace(increment=jnp.asarray(increment))
            moved, _ = advance(config, moved, inputs, _key(config))
        forecasts.append(float(advance(config, moved, _inputs(config, 30), _key(config))[1].mean[0]))
    _demand(abs(forecasts[0] - forecasts[1]) > 1e-6, f"increments of -2 and of 2 lead to the same forecast {forecasts}")


def computes_the_same_compiled(kernel: Any, config: PredictorConfig) -> None:
    """`jax.jit` and eager evaluation agree to 1e-9."""
    state, inputs = _learned(kernel, config, 20), _inputs(config, 7)
    eager = kernel.step(config, state, inputs, _key(config))
    _demand_close(_compiled(kernel)(config, state, inputs, _key(config)), eager, 1e-9)


def computes_the_same_in_a_batch(kernel: Any, config: PredictorConfig) -> None:
    """`jax.vmap` and a loop agree to 1e-9."""
    states = [_learned(kernel, config, ticks) for ticks in (5, 15, 25)]
    inputs = [_inputs(config, seed) for seed in (1, 2, 3)]

    def stacked(trees: list[PyTree]) -> PyTree:
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    batch = jax.jit(jax.vmap(kernel.step, (None, 0, 0, None)))
    together = batch(config, stacked(states), stacked(inputs), _key(config))
    alone = [_compiled(kernel)(config, s, i, _key(config)) for s, i in zip(states, inputs, strict=True)]
    _demand_close(together, stacked(alone), 1e-9)


def does_not_depend_on_the_unit(kernel: Any, config: PredictorConfig) -> None:
    """A series in other units has the same forecasts in units of its scale."""
    values = streams()["a random walk"]
    run, scaled = drive_kernel(kernel, config, values), drive_kernel(kernel, config, 1024.0 * values)
    np.testing.assert_allclose(scaled.output.mean, run.output.mean, rtol=1e-9, atol=1e-9)


def does_not_depend_on_the_level(kernel: Any, config: PredictorConfig) -> None:
    """A series with a number added to it has the same forecasts, up to the rounding of the sum."""
    values = streams()["a random walk"]
    run, shifted = drive_kernel(kernel, config, values), drive_kernel(kernel, config, values + 2.0**12)
    np.testing.assert_allclose(shifted.output.mean, run.output.mean, rtol=1e-5, atol=1e-5)


def costs_little_on_a_random_walk(kernel: Any, config: PredictorConfig) -> None:
    """RMSE of at most 1.03 times that of the last value, where there is nothing to forecast."""
    values = np.cumsum(np.random.default_rng(8).normal(size=2000))
    cost = drive_kernel(kernel, config, values).relative_rmse(values)
    _demand(cost < COST_OF_NOTHING, f"RMSE over that of the last value is {cost:.3f}, not below {COST_OF_NOTHING}")


DEMANDS: tuple[Demand, ...] = (
    keeps_the_structure_of_its_state,
    has_no_state_of_its_own,
    shares_no_array_between_leaves,
    stays_finite,
    stays_finite_without_learning,
    ignores_an_increment_that_must_not_be_learned,
    keeps_what_it_learned_while_it_stands_still,
    learns,
    computes_the_same_compiled,
    computes_the_same_in_a_batch,
    does_not_depend_on_the_unit,
    does_not_depend_on_the_level,
    costs_little_on_a_random_walk,
)
