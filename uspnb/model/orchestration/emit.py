"""From the states before and after a tick to its result and telemetry."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ...array_types import Array, Bool, Flag, Float, Int, Scalar
from ...config.schema import PredictorConfig
from ..fields import Telemetry
from ..records import Observation, PredictionResult
from ..state import PredictorState
from .cusum import Alarm
from .gate import LARGEST, Verdict
from .horizons import within_support
from .identify import Character
from .jko import FusionResult
from .modes import Collapse
from .scoring import Residuals


class Outcome(NamedTuple):
    """What an accepted tick computed that no state carries; `diagnostics` of the kernels, by field of the telemetry."""

    residuals: Residuals
    alarm: Alarm
    anomaly_score: Scalar
    kurtosis: Scalar
    character: Character
    fusion: FusionResult
    target_weight: Float[Array, "kernel"]
    learning_rate: Scalar
    entropy_window: Scalar
    clipped: Bool[Array, "kernel"]
    failed: Bool[Array, "kernel"]
    collapse: Collapse
    diagnostics: dict[str, Array]
    stiffness_low: Scalar
    stiffness_high: Scalar
    pit: Float[Array, "step"]
    season: Float[Array, "season_slot"]


def emit(
    config: PredictorConfig,
    before: PredictorState,
    after: PredictorState,
    tick: Observation,
    verdict: Verdict,
    outcome: Outcome,
    mode: Int[Array, ""],
    anomaly: Flag,
) -> PredictionResult:
    """The forecast that is out after the tick, and the tick's telemetry.

    What a rejected tick did not compute is NaN or False; what it left standing (weights, charts, exponent) is shown as
    it stands.
    """
    accepted = verdict.accepted

    def computed(values: Array) -> Array:
        values = jnp.asarray(values)
        unknown = jnp.zeros_like(values) if values.dtype == bool else jnp.full_like(values, jnp.nan)
        return jnp.where(accepted, values, unknown)

    def diagnostic(field: str) -> Array:
        return computed(outcome.diagnostics.get(field, jnp.full((), jnp.nan)))

    old, charts, rough = before.forecast, after.charts, after.roughness
    alarm, fusion, character = outcome.alarm, outcome.fusion, outcome.character
    raised = accepted & alarm.raised

    def forecast_of(value: Array) -> Array:
        return jnp.where(old.made, value, jnp.nan)

    frame = before.frame
    steps = np.array([config.steps.index(h) for h in config.horizons])
    fan = after.horizon
    fan_lower, fan_upper = within_support(config, fan.mean - fan.half[:, 0], fan.mean + fan.half[:, 0])
    season_weight = diagnostic("season_weight")
    telemetry = Telemetry(
        observation=tick.value,
        accepted=accepted,
        z_score=jnp.where(
            frame.count > 1, jnp.clip((tick.value - frame.level) / frame.spread, -LARGEST, LARGEST), jnp.nan
        ),
        prediction=forecast_of(old.mean),
        lower=forecast_of(old.lower),
        upper=forecast_of(old.upper),
        scale=forecast_of(old.scale),
        residual=computed(outcome.residuals.fused),
        kernel_prediction=forecast_of(old.origin + old.unit * old.kernel_mean),
        kernel_scale=forecast_of(old.unit * old.kernel_scale),
        rejected=~accepted,
        imputed=verdict.imputed,
        not_finite=verdict.not_finite,
        outlier=verdict.outlier,
        out_of_order=verdict.out_of_order,
        stale=verdict.stale,
        sparse=verdict.sparse,
        frozen=verdict.frozen,
        released=verdict.released,
        reference_residual=computed(outcome.residuals.reference),
        chart_statistic=jnp.where(accepted, alarm.statistic, jnp.maximum(charts.up, charts.down)),
        chart_threshold=jnp.where(accepted, alarm.threshold, charts.threshold),
        cusum_up=jnp.where(accepted, alarm.up, charts.up[0]),
        cusum_down=jnp.where(accepted, alarm.down, charts.down[0]),
        cusum_drift=jnp.where(accepted, alarm.statistic[0], jnp.maximum(charts.up[0], charts.down[0])),
        adaptive_threshold=jnp.where(accepted, alarm.threshold[0], charts.threshold[0]),
        alarm=raised,
        alarm_chart=jnp.where(raised, alarm.chart, -1),
        onset_ago=jnp.where(raised, alarm.onset_ago, 0),
        in_grace=charts.grace > 0,
        anomaly_score=outcome.anomaly_score,
        anomaly=anomaly,
        kurtosis=computed(outcome.kurtosis),
        holder_exponent=rough.exponent,
        holder_valid=rough.valid,
        fractal_dimension=2.0 - rough.exponent,
        whittle_exponent=rough.whittle,
        jump=computed(character.jump),
        stationary=rough.stationary,
        koopman_frequency=computed(after.spectrum.frequency),
        koopman_power=computed(after.spectrum.power),
        paley_wiener_integral=computed(after.spectrum.paley_wiener_integral),
        drift=computed(character.drift),
        quadratic_variation=computed(character.quadratic_variation),
        jump_share=computed(character.jump_share),
        weight=after.weight,
        target_weight=computed(outcome.target_weight),
        free_energy=computed(fusion.free_energy),
        free_energy_before=computed(fusion.free_energy_before),
        transport_cost=computed(fusion.transport_cost),
        transport_plan=computed(fusion.sinkhorn_transport),
        sinkhorn_epsilon=computed(fusion.sinkhorn_epsilon),
        sinkhorn_converged=computed(fusion.sinkhorn_converged),
        sinkhorn_error=computed(fusion.sinkhorn_max_err),
        learning_rate=computed(outcome.learning_rate),
        entropy_window=computed(outcome.entropy_window),
        volatility=jnp.sqrt(after.score.volatility_variance),
        clipped=computed(outcome.clipped),
        kernel_failed=computed(outcome.failed),
        dgm_entropy=diagnostic("dgm_entropy"),
        dgm_expected_entropy=diagnostic("dgm_expected_entropy"),
        distance_to_collapse=computed(outcome.collapse.distance),
        entropy_ratio=diagnostic("entropy_ratio"),
        mode_collapse_warning=computed(outcome.collapse.warning),
        pde_residual=diagnostic("pde_residual"),
        stiffness=diagnostic("stiffness"),
        stiffness_low=computed(outcome.stiffness_low),
        stiffness_high=computed(outcome.stiffness_high),
        solver=jnp.where(accepted, outcome.diagnostics.get("solver", -1), -1),
        jump_intensity=diagnostic("jump_intensity"),
        degraded=after.modes.degraded,
        emergency=rough.emergency,
        operating_mode=mode,
        ticks=after.frame.count,
        # Of a tick that was not taken the weight is NaN; experts without weight have given their season up.
        season=jnp.where(season_weight != 0.0, outcome.season, jnp.nan),
        season_weight=season_weight,
        covariate_effect=computed(outcome.diagnostics.get("covariate_effect", jnp.zeros(0)) * after.forecast.unit),
        horizon_prediction=after.horizon.mean[steps],
        horizon_lower=fan_lower[steps],
        horizon_upper=fan_upper[steps],
        horizon_level_width=after.horizon.half[steps, 1:],
        horizon_weight=jnp.concatenate([after.weight[None], after.horizon.weight])[steps],
        pit=computed(outcome.pit)[steps],
    )
    out = after.forecast
    return PredictionResult(
        reference_prediction=jnp.where(out.made, out.mean, jnp.nan),
        confidence_lower=jnp.where(out.made, out.lower, jnp.nan),
        confidence_upper=jnp.where(out.made, out.upper, jnp.nan),
        operating_mode=mode,
        telemetry=telemetry,
        kernels=tuple(after.kernels),
    )
