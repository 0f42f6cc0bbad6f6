"""The gate: is this tick fit to be learned from, and if not, why.  Flags, never exceptions."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from ...array_types import Array, Count, Flag, Float, Int, Scalar
from ...config.schema import PredictorConfig
from ..records import Observation
from ..state import FrameState, GateState, ModeState

LARGEST = 1e305
# The frame's floor of every scale: a sigma that stands there has seen no spread at all.
SMALLEST_SCALE = 1e-306
LARGEST_MOVE = 1e100
AGREEMENT = 0.25
STREAK_FACTOR = 4
REPEAT_RATE = 0.005
HISTORY_NEEDED = 16
LIVELY_MOVES = 3  # among the last `frozen_signal_min_steps` values
USUAL_AFTER = 2  # earlier intervals of about the same length
# Of a coarse signal, whose runs are as long as it is slow: a run is no fault below so many times the usual one.
COARSE_RATE = 0.5
COARSE_FACTOR = 4.0
RUN_MEMORY = 0.002
# A usual gap of so many places is a night or a weekend, which has none; rows missing at random leave shorter ones.
CLOSED = 8
# Places in a row that forecasts stand in for; then the window waits.
MOST_IMPUTED = 48
# A clock is one of a grid where so many of so many intervals or more are whole multiples of one, to so much of it.
ON_GRID, INTERVALS_NEEDED, OFF_GRID = 0.8, 8, 0.2
WEEK_NS = 7 * 86_400 * 10**9


class Verdict(NamedTuple):
    """What the gate says of one tick.

    Attributes:
        accepted: it may enter the buffers.
        not_finite, outlier, out_of_order: reasons of a rejection.
        released: an outlier that opens a new level, accepted.
        stale, sparse, frozen: doubts about an accepted tick.
        gap: the increment to this tick spans a missing stretch, usual or not.
        value: y_t, or the last accepted tick where this one is not finite.
        slots: places on the time grid since the last tick of the window; one over closed hours.
        imputed: a refused tick whose place the forecast that is out takes.
        bridged: places before this tick that forecasts took, none of them where it opens a new level.
    """

    accepted: Flag
    not_finite: Flag
    outlier: Flag
    out_of_order: Flag
    released: Flag
    stale: Flag
    sparse: Flag
    frozen: Flag
    gap: Flag
    value: Scalar
    slots: Count
    imputed: Flag
    bridged: Count


def inspect(
    config: PredictorConfig, gate: GateState, frame: FrameState, modes: ModeState, tick: Observation
) -> tuple[GateState, Verdict]:
    """Judge a tick and remember what later judgements need.

    Stale: now - timestamp > max(`staleness_ttl_ns`, `staleness_intervals` intervals); sparse: the interval since the
    last accepted tick > max(`besov_nyquist_interval_ns`, `sparse_intervals` intervals), where the interval is declared
    or the median of the last fifteen; before the second tick nothing is known of the clock and nothing is stale or
    sparse.  Nor is an interval of about the length (within a factor `sparse_intervals`) of two or more of the last long
    ones: nights, weekends and rows missing at random are the series' rhythm, whatever the clocks do, and only what
    departs from it counts.  Ticks of one instant are accepted in the order that they come in.

    Outlier: |y - level| > `sigma_bound` scales.  `outlier_release_steps` outliers in a row that agree with one another
    are a new level; so are four times as many that do not, for nothing is rejected for ever.  As many ticks that come
    in their own order, but before the last accepted one, mean that the last one's clock was wrong.
    """
    skipped, before = gate.skipped, gate
    finite = jnp.isfinite(tick.value) & (jnp.abs(tick.value) <= LARGEST)
    last = frame.window[-1]
    value = jnp.where(finite, tick.value, last)

    interval = typical_interval(config, gate)
    elapsed = tick.timestamp_ns - gate.last_timestamp_ns
    backward = gate.clock_started & (elapsed < 0)
    gate, clock_released = _clock(config, gate, tick, backward)
    out_of_order = backward & ~clock_released
    longest = jnp.maximum(config.besov_nyquist_interval_ns, config.sparse_intervals * interval)
    long = gate.clock_started & (interval > 0) & (elapsed > longest)
    sparse = long & ~_usual(config, gate, elapsed)
    stale = _stale(config, modes, tick, interval)

    fit = finite & ~out_of_order
    gate, outlier, released = _outlier(config, gate, frame, value, fit)
    accepted = fit & ~outlier
    gate = _repeats(config, gate, frame, value, accepted, released)
    imputed = ~accepted & ~out_of_order & (frame.count > 0) & (gate.imputed < MOST_IMPUTED) & config.impute
    measured = accepted & gate.clock_started & (elapsed > 0)
    intervals = jnp.concatenate([gate.intervals_ns[1:], elapsed[None]])
    long_intervals = jnp.concatenate([gate.long_intervals_ns[1:], elapsed[None]])
    long_ends = jnp.concatenate([gate.long_ends_ns[1:], tick.timestamp_ns[None]])
    gate = gate._replace(
        clock_started=gate.clock_started | accepted,
        last_timestamp_ns=jnp.where(accepted, tick.timestamp_ns, gate.last_timestamp_ns),
        intervals_ns=jnp.where(measured, intervals, gate.intervals_ns),
        long_intervals_ns=jnp.where(accepted & long, long_intervals, gate.long_intervals_ns),
        long_ends_ns=jnp.where(accepted & long, long_ends, gate.long_ends_ns),
        skipped=jnp.where(out_of_order, gate.skipped, ~accepted),
        imputed=jnp.where(accepted, 0, gate.imputed + imputed),
    )
    verdict = Verdict(
        accepted=accepted,
        not_finite=~finite,
        outlier=outlier,
        out_of_order=out_of_order & finite,
        released=released,
        stale=stale,
        sparse=sparse & accepted,
        frozen=gate.frozen,
        gap=long | released | clock_released | skipped,
        value=value,
        slots=jnp.where(imputed, 1, _slots(before, elapsed, grid_interval(config, before), long & ~sparse)),
        imputed=imputed,
        bridged=jnp.where(accepted & ~released, before.imputed, 0),
    )
    return gate, verdict


def _slots(gate: GateState, elapsed: Int[Array, ""], interval: Scalar, usual: Flag) -> Count:
    """Places on the time grid from the last tick of the window, accepted or imputed, to one so much later."""
    known = gate.clock_started & (interval > 0) & (elapsed >= 0)
    places = jnp.round(elapsed / jnp.maximum(interval, 1.0)).astype(jnp.int64)
    closed = usual & (places >= CLOSED)
    left = jnp.where(gate.imputed > 0, jnp.maximum(places - gate.imputed, 1), places)
    return jnp.where(known & ~closed, left, 1)


def skipped_slots(config: PredictorConfig, gate: GateState, tick: Observation) -> Count:
    """Places on the time grid before a tick for which no row came, as many of them as forecasts may still take.

    None before a grid is known, and where the clock is no grid: ticks of events have no places between them.  Hours in
    which the series is closed have no places either: those that the gate calls usual, and such as have come at this
    time of the week a week ago and two weeks ago.  A holiday that begins or ends with such hours is closed with them.
    """
    elapsed = tick.timestamp_ns - gate.last_timestamp_ns
    interval = grid_interval(config, gate)
    longest = jnp.maximum(config.besov_nyquist_interval_ns, config.sparse_intervals * typical_interval(config, gate))
    usual = (elapsed > longest) & _usual(config, gate, elapsed)
    between = _slots(gate, elapsed, interval, usual) - 1
    open_hours = _is_grid(config, gate, interval) & ~_weekly(gate, tick, interval)
    return jnp.where(open_hours, jnp.clip(between, 0, jnp.maximum(MOST_IMPUTED - gate.imputed, 0)), 0)


def _is_grid(config: PredictorConfig, gate: GateState, interval: Scalar) -> Flag:
    """Whether intervals are whole multiples of one, which a declared interval says by itself."""
    known = gate.intervals_ns > 0
    ratio = gate.intervals_ns / jnp.maximum(interval, 1.0)
    whole = known & (ratio > 0.5) & (jnp.abs(ratio - jnp.round(ratio)) <= OFF_GRID)
    count = jnp.sum(known)
    return (config.tick_interval_ns > 0) | ((count >= INTERVALS_NEEDED) & (jnp.sum(whole) >= ON_GRID * count))


def _weekly(gate: GateState, tick: Observation, interval: Scalar) -> Flag:
    """Whether a long interval began or ended at this time of the week both a week ago and two weeks ago."""
    known = gate.long_intervals_ns > 0
    begins, ends = gate.long_ends_ns - gate.long_intervals_ns, gate.long_ends_ns

    def came(weeks: int) -> Flag:
        near = jnp.abs(gate.last_timestamp_ns - begins - weeks * WEEK_NS) <= 0.5 * interval
        near |= jnp.abs(tick.timestamp_ns - ends - weeks * WEEK_NS) <= 0.5 * interval
        return jnp.any(known & near)

    return came(1) & came(2)


def _clock(config: PredictorConfig, gate: GateState, tick: Observation, backward: Flag) -> tuple[GateState, Flag]:
    """Count ticks that lie before the last accepted one but follow each other; enough of them release the clock."""
    follows = tick.timestamp_ns > gate.backward_timestamp_ns
    run = jnp.where(follows & (gate.backward_run > 0), gate.backward_run + 1, 1)
    released = backward & (run >= STREAK_FACTOR * config.outlier_release_steps)
    gate = gate._replace(
        backward_run=jnp.where(backward & ~released, run, 0),
        backward_timestamp_ns=jnp.where(backward, tick.timestamp_ns, gate.backward_timestamp_ns),
    )
    return gate, released


def typical_interval(config: PredictorConfig, gate: GateState) -> Scalar:
    """The declared tick interval, else the median of the last ones [ns]; 0 before there is one."""
    return _interval_above(config, gate, 2)


def grid_interval(config: PredictorConfig, gate: GateState) -> Scalar:
    """The declared tick interval, else the lower quartile of the last ones, which three of ten rows missing leave at
    one tick (they move a median of fifteen once in twenty ticks) [ns]; 0 before there is one."""
    return _interval_above(config, gate, 4)


def _interval_above(config: PredictorConfig, gate: GateState, parts: int) -> Scalar:
    """The declared tick interval, else that which one of so many equal parts of the last ones lies below."""
    positive = gate.intervals_ns > 0
    count = jnp.sum(positive)
    # Unknown entries sort to the front, so a quantile of the known ones stands at a data-dependent place.
    ordered = jnp.sort(gate.intervals_ns)
    place = ordered.shape[0] - count + count // parts
    found = jnp.where(count > 0, ordered[jnp.minimum(place, ordered.shape[0] - 1)], 0)
    return jnp.where(config.tick_interval_ns > 0, config.tick_interval_ns, found).astype(float)


def _usual(config: PredictorConfig, gate: GateState, elapsed: Int[Array, ""]) -> Flag:
    """Whether an interval is one of the series' rhythm."""
    ratio = gate.long_intervals_ns / jnp.maximum(elapsed, 1)
    alike = (ratio * config.sparse_intervals >= 1.0) & (ratio <= config.sparse_intervals)
    return jnp.sum(alike) >= USUAL_AFTER


def _stale(config: PredictorConfig, modes: ModeState, tick: Observation, interval: Scalar) -> Flag:
    limit = jnp.maximum(config.staleness_ttl_ns, config.staleness_intervals * interval)
    # Hysteresis: once stale, age must fall well below the limit.
    limit = limit * jnp.where(modes.stale, config.inference_recovery_hysteresis, 1.0)
    return (interval > 0) & ((tick.now_ns - tick.timestamp_ns) > limit)


def _outlier(
    config: PredictorConfig, gate: GateState, frame: FrameState, value: Scalar, fit: Flag
) -> tuple[GateState, Flag, Flag]:
    distance = jnp.abs(value - frame.level)
    sigma = jnp.maximum(frame.spread, frame.scale)
    # A history without any spread says nothing about how far the next value may lie.
    floor = jnp.maximum(config.numerical_epsilon * jnp.abs(frame.level), SMALLEST_SCALE)
    judged = (frame.count >= HISTORY_NEEDED) & (sigma > 2.0 * floor)
    beyond = fit & judged & (distance / sigma > config.sigma_bound)
    agrees = jnp.abs(value - gate.outlier_value) <= AGREEMENT * distance
    run = jnp.where(agrees & (gate.outlier_run > 0), gate.outlier_run + 1, 1)
    streak = gate.outlier_streak + 1
    limit = config.outlier_release_steps
    released = beyond & ((run >= limit) | (streak >= STREAK_FACTOR * limit))
    held = beyond & ~released
    gate = gate._replace(
        outlier_run=jnp.where(held, run, jnp.where(fit, 0, gate.outlier_run)),
        outlier_streak=jnp.where(held, streak, jnp.where(fit, 0, gate.outlier_streak)),
        outlier_value=jnp.where(held, value, gate.outlier_value),
    )
    return gate, held, released


def _repeats(
    config: PredictorConfig, gate: GateState, frame: FrameState, value: Scalar, accepted: Flag, released: Flag
) -> GateState:
    started = frame.count > 0
    equal = started & (value == frame.window[-1])
    run = jnp.where(equal, gate.equal_run + 1, 1)
    rate = jnp.maximum(1.0 / (frame.count + 1.0), REPEAT_RATE)
    repeat_rate = gate.repeat_rate + rate * (equal - gate.repeat_rate)
    before = jnp.where(equal, gate.repeat_rate_before, gate.repeat_rate)
    # `run` equal values are run - 1 repeats; a long run is improbable even where short ones are common.
    improbable = before ** (run - 1.0) < config.frozen_signal_probability
    # A slow signal of coarse values has runs of every length: short ones at the edge of two values, long ones within.
    improbable &= (before < COARSE_RATE) | (run > COARSE_FACTOR * gate.usual_run)
    share = 1.0 - (1.0 - RUN_MEMORY) ** gate.equal_run
    usual_run = gate.usual_run + share * (jnp.maximum(gate.equal_run, 1) - gate.usual_run)
    if config.frozen_signal_strict:
        improbable = jnp.ones_like(improbable)
    freezes = (run >= config.frozen_signal_min_steps) & improbable

    recent = _recent(config, frame, value)
    # A constant series leaves a scale at its floor, and a move in its units has no finite variance.
    variance = jnp.var(jnp.clip(recent / frame.scale, -LARGEST_MOVE, LARGEST_MOVE))
    moves = variance > config.frozen_signal_recovery_ratio * gate.short_variance
    moving = jnp.where(gate.frozen & moves, gate.moving_run + 1, 0)
    # A signal that resumes calmer than it was never has the old variance again: moves end a freeze, of any size.
    lively = jnp.sum(recent[1:] != recent[:-1]) >= LIVELY_MOVES
    thawed = (moving >= config.frozen_signal_recovery_steps) | lively | released
    frozen = jnp.where(gate.frozen, ~thawed | freezes, freezes)
    calm = jnp.clip(jnp.where(frame.scale > 0, variance, 1.0), 0.0, 100.0)
    short = gate.short_variance + 0.02 * (calm - gate.short_variance)
    new = gate._replace(
        equal_run=run,
        repeat_rate=repeat_rate,
        repeat_rate_before=before,
        usual_run=jnp.where(equal, gate.usual_run, usual_run),
        frozen=frozen,
        moving_run=moving,
        short_variance=jnp.where(frozen | gate.frozen | ~started, gate.short_variance, jnp.maximum(short, 1e-12)),
    )
    return GateState(*(jnp.where(accepted, a, b) for a, b in zip(new, gate, strict=True)))


def _recent(config: PredictorConfig, frame: FrameState, value: Scalar) -> Float[Array, "recent"]:
    before = frame.window[-(config.frozen_signal_min_steps - 1) :]
    return jnp.concatenate([before, value[None]]) - value
