"""One tick from start to end: `orchestrate_step(config, state, tick) -> (state, result)`, pure, of static shape."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ...array_types import Array, Flag, Float, Key, Scalar
from ...config.schema import PredictorConfig
from ..kernels.base import KernelInputs, KernelOutput, Sparing
from ..kernels.registry import kernel_entries, reference_of, robust_place, telemetry_of
from ..records import Observation, PredictionResult
from ..state import ForecastState, FrameState, KernelStates, PredictorState, empty_state
from .adapt import compute_adaptive_jko_params, compute_adaptive_stiffness_thresholds
from .cusum import update_charts
from .emit import Outcome, emit
from .frame import hold_scales, push
from .gate import Verdict, inspect
from .identify import identify
from .jko import clip_forecasts, fuse_kernel_outputs, mixture_scale
from .modes import choose_weights, operating_mode, update_degraded, watch_entropy
from .scoring import Residuals, kernel_confidences, kurtosis, score_forecasts, track_quantile, update_scores
from .seasons import periods_awake, season_inputs, with_periods
from .sinkhorn import compute_sinkhorn_epsilon

PATH_BOUND = 1e6
VOLATILE = 1.5
PROXY_RATE = 0.02
FIRST_COUNTED = 4


def initialize_state(config: PredictorConfig, key: Key | None = None) -> PredictorState:
    """State before the first tick; random draws come from `key`, by default from `config.seed`.

    Raises:
        ConfigError: a kernel that is not registered, or a trunk that is not shipped.
    """
    key = jax.random.PRNGKey(config.seed) if key is None else key
    entries = kernel_entries(config)
    carried, *seeds = jax.random.split(key, len(entries) + 1)
    states = {entry.name: entry.kernel.init(config, seed) for entry, seed in zip(entries, seeds, strict=True)}
    return empty_state(config, carried, KernelStates(states))


def initialize_batched_states(config: PredictorConfig, batch: int) -> PredictorState:
    """`batch` states before the first tick, stacked along a leading axis; all of them draw the same features."""
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], batch, axis=0), initialize_state(config))


def orchestrate_step(
    config: PredictorConfig, state: PredictorState, tick: Observation
) -> tuple[PredictorState, PredictionResult]:
    """Gate, score, alarm, push, identify, forecast, transport, fuse, set the modes, emit.

    A rejected tick is imputed: the forecast that is out takes its place in the window, no score, chart or regression
    learns from it, and the next forecast is one tick longer.  Where it cannot be (out of order, too many in a row,
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
    return new, emit(state, new, tick, verdict, outcome, mode)


def orchestrate_step_batch(
    config: PredictorConfig, states: PredictorState, ticks: Observation
) -> tuple[PredictorState, PredictionResult]:
    """`orchestrate_step` over a leading axis of series, the whole gate included."""
    return jax.vmap(orchestrate_step, in_axes=(None, 0, 0))(config, states, ticks)


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
    quantile = track_quantile(state.modes.quantile, residuals.fused, state.forecast.scale, config, counted)
    charts, alarm = update_charts(
        config,
        state.charts,
        residuals.reference,
        counted & ~verdict.released,
        verdict.released,
        tails,
    )

    frame = push(
        state.frame,
        value,
        verdict.released,
        config.numerical_epsilon,
        verdict.slots,
        verdict.accepted | verdict.imputed,
    )
    frame = hold_scales(frame, state.frame, verdict.frozen | verdict.imputed)
    frame = frame._replace(
        count=jnp.where(verdict.imputed, state.frame.count, frame.count),
        age=jnp.where(verdict.imputed, state.frame.age, frame.age),
        season=with_periods(config, frame.season, frame.count, ~verdict.imputed) if frame.season else (),
    )
    path = jnp.clip((frame.window - value) / frame.scale, -PATH_BOUND, PATH_BOUND)
    roughness, spectrum, character = identify(config, state.roughness, state.spectrum, path, frame.count)

    volatility = jnp.sqrt(score.volatility_variance)
    inputs = _kernel_inputs(config, state, verdict, frame, path, residuals, usual, volatility, roughness.exponent)
    kernels, outputs = _run_kernels(config, state, inputs)
    forecasts = jnp.stack([jax.lax.index_in_dim(output.mean, 0, keepdims=False) for output in outputs.values()])
    means, clipped = clip_forecasts(forecasts, path, config.forecast_clip)

    confidence = kernel_confidences(config, score)
    epsilon = compute_sinkhorn_epsilon(score.volatility_variance, config)
    window, learning_rate = compute_adaptive_jko_params(score.volatility_variance, epsilon, config)
    # The track record outlives an alarm, so the weights come back from uniform at once.
    learning_rate = jnp.where(alarm.in_grace, jnp.maximum(learning_rate, config.jko_recovery_step), learning_rate)
    fusion = fuse_kernel_outputs(
        means, confidence, state.weight, score.volatility_variance, learning_rate, config, roughness.emergency
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

    proxy, widening = _dispersion(state.gate.proxy, tick.dispersion_proxy)
    # After m imputed ticks the forecast is one of m + 1 steps.
    widening = widening * jnp.sqrt(1.0 + state.gate.imputed)
    scale = mixture_scale(weight, means, score.kernel_error) * frame.scale * widening
    mean = value + jnp.sum(weight * means) * frame.scale
    slow = reference_of(config, outputs)
    forecast = ForecastState(
        made=jnp.ones((), bool),
        origin=value,
        unit=frame.scale,
        mean=mean,
        scale=scale,
        lower=mean - quantile * scale,
        upper=mean + quantile * scale,
        reference=mean if slow is None else value + slow * frame.scale,
        kernel_mean=means,
        kernel_scale=score.kernel_error,
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
    new = state._replace(frame=frame, gate=state.gate._replace(proxy=proxy), forecast=forecast, kernels=kernels, **held)
    outcome = Outcome(
        residuals=residuals,
        alarm=alarm,
        kurtosis=tails,
        character=character,
        fusion=fusion,
        target_weight=confidence,
        learning_rate=learning_rate,
        entropy_window=window,
        clipped=clipped,
        collapse=collapse,
        diagnostics=diagnostics,
        stiffness_low=inputs.stiffness_low,
        stiffness_high=inputs.stiffness_high,
        season=periods_awake(inputs.season) if inputs.season else jnp.zeros(0),
    )
    return new, outcome


def _where(taken: Flag, new: PredictorState, old: PredictorState) -> PredictorState:
    """The new state where the tick was taken, else the old one; what is `Sparing` is the old one's by itself."""

    def chosen(a: Array | Sparing, b: Array | Sparing) -> Array | Sparing:
        return a if isinstance(a, Sparing) else jnp.where(taken, a, b)  # type: ignore[arg-type]

    return jax.tree.map(chosen, new, old, is_leaf=lambda leaf: isinstance(leaf, Sparing))


def _kernel_inputs(
    config: PredictorConfig,
    state: PredictorState,
    verdict: Verdict,
    frame: FrameState,
    path: Float[Array, "window"],
    residuals: Residuals,
    learn: Flag,
    volatility: Scalar,
    exponent: Scalar,
) -> KernelInputs:
    low, high = compute_adaptive_stiffness_thresholds(
        exponent, least_low=config.stiffness_low, least_high=config.stiffness_high
    )
    unit = jnp.where(state.forecast.made, state.forecast.unit, frame.scale)
    return KernelInputs(
        path=path,
        count=jnp.minimum(frame.count, path.shape[0]),
        ticks=frame.count,
        increment=residuals.increment,
        learn=learn,
        level=jnp.clip((frame.level - frame.window[-1]) / frame.scale, -PATH_BOUND, PATH_BOUND),
        spread=jnp.clip(frame.spread / frame.scale, 1e-3, PATH_BOUND),
        scale_ratio=jnp.clip(frame.scale / unit, 1e-6, 1e6),
        volatility=volatility,
        holder_exponent=exponent,
        stiffness_low=low,
        stiffness_high=high,
        volatile=volatility > VOLATILE,
        season=season_inputs(config, state.frame.season, frame.season, frame.scale, verdict.accepted | verdict.imputed)
        if frame.season
        else (),
    )


def _run_kernels(
    config: PredictorConfig, state: PredictorState, inputs: KernelInputs
) -> tuple[KernelStates, dict[str, KernelOutput]]:
    entries = kernel_entries(config)
    keys = jax.random.split(jax.random.fold_in(state.key, state.ticks), len(entries))
    states, outputs = {}, {}
    for entry, key in zip(entries, keys, strict=True):
        states[entry.name], outputs[entry.name] = entry.kernel.step(config, state.kernels[entry.name], inputs, key)
    return KernelStates(states), outputs


def _dispersion(mean: Scalar, proxy: Scalar) -> tuple[Scalar, Scalar]:
    """Slow mean of the dispersion proxy and how much today's differs from it, between a quarter and four."""
    usable = jnp.isfinite(proxy) & (proxy > 0)
    usual = jnp.where(jnp.isnan(mean), proxy, mean)
    widening = jnp.where(usable, jnp.clip(proxy / usual, 0.25, 4.0), 1.0)
    return jnp.where(usable, usual + PROXY_RATE * (proxy - usual), mean), widening
