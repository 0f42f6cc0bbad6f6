"""Ticks in, results out: what is accepted as an instant or a number, and what is refused with which words."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime, timedelta, timezone

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uspnb.config.schema import PredictorConfig
from uspnb.data.times import timestamp_to_ns
from uspnb.errors import DomainError
from uspnb.model.packing import unpack
from uspnb.model.programs import result_layout
from uspnb.model.records import CHART_NAMES, OperatingMode, PredictionResult, ProcessState

NOON_NS = 1_771_675_200_000_000_000  # 2026-02-21 12:00 UTC


def example_result(leading: tuple[int, ...] = ()) -> PredictionResult:
    layout = result_layout(PredictorConfig())
    return unpack(np.ones((*leading, layout.width)), layout)


@pytest.mark.parametrize(
    "instant",
    [
        NOON_NS,
        np.int64(NOON_NS),
        datetime(2026, 2, 21, 12, tzinfo=UTC),
        datetime(2026, 2, 21, 14, tzinfo=timezone(timedelta(hours=2))),
        np.datetime64("2026-02-21T12:00"),
        np.datetime64("2026-02-21T12:00:00.000000000"),
        pd.Timestamp("2026-02-21 12:00", tz="UTC"),
        pd.Timestamp("2026-02-21 13:00", tz="Europe/Madrid"),
    ],
    ids=lambda instant: f"{type(instant).__name__}-{instant}",
)
def test_every_way_to_name_an_instant_gives_the_same_nanoseconds(instant: object) -> None:
    assert timestamp_to_ns(instant) == NOON_NS
    assert ProcessState(1.0, instant).timestamp_ns == NOON_NS


def test_nanoseconds_survive() -> None:
    assert timestamp_to_ns(pd.Timestamp(NOON_NS + 7, tz="UTC")) == NOON_NS + 7
    assert timestamp_to_ns(np.datetime64(NOON_NS + 7, "ns")) == NOON_NS + 7


@given(st.datetimes(min_value=datetime(1680, 1, 1), max_value=datetime(2260, 1, 1), timezones=st.just(UTC)))
def test_datetimes_agree_with_pandas(when: datetime) -> None:
    assert timestamp_to_ns(when) == pd.Timestamp(when).as_unit("ns").value


@pytest.mark.parametrize(
    ("instant", "words"),
    [
        (datetime(2026, 2, 21, 12), ("2026-02-21T12:00:00", "naive", "replace(tzinfo=")),
        (pd.Timestamp("2026-02-21 12:00"), ("naive", "tzinfo")),
        (pd.NaT, ("NaT",)),
        (np.datetime64("NaT"), ("NaT",)),
        ("2026-02-21", ("'2026-02-21'", "str", "aware datetime")),
        (1.5, ("1.5", "float", "integer of nanoseconds")),
        (None, ("None", "NoneType")),
        (True, ("True", "bool")),
        (2**63, (str(2**63), "1678 to 2262")),
        (-(2**63), (str(-(2**63)), "1678 to 2262")),
        (datetime(2300, 1, 1, tzinfo=UTC), ("1678 to 2262",)),
        (np.datetime64("3000-01-01"), ("3000-01-01", "1678 to 2262")),
        (np.datetime64("1500-01-01T00:00:00"), ("1500-01-01", "1678 to 2262")),
    ],
    ids=repr,
)
def test_what_names_no_instant_is_refused(instant: object, words: tuple[str, ...]) -> None:
    with pytest.raises(DomainError) as refusal:
        ProcessState(1.0, instant)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1.0), np.int8(1), np.array(1.0), np.array([1.0]), jnp.ones(())])
def test_one_real_number_becomes_a_float(value: object) -> None:
    tick = ProcessState(value, 0)  # type: ignore[arg-type]
    assert type(tick.magnitude) is float and tick.magnitude == 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, 5e-324])
def test_doubtful_numbers_reach_the_gate(value: float) -> None:
    tick = ProcessState(value, 0)
    assert np.array_equal(tick.observation().value, value, equal_nan=True)


@pytest.mark.parametrize(
    "value",
    ["1.0", b"1", 1 + 0j, True, np.bool_(False), None, [], [1.0, 2.0], np.ones((2, 2)), 10**400, ...],
    ids=repr,
)
def test_what_is_not_one_real_number_is_refused(value: object) -> None:
    with pytest.raises(DomainError, match="is not one real number; feed one tick at a time") as refusal:
        ProcessState(value, 0)  # type: ignore[arg-type]
    assert "magnitude" in str(refusal.value)


@pytest.mark.parametrize("proxy", [0.0, -1.0, math.nan, math.inf])
def test_a_dispersion_is_finite_and_positive(proxy: float) -> None:
    with pytest.raises(DomainError, match="must be finite and above 0"):
        ProcessState(1.0, 0, dispersion_proxy=proxy)


def test_a_tag_is_text() -> None:
    with pytest.raises(DomainError, match="state_tag = 7 has type int, expected str"):
        ProcessState(1.0, 0, state_tag=7)  # type: ignore[arg-type]


def test_a_tick_is_frozen_and_can_be_replaced() -> None:
    tick = ProcessState(1.0, NOON_NS, "a", 2.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        tick.magnitude = 2.0  # type: ignore[misc]
    other = dataclasses.replace(tick, timestamp_utc=NOON_NS + 1)
    assert other.timestamp_ns == NOON_NS + 1 and other.state_tag == "a" and other.dispersion_proxy == 2.0


def test_observation_carries_time_and_proxy() -> None:
    tick = ProcessState(3.0, NOON_NS, dispersion_proxy=2.0)
    replayed, live = tick.observation(), tick.observation(NOON_NS + 5)
    assert (int(replayed.timestamp_ns), int(replayed.now_ns)) == (NOON_NS, NOON_NS)
    assert float(replayed.dispersion_proxy) == 2.0
    assert int(live.now_ns) == NOON_NS + 5
    assert np.isnan(ProcessState(3.0, NOON_NS).observation().dispersion_proxy)
    assert {leaf.dtype.name for leaf in map(np.asarray, live)} == {"float64", "int64"}


def test_domain_is_the_closed_ball_of_the_seeds() -> None:
    tick = ProcessState(-40.0, 0)
    assert tick.validate_domain(20.0, 2.0) and not tick.validate_domain(20.0, 1.999)
    assert tick.validate_domain(20.0, 0.1, level=-39.0)
    assert not ProcessState(math.nan, 0).validate_domain(20.0, 1.0)
    for bounds in ((0.0, 1.0), (20.0, 0.0), (20.0, -1.0), (math.nan, 1.0)):
        with pytest.raises(DomainError, match="must be above 0"):
            tick.validate_domain(*bounds)


def test_mode_names() -> None:
    assert [OperatingMode.to_string(code) for code in (0, np.int32(1), jnp.asarray(2))] == list(OperatingMode.NAMES)
    for code in (-1, 3):
        with pytest.raises(DomainError, match=r"0 \(inference\), 1 \(calibration\), 2 \(diagnostic\)"):
            OperatingMode.to_string(code)


def test_representations_say_what_matters() -> None:
    result = example_result()
    assert repr(result) == "PredictionResult(1 in [1, 1], mode=calibration)"
    page = result._repr_html_()
    for word in ("prediction", "interval", "calibration", "weights", "deep_galerkin", "Holder exponent"):
        assert word in page
    for field in ("cusum_up", "free_energy", "dgm_entropy", "transport_plan"):
        assert f">{field}<" in result.telemetry._repr_html_()
    assert "2026-02-21T12:00" in ProcessState(1.0, NOON_NS, "<b>")._repr_html_()
    assert "<b>" not in ProcessState(1.0, NOON_NS, "<b>")._repr_html_().replace("<b>ProcessState</b>", "")


def test_representations_of_many_show_the_shape() -> None:
    many = example_result((5, 2))
    assert repr(many) == "PredictionResult(shape (5, 2))" and "(5, 2)" in many._repr_html_()
    assert "kernel_scale" in many.telemetry._repr_html_()


def test_an_abstract_result_has_a_representation() -> None:
    layout = result_layout(PredictorConfig())
    abstract = layout.structure.unflatten([None] * len(layout.shapes))
    assert "PredictionResult" in repr(abstract)


def test_telemetry_holds_what_the_first_seed_lists() -> None:
    listed = {
        "holder_exponent", "cusum_drift", "distance_to_collapse", "free_energy", "kurtosis", "dgm_entropy",
        "adaptive_threshold", "weight", "sinkhorn_converged", "mode_collapse_warning", "degraded", "emergency",
        "alarm", "operating_mode",
    }  # fmt: skip
    names = {field.name for field in dataclasses.fields(type(example_result().telemetry))}
    assert listed <= names and CHART_NAMES == ("mean", "scale", "dependence")
