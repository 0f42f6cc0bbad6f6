"""The whole tick: what is scored against what, what a rejected tick touches, causality, recovery."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.model.orchestration.cusum import RELEASE
from uspnb.model.orchestration.jko import mixture_scale
from uspnb.model.orchestration.step import initialize_batched_states, initialize_state

SECOND = 1_000_000_000
CONFIG = PredictorConfig()
# What a tick may leave unknown on purpose: a window without an exponent or a spectrum, a residual without a forecast.
UNKNOWN_AT_TIMES = {
    "whittle_exponent", "koopman_frequency", "koopman_power", "paley_wiener_integral", "anomaly_score", "pit", "season",
}  # fmt: skip


def _fields(telemetry) -> dict[str, np.ndarray]:
    return {name: np.asarray(values) for name, values in vars(telemetry).items()}


def _assert_same(a, b) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def _forecasts(results) -> np.ndarray:
    return np.stack([results.reference_prediction, results.confidence_lower, results.confidence_upper])


def test_the_forecast_for_t_is_scored_at_t(walked):
    values, _, results = walked
    telemetry = results.telemetry
    np.testing.assert_array_equal(telemetry.prediction[1:], results.reference_prediction[:-1])
    np.testing.assert_array_equal(telemetry.lower[1:], results.confidence_lower[:-1])
    np.testing.assert_array_equal(telemetry.upper[1:], results.confidence_upper[:-1])
    np.testing.assert_array_equal(telemetry.residual[1:], values[1:] - results.reference_prediction[:-1])
    assert np.isnan(telemetry.prediction[0]) and np.isnan(telemetry.residual[0])


def test_the_forecast_is_the_weighted_mean_of_the_kernels(walked):
    """Weights of tick t and the kernels' forecasts that are scored at t + 1."""
    _, _, results = walked
    telemetry = results.telemetry
    fused = np.einsum("tk,tk->t", telemetry.weight[:-1], telemetry.kernel_prediction[1:])
    np.testing.assert_allclose(results.reference_prediction[:-1], fused, rtol=0, atol=1e-9)


def test_the_scale_is_that_of_the_mixture(walked):
    values, _, results = walked
    telemetry = results.telemetry
    arrays = (telemetry.weight[:-1], telemetry.kernel_prediction[1:] - values[:-1, None], telemetry.kernel_scale[1:])
    expected = jax.vmap(mixture_scale)(*(jnp.asarray(a) for a in arrays))
    np.testing.assert_allclose(telemetry.scale[1:], expected, rtol=1e-9)


def test_weights_are_on_the_simplex_at_every_tick(walked):
    weight = walked[2].telemetry.weight
    np.testing.assert_allclose(weight.sum(1), 1.0, rtol=0, atol=1e-10)
    assert (weight >= 0).all()


def test_the_free_energy_falls_along_every_step(walked):
    telemetry = walked[2].telemetry
    assert (telemetry.free_energy <= telemetry.free_energy_before + 1e-12).all()
    assert telemetry.sinkhorn_converged.all() and (telemetry.sinkhorn_error < 1e-6).all()


def test_results_are_finite_and_ordered_from_the_first_tick(walked):
    _, _, results = walked
    assert np.isfinite(_forecasts(results)).all()
    assert (results.confidence_lower <= results.reference_prediction).all()
    assert (results.reference_prediction <= results.confidence_upper).all()


@pytest.mark.parametrize("at", [20, 150, 399])
def test_a_tick_changes_nothing_before_itself(replay, walked, at):
    values, _, results = walked
    changed = values.copy()
    changed[at:] += 3.0
    _, other = replay(changed)
    # A forecast of tick `at` is made at the tick before, so everything up to there is the same to the last bit.
    for name, field in _fields(results.telemetry).items():
        np.testing.assert_array_equal(field[:at], _fields(other.telemetry)[name][:at], err_msg=name)
    np.testing.assert_array_equal(_forecasts(results)[:, :at], _forecasts(other)[:, :at])
    assert results.reference_prediction[at] != other.reference_prediction[at]


def test_the_state_carries_everything(replay, walked):
    values, last, results = walked
    middle, early = replay(values[:173])
    end, late = replay(values[173:], state=middle)
    _assert_same(end, last)
    np.testing.assert_array_equal(np.concatenate([_forecasts(early), _forecasts(late)], axis=1), _forecasts(results))


BAD_TICKS = {
    "nan": (np.nan, 1),
    "infinite": (-np.inf, 1),
    "beyond 64 bits": (1.7e308, 1),
    "outlier": (1e6, 1),
    "backward": (0.0, -5),
}


@pytest.mark.parametrize("kind", list(BAD_TICKS))
def test_a_rejected_tick_that_is_not_imputed_touches_counters_and_modes_only(replay, walked, kind):
    values, state, results = walked
    value, seconds = BAD_TICKS[kind]
    value = values[-1] if value == 0.0 else value
    stamp = int(state.gate.last_timestamp_ns) + seconds * SECOND
    after, telemetry = replay([value], [stamp], state=state, config=dataclasses.replace(CONFIG, impute=False))
    for name in ("frame", "forecast", "score", "charts", "roughness", "weight", "kernels", "key"):
        _assert_same(getattr(after, name), getattr(state, name))
    counters = {"backward_run", "backward_timestamp_ns", "skipped", "outlier_run", "outlier_streak", "outlier_value"}
    for name in set(state.gate._fields) - counters:
        np.testing.assert_array_equal(getattr(after.gate, name), getattr(state.gate, name), err_msg=name)
    assert int(after.ticks) == int(state.ticks) + 1
    assert bool(after.modes.degraded) and float(after.modes.quantile) == float(state.modes.quantile)
    # The forecast that is out stays out.
    np.testing.assert_array_equal(_forecasts(telemetry)[:, 0], _forecasts(results)[:, -1])
    assert telemetry.telemetry.rejected[0] and not telemetry.telemetry.accepted[0]
    assert int(telemetry.operating_mode[0]) == 1


@pytest.mark.parametrize(
    "bad",
    [
        np.full(40, np.nan),
        np.tile([1e308, -1e308], 20),
        np.full(40, 1e6),
        np.full(40, 0.0),
        np.tile([1e300, -1e300], 20),
        10.0 ** np.arange(40),
    ],
    ids=["nan", "infinite", "another level", "stuck", "wild", "exploding"],
)
def test_after_any_bad_ticks_the_predictor_recovers_by_itself(replay, walked, bad):
    values, state, _ = walked
    after, during = replay(bad, state=state)
    tail = values[-1] + random_walk(400, 12)
    end, results = replay(tail, state=after)
    assert np.isfinite(_forecasts(during)).all() and np.isfinite(_forecasts(results)).all()
    telemetry = results.telemetry
    assert not telemetry.degraded[-50:].any() and telemetry.accepted[-300:].all()
    # In the last hundred ticks it is about as good as last value, whose median error is .67.
    assert np.median(np.abs(telemetry.residual[-100:])) < 1.0
    assert np.isfinite(np.asarray(end.weight)).all()


@pytest.mark.parametrize(
    "values",
    [
        1e300 * np.random.default_rng(0).normal(size=300),
        1e-300 * np.random.default_rng(0).normal(size=300),
        random_walk(300, 0) * 1e303,
        np.zeros(300),
        np.full(300, 7.0),
        np.where(np.arange(300) == 150, 1e300, 0.0),
        np.where(np.arange(300) % 2 == 0, 1e305, -1e305),
        np.where(np.arange(300) == 150, 1e6, np.random.default_rng(0).normal(size=300)),
    ],
    ids=["huge", "tiny", "huge walk", "zero", "constant", "constant with a spike", "extremes", "spike of a million"],
)
def test_no_series_leaves_anything_that_is_not_a_number(replay, values):
    state, results = replay(values)
    assert np.isfinite(_forecasts(results)).all()
    # One tick has no forecast behind it and two have no spread.
    accepted = np.flatnonzero(results.telemetry.accepted)[2:]
    for name, field in _fields(results.telemetry).items():
        if name not in UNKNOWN_AT_TIMES:
            assert np.isfinite(field[accepted].astype(float)).all(), name
    for name in ("frame", "forecast", "kernels", "weight"):
        assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(getattr(state, name))), name


def test_a_new_level_is_an_alarm_and_rescales_the_frame(replay, walked):
    values, state, _ = walked
    after, results = replay(values[-1] + 1000.0 + random_walk(60, 1), state=state)
    telemetry = results.telemetry
    released = int(np.argmax(telemetry.released))
    assert released == CONFIG.outlier_release_steps - 1
    assert telemetry.alarm[released] and telemetry.alarm_chart[released] == RELEASE
    assert telemetry.onset_ago[released] == CONFIG.outlier_release_steps - 1
    np.testing.assert_array_equal(telemetry.weight[released], 0.25)
    assert telemetry.in_grace[released:].sum() >= CONFIG.grace_period_steps
    assert float(after.frame.scale) < 3.0 * float(state.frame.scale)


def test_every_alarm_makes_the_weights_uniform_and_they_come_back(replay):
    rng = np.random.default_rng(3)
    values = np.where(np.arange(1500) < 900, 0.0, 3.0) + rng.normal(size=1500)
    telemetry = replay(values)[1].telemetry
    alarms = np.flatnonzero(telemetry.alarm[:-10])
    assert ((alarms >= 900) & (alarms < 930)).any(), "the shift itself must be found"
    plain = alarms[~telemetry.emergency[alarms]]
    np.testing.assert_array_equal(telemetry.weight[plain], 0.25)
    gap = np.abs(telemetry.weight - telemetry.target_weight).sum(1)
    # The way back is taken at `jko_recovery_step`, .9 of it a tick.
    assert (gap[plain + 3] < 0.15).all()


def test_weights_stand_still_while_degraded(replay, walked):
    values, state, _ = walked
    stamps = int(state.gate.last_timestamp_ns) + SECOND * np.arange(1, 31)
    late = stamps + 60 * SECOND
    following = values[-1] + random_walk(30, 4)
    telemetry = replay(following, stamps, late, state=state)[1].telemetry
    assert telemetry.stale.all() and telemetry.degraded.all() and telemetry.accepted.all()
    still = ~telemetry.alarm
    np.testing.assert_array_equal(
        telemetry.weight[still], np.broadcast_to(np.asarray(state.weight), telemetry.weight.shape)[still]
    )
    assert (telemetry.operating_mode == 1).all()


def test_in_an_emergency_all_weight_is_on_the_log_signature(replay, walked):
    values, state, _ = walked
    rough = state.roughness._replace(emergency=jnp.asarray(True))
    telemetry = replay([values[-1] + 0.5], state=state._replace(roughness=rough))[1].telemetry
    if telemetry.emergency[0]:
        np.testing.assert_array_equal(telemetry.weight[0], [0.0, 0.0, 0.0, 1.0])
        assert telemetry.operating_mode[0] == 2
    else:
        pytest.fail("the breaker closed on the tick of a measurement; choose a walk whose exponent stays low")


def test_a_gap_is_scored_but_not_learned_from(replay, walked):
    values, state, results = walked
    stamp = int(state.gate.last_timestamp_ns) + 100 * SECOND
    after, telemetry = replay([values[-1] + 15.0], [stamp], state=state)
    assert telemetry.telemetry.sparse[0] and telemetry.telemetry.accepted[0]
    assert telemetry.telemetry.residual[0] == pytest.approx(values[-1] + 15.0 - results.reference_prediction[-1])
    assert int(after.score.scored) == int(state.score.scored)
    for before, new in (
        (state.kernels["hilbert"].slow, after.kernels["hilbert"].slow),
        (state.kernels["log_signature"].ridge, after.kernels["log_signature"].ridge),
    ):
        _assert_same(before, new)
    # The counterpart: without the gap both learn.
    after, _ = replay([values[-1] + 1.0], state=state)
    assert int(after.score.scored) == int(state.score.scored) + 1
    assert float(after.kernels["hilbert"].slow.weight) != float(state.kernels["hilbert"].slow.weight)


def test_a_frozen_signal_teaches_nothing(replay, walked):
    values, state, _ = walked
    after, results = replay(np.full(60, values[-1]), state=state)
    telemetry = results.telemetry
    frozen = np.flatnonzero(telemetry.frozen)
    assert frozen[0] == CONFIG.frozen_signal_min_steps - 2 and len(frozen) == 60 - frozen[0]
    middle, _ = replay(np.full(int(frozen[0]), values[-1]), state=state)
    for name in ("score", "charts"):
        _assert_same(getattr(after, name), getattr(middle, name))
    _assert_same(after.kernels["log_signature"].ridge, middle.kernels["log_signature"].ridge)
    assert float(after.frame.scale) == float(middle.frame.scale)


def test_the_dispersion_proxy_widens_by_its_own_ratio(replay, walked):
    values, state, _ = walked
    primed, _ = replay([values[-1] + 0.1], state=state, proxy=[2.0])
    widths = []
    for proxy in (2.0, 4.0, 0.2, np.nan):
        after, _ = replay([values[-1] + 0.2], state=primed, proxy=[proxy])
        widths.append(float(after.forecast.scale))
    np.testing.assert_allclose(np.array(widths[1:]) / widths[0], [2.0, 0.25, 1.0], rtol=1e-12)


def test_sensitivities_change_the_answer_without_a_new_program(replay, walked):
    values, _, results = walked
    _, wide = replay(values, config=PredictorConfig(confidence_level=0.5))
    narrow = wide.confidence_upper - wide.confidence_lower
    assert np.median(narrow[100:]) < 0.6 * np.median((results.confidence_upper - results.confidence_lower)[100:])
    np.testing.assert_array_equal(wide.reference_prediction, results.reference_prediction)


def test_batched_states_are_copies_of_one():
    single, batch = initialize_state(CONFIG), initialize_batched_states(CONFIG, 3)
    for one, many in zip(jax.tree.leaves(single), jax.tree.leaves(batch), strict=True):
        assert many.shape == (3, *one.shape) and many.dtype == one.dtype
        np.testing.assert_array_equal(many, np.stack([one] * 3))


def test_no_two_leaves_of_a_state_share_an_array():
    """A live loop donates its state, which a shared buffer would forbid."""
    leaves = jax.tree.leaves(initialize_state(CONFIG))
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)
