"""`PredictorState`: everything that is carried from tick to tick, as one pytree of arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..array_types import Array, Count, Flag, Float, Int, Key, PyTree, Scalar
from ..config.schema import PredictorConfig
from .fields import CHART_NAMES
from .identification.spectrum import WindowSpectrum
from .kernels.base import Sparing

INTERVALS_KEPT = 15
LONG_INTERVALS_KEPT = 32
CHART_COUNT = len(CHART_NAMES)


class SeasonRing(NamedTuple):
    """Values by their place on the time grid.

    Attributes:
        values: the newest `season_capacity` places, entry place modulo capacity, less `base` [y].
        base: by how much new levels have moved the series [y]; the past moves with them.
        place: of the newest tick, 0 for the first, -1 before it.
        periods: of the seasons in use [places], the shorter first, 0 where there is none.
        proposed: what the last look at the ring found; what it finds twice comes into use.
    """

    values: Sparing
    base: Scalar
    place: Count
    periods: Int[Array, "slot"]
    proposed: Int[Array, "slot"]


class FrameState(NamedTuple):
    """The causal frame: where the series is and in what unit its increments are counted.

    Attributes:
        window: the last accepted ticks, oldest first [y]; before it is full the first tick is repeated.
        count: accepted ticks so far.
        level: slow mean [y].
        spread: slow standard deviation about it [y].
        scale: scale of one-tick increments [y].
        age: ticks since the frame was last restarted; sets the rates.
        season: `SeasonRing` where the configuration has season slots, else nothing.
    """

    window: Float[Array, "window"]
    count: Count
    level: Scalar
    spread: Scalar
    scale: Scalar
    age: Count
    season: Any = ()


class GateState(NamedTuple):
    """What the gate remembers of the clock and of doubtful values.

    Attributes:
        clock_started: whether `last_timestamp_ns` is known; a history without times leaves it unknown.
        last_timestamp_ns: timestamp of the last accepted tick.
        backward_run: ticks in a row that lie before the last accepted one but follow each other.
        backward_timestamp_ns: timestamp of the last such tick.
        skipped: whether the tick before was rejected, so that the next increment spans two ticks.
        imputed: ticks in a row whose place a forecast has taken.
        intervals_ns: the last intervals between accepted ticks, oldest first, -1 where there was none yet.
        long_intervals_ns: the last of them that were long: nights, weekends, missing rows; likewise.
        outlier_run: outliers in a row that agree with one another.
        outlier_streak: outliers in a row, agreeing or not.
        outlier_value: the last value of that run [y].
        equal_run: ticks in a row with the same value.
        repeat_rate: how often a tick repeated the one before, over the history.
        repeat_rate_before: the same when the present run of equal values began.
        usual_run: length of the run of equal values that a tick lies in, mean over the last ticks; at least 1.
        frozen: whether the signal counts as frozen.
        moving_run: ticks in a row on which a frozen signal moved.
        short_variance: slow mean of the variance of five ticks in a row [scale^2].
        proxy: slow mean of the dispersion proxy [its own unit], NaN before the first.
    """

    clock_started: Flag
    last_timestamp_ns: Int[Array, ""]
    backward_run: Count
    backward_timestamp_ns: Int[Array, ""]
    skipped: Flag
    imputed: Count
    intervals_ns: Int[Array, "interval"]
    long_intervals_ns: Int[Array, "long_interval"]
    outlier_run: Count
    outlier_streak: Count
    outlier_value: Scalar
    equal_run: Count
    repeat_rate: Scalar
    repeat_rate_before: Scalar
    usual_run: Scalar
    frozen: Flag
    moving_run: Count
    short_variance: Scalar
    proxy: Scalar


class ForecastState(NamedTuple):
    """The forecast that is out for the next tick.

    Attributes:
        made: whether there is one.
        origin: y_t when it was made [y].
        unit: s_t when it was made [y].
        mean, scale, lower, upper: the fused forecast [y].
        reference: the slow forecast whose residuals the alarm charts read [y].
        kernel_mean, kernel_scale: per kernel, relative to `origin` [units of `unit`].
    """

    made: Flag
    origin: Scalar
    unit: Scalar
    mean: Scalar
    scale: Scalar
    lower: Scalar
    upper: Scalar
    reference: Scalar
    kernel_mean: Float[Array, "kernel"]
    kernel_scale: Float[Array, "kernel"]


class ScoreState(NamedTuple):
    """Track record of the kernels and of the fusion.

    Attributes:
        log_score: discounted log score of each kernel.
        kernel_error: each kernel's own error scale [units of s_t].
        volatility_variance: fast EMA of the squared residual over its slow scale, about 1.
        slow_variance: slow EMA of the squared residual [units of s_t squared].
        scored: residuals seen.
        residuals: ring of the last residuals over their scale, newest last, NaN where there was none yet.
    """

    log_score: Float[Array, "kernel"]
    kernel_error: Float[Array, "kernel"]
    volatility_variance: Scalar
    slow_variance: Scalar
    scored: Count
    residuals: Float[Array, "residual"]


class ChartState(NamedTuple):
    """The alarm charts.

    Attributes:
        scale: lagged EMA scale of the reference residual [y].
        magnitude: slow mean of its absolute value [y].
        center, width: slow mean and standard deviation of the quantity on each chart.
        drift: short mean of each chart's signal.
        wander: slow mean of its square, over what independent signals would have.
        previous: winsorised standardised residual of the tick before.
        up, down: upper and lower cumulative sums of each chart [scale].
        since_up, since_down: ticks since each of them last stood at zero.
        threshold: threshold of each chart before the kurtosis factor [scale], NaN before the first counted residual.
        seen: residuals accumulated.
        grace: ticks of grace left.
    """

    scale: Scalar
    magnitude: Scalar
    center: Float[Array, "chart"]
    width: Float[Array, "chart"]
    drift: Float[Array, "chart"]
    wander: Float[Array, "chart"]
    previous: Scalar
    up: Float[Array, "chart"]
    down: Float[Array, "chart"]
    since_up: Int[Array, "chart"]
    since_down: Int[Array, "chart"]
    threshold: Float[Array, "chart"]
    seen: Count
    grace: Count


class RoughnessState(NamedTuple):
    """Holder exponent, its baseline and the breaker.

    Attributes:
        exponent: last valid estimate, 0.5 before the first.
        valid: whether the last measurement was valid.
        whittle: the cross-check, NaN before the first.
        baseline, deviation: slow mean of the cross-check and its slow standard deviation.
        measured: valid measurements.
        below_run: ticks in a row on which the breaker's condition held.
        emergency: whether the breaker is open.
        stationary: whether the window was stationary about a level when it was last measured.
    """

    exponent: Scalar
    valid: Flag
    whittle: Scalar
    baseline: Scalar
    deviation: Scalar
    measured: Count
    below_run: Count
    emergency: Flag
    stationary: Flag


class ModeState(NamedTuple):
    """Degraded mode, mode collapse and the interval's correction.

    Attributes:
        degraded: whether inference is degraded.
        clean_run: clean ticks in a row since it was.
        stale: whether ticks count as stale (with hysteresis).
        low_entropy_run: ticks in a row with an entropy below the collapse threshold.
        quantile: conformal quantile of |residual| / scale, NaN before the first accepted tick.
    """

    degraded: Flag
    clean_run: Count
    stale: Flag
    low_entropy_run: Count
    quantile: Scalar


@jax.tree_util.register_pytree_with_keys_class
class KernelStates(Mapping[str, PyTree]):
    """States of the kernels by name, in the order of the configuration.

    As a pytree its members go by their places, in that order: the paths of the leaves are those that states of stores
    have been described by since there were four kernels without a choice.

    Attributes:
        by_name: the same as a dict, which is not to be changed.
    """

    __slots__ = ("by_name",)

    def __init__(self, states: Mapping[str, PyTree] | Iterable[tuple[str, PyTree]] = ()) -> None:
        self.by_name = dict(states)

    def __getitem__(self, name: str) -> PyTree:
        return self.by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)

    def __repr__(self) -> str:
        return f"KernelStates({self.by_name!r})"

    def replace(self, **states: PyTree) -> KernelStates:
        """With other states of some kernels that are there.

        Raises:
            KeyError: one is not.
        """
        if unknown := states.keys() - self.by_name.keys():
            raise KeyError(f"there is no state of {', '.join(sorted(unknown))}")
        return KernelStates(self.by_name | states)

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, PyTree]], tuple[str, ...]]:
        """Members with their places, and the names."""
        members = [(jax.tree_util.SequenceKey(k), state) for k, state in enumerate(self.by_name.values())]
        return members, tuple(self.by_name)

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], states: Iterable[PyTree]) -> KernelStates:
        """The inverse."""
        return cls(zip(names, states, strict=True))


class PredictorState(NamedTuple):
    """The state Sigma_t of one series."""

    ticks: Count
    key: Key
    frame: FrameState
    gate: GateState
    forecast: ForecastState
    score: ScoreState
    charts: ChartState
    roughness: RoughnessState
    spectrum: WindowSpectrum
    modes: ModeState
    weight: Float[Array, "kernel"]
    kernels: KernelStates


def _empty_ring(config: PredictorConfig) -> SeasonRing | tuple[()]:
    if not config.season_slots:
        return ()
    slots = config.season_slots
    return SeasonRing(
        values=Sparing(jnp.zeros(config.season_capacity)),
        base=jnp.zeros(()),
        place=jnp.full((), -1, jnp.int64),
        periods=jnp.zeros(slots, jnp.int64),
        proposed=jnp.zeros(slots, jnp.int64),
    )


def empty_state(config: PredictorConfig, key: Key, kernels: KernelStates) -> PredictorState:
    """State before the first tick; every leaf is an array of its own, so that a caller may donate it.

    Every leaf names its dtype: a weakly typed one would make the second tick compile the program again.
    """

    def zero() -> Scalar:
        return jnp.zeros(())

    def none() -> Count:
        return jnp.zeros((), jnp.int64)

    def no() -> Flag:
        return jnp.zeros((), bool)

    def per_chart(value: float = 0.0) -> Float[Array, "chart"]:
        return jnp.full(CHART_COUNT, value, float)

    def per_kernel(value: float = 0.0) -> Float[Array, "kernel"]:
        return jnp.full(len(kernels), value, float)

    return PredictorState(
        ticks=none(),
        key=key,
        frame=FrameState(
            jnp.zeros(config.wtmm_buffer_size), none(), zero(), zero(), zero(), none(), _empty_ring(config)
        ),
        gate=GateState(
            no(),
            none(),
            none(),
            none(),
            no(),
            none(),
            jnp.full(INTERVALS_KEPT, -1, jnp.int64),
            jnp.full(LONG_INTERVALS_KEPT, -1, jnp.int64),
            none(),
            none(),
            zero(),
            none(),
            zero(),
            zero(),
            jnp.ones(()),
            no(),
            none(),
            jnp.ones(()),
            jnp.full((), jnp.nan, float),
        ),
        forecast=ForecastState(
            made=no(),
            origin=zero(),
            unit=zero(),
            mean=zero(),
            scale=zero(),
            lower=zero(),
            upper=zero(),
            reference=zero(),
            kernel_mean=per_kernel(),
            kernel_scale=per_kernel(1.0),
        ),
        score=ScoreState(
            per_kernel(),
            per_kernel(1.0),
            jnp.ones(()),
            jnp.ones(()),
            none(),
            jnp.full(config.residual_window, jnp.nan, float),
        ),
        charts=ChartState(
            jnp.ones(()),
            jnp.ones(()),
            per_chart(),
            per_chart(1.0),
            per_chart(),
            per_chart(1.0),
            zero(),
            per_chart(),
            per_chart(),
            jnp.zeros(CHART_COUNT, jnp.int64),
            jnp.zeros(CHART_COUNT, jnp.int64),
            per_chart(jnp.nan),
            none(),
            none(),
        ),
        roughness=RoughnessState(
            jnp.full((), 0.5, float),
            no(),
            jnp.full((), jnp.nan, float),
            jnp.full((), 0.5, float),
            zero(),
            none(),
            none(),
            no(),
            no(),
        ),
        spectrum=WindowSpectrum(
            jnp.full(config.koopman_top_k, jnp.nan, float),
            jnp.full(config.koopman_top_k, jnp.nan, float),
            jnp.full((), jnp.nan, float),
        ),
        modes=ModeState(no(), none(), no(), none(), jnp.full((), jnp.nan, float)),
        weight=per_kernel(1.0 / len(kernels)),
        kernels=kernels,
    )
