"""The assets of a small fleet and what is done with their states."""

from __future__ import annotations

import jax
import numpy as np

from uspnb.model.state import PredictorState

ASSETS = ["oslo", "b/ergen", "troms\u00f8"]


def ticked(states: PredictorState, by: int = 1) -> PredictorState:
    return states._replace(ticks=np.asarray(states.ticks) + by)


def first(states: PredictorState, count: int) -> PredictorState:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:count], states)


def ticks(states: PredictorState) -> list[int]:
    return np.asarray(states.ticks).tolist()
