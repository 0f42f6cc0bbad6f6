"""One tick from start to end: `orchestrate_step(config, state, tick) -> (state, result)`, pure, of static shape."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ...array_types import Array, Bool, Flag, Float, Key, Scalar
from ...config.schema import PredictorConfig
from ..cadence import Sparing
from ..kernels.base import HorizonInputs, KernelInputs, KernelOutput, borrowed_record
from ..kernels.common_movement import AXIS
from ..kernels.guard import guarded_init, guarded_step, without_failed
from ..kernels.registry import added_kernels, kernel_entries, reference_of, robust_place, telemetry_of
from ..records import Observation, PredictionResult
from ..state import ForecastState, FrameState, HorizonState, KernelStates, PredictorState, ScoreState, empty_state
from .adapt import compute_adaptive_jko_params
from .covariates import told_covariates
from .cusum import update_charts
from .emit import Outcome, emit
from .frame import bridge, hold_scales, kernel_frame, push, relative_path
from .gate import Verdict, inspect, skipped_slots
from .horizons import (
    cast,
    forget_made,
    take_due,
    within_support,
)
from .identify import identify
from .jko import FusionResult, clip_forecasts, forecast_reach, fuse_kernel_outputs, mixture_scale
from .modes import choose_weights, emergency_weights, operating_mode, update_degraded, watch_anomalies, watch_entropy
from .scoring import (
    Residuals,
    anomaly_score,
    kernel_confidences,
    kurtosis,
    score_forecasts,
    track_quantile,
    update_scores,
)
from .seasons import periods_awake, season_inputs, with_periods
from .sinkhorn import compute_sinkhorn_epsilon

PROXY_RATE = 0.02
FIRST_COUNTED = 4


def initialize_state(config: PredictorConfig, key: Key | None = None) -> PredictorState:
    """State before the first tick; random draws come from `key`, by default from `config.seed`.

    Raises:
        ConfigError: a kernel that is not registered, or a trunk that is not shipped.
        DomainError: a user's kernel raised.
    """
    key = jax.random.PRNGKey(config.seed) if key is None else key
    entries = kernel_entries(config)
    carried, *seeds = jax.random.split(key, len(entries) + 1)
    states = {entry.name: guarded_init(entry, config, seed) for entry, seed in zip(entries, seeds, strict=True)}
    return empty_state(config, carried, KernelStates(states))


def initialize_batched_states(config: PredictorConfig, batch: int) -> PredictorState:
    """`batch` states before the first tick, stacked along a leading axis; all of them draw the same features."""
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], batch, axis=0), initialize_state(config))


def orchestrate_step(
    config: PredictorConfig, state: PredictorState, tick: Observation
) -> tuple[PredictorState, PredictionResult]:
    """Gate, score, alarm, push, identify, forecast, transport, fuse, set the modes, emit.

    A rejected tick is imputed: the forecast that is out takes its place in the window, no score, chart or regression
    learns from it, and the next forecast is one tick longer; the next accepted tick bends such stretches of the window
    onto its own value.  Where it cannot be (out of order, too many in a row,
    `impute` off), everything but counters and modes stays as it was, and so does the forecast that is out.

    Args:
        config: settings; static fields are compiled in.
        state: the state of one series.
        tick: value, timestamp, now, dispersion proxy.

    Returns:
        The state that knows the tick, and the forecast of the next one with the tick's telemetry.
    """
    gate, verdict = inspect(config, state.gate, state.frame, state.modes, tick)
    modes = update_degraded(config, state.modes, verdict)
    judged = state._replace(ticks=state.ticks + 1, gate=gate, modes=modes)
    verdict = verdict._replace(value=jnp.where(verdict.imputed, state.forecast.mean, verdict.value))
    advanced, outcome = _advance(config, judged, tick, verdict)
    new = _where(verdict.accepted | verdict.imputed, advanced, judged)
    mode = operating_mode(new.modes.degraded, new.roughness.emergency)
    # What is refused for its distance is as anomalous as can be.
    score = jnp.where(verdict.outlier, 1.0, outcome.anomaly_score)
    rest, anomaly = watch_anomalies(config, state.modes.anomaly_rest, score)
    new = new._replace(modes=new.modes._replace(anomaly_rest=rest))
    return new, emit(config, state, new, tick, verdict, outcome._replace(anomaly_score=score), mode, anomaly)


def step_on_grid(
    config: PredictorConfig, state: PredictorState, tick: Observation
) -> tuple[PredictorState, PredictionResult, Flag]:
    """`orchestrate_step`, or one step on the way to a tick before which places on the time grid have no row.

    Such a place is taken by the forecast that is out, as a missing value's is; but nobody has counted a tick there, and
    it is no doubt about the input.

    Returns:
        The state, the result, and whether the tick itself was taken in; else the same tick is to come again.
    """
    arrived = skipped_slots(config, state.gate, tick) == 0 if config.impute else jnp.ones((), bool)
    seen = tick._replace(
        value=jnp.where(arrived, tick.value, jnp.nan),
        dispersion_proxy=jnp.where(arrived, tick.dispersion_proxy, jnp.nan),
        covariates=jax.tree.map(lambda known: jnp.where(arrived, known, jnp.nan), tick.covariates),
    )
    new, result = orchestrate_step(config, state, seen)
    modes = jax.tree.map(lambda a, b: jnp.where(arrived, a, b), new.modes, state.modes)
    return new._replace(ticks=jnp.where(arrived, new.ticks, state.ticks), modes=modes), result, arrived


def orchestrate_step_batch(
    config: PredictorConfig, states: PredictorState, ticks: Observation
) -> tuple[PredictorState, PredictionResult]:
    """`orchestrate_step` over a leading axis of series, the whole gate included."""
    return jax.vmap(orchestrate_step, in_axes=(None, 0, 0), axis_name=AXIS)(config, states, ticks)


def _advance(
    config: PredictorConfig, state: PredictorState, tick: Observation, verdict: Verdict
) -> tuple[PredictorState, Outcome]:
    value = verdict.value
    residuals = score_forecasts(state.forecast, value, verdict.accepted)
    # The scale of the first increments says nothing yet; an error counted in it would take long to forget.
    counted = residuals.scored & ~verdict.frozen & (state.frame.count >= FIRST_COUNTED)
    usual = counted & ~verdict.gap
    score = update_scores(config, state.score, residuals, usual)
    tails = kurtosis(score.residuals, score.scored)
    anomalous = anomaly_score(state.score, residuals, verdict.bridged)
    quantile = track_quantile(
        state.modes.quantile,
        residuals.fused,
        state.forecast.scale,
        config.confidence_level,
        config.interval_rate,
        counted,
    )
    horizon, due = take_due(
        config,
        forget_made(state.horizon, verdict.released),
        value,
        verdict.slots,
        counted=verdict.accepted & ~verdict.frozen & (state.frame.count >= FIRST_COUNTED),
        clean=usual,
        forecast=state.forecast,
        one_step=residuals.fused,
    )
    charts, alarm = update_charts(
        config,
        state.charts,
        residuals.reference,
        counted & ~verdict.released,
        verdict.released,
        tails,
    )

    taken = verdict.accepted | verdict.imputed
    frame = bridge(state.frame, value - state.forecast.mean, verdict.bridged)
    frame = push(frame, value, verdict.released, config.numerical_epsilon, verdict.slots, taken)
    frame = hold_scales(frame, state.frame, verdict.frozen | verdict.imputed)
    frame = frame._replace(
        count=jnp.where(verdict.imputed, state.frame.count, frame.count),
        age=jnp.where(verdict.imputed, state.frame.age, frame.age),
        season=with_periods(config, frame.season, frame.count, ~verdict.imputed) if frame.season else (),
    )
    path = relative_path(frame)
    roughness, spectrum, character = identify(config, state.roughness, state.spectrum, path, frame.count)

    volatility = jnp.sqrt(score.volatility_variance)
    inputs = _kernel_inputs(
        config, state, taken, frame, path, residuals, usual, volatility, roughness.exponent, due.inputs
    )._replace(covariates=told_covariates(config, state.gate, frame, tick))
    kernels, outputs, failed = _run_kernels(config, state, inputs)
    ahead, clipped = clip_forecasts(_forecasts(config, outputs), path, forecast_reach(config, config.steps))
    means, clipped = ahead[:, 0], clipped[:, 0]

    confidence = kernel_confidences(config, score.log_score)
    epsilon = compute_sinkhorn_epsilon(score.volatility_variance, config)
    window, learning_rate = compute_adaptive_jko_params(score.volatility_variance, epsilon, config)
    # The track record outlives an alarm, so the weights come back from uniform at once.
    learning_rate = jnp.where(alarm.in_grace, jnp.maximum(learning_rate, config.jko_recovery_step), learning_rate)
    fusion, horizon_weight = _transport(
        config, state, horizon, score, ahead, confidence, learning_rate, roughness.emergency
    )
    weight = choose_weights(
        config,
        fusion.updated_weights,
        state.weight,
        emergency=roughness.emergency,
        alarm=alarm.raised,
        degraded=state.modes.degraded,
        in_grace=alarm.in_grace,
        robust=robust_place(config.kernels),
    )
    if added_kernels(config.kernels):
        weight = without_failed(weight, failed)

    proxy, widening = _dispersion(state.gate.proxy, tick.dispersion_proxy)
    # After m imputed ticks the forecast is one of m + 1 steps.
    longer = widening * jnp.sqrt(1.0 + state.gate.imputed)
    scale = mixture_scale(weight, means, score.kernel_error) * frame.scale * longer
    mean = value + jnp.sum(weight * means) * frame.scale
    mean, lower, upper = within_support(config, mean, mean - quantile * scale, mean + quantile * scale)
    slow = reference_of(config, outputs)
    forecast = ForecastState(
        made=jnp.ones((), bool),
        origin=value,
        unit=frame.scale,
        mean=mean,
        scale=scale,
        lower=lower,
        upper=upper,
        reference=mean if slow is None else value + slow * frame.scale,
        kernel_mean=means,
        kernel_scale=score.kernel_error,
    )
    # The record of a horizon outlives an alarm; an emergency gives one kernel all of each.
    hold = verdict.imputed | state.modes.degraded
    horizon_weight = jnp.where(hold, state.horizon.weight, horizon_weight)
    used = emergency_weights(config, horizon_weight, roughness.emergency, robust_place(config.kernels))
    if added_kernels(config.kernels):
        used = jax.vmap(without_failed, in_axes=(0, None))(used, failed)
    horizon = cast(
        config,
        horizon._replace(quantile=horizon.quantile.at[0, 0].set(quantile), weight=horizon_weight),
        forecast,
        ahead,
        used,
        due.inputs,
        widening=widening,
        waited=state.gate.imputed,
    )
    diagnostics = telemetry_of(config, outputs)
    modes, collapse = watch_entropy(
        config,
        state.modes,
        diagnostics.get("dgm_entropy"),
        diagnostics.get("dgm_expected_entropy"),
        window,
        inputs.volatile,
    )
    # An imputed value is no evidence of anything.
    held = {
        "score": score,
        "charts": charts,
        "roughness": roughness,
        "spectrum": spectrum,
        "modes": modes._replace(quantile=quantile),
        "weight": weight,
    }
    for name, found in held.items():
        held[name] = jax.tree.map(lambda a, b: jnp.where(verdict.imputed, a, b), getattr(state, name), found)
    new = state._replace(
        frame=frame,
        gate=state.gate._replace(proxy=proxy),
        forecast=forecast,
        kernels=kernels,
        horizon=horizon,
        **held,
    )
    outcome = Outcome(
        residuals=residuals,
        alarm=alarm,
        anomaly_score=anomalous,
        kurtosis=tails,
        character=character,
        fusion=fusion,
        target_weight=confidence,
        learning_rate=learning_rate,
        entropy_window=window,
        clipped=clipped,
        failed=failed,
        collapse=collapse,
        diagnostics=diagnostics,
        stiffness_low=inputs.stiffness_low,
        stiffness_high=inputs.stiffness_high,
        pit=due.pit,
        season=periods_awake(inputs.season) if inputs.season else jnp.zeros(0),
    )
    return new, outcome


def _where(taken: Flag, new: PredictorState, old: PredictorState) -> PredictorState:
    """The new state where the tick was taken, else the old one; what is `Sparing` is the old one's by itself."""

    def chosen(a: Any, b: Any) -> Any:
        return a if isinstance(a, Sparing) else jnp.where(taken, a, b)

    return jax.tree.map(chosen, new, old, is_leaf=lambda leaf: isinstance(leaf, Sparing))


def _kernel_inputs(
    config: PredictorConfig,
    state: PredictorState,
    taken: Flag,
    frame: FrameState,
    path: Float[Array, "window"],
    residuals: Residuals,
    learn: Flag,
    volatility: Scalar,
    exponent: Scalar,
    horizon: HorizonInputs,
) -> KernelInputs:
    unit = jnp.where(state.forecast.made, state.forecast.unit, frame.scale)
    season: Any = ()
    if frame.season:
        season = season_inputs(config, state.frame.season, frame.season, frame.scale, taken)
    return kernel_frame(config, frame, volatility, exponent, path=path, season=season)._replace(
        increment=residuals.increment,
        learn=learn,
        scale_ratio=jnp.clip(frame.scale / unit, 1e-6, 1e6),
        horizon=horizon,
    )


def _run_kernels(
    config: PredictorConfig, state: PredictorState, inputs: KernelInputs
) -> tuple[KernelStates, dict[str, KernelOutput], Bool[Array, "kernel"]]:
    """The kernels' new states, their outputs, and which of a user's own gave none."""
    entries = kernel_entries(config)
    keys = jax.random.split(jax.random.fold_in(state.key, state.ticks), len(entries))
    added = added_kernels(config.kernels)
    states, outputs, failed = {}, {}, []
    for entry, key in zip(entries, keys, strict=True):
        before = state.kernels[entry.name]
        if entry.name in added:
            states[entry.name], outputs[entry.name], bad = guarded_step(entry, config, before, inputs, key)
        else:
            states[entry.name], outputs[entry.name] = entry.kernel.step(config, before, inputs, key)
            bad = jnp.zeros((), bool)
        failed.append(bad)
    return KernelStates(states), outputs, jnp.stack(failed)


def _forecasts(config: PredictorConfig, outputs: dict[str, KernelOutput]) -> Float[Array, "kernel step"]:
    """The kernels' means at every step; who gives the next tick's alone is held to it."""
    steps = len(config.steps)

    def every(mean: Array) -> Array:
        return mean if mean.shape == (steps,) else jnp.broadcast_to(mean[:1], (steps,))

    return jnp.stack([every(output.mean) for output in outputs.values()])


def _transport(
    config: PredictorConfig,
    state: PredictorState,
    horizon: HorizonState,
    score: ScoreState,
    ahead: Float[Array, "kernel step"],
    confidence: Float[Array, "kernel"],
    learning_rate: Scalar,
    emergency: Flag,
) -> tuple[FusionResult, Float[Array, "horizon kernel"]]:
    """The JKO step of the next tick's weights and, in the same call, of one horizon's, whose turn it is.

    The horizons take turns, with the records of the shorter ones while their own are young; the step of each is that of
    all ticks since its last.
    """
    many, variance = len(config.ladder), score.volatility_variance
    if not many:
        return fuse_kernel_outputs(
            ahead[:, 0], confidence, state.weight, variance, learning_rate, config, emergency
        ), state.horizon.weight
    turn = state.ticks % many
    record = borrowed_record(jnp.concatenate([score.log_score[None], horizon.log_score]), horizon.count, config.ladder)
    both = jax.vmap(fuse_kernel_outputs, in_axes=(0, 0, 0, None, 0, None, None))(
        jnp.stack([ahead[:, 0], ahead[:, 1 + turn]]),
        jnp.stack([confidence, kernel_confidences(config, record[turn])]),
        jnp.stack([state.weight, state.horizon.weight[turn]]),
        variance,
        jnp.stack([learning_rate, 1.0 - (1.0 - learning_rate) ** many]),
        config,
        emergency,
    )
    weight = state.horizon.weight.at[turn].set(both.updated_weights[1])
    return jax.tree.map(lambda leaf: leaf[0], both), weight


def _dispersion(mean: Scalar, proxy: Scalar) -> tuple[Scalar, Scalar]:
    """Slow mean of the dispersion proxy and how much today's differs from it, between a quarter and four."""
    usable = jnp.isfinite(proxy) & (proxy > 0)
    usual = jnp.where(jnp.isnan(mean), proxy, mean)
    widening = jnp.where(usable, jnp.clip(proxy / usual, 0.25, 4.0), 1.0)
    return jnp.where(usable, usual + PROXY_RATE * (proxy - usual), mean), widening
