"""What a campaign of the loop may vary, and how far: the search space, cut to what one change may do."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ...config.meta_optimization import MetaOptimizationConfig
from ...config.mutation_policy import refused_name, too_far
from ...config.schema import PredictorConfig
from ...errors import DomainError
from ..space import SearchSpace, Space, checked_space, deep_space, tier_space, traced_space

LOOP, TRACED = "loop", "traced"
# What one-step forecasts answer to; measured by benchmarks/closed_loop.py --sensitivity.  The other parameters of the
# tiers move alarms, breakers and intervals, which no error of a forecast should decide about.
MEMORY_AND_RIDGES = (
    "hilbert_forgetting",
    "hilbert_fast_forgetting",
    "hilbert_score_forgetting",
    "hilbert_filter_ridge",
    "kernel_ridge_lambda",
    "log_sig_forgetting",
    "score_forgetting",
    "score_scale_rate",
)
DEPTH = "log_sig_depth"
BISECTIONS = 60


def loop_space(meta: MetaOptimizationConfig | None = None) -> Space:
    """What the loop tunes by default: how fast the kernels and their scores forget, their ridges, and the depth of the
    log-signature, which alone of these is compiled in."""
    space = deep_space(meta)
    return {name: space[name] for name in (*MEMORY_AND_RIDGES, DEPTH)}


def space_named(tier: str, meta: MetaOptimizationConfig | None = None) -> Space:
    """The space of "loop", "traced" (all that compiles nothing), or a tier of `BayesianMetaOptimizer`.

    Raises:
        DomainError: there is none of this name.
    """
    if tier == LOOP:
        return loop_space(meta)
    return traced_space(meta) if tier == TRACED else tier_space(tier, meta)


def reachable(space: Space, config: PredictorConfig, share: float) -> Space:
    """The part of a space that one change of the configuration may reach from the settings in force.

    So the best candidate is tested as it would be written.  A parameter that cannot move into its range is left out.

    Args:
        space: parameters by name.
        config: the settings in force.
        share: limit of one change, see `too_far`.

    Raises:
        DomainError: nothing is left, or a parameter that is never changed automatically.
    """
    refused = [reason for name in space if (reason := refused_name(name)) is not None]
    if refused:
        raise DomainError("; ".join(refused))
    cut = {name: _cut(one, getattr(config, name), share) for name, one in space.items()}
    movable = {name: one for name, one in cut.items() if one is not None}
    if not movable:
        raise DomainError(f"no parameter of {', '.join(space)} can move from where it is by one change")
    return checked_space(movable)


def at_limit(space: Space, changes: dict[str, Any], config: PredictorConfig, share: float) -> tuple[str, ...]:
    """The changed parameters that reach the limit of one change, short of the end of their range."""
    stopped = []
    for name, value in changes.items():
        if name not in space or isinstance(value, (bool, str)):
            continue
        one, here = space[name], getattr(config, name)
        end = one.high if value > here else one.low
        step = (one.step or 1) if isinstance(value, int) else 1e-3 * abs(end - value)
        further = one.nearest(value + math.copysign(step, end - value))
        if value != end and too_far(name, here, further, share) is not None:
            stopped.append(name)
    return tuple(stopped)


def _cut(one: SearchSpace, here: Any, share: float) -> SearchSpace | None:
    if one.choices:
        near = tuple(value for value in one.choices if too_far(one.name, here, value, share) is None)
        return dataclasses.replace(one, param_type="categorical", range=near, constraint=None) if near else None
    start = min(max(here, one.low), one.high)
    if too_far(one.name, here, one.nearest(start), share) is not None:
        return None
    low, high = (_furthest(one, here, start, end, share) for end in (one.low, one.high))
    if one.param_type == "int":
        low, high = int(low), int(high)
    return dataclasses.replace(one, range=(low, high))


def _furthest(one: SearchSpace, here: Any, start: float, end: float, share: float) -> Any:
    """The value that lies furthest towards the end of the range and may be reached in one change."""

    def may(value: Any) -> bool:
        return too_far(one.name, here, value, share) is None

    if may(one.nearest(end)):
        return one.nearest(end)
    if one.param_type == "int" or one.step is not None:
        step = math.copysign(one.step or 1, end - start)
        levels = (one.nearest(start + k * step) for k in range(int((end - start) / step) + 2))
        return [value for value in levels if may(value)][-1]
    near, far = float(start), float(end)
    for _ in range(BISECTIONS):
        middle = 0.5 * (near + far)
        near, far = (middle, far) if may(middle) else (near, middle)
    return near
