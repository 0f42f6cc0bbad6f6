"""Covariates from what a user hands over to what the compiled step takes: a row for the tick and one for each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..array_types import Float
from ..config.schema import PredictorConfig
from ..data.number_format import is_missing
from ..errors import DomainError


def covariate_ticks(
    config: PredictorConfig, table: Float[np.ndarray, "time covariate"] | None, ticks: int
) -> Float[np.ndarray, "tick row covariate"] | tuple[()]:
    """For each tick of a series its own covariates and those of the ticks that are forecast from it.

    Args:
        config: whose `covariates` and `steps` say what is wanted.
        table: the covariates at each tick; None where there are none.
        ticks: of the series.

    Returns:
        The rows, NaN beyond the table's end; nothing where the configuration names no covariates.
    """
    return _windows(config, table, ticks) if config.covariates else ()


def _windows(
    config: PredictorConfig, table: Float[np.ndarray, "time covariate"] | None, ticks: int
) -> Float[np.ndarray, "tick row covariate"]:
    ahead = np.array((0, *config.steps))
    padded = np.full((ticks + ahead[-1], len(config.covariates)), np.nan)
    if table is not None:
        padded[: len(table)] = table[: len(padded)]
    return padded[np.arange(ticks)[:, None] + ahead[None, :]]


def covariate_rows(config: PredictorConfig, given: Any) -> Float[np.ndarray, "row covariate"] | tuple[()]:
    """One tick's covariates as the step takes them.

    Args:
        config: whose `covariates` name them.
        given: a mapping by name or a sequence in the order of the configuration; each entry a number, the tick's own,
            or a sequence that begins with it and goes on with those of the ticks to come.  None where nothing is known.

    Raises:
        DomainError: the configuration names none, another number of them, a name that it does not have, or no numbers.
    """
    names = config.covariates
    if given is None:
        return _windows(config, None, 1)[0] if names else ()
    return _windows(config, _side_by_side(named_columns(names, given)), 1)[0]


def refuse_covariates(config: PredictorConfig | None, who: str) -> None:
    """Refuse settings that name covariates, where nothing brings them.

    Args:
        config: the settings, None for the default ones.
        who: cannot take them, for the message.

    Raises:
        DomainError: they name some.
    """
    if config is not None and config.covariates:
        raise DomainError(
            f"{who} takes no covariates, but the settings name {', '.join(config.covariates)}; leave them out, what "
            "the time of a tick says is to be had with calendar = [...]"
        )


def known_table(config: PredictorConfig, given: Any, steps: int) -> Float[np.ndarray, "step covariate"]:
    """Covariates of the ticks to come.

    Args:
        config: whose `covariates` name them.
        given: a DataFrame or mapping of columns by name, or an array of a row for each tick to come; None where nothing
            is known.
        steps: how many ticks; what is given of more is left out, what is missing is NaN.

    Raises:
        DomainError: as `covariate_rows`.
    """
    names = config.covariates
    table = np.full((steps, len(names)), np.nan)
    if given is None:
        return table
    if not hasattr(given, "keys") and np.ndim(given) == 2:
        given = list(np.asarray(given, object).T)
    found = _side_by_side(named_columns(names, given))[:steps]
    table[: len(found)] = found
    return table


def named_columns(names: tuple[str, ...], given: Any) -> list[np.ndarray]:
    """The numbers of each covariate, one or several, in the order of the names.

    Raises:
        DomainError: as `covariate_rows`.
    """
    if not names:
        raise DomainError(
            "covariates were given, but the configuration names none; make the predictor with "
            "PredictorConfig(covariates=(...)) of their names"
        )
    if isinstance(given, Mapping) or hasattr(given, "keys"):
        if unknown := [key for key in list(given.keys()) if key not in names]:
            raise DomainError(f"there is no covariate {unknown[0]!r}; the configuration names {', '.join(names)}")
        parts = [given.get(name, np.nan) for name in names]
    elif isinstance(given, (Sequence, np.ndarray)) and not isinstance(given, str):
        parts = list(given)
    else:
        parts = [given]
    if len(parts) != len(names):
        raise DomainError(
            f"{len(parts)} covariates were given for {', '.join(names)}; give one for each, NaN where it is not known"
        )
    return [_numbers(name, part) for name, part in zip(names, parts, strict=True)]


def _numbers(name: str, part: Any) -> np.ndarray:
    if is_missing(part):
        return np.array([np.nan])
    array = np.atleast_1d(np.asarray(part))
    if array.dtype == object:
        array = np.array([np.nan if is_missing(one) else one for one in array.ravel()])
    if array.dtype.kind not in "fiu" or array.ndim != 1:
        raise DomainError(f"covariate {name} = {part!r} is not a number or a sequence of numbers; NaN is unknown")
    return array.astype(np.float64)


def _side_by_side(columns: list[np.ndarray]) -> Float[np.ndarray, "row covariate"]:
    table = np.full((max(map(len, columns)), len(columns)), np.nan)
    for k, column in enumerate(columns):
        table[: len(column), k] = column
    return table
