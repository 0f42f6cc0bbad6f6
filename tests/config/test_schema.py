"""The declarations of `PredictorConfig`: complete, faithful to the specification, and the same thing to JAX."""

from __future__ import annotations

import dataclasses
import math
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.config.schema import (
    DECLARATIONS,
    DEFAULTS,
    SECTIONS,
    STATIC_FIELDS,
    TRACED_FIELDS,
    PredictorConfig,
    check_value,
    declaration,
    holds_numbers,
)
from uspnb.errors import ConfigError

# Seed 002, section 2.1, in its order.
SPECIFIED: dict[str, Any] = {
    "schema_version": "1.0", "epsilon": 1e-3, "learning_rate": 0.01, "jko_domain_length": 1.0,
    "entropy_window_relaxation_factor": 5.0, "entropy_window_bounds_min": 10, "entropy_window_bounds_max": 500,
    "learning_rate_safety_factor": 0.8, "learning_rate_minimum": 1e-6, "sinkhorn_cost_type": "squared",
    "sinkhorn_huber_delta": 1.0, "log_sig_depth": 3, "wtmm_buffer_size": 128, "besov_cone_c": 1.5,
    "koopman_top_k": 5, "koopman_min_power": 1e-10, "paley_wiener_integral_max": 100.0,
    "kernel_c_jump_intensity": 0.05, "kernel_c_jump_mean": 0.0, "kernel_c_jump_scale": 0.1,
    "kernel_c_jump_max_events": 16, "holder_threshold": 0.4, "robustness_dimension_threshold": 1.5,
    "robustness_force_kernel_d": True, "entropy_scaling_trigger": 2.0, "sde_fd_epsilon": 1e-6,
    "signal_sampling_interval": 1.0, "cusum_h": 5.0, "cusum_k": 0.5, "grace_period_steps": 20,
    "degraded_recovery_min_steps": 2, "volatility_alpha": 0.1, "staleness_ttl_ns": 500_000_000,
    "besov_nyquist_interval_ns": 100_000_000, "inference_recovery_hysteresis": 0.8,
}  # fmt: skip
# Field -> (our default, why it is not the specified one).  None differs at present.
DELIBERATE: dict[str, tuple[Any, str]] = {}


@pytest.mark.parametrize("name", SPECIFIED)
def test_specified_fields_keep_their_default_and_type(name: str) -> None:
    expected, reason = DELIBERATE.get(name, (SPECIFIED[name], "as specified"))
    assert reason
    assert DEFAULTS[name] == expected
    assert type(DEFAULTS[name]) is type(SPECIFIED[name])


def test_deliberate_differences_are_differences() -> None:
    assert all(value != SPECIFIED[name] for name, (value, _) in DELIBERATE.items())


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_every_field_is_declared_in_full(name: str) -> None:
    about, default = declaration(name), DEFAULTS[name]
    assert about.section in SECTIONS
    assert len(about.meaning.split()) >= 2 and about.meaning[-1] != "."
    if isinstance(default, bool):
        assert about.low == -math.inf and about.high == math.inf and not about.choices
    elif isinstance(default, str):
        assert default in about.choices or ((about.host or about.static) and not about.choices)
    elif isinstance(default, tuple) and not holds_numbers(default):
        assert about.low <= len(default) <= about.high < math.inf and set(default) <= set(about.choices or default)
    elif isinstance(default, tuple):
        assert not about.choices and all(about.low <= one <= about.high for one in default)
    else:
        assert math.isfinite(about.low) and math.isfinite(about.high) and about.low <= default <= about.high
    assert (name in STATIC_FIELDS) is about.static and (name in TRACED_FIELDS) is not (about.static or about.host)
    assert about.host is (about.section in ("io", "security")) and not (about.host and about.static)
    if about.section in ("structural", "core"):
        assert about.static
    if about.section == "sensitivity":
        assert not about.static
    # A string or a truth value chooses a branch of Python, which a traced field cannot.
    assert about.static or about.host or not isinstance(default, (bool, str, tuple))


@pytest.mark.parametrize("name", sorted(name for name, about in DECLARATIONS.items() if about.search is not None))
def test_search_spaces_lie_within_the_bounds(name: str) -> None:
    about = DECLARATIONS[name]
    space = about.search
    assert space is not None and not about.locked
    assert about.low <= space.low < space.high <= about.high
    assert space.low > 0 or not space.log
    for edge in (space.low, space.high):
        kind = type(DEFAULTS[name])
        assert check_value(name, kind(edge)) == kind(edge)


def test_what_the_seeds_call_unchangeable_is_locked() -> None:
    assert DECLARATIONS["schema_version"].locked and DECLARATIONS["float_precision"].locked


def _bad_values(name: str) -> list[Any]:
    about, default = DECLARATIONS[name], DEFAULTS[name]
    if isinstance(default, bool):
        return [0, 1, "true", None, 1.0]
    if isinstance(default, str) and not about.choices:
        return [*([""] if default else []), "two\nlines", "nul\0", "x" * 1025, 1, None, True, b"x"]
    if isinstance(default, str):
        return ["", default.upper() + "x", 1, None, True, b"x"]
    if isinstance(default, tuple) and not holds_numbers(default):
        many = [f"name{k}" for k in range(int(about.high) + 1)]
        return ["1", 1j, 1, True, {}, None, np.array("1"), [1], [""], ["two\nlines"], ["x" * 65], ["a", "a"], many]
    if isinstance(default, tuple):
        other = [True] if isinstance(default[0], float) else [default[0] + 0.5]
        bounds = [[about.low - 1], [about.high + 1], [*default, math.inf], [math.nan]]
        return ["1", 1j, 1, True, {}, None, np.array("1"), [], [None], ["1"], other, [*default, default[-1]], *bounds]
    # Beyond 2**53 the neighbour of a bound is not one away from it.
    below, above = math.nextafter(about.low, -math.inf), math.nextafter(about.high, math.inf)
    common = ["1", 1j, [1], True, {}, np.array("1")]
    if isinstance(default, int):
        return [*common, int(about.low) - 1, int(about.high) + 1, 10**400, default + 0.5, float(default), math.nan]
    return [*common, below, above, math.nan, math.inf, -math.inf, 10**400]


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_bad_values_are_refused_by_name(name: str) -> None:
    about = DECLARATIONS[name]
    for value in _bad_values(name):
        if value is None and not (about.static or about.host):
            continue
        bad: dict[str, Any] = {name: value}
        with pytest.raises(ConfigError) as refusal:
            PredictorConfig(**bad)
        message = str(refusal.value)
        assert message.startswith(name), message
        ways = ("expected", "is outside its range [", "is not one of", "its range is [", "give ", "is not a list of ")
        assert any(words in message for words in ways), message
        if "outside" in message:
            assert repr(value) in message


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_bounds_are_part_of_the_range(name: str) -> None:
    about, default = DECLARATIONS[name], DEFAULTS[name]
    if isinstance(default, (bool, str, tuple)):
        return
    for bound in (about.low, about.high):
        assert check_value(name, type(default)(bound)) == bound


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown configuration key 'cusum_kk'; known keys: .*cusum_k"):
        check_value("cusum_kk", 1.0)
    with pytest.raises(TypeError, match="cusum_kk"):
        PredictorConfig(cusum_kk=1.0)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stiffness_low": 1000.0}, ("stiffness_low = 1000.0", "below stiffness_high = 1000.0")),
        ({"entropy_window_bounds_min": 500}, ("entropy_window_bounds_min", "below entropy_window_bounds_max")),
        ({"jko_step_floor": 0.9}, ("jko_step_floor", "below jko_step_ceiling")),
        ({"wtmm_buffer_size": 64, "log_sig_window": 65}, ("log_sig_window = 65", "wtmm_buffer_size = 64")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_contradictions_between_fields_are_refused(changes: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as refusal:
        PredictorConfig(**changes)
    for word in words:
        assert word in str(refusal.value)


def test_values_take_the_declared_type() -> None:
    values: dict[str, Any] = {
        "cusum_k": np.float32(0.25), "cusum_h": 4, "grace_period_steps": np.int64(7), "holder_threshold": jnp.ones(()),
    }  # fmt: skip
    config = PredictorConfig(**values)
    assert [type(value) for value in (config.cusum_k, config.cusum_h, config.grace_period_steps)] == [float, float, int]
    assert type(config.holder_threshold) is float and config.holder_threshold == 1.0


def test_replace_validates_and_leaves_the_original() -> None:
    config = PredictorConfig()
    changed = dataclasses.replace(config, cusum_k=0.25)
    assert changed.cusum_k == 0.25 and config == PredictorConfig() and changed != config
    with pytest.raises(ConfigError, match=r"cusum_k = 9 is outside its range \[0.05, 2\]|cusum_k = 9.0 is outside"):
        dataclasses.replace(config, cusum_k=9)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.cusum_k = 0.1  # type: ignore[misc]


def test_hash_and_equality_follow_every_field() -> None:
    config = PredictorConfig()
    assert hash(config) == hash(PredictorConfig()) and config == PredictorConfig()
    others = {dataclasses.replace(config, cusum_k=0.25), dataclasses.replace(config, log_sig_depth=2), config}
    assert len(others) == 3
    assert pickle.loads(pickle.dumps(config)) == config


def test_traced_fields_are_leaves_and_static_fields_structure() -> None:
    config = PredictorConfig()
    leaves, structure = jax.tree.flatten(config)
    assert leaves == [getattr(config, name) for name in TRACED_FIELDS]
    assert jax.tree.unflatten(structure, leaves) == config
    assert jax.tree.structure(dataclasses.replace(config, cusum_k=0.25)) == structure
    for name, value in {"log_sig_depth": 2, "seed": 1, "strict_domain": True}.items():
        assert jax.tree.structure(dataclasses.replace(config, **{name: value})) != structure


def test_jit_compiles_once_for_all_values_of_traced_fields() -> None:
    traces = []

    @jax.jit
    def threshold(config: PredictorConfig) -> jax.Array:
        traces.append(config.log_sig_depth)
        return jnp.asarray(config.cusum_h) * config.log_sig_depth

    values: list[Any] = [4.0, 5, np.float32(6.0), jnp.asarray(7.0)]
    for h in values:
        assert float(threshold(PredictorConfig(cusum_h=h))) == 3 * float(h)
    assert traces == [3]
    assert float(threshold(PredictorConfig(cusum_h=4.0, log_sig_depth=2))) == 8.0
    assert traces == [3, 2]


def test_a_batch_of_settings_is_one_vmap() -> None:
    settings = [PredictorConfig(cusum_h=h, cusum_k=k) for h, k in ((4.0, 0.25), (5.0, 0.5), (6.0, 1.0))]
    batch = jax.tree.map(lambda *values: jnp.stack([jnp.asarray(v) for v in values]), *settings)
    product = jax.jit(jax.vmap(lambda config: config.cusum_h * config.cusum_k))(batch)
    np.testing.assert_array_equal(product, [1.0, 2.5, 6.0])
    one_field = jax.vmap(lambda h: PredictorConfig(cusum_h=h).cusum_h + 1.0)(jnp.arange(1.0, 4.0))
    np.testing.assert_array_equal(one_field, [2.0, 3.0, 4.0])


def test_a_batch_of_settings_is_checked_like_one() -> None:
    with pytest.raises(ConfigError, match="cusum_h"):
        PredictorConfig(cusum_h=np.array([5.0, 500.0]))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="cusum_h"):
        PredictorConfig(cusum_h=np.array(["a", "b"]))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="log_sig_depth"):
        PredictorConfig(log_sig_depth=np.array([2, 3]))  # type: ignore[arg-type]


def test_the_page_marks_what_was_changed() -> None:
    page = PredictorConfig(cusum_k=0.25)._repr_html_()
    assert f"1 of {len(DEFAULTS)} fields changed" in page
    assert page.count("font-weight:bold") == 1 and "slack of the mean chart [scale]" in page
