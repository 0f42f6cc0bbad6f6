"""The search space cut to what one change may reach."""

from __future__ import annotations

import pytest

from uspnb.config.mutation_policy import too_far
from uspnb.config.schema import PredictorConfig
from uspnb.errors import DomainError
from uspnb.tuning.live.reach import MEMORY_AND_RIDGES, at_limit, loop_space, reachable, space_named
from uspnb.tuning.space import SearchSpace, deep_space, fast_space, traced_space

BASE = PredictorConfig()


@pytest.mark.parametrize("share", [0.05, 0.5, 3.0])
def test_every_end_of_the_cut_space_may_be_reached_and_no_further_one_may(share: float) -> None:
    full = deep_space()
    for name, one in reachable(full, BASE, share).items():
        here = getattr(BASE, name)
        values = one.choices or one.range
        assert all(too_far(name, here, value, share) is None for value in values), name
        if not one.choices:
            assert full[name].low <= one.low <= one.high <= full[name].high
            for end, whole in ((one.low, full[name].low), (one.high, full[name].high)):
                step = (one.step or 1) if one.param_type == "int" else 1e-4 * abs(whole - end)
                if end != whole:
                    assert too_far(name, here, end + (step if whole > end else -step), share) is not None, name


def test_a_parameter_that_cannot_come_into_its_range_is_left_out() -> None:
    space = fast_space()
    cut = reachable(space, PredictorConfig(sinkhorn_alpha=9.0), 0.5)
    assert set(space) - set(cut) == {"sinkhorn_alpha"}
    with pytest.raises(DomainError, match="can move from where it is"):
        reachable({"sinkhorn_alpha": space["sinkhorn_alpha"]}, PredictorConfig(sinkhorn_alpha=9.0), 0.5)


def test_what_is_never_changed_automatically_is_refused_by_name() -> None:
    with pytest.raises(DomainError, match="snapshot_retention"):
        reachable({"snapshot_retention": SearchSpace("snapshot_retention", "int", (1, 9))}, BASE, 0.5)


def test_the_limit_of_one_change_is_known_from_the_end_of_the_range() -> None:
    space = loop_space()
    assert at_limit(space, {"log_sig_depth": 4, "hilbert_forgetting": 0.98}, BASE, 0.5) == ("log_sig_depth",)
    assert at_limit(space, {"log_sig_depth": 2, "hilbert_forgetting": 0.99}, BASE, 0.5) == ()
    stopped = reachable(space, BASE, 0.5)["kernel_ridge_lambda"].high
    assert stopped < space["kernel_ridge_lambda"].high
    assert at_limit(space, {"kernel_ridge_lambda": stopped, "elsewhere": 1.0}, BASE, 0.5) == ("kernel_ridge_lambda",)


def test_the_spaces_have_their_names() -> None:
    assert set(space_named("loop")) == {*MEMORY_AND_RIDGES, "log_sig_depth"}
    assert space_named("fast") == fast_space() and space_named("traced") == traced_space()
    with pytest.raises(DomainError, match="'slow' is not one of"):
        space_named("slow")
