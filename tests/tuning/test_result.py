"""A result never changes, comes back from JSON as it was, refuses nonsense by name, and applies itself by mutation."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from uspnb.config.load import config_to_toml, load_config
from uspnb.config.schema import PredictorConfig
from uspnb.errors import ConfigError, ConfigMutationError, DomainError
from uspnb.tuning.result import OptimizationResult, share_text

# what seed 002 names; everything else has a default
SEED: dict[str, Any] = {
    "study_name": "deep 2026", "tier": "fast", "best_params": {"cusum_k": 0.6, "log_sig_depth": 4},
    "best_objective": 0.9, "total_iterations": 50, "early_stopped": False, "convergence_delta": 1e-4,
    "timestamp_utc": "2026-02-21T09:30:00Z",
}  # fmt: skip
FULL: dict[str, Any] = SEED | {
    "default_objective": 1.0, "p_value": 0.012, "metric": "mase", "failed": 3, "pruned": 5, "seconds": 75.3,
    "base_hash": "ab" * 32,
}  # fmt: skip


def result(**other: Any) -> OptimizationResult:
    return OptimizationResult(**FULL | other)


def test_the_seeds_fields_suffice_and_the_improvement_follows():
    plain = OptimizationResult(**SEED)
    assert math.isnan(plain.improvement) and plain.p_value is None and plain.base_hash == ""
    assert result().improvement == pytest.approx(0.1) and share_text(result().improvement) == "10.00% better"
    assert result(improvement=0.25).improvement == 0.25
    for default in (0.0, -1.0, math.nan):
        assert math.isnan(result(default_objective=default).improvement)
    assert math.isnan(result(improvement=-math.inf).improvement) and result(p_value=math.nan).p_value is None
    assert share_text(-0.1) == "10.00% worse" and share_text(0.0) == "none" and share_text(math.nan) == "not known"


@pytest.mark.parametrize(
    "params",
    [
        {"cusum_k": 0.1 + 0.2, "kernel_ridge_lambda": 4.8038e-306, "log_sig_depth": 2**60, "flag": True, "way": "1.0"},
        {"one": 1, "also": 1.0, "odd": 1e22},
        {},
    ],
)
def test_it_comes_back_from_json_as_it_was(params):
    original = result(best_params=params, best_objective=math.nan if not params else math.pi / 3, seconds=math.nan)
    back = OptimizationResult.model_validate_json(original.model_dump_json())
    assert back == original and hash(back) == hash(original) and back.model_dump_json() == original.model_dump_json()
    assert [type(v) for v in back.best_params.values()] == [type(v) for v in params.values()]
    assert pickle.loads(pickle.dumps(original)) == copy.deepcopy(original) == original.model_copy(deep=True) == original


def test_nothing_in_it_can_be_changed():
    original, params = result(), dict(FULL["best_params"])
    frozen: Any = result(best_params=params)
    params["cusum_k"] = 9.0
    assert frozen.best_params["cusum_k"] == 0.6
    with pytest.raises(ValidationError, match="frozen"):
        original.tier = "deep"
    for change in (
        lambda p: p.__setitem__("cusum_k", 1.0),
        lambda p: p.pop("cusum_k"),
        lambda p: p.update(cusum_k=1.0),
        lambda p: p.__ior__({"cusum_k": 1.0}),
        lambda p: p.clear(),
        lambda p: p.setdefault("new", 1.0),
    ):
        with pytest.raises(TypeError, match=r"change a copy made with dict\(result.best_params\)"):
            change(original.best_params)
    assert original.best_params == FULL["best_params"] and isinstance(original.best_params, dict)


def test_numbers_of_numpy_become_plain_ones():
    plain = result(best_params={"cusum_k": np.float64(0.7), "log_sig_depth": np.int64(3)}, best_objective=np.float64(1))
    assert [type(v) for v in plain.best_params.values()] == [float, int] and type(plain.best_objective) is float


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("tier", "medium", "'fast' or 'deep'"),
        ("study_name", "", "at least 1 character"),
        ("failed", -1, "greater than or equal to 0"),
        ("pruned", 2.5, "valid integer"),
        ("pruned", 48, "3 failed and 48 pruned trials are more than the 50"),
        ("total_iterations", "many", "valid integer"),
        ("best_objective", math.inf, "inf is not finite; pass NaN"),
        ("best_objective", None, "valid number"),
        ("seconds", -1.0, r"-1.0 s is below 0"),
        ("p_value", 1.5, "less than or equal to 1"),
        ("best_params", {"cusum_k": math.nan}, "cusum_k = nan is not finite"),
        ("best_params", {"cusum_k": [1.0]}, "best_params.cusum_k"),
        ("best_params", {"": 1.0}, "a parameter has no name"),
        ("best_params", [("cusum_k", 1.0)], "valid dictionary"),
        ("timestamp_utc", "yesterday", "'yesterday' is not a time in ISO 8601"),
        ("timestamp_utc", "2026-02-21T09:30:00+01:00", "is not in UTC; end it in Z"),
        ("timestamp_utc", "2026-02-21T09:30:00", "is not in UTC; end it in Z"),
        ("base_hash", "abc", "should match pattern"),
        ("iterations", 3, "Extra inputs are not permitted"),
    ],
)
def test_nonsense_is_refused_by_name(field, value, reason):
    with pytest.raises(ValueError, match=reason) as refusal:
        result(**{field: value})
    assert field in str(refusal.value) or reason in str(refusal.value)


def test_the_configuration_with_the_best_in_it():
    base = dataclasses.replace(PredictorConfig(), sinkhorn_alpha=0.7)
    assert result().to_config(base) == dataclasses.replace(base, cusum_k=0.6, log_sig_depth=4)
    assert result().to_config().cusum_k == 0.6
    with pytest.raises(DomainError, match="'deep 2026' has no complete trial"):
        result(best_params={}).to_config()
    with pytest.raises(ConfigError, match="'learning' is no field of the configuration"):
        result(best_params={"cusum_k": 0.5, "learning": 1.0}).to_config()
    with pytest.raises(ConfigError, match=r"cusum_k = 9\.0 is outside its range"):
        result(best_params={"cusum_k": 9.0}).to_config()


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("# kept\n" + config_to_toml(PredictorConfig()), encoding="utf-8")
    return path


def test_the_best_is_written_by_one_audited_mutation(config_file):
    from uspnb.config.mutation import Mutation, history, rollback

    mutation = result(tier="deep", default_objective=math.nan).export_to_toml(config_file)
    assert isinstance(mutation, Mutation)
    config, text = load_config(config_file), config_file.read_text(encoding="utf-8")
    assert (config.cusum_k, config.log_sig_depth) == (0.6, 4) and text.startswith("# kept\n")
    record = history(config_file)[-1]
    details = record.details
    assert record.trigger == "DeepTuning_deep 2026"
    assert details["best_objective"] == 0.9 and details["default_objective"] is None and details["p_value"] == 0.012
    assert details["metric"] == "mase" and details["base_hash"] == "ab" * 32
    rollback(config_file)
    assert load_config(config_file) == PredictorConfig()


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize(
    ("params", "error", "reason"),
    [
        ({"cusum_k": 9.0}, ConfigMutationError, "cusum_k"),
        ({"cusum_k": 1.0}, ConfigMutationError, "cusum_k"),
        ({"float_precision": 64, "cusum_k": 0.6}, ConfigMutationError, "float_precision"),
        ({"learning": 1.0}, ConfigError, "'learning' is no field"),
        ({}, DomainError, "nothing to apply"),
    ],
)
def test_what_may_not_be_written_leaves_the_file_as_it_was(config_file, params, error, reason, validate):
    before = config_file.read_bytes()
    with pytest.raises(error, match=reason):
        result(best_params=params).export_to_toml(config_file, validate=validate)
    assert config_file.read_bytes() == before


def test_the_limit_can_be_overridden_and_the_cause_named(config_file):
    from uspnb.config.mutation import history

    original = result(best_params={"cusum_k": 1.0})
    original.export_to_toml(config_file, backup=False, override_limit=True, trigger="by hand")
    assert load_config(config_file).cusum_k == 1.0 and history(config_file)[-1].trigger == "by hand"


def test_a_notebook_shows_it_escaped():
    text = result(study_name="<script>", p_value=None)._repr_html_()
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert (
        "10.00% better" in text and "50, 5 pruned, 3 failed" in text and "no test" in text and "log_sig_depth" in text
    )
    empty = result(best_params={}, best_objective=math.nan)._repr_html_()
    assert "not known" in empty and "Best parameters" not in empty
