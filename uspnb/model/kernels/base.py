"""The one shape of every kernel: `init(config, key) -> state`, `step(config, state, inputs, key) -> (state, output)`.

All kernels work in one causal, dimensionless frame.  With y_t the newest tick, s_t > 0 the scale of one-tick increments
known at t, and m_t the slow level known at t, a kernel sees only numbers in units of s_t and forecasts the next
increment (y_{t+1} - y_t) / s_t.  So the outputs of all kernels can be compared, and no kernel knows the input's units.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np

from ...array_types import Array, Bool, Count, Flag, Float, Int, Key, PyTree, Scalar
from ...config.schema import PredictorConfig

# Places about the one a period before the forecast's, counted from a period ago.
NEIGHBOURS = (-1, 1, 2, 3, 4)
# Ticks of a horizon after which errors of one origin after another count as one more.
OVERLAP = 3.0
# Outcomes of its own at which a horizon gives half a weight to the record of the shorter ones.
BORROWED = 8.0


class SeasonInputs(NamedTuple):
    """What the frame tells of the seasons; their number is that of the slots of the configuration.

    Attributes:
        rows: for each slot the values at `NEIGHBOURS` places after the one a period ago, and the newest value, less the
            one a period ago [units of s_t]; zero where the slot sleeps.
        periods: [slots of the time grid], 0 where there is none.
        awake: whether enough periods have been seen.
        place: of the newest tick on the time grid, 0 for the first.
        declared: whether the periods were declared, not found.
        begun: whether they came into use at this tick, other than the first.
        woken: whether enough of one has been seen since this tick.
        taken: whether the tick comes in; where not, the state after it is that before it, but for what is `Sparing`.
        ring: values by their place modulo its length [y]; what is read of it are differences over `unit`.
        unit: s_t [y].
    """

    rows: Float[Array, "slot neighbour"]
    periods: Int[Array, "slot"]
    awake: Bool[Array, "slot"]
    place: Count
    declared: Flag
    begun: Flag
    woken: Flag
    taken: Flag
    ring: Float[Array, "capacity"]
    unit: Scalar


class HorizonInputs(NamedTuple):
    """What has come due of the forecasts beyond the next tick; "horizon" is the ladder h > 1 of the configuration.

    What a kernel said at t of t + h it keeps in `slot_count` slots until it comes due, what it saw at t in a ring of as
    many rows as the longest horizon has ticks; it reads both before it writes.

    Attributes:
        increment: (y_t - y_{t-h}) / s_{t-h}, 0 where nothing is due.
        due: whether there was a forecast h ticks ago whose error counts.
        learn: whether that origin may be learned from: no imputed tick, no gap before it.
        slot: where the forecast of tick t stands that was made at t - h, and where the one of t + h goes.
        row: where tick t - h stands in the ring.
        newest: where tick t goes in the ring.
    """

    increment: Float[Array, "horizon"]
    due: Bool[Array, "horizon"]
    learn: Bool[Array, "horizon"]
    slot: Int[Array, "horizon"]
    row: Int[Array, "horizon"]
    newest: Count


class CovariateInputs(NamedTuple):
    """What is known of the covariates when a forecast is made; NaN where it is not.

    Attributes:
        now: their values at the newest tick [their units].
        ahead: those at each step ahead [their units].
        calendar: columns that the time of each step says, of size one.
        value, unit: of the newest tick, and s_t [y]; what is read of them are differences over a unit.
    """

    now: Float[Array, "covariate"]
    ahead: Float[Array, "step covariate"]
    calendar: Float[Array, "step column"]
    value: Scalar
    unit: Scalar


def no_season(config: PredictorConfig) -> SeasonInputs | tuple[()]:
    """Of a tick at which no season is in use; nothing without season slots."""
    if not config.season_slots:
        return ()
    many, no = config.season_slots, jnp.zeros((), bool)
    return SeasonInputs(
        rows=jnp.zeros((many, len(NEIGHBOURS) + 1)),
        periods=jnp.zeros(many, jnp.int64),
        awake=jnp.zeros(many, bool),
        place=jnp.zeros((), jnp.int64),
        declared=no,
        begun=no,
        woken=no,
        taken=jnp.ones((), bool),
        ring=jnp.zeros(config.season_capacity),
        unit=jnp.ones(()),
    )


def nothing_due(config: PredictorConfig) -> HorizonInputs:
    """Of a tick at which nothing comes due."""
    many = len(config.ladder)
    no, none = jnp.zeros(many, bool), jnp.zeros(many, jnp.int64)
    return HorizonInputs(jnp.zeros(many), no, no, none, none, jnp.zeros((), jnp.int64))


def slot_offsets(ladder: tuple[int, ...]) -> np.ndarray:
    """Where the slots of each horizon begin."""
    return np.concatenate([[0], np.cumsum(ladder)[:-1]]).astype(int) if ladder else np.zeros(0, int)


def slot_count(ladder: tuple[int, ...]) -> int:
    """Slots of all horizons: h of them for h."""
    return sum(ladder)


def into_slots(table: Array, slot: Int[Array, "horizon"], rows: Array, ladder: tuple[int, ...]) -> Array:
    """The table with each horizon's row in its slot: one pass over the table, where a scatter is a loop on a CPU."""
    horizon = np.repeat(np.arange(len(ladder)), ladder)
    written = slot[horizon] == np.arange(slot_count(ladder))
    return jnp.where(written.reshape((-1,) + (1,) * (table.ndim - 1)), rows[horizon], table)


def along_ladder(
    values: Float[Array, "horizon"], ladder: tuple[int, ...], steps: tuple[int, ...]
) -> Float[Array, "step"]:
    """Values at any number of ticks ahead, on straight lines in log h between those of the ladder."""
    return jnp.interp(np.log(np.array(steps, float)), np.log(np.array(ladder, float)), values)


class RecordPace(NamedTuple):
    """How a track record of each horizon moves.

    Attributes:
        share: of an error in the score: those of one origin after another overlap by h - 1 ticks and tell the same, so
            that each counts as its part of one that does not.
        rate: of an error scale [1/tick].
        forgetting: of the score [1/tick].
    """

    share: np.ndarray
    rate: Float[Array, "horizon"]
    forgetting: Any


def record_pace(ladder: tuple[int, ...], count: Array, rate: Scalar | float, forgetting: Scalar | float) -> RecordPace:
    """Rates of a record of long horizons, which must be longer than that of the next tick.

    Args:
        ladder: the horizons [ticks].
        count: errors of each that have come due.
        rate, forgetting: of the next tick's record [1/tick].
    """
    h = np.array(ladder, float)
    overlap = 1.0 + h / OVERLAP
    seen = count / np.maximum(1.0, h / 4.0)
    return RecordPace(
        1.0 / overlap, jnp.maximum(2.0 / (seen + 3.0), rate / overlap), 1.0 - (1.0 - forgetting) / overlap
    )


def borrowed_record(
    scores: Float[Array, "step column"], count: Array, ladder: tuple[int, ...]
) -> Float[Array, "horizon column"]:
    """Log scores of each horizon with those of the shorter ones, whose outcomes come sooner.

    score_h + b_h (score_{h-1} + b_{h-1} (...)): what is borrowed fades as a horizon's own outcomes come in,
    b = m / (m + n) with n those that tell something new.

    Args:
        scores: of each horizon; with one row more, the first is of the next tick.
        count: errors of each horizon that have come due.
        ladder: the horizons [ticks].
    """
    own = count / (1.0 + np.array(ladder, float) / OVERLAP)
    fading = BORROWED / (BORROWED + own)
    if scores.shape[0] == len(ladder):
        fading = fading[1:]
    through = jnp.concatenate([jnp.zeros(1), jnp.cumsum(jnp.log(fading))])
    lower = np.tril(np.ones((scores.shape[0],) * 2))
    shares = jnp.where(lower > 0, jnp.exp(through[:, None] - through[None, :]), 0.0)
    return (shares @ scores)[scores.shape[0] - len(ladder) :]


class KernelInputs(NamedTuple):
    """What every kernel is told at tick t, all of it known at t.

    Attributes:
        path: (y_{t-n+1..t} - y_t) / s_t, oldest first, so that path[-1] == 0.  Entries older than the first tick ever
            seen repeat that tick.  Bounded: clipped to +-1e6.
        count: how many entries of `path` are real ticks (1 <= count <= window).
        ticks: accepted ticks so far, this one included: what a kernel does on a stride, it does by their number.
        increment: (y_t - y_{t-1}) / s_{t-1}, the realised value of what was forecast at t-1, in the units of that
            forecast.  Meaningless unless `learn`.
        learn: whether `increment` may be learned from: there was a forecast for this tick, no gap lies between, the
            signal is not frozen.  A kernel must leave what it has learned untouched where this is False.
        level: (m_t - y_t) / s_t, where m_t is the slow mean of the series.
        spread: slow standard deviation of the series about m_t, in units of s_t, >= 1e-3.
        scale_ratio: s_t / s_{t-1}; what a kernel stored in units of s_{t-1} is divided by it to be in units of s_t.
        volatility: current EMA of the standardised residual, about 1 in calm times.
        holder_exponent: last valid Holder exponent H_t of the path (0.5 before the first).
        stiffness_low, stiffness_high: thresholds theta_L < theta_H of the solver switch, from H_t.
        volatile: whether the volatility regime is high (volatility above its own slow mean).
        season: `SeasonInputs` where the configuration has season slots, else nothing.
        horizon: `HorizonInputs` where the configuration has a horizon beyond the next tick, else nothing.
        covariates: `CovariateInputs` where the configuration has covariates or a calendar, else nothing.
    """

    path: Float[Array, "window"]
    count: Count
    ticks: Count
    increment: Scalar
    learn: Flag
    level: Scalar
    spread: Scalar
    scale_ratio: Scalar
    volatility: Scalar
    holder_exponent: Scalar
    stiffness_low: Scalar
    stiffness_high: Scalar
    volatile: Flag
    season: Any = ()
    horizon: Any = ()
    covariates: Any = ()


class KernelOutput(NamedTuple):
    """A kernel's forecasts of (y_{t+h} - y_t) / s_t and what it says about itself.

    Steps ahead are h = 1 and then the ladder of the configuration, `(1, *config.ladder)`.  A kernel may give the first
    alone: its forecast of the next tick then stands for all.

    Attributes:
        mean: forecast of the increment to each step [units of s_t], finite.
        scale: the kernel's own standard deviation of those forecasts [units of s_t], finite and > 0.
        diagnostics: a NamedTuple of arrays that is the kernel's own.
    """

    mean: Float[Array, "step"]
    scale: Float[Array, "step"]
    diagnostics: Any


@runtime_checkable
class Kernel(Protocol):
    """A kernel is a module (or any object) with these two pure, jit-able and vmap-able functions.

    It is made known to configurations by `uspnb.register_kernel`; `uspnb.testing.check_kernel` is what it must pass.
    With a third, `ahead(config, state, inputs, steps) -> Float[step]`, it says its mean at any number of ticks ahead
    from the state of the newest tick; without it a forecast of every tick lies between those of its ladder.
    """

    def init(self, config: PredictorConfig, key: Key) -> PyTree:
        """State before the first tick; no two leaves share an array."""
        ...

    def step(
        self, config: PredictorConfig, state: PyTree, inputs: KernelInputs, key: Key
    ) -> tuple[PyTree, KernelOutput]:
        """Learn from `inputs.increment` where `inputs.learn`, then forecast the next increment."""
        ...
