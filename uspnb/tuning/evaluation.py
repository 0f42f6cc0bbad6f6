"""Running candidates: many settings and many series as the lanes of one compiled program, a structure at a time."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ..array_types import Float
from ..config.schema import DEFAULTS, PredictorConfig
from ..data.series import Series
from ..errors import ConfigError
from ..model.programs import initial_state, run_candidates, static_part, traced_part
from ..model.records import Observation
from ..model.state import PredictorState
from ..predictor.functional import device_for, observations
from ..runtime import enable_compilation_cache

CPU_LANES = 8
GPU_LANES = 4096
CHUNK = 256
# Static fields that only the simulation of paths reads; the step is the same program whatever they are.
OUTSIDE_THE_STEP = ("sde_numel_integrations", "kernel_c_jump_max_events")


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


class LaneRunner:
    """Runs lanes of candidates over series and keeps the state of each between stretches.

    Args:
        series: the series, each of shape (time,).
        base: the settings that candidates change.
    """

    def __init__(self, series: Sequence[Series], base: PredictorConfig) -> None:
        enable_compilation_cache()
        self.base, self._series = base, series
        self._ticks = [observations(one.values, one.timestamps_ns) for one in series]
        self._device = device_for(base.jax_platform)

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it looks for its own device and compilation cache."""
        return type(self), (self._series, self.base)

    def configs(self, candidates: Iterable[Mapping[str, Any]]) -> list[PredictorConfig | str]:
        """The settings of each candidate, or why it has none."""
        made: list[PredictorConfig | str] = []
        for params in candidates:
            try:
                made.append(dataclasses.replace(self.base, **params))
            except ConfigError as error:
                made.append(str(error))
            except TypeError as error:
                made.append(f"no setting of the predictor: {error}")
        return made

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
            The rows of each lane, from its `start` to its `stop`.
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
        kept: dict[tuple[int, int], PredictorState] | None,
    ) -> dict[Lane, np.ndarray]:
        # What is missing to the width runs the last lane again; its rows are dropped.
        full = [*lanes, *[lanes[-1]] * (width - len(lanes))]
        knobs = np.stack([traced_part(_settings(configs, lane)) for lane in full])
        cold = _cold_state(static)
        held = [(kept or {}).get((lane.candidate, lane.series), cold) for lane in full]
        state: Any = jax.tree.map(lambda *leaves: np.stack(leaves), *held)
        if self._device is not None:
            state = jax.device_put(state, self._device)
        blocks = []
        length = lanes[0].stop - lanes[0].start
        for offset in range(0, length, CHUNK):
            count = min(CHUNK, length - offset)
            state, block = run_candidates(static, knobs, state, self._block(full, offset, count), np.int64(count))
            blocks.append(np.asarray(block)[:count])
        rows = np.concatenate(blocks)
        if kept is not None:
            state = jax.tree.map(np.asarray, state)
            for k, lane in enumerate(lanes):
                kept[lane.candidate, lane.series] = jax.tree.map(lambda leaf, k=k: leaf[k], state)
        return {lane: rows[:, k] for k, lane in enumerate(lanes)}

    def _block(self, lanes: Sequence[Lane], offset: int, count: int) -> Observation:
        def column(name: str) -> np.ndarray:
            parts = []
            for lane in lanes:
                rows = lane.start + offset + np.minimum(np.arange(CHUNK), count - 1)  # the last one fills it up
                parts.append(getattr(self._ticks[lane.series], name)[rows])
            return np.stack(parts, axis=1)

        return Observation(*(column(name) for name in Observation._fields))


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
