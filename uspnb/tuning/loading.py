"""`load_study` on the class: a new optimizer from a checkpoint."""

from __future__ import annotations

import functools
import os
import types
from collections.abc import Callable
from typing import Any

from ..config.meta_optimization import MetaOptimizationConfig
from ..config.schema import PredictorConfig
from .checkpoint import read_checkpoint
from .identity import space_of


class OnEither:
    """A method that changes an instance, and on the class makes a new one (seeds 002 and 003)."""

    def __init__(self, on_instance: Callable[..., Any], on_class: Callable[..., Any]) -> None:
        self._on_instance, self._on_class = on_instance, on_class
        self.__doc__ = on_instance.__doc__

    def __get__(self, instance: Any, owner: type) -> Callable[..., Any]:
        if instance is None:
            return functools.partial(self._on_class, owner)
        return types.MethodType(self._on_instance, instance)


def loaded_anew(
    cls: Callable[..., Any],
    path: str | os.PathLike[str],
    objective: Any = None,
    meta_config: MetaOptimizationConfig | None = None,
    base_config: PredictorConfig | None = None,
    **settings: Any,
) -> Any:
    """A new optimizer that goes on from a file."""
    image = read_checkpoint(path)
    known = image.identity
    names = ("seed", "batch_size", "n_startup_trials", "multivariate")
    made = cls(
        space_of(known),
        objective,
        study_name=image.study_name,
        tier=known["tier"],
        meta_config=meta_config or MetaOptimizationConfig(**{name: known[name] for name in names}),
        base_config=base_config,
        **settings,
    )
    made.load_study(path)
    return made
