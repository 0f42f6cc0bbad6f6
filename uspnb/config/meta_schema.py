"""`MetaOptimizationConfig`: how a tuning campaign runs and over which ranges; section `[meta_optimization]`.

Each setting is declared once, as in `schema`.  A range is not declared anew: `cusum_k_min`, `cusum_k_max` and
`cusum_k_step` narrow or widen what the declaration of `cusum_k` says, within the bounds of the field itself.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from ..errors import ConfigError
from ..runtime.words import columns_table
from .schema import DECLARATIONS, DEFAULTS, Declaration, Search, checked_scalar, unknown_name

META_SECTION = "meta_optimization"
META_ABOUT = "how a tuning campaign runs, and over which ranges; the step never sees them"
METRICS = (
    "mase",
    "rmse",
    "mape",
    "interval_score",
    "crps",
    "directional_accuracy",
    "p99_error",
    "alarm_delay",
)
# Seed 003 writes the grace period of the charts with their name in front.
ALIASES = {"cusum_grace_period_steps": "grace_period_steps"}
MOST_PROBLEMS = 20
_EDGES = ("_min", "_max", "_step")

Range: TypeAlias = tuple[float, float, float | None]


def _declare(default: Any, meaning: str, **rest: Any) -> Any:
    return dataclasses.field(
        default=default, metadata={"declaration": Declaration(META_SECTION, meaning, host=True, **rest)}
    )


@dataclasses.dataclass(frozen=True, init=False)
class MetaOptimizationConfig:
    """How a tuning campaign runs: seed 003, chapters 8 and 9.

    `MetaOptimizationConfig(n_trials=20, cusum_k_max=0.8)` changes a setting and a range.  For every field that may be
    tuned the attributes `NAME_min`, `NAME_max` and `NAME_step` (None: continuous) tell its range, whether it was
    changed or is the declared one.

    Args:
        ranges: (low, high, step or None) by field name; only those that differ from the declared range are kept.
        settings: any field of this class, and `NAME_min`, `NAME_max`, `NAME_step`, which win over `ranges`.

    Raises:
        ConfigError: an unknown name, a wrong type, a value outside its range, a range that is empty or leaves the
            bounds of its field; all problems together.
    """

    # fmt: off
    n_trials: int = _declare(50, "trials of a campaign, those before an interruption included", low=1, high=1_000_000)
    n_startup_trials: int = _declare(10, "trials drawn at random before the sampler models them", low=0, high=100_000)
    multivariate: bool = _declare(True, "whether the sampler models the parameters together rather than one by one")
    enable_deep_tuning: bool = _declare(False, "whether structural parameters are tuned as well (tier deep)")
    train_ratio: float = _declare(0.7, "share of the series before the first tick that counts", low=0.05, high=0.95)
    n_folds: int = _declare(5, "folds of the walk-forward split", low=1, high=100)
    max_memory: int = _declare(0, "ticks of training before a fold at the most; 0 is everything since the start", unit="ticks", low=0, high=2**40)
    metric: str = _declare("mase", "what is minimised", choices=METRICS)
    ahead: int = _declare(1, "ticks from a forecast to its outcome: 1 for the next tick, else one of `horizons`", unit="ticks", low=1, high=1024)
    batch_size: int = _declare(16, "candidates that are asked for and evaluated together", low=1, high=4096)
    early_stopping_patience: int = _declare(50, "trials without an improvement after which a campaign ends", low=1, high=1_000_000)
    early_stopping_delta: float = _declare(0.0, "fall of the best value that counts as an improvement", low=0.0, high=1e6)
    checkpoint_interval: int = _declare(10, "trials between two checkpoints", low=1, high=1_000_000)
    timeout_s: float = _declare(0.0, "time after which a campaign ends; 0 sets no limit", unit="s", low=0.0, high=1e9)
    seed: int = _declare(20260221, "seed of the sampler", low=0, high=2**31 - 1)
    max_deep_tuning_iterations: int = _declare(500, "trials of a deep campaign at the most", low=1, high=1_000_000, locked=True)
    checkpoint_path: str = _declare("io/tuning", "folder of the campaigns", locked=True)
    storage: str = _declare("", "file of the campaign's journal or address of a database; empty is a journal in `checkpoint_path`")
    # fmt: on
    ranges: Mapping[str, Range] = dataclasses.field(default_factory=dict)

    def __init__(self, ranges: Mapping[str, Any] | None = None, **settings: Any) -> None:
        table = {**_flat(ranges or {}), **settings}
        read = read_settings(table)
        if read.problems:
            raise ConfigError("\n".join(problem for _, problem in read.problems))
        for name, default in META_DEFAULTS.items():
            object.__setattr__(self, name, read.values.get(name, default))
        object.__setattr__(self, "ranges", read.ranges)

    def range_of(self, name: str) -> Range:
        """The (low, high, step or None) over which a field is tuned.

        Raises:
            ConfigError: no field of this name may be tuned.
        """
        name = ALIASES.get(name, name)
        if name not in DECLARATIONS or not _may_be_tuned(name):
            raise ConfigError(_unknown("tuned field", name, tuned_fields()))
        return self.ranges.get(name) or declared_range(name)

    def __getattr__(self, name: str) -> Any:
        # Reached only for what is no field: NAME_min, NAME_max, NAME_step.
        target = None if name.startswith("__") else _edge_of(name)
        if target is None:
            raise AttributeError(f"MetaOptimizationConfig has no setting {name!r}")
        field, edge = target
        return self.range_of(field)[edge]

    def __hash__(self) -> int:
        return hash((*(getattr(self, name) for name in META_DEFAULTS), *sorted(self.ranges.items())))

    def _repr_html_(self) -> str:
        rows: list[tuple[Any, ...]] = []
        for name, about in META_DECLARATIONS.items():
            meaning = f"{about.meaning} [{about.unit}]" if about.unit else about.meaning
            rows.append((name, repr(getattr(self, name)), repr(META_DEFAULTS[name]), meaning))
        for name, span in self.ranges.items():
            rows.append((f"range of {name}", _span(span), _span(declared_range(name)), DECLARATIONS[name].meaning))
        changed = [i for i, row in enumerate(rows) if row[1] != row[2]]
        return columns_table("MetaOptimizationConfig", ("setting", "value", "default", "meaning"), rows, changed)


META_DECLARATIONS: dict[str, Declaration] = {
    field.name: field.metadata["declaration"]
    for field in dataclasses.fields(MetaOptimizationConfig)
    if "declaration" in field.metadata
}
META_DEFAULTS: dict[str, Any] = {
    field.name: field.default for field in dataclasses.fields(MetaOptimizationConfig) if field.name in META_DECLARATIONS
}


class Settings(NamedTuple):
    """What a table of settings says.

    Attributes:
        values: the checked settings, by name.
        ranges: the ranges that differ from the declared ones, by field.
        problems: the key at fault and a sentence.
    """

    values: dict[str, Any]
    ranges: dict[str, Range]
    problems: list[tuple[str, str]]


def read_settings(table: Mapping[str, Any]) -> Settings:
    """Check every key of a `[meta_optimization]` table; no problem hides another."""
    values: dict[str, Any] = {}
    edges: dict[str, dict[int, tuple[str, Any]]] = {}
    problems: list[tuple[str, str]] = []
    for key, value in table.items():
        if len(problems) > MOST_PROBLEMS:
            break  # who mends these reads of the others then
        try:
            if key in META_DECLARATIONS:
                values[key] = checked_scalar(key, value, META_DECLARATIONS[key], META_DEFAULTS[key])
            else:
                _add_edge(edges, key, value)
        except ConfigError as error:
            problems.append((key, str(error)))
    ranges = {}
    for name, written in edges.items():
        try:
            span = _checked_range(name, written)
        except ConfigError as error:
            problems.append((max(written.values(), key=lambda pair: list(table).index(pair[0]))[0], str(error)))
        else:
            if span != declared_range(name):
                ranges[name] = span
    deep, trials, most = (
        values.get(name, META_DEFAULTS[name])
        for name in ("enable_deep_tuning", "n_trials", "max_deep_tuning_iterations")
    )
    if deep and trials > most:
        problems.append(
            ("n_trials", f"n_trials = {trials} must not exceed max_deep_tuning_iterations = {most} in tier deep")
        )
    return Settings(values, dict(sorted(ranges.items())), problems)


def declared_range(name: str) -> Range:
    """The (low, high, step or None) that the declaration of a tuned field says, in the field's own type."""
    search = _search(name)
    kind = type(DEFAULTS[name])
    return kind(search.low), kind(search.high), None if search.step is None else kind(search.step)


def tuned_fields() -> list[str]:
    """Names of the fields that a campaign may vary, in the order of their declaration."""
    return [name for name in DECLARATIONS if _may_be_tuned(name)]


def is_range_key(key: str) -> bool:
    """Whether a key such as `cusum_k_min` sets an edge or the step of a range."""
    return _edge_of(key) is not None


def _may_be_tuned(name: str) -> bool:
    return DECLARATIONS[name].search is not None and type(DEFAULTS[name]) in (int, float)


def _search(name: str) -> Search:
    search = DECLARATIONS[name].search
    if search is None:
        raise ConfigError(_unknown("tuned field", name, tuned_fields()))
    return search


def _flat(ranges: Mapping[str, Any]) -> dict[str, Any]:
    """The keys NAME_min, NAME_max and NAME_step of a mapping of ranges."""
    flat: dict[str, Any] = {}
    for name, span in ranges.items():
        if not isinstance(span, (tuple, list)) or len(span) not in (2, 3):
            raise ConfigError(f"the range of {name} is {span!r}, expected (low, high) or (low, high, step)")
        flat |= {f"{name}{edge}": value for edge, value in zip(_EDGES, span, strict=False)}
    return flat


def _edge_of(key: str) -> tuple[str, int] | None:
    """The field and the place in its range that a key such as `cusum_k_min` names."""
    for place, edge in enumerate(_EDGES):
        stem = key.removesuffix(edge)
        name = ALIASES.get(stem, stem)
        if stem != key and name in DECLARATIONS and _may_be_tuned(name):
            return name, place
    return None


def _add_edge(edges: dict[str, dict[int, tuple[str, Any]]], key: str, value: Any) -> None:
    target = _edge_of(key)
    if target is None:
        raise ConfigError(_unknown("key", key, [*META_DECLARATIONS, *_keys_of_ranges()]))
    name, place = target
    earlier = edges.setdefault(name, {}).setdefault(place, (key, value))
    if earlier[0] != key:
        raise ConfigError(f"{key} and {earlier[0]} are two names of one setting; keep one")


def _checked_range(name: str, written: Mapping[int, tuple[str, Any]]) -> Range:
    about, search, kind = DECLARATIONS[name], _search(name), type(DEFAULTS[name])
    span: list[Any] = list(declared_range(name))
    for place, (key, value) in written.items():
        if place == 2 and value is None:
            span[2] = None
            continue
        # A step is no value of the field: only its type is the field's.
        bounds = Declaration(META_SECTION, "", high=about.high - about.low) if place == 2 else about
        span[place] = checked_scalar(key, value, bounds, DEFAULTS[name])
    low, high, step = span
    if low >= high:
        raise ConfigError(f"{name}_min = {low!r} must be below {name}_max = {high!r}")
    if search.log and low <= 0:
        raise ConfigError(f"{name}_min = {low!r} must be above 0, because {name} is searched on a logarithmic scale")
    if step is not None and search.log:
        raise ConfigError(f"{name}_step = {step!r}: {name} is searched on a logarithmic scale, which has no step")
    if step is not None and not (0 < step <= high - low and math.isfinite(step)):
        raise ConfigError(f"{name}_step = {step!r} must be above 0 and at most {name}_max - {name}_min = {high - low}")
    return kind(low), kind(high), step


def _keys_of_ranges() -> list[str]:
    return [f"{name}{edge}" for name in tuned_fields() for edge in _EDGES]


def _unknown(what: str, name: str, names: list[str]) -> str:
    settings = ", ".join(sorted(META_DECLARATIONS))
    remedy = f"known: {settings}, and NAME_min, NAME_max, NAME_step of a tuned field"
    return unknown_name(what, name, names, remedy)


def _span(span: Range) -> str:
    low, high, step = span
    return f"{low!r} to {high!r}" + ("" if step is None else f" step {step!r}")
