"""The backward Kolmogorov equation, solved anew at every tick by Galerkin least squares on fixed points.

V_t + b(z) V_z + 1/2 s^2(z) V_zz = 0 on one tick, V(T, z) = g(z), with the hard terminal ansatz V = g + (T - t) N and
N = phi . a.  Drift and squared diffusion are combinations of fixed bounded functions, so the residual is
R = sum_j c_j (A_j a - r_j) with c = (1, drift, diffusion), and its normal equations are a combination of grams that
were computed when the trunk was loaded: no collocation point is touched at run time.
"""

from __future__ import annotations

import functools
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve

from ....array_types import Array, Float, Int, Scalar
from .trunk import HALF_WIDTH, WEIGHTS_FOLDER, Jet, TrunkWeights, features, jet, load_trunk, product

DRIFT_TERMS = 4
DIFFUSION_TERMS = 3
RIDGE = 1e-11
TIMES, PLACES = 8, 24
BUMP_WIDTH = 6.0
STATE_SPLIT = 1.0


def drift_basis(z: Any, xp: ModuleType = jnp) -> Any:
    """1, z and two Hermite functions that carry curvature and bistability and vanish far out.

    f = (1, z, (z^2 - 1) w, (z^3 - 3 z) w), w = exp(-z^2 / 6), along a new last axis; z is clipped to the domain.

    Args:
        z: states, of any shape [z].
        xp: numpy or jax.numpy, whose arrays are taken and given.
    """
    z = xp.clip(z, -HALF_WIDTH, HALF_WIDTH)
    bump = xp.exp(-z * z / BUMP_WIDTH)
    return xp.stack([xp.ones_like(z), z, (z * z - 1.0) * bump, (z**3 - 3.0 * z) * bump], axis=-1)


def diffusion_basis(z: Any, xp: ModuleType = jnp) -> Any:
    """Partition of unity into low, middle and high states: positive coefficients make a positive, bounded s^2(z).

    Args:
        z: states, of any shape [z].
        xp: numpy or jax.numpy, whose arrays are taken and given.
    """
    low, high = 1.0 / (1.0 + xp.exp(2.0 * (z + STATE_SPLIT))), 1.0 / (1.0 + xp.exp(-2.0 * (z - STATE_SPLIT)))
    return xp.stack([low, 1.0 - low - high, high], axis=-1)


class Tables(NamedTuple):
    """What a tick needs of a trunk; nothing in it depends on the data.

    Attributes:
        trunk: the weights, for the features at the newest value.
        gram: lower triangle of the gram of [A, r_mean, r_square] per monomial c_i c_j, i <= j.
        held_out: rows of [A_j, r_mean_j] at points that the solve does not see, term by term.
        grid: edges xi of the entropy's cells.
        grid_start, grid_middle: features on those edges at tau = 0 and tau = 1/2.
    """

    trunk: TrunkWeights
    gram: Float[np.ndarray, "monomials packed"]
    held_out: Float[np.ndarray, "terms held columns"]
    grid: Float[np.ndarray, "edges"]
    grid_start: Float[np.ndarray, "edges features"]
    grid_middle: Float[np.ndarray, "edges features"]

    @property
    def feature_count(self) -> int:
        """Output features of the trunk."""
        return self.grid_start.shape[1]


def chebyshev_points(times: int = TIMES, places: int = PLACES) -> Float[np.ndarray, "points 2"]:
    """Tensor grid of Chebyshev nodes of the first kind, tau in (0, 1), xi in (-1, 1)."""
    tau = 0.5 + 0.5 * np.cos(np.pi * (np.arange(times) + 0.5) / times)
    xi = np.cos(np.pi * (np.arange(places) + 0.5) / places)
    return np.stack([np.repeat(tau, places), np.tile(xi, times)], axis=1)


def operator_terms(values: Jet, points: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "terms points columns"]:
    """[A_j, r_mean_j, r_square_j] of the residual sum_j c_j (A_j a - r_j), for c = (1, drift [z], diffusion [z^2]).

    With g = xi and g = xi^2 for the two right-hand sides, R = (1 - tau)(N_tau + B N_xi + D N_xixi) - N + B g' + D g'',
    B = b / L and D = s^2 / (2 L^2), L = `HALF_WIDTH`.
    """
    left, xi = (1.0 - points[:, :1]), points[:, 1:]
    drift = drift_basis(HALF_WIDTH * xi[:, 0], np) / HALF_WIDTH
    diffusion = diffusion_basis(HALF_WIDTH * xi[:, 0], np) / (2.0 * HALF_WIDTH**2)
    nothing = np.zeros_like(xi)
    blocks = [np.concatenate([left * values.tau - values.value, nothing, nothing], axis=1)]
    for j in range(DRIFT_TERMS):
        b = drift[:, j : j + 1]
        blocks.append(np.concatenate([left * b * values.xi, -b, -2.0 * xi * b], axis=1))
    for j in range(DIFFUSION_TERMS):
        d = diffusion[:, j : j + 1]
        blocks.append(np.concatenate([left * d * values.xi_xi, nothing, -2.0 * d], axis=1))
    return np.stack(blocks)


def monomials(c: Float[Array, "terms"]) -> Float[Array, "monomials"]:
    """Products c_i c_j with i <= j."""
    rows, columns = np.triu_indices(c.shape[0])
    return c[rows] * c[columns]


def gram_table(terms: Float[np.ndarray, "terms points columns"]) -> Float[np.ndarray, "monomials packed"]:
    """Mean over the points of A_i' A_j (+ its transpose where i < j): lower triangles, in the order of `monomials`."""
    count, points, size = terms.shape
    rows, columns = np.triu_indices(count)
    flat = terms.transpose(0, 2, 1).reshape(count * size, points)
    cross = product(flat, flat.T).reshape(count, size, count, size).swapaxes(1, 2) / points
    both = cross[rows, columns] + np.where((rows < columns)[:, None, None], cross[columns, rows], 0.0)
    lower = np.tril_indices(both.shape[1])
    return np.ascontiguousarray(both[:, lower[0], lower[1]])


@functools.lru_cache(maxsize=32)
def unpacking(columns: int) -> Int[np.ndarray, "columns columns"]:
    """Where each entry of a symmetric matrix stands in its packed lower triangle."""
    index = np.zeros((columns, columns), np.int32)
    lower = np.tril_indices(columns)
    index[lower] = np.arange(len(lower[0]))
    return np.maximum(index, index.T)


@functools.lru_cache(maxsize=32)
def load_tables(width: int, depth: int, cells: int, folder: Path = WEIGHTS_FOLDER) -> Tables:
    """Load a trunk and compute its tables, once per size and grid.

    Args:
        width, depth: size of the trunk.
        cells: cells of the entropy's grid.
        folder: where the weights lie.

    Returns:
        The tables, NumPy arrays that a compiled program takes in as constants.

    Raises:
        ConfigError: no such trunk.
        IntegrityError: the weights file is damaged.
    """
    trunk = load_trunk(width, depth, folder)
    solve_at, held_at = chebyshev_points(), chebyshev_points(3, 9)
    grid = np.linspace(-1.0, 1.0, cells + 1)
    edges = [np.stack([np.full(cells + 1, tau), grid], axis=1) for tau in (0.0, 0.5)]
    counts = [len(solve_at), len(held_at), len(grid), len(grid)]
    everything = jet(trunk, np.concatenate([solve_at, held_at, *edges]))
    cuts = np.cumsum(counts)[:-1]
    solve, held, start, middle = (
        Jet(*parts) for parts in zip(*(np.split(np.asarray(part), cuts) for part in everything), strict=True)
    )
    terms, held_terms = operator_terms(solve, solve_at), operator_terms(held, held_at)[:, :, :-1]
    return Tables(trunk, gram_table(terms), held_terms, grid, np.asarray(start.value), np.asarray(middle.value))


def solve_normal_equations(gram: Float[Array, "columns columns"]) -> Float[Array, "features 2"]:
    """Output layers for both terminal values from the gram of [A, r_mean, r_square], by Cholesky with a small ridge."""
    k = gram.shape[0] - 2
    normal, right = gram[:k, :k], gram[:k, k:]
    loaded = normal + (RIDGE * jnp.sum(jnp.diagonal(normal))) * jnp.eye(k)
    return cho_solve((jax.lax.linalg.cholesky(loaded, symmetrize_input=False), True), right)


def solve(tables: Tables, drift: Float[Array, "4"], diffusion: Float[Array, "3"]) -> Float[Array, "features 2"]:
    """Output layers a of N = phi . a for the two terminal values g = xi and g = xi^2.

    Args:
        tables: of the trunk.
        drift: coefficients of b on `drift_basis` [z per tick].
        diffusion: coefficients of s^2 on `diffusion_basis`, > 0 [z^2 per tick].

    Returns:
        One column per terminal value.

    Source: Sirignano and Spiliopoulos, DGM (2018), with the output layer solved for instead of descended to.
    """
    c = jnp.concatenate([jnp.ones(1), drift, diffusion])
    columns = tables.held_out.shape[2] + 1
    return solve_normal_equations((monomials(c) @ tables.gram)[unpacking(columns)])


def solve_pointwise(
    tables: Tables, drift: Float[Array, "points"], diffusion: Float[Array, "points"]
) -> Float[Array, "features 2"]:
    """The same solve for any drift and squared diffusion given by their values at `chebyshev_points()`.

    Several times slower than `solve`; for functions outside the span of the two bases, and to check `solve`.
    """
    points = jnp.asarray(chebyshev_points())
    left, xi = 1.0 - points[:, :1], points[:, 1:]
    values = jet(tables.trunk, chebyshev_points())
    b, d = drift[:, None] / HALF_WIDTH, diffusion[:, None] / (2.0 * HALF_WIDTH**2)
    matrix = left * (values.tau + b * values.xi + d * values.xi_xi) - values.value
    augmented = jnp.concatenate([matrix, -b, -2.0 * (xi * b + d)], axis=1)
    return solve_normal_equations(augmented.T @ augmented / len(points))


def value_at(
    tables: Tables, layers: Float[Array, "features 2"], z: Scalar, tau: Scalar | float = 0.0
) -> tuple[Scalar, Scalar]:
    """V(tau, z) for g = z [z] and for g = z^2 [z^2]; exactly g at tau = 1.

    Args:
        tables: of the trunk.
        layers: from `solve`.
        z: state, clipped to the domain [-4, 4] [z].
        tau: time within the tick, 0 now and 1 at its end.

    Returns:
        E[z_T | z] and E[z_T^2 | z].
    """
    xi = jnp.clip(z / HALF_WIDTH, -1.0, 1.0)
    time = jnp.asarray(tau, xi.dtype)
    n = features(tables.trunk, jnp.stack([time, xi])) @ layers
    return HALF_WIDTH * (xi + (1.0 - time) * n[0]), HALF_WIDTH**2 * (xi * xi + (1.0 - time) * n[1])


def held_out_residual(
    tables: Tables, layers: Float[Array, "features 2"], drift: Float[Array, "4"], diffusion: Float[Array, "3"]
) -> Scalar:
    """Root mean square of V_t + b V_z + 1/2 s^2 V_zz at points that the solve did not see [z per tick]."""
    c = jnp.concatenate([jnp.ones(1), drift, diffusion])
    vector = jnp.concatenate([layers[:, 0], -jnp.ones(1)])
    terms, held, columns = tables.held_out.shape
    each = (tables.held_out.reshape(terms * held, columns) @ vector).reshape(terms, held)
    return HALF_WIDTH * jnp.sqrt(jnp.mean((c @ each) ** 2))
