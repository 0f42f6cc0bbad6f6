"""Search spaces: what a tuner may vary, derived from the declarations of the configuration.

A space is a dict of `SearchSpace`, one for each parameter.  The fast tier is the six parameters of seed 003, the deep
tier its twenty-three and what more the declarations mark.  A structural parameter is compiled in, so that every value
of it is a program of its own; all others are arguments of the compiled program.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..config.meta_optimization import MetaOptimizationConfig
from ..config.schema import DECLARATIONS, DEFAULTS, HOST_FIELDS, STATIC_FIELDS, PredictorConfig
from ..errors import DomainError
from ..model.kernels.registry import trunk_sizes

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

PARAM_TYPES = ("float", "int", "categorical", "log_uniform")
POWER_OF_TWO = "power of two"
# The first of a pair must stay below the second.
ORDERED = (("stiffness_low", "stiffness_high"),)
TIERS = ("fast", "deep")

Space = dict[str, "SearchSpace"]


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """How one parameter may vary (seed 002, section 21.1).

    Attributes:
        name: field of `PredictorConfig`, or whatever a user's own objective understands.
        param_type: "float", "int", "categorical", or "log_uniform" (a float on a logarithmic scale).
        range: (low, high), both included; for "categorical" the choices.
        locked: whether it must never be varied; a space that holds such a parameter is refused.
        constraint: "power of two" restricts an "int" to powers of two; None restricts nothing.
        step: distance of an "int" or "float" to the next value; None is 1 for an "int", any for a "float".

    Raises:
        DomainError: an unknown type or constraint, an empty, reversed or non-finite range, a step that is not above 0.
    """

    name: str
    param_type: str
    range: tuple[Any, ...]
    locked: bool = False
    constraint: str | None = None
    step: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "range", tuple(self.range))
        what = f"search space of {self.name!r}"
        if self.param_type not in PARAM_TYPES:
            raise DomainError(f"{what}: type {self.param_type!r} is not one of {', '.join(PARAM_TYPES)}")
        if self.constraint not in (None, POWER_OF_TWO):
            raise DomainError(f"{what}: constraint {self.constraint!r} is unknown; known is {POWER_OF_TWO!r}")
        if self.param_type == "categorical":
            if not self.range:
                raise DomainError(f"{what}: there are no choices; name at least one")
            return
        _check_numbers(what, self)
        if self.constraint == POWER_OF_TWO and not _powers_of_two(self.range):
            raise DomainError(f"{what}: no power of two lies in {self.range[0]} to {self.range[1]}")

    @property
    def choices(self) -> tuple[Any, ...]:
        """The allowed values where they are few and named: choices, or powers of two; else ()."""
        if self.param_type == "categorical":
            return self.range
        return _powers_of_two(self.range) if self.constraint == POWER_OF_TWO else ()

    @property
    def low(self) -> float:
        """The least value; NaN of choices that are no numbers."""
        return _bound(min, self)

    @property
    def high(self) -> float:
        """The largest value; NaN of choices that are no numbers."""
        return _bound(max, self)

    def distribution(self) -> BaseDistribution:
        """The same as Optuna draws from it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution(self.choices)
        low, high = self.range
        if self.param_type == "int":
            step = 1 if self.step is None else int(self.step)
            return IntDistribution(int(low), int(low) + (int(high) - int(low)) // step * step, step=step)
        return FloatDistribution(float(low), float(high), log=self.param_type == "log_uniform", step=self.step)

    def nearest(self, value: Any) -> Any:
        """The allowed value that is nearest to another; of choices the value itself or the first."""
        if self.choices:
            if value in self.choices or not isinstance(value, (int, float)):
                return value if value in self.choices else self.choices[0]
            return min(self.choices, key=lambda choice: abs(choice - value))
        low, high = self.range
        value = min(max(value, low), high)
        if self.step is not None:
            value = low + min(round((value - low) / self.step), int((high - low) / self.step)) * self.step
        return int(value) if self.param_type == "int" else float(value)


def _check_numbers(what: str, one: SearchSpace) -> None:
    kinds = (int,) if one.param_type == "int" else (int, float)
    if len(one.range) != 2 or any(isinstance(b, bool) or not isinstance(b, kinds) for b in one.range):
        wanted = "whole numbers" if one.param_type == "int" else "numbers"
        raise DomainError(f"{what}: range {one.range!r} is not two {wanted} (low, high)")
    low, high = one.range
    if not (math.isfinite(low) and math.isfinite(high)) or not low <= high:
        raise DomainError(f"{what}: range ({low!r}, {high!r}) is empty; the first must not be above the second")
    if one.param_type == "log_uniform" and not low > 0:
        raise DomainError(f"{what}: a logarithmic range must be above 0 and begins at {low!r}")
    if one.step is not None and not (math.isfinite(one.step) and one.step > 0):
        raise DomainError(f"{what}: step {one.step!r} must be above 0")
    if one.step is not None and (one.param_type == "log_uniform" or (one.param_type == "int" and one.step % 1)):
        raise DomainError(f"{what}: step {one.step!r} does not fit type {one.param_type}")


def _powers_of_two(bounds: tuple[Any, ...]) -> tuple[int, ...]:
    low, high = (int(bound) for bound in bounds)
    return tuple(1 << k for k in range(max(high, 1).bit_length()) if low <= 1 << k <= high)


def _bound(pick: Any, one: SearchSpace) -> float:
    values = one.choices or one.range
    return float(pick(values)) if all(isinstance(v, (int, float)) for v in values) else math.nan


def fast_space(meta: MetaOptimizationConfig | None = None) -> Space:
    """The six parameters of seed 003's fast tier, with the ranges of `[meta_optimization]` where it names them."""
    return _declared("fast", meta)


def deep_space(meta: MetaOptimizationConfig | None = None) -> Space:
    """The fast tier's parameters, the seventeen more of seed 003's deep tier, and what more the declarations mark."""
    return _declared("fast", meta) | _declared("deep", meta)


def traced_space(meta: MetaOptimizationConfig | None = None) -> Space:
    """Everything that can be tuned without compiling: the deep tier without its structural parameters."""
    space = deep_space(meta)
    return {name: space[name] for name in space if name not in structural_names(space)}


def tier_space(tier: str, meta: MetaOptimizationConfig | None = None) -> Space:
    """The space of a tier.

    Raises:
        DomainError: there is no such tier.
    """
    if tier not in TIERS:
        raise DomainError(f"tier {tier!r} is not one of {', '.join(TIERS)}")
    return fast_space(meta) if tier == "fast" else deep_space(meta)


def _declared(tier: str, meta: MetaOptimizationConfig | None) -> Space:
    meta = MetaOptimizationConfig() if meta is None else meta
    return {n: _of_field(n, meta) for n, about in DECLARATIONS.items() if about.search and about.search.tier == tier}


def _of_field(name: str, meta: MetaOptimizationConfig) -> SearchSpace:
    search = DECLARATIONS[name].search
    assert search is not None
    low, high, step = (getattr(meta, f"{name}_{what}") for what in ("min", "max", "step"))
    if name in ("dgm_width_size", "dgm_depth"):
        # Only these networks are trained; another size would need `uspnb train-trunk` first.
        part = 0 if name == "dgm_width_size" else 1
        sizes = sorted({size[part] for size in trunk_sizes() if low <= size[part] <= high})
        return SearchSpace(name, "categorical", tuple(sizes))
    if isinstance(DEFAULTS[name], int):
        return SearchSpace(name, "int", (int(low), int(high)), step=None if step in (None, 1) else int(step))
    return SearchSpace(name, "log_uniform" if search.log else "float", (float(low), float(high)), step=step)


def checked_space(space: Any, *, fields_only: bool = True) -> Space:
    """A user's space, checked.

    Args:
        space: parameters by name.
        fields_only: whether every name must be a field of `PredictorConfig`; not so for a user's own objective.

    Returns:
        The space as a dict, in the order given.

    Raises:
        DomainError: an empty space, a name that differs from its key, a locked parameter, an unknown field, a range
            outside the field's own, or an order (`stiffness_low` below `stiffness_high`) that no draw can meet.
    """
    if not isinstance(space, Mapping) or not space:
        raise DomainError(f"the search space {space!r} holds no parameter; leave it out for the tier's own")
    for key, one in space.items():
        if not isinstance(one, SearchSpace):
            raise DomainError(f"search space of {key!r} has type {type(one).__name__}, expected SearchSpace")
        if one.name != key:
            raise DomainError(f"search space under the key {key!r} is of {one.name!r}; give it its own name as key")
    locked = [name for name, one in space.items() if one.locked or _is_locked(name)]
    if locked:
        raise DomainError(f"locked parameters cannot be tuned: {', '.join(locked)}; take them out of the search space")
    unknown = [name for name in space if name not in DECLARATIONS]
    if fields_only and unknown:
        raise DomainError(f"unknown parameters: {', '.join(unknown)}; a search space names fields of PredictorConfig")
    for name, one in space.items():
        if name in DECLARATIONS:
            _check_field_range(name, one)
    for low, high in ORDERED:
        if low in space and high in space and not space[low].high < space[high].high:
            raise DomainError(
                f"{low} up to {space[low].high:g} leaves no room for a larger {high} (up to {space[high].high:g})"
            )
    return dict(space)


def _is_locked(name: str) -> bool:
    return name in DECLARATIONS and (DECLARATIONS[name].locked or name in HOST_FIELDS)


def _check_field_range(name: str, one: SearchSpace) -> None:
    about = DECLARATIONS[name]
    allowed = about.choices or ((True, False) if isinstance(DEFAULTS[name], bool) else ())
    if allowed:
        strange = [value for value in one.range if value not in allowed]
        if strange or one.param_type != "categorical":
            raise DomainError(f"search space of {name!r}: choose among {', '.join(map(repr, allowed))} (categorical)")
        return
    if not (about.low <= one.low and one.high <= about.high):
        raise DomainError(
            f"search space of {name!r}: {one.low:g} to {one.high:g} leaves the field's range "
            f"{about.low:g} to {about.high:g}"
        )


def structural_names(space: Mapping[str, SearchSpace]) -> tuple[str, ...]:
    """The parameters of a space that are compiled in."""
    return tuple(name for name in space if name in STATIC_FIELDS)


def decoded(space: Mapping[str, SearchSpace], drawn: Mapping[str, Any]) -> dict[str, Any]:
    """What was drawn as values that the configuration takes, orders kept.

    Of an ordered pair whose draw is the wrong way round the second is moved, in proportion, into what is left of its
    range above the first.
    """
    values = {name: space[name].nearest(value) if name in space else value for name, value in drawn.items()}
    for low, high in ORDERED:
        if low in values and high in values and not values[low] < values[high]:
            one = space[high]
            share = (values[high] - one.low) / (one.high - one.low)
            values[high] = values[low] + (one.high - values[low]) * (0.001 + 0.999 * share)
    return values


def default_params(space: Mapping[str, SearchSpace], base: PredictorConfig) -> dict[str, Any]:
    """The base configuration's own values of a space's parameters, moved into their ranges; what is no field starts
    in the middle of its range or with the first choice."""
    return {name: one.nearest(getattr(base, name, _middle(one))) for name, one in space.items()}


def _middle(one: SearchSpace) -> Any:
    if one.choices:
        return one.choices[0]
    low, high = one.range
    return math.sqrt(low * high) if one.param_type == "log_uniform" else (low + high) / 2
