"""The search spaces: what the tiers hold, what is refused, and that every draw is a valid configuration."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from uspnb.config.meta_optimization import MetaOptimizationConfig
from uspnb.config.schema import DECLARATIONS, PredictorConfig
from uspnb.errors import DomainError
from uspnb.tuning.space import (
    SearchSpace,
    checked_space,
    decoded,
    deep_space,
    default_params,
    fast_space,
    structural_names,
    tier_space,
    traced_space,
)

# Seed 003, "Meta-Optimizer Architecture" and V-CRIT-6.
SEED_FAST = {"log_sig_depth", "wtmm_buffer_size", "besov_cone_c", "cusum_k", "sinkhorn_alpha", "volatility_alpha"}
SEED_DEEP = SEED_FAST | {
    "dgm_width_size",
    "dgm_depth",
    "dgm_entropy_num_bins",
    "stiffness_low",
    "stiffness_high",
    "sde_dt",
    "sde_numel_integrations",
    "sde_diffusion_sigma",
    "learning_rate",
    "entropy_window",
    "entropy_threshold",
    "cusum_h",
    "grace_period_steps",
    "sinkhorn_epsilon_min",
    "sinkhorn_epsilon_0",
    "kernel_ridge_lambda",
    "holder_threshold",
}


def draws(space: dict[str, SearchSpace], count: int) -> list[dict]:
    import optuna

    sampler = optuna.samplers.RandomSampler(seed=3)
    study = optuna.create_study(sampler=sampler)
    params = []
    for _ in range(count):
        trial = study.ask({name: one.distribution() for name, one in space.items()})
        params.append(dict(trial.params))
    return params


def test_the_tiers_are_those_of_the_seeds() -> None:
    assert set(fast_space()) == SEED_FAST
    assert len(SEED_DEEP) == 23
    assert set(deep_space()) >= SEED_DEEP
    marked = {name for name, about in DECLARATIONS.items() if about.search is not None}
    assert set(deep_space()) == marked


def test_ranges_are_those_of_the_declarations_and_of_the_meta_section() -> None:
    space = deep_space()
    assert space["cusum_k"].range == (0.1, 1.0)
    assert (space["wtmm_buffer_size"].range, space["wtmm_buffer_size"].step) == ((64, 512), 64)
    assert space["sde_dt"].param_type == "log_uniform"
    narrowed = fast_space(MetaOptimizationConfig(cusum_k_min=0.2, cusum_k_max=0.4))
    assert narrowed["cusum_k"].range == (0.2, 0.4)


def test_only_shipped_networks_are_drawn() -> None:
    space = deep_space()
    assert space["dgm_width_size"].choices == (32, 64)
    assert space["dgm_depth"].choices == (2,)


def test_every_draw_is_a_valid_configuration() -> None:
    space = deep_space()
    # Ranges that overlap: the order must hold by construction, not by luck.
    space["stiffness_low"] = SearchSpace("stiffness_low", "float", (50.0, 4000.0))
    for drawn in draws(checked_space(space), 200):
        params = decoded(space, drawn)
        config = dataclasses.replace(PredictorConfig(), **params)  # raises on a bad value or order
        assert config.stiffness_low < config.stiffness_high <= space["stiffness_high"].high


def test_what_needs_no_change_is_decoded_to_itself() -> None:
    space = deep_space()
    for drawn in draws(space, 50):
        assert decoded(space, drawn) == pytest.approx(drawn)


def test_default_params_are_the_base_configuration() -> None:
    base = PredictorConfig(cusum_k=0.7, log_sig_depth=4)
    params = default_params(deep_space(), base)
    assert all(getattr(base, name) == value for name, value in params.items())
    outside = default_params(fast_space(), PredictorConfig(volatility_alpha=0.9))
    assert outside["volatility_alpha"] == 0.3  # the end of its range


def test_traced_parameters_need_no_program_of_their_own() -> None:
    assert structural_names(traced_space()) == ()
    assert set(structural_names(fast_space())) == {"log_sig_depth", "wtmm_buffer_size"}


def test_a_power_of_two() -> None:
    one = SearchSpace("dgm_width_size", "int", (32, 256), constraint="power of two")
    assert one.choices == (32, 64, 128, 256)
    assert one.nearest(100) == 128 or one.nearest(100) == 64
    assert np.isnan(SearchSpace("x", "categorical", ("a", "b")).low)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x", "integer", (1, 2)), "is not one of"),
        (("x", "float", (2.0, 1.0)), "is empty"),
        (("x", "float", (float("nan"), 1.0)), "is empty"),
        (("x", "float", (0.0, float("inf"))), "is empty"),
        (("x", "float", (1.0,)), "two numbers"),
        (("x", "int", (1.5, 2)), "two whole numbers"),
        (("x", "log_uniform", (0.0, 1.0)), "above 0"),
        (("x", "categorical", ()), "no choices"),
    ],
)
def test_an_impossible_range_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(DomainError, match=message):
        SearchSpace(*arguments)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ({"constraint": "prime"}, "constraint"),
        ({"step": 0}, "above 0"),
        ({"step": 0.5}, "does not fit"),
        ({"constraint": "power of two"}, "no power of two"),
    ],
)
def test_an_impossible_step_or_constraint_is_refused(rest: dict, message: str) -> None:
    with pytest.raises(DomainError, match=message):
        SearchSpace("x", "int", (33, 63), **rest)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "no parameter"),
        ({"snapshot_path": SearchSpace("snapshot_path", "categorical", ("a",))}, "snapshot_path"),
        ({"float_precision": SearchSpace("float_precision", "int", (64, 64))}, "locked.*float_precision"),
        ({"cusum_k": SearchSpace("cusum_k", "float", (0.1, 1.0), locked=True)}, "locked.*cusum_k"),
        ({"cusum_q": SearchSpace("cusum_q", "float", (0.1, 1.0))}, "unknown.*cusum_q"),
        ({"cusum_k": SearchSpace("cusum_h", "float", (2.0, 3.0))}, "own name"),
        ({"cusum_k": SearchSpace("cusum_k", "float", (0.0, 1.0))}, "leaves the field's range"),
        ({"jko_adaptive": SearchSpace("jko_adaptive", "int", (0, 1))}, "choose among"),
        ({"cusum_k": (0.1, 1.0)}, "has type tuple"),
        (
            {
                "stiffness_low": SearchSpace("stiffness_low", "float", (50.0, 900.0)),
                "stiffness_high": SearchSpace("stiffness_high", "float", (60.0, 900.0)),
            },
            "leaves no room",
        ),
    ],
)
def test_a_space_that_cannot_be_tuned_is_refused_by_name(space: dict, message: str) -> None:
    with pytest.raises(DomainError, match=message):
        checked_space(space)


def test_a_users_own_objective_may_have_its_own_names() -> None:
    own = {"x": SearchSpace("x", "float", (-1.0, 1.0))}
    assert checked_space(own, fields_only=False) == own
    assert default_params(own, PredictorConfig()) == {"x": 0.0}


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(DomainError, match="'medium' is not one of fast, deep"):
        tier_space("medium")
