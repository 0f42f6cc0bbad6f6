"""Entropy of the value function over the grid of states: the mode-collapse monitor.

Differential entropy depends on units, so it is measured in cells of the grid of the z frame, where the terminal value
g(z) = z has H[g] = log(cells) and, for Ornstein-Uhlenbeck, exactly H[V(t, .)] = H[g] - theta (T - t).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp

from ....array_types import Array, Float, Scalar

LEAST_CELL = 1e-9


class EntropyReport(NamedTuple):
    """Entropies of a tick's value function [nats, in cells of the z grid].

    Attributes:
        start: H[V(0, .)].
        average: H[V(t, .)] averaged over the tick; for a healthy solution it is close to `expected`.
        terminal: H[g] = log(cells).
        expected: H[g] - theta / 2, the time average for Ornstein-Uhlenbeck.
    """

    start: Scalar
    average: Scalar
    terminal: Scalar
    expected: Scalar


def value_entropy(values: Float[Array, "edges"], cell: float) -> Scalar:
    """Differential entropy of V(Z), Z uniform over the grid, for V linear between the edges.

    H = mean over the cells of log(n |V_{i+1} - V_i| / cell): each cell's mass 1/n is spread evenly over its image.
    Exact for monotone V, which a value function of one dimension with increasing g is.

    Args:
        values: V at the edges of n cells of equal width.
        cell: that width, in the units of `values`.

    Returns:
        H [nats], log n for the identity.

    Source: change of variables; Vasicek (1976) for the estimator by spacings.
    """
    images = jnp.abs(values[1:] - values[:-1]) / cell
    return math.log(values.shape[0] - 1) + jnp.mean(jnp.log(jnp.maximum(images, LEAST_CELL)))


def entropy_report(
    start: Float[Array, "edges"], middle: Float[Array, "edges"], cell: float, theta: Scalar
) -> EntropyReport:
    """Entropies from V on the grid at the start and the middle of the tick; the average by Simpson's rule.

    Args:
        start, middle: V(0, .) and V(T/2, .) at the edges of the grid.
        cell: width of a cell in the same units.
        theta: rate of mean reversion [1/tick].
    """
    at_start, at_middle = value_entropy(start, cell), value_entropy(middle, cell)
    terminal = jnp.asarray(math.log(start.shape[0] - 1), start.dtype)
    average = (at_start + 4.0 * at_middle + terminal) / 6.0
    return EntropyReport(at_start, average, terminal, terminal - 0.5 * theta)
