"""A campaign in numbers and words: its trials as rows and frames, its status, importance, best and failures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from uspnb.config.schema import DECLARATIONS
from uspnb.tuning.result import relative_improvement

if TYPE_CHECKING:
    import xarray as xr

STATES = ("running", "complete", "pruned", "failed")
FACTS = ("number", "state", "value", "best", "batch", "seconds")
HEADER_LENGTH = 6
STATUS = (
    "state", "trials", "complete", "pruned", "failed", "target", "best_value", "default_value", "elapsed_s", "batch",
)  # fmt: skip
MOST_FAILURES = 200
MOST_BARS = 40


def trial_rows(ds: xr.Dataset) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The `results` of an optimizer as one row of numbers per trial.

    Args:
        ds: the Dataset.

    Returns:
        Rows of shape (trial, `FACTS` and the parameters), NaN where there is none, a word as its place in `levels`; and
        for each parameter `name`, `default`, and `levels`, the words that it takes, where it takes words.
    """
    state = [STATES.index(str(word)) if str(word) in STATES else 0 for word in ds["state"].values]
    columns = [ds["trial"].values, state, ds["value"].values, ds["best_value"].values, ds["batch"].values]
    columns.append(ds["seconds"].values)
    parameters = []
    for name in map(str, ds["parameter"].values):
        values, levels = _numbers(ds[f"param_{name}"].values)
        columns.append(values)
        parameters.append({"name": name, "default": _default(ds, name)} | ({"levels": levels} if levels else {}))
    rows = np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)
    return rows, parameters


def _default(ds: xr.Dataset, name: str) -> Any:
    """The default's value: that of its trial where it was run, since words stand there only."""
    at = np.flatnonzero(ds["trial"].values == int(ds.attrs.get("default_trial", 0)))
    values = [*ds[f"param_{name}"].values[at], ds["default"].sel(parameter=name).item()]
    return next((plain(value) for value in values if plain(value) is not None), None)


def _numbers(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    if values.dtype.kind in "biuf":
        return values.astype(np.float64), []
    entries = [plain(value) for value in values]
    if all(isinstance(value, (int, float, type(None))) for value in entries):
        return np.array([np.nan if value is None else value for value in entries], dtype=np.float64), []
    levels = sorted({str(value) for value in entries if value is not None})
    return np.array([np.nan if value is None else levels.index(str(value)) for value in entries], np.float64), levels


def plain(value: Any) -> Any:
    """A value as JSON can hold it: NumPy's scalars as Python's, NaN and infinities and "" as None."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if isinstance(value, (int, bool)) or (isinstance(value, str) and value) else None


class TrialFrames:
    """The rows of a campaign as frames of what has changed among them.

    A frame is little-endian float64: number, whether it replaces everything, first row, rows, columns, 0; then the
    rows.  Rows from the first on replace those that the front end has.
    """

    def __init__(self) -> None:
        self._rows: np.ndarray | None = None
        self._sent = np.empty((0, len(FACTS)))

    def put(self, rows: np.ndarray | None) -> None:
        """These are the rows now; None where they must be read first."""
        self._rows = rows

    def next_frame(self, seq: int, reset: bool) -> bytes | None:
        """See `Link.next_frame`."""
        now = self._rows
        if now is None or (now is self._sent and not reset):
            return None
        first = 0 if reset else count_common(self._sent, now)
        if not reset and first == len(now) == len(self._sent):
            return None
        rows = now[first:]
        head = np.array([seq, reset, first, len(rows), rows.shape[1], 0.0])
        self._sent = now
        return np.concatenate([head, rows.ravel()]).astype("<f8").tobytes()


def count_common(before: np.ndarray, now: np.ndarray) -> int:
    """How many rows two tables share from the top."""
    if before.shape[1] != now.shape[1]:
        return 0
    shared = min(len(before), len(now))
    same = (before[:shared] == now[:shared]) | (np.isnan(before[:shared]) & np.isnan(now[:shared]))
    differ = np.flatnonzero(~same.all(axis=1))
    return int(differ[0]) if len(differ) else shared


def status_words(status: Any) -> dict[str, Any]:
    """A `CampaignStatus` as JSON can hold it, with the improvement over the default."""
    words = {name: plain(getattr(status, name)) for name in STATUS}
    gained = relative_improvement(status.best_value, status.default_value)
    return words | {"improvement": plain(gained), "message": status.reason}


def board_words(ds: xr.Dataset, parameters: list[dict[str, Any]], status: Any) -> dict[str, Any]:
    """What stands round the history.

    Args:
        ds: the `results` of the optimizer.
        parameters: see `trial_rows`.
        status: its `CampaignStatus`.

    Returns:
        `parameters`, `importance` (evaluator, note, bars), `best` (rows, sentence, better), `failures` (total, rows).
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
        return {"rows": [], "sentence": "", "better": False}
    rows = []
    for parameter in parameters:
        name, default, best = parameter["name"], parameter["default"], plain(status.best_params.get(parameter["name"]))
        rows.append({"name": name, "default": default, "best": best, "change": _change(default, best)} | _about(name))
    gained = relative_improvement(status.best_value, status.default_value)
    better = not gained <= 0  # not known, where the default failed
    if math.isnan(gained):
        sentence = f"The best value is {status.best_value:.4g}; the default has none to compare it with."
    elif better:
        values = f"{status.best_value:.4g} against {status.default_value:.4g}"
        sentence = f"{values}: {100 * gained:.{1 if gained > 0.01 else 3}f} % better than the default."
    else:
        sentence = f"The default, {status.default_value:.4g}, is the best so far."
    return {"rows": rows, "sentence": sentence, "better": better}


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
