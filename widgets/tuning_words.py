"""A campaign in the words and figures that its monitor shows; every one of them was found by the library."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from uspnb.config.schema import DECLARATIONS
from uspnb.tuning.result import relative_improvement

from .tuning_trials import plain

if TYPE_CHECKING:
    import xarray as xr

STATUS = (
    "state", "trials", "complete", "pruned", "failed", "target", "best_value", "default_value", "elapsed_s", "batch",
)  # fmt: skip
MOST_FAILURES = 200
MOST_BARS = 40


def status_words(status: Any) -> dict[str, Any]:
    """A `CampaignStatus` as JSON can hold it, with the improvement over the default."""
    said = {name: plain(getattr(status, name)) for name in STATUS}
    gained = relative_improvement(status.best_value, status.default_value)
    return said | {"improvement": plain(gained), "message": status.reason}


def board_words(ds: xr.Dataset, parameters: list[dict[str, Any]], status: Any) -> dict[str, Any]:
    """What stands round the history.

    Args:
        ds: the `results` of the optimizer.
        parameters: see `trial_rows`.
        status: its `CampaignStatus`.

    Returns:
        `parameters`, `importance` (evaluator, note, bars), `best` (rows, told, better) and `failures` (total, rows).
    """
    return {
        "parameters": parameters,
        "importance": _importance(ds),
        "best": _best(parameters, status),
        "failures": _failures(ds),
    }


def _about(name: str) -> dict[str, str]:
    declared = DECLARATIONS.get(name)
    return {"unit": declared.unit, "meaning": declared.meaning} if declared else {"unit": "", "meaning": ""}


def _importance(ds: xr.Dataset) -> dict[str, Any]:
    shares = ds["importance"].values.astype(np.float64)
    names = [str(name) for name in ds["parameter"].values]
    bars = [
        {"name": names[k], "share": float(shares[k]), "meaning": _about(names[k])["meaning"]}
        for k in np.argsort(-shares, kind="stable")
        if np.isfinite(shares[k])
    ]
    return {
        "evaluator": str(ds.attrs.get("importance_evaluator", "")),
        "note": str(ds.attrs.get("importance_note", "")),
        "bars": bars[:MOST_BARS],
    }


def _best(parameters: list[dict[str, Any]], status: Any) -> dict[str, Any]:
    if not status.best_params or not math.isfinite(status.best_value):
        return {"rows": [], "told": "", "better": False}
    rows = []
    for parameter in parameters:
        name, default, best = parameter["name"], parameter["default"], plain(status.best_params.get(parameter["name"]))
        rows.append({"name": name, "default": default, "best": best, "change": _change(default, best)} | _about(name))
    gained = relative_improvement(status.best_value, status.default_value)
    better = not gained <= 0  # not known, where the default failed
    if math.isnan(gained):
        told = f"The best value is {status.best_value:.4g}; the default has none to compare it with."
    elif better:
        values = f"{status.best_value:.4g} against {status.default_value:.4g}"
        told = f"{values}: {100 * gained:.{1 if gained > 0.01 else 3}f} % better than the default."
    else:
        told = f"The default, {status.default_value:.4g}, is the best so far."
    return {"rows": rows, "told": told, "better": better}


def verdict_words(result: Any) -> dict[str, Any]:
    """What an `OptimizationResult` recommends: the sentence, and the values where they are not the best trial's."""
    apart = {name: plain(value) for name, value in result.recommended_params.items()}
    return {
        "recommendation": result.recommendation,
        "recommended": apart if apart != {name: plain(value) for name, value in result.best_params.items()} else {},
    }


def _change(default: Any, best: Any) -> Any:
    """The relative change of a number, a word where there is none; None where nothing changed."""
    if default == best:
        return None
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (default, best))
    if not numbers or not default:
        return "changed"
    relative = (best - default) / abs(default)
    return relative if abs(relative) > 1e-9 else None


def _failures(ds: xr.Dataset) -> dict[str, Any]:
    failed = np.flatnonzero(ds["state"].values == "failed")[::-1]
    reasons, numbers = ds["reason"].values, ds["trial"].values
    rows = [{"number": int(numbers[k]), "reason": str(reasons[k]) or "no reason given"} for k in failed[:MOST_FAILURES]]
    return {"total": len(failed), "rows": rows}
