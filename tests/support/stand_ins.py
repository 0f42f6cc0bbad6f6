"""What the three links watch, without an engine behind it: each stands where a test puts it; `Posts` is the widget."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import xarray as xr
from default_columns import SUMMARY_COLUMNS, VIEW_COLUMNS
from waiting import PATIENCE_S

from uspnb.config.meta_optimization import MetaOptimizationConfig
from uspnb.config.schema import PredictorConfig
from uspnb.engine.views import PHRASES
from uspnb.errors import DomainError
from uspnb.tuning.space import SearchSpace
from uspnb.tuning.status import CampaignStatus

SPACE = {
    "cusum_k": SearchSpace("cusum_k", "float", (0.1, 1.0)),
    "score_forgetting": SearchSpace("score_forgetting", "float", (0.9, 0.999)),
}


class Posts:
    """What a link sets in a widget, in order."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Any]] = []
        self._new = threading.Condition()

    def __call__(self, name: str, value: Any) -> None:
        with self._new:
            self.all.append((name, value))
            self._new.notify_all()

    def of(self, name: str) -> list[Any]:
        return [value for posted, value in self.all if posted == name]

    def last(self, name: str) -> Any:
        return next((value for posted, value in reversed(self.all) if posted == name), None)

    def until(self, name: str, true: Callable[[Any], Any] = bool) -> Any:
        """The last value of a trait, once it is so."""
        with self._new:
            assert self._new.wait_for(lambda: true(self.last(name)), timeout=PATIENCE_S), self.all
            return self.last(name)


class Watched:
    """What all three have: subscribers, commands that are written down, one name that is refused."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, Any]] = []
        self.callbacks: list[Callable[[], object]] = []

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def publish(self) -> None:
        for callback in list(self.callbacks):
            callback()

    def command(self, name: Any, value: Any = None) -> None:
        if name == "bad":
            raise DomainError("unknown command 'bad'; known are run, pause")
        self.commands.append((name, value))


class Ticking(Watched):
    """What a session and a fleet have: ticks that grow, and that may be taken back."""

    units, live, config = "degC", False, PredictorConfig()

    def __init__(self, ring: int = 100_000) -> None:
        super().__init__()
        self.ring, self.rows_ready, self.revision = ring, 0, 0
        self.values: dict[str, Any] = {"phase": "new", "ticks": 0, "rate": 0.0, "message": ""}

    @property
    def status(self) -> Any:
        return SimpleNamespace(phase=self.values["phase"], revision=self.revision, as_dict=lambda: dict(self.values))

    def cut(self, to: int) -> None:
        """Take the history back."""
        self.rows_ready = to
        self.revision += 1


class StandInSession(Ticking):
    """A session; row t holds t in its first column and the revision in its second."""

    title, has_times, reasons = "series", True, PHRASES
    holder_threshold, confidence_level = 0.4, 0.9

    def view_rows(self, first: int, stop: int) -> tuple[int, np.ndarray]:
        ready = self.rows_ready
        first = max(first, ready - self.ring, 0)
        tick = np.arange(first, max(first, min(stop, ready)), dtype=float)
        rows = np.zeros((len(tick), len(VIEW_COLUMNS)))
        rows[:, 0], rows[:, 1] = tick, self.revision
        return first, rows

    def mark(self, label: str = "") -> Any:
        return SimpleNamespace(label="mark 1", tick=self.rows_ready)


class StandInFleet(Ticking):
    """A fleet of three that counts its ticks."""

    assets = ("a", "b", "c")

    def columns(self, names: tuple[str, ...], first: int, stop: int) -> tuple[int, np.ndarray]:
        return first, np.zeros((stop - first, 3, len(names)))

    def summaries(self) -> np.ndarray:
        return np.zeros((3, len(SUMMARY_COLUMNS)))


def campaign_status(**changes: Any) -> CampaignStatus:
    status = CampaignStatus("idle", 6, 4, 1, 1, 50, 0.7, {"cusum_k": 0.82, "kind": "plain"}, 0.9, 3.0, "", 3)
    return status._replace(**changes)


def campaign_results(trials: int = 2) -> xr.Dataset:
    """Trials of one parameter."""
    number = np.arange(trials)
    value = 0.9 - 0.2 * (number % 2)
    columns = {"value": value, "best_value": np.minimum.accumulate(value), "state": ["complete"] * trials}
    columns |= {"reason": [""] * trials, "batch": number // 4, "seconds": np.full(trials, 0.5)}
    columns |= {"param_cusum_k": np.where(number % 2, 0.82, 0.5)}
    each = {"importance": [1.0], "default": [0.5]}
    return xr.Dataset(
        {name: ("trial", column) for name, column in columns.items()}
        | {name: ("parameter", column) for name, column in each.items()},
        {"trial": number, "parameter": ["cusum_k"]},
        {"study_name": "s", "tier": "fast", "metric": "mase"},
    )


class StandInCampaign(Watched):
    """A campaign that does as it is told and writes that down."""

    study_name, tier, search_space = "s", "fast", SPACE
    meta_config, base_config = MetaOptimizationConfig(), PredictorConfig()
    objective = SimpleNamespace(metric="mase", fingerprint="ab" * 32)
    place = "io/tuning/s.journal"

    def __init__(self) -> None:
        super().__init__()
        self.now = campaign_status()
        self.trials = 2
        self.may_read = threading.Event()
        self.may_read.set()
        self.broken: Exception | None = None

    def start(self, n_trials: Any = None) -> None:
        self.commands.append(("start", n_trials))

    def pause(self) -> None:
        self.commands.append(("pause", None))

    def resume(self) -> None:
        raise DomainError("the campaign is not paused; start it")

    def stop(self) -> None:
        self.commands.append(("stop", None))

    def status(self) -> CampaignStatus:
        return self.now

    def result(self) -> Any:
        raise DomainError("no trial is complete")

    @property
    def results(self) -> xr.Dataset:
        assert self.may_read.wait(PATIENCE_S)
        if self.broken is not None:
            raise self.broken
        return campaign_results(self.trials)
