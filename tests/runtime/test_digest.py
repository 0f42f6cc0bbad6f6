"""Digests against the published test vectors of SHA-256, and the properties that make a pytree's digest canonical."""

from __future__ import annotations

import collections
import hashlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.runtime.digest import sha256_bytes, sha256_file, sha256_pytree

# NIST, FIPS 180-4 example vectors: one block, two blocks, a million times "a".
VECTORS = {
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    b"a" * 1_000_000: "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
}


@pytest.mark.parametrize(("data", "expected"), VECTORS.items(), ids=["empty", "abc", "two-blocks", "million"])
def test_published_vectors(data: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(data)
    assert sha256_bytes(data) == expected
    assert sha256_file(path) == expected
    assert sha256_file(str(path)) == expected


def test_missing_file_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sha256_file(tmp_path / "absent")


def test_pytree_digest_is_the_documented_layout() -> None:
    tree = {"b": np.array([1.5, -2.0]), "a": np.array([[1, 2]], dtype=np.int32)}
    expected = hashlib.sha256()
    for part in (
        *(b"['a']", b"int32", b"(1, 2)", bytes([1, 0, 0, 0, 2, 0, 0, 0])),
        *(b"['b']", b"float64", b"(2,)", bytes.fromhex("000000000000f83f 00000000000000c0")),
    ):
        expected.update(len(part).to_bytes(8, "little") + part)
    assert sha256_pytree(tree) == expected.hexdigest()


def test_order_device_and_byte_order_do_not_matter() -> None:
    values = np.arange(6.0).reshape(2, 3)
    reference = sha256_pytree({"x": values, "y": 3})
    assert sha256_pytree(collections.OrderedDict([("y", 3), ("x", values)])) == reference
    assert sha256_pytree({"x": jnp.asarray(values), "y": np.int64(3)}) == reference
    assert sha256_pytree({"x": values.astype(">f8"), "y": 3}) == reference
    assert sha256_pytree({"x": np.asfortranarray(values), "y": 3}) == reference


@pytest.mark.parametrize(
    "other",
    [
        {"x": np.array([0.0, 2.0])},
        {"x": np.array([-0.0, 1.0])},
        {"x": np.array([0.0, 1.0], dtype=np.float32)},
        {"x": np.array([[0.0, 1.0]])},
        {"y": np.array([0.0, 1.0])},
        {"x": np.array([0.0, 1.0]), "y": np.array([])},
        [np.array([0.0, 1.0])],
    ],
    ids=["value", "sign of zero", "dtype", "shape", "name", "extra leaf", "container"],
)
def test_any_difference_shows(other: object) -> None:
    assert sha256_pytree(other) != sha256_pytree({"x": np.array([0.0, 1.0])})


def test_lengths_frame_the_parts() -> None:
    # Without the lengths both would hash the same concatenated bytes.
    assert sha256_pytree([np.array([1, 2], np.int8), np.array([3], np.int8)]) != sha256_pytree(
        [np.array([1], np.int8), np.array([2, 3], np.int8)]
    )


def test_typed_keys_strings_and_extension_floats() -> None:
    key = jax.random.key(7)
    assert sha256_pytree(key) == sha256_pytree(jax.random.key(7))
    assert sha256_pytree(key) != sha256_pytree(jax.random.key(8))
    assert sha256_pytree(key) != sha256_pytree(jax.random.key_data(key))
    assert sha256_pytree("abc") != sha256_pytree("abd")
    half = jnp.array([1.0, 2.0], dtype=jnp.bfloat16)
    assert sha256_pytree(half) == sha256_pytree(np.asarray(half))
    assert sha256_pytree(half) != sha256_pytree(half + 1)


def test_none_and_empty_trees_have_no_leaves() -> None:
    assert sha256_pytree({}) == sha256_pytree(None) == sha256_bytes(b"")


@pytest.mark.parametrize("leaf", [object(), {1, 2}, np.array([object()]), np.zeros(2, dtype=[("a", "f8")])])
def test_leaf_without_layout_is_refused_by_path(leaf: object) -> None:
    with pytest.raises(TypeError, match=r"\['state'\].*byte layout"):
        sha256_pytree({"state": leaf})
