"""The settings that a running session can change, as their declarations describe them."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

from ..config.schema import DECLARATIONS, DEFAULTS, TRACED_FIELDS, PredictorConfig, declaration
from ..errors import ConfigError

STEPS_OF_A_RANGE = 200
DECADES_WORTH_LOG = 1e3


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting that acts on the next tick without a recompilation.

    Attributes:
        name: field of `PredictorConfig`.
        value: what it is now.
        low, high: closed bounds of what it may be.
        step: a sensible step of a slider.
        log: whether a slider should be logarithmic.
        unit: unit, "" for a pure number.
        meaning: one plain sentence.
        default: its default.
        integer: whether it is a whole number.
        section: section of `config.toml`.
    """

    name: str
    value: float
    low: float
    high: float
    step: float
    log: bool
    unit: str
    meaning: str
    default: float
    integer: bool
    section: str

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values that JSON can hold."""
        return dataclasses.asdict(self)


def settings_of(config: PredictorConfig) -> tuple[Setting, ...]:
    """Every traced field, in the order of their declaration."""
    return tuple(_setting(config, name) for name in TRACED_FIELDS)


def _setting(config: PredictorConfig, name: str) -> Setting:
    about, default = DECLARATIONS[name], DEFAULTS[name]
    integer = isinstance(default, int)
    searched = about.search.step if about.search is not None else None
    step = searched or (1.0 if integer else (about.high - about.low) / STEPS_OF_A_RANGE)
    log = about.low > 0 and about.high / about.low >= DECADES_WORTH_LOG
    value = getattr(config, name)
    return Setting(
        name, value, about.low, about.high, step, log, about.unit, about.meaning, default, integer, about.section
    )


def changed_config(config: PredictorConfig, changes: dict[str, Any]) -> PredictorConfig:
    """The configuration with some traced fields changed.

    Raises:
        ConfigError: an unknown or structural name, a value of the wrong type or outside its range.
    """
    for name, value in changes.items():
        about = declaration(name)
        if about.host:
            raise ConfigError(
                f"{name} steers files and the service around the step (section [{about.section}]); give it when the "
                f"session is made: uspnb.Session(source, uspnb.PredictorConfig({name}={value!r}))"
            )
        if about.static:
            raise ConfigError(
                f"{name} is compiled in (section [{about.section}]) and cannot change while a session runs; start "
                f"another one with uspnb.Session(source, uspnb.PredictorConfig({name}={value!r}))"
            )
        # The configuration itself lets tracers and batches of candidates pass, which a session has no use for.
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            kind, bounds = type(DEFAULTS[name]).__name__, f"[{about.low:g}, {about.high:g}]"
            raise ConfigError(f"{name} = {value!r} has type {type(value).__name__}, expected {kind} in {bounds}")
    return dataclasses.replace(config, **{name: _whole(name, value) for name, value in changes.items()})


def _whole(name: str, value: Any) -> Any:
    """A slider's 20.0 as the 20 that a whole number needs."""
    if isinstance(DEFAULTS[name], int) and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def settings_code(config: PredictorConfig) -> str:
    """The Python expression that makes this configuration, with only what differs from the defaults."""
    changed = [f"{name}={getattr(config, name)!r}" for name in DECLARATIONS if getattr(config, name) != DEFAULTS[name]]
    return f"uspnb.PredictorConfig({', '.join(changed)})"
