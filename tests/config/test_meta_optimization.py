"""How campaigns run: the ranges of seed 003, what a file or keywords change, what is refused and on which line."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path

import pytest

import uspnb
from uspnb.config.load import parse_config
from uspnb.config.meta_optimization import (
    MetaOptimizationConfig,
    declared_range,
    load_meta_optimization_config,
    parse_meta_optimization_config,
)
from uspnb.config.meta_schema import META_DECLARATIONS, META_DEFAULTS, tuned_fields
from uspnb.config.schema import DECLARATIONS, DEFAULTS, PredictorConfig
from uspnb.config.template import render_template
from uspnb.errors import ConfigError

# Seed 003, section 9.3.2, as printed there.
SPECIFIED = """
[meta_optimization]
log_sig_depth_min = 2
log_sig_depth_max = 5
wtmm_buffer_size_min = 64
wtmm_buffer_size_max = 512
wtmm_buffer_size_step = 64
besov_cone_c_min = 1.0
besov_cone_c_max = 3.0
dgm_width_size_min = 32
dgm_width_size_max = 256
dgm_width_size_step = 32
dgm_depth_min = 2
dgm_depth_max = 6
dgm_entropy_num_bins_min = 20
dgm_entropy_num_bins_max = 100
stiffness_low_min = 50.0
stiffness_low_max = 500.0
stiffness_high_min = 500.0
stiffness_high_max = 5000.0
sde_dt_min = 0.001
sde_dt_max = 0.1
sde_numel_integrations_min = 50
sde_numel_integrations_max = 200
sde_diffusion_sigma_min = 0.05
sde_diffusion_sigma_max = 0.5
kernel_ridge_lambda_min = 1e-8
kernel_ridge_lambda_max = 1e-3
cusum_k_min = 0.1
cusum_k_max = 1.0
cusum_h_min = 2.0
cusum_h_max = 10.0
cusum_grace_period_steps_min = 5
cusum_grace_period_steps_max = 100
sinkhorn_alpha_min = 0.1
sinkhorn_alpha_max = 1.0
sinkhorn_epsilon_min_min = 0.001
sinkhorn_epsilon_min_max = 0.1
sinkhorn_epsilon_0_min = 0.05
sinkhorn_epsilon_0_max = 0.5
volatility_alpha_min = 0.05
volatility_alpha_max = 0.3
learning_rate_min = 0.001
learning_rate_max = 0.1
entropy_window_min = 50
entropy_window_max = 500
entropy_threshold_min = 0.5
entropy_threshold_max = 0.95
holder_threshold_min = 0.2
holder_threshold_max = 0.65
n_trials = 50
n_startup_trials = 10
multivariate = true
enable_deep_tuning = false
train_ratio = 0.7
n_folds = 5
"""


def test_the_table_of_the_seed_is_the_default() -> None:
    meta = parse_meta_optimization_config(SPECIFIED)
    assert meta == MetaOptimizationConfig()
    assert meta.ranges == {}
    assert SPECIFIED.count("_max = ") == 23


def test_every_edge_of_every_tuned_field_is_an_attribute() -> None:
    meta = MetaOptimizationConfig()
    assert len(tuned_fields()) >= 23
    for name in tuned_fields():
        span = (getattr(meta, f"{name}_min"), getattr(meta, f"{name}_max"), getattr(meta, f"{name}_step"))
        assert span == meta.range_of(name) == declared_range(name)
        assert {type(value) for value in span if value is not None} == {type(DEFAULTS[name])}
    assert meta.cusum_grace_period_steps_max == meta.grace_period_steps_max == 100
    for wrong in ("cusum_kk_min", "seed_min", "min", "_min", "cusum_k"):
        with pytest.raises(AttributeError, match=f"no setting '{wrong}'"):
            getattr(meta, wrong)
    with pytest.raises(ConfigError, match=r"unknown tuned field 'seed'"):
        meta.range_of("seed")


def test_keywords_and_ranges_change_what_they_name() -> None:
    meta = MetaOptimizationConfig(n_trials=20, cusum_k_max=0.8, cusum_grace_period_steps_min=7, dgm_depth_step=2)
    assert meta.n_trials == 20 and meta.n_folds == 5
    assert meta.ranges == {"cusum_k": (0.1, 0.8, None), "dgm_depth": (2, 6, 2), "grace_period_steps": (7, 100, 1)}
    assert MetaOptimizationConfig(ranges=meta.ranges, n_trials=20) == meta
    assert MetaOptimizationConfig({"cusum_k": (0.1, 0.8)}, cusum_k_max=0.7).cusum_k_max == 0.7
    assert MetaOptimizationConfig(cusum_h_min=2).cusum_h_min == 2.0  # an int where a float is meant
    assert MetaOptimizationConfig(cusum_k_min=0.1, cusum_k_max=1.0).ranges == {}
    assert dataclasses.replace(meta, n_trials=3) == MetaOptimizationConfig(ranges=meta.ranges, n_trials=3)


def test_it_is_a_value() -> None:
    meta = MetaOptimizationConfig(cusum_k_max=0.8)
    assert hash(meta) == hash(MetaOptimizationConfig(cusum_k_max=0.8)) != hash(MetaOptimizationConfig())
    assert pickle.loads(pickle.dumps(meta)) == copy.deepcopy(meta) == meta
    with pytest.raises(dataclasses.FrozenInstanceError):
        meta.n_trials = 5  # type: ignore[misc]
    page = meta._repr_html_()
    assert "range of cusum_k" in page and "0.1 to 0.8" in page and page.count("font-weight:bold") == 1


def test_a_file_is_read_and_its_other_sections_are_left_to_the_predictor(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[sensitivity]\ncusum_k = 0.25\n[meta_optimization]\nn_trials = 7\ncusum_k_min = 0.2\n")
    meta = uspnb.load_meta_optimization_config(path)
    assert (meta.n_trials, meta.cusum_k_min, meta.n_folds) == (7, 0.2, 5)
    assert uspnb.load_config(path) == PredictorConfig(cusum_k=0.25)
    path.write_text("")
    assert load_meta_optimization_config(path) == uspnb.MetaOptimizationConfig()
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_meta_optimization_config(tmp_path / "absent.toml")


def test_the_template_reads_back() -> None:
    meta = MetaOptimizationConfig(
        n_trials=9, storage='a"b', learning_rate_min=1e-5, wtmm_buffer_size_step=32, enable_deep_tuning=True
    )
    text = render_template(meta=meta)
    assert parse_meta_optimization_config(text) == meta
    assert parse_config(text) == PredictorConfig()
    assert parse_meta_optimization_config(render_template()) == MetaOptimizationConfig()


REFUSED = {
    "unknown key": ("n_trial = 3\n", 2, r"unknown key 'n_trial' \(did you mean 'n_trials'\?\) in section \[meta"),
    "unknown range": ("\ncusum_kk_min = 3.0\n", 3, r"did you mean 'cusum_k_min'"),
    "range of what is never tuned": ("seed_min = 3\n", 2, "unknown key 'seed_min'"),
    "key of the predictor": ("cusum_k = 0.5\n", 2, "unknown key 'cusum_k'"),
    "type": ("n_trials = 5.0\n", 2, "n_trials = 5.0 has type float, expected int"),
    "truth for a number": ("cusum_k_min = true\n", 2, "cusum_k_min = True has type bool, expected float"),
    "float for an edge of whole numbers": ("dgm_depth_min = 2.5\n", 2, "dgm_depth_min = 2.5 has type float"),
    "table": ("[meta_optimization.n_trials]\nx = 1\n", 2, "has type dict, expected int"),
    "below": ("n_folds = 0\n", 2, r"n_folds = 0 is outside its range \[1, 100\]"),
    "choice": ('metric = "mae"\n', 2, "'mae' is not one of 'mase', 'rmse'"),
    "text of two lines": ('checkpoint_path = "a\\nb"\n', 2, "expected one line"),
    "below the field": ("cusum_k_min = 0.01\n", 2, r"cusum_k_min = 0.01 is outside its range \[0.05, 2\]"),
    "above the field": ("log_sig_depth_max = 6\n", 2, r"log_sig_depth_max = 6 is outside its range \[2, 5\]"),
    "nan": ("cusum_k_max = nan\n", 2, "cusum_k_max = nan is outside"),
    "empty range": ("cusum_k_min = 0.9\n\ncusum_k_max = 0.9\n", 4, "cusum_k_min = 0.9 must be below cusum_k_max = 0.9"),
    "empty with the declared edge": ("cusum_k_min = 1.5\n", 2, "cusum_k_min = 1.5 must be below cusum_k_max = 1.0"),
    "step of a logarithm": ("learning_rate_step = 0.1\n", 2, "logarithmic scale, which has no step"),
    "step of nothing": ("dgm_depth_step = 0\n", 2, "dgm_depth_step = 0 must be above 0 and at most"),
    "step wider than the range": ("dgm_depth_max = 4\ndgm_depth_step = 3\n", 3, r"at most dgm_depth_max - .* = 2"),
    "two names of one": (
        "grace_period_steps_min = 6\ncusum_grace_period_steps_min = 7\n",
        3,
        "are two names of one setting",
    ),
    "written twice": ("n_folds = 3\nn_folds = 4\n", 3, "written twice, first on line 2"),
    "trials above the cap": ("enable_deep_tuning = true\nn_trials = 501\n", 3, "must not exceed max_deep_tuning"),
}


@pytest.mark.parametrize(("text", "line", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_text_is_named_with_its_line(text: str, line: int, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"[meta_optimization]\n{text}")
    for load in (load_meta_optimization_config, uspnb.load_config):
        with pytest.raises(ConfigError, match=message) as caught:
            load(path)
        assert f"config.toml, line {line}: " in str(caught.value)


def test_log_range_must_stay_above_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DECLARATIONS, "learning_rate", dataclasses.replace(DECLARATIONS["learning_rate"], low=0.0))
    with pytest.raises(ConfigError, match=r"learning_rate_min = 0\.0 must be above 0, because"):
        MetaOptimizationConfig(learning_rate_min=0.0)


def test_all_problems_of_a_file_are_reported_together() -> None:
    text = "[meta_optimization]\nn_trial = 1\ncusum_k_min = 0.9\ncusum_k_max = 0.3\n[core]\nsead = 1\n"
    for parse in (parse_meta_optimization_config, parse_config):
        with pytest.raises(ConfigError) as caught:
            parse(text, source="a.toml")
        problems = str(caught.value).splitlines()
        assert [row.split(":")[0] for row in problems] == ["a.toml, line 2", "a.toml, line 4", "a.toml, line 6"]
    with pytest.raises(ConfigError) as caught:
        MetaOptimizationConfig(n_trial=1, n_folds=0)
    assert len(str(caught.value).splitlines()) == 2


def test_malformed_ranges_of_the_constructor() -> None:
    for wrong in (0.5, (0.1,), (0.1, 0.2, None, 3), "ab"):
        with pytest.raises(ConfigError, match=r"the range of cusum_k is .*, expected"):
            MetaOptimizationConfig({"cusum_k": wrong})
    with pytest.raises(ConfigError, match="unknown key 'seed_min'"):
        MetaOptimizationConfig({"seed": (1, 2)})


def test_every_setting_is_declared_in_full() -> None:
    assert set(META_DECLARATIONS) == set(META_DEFAULTS)
    for name, about in META_DECLARATIONS.items():
        assert len(about.meaning.split()) >= 3 and about.meaning[-1] != "."
        default = META_DEFAULTS[name]
        if isinstance(default, (int, float)) and not isinstance(default, bool):
            assert about.low <= default <= about.high
    assert {name for name, about in META_DECLARATIONS.items() if about.locked} == {
        "max_deep_tuning_iterations",
        "checkpoint_path",
    }
