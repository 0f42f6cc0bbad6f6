"""The telemetry of a tick: what it shows of an accepted one, and what of a rejected one."""

from __future__ import annotations

import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.model.records import CHART_NAMES

CONFIG = PredictorConfig()
KERNELS = 4
# Shown of a rejected tick because it stands as it stood, or because it is a flag or a counter.
STANDING = {
    "weight", "holder_exponent", "holder_valid", "fractal_dimension", "whittle_exponent", "volatility", "emergency",
    "chart_statistic", "chart_threshold", "cusum_up", "cusum_down", "cusum_drift", "adaptive_threshold", "prediction",
    "lower", "upper", "scale", "kernel_prediction", "kernel_scale", "in_grace", "ticks",
}  # fmt: skip
COMPUTED = {
    "residual", "reference_residual", "kurtosis", "drift", "quadratic_variation", "jump_share", "target_weight",
    "anomaly_score",
    "free_energy", "free_energy_before", "transport_cost", "transport_plan", "sinkhorn_epsilon", "sinkhorn_error",
    "learning_rate", "entropy_window", "dgm_entropy", "dgm_expected_entropy", "distance_to_collapse", "entropy_ratio",
    "pde_residual", "stiffness", "stiffness_low", "stiffness_high", "jump_intensity",
}  # fmt: skip
FLAGS = {
    "jump", "stationary", "sinkhorn_converged", "clipped", "mode_collapse_warning", "alarm", "anomaly", "stale",
    "sparse",
}  # fmt: skip


@pytest.fixture(scope="module")
def rejected(replay, walked):
    """A tick of NaN after the walk: (results of the walk, its own results)."""
    _, state, results = walked
    return results.telemetry, replay([np.nan], state=state)[1].telemetry


def test_flags_say_why_a_tick_was_rejected(replay, walked):
    values, state, _ = walked
    stamp = int(state.gate.last_timestamp_ns)
    for value, when, reason in (
        (np.inf, stamp + 1, "not_finite"),
        (1e9, stamp + 1, "outlier"),
        (0.0, stamp - 1, "out_of_order"),
    ):
        telemetry = replay([values[-1] if value == 0.0 else value], [when], state=state)[1].telemetry
        assert telemetry.rejected[0] and not telemetry.accepted[0] and not telemetry.released[0]
        reasons = {name: bool(getattr(telemetry, name)[0]) for name in ("not_finite", "outlier", "out_of_order")}
        assert reasons == {name: name == reason for name in reasons}
        assert telemetry.degraded[0] and telemetry.operating_mode[0] == 1


def test_what_a_rejected_tick_did_not_compute_is_unknown(rejected):
    _, telemetry = rejected
    for name in COMPUTED:
        assert np.isnan(getattr(telemetry, name)).all(), name
    for name in FLAGS:
        assert not getattr(telemetry, name).any(), name
    assert telemetry.alarm_chart[0] == -1 and telemetry.onset_ago[0] == 0 and telemetry.solver[0] == -1
    assert np.isnan(telemetry.observation[0])


def test_what_a_rejected_tick_left_standing_is_shown_as_it_stands(rejected):
    before, telemetry = rejected
    for name in STANDING - {"prediction", "lower", "upper", "scale", "kernel_prediction", "kernel_scale"}:
        if name.startswith(("cusum", "chart_statistic")):
            continue
        # Thresholds adapt after they have been compared with, by less than a thousandth on a quiet tick.
        tolerance = 1e-3 if name.endswith("threshold") else 0.0
        np.testing.assert_allclose(getattr(telemetry, name)[0], getattr(before, name)[-1], rtol=tolerance, err_msg=name)
    assert np.isfinite(telemetry.prediction[0]) and np.isfinite(telemetry.kernel_prediction[0]).all()


def test_a_clean_walk_raises_no_flag_of_the_gate(walked):
    telemetry = walked[2].telemetry
    for name in (
        "rejected",
        "not_finite",
        "outlier",
        "out_of_order",
        "stale",
        "sparse",
        "frozen",
        "released",
        "degraded",
    ):
        assert not getattr(telemetry, name).any(), name
    np.testing.assert_array_equal(telemetry.ticks, np.arange(1, 401))
    np.testing.assert_array_equal(telemetry.observation, walked[0])


def test_the_z_score_is_that_of_the_frame_before_the_tick(replay, walked):
    values, state, _ = walked
    telemetry = replay([values[-1] + 4.0], state=state)[1].telemetry
    expected = (values[-1] + 4.0 - float(state.frame.level)) / float(state.frame.spread)
    assert telemetry.z_score[0] == pytest.approx(expected, rel=1e-12)


def test_the_kernels_forecasts_are_in_the_inputs_units(replay, walked):
    values, state, _ = walked
    telemetry = replay([values[-1]], state=state)[1].telemetry
    forecast = state.forecast
    expected = float(forecast.origin) + float(forecast.unit) * np.asarray(forecast.kernel_mean)
    np.testing.assert_allclose(telemetry.kernel_prediction[0], expected, rtol=1e-12)
    np.testing.assert_allclose(
        telemetry.kernel_scale[0], float(forecast.unit) * np.asarray(forecast.kernel_scale), rtol=1e-12
    )


def test_the_charts_of_the_telemetry_are_those_that_decided(walked):
    telemetry = walked[2].telemetry
    np.testing.assert_array_equal(telemetry.cusum_drift, np.maximum(telemetry.cusum_up, telemetry.cusum_down))
    np.testing.assert_array_equal(telemetry.cusum_drift, telemetry.chart_statistic[:, 0])
    np.testing.assert_array_equal(telemetry.adaptive_threshold, telemetry.chart_threshold[:, 0])
    fired = telemetry.alarm & (telemetry.alarm_chart < len(CHART_NAMES))
    excess = telemetry.chart_statistic / telemetry.chart_threshold
    assert (excess[fired].max(axis=1, initial=2.0) > 1.0).all()
    quiet = ~telemetry.alarm & ~telemetry.in_grace
    assert (excess[quiet][1:] <= 1.0).all()


def test_relations_between_fields_hold(walked):
    telemetry = walked[2].telemetry
    np.testing.assert_array_equal(telemetry.fractal_dimension, 2.0 - telemetry.holder_exponent)
    np.testing.assert_array_equal(telemetry.accepted, ~telemetry.rejected)
    np.testing.assert_allclose(telemetry.transport_plan.sum(axis=(1, 2)), 1.0, rtol=0, atol=1e-6)
    np.testing.assert_allclose(telemetry.target_weight.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    np.testing.assert_allclose(telemetry.transport_plan.sum(axis=1), telemetry.target_weight, rtol=0, atol=1e-6)
    assert (telemetry.stiffness_low < telemetry.stiffness_high).all()
    assert set(np.unique(telemetry.solver)) <= {0, 1, 2} and set(np.unique(telemetry.operating_mode)) <= {0, 1, 2}


def test_every_field_has_one_row_a_tick(walked):
    shapes = {name: np.shape(values) for name, values in vars(walked[2].telemetry).items()}
    assert {shape[0] for shape in shapes.values()} == {400}
    for name in ("weight", "target_weight", "kernel_prediction", "kernel_scale", "clipped"):
        assert shapes[name] == (400, KERNELS)
    assert shapes["transport_plan"] == (400, KERNELS, KERNELS)
    assert shapes["chart_statistic"] == shapes["chart_threshold"] == (400, len(CHART_NAMES))
    assert shapes["koopman_power"] == (400, CONFIG.koopman_top_k)
