"""Candidates on their way through the folds: many settings and many series as the lanes of one compiled program, a
structure at a time, and what the forecasts on each fold are worth.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ..array_types import Float
from ..config.schema import DEFAULTS, PredictorConfig
from ..data.series import Series
from ..errors import ConfigError
from ..model.kernels.registry import packed_kernels, register_packed
from ..model.programs import (
    FORECAST_COLUMNS,
    candidates_ahead,
    initial_state,
    run_candidates,
    static_part,
    traced_part,
)
from ..model.records import Observation
from ..model.state import PredictorState
from ..predictor.covariates import covariate_ticks
from ..predictor.functional import device_for, observations
from ..runtime import enable_compilation_cache
from .folds import Tuned
from .metrics import ALARM_DELAY, METRICS, Forecasts, delays_of_fold

CPU_LANES = 8
GPU_LANES = 4096
CHUNK = 256
# Static fields that only the simulation of paths reads; the step is the same program whatever they are.
OUTSIDE_THE_STEP = ("sde_numel_integrations", "kernel_c_jump_max_events")
MOST_MISSED = 0.1


class Lane(NamedTuple):
    """One run of one candidate over a stretch of one series.

    Attributes:
        candidate, series: their indices.
        start, stop: the ticks of the stretch.
    """

    candidate: int
    series: int
    start: int
    stop: int


def kernels_for_workers(config: PredictorConfig) -> str:
    """The kernels of a user's own, for the workers of a cluster.

    Raises:
        DomainError: one that stands in a notebook's cell or a script, which they cannot import.
    """
    return packed_kernels(config.kernels, "a worker of the cluster", "tune without a cluster")


def _made_again(
    kind: type[LaneRunner], kernels: str, series: Sequence[Series], base: PredictorConfig, ahead: int
) -> LaneRunner:
    register_packed(kernels)
    return kind(series, base, ahead)


class LaneRunner:
    """Runs lanes of candidates over series and keeps the state of each between stretches.

    Args:
        series: the series, each of shape (time,).
        base: the settings that candidates change.
        ahead: ticks from a forecast to its outcome, 1 or one of the horizons of `base`.
    """

    def __init__(self, series: Sequence[Series], base: PredictorConfig, ahead: int = 1) -> None:
        enable_compilation_cache()
        self.base, self._series, self._ahead = base, series, ahead
        self._program = run_candidates if ahead == 1 else candidates_ahead(ahead)
        told = [covariate_ticks(base, one.covariates, len(one)) for one in series]
        self._ticks = [
            observations(one.values, one.timestamps_ns, covariates=known)
            for one, known in zip(series, told, strict=True)
        ]
        self._device = device_for(base.jax_platform)

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it looks for its own device and compilation cache, and knows the same kernels."""
        kernels = kernels_for_workers(self.base)
        return _made_again, (type(self), kernels, self._series, self.base, self._ahead)

    def configs(self, candidates: Iterable[Mapping[str, Any]]) -> list[PredictorConfig | str]:
        """The settings of each candidate, or why it has none."""
        configs: list[PredictorConfig | str] = []
        for params in candidates:
            try:
                configs.append(dataclasses.replace(self.base, **params))
            except ConfigError as error:
                configs.append(str(error))
            except TypeError as error:
                configs.append(f"no setting of the predictor: {error}")
        return configs

    def run(
        self,
        configs: Sequence[PredictorConfig | str],
        lanes: Sequence[Lane],
        states: dict[tuple[int, int], PredictorState] | None = None,
    ) -> dict[Lane, Float[np.ndarray, "time column"]]:
        """The `FORECAST_COLUMNS` of every tick of every lane.

        Lanes of one structure and one length share compiled calls of one width, so that each structure compiles once.

        Args:
            configs: the settings of every candidate that a lane names.
            lanes: what to run.
            states: states by (candidate, series) that lanes go on from and leave there; by default each begins cold.

        Returns:
            The rows of each lane, from its `start` to its `stop`; of forecasts further ahead than one tick they stand
            at the tick that a forecast is made at.
        """
        rows: dict[Lane, np.ndarray] = {}
        groups: dict[tuple[PredictorConfig, int], list[Lane]] = {}
        for lane in lanes:
            config = configs[lane.candidate]
            assert isinstance(config, PredictorConfig)
            groups.setdefault((structure_of(config), lane.stop - lane.start), []).append(lane)
        for (static, _), members in groups.items():
            width = lane_width(len(members))
            for first in range(0, len(members), width):
                rows |= self._run_together(static, configs, members[first : first + width], width, states)
        return rows

    def _run_together(
        self,
        static: PredictorConfig,
        configs: Sequence[PredictorConfig | str],
        lanes: Sequence[Lane],
        width: int,
        states: dict[tuple[int, int], PredictorState] | None,
    ) -> dict[Lane, np.ndarray]:
        # What is missing to the width runs the last lane again; its rows are dropped.
        full = [*lanes, *[lanes[-1]] * (width - len(lanes))]
        knobs = np.stack([traced_part(_settings(configs, lane)) for lane in full])
        cold = _cold_state(static)
        held = [(states or {}).get((lane.candidate, lane.series), cold) for lane in full]
        state: Any = jax.tree.map(lambda *leaves: np.stack(leaves), *held)
        if self._device is not None:
            state = jax.device_put(state, self._device)
        blocks = []
        length = lanes[0].stop - lanes[0].start
        for offset in range(0, length, CHUNK):
            count = min(CHUNK, length - offset)
            state, block = self._program(static, knobs, state, self._block(full, offset, count), np.int64(count))
            blocks.append(np.asarray(block)[:count])
        rows = np.concatenate(blocks)
        if states is not None:
            state = jax.tree.map(np.asarray, state)
            for k, lane in enumerate(lanes):
                states[lane.candidate, lane.series] = jax.tree.map(lambda leaf, k=k: leaf[k], state)
        return {lane: rows[:, k] for k, lane in enumerate(lanes)}

    def _block(self, lanes: Sequence[Lane], offset: int, count: int) -> Observation:
        places = offset + np.minimum(np.arange(CHUNK), count - 1)  # the last one fills it up
        parts = [
            jax.tree.map(lambda column, first=lane.start: column[first + places], self._ticks[lane.series])
            for lane in lanes
        ]
        return jax.tree.map(lambda *columns: np.stack(columns, axis=1), *parts)


def structure_of(config: PredictorConfig) -> PredictorConfig:
    """The part of a configuration that a program is compiled for, without what the step does not read."""
    return dataclasses.replace(static_part(config), **{name: DEFAULTS[name] for name in OUTSIDE_THE_STEP})


def lane_width(lanes: int) -> int:
    """Lanes of one compiled call: eight on a CPU, where more are no faster; all of them on a GPU, up to 4096."""
    if jax.default_backend() == "cpu":
        return CPU_LANES
    return min(GPU_LANES, max(CPU_LANES, 1 << (lanes - 1).bit_length()))


def _settings(configs: Sequence[PredictorConfig | str], lane: Lane) -> PredictorConfig:
    config = configs[lane.candidate]
    assert isinstance(config, PredictorConfig)
    return config


@functools.lru_cache(maxsize=64)
def _cold_state(static: PredictorConfig) -> PredictorState:
    """The state before the first tick on the host, where it is stacked without compiling anything."""
    return jax.tree.map(np.asarray, initial_state(static, jax.random.PRNGKey(static.seed)))


class Evaluation(NamedTuple):
    """What one candidate has come to.

    Attributes:
        value: the objective, the mean over folds and series; NaN where it failed.
        folds: value of each fold and series, NaN where none was reached.
        reason: why it failed, "" where it did not.
        pruned: whether it was given up after an early fold.
        seconds: its share of the time.
    """

    value: float
    folds: Float[np.ndarray, "fold series"]
    reason: str
    pruned: bool
    seconds: float


class Part(NamedTuple):
    """How far one candidate has come, as it goes from one process to another.

    Attributes:
        evaluation: of the folds so far, as if they were all.
        reason: why it has failed, "" where it goes on.
        states: of the predictor after its last tick, by index of the series; none where every fold begins cold.
        rows: `FORECAST_COLUMNS` so far, by index of the series; none where the metric never looks back.
    """

    evaluation: Evaluation
    reason: str
    states: dict[int, PredictorState]
    rows: dict[int, Float[np.ndarray, "time column"]]


@dataclasses.dataclass(frozen=True)
class Task:
    """What is measured, on which ticks.

    Attributes:
        tuned: the series with their folds.
        metric: name of the metric.
        n_folds: folds of each series.
        carried: whether every fold begins with the first tick, so that one replay serves them all.
        level: nominal coverage of the interval.
        false_alarm_rate, horizon: of `alarm_delay`.
        ahead: ticks from a forecast to its outcome.
    """

    tuned: tuple[Tuned, ...]
    metric: str
    n_folds: int
    carried: bool
    level: float
    false_alarm_rate: float
    horizon: int
    ahead: int = 1

    @property
    def lag(self) -> int:
        """Rows from that of a forecast to that of its outcome: what is for the next tick stands at that tick."""
        return self.ahead if self.ahead > 1 else 0


class Walk:
    """Candidates on their way through the folds of a task.

    Args:
        task: what is measured.
        runner: what runs them.
        candidates: settings by name.

    Attributes:
        reasons: why each has failed, "" where it has not.
        values: value of each fold and series, (candidate, fold, series); NaN where not reached.
    """

    def __init__(self, task: Task, runner: LaneRunner, candidates: Sequence[Mapping[str, Any]]) -> None:
        self._task, self._runner = task, runner
        self._configs = runner.configs(candidates)
        self.reasons = [config if isinstance(config, str) else "" for config in self._configs]
        self._alive = np.array([not reason for reason in self.reasons], bool)
        self._pruned = np.zeros(len(self._configs), bool)
        self.values = np.full((len(self._configs), task.n_folds, len(task.tuned)), np.nan)
        self._losses: dict[tuple[int, int, int], np.ndarray] = {}
        self._states: dict[tuple[int, int], PredictorState] = {}
        self._rows = {
            (c, s): np.full((len(one.series), len(FORECAST_COLUMNS)), np.nan)
            for c in range(len(self._configs))
            for s, one in enumerate(task.tuned)
        }

    def advance(self, wave: Sequence[int]) -> None:
        """Run some folds side by side and score their tests."""
        carried = self._task.carried
        lanes: dict[Lane, int] = {}
        for k in wave:
            for c in np.flatnonzero(self._alive):
                for s, one in enumerate(self._task.tuned):
                    start = one.folds[k].train.start if not carried or k == 0 else one.folds[k].test.start
                    lanes[Lane(int(c), s, start, one.folds[k].test.stop)] = k
        results = self._runner.run(self._configs, list(lanes), self._states if carried else None)
        for lane, rows in results.items():
            k, own = lanes[lane], self._rows[lane.candidate, lane.series]
            # Ticks that another fold's training replays keep the rows of the test that they belong to.
            whole, test = carried or k == 0, self._task.tuned[lane.series].folds[k].test
            first, last = lane.start if whole else test.start - self._task.lag, lane.stop
            if not carried:
                last -= self._task.lag
            own[first:last] = rows[first - lane.start : last - lane.start]
        for lane, k in sorted(lanes.items(), key=lambda item: item[1]):
            self._score(lane.candidate, k, lane.series)

    def _score(self, c: int, k: int, s: int) -> None:
        one, rows = self._task.tuned[s], self._rows[c, s]
        test = one.folds[k].test
        if self._task.metric == ALARM_DELAY:
            ratio = rows[:, FORECAST_COLUMNS.index("alarm_ratio")]
            rate, horizon = self._task.false_alarm_rate, self._task.horizon
            self.values[c, k, s] = delays_of_fold(ratio, one.changes, test, rate, horizon)
            return
        forecasts, missed = self._forecasts(one, rows, k)
        if missed > MOST_MISSED * max(np.isfinite(forecasts.y).sum(), 1):
            self._fail(c, f"no finite forecast for {missed} of {test.stop - test.start} ticks of fold {k}")
            return
        metric = METRICS[self._task.metric]
        losses = self._losses[c, k, s] = metric.losses(forecasts)
        usable = losses[np.isfinite(losses)]
        if not len(usable):
            self._fail(c, f"no tick of fold {k} of {one.name} could be scored")
            return
        value = metric.summary(usable)
        relative = metric.has_unit and len(self._task.tuned) > 1
        self.values[c, k, s] = value / one.units[k] if relative else value

    def _forecasts(self, one: Tuned, rows: np.ndarray, k: int) -> tuple[Forecasts, int]:
        """A fold's forecasts and how many are missing: those count as last value's, their intervals as none at all."""
        test = one.folds[k].test
        made = slice(test.start - self._task.lag, test.stop - self._task.lag)
        y, previous = one.series.values[test], one.previous[test]
        if self._task.lag:
            # What lies no whole number of places on the time grid before its outcome is no forecast of it.
            y = np.where(one.places[test] - one.places[made] == self._task.ahead, y, np.nan)
            previous = one.previous[made.start + 1 : made.stop + 1]
        mean, scale, lower, upper = rows[made, :4].T
        missed = int((np.isfinite(y) & ~np.isfinite(mean)).sum())
        mean, lower, upper = (np.where(np.isfinite(part), part, previous) for part in (mean, lower, upper))
        scale = np.where(np.isfinite(scale), scale, 0.0)
        return Forecasts(y, previous, mean, scale, lower, upper, self._task.level, one.units[k]), missed

    def _fail(self, c: int, reason: str) -> None:
        self._alive[c] = False
        self.reasons[c] = self.reasons[c] or reason

    def losses_of(self, c: int) -> Float[np.ndarray, "tick"]:
        """Losses of all tests of a candidate, series after series."""
        series, folds = range(len(self._task.tuned)), range(self._task.n_folds)
        return np.concatenate([self._losses[c, k, s] for s in series for k in folds])

    def running(self) -> Float[np.ndarray, "candidate"]:
        """The mean over what each candidate has reached; NaN where it has failed or was pruned."""
        return np.where(self._alive, self.means(), np.nan)

    def means(self) -> Float[np.ndarray, "candidate"]:
        """The mean over the folds and series that each candidate has reached."""
        flat = self.values.reshape(len(self.values), -1)
        finite = np.isfinite(flat)
        total = np.where(finite, flat, 0.0).sum(axis=1)
        return np.where(finite.any(axis=1), total / np.maximum(finite.sum(axis=1), 1), np.nan)

    def prune(self, keep: np.ndarray) -> None:
        """Give up the candidates that the mask does not hold."""
        self._pruned |= self._alive & ~keep.astype(bool)
        self._alive &= keep.astype(bool)

    def resume(self, parts: Sequence[Part]) -> None:
        """Go on from where the candidates stood in another walk."""
        for c, part in enumerate(parts):
            self.values[c] = part.evaluation.folds
            self._states |= {(c, s): state for s, state in part.states.items()}
            self._rows |= {(c, s): np.array(rows) for s, rows in part.rows.items()}

    def parts(self, seconds: float) -> list[Part]:
        """Where the candidates stand, for `resume`.

        Args:
            seconds: the time that each is charged.
        """
        looks_back = self._task.metric == ALARM_DELAY or self._task.lag > 0
        return [
            Part(
                evaluation,
                self.reasons[c],
                {s: state for (own, s), state in self._states.items() if own == c},
                {s: rows for (own, s), rows in self._rows.items() if own == c and looks_back},
            )
            for c, evaluation in enumerate(self.evaluations(seconds))
        ]

    def evaluations(self, seconds: float) -> list[Evaluation]:
        """What has come of each candidate.

        Args:
            seconds: the time that each is charged.
        """
        evaluations = []
        for c, value in enumerate(self.means()):
            reason = self.reasons[c]
            if not reason and not math.isfinite(value):
                reason = f"the value is {value}"
            value = math.nan if reason else float(value)
            evaluations.append(Evaluation(value, self.values[c], reason, bool(self._pruned[c]), seconds))
        return evaluations
