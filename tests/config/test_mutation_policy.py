"""What may not be changed automatically, and how far one change may go: the lists and limits of seed 002."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uspnb.config.meta_schema import META_DECLARATIONS
from uspnb.config.mutation_policy import refused_name, too_far
from uspnb.config.schema import DECLARATIONS, DEFAULTS, Search

# Seed 002, section 21.2: the locked parameters of the mutation protocol.
LOCKED = (
    "snapshot_path",
    "telemetry_buffer_maxlen",
    "credentials_vault_path",
    "telemetry_hash_interval_steps",
    "snapshot_integrity_hash_algorithm",
    "float_precision",
    "jax_platform",
    "max_deep_tuning_iterations",
    "checkpoint_path",
)


@pytest.mark.parametrize("name", LOCKED)
def test_what_the_seed_locks_is_refused_by_name(name: str) -> None:
    assert name in (refused_name(name) or "")


def test_whole_sections_are_refused_and_everything_else_is_free() -> None:
    for name, about in DECLARATIONS.items():
        closed = about.section in ("io", "security") or about.locked
        assert (refused_name(name) is not None) is closed
        if about.section in ("io", "security"):
            assert f"[{about.section}]" in str(refused_name(name))
    for name in META_DECLARATIONS:
        if name not in DECLARATIONS:  # both [core] and [meta_optimization] have a seed
            assert "[meta_optimization]" in str(refused_name(name))
    assert "[meta_optimization]" in str(refused_name("cusum_k_min"))
    assert refused_name("cusum_kk") == "unknown configuration key 'cusum_kk' (did you mean 'cusum_k'?)"
    assert refused_name("qqq") == "unknown configuration key 'qqq'"


# name, old, farthest values allowed, nearest values that are too far, words of the refusal
LIMITS = {
    "half of a number": ("cusum_k", 0.4, (0.2, 0.6), (0.19, 0.61), "more than 0.2, 50% in one change"),
    "half of a whole number": ("grace_period_steps", 21, (11, 31), (10, 32), "more than 10.5, 50%"),
    "a whole number by one at least": ("holder_persistence", 1, (2,), (3,), "more than 1, 50%"),
    "one step of a grid": ("wtmm_buffer_size", 192, (128, 256), (64, 257), "one step of 64"),
    "one level of four": ("log_sig_depth", 3, (2, 4), (5,), "one step of 1"),
    "one doubling": ("dgm_width_size", 64, (32, 128), (160, 256), "one doubling"),
    "a choice that has one neighbour": ("input_kind", "levels", ("increments",), (), ""),
    "a truth value": ("jko_adaptive", True, (False,), (), ""),
    # [0.001, 0.1] is two decades: half of them is one, up or down.
    "half of a logarithmic range": ("learning_rate", 0.01, (0.001, 0.1), (0.00099, 0.101), "a factor of 10,"),
    "half of the range from zero": ("grace_period_steps", 0, (47,), (48,), "more than 47.5, 50%"),
    "half of the default from zero": ("cusum_target_arl", 0.0, (2500.0,), (2501.0,), "more than 2500, 50%"),
    "nothing from zero to nowhere": ("kernel_c_jump_mean", 0.0, (0.0,), (1e-6, -1e-6), "more than 0, 50%"),
    "half of a negative number": ("kernel_c_jump_mean", -2.0, (-3.0, -1.0), (-3.1, -0.9), "more than 1, 50%"),
}


@pytest.mark.parametrize(("name", "old", "near", "far", "words"), LIMITS.values(), ids=LIMITS.keys())
def test_limits(name: str, old: Any, near: tuple[Any, ...], far: tuple[Any, ...], words: str) -> None:
    for new in near:
        assert too_far(name, old, new, 0.5) is None, new
    for new in far:
        reason = too_far(name, old, new, 0.5)
        assert (
            reason is not None
            and reason.startswith(f"{name} from {old!r} to {new!r} is more than ")
            and words in reason
        )


def test_a_choice_of_three_moves_to_its_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    about = dataclasses.replace(DECLARATIONS["input_kind"], choices=("a", "b", "c"))
    monkeypatch.setitem(DECLARATIONS, "input_kind", about)
    assert too_far("input_kind", "a", "b", 0.5) is None
    assert too_far("input_kind", "c", "a", 0.5) == (
        "input_kind from 'c' to 'a' is more than one level (a, b, c) in one change"
    )


@given(
    st.sampled_from(sorted(n for n, about in DECLARATIONS.items() if type(DEFAULTS[n]) is float and not about.host)),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.floats(0.05, 1.0),
)
def test_a_larger_share_never_allows_less_and_no_change_is_always_allowed(
    name: str, from_low: float, from_low_too: float, share: float
) -> None:
    about = DECLARATIONS[name]
    old, new = (about.low + where * (about.high - about.low) for where in (from_low, from_low_too))
    assert too_far(name, old, old, share) is None
    if too_far(name, old, new, share) is None:
        assert too_far(name, old, new, share * 2) is None
    search = about.search
    if old and not (isinstance(search, Search) and (search.log or search.step)):
        exceeds = abs(new - old) > share * abs(old)
        if not math.isclose(abs(new - old), share * abs(old), rel_tol=1e-6):
            assert (too_far(name, old, new, share) is not None) is exceeds
