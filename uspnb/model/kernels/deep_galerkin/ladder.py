"""The ladder of trunk sizes, and the rule by which a rise in entropy asks for a larger one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp

from ....array_types import Array, Flag, Float, Scalar
from ....config.schema import PredictorConfig
from .trunk import WEIGHTS_FOLDER, shipped_sizes

LEAST_RATIO, LARGEST_RATIO = 0.1, 10.0
LARGEST_GROWTH = 4
BASELINE_RATE = 0.005
BASELINE_WARMUP = 50


class LadderState(NamedTuple):
    """Slow mean of the entropy and whether the larger trunk is in use.

    Attributes:
        baseline: H_0, running mean of H[V(0, .)] over the learned ticks [nats].
        count: ticks in it.
        raised: whether the next rung is in use.
    """

    baseline: Scalar
    count: Scalar
    raised: Flag


def ladder_init() -> LadderState:
    """On the base rung, with no baseline yet."""
    return LadderState(jnp.zeros(()), jnp.zeros(()), jnp.zeros((), bool))


def compute_entropy_ratio(
    current_entropy: Float[Array, "*batch"] | float, baseline_entropy: Float[Array, "*batch"] | float
) -> Float[Array, "*batch"]:
    """kappa = H_current / max(H_0, 1e-6), clipped to [0.1, 10].

    Args:
        current_entropy, baseline_entropy: in the same units [nats].

    Returns:
        kappa; above 2 it marks a change of regime.

    Source: seed 003, section 10.2.3.
    """
    ratio = jnp.asarray(current_entropy) / jnp.maximum(jnp.asarray(baseline_entropy), 1e-6)
    return jnp.clip(ratio, LEAST_RATIO, LARGEST_RATIO)


def scale_dgm_architecture(
    config: PredictorConfig, entropy_ratio: float, coupling_beta: float = 0.7
) -> tuple[int, int]:
    """Width and depth whose capacity meets log(W D) >= log(W_0 D_0) + beta log(kappa), at most 4 W_0 D_0.

    The aspect W_0 : D_0 is kept as far as a power of two for the width allows; for kappa <= 1 nothing changes.

    Args:
        config: its `dgm_width_size` W_0 and `dgm_depth` D_0 are the base.
        entropy_ratio: kappa, clipped to [0.1, 10].
        coupling_beta: beta in [0.5, 1].

    Returns:
        (width, depth).

    Source: seed 003, section 10.2, equation 10.1.  Its listing rounds both numbers up and adds a layer without a
    bound, up to 6 times the base; here the bound of 4 times holds.
    """
    width, depth = config.dgm_width_size, config.dgm_depth
    base = width * depth
    factor = min(max(entropy_ratio, LEAST_RATIO), LARGEST_RATIO) ** coupling_beta
    if factor <= 1.0:
        return width, depth
    needed = base * min(factor, float(LARGEST_GROWTH))
    start = 2 ** math.ceil(math.log2(width))
    widths = [w for w in (start, 2 * start, 4 * start) if w <= LARGEST_GROWTH * width]
    shapes = [(w, max(depth, math.ceil(needed / w - 1e-9))) for w in widths]
    allowed = [shape for shape in shapes if shape[0] * shape[1] <= LARGEST_GROWTH * base]
    aspect = width / depth
    return min(allowed, key=lambda shape: (abs(math.log(shape[0] / shape[1] / aspect)), shape[0] * shape[1]))


def next_rung(config: PredictorConfig, folder: Path = WEIGHTS_FOLDER) -> tuple[int, int] | None:
    """The shipped trunk that a ratio at the trigger asks for: the least one of at least twice the base's capacity.

    Returns:
        Its size, at most 4 times the base; None where there is no such trunk.
    """
    base = config.dgm_width_size * config.dgm_depth
    fitting = [size for size in shipped_sizes(folder) if 2 * base <= size[0] * size[1] <= LARGEST_GROWTH * base]
    return fitting[0] if fitting else None


def update_ladder(
    state: LadderState, entropy: Scalar, trigger: Scalar | float, learn: Flag
) -> tuple[LadderState, Scalar]:
    """Follow the entropy's baseline and move between the rungs: up above kappa = trigger, down below its square root.

    Args:
        state: baseline and rung.
        entropy: H[V(0, .)] of this tick [nats].
        trigger: kappa that asks for the larger trunk, `entropy_scaling_trigger`.
        learn: whether this tick may change the baseline and the rung.

    Returns:
        The new state, and kappa against the baseline before this tick (1 while it warms up).
    """
    warm = state.count >= BASELINE_WARMUP
    ratio = jnp.where(warm, compute_entropy_ratio(entropy, state.baseline), 1.0)
    count = state.count + 1.0
    rate = jnp.maximum(1.0 / count, BASELINE_RATE)
    raised = jnp.where(state.raised, ratio > jnp.sqrt(trigger), ratio > trigger)
    moved = LadderState(state.baseline + rate * (entropy - state.baseline), count, raised)
    return LadderState(*(jnp.where(learn, new, old) for new, old in zip(moved, state, strict=True))), ratio
