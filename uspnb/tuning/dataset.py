"""All trials of a campaign as one labelled `xarray.Dataset`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import xarray as xr
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from ..config.load import config_to_toml
from ..config.schema import DECLARATIONS, PredictorConfig
from .batches import Rules, quiet_study
from .checkpoint import Image
from .space import SearchSpace
from .status import STATES, best_of, params_of, running_best, value_of

LEAST_COMPLETE = 4
EVALUATOR = "PED-ANOVA"
_PACKAGES = ("uspnb", "optuna", "jax", "numpy")


def results_dataset(image: Image, objective: Any, base: PredictorConfig, rules: Rules) -> xr.Dataset:
    """The trials of a campaign.

    Args:
        image: of the campaign.
        objective: what was minimised.
        base: the settings that candidates change.
        rules: search space and defaults.

    Returns:
        Dims trial, fold, series and parameter; every variable with units and long_name.
    """
    trials, space = image.trials, rules.space
    names, metric = list(space), objective.metric
    importance, note = importances(trials, names)
    best = best_of(trials)
    params = [params_of(trial) for trial in trials]
    table: dict[str, Any] = {
        "value": ("trial", _floats(map(value_of, trials)), metric, "value of the objective, lower is better"),
        "best_value": ("trial", running_best(trials), metric, "best value of the complete trials so far"),
        "state": ("trial", _texts(STATES[trial.state] for trial in trials), "1", "complete, pruned, failed or running"),
        "batch": ("trial", np.array([_attribute(t, "batch", -1) for t in trials], int), "1", "batch of the trial"),
        "seconds": ("trial", _floats(_attribute(t, "seconds", math.nan) for t in trials), "s", "share of the time"),
        "reason": ("trial", _texts(_attribute(t, "reason", "") for t in trials), "1", "why the trial failed"),
        "fold_value": (("trial", "fold", "series"), _folds(trials, objective), metric, "value on each fold"),
        "importance": ("parameter", importance, "1", "share of the parameter in reaching the best values"),
        "default": ("parameter", _numbers(rules.defaults, names), "1", "value of the base configuration"),
        "best": ("parameter", _numbers({} if best is None else params_of(best), names), "1", "value of the best trial"),
        "low": ("parameter", _floats(space[name].low for name in names), "1", "least value searched"),
        "high": ("parameter", _floats(space[name].high for name in names), "1", "largest value searched"),
    }
    for name in names:
        about = DECLARATIONS.get(name)
        unit, meaning = (about.unit or "1", about.meaning) if about else ("1", f"parameter {name}")
        table[f"param_{name}"] = ("trial", _column(params, name, space[name]), unit, meaning)
    ds = xr.Dataset(
        {
            name: (dims, values, {"units": units, "long_name": long_name})
            for name, (dims, values, units, long_name) in table.items()
        },
        coords={
            "trial": (
                "trial",
                np.array([t.number for t in trials], int),
                {"units": "1", "long_name": "number of the trial"},
            ),
            "fold": ("fold", np.arange(objective.n_folds), {"units": "1", "long_name": "fold, oldest first"}),
            "series": ("series", _texts(_series(objective)), {"units": "1", "long_name": "name of the series"}),
            "parameter": ("parameter", _texts(names), {"units": "1", "long_name": "name of the parameter"}),
        },
    )
    for name in names:
        if space[name].param_type == "log_uniform":
            ds[f"param_{name}"].attrs["log"] = 1
    return ds.assign_attrs(_attributes(image, objective, base, best, note))


def importances(trials: Sequence[FrozenTrial], names: Sequence[str]) -> tuple[np.ndarray, str]:
    """How much each parameter matters for reaching the best tenth (PED-ANOVA, Watanabe et al. 2023).

    Returns:
        A share for each parameter, NaN where it is not known; and why nothing is known, else "".
    """
    unknown = np.full(len(names), math.nan)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if len(complete) < LEAST_COMPLETE:
        return unknown, f"{len(complete)} complete trials are too few to weigh parameters; {LEAST_COMPLETE} are needed"
    if len({trial.value for trial in complete}) == 1:
        return unknown, "all complete trials have the same value"
    shares = get_param_importances(quiet_study(complete), evaluator=PedAnovaImportanceEvaluator())
    return np.array([shares.get(name, math.nan) for name in names], float), ""


def _attributes(
    image: Image, objective: Any, base: PredictorConfig, best: FrozenTrial | None, note: str
) -> dict[str, Any]:
    return {
        "study_name": image.study_name,
        "tier": image.identity["tier"],
        "metric": objective.metric,
        "direction": "minimize",
        "importance_evaluator": "" if note else EVALUATOR,
        "importance_note": note,
        "best_trial": -1 if best is None else best.number,
        "default_trial": 0,
        "n_folds": objective.n_folds,
        "fingerprint": objective.fingerprint,
        **({"ticks": objective.ticks} if hasattr(objective, "ticks") else {}),
        **({"ahead": objective.ahead} if getattr(objective, "ahead", 1) > 1 else {}),
        "config": config_to_toml(base),
        "versions": " ".join(f"{name}=={metadata.version(name)}" for name in _PACKAGES),
    }


def _attribute(trial: FrozenTrial, name: str, otherwise: Any) -> Any:
    return trial.user_attrs.get(name, otherwise)


def _folds(trials: Sequence[FrozenTrial], objective: Any) -> np.ndarray:
    shape = objective.n_folds, len(_series(objective))
    table = np.full((len(trials), *shape), math.nan)
    for row, trial in enumerate(trials):
        folds = np.array(_attribute(trial, "folds", []), float)
        if folds.shape == shape:
            table[row] = folds
    return table


def _series(objective: Any) -> Sequence[str]:
    return getattr(objective, "series_names", ("objective",))


def _column(params: Sequence[Mapping[str, Any]], name: str, one: SearchSpace) -> np.ndarray:
    if one.choices and not all(isinstance(value, (int, float)) for value in one.choices):
        return _texts(str(row.get(name, "")) for row in params)
    return _floats(row.get(name, math.nan) for row in params)


def _numbers(params: Mapping[str, Any], names: Sequence[str]) -> np.ndarray:
    values = [params.get(name) for name in names]
    return _floats(value if isinstance(value, (int, float)) else math.nan for value in values)


def _floats(values: Any) -> np.ndarray:
    return np.array(list(values), float)


def _texts(values: Any) -> np.ndarray:
    return np.array(list(values), str)
