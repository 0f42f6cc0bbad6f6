"""Reading section `[meta_optimization]` of `config.toml`: how a tuning campaign runs and over which ranges."""

from __future__ import annotations

import os
from pathlib import Path

from .load import checked_tables, read_text
from .meta_schema import META_SECTION, METRICS, MetaOptimizationConfig, declared_range

__all__ = [
    "META_SECTION",
    "METRICS",
    "MetaOptimizationConfig",
    "declared_range",
    "load_meta_optimization_config",
    "parse_meta_optimization_config",
]


def load_meta_optimization_config(path: str | os.PathLike[str] = "config.toml") -> MetaOptimizationConfig:
    """Read how campaigns are to run from a configuration file; keys that it does not name have their defaults.

    The file is accepted or refused as a whole, as by `load_config`.

    Args:
        path: a TOML file; section `[meta_optimization]` may be absent.

    Returns:
        The validated settings.

    Raises:
        ConfigError: the file cannot be read or is no TOML; a section or key is unknown, misplaced or written twice; a
            value has the wrong type or lies outside its range; a range is empty or leaves the bounds of its field.
    """
    source = os.fspath(path)
    return parse_meta_optimization_config(read_text(Path(source)), source=source)


def parse_meta_optimization_config(text: str, *, source: str = "<text>") -> MetaOptimizationConfig:
    """The settings of campaigns that a TOML text holds.

    Args:
        text: the content of a configuration file.
        source: what error messages call it.

    Raises:
        ConfigError: as `load_meta_optimization_config`.
    """
    return MetaOptimizationConfig(**checked_tables(text, source).meta)
