"""Signatures and log-signatures of piecewise linear paths, exact up to a truncation depth.

A tensor of the truncated algebra is a tuple of levels: level k has shape (d,) * k, level 0 is implied (1 for a
signature, 0 for a log-signature).  Depth and dimension are static.
"""

from __future__ import annotations

import functools
import itertools

import jax.numpy as jnp
import numpy as np

from ....array_types import Array, Float

Levels = tuple[Float[Array, "..."], ...]
Word = tuple[int, ...]


def _outer(a: Array, b: Array) -> Array:
    return a.reshape(a.shape + (1,) * b.ndim) * b.reshape((1,) * a.ndim + b.shape)


def signature(increments: Float[Array, "steps d"], depth: int) -> Levels:
    """Signature of the piecewise linear path with these increments.

    By Chen's identity S(x * y) = S(x) (x) S(y) and S(segment) = exp(dx), level k grows at each segment by
    dS_k = (... ((dx/k + S_1) dx/(k-1) + S_2) ... + S_{k-1}) dx, where the S_j are those before the segment.  Level by
    level these are sums over time, so the recursion over segments becomes one cumulative sum per level: the same
    numbers as a scan of Chen products, several times faster.

    Args:
        increments: the segments, oldest first [any unit].
        depth: truncation level, >= 1.

    Returns:
        Levels 1..depth; level k has shape (d,) * k [unit^k].

    Source: Chen (1957); Kidger and Lyons, Signatory (2021), section on fused multiply-exponentiate (the Horner form).
    """
    steps, d = increments.shape
    before: list[Array] = []  # S_1 .. S_{k-1} at the start of each segment, shape (steps, d, ..., d)
    levels: list[Array] = []
    for k in range(1, depth + 1):
        growth = increments / k
        for j in range(1, k):
            growth = growth + before[j - 1]
            growth = growth[..., None] * (increments / (k - j)).reshape((steps,) + (1,) * j + (d,))
        levels.append(growth.sum(axis=0))
        if k < depth:
            before.append(jnp.cumsum(growth, axis=0) - growth)
    return tuple(levels)


def chen_product(a: Levels, b: Levels) -> Levels:
    """Product in the truncated tensor algebra of two elements whose level 0 is 1: (ab)_k = sum_j a_j (x) b_{k-j}."""
    product = []
    for k in range(1, len(a) + 1):
        term = a[k - 1] + b[k - 1]
        for j in range(1, k):
            term = term + _outer(a[j - 1], b[k - j - 1])
        product.append(term)
    return tuple(product)


def tensor_logarithm(levels: Levels) -> Levels:
    """log(1 + x) = x - x^2/2 + x^3/3 - ..., truncated; a Lie element where `levels` is a signature.

    Evaluated as x (1 - x (1/2 - x (1/3 - ...))): each product with x gains a level, so the series is finite and exact.

    Source: Reutenauer, Free Lie Algebras (1993), section 1.4.
    """
    depth = len(levels)
    series: list[Array | float] = [1.0 / depth, *([0.0] * (depth - 1))]  # levels 0..depth-1 of the inner bracket
    for n in range(depth - 1, 0, -1):
        series = [1.0 / n, *(-term for term in _product_with(levels, series, depth - 1))]
    return tuple(_product_with(levels, series, depth))


def _product_with(levels: Levels, series: list[Array | float], depth: int) -> list[Array]:
    """Levels 1..depth of x (x) series, where x has no level 0 and `series` counts from level 0."""
    product = []
    for k in range(1, depth + 1):
        total = levels[k - 1] * series[0]
        for j in range(1, k):
            tail = series[k - j]
            if isinstance(tail, Array):  # a level of the series that is still empty
                total = total + _outer(levels[j - 1], tail)
        product.append(total)
    return product


@functools.lru_cache(maxsize=32)
def lyndon_words(d: int, depth: int) -> tuple[Word, ...]:
    """Lyndon words over 0..d-1 up to a length, ordered by length, then alphabetically: the basis is graded."""
    words = (w for k in range(1, depth + 1) for w in itertools.product(range(d), repeat=k))
    return tuple(w for w in words if all(w < w[i:] for i in range(1, len(w))))


def _bracket(word: Word, words: frozenset[Word]) -> dict[Word, int]:
    """Expansion in words of the standard bracketing [u, v] of a Lyndon word, v its longest proper Lyndon suffix."""
    if len(word) == 1:
        return {word: 1}
    cut = next(i for i in range(1, len(word)) if word[i:] in words)
    left, right = _bracket(word[:cut], words), _bracket(word[cut:], words)
    expansion: dict[Word, int] = {}
    for (u, a), (v, b) in itertools.product(left.items(), right.items()):
        expansion[u + v] = expansion.get(u + v, 0) + a * b
        expansion[v + u] = expansion.get(v + u, 0) - a * b
    return expansion


@functools.lru_cache(maxsize=32)
def lyndon_expansion(d: int, depth: int) -> np.ndarray:
    """Tensor coordinates of the bracketed Lyndon basis at one level: shape (words of length `depth`, d ** depth)."""
    words = lyndon_words(d, depth)
    top = [w for w in words if len(w) == depth]
    expansion = np.zeros((len(top), d**depth))
    for row, word in enumerate(top):
        for letters, coefficient in _bracket(word, frozenset(words)).items():
            expansion[row, np.ravel_multi_index(letters, (d,) * depth)] = coefficient
    return expansion


@functools.lru_cache(maxsize=32)
def _lyndon_projection(d: int, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Flat positions of the Lyndon words of a level, and the matrix from their coefficients to basis coordinates."""
    top = [w for w in lyndon_words(d, level) if len(w) == level]
    positions = np.array([np.ravel_multi_index(w, (d,) * level) for w in top])
    # Integer and unitriangular (Reutenauer, theorem 5.1), so the inverse is integer too and rint removes the dust.
    return positions, np.rint(np.linalg.inv(lyndon_expansion(d, level)[:, positions].T))


def log_signature_dimension(d: int, depth: int) -> int:
    """Number of coordinates up to a depth (Witt's formula): 2, 3, 5, 8, 14 for d = 2 and depth 1 to 5."""
    return len(lyndon_words(d, depth))


def log_signature(increments: Float[Array, "steps d"], depth: int) -> Float[Array, "coordinates"]:
    """Coordinates of log S in the bracketed Lyndon basis, ordered by length of word.

    A Lie element is known from its coefficients on Lyndon words alone, so nothing is solved per tick.  The basis is
    graded: the coordinates of a lower depth are a prefix of those of a higher one.

    Args:
        increments: segments of the path, oldest first.
        depth: truncation level, >= 1.

    Returns:
        `log_signature_dimension(d, depth)` coordinates; those of level k in [unit^k].

    Source: Reutenauer (1993), chapter 5; Reizenstein and Graham, iisignature (2018).
    """
    d = increments.shape[1]
    coordinates = []
    for k, level in enumerate(tensor_logarithm(signature(increments, depth)), start=1):
        positions, matrix = _lyndon_projection(d, k)
        chosen = level.reshape(-1)[positions]
        # For d = 2 the matrix is the identity up to length 4, and a product with it is not free.
        coordinates.append(chosen if np.array_equal(matrix, np.eye(len(matrix))) else matrix @ chosen)
    return jnp.concatenate(coordinates)
