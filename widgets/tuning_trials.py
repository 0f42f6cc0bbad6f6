"""The trials of a campaign as rows of numbers, and the frames that carry them to one front end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from uspnb.errors import DomainError

if TYPE_CHECKING:
    import xarray as xr

STATES = ("running", "complete", "pruned", "failed")
FACTS = ("number", "state", "value", "best", "batch", "seconds")
HEADER_LENGTH = 6
CREDITS = 2


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
    held = [plain(value) for value in values]
    if all(isinstance(value, (int, float, type(None))) for value in held):
        return np.array([np.nan if value is None else value for value in held], dtype=np.float64), []
    levels = sorted({str(value) for value in held if value is not None})
    return np.array([np.nan if value is None else levels.index(str(value)) for value in held], np.float64), levels


def plain(value: Any) -> Any:
    """A value as JSON can hold it: NumPy's scalars as Python's, NaN and infinities and "" as None."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if isinstance(value, (int, bool)) or (isinstance(value, str) and value) else None


class TrialStream:
    """Sends what has changed among the rows to one front end: two credits, coalesced, so that nothing piles up.

    A frame is little-endian float64: number, whether it replaces everything, first row, rows, columns, 0; then the
    rows.  Rows from the first on replace those that the front end has.

    Args:
        send: takes a frame to the front end.
        credits: frames that may be under way unacknowledged.
    """

    def __init__(self, send: Callable[[bytes], None], credits: int = CREDITS) -> None:
        if credits < 1:
            raise DomainError(f"credits = {credits} must be at least 1")
        self._send, self._credits = send, credits
        self._lock = threading.RLock()
        self._in_flight: set[int] = set()
        self._client: Any = None
        self._seq, self._reset = 0, True
        self._rows = self._sent = np.empty((0, len(FACTS)))

    @property
    def client(self) -> Any:
        """The front end that last said hello, None before."""
        return self._client

    @property
    def in_flight(self) -> int:
        """Frames sent and not yet acknowledged."""
        return len(self._in_flight)

    def hello(self, client: Any) -> None:
        """A front end has (re)appeared: it is sent everything, from the next `put` on."""
        with self._lock:
            self._client, self._reset = client, True
            self._in_flight.clear()

    def acknowledge(self, seq: int) -> None:
        """The front end has drawn frame `seq` and all before."""
        with self._lock:
            self._in_flight = {number for number in self._in_flight if number > seq}
            self._pump()

    def put(self, rows: np.ndarray) -> None:
        """These are the rows now."""
        with self._lock:
            self._rows = rows
            self._pump()

    def _pump(self) -> None:
        if self._client is None or len(self._in_flight) >= self._credits:
            return
        first = 0 if self._reset else common(self._sent, self._rows)
        if not self._reset and first == len(self._rows) == len(self._sent):
            return
        self._seq += 1
        self._in_flight.add(self._seq)
        rows = self._rows[first:]
        head = np.array([self._seq, self._reset, first, len(rows), rows.shape[1], 0.0])
        self._sent, self._reset = self._rows, False
        self._send(np.concatenate([head, rows.ravel()]).astype("<f8").tobytes())


def common(before: np.ndarray, now: np.ndarray) -> int:
    """How many rows two tables share from the top."""
    if before.shape[1] != now.shape[1]:
        return 0
    shared = min(len(before), len(now))
    same = (before[:shared] == now[:shared]) | (np.isnan(before[:shared]) & np.isnan(now[:shared]))
    differ = np.flatnonzero(~same.all(axis=1))
    return int(differ[0]) if len(differ) else shared
