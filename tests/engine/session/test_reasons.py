from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from uspnb.engine import views as reasons
from uspnb.engine.views import PHRASES, reason_codes, reason_text
from uspnb.model.kernels.registry import KERNEL_NAMES
from uspnb.model.records import CHART_NAMES, Telemetry

EVENLY = (0.25, 0.25, 0.25, 0.25)
FLAGS = (
    "not_finite", "out_of_order", "rejected", "imputed", "emergency", "alarm", "stale", "sparse", "frozen", "degraded",
)  # fmt: skip


def one(weight=(0.5, 0.2, 0.2, 0.1), target=(0.5, 0.2, 0.2, 0.1), **fields):
    names = {field.name for field in dataclasses.fields(Telemetry)}
    values = dict.fromkeys((*FLAGS, "in_grace"), False) | {"alarm_chart": -1} | fields
    assert set(values) <= names
    arrays = {name: np.array([value]) for name, value in values.items()}
    return SimpleNamespace(weight=np.array([weight]), target_weight=np.array([target]), **arrays)


CASES = {
    "COLD": dict(weight=EVENLY, target=EVENLY),
    "NOT_FINITE": dict(not_finite=True, rejected=True, degraded=True, target=(np.nan,) * 4),
    "OUTLIER": dict(rejected=True, degraded=True, target=(np.nan,) * 4),
    "STAND_IN": dict(not_finite=True, rejected=True, imputed=True, degraded=True, target=(np.nan,) * 4),
    "STAND_IN_OUTLIER": dict(rejected=True, imputed=True, degraded=True, target=(np.nan,) * 4),
    "OUT_OF_ORDER": dict(out_of_order=True, rejected=True, degraded=True),
    "STALE": dict(stale=True, degraded=True),
    "SPARSE": dict(sparse=True, degraded=True),
    "FROZEN": dict(frozen=True, degraded=True),
    "RECOVERING": dict(degraded=True),
    "ALARM": dict(alarm=True, alarm_chart=1, weight=EVENLY, in_grace=True),
    "LEVEL_RELEASE": dict(alarm=True, alarm_chart=len(CHART_NAMES), weight=EVENLY),
    "EMERGENCY": dict(emergency=True, alarm=True, degraded=True, weight=(0.0, 0.0, 0.0, 1.0)),
    "GRACE": dict(in_grace=True),
    "GRACE_HELD": dict(in_grace=True, weight=EVENLY),
    "MOVING": dict(target=(0.3, 0.2, 0.4, 0.1)),
    "LEADS": dict(weight=(0.5, 0.3, 0.1, 0.1), target=(0.51, 0.29, 0.1, 0.1)),
    "EVEN": dict(weight=(0.3, 0.28, 0.22, 0.2), target=(0.3, 0.28, 0.22, 0.2)),
}


@pytest.mark.parametrize("name", CASES)
def test_each_state_has_its_reason(name: str) -> None:
    assert reason_codes(one(**CASES[name]), KERNEL_NAMES).tolist() == [getattr(reasons, name)]


def test_every_code_has_a_case_and_a_sentence() -> None:
    assert sorted(PHRASES) == sorted([reasons.ALONE, *(getattr(reasons, name) for name in CASES)]) == list(range(19))


def test_an_open_breaker_that_does_not_rule_the_weights_is_not_named_as_the_reason() -> None:
    assert reason_codes(one(emergency=True), KERNEL_NAMES).tolist() == [reasons.LEADS]


def row(code: int, weight=(0.5, 0.2, 0.25, 0.05), target=(0.3, 0.2, 0.45, 0.05), chart=-1):
    columns = {"reason": float(code), "alarm_chart": float(chart)}
    for k, name in enumerate(KERNEL_NAMES):
        columns |= {f"weight_{name}": weight[k], f"target_weight_{name}": target[k]}
    return columns


def said(one: dict[str, float]) -> str:
    return reason_text(one, KERNEL_NAMES)


def test_sentences_carry_the_numbers_of_the_row() -> None:
    assert said(row(reasons.MOVING)) == (
        "Moving towards ito levy, whose recent forecasts were better: its record asks for 45 %, it has 25 %."
    )
    assert said(row(reasons.LEADS)) == (
        "Hilbert leads with 50 %, because its recent forecasts were the best; next is ito levy with 25 %."
    )
    assert "by the scale chart" in said(row(reasons.ALARM, chart=1))


def test_half_a_percent_rounds_up_as_in_the_browser() -> None:
    assert "12 %" not in said(row(reasons.LEADS, weight=(0.625, 0.125, 0.125, 0.125)))
    assert "63 % " not in said(row(reasons.LEADS, weight=(0.625, 0.125, 0.125, 0.125)))
    assert "63 %," in said(row(reasons.LEADS, weight=(0.625, 0.125, 0.125, 0.125)))


def test_what_is_unknown_is_a_dash_never_nan() -> None:
    for code in PHRASES:
        text = said(row(code, target=(np.nan,) * 4))
        assert "nan" not in text.lower() and "{" not in text
        assert text[0].isupper() and text.endswith(".")


@pytest.mark.parametrize("case", ["COLD", "GRACE", "MOVING", "LEADS", "EVEN"])
def test_a_kernel_without_others_is_no_matter_of_records(case: str) -> None:
    alone = one(**CASES[case] | {"weight": (1.0,), "target": (1.0,)})
    assert reason_codes(alone, ("hilbert",)).tolist() == [reasons.ALONE]
    columns = {"reason": reasons.ALONE, "alarm_chart": -1.0, "weight_hilbert": 1.0, "target_weight_hilbert": 1.0}
    assert reason_text(columns, ("hilbert",)) == "Hilbert is the only kernel; the forecast is its own."
    assert reason_codes(one(rejected=True, weight=(1.0,), target=(1.0,)), ("hilbert",)).tolist() == [reasons.OUTLIER]
