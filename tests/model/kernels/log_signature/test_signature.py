"""Signatures against roughpy and esig, and against the identities that define them."""

from __future__ import annotations

import itertools
import re
from typing import Any

import esig
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import roughpy

from uspnb.model.kernels.log_signature import signature as algebra
from uspnb.model.kernels.log_signature.signature import (
    chen_product,
    log_signature_dimension,
    lyndon_expansion,
    lyndon_words,
    tensor_logarithm,
)

# Eager dispatch of a few hundred small operations is what would take the time here.
signature = jax.jit(algebra.signature, static_argnums=1)
log_signature = jax.jit(algebra.log_signature, static_argnums=1)

CASES = [(2, 1), (2, 2), (2, 3), (2, 4), (2, 5), (3, 3), (3, 4)]


def _increments(d: int, steps: int = 25, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(steps, d)) / 4


def _flat(levels) -> np.ndarray:
    return np.concatenate([np.ravel(level) for level in levels])


def _expand(coordinates: np.ndarray, d: int, depth: int) -> np.ndarray:
    """Tensor of a log-signature given in the bracketed Lyndon basis."""
    lengths, tensor = np.array([len(w) for w in lyndon_words(d, depth)]), []
    for k in range(1, depth + 1):
        tensor.append(coordinates[lengths == k] @ lyndon_expansion(d, k))
    return np.concatenate(tensor)


def _parse(key: str):
    """An esig or roughpy basis key such as [1,[1,2]] as nested tuples."""
    return eval(re.sub(r"[\[\]]", lambda m: "(" if m.group() == "[" else ")", key.strip()))


def _bracket_tensor(key, d: int) -> np.ndarray:
    if isinstance(key, int):
        return np.eye(d)[key - 1]
    a, b = (_bracket_tensor(part, d) for part in key)
    return np.multiply.outer(a, b) - np.multiply.outer(b, a)


def _expand_hall(keys: list[str], coordinates: np.ndarray, d: int, depth: int) -> np.ndarray:
    levels = [np.zeros((d,) * k) for k in range(1, depth + 1)]
    for key, value in zip(keys, coordinates, strict=True):
        tensor = _bracket_tensor(_parse(key), d)
        levels[tensor.ndim - 1] += value * tensor
    return _flat(levels)


@pytest.mark.parametrize(("d", "depth"), CASES)
def test_signature_agrees_with_esig(d, depth):
    increments = _increments(d)
    path = np.vstack([np.zeros(d), np.cumsum(increments, axis=0)])
    ours = _flat(signature(jnp.asarray(increments), depth))
    np.testing.assert_allclose(ours, esig.stream2sig(path, depth)[1:], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("d", "depth"), [case for case in CASES if case[1] > 1])
def test_log_signature_agrees_with_esig(d, depth):
    """The Hall basis of esig is another one than ours: they are compared in the tensor algebra that both expand to."""
    increments = _increments(d, seed=1)
    path = np.vstack([np.zeros(d), np.cumsum(increments, axis=0)])
    keys = esig.logsigkeys(d, depth).split()
    theirs = _expand_hall(keys, esig.stream2logsig(path, depth), d, depth)
    ours = np.asarray(log_signature(jnp.asarray(increments), depth))
    assert ours.shape == (esig.logsigdim(d, depth),)
    np.testing.assert_allclose(_expand(ours, d, depth), theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("d", "depth"), [case for case in CASES if case[1] > 1])
def test_log_signature_agrees_with_roughpy(d, depth):
    increments = _increments(d, seed=2)
    library: Any = roughpy  # its stubs do not know its keyword arguments
    context = library.get_context(width=d, depth=depth, coeffs=library.DPReal)
    stream = library.LieIncrementStream.from_increments(
        increments, indices=np.arange(len(increments), dtype=float), ctx=context
    )
    interval = library.RealInterval(0, len(increments))
    theirs = np.asarray(context.lie_to_tensor(stream.log_signature(interval)))[1:]
    full = np.asarray(stream.signature(interval))[1:]
    ours = np.asarray(log_signature(jnp.asarray(increments), depth))
    np.testing.assert_allclose(_expand(ours, d, depth), theirs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(_flat(signature(jnp.asarray(increments), depth)), full, rtol=0, atol=1e-12)


def test_chens_identity_joins_two_paths():
    first, second = jnp.asarray(_increments(2, seed=3)), jnp.asarray(_increments(2, seed=4))
    joined = signature(jnp.concatenate([first, second]), 5)
    np.testing.assert_allclose(
        _flat(joined), _flat(chen_product(signature(first, 5), signature(second, 5))), rtol=0, atol=1e-12
    )


def test_one_segment_has_the_tensor_exponential():
    dx = np.array([0.7, -1.3])
    level3 = np.multiply.outer(np.multiply.outer(dx, dx), dx) / 6
    np.testing.assert_allclose(signature(jnp.asarray(dx[None]), 3)[2], level3, rtol=1e-14)
    np.testing.assert_allclose(log_signature(jnp.asarray(dx[None]), 5), [*dx, *np.zeros(12)], rtol=0, atol=1e-15)


def test_the_second_level_is_the_levy_area():
    increments = _increments(2, seed=5)
    path = np.vstack([np.zeros(2), np.cumsum(increments, axis=0)])
    before = path[:-1]
    area = 0.5 * np.sum(before[:, 0] * increments[:, 1] - before[:, 1] * increments[:, 0])
    assert log_signature(jnp.asarray(increments), 3)[2] == pytest.approx(area, abs=1e-14)


def test_speed_along_the_path_does_not_matter():
    """Cut segments at arbitrary points and insert standstills: the image and the order are the same."""
    rng = np.random.default_rng(6)
    increments = _increments(2, seed=6)
    cuts = rng.random((len(increments), 1))
    slow = np.stack([cuts * increments, 0 * increments, (1 - cuts) * increments], axis=1).reshape(-1, 2)
    np.testing.assert_allclose(
        log_signature(jnp.asarray(slow), 5), log_signature(jnp.asarray(increments), 5), rtol=0, atol=1e-12
    )


def test_the_way_back_undoes_the_way_there():
    increments = jnp.asarray(_increments(2, seed=7))
    back = -increments[::-1]
    np.testing.assert_allclose(log_signature(back, 5), -log_signature(increments, 5), rtol=0, atol=1e-12)
    np.testing.assert_allclose(_flat(signature(jnp.concatenate([increments, back]), 5)), 0, atol=1e-12)


def test_the_logarithm_is_a_lie_element():
    """Its coefficients on all words, not only on Lyndon words, are those of the expansion in brackets."""
    levels = tensor_logarithm(signature(jnp.asarray(_increments(3, seed=8)), 4))
    ours = np.asarray(log_signature(jnp.asarray(_increments(3, seed=8)), 4))
    np.testing.assert_allclose(_flat(levels), _expand(ours, 3, 4), rtol=0, atol=1e-13)


def test_a_lower_depth_is_a_prefix():
    increments = jnp.asarray(_increments(2, seed=9))
    full = np.asarray(log_signature(increments, 5))
    for depth, size in zip(range(1, 6), (2, 3, 5, 8, 14), strict=True):
        assert log_signature_dimension(2, depth) == size
        np.testing.assert_allclose(log_signature(increments, depth), full[:size], rtol=0, atol=1e-14)


def test_dimensions_follow_witt():
    def witt(d: int, n: int) -> int:
        mobius = {1: 1, 2: -1, 3: -1, 4: 0, 5: -1}
        return sum(mobius[k] * d ** (n // k) for k in range(1, n + 1) if n % k == 0) // n

    for d, depth in itertools.product((2, 3), range(1, 6)):
        assert log_signature_dimension(d, depth) == sum(witt(d, n) for n in range(1, depth + 1))


def test_it_is_one_program_under_jit_and_vmap():
    batch = jnp.asarray(np.stack([_increments(2, seed=s) for s in range(4)]))
    together = jax.jit(jax.vmap(lambda x: algebra.log_signature(x, 4)))(batch)
    np.testing.assert_allclose(together, np.stack([algebra.log_signature(x, 4) for x in batch]), rtol=0, atol=1e-13)
