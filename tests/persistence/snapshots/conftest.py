"""One predictor, one state that has learned something, and disks that misbehave."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from uspnb import FunctionalPredictor, PredictorConfig
from uspnb.data import processes
from uspnb.model.programs import SERIES_LENGTH
from uspnb.model.records import Observation
from uspnb.model.state import PredictorState
from uspnb.persistence.snapshots import Progress, snapshot_of

SEED = 4100
LEARNED = 384
INTERVAL_NS = 10**9

Advance = Callable[[PredictorState, int, int], tuple[PredictorState, np.ndarray]]


@pytest.fixture(scope="session")
def config() -> PredictorConfig:
    """The default configuration, so that its compiled program is shared with the other folders."""
    return PredictorConfig()


@pytest.fixture(scope="session")
def advance(config: PredictorConfig) -> Advance:
    """(state, first, last) -> the state after those ticks of one fixed series, and their packed rows."""
    functional = FunctionalPredictor(config)
    values = processes.autoregression(LEARNED + 10_240, SEED).values

    def run(state: PredictorState, first: int, last: int) -> tuple[PredictorState, np.ndarray]:
        rows = []
        for start in range(first, last, SERIES_LENGTH):
            real = min(SERIES_LENGTH, last - start)
            stamps = np.arange(start, start + SERIES_LENGTH, dtype=np.int64) * INTERVAL_NS
            piece = np.resize(values[start : start + real], SERIES_LENGTH)
            state, done = functional.advance(
                state, Observation(piece, stamps, stamps, np.full(SERIES_LENGTH, np.nan)), real
            )
            rows.append(done)
        return state, np.concatenate(rows)

    return run


@pytest.fixture(scope="session")
def cold(config: PredictorConfig) -> PredictorState:
    """The state before the first tick."""
    return FunctionalPredictor(config).init_state()


@pytest.fixture(scope="session")
def learned(cold: PredictorState, advance: Advance) -> PredictorState:
    """The state after `LEARNED` ticks."""
    return advance(cold, 0, LEARNED)[0]


@pytest.fixture(scope="session")
def payload(learned: PredictorState, config: PredictorConfig) -> dict:
    """A snapshot of that state."""
    progress = Progress(
        LEARNED, "autoregression", (LEARNED - 1) * INTERVAL_NS, {"name": "a", "speed": 2.5, "live": True}
    )
    return snapshot_of(learned, config, progress=progress, timestamp_ns=1_771_632_000_000_000_000)
